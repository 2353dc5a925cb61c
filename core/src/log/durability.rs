//! What of a log is durable, and what the next sync must cover.
//!
//! Invariants:
//! * Each [`Dirty`] that was handed out comes back once, in order, through [`Durability::mark_synced`].
//! * What was touched after a `Dirty` was made is not covered by it.

use std::collections::{BTreeSet, VecDeque};

use crate::disk::{Disk, LogPath, Pin};
use crate::ids::{FileId, Offset};

/// What the next sync must cover for a log to be durable up to an offset.
#[derive(Debug)]
pub struct Dirty {
    /// Files with new bytes.
    pub files: Vec<Pin>,
    /// Directories with new names.
    pub directories: Vec<LogPath>,
    /// What to tell [`Log::mark_synced`](super::Log::mark_synced) when the sync has ended.
    pub upto: Offset,
}

#[derive(Debug)]
pub(super) struct Durability {
    synced: Offset,
    files: BTreeSet<FileId>,
    /// Files that may hold a change of an earlier process: the next sync, whatever it is for, covers them too.
    doubtful: BTreeSet<FileId>,
    directory: bool,
    /// The directory itself may be new in its parent.
    parent: bool,
    /// How often names or small files in the directory were changed.
    changes: u64,
    changes_synced: u64,
    submitted: VecDeque<Submitted>,
}

#[derive(Debug)]
struct Submitted {
    upto: Offset,
    /// Lower than `upto` if the log was cut meanwhile.
    counts: Offset,
    changes: u64,
}

impl Durability {
    pub fn new(synced: Offset) -> Self {
        Self {
            synced,
            files: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            directory: false,
            parent: false,
            changes: 0,
            changes_synced: 0,
            submitted: VecDeque::new(),
        }
    }

    /// Everything below is durable.
    pub fn synced(&self) -> Offset {
        self.synced
    }

    /// A file has new bytes or another length.
    pub fn touch(&mut self, file: FileId) {
        self.files.insert(file);
    }

    /// A file may have been changed by an earlier process. That alone needs no sync, but what comes after it does.
    pub fn doubt(&mut self, file: FileId) {
        self.doubtful.insert(file);
    }

    /// Names or small files changed. Returns the change's number.
    pub fn touch_directory(&mut self) -> u64 {
        self.directory = true;
        self.changes += 1;
        self.changes
    }

    /// The directory may be new. Returns the change's number.
    pub fn touch_parent(&mut self) -> u64 {
        self.parent = true;
        self.touch_directory()
    }

    /// Whether the change with this number is durable.
    pub fn is_change_synced(&self, change: u64) -> bool {
        change <= self.changes_synced
    }

    /// The file is closed; its bytes no longer matter.
    pub fn forget(&mut self, file: FileId) {
        self.files.remove(&file);
        self.doubtful.remove(&file);
    }

    /// The log was cut to `end`.
    pub fn truncate(&mut self, end: Offset) {
        self.synced = self.synced.min(end);
        for submitted in &mut self.submitted {
            submitted.counts = submitted.counts.min(end);
        }
    }

    /// Hands out what a sync must cover now, once.
    pub fn submit(&mut self, disk: &impl Disk, dir: &LogPath, end: Offset) -> Option<Dirty> {
        if self.files.is_empty() && !self.directory {
            return None;
        }
        // Names that the earlier process removed are in doubt with the files that it cut.
        self.directory |= !self.doubtful.is_empty();
        self.files.append(&mut self.doubtful);
        let files = std::mem::take(&mut self.files).into_iter().map(|file| disk.pin(file)).collect();
        let own = self.directory.then(|| dir.clone());
        let parent = dir.parent().filter(|_| self.parent);
        (self.directory, self.parent) = (false, false);
        self.submitted.push_back(Submitted { upto: end, counts: end, changes: self.changes });
        Some(Dirty { files, directories: own.into_iter().chain(parent).collect(), upto: end })
    }

    /// The oldest sync that is under way has ended.
    pub fn mark_synced(&mut self, upto: Offset) {
        let submitted = self.submitted.pop_front().expect("only what was submitted is reported as synced");
        assert_eq!(submitted.upto, upto, "syncs are reported in the order in which they were submitted");
        self.synced = self.synced.max(submitted.counts);
        self.changes_synced = submitted.changes;
    }

    pub fn check(&self, end: Offset) {
        assert!(self.synced <= end, "nothing beyond the log's end is durable");
        assert!(self.submitted.iter().all(|submitted| submitted.counts <= end), "no sync covers more than there is");
    }
}
