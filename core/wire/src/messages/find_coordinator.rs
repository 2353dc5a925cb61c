//! Finds the broker that coordinates a group or a transactional id.
//!
//! Sources: KIP-98, KIP-699 (several keys at once).

use crate::{Message, Part};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=6, flexible = 3..)]
pub struct FindCoordinatorRequest {
    /// The group, or the transactional id. Replaced by `coordinator_keys` in version 4.
    #[field(versions = ..=3)]
    pub key: String,
    /// What the keys are: 0 groups, 1 transactional ids, 2 share groups.
    #[field(versions = 1..)]
    pub key_type: i8,
    /// The groups, or the transactional ids.
    #[field(versions = 4..)]
    pub coordinator_keys: Vec<String>,
}

/// What [`FindCoordinatorRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=6, flexible = 3..)]
pub struct FindCoordinatorResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    #[field(versions = 1.., ignorable)]
    pub throttle_time_ms: i32,
    /// What went wrong, 0 if nothing did.
    #[field(versions = ..=3)]
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(versions = 1..=3, text, ignorable)]
    pub error_message: Option<String>,
    /// The coordinator's broker id, -1 after an error.
    #[field(versions = ..=3)]
    pub node_id: i32,
    /// The host that clients connect to.
    #[field(versions = ..=3)]
    pub host: String,
    /// The port that clients connect to.
    #[field(versions = ..=3)]
    pub port: i32,
    /// The results, by key.
    #[field(versions = 4..)]
    pub coordinators: Vec<Coordinator>,
}

/// The coordinator of one key.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct Coordinator {
    /// The group, or the transactional id.
    pub key: String,
    /// The coordinator's broker id, -1 after an error.
    pub node_id: i32,
    /// The host that clients connect to.
    pub host: String,
    /// The port that clients connect to.
    pub port: i32,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(text)]
    pub error_message: Option<String>,
}
