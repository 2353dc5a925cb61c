//! The keys of a topic.

use super::key::{self, Check, Key, Kind, Synonym};

const MAX_LONG: &str = "9223372036854775807";
const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;

/// All keys of a topic, sorted by name.
pub const TOPIC_KEYS: &[Key] = &[
    Key::new(
        "cleanup.policy",
        Kind::List,
        Some("delete"),
        Check::OneOf(&["compact", "delete"]),
        "What becomes of old records: delete removes segments by age and size, compact keeps only the newest record of \
         each key. Both may be named.",
    )
    .from(&[Synonym::same("log.cleanup.policy")]),
    Key::new(
        "compression.gzip.level",
        Kind::Int,
        Some("-1"),
        Check::BetweenOr(1, 9, -1),
        "The level for compression.type=gzip; -1 is the codec's own default.",
    )
    .from(&[Synonym::same("compression.gzip.level")]),
    Key::new(
        "compression.lz4.level",
        Kind::Int,
        Some("9"),
        Check::Between(1, 17),
        "The level for compression.type=lz4. Highwater's codec has a single level.",
    )
    .only_kept()
    .from(&[Synonym::same("compression.lz4.level")]),
    Key::new(
        "compression.type",
        Kind::String,
        Some("producer"),
        Check::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        "How batches are compressed on disk; producer leaves them as they arrive.",
    )
    .from(&[Synonym::same("compression.type")]),
    Key::new(
        "compression.zstd.level",
        Kind::Int,
        Some("3"),
        Check::Between(-131_072, 22),
        "The level for compression.type=zstd.",
    )
    .from(&[Synonym::same("compression.zstd.level")]),
    Key::new(
        "delete.retention.ms",
        Kind::Long,
        Some("86400000"),
        Check::AtLeast(0),
        "How long a compacted topic keeps the marks of deleted keys, counted from the compaction that meets them first.",
    )
    .from(&[Synonym::same("log.cleaner.delete.retention.ms")]),
    Key::new(
        "file.delete.delay.ms",
        Kind::Long,
        Some("60000"),
        Check::AtLeast(0),
        "How long a removed segment's file stays. Highwater removes it at once: readers keep what they hold.",
    )
    .only_kept()
    .from(&[Synonym::same("log.segment.delete.delay.ms")]),
    Key::new(
        "flush",
        Kind::String,
        Some("sync"),
        Check::OneOf(&["sync", "page-cache"]),
        "Highwater's own: when a record counts as written. sync waits until it is durable, so it survives losing power; \
         page-cache, as Apache Kafka does it, only until the operating system has it.",
    )
    .from(&[Synonym::same("log.flush")]),
    Key::new(
        "flush.messages",
        Kind::Long,
        Some(MAX_LONG),
        Check::AtLeast(1),
        "After how many records a log is synced under flush=page-cache. Under flush=sync each one is.",
    )
    .only_kept()
    .from(&[Synonym::same("log.flush.interval.messages")]),
    Key::new(
        "flush.ms",
        Kind::Long,
        Some(MAX_LONG),
        Check::AtLeast(0),
        "After how much time a log is synced under flush=page-cache. Under flush=sync each record is.",
    )
    .only_kept()
    .from(&[Synonym::same("log.flush.interval.ms")]),
    Key::new(
        "follower.replication.throttled.replicas",
        Kind::List,
        Some(""),
        Check::With(throttled_replicas),
        "Replicas whose catching up is throttled on the follower's side: partition:broker pairs, or *.",
    )
    .only_kept(),
    Key::new(
        "index.interval.bytes",
        Kind::Int,
        Some("4096"),
        Check::AtLeast(0),
        "How many bytes of records lie between two entries of a segment's index.",
    )
    .from(&[Synonym::same("log.index.interval.bytes")]),
    Key::new(
        "internal.segment.bytes",
        Kind::Int,
        None,
        Check::AtLeast(0),
        "As segment.bytes and before it, without its lower bound: for tests.",
    )
    .internal()
    .from(&[Synonym::same("internal.log.segment.bytes")]),
    Key::new(
        "leader.replication.throttled.replicas",
        Kind::List,
        Some(""),
        Check::With(throttled_replicas),
        "Replicas whose catching up is throttled on the leader's side: partition:broker pairs, or *.",
    )
    .only_kept(),
    Key::new(
        "local.retention.bytes",
        Kind::Long,
        Some("-2"),
        Check::AtLeast(-2),
        "Tiered storage: how much stays on the broker.",
    )
    .only_kept(),
    Key::new(
        "local.retention.ms",
        Kind::Long,
        Some("-2"),
        Check::AtLeast(-2),
        "Tiered storage: how long a segment stays on the broker.",
    )
    .only_kept(),
    Key::new(
        "max.compaction.lag.ms",
        Kind::Long,
        Some(MAX_LONG),
        Check::AtLeast(1),
        "After how long a record is compacted even if there is little to compact; its segment is closed for that.",
    )
    .from(&[Synonym::same("log.cleaner.max.compaction.lag.ms")]),
    Key::new(
        "max.message.bytes",
        Kind::Int,
        Some("1048588"),
        Check::AtLeast(0),
        "The largest batch that the topic takes, compressed.",
    )
    .from(&[Synonym::same("message.max.bytes")]),
    Key::new(
        "message.timestamp.after.max.ms",
        Kind::Long,
        Some("3600000"),
        Check::AtLeast(0),
        "How far a record's timestamp may lie ahead of the broker's clock.",
    )
    .from(&[Synonym::same("log.message.timestamp.after.max.ms")]),
    Key::new(
        "message.timestamp.before.max.ms",
        Kind::Long,
        Some(MAX_LONG),
        Check::AtLeast(0),
        "How far a record's timestamp may lie behind the broker's clock.",
    )
    .from(&[Synonym::same("log.message.timestamp.before.max.ms")]),
    Key::new(
        "message.timestamp.type",
        Kind::String,
        Some("CreateTime"),
        Check::OneOf(&["CreateTime", "LogAppendTime"]),
        "Whether a record keeps its producer's timestamp or gets the broker's.",
    )
    .from(&[Synonym::same("log.message.timestamp.type")]),
    Key::new(
        "min.cleanable.dirty.ratio",
        Kind::Double,
        Some("0.5"),
        Check::Fraction,
        "How much of a log must be uncompacted before compaction is worth its while.",
    )
    .from(&[Synonym::same("log.cleaner.min.cleanable.ratio")]),
    Key::new(
        "min.compaction.lag.ms",
        Kind::Long,
        Some("0"),
        Check::AtLeast(0),
        "How long a record stays uncompacted at least.",
    )
    .from(&[Synonym::same("log.cleaner.min.compaction.lag.ms")]),
    Key::new(
        "min.insync.replicas",
        Kind::Int,
        Some("1"),
        Check::AtLeast(1),
        "How many replicas must have a record before a producer with acks=all is answered.",
    )
    .from(&[Synonym::same("min.insync.replicas")]),
    Key::new(
        "preallocate",
        Kind::Boolean,
        Some("false"),
        Check::Any,
        "Whether a new segment's file gets its whole size at once.",
    )
    .only_kept()
    .from(&[Synonym::same("log.preallocate")]),
    Key::new(
        "remote.log.copy.disable",
        Kind::Boolean,
        Some("false"),
        Check::Only("false"),
        "Tiered storage: stops copying to the remote tier. Highwater has no tiers.",
    ),
    Key::new(
        "remote.log.delete.on.disable",
        Kind::Boolean,
        Some("false"),
        Check::Only("false"),
        "Tiered storage: removes the remote tier's data when it is switched off. Highwater has no tiers.",
    ),
    Key::new(
        "remote.storage.enable",
        Kind::Boolean,
        Some("false"),
        Check::Only("false"),
        "Tiered storage. Highwater has no tiers.",
    ),
    Key::new(
        "retention.bytes",
        Kind::Long,
        Some("-1"),
        Check::Any,
        "The size of a partition above which its oldest segments are deleted; -1 is no limit.",
    )
    .from(&[Synonym::same("log.retention.bytes")]),
    Key::new(
        "retention.ms",
        Kind::Long,
        Some("604800000"),
        Check::AtLeast(-1),
        "The age of a segment's youngest record at which the segment is deleted; -1 is never.",
    )
    .from(&[
        Synonym::same("log.retention.ms"),
        Synonym::scaled("log.retention.minutes", MINUTE_MS),
        Synonym::scaled("log.retention.hours", HOUR_MS),
    ]),
    Key::new(
        "segment.bytes",
        Kind::Int,
        Some("1073741824"),
        Check::AtLeast(1024 * 1024),
        "The size at which a segment is closed and the next one begun.",
    )
    .from(&[Synonym::same("log.segment.bytes")]),
    Key::new(
        "segment.index.bytes",
        Kind::Int,
        Some("10485760"),
        Check::AtLeast(4),
        "The largest index of a segment. Highwater's indexes are not allocated ahead, so they need no limit.",
    )
    .only_kept()
    .from(&[Synonym::same("log.index.size.max.bytes")]),
    Key::new(
        "segment.jitter.ms",
        Kind::Long,
        Some("0"),
        Check::AtLeast(0),
        "A random time taken off segment.ms, so that segments do not all roll at once.",
    )
    .only_kept()
    .from(&[Synonym::same("log.roll.jitter.ms"), Synonym::scaled("log.roll.jitter.hours", HOUR_MS)]),
    Key::new(
        "segment.ms",
        Kind::Long,
        Some("604800000"),
        Check::AtLeast(1),
        "The age at which a segment is closed and the next one begun.",
    )
    .from(&[Synonym::same("log.roll.ms"), Synonym::scaled("log.roll.hours", HOUR_MS)]),
    Key::new(
        "unclean.leader.election.enable",
        Kind::Boolean,
        Some("false"),
        Check::Any,
        "Whether a replica that may lack acknowledged records may become leader when no other is left.",
    )
    .only_kept()
    .from(&[Synonym::same("unclean.leader.election.enable")]),
];

