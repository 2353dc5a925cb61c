//! A topic's configuration, resolved and typed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::BrokerConfig;
use super::Configs;
use super::error::Refusal;
use super::key::{Key, Value, parse_in};
use super::layers::{Layers, effective};
use super::reader::{Reader, known};
use super::topic_keys::{TOPIC_KEYS, topic_key};
use crate::log::{CompressionPolicy, LogConfig};
use highwater_wire::records::{Compression, TimestampType};

/// When bytes count towards the high watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Flush {
    /// When they are durable.
    #[default]
    Sync,
    /// When the operating system has them, as in Apache Kafka.
    PageCache,
}

/// What becomes of old segments. Neither means that they stay for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Only the newest record of each key is kept.
    pub compact: bool,
    /// They are removed by age and size.
    pub delete: bool,
}

/// How batches are compressed on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionType {
    /// As they arrive.
    Producer,
    /// Not at all.
    Uncompressed,
    /// gzip.
    Gzip,
    /// snappy.
    Snappy,
    /// lz4.
    Lz4,
    /// zstd.
    Zstd,
}

/// Everything that is configured for one topic: its own values, else the broker's, else the defaults.
///
/// Times are milliseconds; `None` is "no limit".
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `compression.gzip.level`, -1 for the codec's default.
    pub compression_gzip_level: i32,
    /// `compression.lz4.level`.
    pub compression_lz4_level: i32,
    /// `compression.type`.
    pub compression_type: CompressionType,
    /// `compression.zstd.level`.
    pub compression_zstd_level: i32,
    /// `delete.retention.ms`.
    pub delete_retention_ms: u64,
    /// `flush`.
    pub flush: Flush,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u32,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag_ms: u64,
    /// `max.message.bytes`.
    pub max_message_bytes: u32,
    /// `message.timestamp.after.max.ms`.
    pub message_timestamp_after_max_ms: i64,
    /// `message.timestamp.before.max.ms`.
    pub message_timestamp_before_max_ms: i64,
    /// Whether `message.timestamp.type` is `LogAppendTime`.
    pub log_append_time: bool,
    /// `min.cleanable.dirty.ratio`.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: u64,
    /// `min.insync.replicas`.
    pub min_insync_replicas: u32,
    /// `retention.bytes`.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`.
    pub retention_ms: Option<u64>,
    /// `internal.segment.bytes`, else `segment.bytes`.
    pub segment_bytes: u32,
    /// `segment.ms`.
    pub segment_ms: u64,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election_enable: bool,
}

/// What counts for a topic where it has no value of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicDefaults {
    values: BTreeMap<&'static str, Option<Value>>,
    config: Arc<TopicConfig>,
}

impl TopicDefaults {
    /// What counts with these values of the broker's keys.
    pub fn new(broker: &Layers<'_>) -> Self {
        let none = Configs::new();
        let value = |key: &'static Key| (key.name, effective(key, &broker.topic_settings(&none, key)));
        let values: BTreeMap<_, _> = TOPIC_KEYS.iter().map(value).collect();
        let config = Arc::new(TopicConfig::read(|key| values[key.name].clone()));
        Self { values, config }
    }

    /// What counts for a topic without values of its own.
    pub fn config(&self) -> &Arc<TopicConfig> {
        &self.config
    }

    /// What counts for a topic with these values of its own.
    pub fn resolve(&self, topic: &Configs) -> Arc<TopicConfig> {
        if topic.is_empty() {
            return Arc::clone(&self.config);
        }
        Arc::new(TopicConfig::read(|key| {
            let own = topic.get(key.name).and_then(|value| key.parse(value).ok());
            own.or_else(|| self.values[key.name].clone())
        }))
    }
}

