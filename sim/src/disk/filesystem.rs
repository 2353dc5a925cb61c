//! The tree of files and directories behind every [`SimDisk`](super::SimDisk) of one broker.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};

use highwater_core::disk::{DirEntry, LogPath, OpenMode, Pin, Space};
use highwater_core::ids::FileId;

use super::InodeId;
use super::directory::DirectoryImage;
use super::file::{Content, FileImage};
use crate::rng::Stream;
use crate::trace::Digest;

const ROOT: InodeId = InodeId(0);

/// How large the file system is when it is not made full on purpose.
const CAPACITY: u64 = 1 << 40;

/// What goes wrong on a file system; the default is nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFaults {
    /// How often a verb fails with an I/O error.
    pub error_per_mille: u32,
    /// How often a sync fails.
    pub sync_error_per_mille: u32,
    /// How often a verb that needs room is told that there is none.
    pub full_per_mille: u32,
    /// How many more bytes fit, counted from now.
    pub room: Option<u64>,
}

/// What a sync makes durable when it ends: each file and directory up to one of its operations.
#[derive(Debug)]
pub struct SyncScope {
    inodes: Vec<(InodeId, u64)>,
}

#[derive(Debug)]
enum Inode {
    File(FileImage),
    Directory(DirectoryImage),
}

#[derive(Debug)]
pub(super) struct FileSystem {
    inodes: BTreeMap<InodeId, Inode>,
    open: BTreeMap<FileId, InodeId>,
    inodes_made: u64,
    files_opened: u64,
    /// Numbers the operations, so that a sync covers what came before it.
    seq: u64,
    used: u64,
    capacity: u64,
    faults: DiskFaults,
    errors_fired: u64,
    refusals_fired: u64,
    sync_failed: bool,
    rng: Stream,
    digest: Digest,
}

impl FileSystem {
    pub(super) fn new(rng: Stream) -> Self {
        Self {
            inodes: BTreeMap::from([(ROOT, Inode::Directory(DirectoryImage::default()))]),
            open: BTreeMap::new(),
            inodes_made: 0,
            files_opened: 0,
            seq: 0,
            used: 0,
            capacity: CAPACITY,
            faults: DiskFaults::default(),
            errors_fired: 0,
            refusals_fired: 0,
            sync_failed: false,
            rng,
            digest: Digest::default(),
        }
    }

    pub(super) fn set_faults(&mut self, faults: DiskFaults) {
        self.capacity = faults.room.map_or(CAPACITY, |room| self.used + room);
        self.faults = faults;
    }

    pub(super) fn faults_fired(&self) -> (u64, u64) {
        (self.errors_fired, self.refusals_fired)
    }

    pub(super) fn used(&self) -> u64 {
        self.used
    }

    pub(super) fn unsynced_bytes(&self) -> u64 {
        let bytes = |inode: &Inode| if let Inode::File(file) = inode { file.unsynced_bytes() } else { 0 };
        self.inodes.values().map(bytes).sum()
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest.value()
    }

    pub(super) fn open(&mut self, path: &LogPath, mode: OpenMode) -> io::Result<FileId> {
        self.maybe_fail()?;
        let found = self.find(path);
        let inode = match (mode, found) {
            (OpenMode::Existing, Some(inode)) => inode,
            (OpenMode::Existing, None) => return Err(ErrorKind::NotFound.into()),
            (OpenMode::New, Some(_)) => return Err(ErrorKind::AlreadyExists.into()),
            (OpenMode::New, None) => {
                let parent = self.parent(path)?;
                self.reserve(1)?;
                let inode = self.make(|inode| Inode::File(FileImage::new(inode, Vec::new())));
                self.link(parent, path, Some(inode));
                inode
            }
        };
        if matches!(self.inodes[&inode], Inode::Directory(_)) {
            return Err(ErrorKind::IsADirectory.into());
        }
        self.note(b"open", path.as_str().as_bytes());
        self.files_opened += 1;
        let file = FileId(self.files_opened);
        self.open.insert(file, inode);
        Ok(file)
    }

