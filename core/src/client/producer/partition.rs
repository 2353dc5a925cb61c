//! The batches of one partition, from the first record that waits to the last acknowledgement.
//!
//! Invariants, asserted by [`PartitionQueue::check`]:
//! * One batch is in flight, or five once the leader is known to refuse gaps: they could change places otherwise.
//! * A batch is sent only while none behind it is in flight.
//! * Batches that have a sequence stand before those that have none, and their sequences grow.
//! * All sequences in the queue belong to one identity.

use std::collections::VecDeque;

use bytes::Bytes;
use highwater_wire::ErrorCode;
use highwater_wire::records::{BatchBuilder, Record};

use super::Identity;
use super::request::PartitionResult;
use crate::client::boundary::{Completion, Outbox, ProduceError, ProduceErrorReason, Produced};
use crate::client::config::ProducerConfig;
use crate::client::network::Backoff;
use crate::client::wake::Wake;
use crate::ids::{CommandId, PartitionIndex};
use crate::limits::PRODUCER_BATCHES_REMEMBERED;
use crate::time::Instant;

/// What a record may take in a batch beyond its key, value and headers.
const RECORD_OVERHEAD_BYTES: usize = 32;

/// A record that is not acknowledged yet.
#[derive(Debug)]
pub(super) struct Pending {
    pub id: CommandId,
    pub created_at: Instant,
    pub size: usize,
    pub record: Record,
}

impl Pending {
    pub fn new(id: CommandId, created_at: Instant, record: Record) -> Self {
        let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers: usize =
            record.headers.iter().map(|(name, value)| name.len() + len(value) + RECORD_OVERHEAD_BYTES).sum();
        let size = len(&record.key) + len(&record.value) + headers + RECORD_OVERHEAD_BYTES;
        Self { id, created_at, size, record }
    }
}

#[derive(Debug)]
struct Batch {
    number: u64,
    records: Vec<Pending>,
    size: usize,
    /// No more records are added.
    sealed: bool,
    in_flight: bool,
    attempts: u32,
    sequence: Option<i32>,
    /// Some attempt has, or may have, reached the log.
    maybe_written: bool,
    last_failure: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct PartitionQueue {
    batches: VecDeque<Batch>,
    in_flight: usize,
    failures: u32,
    retry_at: Instant,
    identity: Option<Identity>,
    next_sequence: i32,
    /// The leader has acknowledged a batch of this identity, so it refuses gaps from now on.
    established: bool,
    /// A batch with a sequence was given up, so the broker may expect another sequence than the next one.
    broken: bool,
    /// The broker does expect another one: what has a sequence gets a new one as soon as nothing is in flight.
    restart: bool,
}

/// What a queue needs of its producer to settle a batch.
pub(super) struct Context<'a> {
    pub index: PartitionIndex,
    pub config: &'a ProducerConfig,
    pub backoff: &'a mut Backoff,
    pub buffered_bytes: &'a mut usize,
}

impl PartitionQueue {
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub fn size(&self) -> usize {
        self.batches.iter().map(|batch| batch.size).sum()
    }

    /// Whether a record would join others that wait already.
    pub fn has_open_batch_for(&self, pending: &Pending, config: &ProducerConfig) -> bool {
        self.batches.back().is_some_and(|batch| batch.has_room_for(pending, config))
    }

    /// Adds a record; returns whether that opened or filled a batch.
    pub fn push(&mut self, pending: Pending, config: &ProducerConfig, next_batch: &mut u64) -> bool {
        let opens = !self.has_open_batch_for(&pending, config);
        if opens {
            self.batches.iter_mut().for_each(|batch| batch.sealed = true);
            self.batches.push_back(Batch::new(*next_batch));
            *next_batch += 1;
        }
        let batch = self.batches.back_mut().expect("there is an open batch now");
        batch.size += pending.size;
        batch.sealed = batch.size >= config.batch_bytes;
        batch.records.push(pending);
        opens || batch.sealed
    }

    /// Writes under a new identity from now on, if nothing is left that was written under the old one.
    pub fn maybe_adopt(&mut self, identity: Option<Identity>) {
        if identity.is_some() && identity != self.identity && !self.has_sequences() {
            (self.identity, self.next_sequence) = (identity, 0);
            (self.established, self.broken) = (false, false);
        }
    }

    /// Whether the sequence to go on with is unknown and only a newer identity than this one helps.
    pub fn needs_new_identity(&self, identity: Identity) -> bool {
        self.broken && self.identity == Some(identity) && !self.has_sequences()
    }

    /// Whether the next batch should be sent now.
    pub fn is_due(&self, now: Instant, config: &ProducerConfig, wake: &mut Wake) -> bool {
        let Some(next) = self.batches.iter().position(|batch| !batch.in_flight) else { return false };
        let batch = &self.batches[next];
        let may_sequence = !config.idempotent || batch.sequence.is_some() || (self.identity.is_some() && !self.broken);
        if self.in_flight >= self.in_flight_max(config) || self.in_flight != next || self.restart || !may_sequence {
            return false;
        }
        if self.retry_at > now {
            wake.at(self.retry_at);
            return false;
        }
        let ready_at = batch.created_at() + config.linger;
        wake.at(ready_at);
        batch.sealed || batch.attempts > 0 || next + 1 < self.batches.len() || ready_at <= now
    }

