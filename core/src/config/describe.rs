//! What DescribeConfigs and CreateTopics say about configuration.

use highwater_wire::create_topics::CreatableTopicConfigs;
use highwater_wire::describe_configs::{DescribeConfigsResourceResult, DescribeConfigsSynonym};

use super::Configs;
use super::broker_keys::{BROKER_KEYS, broker_key};
use super::group_keys::GROUP_KEYS;
use super::key::{Key, Update, Value};
use super::layers::{Layers, Setting, Source, effective};
use super::topic_keys::TOPIC_KEYS;

/// What a description holds besides keys and values.
#[derive(Clone, Copy, Debug)]
pub struct Detail<'a> {
    /// The only keys to describe; `None` is all.
    pub keys: Option<&'a [String]>,
    /// Whether to list every place where a value is set.
    pub synonyms: bool,
    /// Whether to say what a key is for.
    pub documentation: bool,
}

impl Detail<'_> {
    fn wants(&self, key: &Key) -> bool {
        match self.keys {
            None => !key.internal,
            Some(keys) => keys.iter().any(|name| name == key.name),
        }
    }
}

/// The rows of a topic with these values of its own.
pub fn topic_rows(topic: &Configs, broker: &Layers<'_>, detail: Detail<'_>) -> Vec<DescribeConfigsResourceResult> {
    let keys = TOPIC_KEYS.iter().filter(|key| detail.wants(key));
    keys.map(|key| row(key, &broker.topic_settings(topic, key), detail)).collect()
}

/// The rows of a group with these values of its own.
pub fn group_rows(group: &Configs, broker: &Layers<'_>, detail: Detail<'_>) -> Vec<DescribeConfigsResourceResult> {
    let keys = GROUP_KEYS.iter().filter(|key| detail.wants(key));
    keys.map(|key| row(key, &broker.group_settings(group, key), detail)).collect()
}

/// The rows of a broker.
pub fn broker_rows(broker: &Layers<'_>, detail: Detail<'_>) -> Vec<DescribeConfigsResourceResult> {
    let keys = BROKER_KEYS.iter().filter(|key| detail.wants(key));
    keys.map(|key| row(key, &broker.broker_settings(key), detail)).collect()
}

/// The rows of all brokers: only what was set for all of them while they ran.
pub fn all_brokers_rows(configs: &Configs, detail: Detail<'_>) -> Vec<DescribeConfigsResourceResult> {
    let none = Configs::new();
    let layers = Layers { dynamic: &none, dynamic_default: configs, fixed: &none };
    let keys = configs.keys().filter_map(|name| broker_key(name)).filter(|key| detail.wants(key));
    keys.map(|key| row(key, &layers.broker_settings(key), detail)).collect()
}

/// What the creator of a topic is told about its configuration.
pub fn created_topic_rows(topic: &Configs, broker: &Layers<'_>) -> Vec<CreatableTopicConfigs> {
    let rows = TOPIC_KEYS.iter().filter(|key| !key.internal).map(|key| {
        let settings = broker.topic_settings(topic, key);
        CreatableTopicConfigs {
            name: key.name.to_owned(),
            value: written(key, &settings),
            read_only: key.update == Update::ReadOnly,
            config_source: source_of(key, &settings) as i8,
            is_sensitive: key.is_sensitive(),
        }
    });
    rows.collect()
}

/// The value that counts, as it was written: so Kafka tells it to who creates a topic.
fn written(key: &Key, settings: &[Setting<'_>]) -> Option<String> {
    match counting(key, settings) {
        Some(setting) if setting.source != Source::Default && !key.is_sensitive() => {
            Some(setting.scaled().into_owned())
        }
        _ => shown(key, settings),
    }
}

/// The value that counts, as it is shown; `None` if there is none or it is a secret.
pub fn shown(key: &Key, settings: &[Setting<'_>]) -> Option<String> {
    effective(key, settings).filter(|_| !key.is_sensitive()).map(text)
}

fn text(value: Value) -> String {
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Double(value) => java_double(value),
        Value::Text(value) => value,
        Value::List(elements) => elements.join(","),
    }
}

/// A number as Java writes it, which clients may compare with what they set.
fn java_double(value: f64) -> String {
    if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
        return format!("{value:?}");
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}

fn row(key: &'static Key, settings: &[Setting<'_>], detail: Detail<'_>) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult {
        name: key.name.to_owned(),
        value: shown(key, settings),
        read_only: key.update == Update::ReadOnly,
        config_source: source_of(key, settings) as i8,
        is_sensitive: key.is_sensitive(),
        synonyms: if detail.synonyms { synonyms(key, settings) } else { Vec::new() },
        config_type: key.kind as i8,
        documentation: detail.documentation.then(|| key.documentation()),
    }
}

/// Where the value that counts was set.
fn source_of(key: &Key, settings: &[Setting<'_>]) -> Source {
    counting(key, settings).map_or(Source::Default, |setting| setting.source)
}

fn counting<'s, 'a>(key: &Key, settings: &'s [Setting<'a>]) -> Option<&'s Setting<'a>> {
    settings.iter().find(|setting| key.parse(&setting.scaled()).is_ok())
}

