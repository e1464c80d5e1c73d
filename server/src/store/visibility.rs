//! Looking at runs from outside: lists and counts, apart from the writer. However slow one is, it shares no lock and no
//! connection with those who start and advance runs, and it ends when its time is over.

use std::{cmp::Ordering, ops::ControlFlow, time::Instant};

use super::{Field, Filter, RunRow, StoreError, Value};

/// What a list asks for.
#[derive(Clone, Debug)]
pub struct Listing<'a> {
    pub namespace_id: &'a str,
    pub filter: &'a Filter,
    /// `None`: newest start first.
    pub order: Option<&'a Order>,
    /// Go on behind this row.
    pub after: Option<&'a Cursor>,
}

/// What rows are sorted by; rows without a value come last, equal ones newest start first.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    pub field: Field,
    pub descending: bool,
}

/// A place in a listing: a row by its number and by what the listing is sorted by.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    pub seq: i64,
    pub value: Option<Value>,
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    pub rows: Vec<RunRow>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

/// How many runs have this value of a field.
pub type Group = (Option<Value>, i64);

/// The reading side of a store. Calls block, and fail with [`StoreError::TooSlow`] when the time is over.
pub trait Visibility: Send + Sync {
    /// Calls `each` for the rows of a listing in their order, until it breaks. What `each` does delays nobody.
    fn scan(
        &self,
        listing: &Listing<'_>,
        until: Instant,
        each: &mut dyn FnMut(RunRow) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    fn count(&self, namespace_id: &str, filter: &Filter, until: Instant) -> Result<i64, StoreError>;

    /// Counts by value of a field: the largest group first.
    fn count_by(
        &self,
        namespace_id: &str,
        filter: &Filter,
        field: &Field,
        until: Instant,
    ) -> Result<Vec<Group>, StoreError>;

    /// The first rows of a listing.
    fn list(&self, listing: &Listing<'_>, limit: usize, until: Instant) -> Result<Page, StoreError> {
        let mut rows = Vec::new();
        self.scan(listing, until, &mut |row| {
            rows.push(row);
            if rows.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|row| listing.place(row));
        Ok(Page { rows, next })
    }
}

impl Listing<'_> {
    /// The place of a row.
    fn place(&self, row: &RunRow) -> Cursor {
        let value = self.order.and_then(|order| order.field.of(row)).map(Value::single);
        Cursor { seq: row.seq, value }
    }

    /// Gives rows that are not in order yet, those behind the cursor.
    pub(super) fn give_sorted(&self, rows: Vec<RunRow>, each: &mut dyn FnMut(RunRow) -> ControlFlow<()>) {
        let mut placed: Vec<_> = rows.into_iter().map(|row| (self.place(&row), row)).collect();
        placed.retain(|(place, _)| self.after.is_none_or(|after| self.compare(place, after).is_gt()));
        placed.sort_by(|(one, _), (other, _)| self.compare(one, other));
        for (_, row) in placed {
            if each(row).is_break() {
                return;
            }
        }
    }

    /// Which of two places comes first.
    fn compare(&self, row: &Cursor, other: &Cursor) -> Ordering {
        let by_value = self.order.map_or(Ordering::Equal, |order| match (&row.value, &other.value) {
            (Some(row), Some(other)) => {
                let ordering = compare_values(row, other);
                if order.descending { ordering.reverse() } else { ordering }
            }
            (row, other) => row.is_none().cmp(&other.is_none()),
        });
        by_value.then_with(|| other.seq.cmp(&row.seq))
    }
}

/// Orders values of one field.
fn compare_values(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Text(one), Value::Text(other)) => one.cmp(other),
        (Value::Int(one), Value::Int(other)) => one.cmp(other),
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (Value::Double(one), Value::Double(other)) => one.total_cmp(other),
        (Value::List(one), Value::List(other)) => one.cmp(other),
        // Of different types, which one field doesn't have.
        (Value::Text(_) | Value::Int(_) | Value::Bool(_) | Value::Double(_) | Value::List(_), _) => {
            Ordering::Equal
        }
    }
}

pub(super) fn add_to_group(groups: &mut Vec<Group>, value: Option<Value>) {
    match groups.iter_mut().find(|(known, _)| *known == value) {
        Some((_, count)) => *count += 1,
        None => groups.push((value, 1)),
    }
}

/// Largest first; groups of one size by their value.
pub(super) fn sort_groups(groups: &mut [Group]) {
    groups.sort_by(|(value, count), (other_value, other_count)| {
        other_count.cmp(count).then_with(|| match (value, other_value) {
            (Some(one), Some(other)) => compare_values(one, other),
            (one, other) => one.is_none().cmp(&other.is_none()),
        })
    });
}
