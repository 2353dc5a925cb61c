//! What a request was sent for: comes back with its answer or its loss.

use super::boundary::TopicPartition;
use crate::ids::{BrokerId, CommandId, TopicId};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Learn which versions the broker speaks; stays inside the connection.
    ApiVersions,
    /// Learn who leads what.
    Metadata,
    /// Get a producer id.
    InitProducerId,
    /// Write these batches.
    Produce(Vec<SentBatch>),
    /// Find where to begin in these partitions.
    ListOffsets(Vec<TopicPartition>),
    /// Read from this broker.
    Fetch(BrokerId),
    /// Answer a command.
    Call(CommandId),
}

/// A batch in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SentBatch {
    pub partition: TopicPartition,
    pub topic_id: TopicId,
    pub batch: u64,
}
