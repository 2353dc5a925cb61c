//! Reads records, for consumers and for followers.
//!
//! Sources: KIP-227 (sessions), KIP-320 (fencing, divergence), KIP-392 (reading from followers), KIP-516 (topic ids),
//! KIP-903 (broker epochs), KIP-951 (new leaders in the answer).

use crate::{Message, Part, Records, Uuid};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 4..=18, flexible = 12..)]
pub struct FetchRequest {
    /// The cluster that the sender believes in, null if it does not say.
    #[field(versions = 12.., tag = 0, ignorable)]
    pub cluster_id: Option<String>,
    /// The broker id of a follower, -1 from a consumer. Moved into `replica_state` by version 15.
    #[field(versions = ..=14, default = -1)]
    pub replica_id: i32,
    /// The fetching replica and its incarnation.
    #[field(versions = 15.., tag = 1)]
    pub replica_state: ReplicaState,
    /// How long to wait for `min_bytes`, in milliseconds.
    pub max_wait_ms: i32,
    /// How many bytes are worth an answer before that.
    pub min_bytes: i32,
    /// How many bytes the answer should have at most. A first batch that is larger comes all the same.
    #[field(default = i32::MAX)]
    pub max_bytes: i32,
    /// 0 to read everything below the high watermark, 1 to read only what is committed.
    pub isolation_level: i8,
    /// The session, 0 for none.
    #[field(versions = 7.., ignorable)]
    pub session_id: i32,
    /// The number of the request in its session: 0 starts one, -1 ends it.
    #[field(versions = 7.., default = -1, ignorable)]
    pub session_epoch: i32,
    /// What to fetch; in a session, what changed.
    pub topics: Vec<FetchTopic>,
    /// Partitions to remove from the session.
    #[field(versions = 7..)]
    pub forgotten_topics_data: Vec<ForgottenTopic>,
    /// The consumer's rack, empty if it does not say.
    #[field(versions = 11.., ignorable)]
    pub rack_id: String,
}

/// Who a fetching replica is.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct ReplicaState {
    /// The broker id of a follower, -1 from a consumer.
    #[field(default = -1)]
    pub replica_id: i32,
    /// The broker epoch of the follower, -1 if it does not say.
    #[field(default = -1)]
    pub replica_epoch: i64,
}

/// What to fetch from one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct FetchTopic {
    /// The topic's name.
    #[field(versions = ..=12, ignorable)]
    pub topic: String,
    /// The topic's id.
    #[field(versions = 13.., ignorable)]
    pub topic_id: Uuid,
    /// What to fetch, by partition.
    pub partitions: Vec<FetchPartition>,
}

/// What to fetch from one partition.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct FetchPartition {
    /// The partition's index.
    pub partition: i32,
    /// The epoch of the leader that the sender knows, -1 if it knows none. Another epoch is an error.
    #[field(versions = 9.., default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// The first offset wanted.
    pub fetch_offset: i64,
    /// The epoch of the follower's last record, -1 if it has none: for finding where logs diverge.
    #[field(versions = 12.., default = -1)]
    pub last_fetched_epoch: i32,
    /// The first offset of the follower's log, -1 from a consumer.
    #[field(versions = 5.., default = -1, ignorable)]
    pub log_start_offset: i64,
    /// How many bytes to read from this partition at most.
    pub partition_max_bytes: i32,
    /// The log directory of the follower.
    #[field(versions = 17.., tag = 0, ignorable)]
    pub replica_directory_id: Uuid,
    /// The high watermark that the follower knows. The maximum means that it does not say.
    #[field(versions = 18.., tag = 1, default = i64::MAX, ignorable)]
    pub high_watermark: i64,
}

/// Partitions to remove from the session.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct ForgottenTopic {
    /// The topic's name.
    #[field(versions = ..=12, ignorable)]
    pub topic: String,
    /// The topic's id.
    #[field(versions = 13.., ignorable)]
    pub topic_id: Uuid,
    /// The partitions' indexes.
    pub partitions: Vec<i32>,
}

/// What [`FetchRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 4..=18, flexible = 12..)]
pub struct FetchResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// What went wrong, 0 if nothing did.
    #[field(versions = 7.., ignorable)]
    pub error_code: i16,
    /// The session, 0 for none.
    #[field(versions = 7..)]
    pub session_id: i32,
    /// What was found, by topic.
    pub responses: Vec<FetchableTopicResponse>,
    /// Where the new leaders in this response listen.
    #[field(versions = 16.., tag = 0)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// What was found in one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct FetchableTopicResponse {
    /// The topic's name.
    #[field(versions = ..=12, ignorable)]
    pub topic: String,
    /// The topic's id.
    #[field(versions = 13.., ignorable)]
    pub topic_id: Uuid,
    /// What was found, by partition.
    pub partitions: Vec<PartitionData>,
}

/// What was found in one partition.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct PartitionData {
    /// The partition's index.
    pub partition_index: i32,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// The end of what all members of the ISR have, -1 after an error.
    pub high_watermark: i64,
    /// The end of what is decided: every transaction before it has ended. -1 after an error.
    #[field(default = -1)]
    pub last_stable_offset: i64,
    /// The first offset of the leader's log, -1 if unknown.
    #[field(versions = 5.., default = -1, ignorable)]
    pub log_start_offset: i64,
    /// Where the follower's log departs from the leader's, if it does.
    #[field(versions = 12.., tag = 0)]
    pub diverging_epoch: EpochEndOffset,
    /// The leader, if the request did not reach it.
    #[field(versions = 12.., tag = 1)]
    pub current_leader: LeaderIdAndEpoch,
    /// A snapshot to read instead, if the offset lies before the log.
    #[field(versions = 12.., tag = 2)]
    pub snapshot_id: SnapshotId,
    /// The aborted transactions among the records; null unless they were asked for by the isolation level.
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// A replica closer to the consumer to read from, -1 for none.
    #[field(versions = 11.., default = -1)]
    pub preferred_read_replica: i32,
    /// Whole record batches, the first of which may begin before the fetch offset.
    pub records: Records,
}

/// The largest epoch up to the follower's last one, and where it ends.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct EpochEndOffset {
    /// The leader epoch, -1 for none.
    #[field(default = -1)]
    pub epoch: i32,
    /// The first offset after it, -1 for none.
    #[field(default = -1)]
    pub end_offset: i64,
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

/// A snapshot of the metadata log.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct SnapshotId {
    /// The first offset that is not in it, -1 for none.
    #[field(default = -1)]
    pub end_offset: i64,
    /// The epoch of the last record in it, -1 for none.
    #[field(default = -1)]
    pub epoch: i32,
}

/// A transaction whose records a `read_committed` reader must drop.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct AbortedTransaction {
    /// The producer that aborted.
    pub producer_id: i64,
    /// Where the transaction begins.
    pub first_offset: i64,
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
