//! Produces records: collects them into batches, sends each batch to its partition's leader, and again until it is
//! acknowledged, refused or too old.
//!
//! Invariants:
//! * The batches of a partition are written in the order in which their records came.
//! * Every record ends in exactly one completion, and `maybe_written` is false only if no attempt can have been written.
//! * With idempotence, a batch that may have been written is only ever repeated with the same sequence.
//!
//! Sources: KIP-98 (idempotence), KIP-360 (raising the epoch after an unknown outcome), KIP-480 (sticky partitions).
//! Deliberately absent: transactions, splitting a batch that the broker finds too large.

mod partition;
mod request;

use std::collections::{BTreeMap, VecDeque};

use highwater_wire::init_producer_id::InitProducerIdRequest;
use highwater_wire::produce::ProduceRequest;
use highwater_wire::records::Record;
use highwater_wire::{AnyRequest, ErrorCode};

use self::partition::{PartitionQueue, Pending};
use super::answer::Answer;
use super::boundary::{Completion, NewRecord, Outbox, ProduceError, ProduceErrorReason, TopicPartition, is_topic_name};
use super::config::{Acks, ClientConfig, ProducerConfig};
use super::error_of;
use super::metadata::{Metadata, may_pass};
use super::network::{Backoff, Network};
use super::partitioner::partition_of_key;
use super::purpose::{Purpose, SentBatch};
use super::random::Random;
use super::wake::Wake;
use crate::ids::{BrokerId, CommandId, PartitionIndex, ProducerEpoch, ProducerId};
use crate::limits::TOPIC_NAME_BYTES_MAX;
use crate::time::{Instant, Now};

/// Who writes, so that a broker can tell a retry from a new record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub id: ProducerId,
    pub epoch: ProducerEpoch,
}

#[derive(Debug)]
enum IdentityState {
    /// Not idempotent.
    NotNeeded,
    Wanted {
        retry_at: Instant,
        failures: u32,
    },
    Asked {
        failures: u32,
    },
    Known(Identity),
}

#[derive(Debug)]
pub(super) struct Producer {
    config: ProducerConfig,
    create_topics: bool,
    random: Random,
    backoff: Backoff,
    identity: IdentityState,
    topics: BTreeMap<String, TopicQueue>,
    buffered_bytes: usize,
    next_batch: u64,
}

/// The records of one topic that are not acknowledged yet.
#[derive(Debug, Default)]
struct TopicQueue {
    /// Those that wait for the number of partitions.
    unplaced: VecDeque<(Option<PartitionIndex>, Pending)>,
    /// Where records without a key go until the batch there is full.
    sticky: Option<usize>,
    partitions: Vec<PartitionQueue>,
}

impl Producer {
    pub fn new(config: &ClientConfig) -> Self {
        let idempotent = config.producer.idempotent;
        assert!(!idempotent || config.producer.acks == Acks::All, "only acks=all tells a retry from a loss");
        Self {
            config: config.producer.clone(),
            create_topics: config.create_topics,
            random: Random::new(config.seed),
            backoff: Backoff::new(config, 3),
            identity: if idempotent {
                IdentityState::Wanted { retry_at: Instant::default(), failures: 0 }
            } else {
                IdentityState::NotNeeded
            },
            topics: BTreeMap::new(),
            buffered_bytes: 0,
            next_batch: 0,
        }
    }

    /// Bytes of records that are not acknowledged yet.
    pub fn buffered_bytes(&self) -> usize {
        self.buffered_bytes
    }

    /// Takes a record. Returns whether something can be sent earlier than was known before.
    pub fn add(
        &mut self,
        now: Now,
        id: CommandId,
        record: NewRecord,
        metadata: &mut Metadata,
        out: &mut Outbox,
    ) -> bool {
        let NewRecord { topic, partition, timestamp, key, value, headers } = record;
        if !is_topic_name(&topic) {
            let message = format!("a topic's name has 1 to {TOPIC_NAME_BYTES_MAX} characters");
            let reason = ProduceErrorReason::Refused { code: ErrorCode::InvalidTopicException, message };
            fail(id, ProduceError { reason, maybe_written: false }, out);
            return false;
        }
        let timestamp = timestamp.unwrap_or(now.wall).0;
        let pending = Pending::new(id, now.mono, Record { offset: 0, timestamp, key, value, headers });
        if self.buffered_bytes + pending.size > self.config.buffer_bytes_max {
            fail(id, ProduceError { reason: ProduceErrorReason::BufferFull, maybe_written: false }, out);
            return false;
        }
        self.buffered_bytes += pending.size;
        metadata.watch(&topic, self.create_topics);
        let queue = self.topics.entry(topic.clone()).or_default();
        if queue.partitions.is_empty() || !queue.unplaced.is_empty() {
            queue.unplaced.push_back((partition, pending));
            return true;
        }
        self.place(&topic, partition, pending, out)
    }

