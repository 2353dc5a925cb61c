//! Taking records out of a batch, as compaction does.
//!
//! What stays of a batch keeps its offsets: the base offset and the last offset stay in the header even if the records
//! there go, and so does the producer with its sequence numbers.
//!
//! Source: KIP-534 (the delete horizon).

use bytes::Bytes;

use super::builder::{put_varint, varint_len};
use super::compression::{compress, seal};
use super::{BatchError, BatchHeader, Compression, TimestampType, records};

/// A record as it stands in its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its offset in the partition.
    pub offset: i64,
    /// The key.
    pub key: Option<Bytes>,
    /// Whether it has a value, be it empty: one without is a tombstone.
    pub has_value: bool,
    pub(super) timestamp_delta: i64,
    /// All of it, with the length in front.
    pub(super) bytes: Bytes,
    /// Where in that the part after the timestamp begins.
    pub(super) tail_at: usize,
}

/// The records of a batch that stay.
#[derive(Clone, Debug)]
pub struct Retained {
    header: BatchHeader,
    records: Vec<StoredRecord>,
}

/// Selects the records of one whole batch that stay. Compressed records are decompressed into at most `limit` bytes.
///
/// # Errors
/// What is wrong with the batch or its first bad record.
pub fn retain(batch: &Bytes, limit: u64, mut keep: impl FnMut(&StoredRecord) -> bool) -> Result<Retained, BatchError> {
    let header = BatchHeader::parse(batch)?;
    let mut all = records(batch, limit)?;
    let mut records = Vec::new();
    while let Some(record) = all.next_stored().transpose()? {
        if keep(&record) {
            records.push(record);
        }
    }
    Ok(Retained { header, records })
}

impl Retained {
    /// Whether no record goes.
    pub fn is_whole(&self) -> bool {
        usize::try_from(self.header.record_count) == Ok(self.records.len())
    }

    /// Whether no record stays.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether a record without a value stays.
    pub fn has_tombstone(&self) -> bool {
        self.records.iter().any(|record| !record.has_value)
    }

    /// The batch with the records that stay. `delete_horizon` says from when on its tombstones and markers may go; none
    /// leaves what the batch says. A batch without records stands for its offsets and its producer's sequence.
    pub fn to_batch(&self, delete_horizon: Option<i64>) -> Vec<u8> {
        let mut header = self.header;
        header.record_count = i32::try_from(self.records.len()).expect("no more records than the batch had");
        if let Some(horizon) = delete_horizon {
            header.attributes |= BatchHeader::DELETE_HORIZON;
            header.base_timestamp = horizon;
        }
        let mut batch = vec![0; BatchHeader::LEN];
        if self.records.is_empty() {
            header.set_compression(Compression::None);
        } else {
            if header.timestamp_type() == TimestampType::CreateTime {
                let timestamps = self.records.iter().map(|record| self.header.timestamp(record.timestamp_delta));
                header.max_timestamp = timestamps.max().expect("there is a record");
            }
            let codec = header.compression().expect("the records were read");
            let plain = self.plain_records(&header);
            compress(codec, None, &mut &plain[..], Some(plain.len()), &mut batch, usize::MAX)
                .expect("compressing memory into memory cannot fail");
        }
        seal(&mut batch, header);
        batch
    }

