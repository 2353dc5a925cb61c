//! What a driver puts into a [`Client`](super::Client) and what it carries out.

use std::fmt;

use bytes::Bytes;
use highwater_wire::records::Record;
use highwater_wire::{AnyRequest, ErrorCode};

use super::answer::Answer;
use super::calls::{CallError, Target};
use crate::ids::{CommandId, ConnectionId, Offset, PartitionIndex};
use crate::limits::TOPIC_NAME_BYTES_MAX;
use crate::time::WallMs;

/// Everything that can happen to a client.
#[derive(Debug)]
pub enum Input {
    /// An attempt to connect has succeeded.
    Connected(ConnectionId),
    /// One whole response frame, without its length prefix (cut by [`FrameReader`](crate::gateway::FrameReader)).
    Frame(ConnectionId, Bytes),
    /// A connection is gone or was never made, with what the operating system said. Nothing follows.
    Disconnected(ConnectionId, String),
    /// Whoever uses the client wants something.
    Command(Command),
    /// The time of `poll_timeout` has come.
    Timeout,
}

/// What a client can be asked to do.
#[derive(Debug)]
pub enum Command {
    /// Append a record; ends in [`Completion::Produced`].
    Produce {
        /// Comes back in the completion.
        id: CommandId,
        /// The record.
        record: NewRecord,
    },
    /// Read a partition from a position on, until `Unassign`. Assigning again moves the position.
    Assign {
        /// Which.
        partition: TopicPartition,
        /// Where to begin.
        from: Position,
    },
    /// Stop reading a partition.
    Unassign(TopicPartition),
    /// Send any request and hand back its answer; ends in [`Completion::Answered`].
    Call {
        /// Comes back in the completion.
        id: CommandId,
        /// Who is asked.
        target: Target,
        /// What.
        request: AnyRequest,
    },
}

/// A record that is not in a partition yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// The topic's name.
    pub topic: String,
    /// The partition, or `None` to let the key or else chance decide.
    pub partition: Option<PartitionIndex>,
    /// When it happened; `None` is now.
    pub timestamp: Option<WallMs>,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; none is a tombstone in a compacted topic.
    pub value: Option<Bytes>,
    /// Its headers, in order.
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// One partition, by its topic's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub index: PartitionIndex,
}

impl TopicPartition {
    /// Partition `index` of `topic`.
    pub fn new(topic: impl Into<String>, index: PartitionIndex) -> Self {
        Self { topic: topic.into(), index }
    }

    /// Whether the topic's name is one that every request can carry; whether the cluster likes it is its own affair.
    pub(super) fn has_valid_topic(&self) -> bool {
        is_topic_name(&self.topic)
    }
}

/// Whether a topic can be called that, as far as requests go.
pub(super) fn is_topic_name(name: &str) -> bool {
    (1..=TOPIC_NAME_BYTES_MAX).contains(&name.len())
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// The first record that is still there.
    Earliest,
    /// What is written from now on.
    Latest,
    /// A known offset.
    Offset(Offset),
    /// The first record that is not older than this; the end where all are older.
    Timestamp(WallMs),
}

/// The effects of a batch of inputs, owned by the driver and used again.
#[derive(Debug, Default)]
pub struct Outbox {
    /// What to do with connections, in this order.
    pub effects: Vec<Effect>,
    /// What commands have come to, in this order.
    pub completions: Vec<Completion>,
}

/// Something to do with a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Connect; answer with [`Input::Connected`] or [`Input::Disconnected`].
    Connect {
        /// Names the attempt and what comes of it. Never used again.
        connection: ConnectionId,
        /// Whom to connect to.
        address: Address,
    },
    /// Send a whole request frame, length prefix included.
    Send {
        /// On which connection.
        connection: ConnectionId,
        /// The frame.
        frame: Bytes,
    },
    /// Close, also an attempt that is under way. No [`Input::Disconnected`] is needed; one that comes is ignored.
    Close {
        /// Which.
        connection: ConnectionId,
    },
}

/// A broker's host and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// A name or an IP address.
    pub host: String,
    /// A TCP port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What a command has come to, or what a read partition has brought.
#[derive(Clone, Debug, PartialEq)]
pub enum Completion {
    /// A record's fate.
    Produced {
        /// The command's id.
        id: CommandId,
        /// Where the record is, or why not.
        outcome: Result<Produced, ProduceError>,
    },
    /// Records of an assigned partition, in offset order, each at most once for each `Assign`.
    Fetched {
        /// Which partition.
        partition: TopicPartition,
        /// At least one record.
        records: Vec<Record>,
        /// The partition's high watermark when they were read.
        high_watermark: Offset,
    },
    /// An assigned partition has no more records for now. Repeated whenever the end is reached again.
    ReachedEnd {
        /// Which partition.
        partition: TopicPartition,
        /// Its end.
        offset: Offset,
    },
    /// An assigned partition cannot be read any further and is no longer assigned.
    ConsumeFailed {
        /// Which partition.
        partition: TopicPartition,
        /// Why.
        error: ConsumeError,
    },
    /// A call's answer.
    Answered {
        /// The command's id.
        id: CommandId,
        /// The answer, or why there is none.
        outcome: Result<Answer, CallError>,
    },
    /// An attempt to connect failed or a connection was lost: for people. The client goes on by itself.
    Unreachable {
        /// To whom.
        address: Address,
        /// What was said.
        reason: String,
    },
}

/// Where a record went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Produced {
    /// The partition that was chosen.
    pub partition: PartitionIndex,
    /// Its offset; unknown with `acks=0`, and where a retry was recognised too late to say.
    pub offset: Option<Offset>,
    /// The broker's timestamp, where the topic has `message.timestamp.type=LogAppendTime`.
    pub log_append_time: Option<WallMs>,
}

/// Why a record was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}{}", if *.maybe_written { " (an earlier attempt may have been written)" } else { "" })]
pub struct ProduceError {
    /// What went wrong in the end.
    pub reason: ProduceErrorReason,
    /// Whether the record may be in the log nevertheless: `info`, not `fail`, in a history.
    pub maybe_written: bool,
}

/// What went wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProduceErrorReason {
    /// A broker's answer that no retry mends.
    #[error("{code}{}{}", if .message.is_empty() { "" } else { ": " }, .message)]
    Refused {
        /// The code.
        code: ErrorCode,
        /// The broker's own words, possibly none.
        message: String,
    },
    /// `delivery_timeout` or the retries ran out.
    #[error("not acknowledged in time; last: {last}")]
    TimedOut {
        /// What kept it back last.
        last: String,
    },
    /// Too much is waiting already.
    #[error("the producer's buffer is full")]
    BufferFull,
    /// The topic has no such partition.
    #[error("the topic has {count} partitions, there is no partition {partition}")]
    NoSuchPartition {
        /// The one that was asked for.
        partition: PartitionIndex,
        /// How many there are.
        count: usize,
    },
    /// The broker and this client have no common version of a request.
    #[error("{0}")]
    Unsupported(String),
}

/// Why a partition cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumeError {
    /// A broker's answer that no retry mends.
    #[error("{0}")]
    Refused(ErrorCode),
    /// The position lies outside the log and the policy says to fail.
    #[error("offset {0} is not in the log")]
    OutOfRange(Offset),
    /// The records are not what was written.
    #[error("damaged records from offset {offset} on: {reason}")]
    Damaged {
        /// Where reading stopped.
        offset: Offset,
        /// What is wrong.
        reason: String,
    },
    /// The broker and this client have no common version of a request.
    #[error("{0}")]
    Unsupported(String),
}
