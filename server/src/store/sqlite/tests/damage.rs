//! Damage where it would be in everybody's way: the end of a table, an index, a namespace.

use super::*;

/// Where the leaves of a table or index are in the file, in their order.
fn leaves(path: &Path, name: &str) -> Vec<std::ops::Range<usize>> {
    let connection = Connection::open(path).unwrap();
    let sql = "SELECT pageno FROM dbstat WHERE name = ?1 AND pagetype = 'leaf' ORDER BY path";
    let mut statement = connection.prepare(sql).unwrap();
    let pages = statement.query_map([name], |row| row.get::<_, i64>(0)).unwrap();
    let pages = pages.map(|page| usize::try_from(page.unwrap()).unwrap());
    pages.map(|page| (page - 1) * PAGE..page * PAGE).collect()
}

/// Overwrites the last leaf of a table or index.
fn break_last_leaf(path: &Path, name: &str) {
    let last = leaves(path, name).pop().unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[last].fill(0xA5);
    fs::write(path, bytes).unwrap();
}

/// The whole runs with new state, rows and events.
fn changed(random: &mut SmallRng, seqs: impl Iterator<Item = i64>) -> Vec<RunWrite> {
    let change = |seq| {
        let RunWrite { change, .. } = write(random, seq);
        let events = change.events.map(|(_, events)| (50, events));
        RunWrite { seq, new: None, change: RunCommit { events, ..change } }
    };
    seqs.map(change).collect()
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

/// Puts something else of the same length into an index: nothing in the structure of the page tells.
fn forge(path: &Path, index: &str, from: &[u8], to: &[u8]) {
    let pages = leaves(path, index);
    let mut bytes = fs::read(path).unwrap();
    let mut forged = 0;
    for page in pages {
        let page = &mut bytes[page];
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
    forge(&path, "runs_by_workflow_id", b"workflow-60ns", b"workflow-6!ns");
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
    forge(&path, "runs_by_workflow_id", b"workflow-61ns", b"workflow-60ns");
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

#[test]
fn retention_deletes_no_run_that_only_an_index_has_closed() {
    let directory = tempfile::tempdir().unwrap();
    let (path, store) = filled(&directory);
    drop(store);
    // Namespace, time and number of the run that closed last but four; and of an open one.
    forge(&path, "closed_runs", &[b'n', b's', 61, 61], &[b'n', b's', 61, 60]);
    let store = SqliteStore::open(&path).unwrap();
    let closed = store.closed_before(0, "ns", 1_000, 1_000).unwrap();
    assert_eq!(closed.len() as i64, RUNS / 2 - 1);
    assert!(closed.iter().all(|seq| seq % 2 == 1), "{closed:?}");
    // Nor one whose row says so and does not fit its checksum.
    drop(store);
    Connection::open(&path).unwrap().execute_batch("UPDATE runs SET close_time = 1 WHERE seq = 60").unwrap();
    let store = SqliteStore::open(&path).unwrap();
    assert!(!store.closed_before(0, "ns", 1_000, 1_000).unwrap().contains(&60));
}

#[test]
fn a_broken_page_in_the_middle_stays_with_its_runs() {
    for (name, byte, most_lost) in
        [("runs", 0, 8), ("runs", 0xA5, 8), ("history", 0, 8), ("history", 0xA5, 8), ("run_rows", 0, 40)]
    {
        let directory = tempfile::tempdir().unwrap();
        let (path, store) = filled(&directory);
        let before = read_all(&store);
        drop(store);
        let pages = leaves(&path, name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[pages[pages.len() / 2].clone()].fill(byte);
        fs::write(&path, bytes).unwrap();

        let store = SqliteStore::open(&path).unwrap();
        let lease = seize(&store);
        let random = &mut SmallRng::seed_from_u64(9);
        let mut batch = changed(random, 1..=RUNS);
        // One run that cannot be written is named. As a shard does, the others are read back, and go on.
        match store.commit(&Commit { lease, runs: batch.clone(), ..Commit::default() }) {
            Err(StoreError::Damaged { seq, .. }) => assert!((1..=RUNS).contains(&seq)),
            other => panic!("{name}: {other:?}"),
        }
        let is_whole =
            |seq| store.run(seq).is_ok_and(|run| run.is_some()) && store.events(seq, 1, 99).is_ok();
        let lost: Vec<i64> = (1..=RUNS).filter(|seq| !is_whole(*seq)).collect();
        assert!((1..=most_lost).contains(&lost.len()), "{name}: {lost:?}");
        batch.retain(|write| !lost.contains(&write.seq));
        store.commit(&Commit { lease, runs: batch.clone(), ..Commit::default() }).unwrap();
        for RunWrite { seq, change, .. } in &batch {
            let found = store.run(*seq).unwrap().unwrap();
            assert_eq!((&found.state, &found.row.key), (&change.state, &before[seq].0.row.key), "{name}");
            let (_, events) = change.events.clone().unwrap();
            assert_eq!(
                store.events(*seq, 1, 99).unwrap(),
                [before[seq].1.clone(), vec![(50, events)]].concat()
            );
        }
        // Those that are lost are found by their names, closed, and deleted; others are among them.
        for seq in &lost {
            assert_eq!(store.find("ns", &format!("workflow-{seq}"), None).unwrap(), Some(*seq), "{name}");
        }
        let closes = lost.iter().map(|seq| CloseRow { seq: *seq, status: 5, close_time: 7 }).collect();
        let runs = (RUNS + 1..=RUNS + 50).map(|seq| write(random, seq)).collect();
        store.commit(&Commit { lease, runs, closes, ..Commit::default() }).unwrap();
        assert!(lost.iter().all(|seq| store.unverified(*seq).1), "{name}");
        store.commit(&Commit { lease, deletes: lost.clone(), ..Commit::default() }).unwrap();
        assert_eq!(listed(&store).len() as i64, RUNS + 50 - lost.len() as i64, "{name}");
        drop(store);
        let check: String = Connection::open(&path)
            .unwrap()
            .query_row("SELECT count(*) || ' ' || max(seq) FROM runs NOT INDEXED", [], |row| row.get(0))
            .unwrap();
        assert_eq!(check, format!("{} {}", RUNS + 50 - lost.len() as i64, RUNS + 50));
    }
}

/// The runs that are damaged can be got rid of even when nothing else has met the damage before.
#[test]
fn a_run_on_a_broken_page_is_closed_and_deleted() {
    for name in ["runs", "history", "run_rows"] {
        for delete in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let (path, store) = filled(&directory);
            drop(store);
            let pages = leaves(&path, name);
            let mut bytes = fs::read(&path).unwrap();
            bytes[pages[pages.len() / 2].clone()].fill(0);
            fs::write(&path, bytes).unwrap();
            let store = SqliteStore::open(&path).unwrap();
            let lease = seize(&store);
            let is_whole = |seq| store.run(seq).is_ok() && store.events(seq, 1, 99).is_ok();
            let seq = (1..=RUNS).find(|seq| !is_whole(*seq)).unwrap();
            let mut commit = Commit { lease, ..Commit::default() };
            if delete {
                commit.deletes.push(seq);
            } else {
                commit.closes.push(CloseRow { seq, status: 5, close_time: 7 });
            }
            store.commit(&commit).unwrap();
            let left = store.find("ns", &format!("workflow-{seq}"), None).unwrap();
            assert_eq!(left, (!delete).then_some(seq), "{name}");
            assert!(delete || store.unverified(seq).1, "{name}");
        }
    }
}

#[test]
fn pages_that_change_places_mislead_nobody() {
    // What is in another table can't be told from what was never there.
    for (name, second, most_damaged) in [
        ("runs", "runs", 0),
        ("history", "history", 0),
        ("run_rows", "run_rows", 60),
        ("runs", "history", 8),
        ("history", "runs", 8),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (path, store) = filled(&directory);
        let (before, open) = (read_all(&store), open_seqs_of(&store));
        drop(store);
        let mut bytes = fs::read(&path).unwrap();
        let (one, other) = (leaves(&path, name)[1].clone(), leaves(&path, second));
        let other = other[other.len() - 2].clone();
        let kept = bytes[one.clone()].to_vec();
        bytes.copy_within(other.clone(), one.start);
        bytes[other].copy_from_slice(&kept);
        fs::write(&path, bytes).unwrap();

        let store = SqliteStore::open(&path).unwrap();
        // One of which only the name is left counts as open.
        assert!(open_seqs_of(&store).len() >= open.len(), "{name}");
        let mut damaged = 0;
        for (seq, (run, events)) in &before {
            let found = store.find("ns", &format!("workflow-{seq}"), None);
            assert_eq!(found.unwrap(), Some(*seq), "{name}");
            match store.run(*seq) {
                Ok(Some(found)) => assert_eq!(&found, run, "{name}"),
                Err(StoreError::Damaged { .. }) => damaged += 1,
                other => panic!("{name}: {other:?}"),
            }
            match store.events(*seq, 1, 99) {
                // Whoever asks for events knows how many there are.
                Ok(found) => assert!(found.is_empty() || &found == events, "{name}: run {seq}"),
                Err(StoreError::Damaged { seq: named, .. }) => assert_eq!(named, *seq),
                Err(error) => panic!("{name}: {error}"),
            }
        }
        assert!(damaged <= most_damaged, "{name}: {damaged}");
        // Nothing goes with a run that is deleted but what is its own.
        let lease = seize(&store);
        let rows = |table: &str| -> i64 {
            let reader = store.reader().unwrap();
            reader
                .query_row(&format!("SELECT count(*) FROM {table} NOT INDEXED"), [], |row| row.get(0))
                .unwrap()
        };
        for seq in (1..=RUNS).step_by(3) {
            let before = ["history", "run_rows"].map(rows);
            store.commit(&Commit { lease, deletes: vec![seq], ..Commit::default() }).unwrap();
            let after = ["history", "run_rows"].map(rows);
            assert!(
                before.iter().zip(&after).all(|(before, after)| before - after <= 1),
                "{name}: run {seq}"
            );
        }
        // What a commit meets is put right, and nothing is lost.
        let random = &mut SmallRng::seed_from_u64(9);
        let runs = changed(random, (1..=RUNS).filter(|seq| seq % 3 != 1));
        let committed = store.commit(&Commit { lease, runs, ..Commit::default() });
        assert!(matches!(committed, Ok(()) | Err(StoreError::Damaged { .. })), "{name}: {committed:?}");
    }
}

/// A run that was read back as it was long ago writes what is there already: it is named, and stops no other.
#[test]
fn a_run_that_writes_its_history_again_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (_, store) = filled(&directory);
    let lease = seize(&store);
    let random = &mut SmallRng::seed_from_u64(9);
    let mut runs = changed(random, 4..7);
    runs[1].change.events = Some((1, Bytes::from_static(b"other")));
    match store.commit(&Commit { lease, runs, ..Commit::default() }) {
        Err(StoreError::Damaged { seq: 5, what }) => assert!(what.contains("already"), "{what}"),
        other => panic!("{other:?}"),
    }
}
