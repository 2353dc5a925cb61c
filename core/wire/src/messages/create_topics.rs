//! Creates topics.
//!
//! Sources: KIP-4, KIP-525 (the configuration in the answer), KIP-516 (topic ids).

use crate::{Message, Part, Uuid};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 2..=7, flexible = 5..)]
pub struct CreateTopicsRequest {
    /// The topics to create.
    pub topics: Vec<CreatableTopic>,
    /// How long to wait for the result, in milliseconds.
    #[field(default = 60000)]
    pub timeout_ms: i32,
    /// Whether to check only, without doing it.
    pub validate_only: bool,
}

/// A topic to create.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct CreatableTopic {
    /// The topic's name.
    pub name: String,
    /// How many partitions; -1 for the broker's default, or if they are assigned by hand.
    pub num_partitions: i32,
    /// How many replicas; -1 for the broker's default, or if they are assigned by hand.
    pub replication_factor: i16,
    /// The brokers of each partition, if they are assigned by hand.
    pub assignments: Vec<CreatableReplicaAssignment>,
    /// What differs from the default configuration.
    pub configs: Vec<CreatableTopicConfig>,
}

/// Which brokers get one partition.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct CreatableReplicaAssignment {
    /// The partition's index.
    pub partition_index: i32,
    /// The brokers that get a replica, the preferred leader first.
    pub broker_ids: Vec<i32>,
}

/// A configuration key to set.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct CreatableTopicConfig {
    /// The key.
    pub name: String,
    /// The value.
    pub value: Option<String>,
}

/// What [`CreateTopicsRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 2..=7, flexible = 5..)]
pub struct CreateTopicsResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The results, by topic.
    pub topics: Vec<CreatableTopicResult>,
}

/// What became of one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct CreatableTopicResult {
    /// The topic's name.
    pub name: String,
    /// The id of the new topic.
    #[field(versions = 7.., ignorable)]
    pub topic_id: Uuid,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(text)]
    pub error_message: Option<String>,
    /// Why the configuration is not told, 0 if it is.
    #[field(versions = 5.., tag = 0, ignorable)]
    pub topic_config_error_code: i16,
    /// How many partitions it got, -1 after an error.
    #[field(versions = 5.., default = -1, ignorable)]
    pub num_partitions: i32,
    /// How many replicas they got, -1 after an error.
    #[field(versions = 5.., default = -1, ignorable)]
    pub replication_factor: i16,
    /// Its configuration, defaults included; null if it is not told.
    #[field(versions = 5.., ignorable)]
    pub configs: Option<Vec<CreatableTopicConfigs>>,
}

/// A configuration key of the new topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct CreatableTopicConfigs {
    /// The key.
    pub name: String,
    /// The value, null if it is sensitive.
    pub value: Option<String>,
    /// Whether it cannot be changed.
    pub read_only: bool,
    /// Where the value comes from.
    #[field(default = -1)]
    pub config_source: i8,
    /// Whether the value is a secret.
    pub is_sensitive: bool,
}
