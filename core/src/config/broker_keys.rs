//! The keys of a broker.

use super::key::{self, Check, Key, Kind};

const MAX_INT: &str = "2147483647";
const MAX_LONG: &str = "9223372036854775807";

/// All keys of a broker, sorted by name.
pub const BROKER_KEYS: &[Key] = &[
    Key::new(
        "advertised.listeners",
        Kind::List,
        None,
        Check::Any,
        "The addresses that clients are told, as NAME://HOST:PORT for each listener whose own address they cannot use.",
    )
    .read_only(),
    Key::new(
        "auto.create.topics.enable",
        Kind::Boolean,
        Some("true"),
        Check::Any,
        "Whether a topic comes into being when a client asks for its metadata.",
    )
    .read_only(),
    Key::new("broker.rack", Kind::String, None, Check::Any, "Where the broker stands: replicas spread over racks.")
        .read_only(),
    Key::new(
        "cluster.id",
        Kind::String,
        None,
        Check::With(cluster_id),
        "Highwater's own: the cluster to found, or the only one that the data directory may belong to.",
    )
    .read_only(),
    Key::new(
        "compression.gzip.level",
        Kind::Int,
        Some("-1"),
        Check::BetweenOr(1, 9, -1),
        "The default of the topics' compression.gzip.level.",
    ),
    Key::new(
        "compression.lz4.level",
        Kind::Int,
        Some("9"),
        Check::Between(1, 17),
        "The default of the topics' compression.lz4.level.",
    )
    .only_kept(),
    Key::new(
        "compression.type",
        Kind::String,
        Some("producer"),
        Check::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        "The default of the topics' compression.type.",
    ),
    Key::new(
        "compression.zstd.level",
        Kind::Int,
        Some("3"),
        Check::Between(-131_072, 22),
        "The default of the topics' compression.zstd.level.",
    ),
    Key::new(
        "connections.max.idle.ms",
        Kind::Long,
        Some("600000"),
        Check::Any,
        "After how long a connection without requests is closed; a negative number is never.",
    )
    .read_only(),
    Key::new(
        "default.replication.factor",
        Kind::Int,
        Some("1"),
        Check::Between(1, 32767),
        "How many replicas a topic gets whose creator does not say.",
    )
    .read_only(),
    Key::new("delete.topic.enable", Kind::Boolean, Some("true"), Check::Any, "Whether topics can be deleted.")
        .read_only(),
    Key::new(
        "fetch.max.bytes",
        Kind::Int,
        Some("57671680"),
        Check::AtLeast(1024),
        "The most that one fetch is answered with, whatever the client asks for.",
    )
    .read_only(),
    Key::new(
        "group.consumer.heartbeat.interval.ms",
        Kind::Int,
        Some("5000"),
        Check::AtLeast(1),
        "The default of the groups' consumer.heartbeat.interval.ms.",
    )
    .read_only(),
    Key::new(
        "group.consumer.max.heartbeat.interval.ms",
        Kind::Int,
        Some("15000"),
        Check::AtLeast(1),
        "The longest consumer.heartbeat.interval.ms that a group may have.",
    )
    .read_only(),
    Key::new(
        "group.consumer.max.session.timeout.ms",
        Kind::Int,
        Some("60000"),
        Check::AtLeast(1),
        "The longest consumer.session.timeout.ms that a group may have.",
    )
    .read_only(),
    Key::new(
        "group.consumer.max.size",
        Kind::Int,
        Some("2147483647"),
        Check::AtLeast(1),
        "How many members a consumer group may have.",
    )
    .read_only(),
    Key::new(
        "group.consumer.migration.policy",
        Kind::String,
        Some("bidirectional"),
        Check::OneOf(&["disabled", "upgrade", "downgrade", "bidirectional"]),
        "Whether groups that have members may change from the classic to the consumer protocol, or back.",
    )
    .read_only(),
    Key::new(
        "group.consumer.min.heartbeat.interval.ms",
        Kind::Int,
        Some("5000"),
        Check::AtLeast(1),
        "The shortest consumer.heartbeat.interval.ms that a group may have.",
    )
    .read_only(),
    Key::new(
        "group.consumer.min.session.timeout.ms",
        Kind::Int,
        Some("45000"),
        Check::AtLeast(1),
        "The shortest consumer.session.timeout.ms that a group may have.",
    )
    .read_only(),
    Key::new(
        "group.consumer.session.timeout.ms",
        Kind::Int,
        Some("45000"),
        Check::AtLeast(1),
        "The default of the groups' consumer.session.timeout.ms.",
    )
    .read_only(),
    Key::new(
        "group.initial.rebalance.delay.ms",
        Kind::Int,
        Some("0"),
        Check::AtLeast(0),
        "How long the first rebalance of an empty group waits for more members. Kafka waits for 3000.",
    )
    .read_only(),
    Key::new(
        "group.max.session.timeout.ms",
        Kind::Int,
        Some("1800000"),
        Check::AtLeast(0),
        "The longest session that a member of a classic group may ask for.",
    )
    .read_only(),
    Key::new(
        "group.max.size",
        Kind::Int,
        Some("2147483647"),
        Check::AtLeast(1),
        "How many members a classic group may have.",
    )
    .read_only(),
    Key::new(
        "group.min.session.timeout.ms",
        Kind::Int,
        Some("6000"),
        Check::AtLeast(0),
        "The shortest session that a member of a classic group may ask for.",
    )
    .read_only(),
    Key::new(
        "internal.log.segment.bytes",
        Kind::Int,
        None,
        Check::AtLeast(0),
        "As log.segment.bytes and before it, without its lower bound: for tests.",
    )
    .internal(),
    Key::new(
        "listener.security.protocol.map",
        Kind::String,
        Some("PLAINTEXT:PLAINTEXT"),
        Check::Any,
        "What is spoken on each listener, as NAME:PROTOCOL pairs. This version speaks PLAINTEXT only.",
    )
    .read_only(),
    Key::new(
        "listeners",
        Kind::List,
        Some("PLAINTEXT://127.0.0.1:9092"),
        Check::Any,
        "Where the broker listens, as NAME://HOST:PORT; an empty host is every address, port 0 any free one.",
    )
    .read_only(),
    Key::new(
        "log.cleaner.backoff.ms",
        Kind::Long,
        Some("15000"),
        Check::AtLeast(0),
        "How long a shard waits before it looks again for a log to compact, where it found none.",
    )
    .read_only(),
    Key::new(
        "log.cleaner.dedupe.buffer.size",
        Kind::Long,
        Some("134217728"),
        Check::AtLeast(0),
        "How much memory compaction may use, in all shards together, to remember the newest offset of each key. A log with \
         more keys is compacted in several rounds.",
    )
    .read_only(),
    Key::new(
        "log.cleaner.delete.retention.ms",
        Kind::Long,
        Some("86400000"),
        Check::AtLeast(0),
        "The default of the topics' delete.retention.ms.",
    ),
    Key::new(
        "log.cleaner.io.buffer.size",
        Kind::Int,
        Some("524288"),
        Check::AtLeast(0),
        "How many bytes one step of a compaction reads.",
    )
    .read_only(),
    Key::new(
        "log.cleaner.io.max.bytes.per.second",
        Kind::Double,
        Some("1.7976931348623157E308"),
        Check::With(positive),
        "How many bytes compaction reads and writes in a second at most, in all shards together.",
    )
    .read_only(),
    Key::new(
        "log.cleaner.max.compaction.lag.ms",
        Kind::Long,
        Some(MAX_LONG),
        Check::AtLeast(1),
        "The default of the topics' max.compaction.lag.ms.",
    ),
    Key::new(
        "log.cleaner.min.cleanable.ratio",
        Kind::Double,
        Some("0.5"),
        Check::Fraction,
        "The default of the topics' min.cleanable.dirty.ratio.",
    ),
    Key::new(
        "log.cleaner.min.compaction.lag.ms",
        Kind::Long,
        Some("0"),
        Check::AtLeast(0),
        "The default of the topics' min.compaction.lag.ms.",
    ),
    Key::new(
        "log.cleanup.policy",
        Kind::List,
        Some("delete"),
        Check::OneOf(&["compact", "delete"]),
        "The default of the topics' cleanup.policy.",
    ),
    Key::new(
        "log.dirs",
        Kind::List,
        Some("highwater-data"),
        Check::With(one_directory),
        "The data directory. Highwater has one; log.dir is another name for it.",
    )
    .read_only(),
    Key::new(
        "log.flush",
        Kind::String,
        Some("sync"),
        Check::OneOf(&["sync", "page-cache"]),
        "Highwater's own: the default of the topics' flush.",
    ),
    Key::new(
        "log.flush.interval.messages",
        Kind::Long,
        Some(MAX_LONG),
        Check::AtLeast(1),
        "The default of the topics' flush.messages.",
    )
    .only_kept(),
    Key::new("log.flush.interval.ms", Kind::Long, None, Check::AtLeast(0), "The default of the topics' flush.ms.")
        .only_kept(),
    Key::new(
        "log.format",
        Kind::String,
        Some("text"),
        Check::OneOf(&["json", "text"]),
        "Highwater's own: whether the process writes its log for people or as JSON.",
    )
    .read_only(),
    Key::new(
        "log.index.interval.bytes",
        Kind::Int,
        Some("4096"),
        Check::AtLeast(0),
        "The default of the topics' index.interval.bytes.",
    ),
    Key::new(
        "log.index.size.max.bytes",
        Kind::Int,
        Some("10485760"),
        Check::AtLeast(4),
        "The default of the topics' segment.index.bytes.",
    )
    .only_kept(),
    Key::new(
        "log.level",
        Kind::String,
        Some("info"),
        Check::OneOf(&["error", "warn", "info", "debug", "trace"]),
        "Highwater's own: how much the process writes to its log.",
    )
    .read_only(),
    Key::new(
        "log.message.timestamp.after.max.ms",
        Kind::Long,
        Some("3600000"),
        Check::AtLeast(0),
        "The default of the topics' message.timestamp.after.max.ms.",
    ),
    Key::new(
        "log.message.timestamp.before.max.ms",
        Kind::Long,
        Some(MAX_LONG),
        Check::AtLeast(0),
        "The default of the topics' message.timestamp.before.max.ms.",
    ),
    Key::new(
        "log.message.timestamp.type",
        Kind::String,
        Some("CreateTime"),
        Check::OneOf(&["CreateTime", "LogAppendTime"]),
        "The default of the topics' message.timestamp.type.",
    ),
    Key::new("log.preallocate", Kind::Boolean, Some("false"), Check::Any, "The default of the topics' preallocate.")
        .only_kept(),
    Key::new("log.retention.bytes", Kind::Long, Some("-1"), Check::Any, "The default of the topics' retention.bytes."),
    Key::new(
        "log.retention.check.interval.ms",
        Kind::Long,
        Some("300000"),
        Check::AtLeast(1),
        "How often the broker looks for segments that are to be deleted.",
    )
    .read_only(),
    Key::new(
        "log.retention.hours",
        Kind::Int,
        Some("168"),
        Check::AtLeast(-1),
        "The default of the topics' retention.ms, in hours.",
    )
    .read_only(),
    Key::new(
        "log.retention.minutes",
        Kind::Int,
        None,
        Check::AtLeast(-1),
        "The default of the topics' retention.ms, in minutes.",
    )
    .read_only(),
    Key::new("log.retention.ms", Kind::Long, None, Check::AtLeast(-1), "The default of the topics' retention.ms."),
    Key::new(
        "log.roll.hours",
        Kind::Int,
        Some("168"),
        Check::AtLeast(1),
        "The default of the topics' segment.ms, in hours.",
    )
    .read_only(),
    Key::new(
        "log.roll.jitter.hours",
        Kind::Int,
        Some("0"),
        Check::AtLeast(0),
        "The default of the topics' segment.jitter.ms, in hours.",
    )
    .read_only()
    .only_kept(),
    Key::new(
        "log.roll.jitter.ms",
        Kind::Long,
        None,
        Check::AtLeast(0),
        "The default of the topics' segment.jitter.ms.",
    )
    .only_kept(),
    Key::new("log.roll.ms", Kind::Long, None, Check::AtLeast(1), "The default of the topics' segment.ms."),
    Key::new(
        "log.segment.bytes",
        Kind::Int,
        Some("1073741824"),
        Check::AtLeast(1024 * 1024),
        "The default of the topics' segment.bytes.",
    ),
    Key::new(
        "log.segment.delete.delay.ms",
        Kind::Long,
        Some("60000"),
        Check::AtLeast(0),
        "The default of the topics' file.delete.delay.ms.",
    )
    .only_kept(),
    Key::new(
        "max.connections",
        Kind::Int,
        Some(MAX_INT),
        Check::AtLeast(0),
        "How many connections the broker holds at once; more are closed as they come.",
    )
    .read_only(),
    Key::new(
        "max.connections.per.ip",
        Kind::Int,
        Some(MAX_INT),
        Check::AtLeast(0),
        "How many connections the broker holds at once from one address.",
    )
    .read_only(),
    Key::new(
        "max.incremental.fetch.session.cache.slots",
        Kind::Int,
        Some("1000"),
        Check::AtLeast(0),
        "How many fetch sessions the broker remembers.",
    )
    .read_only(),
    Key::new(
        "message.max.bytes",
        Kind::Int,
        Some("1048588"),
        Check::AtLeast(0),
        "The default of the topics' max.message.bytes.",
    ),
    Key::new(
        "min.insync.replicas",
        Kind::Int,
        Some("1"),
        Check::AtLeast(1),
        "The default of the topics' min.insync.replicas.",
    ),
    Key::new(
        "node.id",
        Kind::Int,
        Some("1"),
        Check::AtLeast(0),
        "The broker's number, unique in its cluster; broker.id is another name for it.",
    )
    .read_only(),
    Key::new(
        "num.partitions",
        Kind::Int,
        Some("1"),
        Check::AtLeast(1),
        "How many partitions a topic gets whose creator does not say.",
    )
    .read_only(),
    Key::new(
        "num.shards",
        Kind::Int,
        Some("0"),
        Check::Between(0, 1024),
        "Highwater's own: over how many threads the partitions are spread; 0 is one for each core.",
    )
    .read_only(),
    Key::new(
        "offset.metadata.max.bytes",
        Kind::Int,
        Some("4096"),
        Check::AtLeast(0),
        "How many bytes the note on a committed offset may have.",
    )
    .read_only(),
    Key::new(
        "offsets.retention.check.interval.ms",
        Kind::Long,
        Some("600000"),
        Check::AtLeast(1),
        "How often offsets that have expired are looked for.",
    )
    .read_only(),
    Key::new(
        "offsets.retention.minutes",
        Kind::Int,
        Some("10080"),
        Check::AtLeast(1),
        "How long offsets are kept after their group has lost its last member.",
    )
    .read_only(),
    Key::new(
        "offsets.topic.num.partitions",
        Kind::Int,
        Some("16"),
        Check::AtLeast(1),
        "How many partitions __consumer_offsets gets when it is made; groups are spread over them. Kafka makes 50.",
    )
    .read_only(),
    Key::new(
        "offsets.topic.replication.factor",
        Kind::Short,
        Some("3"),
        Check::AtLeast(1),
        "How many replicas __consumer_offsets gets when it is made, or as many as there are brokers.",
    )
    .read_only(),
    Key::new(
        "offsets.topic.segment.bytes",
        Kind::Int,
        Some("104857600"),
        Check::AtLeast(1),
        "The segment.bytes of __consumer_offsets when it is made.",
    )
    .read_only(),
    Key::new(
        "producer.id.expiration.ms",
        Kind::Int,
        Some("86400000"),
        Check::AtLeast(1),
        "How long a partition remembers a producer that has fallen silent.",
    )
    .read_only(),
    Key::new(
        "queued.max.unsynced.bytes",
        Kind::Long,
        Some("67108864"),
        Check::AtLeast(1024 * 1024),
        "Highwater's own: how many bytes a shard accepts ahead of the disk; past them producers are not read.",
    )
    .read_only(),
    Key::new(
        "socket.request.max.bytes",
        Kind::Int,
        Some("104857600"),
        Check::AtLeast(1),
        "The largest request that is read.",
    )
    .read_only(),
    Key::new(
        "unclean.leader.election.enable",
        Kind::Boolean,
        Some("false"),
        Check::Any,
        "The default of the topics' unclean.leader.election.enable.",
    )
    .only_kept(),
];

