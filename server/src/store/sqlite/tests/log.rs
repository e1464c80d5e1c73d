//! A log that a disk has changed, and one that a power loss has torn.

use super::*;

const COMMITS: i64 = 60;
const SECTOR: usize = 512;

fn log_of(path: &Path) -> PathBuf {
    path.with_file_name("state.db-wal")
}

/// A store whose commits are all in the log, each a new run and a change of an older one. Where they end in it.
fn committed(directory: &TempDir) -> (PathBuf, SqliteStore, i64, Vec<usize>) {
    let path = directory.path().join("state.db");
    let store = SqliteStore::open(&path).unwrap();
    let lease = seize(&store);
    let random = &mut SmallRng::seed_from_u64(5);
    let mut ends = Vec::new();
    for seq in 1..=COMMITS {
        let mut runs = vec![write(random, seq)];
        if seq > 1 {
            let older = random.random_range(1..seq);
            let RunWrite { change, .. } = write(random, older);
            runs.push(RunWrite { seq: older, new: None, change: RunCommit { events: None, ..change } });
        }
        store.commit(&Commit { lease, runs, namespaces: namespaces(), ..Commit::default() }).unwrap();
        ends.push(fs::read(log_of(&path)).unwrap().len());
    }
    (path, store, lease, ends)
}

/// What SIGKILL would leave.
fn left_behind(path: &Path) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("state.db");
    fs::copy(path, &copy).unwrap();
    fs::copy(log_of(path), log_of(&copy)).unwrap();
    (directory, copy)
}

fn all_runs(store: &SqliteStore) -> BTreeMap<i64, StoredRun> {
    (1..=COMMITS).filter_map(|seq| Some((seq, store.run(seq).unwrap()?))).collect()
}

#[test]
fn a_changed_byte_of_the_log_is_not_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let (path, store, _, ends) = committed(&directory);
    let before = all_runs(&store);
    // Of the last two commits it can't be told whether they were torn.
    let sure = ends[ends.len() - 3];
    for seed in 0..24 {
        let random = &mut SmallRng::seed_from_u64(seed);
        let (_directory, copy) = left_behind(&path);
        let mut bytes = fs::read(log_of(&copy)).unwrap();
        let at = if seed < 8 { random.random_range(0..60) } else { random.random_range(60..sure) };
        bytes[at] ^= random.random_range(1..=255_u8);
        fs::write(log_of(&copy), &bytes).unwrap();
        match SqliteStore::open(&copy).err() {
            Some(OpenError::LogDamaged { offset, changes, .. }) => {
                assert!(
                    offset as usize <= at && at < offset as usize + PAGE + 24,
                    "seed {seed}: {offset}, not {at}"
                );
                let behind = ends.iter().filter(|end| **end > at).count() as u64;
                assert!(
                    (behind.saturating_sub(1)..=behind + 1).contains(&changes),
                    "seed {seed}: {changes}, not {behind}"
                );
            }
            other => panic!("seed {seed}, byte {at}: {other:?}"),
        }
        assert_eq!(fs::read(log_of(&copy)).unwrap(), bytes);

        // As the message says.
        let renamed = copy.with_file_name("state.db-wal.damaged");
        fs::rename(log_of(&copy), &renamed).unwrap();
        let opened = SqliteStore::open(&copy).unwrap();
        let mut damaged = 0;
        for (seq, run) in &before {
            match opened.run(*seq) {
                Ok(Some(found)) => assert_eq!(&found, run, "seed {seed}"),
                Err(StoreError::Damaged { .. }) => damaged += 1,
                other => panic!("seed {seed}: run {seq}: {other:?}"),
            }
        }
        assert!(damaged <= 1, "seed {seed}: {damaged} runs are damaged by one byte");
        assert_eq!(opened.namespaces().unwrap(), namespaces());
        let new = write(random, COMMITS + 1);
        assert_new_runs_begin(&opened, new, seed);
        let kept = fs::read_dir(copy.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
        let kept = kept.filter(|path| path.to_string_lossy().contains("-wal.kept-"));
        assert_eq!(kept.map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), [bytes]);
        assert!(!renamed.exists());
    }
}

