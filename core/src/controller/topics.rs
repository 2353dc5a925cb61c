//! Creating and deleting topics.

use std::collections::BTreeSet;

use highwater_wire::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use highwater_wire::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use highwater_wire::{ErrorCode, Uuid};

use super::draft::Draft;
use super::error::ApiError;
use super::image::{Image, Partition, Topic};
use super::placement::{check_assignment, place};
use super::record::{ConfigOwner, ConfigRecord, Record, RemoveTopicRecord, TopicRecord};
use crate::config::{Configs, check_topic_configs, check_topic_value, describe};
use crate::ids::{BrokerId, LeaderEpoch, PartitionEpoch, PartitionIndex, TopicId};
use crate::limits::{CREATED_PARTITIONS_MAX, TOPIC_NAME_BYTES_MAX};

/// Checks a topic's name.
///
/// # Errors
/// What is wrong with it.
pub fn check_topic_name(name: &str) -> Result<(), ApiError> {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let message = match name {
        "" => "a topic's name must not be empty".to_owned(),
        "." | ".." => format!("a topic must not be named {name:?}"),
        _ if name.len() > TOPIC_NAME_BYTES_MAX => {
            format!("a topic's name must not be longer than {TOPIC_NAME_BYTES_MAX} bytes; this one has {}", name.len())
        }
        _ if !name.bytes().all(is_valid) => {
            format!("{name:?} holds something other than letters of ASCII, digits, '.', '_' and '-'")
        }
        _ => return Ok(()),
    };
    Err(ApiError::new(ErrorCode::InvalidTopicException, message))
}

/// Decides a CreateTopics request. Every topic succeeds or fails by itself.
pub(super) fn decide_create(draft: &mut Draft, request: &CreateTopicsRequest, entropy: u128) -> CreateTopicsResponse {
    let is_too_much = created_partitions(draft.image(), request) > CREATED_PARTITIONS_MAX as i64;
    let decided = decide_each(
        &request.topics,
        |topic| &topic.name,
        entropy,
        |topic, entropy| match is_too_much {
            true => Err(ApiError::new(ErrorCode::PolicyViolation, "the request creates too many partitions at once")),
            false => create_topic(draft, topic, entropy),
        },
    );
    let one = |(topic, result): (&CreatableTopic, Result<_, _>)| {
        result.unwrap_or_else(|error| create_error(&topic.name, &error))
    };
    let topics = decided.into_iter().map(one).collect();
    if request.validate_only {
        draft.discard();
    }
    CreateTopicsResponse { topics, ..CreateTopicsResponse::default() }
}

/// Answers every topic of a CreateTopics request with the same error.
pub(super) fn refuse_create(request: &CreateTopicsRequest, error: &ApiError) -> CreateTopicsResponse {
    let topics = request.topics.iter().map(|topic| create_error(&topic.name, error)).collect();
    CreateTopicsResponse { topics, ..CreateTopicsResponse::default() }
}

/// Decides a DeleteTopics request. Every topic succeeds or fails by itself.
pub(super) fn decide_delete(draft: &mut Draft, request: &DeleteTopicsRequest) -> DeleteTopicsResponse {
    let wanted = wanted_deletions(request);
    // What is named by both its name and its id is refused by itself.
    let named = wanted.iter().filter(|topic| topic.name.is_none() || topic.topic_id == Uuid::ZERO);
    let names = named_twice(named.clone().filter_map(|topic| topic.name.as_deref()));
    let ids = named_twice(named.map(|topic| topic.topic_id).filter(|id| *id != Uuid::ZERO));
    let mut seen = BTreeSet::new();
    let mut responses = Vec::new();
    for topic in &wanted {
        if !seen.insert((&topic.name, topic.topic_id)) && (topic.name.is_some() || topic.topic_id != Uuid::ZERO) {
            continue;
        }
        let is_twice = topic.name.as_deref().is_some_and(|name| names.contains(name)) || ids.contains(&topic.topic_id);
        let found = match is_twice {
            true => Err(ApiError::new(ErrorCode::InvalidRequest, "the request names the topic twice")),
            false => find_topic(draft.image(), topic),
        };
        let response = match found {
            Ok((id, name)) => {
                draft.push(Record::RemoveTopic(RemoveTopicRecord { topic_id: id.into() }));
                DeletableTopicResult { name: Some(name), topic_id: Uuid(id.0), ..DeletableTopicResult::default() }
            }
            Err(error) => delete_error(topic, &error),
        };
        responses.push(response);
    }
    DeleteTopicsResponse { responses, ..DeleteTopicsResponse::default() }
}

/// Answers every topic of a DeleteTopics request with the same error.
pub(super) fn refuse_delete(request: &DeleteTopicsRequest, error: &ApiError) -> DeleteTopicsResponse {
    let responses = wanted_deletions(request).iter().map(|topic| delete_error(topic, error)).collect();
    DeleteTopicsResponse { responses, ..DeleteTopicsResponse::default() }
}

