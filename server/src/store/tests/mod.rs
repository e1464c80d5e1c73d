//! One suite for every store, and what is particular to a file.

mod leases;
mod listings;

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    visibility::{Order, Page},
    *,
};
use crate::error::OpenError;

const NAMESPACE: &str = "ns";

fn new_row(workflow_id: &str, run_id: &str, start_time: i64) -> NewRow {
    NewRow {
        key: RunKey {
            namespace_id: NAMESPACE.into(),
            workflow_id: workflow_id.into(),
            run_id: run_id.into(),
        },
        workflow_type: "Order".into(),
        task_queue: "orders".into(),
        start_time,
        execution_time: start_time,
        ancestors: None,
    }
}

fn started(seq: i64, workflow_id: &str, run_id: &str) -> RunWrite {
    let change = RunCommit {
        state: b"one".to_vec(),
        events: Some((1, Bytes::from_static(b"events 1-2"))),
        status: 1,
        history_length: 2,
        runnable: true,
        attributes: Some((Some(Memo::default()), None)),
        ..RunCommit::default()
    };
    RunWrite { seq, new: Some(new_row(workflow_id, run_id, seq * 10)), change }
}

fn changed(seq: i64, change: RunCommit) -> RunWrite {
    RunWrite { seq, new: None, change }
}

/// Takes the lease whoever has it; its token.
pub(super) fn seize(store: &dyn Store) -> i64 {
    store.take_lease(0, &Holder::default(), Terms::Sole).unwrap().token
}

fn commit(lease: i64, runs: Vec<RunWrite>) -> Commit {
    Commit { lease, runs, ..Commit::default() }
}

fn open_runs(store: &dyn Store) -> Vec<OpenRun> {
    let mut open = Vec::new();
    store
        .open_runs(0, &mut |run| {
            open.push(run);
            ControlFlow::Continue(())
        })
        .unwrap();
    open
}

fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

fn page(store: &dyn Store, filter: &Filter, before: Option<i64>, limit: usize) -> Page {
    let after = before.map(|seq| Cursor { seq, value: None });
    let listing = Listing { namespace_id: NAMESPACE, filter, order: None, after: after.as_ref() };
    store.visibility().list(&listing, limit, soon()).unwrap()
}

/// Runs the test on each kind of store.
fn on_each_store(test: impl Fn(&dyn Store)) {
    test(&MemoryStore::default());
    let directory = tempfile::tempdir().unwrap();
    test(&SqliteStore::open(&directory.path().join("state.db")).unwrap());
}

#[test]
fn a_run_reads_back_as_committed() {
    on_each_store(|store| {
        let lease = seize(store);
        store.commit(&commit(lease, vec![started(1, "a", "r1")])).unwrap();
        let change = RunCommit {
            state: b"two".to_vec(),
            events: Some((3, Bytes::from_static(b"events 3-9"))),
            status: 2,
            close_time: Some(77),
            history_length: 9,
            history_bytes: 123,
            transitions: 2,
            ..RunCommit::default()
        };
        assert_eq!(open_runs(store), [OpenRun { seq: 1, next_due: None, runnable: true }]);
        store.commit(&commit(lease, vec![changed(1, change)])).unwrap();
        assert_eq!(open_runs(store), []);
        let run = store.run(1).unwrap().unwrap();
        assert_eq!(run.state, b"two");
        let row = run.row;
        assert_eq!((row.status, row.close_time, row.history_length, row.transitions), (2, Some(77), 9, 2));
        assert_eq!(row.memo, Some(Memo::default()), "attributes stay when they did not change");
        assert_eq!(row.key, new_row("a", "r1", 0).key);
        assert_eq!(store.last_seq().unwrap(), 1);
    });
}

