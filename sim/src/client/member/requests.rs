//! What members and those who look after them ask a coordinator, in any version, and what the answers say.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use highwater_wire::consumer_group_heartbeat::{Assignment, TopicPartitions};
use highwater_wire::consumer_protocol::TopicPartition;
use highwater_wire::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use highwater_wire::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics};
use highwater_wire::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, ErrorCode, FindCoordinatorRequest,
    FindCoordinatorResponse, OffsetFetchRequest, OffsetFetchResponse, Uuid,
};

use super::assigning::Claim;
use crate::oracle::{Oracle, Place};

/// The first version of OffsetCommit and OffsetFetch with topic ids instead of names.
const TOPIC_IDS_FROM: i16 = 10;
/// The first version of OffsetFetch, and of FindCoordinator, that names several groups.
const SEVERAL_GROUPS_FROM: i16 = 8;
const SEVERAL_KEYS_FROM: i16 = 4;

/// A committed offset: the place, the offset, and the note that was committed with it.
pub type Committed = (Place, i64, String);

/// Asks where a group's coordinator is.
pub fn find_coordinator(group: &str, version: i16) -> FindCoordinatorRequest {
    let key = group.to_owned();
    match version {
        SEVERAL_KEYS_FROM.. => FindCoordinatorRequest { coordinator_keys: vec![key], ..Default::default() },
        _ => FindCoordinatorRequest { key, ..Default::default() },
    }
}

/// Whether it was found.
pub fn found_coordinator(response: &FindCoordinatorResponse) -> ErrorCode {
    error_code(response.coordinators.first().map_or(response.error_code, |found| found.error_code))
}

/// Asks what a group has committed. A `member` says who it is and at which epoch.
pub fn offset_fetch(
    group: &str,
    member: Option<(&str, i32)>,
    places: &BTreeSet<Place>,
    version: i16,
    oracle: &Oracle,
) -> OffsetFetchRequest {
    let by_topic = by_topic(places.iter().map(|place| (*place, place.partition)));
    let group_id = group.to_owned();
    if version < SEVERAL_GROUPS_FROM {
        let topics = by_topic.into_iter().map(|(topic, partition_indexes)| {
            let name = oracle.topics()[topic].name.clone();
            OffsetFetchRequestTopic { name, partition_indexes }
        });
        return OffsetFetchRequest { group_id, topics: Some(topics.collect()), ..Default::default() };
    }
    let topics = by_topic.into_iter().map(|(topic, partition_indexes)| {
        let (name, topic_id) = identity(oracle, topic, version);
        OffsetFetchRequestTopics { name, topic_id, partition_indexes }
    });
    let topics = Some(topics.collect());
    let (member_id, member_epoch) = (member.map(|(id, _)| id.to_owned()), member.map_or(-1, |(_, epoch)| epoch));
    let group = OffsetFetchRequestGroup { group_id, member_id, member_epoch, topics };
    OffsetFetchRequest { groups: vec![group], ..Default::default() }
}

/// What it has committed, or the first error of the answer.
pub fn fetched_offsets(response: &OffsetFetchResponse, oracle: &Oracle) -> Result<Vec<Committed>, ErrorCode> {
    let mut found = Vec::new();
    let mut take = |topic: Option<usize>, partition, offset, note: &Option<String>, code| {
        let topic = topic.ok_or(ErrorCode::UnknownServerError)?;
        found.push((Place { topic, partition }, offset, note.clone().unwrap_or_default()));
        ok(code)
    };
    ok(response.error_code)?;
    for topic in &response.topics {
        let number = oracle.topics().iter().position(|known| known.name == topic.name);
        for row in &topic.partitions {
            take(number, row.partition_index, row.committed_offset, &row.metadata, row.error_code)?;
        }
    }
    for group in &response.groups {
        ok(group.error_code)?;
        for topic in &group.topics {
            let number = named(oracle, &topic.name, topic.topic_id);
            for row in &topic.partitions {
                take(number, row.partition_index, row.committed_offset, &row.metadata, row.error_code)?;
            }
        }
    }
    Ok(found)
}

/// The topics of a commit. The number of each commit is its note.
pub fn committed_topics(
    commits: &[(Place, i64, usize)],
    version: i16,
    oracle: &Oracle,
) -> Vec<OffsetCommitRequestTopic> {
    let partition = |(place, offset, number): &(Place, i64, usize)| {
        let partition = OffsetCommitRequestPartition {
            partition_index: place.partition,
            committed_offset: *offset,
            committed_metadata: Some(number.to_string()),
            ..Default::default()
        };
        (*place, partition)
    };
    let topics = by_topic(commits.iter().map(partition)).into_iter().map(|(topic, partitions)| {
        let (name, topic_id) = identity(oracle, topic, version);
        OffsetCommitRequestTopic { name, topic_id, partitions }
    });
    topics.collect()
}

