//! Says how far groups have read.
//!
//! Sources: KIP-447 (`require_stable`), KIP-709 (several groups at once), KIP-848 (member epochs), KIP-516 (topic ids).

use crate::{Message, Part, Uuid};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 1..=10, flexible = 6..)]
pub struct OffsetFetchRequest {
    /// The group's id. Replaced by `groups` in version 8.
    #[field(versions = ..=7)]
    pub group_id: String,
    /// What to look up, by topic; null is everything that is stored.
    #[field(versions = ..=7, nullable = 2..)]
    pub topics: Option<Vec<OffsetFetchRequestTopic>>,
    /// What to look up, by group.
    #[field(versions = 8..)]
    pub groups: Vec<OffsetFetchRequestGroup>,
    /// Whether to refuse while a transaction may still change the offsets.
    #[field(versions = 7..)]
    pub require_stable: bool,
}

/// What to look up in one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct OffsetFetchRequestTopic {
    /// The topic's name.
    pub name: String,
    /// The partitions' indexes.
    pub partition_indexes: Vec<i32>,
}

/// What to look up for one group.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct OffsetFetchRequestGroup {
    /// The group's id.
    pub group_id: String,
    /// The member's id, null from who is no member.
    #[field(versions = 9.., ignorable)]
    pub member_id: Option<String>,
    /// The member's epoch, -1 from who is no member.
    #[field(versions = 9.., default = -1, ignorable)]
    pub member_epoch: i32,
    /// What to look up, by topic; null is everything that is stored.
    pub topics: Option<Vec<OffsetFetchRequestTopics>>,
}

/// What to look up in one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct OffsetFetchRequestTopics {
    /// The topic's name.
    #[field(versions = ..=9, ignorable)]
    pub name: String,
    /// The topic's id.
    #[field(versions = 10.., ignorable)]
    pub topic_id: Uuid,
    /// The partitions' indexes.
    pub partition_indexes: Vec<i32>,
}

/// What [`OffsetFetchRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 1..=10, flexible = 6..)]
pub struct OffsetFetchResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    #[field(versions = 3.., ignorable)]
    pub throttle_time_ms: i32,
    /// The results, by topic.
    #[field(versions = ..=7)]
    pub topics: Vec<OffsetFetchResponseTopic>,
    /// What went wrong with the group, 0 if nothing did.
    #[field(versions = 2..=7, ignorable)]
    pub error_code: i16,
    /// The results, by group.
    #[field(versions = 8..)]
    pub groups: Vec<OffsetFetchResponseGroup>,
}

/// The results for one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct OffsetFetchResponseTopic {
    /// The topic's name.
    pub name: String,
    /// The results, by partition.
    pub partitions: Vec<OffsetFetchResponsePartition>,
}

/// The result for one partition.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct OffsetFetchResponsePartition {
    /// The partition's index.
    pub partition_index: i32,
    /// The next offset to read, -1 if none is stored.
    pub committed_offset: i64,
    /// The leader epoch of the last record that was read, -1 if unknown.
    #[field(versions = 5.., default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// The client's own note.
    pub metadata: Option<String>,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
}

/// The results for one group.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct OffsetFetchResponseGroup {
    /// The group's id.
    pub group_id: String,
    /// The results, by topic.
    pub topics: Vec<OffsetFetchResponseTopics>,
    /// What went wrong with the group, 0 if nothing did.
    pub error_code: i16,
}

/// The results for one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct OffsetFetchResponseTopics {
    /// The topic's name.
    #[field(versions = ..=9, ignorable)]
    pub name: String,
    /// The topic's id.
    #[field(versions = 10.., ignorable)]
    pub topic_id: Uuid,
    /// The results, by partition.
    pub partitions: Vec<OffsetFetchResponsePartitions>,
}

/// The result for one partition.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct OffsetFetchResponsePartitions {
    /// The partition's index.
    pub partition_index: i32,
    /// The next offset to read, -1 if none is stored.
    pub committed_offset: i64,
    /// The leader epoch of the last record that was read, -1 if unknown.
    #[field(default = -1)]
    pub committed_leader_epoch: i32,
    /// The client's own note.
    pub metadata: Option<String>,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
}
