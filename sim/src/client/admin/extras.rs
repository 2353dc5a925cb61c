//! Topics that come and go: a model of what the metadata must say about them.
//!
//! A topic about which an answer is missing is never looked at again: what was asked may still happen.

use std::collections::{BTreeMap, BTreeSet};

use highwater_wire::create_partitions::CreatePartitionsTopic;
use highwater_wire::create_topics::CreatableTopic;
use highwater_wire::describe_configs::DescribeConfigsResource;
use highwater_wire::{
    AnyResponse, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest, ErrorCode,
    MetadataResponse,
};

use super::super::Context;
use super::super::link::Link;
use super::{About, TOPIC_RESOURCE, config, is_retriable, set_config};
use crate::rng::Stream;

/// What is known of the extra topics.
#[derive(Debug, Default)]
pub struct Extras {
    present: BTreeMap<String, Extra>,
    deleted: BTreeSet<String>,
    made: u32,
}

/// What a topic must look like.
#[derive(Debug)]
struct Extra {
    partitions: i32,
    max_message_bytes: String,
}

/// Something that was asked for.
#[derive(Debug)]
pub enum Operation {
    /// A topic with so many partitions and such a largest message.
    Create(String, i32, String),
    /// Its end.
    Delete(String),
    /// So many partitions.
    Grow(String, i32),
    /// Another largest message.
    Configure(String, String),
    /// What its largest message is.
    Describe(String),
}

/// Topics at one time at most: each costs directories and files.
const PRESENT_MAX: usize = 3;
const PARTITIONS_MAX: i32 = 4;
const KEY: &str = "max.message.bytes";

impl Extras {
    /// Asks for the next change.
    pub fn next(&mut self, rng: &mut Stream, link: &mut Link<About>, context: &mut Context<'_>) {
        let names: Vec<String> = self.present.keys().cloned().collect();
        let max_message_bytes = rng.skewed(1024, 64 * 1024).to_string();
        if names.len() < PRESENT_MAX && (names.is_empty() || rng.chance(400)) {
            self.made += 1;
            let name = format!("extra-{}", self.made);
            return ask(Operation::Create(name, rng.between(1, 2) as i32, max_message_bytes), rng, link, context);
        }
        let name = rng.pick(&names).clone();
        let partitions = self.present[&name].partitions;
        let operation = match rng.below(4) {
            0 => Operation::Delete(name),
            1 if partitions < PARTITIONS_MAX => Operation::Grow(name, partitions + 1),
            2 => Operation::Configure(name, max_message_bytes),
            _ => Operation::Describe(name),
        };
        ask(operation, rng, link, context);
    }

    /// Something was answered.
    pub fn answered(&mut self, operation: Operation, response: &AnyResponse, context: &mut Context<'_>) {
        if let (Operation::Describe(name), AnyResponse::DescribeConfigs(response)) = (&operation, response) {
            let values = response.results.iter().flat_map(|result| &result.configs);
            let value = values.filter(|config| config.name == KEY).find_map(|config| config.value.as_ref());
            let expected = &self.present[name].max_message_bytes;
            return context.oracle.require(value == Some(expected), "MetadataDurable", || {
                format!("{KEY} of {name} was set to {expected}, and is {value:?}: {response:?}")
            });
        }
        match error_code(response) {
            Some(0) => self.done(operation),
            Some(code) if is_retriable(code) || code == ErrorCode::KafkaStorageError as i16 => self.lost(&operation),
            code => context.oracle.require(false, "Answers", || format!("{operation:?} is answered {code:?}")),
        }
    }

    fn done(&mut self, operation: Operation) {
        match operation {
            Operation::Create(name, partitions, max_message_bytes) => {
                self.present.insert(name, Extra { partitions, max_message_bytes });
            }
            Operation::Delete(name) => {
                self.present.remove(&name);
                self.deleted.insert(name);
            }
            Operation::Grow(name, partitions) => {
                self.present.entry(name).and_modify(|extra| extra.partitions = partitions);
            }
            Operation::Configure(name, max_message_bytes) => {
                self.present.entry(name).and_modify(|extra| extra.max_message_bytes = max_message_bytes);
            }
            Operation::Describe(_) => {}
        }
    }

    /// Something was never answered, or refused for now: it may or may not have happened.
    pub fn lost(&mut self, operation: &Operation) {
        match operation {
            Operation::Create(..) | Operation::Describe(_) => {}
            Operation::Delete(name) | Operation::Grow(name, _) | Operation::Configure(name, _) => {
                self.present.remove(name);
            }
        }
    }

    /// Compares the whole metadata with what is known.
    pub fn compare(&self, response: &MetadataResponse, context: &mut Context<'_>) {
        let partitions: BTreeMap<&str, i32> = response
            .topics
            .iter()
            .filter_map(|row| Some((row.name.as_deref()?, row.partitions.len() as i32)))
            .collect();
        for (name, extra) in &self.present {
            let found = partitions.get(name.as_str());
            context.oracle.require(found == Some(&extra.partitions), "MetadataDurable", || {
                format!("{name} has {} partitions, the metadata says {found:?}", extra.partitions)
            });
        }
        let risen = self.deleted.iter().find(|name| partitions.contains_key(name.as_str()));
        context.oracle.require(risen.is_none(), "MetadataDurable", || format!("{risen:?} was deleted, and is back"));
    }
}

fn ask(operation: Operation, rng: &mut Stream, link: &mut Link<About>, context: &mut Context<'_>) {
    match &operation {
        Operation::Create(name, partitions, max_message_bytes) => {
            let topic = CreatableTopic {
                name: name.clone(),
                num_partitions: *partitions,
                replication_factor: if rng.chance(500) { 1 } else { -1 },
                configs: vec![config(KEY, max_message_bytes)],
                ..CreatableTopic::default()
            };
            let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
            link.ask(request, rng.between(2, 7) as i16, About::Extra(operation), context);
        }
        Operation::Delete(name) => {
            let request = DeleteTopicsRequest { topic_names: vec![name.clone()], ..DeleteTopicsRequest::default() };
            link.ask(request, rng.between(1, 5) as i16, About::Extra(operation), context);
        }
        Operation::Grow(name, count) => {
            let topic = CreatePartitionsTopic { name: name.clone(), count: *count, assignments: None };
            let request =
                CreatePartitionsRequest { topics: vec![topic], timeout_ms: 1000, ..CreatePartitionsRequest::default() };
            link.ask(request, rng.between(0, 3) as i16, About::Extra(operation), context);
        }
        Operation::Configure(name, max_message_bytes) => {
            let request = set_config(name.clone(), KEY, max_message_bytes);
            link.ask(request, rng.between(0, 1) as i16, About::Extra(operation), context);
        }
        Operation::Describe(name) => {
            let resource = DescribeConfigsResource {
                resource_type: TOPIC_RESOURCE,
                resource_name: name.clone(),
                configuration_keys: rng.chance(500).then(|| vec![KEY.to_owned()]),
            };
            let request = DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
            link.ask(request, rng.between(1, 4) as i16, About::Extra(operation), context);
        }
    }
}

/// The error of an answer about one topic.
fn error_code(response: &AnyResponse) -> Option<i16> {
    match response {
        AnyResponse::CreateTopics(response) => response.topics.first().map(|row| row.error_code),
        AnyResponse::DeleteTopics(response) => response.responses.first().map(|row| row.error_code),
        AnyResponse::CreatePartitions(response) => response.results.first().map(|row| row.error_code),
        AnyResponse::IncrementalAlterConfigs(response) => response.responses.first().map(|row| row.error_code),
        _ => None,
    }
}
