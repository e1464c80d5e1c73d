//! What is particular to a file: damage, a lost log, other names, other users, and crashes in the middle of a migration.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use tempfile::TempDir;

use super::*;
use crate::store::{CloseRow, Filter, Listing, NewRow, RowKind, RunCommit, RunRow, StateRow, tests::seize};

mod damage;
mod log;

const RUNS: i64 = 120;
const PAGE: usize = 4_096;

fn write(random: &mut SmallRng, seq: i64) -> RunWrite {
    let blob = |random: &mut SmallRng, most: usize| -> Vec<u8> {
        let length = random.random_range(1..most);
        (0..length).map(|_| random.random()).collect()
    };
    let new = NewRow {
        key: RunKey {
            namespace_id: "ns".into(),
            workflow_id: format!("workflow-{seq}").into(),
            run_id: format!("run-{seq}").into(),
        },
        workflow_type: "Order".into(),
        task_queue: "orders".into(),
        start_time: seq,
        execution_time: seq,
        ancestors: None,
    };
    let open = seq % 2 == 0;
    let change = RunCommit {
        state: blob(random, 900),
        rows: vec![StateRow { kind: RowKind::Timer, id: seq, data: Some(blob(random, 300).into()) }],
        events: Some((1, blob(random, 2_000).into())),
        status: if open { 1 } else { 2 },
        close_time: (!open).then_some(seq),
        runnable: open,
        ..RunCommit::default()
    };
    RunWrite { seq, new: Some(new), change }
}

fn namespaces() -> Vec<(String, Vec<u8>)> {
    ["ns", "other"].map(|id| (id.to_owned(), format!("what is known of {id}").into_bytes())).into()
}

fn filled(directory: &TempDir) -> (PathBuf, SqliteStore) {
    let path = directory.path().join("state.db");
    let store = SqliteStore::open(&path).unwrap();
    let lease = seize(&store);
    let random = &mut SmallRng::seed_from_u64(1);
    let runs = (1..=RUNS).map(|seq| write(random, seq)).collect();
    store.commit(&Commit { lease, runs, namespaces: namespaces(), ..Commit::default() }).unwrap();
    (path, store)
}

type Runs = BTreeMap<i64, (StoredRun, Vec<(i64, Bytes)>)>;

fn read_all(store: &SqliteStore) -> Runs {
    let read = |seq| (seq, (store.run(seq).unwrap().unwrap(), store.events(seq, 1, 99).unwrap()));
    (1..=RUNS).map(read).collect()
}

fn open_seqs_of(store: &SqliteStore) -> Vec<OpenRun> {
    let mut open = Vec::new();
    let pushed = store.open_runs(0, &mut |run| {
        open.push(run);
        ControlFlow::Continue(())
    });
    pushed.unwrap();
    open
}

fn listed(store: &SqliteStore) -> Vec<RunRow> {
    let listing = Listing { namespace_id: "ns", filter: &Filter::All, order: None, after: None };
    store.visibility().list(&listing, 1_000, Instant::now() + Duration::from_mins(1)).unwrap().rows
}

