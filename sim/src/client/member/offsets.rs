//! A member commits what it has processed, and asks where to begin with what it was given.

use std::collections::BTreeSet;

use highwater_wire::{ErrorCode, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchResponse};

use super::requests::{committed_topics, error_code, fetched_offsets, offset_fetch};
use super::{Asked, Member, Phase};
use crate::client::Context;
use crate::oracle::{CommitAnswer, Place};

/// The first version of OffsetCommit and OffsetFetch that members of the consumer protocol may use.
const EPOCHS_FROM: u64 = 9;

impl Member {
    /// Looks up where the group has got to, or commits, if there is anything to be looked up or committed.
    pub(super) fn tend_offsets(&mut self, context: &mut Context<'_>) {
        if std::mem::take(&mut self.doubts) && !self.holding.owned().is_empty() {
            return self.look_up(self.holding.owned().clone(), context);
        }
        if !self.holding.unknown.is_empty() {
            return self.look_up(self.holding.unknown.clone(), context);
        }
        let uncommitted = self.holding.uncommitted();
        if !uncommitted.is_empty() && (self.commit_at <= context.now || self.quiet) {
            self.commit_at = context.now + self.options.commit.pick(&mut self.rng);
            self.commit(uncommitted, context);
        }
    }

    /// Who has stood still commits what it had in hand before it hears what has happened meanwhile. Returns whether it does.
    pub(super) fn commits_first(&mut self, context: &mut Context<'_>) -> bool {
        if !matches!(self.phase, Phase::Owning) || !std::mem::take(&mut self.stood_still) {
            return false;
        }
        let uncommitted = self.holding.uncommitted();
        let has_any = !uncommitted.is_empty();
        if has_any {
            self.commit(uncommitted, context);
        }
        has_any
    }

    fn look_up(&mut self, places: BTreeSet<Place>, context: &mut Context<'_>) {
        let member = self.speaks_consumer.then_some((self.member_id.as_str(), self.epoch));
        let first = if member.is_some() { EPOCHS_FROM } else { 1 };
        let version = self.rng.between(first, 10) as i16;
        let request = offset_fetch(&self.group_options.name, member, &places, version, context.oracle);
        let asked = context.oracle.group(self.group).tick();
        self.coordinator.ask(request, version, Asked::Offsets(asked), context);
    }

    pub(super) fn looked_up(&mut self, asked: u64, response: &OffsetFetchResponse, context: &mut Context<'_>) {
        let found = match fetched_offsets(response, context.oracle) {
            Ok(found) => found,
            Err(error) => return self.failed("OffsetFetch", error, context),
        };
        for (place, offset, note) in found {
            let fetched = context.oracle.group(self.group).fetched(asked, place, offset, &note);
            context.oracle.note(fetched);
            if !self.holding.unknown.remove(&place) {
                continue;
            }
            if offset < 0 {
                self.holding.lost.insert(place);
            } else {
                self.holding.begin(place, offset);
                self.holding.committed.insert(place, offset);
                self.reader.positions.insert(place, offset);
            }
        }
    }

    pub(super) fn commit(&mut self, offsets: Vec<(Place, i64)>, context: &mut Context<'_>) {
        let version =
            if self.speaks_consumer { self.rng.between(EPOCHS_FROM, 10) as i16 } else { self.version(2, 7, 10) };
        let (group, client, member_id) = (context.oracle.group(self.group), self.number, self.member_id.as_str());
        let number = |(place, offset)| (place, offset, group.committing(client, member_id, place, offset, self.epoch));
        let commits: Vec<_> = offsets.into_iter().map(number).collect();
        let request = OffsetCommitRequest {
            group_id: self.group_options.name.clone(),
            generation_id_or_member_epoch: self.epoch,
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id(),
            topics: committed_topics(&commits, version, context.oracle),
            ..Default::default()
        };
        self.coordinator.ask(request, version, Asked::Commit(commits), context);
    }

    pub(super) fn committed(
        &mut self,
        commits: Vec<(Place, i64, usize)>,
        response: &OffsetCommitResponse,
        context: &mut Context<'_>,
    ) {
        let rows: Vec<_> = response.topics.iter().flat_map(|topic| &topic.partitions).collect();
        let complete = rows.len() == commits.len();
        context.oracle.require(complete, "Answers", || format!("{commits:?} are answered {response:?}"));
        let mut failure = None;
        // Commits stand by topic and partition, and so do the answers.
        for ((place, offset, number), row) in commits.into_iter().zip(rows) {
            let ordered = row.partition_index == place.partition;
            context.oracle.require(ordered, "Answers", || format!("{place} is answered {row:?}"));
            let error = error_code(row.error_code);
            let answer = commit_answer(error);
            let answered = context.oracle.group(self.group).commit_answered(number, answer);
            context.oracle.note(answered);
            context.oracle.count(match answer {
                CommitAnswer::Acknowledged => "commit acknowledged",
                CommitAnswer::Refused => "commit refused",
                CommitAnswer::Unclear => "commit left unclear",
            });
            match error {
                ErrorCode::None => drop(self.holding.committed.insert(place, offset)),
                error => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            self.failed("OffsetCommit", error, context);
        }
    }
}

/// Whether a commit with this answer has happened.
fn commit_answer(error: ErrorCode) -> CommitAnswer {
    match error {
        ErrorCode::None => CommitAnswer::Acknowledged,
        ErrorCode::IllegalGeneration
        | ErrorCode::UnknownMemberId
        | ErrorCode::StaleMemberEpoch
        | ErrorCode::FencedInstanceId
        | ErrorCode::RebalanceInProgress
        | ErrorCode::GroupIdNotFound
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::UnknownTopicOrPartition
        | ErrorCode::UnknownTopicId => CommitAnswer::Refused,
        _ => CommitAnswer::Unclear,
    }
}
