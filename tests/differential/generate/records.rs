//! Produce requests: good batches, and batches that are wrong in one way.
//!
//! Deliberately absent: null instead of records. Kafka's handler of it throws, and Kafka never answers.

use bytes::{BufMut, Bytes, BytesMut};
use highwater_wire::Records;
use highwater_wire::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use highwater_wire::records::{BatchBuilder, BatchHeader, Compression, Record};

use super::Draw;
use crate::step::seal;

/// The time of the first records. Long ago, so that no record is taken for one of the present.
pub const FIRST_TIMESTAMP_MS: i64 = 1_600_000_000_000;

/// A time ahead of every clock.
const FUTURE_MS: i64 = 4_000_000_000_000;

/// Where the fields of a batch stand.
mod at {
    pub const LENGTH: usize = 8;
    pub const MAGIC: usize = 16;
    pub const CRC: usize = 17;
    pub const ATTRIBUTES: usize = 21;
    pub const LAST_OFFSET_DELTA: usize = 23;
    pub const BASE_TIMESTAMP: usize = 27;
    pub const MAX_TIMESTAMP: usize = 35;
    pub const RECORD_COUNT: usize = 57;
}

/// The first version that names topics by id.
const TOPIC_ID_VERSION: i16 = 13;

const _: () = assert!(at::RECORD_COUNT + 4 == BatchHeader::LEN);

