//! Joins, keeps and leaves a consumer group, tells what the member owns, and what it shall own.
//!
//! Sources: KIP-848, KIP-1082 (member ids are the client's).

use crate::{Message, Part, Uuid};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=1, flexible = 0..)]
pub struct ConsumerGroupHeartbeatRequest {
    /// The group's id.
    pub group_id: String,
    /// The member's id.
    pub member_id: String,
    /// The epoch that the member has; 0 joins, -1 leaves, -2 leaves for now (a static member).
    pub member_epoch: i32,
    /// The name of a static member, null for one that is not static.
    pub instance_id: Option<String>,
    /// The member's rack, null if it does not say or it has not changed.
    pub rack_id: Option<String>,
    /// How long the member may take to give partitions up, in milliseconds; -1 if it has not changed.
    #[field(default = -1)]
    pub rebalance_timeout_ms: i32,
    /// The topics it wants; null if they have not changed.
    pub subscribed_topic_names: Option<Vec<String>>,
    /// A regular expression that its topics match; null if it has none or it has not changed.
    #[field(versions = 1..)]
    pub subscribed_topic_regex: Option<String>,
    /// The assignor it wants; null for none in particular or if it has not changed.
    pub server_assignor: Option<String>,
    /// What it owns; null if that has not changed.
    pub topic_partitions: Option<Vec<TopicPartitions>>,
}

/// Partitions of one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct TopicPartitions {
    /// The topic's id.
    pub topic_id: Uuid,
    /// The partitions' indexes.
    pub partitions: Vec<i32>,
}

/// What [`ConsumerGroupHeartbeatRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=1, flexible = 0..)]
pub struct ConsumerGroupHeartbeatResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(text)]
    pub error_message: Option<String>,
    /// The member's id, null after an error.
    pub member_id: Option<String>,
    /// The epoch that the member has from now on.
    pub member_epoch: i32,
    /// When to send the next heartbeat, in milliseconds.
    pub heartbeat_interval_ms: i32,
    /// What it shall own; null if that has not changed.
    pub assignment: Option<Assignment>,
}

/// The partitions that a member shall own.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The partitions, by topic.
    pub topic_partitions: Vec<TopicPartitions>,
}
