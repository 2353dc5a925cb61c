//! A machine at the end of a log, and the answers that wait for that log's commit.
//!
//! The machine decides on everything that has been appended. What others see is what is committed, and so are the
//! answers: an answer waits for the end of the log as it was when the machine decided, whether the decision changed
//! something or only looked.
//!
//! Invariants, asserted by [`Hosted::check`]:
//! * `committed` never goes back.
//! * Parked decisions are in the order of their ends, all above `committed`.
//!
//! Deliberately absent: the log. Who owns it says what is appended and what is committed.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;

use bytes::Bytes;
use highwater_wire::records::{BatchBuilder, BatchError, Batches, Compression, Record, records};

use super::{Decision, LogRecord, Origin, RecordError, Refusal, StateMachine};
use crate::disk::FileSlice;
use crate::ids::Offset;
use crate::limits::{METADATA_BATCH_BYTES_MAX, UNCOMMITTED_DECISIONS_MAX};
use crate::log::AppendError;
use crate::time::Now;

/// A machine, and what waits for a commit.
pub struct Hosted<M: StateMachine> {
    machine: M,
    /// The end of what is committed.
    committed: Offset,
    /// What others see; none before everything that was there at first is committed.
    view: Option<M::View>,
    parked: VecDeque<Parked<M>>,
    released: Vec<(Origin, M::Response)>,
    /// Whether the machine's invariants were asserted since it last changed.
    is_checked: Cell<bool>,
}

/// A decision that waits for its commit.
struct Parked<M: StateMachine> {
    end: Offset,
    view: M::View,
    replies: Vec<(Origin, M::Response)>,
}

/// The log that a machine decides about, as far as the machine's host must know it.
pub trait MachineLog {
    /// The end of the log.
    fn end_offset(&self) -> Offset;

    /// Appends one batch; returns its first offset.
    ///
    /// # Errors
    /// Nothing was appended, unless the error is an I/O error: then the log's tail is unknown.
    fn append(&mut self, batch: &Bytes, now: Now) -> Result<Offset, Unwritten>;
}

/// Why a decision is not in the log.
#[derive(Debug)]
pub enum Unwritten {
    /// It cannot be written now, or not at all.
    Refused(Refusal),
    /// The log cannot be written, so that its tail is unknown.
    Io(io::Error),
}

/// Why bytes of a log are not records of a machine.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// They cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// They are not batches.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A record is not one of the machine's.
    #[error("the record at offset {offset}: {error}")]
    Record {
        /// The record's offset.
        offset: Offset,
        /// What is wrong.
        error: RecordError,
    },
}

/// The records of a run of whole batches.
#[derive(Debug)]
pub struct Replay<R> {
    /// The records, in order.
    pub records: Vec<(Offset, R)>,
    /// How many more there were, which mean nothing to the machine.
    pub skipped: u64,
    /// Where the run ends.
    pub end: Offset,
}

impl<M: StateMachine> Hosted<M> {
    /// A machine of whose log nothing has been applied; below `committed` the log is committed.
    pub fn new(machine: M, committed: Offset) -> Self {
        Self {
            machine,
            committed,
            view: None,
            parked: VecDeque::new(),
            released: Vec::new(),
            is_checked: Cell::new(false),
        }
    }

    /// The machine.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The machine, for who takes something out of it that is no part of its state.
    pub fn machine_mut(&mut self) -> &mut M {
        &mut self.machine
    }

    /// What is committed; none before everything that was there at first is.
    pub fn view(&self) -> Option<&M::View> {
        self.view.as_ref()
    }

    /// The end of what is committed.
    pub fn committed(&self) -> Offset {
        self.committed
    }

    /// Applies a part of the log that was there before.
    pub fn replay(&mut self, records: &[(Offset, M::Record)]) {
        self.is_checked.set(false);
        for (offset, record) in records {
            self.machine.apply(*offset, record);
        }
    }

    /// Takes note that the whole log has been applied: what it says is shown once it is committed.
    pub fn begin(&mut self, end: Offset) {
        self.park(end, Vec::new());
    }

    /// Decides a request and appends the decision. The answers come out of [`Self::take_released`] once it is committed.
    ///
    /// # Errors
    /// The decision is not in the log. A refusal has been answered.
    pub fn handle(&mut self, log: &mut impl MachineLog, now: Now, request: &M::Request) -> Result<(), Unwritten> {
        let decided = self.decide(log, now, request);
        if let Err(Unwritten::Refused(refusal)) = decided {
            self.refuse(request, refusal);
        }
        decided
    }

    /// Answers a request that is not to be decided.
    pub fn refuse(&mut self, request: &M::Request, refusal: Refusal) {
        self.released.extend(self.machine.refuse(request, refusal));
    }

