//! Opening a log that an earlier process wrote.
//!
//! The checkpoint says what need not be read; what follows it is read batch by batch. Below the *floor*, the offset up to
//! which everything is known to have been synced, whatever is wrong is damage and an error: nothing is ever cut there.
//! From the floor on, the first thing that is wrong is where a crash tore the log, and it is cut there.
//!
//! Invariants:
//! * Nothing that was read counts as synced beyond the floor; the first [`Log::dirty`] covers all of it.
//! * A file goes only when the checkpoint, or the log's start, by which it is no part of the log is durable.
//! * Snapshots beyond the floor may stem from batches that are lost, so none of them survives.
//!
//! Deliberately absent: repair. An operator who accepts a loss moves files away, and knows what is lost.

use std::collections::BTreeMap;
use std::io;

use highwater_wire::records::BatchHeader;

use super::Log;
use super::checkpoint::{Checkpoint, SegmentMark};
use super::config::LogConfig;
use super::durability::Durability;
use super::index::Index;
use super::leader_epochs::LeaderEpochs;
use super::names::{self, Generation, Kind};
use super::producers::Producers;
use super::retention::{Removing, remove_if_there, start_from_bytes};
use super::scan::{Scanned, Scanner};
use super::segment::Segment;
use super::small_file::SmallFileError;
use crate::disk::{Disk, LogPath, OpenMode, read_file};
use crate::ids::{FileId, LeaderEpoch, Offset};
use crate::planted::{self, Bug};
use crate::time::Now;

