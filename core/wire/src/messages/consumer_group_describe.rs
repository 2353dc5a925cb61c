//! Describes consumer groups and their members.
//!
//! Sources: KIP-482 (tagged fields, which a reader may skip), KIP-848, KIP-1099 (member types).

use crate::describe_groups::LastRebalance;
use crate::{Message, Part, Uuid};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=1, flexible = 0..)]
pub struct ConsumerGroupDescribeRequest {
    /// The groups to describe.
    pub group_ids: Vec<String>,
    /// Whether to list what the client may do to each group.
    pub include_authorized_operations: bool,
}

/// What [`ConsumerGroupDescribeRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=1, flexible = 0..)]
pub struct ConsumerGroupDescribeResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The groups.
    pub groups: Vec<DescribedGroup>,
}

/// A group.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct DescribedGroup {
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(text)]
    pub error_message: Option<String>,
    /// The group's id.
    pub group_id: String,
    /// The group's state, as Kafka names it.
    pub group_state: String,
    /// The group's epoch.
    pub group_epoch: i32,
    /// The epoch of the target assignment.
    pub assignment_epoch: i32,
    /// The assignor in use.
    pub assignor_name: String,
    /// The members.
    pub members: Vec<Member>,
    /// What the client may do to the group, as bits; the minimum if it was not asked for.
    #[field(default = i32::MIN)]
    pub authorized_operations: i32,
    /// Why the last rebalance began, if the coordinator has seen it.
    #[field(tag = 10_000, ignorable, own)]
    pub last_rebalance: Option<LastRebalance>,
}

/// A member.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct Member {
    /// The member's id.
    pub member_id: String,
    /// The name of a static member, null for one that is not static.
    pub instance_id: Option<String>,
    /// The member's rack, null if it does not say.
    pub rack_id: Option<String>,
    /// The member's epoch.
    pub member_epoch: i32,
    /// The member's client id.
    pub client_id: String,
    /// The member's address.
    pub client_host: String,
    /// The topics it wants.
    pub subscribed_topic_names: Vec<String>,
    /// A regular expression that its topics match, null if it has none.
    pub subscribed_topic_regex: Option<String>,
    /// What it owns.
    pub assignment: Assignment,
    /// What it is to own.
    pub target_assignment: Assignment,
    /// Which protocol it speaks: 0 classic, 1 consumer, -1 unknown.
    #[field(versions = 1.., default = -1, ignorable)]
    pub member_type: i8,
}

/// Partitions of a member.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The partitions, by topic.
    pub topic_partitions: Vec<TopicPartitions>,
}

/// Partitions of one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct TopicPartitions {
    /// The topic's id.
    pub topic_id: Uuid,
    /// The topic's name.
    pub topic_name: String,
    /// The partitions' indexes.
    pub partitions: Vec<i32>,
}
