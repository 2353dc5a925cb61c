//! What can be configured: the tables of topic, group and broker keys, and the typed values that come of them.
//!
//! Keys carry Kafka's names and mean what they mean there; a key of our own says so in its documentation. One table
//! serves everybody: the node's command line, files and environment, CreateTopics, AlterConfigs and DescribeConfigs.
//!
//! Invariants:
//! * A [`BrokerConfig`] exists only if every key was known, every value valid and no two of them contradictory.
//! * [`TopicDefaults::resolve`] and [`resolve_group`] never fail: a stored value that today's table refuses (an older or
//!   newer version wrote it) counts as not set.
//!
//! Sources: Kafka 4.3's own answers to DescribeConfigs for names, types, defaults and ranges; KIP-226 (the order in
//! which a topic's value, a broker's dynamic value and its static one count).
//! Deliberately absent: keys of what Highwater does not do. They are refused, so that nobody relies on them in vain;
//! the few topic keys that are kept although they have no effect say so.

mod broker;
mod broker_keys;
pub mod describe;
mod error;
mod group;
mod group_keys;
mod key;
mod layers;
mod listener;
mod reader;
mod topic;
mod topic_keys;

pub use broker::{BrokerConfig, LogFormat, LogLevel, check_broker_value};
pub use broker_keys::{BROKER_KEYS, broker_key};
pub use error::{ConfigError, Refusal};
pub use group::{check_group_configs, check_group_value, resolve_group};
pub use group_keys::{GROUP_KEYS, group_key};
pub use key::{Check, Key, Kind, Synonym, Update, Value};
pub use layers::{Layers, Setting, Source};
pub use listener::{Listener, SecurityProtocol};
pub use topic::{
    CleanupPolicy, CompressionType, Flush, TopicConfig, TopicDefaults, check_topic_configs, check_topic_value,
};
pub use topic_keys::{TOPIC_KEYS, topic_key};

/// Keys and values of one topic, group or broker, as they were given.
pub type Configs = std::collections::BTreeMap<String, String>;
