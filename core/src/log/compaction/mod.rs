//! Compaction: of each key only the newest record stays.
//!
//! A compaction goes over the closed segments twice. First it notes the newest offset of each key in the *dirty* part, which
//! no compaction has been over, as far as a bounded map holds. Then it rewrites all segments from the log's start up to
//! there, a few of them into one, without the records that a newer one supersedes. Reading and deciding are steps that run
//! off the shard's thread; the log writes what comes back.
//!
//! Invariants:
//! * Nothing is rewritten that is written to, lies above the offset the owner names as stable, or is not covered by a
//!   durable checkpoint.
//! * Rewritten segments have files of their own. They take the others' place when they are durable; the next checkpoint
//!   names them, all at once, and only when that is durable do the old files go. A crash leaves all old or all new ones.
//! * A rewritten segment reaches from the first of the others' first offset to the last one's last: the batch that ends
//!   there stays, be it empty. So there are no gaps between segments, and readers reach the log's end.
//! * Older records of a key go no later than its tombstone: segments are rewritten in the order of their offsets.
//!
//! Sources: Kafka's log cleaner, KIP-354 (maximum lag), KIP-534 (tombstones go after a horizon).
//! Deliberately absent: a choice between logs, and throttling; those are the shard's.

mod job;
mod offset_map;
mod plan;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;

pub use job::{CompactionStep, CompactionStepDone};
pub use plan::Cleanable;

pub(super) use job::LastOfProducers;
use job::{Done, Rules, Task};
use offset_map::OffsetMap;

use super::names::Generation;
use super::{Log, Segment};
use crate::disk::{Disk, FileSlice};
use crate::ids::Offset;
use crate::time::Now;

/// Bytes that a step reads at least, whatever the configuration says.
const STEP_BYTES_MIN: u64 = 4096;

/// How much a compaction may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionLimits {
    /// Bytes of the map from keys to offsets (`log.cleaner.dedupe.buffer.size`).
    pub map_bytes_max: u64,
    /// About how many bytes one step reads (`log.cleaner.io.buffer.size`).
    pub step_bytes: u64,
    /// What the hashes of keys begin with.
    pub seed: u128,
}

/// What a compaction has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Segments that were rewritten.
    pub segments_before: u64,
    /// Segments that took their place.
    pub segments_after: u64,
    /// Bytes of the former.
    pub bytes_before: u64,
    /// Bytes of the latter.
    pub bytes_after: u64,
    /// Compaction has been over everything below.
    pub cleaned_offset: Offset,
}

/// How a compaction goes on.
#[derive(Debug)]
pub enum CompactionProgress {
    /// This is to be run, and its end passed to [`Log::continue_compaction`].
    Step(CompactionStep),
    /// What was written must be synced before it goes on.
    Sync,
    /// It has ended.
    Done(Compacted),
    /// It was given up: the log has changed, there is no room, or it was never begun.
    Abandoned,
    /// It was given up, and would be again: a batch is damaged.
    Damaged(String),
}

/// A compaction that is under way.
#[derive(Debug)]
pub(super) struct Compaction {
    limits: CompactionLimits,
    now: Now,
    /// Segments that end below are compacted.
    until: Offset,
    /// The segment that is read, and the first batch that was not.
    cursor: Option<(Offset, u64)>,
    phase: Phase,
    report: Compacted,
}

#[derive(Debug)]
enum Phase {
    /// The map is away while a step runs.
    Indexing(Option<OffsetMap>),
    Rewriting(Box<Rewriting>),
}

#[derive(Debug)]
struct Rewriting {
    /// The map is known up to here.
    end: Offset,
    /// Away while a step runs.
    tools: Option<(OffsetMap, Box<Rules>)>,
    /// The segments that become one, by their bases; the first group is being worked on.
    groups: VecDeque<Vec<Offset>>,
    /// Those of the first group that were not begun.
    sources: VecDeque<Offset>,
    output: Option<Segment>,
    /// The output is whole; it takes the group's place when this change is durable.
    complete_at: Option<u64>,
}

impl Compaction {
    pub fn into_output(self) -> Option<Segment> {
        match self.phase {
            Phase::Indexing(_) => None,
            Phase::Rewriting(rewriting) => rewriting.output,
        }
    }
}

impl Log {
    /// Begins to compact what [`Log::cleanable`] has found. [`Log::continue_compaction`] does the rest.
    ///
    /// # Errors
    /// An I/O error.
    ///
    /// # Panics
    /// If a compaction is under way.
    pub fn begin_compaction(
        &mut self,
        disk: &impl Disk,
        cleanable: &Cleanable,
        limits: CompactionLimits,
        now: Now,
    ) -> io::Result<()> {
        assert!(self.compaction.is_none(), "a log is compacted once at a time");
        let from = self.first_dirty();
        let (_, segment) = self.segments.range(..=from).next_back().expect("the log's start is in a segment");
        let map = OffsetMap::new(limits.map_bytes_max, limits.seed, from);
        self.compaction = Some(Compaction {
            limits,
            now,
            until: cleanable.until,
            cursor: Some((segment.base, segment.locate(disk, from)?)),
            phase: Phase::Indexing(Some(map)),
            report: Compacted::default(),
        });
        Ok(())
    }

