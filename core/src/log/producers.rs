//! What a log knows of idempotent producers.
//!
//! For each producer id: its epoch and its last five batches, so that a retried batch is recognised and a lost one is
//! missed. The state follows from the batches in the log, and only from them: every replica arrives at the same.
//!
//! Invariants, asserted by [`Producers::check`]:
//! * A producer's batches are of its newest epoch, at growing offsets, at most five.
//!
//! Sources: KIP-98, KIP-360 (an unknown producer may start anywhere; the state outlives its records).
//! Deliberately absent: the bookkeeping of transactions, but for the first offset of an open one, which the snapshot's
//! format has room for.

use std::collections::{BTreeMap, VecDeque};

use bytes::BufMut;
use highwater_wire::records::BatchHeader;

use super::compaction::LastOfProducers;
use super::small_file::{self, Contents, SmallFileError};
use super::validate::AppendError;
use crate::ids::{Offset, ProducerEpoch, ProducerId};
use crate::limits::PRODUCER_BATCHES_REMEMBERED;
use crate::time::WallMs;

const TAG: [u8; 4] = *b"HWps";
const VERSION: u16 = 1;

/// The producers that a log has heard of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Producers {
    states: BTreeMap<ProducerId, ProducerState>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ProducerState {
    epoch: ProducerEpoch,
    /// Of the last batch, by the producer's clock.
    last_timestamp: i64,
    /// The first offset of the transaction that is open.
    transaction_start: Option<Offset>,
    batches: VecDeque<ProducerBatch>,
}

/// One batch of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProducerBatch {
    pub first_sequence: i32,
    pub last_sequence: i32,
    pub base_offset: Offset,
    pub last_offset: Offset,
    pub timestamp: i64,
}

impl ProducerBatch {
    const LEN: usize = 32;

    fn of(header: &BatchHeader) -> Self {
        Self {
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            base_offset: Offset(header.base_offset),
            last_offset: Offset(header.last_offset()),
            timestamp: header.max_timestamp,
        }
    }
}

impl ProducerState {
    const LEN_MIN: usize = 30;

    fn new(epoch: ProducerEpoch) -> Self {
        Self { epoch, last_timestamp: -1, transaction_start: None, batches: VecDeque::new() }
    }
}

impl Producers {
    /// The batch of which this one is a repetition.
    pub fn duplicate_of(&self, header: &BatchHeader) -> Option<ProducerBatch> {
        let state = self.states.get(&ProducerId(header.producer_id))?;
        let same = |known: &&ProducerBatch| {
            known.first_sequence == header.base_sequence && known.last_sequence == header.last_sequence()
        };
        state.batches.iter().find(same).filter(|_| state.epoch.0 == header.producer_epoch).copied()
    }

    /// Whether a producer's batch may follow what the log has of it.
    pub fn admit(&self, header: &BatchHeader) -> Result<(), AppendError> {
        let (id, epoch) = (header.producer_id, header.producer_epoch);
        let Some(state) = self.states.get(&ProducerId(id)) else { return Ok(()) };
        if epoch < state.epoch.0 {
            return Err(AppendError::InvalidProducerEpoch(format!(
                "producer {id} has epoch {}, the batch has the older epoch {epoch}",
                state.epoch
            )));
        }
        let expected = match state.batches.back() {
            _ if epoch > state.epoch.0 => 0,
            Some(last) if last.last_sequence == i32::MAX => 0,
            Some(last) => last.last_sequence + 1,
            // Known in this epoch from a transaction's marker only.
            None => 0,
        };
        if header.base_sequence == expected {
            return Ok(());
        }
        Err(AppendError::OutOfOrderSequence(format!(
            "producer {id} in epoch {epoch} must go on with sequence number {expected}, the batch has {}",
            header.base_sequence
        )))
    }

