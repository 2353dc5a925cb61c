//! Draws requests: mostly about what exists, some of them wrong in every way that a client can be.

mod configs;
mod groups;
mod offsets;
mod reading;
mod records;
mod topics;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use highwater_wire::api_versions::ApiVersionsRequest;
use highwater_wire::init_producer_id::InitProducerIdRequest;
use highwater_wire::metadata::MetadataRequest;
use highwater_wire::testing::Source;
use highwater_wire::{AnyRequest, ApiKey, Records, Uuid};

use crate::dice::Dice;
use crate::model::Model;
use crate::step::{Damage, Step};

pub use configs::BROKER_KEYS;

/// Names that topics are given. The last two differ in a way that Kafka does not allow side by side, and what begins
/// with a `z` may be compressed by the broker.
const TOPICS: [&str; 8] = ["a", "b", "c", "d", "long-Name_01", "z", "x.y", "x_y"];

/// Names that no topic may have.
const BAD_TOPICS: [&str; 6] = ["", ".", "..", "no/slash", "no space", "é"];

/// Names that no topic has.
const MISSING_TOPICS: [&str; 2] = ["missing", "gone"];

/// How likely each API is, in proportion.
const WEIGHTS: &[(ApiKey, usize)] = &[
    (ApiKey::Produce, 24),
    (ApiKey::Fetch, 24),
    (ApiKey::ListOffsets, 10),
    (ApiKey::Metadata, 8),
    (ApiKey::ApiVersions, 2),
    (ApiKey::CreateTopics, 6),
    (ApiKey::DeleteTopics, 2),
    (ApiKey::DeleteRecords, 4),
    (ApiKey::InitProducerId, 3),
    (ApiKey::OffsetForLeaderEpoch, 5),
    (ApiKey::DescribeConfigs, 6),
    (ApiKey::AlterConfigs, 2),
    (ApiKey::DescribeLogDirs, 3),
    (ApiKey::CreatePartitions, 3),
    (ApiKey::IncrementalAlterConfigs, 5),
    (ApiKey::DescribeCluster, 2),
    (ApiKey::DescribeTopicPartitions, 4),
    (ApiKey::FindCoordinator, 2),
    (ApiKey::JoinGroup, 8),
    (ApiKey::SyncGroup, 6),
    (ApiKey::Heartbeat, 3),
    (ApiKey::LeaveGroup, 4),
    (ApiKey::OffsetCommit, 8),
    (ApiKey::OffsetFetch, 8),
    (ApiKey::OffsetDelete, 2),
    (ApiKey::DescribeGroups, 4),
    (ApiKey::ListGroups, 3),
    (ApiKey::DeleteGroups, 2),
    (ApiKey::ConsumerGroupHeartbeat, 10),
    (ApiKey::ConsumerGroupDescribe, 3),
];

/// What is served, by both brokers.
pub type Served = BTreeMap<ApiKey, RangeInclusive<i16>>;

/// What a request is drawn from.
pub struct Draw<'a> {
    /// The choices.
    pub dice: &'a mut Dice,
    /// The known world.
    pub model: &'a Model,
    /// The version that the request is for.
    pub version: i16,
}

/// Draws the next step of a sequence.
pub fn step(dice: &mut Dice, model: &Model, served: &Served, number: u32) -> Step {
    if model.lacks_ids() {
        let topics = MetadataRequest { topics: None, allow_auto_topic_creation: false, ..Default::default() };
        return Step { number, version: 12, request: topics.into(), damage: None };
    }
    // A sequence begins with something to talk about.
    let api = if number < 2 { ApiKey::CreateTopics } else { weighted(dice, served) };
    let version = version(dice, &served[&api]);
    let is_wild = number > 2 && dice.once_in(12);
    let mut draw = Draw { dice, model, version };
    let request = if is_wild { draw.wild(api) } else { draw.request(api) };
    let damage = if dice.once_in(60) { Some(damage(dice, api, &served[&api])) } else { None };
    Step { number, version, request, damage }
}

