//! Two answers, field by field.
//!
//! What must differ is compared by what it stands for: ids through [`Ids`], times by whether they are the present,
//! addresses and directories by their owner, messages for people by whether they are there. Elements of an array are
//! matched by what they are about, whatever their order. Where two error codes differ, what else stands in that row
//! follows from it and is not compared.

use std::collections::{BTreeMap, BTreeSet};

use highwater_wire::records::{Batches, TimestampType, records, verify_crc};
use highwater_wire::testing::Tree;
use highwater_wire::{ErrorCode, Uuid};

use crate::ids::{Ids, Who};
use crate::side::Answer;

/// One place where the brokers do not agree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Where, as a path of fields; elements of arrays are named by what they are about.
    pub path: String,
    /// What Kafka says.
    pub kafka: String,
    /// What Highwater says.
    pub highwater: String,
}

/// Compares two answers to one request.
pub fn compare(
    kafka: &Answer,
    highwater: &Answer,
    ids: &mut Ids,
    own_words: [&[(String, &'static str)]; 2],
) -> Vec<Difference> {
    let mut comparison = Comparison { ids, own_words, found: Vec::new() };
    match (kafka, highwater) {
        (Answer::Response(kafka), Answer::Response(highwater)) => {
            comparison.values("", "", &kafka.to_tree(), &highwater.to_tree());
        }
        _ if kafka == highwater => {}
        _ => comparison.differ("(connection)", kind_of(kafka), kind_of(highwater)),
    }
    comparison.found
}

fn kind_of(answer: &Answer) -> String {
    match answer {
        Answer::Response(_) => "answered".to_owned(),
        Answer::Silence => "silent".to_owned(),
        Answer::Nothing => "no answer".to_owned(),
        Answer::Closed => "closed".to_owned(),
        Answer::Garbage(reason) => format!("garbage: {reason}"),
    }
}

struct Comparison<'a> {
    ids: &'a mut Ids,
    own_words: [&'a [(String, &'static str)]; 2],
    found: Vec<Difference>,
}

/// How long ago the present may be.
const PRESENT_MS: u128 = 600_000;
/// The most bytes that records are decompressed into.
const RECORDS_BYTES_MAX: u64 = 1 << 24;

