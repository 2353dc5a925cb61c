//! Lists groups.
//!
//! Sources: KIP-518 (states), KIP-848 (types).

use crate::{Message, Part};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=5, flexible = 3..)]
pub struct ListGroupsRequest {
    /// The states to list; empty is all of them.
    #[field(versions = 4..)]
    pub states_filter: Vec<String>,
    /// The types to list; empty is all of them.
    #[field(versions = 5..)]
    pub types_filter: Vec<String>,
}

/// What [`ListGroupsRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=5, flexible = 3..)]
pub struct ListGroupsResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    #[field(versions = 1.., ignorable)]
    pub throttle_time_ms: i32,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// The groups.
    pub groups: Vec<ListedGroup>,
}

/// A group.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct ListedGroup {
    /// The group's id.
    pub group_id: String,
    /// The kind of group, `consumer` for consumers.
    pub protocol_type: String,
    /// The group's state, as Kafka names it.
    #[field(versions = 4.., ignorable)]
    pub group_state: String,
    /// The group's type, `classic` or `consumer`.
    #[field(versions = 5.., ignorable)]
    pub group_type: String,
}
