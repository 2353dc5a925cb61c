//! Appends records to partitions.
//!
//! Sources: KIP-98 (idempotence), KIP-467 (errors by record), KIP-516 (topic ids), KIP-951 (new leaders in the answer).

use crate::{Message, Part, Records, Uuid};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 3..=13, flexible = 9..)]
pub struct ProduceRequest {
    /// The transaction that the records belong to; null outside of transactions.
    pub transactional_id: Option<String>,
    /// How many replicas must have the records before the answer: 0 (no answer), 1 (the leader), -1 (the whole ISR).
    pub acks: i16,
    /// How long to wait for the result, in milliseconds.
    pub timeout_ms: i32,
    /// The records, by topic.
    pub topic_data: Vec<TopicProduceData>,
}

/// The records for one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct TopicProduceData {
    /// The topic's name.
    #[field(versions = ..=12, ignorable)]
    pub name: String,
    /// The topic's id.
    #[field(versions = 13.., ignorable)]
    pub topic_id: Uuid,
    /// The records, by partition.
    pub partition_data: Vec<PartitionProduceData>,
}

/// The records for one partition.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct PartitionProduceData {
    /// The partition's index.
    pub index: i32,
    /// One record batch.
    pub records: Records,
}

/// What [`ProduceRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 3..=13, flexible = 9..)]
pub struct ProduceResponse {
    /// The results, by topic.
    pub responses: Vec<TopicProduceResponse>,
    /// How long the client should pause because of a quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// Where the new leaders in this response listen.
    #[field(versions = 10.., tag = 0)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// The results for one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct TopicProduceResponse {
    /// The topic's name.
    #[field(versions = ..=12, ignorable)]
    pub name: String,
    /// The topic's id.
    #[field(versions = 13.., ignorable)]
    pub topic_id: Uuid,
    /// The results, by partition.
    pub partition_responses: Vec<PartitionProduceResponse>,
}

/// The result for one partition.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct PartitionProduceResponse {
    /// The partition's index.
    pub index: i32,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// The offset of the first record, -1 after an error.
    pub base_offset: i64,
    /// When the broker appended the batch; -1 unless the topic uses that time.
    #[field(default = -1)]
    pub log_append_time_ms: i64,
    /// The first offset of the leader's log, -1 if unknown.
    #[field(versions = 5.., default = -1, ignorable)]
    pub log_start_offset: i64,
    /// The records because of which the batch was refused.
    #[field(versions = 8.., ignorable)]
    pub record_errors: Vec<BatchIndexAndErrorMessage>,
    /// What went wrong, in words.
    #[field(versions = 8.., text, ignorable)]
    pub error_message: Option<String>,
    /// The leader, if the request did not reach it.
    #[field(versions = 10.., tag = 0)]
    pub current_leader: LeaderIdAndEpoch,
}

/// A record that was refused, and why.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct BatchIndexAndErrorMessage {
    /// The record's index in the batch.
    pub batch_index: i32,
    /// Why it was refused, in words.
    #[field(text)]
    pub batch_index_error_message: Option<String>,
}

/// A partition's current leader.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct LeaderIdAndEpoch {
    /// The leader's broker id, -1 if unknown.
    #[field(default = -1)]
    pub leader_id: i32,
    /// The leader epoch, -1 if unknown.
    #[field(default = -1)]
    pub leader_epoch: i32,
}

/// Where a leader named in this response listens.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct NodeEndpoint {
    /// The broker's id.
    pub node_id: i32,
    /// The host that clients connect to.
    pub host: String,
    /// The port that clients connect to.
    pub port: i32,
    /// The broker's rack, null if it has none.
    pub rack: Option<String>,
}
