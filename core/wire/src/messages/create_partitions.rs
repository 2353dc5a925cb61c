//! Adds partitions to topics.
//!
//! Sources: KIP-195.

use crate::{Message, Part};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=3, flexible = 2..)]
pub struct CreatePartitionsRequest {
    /// The topics that get more partitions.
    pub topics: Vec<CreatePartitionsTopic>,
    /// How long to wait for the result, in milliseconds.
    pub timeout_ms: i32,
    /// Whether to check only, without doing it.
    pub validate_only: bool,
}

/// A topic that gets more partitions.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct CreatePartitionsTopic {
    /// The topic's name.
    pub name: String,
    /// How many partitions the topic is to have.
    pub count: i32,
    /// The brokers of each new partition; null lets the controller choose.
    pub assignments: Option<Vec<CreatePartitionsAssignment>>,
}

/// Which brokers get one new partition.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct CreatePartitionsAssignment {
    /// The brokers that get a replica, the preferred leader first.
    pub broker_ids: Vec<i32>,
}

/// What [`CreatePartitionsRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=3, flexible = 2..)]
pub struct CreatePartitionsResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The results, by topic.
    pub results: Vec<CreatePartitionsTopicResult>,
}

/// What became of one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct CreatePartitionsTopicResult {
    /// The topic's name.
    pub name: String,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(text)]
    pub error_message: Option<String>,
}
