//! A broker's own configuration, as it was started.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Configs;
use super::broker_keys::{ALIASES, BROKER_KEYS, broker_key};
use super::error::{ConfigError, Refusal, nearest};
use super::group::check_group_defaults;
use super::key::Value;
use super::layers::{Layers, effective};
use super::listener::{Listener, parse_listeners};
use super::reader::{Reader, known};
use super::topic::TopicDefaults;
use super::topic_keys::topic_key;
use crate::group::{ConsumerGroupConfig, GroupConfig, MemberTimes, MigrationPolicy};
use crate::ids::BrokerId;
use crate::partition::CleanerConfig;

/// How the process writes its own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How much the process writes to its own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Only what needs somebody's help.
    Error,
    /// And what may need it.
    Warn,
    /// And what happens now and then.
    Info,
    /// And what happens often.
    Debug,
    /// Everything.
    Trace,
}

/// What a broker was started with. Fields carry the names of their keys.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerConfig {
    /// `node.id`.
    pub node_id: BrokerId,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// `cluster.id`.
    pub cluster_id: Option<String>,
    /// `listeners`, with what `advertised.listeners` says about each; never empty.
    pub listeners: Vec<Listener>,
    /// `log.dirs`: a path as the operating system knows it, which the core only shows.
    pub log_dir: String,
    /// `log.format`.
    pub log_format: LogFormat,
    /// `log.level`.
    pub log_level: LogLevel,
    /// `num.shards`; 0 is one for each core.
    pub num_shards: u16,
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// `auto.create.topics.enable`.
    pub auto_create_topics_enable: bool,
    /// `delete.topic.enable`.
    pub delete_topic_enable: bool,
    /// `socket.request.max.bytes`.
    pub socket_request_max_bytes: u32,
    /// `max.connections`.
    pub max_connections: u32,
    /// `max.connections.per.ip`.
    pub max_connections_per_ip: u32,
    /// `connections.max.idle.ms`; `None` is never.
    pub connections_max_idle: Option<Duration>,
    /// `fetch.max.bytes`.
    pub fetch_max_bytes: u32,
    /// `max.incremental.fetch.session.cache.slots`.
    pub max_incremental_fetch_session_cache_slots: u32,
    /// `queued.max.unsynced.bytes`, for each shard.
    pub queued_max_unsynced_bytes: u64,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration: Duration,
    /// `log.retention.check.interval.ms`.
    pub log_retention_check_interval: Duration,
    /// `offsets.topic.num.partitions`.
    pub offsets_topic_num_partitions: i32,
    /// `offsets.topic.replication.factor`.
    pub offsets_topic_replication_factor: i16,
    /// `offsets.topic.segment.bytes`.
    pub offsets_topic_segment_bytes: i32,
    /// What group coordinators go by.
    pub groups: Arc<GroupConfig>,
    /// `log.cleaner.backoff.ms`.
    pub log_cleaner_backoff: Duration,
    /// `log.cleaner.dedupe.buffer.size`, for all shards together.
    pub log_cleaner_dedupe_buffer_size: u64,
    /// `log.cleaner.io.buffer.size`.
    pub log_cleaner_io_buffer_size: u64,
    /// `log.cleaner.io.max.bytes.per.second`, for all shards together.
    pub log_cleaner_io_max_bytes_per_second: f64,
    /// What was set, by key, as it was written.
    pub settings: Configs,
}