/// Decides every topic that a request names, once and in its order; what is named twice is refused.
pub(super) fn decide_each<'a, T, R>(
    topics: &'a [T],
    name: impl Fn(&T) -> &str,
    entropy: u128,
    mut decide: impl FnMut(&'a T, u128) -> Result<R, ApiError>,
) -> Vec<(&'a T, Result<R, ApiError>)> {
    let twice = named_twice(topics.iter().map(&name));
    let mut refused = BTreeSet::new();
    let mut decided = Vec::new();
    for (topic, entropy) in topics.iter().zip(Entropy(entropy)) {
        if !twice.contains(name(topic)) {
            decided.push((topic, decide(topic, entropy)));
        } else if refused.insert(name(topic)) {
            let error = ApiError::new(ErrorCode::InvalidRequest, "the request names the topic twice");
            decided.push((topic, Err(error)));
        }
    }
    decided
}

/// Values that occur more than once.
pub(super) fn named_twice<T: Ord + Copy>(values: impl Iterator<Item = T>) -> BTreeSet<T> {
    let mut seen = BTreeSet::new();
    values.filter(|value| !seen.insert(*value)).collect()
}

/// The record of a partition that did not exist before.
pub(super) fn new_partition(topic: TopicId, index: usize, replicas: Vec<BrokerId>) -> Record {
    let index = PartitionIndex(i32::try_from(index).expect("CREATED_PARTITIONS_MAX is far below 2^31"));
    let partition = Partition {
        isr: replicas.clone(),
        leader: replicas.first().copied(),
        replicas,
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
    };
    Record::Partition(partition.to_record(topic, index))
}

/// Takes `wanted` new partitions off what one request may create.
pub(super) fn spend(budget: &mut usize, wanted: usize) -> Result<(), ApiError> {
    let message = "the request creates too many partitions at once";
    *budget = budget.checked_sub(wanted).ok_or_else(|| ApiError::new(ErrorCode::PolicyViolation, message))?;
    Ok(())
}

/// Different bits for each thing that one decision draws: a Weyl sequence, which repeats only after 2^128 steps.
struct Entropy(pub u128);

impl Iterator for Entropy {
    type Item = u128;

    fn next(&mut self) -> Option<u128> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        Some(self.0)
    }
}

/// How many partitions a request asks for, whether they can be made or not.
fn created_partitions(image: &Image, request: &CreateTopicsRequest) -> i64 {
    let count = |topic: &CreatableTopic| match (topic.assignments.len(), topic.num_partitions) {
        (0, -1) => i64::from(image.broker_config().num_partitions),
        (0, count) => i64::from(count),
        (assigned, _) => i64::try_from(assigned).unwrap_or(i64::MAX),
    };
    request.topics.iter().map(count).fold(0, i64::saturating_add)
}

fn create_topic(draft: &mut Draft, topic: &CreatableTopic, entropy: u128) -> Result<CreatableTopicResult, ApiError> {
    check_new_name(draft.image(), &topic.name)?;
    let configs = checked_configs(draft.image(), topic)?;
    let assignments = assign(draft.image(), topic, entropy)?;

    let id = new_topic_id(draft.image(), entropy);
    draft.push(Record::Topic(TopicRecord { topic_id: id.into(), name: topic.name.clone() }));
    let replication_factor = assignments.first().map_or(0, Vec::len);
    for (index, replicas) in assignments.into_iter().enumerate() {
        draft.push(new_partition(id, index, replicas));
    }
    for (key, value) in configs {
        let owner = Some(ConfigOwner::Topic(id.into()));
        draft.push(Record::Config(ConfigRecord { owner, key, value: Some(value) }));
    }
    let topic = draft.image().topic_by_id(id).expect("the topic was just created");
    Ok(created(draft.image(), topic, replication_factor))
}

fn created(image: &Image, topic: &Topic, replication_factor: usize) -> CreatableTopicResult {
    CreatableTopicResult {
        name: topic.name.to_string(),
        topic_id: Uuid(topic.id.0),
        num_partitions: i32::try_from(topic.partition_count()).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(replication_factor).unwrap_or(i16::MAX),
        configs: Some(image.with_layers(|layers| describe::created_topic_rows(&topic.configs, layers))),
        ..CreatableTopicResult::default()
    }
}

fn create_error(name: &str, error: &ApiError) -> CreatableTopicResult {
    CreatableTopicResult {
        name: name.to_owned(),
        error_code: error.code.code(),
        error_message: Some(error.message.clone()),
        num_partitions: -1,
        replication_factor: -1,
        configs: Some(Vec::new()),
        ..CreatableTopicResult::default()
    }
}

fn check_new_name(image: &Image, name: &str) -> Result<(), ApiError> {
    if name == "__cluster_metadata" {
        return Err(ApiError::new(ErrorCode::InvalidRequest, "the metadata log is no topic that clients create"));
    }
    if image.topic(name).is_some() {
        return Err(ApiError::new(ErrorCode::TopicAlreadyExists, format!("there is a topic {name} already")));
    }
    check_topic_name(name)?;
    match image.colliding_topic(name) {
        None => Ok(()),
        Some(other) => {
            let message = format!("{name} differs from the topic {} in '.' and '_' only", other.name);
            Err(ApiError::new(ErrorCode::InvalidTopicException, message))
        }
    }
}

