//! Leases of shards, a row for each. There are as many rows as the state has shards, from its first opening on.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{
    super::{Holder, Lease, StoreError},
    checks,
};

/// The shard's lease. One of before leases had an end has none: whoever held it is gone, or had the file.
pub(super) fn read(connection: &Connection, shard: u32) -> Result<Option<Lease>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT token, holder, address, expires, crc FROM leases WHERE shard = ?1")?;
    let read = statement.query_row([shard], |row| {
        let holder = Holder { id: row.get(1)?, address: row.get(2)? };
        let lease = Lease { token: row.get(0)?, holder, expires: row.get(3)? };
        Ok((lease, row.get::<_, Option<i64>>(4)?))
    });
    let Some((lease, check)) = read.optional().map_err(|error| damaged(shard, error))? else {
        return Ok(None);
    };
    if check.is_some_and(|check| check != checks::of_lease(shard, &lease)) {
        return Err(StoreError::DamagedFile(format!(
            "the checksum of the lease of shard {shard} does not fit"
        )));
    }
    Ok(Some(lease))
}

fn damaged(shard: u32, error: rusqlite::Error) -> StoreError {
    match checks::in_row(0, error) {
        StoreError::Damaged { what, .. } => {
            StoreError::DamagedFile(format!("the lease of shard {shard} cannot be read ({what})"))
        }
        error => error,
    }
}

fn write(transaction: &Transaction<'_>, shard: u32, lease: &Lease) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO leases (shard, token, holder, address, expires, crc) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            shard,
            lease.token,
            lease.holder.id,
            lease.holder.address,
            lease.expires,
            checks::of_lease(shard, lease)
        ])?;
    Ok(())
}

/// Replaces the shard's lease by what `change` makes of it.
pub(super) fn change(
    writer: &mut Connection,
    shard: u32,
    change: impl FnOnce(Option<Lease>) -> Result<Lease, StoreError>,
) -> Result<Lease, StoreError> {
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let changed = change(read(&transaction, shard)?)?;
    write(&transaction, shard, &changed)?;
    transaction.commit()?;
    Ok(changed)
}

/// How many shards there are. In a new state this makes them: `of_new`, all in one transaction.
pub(super) fn shards(writer: &mut Connection, of_new: u32) -> Result<u32, StoreError> {
    let count = |connection: &Connection| -> Result<(u32, Option<u32>), StoreError> {
        let count = "SELECT count(*), max(shard) FROM leases";
        Ok(connection.query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
    };
    let (mut found, mut last) = count(writer)?;
    if found == 0 {
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for shard in 0..of_new.max(1) {
            write(&transaction, shard, &Lease::default())?;
        }
        (found, last) = count(&transaction)?;
        transaction.commit()?;
    }
    // Which shard has a run depends on their number.
    if last.is_none_or(|last| last + 1 != found) {
        return Err(StoreError::DamagedFile("the number of its shards cannot be told".to_owned()));
    }
    Ok(found)
}
