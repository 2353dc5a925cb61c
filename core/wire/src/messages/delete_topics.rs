//! Deletes topics, by name or by id.
//!
//! Sources: KIP-4, KIP-516 (topic ids).

use crate::{Message, Part, Uuid};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 1..=6, flexible = 4..)]
pub struct DeleteTopicsRequest {
    /// The topics to delete.
    #[field(versions = 6..)]
    pub topics: Vec<DeleteTopicState>,
    /// The topics to delete, by name. Replaced by `topics` in version 6.
    #[field(versions = ..=5, ignorable)]
    pub topic_names: Vec<String>,
    /// How long to wait for the result, in milliseconds.
    pub timeout_ms: i32,
}

/// A topic to delete, by its name or by its id.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct DeleteTopicState {
    /// The topic's name; null if its id is given.
    pub name: Option<String>,
    /// The topic's id.
    pub topic_id: Uuid,
}

/// What [`DeleteTopicsRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 1..=6, flexible = 4..)]
pub struct DeleteTopicsResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The results, by topic.
    pub responses: Vec<DeletableTopicResult>,
}

/// What became of one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct DeletableTopicResult {
    /// The topic's name; null if an id was given that is unknown.
    #[field(nullable = 6..)]
    pub name: Option<String>,
    /// The topic's id.
    #[field(versions = 6.., ignorable)]
    pub topic_id: Uuid,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(versions = 5.., text, ignorable)]
    pub error_message: Option<String>,
}