/// The replicas of each partition, chosen or checked.
fn assign(image: &Image, topic: &CreatableTopic, entropy: u128) -> Result<Vec<Vec<BrokerId>>, ApiError> {
    if !topic.assignments.is_empty() {
        return assign_by_hand(image, topic);
    }
    let partitions = match topic.num_partitions {
        -1 => image.broker_config().num_partitions,
        partitions => partitions,
    };
    let replication_factor = match topic.replication_factor {
        -1 => image.broker_config().default_replication_factor,
        factor => factor,
    };
    let replication_factor = usize::try_from(replication_factor).ok().filter(|factor| *factor > 0);
    let replication_factor = replication_factor.ok_or_else(|| {
        ApiError::new(ErrorCode::InvalidReplicationFactor, "there must be at least one replica, or -1 for the default")
    })?;
    let partitions = usize::try_from(partitions).ok().filter(|partitions| *partitions > 0).ok_or_else(|| {
        ApiError::new(ErrorCode::InvalidPartitions, "there must be at least one partition, or -1 for the default")
    })?;
    place(image, partitions, replication_factor, entropy)
}

fn assign_by_hand(image: &Image, topic: &CreatableTopic) -> Result<Vec<Vec<BrokerId>>, ApiError> {
    if (topic.num_partitions, topic.replication_factor) != (-1, -1) {
        let message = "where replicas are assigned by hand, the numbers of partitions and replicas must be -1";
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    let mut sorted: Vec<&CreatableReplicaAssignment> = topic.assignments.iter().collect();
    sorted.sort_by_key(|assignment| assignment.partition_index);
    let mut assigned: Vec<Vec<BrokerId>> = Vec::new();
    for (index, assignment) in sorted.iter().enumerate() {
        let refuse = |message: &str| Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
        let replicas = check_assignment(image, &assignment.broker_ids)?;
        if usize::try_from(assignment.partition_index) != Ok(index) {
            return refuse("partitions must be numbered from 0 without a gap");
        }
        if assigned.first().is_some_and(|first| first.len() != replicas.len()) {
            return refuse("all partitions must have the same number of replicas");
        }
        assigned.push(replicas);
    }
    Ok(assigned)
}

fn checked_configs(image: &Image, topic: &CreatableTopic) -> Result<Configs, ApiError> {
    let mut configs = Configs::new();
    for config in &topic.configs {
        let Some(value) = &config.value else {
            let message = format!("{} has no value; leave the key out for its default", config.name);
            return Err(ApiError::new(ErrorCode::InvalidConfig, message));
        };
        configs.insert(config.name.clone(), value.clone());
    }
    configs.iter().try_for_each(|(name, value)| check_topic_value(name, value))?;
    check_topic_configs(&configs, image.topic_defaults())?;
    Ok(configs)
}

/// An id that no topic has and that stands for nothing else: Kafka gives 0 and 1 meanings of their own, and an id that
/// starts with `-` looks like an option to command-line tools.
fn new_topic_id(image: &Image, entropy: u128) -> TopicId {
    let is_free =
        |id: &TopicId| id.0 > 1 && !Uuid(id.0).to_string().starts_with('-') && image.topic_by_id(*id).is_none();
    Entropy(entropy).map(TopicId).find(is_free).expect("a Weyl sequence comes by every id")
}

fn wanted_deletions(request: &DeleteTopicsRequest) -> Vec<DeleteTopicState> {
    let by_name =
        request.topic_names.iter().map(|name| DeleteTopicState { name: Some(name.clone()), ..Default::default() });
    request.topics.iter().cloned().chain(by_name).collect()
}

fn find_topic(image: &Image, wanted: &DeleteTopicState) -> Result<(TopicId, String), ApiError> {
    if !image.broker_config().delete_topic_enable {
        return Err(ApiError::new(ErrorCode::TopicDeletionDisabled, "delete.topic.enable is false on the controller"));
    }
    let (found, missing) = match (&wanted.name, wanted.topic_id) {
        (Some(_), id) if id != Uuid::ZERO => {
            return Err(ApiError::new(
                ErrorCode::InvalidRequest,
                "a topic is named by its name or its id, not by both",
            ));
        }
        (None, Uuid::ZERO) => {
            return Err(ApiError::new(ErrorCode::InvalidRequest, "neither a topic's name nor its id was given"));
        }
        (Some(name), _) => (image.topic(name), ErrorCode::UnknownTopicOrPartition),
        (None, id) => (image.topic_by_id(TopicId(id.0)), ErrorCode::UnknownTopicId),
    };
    found.map(|topic| (topic.id, topic.name.to_string())).ok_or_else(|| missing.into())
}

fn delete_error(topic: &DeleteTopicState, error: &ApiError) -> DeletableTopicResult {
    DeletableTopicResult {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        error_code: error.code.code(),
        error_message: Some(error.message.clone()),
    }
}
