//! Configuration: keys and values, good and bad.

use highwater_wire::alter_configs::{self, AlterConfigsRequest};
use highwater_wire::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use highwater_wire::incremental_alter_configs::{self, IncrementalAlterConfigsRequest};

use super::Draw;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Keys of a topic with values of which some are good.
const TOPIC_KEYS: &[(&str, &[&str])] = &[
    (
        "cleanup.policy",
        &["delete", "compact", "compact,delete", "delete, compact", "", "none", "delete,none", "DELETE"],
    ),
    ("compression.gzip.level", &["1", "9", "-1", "0", "10", "x"]),
    ("compression.lz4.level", &["1", "17", "0", "18"]),
    ("compression.zstd.level", &["1", "22", "23", "-131072", "-131073"]),
    ("delete.retention.ms", &["0", "1000", "-1"]),
    ("file.delete.delay.ms", &["0", "60000", "-1", "1.5"]),
    ("flush.messages", &["1", "100", "0", "-1", "9223372036854775807"]),
    ("flush.ms", &["0", "1000", "-1"]),
    ("follower.replication.throttled.replicas", &["*", "0:1", "0:1,1:1", "", "x", "0:x", "none"]),
    ("index.interval.bytes", &["0", "4096", "-1", "99999999999"]),
    ("leader.replication.throttled.replicas", &["*", "0:1", "1", "*,0:1"]),
    ("local.retention.bytes", &["-2", "-1", "100", "-3"]),
    ("local.retention.ms", &["-2", "-1", "100", "-3"]),
    ("max.compaction.lag.ms", &["1", "100000", "0", "-1"]),
    ("max.message.bytes", &["1048588", "1000", "100", "0", "-1", "abc", "2147483648", " 2000 ", "0x10", "1e3", "+5"]),
    ("message.timestamp.after.max.ms", &["3600000", "9223372036854775807", "0", "-1"]),
    ("message.timestamp.before.max.ms", &["9223372036854775807", "1000", "-1"]),
    ("message.timestamp.type", &["CreateTime", "LogAppendTime", "createtime", ""]),
    ("min.cleanable.dirty.ratio", &["0", "0.5", "1", "1.1", "-0.1", "x", "5e-1", ".25"]),
    ("min.compaction.lag.ms", &["0", "1000", "-1"]),
    ("min.insync.replicas", &["1", "2", "0", "-1"]),
    ("preallocate", &["false", "true", "TRUE", "yes", "1", " true"]),
    ("remote.storage.enable", &["false", "true"]),
    // Nothing that would have old segments deleted: when that happens is each broker's affair.
    ("retention.bytes", &["-1", "1000000000", "1.0", ""]),
    ("retention.ms", &["-1", "9223372036854775807", "-2", "9223372036854775808"]),
    ("segment.bytes", &["1048576", "1073741824", "1000", "0", "2147483647"]),
    ("segment.index.bytes", &["4096", "10485760", "3", "0"]),
    ("segment.jitter.ms", &["0", "1000", "-1"]),
    ("segment.ms", &["604800000", "3600000", "0", "-1"]),
    ("unclean.leader.election.enable", &["false", "true", "maybe"]),
    ("no.such.key", &["1", ""]),
    ("Retention.ms", &["1"]),
    ("", &["1"]),
];

/// Keys of a broker that can change while it runs, or cannot, with values of which some are good.
pub const BROKER_KEYS: &[(&str, &[&str])] = &[
    ("message.max.bytes", &["1048588", "5000", "-1", "x"]),
    ("log.segment.bytes", &["1048576", "1073741824", "10"]),
    // Not below 0: Kafka takes that, and then refuses every change of a topic's configuration.
    ("log.flush.interval.ms", &["1000", "x"]),
    ("log.message.timestamp.type", &["CreateTime", "Nonsense"]),
    ("unclean.leader.election.enable", &["true", "false", "x"]),
    ("log.index.interval.bytes", &["4096", "100", "-1"]),
    ("node.id", &["1", "2"]),
    ("log.dirs", &["elsewhere"]),
    ("num.partitions", &["1", "3"]),
    ("auto.create.topics.enable", &["true", "false"]),
];