impl BrokerConfig {
    /// The configuration that these keys and values make; each comes with who set it, for error messages. A later pair
    /// replaces an earlier one of the same key, so they come in ascending precedence.
    ///
    /// # Errors
    /// The first key that is unknown, has an invalid value or contradicts another.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) -> Result<Self, ConfigError> {
        let mut settings = Configs::new();
        let mut sources = BTreeMap::new();
        for (name, value, source) in pairs {
            let key = canonical(name);
            check_broker_value(key, value)
                .map_err(|refusal| ConfigError { refusal, sources: vec![source.to_owned()] })?;
            settings.insert(key.to_owned(), value.to_owned());
            sources.insert(key, source);
        }
        Self::from_settings(settings).map_err(|refusal| {
            let blamed = refusal.keys().into_iter().filter_map(|key| sources.get(key));
            let mut sources: Vec<_> = blamed.map(|source| (*source).to_owned()).collect();
            sources.dedup();
            ConfigError { refusal, sources }
        })
    }

    /// What counts on this broker for a topic without values of its own.
    pub fn topic_defaults(&self) -> TopicDefaults {
        let none = Configs::new();
        TopicDefaults::new(&Layers { dynamic: &none, dynamic_default: &none, fixed: &self.settings })
    }

    /// How each of `shards` compacts.
    pub fn cleaner(&self, shards: u16) -> CleanerConfig {
        CleanerConfig {
            backoff: self.log_cleaner_backoff,
            dedupe_buffer_bytes: self.log_cleaner_dedupe_buffer_size / u64::from(shards),
            io_buffer_bytes: self.log_cleaner_io_buffer_size,
            io_bytes_per_second_max: self.log_cleaner_io_max_bytes_per_second / f64::from(shards),
        }
    }

    fn from_settings(settings: Configs) -> Result<Self, Refusal> {
        refuse_contradictions(&settings)?;
        let none = Configs::new();
        let layers = Layers { dynamic: &none, dynamic_default: &none, fixed: &settings };
        let read = Reader(|name: &str| -> Option<Value> {
            let key = known(broker_key(name), name);
            effective(key, &layers.broker_settings(key))
        });
        check_group_defaults(&read)?;
        let config = Self {
            node_id: BrokerId(read.integer("node.id")),
            rack: read.maybe_text("broker.rack"),
            cluster_id: read.maybe_text("cluster.id"),
            listeners: listeners(&read)?,
            log_dir: read.list("log.dirs").concat(),
            log_format: if read.text("log.format") == "json" { LogFormat::Json } else { LogFormat::Text },
            log_level: log_level(&read.text("log.level")),
            num_shards: read.integer("num.shards"),
            num_partitions: read.integer("num.partitions"),
            default_replication_factor: read.integer("default.replication.factor"),
            auto_create_topics_enable: read.boolean("auto.create.topics.enable"),
            delete_topic_enable: read.boolean("delete.topic.enable"),
            socket_request_max_bytes: read.integer("socket.request.max.bytes"),
            max_connections: read.integer("max.connections"),
            max_connections_per_ip: read.integer("max.connections.per.ip"),
            connections_max_idle: read.limit("connections.max.idle.ms").map(Duration::from_millis),
            fetch_max_bytes: read.integer("fetch.max.bytes"),
            max_incremental_fetch_session_cache_slots: read.integer("max.incremental.fetch.session.cache.slots"),
            queued_max_unsynced_bytes: read.integer("queued.max.unsynced.bytes"),
            producer_id_expiration: Duration::from_millis(read.integer("producer.id.expiration.ms")),
            log_retention_check_interval: Duration::from_millis(read.integer("log.retention.check.interval.ms")),
            offsets_topic_num_partitions: read.integer("offsets.topic.num.partitions"),
            offsets_topic_replication_factor: read.integer("offsets.topic.replication.factor"),
            offsets_topic_segment_bytes: read.integer("offsets.topic.segment.bytes"),
            groups: Arc::new(groups(&read)),
            // Without any pause a shard that has nothing to compact would do nothing else.
            log_cleaner_backoff: Duration::from_millis(read.integer::<u64>("log.cleaner.backoff.ms").max(1)),
            log_cleaner_dedupe_buffer_size: read.integer("log.cleaner.dedupe.buffer.size"),
            log_cleaner_io_buffer_size: read.integer("log.cleaner.io.buffer.size"),
            log_cleaner_io_max_bytes_per_second: read.double("log.cleaner.io.max.bytes.per.second"),
            settings: Configs::new(),
        };
        let config = Self { settings, ..config };
        config.refuse_what_cannot_work()?;
        Ok(config)
    }

    fn refuse_what_cannot_work(&self) -> Result<(), Refusal> {
        let defaults = self.topic_defaults();
        let topics = defaults.config();
        if topics.max_message_bytes > self.socket_request_max_bytes {
            return Err(Refusal::contradiction(
                "message.max.bytes",
                "socket.request.max.bytes",
                "a batch of that size would not fit into any request; lower the one or raise the other",
            ));
        }
        if topics.min_compaction_lag_ms > topics.max_compaction_lag_ms {
            return Err(Refusal::contradiction(
                "log.cleaner.min.compaction.lag.ms",
                "log.cleaner.max.compaction.lag.ms",
                "the minimum must not be larger than the maximum",
            ));
        }
        if self.groups.min_session_timeout > self.groups.max_session_timeout {
            return Err(Refusal::contradiction(
                "group.min.session.timeout.ms",
                "group.max.session.timeout.ms",
                "the minimum must not be larger than the maximum",
            ));
        }
        Ok(())
    }
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self::from_pairs([]).expect("a test reads the defaults")
    }
}