fn weighted(dice: &mut Dice, served: &Served) -> ApiKey {
    let choices: Vec<_> = WEIGHTS.iter().filter(|(api, _)| served.contains_key(api)).collect();
    let mut at = dice.below(choices.iter().map(|(_, weight)| weight).sum());
    for (api, weight) in choices {
        if at < *weight {
            return *api;
        }
        at -= weight;
    }
    unreachable!("the number is below the sum of all weights")
}

fn version(dice: &mut Dice, served: &RangeInclusive<i16>) -> i16 {
    if dice.once_in(4) {
        return *served.end();
    }
    let count = served.end() - served.start() + 1;
    served.start() + i16::try_from(dice.below(count as usize)).expect("there are few versions")
}

/// Spoils a frame. Where it is cut, it is cut inside its header: what a body lacks, another version may not need.
fn damage(dice: &mut Dice, api: ApiKey, served: &RangeInclusive<i16>) -> Damage {
    match dice.below(3) {
        0 => Damage::Key(dice.pick(&[-1, 93, 999, i16::MAX])),
        1 => Damage::Cut(dice.pick(&[0, 1, 3, 7, 9])),
        _ if api == ApiKey::Produce => Damage::Version(dice.pick(&[-1, served.end() + 1, i16::MAX])),
        _ => Damage::Version(dice.pick(&[-1, served.start() - 1, served.end() + 1, i16::MAX, i16::MIN])),
    }
}

