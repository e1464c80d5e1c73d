//! One owner per state file, and the way in for everybody else.
//!
//! The owner holds an OS lock on `PATH.lock` for as long as it lives, so a crash releases it, and listens on the Unix
//! socket `PATH.sock` (mode 0600). A path too long for a socket address gets its socket in a private temporary
//! directory; the lock file names the socket either way, together with the owner's process id. An owner that ends in
//! order removes both. A name says little: what is locked, served or removed is known by its inode.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
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
    /// Which socket is ours: after a lost lease, another owner's may have the name.
    socket_inode: Option<Inode>,
    /// Made for a socket whose path would be too long.
    private: Option<PathBuf>,
    lock_path: PathBuf,
    /// Closing it releases the lock, after `drop` has removed what is ours.
    lock: File,
}

/// Device and number: what a file is, whatever its name.
type Inode = (u64, u64);

fn inode(found: io::Result<fs::Metadata>) -> Option<Inode> {
    found.ok().map(|found| (found.dev(), found.ino()))
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
fn check(path: &Path) -> Result<(), OpenError> {
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
        // Not even opened: whoever has it by its other name may be in this process, and would lose SQLite's locks on it.
        Ok(found) if found.nlink() > 1 => {
            return Err(OpenError::Linked { path: path.to_owned(), links: found.nlink() });
        }
        Ok(_) => {}
    }
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| io_error(path, error))?;
    file.take(16).read_to_end(&mut start).map_err(|error| io_error(path, error))?;
    if start == SQLITE_MAGIC {
        return Ok(());
    }
    if start.is_empty() {
        return Err(OpenError::Empty { path: path.to_owned(), detail: "it has 0 bytes" });
    }
    Err(OpenError::Corrupt {
        path: path.to_owned(),
        detail: "it does not begin as a SQLite database does".to_owned(),
    })
}

/// Takes the lock of a resolved state file and listens on its socket, or says who has it.
pub(crate) fn claim(path: &Path) -> Result<Claim, OpenError> {
    let lock_path = beside(path, ".lock");
    // Not while somebody has it: in the same process, closing the file again would end SQLite's own locks on it.
    if !lock_path.exists() {
        check(path)?;
    }
    let mut lock = loop {
        let mut lock = open_lock(&lock_path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Claim::Taken(read_owner(&mut lock))),
            Err(TryLockError::Error(error)) => return Err(io_error(&lock_path, error)),
        }
        // Between opening and locking, the owner before us may have removed the file with its name.
        if inode(lock.metadata()) == inode(fs::symlink_metadata(&lock_path)) {
            break lock;
        }
    };
    if let Err(error) = check(path) {
        let _ = fs::remove_file(&lock_path);
        return Err(error);
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
    let mut ownership = Ownership { socket, socket_inode: None, private, lock_path: lock_path.clone(), lock };
    let listener = listen(&ownership.socket).map_err(|error| io_error(&ownership.socket, error))?;
    ownership.socket_inode = inode(fs::symlink_metadata(&ownership.socket));
    write_owner(&ownership).map_err(|error| io_error(&lock_path, error))?;
    Ok(Claim::Owned(ownership, listener))
}

/// Whether a process has the file, this one included.
pub(crate) fn is_owned(path: &Path) -> bool {
    File::open(beside(path, ".lock"))
        .is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

impl Drop for Ownership {
    fn drop(&mut self) {
        // Nothing can be done about a failure here; the next owner removes what is left.
        if self.socket_inode.is_some() && inode(fs::symlink_metadata(&self.socket)) == self.socket_inode {
            let _ = fs::remove_file(&self.socket);
        }
        if let Some(private) = &self.private {
            let _ = fs::remove_dir(private);
        }
        if inode(self.lock.metadata()) == inode(fs::symlink_metadata(&self.lock_path)) {
            let _ = fs::remove_file(&self.lock_path);
        }
    }
}

/// Opens the lock file, and nothing else that has its name: what is written to it must not reach another file.
fn open_lock(path: &Path) -> Result<File, OpenError> {
    let refused = || OpenError::InvalidOption {
        option: "state file",
        problem: format!("its lock file {} is a link or no plain file; remove it", path.display()),
    };
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    let lock = opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP | libc::ENXIO | libc::EISDIR) => refused(),
        _ => io_error(path, error),
    })?;
    let found = lock.metadata().map_err(|error| io_error(path, error))?;
    if !found.is_file() || found.nlink() > 1 {
        return Err(refused());
    }
    if found.mode() & 0o077 != 0 {
        // Another user's lock file stays as it is.
        let _ = lock.set_permissions(fs::Permissions::from_mode(0o600));
    }
    Ok(lock)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a socket of an earlier owner. Only ever a socket that one of us made: the lock file is not trusted further.
fn remove_socket(recorded: &Path, path: &Path) {
    remove_if_socket(&beside(path, ".sock"));
    let private = recorded.parent().filter(|parent| {
        recorded.ends_with("state.sock")
            && parent.file_name().is_some_and(|name| name.as_bytes().starts_with(b"durably-"))
    });
    if let Some(directory) = private {
        remove_if_socket(recorded);
        let _ = fs::remove_dir(directory);
    }
}

fn remove_if_socket(path: &Path) {
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        let _ = fs::remove_file(path);
    }
}

/// Listens with mode 0600 from the first moment: a socket refuses connections until `listen`.
fn listen(path: &Path) -> io::Result<UnixListener> {
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
    fn an_owner_leaves_nothing_behind_and_takes_nothing_from_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let path = resolve(&directory.path().join("state.db")).unwrap();
        let (first, _listener) = owned(&path);
        assert_eq!(mode(&first.lock_path), 0o600);
        // Somebody removes the lock file; the lock that the first one holds is then worth nothing.
        fs::remove_file(&first.lock_path).unwrap();
        let (second, _second_listener) = owned(&path);
        drop(first);
        UnixStream::connect(&second.socket).unwrap();
        assert!(matches!(claim(&path).unwrap(), Claim::Taken(_)));
        drop(second);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_lock_file_that_leads_elsewhere_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = resolve(&directory.path().join("state.db")).unwrap();
        let victim = directory.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let lock = beside(&path, ".lock");
        std::os::unix::fs::symlink(&victim, &lock).unwrap();
        let refused = claim(&path).unwrap_err();
        assert!(refused.to_string().contains("remove it"), "{refused}");
        fs::remove_file(&lock).unwrap();
        fs::hard_link(&victim, &lock).unwrap();
        assert!(matches!(claim(&path), Err(OpenError::InvalidOption { .. })));
        fs::remove_file(&lock).unwrap();
        fs::create_dir(&lock).unwrap();
        assert!(matches!(claim(&path), Err(OpenError::InvalidOption { .. })));
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn a_file_in_the_place_of_the_socket_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = resolve(&directory.path().join("state.db")).unwrap();
        let socket = beside(&path, ".sock");
        fs::write(&socket, "notes").unwrap();
        claim(&path).unwrap_err();
        assert_eq!(fs::read_to_string(&socket).unwrap(), "notes");
    }

    #[test]
    fn an_empty_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = resolve(&directory.path().join("state.db")).unwrap();
        File::create(&path).unwrap();
        let refused = claim(&path).unwrap_err();
        assert!(matches!(refused, OpenError::Empty { .. }), "{refused}");
        assert!(refused.to_string().contains("remove the file"), "{refused}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
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