#[test]
fn events_are_found_by_the_batch_that_holds_them() {
    on_each_store(|store| {
        let lease = seize(store);
        store.commit(&commit(lease, vec![started(1, "a", "r1"), started(2, "b", "r2")])).unwrap();
        for first in [3, 7] {
            let events = Some((first, Bytes::from(format!("from {first}"))));
            store
                .commit(&commit(
                    lease,
                    vec![changed(1, RunCommit { events, status: 1, ..RunCommit::default() })],
                ))
                .unwrap();
        }
        let firsts = |from, end| -> Vec<i64> {
            store.events(1, from, end).unwrap().into_iter().map(|(first, _)| first).collect()
        };
        assert_eq!(firsts(1, i64::MAX), [1, 3, 7]);
        assert_eq!(firsts(2, 3), [1]);
        assert_eq!(firsts(5, 7), [3]);
        assert_eq!(firsts(5, 8), [3, 7]);
        assert_eq!(firsts(100, 200), [7]);
        assert_eq!(store.events(9, 1, 10).unwrap(), []);
    });
}

/// The first events of the batches that are given, of which the last one ends the reading.
fn read_batches(
    store: &dyn Store,
    events: Range<i64>,
    order: EventOrder,
    enough: usize,
) -> Result<Vec<i64>, StoreError> {
    let mut firsts = Vec::new();
    store.batches(1, events, order, &mut |first, _| {
        firsts.push(first);
        if firsts.len() == enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(firsts)
}

#[test]
fn events_are_read_from_either_end_and_no_further_than_is_asked() {
    on_each_store(|store| {
        let lease = seize(store);
        store.commit(&commit(lease, vec![started(1, "a", "r1")])).unwrap();
        for first in [3, 7, 20] {
            let events = Some((first, Bytes::from_static(b"more")));
            let change = RunCommit { events, status: 1, ..RunCommit::default() };
            store.commit(&commit(lease, vec![changed(1, change)])).unwrap();
        }
        let read = |events, order, enough| read_batches(store, events, order, enough).unwrap();
        assert_eq!(read(1..i64::MAX, EventOrder::OldestFirst, 9), [1, 3, 7, 20]);
        assert_eq!(read(1..i64::MAX, EventOrder::OldestFirst, 2), [1, 3]);
        assert_eq!(read(1..i64::MAX, EventOrder::NewestFirst, 9), [20, 7, 3, 1]);
        assert_eq!(read(5..20, EventOrder::NewestFirst, 9), [7, 3]);
        assert_eq!(read(5..20, EventOrder::NewestFirst, 1), [7]);
        assert_eq!(read(5..5, EventOrder::NewestFirst, 9), [3]);
        store.in_place().unwrap();
    });
}

#[test]
fn a_reading_ends_when_the_store_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&directory.path().join("state.db")).unwrap();
    let lease = seize(&store);
    store.commit(&commit(lease, vec![started(1, "a", "r1")])).unwrap();
    let change =
        RunCommit { events: Some((3, Bytes::from_static(b"more"))), status: 1, ..RunCommit::default() };
    store.commit(&commit(lease, vec![changed(1, change)])).unwrap();
    let mut read = 0;
    let ended = store.batches(1, 1..9, EventOrder::OldestFirst, &mut |_, _| {
        read += 1;
        store.close();
        ControlFlow::Continue(())
    });
    assert!(matches!(ended, Err(StoreError::Closed)), "{ended:?}");
    assert_eq!(read, 1);
}

#[test]
fn the_newest_run_of_an_id_is_found_first() {
    on_each_store(|store| {
        let lease = seize(store);
        store.commit(&commit(lease, vec![started(1, "a", "r1"), started(2, "a", "r2")])).unwrap();
        assert_eq!(store.find(NAMESPACE, "a", None).unwrap(), Some(2));
        assert_eq!(store.find(NAMESPACE, "a", Some("r1")).unwrap(), Some(1));
        assert_eq!(store.find(NAMESPACE, "a", Some("r9")).unwrap(), None);
        assert_eq!(store.find("other", "a", None).unwrap(), None);
    });
}

#[test]
fn an_older_lease_writes_nothing() {
    on_each_store(|store| {
        let old = seize(store);
        let new = seize(store);
        assert!(new > old);
        let refused = store.commit(&commit(old, vec![started(1, "a", "r1")]));
        assert!(matches!(refused, Err(StoreError::Fenced { held, found }) if held == old && found == new));
        assert_eq!(store.last_seq().unwrap(), 0);
    });
}