/// The key with this name.
pub fn topic_key(name: &str) -> Option<&'static Key> {
    key::find(TOPIC_KEYS, name)
}

/// Checks a list of `partition:broker` pairs, or `*`.
fn throttled_replicas(text: &str) -> Result<(), String> {
    let is_pair = |pair: &str| {
        let Some((partition, broker)) = pair.trim().split_once(':') else { return false };
        partition.parse::<u32>().is_ok() && broker.parse::<u32>().is_ok()
    };
    if text.is_empty() || text == "*" || text.split(',').all(is_pair) {
        Ok(())
    } else {
        Err("must be * or a list of partition:broker pairs".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Value, broker_key};

    #[test]
    fn names_are_sorted_and_defaults_are_valid() {
        assert!(TOPIC_KEYS.is_sorted_by(|left, right| left.name < right.name));
        for key in TOPIC_KEYS {
            assert!(key.default.is_none_or(|default| key.parse(default).is_ok()), "{}", key.name);
            assert!(key.documentation().ends_with('.'), "{}", key.name);
        }
    }

    #[test]
    fn a_broker_synonym_has_the_same_type_and_default() {
        for key in TOPIC_KEYS {
            for synonym in key.synonyms {
                let broker = broker_key(synonym.key).unwrap_or_else(|| panic!("{} is in no table", synonym.key));
                let Some(default) = broker.default else { continue };
                if synonym.scale == 1 {
                    assert_eq!((broker.kind, Some(default)), (key.kind, key.default), "{}", synonym.key);
                } else {
                    let Ok(Value::Integer(number)) = broker.parse(default) else { panic!("{}", synonym.key) };
                    assert_eq!(Some((number * synonym.scale).to_string().as_str()), key.default, "{}", synonym.key);
                }
            }
        }
    }

    #[test]
    fn throttled_replicas_are_pairs_or_all() {
        for (text, valid) in
            [("", true), ("*", true), ("0:1, 1:2", true), ("0", false), ("0:x", false), ("*,0:1", false)]
        {
            assert_eq!(throttled_replicas(text).is_ok(), valid, "{text:?}");
        }
    }
}
