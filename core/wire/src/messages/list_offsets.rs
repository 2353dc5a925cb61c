//! Looks up offsets by timestamp.
//!
//! Sources: KIP-79, KIP-207, KIP-734 (maximum timestamp), KIP-1075 (time limit).

use crate::{Message, Part};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 1..=11, flexible = 6..)]
pub struct ListOffsetsRequest {
    /// The broker id of a follower, -1 from a consumer.
    pub replica_id: i32,
    /// 0 to read everything below the high watermark, 1 to read only what is committed.
    #[field(versions = 2..)]
    pub isolation_level: i8,
    /// What to look up, by topic.
    pub topics: Vec<ListOffsetsTopic>,
    /// How long to wait for the result, in milliseconds.
    #[field(versions = 10.., ignorable)]
    pub timeout_ms: i32,
}

/// What to look up in one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct ListOffsetsTopic {
    /// The topic's name.
    pub name: String,
    /// What to look up, by partition.
    pub partitions: Vec<ListOffsetsPartition>,
}

/// What to look up in one partition.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct ListOffsetsPartition {
    /// The partition's index.
    pub partition_index: i32,
    /// The epoch of the leader that the sender knows, -1 if it knows none. Another epoch is an error.
    #[field(versions = 4.., default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// The time to look for, in milliseconds; -1 the end, -2 the start, -3 the largest timestamp, -4 the local start,
    /// -5 the tiered end.
    pub timestamp: i64,
}

/// What [`ListOffsetsRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 1..=11, flexible = 6..)]
pub struct ListOffsetsResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    #[field(versions = 2.., ignorable)]
    pub throttle_time_ms: i32,
    /// The results, by topic.
    pub topics: Vec<ListOffsetsTopicResponse>,
}

/// The results for one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct ListOffsetsTopicResponse {
    /// The topic's name.
    pub name: String,
    /// The results, by partition.
    pub partitions: Vec<ListOffsetsPartitionResponse>,
}

/// The result for one partition.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct ListOffsetsPartitionResponse {
    /// The partition's index.
    pub partition_index: i32,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// The timestamp of the record at the offset, -1 if there is none.
    #[field(default = -1)]
    pub timestamp: i64,
    /// The offset, -1 if there is none.
    #[field(default = -1)]
    pub offset: i64,
    /// The epoch of the record at the offset, -1 if unknown.
    #[field(versions = 4.., default = -1)]
    pub leader_epoch: i32,
}
