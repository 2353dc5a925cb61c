//! Deletes the records before an offset.
//!
//! Sources: KIP-107.

use crate::{Message, Part};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=2, flexible = 2..)]
pub struct DeleteRecordsRequest {
    /// What to delete, by topic.
    pub topics: Vec<DeleteRecordsTopic>,
    /// How long to wait for the result, in milliseconds.
    pub timeout_ms: i32,
}

/// What to delete from one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct DeleteRecordsTopic {
    /// The topic's name.
    pub name: String,
    /// What to delete, by partition.
    pub partitions: Vec<DeleteRecordsPartition>,
}

/// What to delete from one partition.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct DeleteRecordsPartition {
    /// The partition's index.
    pub partition_index: i32,
    /// The first offset to keep; -1 is the high watermark.
    pub offset: i64,
}

/// What [`DeleteRecordsRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=2, flexible = 2..)]
pub struct DeleteRecordsResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The results, by topic.
    pub topics: Vec<DeleteRecordsTopicResult>,
}

/// The results for one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct DeleteRecordsTopicResult {
    /// The topic's name.
    pub name: String,
    /// The results, by partition.
    pub partitions: Vec<DeleteRecordsPartitionResult>,
}

/// The result for one partition.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct DeleteRecordsPartitionResult {
    /// The partition's index.
    pub partition_index: i32,
    /// The first offset that is left, -1 after an error.
    pub low_watermark: i64,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
}
