//! A simulated file system that can lose power, fail and run full.
//!
//! * The process sees every verb at once; a sync makes durable what was done before it was *submitted*, nothing later.
//! * A kill keeps everything (the page cache survives a process). A loss of power keeps what is durable and, of the
//!   rest, any subset: sectors survive, vanish or tear whatever their order, lengths and truncations may be undone,
//!   names appear or not. Only `replace` is atomic.
//! * A sync through a pin whose file was truncated since covers nothing that was done after the truncation: the real
//!   disk goes on with another file there.
//!
//! Deliberately absent: bit rot and misdirected writes (they need a replica to heal from).

mod differential;
mod directory;
mod file;
mod filesystem;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use highwater_core::Disk;
use highwater_core::disk::{DirEntry, LogPath, OpenMode, Pin, Space};
use highwater_core::ids::FileId;

pub use differential::differential;
use filesystem::FileSystem;
pub use filesystem::{DiskFaults, SyncScope};

use crate::rng::Stream;

/// Names a file or directory, whatever its names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InodeId(u64);

/// A handle on a simulated file system; every shard of a broker holds one.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<FileSystem>>);

impl SimDisk {
    /// An empty file system that draws its losses from `rng`.
    pub fn new(rng: Stream) -> Self {
        Self(Arc::new(Mutex::new(FileSystem::new(rng))))
    }

    /// What a sync of these files and directories will make durable if it is submitted now.
    pub fn submit(&self, files: &[Pin], directories: &[LogPath]) -> SyncScope {
        self.lock().submit(files, directories)
    }

    /// A submitted sync ends.
    ///
    /// # Errors
    /// As [`DiskFaults`] draws. Then nothing is durable, and the page cache holds what the disk may not: the next
    /// [`kill`](Self::kill) loses power too.
    pub fn complete(&self, scope: &SyncScope) -> io::Result<()> {
        self.lock().complete(scope)
    }

    /// The process died: its open files are closed, the page cache stays, unless a sync has failed before. Returns
    /// whether anything may be lost.
    pub fn kill(&self) -> bool {
        self.lock().kill()
    }

    /// Power was lost: of what was not synced, anything may be gone.
    pub fn lose_power(&self) {
        self.lock().lose_power();
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: DiskFaults) {
        self.lock().set_faults(faults);
    }

    /// How many faults the file system has answered with so far: I/O errors, then refusals for want of space.
    pub fn faults_fired(&self) -> (u64, u64) {
        self.lock().faults_fired()
    }

    /// Bytes that files with a name hold.
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    /// Bytes that a loss of power could take now.
    pub fn unsynced_bytes(&self) -> u64 {
        self.lock().unsynced_bytes()
    }

    /// A hash of everything that was ever done to this file system, in order.
    pub fn digest(&self) -> u64 {
        self.lock().digest()
    }

    fn lock(&self) -> MutexGuard<'_, FileSystem> {
        // A panic in the middle of a verb ends the run, but what it drops may still close its files.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for SimDisk {
    fn open(&mut self, path: &LogPath, mode: OpenMode) -> io::Result<FileId> {
        self.lock().open(path, mode)
    }

    fn close(&mut self, file: FileId) {
        self.lock().close(file);
    }

    fn len(&self, file: FileId) -> io::Result<u64> {
        self.lock().len(file)
    }

    fn append(&mut self, file: FileId, parts: &[&[u8]]) -> io::Result<u64> {
        self.lock().append(file, parts)
    }

    fn read_at(&self, file: FileId, pos: u64, out: &mut [u8]) -> io::Result<usize> {
        self.lock().read_at(file, pos, out)
    }

    fn truncate(&mut self, file: FileId, len: u64) -> io::Result<()> {
        self.lock().truncate(file, len)
    }

    fn pin(&self, file: FileId) -> Pin {
        self.lock().pin(file)
    }

    fn create_dir(&mut self, path: &LogPath) -> io::Result<()> {
        self.lock().create_dir(path)
    }

    fn list(&self, dir: &LogPath) -> io::Result<Vec<DirEntry>> {
        self.lock().list(dir)
    }

    fn rename(&mut self, from: &LogPath, to: &LogPath) -> io::Result<()> {
        self.lock().rename(from, to)
    }

    fn remove(&mut self, path: &LogPath) -> io::Result<()> {
        self.lock().remove(path)
    }

    fn replace(&mut self, path: &LogPath, bytes: &[u8]) -> io::Result<()> {
        self.lock().replace(path, bytes)
    }

