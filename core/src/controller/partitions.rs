//! Adding partitions to topics.

use highwater_wire::ErrorCode;
use highwater_wire::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};

use super::draft::Draft;
use super::error::ApiError;
use super::image::{Image, Topic};
use super::placement::{check_assignment, place};
use super::topics::{decide_each, new_partition, spend};
use crate::ids::{BrokerId, PartitionIndex};
use crate::limits::CREATED_PARTITIONS_MAX;

/// Decides a CreatePartitions request. Every topic succeeds or fails by itself.
pub(super) fn decide_create(
    draft: &mut Draft,
    request: &CreatePartitionsRequest,
    entropy: u128,
) -> CreatePartitionsResponse {
    let mut budget = CREATED_PARTITIONS_MAX;
    let decided = decide_each(
        &request.topics,
        |topic| &topic.name,
        entropy,
        |topic, entropy| add_partitions(draft, topic, entropy, &mut budget),
    );
    let results = decided.into_iter().map(|(topic, result)| outcome(topic, result.err().as_ref())).collect();
    if request.validate_only {
        draft.discard();
    }
    CreatePartitionsResponse { results, ..CreatePartitionsResponse::default() }
}

/// Answers every topic of a CreatePartitions request with the same error.
pub(super) fn refuse_create(request: &CreatePartitionsRequest, error: &ApiError) -> CreatePartitionsResponse {
    let results = request.topics.iter().map(|topic| outcome(topic, Some(error))).collect();
    CreatePartitionsResponse { results, ..CreatePartitionsResponse::default() }
}

fn add_partitions(
    draft: &mut Draft,
    wanted: &CreatePartitionsTopic,
    entropy: u128,
    budget: &mut usize,
) -> Result<(), ApiError> {
    let image = draft.image();
    let topic = image.topic(&wanted.name).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let (id, count) = (topic.id, topic.partition_count());
    let added = added_count(topic, wanted.count)?;
    spend(budget, added)?;
    let factor = topic.partition(PartitionIndex(0)).map_or(1, |partition| partition.replicas.len());
    let assigned = match &wanted.assignments {
        None => place(image, added, factor, entropy)?,
        Some(assignments) => assign_by_hand(image, assignments, added, factor)?,
    };
    for (index, replicas) in assigned.into_iter().enumerate() {
        draft.push(new_partition(id, count + index, replicas));
    }
    Ok(())
}

fn added_count(topic: &Topic, wanted: i32) -> Result<usize, ApiError> {
    let count = topic.partition_count();
    let added = usize::try_from(wanted).ok().and_then(|wanted| wanted.checked_sub(count));
    added.filter(|added| *added > 0).ok_or_else(|| {
        let message = format!("{} has {count} partitions already; {wanted} would not be more", topic.name);
        ApiError::new(ErrorCode::InvalidPartitions, message)
    })
}

fn assign_by_hand(
    image: &Image,
    assignments: &[CreatePartitionsAssignment],
    added: usize,
    factor: usize,
) -> Result<Vec<Vec<BrokerId>>, ApiError> {
    let refuse = |message: String| Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
    if assignments.len() != added {
        return refuse(format!("{added} partitions are to be added, but {} are assigned", assignments.len()));
    }
    let mut assigned = Vec::new();
    for assignment in assignments {
        let replicas = check_assignment(image, &assignment.broker_ids)?;
        if replicas.len() != factor {
            return refuse(format!("the topic has {factor} replicas of each partition, not {}", replicas.len()));
        }
        assigned.push(replicas);
    }
    Ok(assigned)
}

fn outcome(topic: &CreatePartitionsTopic, error: Option<&ApiError>) -> CreatePartitionsTopicResult {
    CreatePartitionsTopicResult {
        name: topic.name.clone(),
        error_code: error.map_or(0, |error| error.code.code()),
        error_message: error.map(|error| error.message.clone()),
    }
}
