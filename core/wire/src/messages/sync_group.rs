//! Distributes the leader's assignment to the members of a classic group.
//!
//! Sources: KIP-345 (static members), KIP-559 (protocol type).

use bytes::Bytes;

use crate::{Message, Part};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=5, flexible = 4..)]
pub struct SyncGroupRequest {
    /// The group's id.
    pub group_id: String,
    /// The group's generation.
    pub generation_id: i32,
    /// The member's id.
    pub member_id: String,
    /// The name of a static member, null for one that is not static.
    #[field(versions = 3..)]
    pub group_instance_id: Option<String>,
    /// The kind of group, `consumer` for consumers.
    #[field(versions = 5.., ignorable)]
    pub protocol_type: Option<String>,
    /// The way of assigning that was chosen.
    #[field(versions = 5.., ignorable)]
    pub protocol_name: Option<String>,
    /// What each member gets; empty unless the leader sends it.
    pub assignments: Vec<SyncGroupRequestAssignment>,
}

/// What one member gets.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct SyncGroupRequestAssignment {
    /// The member's id.
    pub member_id: String,
    /// What the member gets, in the group's own format.
    pub assignment: Bytes,
}

/// What [`SyncGroupRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=5, flexible = 4..)]
pub struct SyncGroupResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    #[field(versions = 1.., ignorable)]
    pub throttle_time_ms: i32,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// The kind of group, `consumer` for consumers.
    #[field(versions = 5.., ignorable)]
    pub protocol_type: Option<String>,
    /// The way of assigning that was chosen.
    #[field(versions = 5.., ignorable)]
    pub protocol_name: Option<String>,
    /// What the member gets, in the group's own format.
    pub assignment: Bytes,
}
