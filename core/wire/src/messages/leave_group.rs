//! Takes members out of a classic group.
//!
//! Sources: KIP-345 (static members, several at once), KIP-800 (reasons).

use crate::{Message, Part};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=5, flexible = 4..)]
pub struct LeaveGroupRequest {
    /// The group's id.
    pub group_id: String,
    /// The member that leaves. Replaced by `members` in version 3.
    #[field(versions = ..=2)]
    pub member_id: String,
    /// The members that leave.
    #[field(versions = 3..)]
    pub members: Vec<MemberIdentity>,
}

/// A member that leaves.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct MemberIdentity {
    /// Its id, empty if it is named by `group_instance_id`.
    pub member_id: String,
    /// The name of a static member, null for one that is not static.
    pub group_instance_id: Option<String>,
    /// Why it leaves, in words.
    #[field(versions = 5.., ignorable)]
    pub reason: Option<String>,
}

/// What [`LeaveGroupRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=5, flexible = 4..)]
pub struct LeaveGroupResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    #[field(versions = 1.., ignorable)]
    pub throttle_time_ms: i32,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// The results, by member.
    #[field(versions = 3..)]
    pub members: Vec<MemberResponse>,
}

/// What became of one member.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct MemberResponse {
    /// The member's id.
    pub member_id: String,
    /// The name of a static member, null for one that is not static.
    pub group_instance_id: Option<String>,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
}