    /// Everything below `upto` is committed.
    pub fn commit(&mut self, upto: Offset) {
        self.committed = self.committed.max(upto);
        self.release();
    }

    /// The answers that may leave, in order.
    pub fn take_released(&mut self) -> Vec<(Origin, M::Response)> {
        std::mem::take(&mut self.released)
    }

    /// Whose answers wait for a commit.
    pub fn parked_origins(&self) -> impl Iterator<Item = Origin> {
        self.parked.iter().flat_map(|parked| parked.replies.iter().map(|(origin, _)| *origin))
    }

    /// Whether everything decided is committed.
    pub fn is_settled(&self) -> bool {
        self.parked.is_empty()
    }

    /// Asserts the invariants of the module's head, and with `machine` the machine's own if it has changed since they
    /// last were.
    pub fn check(&self, machine: impl FnOnce(&M)) {
        if !self.is_checked.replace(true) {
            machine(&self.machine);
        }
        assert!(self.parked.iter().is_sorted_by_key(|parked| parked.end), "decisions are parked in order");
        assert!(self.parked.front().is_none_or(|parked| parked.end > self.committed), "what is committed is released");
    }

    fn decide(&mut self, log: &mut impl MachineLog, now: Now, request: &M::Request) -> Result<(), Unwritten> {
        if self.parked.len() >= UNCOMMITTED_DECISIONS_MAX {
            return Err(Unwritten::Refused(Refusal::Busy));
        }
        let Decision { records, replies, soft } = self.machine.decide(now, request);
        self.is_checked.set(false);
        if !records.is_empty() {
            self.append(log, now, &records)?;
        }
        soft.into_iter().for_each(|soft| self.machine.absorb(soft));
        self.park(log.end_offset(), replies);
        Ok(())
    }

    /// Appends one decision as one batch and applies it.
    fn append(&mut self, log: &mut impl MachineLog, now: Now, records: &[M::Record]) -> Result<(), Unwritten> {
        let mut batch = BatchBuilder::new(Compression::None);
        for record in records {
            let (key, value) = record.to_key_value();
            batch.push(&Record { timestamp: now.wall.0, key, value, ..Record::default() });
        }
        let mut offset = log.append(&batch.build(), now)?;
        for record in records {
            self.machine.apply(offset, record);
            offset = offset.advanced(1);
        }
        assert_eq!(offset, log.end_offset(), "every record of the batch was applied");
        Ok(())
    }

    fn park(&mut self, end: Offset, replies: Vec<(Origin, M::Response)>) {
        self.parked.push_back(Parked { end, view: self.machine.view(), replies });
        self.release();
    }

    fn release(&mut self) {
        let committed = self.committed;
        while let Some(parked) = self.parked.pop_front_if(|parked| parked.end <= committed) {
            self.view = Some(parked.view);
            self.released.extend(parked.replies);
        }
    }
}

impl<R: LogRecord> Replay<R> {
    /// Reads what a log says in `slices`, which follow one another; markers of transactions are no records.
    ///
    /// # Errors
    /// They cannot be read, or are not what a machine has written.
    pub fn read(slices: &[FileSlice]) -> Result<Self, ReplayError> {
        let mut replay = Self { records: Vec::new(), skipped: 0, end: Offset(0) };
        for slice in slices {
            replay.add(read_slice(slice)?)?;
        }
        Ok(replay)
    }

    fn add(&mut self, bytes: Bytes) -> Result<(), ReplayError> {
        for batch in Batches(bytes) {
            let (header, batch) = batch?;
            self.end = Offset(header.next_offset());
            if header.is_control() {
                continue;
            }
            for record in records(&batch, METADATA_BATCH_BYTES_MAX.into())? {
                let record = record?;
                let offset = Offset(record.offset);
                let record = R::from_key_value(record.key, record.value)
                    .map_err(|error| ReplayError::Record { offset, error })?;
                match record {
                    Some(record) => self.records.push((offset, record)),
                    None => self.skipped += 1,
                }
            }
        }
        Ok(())
    }
}

impl From<AppendError> for Unwritten {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full => Self::Refused(Refusal::DiskFull),
            AppendError::MessageTooLarge(_) | AppendError::RecordListTooLarge(_) => Self::Refused(Refusal::TooLarge),
            AppendError::Io(error) => Self::Io(error),
            error => panic!("a machine's batch is valid: {error}"),
        }
    }
}

fn read_slice(slice: &FileSlice) -> io::Result<Bytes> {
    let len = usize::try_from(slice.len).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; len];
    slice.bytes.read_exact_at(slice.pos, &mut bytes)?;
    Ok(bytes.into())
}
