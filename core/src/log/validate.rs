//! What a leader accepts from a producer, and what it makes of it.
//!
//! A batch is looked at in place: its header, its checksum, then its records one by one, compressed ones through a
//! bounded buffer. Most batches go to the file as they came, but for the 16 bytes that lie outside their checksum.
//!
//! Sources: the error codes are those of Kafka 4.3, also where another one would be closer to the truth.

use std::io;

use bytes::Bytes;
use highwater_wire::records::{
    BatchError, BatchHeader, Batches, Compression, RecordSummary, TimestampType, crc32c, recompress, verify_crc, walk,
};

use super::config::{CompressionPolicy, LogConfig};
use crate::ids::{LeaderEpoch, Offset};
use crate::limits::{DECOMPRESSED_BATCH_BYTES_MAX, RECORD_ERRORS_MAX};
use crate::time::Now;

/// Why a batch was not appended. Each kind but the last two is one of Kafka's error codes.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// CORRUPT_MESSAGE: the bytes are not what the producer made.
    #[error("{0}")]
    CorruptMessage(String),
    /// INVALID_RECORD, without a look at the log: the bytes are not one batch of the right format.
    #[error("{0}")]
    NotOneBatch(String),
    /// INVALID_RECORD: the bytes arrived well, and break the rules.
    #[error("{0}")]
    InvalidRecord(Rejection),
    /// INVALID_TIMESTAMP: a record's time is too far from the broker's.
    #[error("{0}")]
    InvalidTimestamp(Rejection),
    /// MESSAGE_TOO_LARGE: the batch exceeds `max.message.bytes`, or what it decompresses to exceeds what is bearable.
    #[error("{0}")]
    MessageTooLarge(String),
    /// RECORD_LIST_TOO_LARGE: the batch does not fit into a segment.
    #[error("{0}")]
    RecordListTooLarge(String),
    /// UNSUPPORTED_COMPRESSION_TYPE.
    #[error("{0}")]
    UnsupportedCompressionType(String),
    /// INVALID_PRODUCER_EPOCH: a newer incarnation of the producer has written already.
    #[error("{0}")]
    InvalidProducerEpoch(String),
    /// OUT_OF_ORDER_SEQUENCE_NUMBER: a batch before this one is missing.
    #[error("{0}")]
    OutOfOrderSequence(String),
    /// INVALID_TXN_STATE: a transactional batch without a transaction.
    #[error("{0}")]
    InvalidTxnState(String),
    /// The disk is full; the log is as it was.
    #[error("the disk is full")]
    Full,
    /// The disk failed; the log's tail is unknown.
    #[error("cannot append to the log: {0}")]
    Io(io::Error),
}

impl AppendError {
    /// Tells a full disk from a broken one.
    pub(super) fn of_disk(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::StorageFull { Self::Full } else { Self::Io(error) }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidRecord(Rejection { message: message.into(), records: Vec::new() })
    }
}

/// What is wrong with a batch, and with which of its records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// For the answer as a whole.
    pub message: String,
    /// For each bad record, the first ones of many; none where the batch itself is wrong.
    pub records: Vec<RecordError>,
}

/// What is wrong with one record of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// The record's place in the batch, from 0.
    pub index: i32,
    /// What is wrong.
    pub message: String,
}

/// Who appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A producer.
    Client,
    /// A machine of this broker, whose markers and transactional records are its own affair.
    Internal,
}

/// A batch that may go into the log.
#[derive(Debug)]
pub(super) struct Accepted {
    /// The header as it will stand in the file.
    pub header: BatchHeader,
    /// What follows it.
    pub body: Bytes,
    /// The broker's time, where that is the records' time.
    pub log_append_time: Option<i64>,
}

