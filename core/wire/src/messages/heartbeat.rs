//! Says that a member of a classic group is alive.
//!
//! Sources: KIP-345 (static members).

use crate::Message;

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=4, flexible = 4..)]
pub struct HeartbeatRequest {
    /// The group's id.
    pub group_id: String,
    /// The group's generation.
    pub generation_id: i32,
    /// The member's id.
    pub member_id: String,
    /// The name of a static member, null for one that is not static.
    #[field(versions = 3..)]
    pub group_instance_id: Option<String>,
}

/// What [`HeartbeatRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=4, flexible = 4..)]
pub struct HeartbeatResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    #[field(versions = 1.., ignorable)]
    pub throttle_time_ms: i32,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
}
