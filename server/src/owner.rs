//! One owner per state file, and the way in for everybody else.
//!
//! The owner holds an OS lock on `PATH.lock` for as long as it lives, so a crash releases it, and listens on the Unix
//! socket `PATH.sock` (mode 0600). A path too long for a socket address gets its socket in a private temporary
//! directory; the lock file names the socket either way, together with the owner's process id.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use socket2::{Domain, SockAddr, Socket, Type};
use uuid::Uuid;

use crate::error::OpenError;

/// Bytes of a socket's path that every supported system takes (`sun_path` has 104 on macOS, 108 on Linux).
const MAX_SOCKET_PATH: usize = 100;
const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";
const BACKLOG: i32 = 1_024;

/// The state file is ours until this is dropped.
#[derive(Debug)]
pub(crate) struct Ownership {
    socket: PathBuf,
    /// Made for a socket whose path would be too long.
    private: Option<PathBuf>,
    /// Closing it releases the lock, after `drop` has removed the socket.
    lock: File,
}

/// What came of asking for a state file.
#[derive(Debug)]
pub(crate) enum Claim {
    Owned(Ownership, UnixListener),
    /// Another process, or another server in this one, has it.
    Taken(Owner),
}

/// Who has a state file, as its lock file says. Both are empty while the owner is only just starting.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) process: String,
    pub(crate) socket: PathBuf,
}

/// The one name under which a state file is locked, however it was spelled. Errors if its directory is missing.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, OpenError> {
    if let Ok(found) = fs::canonicalize(path) {
        return Ok(found);
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = fs::canonicalize(parent).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            OpenError::DirectoryMissing { path: path.to_owned(), directory: parent.to_owned() }
        }
        _ => io_error(path, source),
    })?;
    let name = path.file_name().ok_or_else(|| OpenError::InvalidOption {
        option: "state file",
        problem: format!("'{}' names no file; give the path of a file, such as state.db", path.display()),
    })?;
    Ok(directory.join(name))
}

/// Tells a file that is no database from one that is, before anything is written beside or into it.
pub(crate) fn check(path: &Path) -> Result<(), OpenError> {
    let mut start = Vec::new();
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error(path, error)),
        Ok(found) if found.is_dir() => {
            return Err(OpenError::InvalidOption {
                option: "state file",
                problem: format!("{} is a directory; name a file in it, such as state.db", path.display()),
            });
        }
        Ok(_) => {}
    }
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| io_error(path, error))?;
    file.take(16).read_to_end(&mut start).map_err(|error| io_error(path, error))?;
    if start.is_empty() || start == SQLITE_MAGIC {
        return Ok(());
    }
    Err(OpenError::Corrupt {
        path: path.to_owned(),
        detail: "it does not begin as a SQLite database does".to_owned(),
    })
}

/// Takes the lock of a resolved state file and listens on its socket, or says who has it.
pub(crate) fn claim(path: &Path) -> Result<Claim, OpenError> {
    let lock_path = beside(path, ".lock");
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock_path)
        .map_err(|error| io_error(&lock_path, error))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Claim::Taken(read_owner(&mut lock))),
        Err(TryLockError::Error(error)) => return Err(io_error(&lock_path, error)),
    }
    // Whoever is named here is gone, or the lock would be taken; what it left behind is stale.
    remove_socket(&read_owner(&mut lock).socket, path);

    let wanted = beside(path, ".sock");
    let (socket, private) = if wanted.as_os_str().len() <= MAX_SOCKET_PATH {
        (wanted, None)
    } else {
        let directory = private_directory().map_err(|error| io_error(path, error))?;
        (directory.join("state.sock"), Some(directory))
    };
    let ownership = Ownership { socket, private, lock };
    let listener = listen(&ownership.socket).map_err(|error| io_error(&ownership.socket, error))?;
    write_owner(&ownership).map_err(|error| io_error(&lock_path, error))?;
    Ok(Claim::Owned(ownership, listener))
}

