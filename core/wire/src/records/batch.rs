//! A batch's header and checksum.

use bytes::Bytes;

use super::Compression;

/// Whether a batch's timestamps were set by its producer or by the broker (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// Each record has the time that its producer gave it.
    #[default]
    CreateTime,
    /// All records have the time at which the leader appended them, which is the batch's maximum.
    LogAppendTime,
}

/// Why bytes are not a batch that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end before the batch does.
    #[error("the batch ends after {have} of {need} bytes")]
    Truncated {
        /// How many bytes there are.
        have: usize,
        /// How many there should be.
        need: usize,
    },
    /// The length field cannot be right.
    #[error("{0} is not the length of a batch")]
    Length(i32),
    /// Another format than version 2.
    #[error("record format version {0} is not supported, only version 2 is")]
    Magic(i8),
    /// The bytes are not the ones that the producer sent.
    #[error("the batch is corrupt: its checksum is {stored:08x}, its bytes have {computed:08x}")]
    Checksum {
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// A compression type that nobody has defined.
    #[error("unknown compression type {0}")]
    Compression(i16),
    /// The codec refuses the compressed bytes.
    #[error("cannot decompress the records: {0}")]
    Decompress(String),
    /// The records decompress to more bytes than the caller allows.
    #[error("the records decompress to more than {0} bytes")]
    TooLarge(u64),
    /// A record's bytes contradict themselves or the header.
    #[error("record {index} of the batch is invalid: {reason}")]
    Record {
        /// The record's place in its batch, from 0.
        index: i32,
        /// What is wrong.
        reason: &'static str,
    },
}

/// The fixed fields at the start of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of the first record that the batch was made with.
    pub base_offset: i64,
    /// Bytes that follow this field.
    pub batch_length: i32,
    /// The epoch of the leader that appended the batch.
    pub partition_leader_epoch: i32,
    /// The format version.
    pub magic: i8,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Compression, timestamp type, transactional and control flags.
    pub attributes: i16,
    /// The last offset, relative to the base offset; compaction keeps it.
    pub last_offset_delta: i32,
    /// What the records' timestamps are relative to, in milliseconds since the Unix epoch.
    pub base_timestamp: i64,
    /// The largest timestamp of a record.
    pub max_timestamp: i64,
    /// The producer's id, or -1.
    pub producer_id: i64,
    /// The producer's epoch, or -1.
    pub producer_epoch: i16,
    /// The first record's sequence number, or -1.
    pub base_sequence: i32,
    /// How many records follow.
    pub record_count: i32,
}

impl BatchHeader {
    /// Bytes of a header; the records follow it.
    pub const LEN: usize = 61;
    /// Bytes before the part that the length field counts.
    pub const LENGTH_END: usize = 12;
    /// Where the checksummed part starts.
    pub const CHECKSUMMED_FROM: usize = 21;
    /// The producer id, epoch or sequence of a batch that has none.
    pub const NONE: i32 = -1;

    pub(super) const COMPRESSION_MASK: i16 = 0x07;
    pub(super) const LOG_APPEND_TIME: i16 = 0x08;
    pub(super) const TRANSACTIONAL: i16 = 0x10;
    pub(super) const CONTROL: i16 = 0x20;
    pub(super) const DELETE_HORIZON: i16 = 0x40;

