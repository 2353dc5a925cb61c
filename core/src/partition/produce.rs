//! Produce requests that touch this shard's partitions, and those that wait.
//!
//! A request may hold batches for several partitions; the gateway gets one answer for all of them, once the last can be
//! given or the request's time is over.
//!
//! Invariants, asserted by [`Produces::check`]:
//! * A request is pending for as long as an outcome is missing, and has exactly one deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::Bytes;
use highwater_wire::ErrorCode;

use super::Partitions;
use super::leader::{AppendRefusal, Counting, Parked};
use crate::disk::Disk;
use crate::event::Event;
use crate::ids::{Offset, PartitionId, ShardId, Ticket};
use crate::limits;
use crate::log::AppendError;
use crate::message::{Acks, PartitionResponse, ProduceOutcome, ProduceRefusal, ShardMessage};
use crate::outbox::Outbox;
use crate::time::{Instant, Now};

impl<D: Disk> Partitions<D> {
    pub(super) fn handle_produce(
        &mut self,
        now: Now,
        caller: (ShardId, Ticket),
        acks: Acks,
        deadline: Instant,
        batches: &[(PartitionId, Bytes)],
        out: &mut Outbox,
    ) {
        let produce = self.produces.begin(caller, batches.len(), deadline);
        for (index, (partition, batch)) in batches.iter().enumerate() {
            if let Some(outcome) = self.append(now, *partition, batch, acks, (produce, index), out) {
                self.produces.complete(produce, index, outcome, out);
            }
        }
    }

    /// Appends one batch. `None` if its answer has to wait.
    fn append(
        &mut self,
        now: Now,
        id: PartitionId,
        batch: &Bytes,
        acks: Acks,
        waiter: (ProduceId, usize),
        out: &mut Outbox,
    ) -> Option<ProduceOutcome> {
        let Some(leader) = self.leaders.get_mut(&id) else { return Some(Err(self.absent(id).into())) };
        if out.halt.is_some() {
            // After a failed write the log's tail is unknown: nothing may follow it.
            return Some(Err(ErrorCode::KafkaStorageError.into()));
        }
        match leader.append(&mut self.disk, batch, acks, waiter, now) {
            Ok(accepted) => {
                if let Some(base_offset) = accepted.rolled {
                    out.events.push(Event::SegmentRolled { partition: id, base_offset });
                }
                self.note_append(now, id, batch.len() as u64, out);
                accepted.answer.map(Ok)
            }
            Err(refused) => {
                let log_start = leader.log.start_offset();
                Some(Err(refusal(refused, log_start).unwrap_or_else(|error| {
                    self.note_failure(id, "cannot append to", error, out);
                    ErrorCode::KafkaStorageError.into()
                })))
            }
        }
    }

    /// What follows from an append: the bytes need a sync, and where written bytes count, readers may see them.
    pub(super) fn note_append(&mut self, now: Now, id: PartitionId, bytes: u64, out: &mut Outbox) {
        if std::mem::take(&mut self.disk_is_full) {
            out.events.push(Event::DiskHasRoom);
        }
        let leader = self.leaders.get_mut(&id).expect("it has just appended");
        if leader.bytes_since_checkpoint() >= limits::CHECKPOINT_BYTES {
            self.checkpoint(now, id, out);
        }
        match self.leaders[&id].leadership().counting {
            Counting::Synced => self.lane.mark_appended(id, bytes),
            Counting::Written => self.note_progress(id, out),
        }
    }
}

/// Names a produce request within its shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ProduceId(u64);

/// The produce requests of a shard that are not answered yet.
#[derive(Default)]
pub(super) struct Produces {
    pending: BTreeMap<ProduceId, Pending>,
    deadlines: BTreeSet<(Instant, ProduceId)>,
    next: ProduceId,
}

struct Pending {
    caller: (ShardId, Ticket),
    deadline: Instant,
    outcomes: Vec<Option<ProduceOutcome>>,
    missing: usize,
}

impl Produces {
    /// Takes note of a request with `batches` outcomes to come.
    pub(super) fn begin(&mut self, caller: (ShardId, Ticket), batches: usize, deadline: Instant) -> ProduceId {
        assert!(batches > 0, "a gateway asks only shards that own something of the request");
        let id = self.next;
        self.next = ProduceId(id.0 + 1);
        let pending = Pending { caller, deadline, outcomes: vec![None; batches], missing: batches };
        self.pending.insert(id, pending);
        self.deadlines.insert((deadline, id));
        id
    }