/// What a member says of itself when it joins: other partitions make other bytes, so that the group is rebalanced. A
/// cooperative member says what it owns.
pub fn subscription(
    topics: impl Iterator<Item = usize>,
    partitions: usize,
    claim: Option<&Claim>,
    version: i16,
    oracle: &Oracle,
) -> Bytes {
    let topics = topics.map(|topic| oracle.topics()[topic].name.clone()).collect();
    let user_data = Some(Bytes::copy_from_slice(&partitions.to_be_bytes()));
    let mut subscription = ConsumerProtocolSubscription { topics, user_data, ..Default::default() };
    if let Some(claim) = claim {
        subscription.owned_partitions = named_partitions(claim.places.iter().copied(), oracle);
        subscription.generation_id = claim.generation;
    }
    subscription.to_bytes(version).expect("names of topics are short")
}

/// What a member says that it owns, if a member says so.
pub fn claimed(metadata: &Bytes, oracle: &Oracle) -> Option<Claim> {
    let subscription = ConsumerProtocolSubscription::from_bytes(metadata).ok()?;
    let places = places_of(subscription.owned_partitions, oracle)?;
    Some(Claim { generation: subscription.generation_id, places })
}

/// What a leader gives to one member.
pub fn assignment(places: impl Iterator<Item = Place>, oracle: &Oracle) -> Bytes {
    let assigned_partitions = named_partitions(places, oracle);
    let assignment = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
    assignment.to_bytes(0).expect("names of topics are short")
}

/// What a member is given: nothing, if its leader has not thought of it.
pub fn assigned(assignment: &Bytes, oracle: &Oracle) -> Option<BTreeSet<Place>> {
    if assignment.is_empty() {
        return Some(BTreeSet::new());
    }
    places_of(ConsumerProtocolAssignment::from_bytes(assignment).ok()?.assigned_partitions, oracle)
}

fn named_partitions(places: impl Iterator<Item = Place>, oracle: &Oracle) -> Vec<TopicPartition> {
    let by_topic = by_topic(places.map(|place| (place, place.partition)));
    let named = by_topic.into_iter().map(|(topic, partitions)| {
        let topic = oracle.topics()[topic].name.clone();
        TopicPartition { topic, partitions }
    });
    named.collect()
}

fn places_of(named: Vec<TopicPartition>, oracle: &Oracle) -> Option<BTreeSet<Place>> {
    let mut places = BTreeSet::new();
    for TopicPartition { topic, partitions } in named {
        let topic = oracle.topics().iter().position(|known| known.name == topic)?;
        places.extend(partitions.into_iter().map(|partition| Place { topic, partition }));
    }
    Some(places)
}

/// What a member of the consumer protocol owns.
pub fn owned_topics(places: &BTreeSet<Place>, oracle: &Oracle) -> Vec<TopicPartitions> {
    let by_topic = by_topic(places.iter().map(|place| (*place, place.partition)));
    let topics = by_topic.into_iter().map(|(topic, partitions)| {
        let topic_id = oracle.topics()[topic].id.unwrap_or(Uuid::ZERO);
        TopicPartitions { topic_id, partitions }
    });
    topics.collect()
}

/// What it shall own, as far as the topics are known.
pub fn given(assignment: &Assignment, oracle: &Oracle) -> BTreeSet<Place> {
    let find = |id: Uuid| oracle.topics().iter().position(|known| known.id == Some(id));
    let places = assignment.topic_partitions.iter().filter_map(|row| {
        let topic = find(row.topic_id)?;
        Some(row.partitions.iter().map(move |partition| Place { topic, partition: *partition }))
    });
    places.flatten().collect()
}

/// A regular expression that these topics match and no others.
pub fn topics_regex(topics: impl Iterator<Item = usize>, oracle: &Oracle) -> String {
    topics.map(|topic| oracle.topics()[topic].name.as_str()).collect::<Vec<_>>().join("|")
}

/// An answer's code.
pub fn error_code(code: i16) -> ErrorCode {
    ErrorCode::try_from(code).unwrap_or(ErrorCode::UnknownServerError)
}

fn ok(code: i16) -> Result<(), ErrorCode> {
    match error_code(code) {
        ErrorCode::None => Ok(()),
        error => Err(error),
    }
}

fn by_topic<T>(rows: impl Iterator<Item = (Place, T)>) -> BTreeMap<usize, Vec<T>> {
    let mut topics: BTreeMap<usize, Vec<T>> = BTreeMap::new();
    rows.for_each(|(place, row)| topics.entry(place.topic).or_default().push(row));
    topics
}

fn identity(oracle: &Oracle, topic: usize, version: i16) -> (String, Uuid) {
    let known = &oracle.topics()[topic];
    match (version, known.id) {
        (TOPIC_IDS_FROM.., id) => (String::new(), id.unwrap_or(Uuid::ZERO)),
        (..TOPIC_IDS_FROM, _) => (known.name.clone(), Uuid::ZERO),
    }
}

fn named(oracle: &Oracle, name: &str, id: Uuid) -> Option<usize> {
    oracle.topics().iter().position(|known| if id == Uuid::ZERO { known.name == name } else { known.id == Some(id) })
}
