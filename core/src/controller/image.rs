//! The cluster's metadata at one offset of its log.
//!
//! An image is immutable once it is shared, and a new one shares everything that has not changed with the one before:
//! the newest appended image, on which decisions are made, and the newest committed one, which everyone else sees,
//! cost little more than one.
//!
//! Invariants, asserted by [`Image::check`]:
//! * A topic has a name, an id, and partitions numbered from 0 without a gap.
//! * No two topics have names that differ in `.` and `_` only.
//! * A partition's leader is in its ISR, its ISR in its replicas.

use std::sync::Arc;

use rpds::RedBlackTreeMapSync as Map;

use super::record::{
    BrokerRecord, ClusterRecord, ConfigOwner, ConfigRecord, Endpoint, FeatureRecord, Id, PartitionRecord,
    ProducerIdsRecord, Record, RemoveTopicRecord, TopicRecord,
};
use crate::config::{BrokerConfig, Configs, Layers, TopicConfig, TopicDefaults, resolve_group};
use crate::group::MemberTimes;
use crate::ids::{BrokerId, Incarnation, LeaderEpoch, Offset, PartitionEpoch, PartitionId, PartitionIndex, TopicId};

/// Brokers, topics, partitions, configuration: what the log says up to one offset.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    offset: Offset,
    cluster_id: Arc<str>,
    brokers: Map<BrokerId, Arc<Broker>>,
    topics: Map<TopicId, Arc<Topic>>,
    ids: Map<Arc<str>, TopicId>,
    collision_keys: Map<Arc<str>, TopicId>,
    broker_configs: Map<Option<BrokerId>, Arc<Configs>>,
    /// Only the groups on which something was set.
    group_configs: Map<Arc<str>, Arc<ConfiguredGroup>>,
    features: Map<Arc<str>, i32>,
    next_producer_id: i64,
    broker: Arc<BrokerConfig>,
    topic_defaults: Arc<TopicDefaults>,
}

/// A broker that has registered.
#[derive(Clone, Debug, PartialEq)]
pub struct Broker {
    /// Its `node.id`.
    pub id: BrokerId,
    /// Where its registration lies in the log: a later registration has a higher epoch.
    pub epoch: i64,
    /// The start of the process that registered.
    pub incarnation: Incarnation,
    /// Its data directory.
    pub directory_id: u128,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// Where it can be reached.
    pub endpoints: Vec<Endpoint>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    /// Its id, unique for ever.
    pub id: TopicId,
    /// Its name.
    pub name: Arc<str>,
    /// What was set on it.
    pub configs: Arc<Configs>,
    /// What therefore counts for it on this broker.
    pub config: Arc<TopicConfig>,
    partitions: Map<PartitionIndex, Arc<Partition>>,
}

/// A group with a configuration of its own.
#[derive(Clone, Debug, PartialEq)]
struct ConfiguredGroup {
    configs: Arc<Configs>,
    times: MemberTimes,
}

/// A partition as the controller knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Who holds a copy; the first is the preferred leader.
    pub replicas: Vec<BrokerId>,
    /// Which of them are in sync.
    pub isr: Vec<BrokerId>,
    /// Who leads.
    pub leader: Option<BrokerId>,
    /// The leader's term.
    pub leader_epoch: LeaderEpoch,
    /// How often this state has changed.
    pub partition_epoch: PartitionEpoch,
}

impl Image {
    /// The image before the first record, as this broker sees it.
    pub fn new(broker: Arc<BrokerConfig>) -> Self {
        let topic_defaults = Arc::new(broker.topic_defaults());
        Self {
            offset: Offset(-1),
            cluster_id: "".into(),
            brokers: Map::new_sync(),
            topics: Map::new_sync(),
            ids: Map::new_sync(),
            collision_keys: Map::new_sync(),
            broker_configs: Map::new_sync(),
            group_configs: Map::new_sync(),
            features: Map::new_sync(),
            next_producer_id: 0,
            broker,
            topic_defaults,
        }
    }

    /// The offset of the last record applied, -1 before the first.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// The cluster's id, empty before it was founded.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// How this broker was started.
    pub fn broker_config(&self) -> &Arc<BrokerConfig> {
        &self.broker
    }

    /// All brokers, by id.
    pub fn brokers(&self) -> impl Iterator<Item = &Broker> {
        self.brokers.values().map(AsRef::as_ref)
    }

    /// One broker.
    pub fn broker(&self, id: BrokerId) -> Option<&Broker> {
        self.brokers.get(&id).map(AsRef::as_ref)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.ids.values().map(|id| self.known_topic(*id))
    }

