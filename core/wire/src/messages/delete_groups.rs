//! Deletes groups that have no members, with their offsets.
//!
//! Sources: KIP-229.

use crate::{Message, Part};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=2, flexible = 2..)]
pub struct DeleteGroupsRequest {
    /// The groups to delete.
    pub groups_names: Vec<String>,
}

/// What [`DeleteGroupsRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=2, flexible = 2..)]
pub struct DeleteGroupsResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The results, by group.
    pub results: Vec<DeletableGroupResult>,
}

/// What became of one group.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct DeletableGroupResult {
    /// The group's id.
    pub group_id: String,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
}
