//! What readers ask of this shard's partitions: how much there is, to be told when that changes, and the records.
//!
//! Source: KIP-227 (sessions live in the gateway), KIP-320 (epochs of readers), KIP-595 (divergence).

use std::collections::{BTreeMap, BTreeSet};

use highwater_wire::ErrorCode;

use super::leader::Leader;
use super::{Partitions, answer, halt_of};
use crate::disk::Disk;
use crate::ids::{LeaderEpoch, Offset, ShardId, Ticket};
use crate::log::ReadError;
use crate::message::{FetchTarget, PartitionResponse, ProbeOutcome, ReadOutcome};
use crate::outbox::Outbox;

impl<D: Disk> Partitions<D> {
    pub(super) fn handle_probe(&mut self, caller: WatchId, targets: Vec<FetchTarget>, watch: bool, out: &mut Outbox) {
        let outcomes = self.probe(&targets);
        answer(caller, PartitionResponse::Probed(outcomes), out);
        if !watch {
            return;
        }
        for target in &targets {
            if let Some(leader) = self.leaders.get_mut(&target.partition) {
                leader.watchers.insert(caller);
            }
        }
        self.watches.insert(caller, targets);
    }

    fn probe(&self, targets: &[FetchTarget]) -> Vec<ProbeOutcome> {
        let probe = |target: &FetchTarget| match self.leaders.get(&target.partition) {
            Some(leader) => leader.probe(target),
            None => ProbeOutcome::Refused,
        };
        targets.iter().map(probe).collect()
    }

    pub(super) fn unwatch(&mut self, watch: WatchId) {
        for target in self.watches.remove(watch) {
            if let Some(leader) = self.leaders.get_mut(&target.partition) {
                leader.watchers.remove(&watch);
            }
        }
    }

    pub(super) fn answer_changed_watches(&mut self, out: &mut Outbox) {
        for watch in self.watches.take_changed() {
            let targets = self.watches.targets(watch).expect("a removed watch is not among the changed");
            answer(watch, PartitionResponse::Probed(self.probe(targets)), out);
        }
    }

    pub(super) fn handle_read(&mut self, caller: (ShardId, Ticket), targets: &[FetchTarget], out: &mut Outbox) {
        let mut outcomes = Vec::with_capacity(targets.len());
        for target in targets {
            let Some(leader) = self.leaders.get(&target.partition) else {
                outcomes.push(ReadOutcome::refused(self.absent(target.partition)));
                continue;
            };
            match leader.read(&self.disk, target) {
                Ok(outcome) => outcomes.push(outcome),
                Err(ReadError::OutOfRange { .. }) => unreachable!("the leader has looked at the range"),
                Err(ReadError::Io(error)) => {
                    out.halt(halt_of("cannot read", &format!("partition {}", target.partition), error));
                    outcomes.push(ReadOutcome::refused(ErrorCode::KafkaStorageError));
                }
            }
        }
        answer(caller, PartitionResponse::Read(outcomes), out);
    }
}

/// A probe that wants to hear of changes: who asked, and its ticket.
pub(super) type WatchId = (ShardId, Ticket);

/// The probes of a shard that want to hear of changes.
///
/// Invariant: a watch in here is known to every leader among its targets, and the other way round.
#[derive(Default)]
pub(super) struct Watches {
    watches: BTreeMap<WatchId, Vec<FetchTarget>>,
    changed: BTreeSet<WatchId>,
}

impl Watches {
    pub(super) fn insert(&mut self, id: WatchId, targets: Vec<FetchTarget>) {
        let replaced = self.watches.insert(id, targets);
        assert!(replaced.is_none(), "a ticket is used once");
    }

    pub(super) fn remove(&mut self, id: WatchId) -> Vec<FetchTarget> {
        self.changed.remove(&id);
        self.watches.remove(&id).unwrap_or_default()
    }

    pub(super) fn targets(&self, id: WatchId) -> Option<&[FetchTarget]> {
        self.watches.get(&id).map(Vec::as_slice)
    }

    /// Takes note that a leader with these watchers has more to show, or is gone.
    pub(super) fn mark_changed(&mut self, watchers: &BTreeSet<WatchId>) {
        self.changed.extend(watchers);
    }

    /// The watches that must be answered again.
    pub(super) fn take_changed(&mut self) -> BTreeSet<WatchId> {
        std::mem::take(&mut self.changed)
    }
}

impl Leader {
    /// How much a reader at `target` would get.
    pub(super) fn probe(&self, target: &FetchTarget) -> ProbeOutcome {
        if self.position(target).is_err() {
            return ProbeOutcome::Refused;
        }
        ProbeOutcome::Bytes(self.log.bytes_between(target.offset, self.high_watermark()))
    }

    /// The records for a reader at `target`.
    ///
    /// # Errors
    /// What the disk fails with.
    pub(super) fn read(&self, disk: &impl Disk, target: &FetchTarget) -> Result<ReadOutcome, ReadError> {
        let mut outcome = self.empty_read();
        match self.position(target) {
            Err(NoPosition::Refused(code)) => return Ok(ReadOutcome::refused(code)),
            Err(NoPosition::Diverges(epoch, end)) => outcome.diverging_epoch = Some((epoch, end)),
            Ok(()) if target.offset < self.high_watermark() => {
                let end = self.high_watermark();
                let read = self.log.read(disk, target.offset, end, target.bytes_max, target.at_least_one)?;
                outcome.records = read.slices;
            }
            Ok(()) => {}
        }
        Ok(outcome)
    }

    fn empty_read(&self) -> ReadOutcome {
        ReadOutcome {
            code: ErrorCode::None,
            high_watermark: self.high_watermark(),
            last_stable_offset: self.high_watermark(),
            log_start_offset: self.log.start_offset(),
            diverging_epoch: None,
            records: Vec::new(),
        }
    }

    /// Whether a reader can stand where `target` says.
    fn position(&self, target: &FetchTarget) -> Result<(), NoPosition> {
        self.check_epoch(target.current_leader_epoch).map_err(NoPosition::Refused)?;
        if let Some(last) = target.last_fetched_epoch {
            let (epoch, end) = self.log.end_offset_for_epoch(last).ok_or(NoPosition::OUT_OF_RANGE)?;
            if epoch < last || end < target.offset {
                return Err(NoPosition::Diverges(epoch, end));
            }
        }
        if target.offset < self.log.start_offset() || target.offset > self.log.end_offset() {
            return Err(NoPosition::OUT_OF_RANGE);
        }
        Ok(())
    }
}

/// Why a reader cannot stand where it says.
enum NoPosition {
    Refused(ErrorCode),
    Diverges(LeaderEpoch, Offset),
}

impl NoPosition {
    const OUT_OF_RANGE: Self = Self::Refused(ErrorCode::OffsetOutOfRange);
}

impl ReadOutcome {
    /// The answer for a partition that is not led here.
    pub fn refused(code: ErrorCode) -> Self {
        Self {
            code,
            high_watermark: Offset(-1),
            last_stable_offset: Offset(-1),
            log_start_offset: Offset(-1),
            diverging_epoch: None,
            records: Vec::new(),
        }
    }
}
