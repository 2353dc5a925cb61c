//! Which brokers get which replicas.

use highwater_wire::ErrorCode;

use super::Image;
use super::error::ApiError;
use crate::ids::BrokerId;

/// Assigns `replication_factor` brokers to each of `partitions` partitions, the preferred leader first. Leaders and
/// followers go round all brokers, beginning wherever `start` says, so that topics with few partitions spread too.
///
/// # Errors
/// If there are not enough brokers.
pub(super) fn place(
    image: &Image,
    partitions: usize,
    replication_factor: usize,
    start: u128,
) -> Result<Vec<Vec<BrokerId>>, ApiError> {
    let brokers: Vec<BrokerId> = image.brokers().map(|broker| broker.id).collect();
    if replication_factor > brokers.len() {
        let message = format!("there are {} brokers, too few for {replication_factor} replicas", brokers.len());
        return Err(ApiError::new(ErrorCode::InvalidReplicationFactor, message));
    }
    let start = (start % brokers.len().max(1) as u128) as usize;
    let replica = |partition, replica| brokers[(start + partition + replica) % brokers.len()];
    let replicas = |partition| (0..replication_factor).map(|at| replica(partition, at)).collect();
    Ok((0..partitions).map(replicas).collect())
}

/// Checks an assignment that was made by hand.
///
/// # Errors
/// If it is empty, repeats a broker or names one that does not exist.
pub(super) fn check_assignment(image: &Image, brokers: &[i32]) -> Result<Vec<BrokerId>, ApiError> {
    let refuse = |message: String| Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
    if brokers.is_empty() {
        return refuse("the assignment has no replica".into());
    }
    for (at, broker) in brokers.iter().enumerate() {
        if image.broker(BrokerId(*broker)).is_none() {
            return refuse(format!("the assignment names broker {broker}, which is not registered"));
        }
        if brokers[..at].contains(broker) {
            return refuse(format!("the assignment names broker {broker} twice"));
        }
    }
    Ok(brokers.iter().copied().map(BrokerId).collect())
}