/// Other names, and the key that each stands for.
pub(super) const ALIASES: &[(&str, &str)] = &[("broker.id", "node.id"), ("log.dir", "log.dirs")];

/// The key with this name.
pub fn broker_key(name: &str) -> Option<&'static Key> {
    key::find(BROKER_KEYS, name)
}

fn positive(text: &str) -> Result<(), String> {
    if text.parse().is_ok_and(|number: f64| number > 0.0) { Ok(()) } else { Err("must be greater than 0".into()) }
}

fn cluster_id(text: &str) -> Result<(), String> {
    let is_base64url = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if text.len() == 22 && is_base64url {
        Ok(())
    } else {
        Err("must be 22 characters of letters, digits, - and _".into())
    }
}

fn one_directory(text: &str) -> Result<(), String> {
    match text {
        "" => Err("must name a directory".into()),
        _ if text.contains(',') => Err("must name a single directory: several are not supported".into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_defaults_are_valid() {
        assert!(BROKER_KEYS.is_sorted_by(|left, right| left.name < right.name));
        for key in BROKER_KEYS {
            assert!(key.default.is_none_or(|default| key.parse(default).is_ok()), "{}", key.name);
            assert!(key.documentation().ends_with('.'), "{}", key.name);
        }
        for (alias, name) in ALIASES {
            assert!(broker_key(alias).is_none() && broker_key(name).is_some(), "{alias}");
        }
    }
}