#[test]
fn deleting_a_run_takes_its_history_along() {
    on_each_store(|store| {
        let lease = seize(store);
        store.commit(&commit(lease, vec![started(1, "a", "r1"), started(2, "b", "r2")])).unwrap();
        store.commit(&Commit { lease, deletes: vec![1], ..Commit::default() }).unwrap();
        assert_eq!(store.run(1).unwrap(), None);
        assert_eq!(store.find(NAMESPACE, "a", None).unwrap(), None);
        assert_eq!(store.events(1, 1, 100).unwrap(), []);
        assert_eq!(store.events(2, 1, 100).unwrap().len(), 1);
    });
}

#[test]
fn listings_page_and_filter_alike() {
    on_each_store(|store| {
        let lease = seize(store);
        let runs = (1..=5).map(|seq| started(seq, &format!("w{seq}"), &format!("r{seq}"))).collect();
        store.commit(&commit(lease, runs)).unwrap();
        let close = RunCommit { status: 2, close_time: Some(500), ..RunCommit::default() };
        store.commit(&commit(lease, vec![changed(2, close)])).unwrap();
        let list = |filter: &Filter| -> Vec<i64> {
            let page = page(store, filter, None, 10);
            let count = store.visibility().count(NAMESPACE, filter, soon()).unwrap();
            assert_eq!(count, page.rows.len() as i64);
            page.rows.iter().map(|row| row.seq).collect()
        };
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(list(&Filter::All), [5, 4, 3, 2, 1]);
        assert_eq!(list(&Filter::IsNull(Field::CLOSE_TIME)), [5, 4, 3, 1]);
        assert_eq!(list(&Filter::Compare(Field::WORKFLOW_ID, Op::Equal, text("w3'; --"))), [0; 0]);
        assert_eq!(list(&Filter::In(Field::RUN_ID, vec![text("r1"), text("r5")])), [5, 1]);
        assert_eq!(list(&Filter::Compare(Field::WORKFLOW_ID, Op::StartsWith, text("w"))), [5, 4, 3, 2, 1]);
        assert_eq!(list(&Filter::Compare(Field::WORKFLOW_ID, Op::StartsWith, text("W"))), [0; 0]);
        // As in SQL, a missing close time passes neither a comparison nor its negation.
        let late = Filter::Compare(Field::CLOSE_TIME, Op::Greater, Value::Int(100));
        assert_eq!(list(&late), [2]);
        assert_eq!(list(&Filter::Not(Box::new(late.clone()))), [0; 0]);
        let early = Filter::Compare(Field::START_TIME, Op::LessOrEqual, Value::Int(20));
        assert_eq!(
            list(&Filter::And(vec![early.clone(), Filter::Not(Box::new(Filter::IsNull(Field::CLOSE_TIME)))])),
            [2]
        );
        assert_eq!(list(&Filter::Or(vec![late, early])), [2, 1]);
        assert_eq!(list(&Filter::Or(Vec::new())), [0; 0]);

        let first = page(store, &Filter::All, None, 2);
        assert_eq!(first.next.map(|cursor| cursor.seq), Some(4));
        let last_page = page(store, &Filter::All, Some(2), 2);
        assert_eq!((last_page.rows.len(), last_page.next), (1, None));
        assert_eq!(store.closed_before(0, NAMESPACE, 501, 10).unwrap(), [2]);
        assert_eq!(store.closed_before(0, NAMESPACE, 500, 10).unwrap(), [0; 0]);
    });
}

#[test]
fn namespaces_are_inserted_and_replaced() {
    on_each_store(|store| {
        let lease = seize(store);
        for data in [b"1", b"2"] {
            let namespaces = vec![("id".to_owned(), data.to_vec())];
            store.commit(&Commit { lease, namespaces, ..Commit::default() }).unwrap();
        }
        assert_eq!(store.namespaces().unwrap(), [("id".to_owned(), b"2".to_vec())]);
    });
}

