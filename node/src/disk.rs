//! The operating system's files behind core's [`Disk`].
//!
//! Bytes go through the page cache. Nothing in core may assume that, so that a `Disk` which keeps the unsynced tail in
//! aligned buffers of its own and writes it with `O_DIRECT` can take this one's place: [`OpenFile`] is the only type
//! that knows where a file's bytes are.
//!
//! Invariants:
//! * A file's bytes below its length never change while an [`OpenFile`] of it is shared: appends go behind them,
//!   [`Disk::truncate`] leaves a shared file alone and goes on with a copy.
//! * Names that begin with a dot at the root belong to this module and to [`crate::data_dir`]; core never sees them.
//!
//! Deliberately absent: the sync itself, which runs on a thread of its own (`shard::sync_lane`).

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::io::IoSlice;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use highwater_core::Disk;
use highwater_core::disk::{DirEntry, FileBytes, LogPath, OpenMode, Pin, Space};
use highwater_core::ids::FileId;

/// The directory below the data directory in which files grow before they take another's place.
pub(crate) const SCRATCH_DIRECTORY: &str = ".scratch";

/// The length from which on a file is given room ahead.
const RESERVE_FROM_BYTES: u64 = 4 * 1024 * 1024;

/// How much room ahead a file is given, at most; before that a quarter of what it has.
const RESERVE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Parts of one vectored write: the kernel takes at most 1024 (`IOV_MAX`).
const PARTS_PER_WRITE: usize = 1024;

/// The files below one data directory, as one shard sees them.
#[derive(Debug)]
pub struct DirectoryDisk {
    root: PathBuf,
    files: BTreeMap<FileId, Inode>,
    /// What [`files`](Self::files) stand for: a file that is open twice has one length.
    nodes: BTreeMap<Inode, Node>,
    /// Nodes that nobody has open any more, but that were pinned then: who opens such a file again must know.
    lingering: BTreeSet<Inode>,
    ids: FileIds,
}

/// The file system's own name of a file. No other file can have it for as long as this one is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Inode {
    device: u64,
    number: u64,
}

/// Gives out file ids: every disk of a broker draws from the same source.
#[derive(Clone, Debug, Default)]
pub struct FileIds(Arc<AtomicU64>);

impl FileIds {
    fn draw(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// The bytes of one file, shared between a disk and whoever reads or syncs slices of it.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
}

impl OpenFile {
    /// The open file behind a pin.
    ///
    /// # Panics
    /// If the pin came from another kind of disk: a process has one kind.
    pub fn of(pin: &Pin) -> &Self {
        pin.as_any().downcast_ref().expect("every pin of this process is an open file")
    }