    /// Takes note of a batch that is in the log.
    pub fn update(&mut self, header: &BatchHeader) {
        if !header.has_producer_id() {
            return;
        }
        let epoch = ProducerEpoch(header.producer_epoch);
        let state = self.states.entry(ProducerId(header.producer_id)).or_insert_with(|| ProducerState::new(epoch));
        if epoch > state.epoch {
            state.epoch = epoch;
            state.batches.clear();
        }
        state.last_timestamp = header.max_timestamp;
        if header.is_control() {
            state.transaction_start = None;
            return;
        }
        if header.is_transactional() {
            state.transaction_start.get_or_insert(Offset(header.base_offset));
        }
        if state.batches.len() == PRODUCER_BATCHES_REMEMBERED {
            state.batches.pop_front();
        }
        state.batches.push_back(ProducerBatch::of(header));
    }

    /// Forgets producers that have been silent for `after_ms`.
    pub fn expire(&mut self, now: WallMs, after_ms: i64) {
        self.states.retain(|_, state| {
            state.transaction_start.is_some() || now.0.saturating_sub(state.last_timestamp) < after_ms
        });
    }

    /// The batches that the state rests on, as far as they must outlive their records.
    pub fn last_batches(&self) -> LastOfProducers {
        let mut last = LastOfProducers::default();
        for (id, state) in &self.states {
            match state.batches.back() {
                Some(batch) => drop(last.last_offsets.insert(batch.last_offset)),
                None => drop(last.markers.insert((*id, state.epoch))),
            }
        }
        last
    }

    /// The contents of a snapshot.
    pub fn to_bytes(&self, offset: Offset) -> Vec<u8> {
        let mut contents = Vec::new();
        contents.put_i64(offset.0);
        self.put(&mut contents);
        small_file::frame(TAG, VERSION, &contents)
    }

    /// Reads a snapshot, which must be one of the state before `offset`.
    pub fn from_bytes(bytes: &[u8], offset: Offset) -> Result<Self, SmallFileError> {
        let mut contents = small_file::unframe(TAG, VERSION, bytes)?;
        if contents.i64()? != offset.0 {
            return Err(SmallFileError::Damaged);
        }
        let producers = Self::take(&mut contents)?;
        contents.end()?;
        Ok(producers)
    }

    /// Writes the state into a file's contents.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(u32::try_from(self.states.len()).expect("fewer producers than 2^32 fit into memory"));
        for (id, state) in &self.states {
            out.put_i64(id.0);
            out.put_i16(state.epoch.0);
            out.put_i64(state.last_timestamp);
            out.put_i64(state.transaction_start.map_or(-1, |offset| offset.0));
            out.put_u32(u32::try_from(state.batches.len()).expect("at most five"));
            for batch in &state.batches {
                out.put_i32(batch.first_sequence);
                out.put_i32(batch.last_sequence);
                out.put_i64(batch.base_offset.0);
                out.put_i64(batch.last_offset.0);
                out.put_i64(batch.timestamp);
            }
        }
    }

    /// Reads the state from a file's contents.
    pub fn take(contents: &mut Contents<'_>) -> Result<Self, SmallFileError> {
        let mut producers = Self::default();
        for _ in 0..contents.count(ProducerState::LEN_MIN)? {
            let id = ProducerId(contents.i64()?);
            let mut state = ProducerState::new(ProducerEpoch(contents.i16()?));
            state.last_timestamp = contents.i64()?;
            state.transaction_start = Some(contents.i64()?).filter(|offset| *offset >= 0).map(Offset);
            for _ in 0..contents.count(ProducerBatch::LEN)? {
                state.batches.push_back(ProducerBatch {
                    first_sequence: contents.i32()?,
                    last_sequence: contents.i32()?,
                    base_offset: Offset(contents.i64()?),
                    last_offset: Offset(contents.i64()?),
                    timestamp: contents.i64()?,
                });
            }
            producers.states.insert(id, state);
        }
        Ok(producers)
    }

    /// Asserts the invariants for a log that ends at `end`.
    pub fn check(&self, end: Offset) {
        for state in self.states.values() {
            assert!(state.batches.len() <= PRODUCER_BATCHES_REMEMBERED, "no more batches than a retry can repeat");
            let ordered = state.batches.iter().is_sorted_by(|a, b| a.last_offset < b.base_offset);
            assert!(ordered, "a producer's batches follow one another");
            assert!(state.batches.back().is_none_or(|last| last.last_offset < end), "state comes from the log alone");
        }
    }
}