    /// Takes an outcome; the last one answers the request. One that comes after the deadline is dropped.
    pub(super) fn complete(&mut self, id: ProduceId, index: usize, outcome: ProduceOutcome, out: &mut Outbox) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        let slot = &mut pending.outcomes[index];
        assert!(slot.is_none(), "a batch has one outcome");
        *slot = Some(outcome);
        pending.missing -= 1;
        if pending.missing == 0 {
            self.answer(id, out);
        }
    }

    /// Answers batches that were parked.
    pub(super) fn release(&mut self, released: Vec<Parked>, out: &mut Outbox) {
        for Parked { produce, index, produced } in released {
            self.complete(produce, index, Ok(produced), out);
        }
    }

    /// Refuses batches that were parked.
    pub(super) fn refuse(&mut self, parked: Vec<Parked>, code: ErrorCode, out: &mut Outbox) {
        for Parked { produce, index, .. } in parked {
            self.complete(produce, index, Err(code.into()), out);
        }
    }

    /// When the next request runs out of time.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Answers what has run out of time.
    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(&(deadline, id)) = self.deadlines.first() {
            if deadline > now {
                return;
            }
            self.answer(id, out);
        }
    }

    fn answer(&mut self, id: ProduceId, out: &mut Outbox) {
        let pending = self.pending.remove(&id).expect("only pending requests are answered");
        assert!(self.deadlines.remove(&(pending.deadline, id)), "a pending request has a deadline");
        let timed_out = || Err(ProduceRefusal::from(ErrorCode::RequestTimedOut));
        let outcomes = pending.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(timed_out)).collect();
        let (shard, ticket) = pending.caller;
        let response = PartitionResponse::Produced(outcomes);
        out.shards.push((shard, ShardMessage::PartitionResponse { ticket, response }));
    }

    /// Asserts the invariants in the module's head.
    pub(super) fn check(&self) {
        assert_eq!(self.pending.len(), self.deadlines.len(), "one deadline for each pending request");
        for pending in self.pending.values() {
            let missing = pending.outcomes.iter().filter(|outcome| outcome.is_none()).count();
            assert!(missing > 0 && missing == pending.missing, "a request without missing outcomes is answered");
        }
    }
}

/// What a client is told when the leader refuses its batch.
///
/// # Errors
/// What the disk fails with, which is not the client's affair.
pub(super) fn refusal(refused: AppendRefusal, log_start: Offset) -> Result<ProduceRefusal, io::Error> {
    let log_start_offset = Some(log_start);
    let error = match refused {
        AppendRefusal::NotEnoughReplicas => {
            return Ok(ProduceRefusal { log_start_offset, ..ErrorCode::NotEnoughReplicas.into() });
        }
        AppendRefusal::Log(error) => error,
    };
    // Kafka tells producers where the log begins, unless it refuses a batch for what it looks like from outside.
    let is_outside = matches!(
        error,
        AppendError::CorruptMessage(_)
            | AppendError::NotOneBatch(_)
            | AppendError::MessageTooLarge(_)
            | AppendError::RecordListTooLarge(_)
    );
    let log_start_offset = log_start_offset.filter(|_| !is_outside);
    let (code, message, records) = match error {
        AppendError::CorruptMessage(message) => (ErrorCode::CorruptMessage, message, Vec::new()),
        AppendError::NotOneBatch(message) => (ErrorCode::InvalidRecord, message, Vec::new()),
        AppendError::InvalidRecord(rejection) => (ErrorCode::InvalidRecord, rejection.message, rejection.records),
        AppendError::InvalidTimestamp(rejection) => (ErrorCode::InvalidTimestamp, rejection.message, rejection.records),
        AppendError::MessageTooLarge(message) => (ErrorCode::MessageTooLarge, message, Vec::new()),
        AppendError::RecordListTooLarge(message) => (ErrorCode::RecordListTooLarge, message, Vec::new()),
        AppendError::UnsupportedCompressionType(message) => {
            (ErrorCode::UnsupportedCompressionType, message, Vec::new())
        }
        AppendError::InvalidProducerEpoch(message) => (ErrorCode::InvalidProducerEpoch, message, Vec::new()),
        AppendError::OutOfOrderSequence(message) => (ErrorCode::OutOfOrderSequenceNumber, message, Vec::new()),
        AppendError::InvalidTxnState(message) => (ErrorCode::InvalidTxnState, message, Vec::new()),
        AppendError::Full => return Err(io::ErrorKind::StorageFull.into()),
        AppendError::Io(error) => return Err(error),
    };
    Ok(ProduceRefusal { code, message: Some(message), records, log_start_offset })
}
