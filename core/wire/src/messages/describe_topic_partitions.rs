//! Describes topics page by page.
//!
//! Sources: KIP-966.

use crate::{Message, Part, Uuid};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=0, flexible = 0..)]
pub struct DescribeTopicPartitionsRequest {
    /// The topics to describe, in order of their names; empty is all of them.
    pub topics: Vec<TopicRequest>,
    /// How many partitions the page may have.
    #[field(default = 2000)]
    pub response_partition_limit: i32,
    /// Where the page begins; null is the start.
    pub cursor: Option<Cursor>,
}

/// A topic to describe.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct TopicRequest {
    /// The topic's name.
    pub name: String,
}

/// Where a page begins.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct Cursor {
    /// The topic to begin with.
    pub topic_name: String,
    /// The partition of it to begin with.
    pub partition_index: i32,
}

/// What [`DescribeTopicPartitionsRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=0, flexible = 0..)]
pub struct DescribeTopicPartitionsResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<DescribeTopicPartitionsResponseTopic>,
    /// Where the next page begins; null after the last.
    pub next_cursor: Option<Cursor>,
}

/// A topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct DescribeTopicPartitionsResponseTopic {
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// The topic's name.
    pub name: Option<String>,
    /// The topic's id.
    pub topic_id: Uuid,
    /// Whether the broker keeps its own state in it.
    pub is_internal: bool,
    /// Its partitions.
    pub partitions: Vec<DescribeTopicPartitionsResponsePartition>,
    /// What the client may do to the topic, as bits; the minimum if it was not asked for.
    #[field(default = i32::MIN)]
    pub topic_authorized_operations: i32,
}

/// A partition.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct DescribeTopicPartitionsResponsePartition {
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// The partition's index.
    pub partition_index: i32,
    /// The leader's broker id, -1 if there is none.
    pub leader_id: i32,
    /// The leader epoch, -1 if unknown.
    #[field(default = -1)]
    pub leader_epoch: i32,
    /// The brokers that have a replica, the preferred leader first.
    pub replica_nodes: Vec<i32>,
    /// The brokers in the ISR.
    pub isr_nodes: Vec<i32>,
    /// Brokers outside of the ISR that may be elected; null if unknown.
    pub eligible_leader_replicas: Option<Vec<i32>>,
    /// Who was left when the ISR and the eligible leader replicas were empty; null if unknown.
    pub last_known_elr: Option<Vec<i32>>,
    /// The replicas that are not available.
    pub offline_replicas: Vec<i32>,
}