impl Comparison<'_> {
    fn differ(&mut self, path: &str, kafka: impl Into<String>, highwater: impl Into<String>) {
        let (kafka, highwater) = (kafka.into(), highwater.into());
        self.found.push(Difference { path: path.to_owned(), kafka, highwater });
    }

    fn values(&mut self, path: &str, field: &str, kafka: &Tree, highwater: &Tree) {
        match (kafka, highwater) {
            (Tree::Part(left), Tree::Part(right)) => self.parts(path, left, right),
            (Tree::List(left), Tree::List(right)) if is_of_parts(left) && is_of_parts(right) => {
                self.lists(path, left, right);
            }
            (Tree::Records(left), Tree::Records(right)) => {
                let (left, right) = (batches(left), batches(right));
                self.values(path, field, &left, &right);
            }
            _ => self.leaves(path, field, kafka, highwater),
        }
    }

    fn parts(&mut self, path: &str, kafka: &[(&'static str, Tree)], highwater: &[(&'static str, Tree)]) {
        let code = |fields: &[(&'static str, Tree)]| fields.iter().find(|(name, _)| *name == "error_code").cloned();
        if let (Some((name, left)), Some((_, right))) = (code(kafka), code(highwater))
            && left != right
        {
            return self.leaves(&join(path, name), name, &left, &right);
        }
        for ((name, left), (_, right)) in kafka.iter().zip(highwater) {
            self.values(&join(path, name), name, left, right);
        }
    }

    fn lists(&mut self, path: &str, kafka: &[Tree], highwater: &[Tree]) {
        let (kafka, highwater) = (self.merged(Who::Kafka, kafka), self.merged(Who::Highwater, highwater));
        let left = self.by_key(Who::Kafka, &kafka);
        let mut right = self.by_key(Who::Highwater, &highwater);
        for (key, left) in left {
            let path = format!("{path}[{key}]");
            match right.remove(&key) {
                Some(right) => self.values(&path, "", left, right),
                None => self.differ(&path, "present", "absent"),
            }
        }
        for key in right.into_keys() {
            self.differ(&format!("{path}[{key}]"), "absent", "present");
        }
    }

    /// Puts the partitions of each topic together: a topic may come twice in an answer, and a client does not care.
    fn merged(&self, who: Who, elements: &[Tree]) -> Vec<Tree> {
        let mut merged: Vec<Tree> = Vec::new();
        let mut places = BTreeMap::new();
        for element in elements {
            let key = self.key(who, element);
            let place = key.as_ref().and_then(|key| places.get(key)).copied();
            match (place.and_then(|place: usize| merged.get_mut(place)).and_then(partitions_mut), partitions(element)) {
                (Some(all), Some(more)) => all.extend(more.iter().cloned()),
                _ => {
                    places.extend(key.map(|key| (key, merged.len())));
                    merged.push(element.clone());
                }
            }
        }
        merged
    }

    /// The elements of an array by what they are about; where several are about the same, in the order of their error
    /// codes, and by their place behind that.
    fn by_key<'t>(&self, who: Who, elements: &'t [Tree]) -> BTreeMap<String, &'t Tree> {
        let mut keyed: Vec<_> = elements
            .iter()
            .enumerate()
            .map(|(index, element)| (self.key(who, element).unwrap_or_else(|| format!("{index:03}")), element))
            .collect();
        keyed.sort_by_key(|(key, element)| (key.clone(), error_code(element)));
        let mut by_key = BTreeMap::new();
        for (key, element) in keyed {
            let mut place = 2;
            let mut unique = key.clone();
            while by_key.contains_key(&unique) {
                unique = format!("{key}#{place}");
                place += 1;
            }
            by_key.insert(unique, element);
        }
        by_key
    }

    fn key(&self, who: Who, element: &Tree) -> Option<String> {
        let text = |field: &str| match element.field(field) {
            // Where a topic is named by its id, its name is empty.
            Some(Tree::Text(text)) if text.is_empty() => match element.field("topic_id") {
                Some(Tree::Id(id)) if *id != Uuid::ZERO => None,
                _ => Some("\"\"".to_owned()),
            },
            Some(Tree::Text(text)) => Some(self.own_word(who, text)),
            Some(Tree::Integer(number)) => Some(number.to_string()),
            _ => None,
        };
        if let (Some(kind), Some(Tree::Text(name))) = (text("resource_type"), element.field("resource_name")) {
            return Some(format!("{kind}:{name}"));
        }
        if element.field("member_id").is_some() {
            let Some(Tree::Text(id)) = element.field("member_id") else { return None };
            return Some(self.ids.members.name(who, id).unwrap_or(id).clone());
        }
        let keys = ["name", "topic", "topic_name", "group_id", "key", "partition_index", "partition", "index"];
        let more = ["node_id", "broker_id", "api_key", "log_dir", "base_offset", "offset", "batch_index"];
        let named = keys.into_iter().chain(more).find_map(text);
        named.or_else(|| match element.field("topic_id") {
            Some(Tree::Id(id)) => Some(self.ids.topics.name(who, id).unwrap_or(id).to_string()),
            _ => None,
        })
    }

    fn leaves(&mut self, path: &str, field: &str, kafka: &Tree, highwater: &Tree) {
        let same = match (field, kafka, highwater) {
            ("topic_id", Tree::Id(left), Tree::Id(right)) => self.ids.same_topic(*left, *right),
            ("producer_id", Tree::Integer(left), Tree::Integer(right)) => self.ids.same_producer(*left, *right),
            ("session_id", Tree::Integer(left), Tree::Integer(right)) => {
                match (i32::try_from(*left), i32::try_from(*right)) {
                    (Ok(left), Ok(right)) => self.ids.same_session(left, right),
                    _ => false,
                }
            }
            ("subscribed_topic_names", Tree::List(left), Tree::List(right)) => {
                let sorted = |names: &[Tree]| names.iter().map(plain).collect::<BTreeSet<_>>();
                sorted(left) == sorted(right)
            }
            // Which partitions of a topic a member gets is its assignor's affair. How many they are is not.
            ("partitions", Tree::List(left), Tree::List(right)) if path.contains("topic_partitions[") => {
                left.len() == right.len()
            }
            ("member_id" | "leader", Tree::Text(left), Tree::Text(right)) => self.ids.same_member(left, right),
            _ => false,
        };
        if same {
            return;
        }
        let left = self.shown(Who::Kafka, field, kafka);
        let right = self.shown(Who::Highwater, field, highwater);
        let is_id = matches!(field, "topic_id" | "producer_id" | "session_id" | "member_id");
        if left != right || (is_id && kafka != highwater) {
            self.differ(path, left, right);
        }
    }

    /// A value as it is compared and shown.
    fn shown(&self, who: Who, field: &str, value: &Tree) -> String {
        match (field, value) {
            ("error_code" | "topic_config_error_code", Tree::Integer(code)) => error_name(*code),
            ("error_message" | "batch_index_error_message" | "documentation", Tree::Text(text)) => {
                if text.is_empty() {
                    "null".to_owned()
                } else {
                    "text".to_owned()
                }
            }
            ("cluster_id", Tree::Text(id)) => self.own_word(who, id),
            ("port", Tree::Integer(port)) if self.own_word(who, &format!("127.0.0.1:{port}")) == "ADDRESS" => {
                "PORT".to_owned()
            }
            ("finalized_features_epoch", Tree::Integer(0..)) => "an offset".to_owned(),
            ("total_bytes" | "usable_bytes", Tree::Integer(1..)) => "bytes".to_owned(),
            ("timestamp" | "log_append_time_ms" | "base_timestamp" | "max_timestamp", Tree::Integer(time))
                if is_present(*time) =>
            {
                "now".to_owned()
            }
            (_, Tree::Text(text)) => format!("{:?}", self.own_word(who, text)),
            _ => plain(value),
        }
    }

    /// A text, with a word for what only this broker can say.
    fn own_word(&self, who: Who, text: &str) -> String {
        self.own_words[who as usize].iter().fold(text.to_owned(), |text, (own, word)| text.replace(own, word))
    }
}