impl TopicConfig {
    fn read(value: impl Fn(&'static Key) -> Option<Value>) -> Self {
        let read = Reader(|name: &str| value(known(topic_key(name), name)));
        let cleanup_policy = read.list("cleanup.policy");
        Self {
            cleanup_policy: CleanupPolicy {
                compact: cleanup_policy.iter().any(|policy| policy == "compact"),
                delete: cleanup_policy.iter().any(|policy| policy == "delete"),
            },
            compression_gzip_level: read.integer("compression.gzip.level"),
            compression_lz4_level: read.integer("compression.lz4.level"),
            compression_type: compression_type(&read.text("compression.type")),
            compression_zstd_level: read.integer("compression.zstd.level"),
            delete_retention_ms: read.integer("delete.retention.ms"),
            flush: if read.text("flush") == "sync" { Flush::Sync } else { Flush::PageCache },
            index_interval_bytes: read.integer("index.interval.bytes"),
            max_compaction_lag_ms: read.integer("max.compaction.lag.ms"),
            max_message_bytes: read.integer("max.message.bytes"),
            message_timestamp_after_max_ms: read.integer("message.timestamp.after.max.ms"),
            message_timestamp_before_max_ms: read.integer("message.timestamp.before.max.ms"),
            log_append_time: read.text("message.timestamp.type") == "LogAppendTime",
            min_cleanable_dirty_ratio: read.double("min.cleanable.dirty.ratio"),
            min_compaction_lag_ms: read.integer("min.compaction.lag.ms"),
            min_insync_replicas: read.integer("min.insync.replicas"),
            retention_bytes: read.limit("retention.bytes"),
            retention_ms: read.limit("retention.ms"),
            segment_bytes: match read.maybe_integer("internal.segment.bytes") {
                Some(bytes) => u32::try_from(bytes).expect("internal.segment.bytes passed its check"),
                None => read.integer("segment.bytes"),
            },
            segment_ms: read.integer("segment.ms"),
            unclean_leader_election_enable: read.boolean("unclean.leader.election.enable"),
        }
    }

    /// What this means to the topic's logs on a broker.
    pub fn log(&self, broker: &BrokerConfig) -> LogConfig {
        let fixed = |codec, level| CompressionPolicy::Fixed { codec, level };
        LogConfig {
            segment_bytes: self.segment_bytes,
            segment_ms: millis(self.segment_ms),
            index_interval_bytes: self.index_interval_bytes,
            retention_ms: self.retention_ms.map(millis),
            retention_bytes: self.retention_bytes,
            delete: self.cleanup_policy.delete,
            compact: self.cleanup_policy.compact,
            delete_retention_ms: millis(self.delete_retention_ms),
            min_compaction_lag_ms: millis(self.min_compaction_lag_ms),
            max_compaction_lag_ms: millis(self.max_compaction_lag_ms),
            min_cleanable_dirty_ratio: self.min_cleanable_dirty_ratio,
            max_message_bytes: self.max_message_bytes,
            compression: match self.compression_type {
                CompressionType::Producer => CompressionPolicy::Producer,
                CompressionType::Uncompressed => fixed(Compression::None, None),
                CompressionType::Gzip => fixed(Compression::Gzip, Some(self.compression_gzip_level)),
                CompressionType::Snappy => fixed(Compression::Snappy, None),
                CompressionType::Lz4 => fixed(Compression::Lz4, Some(self.compression_lz4_level)),
                CompressionType::Zstd => fixed(Compression::Zstd, Some(self.compression_zstd_level)),
            },
            timestamp_type: match self.log_append_time {
                true => TimestampType::LogAppendTime,
                false => TimestampType::CreateTime,
            },
            timestamp_before_max_ms: self.message_timestamp_before_max_ms,
            timestamp_after_max_ms: self.message_timestamp_after_max_ms,
            producer_id_expiration_ms: i64::try_from(broker.producer_id_expiration.as_millis()).unwrap_or(i64::MAX),
        }
    }
}

fn millis(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Checks one key and value.
///
/// # Errors
/// If there is no such key or it does not take the value.
pub fn check_topic_value(name: &str, value: &str) -> Result<(), Refusal> {
    parse_in(TOPIC_KEYS, name, value).map(drop)
}

/// Checks that a topic's values go together, with `defaults` where it has none.
///
/// # Errors
/// The two keys that contradict each other.
pub fn check_topic_configs(topic: &Configs, defaults: &TopicDefaults) -> Result<(), Refusal> {
    let resolved = defaults.resolve(topic);
    if resolved.min_compaction_lag_ms > resolved.max_compaction_lag_ms {
        return Err(Refusal::contradiction(
            "min.compaction.lag.ms",
            "max.compaction.lag.ms",
            "the minimum must not be larger than the maximum",
        ));
    }
    Ok(())
}

fn compression_type(name: &str) -> CompressionType {
    match name {
        "producer" => CompressionType::Producer,
        "uncompressed" => CompressionType::Uncompressed,
        "gzip" => CompressionType::Gzip,
        "snappy" => CompressionType::Snappy,
        "lz4" => CompressionType::Lz4,
        "zstd" => CompressionType::Zstd,
        other => unreachable!("compression.type {other} passed its check"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs(pairs: &[(&str, &str)]) -> Configs {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn resolve(topic: &[(&str, &str)], dynamic: &[(&str, &str)], fixed: &[(&str, &str)]) -> Arc<TopicConfig> {
        let (dynamic, fixed, none) = (configs(dynamic), configs(fixed), Configs::new());
        let layers = Layers { dynamic: &dynamic, dynamic_default: &none, fixed: &fixed };
        TopicDefaults::new(&layers).resolve(&configs(topic))
    }

    #[test]
    fn defaults_are_kafkas() {
        let config = resolve(&[], &[], &[]);
        assert_eq!(config.retention_ms, Some(604_800_000));
        assert_eq!(config.retention_bytes, None);
        assert_eq!(config.segment_bytes, 1 << 30);
        assert_eq!(config.max_message_bytes, 1_048_588);
        assert_eq!(config.cleanup_policy, CleanupPolicy { compact: false, delete: true });
        assert_eq!(config.flush, Flush::Sync);
    }

    #[test]
    fn topic_counts_before_dynamic_before_static_before_default() {
        let fixed = [("log.retention.hours", "1")];
        let dynamic = [("log.retention.ms", "2000")];
        let topic = [("retention.ms", "-1")];
        assert_eq!(resolve(&[], &[], &fixed).retention_ms, Some(3_600_000));
        assert_eq!(resolve(&[], &dynamic, &fixed).retention_ms, Some(2000));
        assert_eq!(resolve(&topic, &dynamic, &fixed).retention_ms, None);
    }

    #[test]
    fn the_finer_unit_counts_before_the_coarser() {
        let fixed = [("log.retention.hours", "1"), ("log.retention.minutes", "1")];
        assert_eq!(resolve(&[], &[], &fixed).retention_ms, Some(60_000));
        assert_eq!(resolve(&[], &[], &[("log.retention.hours", "-1")]).retention_ms, None);
    }

    #[test]
    fn a_stored_value_that_is_no_longer_valid_counts_as_not_set() {
        let config = resolve(&[("segment.bytes", "14"), ("compression.type", "lzma")], &[], &[]);
        assert_eq!(config.segment_bytes, 1 << 30);
        assert_eq!(config.compression_type, CompressionType::Producer);
    }

    #[test]
    fn internal_segment_bytes_goes_below_the_bound() {
        assert_eq!(resolve(&[("internal.segment.bytes", "500")], &[], &[]).segment_bytes, 500);
    }

    #[test]
    fn bad_topic_configs_are_refused_with_a_reason() {
        let check = |pairs: &[(&str, &str)], expected: &str| {
            let none = Configs::new();
            let layers = Layers { dynamic: &none, dynamic_default: &none, fixed: &none };
            let configs = configs(pairs);
            let each = configs.iter().try_for_each(|(key, value)| check_topic_value(key, value));
            let refusal =
                each.and_then(|()| check_topic_configs(&configs, &TopicDefaults::new(&layers))).expect_err(expected);
            assert_eq!(refusal.to_string(), expected);
        };
        check(&[("retention.msec", "1")], "unknown key retention.msec: did you mean retention.ms?");
        check(&[("no.such.thing", "1")], "unknown key no.such.thing");
        check(&[("retention.ms", "soon")], "invalid value \"soon\" for retention.ms: it must be a whole number");
        check(
            &[("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "5")],
            "min.compaction.lag.ms and max.compaction.lag.ms contradict each other: \
             the minimum must not be larger than the maximum",
        );
    }
}
