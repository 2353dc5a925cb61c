//! The boundary: what a driver puts in and what it carries out.
//!
//! The driver's loop is the same in every world: take a batch of inputs, `handle` each, then [`Input::Timeout`] for as
//! long as `poll_timeout` is due, then deliver the outbox once. A shard that has unsynced bytes is due at once, or soon
//! where more is on its way, which is what makes one sync cover a whole batch (group commit).

use std::io;
use std::net::IpAddr;

use bytes::Bytes;
use highwater_wire::GroupRecord;

use crate::disk::{FileSlice, LogPath, Pin};
use crate::event::Event;
use crate::ids::{ConnectionId, JobId, ShardId, SyncToken};
use crate::message::ShardMessage;
use crate::replicated::{Replay, ReplayError};
use crate::time::{Instant, Now};

/// A machine that a driver can run: the controller's shard and the shards that own partitions.
pub trait Machine {
    /// Takes one input and adds its effects to `out`. Never fails: a fault of the world that cannot be answered halts
    /// the broker through [`Outbox::halt`].
    fn handle(&mut self, now: Now, input: Input, out: &mut Outbox);

    /// When [`Input::Timeout`] is due next, and for what; `None` if only another input can bring work.
    fn poll_timeout(&self) -> Option<(Instant, Reason)>;
}

/// Why a machine wants to be woken: for traces.
pub type Reason = &'static str;

/// Everything that can happen to a shard.
#[derive(Debug)]
pub enum Input {
    /// Something happened on a client's connection that this shard owns.
    Connection(ConnectionId, ConnectionInput),
    /// Another shard of this broker sent something.
    Shard(ShardId, ShardMessage),
    /// A sync that this shard asked for has ended.
    Synced {
        /// The request's token.
        token: SyncToken,
        /// An error means that the page cache is unknown: the broker halts.
        result: io::Result<()>,
    },
    /// A job that this shard asked for has ended.
    JobDone {
        /// The job's id.
        job: JobId,
        /// What it found.
        output: JobOutput,
    },
    /// The time of `poll_timeout` has come.
    Timeout,
    /// The process is asked to stop: refuse what is new, finish what was accepted, checkpoint, sync, then halt with
    /// [`Halt::Stopped`].
    Stop,
}

/// What happens on one connection. Bytes become frames in the driver, by [`crate::gateway::FrameReader`].
#[derive(Debug)]
pub enum ConnectionInput {
    /// The connection was accepted.
    Opened {
        /// Which of the configured listeners accepted it, from 0.
        listener: usize,
        /// The other end.
        peer: IpAddr,
    },
    /// One whole request frame, without its length prefix.
    Frame(Bytes),
    /// The connection is gone, whoever closed it. Nothing follows.
    Closed,
}

/// The effects of a batch of inputs: one queue for each destination, owned by the driver and used again.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Whole response frames, length prefix included, in the order in which each connection must send them.
    pub replies: Vec<(ConnectionId, Reply)>,
    /// Syncs to carry out, in order, off the shard's thread.
    pub syncs: Vec<SyncRequest>,
    /// Work that may read much or cold, to carry out off the shard's thread.
    pub jobs: Vec<(JobId, Job)>,
    /// Messages to other shards of this broker; the order between two shards is kept.
    pub shards: Vec<(ShardId, ShardMessage)>,
    /// Changes of how connections are read.
    pub flow: Vec<(ConnectionId, Flow)>,
    /// The broker must stop; the first reason counts.
    pub halt: Option<Halt>,
    /// What people and metrics may want to know.
    pub events: Vec<Event>,
}

impl Outbox {
    /// Asks for a halt, keeping the first reason.
    pub fn halt(&mut self, reason: Halt) {
        self.halt.get_or_insert(reason);
    }

    /// Whether nothing is left to deliver.
    pub fn is_empty(&self) -> bool {
        self.replies.is_empty()
            && self.syncs.is_empty()
            && self.jobs.is_empty()
            && self.shards.is_empty()
            && self.flow.is_empty()
            && self.halt.is_none()
            && self.events.is_empty()
    }
}

/// One response frame.
#[derive(Debug, Default)]
pub struct Reply {
    /// Its parts, to be sent one after the other.
    pub parts: Vec<Part>,
}

/// A piece of a response frame.
#[derive(Debug)]
pub enum Part {
    /// Bytes that the core made.
    Bytes(Bytes),
    /// Bytes that lie in a file: `node` sends them without reading, `sim` reads them from its disk.
    File(FileSlice),
}

impl Part {
    /// The part's length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(slice) => slice.len,
        }
    }

    /// Whether the part has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Asks that what was done so far to some files and directories is made durable.
#[derive(Debug)]
pub struct SyncRequest {
    /// Comes back in [`Input::Synced`].
    pub token: SyncToken,
    /// Files whose bytes and length must be durable.
    pub files: Vec<Pin>,
    /// Directories whose entries must be durable. One that is gone by the time of the sync is passed over.
    pub directories: Vec<LogPath>,
}

/// How a connection is read from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Stop reading: too much is in progress.
    Pause,
    /// Read again.
    Resume,
    /// Send what is queued, then close.
    Close(CloseReason),
}

/// Why the core closes a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The frame is not a request.
    #[error("malformed request: {0}")]
    Malformed(String),
    /// An API or version that is not served; the protocol has no answer for that.
    #[error("API key {key} version {version} is not served")]
    Unsupported {
        /// The request's API key.
        key: i16,
        /// Its version.
        version: i16,
    },
    /// A produce request with `acks=0` failed, and closing is the only answer it can get.
    #[error("a produce request with acks=0 failed: {0}")]
    UnansweredError(String),
    /// The broker stops.
    #[error("the broker is shutting down")]
    Stopping,
}

/// Why a broker stops.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// It was asked to, and everything accepted is durable.
    #[error("stopped on request")]
    Stopped,
    /// A file holds what it cannot hold.
    #[error("{0}")]
    Damaged(String),
    /// The operating system failed in a log directory; the page cache is unknown.
    #[error("{action} {path}: {error}")]
    Io {
        /// What was tried, as in "cannot append to".
        action: &'static str,
        /// Where, relative to the data directory.
        path: String,
        /// What the operating system said.
        error: io::Error,
    },
}

/// Work over a read-only disk, off the shard's thread.
#[derive(Debug)]
pub enum Job {
    /// Look for a timestamp in a sealed segment.
    FindTimestamp(crate::log::TimestampSearch),
    /// Read a part of a group coordinator's log.
    LoadGroups(crate::partition::GroupLoad),
    /// A step of a log's compaction.
    Compact(crate::log::CompactionStep),
}

/// What a job found.
#[derive(Debug)]
pub enum JobOutput {
    /// The answer to [`Job::FindTimestamp`].
    FoundTimestamp(io::Result<Option<crate::log::TimestampAndOffset>>),
    /// The answer to [`Job::LoadGroups`].
    GroupsLoaded(Result<Replay<GroupRecord>, ReplayError>),
    /// The end of [`Job::Compact`].
    Compacted(crate::log::CompactionStepDone),
}

impl Job {
    /// Does the work. Reads through pins, so a file that is removed meanwhile does not matter.
    pub fn run(self) -> JobOutput {
        match self {
            Self::FindTimestamp(search) => JobOutput::FoundTimestamp(search.run()),
            Self::LoadGroups(load) => JobOutput::GroupsLoaded(load.run()),
            Self::Compact(step) => JobOutput::Compacted(step.run()),
        }
    }
}
