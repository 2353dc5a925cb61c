//! What the core may ask of a file system.
//!
//! A `Disk` is files and directories below one data directory, never a log: recovery is straight-line code over this
//! trait and runs against the real file system and the simulated one alike.
//!
//! Contract:
//! * Verbs apply in call order and are visible to later reads at once.
//! * Nothing is durable before a *later* [`SyncRequest`](crate::outbox::SyncRequest) that names the file (its bytes and
//!   length) or the directory (the names in it) has been reported as [`Input::Synced`](crate::Input::Synced).
//! * After power loss any subset of the unsynced sectors, lengths, truncations and names may have survived.
//! * Only `append`, `open` with a creating mode, `create_dir` and `replace` may fail for want of space
//!   ([`io::ErrorKind::StorageFull`]), and then they leave everything as it was.

#[cfg(any(test, feature = "testing"))]
pub mod memory;

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::ids::FileId;

/// How [`Disk::open`] treats a file that is or is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// The file must exist; else [`io::ErrorKind::NotFound`].
    Existing,
    /// The file must not exist; else [`io::ErrorKind::AlreadyExists`].
    New,
}

/// A path below the data directory: names joined by `/`, no `.`, no `..`, not absolute, possibly empty (the root).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPath(String);

impl LogPath {
    /// The data directory itself.
    pub fn root() -> Self {
        Self(String::new())
    }

    /// The entry `name` of this directory.
    ///
    /// # Panics
    /// If `name` is empty, `.` or `..`, or holds a `/` or a NUL: names are made by the core, never by a client.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        assert!(!matches!(name, "" | "." | ".."), "{name:?} does not name an entry");
        assert!(!name.contains(['/', '\0']), "{name:?} would leave its directory");
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}/{name}", self.0)) }
    }

    /// The directory that holds this entry, or `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        Some(self.0.rfind('/').map_or_else(Self::root, |at| Self(self.0[..at].to_owned())))
    }

    /// The last name of the path, empty for the root.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The path as text, relative to the data directory.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LogPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for LogPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The last component of its path.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// How much room the file system has, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Its whole size.
    pub total: u64,
    /// What this process may still use.
    pub usable: u64,
}

/// The bytes of one file, readable for as long as somebody holds them, whatever happens to the file's name or length.
pub trait FileBytes: Any + Send + Sync + fmt::Debug {
    /// Fills `out` from `pos` on.
    ///
    /// # Errors
    /// Whatever reading fails with; [`io::ErrorKind::UnexpectedEof`] where the file ends before `out` is full.
    fn read_exact_at(&self, pos: u64, out: &mut [u8]) -> io::Result<()>;

    /// For a driver that knows which type it handed out.
    fn as_any(&self) -> &dyn Any;
}

/// A share in a file's bytes: keeps them readable after the file is removed or truncated.
pub type Pin = Arc<dyn FileBytes>;

/// A run of bytes in a file, to be sent without being read into the core.
#[derive(Clone, Debug)]
pub struct FileSlice {
    /// The file.
    pub bytes: Pin,
    /// Where the run starts.
    pub pos: u64,
    /// How many bytes it has.
    pub len: u64,
}

/// A file system, seen from below one data directory. See the module's contract.
pub trait Disk {
    /// Opens a file for reading and appending.
    ///
    /// # Errors
    /// `NotFound` or `AlreadyExists` as [`OpenMode`] says, `StorageFull` when creating.
    fn open(&mut self, path: &LogPath, mode: OpenMode) -> io::Result<FileId>;

    /// Forgets an open file. Pins of it stay readable; its id is never used again.
    fn close(&mut self, file: FileId);

    /// The file's length in bytes.
    ///
    /// # Errors
    /// An I/O error.
    fn len(&self, file: FileId) -> io::Result<u64>;

    /// Writes `parts` one after the other at the file's end and returns its new length.
    ///
    /// # Errors
    /// `StorageFull` leaves the file as it was; after any other error its tail is unknown.
    fn append(&mut self, file: FileId, parts: &[&[u8]]) -> io::Result<u64>;

    /// Reads from `pos` into `out` until it is full or the file ends; returns how much was read.
    ///
    /// # Errors
    /// An I/O error.
    fn read_at(&self, file: FileId, pos: u64, out: &mut [u8]) -> io::Result<usize>;

    /// Cuts the file to `len`, which is at most its length. Pinned bytes stay what they were.
    ///
    /// # Errors
    /// An I/O error.
    fn truncate(&mut self, file: FileId, len: u64) -> io::Result<()>;

    /// A share in the file's bytes, for slices that outlive this call.
    fn pin(&self, file: FileId) -> Pin;

    /// Makes a directory; nothing happens where it exists. Its parent must exist.
    ///
    /// # Errors
    /// `NotFound` without a parent, `StorageFull`.
    fn create_dir(&mut self, path: &LogPath) -> io::Result<()>;

    /// The entries of a directory, sorted by name.
    ///
    /// # Errors
    /// `NotFound` where there is no such directory.
    fn list(&self, dir: &LogPath) -> io::Result<Vec<DirEntry>>;

    /// Gives a file or directory another name, replacing a file that has it. Open files stay open.
    ///
    /// # Errors
    /// `NotFound` where there is nothing at `from`.
    fn rename(&mut self, from: &LogPath, to: &LogPath) -> io::Result<()>;

    /// Removes a file or an empty directory. An open file stays readable.
    ///
    /// # Errors
    /// `NotFound` where there is nothing at `path`, `DirectoryNotEmpty`.
    fn remove(&mut self, path: &LogPath) -> io::Result<()>;

    /// Sets the whole contents of a small file. After power loss it holds the old contents or the new, whole; after the
    /// next sync of its directory it holds the new.
    ///
    /// # Errors
    /// `StorageFull` leaves the old contents.
    fn replace(&mut self, path: &LogPath, bytes: &[u8]) -> io::Result<()>;

    /// The room that is left.
    ///
    /// # Errors
    /// An I/O error.
    fn space(&self) -> io::Result<Space>;
}

/// Reads a whole file, or `None` where there is none.
///
/// # Errors
/// An I/O error, or [`io::ErrorKind::FileTooLarge`] where the file is larger than `len_max` bytes.
pub fn read_file(disk: &mut impl Disk, path: &LogPath, len_max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path, OpenMode::Existing) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let read = read_open_file(disk, file, len_max);
    disk.close(file);
    read.map(Some)
}

fn read_open_file(disk: &impl Disk, file: FileId, len_max: u64) -> io::Result<Vec<u8>> {
    let len = disk.len(file)?;
    if len > len_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?];
    let read = disk.read_at(file, 0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}