fn names(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_changed_value_is_an_error_of_its_run_alone() {
    for (sql, what) in [
        ("UPDATE runs SET state = x'00' WHERE seq = 4", "state"),
        ("UPDATE runs SET next_due = 7 WHERE seq = 4", "progress"),
        ("UPDATE runs SET status = 3 WHERE seq = 4", "progress"),
        ("UPDATE runs SET workflow_id = 'workflow-5' WHERE seq = 4", "names"),
        ("UPDATE runs SET memo = x'' WHERE seq = 4", "attributes"),
        ("UPDATE run_rows SET data = x'00' WHERE seq = 4", "pending work"),
        ("UPDATE run_rows SET seq = 4, id = 999 WHERE seq = 5", "pending work"),
        ("UPDATE run_rows SET seq = 999 WHERE seq = 4", "list of pending work"),
        ("DELETE FROM run_rows WHERE seq = 4", "list of pending work"),
        ("UPDATE runs SET rows_crc = rows_crc + 1 WHERE seq = 4", "list of pending work"),
        ("UPDATE history SET events = x'00' WHERE id >> 24 = 4", "events"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (path, store) = filled(&directory);
        let (before, open) = (read_all(&store), open_seqs_of(&store));
        drop(store);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();

        let store = SqliteStore::open(&path).unwrap();
        let read = store.run(4).and_then(|_| store.events(4, 1, 99));
        match read {
            Err(StoreError::Damaged { seq: 4, what: told }) => assert!(told.contains(what), "{sql}: {told}"),
            read => panic!("{sql}: {read:?}"),
        }
        for (seq, (run, events)) in before.iter().filter(|(seq, _)| ![4, 5].contains(*seq)) {
            assert_eq!(store.run(*seq).unwrap().as_ref(), Some(run), "{sql}");
            assert_eq!(&store.events(*seq, 1, 99).unwrap(), events, "{sql}");
        }
        // Whatever happened to it, an open run that is damaged is among those that a driver loads.
        if what != "progress" || sql.contains("next_due") {
            assert_eq!(open_seqs_of(&store).len(), open.len(), "{sql}");
        }
        assert!(listed(&store).len() >= RUNS as usize - 1, "{sql}");
        assert_eq!(store.unverified(6), (before[&6].0.row.key.clone(), false));
    }
}

/// Forty and more files with a damage somewhere: what is read is what was written, or an error.
/// Whatever is damaged, new runs begin.
fn assert_new_runs_begin(store: &SqliteStore, new: RunWrite, seed: u64) {
    let (lease, seq) = (seize(store), new.seq);
    let begun = store.commit(&Commit { lease, runs: vec![new], ..Commit::default() });
    assert!(begun.is_ok(), "seed {seed}: {begun:?}");
    assert!(store.run(seq).unwrap().is_some(), "seed {seed}");
}

#[test]
fn damage_anywhere_is_noticed_and_stays_where_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (path, store) = filled(&directory);
    let (before, all_listed) = (read_all(&store), listed(&store));
    drop(store);
    let whole = fs::read(&path).unwrap();
    let (mut refused, mut noticed, mut lost, mut incomplete, mut all_readable) = (0, 0, 0, 0, 0);
    for seed in 0..60 {
        let random = &mut SmallRng::seed_from_u64(seed);
        let mut bytes = whole.clone();
        let length = *[1, 16, 512, 4_096].get(random.random_range(0..4)).unwrap();
        // The first page says what tables there are: without it there is no file.
        let from = random.random_range(4_096..bytes.len() - length);
        for byte in &mut bytes[from..from + length] {
            *byte ^= random.random_range(1..=255_u8);
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        fs::write(&path, &bytes).unwrap();
        let store = match SqliteStore::open(&path) {
            Ok(store) => store,
            Err(error) => {
                assert!(matches!(error, OpenError::Corrupt { .. }), "seed {seed}: {error:?}");
                refused += 1;
                continue;
            }
        };
        assert_eq!(store.namespaces().unwrap(), namespaces(), "seed {seed}");
        let mut readable = 0;
        for (seq, (run, events)) in &before {
            match store.run(*seq) {
                Ok(Some(found)) => {
                    assert_eq!(&found, run, "seed {seed}");
                    let key = &run.row.key;
                    let found = store.find(&key.namespace_id, &key.workflow_id, None);
                    assert_eq!(found.unwrap(), Some(*seq), "seed {seed}: the index does not lead to it");
                    readable += 1;
                }
                Ok(None) => lost += 1,
                Err(StoreError::Damaged { seq: named, .. }) => {
                    assert_eq!(named, *seq);
                    noticed += 1;
                }
                Err(error) => panic!("seed {seed}: {error}"),
            }
            match store.events(*seq, 1, 99) {
                Ok(found) => assert!(found.is_empty() || &found == events, "seed {seed}: run {seq}"),
                Err(StoreError::Damaged { seq: named, .. }) => assert_eq!(named, *seq),
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
        let found = listed(&store);
        assert!(found.iter().all(|row| all_listed.contains(row)), "seed {seed}");
        incomplete += i32::from(found.len() < readable);
        all_readable += readable;
        open_seqs_of(&store);
        let highest = store.last_seq().unwrap_or(RUNS);
        assert!(highest >= RUNS || lost > 0, "seed {seed}: {highest} would be given out again");
        let new = write(random, RUNS + 1);
        assert_new_runs_begin(&store, new, seed);
    }
    assert!(refused <= 6, "{refused} of 60 files were refused");
    assert!(noticed > 20, "{noticed}");
    // A damage in the root of a table takes half of it along; all others a few runs.
    assert!(all_readable > (60 - refused) * RUNS as usize * 9 / 10, "{all_readable}");
    assert!(incomplete <= 2, "{incomplete} listings lack runs that can be read");
}

#[test]
fn a_file_without_its_log_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (path, store) = filled(&directory);
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("state.db");
    fs::copy(&path, &copy).unwrap();
    let refused = SqliteStore::open(&copy).err().unwrap();
    assert!(matches!(refused, OpenError::LogMissing { .. }), "{refused:?}");
    assert!(refused.to_string().contains("touch"), "{refused}");
    assert_eq!(names(&elsewhere), ["state.db"]);
    // With the log, all is there.
    fs::copy(directory.path().join("state.db-wal"), elsewhere.path().join("state.db-wal")).unwrap();
    let copied = SqliteStore::open(&copy).unwrap();
    assert_eq!(read_all(&copied), read_all(&store));
    drop(copied);
    // Who knows better says so.
    fs::copy(&path, &copy).unwrap();
    fs::write(elsewhere.path().join("state.db-wal"), "").unwrap();
    let opened = SqliteStore::open(&copy).unwrap();
    assert_eq!(opened.last_seq().unwrap(), 0, "the log was never put into the file");
}

#[test]
fn closing_leaves_one_file_that_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let (path, store) = filled(&directory);
    let before = read_all(&store);
    store.close();
    assert_eq!(names(&directory), ["state.db"]);
    assert!(matches!(store.run(1), Err(StoreError::Closed)));
    assert!(matches!(store.commit(&Commit::default()), Err(StoreError::Closed)));
    assert_eq!(read_all(&SqliteStore::open(&path).unwrap()), before);
}

#[test]
fn what_was_left_before_a_file_was_whole_is_never_taken_for_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    fs::write(&path, "").unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(OpenError::Empty { .. })));
    // As an earlier release left it when its log was lost: a header and nothing else.
    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("PRAGMA journal_mode = wal").unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(OpenError::Empty { .. })));
    // A crash while a file was made leaves it under another name.
    fs::remove_file(&path).unwrap();
    fs::write(directory.path().join("state.db.new"), "half").unwrap();
    drop(SqliteStore::open(&path).unwrap());
    assert_eq!(names(&directory), ["state.db"]);
}