/// The fields that hold the partitions of a topic in answers about records.
const PARTITIONS: [&str; 2] = ["partitions", "partition_responses"];

fn partitions(topic: &Tree) -> Option<&[Tree]> {
    PARTITIONS.iter().find_map(|field| match topic.field(field) {
        Some(Tree::List(partitions)) => Some(&partitions[..]),
        _ => None,
    })
}

fn partitions_mut(topic: &mut Tree) -> Option<&mut Vec<Tree>> {
    let Tree::Part(fields) = topic else { return None };
    fields.iter_mut().find_map(|(name, value)| match value {
        Tree::List(partitions) if PARTITIONS.contains(name) => Some(partitions),
        _ => None,
    })
}

fn error_code(element: &Tree) -> Option<i64> {
    match element.field("error_code") {
        Some(Tree::Integer(code)) => Some(*code),
        _ => None,
    }
}

fn is_of_parts(list: &[Tree]) -> bool {
    list.iter().all(|element| matches!(element, Tree::Part(_)))
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

fn error_name(code: i64) -> String {
    let known = i16::try_from(code).ok().and_then(|code| ErrorCode::try_from(code).ok());
    known.map_or_else(|| code.to_string(), |code| code.name().to_owned())
}

fn plain(value: &Tree) -> String {
    match value {
        Tree::Null => "null".to_owned(),
        Tree::Bool(value) => value.to_string(),
        Tree::Integer(value) => value.to_string(),
        Tree::Real(value) => value.to_string(),
        Tree::Text(value) => value.clone(),
        Tree::Id(value) => value.to_string(),
        Tree::Bytes(value) | Tree::Records(value) => format!("{value:?}"),
        Tree::List(elements) => format!("[{}]", elements.iter().map(plain).collect::<Vec<_>>().join(",")),
        Tree::Part(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name}={}", plain(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
    }
}

fn is_present(time_ms: i64) -> bool {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_millis());
    u128::try_from(time_ms).is_ok_and(|time| now.abs_diff(time) < PRESENT_MS)
}