    /// Reads the header at the start of `bytes`; the records behind it need not be there.
    ///
    /// # Errors
    /// Fewer than 61 bytes, another format version, or a length that cannot hold a header.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let have = bytes.len();
        // The format version stands at the same place in every version, and tells what the rest means.
        let magic = *bytes.get(16).ok_or(BatchError::Truncated { have, need: Self::LEN })?;
        if magic != 2 {
            return Err(BatchError::Magic(magic.cast_signed()));
        }
        let header = bytes.first_chunk::<{ Self::LEN }>().ok_or(BatchError::Truncated { have, need: Self::LEN })?;
        let header = Self::read(header);
        let length_min = i32::try_from(Self::LEN - Self::LENGTH_END).expect("a header is small");
        if header.batch_length < length_min {
            return Err(BatchError::Length(header.batch_length));
        }
        Ok(header)
    }

    fn read(bytes: &[u8; Self::LEN]) -> Self {
        Self {
            base_offset: i64::from_be_bytes(field(bytes, 0)),
            batch_length: i32::from_be_bytes(field(bytes, 8)),
            partition_leader_epoch: i32::from_be_bytes(field(bytes, 12)),
            magic: i8::from_be_bytes(field(bytes, 16)),
            crc: u32::from_be_bytes(field(bytes, 17)),
            attributes: i16::from_be_bytes(field(bytes, 21)),
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)),
            base_timestamp: i64::from_be_bytes(field(bytes, 27)),
            max_timestamp: i64::from_be_bytes(field(bytes, 35)),
            producer_id: i64::from_be_bytes(field(bytes, 43)),
            producer_epoch: i16::from_be_bytes(field(bytes, 51)),
            base_sequence: i32::from_be_bytes(field(bytes, 53)),
            record_count: i32::from_be_bytes(field(bytes, 57)),
        }
    }

    /// The header as it stands in front of the records.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0..8].copy_from_slice(&self.base_offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.batch_length.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.partition_leader_epoch.to_be_bytes());
        bytes[16..17].copy_from_slice(&self.magic.to_be_bytes());
        bytes[17..21].copy_from_slice(&self.crc.to_be_bytes());
        bytes[21..23].copy_from_slice(&self.attributes.to_be_bytes());
        bytes[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        bytes[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        bytes[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        bytes[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        bytes[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        bytes[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        bytes[57..61].copy_from_slice(&self.record_count.to_be_bytes());
        bytes
    }

    /// Bytes of the whole batch, header included.
    pub fn size_in_bytes(&self) -> usize {
        usize::try_from(self.batch_length).map_or(0, |length| length + Self::LENGTH_END)
    }

    /// The last offset of the batch. Saturates, since the fields may come from anywhere.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The offset after the batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// The last record's sequence number: it wraps to 0 after 2³¹−1. -1 without a producer id.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return self.base_sequence;
        }
        let last = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        i32::try_from(last % (i64::from(i32::MAX) + 1)).unwrap_or(Self::NONE)
    }

    /// How the records are compressed.
    ///
    /// # Errors
    /// A type that is not defined.
    pub fn compression(&self) -> Result<Compression, BatchError> {
        let id = self.attributes & Self::COMPRESSION_MASK;
        Compression::from_id(id).ok_or(BatchError::Compression(id))
    }

    /// Who set the timestamps.
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & Self::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Makes the broker's time the time of every record.
    pub fn set_log_append_time(&mut self, timestamp: i64) {
        self.attributes |= Self::LOG_APPEND_TIME;
        self.max_timestamp = timestamp;
    }

    /// Says how the records are compressed.
    pub fn set_compression(&mut self, compression: Compression) {
        self.attributes = (self.attributes & !Self::COMPRESSION_MASK) | compression.id();
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & Self::TRANSACTIONAL != 0
    }

    /// Whether the batch holds a marker instead of records.
    pub fn is_control(&self) -> bool {
        self.attributes & Self::CONTROL != 0
    }

    /// When its tombstones and markers may go, in milliseconds since the Unix epoch; none before compaction has seen the
    /// batch. It takes the base timestamp's place (KIP-534).
    pub fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & Self::DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    /// Whether an idempotent producer made the batch.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id >= 0
    }

    /// The time of a record whose field says `delta`.
    pub(super) fn timestamp(&self, delta: i64) -> i64 {
        match self.timestamp_type() {
            TimestampType::CreateTime => self.base_timestamp.wrapping_add(delta),
            TimestampType::LogAppendTime => self.max_timestamp,
        }
    }
}

fn field<const N: usize>(bytes: &[u8; BatchHeader::LEN], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("every field lies inside the header")
}

/// CRC-32C (Castagnoli) of the concatenation of `parts`.
pub fn crc32c(parts: &[&[u8]]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    for part in parts {
        digest.update(part);
    }
    u32::try_from(digest.finalize()).expect("CRC-32C has 32 bits")
}

/// Checks that one whole batch is what its producer sent. `batch` may be longer than the batch.
///
/// # Errors
/// [`BatchError::Checksum`], or what [`BatchHeader::parse`] returns, or a batch that is cut short.
pub fn verify_crc(batch: &[u8]) -> Result<(), BatchError> {
    let header = BatchHeader::parse(batch)?;
    let (have, need) = (batch.len(), header.size_in_bytes());
    let body = batch.get(BatchHeader::CHECKSUMMED_FROM..need).ok_or(BatchError::Truncated { have, need })?;
    let computed = crc_fast::crc32_iscsi(body);
    if computed == header.crc { Ok(()) } else { Err(BatchError::Checksum { stored: header.crc, computed }) }
}

/// The whole batches of a run of bytes, as a fetch returns it. A partial batch at the end is ignored; after an error
/// nothing follows.
#[derive(Clone, Debug)]
pub struct Batches(pub Bytes);

impl Iterator for Batches {
    type Item = Result<(BatchHeader, Bytes), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.len() < BatchHeader::LEN {
            return None;
        }
        match BatchHeader::parse(&self.0) {
            Ok(header) if header.size_in_bytes() <= self.0.len() => {
                let batch = self.0.split_to(header.size_in_bytes());
                Some(Ok((header, batch)))
            }
            Ok(_) => None,
            Err(error) => {
                self.0.clear();
                Some(Err(error))
            }
        }
    }
}
