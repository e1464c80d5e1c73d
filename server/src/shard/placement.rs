//! Which shard has a workflow id, and how runs are numbered (decision 083).

/// There are at most as many shards; a run's number says which it is of, so that no two shards give out the same.
pub(super) const MAX_SHARDS: i64 = 256;

/// The shard that has the runs of a workflow id. State depends on it: the hash (FNV-1a of 64 bits) never changes.
pub(super) fn shard_of(workflow_id: &str, shards: u32) -> u32 {
    let hash = workflow_id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash % u64::from(shards.max(1))) as u32
}
