//! Namespaces: few and small, and all runs depend on them. Each is written twice, in tables that share no page: what is
//! damaged in one is read from the other.

use std::collections::BTreeMap;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{
    super::{DamagedNamespace, StoreError},
    checks, mend,
};

const TABLES: [&str; 2] = ["namespaces", "namespace_copies"];

/// What both tables say.
#[derive(Default)]
pub(super) struct Found {
    pub(super) good: BTreeMap<String, Vec<u8>>,
    /// Those that can't be read in either.
    pub(super) damaged: Vec<DamagedNamespace>,
    /// Something is missing in one of the tables, or damaged.
    differs: bool,
    /// Tables that can't be read to their end.
    broken: Vec<&'static str>,
    /// Ids that damage has made up.
    surplus: Vec<String>,
}

/// What a table says, as far as it can be read.
struct Table {
    good: BTreeMap<String, Vec<u8>>,
    damaged: Vec<DamagedNamespace>,
    /// Why the rest can't be read.
    broken: Option<rusqlite::Error>,
}

fn read_table(connection: &Connection, table: &str) -> Result<Table, StoreError> {
    let mut found = Table { good: BTreeMap::new(), damaged: Vec::new(), broken: None };
    let sql = format!("SELECT CAST(id AS TEXT), CAST(data AS BLOB), crc FROM {table} ORDER BY id");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(found),
            Err(error) if checks::is_damage(&error) => {
                found.broken = Some(error);
                return Ok(found);
            }
            Err(error) => return Err(error.into()),
        };
        let id = String::from_utf8_lossy(row.get_ref(0)?.as_bytes().unwrap_or_default()).into_owned();
        let data = row.get_ref(1)?.as_bytes().unwrap_or_default().to_vec();
        // Releases before checksums stored none.
        let fits = match row.get::<_, Option<i64>>(2) {
            Ok(check) => check.is_none_or(|check| check == checks::of_namespace(&id, &data)),
            Err(_) => false,
        };
        if fits {
            found.good.insert(id, data);
        } else {
            found.damaged.push(DamagedNamespace { id, data });
        }
    }
}

/// All namespaces, each from where it is whole.
pub(super) fn read(connection: &Connection) -> Result<Found, StoreError> {
    let [first, second] = TABLES.map(|table| read_table(connection, table));
    let (first, second) = (first?, second?);
    let is_whole = |table: &Table| table.broken.is_none() && !table.good.is_empty();
    if let Some(error) = first.broken.as_ref().or(second.broken.as_ref())
        && !is_whole(&first)
        && !is_whole(&second)
    {
        return Err(StoreError::DamagedFile(format!("its namespaces cannot be read ({error})")));
    }
    let differs = first.good != second.good
        || [&first, &second].iter().any(|table| table.broken.is_some() || !table.damaged.is_empty());
    let broken = [first.broken.is_some(), second.broken.is_some()];
    let rows = |table: &Table| table.good.len() + table.damaged.len();
    let most = rows(&first).max(rows(&second));
    let mut good = first.good;
    good.extend(second.good);
    let mut damaged = first.damaged;
    damaged.extend(second.damaged);
    damaged.retain(|row| !good.contains_key(&row.id));
    damaged.sort_by(|one, other| one.id.cmp(&other.id));
    damaged.dedup_by(|one, other| one.id == other.id);
    // When none is missing, a damaged row's id is what was damaged, and its namespace is whole in the other table.
    let mut surplus = Vec::new();
    if good.len() >= most {
        surplus = damaged.drain(..).map(|row| row.id).collect();
    }
    let broken =
        TABLES.into_iter().zip(broken).filter_map(|(table, broken)| broken.then_some(table)).collect();
    Ok(Found { good, damaged, differs, broken, surplus })
}

/// Writes to both tables.
pub(super) fn write(transaction: &Transaction<'_>, id: &str, data: &[u8]) -> rusqlite::Result<()> {
    for table in TABLES {
        let sql = format!("INSERT OR REPLACE INTO {table} (id, data, crc) VALUES (?1, ?2, ?3)");
        transaction.prepare_cached(&sql)?.execute(params![id, data, checks::of_namespace(id, data)])?;
    }
    Ok(())
}

/// Has each namespace in both tables again, after one was damaged, or when the file is of a release with one table.
pub(super) fn mirror(writer: &mut Connection, reader: &Connection) -> Result<(), StoreError> {
    let found = read(reader)?;
    for DamagedNamespace { id, .. } in &found.damaged {
        tracing::error!(id, "a namespace is damaged in the state file; restore the file from a copy");
    }
    if !found.differs || found.good.is_empty() {
        return Ok(());
    }
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for table in found.broken {
        tracing::error!(table, "this table is broken; it is made anew of its copy");
        mend::replace(&transaction, table)?;
    }
    for (id, data) in &found.good {
        write(&transaction, id, data)?;
    }
    for id in &found.surplus {
        for table in TABLES {
            transaction.execute(&format!("DELETE FROM {table} WHERE id = ?1"), [id])?;
        }
    }
    transaction.commit()?;
    Ok(())
}
