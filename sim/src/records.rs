//! What producers send: every record is a function of the seed and its id, so nothing needs to be kept to compare it
//! with, byte for byte.

use std::fmt;

use bytes::Bytes;
use highwater_wire::records::Record;

use crate::options::ProducerOptions;
use crate::oracle::Place;

/// Names one record for ever: who made it, and how many he had made before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordId {
    /// The producer's number.
    pub writer: usize,
    /// The record's number.
    pub number: u32,
}

/// What is remembered of a record.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Where it was sent.
    pub place: Place,
    /// Its timestamp.
    pub timestamp: i64,
    /// Whether it must be refused, so that nobody ever reads it.
    pub refused: bool,
    /// Whether it goes to a compacted topic, and so needs a key, best one that others have too.
    pub compacted: bool,
}

/// One producer's records.
#[derive(Debug)]
pub struct Writer {
    /// Whether it is idempotent.
    pub idempotent: bool,
    value_bytes_max: u64,
    sent: Vec<Sent>,
}

/// What a value begins with; a record without a value has it in its key.
const MAGIC: [u8; 4] = *b"hwm!";

impl Writer {
    /// A producer that has sent nothing.
    pub fn new(options: &ProducerOptions) -> Self {
        Self { idempotent: options.idempotent, value_bytes_max: options.value_bytes_max, sent: Vec::new() }
    }

    /// Remembers a record.
    pub fn push(&mut self, writer: usize, sent: Sent) -> RecordId {
        self.sent.push(sent);
        RecordId { writer, number: self.sent.len() as u32 - 1 }
    }

    /// What is remembered of a record, if it exists.
    pub fn sent(&self, id: RecordId) -> Option<&Sent> {
        self.sent.get(id.number as usize)
    }

    /// The record itself.
    pub fn record(&self, seed: u64, id: RecordId) -> Record {
        let mut noise = Noise(seed ^ (id.writer as u64) << 40 ^ u64::from(id.number));
        let stamp = id.to_bytes();
        let shape = noise.next();
        let value_len = STAMP_LEN + (noise.next() % self.value_bytes_max.max(1)) as usize;
        let (key, value) = match shape % 8 {
            0 => (Some(noise.bytes(&stamp, STAMP_LEN + (shape >> 8) as usize % 32)), None),
            1..=4 => (Some(noise.bytes(&[], (shape >> 8) as usize % 24)), Some(noise.bytes(&stamp, value_len))),
            _ => (None, Some(noise.bytes(&stamp, value_len))),
        };
        let key = match self.sent[id.number as usize].compacted && value.is_some() {
            true => Some(format!("key {}", (shape >> 8) % COMPACTED_KEYS).into()),
            false => key,
        };
        let headers = (0..(shape >> 16) % 8 / 5).map(|number| {
            let value = (shape >> 24).is_multiple_of(2).then(|| noise.bytes(&[], (shape >> 32) as usize % 20));
            (format!("header-{number}"), value)
        });
        let headers = headers.collect();
        Record { offset: 0, timestamp: self.sent[id.number as usize].timestamp, key, value, headers }
    }
}

const STAMP_LEN: usize = 12;

/// Keys in a compacted topic, beside those of tombstones, which are all different.
const COMPACTED_KEYS: u64 = 20;

impl RecordId {
    /// The id of a record that was read, if it looks like one of ours.
    pub fn of(record: &Record) -> Option<Self> {
        let stamped = record.value.as_ref().or(record.key.as_ref())?;
        let stamp: &[u8; STAMP_LEN] = stamped.first_chunk()?;
        let (magic, rest) = stamp.split_first_chunk::<4>()?;
        let (writer, number) = rest.split_first_chunk::<4>()?;
        let number = u32::from_be_bytes(number.try_into().ok()?);
        (*magic == MAGIC).then_some(Self { writer: u32::from_be_bytes(*writer) as usize, number })
    }

    fn to_bytes(self) -> [u8; STAMP_LEN] {
        let mut stamp = [0; STAMP_LEN];
        stamp[..4].copy_from_slice(&MAGIC);
        stamp[4..8].copy_from_slice(&(self.writer as u32).to_be_bytes());
        stamp[8..].copy_from_slice(&self.number.to_be_bytes());
        stamp
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}.{}", self.writer, self.number)
    }
}

/// Bytes that look random, cheaper than a stream of their own (splitmix64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// `len` bytes that begin with `head`. Half of them repeat, so that compression finds something.
    fn bytes(&mut self, head: &[u8], len: usize) -> Bytes {
        let mut bytes = Vec::with_capacity(len + 16);
        bytes.extend_from_slice(head);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
            bytes.extend_from_slice(b"highwate");
        }
        bytes.truncate(len);
        bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_itself() {
        let place = Place { topic: 0, partition: 0 };
        let mut writer = Writer { idempotent: true, value_bytes_max: 50, sent: Vec::new() };
        for _ in 0..100 {
            let id = writer.push(3, Sent { place, timestamp: 5, refused: false, compacted: false });
            let record = writer.record(9, id);
            assert_eq!(RecordId::of(&record), Some(id));
            assert_eq!(record, writer.record(9, id), "the same id always makes the same record");
        }
    }
}
