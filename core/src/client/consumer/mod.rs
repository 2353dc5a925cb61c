//! Reads assigned partitions: finds where to begin, fetches from each partition's leader, hands records on in order.
//!
//! Invariants:
//! * One fetch is in flight for each broker, so that what a slow reader has not taken yet bounds what is asked for.
//! * A record is handed on only if it lies at the partition's position, which then moves past it.
//! * What belongs to an assignment that has been replaced is dropped.
//!
//! Sources: KIP-227 (sessions), KIP-320 (leader epochs in fetches), KIP-98 (aborted transactions).
//! Deliberately absent: groups, reading from followers, looking for truncation by OffsetForLeaderEpoch.

mod decode;
mod lookup;
mod session;

use std::collections::BTreeMap;

use highwater_wire::fetch::{FetchRequest, FetchResponse, PartitionData};
use highwater_wire::{AnyRequest, ApiKey, ErrorCode, Records};

use self::session::{FetchSession, Want};
use super::answer::Answer;
use super::boundary::{Completion, ConsumeError, Outbox, Position, TopicPartition};
use super::config::{ClientConfig, ConsumerConfig, Isolation, OutOfRange};
use super::error_of;
use super::metadata::{Leader, Metadata};
use super::network::{Backoff, Network};
use super::purpose::Purpose;
use super::wake::Wake;
use crate::ids::{BrokerId, Offset};
use crate::time::Instant;

/// The last version of Fetch that names topics.
const FETCH_BY_NAME_VERSION_MAX: i16 = 12;

#[derive(Debug)]
pub(super) struct Consumer {
    config: ConsumerConfig,
    backoff: Backoff,
    partitions: BTreeMap<TopicPartition, Assigned>,
    brokers: BTreeMap<BrokerId, Fetching>,
    next_assignment: u64,
}

/// A partition that is read.
#[derive(Debug)]
struct Assigned {
    assignment: u64,
    place: Place,
    failures: u32,
    retry_at: Instant,
    /// The reader knows that it has seen everything.
    at_end: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// To be looked up.
    Unknown(Position),
    /// Being looked up.
    Asked(Position),
    /// Known.
    At(Offset),
}

/// The conversation with one broker.
#[derive(Debug, Default)]
struct Fetching {
    session: FetchSession,
    in_flight: bool,
}

impl Consumer {
    pub fn new(config: &ClientConfig) -> Self {
        Self {
            config: config.consumer.clone(),
            backoff: Backoff::new(config, 4),
            partitions: BTreeMap::new(),
            brokers: BTreeMap::new(),
            next_assignment: 0,
        }
    }

    pub fn assign(&mut self, partition: TopicPartition, from: Position, out: &mut Outbox) {
        if !partition.has_valid_topic() {
            let error = ConsumeError::Refused(ErrorCode::InvalidTopicException);
            return out.completions.push(Completion::ConsumeFailed { partition, error });
        }
        let place = match from {
            Position::Offset(offset) => Place::At(offset),
            Position::Earliest | Position::Latest | Position::Timestamp(_) => Place::Unknown(from),
        };
        let assignment = self.next_assignment;
        self.next_assignment += 1;
        let assigned = Assigned { assignment, place, failures: 0, retry_at: Instant::default(), at_end: false };
        self.partitions.insert(partition, assigned);
    }

    pub fn unassign(&mut self, partition: &TopicPartition) {
        self.partitions.remove(partition);
    }

    pub fn maybe_send(
        &mut self,
        now: Instant,
        metadata: &mut Metadata,
        network: &mut Network,
        wake: &mut Wake,
        out: &mut Outbox,
    ) {
        let mut lookups: BTreeMap<BrokerId, Vec<(TopicPartition, Leader)>> = BTreeMap::new();
        let mut fetches: BTreeMap<BrokerId, BTreeMap<TopicPartition, Want>> = BTreeMap::new();
        let mut failed = Vec::new();
        for (partition, assigned) in &self.partitions {
            let leader = match metadata.leader_or_error(partition) {
                Ok(Some(leader)) => leader,
                Ok(None) => {
                    metadata.refresh();
                    continue;
                }
                Err(code) => {
                    failed.push((partition.clone(), ConsumeError::Refused(code)));
                    continue;
                }
            };
            if assigned.retry_at > now {
                wake.at(assigned.retry_at);
                continue;
            }
            match assigned.place {
                Place::Unknown(_) => lookups.entry(leader.broker).or_default().push((partition.clone(), leader)),
                Place::Asked(_) => {}
                Place::At(offset) => {
                    let want = Want {
                        topic_id: leader.topic_id,
                        leader_epoch: leader.epoch,
                        offset,
                        assignment: assigned.assignment,
                    };
                    fetches.entry(leader.broker).or_default().insert(partition.clone(), want);
                }
            }
        }
        failed.into_iter().for_each(|(partition, error)| self.fail(&partition, error, out));
        for (broker, partitions) in lookups {
            self.look_up(now, broker, &partitions, network, out);
        }
        for (broker, wanted) in fetches {
            self.fetch(now, broker, wanted, network, out);
        }
    }

