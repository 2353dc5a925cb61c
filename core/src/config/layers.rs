//! Which of several places a value comes from.

use std::borrow::Cow;

use super::Configs;
use super::broker_keys::broker_key;
use super::key::{Key, Value};

/// Where a value was set, with DescribeConfigs' code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// On the topic.
    Topic = 1,
    /// On this broker, while it ran.
    DynamicBroker = 2,
    /// On all brokers, while they ran.
    DynamicDefaultBroker = 3,
    /// In the broker's file, environment or arguments.
    StaticBroker = 4,
    /// Nowhere: the key's default.
    Default = 5,
    /// On the group.
    Group = 8,
}

/// A value, under the name by which it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<'a> {
    /// The key: the topic's or group's, or one of its synonyms on the broker.
    pub name: &'static str,
    /// As it was written.
    pub value: &'a str,
    /// Where it was set.
    pub source: Source,
    /// What it must be multiplied with to be a value of the key that was asked for.
    scale: i64,
}

/// The places where a broker's keys are set, the one that counts most first.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    /// On this broker, while it ran.
    pub dynamic: &'a Configs,
    /// On all brokers, while they ran.
    pub dynamic_default: &'a Configs,
    /// In this broker's file, environment or arguments.
    pub fixed: &'a Configs,
}

impl<'a> Layers<'a> {
    /// Every place where a broker's key has a value, the one that counts first.
    pub fn broker_settings(&self, key: &'static Key) -> Vec<Setting<'a>> {
        let mut settings: Vec<_> = self.set(key, 1).collect();
        settings.extend(default_of(key, 1));
        settings
    }

    /// Every place where a topic's key has a value, the one that counts first. Empty where only the topic key's own
    /// default counts.
    pub fn topic_settings(&self, topic: &'a Configs, key: &'static Key) -> Vec<Setting<'a>> {
        self.own_settings(topic, Source::Topic, key)
    }

    /// Every place where a group's key has a value, the one that counts first.
    pub fn group_settings(&self, group: &'a Configs, key: &'static Key) -> Vec<Setting<'a>> {
        self.own_settings(group, Source::Group, key)
    }

    fn own_settings(&self, configs: &'a Configs, source: Source, key: &'static Key) -> Vec<Setting<'a>> {
        let own = setting(configs, key, source, 1);
        let synonyms = || {
            let broker = |name| broker_key(name).expect("a test finds every synonym in the broker's table");
            key.synonyms.iter().map(move |synonym| (broker(synonym.key), synonym.scale))
        };
        let set = synonyms().flat_map(|(key, scale)| self.set(key, scale));
        let defaults = synonyms().filter_map(|(key, scale)| default_of(key, scale));
        own.into_iter().chain(set).chain(defaults).collect()
    }

    fn set(&self, key: &'static Key, scale: i64) -> impl Iterator<Item = Setting<'a>> {
        [
            setting(self.dynamic, key, Source::DynamicBroker, scale),
            setting(self.dynamic_default, key, Source::DynamicDefaultBroker, scale),
            setting(self.fixed, key, Source::StaticBroker, scale),
        ]
        .into_iter()
        .flatten()
    }
}

impl Setting<'_> {
    /// The value in the unit of the key that was asked for.
    pub fn scaled(&self) -> Cow<'_, str> {
        if self.scale == 1 {
            return Cow::Borrowed(self.value);
        }
        match self.value.trim().parse::<i64>() {
            Ok(number) if number < 0 => Cow::Borrowed("-1"),
            Ok(number) => Cow::Owned(number.saturating_mul(self.scale).to_string()),
            Err(_) => Cow::Borrowed(self.value),
        }
    }
}

/// The value that counts: the first of `settings` that is valid, else the key's default; `None` is null.
pub(super) fn effective(key: &Key, settings: &[Setting<'_>]) -> Option<Value> {
    let set = settings.iter().find_map(|setting| key.parse(&setting.scaled()).ok());
    set.or_else(|| key.default.map(|default| key.parse(default).expect("a test parses every default")))
}

fn setting<'a>(configs: &'a Configs, key: &'static Key, source: Source, scale: i64) -> Option<Setting<'a>> {
    let value = configs.get(key.name)?;
    Some(Setting { name: key.name, value, source, scale })
}

fn default_of(key: &'static Key, scale: i64) -> Option<Setting<'static>> {
    Some(Setting { name: key.name, value: key.default?, source: Source::Default, scale })
}
