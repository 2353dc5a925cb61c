//! What of a log is to be compacted, and which segments become one.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use super::super::{Log, Segment};
use crate::disk::Disk;
use crate::ids::Offset;
use crate::time::Now;

/// What a compaction would go over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanable {
    /// Segments that end at or below this may be compacted.
    pub(in crate::log) until: Offset,
    /// Bytes of those that a compaction has been over.
    pub clean_bytes: u64,
    /// Bytes of the others.
    pub dirty_bytes: u64,
    /// Whether one of those has waited for `max.compaction.lag.ms`.
    pub is_overdue: bool,
}

impl Cleanable {
    /// How much of what there is would be compacted for the first time.
    pub fn dirty_ratio(&self) -> f64 {
        self.dirty_bytes as f64 / (self.clean_bytes + self.dirty_bytes) as f64
    }
}

impl Log {
    /// What may be compacted now; none if that is nothing. `stable` bounds it: what lies above may still change.
    pub fn cleanable(&self, now: Now, stable: Offset) -> Option<Cleanable> {
        let is_durable = self.durability.is_change_synced(self.checkpoint_change);
        // A file that has yet to go may have the name of one that is to come.
        if !self.config.compact || self.is_uncleanable || !is_durable || !self.removing.is_empty() {
            return None;
        }
        let first_dirty = self.first_dirty();
        let newest = now.wall.0.saturating_sub(self.config.min_compaction_lag_ms);
        let oldest = now.wall.0.saturating_sub(self.config.max_compaction_lag_ms);
        let mut found = Cleanable { until: first_dirty, clean_bytes: 0, dirty_bytes: 0, is_overdue: false };
        for segment in self.closed() {
            if segment.next <= first_dirty {
                found.clean_bytes += segment.size;
                continue;
            }
            let is_too_new = self.config.min_compaction_lag_ms > 0 && segment.max_timestamp > newest;
            if segment.next > stable.min(self.checkpointed) || is_too_new {
                break;
            }
            found.dirty_bytes += segment.size;
            found.until = segment.next;
            found.is_overdue |= segment.first_timestamp.is_some_and(|first| first < oldest);
        }
        (found.dirty_bytes > 0).then_some(found)
    }

    /// Whether a checkpoint would let compaction go on: it has to name what is to be compacted, or what has been.
    pub fn awaits_checkpoint(&self) -> bool {
        let is_covered = self.closed().next_back().is_none_or(|segment| segment.next <= self.checkpointed);
        self.is_checkpoint_outdated || !self.removing.is_empty() || self.config.compact && !is_covered
    }

    /// Closes the segment that is written to if its records have waited for `max.compaction.lag.ms`. Returns the next
    /// one's first offset.
    ///
    /// # Errors
    /// An I/O error.
    pub fn roll_for_compaction(&mut self, disk: &mut impl Disk, now: Now) -> io::Result<Option<Offset>> {
        let oldest = now.wall.0.saturating_sub(self.config.max_compaction_lag_ms);
        let is_overdue = self.active().first_timestamp.is_some_and(|first| first < oldest);
        if self.config.compact && is_overdue { self.roll(disk).map(Some) } else { Ok(None) }
    }

    /// The first offset that no compaction has been over.
    pub(super) fn first_dirty(&self) -> Offset {
        self.cleaned.max(self.start)
    }

    fn closed(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        let active = self.active().base;
        self.segments.range(..active).map(|(_, segment)| segment)
    }
}

/// Neighbours that together are no larger than one segment may be, among those that begin below `end` and end at or below
/// `until`.
pub(super) fn groups(
    segments: &BTreeMap<Offset, Segment>,
    end: Offset,
    until: Offset,
    size_max: u64,
) -> VecDeque<Vec<Offset>> {
    let mut groups: VecDeque<Vec<Offset>> = VecDeque::new();
    let mut size = 0;
    for (base, segment) in segments.range(..end).filter(|(_, segment)| segment.next <= until) {
        size += segment.size;
        match groups.back_mut() {
            Some(group) if size <= size_max && segments[&group[0]].relative(segment.next).is_some() => {
                group.push(*base)
            }
            _ => {
                groups.push_back(vec![*base]);
                size = segment.size;
            }
        }
    }
    groups
}