impl Draw<'_> {
    /// A key for a topic and a value; rarely no value. Only some topics are compressed by the broker.
    pub(super) fn topic_config(&mut self, topic: &str) -> (String, Option<String>) {
        if topic.starts_with('z') && self.dice.once_in(2) {
            let types = ["gzip", "zstd", "lz4", "snappy", "uncompressed", "producer", "brotli"];
            return ("compression.type".to_owned(), Some(self.dice.pick(&types).to_owned()));
        }
        self.config(TOPIC_KEYS)
    }

    fn config(&mut self, keys: &[(&str, &[&str])]) -> (String, Option<String>) {
        let (key, values) = self.dice.pick(keys);
        let value = if self.dice.once_in(25) { None } else { Some(self.dice.pick(values).to_owned()) };
        (key.to_owned(), value)
    }

    pub(super) fn describe_configs(&mut self) -> DescribeConfigsRequest {
        let count = 1 + self.dice.below(2);
        let mut resources: Vec<_> = (0..count).map(|_| self.described_resource()).collect();
        resources.dedup_by(|one, other| (one.resource_type, &one.resource_name) == (BROKER, &other.resource_name));
        DescribeConfigsRequest {
            resources,
            include_synonyms: self.dice.once_in(2),
            include_documentation: self.version >= 3 && self.dice.once_in(3),
        }
    }

    fn described_resource(&mut self) -> DescribeConfigsResource {
        let (resource_type, resource_name) = self.resource();
        let keys = if resource_type == BROKER { BROKER_KEYS } else { TOPIC_KEYS };
        let configuration_keys = match self.dice.below(4) {
            0 => None,
            1 => Some(Vec::new()),
            _ => {
                let count = 1 + self.dice.below(4);
                Some((0..count).map(|_| self.dice.pick(keys).0.to_owned()).collect())
            }
        };
        DescribeConfigsResource { resource_type, resource_name, configuration_keys }
    }

    /// What has a configuration: mostly a topic.
    fn resource(&mut self) -> (i8, String) {
        match self.dice.below(12) {
            0 | 1 => (BROKER, self.dice.pick(&["1", "1", "1", "", "2", "x", "-1"]).to_owned()),
            2 if self.dice.once_in(4) => (self.dice.pick(&[0, 1, 3, 99, -1]), self.topic_name()),
            _ => (TOPIC, self.topic_name()),
        }
    }

    pub(super) fn alter_configs(&mut self) -> AlterConfigsRequest {
        let resources = self.resources().into_iter().map(|(resource_type, resource_name)| {
            let configs = self.altered(resource_type, &resource_name).into_iter();
            let configs = configs.map(|(name, value)| alter_configs::AlterableConfig { name, value }).collect();
            alter_configs::AlterConfigsResource { resource_type, resource_name, configs }
        });
        AlterConfigsRequest { resources: resources.collect(), validate_only: self.dice.once_in(6) }
    }

    pub(super) fn incremental_alter_configs(&mut self) -> IncrementalAlterConfigsRequest {
        let resources = self.resources().into_iter().map(|(resource_type, resource_name)| {
            let configs = self.altered(resource_type, &resource_name).into_iter().map(|(name, value)| {
                let config_operation = self.dice.pick(&[0, 0, 0, 0, 1, 1, 2, 3]);
                incremental_alter_configs::AlterableConfig { name, config_operation, value }
            });
            let configs = configs.collect();
            incremental_alter_configs::AlterConfigsResource { resource_type, resource_name, configs }
        });
        IncrementalAlterConfigsRequest { resources: resources.collect(), validate_only: self.dice.once_in(6) }
    }

    fn resources(&mut self) -> Vec<(i8, String)> {
        let count = self.dice.pick(&[1, 1, 1, 2]);
        let mut resources: Vec<_> = (0..count).map(|_| self.resource()).collect();
        // Kafka throws where a resource is named twice, and never answers.
        resources.sort();
        resources.dedup();
        resources
    }

    fn altered(&mut self, resource_type: i8, name: &str) -> Vec<(String, Option<String>)> {
        let count = self.dice.pick(&[1, 1, 2, 3, 0]);
        let mut configs: Vec<_> = (0..count)
            .map(|_| if resource_type == BROKER { self.config(BROKER_KEYS) } else { self.topic_config(name) })
            .collect();
        if !self.dice.once_in(20) {
            configs.sort();
            configs.dedup_by(|one, other| one.0 == other.0);
        }
        configs
    }
}
