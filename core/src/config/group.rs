//! A group's configuration, resolved and typed.

use std::time::Duration;

use super::error::Refusal;
use super::group_keys::{BOUNDS, Bounds, GROUP_KEYS, HEARTBEAT_INTERVAL, SESSION_TIMEOUT, group_key};
use super::key::{Value, parse_in};
use super::layers::{Layers, effective};
use super::reader::{Reader, known};
use super::{Configs, broker_key};
use crate::group::MemberTimes;

/// What counts for a group with these values of its own. One that lies beyond the bounds of today counts as the bound.
pub fn resolve_group(group: &Configs, broker: &Layers<'_>) -> MemberTimes {
    let millis = |bounds: &Bounds| {
        let key = known(group_key(bounds.key), bounds.key);
        let own = Reader(|_: &str| effective(key, &broker.group_settings(group, key)));
        let [min, max] = limits(bounds, broker);
        Duration::from_millis(own.integer::<u64>(bounds.key).clamp(min, max))
    };
    MemberTimes { session_timeout: millis(&SESSION_TIMEOUT), heartbeat_interval: millis(&HEARTBEAT_INTERVAL) }
}

/// Checks one key and value.
///
/// # Errors
/// If there is no such key, it does not take the value, or the value lies beyond the broker's bounds.
pub fn check_group_value(name: &str, value: &str, broker: &Layers<'_>) -> Result<(), Refusal> {
    let Value::Integer(number) = parse_in(GROUP_KEYS, name, value)? else { return Ok(()) };
    let bounds = BOUNDS.iter().find(|bounds| bounds.key == name).expect("a test finds bounds for every key");
    let [min, max] = limits(bounds, broker);
    if u64::try_from(number).is_ok_and(|number| (min..=max).contains(&number)) {
        return Ok(());
    }
    let reason = format!("must be between {min} and {max}, the broker's {} and {}", bounds.min, bounds.max);
    Err(Refusal::InvalidValue { key: name.to_owned(), value: value.to_owned(), reason })
}

/// Checks that a group's values go together, with what counts on this broker where it has none.
///
/// # Errors
/// The two keys that contradict each other.
pub fn check_group_configs(group: &Configs, broker: &Layers<'_>) -> Result<(), Refusal> {
    let times = resolve_group(group, broker);
    check_times(times, HEARTBEAT_INTERVAL.key, SESSION_TIMEOUT.key)
}

/// Checks that the broker's defaults for groups lie between its bounds and go together.
///
/// # Errors
/// The two keys that contradict each other.
pub(super) fn check_group_defaults<F: Fn(&str) -> Option<Value>>(read: &Reader<F>) -> Result<(), Refusal> {
    for Bounds { default, min, max, .. } in BOUNDS {
        let millis = |name| read.integer::<u64>(name);
        if millis(min) > millis(max) {
            return Err(Refusal::contradiction(min, max, "the minimum must not be larger than the maximum"));
        }
        if millis(default) < millis(min) {
            return Err(Refusal::contradiction(default, min, "the default must not be smaller than the minimum"));
        }
        if millis(default) > millis(max) {
            return Err(Refusal::contradiction(default, max, "the default must not be larger than the maximum"));
        }
    }
    let millis = |bounds: Bounds| Duration::from_millis(read.integer(bounds.default));
    let times =
        MemberTimes { session_timeout: millis(SESSION_TIMEOUT), heartbeat_interval: millis(HEARTBEAT_INTERVAL) };
    check_times(times, HEARTBEAT_INTERVAL.default, SESSION_TIMEOUT.default)
}

fn check_times(times: MemberTimes, heartbeat_interval: &str, session_timeout: &str) -> Result<(), Refusal> {
    if times.heartbeat_interval < times.session_timeout {
        return Ok(());
    }
    let reason = "a session must not end before its next heartbeat is due";
    Err(Refusal::contradiction(heartbeat_interval, session_timeout, reason))
}

/// The smallest and the largest value that the broker allows.
fn limits(bounds: &Bounds, broker: &Layers<'_>) -> [u64; 2] {
    [bounds.min, bounds.max].map(|name| {
        let key = known(broker_key(name), name);
        Reader(|_: &str| effective(key, &broker.broker_settings(key))).integer(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs(pairs: &[(&str, &str)]) -> Configs {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    /// The milliseconds of a session and between heartbeats.
    fn resolve(group: &[(&str, &str)], fixed: &[(&str, &str)]) -> (u128, u128) {
        let (group, fixed, none) = (configs(group), configs(fixed), Configs::new());
        let times = resolve_group(&group, &Layers { dynamic: &none, dynamic_default: &none, fixed: &fixed });
        (times.session_timeout.as_millis(), times.heartbeat_interval.as_millis())
    }

    #[test]
    fn a_groups_value_counts_before_the_brokers_and_within_its_bounds() {
        let own = [("consumer.session.timeout.ms", "50000")];
        let broker = [("group.consumer.heartbeat.interval.ms", "7000")];
        assert_eq!(resolve(&[], &[]), (45_000, 5000));
        assert_eq!(resolve(&own, &broker), (50_000, 7000));
        let lowered = [("group.consumer.max.session.timeout.ms", "48000")];
        assert_eq!(resolve(&own, &lowered), (48_000, 5000), "it was set when the bound was another");
        assert_eq!(resolve(&[("consumer.session.timeout.ms", "soon")], &[]), (45_000, 5000));
    }

    #[test]
    fn bad_group_configs_are_refused_with_a_reason() {
        let check = |group: &[(&str, &str)], fixed: &[(&str, &str)], expected: &str| {
            let (group, fixed, none) = (configs(group), configs(fixed), Configs::new());
            let layers = Layers { dynamic: &none, dynamic_default: &none, fixed: &fixed };
            let each = group.iter().try_for_each(|(key, value)| check_group_value(key, value, &layers));
            let refusal = each.and_then(|()| check_group_configs(&group, &layers)).expect_err(expected);
            assert_eq!(refusal.to_string(), expected);
        };
        check(
            &[("consumer.session.timeout", "1")],
            &[],
            "unknown key consumer.session.timeout: did you mean consumer.session.timeout.ms?",
        );
        check(
            &[("consumer.session.timeout.ms", "44999")],
            &[],
            "invalid value \"44999\" for consumer.session.timeout.ms: it must be between 45000 and 60000, the broker's \
             group.consumer.min.session.timeout.ms and group.consumer.max.session.timeout.ms",
        );
        check(
            &[("consumer.heartbeat.interval.ms", "0")],
            &[],
            "invalid value \"0\" for consumer.heartbeat.interval.ms: it must be at least 1",
        );
        check(
            &[("consumer.heartbeat.interval.ms", "15000"), ("consumer.session.timeout.ms", "15000")],
            &[("group.consumer.min.session.timeout.ms", "1000")],
            "consumer.heartbeat.interval.ms and consumer.session.timeout.ms contradict each other: \
             a session must not end before its next heartbeat is due",
        );
    }
}
