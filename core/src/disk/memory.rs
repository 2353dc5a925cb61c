//! A disk in memory, for tests and benches: it keeps its promises and never fails, but for want of space.
//!
//! Deliberately absent: power loss and other faults, which the simulator's disk has.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::{DirEntry, Disk, FileBytes, LogPath, OpenMode, Pin, Space};
use crate::ids::FileId;

/// A disk in memory.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    names: BTreeMap<LogPath, Node>,
    files: BTreeMap<u64, Arc<Vec<u8>>>,
    open: BTreeMap<FileId, u64>,
    made: u64,
    capacity: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Directory,
    File(u64),
}

#[derive(Debug)]
struct Pinned(Arc<Vec<u8>>);

impl FileBytes for Pinned {
    fn read_exact_at(&self, pos: u64, out: &mut [u8]) -> io::Result<()> {
        if read(&self.0, pos, out) == out.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn read(bytes: &[u8], pos: u64, out: &mut [u8]) -> usize {
    let from = usize::try_from(pos).map_or(bytes.len(), |pos| pos.min(bytes.len()));
    let count = out.len().min(bytes.len() - from);
    out[..count].copy_from_slice(&bytes[from..from + count]);
    count
}

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryDisk {
    /// An empty disk without a limit.
    pub fn new() -> Self {
        let names = BTreeMap::from([(LogPath::root(), Node::Directory)]);
        Self { names, files: BTreeMap::new(), open: BTreeMap::new(), made: 0, capacity: u64::MAX }
    }

    /// Sets how many bytes all files together may have.
    pub fn set_capacity(&mut self, bytes: u64) {
        self.capacity = bytes;
    }

    /// How many bytes all named files have.
    pub fn used(&self) -> u64 {
        self.names.values().filter_map(|node| self.contents(*node)).map(|bytes| bytes.len() as u64).sum()
    }

    /// The contents of a named file, to look at.
    pub fn bytes(&self, path: &LogPath) -> Option<&[u8]> {
        self.names.get(path).and_then(|node| self.contents(*node))
    }

    /// The contents of a named file, to damage.
    pub fn bytes_mut(&mut self, path: &LogPath) -> Option<&mut Vec<u8>> {
        match self.names.get(path)? {
            Node::Directory => None,
            Node::File(inode) => self.files.get_mut(inode).map(Arc::make_mut),
        }
    }

    /// Puts a file in place, as an earlier process might have left it.
    pub fn put(&mut self, path: &LogPath, bytes: Vec<u8>) {
        let inode = self.next();
        self.files.insert(inode, Arc::new(bytes));
        self.names.insert(path.clone(), Node::File(inode));
    }

    fn contents(&self, node: Node) -> Option<&[u8]> {
        match node {
            Node::Directory => None,
            Node::File(inode) => self.files.get(&inode).map(|bytes| &bytes[..]),
        }
    }

    fn next(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    fn reserve(&self, bytes: usize) -> io::Result<()> {
        let fits = self.capacity.saturating_sub(self.used()) >= bytes as u64;
        if fits { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn is_directory(&self, path: &LogPath) -> bool {
        self.names.get(path) == Some(&Node::Directory)
    }

    fn require_parent(&self, path: &LogPath) -> io::Result<()> {
        let there = path.parent().is_some_and(|parent| self.is_directory(&parent));
        if there { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn inode(&self, file: FileId) -> u64 {
        *self.open.get(&file).expect("only open files are used")
    }

    fn file(&self, file: FileId) -> &Arc<Vec<u8>> {
        self.files.get(&self.inode(file)).expect("an open file has bytes")
    }

    fn file_mut(&mut self, file: FileId) -> &mut Vec<u8> {
        let inode = self.inode(file);
        Arc::make_mut(self.files.get_mut(&inode).expect("an open file has bytes"))
    }
}

impl Disk for MemoryDisk {
    fn open(&mut self, path: &LogPath, mode: OpenMode) -> io::Result<FileId> {
        let inode = match (self.names.get(path), mode) {
            (Some(Node::File(inode)), OpenMode::Existing) => *inode,
            (Some(_), OpenMode::New) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(Node::Directory), OpenMode::Existing) => return Err(io::ErrorKind::IsADirectory.into()),
            (None, OpenMode::Existing) => return Err(io::ErrorKind::NotFound.into()),
            (None, OpenMode::New) => {
                self.require_parent(path)?;
                self.reserve(1)?;
                self.put(path, Vec::new());
                self.made
            }
        };
        let file = FileId(self.next());
        self.open.insert(file, inode);
        Ok(file)
    }

    fn close(&mut self, file: FileId) {
        self.open.remove(&file).expect("only open files are closed");
    }

    fn len(&self, file: FileId) -> io::Result<u64> {
        Ok(self.file(file).len() as u64)
    }

    fn append(&mut self, file: FileId, parts: &[&[u8]]) -> io::Result<u64> {
        if self.capacity < u64::MAX {
            self.reserve(parts.iter().map(|part| part.len()).sum())?;
        }
        let bytes = self.file_mut(file);
        for part in parts {
            bytes.extend_from_slice(part);
        }
        Ok(bytes.len() as u64)
    }

    fn read_at(&self, file: FileId, pos: u64, out: &mut [u8]) -> io::Result<usize> {
        Ok(read(self.file(file), pos, out))
    }

    fn truncate(&mut self, file: FileId, len: u64) -> io::Result<()> {
        let bytes = self.file_mut(file);
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        assert!(len <= bytes.len(), "truncation never lengthens a file");
        bytes.truncate(len);
        Ok(())
    }

    fn pin(&self, file: FileId) -> Pin {
        Arc::new(Pinned(Arc::clone(self.file(file))))
    }

    fn create_dir(&mut self, path: &LogPath) -> io::Result<()> {
        match self.names.get(path) {
            Some(Node::Directory) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            None => {
                self.require_parent(path)?;
                self.reserve(1)?;
                self.names.insert(path.clone(), Node::Directory);
                Ok(())
            }
        }
    }

    fn list(&self, dir: &LogPath) -> io::Result<Vec<DirEntry>> {
        if !self.is_directory(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = self.names.iter().filter(|(path, _)| path.parent().as_ref() == Some(dir));
        let mut entries: Vec<_> = inside
            .map(|(path, node)| DirEntry { name: path.name().to_owned(), is_dir: *node == Node::Directory })
            .collect();
        entries.sort();
        Ok(entries)
    }

    fn rename(&mut self, from: &LogPath, to: &LogPath) -> io::Result<()> {
        self.require_parent(to)?;
        let inside = format!("{from}/");
        let moved: Vec<_> =
            self.names.keys().filter(|path| *path == from || path.as_str().starts_with(&inside)).cloned().collect();
        if moved.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        for path in moved {
            let node = self.names.remove(&path).expect("it was just listed");
            let rest = path.as_str()[from.as_str().len()..].split('/').filter(|name| !name.is_empty());
            self.names.insert(rest.fold(to.clone(), |path, name| path.join(name)), node);
        }
        Ok(())
    }

    fn remove(&mut self, path: &LogPath) -> io::Result<()> {
        match self.names.get(path) {
            None => return Err(io::ErrorKind::NotFound.into()),
            Some(Node::Directory) if !self.list(path)?.is_empty() => {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            Some(_) => self.names.remove(path),
        };
        Ok(())
    }

    fn replace(&mut self, path: &LogPath, bytes: &[u8]) -> io::Result<()> {
        self.require_parent(path)?;
        self.reserve(bytes.len())?;
        self.put(path, bytes.to_vec());
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        Ok(Space { total: self.capacity, usable: self.capacity.saturating_sub(self.used()) })
    }
}