    fn space(&self) -> io::Result<Space> {
        self.lock().space()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Concern;

    fn disk(seed: u64) -> SimDisk {
        SimDisk::new(Stream::new(seed, Concern::Disk, 0))
    }

    fn path(name: &str) -> LogPath {
        LogPath::root().join(name)
    }

    fn sync(disk: &SimDisk, files: &[Pin], directories: &[LogPath]) {
        disk.complete(&disk.submit(files, directories)).unwrap();
    }

    fn names(disk: &SimDisk) -> Vec<String> {
        disk.list(&LogPath::root()).unwrap().into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn the_disk_agrees_with_itself_on_random_verbs() {
        (0..50).for_each(|seed| differential(disk(0), disk(1), seed, 400));
    }

    #[test]
    fn a_name_survives_only_after_a_sync_of_its_directory() {
        let mut vanished = 0;
        for seed in 0..100 {
            let mut disk = disk(seed);
            disk.open(&path("durable"), OpenMode::New).unwrap();
            sync(&disk, &[], &[LogPath::root()]);
            disk.open(&path("unsynced"), OpenMode::New).unwrap();
            disk.lose_power();
            assert!(names(&disk).contains(&"durable".to_owned()), "seed {seed}");
            vanished += usize::from(names(&disk).len() == 1);
        }
        assert!((10..90).contains(&vanished), "{vanished} of 100 unsynced names vanished");
    }

    #[test]
    fn a_sync_covers_only_what_was_done_before_it_was_submitted() {
        let mut lost = 0;
        for seed in 0..100 {
            let mut disk = disk(seed);
            let file = disk.open(&path("f"), OpenMode::New).unwrap();
            disk.append(file, &[b"before"]).unwrap();
            let scope = disk.submit(&[disk.pin(file)], &[LogPath::root()]);
            disk.append(file, &[b"after"]).unwrap();
            disk.complete(&scope).unwrap();
            disk.lose_power();
            let bytes = highwater_core::disk::read_file(&mut disk, &path("f"), 100).unwrap().unwrap();
            assert!(bytes.starts_with(b"before"), "seed {seed}");
            lost += usize::from(bytes == b"before");
        }
        assert!(lost > 10, "what came after the submission was lost {lost} times of 100");
    }

    #[test]
    fn a_replaced_file_is_whole_whatever_is_lost() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let mut disk = disk(seed);
            disk.replace(&path("f"), b"old").unwrap();
            sync(&disk, &[], &[LogPath::root()]);
            disk.replace(&path("f"), b"the new one").unwrap();
            disk.lose_power();
            seen.insert(highwater_core::disk::read_file(&mut disk, &path("f"), 100).unwrap().unwrap());
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [b"old".to_vec(), b"the new one".to_vec()]);
    }

    #[test]
    fn a_rename_survives_whole_or_not_at_all() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let mut disk = disk(seed);
            disk.open(&path("from"), OpenMode::New).unwrap();
            sync(&disk, &[], &[LogPath::root()]);
            disk.rename(&path("from"), &path("to")).unwrap();
            disk.lose_power();
            seen.insert(names(&disk));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [["from"], ["to"]]);
    }

    #[test]
    fn a_kill_keeps_the_page_cache_unless_a_sync_has_failed() {
        let mut lost = 0;
        for seed in 0..100 {
            let mut disk = disk(seed);
            let file = disk.open(&path("f"), OpenMode::New).unwrap();
            disk.append(file, &[b"kept"]).unwrap();
            disk.kill();
            let mut out = [0; 4];
            let file = disk.open(&path("f"), OpenMode::Existing).unwrap();
            assert_eq!(disk.read_at(file, 0, &mut out).unwrap(), 4);
            disk.set_faults(DiskFaults { sync_error_per_mille: 1000, ..DiskFaults::default() });
            disk.complete(&disk.submit(&[disk.pin(file)], &[LogPath::root()])).unwrap_err();
            disk.kill();
            lost += usize::from(names(&disk).is_empty());
        }
        assert!(lost > 10, "a failed sync lost the file {lost} times of 100");
    }

    #[test]
    fn a_full_disk_refuses_and_leaves_everything_as_it_was() {
        let mut disk = disk(1);
        let file = disk.open(&path("f"), OpenMode::New).unwrap();
        disk.append(file, &[b"1234"]).unwrap();
        disk.set_faults(DiskFaults { room: Some(3), ..DiskFaults::default() });
        let full = |result: io::Result<u64>| result.unwrap_err().kind() == io::ErrorKind::StorageFull;
        assert!(full(disk.append(file, &[b"5678"])));
        assert_eq!(disk.append(file, &[b"567"]).unwrap(), 7);
        assert!(full(disk.append(file, &[b"8"])));
        disk.truncate(file, 4).unwrap();
        assert_eq!(disk.append(file, &[b"abc"]).unwrap(), 7, "what is cut makes room");
        assert_eq!(disk.faults_fired(), (0, 2));
    }
}