    /// The records' bytes, with timestamps relative to the base timestamp of `header`.
    fn plain_records(&self, header: &BatchHeader) -> Vec<u8> {
        let shift = self.header.base_timestamp.wrapping_sub(header.base_timestamp);
        let mut out = Vec::with_capacity(self.records.iter().map(|record| record.bytes.len()).sum());
        for record in &self.records {
            if shift == 0 {
                out.extend_from_slice(&record.bytes);
                continue;
            }
            let timestamp_delta = record.timestamp_delta.wrapping_add(shift);
            let tail = &record.bytes[record.tail_at..];
            put_varint(&mut out, (1 + varint_len(timestamp_delta) + tail.len()) as i64);
            out.push(0);
            put_varint(&mut out, timestamp_delta);
            out.extend_from_slice(tail);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BatchBuilder, Batches, Record, verify_crc};
    use super::*;

    const LIMIT: u64 = 1 << 20;

    fn batch(codec: Compression) -> (Bytes, Vec<Record>) {
        let mut builder = BatchBuilder::new(codec).base_offset(100).producer(7, 1, 40).leader_epoch(3);
        let mut expected = Vec::new();
        for at in 0..10 {
            let headers = vec![("h".to_owned(), Some(Bytes::from("x"))), (String::new(), None)];
            let value = (at % 3 > 0).then(|| Bytes::from(format!("value {at}")));
            let key = Some(Bytes::from(format!("key {at}")));
            let record = Record { offset: 100 + at, timestamp: 5000 - at * 100, key, value, headers };
            builder.push(&record);
            expected.push(record);
        }
        (builder.build(), expected)
    }

    fn reread(batch: Vec<u8>) -> (BatchHeader, Vec<Record>) {
        let batch = Bytes::from(batch);
        verify_crc(&batch).unwrap();
        let (header, whole) = Batches(batch.clone()).next().unwrap().unwrap();
        assert_eq!(whole, batch);
        (header, records(&batch, LIMIT).unwrap().map(Result::unwrap).collect())
    }

    #[test]
    fn what_stays_keeps_its_offset_time_and_contents() {
        for codec in Compression::ALL {
            let (batch, all) = batch(codec);
            for mask in [0b1, 0b10_0000_0001, 0b01_1111_1110, 0b11_1111_1111] {
                let keep = |record: &StoredRecord| mask >> (record.offset - 100) & 1 == 1;
                let retained = retain(&batch, LIMIT, keep).unwrap();
                for horizon in [None, Some(1_700_000_000_000), Some(0)] {
                    let (header, left) = reread(retained.to_batch(horizon));
                    let expected: Vec<_> =
                        all.iter().filter(|record| mask >> (record.offset - 100) & 1 == 1).cloned().collect();
                    assert_eq!(left, expected);
                    assert_eq!((header.base_offset, header.last_offset(), header.last_sequence()), (100, 109, 49));
                    assert_eq!((header.producer_id, header.partition_leader_epoch), (7, 3));
                    assert_eq!(Some(header.max_timestamp), expected.iter().map(|record| record.timestamp).max());
                    assert_eq!(header.delete_horizon(), horizon);
                    assert_eq!(header.compression().unwrap(), codec);
                }
            }
        }
    }

    #[test]
    fn an_emptied_batch_stands_for_its_offsets_and_its_producer() {
        let (batch, _) = batch(Compression::Zstd);
        let retained = retain(&batch, LIMIT, |_| false).unwrap();
        assert!(retained.is_empty() && !retained.has_tombstone());
        let (header, left) = reread(retained.to_batch(None));
        assert_eq!((header.base_offset, header.next_offset(), header.last_sequence(), left.len()), (100, 110, 49, 0));
        assert_eq!(header.size_in_bytes(), BatchHeader::LEN);
    }

    #[test]
    fn tombstones_and_wholeness_are_told() {
        let (batch, _) = batch(Compression::None);
        let whole = retain(&batch, LIMIT, |_| true).unwrap();
        assert!(whole.is_whole() && whole.has_tombstone());
        assert_eq!(whole.to_batch(None), batch, "nothing changes where nothing goes");
        let valued = retain(&batch, LIMIT, |record| record.has_value).unwrap();
        assert!(!valued.is_whole() && !valued.has_tombstone());
    }

    #[test]
    fn a_later_rewriting_keeps_the_horizon() {
        let (batch, _) = batch(Compression::Lz4);
        let once = Bytes::from(retain(&batch, LIMIT, |record| record.offset > 104).unwrap().to_batch(Some(77)));
        let (header, left) = reread(retain(&once, LIMIT, |record| record.offset > 106).unwrap().to_batch(None));
        assert_eq!(header.delete_horizon(), Some(77));
        assert_eq!(left.iter().map(|record| record.timestamp).collect::<Vec<_>>(), [4300, 4200, 4100]);
    }
}