    /// The topics whose names are not before this one, by name.
    pub fn topics_from(&self, name: &str) -> impl Iterator<Item = &Topic> {
        self.ids.range(Arc::<str>::from(name)..).map(|(_, id)| self.known_topic(*id))
    }

    /// A topic by its name.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.ids.get(name).map(|id| self.known_topic(*id))
    }

    /// A topic by its id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(&id).map(AsRef::as_ref)
    }

    /// The topic whose name differs from this one in `.` and `_` at most.
    pub fn colliding_topic(&self, name: &str) -> Option<&Topic> {
        self.collision_keys.get(collision_key(name).as_str()).map(|id| self.known_topic(*id))
    }

    /// A partition by its topic's id and its number.
    pub fn partition(&self, id: PartitionId) -> Option<&Partition> {
        self.topic_by_id(id.topic)?.partition(id.index)
    }

    /// How many partitions there are in all.
    pub fn partition_count(&self) -> usize {
        self.topics.values().map(|topic| topic.partitions.size()).sum()
    }

    /// What counts for a topic where it has no value of its own.
    pub fn topic_defaults(&self) -> &TopicDefaults {
        &self.topic_defaults
    }

    /// What was set on one broker, or with `None` on all, while they ran.
    pub fn dynamic_configs(&self, broker: Option<BrokerId>) -> Arc<Configs> {
        self.broker_configs.get(&broker).cloned().unwrap_or_default()
    }

    /// What was set on a group, whether it exists or not.
    pub fn group_configs(&self, group: &str) -> Arc<Configs> {
        self.group_configs.get(group).map(|group| Arc::clone(&group.configs)).unwrap_or_default()
    }

    /// What members of a consumer group must keep to on this broker; none if nothing was set on the group.
    pub fn member_times(&self, group: &str) -> Option<MemberTimes> {
        self.group_configs.get(group).map(|group| group.times)
    }

    /// The level of a feature; 0 is off.
    pub fn feature(&self, name: &str) -> i32 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// The first producer id that no broker has got.
    pub fn next_producer_id(&self) -> i64 {
        self.next_producer_id
    }

    /// Calls `f` with the places where this broker's keys are set.
    pub fn with_layers<T>(&self, f: impl FnOnce(&Layers<'_>) -> T) -> T {
        let dynamic = self.dynamic_configs(Some(self.broker.node_id));
        let dynamic_default = self.dynamic_configs(None);
        f(&Layers { dynamic: &dynamic, dynamic_default: &dynamic_default, fixed: &self.broker.settings })
    }

    /// The records that make this image from an empty one, its offset aside.
    pub fn to_records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        if !self.cluster_id.is_empty() {
            records.push(Record::Cluster(ClusterRecord { cluster_id: self.cluster_id.to_string() }));
        }
        records.extend(
            self.features
                .iter()
                .map(|(name, level)| Record::Feature(FeatureRecord { name: name.to_string(), level: *level })),
        );
        records.extend(self.brokers().map(Broker::to_record));
        for (broker, configs) in &self.broker_configs {
            let owner = broker.map_or(ConfigOwner::AllBrokers(true), |id| ConfigOwner::Broker(id.0));
            records.extend(config_records(owner, configs));
        }
        for (group, configured) in &self.group_configs {
            records.extend(config_records(ConfigOwner::Group(group.to_string()), &configured.configs));
        }
        for topic in self.topics() {
            records.push(Record::Topic(TopicRecord { topic_id: topic.id.into(), name: topic.name.to_string() }));
            let partitions = topic.partitions().map(|(index, partition)| partition.to_record(topic.id, index));
            records.extend(partitions.map(Record::Partition));
            records.extend(config_records(ConfigOwner::Topic(topic.id.into()), &topic.configs));
        }
        if self.next_producer_id > 0 {
            let next_producer_id = self.next_producer_id;
            records.push(Record::ProducerIds(ProducerIdsRecord { broker_id: -1, next_producer_id }));
        }
        records
    }

    /// The image at `offset` that was written down as [`Image::to_records`].
    pub fn from_snapshot(broker: Arc<BrokerConfig>, offset: Offset, records: &[Record]) -> Self {
        let mut image = Self { offset, ..Self::new(broker) };
        for record in records {
            image.take_over(record);
        }
        image
    }

    /// Takes over one record of the log.
    pub fn apply(&mut self, offset: Offset, record: &Record) {
        assert!(offset > self.offset, "records are applied once and in order");
        self.offset = offset;
        self.take_over(record);
    }

    fn take_over(&mut self, record: &Record) {
        match record {
            Record::Cluster(record) => self.cluster_id = record.cluster_id.as_str().into(),
            Record::Feature(record) => self.features.insert_mut(record.name.as_str().into(), record.level),
            Record::Broker(record) => self.apply_broker(record),
            Record::Topic(record) => self.apply_topic(record),
            Record::Partition(record) => self.apply_partition(record),
            Record::RemoveTopic(record) => self.apply_remove_topic(record),
            Record::Config(record) => self.apply_config(record),
            Record::ProducerIds(record) => self.next_producer_id = record.next_producer_id,
        }
    }

    /// Asserts the invariants of the module's head.
    pub fn check(&self) {
        assert_eq!(self.ids.size(), self.topics.size(), "every topic has one name");
        assert_eq!(self.collision_keys.size(), self.topics.size(), "no two topics collide");
        for topic in self.topics() {
            assert_eq!(self.ids.get(&topic.name), Some(&topic.id), "a name leads to its topic");
            assert!(topic.partition_count() > 0, "topic {} has partitions", topic.name);
            for (expected, (index, partition)) in topic.partitions().enumerate() {
                assert_eq!(usize::try_from(index.0), Ok(expected), "partitions of {} have no gap", topic.name);
                partition.check();
            }
        }
    }

    fn apply_broker(&mut self, record: &BrokerRecord) {
        let broker = Broker {
            id: BrokerId(record.broker_id),
            epoch: record.epoch.unwrap_or(self.offset.0),
            incarnation: record.incarnation.into(),
            directory_id: record.directory_id.bits(),
            rack: record.rack.clone(),
            endpoints: record.endpoints.clone(),
        };
        self.brokers.insert_mut(broker.id, Arc::new(broker));
    }

    fn apply_topic(&mut self, record: &TopicRecord) {
        let (id, name) = (TopicId::from(record.topic_id), Arc::<str>::from(record.name.as_str()));
        assert!(!self.topics.contains_key(&id), "topic id {id} is used once");
        assert!(self.colliding_topic(&name).is_none(), "topic name {name} collides with none");
        self.collision_keys.insert_mut(collision_key(&name).into(), id);
        self.ids.insert_mut(Arc::clone(&name), id);
        let config = Arc::clone(self.topic_defaults.config());
        let topic = Topic { id, name, configs: Arc::default(), config, partitions: Map::new_sync() };
        self.topics.insert_mut(id, Arc::new(topic));
    }

    fn apply_partition(&mut self, record: &PartitionRecord) {
        let partition = Partition {
            replicas: record.replicas.iter().copied().map(BrokerId).collect(),
            isr: record.isr.iter().copied().map(BrokerId).collect(),
            leader: (record.leader >= 0).then_some(BrokerId(record.leader)),
            leader_epoch: LeaderEpoch(record.leader_epoch),
            partition_epoch: PartitionEpoch(record.partition_epoch),
        };
        partition.check();
        let mut topic = self.known_topic(record.topic_id.into()).clone();
        topic.partitions.insert_mut(PartitionIndex(record.index), Arc::new(partition));
        self.topics.insert_mut(topic.id, Arc::new(topic));
    }

    fn apply_remove_topic(&mut self, record: &RemoveTopicRecord) {
        let topic = self.known_topic(record.topic_id.into()).clone();
        self.topics.remove_mut(&topic.id);
        self.ids.remove_mut(&topic.name);
        self.collision_keys.remove_mut(collision_key(&topic.name).as_str());
    }

    fn apply_config(&mut self, record: &ConfigRecord) {
        match record.owner.as_ref().expect("decoding refuses a configuration of nobody") {
            ConfigOwner::Topic(id) => self.apply_topic_config((*id).into(), record),
            ConfigOwner::Broker(id) => self.apply_broker_config(Some(BrokerId(*id)), record),
            ConfigOwner::AllBrokers(_) => self.apply_broker_config(None, record),
            ConfigOwner::Group(id) => self.apply_group_config(id, record),
        }
    }

    fn apply_topic_config(&mut self, id: TopicId, record: &ConfigRecord) {
        let mut topic = self.known_topic(id).clone();
        set(Arc::make_mut(&mut topic.configs), record);
        topic.config = self.topic_defaults.resolve(&topic.configs);
        self.topics.insert_mut(id, Arc::new(topic));
    }

    fn apply_broker_config(&mut self, broker: Option<BrokerId>, record: &ConfigRecord) {
        let mut configs = self.dynamic_configs(broker);
        set(Arc::make_mut(&mut configs), record);
        if configs.is_empty() {
            self.broker_configs.remove_mut(&broker);
        } else {
            self.broker_configs.insert_mut(broker, configs);
        }
        self.resolve_all();
    }

    fn apply_group_config(&mut self, group: &str, record: &ConfigRecord) {
        let mut configs = self.group_configs(group);
        set(Arc::make_mut(&mut configs), record);
        if configs.is_empty() {
            self.group_configs.remove_mut(group);
            return;
        }
        // The broker's keys that count here change only at a start.
        let times = self.with_layers(|layers| resolve_group(&configs, layers));
        self.group_configs.insert_mut(group.into(), Arc::new(ConfiguredGroup { configs, times }));
    }

    /// Takes a change of the broker's own keys over into every topic that they may concern.
    fn resolve_all(&mut self) {
        self.topic_defaults = Arc::new(self.with_layers(TopicDefaults::new));
        let topics: Vec<_> = self.topics.values().cloned().collect();
        for topic in topics {
            let config = self.topic_defaults.resolve(&topic.configs);
            self.topics.insert_mut(topic.id, Arc::new(Topic { config, ..Topic::clone(&topic) }));
        }
    }

    fn known_topic(&self, id: TopicId) -> &Topic {
        self.topic_by_id(id).unwrap_or_else(|| panic!("topic {id} was created before it is named"))
    }
}

