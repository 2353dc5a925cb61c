//! What a broker reports about itself: typed, without prose. `node` renders events as log lines and metrics, `sim` draws
//! them on its timeline.

use crate::group::GroupEvent;
use crate::ids::ConnectionId;
use crate::ids::{LeaderEpoch, Offset, PartitionId};
use crate::log::Compacted;
use crate::outbox::CloseReason;

/// Something worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The shard has recovered its partitions and serves.
    Ready,
    /// An empty data directory has become a cluster of its own.
    ClusterFounded {
        /// The new cluster's id.
        cluster_id: String,
    },
    /// A partition's log was opened.
    LogRecovered {
        /// Whose log.
        partition: PartitionId,
        /// The topic's name.
        topic: String,
        /// Bytes that were read and checked past the last checkpoint.
        bytes_read: u64,
        /// Bytes of a torn tail that were cut off.
        bytes_truncated: u64,
        /// The log's end afterwards.
        log_end_offset: Offset,
    },
    /// This broker leads a partition from now on.
    BecameLeader {
        /// Which.
        partition: PartitionId,
        /// The topic's name.
        topic: String,
        /// In which epoch.
        leader_epoch: LeaderEpoch,
    },
    /// A segment was closed and a new one opened.
    SegmentRolled {
        /// Whose.
        partition: PartitionId,
        /// The new segment's first offset.
        base_offset: Offset,
    },
    /// A segment was removed because of its age or the log's size, or because its records were deleted.
    SegmentDeleted {
        /// Whose.
        partition: PartitionId,
        /// The removed segment's first offset.
        base_offset: Offset,
        /// How many bytes that freed.
        bytes: u64,
    },
    /// A log was compacted as far as its closed segments, its configuration and the bounds of memory let it.
    LogCompacted {
        /// Whose.
        partition: PartitionId,
        /// The topic's name.
        topic: String,
        /// What was rewritten.
        compacted: Compacted,
    },
    /// A log is not compacted any more: a batch in it is damaged.
    CompactionFailed {
        /// Whose.
        partition: PartitionId,
        /// The topic's name.
        topic: String,
        /// What is wrong.
        reason: String,
    },
    /// Produces are refused because the file system is full.
    DiskFull {
        /// Which partition noticed first.
        partition: PartitionId,
    },
    /// There is room again.
    DiskHasRoom,
    /// A directory belongs to no partition that the metadata knows; it is left alone.
    StrayDirectory {
        /// Its path in the data directory.
        path: String,
    },
    /// The coordinator of the groups in one partition has read its log and serves.
    CoordinatorLoaded {
        /// The partition of `__consumer_offsets`.
        partition: PartitionId,
        /// Up to where it has read.
        log_end_offset: Offset,
        /// Records that it does not know, of share groups for example: it has skipped them.
        skipped: u64,
    },
    /// Something has happened to a group.
    Group(GroupEvent),
    /// The core closed a connection.
    ConnectionClosed {
        /// Which.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
}
