//! Answers that need nothing but the metadata image.
//!
//! Sources: KIP-430 (authorized operations), KIP-516 (topic ids), KIP-700 and KIP-919 (DescribeCluster), KIP-966
//! (DescribeTopicPartitions). Nobody is authorized yet, so everybody may do everything.

use std::collections::BTreeSet;

use highwater_wire::describe_cluster::{DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse};
use highwater_wire::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};
use highwater_wire::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use highwater_wire::{ErrorCode, Uuid};

use super::call::Context;
use crate::controller::{Image, Partition, Topic, check_topic_name};
use crate::ids::{BrokerId, PartitionIndex, TopicId};
use crate::limits;

/// The field's value where a client did not ask.
const NOT_ASKED: i32 = i32::MIN;

/// Read, write, create, delete, alter, describe, describe and alter configurations: bits by the codes of AclOperation.
const TOPIC_OPERATIONS: i32 = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;

/// Create, alter, describe, cluster action, describe and alter configurations, idempotent write.
const CLUSTER_OPERATIONS: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

/// The `endpoint_type` that asks for brokers.
const BROKERS: i8 = 1;
/// The `endpoint_type` that asks for controllers.
const CONTROLLERS: i8 = 2;

/// Answers Metadata, all topics that are missing having been created as far as they may be.
pub(super) fn metadata(context: &Context<'_>, request: &MetadataRequest) -> MetadataResponse {
    let image = context.image;
    let operations = operations(request.include_topic_authorized_operations, TOPIC_OPERATIONS);
    // Version 0 has no null: nothing named means all.
    let named = request.topics.as_ref().filter(|topics| context.version > 0 || !topics.is_empty());
    let mut topics: Vec<MetadataResponseTopic> = match named {
        None => image.topics().map(metadata_topic).collect(),
        Some(named) => {
            let mut seen = BTreeSet::new();
            let different = named.iter().filter(|wanted| seen.insert((&wanted.name, wanted.topic_id)));
            different.map(|wanted| named_topic(image, wanted)).collect()
        }
    };
    // Of an id that no topic has, nobody knows who may do what.
    for topic in topics.iter_mut().filter(|topic| topic.error_code != ErrorCode::UnknownTopicId.code()) {
        topic.topic_authorized_operations = operations;
    }
    let brokers =
        endpoints(context).map(|(node_id, host, port, rack)| MetadataResponseBroker { node_id, host, port, rack });
    MetadataResponse {
        brokers: brokers.collect(),
        cluster_id: Some(image.cluster_id().to_owned()),
        controller_id: context.config.node_id.0,
        topics,
        cluster_authorized_operations: self::operations(
            request.include_cluster_authorized_operations,
            CLUSTER_OPERATIONS,
        ),
        ..Default::default()
    }
}

/// A topic as Metadata names it: by its id if there is one, else by its name.
fn named_topic(image: &Image, wanted: &MetadataRequestTopic) -> MetadataResponseTopic {
    let refuse = |name: Option<&String>, code: ErrorCode| MetadataResponseTopic {
        error_code: code.code(),
        name: name.cloned(),
        topic_id: wanted.topic_id,
        ..Default::default()
    };
    if wanted.topic_id != Uuid::ZERO {
        let topic = image.topic_by_id(TopicId(wanted.topic_id.0));
        return topic.map_or_else(|| refuse(None, ErrorCode::UnknownTopicId), metadata_topic);
    }
    let Some(name) = &wanted.name else { return refuse(None, ErrorCode::InvalidTopicException) };
    match image.topic(name) {
        Some(topic) => metadata_topic(topic),
        None if check_topic_name(name).is_err() => refuse(Some(name), ErrorCode::InvalidTopicException),
        None => refuse(Some(name), ErrorCode::UnknownTopicOrPartition),
    }
}

fn metadata_topic(topic: &Topic) -> MetadataResponseTopic {
    let partitions = topic.partitions().map(|(index, partition)| MetadataResponsePartition {
        error_code: leader_code(partition).code(),
        partition_index: index.0,
        leader_id: leader_id(partition),
        leader_epoch: partition.leader_epoch.0,
        replica_nodes: ids(&partition.replicas),
        isr_nodes: ids(&partition.isr),
        ..Default::default()
    });
    MetadataResponseTopic {
        name: Some(topic.name.to_string()),
        topic_id: Uuid(topic.id.0),
        is_internal: topic.is_internal(),
        partitions: partitions.collect(),
        ..Default::default()
    }
}

