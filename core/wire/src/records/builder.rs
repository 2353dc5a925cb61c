//! Making batches.

use bytes::Bytes;

use super::compression::{compress, seal};
use super::{BatchHeader, Compression, Record};

/// Collects records into one batch.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    header: BatchHeader,
    compression: Compression,
    level: Option<i32>,
    records: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch at base offset 0, without a producer.
    pub fn new(compression: Compression) -> Self {
        let header = BatchHeader {
            base_offset: 0,
            batch_length: 0,
            partition_leader_epoch: BatchHeader::NONE,
            magic: 2,
            crc: 0,
            attributes: compression.id(),
            last_offset_delta: BatchHeader::NONE,
            base_timestamp: -1,
            max_timestamp: -1,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: BatchHeader::NONE,
            record_count: 0,
        };
        Self { header, compression, level: None, records: Vec::new() }
    }

    /// The codec's level, on its own scale.
    #[must_use]
    pub fn level(mut self, level: i32) -> Self {
        self.level = Some(level);
        self
    }

    /// The first record's offset.
    #[must_use]
    pub fn base_offset(mut self, offset: i64) -> Self {
        self.header.base_offset = offset;
        self
    }

    /// The epoch of the leader that appends the batch.
    #[must_use]
    pub fn leader_epoch(mut self, epoch: i32) -> Self {
        self.header.partition_leader_epoch = epoch;
        self
    }

    /// The idempotent producer and the first record's sequence number.
    #[must_use]
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Self {
        (self.header.producer_id, self.header.producer_epoch) = (id, epoch);
        self.header.base_sequence = base_sequence;
        self
    }

    /// The batch belongs to its producer's transaction.
    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.header.attributes |= BatchHeader::TRANSACTIONAL;
        self
    }

    /// The batch holds a marker, not records.
    #[must_use]
    pub fn control(mut self) -> Self {
        self.header.attributes |= BatchHeader::CONTROL;
        self
    }

    /// Adds a record behind the others. Its offset follows from its place, whatever `record.offset` says.
    pub fn push(&mut self, record: &Record) {
        if self.header.record_count == 0 {
            (self.header.base_timestamp, self.header.max_timestamp) = (record.timestamp, record.timestamp);
        }
        self.header.max_timestamp = self.header.max_timestamp.max(record.timestamp);
        let offset_delta = self.header.record_count;
        (self.header.last_offset_delta, self.header.record_count) = (offset_delta, offset_delta + 1);
        let timestamp_delta = record.timestamp.wrapping_sub(self.header.base_timestamp);
        let len = record_len(record, timestamp_delta, offset_delta);
        put_varint(&mut self.records, len as i64);
        let end = self.records.len() + len;
        self.put_record(record, timestamp_delta, offset_delta);
        assert_eq!(self.records.len(), end, "a record is as long as it says");
    }

    fn put_record(&mut self, record: &Record, timestamp_delta: i64, offset_delta: i32) {
        let out = &mut self.records;
        out.push(0);
        put_varint(out, timestamp_delta);
        put_varint(out, i64::from(offset_delta));
        put_bytes(out, record.key.as_deref());
        put_bytes(out, record.value.as_deref());
        put_varint(out, record.headers.len() as i64);
        for (name, value) in &record.headers {
            put_bytes(out, Some(name.as_bytes()));
            put_bytes(out, value.as_deref());
        }
    }

    /// How many records were added.
    pub fn record_count(&self) -> i32 {
        self.header.record_count
    }

    /// Bytes of the batch, were it not compressed.
    pub fn size_in_bytes(&self) -> usize {
        BatchHeader::LEN + self.records.len()
    }

    /// The batch as it goes over the wire.
    pub fn build(self) -> Bytes {
        let mut batch = Vec::with_capacity(self.size_in_bytes());
        batch.resize(BatchHeader::LEN, 0);
        let size = Some(self.records.len());
        compress(self.compression, self.level, &mut &self.records[..], size, &mut batch, usize::MAX)
            .expect("compressing memory into memory cannot fail");
        seal(&mut batch, self.header);
        batch.into()
    }
}

fn record_len(record: &Record, timestamp_delta: i64, offset_delta: i32) -> usize {
    let headers: usize =
        record.headers.iter().map(|(name, value)| bytes_len(Some(name.as_bytes())) + bytes_len(value.as_deref())).sum();
    1 + varint_len(timestamp_delta)
        + varint_len(i64::from(offset_delta))
        + bytes_len(record.key.as_deref())
        + bytes_len(record.value.as_deref())
        + varint_len(record.headers.len() as i64)
        + headers
}

fn bytes_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint_len(bytes.len() as i64) + bytes.len())
}

pub(super) fn varint_len(value: i64) -> usize {
    let bits = 64 - zigzag(value).leading_zeros() as usize;
    bits.div_ceil(7).max(1)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

pub(super) fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.push((rest as u8) | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varint(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.extend_from_slice(bytes.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Batches, records, verify_crc, walk};
    use super::*;

    fn arbitrary_bytes() -> impl Strategy<Value = Option<Bytes>> {
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from))
    }

    fn arbitrary_record() -> impl Strategy<Value = Record> {
        let headers = proptest::collection::vec(("[a-zé]{0,5}", arbitrary_bytes()), 0..4);
        (-1..i64::MAX, arbitrary_bytes(), arbitrary_bytes(), headers)
            .prop_map(|(timestamp, key, value, headers)| Record { offset: 0, timestamp, key, value, headers })
    }

    proptest! {
        #[test]
        fn what_is_pushed_comes_out(
            mut expected in proptest::collection::vec(arbitrary_record(), 1..20),
            codec in proptest::sample::select(&Compression::ALL[..]),
            base_offset in 0..i64::MAX / 2,
        ) {
            let mut builder = BatchBuilder::new(codec).base_offset(base_offset).producer(7, 1, 5);
            for (at, record) in expected.iter_mut().enumerate() {
                builder.push(record);
                record.offset = base_offset + i64::try_from(at).unwrap();
            }
            let run = builder.build();
            let (header, batch) = Batches(run.clone()).next().unwrap().unwrap();
            prop_assert_eq!(&batch, &run);
            prop_assert_eq!(header.record_count as usize, expected.len());
            prop_assert_eq!(Some(header.max_timestamp), expected.iter().map(|record| record.timestamp).max());
            verify_crc(&batch).unwrap();
            let mut seen = Vec::new();
            walk(&batch, 1 << 20, |summary| seen.push((summary.timestamp, summary.has_key))).unwrap();
            let summaries: Vec<_> = expected.iter().map(|record| (record.timestamp, record.key.is_some())).collect();
            prop_assert_eq!(seen, summaries);
            let taken: Vec<_> = records(&batch, 1 << 20).unwrap().map(Result::unwrap).collect();
            prop_assert_eq!(taken, expected);
        }
    }
}