    /// Whether a compaction is under way.
    pub fn is_compacting(&self) -> bool {
        self.compaction.is_some()
    }

    /// Takes the end of a step, or of a sync, and says how the compaction goes on.
    ///
    /// # Errors
    /// An I/O error. A full disk is none: the compaction is given up, and the log is as it was.
    pub fn continue_compaction(
        &mut self,
        disk: &mut impl Disk,
        done: Option<CompactionStepDone>,
    ) -> io::Result<CompactionProgress> {
        if self.compaction.is_none() || !self.config.compact {
            self.abandon_compaction(disk)?;
            return Ok(CompactionProgress::Abandoned);
        }
        let taken = done.map_or(Ok(()), |done| self.take_step(disk, done));
        match taken.and_then(|()| self.next_step(disk)) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                self.abandon_compaction(disk)?;
                Ok(CompactionProgress::Abandoned)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
                self.abandon_compaction(disk)?;
                self.is_uncleanable = true;
                Ok(CompactionProgress::Damaged(error.to_string()))
            }
            result => result,
        }
    }

    /// Gives up a compaction that is under way; the log stays as it was.
    ///
    /// # Errors
    /// An I/O error.
    pub fn abandon_compaction(&mut self, disk: &mut impl Disk) -> io::Result<()> {
        match self.compaction.take().and_then(Compaction::into_output) {
            Some(output) => self.remove_files(disk, output),
            None => Ok(()),
        }
    }

    fn take_step(&mut self, disk: &mut impl Disk, done: CompactionStepDone) -> io::Result<()> {
        let compaction = self.compaction.as_mut().expect("the caller looked");
        let result = done.result?;
        if let Some((_, position)) = &mut compaction.cursor {
            *position += done.bytes_read;
        }
        match (result, &mut compaction.phase) {
            (Done::Indexed { map, is_full }, Phase::Indexing(slot)) => {
                *slot = Some(map);
                if is_full {
                    compaction.cursor = None;
                }
                Ok(())
            }
            (Done::Rewritten { map, rules, bytes, headers }, Phase::Rewriting(rewriting)) => {
                rewriting.tools = Some((map, rules));
                let output = rewriting.output.as_mut().expect("a group is rewritten into a segment");
                if u32::try_from(output.size + bytes.len() as u64).is_err() {
                    let message = "a rewritten segment would be larger than its index can say";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                }
                disk.append(output.file, &[&bytes])?;
                headers.iter().for_each(|header| output.note(header, self.config.index_interval_bytes));
                self.durability.touch(output.file);
                Ok(())
            }
            (done, phase) => unreachable!("{done:?} is not the end of a step of {phase:?}"),
        }
    }

    fn next_step(&mut self, disk: &mut impl Disk) -> io::Result<CompactionProgress> {
        loop {
            let compaction = self.compaction.as_mut().expect("the caller looked");
            if let Phase::Indexing(map) = &mut compaction.phase {
                if let Some(slice) = unread(disk, &self.segments, compaction.cursor) {
                    let task = Task::Index(map.take().expect("one step at a time"));
                    return Ok(CompactionProgress::Step(compaction.step(slice, task)));
                }
                self.index_next_segment();
                continue;
            }
            if let Some(progress) = self.rewrite_on(disk)? {
                return Ok(progress);
            }
        }
    }

    /// Goes on to the next segment whose keys are to be noted, or to the rewriting.
    fn index_next_segment(&mut self) {
        let compaction = self.compaction.as_mut().expect("the caller looked");
        let (until, read) = (compaction.until, compaction.cursor);
        let next = read.and_then(|(base, _)| self.segments.range(base.advanced(1)..).next());
        if let Some((base, _)) = next.filter(|(_, segment)| segment.next <= until) {
            compaction.cursor = Some((*base, 0));
            return;
        }
        let Phase::Indexing(map) = &mut compaction.phase else { unreachable!("the caller looked") };
        let map = map.take().expect("no step is under way");
        let now = compaction.now.wall.0;
        let rules = Box::new(Rules {
            start: self.start,
            now,
            delete_horizon: now.saturating_add(self.config.delete_retention_ms),
            last_offset: Offset(-1),
            producers: Arc::new(self.producers.last_batches()),
            transactions: BTreeSet::new(),
        });
        let end = map.end();
        let groups = plan::groups(&self.segments, end, until, u64::from(self.config.segment_bytes));
        let compaction = self.compaction.as_mut().expect("as above");
        compaction.cursor = None;
        compaction.phase = Phase::Rewriting(Box::new(Rewriting {
            end,
            tools: Some((map, rules)),
            groups,
            sources: VecDeque::new(),
            output: None,
            complete_at: None,
        }));
    }

    /// Does what needs no step. None if that was something.
    fn rewrite_on(&mut self, disk: &mut impl Disk) -> io::Result<Option<CompactionProgress>> {
        let compaction = self.compaction.as_mut().expect("the caller looked");
        let Phase::Rewriting(rewriting) = &mut compaction.phase else { unreachable!("the caller looked") };
        let Some(group) = rewriting.groups.front() else {
            let cleaned_offset = rewriting.end;
            let report = Compacted { cleaned_offset, ..compaction.report };
            self.compaction = None;
            self.cleaned = self.cleaned.max(cleaned_offset);
            self.outdate_checkpoint();
            return Ok(Some(CompactionProgress::Done(report)));
        };
        if let Some(change) = rewriting.complete_at {
            if !self.durability.is_change_synced(change) {
                return Ok(Some(CompactionProgress::Sync));
            }
            self.swap();
            return Ok(None);
        }
        if rewriting.output.is_none() {
            let old = group.iter().map(|base| &self.segments[base]);
            let generation = old.map(|segment| segment.generation.0).max().expect("a group is not empty");
            let output = Segment::create_rewritten(disk, &self.dir, group[0], Generation(generation + 1))?;
            self.durability.touch(output.file);
            self.durability.touch_directory();
            rewriting.sources = group.iter().copied().collect();
            rewriting.output = Some(output);
        }
        if let Some(slice) = unread(disk, &self.segments, compaction.cursor) {
            let (map, mut rules) = rewriting.tools.take().expect("one step at a time");
            let last = group.last().expect("a group is not empty");
            rules.last_offset = Offset(self.segments[last].next.0 - 1);
            return Ok(Some(CompactionProgress::Step(compaction.step(slice, Task::Rewrite(map, rules)))));
        }
        match rewriting.sources.pop_front() {
            Some(base) => compaction.cursor = Some((base, 0)),
            None => self.complete_output(disk)?,
        }
        Ok(None)
    }

    /// A group was read to its end.
    fn complete_output(&mut self, disk: &mut impl Disk) -> io::Result<()> {
        let compaction = self.compaction.as_mut().expect("the caller looked");
        compaction.cursor = None;
        let Phase::Rewriting(rewriting) = &mut compaction.phase else { unreachable!("the caller looked") };
        let output = rewriting.output.as_mut().expect("a group is rewritten into a segment");
        let group = rewriting.groups.front().expect("it is being worked on");
        let (before, after) = (&self.segments[&group[0]], &self.segments[group.last().expect("not empty")]);
        assert_eq!(output.next, after.next, "a rewritten segment reaches as far as those that it is made of");
        if group.len() == 1 && output.size == before.size {
            let output = rewriting.output.take().expect("as above");
            rewriting.groups.pop_front();
            return self.remove_files(disk, output);
        }
        output.seal_index(disk, &self.dir)?;
        output.files().for_each(|file| self.durability.touch(file));
        rewriting.complete_at = Some(self.durability.touch_directory());
        Ok(())
    }

    /// The rewritten segment is durable, and takes the place of those that it was made of.
    fn swap(&mut self) {
        let compaction = self.compaction.as_mut().expect("the caller looked");
        let Phase::Rewriting(rewriting) = &mut compaction.phase else { unreachable!("the caller looked") };
        let output = rewriting.output.take().expect("it is whole");
        let group = rewriting.groups.pop_front().expect("it was being worked on");
        rewriting.complete_at = None;
        let old: Vec<_> = group.iter().map(|base| self.segments.remove(base).expect("nothing has changed")).collect();
        compaction.report.segments_before += old.len() as u64;
        compaction.report.segments_after += 1;
        compaction.report.bytes_before += old.iter().map(|segment| segment.size).sum::<u64>();
        compaction.report.bytes_after += output.size;
        self.segments.insert(output.base, output);
        self.replaced.extend(old);
        self.outdate_checkpoint();
    }

    /// A checkpoint that was prepared does not say all that the next one must.
    fn outdate_checkpoint(&mut self) {
        self.prepared = None;
        self.is_checkpoint_outdated = true;
    }
}

impl Compaction {
    fn step(&self, slice: FileSlice, task: Task) -> CompactionStep {
        CompactionStep { slice, budget: self.limits.step_bytes.max(STEP_BYTES_MIN), task }
    }
}

/// What is left of the segment that is read.
fn unread(
    disk: &impl Disk,
    segments: &std::collections::BTreeMap<Offset, Segment>,
    cursor: Option<(Offset, u64)>,
) -> Option<FileSlice> {
    let (base, pos) = cursor?;
    let segment = &segments[&base];
    (pos < segment.size).then(|| FileSlice { bytes: disk.pin(segment.file), pos, len: segment.size - pos })
}
