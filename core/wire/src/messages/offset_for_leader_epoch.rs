//! Finds where a leader epoch ends in the leader's log.
//!
//! Sources: KIP-101, KIP-279, KIP-320.

use crate::{Message, Part};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 2..=4, flexible = 4..)]
pub struct OffsetForLeaderEpochRequest {
    /// The broker id of a follower, -1 from a consumer, -2 if it does not say.
    #[field(versions = 3.., default = -2, ignorable)]
    pub replica_id: i32,
    /// What to look up, by topic.
    pub topics: Vec<OffsetForLeaderTopic>,
}

/// What to look up in one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct OffsetForLeaderTopic {
    /// The topic's name.
    pub topic: String,
    /// What to look up, by partition.
    pub partitions: Vec<OffsetForLeaderPartition>,
}

/// What to look up in one partition.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct OffsetForLeaderPartition {
    /// The partition's index.
    pub partition: i32,
    /// The epoch of the leader that the sender knows, -1 if it knows none. Another epoch is an error.
    #[field(default = -1)]
    pub current_leader_epoch: i32,
    /// The epoch whose end is asked for.
    pub leader_epoch: i32,
}

/// What [`OffsetForLeaderEpochRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 2..=4, flexible = 4..)]
pub struct OffsetForLeaderEpochResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The results, by topic.
    pub topics: Vec<OffsetForLeaderTopicResult>,
}

/// The results for one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct OffsetForLeaderTopicResult {
    /// The topic's name.
    pub topic: String,
    /// The results, by partition.
    pub partitions: Vec<EpochEndOffset>,
}

/// Where an epoch ends in one partition.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct EpochEndOffset {
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// The partition's index.
    pub partition: i32,
    /// The largest epoch up to the one asked for, -1 if there is none.
    #[field(default = -1)]
    pub leader_epoch: i32,
    /// The first offset after that epoch, -1 if unknown.
    #[field(default = -1)]
    pub end_offset: i64,
}
