//! One step of a compaction: what reads and decides, off the shard's thread, over pinned files.
//!
//! A step goes over whole batches for about as many bytes as it is given: it notes their keys, or it makes of them what
//! stays. What it makes comes back in memory, and the log writes it.
//!
//! Sources: KIP-280 is not followed (offsets decide, nothing else); KIP-534 (delete horizons), KIP-98 (empty batches stand
//! for a producer's last sequence, markers stay as long as records of their transaction).
//! Deliberately absent: aborted transactions. Until there is an index of them, records of transactions supersede nothing,
//! and go when a later record outside of transactions supersedes them.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use highwater_wire::records::{BatchError, BatchHeader, Retained, StoredRecord, retain, verify_crc};

use super::offset_map::OffsetMap;
use crate::disk::FileSlice;
use crate::ids::{Offset, ProducerEpoch, ProducerId};
use crate::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use crate::planted::{self, Bug};

/// A step to be run.
#[derive(Debug)]
pub struct CompactionStep {
    /// From the first batch that was not looked at to the end of its segment.
    pub(super) slice: FileSlice,
    /// About how many bytes to read; one batch may be larger.
    pub(super) budget: u64,
    pub(super) task: Task,
}

#[derive(Debug)]
pub(super) enum Task {
    /// Note the newest offset of each key.
    Index(OffsetMap),
    /// Select what stays.
    Rewrite(OffsetMap, Box<Rules>),
}

/// A step that has run.
#[derive(Debug)]
pub struct CompactionStepDone {
    /// Bytes of whole batches that were read.
    pub(super) bytes_read: u64,
    pub(super) result: io::Result<Done>,
}

#[derive(Debug)]
pub(super) enum Done {
    /// All keys were noted, unless the map is full.
    Indexed { map: OffsetMap, is_full: bool },
    /// What stays, and the headers of its batches.
    Rewritten { map: OffsetMap, rules: Box<Rules>, bytes: Vec<u8>, headers: Vec<BatchHeader> },
}

/// What decides whether a record stays, apart from newer ones.
#[derive(Debug)]
pub(super) struct Rules {
    /// Records below were deleted.
    pub start: Offset,
    /// The time when the compaction began.
    pub now: i64,
    /// Tombstones that are met for the first time may go then.
    pub delete_horizon: i64,
    /// The batch that ends here is the last one of its segment, and stands for its offsets even if it is empty.
    pub last_offset: Offset,
    pub producers: Arc<LastOfProducers>,
    /// Producers with records of a transaction that stay and whose marker was not met.
    pub transactions: BTreeSet<ProducerId>,
}

/// The batches that a producer's state rests on.
#[derive(Debug, Default)]
pub(in crate::log) struct LastOfProducers {
    /// Where the last batch of each one ends.
    pub last_offsets: BTreeSet<Offset>,
    /// Those of which only a marker is known.
    pub markers: BTreeSet<(ProducerId, ProducerEpoch)>,
}

impl CompactionStepDone {
    /// How many bytes were read, and will be written.
    pub fn bytes(&self) -> u64 {
        let written = match &self.result {
            Ok(Done::Rewritten { bytes, .. }) => bytes.len() as u64,
            Ok(Done::Indexed { .. }) | Err(_) => 0,
        };
        self.bytes_read + written
    }
}

impl CompactionStep {
    /// Does the work.
    pub fn run(self) -> CompactionStepDone {
        let mut source = Source { slice: self.slice, budget: self.budget, read: 0 };
        let result = match self.task {
            Task::Index(map) => index(&mut source, map),
            Task::Rewrite(map, rules) => rewrite(&mut source, map, rules),
        };
        CompactionStepDone { bytes_read: source.read, result }
    }
}

fn index(source: &mut Source, mut map: OffsetMap) -> io::Result<Done> {
    for (header, batch) in source.batches()? {
        if !is_noted(&header, &batch, &mut map)? {
            return Ok(Done::Indexed { map, is_full: true });
        }
        map.advance_to(Offset(header.next_offset()));
    }
    Ok(Done::Indexed { map, is_full: false })
}

/// Notes the keys of a batch. False if the map is full.
fn is_noted(header: &BatchHeader, batch: &Bytes, map: &mut OffsetMap) -> io::Result<bool> {
    if header.is_control() || header.is_transactional() || Offset(header.next_offset()) <= map.end() {
        return Ok(true);
    }
    let mut fits = true;
    let noted = retain(batch, DECOMPRESSED_BATCH_BYTES_MAX, |record| {
        if let Some(key) = record.key.as_deref().filter(|_| fits && Offset(record.offset) >= map.end()) {
            fits = map.insert(key, Offset(record.offset));
        }
        false
    });
    noted.map_err(invalid)?;
    Ok(fits)
}

fn rewrite(source: &mut Source, map: OffsetMap, mut rules: Box<Rules>) -> io::Result<Done> {
    let (mut bytes, mut headers) = (Vec::new(), Vec::new());
    for (header, batch) in source.batches()? {
        match rules.outcome(&map, &header, &batch)? {
            Outcome::Stays => {
                bytes.extend_from_slice(&batch);
                headers.push(header);
            }
            Outcome::Becomes(rewritten) => {
                headers.push(BatchHeader::parse(&rewritten).expect("what was made is a batch"));
                bytes.extend_from_slice(&rewritten);
            }
            Outcome::Goes => {}
        }
    }
    Ok(Done::Rewritten { map, rules, bytes, headers })
}

