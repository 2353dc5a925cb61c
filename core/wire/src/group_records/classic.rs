//! Classic groups.

use bytes::Bytes;

use crate::{Message, Part};

/// Names a classic group.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=0)]
pub struct GroupMetadataKey {
    /// The group's id.
    pub group: String,
}

/// A generation of a classic group.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=4, flexible = 4..)]
pub struct GroupMetadataValue {
    /// The kind of group, `consumer` for consumers; empty if nobody has joined yet.
    pub protocol_type: String,
    /// The group's generation.
    pub generation: i32,
    /// The way of assigning that was chosen, null if none is.
    pub protocol: Option<String>,
    /// The leader's member id, null if there is none.
    pub leader: Option<String>,
    /// When the group entered its state, in milliseconds; -1 if unknown.
    #[field(versions = 2.., default = -1, ignorable)]
    pub current_state_timestamp: i64,
    /// The members.
    pub members: Vec<MemberMetadata>,
}

/// A member.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct MemberMetadata {
    /// The member's id.
    pub member_id: String,
    /// The name of a static member, null for one that is not static.
    #[field(versions = 3.., ignorable)]
    pub group_instance_id: Option<String>,
    /// The member's client id.
    pub client_id: String,
    /// The member's address.
    pub client_host: String,
    /// How long the member may take to join again in a rebalance, in milliseconds; -1 is the session time-out.
    #[field(versions = 1.., default = -1, ignorable)]
    pub rebalance_timeout: i32,
    /// After how long without a heartbeat it is removed, in milliseconds.
    pub session_timeout: i32,
    /// What it said for the chosen protocol.
    pub subscription: Bytes,
    /// What it got, in the group's own format.
    pub assignment: Bytes,
}