impl Topic {
    /// How many partitions it has.
    pub fn partition_count(&self) -> usize {
        self.partitions.size()
    }

    /// Its partitions, by number.
    pub fn partitions(&self) -> impl Iterator<Item = (PartitionIndex, &Partition)> {
        self.partitions.iter().map(|(index, partition)| (*index, partition.as_ref()))
    }

    /// The partitions from this number on.
    pub fn partitions_from(&self, index: PartitionIndex) -> impl Iterator<Item = (PartitionIndex, &Partition)> {
        self.partitions.range(index..).map(|(index, partition)| (*index, partition.as_ref()))
    }

    /// One partition.
    pub fn partition(&self, index: PartitionIndex) -> Option<&Partition> {
        self.partitions.get(&index).map(AsRef::as_ref)
    }

    /// Whether only the broker itself may write to it.
    pub fn is_internal(&self) -> bool {
        is_internal(&self.name)
    }
}

impl Broker {
    /// Where it can be reached by who came in on this listener.
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.listener == listener)
    }

    fn to_record(&self) -> Record {
        Record::Broker(BrokerRecord {
            broker_id: self.id.0,
            incarnation: self.incarnation.into(),
            directory_id: Id::new(self.directory_id),
            rack: self.rack.clone(),
            endpoints: self.endpoints.clone(),
            epoch: Some(self.epoch),
        })
    }
}

