//! How requests name topics, and what the metadata says of those names.

use highwater_wire::{ErrorCode, Uuid};

use crate::controller::Image;
use crate::ids::{PartitionId, PartitionIndex, TopicId};

/// A topic as a request names it: by name, or by id where the version says so (KIP-516).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TopicRef {
    /// By name.
    Name(String),
    /// By id.
    Id(TopicId),
}

impl TopicRef {
    /// What a request's two fields mean in its version.
    pub(super) fn new(by_id: bool, name: String, id: Uuid) -> Self {
        if by_id { Self::Id(TopicId(id.0)) } else { Self::Name(name) }
    }

    /// The two fields of the answer, one of which is empty.
    pub(super) fn into_wire(self) -> (String, Uuid) {
        match self {
            Self::Name(name) => (name, Uuid::ZERO),
            Self::Id(id) => (String::new(), Uuid(id.0)),
        }
    }

    /// The partition that is meant.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION`, or `UNKNOWN_TOPIC_ID` for an id that no topic has.
    pub(super) fn partition(&self, image: &Image, index: i32) -> Result<PartitionId, ErrorCode> {
        let topic = match self {
            Self::Name(name) => image.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)?,
            Self::Id(id) => image.topic_by_id(*id).ok_or(ErrorCode::UnknownTopicId)?,
        };
        let index = PartitionIndex(index);
        if topic.partition(index).is_none() {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        Ok(PartitionId { topic: topic.id, index })
    }
}
