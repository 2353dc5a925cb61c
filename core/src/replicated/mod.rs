//! Machines whose state is a log: the controller, and later the coordinators of groups and transactions.
//!
//! A machine *decides* what a request should change without changing anything, the host appends the decision as one
//! batch, the machine *applies* it, and the answer leaves once the decision is committed. What is in the log is true:
//! applying cannot fail, and a decision of several records is either in the log as a whole or not at all.

mod host;
mod hosted;

use bytes::Bytes;

use crate::Now;
use crate::ids::{Offset, ShardId, Ticket};

pub use host::{Host, OpenHostError};
pub use hosted::{Hosted, MachineLog, Replay, ReplayError, Unwritten};

/// A deterministic state whose changes are records of a log.
pub trait StateMachine {
    /// What it can be asked.
    type Request;
    /// What it answers.
    type Response;
    /// What its log holds.
    type Record: LogRecord;
    /// A change that a failover may lose.
    type Soft;
    /// What others may see of it once it is committed; cheap to clone.
    type View: Clone;

    /// What `request` should change and be answered with, given everything that has been appended.
    fn decide(&self, now: Now, request: &Self::Request) -> Decision<Self>;

    /// The answers to a request that could not be decided.
    fn refuse(&self, request: &Self::Request, refusal: Refusal) -> Vec<(Origin, Self::Response)>;

    /// Takes over a record.
    fn apply(&mut self, offset: Offset, record: &Self::Record);

    /// Takes over a change that is not in the log.
    fn absorb(&mut self, soft: Self::Soft);

    /// What others may see once everything applied so far is committed.
    fn view(&self) -> Self::View;
}

/// What a request should change and be answered with.
#[derive(Debug)]
pub struct Decision<M: StateMachine + ?Sized> {
    /// Changes, appended as one batch.
    pub records: Vec<M::Record>,
    /// Answers, to be sent once the changes, and all that the decision saw, are committed.
    pub replies: Vec<(Origin, M::Response)>,
    /// Changes that need no log.
    pub soft: Vec<M::Soft>,
}

/// Who asked: where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The asking shard.
    pub shard: ShardId,
    /// Its name for the request.
    pub ticket: Ticket,
}

/// Why a request is not decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too many requests wait for their decisions to be committed.
    #[error("too many requests are in progress")]
    Busy,
    /// The decision would not fit into one batch.
    #[error("the request changes too much at once")]
    TooLarge,
    /// The log's file system is full.
    #[error("the disk is full")]
    DiskFull,
    /// Too few replicas are in sync.
    #[error("too few replicas are in sync")]
    TooFewReplicas,
    /// Another broker decides from now on, or this one in a new term.
    #[error("this broker no longer decides")]
    Deposed,
    /// The broker stops.
    #[error("the broker is shutting down")]
    Stopping,
}

/// How a record becomes a key and a value in the log, and back.
pub trait LogRecord: Sized {
    /// The record's key and value.
    fn to_key_value(&self) -> (Option<Bytes>, Option<Bytes>);

    /// Reads a record back; none if it is of a kind that may be in the log and means nothing to the machine.
    ///
    /// # Errors
    /// If it was not written by this version or an older one.
    fn from_key_value(key: Option<Bytes>, value: Option<Bytes>) -> Result<Option<Self>, RecordError>;
}

/// Why a record of the log cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is damaged, although its checksum is right, or was never one of ours.
    #[error("it is malformed: {0}")]
    Malformed(String),
    /// It is of a kind that this version does not know.
    #[error("it was written by a newer version of Highwater")]
    Newer,
}