    pub fn maybe_send(
        &mut self,
        now: Instant,
        metadata: &mut Metadata,
        network: &mut Network,
        wake: &mut Wake,
        out: &mut Outbox,
    ) {
        self.place_waiting(now, metadata, network, wake, out);
        self.expire(now, network, wake, out);
        if self.topics.values().all(|topic| topic.partitions.iter().all(PartitionQueue::is_empty)) {
            return;
        }
        self.maybe_ask_identity(now, network, wake, out);
        if matches!(self.identity, IdentityState::NotNeeded | IdentityState::Known(_)) {
            while self.send_round(now, metadata, network, wake, out) {}
        }
    }

    pub fn on_identity(&mut self, now: Instant, answer: &Answer, out: &mut Outbox) {
        let IdentityState::Asked { failures } = self.identity else { return };
        let response = answer.decode::<InitProducerIdRequest>();
        match response.map(|response| (error_of(response.error_code), response)) {
            Ok((None, response)) => {
                let (id, epoch) = (ProducerId(response.producer_id), ProducerEpoch(response.producer_epoch));
                self.identity = IdentityState::Known(Identity { id, epoch });
            }
            Ok((Some(code), _)) if !code.retriable() => {
                self.fail_all(&ProduceErrorReason::Refused { code, message: "no producer id".to_owned() }, out);
                self.identity = self.wanted_identity(now, failures);
            }
            Ok((Some(_), _)) | Err(_) => self.identity = self.wanted_identity(now, failures),
        }
    }

    pub fn on_identity_lost(&mut self, now: Instant) {
        if let IdentityState::Asked { failures } = self.identity {
            self.identity = self.wanted_identity(now, failures);
        }
    }

    /// Takes the answer to a produce request.
    pub fn on_answer(
        &mut self,
        now: Instant,
        sent: &[SentBatch],
        answer: &Answer,
        metadata: &mut Metadata,
        out: &mut Outbox,
    ) {
        let Ok(response) = answer.decode::<ProduceRequest>() else {
            return self.on_lost(now, sent, "malformed answer to Produce", metadata, out);
        };
        for batch in sent {
            match request::find_result(&response, batch) {
                Some(result) => {
                    let retried = self.with_partition(&batch.partition, |queue, context| {
                        queue.on_result(now, batch.batch, &result, context, out)
                    });
                    if retried {
                        metadata.refresh();
                    }
                }
                None => {
                    self.on_lost(now, std::slice::from_ref(batch), "the answer leaves the partition out", metadata, out)
                }
            }
        }
        self.maybe_raise_epoch();
    }

    /// The connection went away under a produce request: it may have been written or not.
    pub fn on_lost(
        &mut self,
        now: Instant,
        sent: &[SentBatch],
        reason: &str,
        metadata: &mut Metadata,
        out: &mut Outbox,
    ) {
        metadata.refresh();
        for batch in sent {
            self.with_partition(&batch.partition, |queue, context| {
                queue.on_lost(now, batch.batch, reason, context, out)
            });
        }
        self.maybe_raise_epoch();
    }

    /// Asserts what holds between inputs.
    pub fn check(&self) {
        let mut buffered = 0;
        for topic in self.topics.values() {
            buffered += topic.unplaced.iter().map(|(_, pending)| pending.size).sum::<usize>();
            for queue in &topic.partitions {
                queue.check();
                buffered += queue.size();
            }
        }
        assert_eq!(buffered, self.buffered_bytes, "every waiting record is counted once");
    }

    /// Puts a record into its partition's queue; returns whether something can be sent earlier than was known before.
    fn place(&mut self, topic: &str, wish: Option<PartitionIndex>, pending: Pending, out: &mut Outbox) -> bool {
        let queue = self.topics.get_mut(topic).expect("a record is placed in a known topic");
        let count = queue.partitions.len();
        let index = match (wish, &pending.record.key) {
            (Some(wish), _) => usize::try_from(wish.0).unwrap_or(usize::MAX),
            (None, Some(key)) => partition_of_key(key, count),
            (None, None) => queue.sticky_partition(&pending, &self.config, &mut self.random),
        };
        let Some(partition) = queue.partitions.get_mut(index) else {
            self.buffered_bytes -= pending.size;
            let reason = ProduceErrorReason::NoSuchPartition { partition: wish.unwrap_or_default(), count };
            fail(pending.id, ProduceError { reason, maybe_written: false }, out);
            return false;
        };
        partition.push(pending, &self.config, &mut self.next_batch)
    }

