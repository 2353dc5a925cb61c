//! What a topic's configuration means to its logs.

use highwater_wire::records::{Compression, TimestampType};

use crate::limits;

/// How a log behaves. The defaults are Kafka's.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// Bytes after which a segment is closed (`segment.bytes`); at most 2³¹−1.
    pub segment_bytes: u32,
    /// Milliseconds between the timestamps of a segment's first and next batch that close it (`segment.ms`).
    pub segment_ms: i64,
    /// Bytes of batches between two entries of the index (`index.interval.bytes`).
    pub index_interval_bytes: u32,
    /// Age in milliseconds from which a segment is deleted (`retention.ms`); none keeps all.
    pub retention_ms: Option<i64>,
    /// Bytes that a log keeps at least before its oldest segment goes (`retention.bytes`); none keeps all.
    pub retention_bytes: Option<u64>,
    /// Whether segments are deleted by age and size at all (`cleanup.policy` has `delete`).
    pub delete: bool,
    /// Whether only the newest record of each key stays, so that all must have one (`cleanup.policy` has `compact`).
    pub compact: bool,
    /// Milliseconds that a tombstone stays after compaction has met it (`delete.retention.ms`).
    pub delete_retention_ms: i64,
    /// Milliseconds that a record stays uncompacted at least (`min.compaction.lag.ms`).
    pub min_compaction_lag_ms: i64,
    /// Milliseconds after which compaction does not wait for more (`max.compaction.lag.ms`).
    pub max_compaction_lag_ms: i64,
    /// How much of the log must be uncompacted before that is worth its while (`min.cleanable.dirty.ratio`).
    pub min_cleanable_dirty_ratio: f64,
    /// Bytes of the largest batch that is accepted (`max.message.bytes`).
    pub max_message_bytes: u32,
    /// How batches are stored (`compression.type`, `compression.*.level`).
    pub compression: CompressionPolicy,
    /// Whose clock a record's timestamp is from (`message.timestamp.type`).
    pub timestamp_type: TimestampType,
    /// Milliseconds that a record may be older than the broker's clock (`message.timestamp.before.max.ms`).
    pub timestamp_before_max_ms: i64,
    /// Milliseconds that a record may be ahead of the broker's clock (`message.timestamp.after.max.ms`).
    pub timestamp_after_max_ms: i64,
    /// Milliseconds of silence after which an idempotent producer is forgotten (`producer.id.expiration.ms`).
    pub producer_id_expiration_ms: i64,
}

/// Which codec batches are stored with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompressionPolicy {
    /// The producer's.
    #[default]
    Producer,
    /// This one: batches that come with another are compressed again.
    Fixed {
        /// The codec.
        codec: Compression,
        /// Its level, on its own scale; none is the codec's default.
        level: Option<i32>,
    },
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 1024 * 1024 * 1024,
            segment_ms: 7 * DAY_MS,
            index_interval_bytes: 4096,
            retention_ms: Some(7 * DAY_MS),
            retention_bytes: None,
            delete: true,
            compact: false,
            delete_retention_ms: DAY_MS,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            min_cleanable_dirty_ratio: 0.5,
            max_message_bytes: limits::BATCH_BYTES_MAX,
            compression: CompressionPolicy::Producer,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 60 * 60 * 1000,
            producer_id_expiration_ms: DAY_MS,
        }
    }
}

impl LogConfig {
    /// Milliseconds between the timestamps of a segment's first and next batch that close it.
    pub(super) fn roll_ms(&self) -> i64 {
        if self.compact { self.segment_ms.min(self.max_compaction_lag_ms) } else { self.segment_ms }
    }
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
