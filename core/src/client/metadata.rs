//! What a client knows about the cluster: its brokers, and who leads the partitions that it uses.
//!
//! Invariants:
//! * At most one Metadata request is in flight.
//! * What is known about a partition never goes back to an older leader epoch of the same topic (KIP-320).

use std::collections::BTreeMap;
use std::time::Duration;

use highwater_wire::ErrorCode;
use highwater_wire::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic};

use super::answer::Answer;
use super::boundary::{Address, Outbox, TopicPartition};
use super::config::ClientConfig;
use super::error_of;
use super::network::{Backoff, Network};
use super::purpose::Purpose;
use super::wake::Wake;
use crate::ids::{BrokerId, LeaderEpoch, TopicId};
use crate::time::Instant;

/// Who leads a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leader {
    pub broker: BrokerId,
    pub epoch: Option<LeaderEpoch>,
    pub topic_id: TopicId,
}

/// What is known about a topic that somebody uses.
#[derive(Debug)]
pub(super) struct Topic {
    state: TopicState,
    may_create: bool,
    topic_id: TopicId,
    /// By partition: the leader, if there is one, and the newest epoch that was seen.
    partitions: Vec<(Option<BrokerId>, i32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TopicState {
    NotAsked,
    Known,
    Failed(ErrorCode),
}

#[derive(Debug)]
pub(super) struct Metadata {
    age_max: Duration,
    backoff: Backoff,
    topics: BTreeMap<String, Topic>,
    brokers: BTreeMap<BrokerId, Address>,
    controller: Option<BrokerId>,
    /// Something that we need is not known or not true any more.
    stale: bool,
    in_flight: bool,
    failures: u32,
    retry_at: Instant,
    /// When age alone makes it stale; `None` before the first answer.
    expires_at: Option<Instant>,
}

impl Metadata {
    pub fn new(config: &ClientConfig) -> Self {
        Self {
            age_max: config.metadata_age_max,
            backoff: Backoff::new(config, 2),
            topics: BTreeMap::new(),
            brokers: BTreeMap::new(),
            controller: None,
            stale: false,
            in_flight: false,
            failures: 0,
            retry_at: Instant::default(),
            expires_at: None,
        }
    }

    /// Keeps a topic known from now on.
    pub fn watch(&mut self, name: &str, may_create: bool) {
        if let Some(topic) = self.topics.get_mut(name) {
            topic.may_create |= may_create;
            return;
        }
        let topic =
            Topic { state: TopicState::NotAsked, may_create, topic_id: TopicId::default(), partitions: Vec::new() };
        self.topics.insert(name.to_owned(), topic);
        self.stale = true;
        // A topic that nobody has asked for yet need not wait for the failures of others.
        self.retry_at = Instant::default();
    }

    /// Says that what is known does not hold any more.
    pub fn refresh(&mut self) {
        self.stale = true;
    }

    /// Makes sure that the brokers are asked for at all.
    pub fn want_brokers(&mut self) {
        self.stale |= self.expires_at.is_none();
    }

    pub fn controller(&self) -> Option<BrokerId> {
        self.controller
    }

    pub fn brokers(&self) -> &BTreeMap<BrokerId, Address> {
        &self.brokers
    }

    /// How many partitions a topic has; the error if the last answer was one; `None` if it is not known yet.
    pub fn partition_count(&self, name: &str) -> Option<Result<usize, ErrorCode>> {
        let topic = self.topics.get(name)?;
        match topic.state {
            TopicState::NotAsked => None,
            TopicState::Known => Some(Ok(topic.partitions.len())),
            TopicState::Failed(code) => Some(Err(code)),
        }
    }

    pub fn leader(&self, partition: &TopicPartition) -> Option<Leader> {
        let topic = self.topics.get(&partition.topic)?;
        let (broker, epoch) = *topic.partitions.get(usize::try_from(partition.index.0).ok()?)?;
        let epoch = (epoch >= 0).then_some(LeaderEpoch(epoch));
        Some(Leader { broker: broker?, epoch, topic_id: topic.topic_id })
    }

    /// The leader of a partition; nothing while that is being found out; an error where there is no such partition.
    /// An error is told once: whoever asks again has the brokers asked again.
    pub fn leader_or_error(&mut self, partition: &TopicPartition) -> Result<Option<Leader>, ErrorCode> {
        self.watch(&partition.topic, false);
        let error = match self.partition_count(&partition.topic) {
            Some(Err(code)) if !may_pass(code) => Some(code),
            Some(Ok(count)) if !(0..count as i64).contains(&i64::from(partition.index.0)) => {
                Some(ErrorCode::UnknownTopicOrPartition)
            }
            Some(_) | None => None,
        };
        let Some(code) = error else { return Ok(self.leader(partition)) };
        if self.topics.get(&partition.topic).is_some_and(|topic| !topic.may_create) {
            self.topics.remove(&partition.topic);
        }
        Err(code)
    }

    pub fn maybe_send(&mut self, now: Instant, network: &mut Network, wake: &mut Wake, out: &mut Outbox) {
        if self.in_flight {
            return;
        }
        let expired = self.expires_at.is_some_and(|at| at <= now);
        if !self.stale && !expired {
            self.expires_at.iter().for_each(|at| wake.at(*at));
            return;
        }
        if self.retry_at > now {
            return wake.at(self.retry_at);
        }
        let Some(connection) = network.any_ready(now, out) else { return };
        let request = self.request();
        let sent = connection
            .version_for(request.key())
            .is_ok_and(|version| connection.send(now, &request, version, Purpose::Metadata, out).is_ok());
        if sent {
            self.in_flight = true;
            self.stale = false;
        } else {
            self.failed(now);
        }
    }

    pub fn on_answer(&mut self, now: Instant, answer: &Answer) {
        self.in_flight = false;
        let Ok(response) = answer.decode::<MetadataRequest>() else { return self.failed(now) };
        self.expires_at = Some(now + self.age_max);
        self.apply(response);
        if self.topics.values().any(Topic::is_incomplete) {
            return self.failed(now);
        }
        self.failures = 0;
        self.retry_at = now + self.backoff.after(1);
    }

    pub fn on_lost(&mut self, now: Instant) {
        self.in_flight = false;
        self.failed(now);
    }

    fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now + self.backoff.after(self.failures);
        self.stale = true;
    }

    fn request(&self) -> highwater_wire::AnyRequest {
        let named = |name: &String| MetadataRequestTopic { name: Some(name.clone()), ..Default::default() };
        MetadataRequest {
            topics: Some(self.topics.keys().map(named).collect()),
            allow_auto_topic_creation: self.topics.values().any(|topic| topic.may_create),
            ..Default::default()
        }
        .into()
    }

    fn apply(&mut self, response: MetadataResponse) {
        let address = |host, port| Some(Address { host, port: u16::try_from(port).ok()? });
        let brokers = response.brokers.into_iter();
        self.brokers =
            brokers.filter_map(|broker| Some((BrokerId(broker.node_id), address(broker.host, broker.port)?))).collect();
        self.controller = Some(BrokerId(response.controller_id)).filter(|id| self.brokers.contains_key(id));
        for found in response.topics {
            if let Some(topic) = found.name.as_ref().and_then(|name| self.topics.get_mut(name)) {
                topic.apply(&found);
            }
        }
    }
}

impl Topic {
    fn apply(&mut self, found: &MetadataResponseTopic) {
        if let Some(code) = error_of(found.error_code) {
            self.state = TopicState::Failed(code);
            return;
        }
        self.state = TopicState::Known;
        let topic_id = TopicId(found.topic_id.0);
        if self.topic_id != topic_id {
            // Another topic of the same name: the old epochs mean nothing.
            self.topic_id = topic_id;
            self.partitions.clear();
        }
        let count = found.partitions.len();
        self.partitions.resize(count, (None, -1));
        for partition in &found.partitions {
            let index = usize::try_from(partition.partition_index).ok();
            let Some(known) = index.and_then(|index| self.partitions.get_mut(index)) else { continue };
            if partition.leader_epoch >= known.1 || partition.leader_epoch < 0 {
                let leader = Some(BrokerId(partition.leader_id)).filter(|leader| leader.0 >= 0);
                *known = (leader, partition.leader_epoch);
            }
        }
    }

    fn is_incomplete(&self) -> bool {
        match self.state {
            TopicState::NotAsked => true,
            TopicState::Known => self.partitions.iter().any(|(leader, _)| leader.is_none()),
            TopicState::Failed(code) => may_pass(code) || self.may_create,
        }
    }
}

/// Whether an error about a topic may be over soon.
pub(super) fn may_pass(code: ErrorCode) -> bool {
    code.retriable() && code != ErrorCode::UnknownTopicOrPartition
}
