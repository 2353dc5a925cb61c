//! How a client behaves. Names and defaults are those of Kafka's clients where they mean the same.

use std::time::Duration;

use highwater_wire::records::Compression;

use super::boundary::Address;

/// A client's whole configuration.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Brokers to ask for the others, tried in turn. At least one.
    pub bootstrap: Vec<Address>,
    /// What brokers write into their logs (`client.id`).
    pub client_id: String,
    /// How long an attempt to connect may take (`socket.connection.setup.timeout.ms`).
    pub connect_timeout: Duration,
    /// How long an answer may take before its connection is given up (`request.timeout.ms`).
    pub request_timeout: Duration,
    /// How long a [`Call`](super::Command::Call) may wait for its broker and its answer.
    pub call_timeout: Duration,
    /// The wait after a first failure; it doubles up to `retry_backoff_max` (`retry.backoff.ms`).
    pub retry_backoff: Duration,
    /// The longest wait after failures (`retry.backoff.max.ms`).
    pub retry_backoff_max: Duration,
    /// Metadata older than this is asked for again (`metadata.max.age.ms`).
    pub metadata_age_max: Duration,
    /// Whether producing to a topic that is not there may create it.
    pub create_topics: bool,
    /// Everything about producing.
    pub producer: ProducerConfig,
    /// Everything about consuming.
    pub consumer: ConsumerConfig,
    /// Where chance comes from: jitter and the partitions of records without a key.
    pub seed: u64,
}

impl ClientConfig {
    /// Kafka's defaults for clients of these brokers.
    pub fn new(bootstrap: Vec<Address>) -> Self {
        assert!(!bootstrap.is_empty(), "a client must know somebody to ask");
        Self {
            bootstrap,
            client_id: "highwater".to_owned(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            call_timeout: Duration::from_secs(60),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            metadata_age_max: Duration::from_secs(300),
            create_topics: true,
            producer: ProducerConfig::default(),
            consumer: ConsumerConfig::default(),
            seed: 0,
        }
    }
}

/// When a record counts as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// When it is sent; nothing is answered.
    None,
    /// When the leader has it.
    Leader,
    /// When every in-sync replica has it.
    All,
}

impl Acks {
    /// The value on the wire.
    pub fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// How records are produced.
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    /// When a record counts as written (`acks`).
    pub acks: Acks,
    /// Whether retries are recognised as such (`enable.idempotence`); only with [`Acks::All`].
    pub idempotent: bool,
    /// How long a batch waits for company (`linger.ms`).
    pub linger: Duration,
    /// A batch that has reached this many bytes, before compression, is sent at once (`batch.size`).
    pub batch_bytes: usize,
    /// Bytes of records that may wait in all (`buffer.memory`).
    pub buffer_bytes_max: usize,
    /// The largest request, unless one record alone is larger (`max.request.size`).
    pub request_bytes_max: usize,
    /// How batches are compressed (`compression.type`).
    pub compression: Compression,
    /// How often a batch is sent again (`retries`).
    pub retries_max: u32,
    /// A record that is not acknowledged after this fails, once no attempt is in flight (`delivery.timeout.ms`).
    pub delivery_timeout: Duration,
    /// How long the broker may wait for its replicas (`request.timeout.ms` in the request itself).
    pub ack_timeout: Duration,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            idempotent: true,
            linger: Duration::from_millis(5),
            batch_bytes: 64 * 1024,
            buffer_bytes_max: 32 * 1024 * 1024,
            request_bytes_max: 1024 * 1024,
            compression: Compression::None,
            retries_max: u32::MAX,
            delivery_timeout: Duration::from_secs(120),
            ack_timeout: Duration::from_secs(30),
        }
    }
}

/// What to do when a position lies outside the log (`auto.offset.reset`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfRange {
    /// Go to the first record that is there.
    Earliest,
    /// Go to the end.
    Latest,
    /// Stop reading the partition.
    Fail,
}

/// Which records a reader sees (`isolation.level`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// All below the high watermark.
    ReadUncommitted,
    /// Those below the last stable offset that no transaction has aborted.
    ReadCommitted,
}

/// How partitions are read.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// Which records are seen (`isolation.level`).
    pub isolation: Isolation,
    /// What to do when a position lies outside the log (`auto.offset.reset`).
    pub out_of_range: OutOfRange,
    /// Whether brokers remember what was asked for (KIP-227).
    pub fetch_sessions: bool,
    /// How long a broker may wait for `fetch_bytes_min` (`fetch.max.wait.ms`).
    pub fetch_wait_max: Duration,
    /// What is worth an answer at once (`fetch.min.bytes`).
    pub fetch_bytes_min: i32,
    /// The bytes of one answer, unless its first batch is larger (`fetch.max.bytes`).
    pub fetch_bytes_max: i32,
    /// The bytes of one partition in one answer (`max.partition.fetch.bytes`).
    pub partition_bytes_max: i32,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            isolation: Isolation::ReadUncommitted,
            out_of_range: OutOfRange::Earliest,
            fetch_sessions: true,
            fetch_wait_max: Duration::from_millis(500),
            fetch_bytes_min: 1,
            fetch_bytes_max: 50 * 1024 * 1024,
            partition_bytes_max: 1024 * 1024,
        }
    }
}
