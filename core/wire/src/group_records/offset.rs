//! Stored offsets.

use crate::{Message, Uuid};

/// Names a stored offset.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=0)]
pub struct OffsetCommitKey {
    /// The group's id.
    pub group: String,
    /// The topic's name.
    pub topic: String,
    /// The partition's index.
    pub partition: i32,
}

/// A stored offset.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=4, flexible = 4..)]
pub struct OffsetCommitValue {
    /// The next offset to read.
    pub offset: i64,
    /// The leader epoch of the last record that was read, -1 if unknown.
    #[field(versions = 3.., default = -1, ignorable)]
    pub leader_epoch: i32,
    /// The client's own note.
    pub metadata: String,
    /// When it was committed, in milliseconds.
    pub commit_timestamp: i64,
    /// When it expires, in milliseconds; -1 by the retention of the broker.
    #[field(versions = 1..=1, default = -1, ignorable)]
    pub expire_timestamp: i64,
    /// The topic's id, zero if unknown.
    #[field(versions = 4.., tag = 0, ignorable)]
    pub topic_id: Uuid,
}