/// Everything that a commit can change.
type Contents = (i64, Vec<OpenRun>, Vec<Option<StoredRun>>, Vec<(i64, Bytes)>, Vec<(String, Vec<u8>)>);

fn contents(store: &dyn Store) -> Contents {
    let runs = (1..4).map(|seq| store.run(seq).unwrap()).collect();
    let events = store.events(1, 1, i64::MAX).unwrap();
    (store.last_seq().unwrap(), open_runs(store), runs, events, store.namespaces().unwrap())
}

#[test]
fn a_failed_commit_changes_nothing() {
    on_each_store(|store| {
        let lease = seize(store);
        store.commit(&commit(lease, vec![started(1, "a", "r1"), started(2, "b", "r2")])).unwrap();
        let before = contents(store);
        let rows = vec![StateRow { kind: RowKind::Timer, id: 5, data: Some(Bytes::from_static(b"timer")) }];
        let events = Some((3, Bytes::from_static(b"events 3-4")));
        let good =
            changed(1, RunCommit { state: b"two".to_vec(), status: 2, rows, events, ..Default::default() });
        let same_events = Some((1, Bytes::from_static(b"other events 1-2")));
        let unfit = [
            ("a run that is not there", changed(9, RunCommit::default())),
            ("a number that is taken", started(2, "c", "r3")),
            ("events that are there", changed(1, RunCommit { events: same_events, ..Default::default() })),
        ];
        for (what, unfit) in unfit {
            let failing = Commit {
                lease,
                runs: vec![started(3, "c", "r3"), good.clone(), unfit],
                closes: vec![CloseRow { seq: 2, status: 3, close_time: 5 }],
                deletes: vec![2],
                namespaces: vec![("id".to_owned(), b"data".to_vec())],
                ..Commit::default()
            };
            let failed = store.commit(&failing);
            if failing.runs.last().is_some_and(|unfit| unfit.new.is_some()) {
                assert!(matches!(failed, Err(StoreError::Failed(_))), "{what}: {failed:?}");
            } else {
                let seq = failing.runs.last().map(|unfit| unfit.seq);
                assert!(
                    matches!(failed, Err(StoreError::Damaged { seq: named, .. }) if Some(named) == seq),
                    "{what}"
                );
            }
            assert_eq!(contents(store), before, "{what}");
        }
        store.commit(&commit(lease, vec![started(3, "c", "r3"), good])).unwrap();
        assert_eq!(store.run(1).unwrap().unwrap().rows.len(), 1);
    });
}

#[test]
fn a_file_reopens_with_its_state() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let store = SqliteStore::open(&path).unwrap();
    let lease = seize(&store);
    store.commit(&commit(lease, vec![started(1, "a", "r1")])).unwrap();
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(seize(&store), lease + 1);
    assert_eq!(store.run(1).unwrap().unwrap().state, b"one");
    assert_eq!(Arc::<str>::from("a"), store.run(1).unwrap().unwrap().row.key.workflow_id);
}

#[test]
fn a_file_that_is_not_ours_is_refused_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    let text = b"not a database, but rather long: ".repeat(200);
    std::fs::write(&path, &text).unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(OpenError::Corrupt { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), text);

    let path = directory.path().join("other.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(OpenError::Corrupt { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_newer_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    drop(SqliteStore::open(&path).unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(OpenError::NewerSchema { found: 99, .. })));
}

#[test]
fn a_damaged_file_is_named_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let store = SqliteStore::open(&path).unwrap();
    let lease = seize(&store);
    for seq in 1..200 {
        store.commit(&commit(lease, vec![started(seq, &format!("w{seq}"), "r")])).unwrap();
    }
    drop(store);
    let bytes = std::fs::read(&path).unwrap();
    let damaged: Vec<u8> =
        bytes.iter().enumerate().map(|(index, byte)| if index < 4096 { *byte } else { 0xA5 }).collect();
    std::fs::write(&path, damaged).unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(OpenError::Corrupt { .. })));
}

#[test]
fn a_missing_directory_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let opened = SqliteStore::open(&directory.path().join("none/state.db"));
    assert!(matches!(opened, Err(OpenError::DirectoryMissing { .. })));
}