#[test]
fn state_is_for_its_user_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (path, store) = filled(&directory);
    let modes = || -> Vec<u32> {
        let mode = |name| fs::metadata(directory.path().join(name)).unwrap().permissions().mode() & 0o777;
        names(&directory).iter().map(mode).collect()
    };
    assert_eq!(names(&directory), ["state.db", "state.db-shm", "state.db-wal"]);
    assert_eq!(modes(), [0o600; 3]);
    drop(store);
    // As earlier releases made it.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let _store = SqliteStore::open(&path).unwrap();
    assert_eq!(modes(), [0o600; 3]);
}

#[test]
fn a_file_of_two_names_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (path, store) = filled(&directory);
    drop(store);
    let other = directory.path().join("other.db");
    fs::hard_link(&path, &other).unwrap();
    for name in [&path, &other] {
        let refused = SqliteStore::open(name).err().unwrap();
        assert!(matches!(refused, OpenError::Linked { links: 2, .. }), "{refused:?}");
    }
    fs::remove_file(&other).unwrap();
    SqliteStore::open(&path).unwrap();
}

#[test]
fn nothing_is_acknowledged_once_the_file_is_gone() {
    for (name, moved) in [("state.db", false), ("state.db", true), ("state.db-wal", false)] {
        let directory = tempfile::tempdir().unwrap();
        let (path, store) = filled(&directory);
        let lease = seize(&store);
        let random = &mut SmallRng::seed_from_u64(2);
        let start = |random: &mut SmallRng, seq| {
            store.commit(&Commit { lease, runs: vec![write(random, seq)], ..Commit::default() })
        };
        start(random, RUNS + 1).unwrap();
        let taken = directory.path().join(name);
        if moved {
            fs::rename(&taken, directory.path().join("moved.db")).unwrap();
        } else {
            fs::remove_file(&taken).unwrap();
        }
        for seq in [RUNS + 2, RUNS + 3] {
            match start(random, seq) {
                Err(StoreError::Gone(told)) => assert!(told.contains(name), "{told}"),
                other => panic!("{name}: {other:?}"),
            }
        }
        if moved {
            fs::rename(directory.path().join("moved.db"), &path).unwrap();
            start(random, RUNS + 4).unwrap();
        }
    }
}

#[test]
fn nothing_is_acknowledged_once_something_is_cut_off() {
    for (name, left) in [("state.db", 0), ("state.db", 40_960), ("state.db-wal", 0), ("state.db-wal", 12_392)]
    {
        let directory = tempfile::tempdir().unwrap();
        let (_, store) = filled(&directory);
        let lease = seize(&store);
        let random = &mut SmallRng::seed_from_u64(2);
        if name == "state.db" {
            file::checkpoint(&store.writer().unwrap()).unwrap();
        }
        store.in_place().unwrap();
        let cut = fs::OpenOptions::new().write(true).open(directory.path().join(name)).unwrap();
        assert!(cut.metadata().unwrap().len() > left);
        cut.set_len(left).unwrap();
        for seq in [RUNS + 1, RUNS + 2] {
            match store.commit(&Commit { lease, runs: vec![write(random, seq)], ..Commit::default() }) {
                Err(StoreError::Gone(told)) => assert!(told.contains("cut off"), "{told}"),
                other => panic!("{name}: {other:?}"),
            }
        }
        // Whatever is put in its place.
        cut.set_len(1 << 20).unwrap();
        assert!(matches!(store.in_place(), Err(StoreError::Gone(_))), "{name}");
    }
}