    /// The file, for `sendfile` and `fdatasync`.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Begins to write what is not on the medium yet, without waiting for it: whoever syncs several files lets them be
    /// written together. It makes nothing durable.
    ///
    /// # Errors
    /// An I/O error.
    pub fn begin_writeback(&self) -> io::Result<()> {
        // SAFETY: the call takes a descriptor, which is open for as long as `self.file` lives, and no memory.
        let result = unsafe { libc::sync_file_range(self.file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl FileBytes for OpenFile {
    fn read_exact_at(&self, pos: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, pos)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A file that a disk has open, once or several times. Room ahead of it, which no length shows, goes with it.
#[derive(Debug)]
struct Node {
    bytes: Arc<OpenFile>,
    /// Where it is now, `None` once it was removed or another file took its name.
    path: Option<LogPath>,
    len: u64,
    /// Up to where the file system has given it room.
    reserved: u64,
    handles: usize,
}

impl Node {
    /// Asks for room ahead of a file that grows fast, so that the file system need not look for some at every sync.
    fn reserve(&mut self, additional: u64) {
        let end = self.len + additional;
        if end <= self.reserved || end < RESERVE_FROM_BYTES {
            return;
        }
        self.reserved = end + (end / 4).min(RESERVE_BYTES_MAX);
        // Where that fails the write itself will tell whether there is room.
        let _ = rustix::fs::fallocate(
            &self.bytes.file,
            rustix::fs::FallocateFlags::KEEP_SIZE,
            self.len,
            self.reserved - self.len,
        );
    }

    /// Cuts the file to its length and gives room behind it back.
    fn release_reserve(&mut self) -> io::Result<()> {
        self.bytes.file.set_len(self.len)?;
        self.reserved = self.len;
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.reserved > self.len {
            // What is not given back is given back with the file.
            let _ = self.release_reserve();
        }
    }
}

impl DirectoryDisk {
    /// A disk over the directory `root`, which must exist.
    pub fn new(root: PathBuf, ids: FileIds) -> Self {
        Self { root, files: BTreeMap::new(), nodes: BTreeMap::new(), lingering: BTreeSet::new(), ids }
    }

    fn absolute(&self, path: &LogPath) -> PathBuf {
        absolute(&self.root, path)
    }

    fn inode(&self, file: FileId) -> Inode {
        *self.files.get(&file).expect("core uses only files that it has open")
    }

    fn node(&self, file: FileId) -> &Node {
        self.nodes.get(&self.inode(file)).expect("an open file has a node")
    }

    fn node_mut(&mut self, file: FileId) -> &mut Node {
        self.node_of(self.inode(file))
    }

    fn node_of(&mut self, inode: Inode) -> &mut Node {
        self.nodes.get_mut(&inode).expect("an open file has a node")
    }

    /// A new file in the scratch directory.
    fn scratch(&self) -> io::Result<(PathBuf, File)> {
        let directory = self.root.join(SCRATCH_DIRECTORY);
        fs::create_dir_all(&directory)?;
        let path = directory.join(self.ids.draw().to_string());
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        Ok((path, file))
    }

    /// Puts a copy of a shared file's first `len` bytes in its place, durable at once: what was durable before the
    /// truncation stays so, and later syncs of the copy alone keep what is appended to it.
    fn continue_as_copy(&mut self, file: FileId, len: u64) -> io::Result<()> {
        let (scratch, copy) = self.scratch()?;
        let node = self.node(file);
        let copied = copy_prefix(&node.bytes.file, &copy, len).and_then(|()| copy.sync_data());
        let placed = copied.and_then(|()| match &node.path {
            None => fs::remove_file(&scratch),
            Some(path) => {
                fs::rename(&scratch, self.absolute(path))?;
                sync_directory(&self.root, &path.parent().unwrap_or_else(LogPath::root))
            }
        });
        if let Err(error) = placed {
            discard(&scratch);
            return Err(storage_full_or(error));
        }
        self.exchange(file, copy, len)
    }

    /// Lets everybody who has `file` open go on with `copy`.
    fn exchange(&mut self, file: FileId, copy: File, len: u64) -> io::Result<()> {
        let (old, new) = (self.inode(file), inode_of(&copy.metadata()?));
        let mut node = self.nodes.remove(&old).expect("an open file has a node");
        node.bytes = Arc::new(OpenFile { file: copy });
        (node.len, node.reserved) = (len, len);
        self.nodes.insert(new, node);
        self.files.values_mut().filter(|inode| **inode == old).for_each(|inode| *inode = new);
        Ok(())
    }

    /// Closes what nobody has open or pinned any more.
    fn forget_unpinned(&mut self) {
        let nodes = &mut self.nodes;
        self.lingering.retain(|inode| {
            let node = nodes.get_mut(inode).expect("a lingering file has a node");
            let is_pinned = Arc::get_mut(&mut node.bytes).is_none();
            if !is_pinned {
                nodes.remove(inode);
            }
            is_pinned
        });
    }

    /// Keeps the paths of open files true after `from` has become `to`.
    fn note_rename(&mut self, from: &LogPath, to: &LogPath) {
        for node in self.nodes.values_mut() {
            let Some(path) = &node.path else { continue };
            if path == to {
                node.path = None;
            } else if let Some(moved) = rebased(path, from, to) {
                node.path = Some(moved);
            }
        }
    }

    /// Forgets the path of an open file that has lost it.
    fn note_gone(&mut self, path: &LogPath) {
        let gone = self.nodes.values_mut().filter(|node| node.path.as_ref() == Some(path));
        gone.for_each(|node| node.path = None);
    }
}

impl Disk for DirectoryDisk {
    fn open(&mut self, path: &LogPath, mode: OpenMode) -> io::Result<FileId> {
        let mut options = File::options();
        options.read(true).write(true).create_new(mode == OpenMode::New);
        let file = options.open(self.absolute(path)).map_err(storage_full_or)?;
        let metadata = file.metadata()?;
        let (inode, len) = (inode_of(&metadata), metadata.len());
        let node = self.nodes.entry(inode).or_insert_with(|| {
            let bytes = Arc::new(OpenFile { file });
            Node { bytes, path: Some(path.clone()), len, reserved: len, handles: 0 }
        });
        node.handles += 1;
        self.lingering.remove(&inode);
        let id = FileId(self.ids.draw());
        self.files.insert(id, inode);
        Ok(id)
    }

    fn close(&mut self, file: FileId) {
        let inode = self.inode(file);
        self.files.remove(&file);
        let node = self.node_of(inode);
        node.handles -= 1;
        if node.handles == 0 {
            self.lingering.insert(inode);
            self.forget_unpinned();
        }
    }

    fn len(&self, file: FileId) -> io::Result<u64> {
        Ok(self.node(file).len)
    }

    fn append(&mut self, file: FileId, parts: &[&[u8]]) -> io::Result<u64> {
        let node = self.node_mut(file);
        node.reserve(parts.iter().map(|part| part.len() as u64).sum());
        match write_all_at(&node.bytes.file, node.len, parts) {
            Ok(end) => node.len = end,
            Err(error) => {
                let error = storage_full_or(error);
                if error.kind() == io::ErrorKind::StorageFull {
                    node.release_reserve()?;
                }
                return Err(error);
            }
        }
        Ok(node.len)
    }

    fn read_at(&self, file: FileId, pos: u64, out: &mut [u8]) -> io::Result<usize> {
        let file = &self.node(file).bytes.file;
        let mut filled = 0;
        while filled < out.len() {
            match file.read_at(&mut out[filled..], pos + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn truncate(&mut self, file: FileId, len: u64) -> io::Result<()> {
        let node = self.node_mut(file);
        assert!(len <= node.len, "truncation to {len} cannot lengthen a file of {} bytes", node.len);
        if len == node.len {
            return Ok(());
        }
        if Arc::get_mut(&mut node.bytes).is_none() {
            return self.continue_as_copy(file, len);
        }
        node.len = len;
        node.release_reserve()
    }

    fn pin(&self, file: FileId) -> Pin {
        let bytes: Arc<OpenFile> = Arc::clone(&self.node(file).bytes);
        bytes
    }

    fn create_dir(&mut self, path: &LogPath) -> io::Result<()> {
        match fs::create_dir(self.absolute(path)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.absolute(path).is_dir() => Ok(()),
            other => other.map_err(storage_full_or),
        }
    }

    fn list(&self, dir: &LogPath) -> io::Result<Vec<DirEntry>> {
        let at_root = dir.parent().is_none();
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.absolute(dir))? {
            let entry = entry?;
            // Core makes only names that are UTF-8: another one is a stranger's.
            let Ok(name) = entry.file_name().into_string() else { continue };
            if at_root && name.starts_with('.') {
                continue;
            }
            entries.push(DirEntry { name, is_dir: entry.file_type()?.is_dir() });
        }
        entries.sort_unstable();
        Ok(entries)
    }

    fn rename(&mut self, from: &LogPath, to: &LogPath) -> io::Result<()> {
        fs::rename(self.absolute(from), self.absolute(to))?;
        if from != to {
            self.note_rename(from, to);
        }
        Ok(())
    }

    fn remove(&mut self, path: &LogPath) -> io::Result<()> {
        let absolute = self.absolute(path);
        if fs::symlink_metadata(&absolute)?.is_dir() {
            return fs::remove_dir(absolute);
        }
        fs::remove_file(absolute)?;
        self.note_gone(path);
        self.forget_unpinned();
        Ok(())
    }

    fn replace(&mut self, path: &LogPath, bytes: &[u8]) -> io::Result<()> {
        let (scratch, file) = self.scratch().map_err(storage_full_or)?;
        let target = self.absolute(path);
        let placed =
            file.write_all_at(bytes, 0).and_then(|()| file.sync_data()).and_then(|()| fs::rename(&scratch, target));
        if let Err(error) = placed {
            discard(&scratch);
            return Err(storage_full_or(error));
        }
        self.note_gone(path);
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(&self.root)?;
        Ok(Space {
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
            usable: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }
}

/// Makes the names in a directory durable. One that was removed or renamed since the sync was asked for has no names
/// that anybody waits for.
///
/// # Errors
/// An I/O error; the directory's state on the medium is unknown then.
pub fn sync_directory(root: &Path, directory: &LogPath) -> io::Result<()> {
    match File::open(absolute(root, directory)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        opened => opened?.sync_all(),
    }
}

fn inode_of(metadata: &fs::Metadata) -> Inode {
    Inode { device: metadata.dev(), number: metadata.ino() }
}

fn absolute(root: &Path, path: &LogPath) -> PathBuf {
    if path.as_str().is_empty() { root.to_owned() } else { root.join(path.as_str()) }
}

/// `path` as it is called after `from` has become `to`, or `None` if it lies elsewhere.
fn rebased(path: &LogPath, from: &LogPath, to: &LogPath) -> Option<LogPath> {
    let rest = path.as_str().strip_prefix(from.as_str())?;
    if rest.is_empty() {
        return Some(to.clone());
    }
    Some(rest.strip_prefix('/')?.split('/').fold(to.clone(), |path, name| path.join(name)))
}

/// Writes `parts` one after the other from `pos` on and returns where they end.
fn write_all_at(file: &File, mut pos: u64, parts: &[&[u8]]) -> io::Result<u64> {
    for group in parts.chunks(PARTS_PER_WRITE) {
        let mut slices: Vec<IoSlice<'_>> = group.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = &mut slices[..];
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match rustix::io::pwritev(file, rest, pos) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    pos += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    Ok(pos)
}

/// Copies the first `len` bytes of one file into an empty other one.
fn copy_prefix(from: &File, to: &File, len: u64) -> io::Result<()> {
    let mut buffer = vec![0; usize::try_from(len.min(1 << 20)).expect("at most 1 MiB")];
    let mut pos = 0;
    while pos < len {
        let step = buffer.len().min(usize::try_from(len - pos).unwrap_or(usize::MAX));
        from.read_exact_at(&mut buffer[..step], pos)?;
        to.write_all_at(&buffer[..step], pos)?;
        pos += step as u64;
    }
    Ok(())
}

/// Removes a scratch file after an error; what stays behind is swept away at the next start.
fn discard(scratch: &Path) {
    let _ = fs::remove_file(scratch);
}

/// A quota is room that is missing, too.
fn storage_full_or(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::QuotaExceeded => io::Error::new(io::ErrorKind::StorageFull, error),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_ahead_of_a_file_is_given_back_and_changes_no_byte() {
        let root = tempfile::tempdir().unwrap();
        let mut disk = DirectoryDisk::new(root.path().to_owned(), FileIds::default());
        let path = LogPath::root().join("grows");
        let file = disk.open(&path, OpenMode::New).unwrap();
        let chunk = vec![7; 1 << 20];
        for _ in 0..9 {
            disk.append(file, &[&chunk, b"!"]).unwrap();
        }
        let written = || fs::metadata(root.path().join("grows")).unwrap();
        let len = 9 * (chunk.len() as u64 + 1);
        assert_eq!((disk.len(file).unwrap(), written().len()), (len, len));
        assert!(disk.node(file).reserved > len);
        drop(disk);
        assert_eq!(written().len(), len);
        assert!(written().blocks() * 512 < len + (1 << 16), "the file keeps no room that it does not use");
        let bytes = fs::read(root.path().join("grows")).unwrap();
        assert!(bytes.chunks(chunk.len() + 1).all(|part| part[..chunk.len()] == chunk && part[chunk.len()] == b'!'));
    }

    /// A topic was deleted while a sync that named its directory was on its way: the broker took the missing directory
    /// for a failed sync and halted.
    #[test]
    fn a_directory_that_is_gone_needs_no_sync() {
        let root = tempfile::tempdir().unwrap();
        let directory = LogPath::root().join("partitions");
        assert!(sync_directory(root.path(), &directory).is_ok());
        fs::create_dir(absolute(root.path(), &directory)).unwrap();
        assert!(sync_directory(root.path(), &directory).is_ok());
    }
}
