//! Who may write a shard: a lease has a token that fences out whoever held it before, a holder, and an end.

use super::StoreError;

/// A process that holds shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// Unlike that of any other process, and of an earlier one in the same place.
    pub id: String,
    /// Where requests for its runs are sent; empty when nobody else can reach it.
    pub address: String,
}

/// A shard's lease. Times are nanoseconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Grows with each taking; a commit under an older one is refused.
    pub token: i64,
    pub holder: Holder,
    /// From then on anybody may take it.
    pub expires: i64,
}

impl Lease {
    /// Nobody has it, as in a new state or after it was released.
    pub const RELEASED: i64 = 0;
    /// It ends with its holder, whom something else than time proves dead.
    pub const FOR_GOOD: i64 = i64::MAX;

    /// Whether somebody else than `holder` has it at `now`.
    pub fn is_held(&self, holder: &Holder, now: i64) -> bool {
        self.holder.id != holder.id && self.expires > now
    }
}

/// On what terms a lease is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Terms {
    /// Nobody else can have the store, because its file is locked or its memory is this process's: whoever is named in
    /// the lease is dead, and it is taken for good.
    Sole,
    /// Until `expires`, if nobody else has it at `now`.
    Until { now: i64, expires: i64 },
}

/// What becomes of `found` (`None`: the shard never had a lease) when `holder` asks for it.
pub(super) fn taken(
    shard: u32,
    found: Option<Lease>,
    holder: &Holder,
    terms: Terms,
) -> Result<Lease, StoreError> {
    let token = found.as_ref().map_or(0, |lease| lease.token) + 1;
    let expires = match terms {
        Terms::Sole => Lease::FOR_GOOD,
        Terms::Until { now, expires } => match found {
            Some(lease) if lease.is_held(holder, now) => {
                return Err(StoreError::Held { shard, lease: Box::new(lease) });
            }
            _ => expires,
        },
    };
    Ok(Lease { token, holder: holder.clone(), expires })
}

/// `found` with another end, if it still is the one with this token.
pub(super) fn prolonged(found: Option<Lease>, token: i64, expires: i64) -> Result<Lease, StoreError> {
    match found {
        Some(lease) if lease.token == token => Ok(Lease { expires, ..lease }),
        found => Err(StoreError::Fenced { held: token, found: found.map_or(0, |lease| lease.token) }),
    }
}