impl Drop for Ownership {
    fn drop(&mut self) {
        // Nothing can be done about a failure here; the next owner removes what is left.
        let _ = fs::remove_file(&self.socket);
        if let Some(private) = &self.private {
            let _ = fs::remove_dir(private);
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a socket of an earlier owner. Only ever a socket that one of us made: the lock file is not trusted further.
fn remove_socket(recorded: &Path, path: &Path) {
    let expected = beside(path, ".sock");
    let _ = fs::remove_file(&expected);
    let private = recorded.parent().filter(|parent| {
        recorded.ends_with("state.sock")
            && parent.file_name().is_some_and(|name| name.as_bytes().starts_with(b"durably-"))
    });
    if let Some(directory) = private {
        let _ = fs::remove_file(recorded);
        let _ = fs::remove_dir(directory);
    }
}

/// Listens with mode 0600 from the first moment: a socket refuses connections until `listen`.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let _ = fs::remove_file(path);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn private_directory() -> io::Result<PathBuf> {
    let directory = std::env::temp_dir().join(format!("durably-{}", Uuid::new_v4()));
    DirBuilder::new().mode(0o700).create(&directory)?;
    Ok(directory)
}

fn write_owner(ownership: &Ownership) -> io::Result<()> {
    let mut line = format!("{} ", std::process::id()).into_bytes();
    line.extend(ownership.socket.as_os_str().as_bytes());
    line.push(b'\n');
    let mut lock = &ownership.lock;
    lock.set_len(0)?;
    lock.seek(SeekFrom::Start(0))?;
    lock.write_all(&line)
}

/// A line that is not complete counts as none.
fn read_owner(lock: &mut File) -> Owner {
    let mut line = Vec::new();
    if lock.seek(SeekFrom::Start(0)).and_then(|_| lock.read_to_end(&mut line)).is_err() {
        return Owner::default();
    }
    let Some(line) = line.strip_suffix(b"\n") else { return Owner::default() };
    let mut parts = line.splitn(2, |byte| *byte == b' ');
    let process = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let socket = PathBuf::from(std::ffi::OsStr::from_bytes(parts.next().unwrap_or_default()));
    Owner { process, socket }
}

/// Sorts an I/O error on a state file into the advice that fits.
pub(crate) fn io_error(path: &Path, source: io::Error) -> OpenError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::PermissionDenied => OpenError::PermissionDenied { path },
        io::ErrorKind::ReadOnlyFilesystem => {
            OpenError::NotWritable { path, detail: "the file system is read-only".to_owned() }
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            OpenError::NotWritable { path, detail: "the disk is full".to_owned() }
        }
        _ => OpenError::Io { path, source },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn owned(path: &Path) -> (Ownership, UnixListener) {
        match claim(path).unwrap() {
            Claim::Owned(ownership, listener) => (ownership, listener),
            Claim::Taken(owner) => panic!("taken by {owner:?}"),
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_second_claim_learns_who_owns_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = resolve(&directory.path().join("state.db")).unwrap();
        let (ownership, _listener) = owned(&path);
        assert_eq!(mode(&ownership.socket), 0o600);
        let Claim::Taken(owner) = claim(&path).unwrap() else { panic!("two owners") };
        assert_eq!(owner.process, std::process::id().to_string());
        UnixStream::connect(&owner.socket).unwrap();
        drop(ownership);
        assert!(!owner.socket.exists());
        owned(&path);
    }

    #[test]
    fn a_stale_socket_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = resolve(&directory.path().join("state.db")).unwrap();
        drop(UnixListener::bind(beside(&path, ".sock")).unwrap());
        let (ownership, _listener) = owned(&path);
        UnixStream::connect(&ownership.socket).unwrap();
    }

    #[test]
    fn a_long_path_gets_its_socket_in_a_private_directory() {
        let directory = tempfile::tempdir().unwrap();
        let long = directory.path().join("d".repeat(120));
        fs::create_dir(&long).unwrap();
        let path = resolve(&long.join("state.db")).unwrap();
        let (ownership, _listener) = owned(&path);
        let private = ownership.private.clone().unwrap();
        assert_eq!((mode(&private), mode(&ownership.socket)), (0o700, 0o600));
        let Claim::Taken(owner) = claim(&path).unwrap() else { panic!("two owners") };
        UnixStream::connect(&owner.socket).unwrap();
        drop(ownership);
        assert!(!private.exists());
    }

    #[test]
    fn one_file_has_one_name() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("sub")).unwrap();
        let plain = resolve(&directory.path().join("state.db")).unwrap();
        let roundabout = resolve(&directory.path().join("sub/../state.db")).unwrap();
        assert_eq!(plain, roundabout);
    }

    #[test]
    fn advice_fits_the_trouble() {
        let directory = tempfile::tempdir().unwrap();
        let missing = resolve(&directory.path().join("no/state.db")).unwrap_err();
        assert!(matches!(missing, OpenError::DirectoryMissing { .. }), "{missing}");
        assert!(missing.to_string().contains("mkdir -p"), "{missing}");
        let not_a_database = directory.path().join("notes.txt");
        fs::write(&not_a_database, "a shopping list, not a database").unwrap();
        let corrupt = check(&not_a_database).unwrap_err();
        assert!(matches!(corrupt, OpenError::Corrupt { .. }), "{corrupt}");
        assert!(corrupt.to_string().contains("Nothing was changed"), "{corrupt}");
        let a_directory = check(directory.path()).unwrap_err();
        assert!(matches!(a_directory, OpenError::InvalidOption { .. }), "{a_directory}");
    }
}
