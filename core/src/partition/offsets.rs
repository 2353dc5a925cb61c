//! Look-ups of offsets: by timestamp, by leader epoch, and the deletion of records.
//!
//! Sources: KIP-79 and KIP-734 (ListOffsets), KIP-207 (after an election), KIP-405 and KIP-1005 (local and tiered offsets), KIP-101 (epochs).
//! Deliberately absent: tiered storage; its timestamps answer "none".

use std::collections::BTreeMap;
use std::io;

use highwater_wire::ErrorCode;

use super::leader::Leader;
use super::{JobIds, Partitions, halt_of};
use crate::disk::Disk;
use crate::ids::{JobId, LeaderEpoch, Offset, PartitionId, ShardId, Ticket};
use crate::log::{DeleteRecordsError, TimestampAndOffset, TimestampAnswer, TimestampSearch};
use crate::message::{EpochEndTarget, ListOffsetsTarget, ListedOffset, PartitionResponse, ShardMessage};
use crate::outbox::{Job, Outbox};
use crate::time::Now;

impl<D: Disk> Partitions<D> {
    pub(super) fn handle_list_offsets(
        &mut self,
        caller: (ShardId, Ticket),
        targets: &[ListOffsetsTarget],
        out: &mut Outbox,
    ) {
        let mut lookups = Vec::with_capacity(targets.len());
        for target in targets {
            let lookup = match self.leaders.get(&target.partition) {
                Some(leader) => leader.list_offset(&self.disk, target),
                None => Ok(Lookup::Done(Err(self.absent(target.partition)))),
            };
            match lookup {
                Ok(lookup) => lookups.push(lookup),
                Err(error) => return out.halt(halt_of("cannot read", "a segment", error)),
            }
        }
        self.searches.begin(&mut self.jobs, caller, targets, lookups, out);
    }

    pub(super) fn epoch_end(&self, target: &EpochEndTarget) -> Result<Option<(LeaderEpoch, Offset)>, ErrorCode> {
        let leader = self.leaders.get(&target.partition).ok_or_else(|| self.absent(target.partition))?;
        leader.check_epoch(target.current_leader_epoch)?;
        // Who asks for -1 knows no epoch.
        Ok(leader.log.end_offset_for_epoch(target.leader_epoch).filter(|_| target.leader_epoch.0 != -1))
    }

    pub(super) fn handle_delete_records(
        &mut self,
        now: Now,
        caller: (ShardId, Ticket),
        targets: &[(PartitionId, Option<Offset>)],
        out: &mut Outbox,
    ) {
        let deleted = targets.iter().map(|&(id, offset)| self.delete_records(now, id, offset, out)).collect();
        let (shard, ticket) = caller;
        self.lane.answer_after_sync((shard, ticket, PartitionResponse::RecordsDeleted(deleted)));
    }

    fn delete_records(
        &mut self,
        now: Now,
        id: PartitionId,
        offset: Option<Offset>,
        out: &mut Outbox,
    ) -> Result<Offset, ErrorCode> {
        let Some(leader) = self.leaders.get_mut(&id) else { return Err(self.absent(id)) };
        match leader.delete_records_before(&mut self.disk, offset) {
            Ok(()) => {
                self.lane.mark_dirty(id);
                let start = leader.log.start_offset();
                self.apply_retention(now, id, out);
                Ok(start)
            }
            Err(DeleteRecordsError::OutOfRange { .. }) => Err(ErrorCode::OffsetOutOfRange),
            Err(DeleteRecordsError::Io(error)) => {
                self.note_failure(id, "cannot delete records of", error, out);
                Err(ErrorCode::KafkaStorageError)
            }
        }
    }
}

/// Special timestamps of ListOffsets.
mod special {
    pub(super) const LATEST: i64 = -1;
    pub(super) const EARLIEST: i64 = -2;
    pub(super) const MAX_TIMESTAMP: i64 = -3;
    pub(super) const EARLIEST_LOCAL: i64 = -4;
    pub(super) const LATEST_TIERED: i64 = -5;
    pub(super) const EARLIEST_PENDING_UPLOAD: i64 = -6;
}

pub(super) type Listed = Result<ListedOffset, ErrorCode>;

/// What a look-up by timestamp found out at once.
pub(super) enum Lookup {
    /// The answer.
    Done(Listed),
    /// A segment has to be read.
    Search(TimestampSearch),
}