    /// Gives partitions to the records that waited for metadata, or up on them.
    fn place_waiting(
        &mut self,
        now: Instant,
        metadata: &mut Metadata,
        network: &Network,
        wake: &mut Wake,
        out: &mut Outbox,
    ) {
        let names: Vec<String> = self.topics.keys().cloned().collect();
        for name in names {
            let queue = self.topics.get_mut(&name).expect("names are those of the topics");
            match metadata.partition_count(&name) {
                Some(Ok(count)) => {
                    let count = count.max(queue.partitions.len());
                    queue.partitions.resize_with(count, PartitionQueue::default);
                    for (wish, pending) in std::mem::take(&mut queue.unplaced) {
                        self.place(&name, wish, pending, out);
                    }
                }
                Some(Err(code)) if !may_pass(code) && code != ErrorCode::UnknownTopicOrPartition => {
                    let reason = ProduceErrorReason::Refused { code, message: String::new() };
                    self.buffered_bytes -= queue.fail_unplaced(usize::MAX, &reason, out);
                }
                Some(Err(_)) | None => {
                    let deadline = |pending: &Pending| pending.created_at + self.config.delivery_timeout;
                    let expired = queue.unplaced.iter().take_while(|(_, pending)| deadline(pending) <= now).count();
                    let last = match metadata.partition_count(&name) {
                        Some(Err(code)) => format!("{code} for topic {name}"),
                        Some(Ok(_)) | None => network.last_failure().unwrap_or("no metadata").to_owned(),
                    };
                    self.buffered_bytes -= queue.fail_unplaced(expired, &ProduceErrorReason::TimedOut { last }, out);
                    queue.unplaced.front().iter().for_each(|(_, pending)| wake.at(deadline(pending)));
                }
            }
        }
    }

    fn expire(&mut self, now: Instant, network: &Network, wake: &mut Wake, out: &mut Outbox) {
        let last = network.last_failure().unwrap_or("no answer from the partition's leader");
        for topic in self.topics.values_mut() {
            for queue in &mut topic.partitions {
                self.buffered_bytes -= queue.expire(now, &self.config, last, wake, out);
            }
        }
        self.maybe_raise_epoch();
    }