/// Bytes of a small file that recovery is willing to read.
const SMALL_FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What recovery did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of batches that were read and checked.
    pub bytes_read: u64,
    /// Bytes that were cut off because a crash had torn them.
    pub bytes_truncated: u64,
    /// Indexes and other files that were missing or unusable and made again.
    pub files_rebuilt: u32,
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenLogError {
    /// A file is not what it was when it was synced.
    #[error("{file} is damaged at byte {position}, which is offset {offset}: {reason}; {remedy}")]
    Damaged {
        /// The file, below the data directory.
        file: LogPath,
        /// Where in it.
        position: u64,
        /// The first offset that is lost.
        offset: Offset,
        /// What is wrong.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// The disk failed.
    #[error("cannot open the log in {dir}: {error}")]
    Io {
        /// The log's directory.
        dir: LogPath,
        /// What the operating system said.
        error: io::Error,
    },
}

impl Log {
    /// Opens the log in `dir`. What lies below `recovery_point` was synced: it must be there and whole.
    ///
    /// # Errors
    /// Damage, or an I/O error.
    pub fn open(
        disk: &mut impl Disk,
        dir: LogPath,
        config: LogConfig,
        recovery_point: Offset,
        now: Now,
    ) -> Result<(Self, Recovery), OpenLogError> {
        let opening = Opening::begin(disk, dir, config, recovery_point)?;
        let (dir, saved_epochs) = (opening.dir.clone(), opening.saved_epochs.clone());
        let (mut log, recovery) = opening.run(disk)?;
        log.producers.expire(now.wall, log.config.producer_id_expiration_ms);
        log.finish_opening(disk, saved_epochs, recovery).map_err(|error| OpenLogError::Io { dir, error })?;
        Ok((log, recovery))
    }

    /// Marks what is not known to be durable, and brings the small files in line with what was found.
    fn finish_opening(
        &mut self,
        disk: &mut impl Disk,
        saved_epochs: Option<LeaderEpochs>,
        recovery: Recovery,
    ) -> io::Result<()> {
        let floor = self.synced_offset();
        let end = self.end_offset();
        if self.start > end {
            // The deletion survived a power loss, but not the records whose place others will take now.
            self.move_start(disk, end)?;
        }
        let (mut epochs, mut saved_epochs) = (self.epochs.clone(), saved_epochs.unwrap_or_default());
        epochs.truncate_end(end);
        epochs.truncate_start(self.start);
        let has_empty_epochs = saved_epochs.truncate_end(end);
        if saved_epochs == epochs {
            (self.epochs, self.has_unsaved_epochs) = (epochs, has_empty_epochs);
        } else {
            self.save_epochs(disk, epochs)?;
        }
        // Of a file without a synced batch even the name may not be durable.
        let loose: Vec<_> =
            self.segments.values().filter(|segment| segment.next > floor || segment.base >= floor).collect();
        if !loose.is_empty() || recovery.bytes_truncated > 0 || recovery.files_rebuilt > 0 {
            self.rolled_at = self.durability.touch_parent();
        }
        for file in loose.iter().flat_map(|segment| [Some(segment.file), segment.index.file()]).flatten() {
            self.durability.touch(file);
        }
        // The process before may have cut a segment back to the floor and died before the sync.
        for segment in self.segments.values().filter(|segment| segment.next == floor) {
            self.durability.doubt(segment.file);
        }
        self.check();
        Ok(())
    }
}

/// A log on its way to being open.
struct Opening {
    dir: LogPath,
    config: LogConfig,
    floor: Offset,
    start: Option<Offset>,
    checkpoint: Option<Checkpoint>,
    /// The files of batches that were not looked at yet, in order.
    unread: Vec<(Offset, Generation)>,
    segments: BTreeMap<Offset, Segment>,
    epochs: LeaderEpochs,
    /// What the file of the epochs has. Without it only the batches know them.
    saved_epochs: Option<LeaderEpochs>,
    producers: Producers,
    recovery: Recovery,
    /// Where the next batch must start, or later.
    next: Offset,
    /// Whether a file's name was taken out of the directory.
    stale_removed: bool,
    /// Segments that are not part of the log. What says so may not be durable yet, so their files stay until it is.
    leftovers: Vec<Segment>,
    /// Files that were cut: were a cut undone, its torn end would come to lie before records that are synced by then.
    cut: Vec<FileId>,
}

impl Opening {
    /// Reads the directory and the small files.
    fn begin(
        disk: &mut impl Disk,
        dir: LogPath,
        config: LogConfig,
        recovery_point: Offset,
    ) -> Result<Self, OpenLogError> {
        let io = |error| OpenLogError::Io { dir: dir.clone(), error };
        let entries = disk.list(&dir).map_err(io)?;
        let start = read_small(disk, &dir, names::START, start_from_bytes)?;
        let checkpoint = read_small(disk, &dir, names::CHECKPOINT, Checkpoint::from_bytes)?;
        let floor = checkpoint.as_ref().map_or(recovery_point, |checkpoint| checkpoint.offset.max(recovery_point));
        let (mut unread, mut stale_removed) = (Vec::new(), false);
        for entry in &entries {
            match names::parse(&entry.name) {
                Kind::Log(base, generation) => unread.push((base, generation)),
                Kind::Snapshot(offset) if offset > floor => {
                    disk.remove(&dir.join(&entry.name)).map_err(io)?;
                    stale_removed = true;
                }
                Kind::Snapshot(_) | Kind::Index(..) | Kind::Other => {}
            }
        }
        unread.sort_unstable();
        let epochs = read_file(disk, &dir.join(names::LEADER_EPOCHS), SMALL_FILE_BYTES_MAX).map_err(io)?;
        let epochs = epochs.and_then(|bytes| LeaderEpochs::from_bytes(&bytes).ok());
        Ok(Self {
            floor,
            start,
            unread,
            segments: BTreeMap::new(),
            epochs: epochs.clone().unwrap_or_default(),
            saved_epochs: epochs,
            producers: Producers::default(),
            recovery: Recovery::default(),
            next: Offset(0),
            stale_removed,
            leftovers: Vec::new(),
            cut: Vec::new(),
            checkpoint,
            dir,
            config,
        })
    }

    fn run(mut self, disk: &mut impl Disk) -> Result<(Log, Recovery), OpenLogError> {
        let checkpointed = self.checkpoint.as_ref().map_or(Offset(0), |checkpoint| checkpoint.offset);
        let cleaned = self.checkpoint.as_ref().map_or(Offset(0), |checkpoint| checkpoint.cleaned);
        match self.checkpoint.take() {
            Some(checkpoint) => self.resume(disk, checkpoint)?,
            None => {
                self.require_originals()?;
                self.epochs = LeaderEpochs::default();
            }
        }
        self.read_on(disk)?;
        if self.segments.is_empty() {
            let first = Segment::create(disk, &self.dir, self.next).map_err(|error| self.io(error))?;
            self.segments.insert(first.base, first);
            self.recovery.files_rebuilt += 1;
        }
        let first = *self.segments.keys().next().expect("a segment was found or made");
        let counted = if planted::is(Bug::RecoveredCountsAsSynced) { self.next } else { self.floor };
        let mut durability = Durability::new(counted);
        if self.stale_removed {
            durability.touch_directory();
        }
        // A process that was killed may have left the checkpoint, and the log's start, in the page cache.
        let is_read_back = !self.leftovers.is_empty() || self.config.compact && checkpointed > Offset(0);
        let checkpoint_change = if is_read_back { durability.touch_directory() } else { 1 };
        let removing = self.leftovers.into_iter().map(|segment| Removing::new(segment, checkpoint_change)).collect();
        self.cut.iter().for_each(|file| durability.touch(*file));
        let log = Log {
            dir: self.dir,
            config: self.config,
            segments: self.segments,
            start: self.start.unwrap_or(first).max(first),
            epochs: self.epochs,
            has_unsaved_epochs: false,
            producers: self.producers,
            durability,
            prepared: None,
            checkpointed,
            checkpoint_change,
            rolled_at: 0,
            cleaned,
            compaction: None,
            is_checkpoint_outdated: false,
            is_uncleanable: false,
            replaced: Vec::new(),
            lowered: None,
            removing,
        };
        Ok((log, self.recovery))
    }

    /// Takes over what the checkpoint knows, without reading it again.
    fn resume(&mut self, disk: &mut impl Disk, checkpoint: Checkpoint) -> Result<(), OpenLogError> {
        let mut leftovers = self.unread.extract_if(.., |file| !checkpoint.counts(*file)).collect::<Vec<_>>();
        let Checkpoint { offset, mut segments, producers, .. } = checkpoint;
        let Some(oldest) = segments.first().map(|mark| mark.base) else { return Ok(()) };
        // Files go only when the log durably starts behind them, the oldest first: what lies before one that is gone
        // has come back, and goes again.
        let start = self.start.unwrap_or(oldest);
        let is_there = |mark: &SegmentMark| self.unread.contains(&(mark.base, mark.generation));
        let gone = segments.iter().rposition(|mark| mark.next <= start && !is_there(mark)).map_or(0, |at| at + 1);
        for mark in segments.drain(..gone) {
            leftovers.extend(self.unread.extract_if(.., |file| *file == (mark.base, mark.generation)));
        }
        self.next = segments.first().map_or(offset, |mark| mark.base);
        // Beyond the checkpoint a lost cut may have brought back an older leader's batches: they say themselves whose
        // they are.
        self.epochs.truncate_end(offset);
        self.producers = producers;
        if let Some((active, sealed)) = segments.split_last() {
            for mark in sealed {
                let segment = self.open_sealed(disk, mark)?;
                self.next = segment.next;
                self.segments.insert(mark.base, segment);
            }
            let scanner = self.resume_active(disk, active, offset)?;
            self.scan(disk, active.base, scanner)?;
        }
        for (base, generation) in leftovers {
            let (file, _) = self.open_file(disk, &names::log(&self.dir, base, generation))?;
            self.leftovers.push(Segment::empty(base, generation, file));
        }
        Ok(())
    }

    /// Only a checkpoint says which rewritten segments count.
    fn require_originals(&self) -> Result<(), OpenLogError> {
        let Some((base, generation)) = self.unread.iter().find(|(_, rewritten)| *rewritten > Generation::ORIGINAL)
        else {
            return Ok(());
        };
        let reason = "compaction has rewritten it, but the log's checkpoint, which says so, is missing".to_owned();
        Err(self.damaged(names::log(&self.dir, *base, *generation), 0, *base, reason))
    }

    fn open_sealed(&mut self, disk: &mut impl Disk, mark: &SegmentMark) -> Result<Segment, OpenLogError> {
        let (file, len) = self.open_marked(disk, mark)?;
        if len != mark.size {
            let reason = format!("it has {len} bytes instead of {}", mark.size);
            let path = mark.path(&self.dir);
            return Err(self.damaged(path, len.min(mark.size), mark.base, reason));
        }
        let path = names::index(&self.dir, mark.base, mark.generation);
        if self.saved_epochs.is_some() {
            let index = Index::open_sealed(disk, &path, mark.base, mark.index_entries);
            if let Some(index) = index.map_err(|error| self.io(error))? {
                return Ok(marked_segment(mark, file, index));
            }
        }
        let mut segment = self.read_again(disk, mark, file)?;
        segment.seal_index(disk, &self.dir).map_err(|error| self.io(error))?;
        Ok(segment)
    }

    /// Reads what the checkpoint knows of a segment whose index is unusable, or whose leader epochs are lost.
    fn read_again(&mut self, disk: &impl Disk, mark: &SegmentMark, file: FileId) -> Result<Segment, OpenLogError> {
        let mut segment = Segment::empty(mark.base, mark.generation, file);
        let mut scanner = Scanner::new(disk, file, 0).map_err(|error| self.io(error))?;
        while segment.size < mark.size {
            let Scanned::Batch(header) = self.next_batch(disk, &mut scanner, &segment)? else { break };
            segment.note(&header, self.config.index_interval_bytes);
            if self.saved_epochs.is_none() {
                self.epochs.assign(LeaderEpoch(header.partition_leader_epoch), Offset(header.base_offset));
            }
        }
        self.recovery.bytes_read += segment.size;
        self.recovery.files_rebuilt += 1;
        if (segment.size, segment.next) == (mark.size, mark.next) {
            return Ok(segment);
        }
        let (size, next) = (mark.size, mark.next);
        let reason = format!("offset {} is reached there, where {next} should be reached at byte {size}", segment.next);
        Err(self.damaged(mark.path(&self.dir), segment.size, segment.next.min(next), reason))
    }

    /// Prepares to read on where the checkpoint left off.
    fn resume_active(
        &mut self,
        disk: &mut impl Disk,
        mark: &SegmentMark,
        offset: Offset,
    ) -> Result<Scanner, OpenLogError> {
        let (file, len) = self.open_marked(disk, mark)?;
        if len < mark.size {
            let reason = format!("it has {len} bytes instead of at least {}", mark.size);
            return Err(self.damaged(mark.path(&self.dir), len, offset, reason));
        }
        let path = names::index(&self.dir, mark.base, mark.generation);
        let index = match self.saved_epochs {
            Some(_) => Index::open_active(disk, &path, mark.base, mark.index_entries),
            None => Ok(None),
        };
        let segment = match index.map_err(|error| self.io(error))? {
            Some(index) => marked_segment(mark, file, index),
            None => self.read_again(disk, mark, file)?,
        };
        self.next = segment.next;
        self.segments.insert(mark.base, segment);
        Scanner::new(disk, file, mark.size).map_err(|error| self.io(error))
    }

    fn open_marked(&mut self, disk: &mut impl Disk, mark: &SegmentMark) -> Result<(FileId, u64), OpenLogError> {
        let Some(at) = self.unread.iter().position(|file| *file == (mark.base, mark.generation)) else {
            return Err(self.damaged(mark.path(&self.dir), 0, mark.base, "it is missing".to_owned()));
        };
        self.unread.remove(at);
        self.open_file(disk, &mark.path(&self.dir))
    }

    fn open_file(&self, disk: &mut impl Disk, path: &LogPath) -> Result<(FileId, u64), OpenLogError> {
        let file = disk.open(path, OpenMode::Existing).map_err(|error| self.io(error))?;
        Ok((file, disk.len(file).map_err(|error| self.io(error))?))
    }

    /// Reads the segments that came after the checkpoint, for as long as they follow one another without a gap.
    fn read_on(&mut self, disk: &mut impl Disk) -> Result<(), OpenLogError> {
        let unread = std::mem::take(&mut self.unread);
        let mut files = unread.iter();
        while let Some(&(base, generation)) = files.as_slice().first() {
            if base != self.next {
                break;
            }
            files.next();
            self.seal_last(disk)?;
            self.next = base;
            let (file, _) = self.open_file(disk, &names::log(&self.dir, base, generation))?;
            // What an earlier process left of the index is not trusted: it is written again when the segment is closed.
            remove_if_there(disk, &names::index(&self.dir, base, generation)).map_err(|error| self.io(error))?;
            self.segments.insert(base, Segment::empty(base, generation, file));
            let scanner = Scanner::new(disk, file, 0).map_err(|error| self.io(error))?;
            self.scan(disk, base, scanner)?;
        }
        self.require_floor()?;
        for &file in files {
            self.recovery.bytes_truncated += self.remove_segment(disk, file)?;
        }
        Ok(())
    }

    /// Reads batches to the segment's end, and cuts off what is torn.
    fn scan(&mut self, disk: &mut impl Disk, base: Offset, mut scanner: Scanner) -> Result<(), OpenLogError> {
        let interval = self.config.index_interval_bytes;
        let from = scanner.position();
        loop {
            let segment = self.segments.get(&base).expect("the segment that is read was inserted");
            let Scanned::Batch(header) = self.next_batch(disk, &mut scanner, segment)? else { break };
            let segment = self.segments.get_mut(&base).expect("as above");
            segment.note(&header, interval);
            self.next = segment.next;
            self.producers.update(&header);
            self.epochs.assign(LeaderEpoch(header.partition_leader_epoch), Offset(header.base_offset));
        }
        self.recovery.bytes_read += scanner.position() - from;
        let torn = scanner.len() - scanner.position();
        if torn > 0 && !planted::is(Bug::TornTailKept) {
            let file = self.segments.get(&base).expect("as above").file;
            disk.truncate(file, scanner.position()).map_err(|error| self.io(error))?;
            self.cut.push(file);
            self.recovery.bytes_truncated += torn;
        }
        Ok(())
    }

    /// The next good batch of a segment; the end, or a tear, both of which end it; or damage.
    fn next_batch(&self, disk: &impl Disk, scanner: &mut Scanner, segment: &Segment) -> Result<Scanned, OpenLogError> {
        let position = scanner.position();
        let reason = match scanner.next(disk).map_err(|error| self.io(error))? {
            Scanned::Batch(header) => match self.misplaced(&header, segment) {
                None => return Ok(Scanned::Batch(header)),
                Some(reason) => {
                    scanner.back_to(position);
                    reason
                }
            },
            Scanned::End => return Ok(Scanned::End),
            Scanned::Bad(error) => error.to_string(),
        };
        if segment.next < self.floor {
            return Err(self.damaged(segment.path(&self.dir), position, segment.next, reason));
        }
        Ok(Scanned::End)
    }

    /// Why a good batch cannot stand where it does.
    fn misplaced(&self, header: &BatchHeader, segment: &Segment) -> Option<String> {
        let base = header.base_offset;
        if Offset(base) < segment.next || header.last_offset_delta < 0 {
            return Some(format!("a batch at offset {base} stands where offset {} is due", segment.next));
        }
        // Behind a newer leader's batch, what an older one wrote is left over from before a cut.
        let epoch = header.partition_leader_epoch;
        if self.epochs.epoch_at(Offset(base)).is_some_and(|latest| epoch < latest.0) {
            return Some(format!("the batch at offset {base} is of the old leader epoch {epoch}"));
        }
        let fits = segment.relative(Offset(header.next_offset())).is_some() && u32::try_from(segment.size).is_ok();
        (!fits).then(|| format!("a batch at offset {base} is too far from its segment's start"))
    }

    /// Closes the segment that was read last, as the roll had done.
    fn seal_last(&mut self, disk: &mut impl Disk) -> Result<(), OpenLogError> {
        let Some(mut last) = self.segments.last_entry() else { return Ok(()) };
        let next = last.get().next;
        let sealed = last.get_mut().seal_index(disk, &self.dir);
        let snapshot = disk.replace(&names::snapshot(&self.dir, next), &self.producers.to_bytes(next));
        sealed.and(snapshot.map(|()| true)).map_err(|error| self.io(error))?;
        Ok(())
    }

    fn remove_segment(&mut self, disk: &mut impl Disk, name: (Offset, Generation)) -> Result<u64, OpenLogError> {
        let (base, generation) = name;
        let (file, len) = self.open_file(disk, &names::log(&self.dir, base, generation))?;
        disk.close(file);
        self.stale_removed = true;
        let own = [names::log(&self.dir, base, generation), names::index(&self.dir, base, generation)];
        for path in own.into_iter().chain([names::snapshot(&self.dir, base)]) {
            remove_if_there(disk, &path).map_err(|error| self.io(error))?;
        }
        Ok(len)
    }

    /// All that was synced must have been found.
    fn require_floor(&self) -> Result<(), OpenLogError> {
        let end = self.segments.values().next_back().map_or(self.next, |last| last.next);
        if end >= self.floor {
            return Ok(());
        }
        let last = self.segments.values().next_back();
        let (file, position) = last.map_or((self.dir.clone(), 0), |last| (last.path(&self.dir), last.size));
        Err(self.damaged(file, position, end, format!("the log ends before offset {}", self.floor)))
    }

    fn damaged(&self, file: LogPath, position: u64, offset: Offset, reason: String) -> OpenLogError {
        damaged(&self.dir, file, position, offset, reason)
    }

    fn io(&self, error: io::Error) -> OpenLogError {
        OpenLogError::Io { dir: self.dir.clone(), error }
    }
}

/// A segment as its checkpoint remembers it.
fn marked_segment(mark: &SegmentMark, file: FileId, index: Index) -> Segment {
    let SegmentMark { base, generation, next, size, max_timestamp, first_timestamp, .. } = *mark;
    Segment { base, generation, next, file, size, max_timestamp, first_timestamp, index }
}

pub(super) fn read_small<T>(
    disk: &mut impl Disk,
    dir: &LogPath,
    name: &str,
    parse: impl FnOnce(&[u8]) -> Result<T, SmallFileError>,
) -> Result<Option<T>, OpenLogError> {
    let path = dir.join(name);
    let bytes = read_file(disk, &path, SMALL_FILE_BYTES_MAX);
    let bytes = bytes.map_err(|error| OpenLogError::Io { dir: dir.clone(), error })?;
    let parsed = bytes.as_deref().map(parse).transpose();
    parsed.map_err(|error| damaged(dir, path, 0, Offset(0), error.to_string()))
}

fn damaged(dir: &LogPath, file: LogPath, position: u64, offset: Offset, reason: String) -> OpenLogError {
    let remedy = format!("restore it from a copy, or move {dir} away to give up the partition's records");
    OpenLogError::Damaged { file, position, offset, reason, remedy }
}
