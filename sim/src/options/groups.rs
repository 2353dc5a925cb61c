//! What one seed draws for groups.

use std::collections::BTreeSet;

use super::{ConsumerOptions, Options, Range};
use crate::rng::Stream;

/// One group of consumers.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// Its name.
    pub name: String,
    /// Which protocol its members speak.
    pub protocol: GroupProtocol,
    /// Whether members of the classic protocol keep what they own while they join again (KIP-429).
    pub is_cooperative: bool,
    /// The assignor that members of the consumer protocol ask for.
    pub assignor: Option<&'static str>,
    /// The topics that it reads, by number.
    pub topics: BTreeSet<usize>,
    /// For how long nothing may be heard of a member.
    pub session_timeout_ms: i32,
    /// How long members have to join again.
    pub rebalance_timeout_ms: i32,
    /// Its members.
    pub members: Vec<MemberOptions>,
}

/// Which protocol the members of a group speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupProtocol {
    /// JoinGroup and SyncGroup.
    Classic,
    /// ConsumerGroupHeartbeat (KIP-848).
    Consumer,
    /// Some this, some that, and who comes back may have changed its mind.
    Mixed,
}

/// One member of a group.
#[derive(Clone, Debug)]
pub struct MemberOptions {
    /// Whether it speaks the consumer protocol at first.
    pub speaks_consumer: bool,
    /// The version of ConsumerGroupHeartbeat that it speaks.
    pub heartbeat_version: i16,
    /// Whether it names its topics by a regular expression, where that can be said.
    pub uses_regex: bool,
    /// Whether it has a name that outlives it.
    pub is_static: bool,
    /// How it reads.
    pub reading: ConsumerOptions,
    /// How long it leaves what it has processed without a commit.
    pub commit: Range,
    /// How often, when it could do something, it stands still for a while instead.
    pub stall_per_mille: u32,
    /// How often it vanishes.
    pub crash_per_mille: u32,
    /// How often it leaves.
    pub leave_per_mille: u32,
}

/// The shortest session that members ask for: several of their steps and syncs, so that nothing ends by itself.
pub const GROUP_SESSION_MS_MIN: u64 = 500;

/// More bytes than a coordinator writes at once for groups of this size.
const GROUP_DECISION_BYTES_MAX: u64 = 4096;

/// Draws who reads together.
pub fn draw(topics: usize, rng: &mut Stream) -> Vec<GroupOptions> {
    let count = *rng.pick(&[0, 0, 0, 1, 1, 2]);
    (0..count).map(|number| GroupOptions::draw(number, topics, rng)).collect()
}

impl GroupOptions {
    fn draw(number: usize, topics: usize, rng: &mut Stream) -> Self {
        let all = rng.chance(700);
        let only = rng.index(topics);
        let wild = *rng.pick(&[0, 2, 10]);
        let members = rng.between(1, 3);
        Self {
            name: format!("group-{number}"),
            protocol: GroupProtocol::Classic,
            is_cooperative: false,
            assignor: None,
            topics: (0..topics).filter(|topic| all || *topic == only).collect(),
            session_timeout_ms: rng.skewed(GROUP_SESSION_MS_MIN, 3000) as i32,
            rebalance_timeout_ms: rng.skewed(GROUP_SESSION_MS_MIN, 3000) as i32,
            members: (0..members).map(|_| MemberOptions::draw(wild, rng)).collect(),
        }
    }

    fn draw_protocol(&mut self, rng: &mut Stream) {
        use GroupProtocol::{Classic, Consumer, Mixed};
        self.protocol = *rng.pick(&[Classic, Classic, Classic, Consumer, Consumer, Consumer, Consumer, Mixed]);
        self.assignor = *rng.pick(&[None, Some("uniform"), Some("range")]);
        self.is_cooperative = rng.chance(400);
        for member in &mut self.members {
            member.speaks_consumer = match self.protocol {
                Classic => false,
                Consumer => true,
                Mixed => rng.chance(500),
            };
            member.heartbeat_version = rng.between(0, 1) as i16;
            member.uses_regex = rng.chance(150);
        }
    }
}

impl MemberOptions {
    fn draw(wild: u32, rng: &mut Stream) -> Self {
        let mut reading = ConsumerOptions::draw(rng);
        reading.think = Range::draw((10_000, 50_000), 3, rng);
        reading.wait_ms_max = rng.skewed(50, 500) as i32;
        Self {
            speaks_consumer: false,
            heartbeat_version: 0,
            uses_regex: false,
            is_static: rng.chance(300),
            reading,
            commit: Range::draw((10_000, 300_000), 5, rng),
            stall_per_mille: if rng.chance(500) { wild } else { 0 },
            crash_per_mille: if rng.chance(500) { wild } else { 0 },
            leave_per_mille: if rng.chance(500) { wild } else { 0 },
        }
    }
}

impl Options {
    /// Lets some groups speak the consumer protocol.
    pub(super) fn with_consumer_groups(mut self, rng: &mut Stream) -> Self {
        for group in &mut self.groups {
            group.draw_protocol(rng);
        }
        for broker in &mut self.brokers {
            let session = rng.skewed(GROUP_SESSION_MS_MIN, 3000);
            let interval = rng.skewed(30, session / 4);
            let configs = [
                ("group.consumer.min.session.timeout.ms", session),
                ("group.consumer.session.timeout.ms", session),
                ("group.consumer.min.heartbeat.interval.ms", interval),
                ("group.consumer.heartbeat.interval.ms", interval),
            ];
            broker.configs.extend(configs.map(|(key, value)| (key, value.to_string())));
        }
        self
    }

    /// Lets logs of groups roll and be compacted often, in some worlds.
    pub(super) fn with_small_group_logs(mut self, rng: &mut Stream) -> Self {
        for broker in &mut self.brokers {
            if rng.chance(400) {
                let segment_bytes = rng.skewed(GROUP_DECISION_BYTES_MAX, 20_000);
                broker.configs.push(("internal.log.segment.bytes", segment_bytes.to_string()));
                broker.configs.push(("log.cleaner.min.cleanable.ratio", format!("0.{}", rng.below(6))));
            }
        }
        self
    }
}