/// Checks what a leader in `epoch` is asked to append at `base`, and prepares it.
pub(super) fn validate(
    config: &LogConfig,
    records: &Bytes,
    origin: Origin,
    epoch: LeaderEpoch,
    base: Offset,
    now: Now,
) -> Result<Accepted, AppendError> {
    let (header, batch) = only_batch(records)?;
    check_size(config, batch.len())?;
    verify_crc(&batch).map_err(|error| AppendError::CorruptMessage(error.to_string()))?;
    check_header(&header, origin)?;
    let codec = header.compression().map_err(|error| AppendError::UnsupportedCompressionType(error.to_string()))?;
    let max_timestamp = check_records(config, &header, &batch, now)?;
    let batch = stored_as(config, codec, header.is_control(), batch)?;
    let mut header = BatchHeader::parse(&batch).expect("the batch was read before");
    let body = batch.slice(BatchHeader::LEN..);
    let before = header;
    let log_append_time = match config.timestamp_type {
        TimestampType::CreateTime => {
            header.max_timestamp = max_timestamp;
            None
        }
        TimestampType::LogAppendTime => {
            header.set_log_append_time(now.wall.0);
            Some(now.wall.0)
        }
    };
    if header != before {
        header.crc = crc32c(&[&header.to_bytes()[BatchHeader::CHECKSUMMED_FROM..], &body]);
    }
    header.base_offset = base.0;
    header.partition_leader_epoch = epoch.0;
    Ok(Accepted { header, body, log_append_time })
}

/// Takes the one batch out of a produce request's bytes.
fn only_batch(records: &Bytes) -> Result<(BatchHeader, Bytes), AppendError> {
    let mut batches = Batches(records.clone());
    let first = match batches.next() {
        None => {
            return Err(AppendError::NotOneBatch(
                "a produce request must have one whole record batch per partition".to_owned(),
            ));
        }
        Some(Err(BatchError::Magic(magic @ (0 | 1)))) => {
            return Err(AppendError::NotOneBatch(BatchError::Magic(magic).to_string()));
        }
        Some(Err(error)) => return Err(AppendError::CorruptMessage(error.to_string())),
        Some(Ok(first)) => first,
    };
    match batches.next() {
        None => Ok(first),
        Some(Ok(_)) => Err(AppendError::NotOneBatch(
            "a produce request must have exactly one record batch per partition".to_owned(),
        )),
        Some(Err(error)) => Err(AppendError::CorruptMessage(error.to_string())),
    }
}

fn check_size(config: &LogConfig, size: usize) -> Result<(), AppendError> {
    if size as u64 > u64::from(config.max_message_bytes) {
        let max = config.max_message_bytes;
        return Err(AppendError::MessageTooLarge(format!("the batch has {size} bytes, the topic accepts {max}")));
    }
    if size as u64 > u64::from(config.segment_bytes) {
        let max = config.segment_bytes;
        return Err(AppendError::RecordListTooLarge(format!("the batch has {size} bytes, a segment holds {max}")));
    }
    Ok(())
}

fn check_header(header: &BatchHeader, origin: Origin) -> Result<(), AppendError> {
    let (count, last) = (header.record_count, header.last_offset_delta);
    if count <= 0 || last.checked_add(1) != Some(count) {
        return Err(AppendError::invalid(format!(
            "the batch claims {count} records and a last offset delta of {last}"
        )));
    }
    if origin == Origin::Internal {
        return Ok(());
    }
    if header.base_offset != 0 {
        return Err(AppendError::invalid(format!("the batch's base offset is {}, it must be 0", header.base_offset)));
    }
    if header.is_control() {
        return Err(AppendError::invalid("clients may not write control records"));
    }
    if header.has_producer_id() && header.base_sequence < 0 {
        return Err(AppendError::invalid(format!(
            "the batch has producer id {} and the sequence number {}",
            header.producer_id, header.base_sequence
        )));
    }
    if header.has_producer_id() && header.producer_epoch < 0 {
        return Err(AppendError::InvalidProducerEpoch(format!(
            "the batch has producer id {} and the epoch {}",
            header.producer_id, header.producer_epoch
        )));
    }
    if header.is_transactional() {
        return Err(AppendError::InvalidTxnState("the partition is in no transaction of the producer's".to_owned()));
    }
    Ok(())
}

