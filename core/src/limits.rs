//! The maximum of every queue, buffer, loop and retry.
//!
//! A limit that an operator may change is the default of a configuration key; the others are fixed.

use std::time::Duration;

/// Bytes of one request frame, length prefix excluded (`socket.request.max.bytes`).
pub const REQUEST_BYTES_MAX: u32 = 100 * 1024 * 1024;

/// Bytes of one record batch that a topic accepts (`message.max.bytes`).
pub const BATCH_BYTES_MAX: u32 = 1024 * 1024 + 12;

/// Bytes that one batch may decompress to. Validation streams, so this bounds work, not memory.
pub const DECOMPRESSED_BATCH_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Bytes of a topic's name: it must leave room for a suffix in a directory's name.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Batches of one producer that a partition remembers, so that a retry is recognised (KIP-98).
pub const PRODUCER_BATCHES_REMEMBERED: usize = 5;

/// Requests that a client has in flight on one connection: a broker remembers five batches of a producer.
pub const CLIENT_REQUESTS_IN_FLIGHT_MAX: usize = 5;

/// Calls of a client that wait for their broker or their answer.
pub const CLIENT_CALLS_MAX: usize = 1000;

/// Bytes of one response frame that a client accepts: a fetch may exceed its own limits by one batch.
pub const RESPONSE_BYTES_MAX: u32 = 256 * 1024 * 1024;

/// Records of one rejected batch that the answer names one by one.
pub const RECORD_ERRORS_MAX: usize = 100;

/// Partitions that one CreateTopics or CreatePartitions request may create.
pub const CREATED_PARTITIONS_MAX: usize = 10_000;

/// Producer ids that a broker gets from the controller at once.
pub const PRODUCER_IDS_PER_BLOCK: i64 = 1000;

/// Bytes of the batch that holds one decision of the controller.
pub const METADATA_BATCH_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// Decisions of one machine that may wait for their commit.
pub const UNCOMMITTED_DECISIONS_MAX: usize = 10_000;

/// Unanswered requests of one connection; past them it is not read.
pub const CONNECTION_REQUESTS_MAX: usize = 128;

/// Bytes of the unanswered requests of one connection; past them it is not read. One request may be larger.
pub const CONNECTION_REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Partitions that one fetch may read, sessions included.
pub const FETCH_PARTITIONS_MAX: usize = 100_000;

/// Bytes accepted while a sync runs from which on more is thought to be on its way.
pub const SYNC_BULK_BYTES: u64 = 64 * 1024;

/// Time between two syncs of a shard that gathers bulk traffic: about what a producer lingers (`linger.ms` is 5 by default).
pub const SYNC_INTERVAL_UNDER_BULK: Duration = Duration::from_millis(4);

/// Bytes that are synced at once, however long ago the last sync was.
pub const SYNC_GATHERED_BYTES_MAX: u64 = 1024 * 1024;

/// How often every log writes a checkpoint, so that recovery has little to read.
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(60);

/// Bytes appended to one log after which it writes a checkpoint at once.
pub const CHECKPOINT_BYTES: u64 = 64 * 1024 * 1024;

/// Time that a fetch may wait for bytes, whatever the client asks for.
pub const FETCH_WAIT_MAX: Duration = Duration::from_secs(5 * 60);

/// Time that a produce request may wait for replication, whatever the client asks for.
pub const PRODUCE_WAIT_MAX: Duration = Duration::from_secs(15 * 60);

/// Partitions in one answer of DescribeTopicPartitions.
pub const DESCRIBED_PARTITIONS_MAX: usize = 2000;

/// Bytes of one configuration value: what a string on the wire may have. Values grow when elements are appended to lists.
pub const CONFIG_VALUE_BYTES_MAX: usize = i16::MAX as usize;

/// Bytes of a group coordinator's log that one job reads, but for a batch that is larger.
pub const LOAD_BYTES: u64 = 1024 * 1024;

/// Requests that wait in one group coordinator for other members, or for their commit.
pub const COORDINATOR_REQUESTS_MAX: usize = 100_000;

/// After how long a group coordinator tries again to write what it could not.
pub const COORDINATOR_RETRY: Duration = Duration::from_millis(500);

/// Bytes that the members of one classic group may say of themselves: they are one record of the log, and the leader gets
/// all of them in one answer.
pub const CLASSIC_GROUP_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes that are kept of why a group has rebalanced: clients have a say in that.
pub const REBALANCE_REASON_BYTES_MAX: usize = 1024;

/// Members of one group that were given an id and have not come back with it.
pub const GROUP_PENDING_MEMBERS_MAX: usize = 10_000;

/// Committed offsets that one decision looks at, one group aside, when it looks for expired ones.
pub const SWEPT_OFFSETS_MAX: usize = 10_000;

/// Bytes of names in the tombstones that such a decision writes.
pub const SWEPT_BYTES_MAX: usize = 512 * 1024;

/// Bytes of a regular expression that a consumer subscribes by.
pub const REGEX_BYTES_MAX: usize = 4096;

/// Bytes of such an expression when it is compiled: they bound the time of a match.
pub const REGEX_PROGRAM_BYTES_MAX: usize = 16 * 1024;
