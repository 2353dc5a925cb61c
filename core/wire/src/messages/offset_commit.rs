//! Stores how far a group has read.
//!
//! Sources: KIP-320 (leader epochs), KIP-345 (static members), KIP-848 (member epochs), KIP-516 (topic ids).

use crate::{Message, Part, Uuid};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 2..=10, flexible = 8..)]
pub struct OffsetCommitRequest {
    /// The group's id.
    pub group_id: String,
    /// The group's generation, or the member's epoch in a consumer group; -1 from who is no member.
    #[field(default = -1)]
    pub generation_id_or_member_epoch: i32,
    /// The member's id, empty from who is no member.
    pub member_id: String,
    /// The name of a static member, null for one that is not static.
    #[field(versions = 7..)]
    pub group_instance_id: Option<String>,
    /// How long to keep the offsets, in milliseconds; -1 for the broker's default.
    #[field(versions = ..=4, default = -1, ignorable)]
    pub retention_time_ms: i64,
    /// What to store, by topic.
    pub topics: Vec<OffsetCommitRequestTopic>,
}

/// What to store for one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct OffsetCommitRequestTopic {
    /// The topic's name.
    #[field(versions = ..=9, ignorable)]
    pub name: String,
    /// The topic's id.
    #[field(versions = 10.., ignorable)]
    pub topic_id: Uuid,
    /// What to store, by partition.
    pub partitions: Vec<OffsetCommitRequestPartition>,
}

/// What to store for one partition.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct OffsetCommitRequestPartition {
    /// The partition's index.
    pub partition_index: i32,
    /// The next offset to read.
    pub committed_offset: i64,
    /// The leader epoch of the last record that was read, -1 if unknown.
    #[field(versions = 6.., default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// The client's own note.
    pub committed_metadata: Option<String>,
}

/// What [`OffsetCommitRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 2..=10, flexible = 8..)]
pub struct OffsetCommitResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    #[field(versions = 3.., ignorable)]
    pub throttle_time_ms: i32,
    /// The results, by topic.
    pub topics: Vec<OffsetCommitResponseTopic>,
}

/// The results for one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct OffsetCommitResponseTopic {
    /// The topic's name.
    #[field(versions = ..=9, ignorable)]
    pub name: String,
    /// The topic's id.
    #[field(versions = 10.., ignorable)]
    pub topic_id: Uuid,
    /// The results, by partition.
    pub partitions: Vec<OffsetCommitResponsePartition>,
}

/// The result for one partition.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct OffsetCommitResponsePartition {
    /// The partition's index.
    pub partition_index: i32,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
}
