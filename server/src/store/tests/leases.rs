//! Leases: who may take one, what fences whom, and that a state has all of its shards or none.

use super::*;

const SHARD: u32 = 2;

fn holder(id: &str) -> Holder {
    Holder { id: id.into(), address: format!("http://{id}") }
}

fn until(now: i64, expires: i64) -> Terms {
    Terms::Until { now, expires }
}

fn new_run(lease: i64, seq: i64) -> Commit {
    let runs = vec![started(seq, &format!("w{seq}"), &format!("r{seq}"))];
    Commit { shard: SHARD, lease, runs, ..Commit::default() }
}

#[test]
fn a_lease_is_taken_when_it_has_ended_or_is_ones_own() {
    on_each_store(|store| {
        let (a, b) = (holder("a"), holder("b"));
        assert_eq!(store.lease(SHARD).unwrap(), None);
        let first = store.take_lease(SHARD, &a, until(0, 100)).unwrap();
        assert_eq!(store.lease(SHARD).unwrap().as_ref(), Some(&first));
        assert_eq!((first.holder.clone(), first.expires), (a.clone(), 100));
        match store.take_lease(SHARD, &b, until(99, 200)) {
            Err(StoreError::Held { shard: SHARD, lease }) => assert_eq!(*lease, first),
            other => panic!("{other:?}"),
        }
        let own = store.take_lease(SHARD, &a, until(50, 150)).unwrap();
        assert!(own.token > first.token);
        assert!(store.take_lease(SHARD, &b, until(149, 200)).is_err());
        let taken = store.take_lease(SHARD, &b, until(150, 200)).unwrap();
        assert!(taken.token > own.token);
        // Whoever knows the others to be dead does not wait for their leases to end.
        let by_right = store.take_lease(SHARD, &a, Terms::Sole).unwrap();
        assert_eq!((by_right.token, by_right.expires), (taken.token + 1, Lease::FOR_GOOD));
        assert!(store.take_lease(SHARD, &b, until(i64::MAX - 1, i64::MAX)).is_err());
    });
}

#[test]
fn a_lease_lives_as_long_as_it_is_renewed_and_ends_when_released() {
    on_each_store(|store| {
        let (a, b) = (holder("a"), holder("b"));
        let lease = store.take_lease(SHARD, &a, until(0, 100)).unwrap();
        store.renew_lease(SHARD, lease.token, 300).unwrap();
        assert_eq!(store.lease(SHARD).unwrap().unwrap(), Lease { expires: 300, ..lease.clone() });
        assert!(store.take_lease(SHARD, &b, until(200, 400)).is_err());
        store.commit(&new_run(lease.token, 1)).unwrap();
        // One that has ended and that nobody took is still good.
        store.renew_lease(SHARD, lease.token, 600).unwrap();
        store.release_lease(SHARD, lease.token).unwrap();
        let taken = store.take_lease(SHARD, &b, until(200, 400)).unwrap();
        assert_eq!(taken.token, lease.token + 1);
        // Whoever held it before does nothing any more.
        let refused = store.renew_lease(SHARD, lease.token, 900);
        assert!(matches!(refused, Err(StoreError::Fenced { held, found }) if held + 1 == found));
        assert!(matches!(store.commit(&new_run(lease.token, 2)), Err(StoreError::Fenced { .. })));
        store.release_lease(SHARD, lease.token).unwrap();
        assert_eq!(store.lease(SHARD).unwrap(), Some(taken));
        assert_eq!(store.last_seq().unwrap(), 1);
    });
}

#[test]
fn a_state_keeps_its_number_of_shards() {
    on_each_store(|store| {
        assert_eq!(store.shards(3).unwrap(), 3);
        assert_eq!(store.shards(5).unwrap(), 3);
        assert_eq!(store.take_lease(2, &holder("a"), until(0, 9)).unwrap().token, 1);
        assert_eq!(store.shards(1).unwrap(), 3);
    });
}

#[test]
fn a_new_state_has_all_of_its_shards_whatever_lease_was_taken_last() {
    for taken in 0..3 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let store = SqliteStore::open(&path).unwrap();
        store.shards(3).unwrap();
        for shard in 0..taken {
            store.take_lease(shard, &holder("a"), Terms::Sole).unwrap();
        }
        // The process ends here; the next one asks for another number.
        drop(store);
        assert_eq!(SqliteStore::open(&path).unwrap().shards(4).unwrap(), 3);
    }
}

#[test]
fn a_lease_that_was_damaged_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    for sql in ["UPDATE leases SET token = 7 WHERE shard = 1", "DELETE FROM leases WHERE shard = 1"] {
        let store = SqliteStore::open(&path).unwrap();
        store.shards(3).unwrap();
        drop(store);
        let raw = rusqlite::Connection::open(&path).unwrap();
        raw.execute_batch(sql).unwrap();
        drop(raw);
        let store = SqliteStore::open(&path).unwrap();
        let read = store.shards(3).and_then(|_| store.take_lease(1, &holder("a"), Terms::Sole));
        assert!(matches!(read, Err(StoreError::DamagedFile(_))), "{sql}: {read:?}");
    }
}
