//! The keys of a group.
//!
//! Deliberately absent: the keys of share and streams groups, which do not exist here, and
//! `consumer.assignment.interval.ms`: an assignment is computed as soon as it is needed.

use super::key::{self, Check, Key, Kind, Synonym};

/// All keys of a group, sorted by name.
pub const GROUP_KEYS: &[Key] = &[
    Key::new(
        "consumer.heartbeat.interval.ms",
        Kind::Int,
        Some("5000"),
        Check::AtLeast(1),
        "How often a member of the consumer group is asked to send a heartbeat.",
    )
    .from(&[Synonym::same("group.consumer.heartbeat.interval.ms")]),
    Key::new(
        "consumer.session.timeout.ms",
        Kind::Int,
        Some("45000"),
        Check::AtLeast(1),
        "How long nothing may be heard of a member of the consumer group before it is put out.",
    )
    .from(&[Synonym::same("group.consumer.session.timeout.ms")]),
];

/// Keys of the broker between whose values that of a group's key, and its default, must lie.
pub(super) struct Bounds {
    pub key: &'static str,
    pub default: &'static str,
    pub min: &'static str,
    pub max: &'static str,
}

pub(super) const HEARTBEAT_INTERVAL: Bounds = Bounds {
    key: "consumer.heartbeat.interval.ms",
    default: "group.consumer.heartbeat.interval.ms",
    min: "group.consumer.min.heartbeat.interval.ms",
    max: "group.consumer.max.heartbeat.interval.ms",
};

pub(super) const SESSION_TIMEOUT: Bounds = Bounds {
    key: "consumer.session.timeout.ms",
    default: "group.consumer.session.timeout.ms",
    min: "group.consumer.min.session.timeout.ms",
    max: "group.consumer.max.session.timeout.ms",
};

/// The bounds of every key of a group, in the order of [`GROUP_KEYS`].
pub(super) const BOUNDS: [Bounds; 2] = [HEARTBEAT_INTERVAL, SESSION_TIMEOUT];

/// The key with this name.
pub fn group_key(name: &str) -> Option<&'static Key> {
    key::find(GROUP_KEYS, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::broker_key;

    #[test]
    fn every_key_has_the_brokers_default_and_bounds() {
        assert!(GROUP_KEYS.is_sorted_by(|left, right| left.name < right.name));
        assert_eq!(GROUP_KEYS.len(), BOUNDS.len());
        for (key, bounds) in GROUP_KEYS.iter().zip(BOUNDS) {
            assert_eq!((key.name, key.synonyms[0].key), (bounds.key, bounds.default));
            let broker = [bounds.default, bounds.min, bounds.max].map(|name| broker_key(name).unwrap());
            assert_eq!((broker[0].kind, broker[0].default), (key.kind, key.default));
            assert!(key.documentation().ends_with('.'), "{}", key.name);
        }
    }
}