/// Walks over the records. Returns the largest timestamp.
fn check_records(config: &LogConfig, header: &BatchHeader, batch: &[u8], now: Now) -> Result<i64, AppendError> {
    let mut max_timestamp = -1;
    let mut faults = Faults::default();
    let earliest = now.wall.0.saturating_sub(config.timestamp_before_max_ms);
    let latest = now.wall.0.saturating_add(config.timestamp_after_max_ms);
    let walked = walk(batch, DECOMPRESSED_BATCH_BYTES_MAX, |record| {
        max_timestamp = max_timestamp.max(record.timestamp);
        if record.offset_delta != record.index {
            faults.invalid(record, || format!("its offset delta is {}", record.offset_delta));
        } else if config.compact && !record.has_key {
            faults.invalid(record, || "a compacted topic cannot accept a record without a key".to_owned());
        } else if config.timestamp_type == TimestampType::CreateTime {
            faults.check_timestamp(header, record, earliest, latest);
        }
    });
    match walked {
        Ok(()) => {}
        Err(error @ BatchError::TooLarge(_)) => return Err(AppendError::MessageTooLarge(error.to_string())),
        // The checksum was right, so sending the bytes once more would not help.
        Err(error) => return Err(AppendError::invalid(error.to_string())),
    }
    faults.into_result().map(|()| max_timestamp)
}

/// The records that are wrong.
#[derive(Default)]
struct Faults {
    count: u32,
    any_timestamp: bool,
    records: Vec<RecordError>,
}

impl Faults {
    fn invalid(&mut self, record: RecordSummary, message: impl FnOnce() -> String) {
        self.count = self.count.saturating_add(1);
        if self.records.len() < RECORD_ERRORS_MAX {
            self.records.push(RecordError { index: record.index, message: message() });
        }
    }

    fn check_timestamp(&mut self, header: &BatchHeader, record: RecordSummary, earliest: i64, latest: i64) {
        let timestamp = record.timestamp;
        if timestamp != -1 && !(earliest..=latest).contains(&timestamp) {
            self.any_timestamp = true;
            self.invalid(record, || format!("its timestamp {timestamp} is not between {earliest} and {latest}"));
        } else if header.timestamp_type() == TimestampType::LogAppendTime {
            self.any_timestamp = true;
            self.invalid(record, || "its timestamp type is LogAppendTime, which a producer cannot set".to_owned());
        }
    }

    fn into_result(self) -> Result<(), AppendError> {
        let Some(first) = self.records.first() else { return Ok(()) };
        let message =
            format!("{} records are rejected, the first, number {}: {}", self.count, first.index, first.message);
        let rejection = Rejection { message, records: self.records };
        Err(if self.any_timestamp {
            AppendError::InvalidTimestamp(rejection)
        } else {
            AppendError::InvalidRecord(rejection)
        })
    }
}

/// Compresses the batch again if the topic wants another codec. Markers stay as they are.
fn stored_as(config: &LogConfig, codec: Compression, is_control: bool, batch: Bytes) -> Result<Bytes, AppendError> {
    let CompressionPolicy::Fixed { codec: wanted, level } = config.compression else { return Ok(batch) };
    if wanted == codec || is_control {
        return Ok(batch);
    }
    let bytes_max = usize::try_from(config.max_message_bytes).unwrap_or(usize::MAX);
    match recompress(&batch, wanted, level, DECOMPRESSED_BATCH_BYTES_MAX, bytes_max) {
        Ok(batch) => {
            check_size(config, batch.len())?;
            Ok(batch.into())
        }
        Err(error @ BatchError::TooLarge(_)) => {
            Err(AppendError::MessageTooLarge(format!("as {}: {error}", wanted.name())))
        }
        Err(error) => Err(AppendError::invalid(error.to_string())),
    }
}