    fn maybe_ask_identity(&mut self, now: Instant, network: &mut Network, wake: &mut Wake, out: &mut Outbox) {
        let IdentityState::Wanted { retry_at, failures } = self.identity else { return };
        if retry_at > now {
            return wake.at(retry_at);
        }
        let Some(connection) = network.any_ready(now, out) else { return };
        let request: AnyRequest =
            InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: i32::MAX, ..Default::default() }
                .into();
        match connection.version_for(request.key()) {
            Ok(version) => {
                connection
                    .send(now, &request, version, Purpose::InitProducerId, out)
                    .expect("every version can say this");
                self.identity = IdentityState::Asked { failures };
            }
            Err(unsupported) => self.fail_all(&ProduceErrorReason::Unsupported(unsupported.to_string()), out),
        }
    }

    /// Sends one request to every leader that something is due for; returns whether anything was sent.
    fn send_round(
        &mut self,
        now: Instant,
        metadata: &mut Metadata,
        network: &mut Network,
        wake: &mut Wake,
        out: &mut Outbox,
    ) -> bool {
        let mut sent = false;
        for (broker, partitions) in self.due(now, metadata, wake) {
            let Some(connection) = network.ready(now, broker, out) else { continue };
            match connection.version_for(highwater_wire::ApiKey::Produce) {
                Ok(version) => {
                    let batches = self.take_batches(&partitions, metadata);
                    request::send(now, version, &batches, &self.config, connection, out);
                    if self.config.acks == Acks::None {
                        self.complete_unanswered(&batches, out);
                    }
                    sent = true;
                }
                Err(unsupported) => {
                    let reason = ProduceErrorReason::Unsupported(unsupported.to_string());
                    for partition in &partitions {
                        self.with_partition(partition, |queue, context| queue.fail_queued(&reason, context, out));
                    }
                }
            }
        }
        sent
    }

    /// The partitions whose next batch can be sent now, by leader.
    fn due(
        &mut self,
        now: Instant,
        metadata: &mut Metadata,
        wake: &mut Wake,
    ) -> BTreeMap<BrokerId, Vec<TopicPartition>> {
        let identity = self.known_identity();
        let mut due: BTreeMap<BrokerId, Vec<TopicPartition>> = BTreeMap::new();
        for (name, topic) in &mut self.topics {
            for (index, queue) in topic.partitions.iter_mut().enumerate() {
                queue.maybe_adopt(identity);
                if !queue.is_due(now, &self.config, wake) {
                    continue;
                }
                let partition = TopicPartition::new(name.clone(), partition_index(index));
                match metadata.leader(&partition) {
                    Some(leader) => due.entry(leader.broker).or_default().push(partition),
                    None => metadata.refresh(),
                }
            }
        }
        due
    }

    fn take_batches(&mut self, partitions: &[TopicPartition], metadata: &Metadata) -> Vec<request::Outgoing> {
        let mut batches = Vec::new();
        let mut size = 0;
        for partition in partitions {
            let config = &self.config;
            let queue = self
                .topics
                .get_mut(&partition.topic)
                .and_then(|topic| topic.partitions.get_mut(partition.index.0 as usize));
            let queue = queue.expect("what is due is in a queue");
            let Some((batch, bytes)) = queue.take_next(config, size) else { break };
            size += bytes.len();
            let topic_id = metadata.leader(partition).expect("what is due has a leader").topic_id;
            batches
                .push(request::Outgoing { sent: SentBatch { partition: partition.clone(), topic_id, batch }, bytes });
        }
        batches
    }

    fn complete_unanswered(&mut self, batches: &[request::Outgoing], out: &mut Outbox) {
        for outgoing in batches {
            let batch = outgoing.sent.batch;
            self.with_partition(&outgoing.sent.partition, |queue, context| {
                queue.complete_unanswered(batch, context, out)
            });
        }
    }

    fn with_partition<T>(
        &mut self,
        partition: &TopicPartition,
        change: impl FnOnce(&mut PartitionQueue, &mut partition::Context<'_>) -> T,
    ) -> T {
        let topic = self.topics.get_mut(&partition.topic).expect("topics are never forgotten");
        let queue = topic.partitions.get_mut(partition.index.0 as usize).expect("partitions are never forgotten");
        let mut context = partition::Context {
            index: partition.index,
            config: &self.config,
            backoff: &mut self.backoff,
            buffered_bytes: &mut self.buffered_bytes,
        };
        change(queue, &mut context)
    }

    fn known_identity(&self) -> Option<Identity> {
        match self.identity {
            IdentityState::Known(identity) => Some(identity),
            IdentityState::NotNeeded | IdentityState::Wanted { .. } | IdentityState::Asked { .. } => None,
        }
    }

    /// After an unknown outcome no sequence is certain to be the next one: a new epoch counts from 0 again.
    fn maybe_raise_epoch(&mut self) {
        let IdentityState::Known(identity) = self.identity else { return };
        let queues = || self.topics.values().flat_map(|topic| &topic.partitions);
        if !queues().any(|queue| queue.needs_new_identity(identity)) {
            return;
        }
        self.identity = match identity.epoch.0.checked_add(1).filter(|epoch| *epoch < i16::MAX) {
            Some(epoch) => IdentityState::Known(Identity { epoch: ProducerEpoch(epoch), ..identity }),
            None => IdentityState::Wanted { retry_at: Instant::default(), failures: 0 },
        };
    }

    fn wanted_identity(&mut self, now: Instant, failures: u32) -> IdentityState {
        let failures = failures.saturating_add(1);
        IdentityState::Wanted { retry_at: now + self.backoff.after(failures), failures }
    }

    /// Fails everything that is not in flight.
    fn fail_all(&mut self, reason: &ProduceErrorReason, out: &mut Outbox) {
        let names: Vec<(String, usize)> =
            self.topics.iter().map(|(name, topic)| (name.clone(), topic.partitions.len())).collect();
        for (name, count) in names {
            for index in 0..count {
                let partition = TopicPartition::new(name.clone(), partition_index(index));
                self.with_partition(&partition, |queue, context| queue.fail_queued(reason, context, out));
            }
        }
    }
}

impl TopicQueue {
    /// Stays with one partition until its batch is full or gone, so that batches become large.
    fn sticky_partition(&mut self, pending: &Pending, config: &ProducerConfig, random: &mut Random) -> usize {
        let current = self.sticky.filter(|index| self.partitions[*index].has_open_batch_for(pending, config));
        let chosen = current.unwrap_or_else(|| random.below(self.partitions.len()));
        self.sticky = Some(chosen);
        chosen
    }

    /// Fails the first `count` records that have no partition; returns their bytes.
    fn fail_unplaced(&mut self, count: usize, reason: &ProduceErrorReason, out: &mut Outbox) -> usize {
        let failed = self.unplaced.drain(..count.min(self.unplaced.len()));
        failed.fold(0, |bytes, (_, pending)| {
            fail(pending.id, ProduceError { reason: reason.clone(), maybe_written: false }, out);
            bytes + pending.size
        })
    }
}

fn partition_index(index: usize) -> PartitionIndex {
    PartitionIndex(i32::try_from(index).expect("partitions are numbered by i32"))
}

fn fail(id: CommandId, error: ProduceError, out: &mut Outbox) {
    out.completions.push(Completion::Produced { id, outcome: Err(error) });
}
