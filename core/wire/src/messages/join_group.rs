//! Makes the sender a member of a classic group, and waits for the next generation.
//!
//! Sources: KIP-62 (rebalance time-out), KIP-345 (static members), KIP-394 (member ids first), KIP-559 (protocol type),
//! KIP-800 (reasons), KIP-814 (assignments that stay).

use bytes::Bytes;

use crate::{Message, Part};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=9, flexible = 6..)]
pub struct JoinGroupRequest {
    /// The group's id.
    pub group_id: String,
    /// After how long without a heartbeat the member is removed, in milliseconds.
    pub session_timeout_ms: i32,
    /// How long the member may take to join again in a rebalance, in milliseconds; -1 is the session time-out.
    #[field(versions = 1.., default = -1, ignorable)]
    pub rebalance_timeout_ms: i32,
    /// The member's id, empty from who has none yet.
    pub member_id: String,
    /// The name of a static member, null for one that is not static.
    #[field(versions = 5..)]
    pub group_instance_id: Option<String>,
    /// The kind of group, `consumer` for consumers.
    pub protocol_type: String,
    /// The ways of assigning that the member supports, the best first.
    pub protocols: Vec<JoinGroupRequestProtocol>,
    /// Why the member joins, in words.
    #[field(versions = 8.., ignorable)]
    pub reason: Option<String>,
}

/// A way of assigning that the member supports.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct JoinGroupRequestProtocol {
    /// The protocol's name.
    pub name: String,
    /// What the leader needs to know of the member.
    pub metadata: Bytes,
}

/// What [`JoinGroupRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=9, flexible = 6..)]
pub struct JoinGroupResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    #[field(versions = 2.., ignorable)]
    pub throttle_time_ms: i32,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// The group's new generation, -1 after an error.
    #[field(default = -1)]
    pub generation_id: i32,
    /// The kind of group, `consumer` for consumers.
    #[field(versions = 7.., ignorable)]
    pub protocol_type: Option<String>,
    /// The way of assigning that was chosen.
    #[field(nullable = 7..)]
    pub protocol_name: Option<String>,
    /// The leader's member id.
    pub leader: String,
    /// Whether the leader shall leave the assignment as it is.
    #[field(versions = 9..)]
    pub skip_assignment: bool,
    /// The member's id.
    pub member_id: String,
    /// The members, for the leader; empty for all others.
    pub members: Vec<JoinGroupResponseMember>,
}

/// A member, for the leader.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct JoinGroupResponseMember {
    /// The member's id.
    pub member_id: String,
    /// The name of a static member, null for one that is not static.
    #[field(versions = 5.., ignorable)]
    pub group_instance_id: Option<String>,
    /// What it said for the chosen protocol.
    pub metadata: Bytes,
}