    /// Takes the next batch for a request that has `request_bytes` already, unless it is full.
    pub fn take_next(&mut self, config: &ProducerConfig, request_bytes: usize) -> Option<(u64, Bytes)> {
        let batch = self.batches.iter_mut().find(|batch| !batch.in_flight)?;
        if request_bytes > 0 && request_bytes + batch.size > config.request_bytes_max {
            return None;
        }
        batch.sealed = true;
        batch.in_flight = true;
        batch.attempts = batch.attempts.saturating_add(1);
        self.in_flight += 1;
        if config.idempotent && batch.sequence.is_none() {
            batch.sequence = Some(self.next_sequence);
            let count = i32::try_from(batch.records.len()).expect("a batch's bytes bound its records");
            self.next_sequence = sequence_after(self.next_sequence, count);
        }
        Some((batch.number, batch.encode(config, self.identity)))
    }

    /// Takes what the broker says about a batch; returns whether it will be sent again.
    pub fn on_result(
        &mut self,
        now: Instant,
        number: u64,
        result: &PartitionResult,
        context: &mut Context<'_>,
        out: &mut Outbox,
    ) -> bool {
        let position = self.land(number);
        let Some(code) = result.error else {
            self.complete(position, Some(result), context, out);
            return false;
        };
        let batch = &mut self.batches[position];
        match code {
            // Written by an attempt so long ago that the broker does not remember its offset.
            ErrorCode::DuplicateSequenceNumber => self.complete(position, None, context, out),
            ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId if position > 0 || self.broken => {
                // With batches before it unsettled, it came too early. With none, the gap is where one was given up,
                // and since the broker takes no sequence after a gap, nothing that is left here has been written.
                self.restart |= position == 0;
                self.retry(now, position, &code.to_string(), context, out);
                return true;
            }
            code if code.retriable() => {
                batch.maybe_written |= !proves_not_written(code);
                let reason = result.describe(code);
                self.retry(now, position, &reason, context, out);
                return true;
            }
            code => {
                let reason = ProduceErrorReason::Refused { code, message: result.message.clone() };
                self.fail(position, &reason, context, out);
            }
        }
        self.maybe_restart();
        false
    }

    /// A batch was in flight when its connection went away.
    pub fn on_lost(&mut self, now: Instant, number: u64, reason: &str, context: &mut Context<'_>, out: &mut Outbox) {
        let position = self.land(number);
        self.batches[position].maybe_written = true;
        self.retry(now, position, reason, context, out);
    }

    /// A batch was sent with `acks=0`: nothing more will be known about it.
    pub fn complete_unanswered(&mut self, number: u64, context: &mut Context<'_>, out: &mut Outbox) {
        let position = self.land(number);
        self.complete(position, None, context, out);
    }

    /// Fails what is not in flight.
    pub fn fail_queued(&mut self, reason: &ProduceErrorReason, context: &mut Context<'_>, out: &mut Outbox) {
        while let Some(position) = self.batches.iter().position(|batch| !batch.in_flight) {
            self.fail(position, reason, context, out);
        }
    }

    /// Fails what is too old and not in flight; returns its bytes.
    pub fn expire(
        &mut self,
        now: Instant,
        config: &ProducerConfig,
        last: &str,
        wake: &mut Wake,
        out: &mut Outbox,
    ) -> usize {
        let mut freed = 0;
        while let Some(position) = self.batches.iter().position(|batch| !batch.in_flight) {
            let deadline = self.batches[position].created_at() + config.delivery_timeout;
            if deadline > now {
                wake.at(deadline);
                break;
            }
            let batch = self.take(position);
            let last = batch.last_failure.clone().unwrap_or_else(|| last.to_owned());
            freed += batch.fail(&ProduceErrorReason::TimedOut { last }, out);
        }
        self.maybe_restart();
        freed
    }

    /// Asserts the module's invariants.
    pub fn check(&self) {
        let in_flight = self.batches.iter().filter(|batch| batch.in_flight).count();
        assert_eq!(in_flight, self.in_flight, "every batch in flight is counted");
        assert!(in_flight <= PRODUCER_BATCHES_REMEMBERED, "the broker remembers no more batches");
        let mut expected = None;
        let mut sequenced = true;
        for batch in &self.batches {
            assert!(!batch.records.is_empty(), "a batch has records");
            assert!(sequenced || batch.sequence.is_none(), "sequences are given in order");
            sequenced = batch.sequence.is_some();
            let Some(sequence) = batch.sequence else { continue };
            // A gap is where a batch was settled before those in front of it.
            let ahead = expected.map_or(0, |expected| sequence.wrapping_sub(expected) & i32::MAX);
            assert!(ahead < i32::MAX / 2, "sequences grow from batch to batch");
            expected = Some(sequence_after(sequence, batch.records.len() as i32));
        }
    }

