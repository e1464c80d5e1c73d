//! The log (`PATH-wal`) as a crash has left it, looked at before SQLite reads it.
//!
//! SQLite takes the log as ended at the first frame whose checksum does not fit. That is right for a commit that a power
//! loss has torn: nobody was told of it. It is wrong for a byte that the disk has changed, since all acknowledged commits
//! behind it are dropped in silence. The two can be told apart: each commit is synced before the next is written, so whole
//! frames that follow on another commit's last frame mean that this one was on disk, and is damaged (decision 091).
//!
//! The format is the one of <https://sqlite.org/fileformat2.html#the_write_ahead_log>: a header with two random numbers
//! (salts) and a checksum; then frames, each a page with a header of its number, the size of the database if it is the last
//! of a commit, the salts, and a checksum over this frame and all before it. Frames of an earlier use of the same file have
//! other salts.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::file::{beside, sync_directory};
use crate::{error::OpenError, owner::io_error};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The first four bytes. The last bit says that checksums are made of big-endian words.
const MAGIC: u32 = 0x377f_0682;
const FORMAT: u32 = 3_007_000;

type Sum = [u32; 2];
type Salts = [u8; 8];

/// Refuses a damaged log; or makes a new one of it, when somebody has agreed to that by renaming it.
pub(super) fn ready(path: &Path) -> Result<(), OpenError> {
    let (log, renamed) = (beside(path, "-wal"), beside(path, "-wal.damaged"));
    let agreed = renamed.exists();
    if agreed && !log.exists() {
        rebuild(path, &renamed, &log)?;
    }
    check(path)?;
    if agreed {
        // Under its name it would be taken for the log of a later crash.
        let kept = beside(path, &format!("-wal.kept-{:08x}", rand::random::<u32>()));
        fs::rename(&renamed, &kept).map_err(|error| io_error(&renamed, error))?;
        tracing::error!(kept = %kept.display(), "the damaged log was read as far as possible; it is kept");
    }
    Ok(())
}

/// Refuses a damaged log. Only while nobody has the file.
pub(super) fn check(path: &Path) -> Result<(), OpenError> {
    let log = beside(path, "-wal");
    let found = survey(path, &log).map_err(|error| io_error(&log, error))?;
    if let Some(Found { damage: Some(Damage { offset, changes }), .. }) = found {
        return Err(OpenError::LogDamaged { path: path.to_owned(), log, offset, changes });
    }
    Ok(())
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_be_bytes)
}

fn sum_at(bytes: &[u8], at: usize) -> Sum {
    [number(bytes, at), number(bytes, at + 4)]
}

/// SQLite's checksum, continued from `seed`.
fn add(big_endian: bool, seed: Sum, bytes: &[u8]) -> Sum {
    let word = |four: &[u8]| {
        let four = four.try_into().unwrap_or_default();
        if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    };
    let [mut one, mut two] = seed;
    for pair in bytes.chunks_exact(8) {
        let (left, right) = pair.split_at(4);
        one = one.wrapping_add(word(left)).wrapping_add(two);
        two = two.wrapping_add(word(right)).wrapping_add(one);
    }
    [one, two]
}

/// What holds for all frames of a log.
#[derive(Clone, Copy)]
struct Layout {
    page: usize,
    big_endian: bool,
    salts: Salts,
}

impl Layout {
    fn sum(&self, seed: Sum, frame: &[u8]) -> Sum {
        let (header, page) = frame.split_at(FRAME_HEADER);
        let seed = add(self.big_endian, seed, header.get(..8).unwrap_or_default());
        add(self.big_endian, seed, page)
    }
}

/// A frame, compared with the one before it.
#[derive(Clone, Copy)]
struct Frame {
    page: u32,
    /// It is the last of a commit: the size of the database then.
    commit: Option<u32>,
    has_salts: bool,
    /// It follows on the frame before it, whatever that one's content is.
    follows: bool,
}

impl Frame {
    fn is_whole(&self) -> bool {
        self.has_salts && self.follows && self.page != 0
    }

    fn ends_commit(&self) -> bool {
        self.commit.is_some() && (self.has_salts || self.follows)
    }
}

/// A log that is read frame by frame.
struct Log {
    file: BufReader<File>,
    layout: Layout,
    header: [u8; HEADER],
    header_is_whole: bool,
    /// The frame that was read last, and what the next one may follow on: the checksum that is in it, and the one that it
    /// should have.
    bytes: Vec<u8>,
    before: [Sum; 2],
}

impl Log {
    /// `None` when there is not one frame.
    fn open(path: &Path, log: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(log) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut file = BufReader::with_capacity(1 << 18, file);
        let mut header = [0; HEADER];
        if !filled(&mut file, &mut header)? {
            return Ok(None);
        }
        let page = number(&header, 8) as usize;
        let is_known = number(&header, 0) & !1 == MAGIC && number(&header, 4) == FORMAT;
        let big_endian = is_known && number(&header, 0) & 1 == 1;
        let computed = add(big_endian, [0; 2], header.get(..HEADER - 8).unwrap_or_default());
        let stored = sum_at(&header, HEADER - 8);
        let header_is_whole =
            is_known && computed == stored && page.is_power_of_two() && (512..=1 << 16).contains(&page);
        let page = if header_is_whole { page } else { page_size(path)? };
        let salts = header.get(16..24).and_then(|salts| salts.try_into().ok()).unwrap_or_default();
        Ok(Some(Self {
            file,
            layout: Layout { page, big_endian, salts },
            header,
            header_is_whole,
            bytes: vec![0; FRAME_HEADER + page],
            before: [stored, computed],
        }))
    }