impl Draw<'_> {
    pub(super) fn produce(&mut self) -> ProduceRequest {
        let topic_data = self.different_topic_names().into_iter().map(|name| self.topic_produce_data(name)).collect();
        ProduceRequest {
            transactional_id: None,
            acks: self.dice.pick(&[-1, -1, -1, -1, 1, 1, 1, 0, 2, -2]),
            timeout_ms: 30_000,
            topic_data,
        }
    }

    fn topic_produce_data(&mut self, name: String) -> TopicProduceData {
        let mut indexes = self.partition_indexes(&name);
        indexes.dedup();
        let partition_data = indexes
            .into_iter()
            .map(|index| PartitionProduceData { index, records: self.records(&name, index) })
            .collect();
        if self.version < TOPIC_ID_VERSION {
            return TopicProduceData { name, partition_data, ..Default::default() };
        }
        TopicProduceData { topic_id: self.topic_id(&name), partition_data, ..Default::default() }
    }

    fn records(&mut self, topic: &str, index: i32) -> Records {
        let batch = self.batch(topic, index);
        Records::Inline(if self.dice.once_in(5) { self.spoil(batch) } else { batch })
    }

    /// A batch that should be accepted, unless its producer is out of step.
    pub(super) fn batch(&mut self, topic: &str, index: i32) -> Bytes {
        let codecs = [
            Compression::None,
            Compression::None,
            Compression::None,
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ];
        let mut builder = BatchBuilder::new(self.dice.pick(&codecs));
        if self.dice.once_in(6) {
            builder = builder.base_offset(self.dice.pick(&[5, 1 << 40, -3]));
        }
        if !self.model.producers.is_empty() && self.dice.once_in(2) {
            let (id, epoch, sequence) = self.producer(topic, index);
            builder = builder.producer(id, epoch, sequence);
        }
        let time = FIRST_TIMESTAMP_MS + self.dice.below(2000) as i64;
        let count = self.dice.pick(&[1, 1, 2, 3, 10]);
        for _ in 0..count {
            let record = self.record(time);
            builder.push(&record);
        }
        builder.build()
    }

    fn record(&mut self, time: i64) -> Record {
        let blob = |len: usize, byte: u8| Some(Bytes::from(vec![byte; len]));
        let key = if self.dice.once_in(3) { None } else { blob(1, b'k' + self.dice.below(4) as u8) };
        let value = match self.dice.below(6) {
            0 => None,
            1 => blob(0, 0),
            2 => blob(400, b'v'),
            _ => blob(self.dice.below(60), b'w'),
        };
        let headers = self.dice.once_in(5).then(|| ("name".to_owned(), blob(2, b'h')));
        let timestamp = time + self.dice.pick(&[0, 0, 1, 5, -3]);
        Record { offset: 0, timestamp, key, value, headers: headers.into_iter().collect() }
    }

    /// A producer, its epoch and the sequence number that it should use next, or one that it should not.
    fn producer(&mut self, topic: &str, index: i32) -> (i64, i16, i32) {
        let producer = self.dice.pick(&self.model.producers);
        let next = producer.next.get(&(topic.to_owned(), index)).copied().unwrap_or(0);
        match self.dice.below(16) {
            0 => (producer.id, producer.epoch, next + 1),
            1 => (producer.id, producer.epoch, (next - 1).max(0)),
            2 => (producer.id, producer.epoch, (next - 7).max(0)),
            3 => (producer.id, producer.epoch + 1, 0),
            4 => (producer.id, producer.epoch + 1, next),
            5 => (producer.id, producer.epoch - 1, next),
            6 => (987_654_321, 0, self.dice.pick(&[0, 5])),
            7 => (producer.id, producer.epoch, i32::MAX),
            _ => (producer.id, producer.epoch, next),
        }
    }

    /// One thing wrong with a batch.
    fn spoil(&mut self, batch: Bytes) -> Bytes {
        let mut bytes = BytesMut::from(&batch[..]);
        let count = i32::from_be_bytes([bytes[57], bytes[58], bytes[59], bytes[60]]);
        let attributes = i16::from_be_bytes([bytes[21], bytes[22]]);
        let put = |bytes: &mut BytesMut, at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        let mut resealed = true;
        match self.dice.below(18) {
            0 => {
                bytes[at::CRC] ^= 1;
                resealed = false;
            }
            1 => {
                let last = bytes.len() - 1;
                bytes[last] ^= 0x40;
                resealed = false;
            }
            2 => put(&mut bytes, at::MAGIC, &self.dice.pick(&[[0_u8], [1], [3], [255]])),
            3 => put(
                &mut bytes,
                at::RECORD_COUNT,
                &self.dice.pick(&[0, -1, count + 1, count - 1, i32::MAX]).to_be_bytes(),
            ),
            4 => {
                put(&mut bytes, at::LAST_OFFSET_DELTA, &self.dice.pick(&[count, -1, count - 2, i32::MAX]).to_be_bytes())
            }
            5 => {
                let both = self.dice.pick(&[-1, 0, i32::MAX]);
                put(&mut bytes, at::LAST_OFFSET_DELTA, &both.wrapping_sub(1).to_be_bytes());
                put(&mut bytes, at::RECORD_COUNT, &both.to_be_bytes());
            }
            6 => {
                let length = i32::try_from(bytes.len()).expect("batches are small") - 12;
                let length = self.dice.pick(&[length + 1, length - 1, 0, -1, 48, i32::MAX]);
                put(&mut bytes, at::LENGTH, &length.to_be_bytes());
                resealed = false;
            }
            7 => put(&mut bytes, at::ATTRIBUTES, &(attributes & !7 | self.dice.pick(&[5, 6, 7])).to_be_bytes()),
            8 => put(&mut bytes, at::ATTRIBUTES, &(attributes & !7 | self.dice.pick(&[0, 1, 2, 3, 4])).to_be_bytes()),
            // Rarely, since the brokers do not agree on it.
            9 if self.dice.once_in(6) => put(&mut bytes, at::ATTRIBUTES, &(attributes | 0x08).to_be_bytes()),
            9 | 10 => put(&mut bytes, at::ATTRIBUTES, &(attributes | 0x20).to_be_bytes()),
            11 => put(&mut bytes, at::ATTRIBUTES, &(attributes | self.dice.pick(&[0x40, 0x80, 0x4000])).to_be_bytes()),
            12 => put(&mut bytes, at::BASE_TIMESTAMP, &self.dice.pick(&[FUTURE_MS, -1, -5, 0, i64::MAX]).to_be_bytes()),
            13 => put(&mut bytes, at::MAX_TIMESTAMP, &self.dice.pick(&[FUTURE_MS, -1, 0, i64::MAX]).to_be_bytes()),
            14 => return [&batch[..], &batch[..]].concat().into(),
            15 => {
                bytes.put_slice(&[0; 5]);
                resealed = false;
            }
            16 => {
                bytes.truncate(self.dice.below(batch.len()));
                resealed = false;
            }
            _ => return self.large_or_keyless(),
        }
        if resealed {
            let len = bytes.len();
            seal(&mut bytes, len);
        }
        bytes.freeze()
    }

    /// A batch that is fine by itself but not for every topic.
    fn large_or_keyless(&mut self) -> Bytes {
        let mut builder = BatchBuilder::new(Compression::None);
        let len = self.dice.pick(&[10, 2000, 20_000]);
        let value = Some(Bytes::from(vec![b'l'; len]));
        builder.push(&Record { timestamp: FIRST_TIMESTAMP_MS, value, ..Default::default() });
        builder.build()
    }
}