    pub(super) fn close(&mut self, file: FileId) {
        let closed = self.open.remove(&file);
        assert!(closed.is_some(), "file {file} is closed, but it was not open");
    }

    pub(super) fn len(&mut self, file: FileId) -> io::Result<u64> {
        self.maybe_fail()?;
        Ok(self.file(file).len())
    }

    pub(super) fn append(&mut self, file: FileId, parts: &[&[u8]]) -> io::Result<u64> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        self.reserve(len as u64)?;
        if let Err(error) = self.maybe_fail() {
            let torn = parts.concat();
            let written = self.rng.index(len + 1);
            self.write(file, &[&torn[..written]]);
            return Err(error);
        }
        Ok(self.write(file, parts))
    }

    fn write(&mut self, file: FileId, parts: &[&[u8]]) -> u64 {
        parts.iter().for_each(|part| self.note(b"append", part));
        self.seq += 1;
        let seq = self.seq;
        let image = self.file_mut(file);
        let before = image.len();
        let len = image.append(seq, parts);
        if image.linked {
            self.used += len - before;
        }
        len
    }

    pub(super) fn read_at(&mut self, file: FileId, pos: u64, out: &mut [u8]) -> io::Result<usize> {
        self.maybe_fail()?;
        Ok(self.file(file).read_at(pos, out))
    }

    pub(super) fn truncate(&mut self, file: FileId, len: u64) -> io::Result<()> {
        self.maybe_fail()?;
        self.note(b"truncate", &len.to_le_bytes());
        self.seq += 1;
        let seq = self.seq;
        let image = self.file_mut(file);
        let cut = image.len() - len;
        image.truncate(seq, len);
        if image.linked {
            self.used -= cut;
        }
        Ok(())
    }

    pub(super) fn pin(&self, file: FileId) -> Pin {
        self.file(file).content().clone()
    }

    pub(super) fn create_dir(&mut self, path: &LogPath) -> io::Result<()> {
        self.maybe_fail()?;
        match self.find(path).map(|inode| &self.inodes[&inode]) {
            Some(Inode::Directory(_)) => return Ok(()),
            Some(Inode::File(_)) => return Err(ErrorKind::AlreadyExists.into()),
            None => {}
        }
        let parent = self.parent(path)?;
        self.reserve(1)?;
        self.note(b"mkdir", path.as_str().as_bytes());
        let inode = self.make(|_| Inode::Directory(DirectoryImage::default()));
        self.link(parent, path, Some(inode));
        Ok(())
    }

    pub(super) fn list(&mut self, dir: &LogPath) -> io::Result<Vec<DirEntry>> {
        self.maybe_fail()?;
        let inode = self.find(dir).ok_or(ErrorKind::NotFound)?;
        let entry = |(name, inode): (&String, &InodeId)| DirEntry {
            name: name.clone(),
            is_dir: matches!(self.inodes[inode], Inode::Directory(_)),
        };
        Ok(self.directory(inode)?.names().iter().map(entry).collect())
    }

    pub(super) fn rename(&mut self, from: &LogPath, to: &LogPath) -> io::Result<()> {
        self.maybe_fail()?;
        let inode = self.find(from).ok_or(ErrorKind::NotFound)?;
        let (old_parent, new_parent) = (self.parent(from)?, self.parent(to)?);
        if let Some(replaced) = self.find(to) {
            if replaced == inode {
                return Ok(());
            }
            self.check_removable(replaced)?;
            self.unlink(replaced);
        }
        self.note(b"rename", from.as_str().as_bytes());
        self.note(b"to", to.as_str().as_bytes());
        self.seq += 1;
        let gone = (from.name().to_owned(), None);
        let there = (to.name().to_owned(), Some(inode));
        if old_parent == new_parent {
            self.change_names(old_parent, vec![gone, there], None);
            return Ok(());
        }
        self.change_names(old_parent, vec![gone], Some(new_parent));
        self.change_names(new_parent, vec![there], Some(old_parent));
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &LogPath) -> io::Result<()> {
        self.maybe_fail()?;
        let inode = self.find(path).ok_or(ErrorKind::NotFound)?;
        let parent = self.parent(path)?;
        self.check_removable(inode)?;
        self.note(b"remove", path.as_str().as_bytes());
        self.unlink(inode);
        self.link(parent, path, None);
        Ok(())
    }

    pub(super) fn replace(&mut self, path: &LogPath, bytes: &[u8]) -> io::Result<()> {
        self.maybe_fail()?;
        let parent = self.parent(path)?;
        let old = self.find(path);
        if old.is_some_and(|inode| matches!(self.inodes[&inode], Inode::Directory(_))) {
            return Err(ErrorKind::IsADirectory.into());
        }
        self.reserve(bytes.len() as u64 + 1)?;
        self.note(b"replace", path.as_str().as_bytes());
        self.note(b"with", bytes);
        old.into_iter().for_each(|inode| self.unlink(inode));
        let inode = self.make(|inode| Inode::File(FileImage::new(inode, bytes.to_vec())));
        self.used += bytes.len() as u64;
        self.link(parent, path, Some(inode));
        Ok(())
    }

    pub(super) fn space(&mut self) -> io::Result<Space> {
        self.maybe_fail()?;
        Ok(Space { total: self.capacity, usable: self.capacity.saturating_sub(self.used) })
    }

    pub(super) fn submit(&self, files: &[Pin], directories: &[LogPath]) -> SyncScope {
        let files = files.iter().map(|pin| {
            let content = pin.as_any().downcast_ref::<Content>().expect("every pin comes from this disk");
            (content.inode, content.retired_by().unwrap_or(self.seq + 1) - 1)
        });
        let directories = directories.iter().filter_map(|path| Some((self.find(path)?, self.seq)));
        SyncScope { inodes: files.chain(directories).collect() }
    }

    pub(super) fn complete(&mut self, scope: &SyncScope) -> io::Result<()> {
        if self.rng_chance(self.faults.sync_error_per_mille) {
            self.errors_fired += 1;
            self.sync_failed = true;
            return Err(io::Error::other("injected: the device lost a write"));
        }
        let mut pending = scope.inodes.clone();
        while let Some((inode, upto)) = pending.pop() {
            match self.inodes.get_mut(&inode) {
                Some(Inode::File(file)) => file.make_durable(upto),
                Some(Inode::Directory(directory)) => pending.extend(directory.make_durable(upto)),
                None => {}
            }
        }
        Ok(())
    }

    pub(super) fn kill(&mut self) -> bool {
        self.note(b"kill", &[]);
        self.open.clear();
        let lossy = std::mem::take(&mut self.sync_failed);
        if lossy {
            self.lose_power();
        }
        lossy
    }

    pub(super) fn lose_power(&mut self) {
        self.open.clear();
        self.sync_failed = false;
        let survived = self.surviving_names();
        let mut found = BTreeMap::new();
        let mut pending = vec![ROOT];
        while let Some(id) = pending.pop() {
            // Two names may lead to one inode, if the second of two renames across directories survived alone.
            let Some(inode) = self.inodes.remove(&id) else { continue };
            let inode = match inode {
                Inode::Directory(directory) => {
                    let directory = directory.after_power_loss(&survived);
                    pending.extend(directory.names().values());
                    Inode::Directory(directory)
                }
                Inode::File(file) => Inode::File(FileImage::new(id, file.after_power_loss(&mut self.rng))),
            };
            found.insert(id, inode);
        }
        self.inodes = found;
        self.used = self.inodes.values().map(|inode| if let Inode::File(file) = inode { file.len() } else { 0 }).sum();
        self.note(b"power loss", &self.used.to_le_bytes());
    }

    /// Draws which unsynced changes of names a loss of power leaves: none, all, the oldest, or any.
    fn surviving_names(&mut self) -> BTreeSet<u64> {
        let directories = self.inodes.values().filter_map(|inode| match inode {
            Inode::Directory(directory) => Some(directory.unsynced()),
            Inode::File(_) => None,
        });
        let unsynced: BTreeSet<u64> = directories.flatten().collect();
        match self.rng.below(4) {
            0 => BTreeSet::new(),
            1 => unsynced,
            2 => {
                let kept = self.rng.index(unsynced.len() + 1);
                unsynced.into_iter().take(kept).collect()
            }
            _ => unsynced.into_iter().filter(|_| self.rng.chance(500)).collect(),
        }
    }

    /// Draws an I/O error.
    fn maybe_fail(&mut self) -> io::Result<()> {
        if self.rng_chance(self.faults.error_per_mille) {
            self.errors_fired += 1;
            return Err(io::Error::other("injected: the device failed"));
        }
        Ok(())
    }

    /// Refuses what does not fit.
    fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        if self.used + bytes > self.capacity || self.rng_chance(self.faults.full_per_mille) {
            self.refusals_fired += 1;
            return Err(ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// Draws nothing where nothing can happen, so that a disk without faults costs nothing.
    fn rng_chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.rng.chance(per_mille)
    }

    fn note(&mut self, verb: &[u8], subject: &[u8]) {
        self.digest.bytes(verb);
        self.digest.bytes(subject);
    }

    fn make(&mut self, inode: impl FnOnce(InodeId) -> Inode) -> InodeId {
        self.inodes_made += 1;
        let id = InodeId(self.inodes_made);
        self.inodes.insert(id, inode(id));
        id
    }

    fn find(&self, path: &LogPath) -> Option<InodeId> {
        path.as_str().split('/').filter(|name| !name.is_empty()).try_fold(ROOT, |dir, name| match &self.inodes[&dir] {
            Inode::Directory(directory) => directory.names().get(name).copied(),
            Inode::File(_) => None,
        })
    }

    fn parent(&self, path: &LogPath) -> io::Result<InodeId> {
        let parent = path.parent().ok_or(ErrorKind::InvalidInput)?;
        let inode = self.find(&parent).ok_or(ErrorKind::NotFound)?;
        self.directory(inode).map(|_| inode)
    }

    fn directory(&self, inode: InodeId) -> io::Result<&DirectoryImage> {
        match &self.inodes[&inode] {
            Inode::Directory(directory) => Ok(directory),
            Inode::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    /// Lets the last name of a path lead to an inode, or nowhere.
    fn link(&mut self, parent: InodeId, path: &LogPath, inode: Option<InodeId>) {
        self.seq += 1;
        self.change_names(parent, vec![(path.name().to_owned(), inode)], None);
    }

    fn change_names(&mut self, dir: InodeId, changes: Vec<(String, Option<InodeId>)>, partner: Option<InodeId>) {
        let Some(Inode::Directory(directory)) = self.inodes.get_mut(&dir) else {
            panic!("only a directory has names");
        };
        directory.change(self.seq, changes, partner);
    }

    fn check_removable(&self, inode: InodeId) -> io::Result<()> {
        match &self.inodes[&inode] {
            Inode::Directory(directory) if !directory.names().is_empty() => Err(ErrorKind::DirectoryNotEmpty.into()),
            Inode::Directory(_) | Inode::File(_) => Ok(()),
        }
    }

    /// A name no longer leads to the inode; its bytes take no room from now on.
    fn unlink(&mut self, inode: InodeId) {
        if let Some(Inode::File(file)) = self.inodes.get_mut(&inode) {
            file.linked = false;
            self.used -= file.len();
        }
    }

    fn file(&self, file: FileId) -> &FileImage {
        let inode = self.open.get(&file).expect("a file is open when it is used");
        let Inode::File(image) = &self.inodes[inode] else { panic!("only files are open") };
        image
    }

    fn file_mut(&mut self, file: FileId) -> &mut FileImage {
        let inode = self.open.get(&file).expect("a file is open when it is used");
        let Some(Inode::File(image)) = self.inodes.get_mut(inode) else { panic!("only files are open") };
        image
    }
}
