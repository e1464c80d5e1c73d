//! Lists and counts on connections of their own. SQLite's snapshots let them read while the writer writes.
//!
//! A page of the file that is broken ends a statement in its middle. A list then goes on row by row around the damage:
//! slower, and without the rows that can't be read, which are logged.

use std::{ops::ControlFlow, path::Path, time::Instant};

use rusqlite::{Connection, params_from_iter, types::Value as Sql};

use super::{
    super::{
        Field, Filter, Group, Listing, RunRow, StoreError, Value, Visibility,
        visibility::{add_to_group, sort_groups},
    },
    checks,
    filter::{Clause, bound, found},
    readers::Readers,
    rows::{ROW, run_row},
    search::seqs_below,
};

/// How many lists read at a time; the others wait.
const READERS: usize = 4;

pub(super) struct SqliteVisibility {
    pub(super) readers: Readers,
}

type Each<'a> = dyn FnMut(RunRow) -> ControlFlow<()> + 'a;

impl SqliteVisibility {
    pub(super) fn new(path: &Path) -> Self {
        Self { readers: Readers::new(path, READERS) }
    }
}

impl Visibility for SqliteVisibility {
    fn scan(&self, listing: &Listing<'_>, until: Instant, each: &mut Each<'_>) -> Result<(), StoreError> {
        self.readers.read(Some(until), |connection| {
            let mut before = listing.after.map_or(i64::MAX, |cursor| cursor.seq);
            let ended = run_listing(connection, listing, &mut |row| {
                before = row.seq;
                each(row)
            });
            match ended {
                Err(StoreError::DamagedFile(_)) if listing.order.is_none() => {
                    around_damage(connection, listing.namespace_id, listing.filter, before, each)
                }
                Err(StoreError::DamagedFile(_)) => {
                    let mut rows = Vec::new();
                    around_damage(connection, listing.namespace_id, listing.filter, i64::MAX, &mut |row| {
                        rows.push(row);
                        ControlFlow::Continue(())
                    })?;
                    listing.give_sorted(rows, each);
                    Ok(())
                }
                ended => ended,
            }
        })
    }

    fn count(&self, namespace_id: &str, filter: &Filter, until: Instant) -> Result<i64, StoreError> {
        self.readers.read(Some(until), |connection| {
            let Clause { sql, values } = Clause::new(namespace_id, filter);
            let sql = format!("SELECT count(*) FROM runs WHERE {sql}");
            let counted = connection
                .prepare(&sql)
                .and_then(|mut statement| statement.query_row(params_from_iter(values), |row| row.get(0)));
            match counted {
                Err(error) if checks::is_damage(&error) => {
                    let mut count = 0;
                    around_damage(connection, namespace_id, filter, i64::MAX, &mut |_| {
                        count += 1;
                        ControlFlow::Continue(())
                    })?;
                    Ok(count)
                }
                counted => Ok(counted?),
            }
        })
    }

    fn count_by(
        &self,
        namespace_id: &str,
        filter: &Filter,
        field: &Field,
        until: Instant,
    ) -> Result<Vec<Group>, StoreError> {
        self.readers.read(Some(until), |connection| {
            let mut groups = match count_groups(connection, namespace_id, filter, field) {
                Err(error) if checks::is_damage(&error) => {
                    let mut groups = Vec::new();
                    around_damage(connection, namespace_id, filter, i64::MAX, &mut |row| {
                        add_to_group(&mut groups, field.of(&row).map(Value::single));
                        ControlFlow::Continue(())
                    })?;
                    groups
                }
                counted => counted?,
            };
            sort_groups(&mut groups);
            Ok(groups)
        })
    }
}