impl Refusal {
    /// The keys that are to blame.
    fn keys(&self) -> Vec<&str> {
        match self {
            Self::UnknownKey { key, .. } | Self::InvalidValue { key, .. } => vec![key],
            Self::Contradiction { first, second, .. } => vec![first, second],
        }
    }
}

/// Keys that say the same in different units: at most one of each row may be set.
const UNITS: &[&[&str]] = &[
    &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
    &["log.roll.ms", "log.roll.hours"],
    &["log.roll.jitter.ms", "log.roll.jitter.hours"],
];

fn refuse_contradictions(settings: &Configs) -> Result<(), Refusal> {
    for row in UNITS {
        let mut set = row.iter().filter(|key| settings.contains_key(**key));
        if let (Some(first), Some(second)) = (set.next(), set.next()) {
            return Err(Refusal::contradiction(first, second, "they say the same in different units; set only one"));
        }
    }
    Ok(())
}

fn canonical(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, key)| key)
}

/// Checks one key and value.
///
/// # Errors
/// If there is no such key or it does not take the value.
pub fn check_broker_value(name: &str, value: &str) -> Result<(), Refusal> {
    let Some(key) = broker_key(name) else {
        return Err(Refusal::UnknownKey { key: name.to_owned(), nearest: nearest_broker_key(name) });
    };
    key.parse(value).map(drop).map_err(|reason| invalid(name, value, reason))
}

/// A topic's key written by mistake is answered with the broker's key that gives topics their default.
fn nearest_broker_key(name: &str) -> Option<String> {
    let synonym = topic_key(name).and_then(|key| key.synonyms.first()).map(|synonym| synonym.key);
    synonym.or_else(|| nearest(name, BROKER_KEYS.iter().map(|key| key.name))).map(str::to_owned)
}

fn listeners<F: Fn(&str) -> Option<Value>>(read: &Reader<F>) -> Result<Vec<Listener>, Refusal> {
    let (listeners, advertised) = (read.list("listeners"), read.list("advertised.listeners"));
    let protocols = read.text("listener.security.protocol.map");
    parse_listeners(&listeners, &advertised, &protocols).map_err(|(key, reason)| {
        let value = match key {
            "listeners" => listeners.join(","),
            "advertised.listeners" => advertised.join(","),
            _ => protocols,
        };
        invalid(key, &value, reason)
    })
}

fn groups<F: Fn(&str) -> Option<Value>>(read: &Reader<F>) -> GroupConfig {
    let millis = |name| Duration::from_millis(read.integer(name));
    GroupConfig {
        min_session_timeout: millis("group.min.session.timeout.ms"),
        max_session_timeout: millis("group.max.session.timeout.ms"),
        initial_rebalance_delay: millis("group.initial.rebalance.delay.ms"),
        max_size: read.integer("group.max.size"),
        offset_metadata_max_bytes: read.integer("offset.metadata.max.bytes"),
        offsets_retention: Duration::from_secs(60 * read.integer::<u64>("offsets.retention.minutes")),
        offsets_retention_check_interval: millis("offsets.retention.check.interval.ms"),
        consumer: ConsumerGroupConfig {
            times: MemberTimes {
                session_timeout: millis("group.consumer.session.timeout.ms"),
                heartbeat_interval: millis("group.consumer.heartbeat.interval.ms"),
            },
            max_size: read.integer("group.consumer.max.size"),
            migration: migration_policy(&read.text("group.consumer.migration.policy")),
        },
    }
}

