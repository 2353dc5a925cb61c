//! What a coordinator is told by the broker's configuration.

use std::time::Duration;

/// The keys of the broker that groups go by. Fields carry the names of their keys.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout: Duration,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout: Duration,
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay: Duration,
    /// `group.max.size`.
    pub max_size: usize,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_max_bytes: usize,
    /// `offsets.retention.minutes`.
    pub offsets_retention: Duration,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval: Duration,
    /// The keys that begin with `group.consumer`.
    pub consumer: ConsumerGroupConfig,
}

/// The keys that groups of the consumer protocol go by. Fields carry the names of their keys, behind `group.consumer`.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerGroupConfig {
    /// What counts for a group without values of its own.
    pub times: MemberTimes,
    /// `max.size`.
    pub max_size: usize,
    /// `migration.policy`.
    pub migration: MigrationPolicy,
}

/// What members of a group of the consumer protocol must keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberTimes {
    /// `session.timeout.ms`.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
}

/// Which groups may change their protocol while they have members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// None.
    Disabled,
    /// Classic groups become consumer groups.
    Upgrade,
    /// Consumer groups become classic groups.
    Downgrade,
    /// Both.
    Bidirectional,
}

impl MigrationPolicy {
    /// Whether a classic group may become a consumer group.
    pub fn allows_upgrade(self) -> bool {
        matches!(self, Self::Upgrade | Self::Bidirectional)
    }

    /// Whether a consumer group may become a classic group.
    pub fn allows_downgrade(self) -> bool {
        matches!(self, Self::Downgrade | Self::Bidirectional)
    }
}

impl Default for ConsumerGroupConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            times: MemberTimes { session_timeout: Duration::from_secs(45), heartbeat_interval: Duration::from_secs(5) },
            max_size: i32::MAX as usize,
            migration: MigrationPolicy::Bidirectional,
        }
    }
}

impl Default for GroupConfig {
    /// Kafka's defaults, but for the delay before the first rebalance: a single node need not wait for others to start.
    fn default() -> Self {
        Self {
            min_session_timeout: Duration::from_secs(6),
            max_session_timeout: Duration::from_secs(30 * 60),
            initial_rebalance_delay: Duration::ZERO,
            max_size: i32::MAX as usize,
            offset_metadata_max_bytes: 4096,
            offsets_retention: Duration::from_secs(7 * 24 * 60 * 60),
            offsets_retention_check_interval: Duration::from_secs(10 * 60),
            consumer: ConsumerGroupConfig::default(),
        }
    }
}
