//! What the shards of one broker say to each other.
//!
//! A gateway asks the shards that own partitions, and the controller; every ask carries a [`Ticket`] that the answer
//! repeats. Asks for the gateway's own shard take the same road without leaving it.

use std::sync::Arc;

use bytes::Bytes;
use highwater_wire::ErrorCode;

use crate::controller::{ControllerRequest, ControllerResponse, Image};
use crate::disk::{FileSlice, Space};
use crate::group::{Client, GroupCall, GroupResponse};
use crate::ids::{LeaderEpoch, Offset, PartitionId, Ticket};
use crate::log::RecordError;
use crate::time::{Instant, WallMs};

/// A message between two shards. The driver only carries it.
#[derive(Debug)]
pub enum ShardMessage {
    /// The controller's shard has committed new metadata. Images come in the order of their offsets.
    Image(Arc<Image>),
    /// The sender works by the image of this offset, so answers that depend on it may leave.
    ImageAdopted {
        /// [`Image::offset`].
        offset: Offset,
    },
    /// Asks the controller to decide something.
    ControllerRequest {
        /// Comes back with the answer.
        ticket: Ticket,
        /// What to decide.
        request: ControllerRequest,
    },
    /// The answer to a [`ControllerRequest`]: its decision is durable, and every shard has adopted it.
    ControllerResponse {
        /// The request's ticket.
        ticket: Ticket,
        /// What was decided.
        response: ControllerResponse,
    },
    /// Asks the owner of some partitions to do something with them.
    PartitionRequest {
        /// Comes back with the answer.
        ticket: Ticket,
        /// What to do.
        request: PartitionRequest,
    },
    /// Asks a group coordinator.
    GroupRequest {
        /// Comes back with the answer.
        ticket: Ticket,
        /// The partition of `__consumer_offsets` that the coordinator is for.
        partition: PartitionId,
        /// Who asks.
        client: Client,
        /// What.
        call: Box<GroupCall>,
    },
    /// The answer to a [`ShardMessage::GroupRequest`]: what it tells is committed.
    GroupResponse {
        /// The request's ticket.
        ticket: Ticket,
        /// The answer.
        response: Box<GroupResponse>,
    },
    /// The answer to a [`PartitionRequest`], or one of several to [`PartitionRequest::Probe`].
    PartitionResponse {
        /// The request's ticket.
        ticket: Ticket,
        /// One outcome for each partition of the request, in its order.
        response: PartitionResponse,
    },
}

/// When a produce request may be answered (the request's `acks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// 0: never; the batch is written without a reply.
    None,
    /// 1: when the leader's copy counts, which by default means synced.
    Leader,
    /// −1: when every member of the in-sync replica set has it.
    All,
}

/// Something to do with partitions that one shard owns.
#[derive(Debug)]
pub enum PartitionRequest {
    /// Append one batch to each.
    Produce {
        /// When to answer.
        acks: Acks,
        /// When to give up waiting for replication.
        deadline: Instant,
        /// Each partition's batch, as the client sent it.
        batches: Vec<(PartitionId, Bytes)>,
    },
    /// Say how much there is to read, now and again whenever that changes, until [`PartitionRequest::Unwatch`].
    Probe {
        /// Where each reader stands.
        targets: Vec<FetchTarget>,
        /// Whether to answer again after a change.
        watch: bool,
    },
    /// Forget the watch of the probe with the same ticket. Not answered.
    Unwatch,
    /// Read.
    Read {
        /// Where each reader stands, `bytes_max` being what the gateway has granted.
        targets: Vec<FetchTarget>,
    },
    /// Look offsets up by timestamp.
    ListOffsets {
        /// Each partition's question.
        targets: Vec<ListOffsetsTarget>,
    },
    /// Look up where leader epochs end (KIP-101, KIP-320).
    EpochEnds {
        /// Each partition's question.
        targets: Vec<EpochEndTarget>,
    },
    /// Move the log start offset.
    DeleteRecords {
        /// The first offset to keep; `None` deletes all below the high watermark.
        targets: Vec<(PartitionId, Option<Offset>)>,
    },
    /// Sizes of all logs that this shard owns.
    DescribeLogDirs,
}