#[test]
fn another_program_may_put_the_log_into_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let (path, store) = filled(&directory);
    let lease = seize(&store);
    let random = &mut SmallRng::seed_from_u64(2);
    for seq in RUNS + 1..RUNS + 4 {
        file::checkpoint(&Connection::open(&path).unwrap()).unwrap();
        assert_eq!(fs::metadata(directory.path().join("state.db-wal")).unwrap().len(), 0);
        store.in_place().unwrap();
        store.commit(&Commit { lease, ..Commit::default() }).unwrap();
        store.commit(&Commit { lease, runs: vec![write(random, seq)], ..Commit::default() }).unwrap();
    }
    store.in_place().unwrap();
}

/// Copies what a crash at this moment would leave on disk.
fn snapshot(path: &Path, number: usize) {
    let directory = path.with_file_name(format!("crash-{number}"));
    fs::create_dir(&directory).unwrap();
    for name in ["state.db", "state.db-wal"] {
        let part = path.with_file_name(name);
        if part.exists() {
            fs::copy(part, directory.join(name)).unwrap();
        }
    }
}

#[test]
fn a_migration_survives_a_crash_after_each_statement() {
    let first = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/states/v1.db");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    fs::copy(first, &path).unwrap();
    let mut connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA journal_mode = wal; PRAGMA synchronous = full").unwrap();
    let runs: i64 = connection.query_row("SELECT count(*) FROM runs", [], |row| row.get(0)).unwrap();
    let mut crashes = 0;
    schema::migrate(&mut connection, 1, &mut || {
        snapshot(&path, crashes);
        crashes += 1;
    })
    .unwrap();
    assert!(crashes > 10, "{crashes}");
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    for number in 0..crashes {
        let copy = directory.path().join(format!("crash-{number}/state.db"));
        let store = SqliteStore::open(&copy).unwrap();
        for seq in 1..=runs {
            let run = store.run(seq).unwrap().unwrap();
            assert!(
                !store.events(seq, 1, i64::MAX).unwrap().is_empty(),
                "crash {number}, run {}",
                run.row.seq
            );
        }
        let lease = seize(&store);
        let new = write(&mut SmallRng::seed_from_u64(3), runs + 1);
        store.commit(&Commit { lease, runs: vec![new], ..Commit::default() }).unwrap();
        drop(store);
        let reached: u32 = Connection::open(&copy)
            .unwrap()
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        assert_eq!(reached, version, "crash {number}");
    }
}

#[test]
fn retention_finds_closed_runs_by_an_index() {
    let directory = tempfile::tempdir().unwrap();
    let (_, store) = filled(&directory);
    assert_eq!(store.closed_before(0, "ns", 6, 10).unwrap(), [1, 3, 5]);
    assert_eq!(store.closed_before(0, "ns", 1_000, 2).unwrap(), [1, 3]);
    assert_eq!(store.closed_before(0, "other", 6, 10).unwrap(), [0; 0]);
    let reader = store.reader().unwrap();
    let plan: String = reader
        .query_row(
            "EXPLAIN QUERY PLAN SELECT seq FROM runs INDEXED BY closed_runs WHERE shard = 0 AND namespace_id = 'n' \
             AND close_time < 1 ORDER BY close_time LIMIT 1",
            [],
            |row| row.get("detail"),
        )
        .unwrap();
    assert!(
        plan.contains("COVERING INDEX closed_runs (shard=? AND namespace_id=? AND close_time<?)"),
        "{plan}"
    );
}

/// As when the disk is full.
#[test]
fn a_file_whose_mark_stays_keeps_its_log() {
    let directory = tempfile::tempdir().unwrap();
    let (path, store) = filled(&directory);
    let before = read_all(&store);
    {
        let writer = store.writer().unwrap();
        file::checkpoint(&writer).unwrap();
        writer.execute_batch("PRAGMA query_only = on").unwrap();
    }
    drop(store);
    assert_eq!(read_all(&SqliteStore::open(&path).unwrap()), before);
}

/// An earlier release must refuse a file whose runs it can't read, and not each of its runs.
#[test]
fn a_new_format_of_runs_is_a_new_version_of_the_file() {
    assert_eq!((schema::VERSION, crate::engine::state::FORMAT), (7, 3), "they rise together");
}