/// What becomes of a batch.
enum Outcome {
    Stays,
    Becomes(Vec<u8>),
    Goes,
}

impl Rules {
    fn outcome(&mut self, map: &OffsetMap, header: &BatchHeader, batch: &Bytes) -> io::Result<Outcome> {
        if Offset(header.base_offset) >= map.end() {
            return Ok(Outcome::Stays);
        }
        if header.is_control() {
            return self.outcome_of_marker(header, batch);
        }
        let keep = |record: &StoredRecord| self.keeps(map, header, record);
        let retained = retain(batch, DECOMPRESSED_BATCH_BYTES_MAX, keep).map_err(invalid)?;
        if retained.is_empty() {
            return Ok(self.outcome_of_emptied(header, &retained));
        }
        if header.is_transactional() {
            self.transactions.insert(ProducerId(header.producer_id));
        }
        let is_new_tombstone = retained.has_tombstone() && header.delete_horizon().is_none();
        if retained.is_whole() && !is_new_tombstone {
            return Ok(Outcome::Stays);
        }
        Ok(Outcome::Becomes(retained.to_batch(is_new_tombstone.then_some(self.delete_horizon))))
    }

    fn keeps(&self, map: &OffsetMap, header: &BatchHeader, record: &StoredRecord) -> bool {
        let offset = Offset(record.offset);
        if offset < self.start {
            return false;
        }
        if offset >= map.end() {
            return true;
        }
        // A record without a key was written before the topic was compacted, and stands for nothing.
        let Some(key) = &record.key else { return false };
        let is_superseded = map.get(key).is_some_and(|newest| match planted::is(Bug::CompactionDropsNewest) {
            true => newest >= offset,
            false => newest > offset,
        });
        !is_superseded && (record.has_value || header.delete_horizon().is_none_or(|horizon| self.now < horizon))
    }

    /// A marker stays as long as a record of its transaction, and then until its horizon.
    fn outcome_of_marker(&mut self, header: &BatchHeader, batch: &Bytes) -> io::Result<Outcome> {
        if self.transactions.remove(&ProducerId(header.producer_id)) {
            return Ok(Outcome::Stays);
        }
        let Some(horizon) = header.delete_horizon() else {
            let whole = retain(batch, DECOMPRESSED_BATCH_BYTES_MAX, |_| true).map_err(invalid)?;
            return Ok(Outcome::Becomes(whole.to_batch(Some(self.delete_horizon))));
        };
        if self.now < horizon {
            return Ok(Outcome::Stays);
        }
        let emptied = retain(batch, DECOMPRESSED_BATCH_BYTES_MAX, |_| false).map_err(invalid)?;
        Ok(self.outcome_of_emptied(header, &emptied))
    }

    /// An empty batch stays where it is its producer's last, or where readers need it to get on.
    fn outcome_of_emptied(&self, header: &BatchHeader, emptied: &Retained) -> Outcome {
        let last_offset = Offset(header.last_offset());
        let producer = (ProducerId(header.producer_id), ProducerEpoch(header.producer_epoch));
        let is_last_of_producer = header.has_producer_id() && self.producers.last_offsets.contains(&last_offset)
            || header.is_control() && self.producers.markers.contains(&producer);
        match is_last_of_producer || last_offset == self.last_offset {
            true if header.record_count == 0 => Outcome::Stays,
            true => Outcome::Becomes(emptied.to_batch(None)),
            false => Outcome::Goes,
        }
    }
}

/// The batches of one step.
struct Source {
    slice: FileSlice,
    budget: u64,
    read: u64,
}

impl Source {
    /// Reads whole batches, at least one, and checks them.
    fn batches(&mut self) -> io::Result<Vec<(BatchHeader, Bytes)>> {
        let mut chunk = self.fetch(self.budget.min(self.slice.len))?;
        if let Some(need) = whole_len(&chunk).map_err(invalid)?.filter(|need| *need > chunk.len()) {
            chunk = self.fetch((need as u64).min(self.slice.len))?;
        }
        let mut batches = Vec::new();
        while let Some(need) = whole_len(&chunk).map_err(invalid)?.filter(|need| *need <= chunk.len()) {
            let batch = chunk.split_to(need);
            verify_crc(&batch).map_err(invalid)?;
            batches.push((BatchHeader::parse(&batch).map_err(invalid)?, batch));
            self.read += need as u64;
        }
        if batches.is_empty() { Err(io::ErrorKind::InvalidData.into()) } else { Ok(batches) }
    }

    fn fetch(&self, len: u64) -> io::Result<Bytes> {
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| io::ErrorKind::InvalidData)?];
        self.slice.bytes.read_exact_at(self.slice.pos, &mut bytes)?;
        Ok(bytes.into())
    }
}

/// How long the batch at the start of `chunk` is; none if even that is cut off.
fn whole_len(chunk: &[u8]) -> Result<Option<usize>, BatchError> {
    if chunk.len() < BatchHeader::LEN {
        return Ok(None);
    }
    BatchHeader::parse(chunk).map(|header| Some(header.size_in_bytes()))
}

fn invalid(error: BatchError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