/// The whole batches of a fetch as a list. A reader ignores a part of one at the end, so it is left out.
fn batches(bytes: &bytes::Bytes) -> Tree {
    let batches = Batches(bytes.clone()).map(|batch| match batch {
        Ok((header, batch)) => {
            let integer = |value: i64| Tree::Integer(value);
            let records = match records(&batch, RECORDS_BYTES_MAX).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
                Ok(records) => Tree::List(records.into_iter().map(record).collect()),
                Err(error) => Tree::Text(error.to_string()),
            };
            Tree::Part(vec![
                ("base_offset", integer(header.base_offset)),
                ("partition_leader_epoch", integer(header.partition_leader_epoch.into())),
                ("crc_is_right", Tree::Bool(verify_crc(&batch).is_ok())),
                ("attributes", integer(header.attributes.into())),
                ("is_log_append_time", Tree::Bool(header.timestamp_type() == TimestampType::LogAppendTime)),
                ("last_offset_delta", integer(header.last_offset_delta.into())),
                ("base_timestamp", integer(header.base_timestamp)),
                ("max_timestamp", integer(header.max_timestamp)),
                ("producer_id", integer(header.producer_id)),
                ("producer_epoch", integer(header.producer_epoch.into())),
                ("base_sequence", integer(header.base_sequence.into())),
                ("record_count", integer(header.record_count.into())),
                ("records", records),
            ])
        }
        Err(error) => Tree::Text(error.to_string()),
    });
    Tree::List(batches.collect())
}

fn record(record: highwater_wire::records::Record) -> Tree {
    let bytes = |bytes: Option<bytes::Bytes>| bytes.map_or(Tree::Null, Tree::Bytes);
    let headers = record.headers.into_iter().map(|(name, value)| Tree::List(vec![Tree::Text(name), bytes(value)]));
    Tree::Part(vec![
        ("offset", Tree::Integer(record.offset)),
        ("timestamp", Tree::Integer(record.timestamp)),
        ("record_key", bytes(record.key)),
        ("value", bytes(record.value)),
        ("headers", Tree::List(headers.collect())),
    ])
}

#[cfg(test)]
mod tests {
    use highwater_wire::metadata::{MetadataResponse, MetadataResponsePartition, MetadataResponseTopic};
    use highwater_wire::{AnyResponse, Uuid};

    use super::*;

    fn topic(name: &str, id: u128, error_code: i16) -> MetadataResponseTopic {
        MetadataResponseTopic { name: Some(name.into()), topic_id: Uuid(id), error_code, ..Default::default() }
    }

    fn check(
        kafka: Vec<MetadataResponseTopic>,
        highwater: Vec<MetadataResponseTopic>,
        expected: &[(&str, &str, &str)],
    ) {
        let answer =
            |topics| Answer::Response(AnyResponse::Metadata(MetadataResponse { topics, ..Default::default() }));
        let found = compare(&answer(kafka), &answer(highwater), &mut Ids::default(), [&[], &[]]);
        let found: Vec<_> = found.iter().map(|d| (d.path.as_str(), d.kafka.as_str(), d.highwater.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn elements_are_matched_by_name_whatever_their_order_and_ids() {
        check(vec![topic("a", 1, 0), topic("b", 2, 0)], vec![topic("b", 8, 0), topic("a", 9, 0)], &[]);
        check(vec![topic("a", 1, 0)], vec![], &[("topics[a]", "present", "absent")]);
        let with = |count| MetadataResponseTopic {
            partitions: vec![MetadataResponsePartition::default(); count],
            ..topic("a", 1, 0)
        };
        check(vec![with(1)], vec![with(2)], &[("topics[a].partitions[0#2]", "absent", "present")]);
        check(vec![with(2)], vec![with(1), with(1)], &[]);
    }

    #[test]
    fn one_id_for_two_topics_is_a_difference() {
        let kafka = vec![topic("a", 1, 0), topic("b", 2, 0)];
        check(
            kafka,
            vec![topic("a", 9, 0), topic("b", 9, 0)],
            &[("topics[b].topic_id", &Uuid(2).to_string(), &Uuid(9).to_string())],
        );
    }

    #[test]
    fn a_row_with_another_error_code_is_one_difference() {
        let with_partition =
            MetadataResponseTopic { partitions: vec![MetadataResponsePartition::default()], ..topic("a", 1, 0) };
        let expected = ("topics[a].error_code", "NONE", "UNKNOWN_TOPIC_OR_PARTITION");
        check(vec![with_partition], vec![topic("a", 0, 3)], &[expected]);
    }
}