/// Answers DescribeCluster.
pub(super) fn cluster(context: &Context<'_>, request: &DescribeClusterRequest) -> DescribeClusterResponse {
    let refusal = match request.endpoint_type {
        BROKERS => None,
        CONTROLLERS => Some((ErrorCode::MismatchedEndpointType, "this listener is one of a broker, not a controller")),
        _ => Some((ErrorCode::UnsupportedEndpointType, "the endpoint type is neither brokers nor controllers")),
    };
    if let Some((code, message)) = refusal {
        let error_message = Some(message.to_owned());
        return DescribeClusterResponse { error_code: code.code(), error_message, ..Default::default() };
    }
    let brokers = endpoints(context).map(|(broker_id, host, port, rack)| DescribeClusterBroker {
        broker_id,
        host,
        port,
        rack,
        ..Default::default()
    });
    DescribeClusterResponse {
        cluster_id: context.image.cluster_id().to_owned(),
        controller_id: context.config.node_id.0,
        brokers: brokers.collect(),
        cluster_authorized_operations: operations(request.include_cluster_authorized_operations, CLUSTER_OPERATIONS),
        ..Default::default()
    }
}

/// Answers DescribeTopicPartitions: topics by name, from the cursor on, until the limit of partitions is reached.
pub(super) fn topic_partitions(
    context: &Context<'_>,
    request: &DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let named: BTreeSet<&str> = request.topics.iter().map(|topic| topic.name.as_str()).collect();
    if request.cursor.as_ref().is_some_and(|cursor| !is_among(cursor, &named)) {
        let refused = named.into_iter().map(|name| DescribeTopicPartitionsResponseTopic {
            error_code: ErrorCode::InvalidRequest.code(),
            name: Some(name.to_owned()),
            ..Default::default()
        });
        return DescribeTopicPartitionsResponse { topics: refused.collect(), ..Default::default() };
    }
    let (from, first) = request.cursor.as_ref().map_or(("", 0), |cursor| (&cursor.topic_name, cursor.partition_index));
    let names: Box<dyn Iterator<Item = &str>> = if named.is_empty() {
        Box::new(context.image.topics_from(from).map(|topic| &*topic.name))
    } else {
        Box::new(named.into_iter().filter(|name| *name >= from))
    };
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut room = limit.clamp(1, limits::DESCRIBED_PARTITIONS_MAX);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names {
        let begin = PartitionIndex(if name == from { first } else { 0 });
        if room == 0 {
            response.next_cursor = Some(Cursor { topic_name: name.to_owned(), partition_index: begin.0 });
            break;
        }
        let (topic, cursor) = described_topic(context.image, name, begin, room);
        room -= topic.partitions.len();
        response.topics.push(topic);
        if cursor.is_some() {
            response.next_cursor = cursor;
            break;
        }
    }
    response
}

/// Whether a cursor points into what is asked for: nothing named means all.
fn is_among(cursor: &Cursor, named: &BTreeSet<&str>) -> bool {
    cursor.partition_index >= 0 && (named.is_empty() || named.contains(cursor.topic_name.as_str()))
}

fn described_topic(
    image: &Image,
    name: &str,
    begin: PartitionIndex,
    room: usize,
) -> (DescribeTopicPartitionsResponseTopic, Option<Cursor>) {
    let Some(topic) = image.topic(name) else {
        let code = match check_topic_name(name) {
            Ok(()) => ErrorCode::UnknownTopicOrPartition,
            Err(_) => ErrorCode::InvalidTopicException,
        };
        let name = Some(name.to_owned());
        let described = DescribeTopicPartitionsResponseTopic {
            error_code: code.code(),
            name,
            topic_authorized_operations: TOPIC_OPERATIONS,
            ..Default::default()
        };
        return (described, None);
    };
    let mut rest = topic.partitions_from(begin);
    let partitions = rest.by_ref().take(room).map(|(index, partition)| DescribeTopicPartitionsResponsePartition {
        error_code: leader_code(partition).code(),
        partition_index: index.0,
        leader_id: leader_id(partition),
        leader_epoch: partition.leader_epoch.0,
        replica_nodes: ids(&partition.replicas),
        isr_nodes: ids(&partition.isr),
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        ..Default::default()
    });
    let described = DescribeTopicPartitionsResponseTopic {
        name: Some(name.to_owned()),
        topic_id: Uuid(topic.id.0),
        is_internal: topic.is_internal(),
        partitions: partitions.collect(),
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..Default::default()
    };
    let next = rest.next();
    (described, next.map(|(index, _)| Cursor { topic_name: name.to_owned(), partition_index: index.0 }))
}

/// The brokers that a client of this listener can reach: id, host, port, rack.
fn endpoints<'a>(context: &'a Context<'_>) -> impl Iterator<Item = (i32, String, i32, Option<String>)> + 'a {
    context.image.brokers().filter_map(|broker| {
        let endpoint = broker.endpoint(context.listener_name())?;
        Some((broker.id.0, endpoint.host.clone(), endpoint.port as i32, broker.rack.clone()))
    })
}

fn operations(asked: bool, all: i32) -> i32 {
    if asked { all } else { NOT_ASKED }
}

fn leader_code(partition: &Partition) -> ErrorCode {
    if partition.leader.is_some() { ErrorCode::None } else { ErrorCode::LeaderNotAvailable }
}

fn leader_id(partition: &Partition) -> i32 {
    partition.leader.map_or(-1, |leader| leader.0)
}

fn ids(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|broker| broker.0).collect()
}