fn count_groups(
    connection: &Connection,
    namespace_id: &str,
    filter: &Filter,
    field: &Field,
) -> rusqlite::Result<Vec<Group>> {
    let mut value = Clause::default();
    value.value_of(field);
    let Clause { sql, values } = Clause::new(namespace_id, filter);
    let sql = format!("SELECT {}, count(*) FROM runs WHERE {sql} GROUP BY 1", value.sql);
    let mut statement = connection.prepare(&sql)?;
    let parameters = value.values.into_iter().chain(values);
    let groups = statement.query_map(params_from_iter(parameters), |row| {
        Ok((found(field.kind, row.get_ref(0)?), row.get(1)?))
    })?;
    groups.collect()
}

/// The listing as one statement.
fn run_listing(
    connection: &Connection,
    listing: &Listing<'_>,
    each: &mut Each<'_>,
) -> Result<(), StoreError> {
    let (condition, mut values) = {
        let clause = Clause::new(listing.namespace_id, listing.filter);
        (clause.sql, clause.values)
    };
    let (behind, sorting) = place(listing);
    values.extend(behind.values);
    let mut sql = format!("SELECT {ROW} FROM runs WHERE {condition}{} ORDER BY ", behind.sql);
    sql.push_str(&sorting.sql);
    values.extend(sorting.values);
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        match run_row(row) {
            Ok(row) => {
                if each(row).is_break() {
                    break;
                }
            }
            Err(StoreError::Damaged { seq, what }) => left_out(seq, &what),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The condition for rows behind the cursor, and the order.
fn place(listing: &Listing<'_>) -> (Clause, Clause) {
    let (mut behind, mut sorting) = (Clause::default(), Clause::default());
    let Some(order) = listing.order else {
        if let Some(cursor) = listing.after {
            behind.sql.push_str(" AND seq < ?");
            behind.values.push(cursor.seq.into());
        }
        sorting.sql.push_str("seq DESC");
        return (behind, sorting);
    };
    let mut value = Clause::default();
    value.value_of(&order.field);
    if let Some(cursor) = listing.after {
        let repeated = |times: usize| value.values.iter().cycle().take(value.values.len() * times).cloned();
        if let Some(last) = &cursor.value {
            let further = if order.descending { '<' } else { '>' };
            let sql = &value.sql;
            behind.sql = format!(" AND ({sql} {further} ? OR ({sql} = ? AND seq < ?) OR {sql} IS NULL)");
            let last = bound(last);
            behind.values.extend(repeated(1));
            behind.values.push(last.clone());
            behind.values.extend(repeated(1));
            behind.values.extend([last, Sql::from(cursor.seq)]);
            behind.values.extend(repeated(1));
        } else {
            behind.sql = format!(" AND {} IS NULL AND seq < ?", value.sql);
            behind.values.extend(repeated(1));
            behind.values.push(cursor.seq.into());
        }
    }
    let direction = if order.descending { "DESC" } else { "ASC" };
    sorting.sql = format!("{} {direction} NULLS LAST, seq DESC", value.sql);
    sorting.values = value.values;
    (behind, sorting)
}

/// Rows that pass, newest first, each read by itself.
fn around_damage(
    connection: &Connection,
    namespace_id: &str,
    filter: &Filter,
    before: i64,
    each: &mut Each<'_>,
) -> Result<(), StoreError> {
    let Clause { sql, mut values } = Clause::new(namespace_id, filter);
    let mut statement = connection.prepare(&format!("SELECT {ROW} FROM runs WHERE {sql} AND seq = ?"))?;
    values.push(Sql::Null);
    for seq in seqs_below(connection, before)? {
        if let Some(last) = values.last_mut() {
            *last = seq.into();
        }
        let read = statement
            .query(params_from_iter(values.iter()))
            .and_then(|mut rows| rows.next()?.map(|row| Ok(run_row(row))).transpose())
            .map_err(|error| checks::in_row(seq, error));
        match read.and_then(Option::transpose) {
            Ok(Some(row)) => {
                if each(row).is_break() {
                    break;
                }
            }
            Ok(None) => {}
            Err(StoreError::Damaged { seq, what }) => left_out(seq, &what),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn left_out(seq: i64, what: &str) {
    tracing::error!(run = seq, what, "a run is damaged in the store, and left out of a list");
}
