//! Damage where it would be in everybody's way: the end of a table, an index, a namespace.

use super::*;

/// Overwrites the last leaf of a table or index.
fn break_last_leaf(path: &Path, name: &str) {
    let connection = Connection::open(path).unwrap();
    let sql = "SELECT pageno FROM dbstat WHERE name = ?1 AND pagetype = 'leaf' ORDER BY path DESC LIMIT 1";
    let page: i64 = connection.query_row(sql, [name], |row| row.get(0)).unwrap();
    let page = usize::try_from(page).unwrap();
    drop(connection);
    let mut bytes = fs::read(path).unwrap();
    bytes[(page - 1) * PAGE..page * PAGE].fill(0xA5);
    fs::write(path, bytes).unwrap();
}

/// What is there of each run is what was written. How many can be read.
fn check_all(store: &SqliteStore, before: &Runs, what: &str) -> usize {
    let mut readable = 0;
    for (seq, (run, events)) in before {
        let read = store.run(*seq).and_then(|run| Ok((run, store.events(*seq, 1, 99)?)));
        match read {
            Ok((Some(found), batches)) => {
                assert_eq!(&found, run, "{what}");
                assert_eq!(&batches, events, "{what}");
                readable += 1;
            }
            Ok((None, _)) => panic!("{what}: run {seq} has gone without a word"),
            Err(StoreError::Damaged { seq: named, .. }) => assert_eq!(named, *seq, "{what}"),
            Err(error) => panic!("{what}: run {seq}: {error}"),
        }
    }
    readable
}

#[test]
fn a_broken_end_of_a_table_or_index_is_in_nobodys_way() {
    for (name, most_lost) in [
        ("runs", 8),
        ("history", 8),
        ("run_rows", 40),
        ("runs_by_workflow_id", 0),
        ("open_runs", 0),
        ("closed_runs", 0),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (path, store) = filled(&directory);
        let (before, open) = (read_all(&store), open_seqs_of(&store));
        drop(store);
        break_last_leaf(&path, name);

        let store = SqliteStore::open(&path).unwrap();
        let readable = check_all(&store, &before, name);
        assert!(readable + most_lost >= before.len(), "{name}: {readable}");
        let lease = seize(&store);
        let random = &mut SmallRng::seed_from_u64(9);
        let new: Vec<_> = (RUNS + 1..=RUNS + 50).map(|seq| write(random, seq)).collect();
        store.commit(&Commit { lease, runs: new, ..Commit::default() }).unwrap();
        assert!(open_seqs_of(&store).len() >= open.len() + 25, "{name}");
        for seq in [RUNS + 1, RUNS + 50] {
            assert_eq!(store.find("ns", &format!("workflow-{seq}"), None).unwrap(), Some(seq), "{name}");
        }
        assert!(listed(&store).len() >= readable + 50, "{name}");
        // What was named as damaged stays so, and everything else stays whole.
        drop(store);
        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(check_all(&store, &before, name), readable, "{name}");
        assert_eq!(store.last_seq().unwrap(), RUNS + 50, "{name}");
        // A run of which nothing is left but its name is found by it, and somebody may close it.
        let lost = before.keys().rev().find(|seq| store.run(**seq).is_err());
        if let Some(seq) = lost {
            assert_eq!(store.find("ns", &format!("workflow-{seq}"), None).unwrap(), Some(*seq), "{name}");
            let lease = seize(&store);
            let closes = vec![CloseRow { seq: *seq, status: 5, close_time: 7 }];
            store.commit(&Commit { lease, closes, ..Commit::default() }).unwrap();
            assert!(open_seqs_of(&store).iter().all(|run| run.seq != *seq || name == "runs"), "{name}");
        }
    }
}

/// Puts another name of the same length into an index: nothing in the structure of the page tells.
fn forge(path: &Path, from: &[u8], to: &[u8]) {
    let connection = Connection::open(path).unwrap();
    let sql = "SELECT pageno FROM dbstat WHERE name = 'runs_by_workflow_id' AND pagetype = 'leaf'";
    let mut statement = connection.prepare(sql).unwrap();
    let pages = statement.query_map([], |row| row.get::<_, i64>(0)).unwrap();
    let pages: Vec<usize> = pages.map(|page| usize::try_from(page.unwrap()).unwrap()).collect();
    drop(statement);
    drop(connection);
    let mut bytes = fs::read(path).unwrap();
    let mut forged = 0;
    for page in pages {
        let page = &mut bytes[(page - 1) * PAGE..page * PAGE];
        for at in 0..PAGE - from.len() {
            if page[at..].starts_with(from) {
                page[at..at + to.len()].copy_from_slice(to);
                forged += 1;
            }
        }
    }
    assert_eq!(forged, 1);
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_index_that_lacks_a_run_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (path, store) = filled(&directory);
    drop(store);
    forge(&path, b"workflow-60ns", b"workflow-6!ns");
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.find("ns", "workflow-60", None).unwrap(), None);
    // Whoever loads the run finds that nobody could.
    store.run(60).unwrap();
    assert_eq!(store.find("ns", "workflow-60", None).unwrap(), Some(60));
    assert_eq!(store.find("ns", "workflow-6!", None).unwrap(), None);
}

#[test]
fn an_index_that_leads_to_another_run_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (path, store) = filled(&directory);
    drop(store);
    forge(&path, b"workflow-61ns", b"workflow-60ns");
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.find("ns", "workflow-60", None).unwrap(), Some(60));
    assert_eq!(store.find("ns", "workflow-61", None).unwrap(), Some(61));
}

#[test]
fn a_namespace_that_is_damaged_is_read_from_its_copy() {
    for sql in [
        "UPDATE namespaces SET data = x'00' WHERE id = 'ns'",
        "UPDATE namespace_copies SET data = x'00' WHERE id = 'ns'",
        "UPDATE namespaces SET id = 'sn' WHERE id = 'ns'",
        "DELETE FROM namespaces",
        "DELETE FROM namespace_copies WHERE id = 'other'",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (path, store) = filled(&directory);
        drop(store);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(store.namespaces().unwrap(), namespaces(), "{sql}");
        assert_eq!(store.damaged_namespaces().unwrap(), [], "{sql}");
    }
    for name in ["namespaces", "namespace_copies"] {
        let directory = tempfile::tempdir().unwrap();
        let (path, store) = filled(&directory);
        drop(store);
        break_last_leaf(&path, name);
        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(store.namespaces().unwrap(), namespaces(), "{name}");
        let lease = seize(&store);
        let third = vec![("third".to_owned(), b"new".to_vec())];
        store.commit(&Commit { lease, namespaces: third, ..Commit::default() }).unwrap();
        assert_eq!(store.namespaces().unwrap().len(), 3, "{name}");
    }
}

#[test]
fn a_namespace_that_is_damaged_in_both_places_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (path, store) = filled(&directory);
    drop(store);
    let sql = "UPDATE namespaces SET data = x'00' WHERE id = 'ns'; \
               UPDATE namespace_copies SET data = x'01' WHERE id = 'ns'";
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.namespaces().unwrap(), namespaces()[1..]);
    let damaged = store.damaged_namespaces().unwrap();
    assert_eq!(damaged.len(), 1);
    assert_eq!(damaged[0].id, "ns");
}