/// Every place where the value is set. Defaults in a coarser unit are listed only behind a value in the finest, as Kafka
/// does it.
fn synonyms(key: &Key, settings: &[Setting<'_>]) -> Vec<DescribeConfigsSynonym> {
    let is_finest = |setting: &Setting<'_>| key.synonyms.first().is_none_or(|finest| finest.key == setting.name);
    let mut has_finest = false;
    let listed = settings.iter().filter(|setting| {
        has_finest |= is_finest(setting);
        has_finest || setting.source != Source::Default
    });
    listed.map(|setting| synonym(key, setting)).collect()
}

/// A topic's own value is told as it was read, a broker's as it was written.
fn synonym(key: &Key, setting: &Setting<'_>) -> DescribeConfigsSynonym {
    let read =
        Some(setting).filter(|setting| setting.source == Source::Topic).and_then(|own| key.parse(own.value).ok());
    let value = read.map_or_else(|| setting.value.trim().to_owned(), text);
    DescribeConfigsSynonym {
        name: setting.name.to_owned(),
        value: (!key.is_sensitive()).then_some(value),
        source: setting.source as i8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::topic_key;

    fn configs(pairs: &[(&str, &str)]) -> Configs {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    /// What is said of a key of a topic or group.
    fn describe(own: &[(&str, &str)], default: &[(&str, &str)], fixed: &[(&str, &str)], key: &str) -> String {
        let (own, default, fixed, none) = (configs(own), configs(default), configs(fixed), Configs::new());
        let layers = Layers { dynamic: &none, dynamic_default: &default, fixed: &fixed };
        let keys = [key.to_owned()];
        let detail = Detail { keys: Some(&keys), synonyms: true, documentation: false };
        let rows = match topic_key(key) {
            Some(_) => topic_rows(&own, &layers, detail),
            None => group_rows(&own, &layers, detail),
        };
        let [row] = rows.as_slice() else { panic!("{} rows for {key}", rows.len()) };
        let synonyms: Vec<_> = row
            .synonyms
            .iter()
            .map(|s| format!("{}={}:{}", s.name, s.value.as_deref().unwrap_or("null"), s.source))
            .collect();
        format!("{} {} [{}]", row.value.as_deref().unwrap_or("null"), row.config_source, synonyms.join(" "))
    }

    #[test]
    fn values_come_with_their_source_and_synonyms() {
        let own = [("retention.ms", " 5 ")];
        let default = [("log.retention.ms", "7")];
        let fixed = [("log.retention.hours", "1")];
        let check = |own: &[_], default: &[_], fixed: &[_], key, expected: &str| {
            assert_eq!(describe(own, default, fixed, key), expected);
        };
        check(&[], &[], &[], "retention.ms", "604800000 5 []");
        check(&[], &[], &[], "retention.bytes", "-1 5 [log.retention.bytes=-1:5]");
        check(&[], &[], &[], "min.cleanable.dirty.ratio", "0.5 5 [log.cleaner.min.cleanable.ratio=0.5:5]");
        check(&[], &[], &fixed, "retention.ms", "3600000 4 [log.retention.hours=1:4]");
        check(&own, &[], &[], "retention.ms", "5 1 [retention.ms=5:1]");
        check(
            &own,
            &default,
            &fixed,
            "retention.ms",
            "5 1 [retention.ms=5:1 log.retention.ms=7:3 log.retention.hours=1:4 log.retention.hours=168:5]",
        );
        check(
            &[("consumer.session.timeout.ms", "50000")],
            &[],
            &[("group.consumer.session.timeout.ms", "47000")],
            "consumer.session.timeout.ms",
            "50000 8 [consumer.session.timeout.ms=50000:8 group.consumer.session.timeout.ms=47000:4 \
             group.consumer.session.timeout.ms=45000:5]",
        );
    }

    /// The differential test found it: who creates a topic is told what was written, who describes it what was read.
    #[test]
    fn a_topics_own_values_are_told_as_written_and_as_read() {
        for (key, value, read) in [
            ("preallocate", "TRUE", "true"),
            ("max.message.bytes", " 2000 ", "2000"),
            ("min.cleanable.dirty.ratio", "0", "0.0"),
            ("cleanup.policy", "delete, compact", "delete,compact"),
        ] {
            let own = configs(&[(key, value)]);
            let none = Configs::new();
            let layers = Layers { dynamic: &none, dynamic_default: &none, fixed: &none };
            let created = created_topic_rows(&own, &layers).into_iter().find(|row| row.name == key).unwrap();
            assert_eq!(created.value.as_deref(), Some(value));
            let described = describe(&[(key, value)], &[], &[], key);
            assert!(described.starts_with(&format!("{read} 1 [{key}={read}:1")), "{described}");
        }
    }

    #[test]
    fn numbers_are_written_as_java_writes_them() {
        for (value, expected) in [
            (0.0, "0.0"),
            (0.5, "0.5"),
            (1e-3, "0.001"),
            (2.5e-4, "2.5E-4"),
            (1e-4, "1.0E-4"),
            (1e7, "1.0E7"),
            (f64::MAX, "1.7976931348623157E308"),
        ] {
            assert_eq!(java_double(value), expected);
        }
    }

    #[test]
    fn every_topic_key_but_internal_ones_is_described_with_type_and_documentation() {
        let none = Configs::new();
        let layers = Layers { dynamic: &none, dynamic_default: &none, fixed: &none };
        let rows = topic_rows(&none, &layers, Detail { keys: None, synonyms: true, documentation: true });
        assert_eq!(rows.len(), TOPIC_KEYS.len() - 1);
        assert!(rows.iter().all(|row| row.config_type > 0 && row.documentation.is_some()));
        assert!(rows.iter().all(|row| row.name != "internal.segment.bytes"));
    }

    #[test]
    fn all_brokers_have_only_what_was_set_for_all() {
        let detail = Detail { keys: None, synonyms: false, documentation: false };
        let rows = all_brokers_rows(&configs(&[("log.retention.ms", "7")]), detail);
        let rows: Vec<_> =
            rows.iter().map(|row| (row.name.as_str(), row.value.as_deref(), row.config_source)).collect();
        assert_eq!(rows, [("log.retention.ms", Some("7"), Source::DynamicDefaultBroker as i8)]);
    }
}
