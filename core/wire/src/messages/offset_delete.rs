//! Deletes offsets of topics that a group is not subscribed to.
//!
//! Sources: KIP-496.

use crate::{Message, Part};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=0)]
pub struct OffsetDeleteRequest {
    /// The group's id.
    pub group_id: String,
    /// What to delete, by topic.
    pub topics: Vec<OffsetDeleteRequestTopic>,
}

/// What to delete of one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct OffsetDeleteRequestTopic {
    /// The topic's name.
    pub name: String,
    /// The partitions whose offsets are deleted.
    pub partitions: Vec<OffsetDeleteRequestPartition>,
}

/// A partition whose offset is deleted.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct OffsetDeleteRequestPartition {
    /// The partition's index.
    pub partition_index: i32,
}

/// What [`OffsetDeleteRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=0)]
pub struct OffsetDeleteResponse {
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// How long the client should pause because of a quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The results, by topic.
    pub topics: Vec<OffsetDeleteResponseTopic>,
}

/// The results for one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct OffsetDeleteResponseTopic {
    /// The topic's name.
    pub name: String,
    /// The results, by partition.
    pub partitions: Vec<OffsetDeleteResponsePartition>,
}

/// The result for one partition.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct OffsetDeleteResponsePartition {
    /// The partition's index.
    pub partition_index: i32,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
}
