//! A member of a classic group of consumers, for `consume --group`.
//!
//! It joins with the `range` assignor, eagerly: before it joins again it commits and gives everything up. What was
//! printed is committed every few seconds, before each rebalance and at the end, so a record is printed at least once by
//! some member, and twice only where one was killed.
//!
//! Invariants:
//! * A position is the offset after the last record that was printed, or where the group stood before.
//! * Records are taken only from partitions that are owned in the present generation, from their positions on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use highwater_core::client::{Command, Position, Target, TopicPartition};
use highwater_core::ids::{Offset, PartitionIndex};
use highwater_wire::consumer_protocol::TopicPartition as OwnedPartitions;
use highwater_wire::heartbeat::HeartbeatRequest;
use highwater_wire::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use highwater_wire::leave_group::{LeaveGroupRequest, MemberIdentity};
use highwater_wire::offset_commit::OffsetCommitRequest;
use highwater_wire::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use highwater_wire::{ConsumerProtocolAssignment, ConsumerProtocolSubscription, ErrorCode};
use tokio::time::Instant;

use super::reset::{Targets, commit_topics};
use super::{RETRY_AFTER, committed, find_coordinator, partitions_of, refused};
use crate::cli::error::{CliError, error_of};
use crate::cli::options::ClientOptions;
use crate::client::Session;

const PROTOCOL_TYPE: &str = "consumer";
const ASSIGNOR: &str = "range";

/// The version of a subscription and an assignment that every consumer can read.
const CONSUMER_PROTOCOL_VERSION: i16 = 1;

const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);

/// A member of a group, between two calls of [`Member::keep_up`].
#[derive(Debug)]
pub struct Member {
    options: ClientOptions,
    group: String,
    topic: String,
    /// Where a partition begins of which the group has committed nothing.
    from: Position,
    coordinator: Target,
    member_id: String,
    generation: i32,
    positions: BTreeMap<TopicPartition, Offset>,
    /// The partitions whose positions have moved since the last commit.
    moved: BTreeSet<TopicPartition>,
    heartbeat_at: Instant,
    commit_at: Instant,
}

/// Why a member must join again.
enum Interruption {
    /// The group rebalances, or somebody else coordinates it: the member stays known.
    Rejoin,
    /// The group has forgotten the member.
    Forgotten,
}

impl Member {
    /// Joins the group and begins to read what it is given.
    pub async fn join(
        session: &mut Session,
        options: &ClientOptions,
        group: &str,
        topic: &str,
        from: Position,
    ) -> Result<Self, CliError> {
        let now = Instant::now();
        let mut member = Self {
            options: options.clone(),
            group: group.to_owned(),
            topic: topic.to_owned(),
            from,
            coordinator: find_coordinator(session, options, group).await?,
            member_id: String::new(),
            generation: -1,
            positions: BTreeMap::new(),
            moved: BTreeSet::new(),
            heartbeat_at: now,
            commit_at: now,
        };
        member.rejoin(session).await?;
        Ok(member)
    }