    /// The batch is not in flight any more; returns where it stands.
    fn land(&mut self, number: u64) -> usize {
        let position = self.batches.iter().position(|batch| batch.number == number).expect("what is in flight is kept");
        let batch = &mut self.batches[position];
        assert!(batch.in_flight, "a batch lands once for each time that it is sent");
        batch.in_flight = false;
        self.in_flight -= 1;
        position
    }

    fn complete(
        &mut self,
        position: usize,
        result: Option<&PartitionResult>,
        context: &mut Context<'_>,
        out: &mut Outbox,
    ) {
        self.failures = 0;
        self.established = true;
        let batch = self.batches.remove(position).expect("the position is a batch's");
        *context.buffered_bytes -= batch.size;
        let base_offset = result.and_then(|result| result.base_offset);
        let log_append_time = result.and_then(|result| result.log_append_time);
        for (delta, pending) in batch.records.iter().enumerate() {
            let offset = base_offset.map(|base| base.advanced(delta as i64));
            let produced = Produced { partition: context.index, offset, log_append_time };
            out.completions.push(Completion::Produced { id: pending.id, outcome: Ok(produced) });
        }
        self.maybe_restart();
    }

    fn retry(&mut self, now: Instant, position: usize, reason: &str, context: &mut Context<'_>, out: &mut Outbox) {
        let batch = &mut self.batches[position];
        batch.last_failure = Some(reason.to_owned());
        if batch.attempts > context.config.retries_max {
            self.fail(position, &ProduceErrorReason::TimedOut { last: reason.to_owned() }, context, out);
        } else {
            self.failures = self.failures.saturating_add(1);
            self.retry_at = now + context.backoff.after(self.failures);
        }
        self.maybe_restart();
    }

    fn fail(&mut self, position: usize, reason: &ProduceErrorReason, context: &mut Context<'_>, out: &mut Outbox) {
        *context.buffered_bytes -= self.take(position).fail(reason, out);
    }

    /// Removes a batch that was not acknowledged.
    fn take(&mut self, position: usize) -> Batch {
        let batch = self.batches.remove(position).expect("the position is a batch's");
        self.broken |= batch.sequence.is_some();
        batch
    }

    fn maybe_restart(&mut self) {
        if self.restart && self.in_flight == 0 {
            self.restart = false;
            self.broken = true;
            self.batches.iter_mut().for_each(|batch| batch.sequence = None);
        }
    }

    /// Only a leader that refuses gaps may get several batches at once. One that does not know the producer takes any
    /// sequence, so that a second batch could pass a first one that it has refused.
    fn in_flight_max(&self, config: &ProducerConfig) -> usize {
        if config.idempotent && self.established { PRODUCER_BATCHES_REMEMBERED } else { 1 }
    }

    fn has_sequences(&self) -> bool {
        self.batches.front().is_some_and(|batch| batch.sequence.is_some())
    }
}

impl Batch {
    fn new(number: u64) -> Self {
        Self {
            number,
            records: Vec::new(),
            size: 0,
            sealed: false,
            in_flight: false,
            attempts: 0,
            sequence: None,
            maybe_written: false,
            last_failure: None,
        }
    }

    fn created_at(&self) -> Instant {
        self.records.first().expect("a batch has records").created_at
    }

    fn has_room_for(&self, pending: &Pending, config: &ProducerConfig) -> bool {
        !self.sealed && (self.records.is_empty() || self.size + pending.size <= config.batch_bytes)
    }

    fn encode(&self, config: &ProducerConfig, identity: Option<Identity>) -> Bytes {
        let mut builder = BatchBuilder::new(config.compression);
        if let (Some(identity), Some(sequence)) = (identity, self.sequence) {
            builder = builder.producer(identity.id.0, identity.epoch.0, sequence);
        }
        for pending in &self.records {
            builder.push(&pending.record);
        }
        builder.build()
    }

    /// Tells everybody; returns the bytes that are free again.
    fn fail(self, reason: &ProduceErrorReason, out: &mut Outbox) -> usize {
        for pending in &self.records {
            let error = ProduceError { reason: reason.clone(), maybe_written: self.maybe_written };
            out.completions.push(Completion::Produced { id: pending.id, outcome: Err(error) });
        }
        self.size
    }
}

/// Sequences wrap at 2^31 - 1.
fn sequence_after(sequence: i32, count: i32) -> i32 {
    sequence.wrapping_add(count) & i32::MAX
}

/// Whether a retriable answer says for certain that nothing was appended. NOT_LEADER_OR_FOLLOWER does not: the leader
/// may have lost its role after appending.
fn proves_not_written(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::InconsistentTopicId
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::NotEnoughReplicas
            | ErrorCode::OutOfOrderSequenceNumber
    )
}
