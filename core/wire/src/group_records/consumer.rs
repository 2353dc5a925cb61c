//! Consumer groups (KIP-848): what each member has said, what it is to own, what it owns.

use bytes::Bytes;

use crate::{Message, Part, Uuid};

/// Names a consumer group.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=0)]
pub struct ConsumerGroupMetadataKey {
    /// The group's id.
    pub group_id: String,
}

/// The epoch of a consumer group.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=0, flexible = 0..)]
pub struct ConsumerGroupMetadataValue {
    /// The group's epoch.
    pub epoch: i32,
    /// A hash of all topics of the group, 0 if it is not known.
    #[field(tag = 0)]
    pub metadata_hash: i64,
}

/// Names a consumer group.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=0)]
pub struct ConsumerGroupPartitionMetadataKey {
    /// The group's id.
    pub group_id: String,
}

/// The topics of a consumer group, as Kafka 3.7 to 4.0 kept them.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=0, flexible = 0..)]
pub struct ConsumerGroupPartitionMetadataValue {
    /// What was known of each topic.
    pub topics: Vec<TopicMetadata>,
}

/// What was known of one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct TopicMetadata {
    /// The topic's id.
    pub topic_id: Uuid,
    /// The topic's name.
    pub topic_name: String,
    /// How many partitions it had.
    pub num_partitions: i32,
    /// The racks of its partitions; not used since Kafka 4.0.
    pub partition_metadata: Vec<PartitionMetadata>,
}

/// The racks of one partition.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct PartitionMetadata {
    /// The partition's index.
    pub partition: i32,
    /// The racks.
    pub racks: Vec<String>,
}

/// Names a member of a consumer group.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=0)]
pub struct ConsumerGroupMemberMetadataKey {
    /// The group's id.
    pub group_id: String,
    /// The member's id.
    pub member_id: String,
}

/// What a member has said of itself.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=0, flexible = 0..)]
pub struct ConsumerGroupMemberMetadataValue {
    /// The name of a static member, null for one that is not static.
    pub instance_id: Option<String>,
    /// The member's rack, null if it does not say.
    pub rack_id: Option<String>,
    /// The member's client id.
    pub client_id: String,
    /// The member's address.
    pub client_host: String,
    /// The topics it wants.
    pub subscribed_topic_names: Vec<String>,
    /// A regular expression that its topics match; null or empty if it has none.
    pub subscribed_topic_regex: Option<String>,
    /// How long the member may take to give partitions up, in milliseconds; -1 if unknown.
    #[field(default = -1)]
    pub rebalance_timeout_ms: i32,
    /// The assignor it wants, null for none in particular.
    pub server_assignor: Option<String>,
    /// What it said if it speaks the classic protocol, null if it does not. Kafka's default is not null but nothing
    /// said, so say null.
    #[field(tag = 0, default = Some(ClassicMemberMetadata::default()))]
    pub classic_member_metadata: Option<ClassicMemberMetadata>,
}

/// What a member that speaks the classic protocol has said.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct ClassicMemberMetadata {
    /// After how long without a heartbeat it is removed, in milliseconds.
    pub session_timeout_ms: i32,
    /// The ways of assigning that it supports, the best first.
    pub supported_protocols: Vec<ClassicProtocol>,
}

/// A way of assigning that the member supports.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct ClassicProtocol {
    /// The protocol's name.
    pub name: String,
    /// What it says for that protocol.
    pub metadata: Bytes,
}

/// Names a consumer group.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=0)]
pub struct ConsumerGroupTargetAssignmentMetadataKey {
    /// The group's id.
    pub group_id: String,
}

/// The epoch of the target assignment.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=0, flexible = 0..)]
pub struct ConsumerGroupTargetAssignmentMetadataValue {
    /// The epoch of the target assignment.
    pub assignment_epoch: i32,
    /// When the target assignment was computed, in milliseconds.
    #[field(tag = 0)]
    pub assignment_timestamp: i64,
}

/// Names a member of a consumer group.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=0)]
pub struct ConsumerGroupTargetAssignmentMemberKey {
    /// The group's id.
    pub group_id: String,
    /// The member's id.
    pub member_id: String,
}

/// What the member is to own.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=0, flexible = 0..)]
pub struct ConsumerGroupTargetAssignmentMemberValue {
    /// The partitions, by topic.
    pub topic_partitions: Vec<TopicPartition>,
}

/// Partitions of one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct TopicPartition {
    /// The topic's id.
    pub topic_id: Uuid,
    /// The partitions' indexes.
    pub partitions: Vec<i32>,
}

/// Names a member of a consumer group.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=0)]
pub struct ConsumerGroupCurrentMemberAssignmentKey {
    /// The group's id.
    pub group_id: String,
    /// The member's id.
    pub member_id: String,
}

/// What the member owns.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=0, flexible = 0..)]
pub struct ConsumerGroupCurrentMemberAssignmentValue {
    /// The member's epoch.
    pub member_epoch: i32,
    /// The epoch before: a member that missed an answer repeats itself with it.
    pub previous_member_epoch: i32,
    /// The member's state: 0 stable, 1 it must give partitions up, 2 it waits for partitions of others.
    pub state: i8,
    /// What the member owns.
    pub assigned_partitions: Vec<TopicPartitions>,
    /// What it must give up.
    pub partitions_pending_revocation: Vec<TopicPartitions>,
}

/// Partitions of one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct TopicPartitions {
    /// The topic's id.
    pub topic_id: Uuid,
    /// The partitions' indexes.
    pub partitions: Vec<i32>,
    /// The member's epoch when it got each of `partitions`; null or empty if unknown.
    #[field(tag = 0, default = Some(Vec::new()))]
    pub assignment_epochs: Option<Vec<i32>>,
}

/// Names a regular expression of a consumer group.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=0)]
pub struct ConsumerGroupRegularExpressionKey {
    /// The group's id.
    pub group_id: String,
    /// The regular expression.
    pub regular_expression: String,
}

/// The topics that match it.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=0, flexible = 0..)]
pub struct ConsumerGroupRegularExpressionValue {
    /// The topics that match it.
    pub topics: Vec<String>,
    /// The version of the metadata that it was matched against.
    pub version: i64,
    /// When it was matched, in milliseconds.
    pub timestamp: i64,
}
