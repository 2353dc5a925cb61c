//! Says how much room partitions take in the log directories.
//!
//! Sources: KIP-113, KIP-827 (total and usable bytes).

use crate::{Message, Part};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 1..=5, flexible = 2..)]
pub struct DescribeLogDirsRequest {
    /// The partitions to look for; null is all of them.
    pub topics: Option<Vec<DescribableLogDirTopic>>,
}

/// Partitions of one topic to look for.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct DescribableLogDirTopic {
    /// The topic's name.
    pub topic: String,
    /// The partitions' indexes.
    pub partitions: Vec<i32>,
}

/// What [`DescribeLogDirsRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 1..=5, flexible = 2..)]
pub struct DescribeLogDirsResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// What went wrong, 0 if nothing did.
    #[field(versions = 3.., ignorable)]
    pub error_code: i16,
    /// The log directories.
    pub results: Vec<DescribeLogDirsResult>,
}

/// One log directory.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct DescribeLogDirsResult {
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// Its absolute path.
    pub log_dir: String,
    /// What lies in it, by topic.
    pub topics: Vec<DescribeLogDirsTopic>,
    /// The size of the volume, -1 if unknown.
    #[field(versions = 4.., default = -1, ignorable)]
    pub total_bytes: i64,
    /// How much of it is free, -1 if unknown.
    #[field(versions = 4.., default = -1, ignorable)]
    pub usable_bytes: i64,
    /// Whether no new partitions are put there.
    #[field(versions = 5.., ignorable)]
    pub is_cordoned: bool,
}

/// The partitions of one topic in it.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct DescribeLogDirsTopic {
    /// The topic's name.
    pub name: String,
    /// What lies in it, by partition.
    pub partitions: Vec<DescribeLogDirsPartition>,
}

/// The replica of one partition in it.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct DescribeLogDirsPartition {
    /// The partition's index.
    pub partition_index: i32,
    /// The bytes of its segments.
    pub partition_size: i64,
    /// How far it is behind the high watermark, or behind the replica that it will replace.
    pub offset_lag: i64,
    /// Whether it will replace the replica in another directory.
    pub is_future_key: bool,
}
