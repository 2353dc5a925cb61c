//! Record batches of format version 2, the only one that is written or accepted.
//!
//! A broker looks at a batch in place: [`BatchHeader`] reads its first 61 bytes, [`verify_crc`] its checksum and [`walk`]
//! its records, without keeping any of them. Clients take records out with [`records`] and make batches with
//! [`BatchBuilder`].
//!
//! Invariants:
//! * The base offset, the length and the leader epoch lie outside the checksum: a broker assigns them in the first 16
//!   bytes and leaves the rest as it came.
//! * Nothing is allocated because a length on the wire says so: sizes are bounded by the bytes that are there, and what
//!   is decompressed by a limit that the caller names.
//!
//! Sources: KIP-98 (format version 2), KIP-534 (delete horizons), KIP-110 (zstd), KIP-390 (levels), the xerial framing of snappy-java.
//! Deliberately absent: message sets of format versions 0 and 1, which Kafka 4 no longer accepts either.

mod batch;
mod builder;
mod compression;
mod record;
mod retain;

pub use batch::{BatchError, BatchHeader, Batches, TimestampType, crc32c, verify_crc};
pub use builder::BatchBuilder;
pub use compression::{Compression, recompress};
pub use record::{ControlType, Record, RecordIter, RecordSummary, records, walk};
pub use retain::{Retained, StoredRecord, retain};

#[cfg(test)]
mod tests;