impl Partition {
    /// The record that says so.
    pub(super) fn to_record(&self, topic: TopicId, index: PartitionIndex) -> PartitionRecord {
        PartitionRecord {
            topic_id: topic.into(),
            index: index.0,
            replicas: self.replicas.iter().map(|broker| broker.0).collect(),
            isr: self.isr.iter().map(|broker| broker.0).collect(),
            leader: self.leader.map_or(-1, |broker| broker.0),
            leader_epoch: self.leader_epoch.0,
            partition_epoch: self.partition_epoch.0,
        }
    }

    fn check(&self) {
        assert!(!self.replicas.is_empty(), "a partition has a replica");
        assert!(self.isr.iter().all(|broker| self.replicas.contains(broker)), "the ISR is part of the replicas");
        assert!(self.leader.is_none_or(|leader| self.isr.contains(&leader)), "the leader is in the ISR");
    }
}

/// The topic that group coordinators keep their state in.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Whether a topic of this name is the broker's own.
pub fn is_internal(name: &str) -> bool {
    matches!(name, OFFSETS_TOPIC | "__transaction_state" | "__cluster_metadata")
}

/// What two names share that would collide where `.` and `_` are the same, as in the names of metrics.
fn collision_key(name: &str) -> String {
    name.replace('.', "_")
}

fn set(configs: &mut Configs, record: &ConfigRecord) {
    match &record.value {
        Some(value) => configs.insert(record.key.clone(), value.clone()),
        None => configs.remove(&record.key),
    };
}

fn config_records(owner: ConfigOwner, configs: &Configs) -> impl Iterator<Item = Record> {
    configs.iter().map(move |(key, value)| {
        Record::Config(ConfigRecord { owner: Some(owner.clone()), key: key.clone(), value: Some(value.clone()) })
    })
}
