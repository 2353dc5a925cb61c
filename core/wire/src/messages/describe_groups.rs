//! Describes classic groups and their members.
//!
//! Sources: KIP-345 (static members), KIP-430 (authorized operations), KIP-482 (tagged fields, which a reader may skip),
//! KIP-1043 (groups that do not exist).

use bytes::Bytes;

use crate::{Message, Part};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=6, flexible = 5..)]
pub struct DescribeGroupsRequest {
    /// The groups to describe.
    pub groups: Vec<String>,
    /// Whether to list what the client may do to each group.
    #[field(versions = 3..)]
    pub include_authorized_operations: bool,
}

/// What [`DescribeGroupsRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=6, flexible = 5..)]
pub struct DescribeGroupsResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    #[field(versions = 1.., ignorable)]
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
    #[field(versions = 6.., text)]
    pub error_message: Option<String>,
    /// The group's id.
    pub group_id: String,
    /// The group's state, as Kafka names it.
    pub group_state: String,
    /// The kind of group, empty if nobody has joined yet.
    pub protocol_type: String,
    /// The protocol that was chosen, empty if none is.
    pub protocol_data: String,
    /// The members.
    pub members: Vec<DescribedGroupMember>,
    /// What the client may do to the group, as bits; the minimum if it was not asked for.
    #[field(versions = 3.., default = i32::MIN)]
    pub authorized_operations: i32,
    /// Why the last rebalance began, if the coordinator has seen it.
    #[field(versions = 5.., tag = 10_000, ignorable, own)]
    pub last_rebalance: Option<LastRebalance>,
}

/// The beginning of a rebalance.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct LastRebalance {
    /// When, in milliseconds since 1970.
    pub began_ms: i64,
    /// Why, for people.
    pub reason: String,
}

/// A member.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct DescribedGroupMember {
    /// The member's id.
    pub member_id: String,
    /// The name of a static member, null for one that is not static.
    #[field(versions = 4.., ignorable)]
    pub group_instance_id: Option<String>,
    /// The member's client id.
    pub client_id: String,
    /// The member's address.
    pub client_host: String,
    /// What it said for the chosen protocol.
    pub member_metadata: Bytes,
    /// What it got, in the group's own format.
    pub member_assignment: Bytes,
}