    /// Takes the answer to a fetch.
    pub fn on_fetched(
        &mut self,
        now: Instant,
        broker: BrokerId,
        answer: &Answer,
        metadata: &mut Metadata,
        out: &mut Outbox,
    ) {
        let Ok(response) = answer.decode::<FetchRequest>() else { return self.on_fetch_lost(now, broker, metadata) };
        let Some(fetching) = self.brokers.get_mut(&broker) else { return };
        fetching.in_flight = false;
        if let Some(code) = error_of(response.error_code) {
            return self.on_fetch_refused(now, broker, code, metadata);
        }
        fetching.session.on_answer(response.session_id);
        for (partition, want, row) in self.rows(broker, response) {
            self.on_row(now, &partition, want, row, metadata, out);
        }
    }

    /// The connection went away under a fetch.
    pub fn on_fetch_lost(&mut self, now: Instant, broker: BrokerId, metadata: &mut Metadata) {
        metadata.refresh();
        self.forget_fetch(now, broker, false);
    }

    /// Asserts what holds between inputs.
    pub fn check(&self) {
        for (partition, assigned) in &self.partitions {
            assert!(assigned.assignment < self.next_assignment, "{partition} has an assignment that was never made");
        }
    }

    fn fetch(
        &mut self,
        now: Instant,
        broker: BrokerId,
        wanted: BTreeMap<TopicPartition, Want>,
        network: &mut Network,
        out: &mut Outbox,
    ) {
        let fetching = self.brokers.entry(broker).or_default();
        if fetching.in_flight {
            return;
        }
        let Some(connection) = network.ready(now, broker, out) else { return };
        let version = match connection.version_for(ApiKey::Fetch) {
            Ok(version) => version,
            Err(unsupported) => {
                let error = ConsumeError::Unsupported(unsupported.to_string());
                return wanted.keys().for_each(|partition| self.fail(partition, error.clone(), out));
            }
        };
        let by_name = wanted.values().any(|want| want.topic_id.0 == 0);
        let version = if by_name { version.min(FETCH_BY_NAME_VERSION_MAX) } else { version };
        let mut request = FetchRequest {
            max_wait_ms: i32::try_from(self.config.fetch_wait_max.as_millis()).unwrap_or(i32::MAX),
            min_bytes: self.config.fetch_bytes_min,
            max_bytes: self.config.fetch_bytes_max,
            isolation_level: isolation_code(self.config.isolation),
            ..Default::default()
        };
        // Sessions exist from version 7 on; before that the fields are not sent and everything is asked for each time.
        let sessions = self.config.fetch_sessions && version >= 7;
        fetching.session.ask(wanted, self.config.partition_bytes_max, sessions, &mut request);
        fetching.in_flight = true;
        let sent = connection.send(now, &AnyRequest::from(request), version, Purpose::Fetch(broker), out);
        sent.expect("every version can carry a consumer's fetch");
    }

    /// What an answer says, with what was asked. Rows about anything else are left out.
    fn rows(&self, broker: BrokerId, response: FetchResponse) -> Vec<(TopicPartition, Want, PartitionData)> {
        let Some(fetching) = self.brokers.get(&broker) else { return Vec::new() };
        let topics = response.responses.into_iter();
        let rows = topics
            .flat_map(|topic| topic.partitions.into_iter().map(move |row| (topic.topic.clone(), topic.topic_id, row)));
        rows.filter_map(|(topic, topic_id, row)| {
            let (partition, want) = fetching.session.find(&topic, topic_id, row.partition_index)?;
            Some((partition.clone(), *want, row))
        })
        .collect()
    }