impl Draw<'_> {
    fn request(&mut self, api: ApiKey) -> AnyRequest {
        match api {
            ApiKey::Produce => self.produce().into(),
            ApiKey::Fetch => self.fetch().into(),
            ApiKey::ListOffsets => self.list_offsets().into(),
            ApiKey::Metadata => self.metadata().into(),
            ApiKey::ApiVersions => self.api_versions().into(),
            ApiKey::CreateTopics => self.create_topics().into(),
            ApiKey::DeleteTopics => self.delete_topics().into(),
            ApiKey::DeleteRecords => self.delete_records().into(),
            ApiKey::InitProducerId => self.init_producer_id().into(),
            ApiKey::OffsetForLeaderEpoch => self.offset_for_leader_epoch().into(),
            ApiKey::DescribeConfigs => self.describe_configs().into(),
            ApiKey::AlterConfigs => self.alter_configs().into(),
            ApiKey::DescribeLogDirs => self.describe_log_dirs().into(),
            ApiKey::CreatePartitions => self.create_partitions().into(),
            ApiKey::IncrementalAlterConfigs => self.incremental_alter_configs().into(),
            ApiKey::DescribeCluster => self.describe_cluster().into(),
            ApiKey::DescribeTopicPartitions => self.describe_topic_partitions().into(),
            ApiKey::FindCoordinator => self.find_coordinator().into(),
            ApiKey::JoinGroup => self.join_group().into(),
            ApiKey::SyncGroup => self.sync_group().into(),
            ApiKey::Heartbeat => self.heartbeat().into(),
            ApiKey::LeaveGroup => self.leave_group().into(),
            ApiKey::OffsetCommit => self.offset_commit().into(),
            ApiKey::OffsetFetch => self.offset_fetch().into(),
            ApiKey::OffsetDelete => self.offset_delete().into(),
            ApiKey::DescribeGroups => self.describe_groups().into(),
            ApiKey::ListGroups => self.list_groups().into(),
            ApiKey::DeleteGroups => self.delete_groups().into(),
            ApiKey::ConsumerGroupHeartbeat => self.consumer_group_heartbeat().into(),
            ApiKey::ConsumerGroupDescribe => self.consumer_group_describe().into(),
        }
    }

    /// Anything that the version can represent, with names and ids of what exists. Numbers that would make a broker wait
    /// or make thousands of partitions are brought down.
    fn wild(&mut self, api: ApiKey) -> AnyRequest {
        let names = TOPICS.iter().map(|name| (*name).to_owned()).chain(self.model.topics.keys().cloned());
        let ids = self.model.topics.values().filter_map(|topic| topic.id);
        let batches: Vec<_> = (0..3).map(|_| self.batch("a", 0)).collect();
        let seed = self.dice.seed();
        let mut source = Source::new(seed, self.version).with_words(names).with_ids(ids).with_records(batches);
        let mut request = AnyRequest::sample(api, &mut source);
        self.tame(&mut request);
        request
    }

    fn tame(&mut self, request: &mut AnyRequest) {
        match request {
            AnyRequest::Fetch(fetch) => {
                fetch.max_wait_ms = fetch.max_wait_ms.clamp(-1, 3);
                if !self.dice.once_in(6) {
                    fetch.isolation_level &= 1;
                }
                reading::keep_negative_limits_alone(fetch);
                self.keep_zero_ids_alone(fetch);
                fetch.replica_id = -1;
                fetch.replica_state = Default::default();
            }
            AnyRequest::DescribeTopicPartitions(describe) => {
                describe.response_partition_limit = describe.response_partition_limit.max(1);
                describe.cursor.iter_mut().for_each(|cursor| cursor.partition_index &= 7);
            }
            AnyRequest::CreateTopics(create) => {
                for topic in &mut create.topics {
                    topic.num_partitions = topic.num_partitions.clamp(-2, 4);
                }
                create.timeout_ms = 30_000;
            }
            AnyRequest::DeleteTopics(delete) => delete.timeout_ms = 30_000,
            AnyRequest::CreatePartitions(create) => {
                create.topics.iter_mut().for_each(|topic| topic.count = topic.count.clamp(-2, 5));
                create.timeout_ms = 30_000;
            }
            AnyRequest::Produce(produce) => {
                produce.timeout_ms = 30_000;
                produce.transactional_id = None;
                let rows = produce.topic_data.iter_mut().flat_map(|topic| &mut topic.partition_data);
                for row in rows.filter(|row| row.records == Records::Null) {
                    row.records = Records::default();
                }
                // Rarely, since the brokers do not agree on it: a partition twice.
                if !self.dice.once_in(10) {
                    for topic in &mut produce.topic_data {
                        topic.partition_data.sort_by_key(|row| row.index);
                        topic.partition_data.dedup_by_key(|row| row.index);
                    }
                    produce.topic_data.sort_by_key(|topic| (topic.name.clone(), topic.topic_id));
                    produce.topic_data.dedup_by_key(|topic| (topic.name.clone(), topic.topic_id));
                }
            }
            // Kafka throws at the second resource of a type that it does not know, and never answers.
            AnyRequest::AlterConfigs(alter) => alter.resources.truncate(1),
            AnyRequest::IncrementalAlterConfigs(alter) => {
                alter.resources.truncate(1);
                // At an operation that it does not know, Kafka's controller throws and gives up its leadership.
                let changes = alter.resources.iter_mut().flat_map(|resource| &mut resource.configs);
                changes.for_each(|change| change.config_operation &= 3);
            }
            // A name that Kafka was asked to create on first use along with odd ones, it may never create again.
            AnyRequest::Metadata(metadata) if self.version >= 4 => metadata.allow_auto_topic_creation = false,
            AnyRequest::DeleteRecords(delete) => {
                delete.timeout_ms = 30_000;
                let rows = delete.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
                rows.filter(|row| row.offset == -1).for_each(|row| row.offset = 0);
            }
            AnyRequest::InitProducerId(init) => init.transactional_id = None,
            AnyRequest::ListOffsets(list) => {
                list.replica_id = -1;
                if !self.dice.once_in(6) {
                    list.isolation_level &= 1;
                }
            }
            // Whatever joins must not be able to keep others waiting, and nothing may expire.
            AnyRequest::JoinGroup(join) => join.session_timeout_ms = 1,
            AnyRequest::ConsumerGroupHeartbeat(heartbeat) => {
                heartbeat.group_id = "wild".to_owned();
                heartbeat.rebalance_timeout_ms = heartbeat.rebalance_timeout_ms.min(0);
                heartbeat.subscribed_topic_regex = None;
            }
            AnyRequest::LeaveGroup(leave) => leave.group_id = "wild".to_owned(),
            AnyRequest::OffsetCommit(commit) => commit.group_id = "wild".to_owned(),
            AnyRequest::FindCoordinator(find) => find.key_type = 0,
            AnyRequest::OffsetForLeaderEpoch(epochs) => epochs.replica_id = if self.version >= 3 { -1 } else { -2 },
            _ => {}
        }
    }

    fn api_versions(&mut self) -> ApiVersionsRequest {
        if self.version < 3 {
            return ApiVersionsRequest::default();
        }
        let words = ["highwater", "1.0", "", "-", "a b", "é"];
        let good = !self.dice.once_in(4);
        let mut word = || if good { "tests-1.0".to_owned() } else { self.dice.pick(&words).to_owned() };
        ApiVersionsRequest { client_software_name: word(), client_software_version: word() }
    }

    fn init_producer_id(&mut self) -> InitProducerIdRequest {
        let mut request =
            InitProducerIdRequest { transaction_timeout_ms: self.dice.pick(&[0, -1, 60_000]), ..Default::default() };
        if self.version >= 3 && self.dice.once_in(3) {
            let known = self.model.producers.last().map(|producer| (producer.id, producer.epoch));
            let odd = [(-1, 0), (5, -1), (-2, -2), (123_456, 3)];
            let (id, epoch) = known.filter(|_| !self.dice.once_in(3)).unwrap_or_else(|| self.dice.pick(&odd));
            (request.producer_id, request.producer_epoch) = (id, epoch);
        }
        request
    }

    /// The name of a topic: of one that exists nine times out of ten, if there is one.
    fn topic_name(&mut self) -> String {
        if !self.dice.once_in(10)
            && let Some((name, _)) = self.model.any_topic(self.dice)
        {
            return name.to_owned();
        }
        self.odd_topic_name()
    }

    fn odd_topic_name(&mut self) -> String {
        match self.dice.below(6) {
            0 => self.dice.pick(&BAD_TOPICS).to_owned(),
            1 => "x".repeat(self.dice.pick(&[249, 250])),
            2 => self.dice.pick(&MISSING_TOPICS).to_owned(),
            _ => self.dice.pick(&TOPICS).to_owned(),
        }
    }

    /// One or two different topics.
    fn different_topic_names(&mut self) -> Vec<String> {
        let mut names = self.topic_names();
        names.sort();
        names.dedup();
        names
    }

    /// A topic's id: of this one if it is known, now and then one that is gone, unknown, zero, or of another topic.
    fn topic_id(&mut self, name: &str) -> Uuid {
        match self.dice.below(40) {
            0 => Uuid::ZERO,
            1 => Uuid(0xdead_beef),
            2 if !self.model.deleted.is_empty() => self.dice.pick(&self.model.deleted),
            3 => self.model.any_topic(self.dice).and_then(|(_, topic)| topic.id).unwrap_or_default(),
            _ => self.model.topics.get(name).and_then(|topic| topic.id).unwrap_or_default(),
        }
    }

    /// A partition's index, mostly of one that exists.
    fn partition_index(&mut self, topic: &str) -> i32 {
        let count = self.model.topics.get(topic).map_or(1, |topic| topic.partitions.len().max(1));
        if self.dice.once_in(14) {
            return self.dice.pick(&[-1, count as i32, 99, i32::MAX]);
        }
        self.dice.below(count) as i32
    }

    /// Different partitions of a topic; now and then the same twice.
    fn partition_indexes(&mut self, topic: &str) -> Vec<i32> {
        let count = 1 + self.dice.below(2);
        let mut indexes: Vec<i32> = (0..count).map(|_| self.partition_index(topic)).collect();
        if !self.dice.once_in(20) {
            indexes.sort_unstable();
            indexes.dedup();
        }
        indexes
    }

    /// One or two topics; rarely the same twice.
    fn topic_names(&mut self) -> Vec<String> {
        let count = 1 + self.dice.below(2);
        let mut names: Vec<String> = (0..count).map(|_| self.topic_name()).collect();
        if !self.dice.once_in(20) {
            names.sort();
            names.dedup();
        }
        names
    }
}