    fn next(&mut self) -> io::Result<Option<Frame>> {
        if !filled(&mut self.file, &mut self.bytes)? {
            return Ok(None);
        }
        let bytes = &self.bytes;
        let stored = sum_at(bytes, 16);
        let [seed, other] = self.before;
        let mut computed = self.layout.sum(seed, bytes);
        let mut follows = computed == stored;
        if !follows && other != seed {
            let from_other = self.layout.sum(other, bytes);
            if from_other == stored {
                (computed, follows) = (from_other, true);
            }
        }
        self.before = [stored, computed];
        let size = number(bytes, 4);
        Ok(Some(Frame {
            page: number(bytes, 0),
            commit: (size != 0).then_some(size),
            has_salts: bytes.get(8..16) == Some(&self.layout.salts),
            follows,
        }))
    }
}

/// Reads as much as there is room for; false at the end of the file.
fn filled(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

/// How large pages are, as the database says it.
fn page_size(path: &Path) -> io::Result<usize> {
    let mut start = [0; 18];
    filled(&mut File::open(path)?, &mut start)?;
    // 64 KiB does not fit into the two bytes.
    Ok(match u16::from_be_bytes([start[16], start[17]]) {
        1 => 1 << 16,
        size => usize::from(size).max(512),
    })
}

/// Where SQLite would end the log, although it goes on.
struct Damage {
    offset: u64,
    /// Commits behind it of which the end is there.
    changes: u64,
}

struct Found {
    layout: Layout,
    damage: Option<Damage>,
    /// How many frames there are to the end of the last commit that is whole, and the size of the database then.
    frames: u64,
    pages: u32,
}

fn survey(path: &Path, log: &Path) -> io::Result<Option<Found>> {
    let Some(mut log) = Log::open(path, log)? else { return Ok(None) };
    let size = log.bytes.len() as u64;
    // Without a header nothing is whole for SQLite. What the salts are, the first frame says.
    let mut bad_at = (!log.header_is_whole).then_some(0);
    let (mut at, mut changes, mut is_damaged) = (HEADER as u64, 0, false);
    let (mut frames, mut pages) = (0, 0);
    let mut before: Option<Frame> = None;
    while let Some(mut frame) = log.next()? {
        if bad_at == Some(0) && before.is_none() {
            log.layout.salts =
                log.bytes.get(8..16).and_then(|salts| salts.try_into().ok()).unwrap_or_default();
            frame.has_salts = true;
        }
        let is_whole = frame.is_whole();
        if !is_whole && bad_at.is_none() {
            bad_at = Some(at);
        }
        if is_whole && let Some(bad_at) = bad_at {
            // A header is synced before the first frame.
            is_damaged |= bad_at == 0 || before.is_some_and(|before| before.ends_commit());
        }
        changes += u64::from(bad_at.is_some() && frame.ends_commit());
        at += size;
        if let Some(now) = frame.commit.filter(|_| is_whole) {
            (frames, pages) = ((at - HEADER as u64) / size, now);
        }
        before = Some(frame);
    }
    let damage = bad_at.filter(|_| is_damaged).map(|offset| Damage { offset, changes });
    Ok(Some(Found { layout: log.layout, damage, frames, pages }))
}

/// Makes a log of what a damaged one says. A frame whose page is known is taken as it is: what is damaged in the page is
/// then damaged in the database, where rows have checksums of their own. Without such a frame the pages would be of
/// different times; if it isn't known which page it has, the log ends before its commit.
fn rebuild(path: &Path, damaged: &Path, log: &Path) -> Result<(), OpenError> {
    let unfinished = beside(path, "-wal.new");
    let fault = |error| io_error(&unfinished, error);
    let Some(found) = survey(path, damaged).map_err(|error| io_error(damaged, error))? else { return Ok(()) };
    let Some(mut old) = Log::open(path, damaged).map_err(|error| io_error(damaged, error))? else {
        return Ok(());
    };
    old.layout = found.layout;
    let new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
    let mut new = BufWriter::new(new.map_err(fault)?);
    let mut sum = write_header(&mut new, &old).map_err(fault)?;
    for frame in 0..found.frames {
        let Some(next) = old.next().map_err(|error| io_error(damaged, error))? else { break };
        let is_known = (1..=found.pages).contains(&next.page) && (next.has_salts || next.follows);
        if !next.is_whole() && !is_known {
            tracing::error!(frame, of = found.frames, "the log is lost from this frame on");
            break;
        }
        let (header, page) = old.bytes.split_at_mut(FRAME_HEADER);
        let start = header.get(..8).unwrap_or_default();
        sum = add(old.layout.big_endian, add(old.layout.big_endian, sum, start), page);
        let rest = [old.layout.salts, joined(sum)].concat();
        let written = [start, &rest, page].into_iter().try_for_each(|part| new.write_all(part));
        written.map_err(fault)?;
    }
    let new = new.into_inner().map_err(|error| fault(error.into_error()))?;
    new.sync_all().map_err(fault)?;
    fs::rename(&unfinished, log).map_err(fault)?;
    sync_directory(path)
}

fn joined([one, two]: Sum) -> [u8; 8] {
    (u64::from(one) << 32 | u64::from(two)).to_be_bytes()
}

/// The header of the old log, as it must have been; the checksum that the first frame follows on.
fn write_header(new: &mut impl Write, old: &Log) -> io::Result<Sum> {
    let Layout { page, big_endian, salts } = old.layout;
    let mut header = Vec::with_capacity(HEADER);
    for number in [MAGIC | u32::from(big_endian), FORMAT, page as u32, number(&old.header, 12)] {
        header.extend(number.to_be_bytes());
    }
    header.extend(salts);
    let sum = add(big_endian, [0; 2], &header);
    header.extend(joined(sum));
    new.write_all(&header)?;
    Ok(sum)
}