/// Answers to [`PartitionRequest`]s: outcomes in the order of the request's partitions.
#[derive(Debug)]
pub enum PartitionResponse {
    /// To `Produce`.
    Produced(Vec<ProduceOutcome>),
    /// To `Probe`.
    Probed(Vec<ProbeOutcome>),
    /// To `Read`.
    Read(Vec<ReadOutcome>),
    /// To `ListOffsets`.
    OffsetsListed(Vec<Result<ListedOffset, ErrorCode>>),
    /// To `EpochEnds`: `None` where the epoch is not known.
    EpochEnds(Vec<Result<Option<(LeaderEpoch, Offset)>, ErrorCode>>),
    /// To `DeleteRecords`: the log start offset afterwards.
    RecordsDeleted(Vec<Result<Offset, ErrorCode>>),
    /// To `DescribeLogDirs`.
    LogDirs {
        /// Bytes of each log that the shard has open.
        sizes: Vec<(PartitionId, u64)>,
        /// The room on the disk, if that can be told.
        space: Option<Space>,
    },
}

/// What became of one batch.
pub type ProduceOutcome = Result<Produced, ProduceRefusal>;

/// An accepted batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The timestamp that the broker gave its records, where the topic says so.
    pub log_append_time: Option<WallMs>,
    /// The first offset that can be read.
    pub log_start_offset: Offset,
}

/// A refused batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceRefusal {
    /// Kafka's error code.
    pub code: ErrorCode,
    /// What exactly is wrong, for the client's log.
    pub message: Option<String>,
    /// Which records are to blame, where that can be told (KIP-467).
    pub records: Vec<RecordError>,
    /// The first offset that can be read, where the batch got as far as the log.
    pub log_start_offset: Option<Offset>,
}

impl From<ErrorCode> for ProduceRefusal {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None, records: Vec::new(), log_start_offset: None }
    }
}

/// Where a reader stands in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchTarget {
    /// The partition.
    pub partition: PartitionId,
    /// The next offset it wants.
    pub offset: Offset,
    /// How many bytes it may get.
    pub bytes_max: u64,
    /// Whether it gets one whole batch even if that is larger than `bytes_max`.
    pub at_least_one: bool,
    /// The leader epoch that the reader believes in, if it says so (KIP-320).
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// The epoch of the last record that the reader has, if it says so (KIP-595).
    pub last_fetched_epoch: Option<LeaderEpoch>,
}

/// What a probe found in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// About so many bytes can be read; 0 only if there are none.
    Bytes(u64),
    /// Reading will answer an error or a divergence: there is nothing to wait for.
    Refused,
}

/// What a read of one partition gives.
#[derive(Debug)]
pub struct ReadOutcome {
    /// [`ErrorCode::None`] or why there are no records.
    pub code: ErrorCode,
    /// The offsets that readers may know; −1 where the partition is not led here.
    pub high_watermark: Offset,
    /// The end of what `read_committed` readers may see.
    pub last_stable_offset: Offset,
    /// The first offset that can be read.
    pub log_start_offset: Offset,
    /// Where the reader's history and the leader's part (KIP-595).
    pub diverging_epoch: Option<(LeaderEpoch, Offset)>,
    /// Whole batches.
    pub records: Vec<FileSlice>,
}

/// A question to one partition of ListOffsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListOffsetsTarget {
    /// The partition.
    pub partition: PartitionId,
    /// Milliseconds since the Unix epoch, or one of Kafka's negative special values.
    pub timestamp: i64,
    /// The leader epoch that the client believes in.
    pub current_leader_epoch: Option<LeaderEpoch>,
}

/// An answer to [`ListOffsetsTarget`]; all −1 if there is no such record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// The record's timestamp, or −1.
    pub timestamp: i64,
    /// Its offset, or −1.
    pub offset: i64,
    /// The leader epoch of its batch.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl ListedOffset {
    /// There is no such record.
    pub const NONE: Self = Self { timestamp: -1, offset: -1, leader_epoch: None };
}

/// A question to one partition of OffsetForLeaderEpoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEndTarget {
    /// The partition.
    pub partition: PartitionId,
    /// The epoch whose end is asked for.
    pub leader_epoch: LeaderEpoch,
    /// The leader epoch that the client believes in.
    pub current_leader_epoch: Option<LeaderEpoch>,
}