    /// The partitions that it owns.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.positions.keys()
    }

    /// Where it is in a partition; none if it does not own that.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.positions.get(partition).copied()
    }

    /// Takes note that everything of a partition below `next` was printed.
    pub fn advance(&mut self, partition: &TopicPartition, next: Offset) {
        let position = self.positions.get_mut(partition).expect("only what is owned is printed");
        assert!(next > *position, "a record is printed once");
        *position = next;
        self.moved.insert(partition.clone());
    }

    /// When [`keep_up`](Self::keep_up) is due.
    pub fn due(&self) -> Instant {
        if self.moved.is_empty() { self.heartbeat_at } else { self.heartbeat_at.min(self.commit_at) }
    }

    /// Says that it is alive, commits, and joins again where it has to. Returns whether it owns other partitions now.
    pub async fn keep_up(&mut self, session: &mut Session) -> Result<bool, CliError> {
        let now = Instant::now();
        let mut interruption = None;
        if now >= self.commit_at && !self.moved.is_empty() {
            interruption = self.commit(session).await?;
        }
        if now >= self.heartbeat_at && interruption.is_none() {
            interruption = self.heartbeat(session).await?;
        }
        let Some(interruption) = interruption else { return Ok(false) };
        self.give_up(session, interruption).await?;
        self.rejoin(session).await?;
        Ok(true)
    }

    /// Commits what was printed and leaves the group.
    pub async fn leave(mut self, session: &mut Session) -> Result<(), CliError> {
        if !self.moved.is_empty() && self.commit(session).await?.is_some() {
            return Err(CliError::Failed(format!(
                "group {} has rebalanced before the last records were committed; others will read them again",
                self.group
            )));
        }
        let members = vec![MemberIdentity { member_id: self.member_id, ..MemberIdentity::default() }];
        let request = LeaveGroupRequest { group_id: self.group, members, ..LeaveGroupRequest::default() };
        session.call(self.coordinator, request).await?;
        Ok(())
    }

    async fn heartbeat(&mut self, session: &mut Session) -> Result<Option<Interruption>, CliError> {
        let request = HeartbeatRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            ..HeartbeatRequest::default()
        };
        let response = session.call(self.coordinator.clone(), request).await?;
        self.heartbeat_at = Instant::now() + HEARTBEAT_INTERVAL;
        self.interruption(response.error_code)
    }

    async fn commit(&mut self, session: &mut Session) -> Result<Option<Interruption>, CliError> {
        let offset =
            |partition: &TopicPartition| ((partition.topic.clone(), partition.index.0), self.positions[partition].0);
        let targets: Targets = self.moved.iter().map(offset).collect();
        let ids = partitions_of(session, &[self.topic.clone()].into()).await?;
        let ids = ids.into_iter().map(|(name, (id, _))| (name, id)).collect();
        let request = OffsetCommitRequest {
            group_id: self.group.clone(),
            generation_id_or_member_epoch: self.generation,
            member_id: self.member_id.clone(),
            topics: commit_topics(&targets, &ids),
            ..OffsetCommitRequest::default()
        };
        let response = session.call(self.coordinator.clone(), request).await?;
        self.commit_at = Instant::now() + COMMIT_INTERVAL;
        let mut codes = response.topics.iter().flat_map(|topic| &topic.partitions).map(|row| row.error_code);
        let interruption = self.interruption(codes.find(|code| *code != 0).unwrap_or(0))?;
        if interruption.is_none() {
            self.moved.clear();
        }
        Ok(interruption)
    }

    /// What an error code of the coordinator means for the membership.
    fn interruption(&self, code: i16) -> Result<Option<Interruption>, CliError> {
        match error_of(code) {
            None => Ok(None),
            Some(
                ErrorCode::RebalanceInProgress
                | ErrorCode::NotCoordinator
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::CoordinatorLoadInProgress,
            ) => Ok(Some(Interruption::Rejoin)),
            Some(ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) => Ok(Some(Interruption::Forgotten)),
            Some(code) => Err(refused(&format!("stay in group {}", self.group), code)),
        }
    }

    /// Stops reading, after a last commit if the group still takes one.
    async fn give_up(&mut self, session: &mut Session, interruption: Interruption) -> Result<(), CliError> {
        match interruption {
            Interruption::Rejoin if !self.moved.is_empty() => {
                self.commit(session).await?;
            }
            Interruption::Rejoin => {}
            Interruption::Forgotten => self.member_id.clear(),
        }
        for partition in std::mem::take(&mut self.positions).into_keys() {
            session.command(Command::Unassign(partition));
        }
        self.moved.clear();
        Ok(())
    }

    /// Joins until a generation takes the member in.
    async fn rejoin(&mut self, session: &mut Session) -> Result<(), CliError> {
        loop {
            let joined = session.call(self.coordinator.clone(), self.join_request()?).await?;
            if error_of(joined.error_code) == Some(ErrorCode::MemberIdRequired) {
                self.member_id = joined.member_id;
                continue;
            }
            if let Some(interruption) = self.interruption(joined.error_code)? {
                self.retry(session, interruption).await?;
                continue;
            }
            self.member_id.clone_from(&joined.member_id);
            self.generation = joined.generation_id;
            let assignments = self.assignments(session, &joined).await?;
            let request = SyncGroupRequest {
                group_id: self.group.clone(),
                generation_id: self.generation,
                member_id: self.member_id.clone(),
                protocol_type: Some(PROTOCOL_TYPE.to_owned()),
                protocol_name: Some(ASSIGNOR.to_owned()),
                assignments,
                ..SyncGroupRequest::default()
            };
            let synced = session.call(self.coordinator.clone(), request).await?;
            match self.interruption(synced.error_code)? {
                Some(interruption) => self.retry(session, interruption).await?,
                None => return self.begin(session, &synced.assignment).await,
            }
        }
    }

    async fn retry(&mut self, session: &mut Session, interruption: Interruption) -> Result<(), CliError> {
        if let Interruption::Forgotten = interruption {
            self.member_id.clear();
        }
        tokio::time::sleep(RETRY_AFTER).await;
        self.coordinator = find_coordinator(session, &self.options, &self.group).await?;
        Ok(())
    }

    fn join_request(&self) -> Result<JoinGroupRequest, CliError> {
        let subscription = ConsumerProtocolSubscription { topics: vec![self.topic.clone()], ..Default::default() };
        // The answer must come before the client gives the request up.
        let rebalance_timeout = Duration::from_secs(self.options.timeout).mul_f32(0.8);
        Ok(JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: millis(SESSION_TIMEOUT),
            rebalance_timeout_ms: millis(rebalance_timeout),
            member_id: self.member_id.clone(),
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocols: vec![JoinGroupRequestProtocol {
                name: ASSIGNOR.to_owned(),
                metadata: subscription.to_bytes(CONSUMER_PROTOCOL_VERSION).map_err(unsayable)?,
            }],
            ..JoinGroupRequest::default()
        })
    }

    /// Who gets what, if this member is the one to say so.
    async fn assignments(
        &self,
        session: &mut Session,
        joined: &JoinGroupResponse,
    ) -> Result<Vec<SyncGroupRequestAssignment>, CliError> {
        if joined.leader != joined.member_id {
            return Ok(Vec::new());
        }
        let mut subscribers: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for member in &joined.members {
            let subscription = ConsumerProtocolSubscription::from_bytes(&member.metadata);
            for topic in subscription.map(|subscription| subscription.topics).unwrap_or_default() {
                subscribers.entry(topic).or_default().push(&member.member_id);
            }
        }
        let existing = partitions_of(session, &subscribers.keys().cloned().collect()).await?;
        let mut owned: BTreeMap<&str, Vec<OwnedPartitions>> = BTreeMap::new();
        for (topic, mut members) in subscribers {
            members.sort_unstable();
            let count = existing.get(&topic).map_or(0, |(_, partitions)| partitions.len());
            for (member, partitions) in members.iter().zip(ranges(count, members.len())) {
                let partitions = partitions.map(|index| i32::try_from(index).expect("an index on the wire")).collect();
                owned.entry(*member).or_default().push(OwnedPartitions { topic: topic.clone(), partitions });
            }
        }
        let assignment = |member: &_| {
            let assigned_partitions = owned.remove(String::as_str(member)).unwrap_or_default();
            let assignment = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
            let assignment = assignment.to_bytes(CONSUMER_PROTOCOL_VERSION).map_err(unsayable)?;
            Ok(SyncGroupRequestAssignment { member_id: String::clone(member), assignment })
        };
        joined.members.iter().map(|member| &member.member_id).map(assignment).collect()
    }

    /// Goes on where the group stopped, in the partitions of an assignment.
    async fn begin(&mut self, session: &mut Session, assignment: &Bytes) -> Result<(), CliError> {
        // Nobody leads a group without an assignment for each member; an empty one is none.
        let owned = if assignment.is_empty() {
            Vec::new()
        } else {
            let assignment = ConsumerProtocolAssignment::from_bytes(assignment);
            assignment
                .map_err(|error| CliError::Failed(format!("the assignment makes no sense: {error}")))?
                .assigned_partitions
        };
        let offsets = committed(session, &self.options, &self.coordinator, &self.group).await?;
        for OwnedPartitions { topic, partitions } in owned {
            for index in partitions {
                let partition = TopicPartition::new(topic.clone(), PartitionIndex(index));
                let offset = offsets.get(&(topic.clone(), index)).map(|offset| Offset(*offset));
                let from = offset.map_or(self.from, Position::Offset);
                session.command(Command::Assign { partition: partition.clone(), from });
                self.positions.insert(partition, offset.unwrap_or(Offset(0)));
            }
        }
        let now = Instant::now();
        (self.heartbeat_at, self.commit_at) = (now + HEARTBEAT_INTERVAL, now + COMMIT_INTERVAL);
        Ok(())
    }
}

/// Splits `count` partitions into a range for each of `members`, the first ones longer by one where it does not divide.
fn ranges(count: usize, members: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let (each, longer) = (count / members, count % members);
    let start = move |member: usize| member * each + member.min(longer);
    (0..members).map(move |member| start(member)..start(member + 1))
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

fn unsayable(error: highwater_wire::EncodeError) -> CliError {
    CliError::Failed(format!("the group's protocol cannot say that: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_every_partition_once() {
        let split = |count, members| ranges(count, members).collect::<Vec<_>>();
        assert_eq!(split(7, 3), [0..3, 3..5, 5..7]);
        assert_eq!(split(2, 3), [0..1, 1..2, 2..2]);
        assert_eq!(split(0, 2), [0..0, 0..0]);
    }
}