#[test]
fn a_copy_is_not_made_of_what_is_before_a_damage() {
    let directory = tempfile::tempdir().unwrap();
    let (path, _store, _, ends) = committed(&directory);
    let (copies, copy) = left_behind(&path);
    let to = copies.path().join("backup.db");
    let link = copies.path().join("link.db");
    std::os::unix::fs::symlink(&copy, &link).unwrap();
    back_up(&link, &to).unwrap();
    assert_eq!(SqliteStore::open(&to).unwrap().last_seq().unwrap(), COMMITS);
    fs::remove_file(&to).unwrap();
    let mut bytes = fs::read(log_of(&copy)).unwrap();
    bytes[ends[COMMITS as usize / 2] - 9] ^= 1;
    fs::write(log_of(&copy), &bytes).unwrap();
    let refused = back_up(&copy, &to).unwrap_err();
    assert!(matches!(refused, OpenError::LogDamaged { .. }), "{refused}");
    assert!(!to.exists());
    assert_eq!(fs::read(log_of(&copy)).unwrap(), bytes);
}

/// A block of the disk that holds nothing: what is behind it is not lost either, but for what can't be placed.
#[test]
fn a_block_that_is_zeros_is_not_the_end_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let (path, _store, _, ends) = committed(&directory);
    for block in (1..ends[ends.len() - 3] / PAGE).step_by(5) {
        let (_directory, copy) = left_behind(&path);
        let mut bytes = fs::read(log_of(&copy)).unwrap();
        bytes[block * PAGE..(block + 1) * PAGE].fill(0);
        fs::write(log_of(&copy), &bytes).unwrap();
        let refused = SqliteStore::open(&copy).err();
        assert!(matches!(refused, Some(OpenError::LogDamaged { .. })), "block {block}: {refused:?}");
        fs::rename(log_of(&copy), copy.with_file_name("state.db-wal.damaged")).unwrap();
        let opened = SqliteStore::open(&copy).unwrap();
        for seq in 1..=COMMITS {
            let read = opened.run(seq);
            assert!(matches!(read, Ok(_) | Err(StoreError::Damaged { .. })), "block {block}: {read:?}");
        }
    }
}

/// Sectors reach the disk in any order: of a commit that was not synced, any part may be there. In the second lap, frames
/// of the first are in their place.
#[test]
fn a_torn_last_commit_is_the_end_of_the_log() {
    for laps in [1, 2] {
        let directory = tempfile::tempdir().unwrap();
        let (path, store, lease, _) = committed(&directory);
        let random = &mut SmallRng::seed_from_u64(6);
        let change = |random: &mut SmallRng, seqs: std::ops::Range<i64>| {
            let runs = seqs.map(|seq| {
                let RunWrite { seq, change, .. } = write(random, seq);
                RunWrite { seq, new: None, change: RunCommit { events: None, ..change } }
            });
            store.commit(&Commit { lease, runs: runs.collect(), ..Commit::default() }).unwrap();
        };
        if laps == 2 {
            store.writer().unwrap().query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
            change(random, 1..4);
        }
        let (before, (_directory, old)) = (all_runs(&store), left_behind(&path));
        change(random, 1..40);
        let after = all_runs(&store);
        let (old_log, new_log) = (fs::read(log_of(&old)).unwrap(), fs::read(log_of(&path)).unwrap());
        let mut torn = 0;
        for seed in 0..32 {
            let random = &mut SmallRng::seed_from_u64(seed);
            let (_directory, copy) = left_behind(&old);
            let reached = random.random_range(0.0..1.0);
            let mut mixed = old_log.clone();
            mixed.resize(new_log.len(), 0);
            for (old, new) in mixed.chunks_mut(SECTOR).zip(new_log.chunks(SECTOR)) {
                if random.random_bool(reached) {
                    old.copy_from_slice(new);
                }
            }
            if seed % 4 == 0 {
                mixed.truncate(random.random_range(old_log.len().min(mixed.len() - 1)..mixed.len()).max(40));
            }
            fs::write(log_of(&copy), &mixed).unwrap();
            let opened =
                SqliteStore::open(&copy).unwrap_or_else(|error| panic!("{laps} laps, seed {seed}: {error}"));
            let found = all_runs(&opened);
            assert!(found == before || found == after, "{laps} laps, seed {seed}");
            torn += i32::from(found == before);
        }
        assert!(torn > 20, "{torn}");
    }
}