fn migration_policy(name: &str) -> MigrationPolicy {
    match name {
        "disabled" => MigrationPolicy::Disabled,
        "upgrade" => MigrationPolicy::Upgrade,
        "downgrade" => MigrationPolicy::Downgrade,
        "bidirectional" => MigrationPolicy::Bidirectional,
        other => unreachable!("group.consumer.migration.policy {other} passed its check"),
    }
}

fn invalid(key: &str, value: &str, reason: String) -> Refusal {
    Refusal::InvalidValue { key: key.to_owned(), value: value.to_owned(), reason }
}

fn log_level(name: &str) -> LogLevel {
    match name {
        "error" => LogLevel::Error,
        "warn" => LogLevel::Warn,
        "info" => LogLevel::Info,
        "debug" => LogLevel::Debug,
        "trace" => LogLevel::Trace,
        other => unreachable!("log.level {other} passed its check"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(pairs: &[(&str, &str, &str)], expected: &str) {
        let error = BrokerConfig::from_pairs(pairs.iter().copied()).expect_err(expected);
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn without_settings_there_is_one_local_broker() {
        let config = BrokerConfig::default();
        assert_eq!(config.node_id, BrokerId(1));
        assert_eq!(config.listeners.len(), 1);
        assert_eq!(config.log_dir, "highwater-data");
        assert_eq!(config.connections_max_idle, Some(Duration::from_secs(600)));
        assert!(config.auto_create_topics_enable);
    }

    #[test]
    fn groups_go_by_their_defaults_where_nothing_is_set() {
        assert_eq!(*BrokerConfig::default().groups, GroupConfig::default());
    }

    #[test]
    fn a_later_pair_replaces_an_earlier_one_and_its_alias() {
        let config = BrokerConfig::from_pairs([("broker.id", "3", "a file"), ("node.id", "4", "--set")]).unwrap();
        assert_eq!(config.node_id, BrokerId(4));
        assert_eq!(config.settings.len(), 1);
    }

    #[test]
    fn a_bad_setting_is_refused_with_key_reason_and_source() {
        refused(
            &[("num.partition", "1", "--set")],
            "unknown key num.partition: did you mean num.partitions? (set by --set)",
        );
        refused(
            &[("retention.ms", "1", "--set")],
            "unknown key retention.ms: did you mean log.retention.ms? (set by --set)",
        );
        refused(
            &[("num.partitions", "0", "highwater.toml")],
            "invalid value \"0\" for num.partitions: it must be at least 1 (set by highwater.toml)",
        );
        refused(
            &[("listeners", "PLAINTEXT://h", "--set")],
            "invalid value \"PLAINTEXT://h\" for listeners: \
             it holds \"PLAINTEXT://h\", which is not NAME://HOST:PORT (set by --set)",
        );
    }

    #[test]
    fn contradictory_settings_are_refused_with_both_sources() {
        refused(
            &[("log.retention.ms", "1", "a file"), ("log.retention.hours", "1", "the environment")],
            "log.retention.ms and log.retention.hours contradict each other: \
             they say the same in different units; set only one (set by a file and the environment)",
        );
        refused(
            &[("group.consumer.session.timeout.ms", "30000", "--set")],
            "group.consumer.session.timeout.ms and group.consumer.min.session.timeout.ms contradict each other: \
             the default must not be smaller than the minimum (set by --set)",
        );
        refused(
            &[("socket.request.max.bytes", "1000", "--set")],
            "message.max.bytes and socket.request.max.bytes contradict each other: a batch of that size would not fit \
             into any request; lower the one or raise the other (set by --set)",
        );
    }
}