    fn on_row(
        &mut self,
        now: Instant,
        partition: &TopicPartition,
        want: Want,
        row: PartitionData,
        metadata: &mut Metadata,
        out: &mut Outbox,
    ) {
        let asked = |assigned: &&mut Assigned| {
            assigned.assignment == want.assignment && assigned.place == Place::At(want.offset)
        };
        let Some(assigned) = self.partitions.get_mut(partition).filter(asked) else { return };
        match error_of(row.error_code) {
            None => {
                assigned.failures = 0;
                if let Err(error) = assigned.take(partition, want.offset, row, self.config.isolation, out) {
                    self.fail(partition, error, out);
                }
            }
            Some(ErrorCode::OffsetOutOfRange) => match self.config.out_of_range {
                OutOfRange::Earliest => assigned.place = Place::Unknown(Position::Earliest),
                OutOfRange::Latest => assigned.place = Place::Unknown(Position::Latest),
                OutOfRange::Fail => self.fail(partition, ConsumeError::OutOfRange(want.offset), out),
            },
            Some(code) if code.retriable() => {
                metadata.refresh();
                assigned.back_off(now, &mut self.backoff);
            }
            Some(code) => self.fail(partition, ConsumeError::Refused(code), out),
        }
    }

    /// The broker refuses a whole fetch: mostly because it has forgotten the session.
    fn on_fetch_refused(&mut self, now: Instant, broker: BrokerId, code: ErrorCode, metadata: &mut Metadata) {
        match code {
            ErrorCode::FetchSessionIdNotFound => self.restart_session(broker, true),
            ErrorCode::InvalidFetchSessionEpoch => self.restart_session(broker, false),
            _ => {
                metadata.refresh();
                self.forget_fetch(now, broker, false);
            }
        }
    }

    fn forget_fetch(&mut self, now: Instant, broker: BrokerId, broker_forgot: bool) {
        let Some(fetching) = self.brokers.get_mut(&broker) else { return };
        fetching.in_flight = false;
        for partition in fetching.session.partitions() {
            if let Some(assigned) = self.partitions.get_mut(partition) {
                assigned.back_off(now, &mut self.backoff);
            }
        }
        self.restart_session(broker, broker_forgot);
    }

    fn restart_session(&mut self, broker: BrokerId, broker_forgot: bool) {
        if let Some(fetching) = self.brokers.get_mut(&broker) {
            fetching.session.restart(broker_forgot);
        }
    }

    fn fail(&mut self, partition: &TopicPartition, error: ConsumeError, out: &mut Outbox) {
        if self.partitions.remove(partition).is_some() {
            out.completions.push(Completion::ConsumeFailed { partition: partition.clone(), error });
        }
    }
}

impl Assigned {
    /// Hands on what was fetched and moves the position.
    fn take(
        &mut self,
        partition: &TopicPartition,
        from: Offset,
        row: PartitionData,
        isolation: Isolation,
        out: &mut Outbox,
    ) -> Result<(), ConsumeError> {
        let high_watermark = Offset(row.high_watermark);
        let end = match isolation {
            Isolation::ReadUncommitted => high_watermark,
            Isolation::ReadCommitted => Offset(row.last_stable_offset),
        };
        let bytes = match row.records {
            Records::Inline(bytes) => bytes,
            Records::Null | Records::Gap { .. } => bytes::Bytes::new(),
        };
        let decoded = decode::decode(bytes, from, isolation, row.aborted_transactions.as_deref().unwrap_or_default())?;
        self.place = Place::At(decoded.next_offset);
        if !decoded.records.is_empty() {
            self.at_end = false;
            out.completions.push(Completion::Fetched {
                partition: partition.clone(),
                records: decoded.records,
                high_watermark,
            });
        }
        if decoded.next_offset >= end && !self.at_end {
            self.at_end = true;
            out.completions.push(Completion::ReachedEnd { partition: partition.clone(), offset: decoded.next_offset });
        }
        Ok(())
    }

    fn back_off(&mut self, now: Instant, backoff: &mut Backoff) {
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now + backoff.after(self.failures);
    }
}

fn isolation_code(isolation: Isolation) -> i8 {
    match isolation {
        Isolation::ReadUncommitted => 0,
        Isolation::ReadCommitted => 1,
    }
}