impl Leader {
    /// Answers a question of ListOffsets, or says what has to be read for it.
    ///
    /// # Errors
    /// What the disk fails with.
    pub(super) fn list_offset(&self, disk: &impl Disk, target: &ListOffsetsTarget) -> io::Result<Lookup> {
        if let Err(code) = self.check_epoch(target.current_leader_epoch) {
            return Ok(Lookup::Done(Err(code)));
        }
        let answer = match target.timestamp {
            special::LATEST if !self.is_caught_up() => return Ok(Lookup::Done(Err(ErrorCode::OffsetNotAvailable))),
            special::LATEST => {
                let epoch = Some(self.leadership().leader_epoch);
                return Ok(Lookup::Done(Ok(listed(self.high_watermark(), epoch))));
            }
            special::EARLIEST | special::EARLIEST_LOCAL => {
                let start = self.log.start_offset();
                return Ok(Lookup::Done(Ok(listed(start, self.log.epoch_at(start)))));
            }
            special::LATEST_TIERED | special::EARLIEST_PENDING_UPLOAD => {
                return Ok(Lookup::Done(Ok(ListedOffset::NONE)));
            }
            special::MAX_TIMESTAMP => self.log.max_timestamp(disk)?,
            timestamp if timestamp < 0 => return Ok(Lookup::Done(Err(ErrorCode::UnsupportedVersion))),
            timestamp => self.log.find_timestamp(disk, timestamp)?,
        };
        Ok(match answer {
            TimestampAnswer::Search(search) => Lookup::Search(search),
            TimestampAnswer::NotFound => Lookup::Done(self.visible(None)),
        })
    }

    /// What may be told of a record that was found: readers know nothing at or above the high watermark. Until that
    /// has caught up with what earlier leaders may have shown, there is no telling that a record does not exist.
    pub(super) fn visible(&self, found: Option<TimestampAndOffset>) -> Listed {
        match found {
            Some(found) if found.offset < self.high_watermark() => Ok(ListedOffset {
                timestamp: found.timestamp,
                offset: found.offset.0,
                leader_epoch: Some(found.leader_epoch),
            }),
            Some(_) | None if self.is_caught_up() => Ok(ListedOffset::NONE),
            Some(_) | None => Err(ErrorCode::OffsetNotAvailable),
        }
    }
}

/// An end of the log.
fn listed(offset: Offset, leader_epoch: Option<LeaderEpoch>) -> ListedOffset {
    ListedOffset { timestamp: -1, offset: offset.0, leader_epoch }
}

/// The ListOffsets requests of a shard that wait for jobs.
#[derive(Default)]
pub(super) struct Searches {
    pending: BTreeMap<u64, Pending>,
    jobs: BTreeMap<JobId, (u64, usize, PartitionId)>,
    next_request: u64,
}

struct Pending {
    caller: (ShardId, Ticket),
    listed: Vec<Option<Listed>>,
    missing: usize,
}

impl Searches {
    /// Answers a request if all its look-ups are done, else sends the searches off.
    pub(super) fn begin(
        &mut self,
        jobs: &mut JobIds,
        caller: (ShardId, Ticket),
        targets: &[ListOffsetsTarget],
        lookups: Vec<Lookup>,
        out: &mut Outbox,
    ) {
        let request = self.next_request;
        self.next_request += 1;
        let mut pending = Pending { caller, listed: Vec::with_capacity(lookups.len()), missing: 0 };
        for (index, lookup) in lookups.into_iter().enumerate() {
            let listed = match lookup {
                Lookup::Done(listed) => Some(listed),
                Lookup::Search(search) => {
                    let job = jobs.issue();
                    self.jobs.insert(job, (request, index, targets[index].partition));
                    out.jobs.push((job, Job::FindTimestamp(search)));
                    pending.missing += 1;
                    None
                }
            };
            pending.listed.push(listed);
        }
        self.pending.insert(request, pending);
        self.maybe_answer(request, out);
    }

    /// The partition that a job searches.
    pub(super) fn partition(&self, job: JobId) -> PartitionId {
        self.jobs.get(&job).expect("a job ends once").2
    }

    /// Takes what a job has found.
    pub(super) fn complete(&mut self, job: JobId, listed: Listed, out: &mut Outbox) {
        let (request, index, _) = self.jobs.remove(&job).expect("a job ends once");
        let pending = self.pending.get_mut(&request).expect("a request is pending while a job of it runs");
        pending.listed[index] = Some(listed);
        pending.missing -= 1;
        self.maybe_answer(request, out);
    }

    fn maybe_answer(&mut self, request: u64, out: &mut Outbox) {
        if self.pending[&request].missing > 0 {
            return;
        }
        let pending = self.pending.remove(&request).expect("looked at above");
        let listed = pending.listed.into_iter().map(|listed| listed.expect("none is missing")).collect();
        let (shard, ticket) = pending.caller;
        let response = PartitionResponse::OffsetsListed(listed);
        out.shards.push((shard, ShardMessage::PartitionResponse { ticket, response }));
    }
}
