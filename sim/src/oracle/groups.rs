//! What the members of a group were told, and what they have done with it.
//!
//! Properties:
//! * **DoubleOwnership**: in one generation of the classic protocol no partition belongs to two members; a static member that
//!   comes back owns what its former self did. Of members that speak the consumer protocol no two own a partition at any
//!   epochs: who must give one up owns it until it says that it has, or until it is put out.
//! * **GenerationsGrow**: who joins is told of no generation older than one whose assignment was known before it asked,
//!   unless the group was removed meanwhile: its next life begins at the first generation again.
//! * **FencedCommit**: what a member asks to commit after it was put out is refused.
//! * **CommitRegression**: what is looked up is the last commit that is known to have happened, or one that was concurrent
//!   with it or came later. A commit that was refused has not happened.
//! * **AtLeastOnce**: every record is processed by some member, unless it was gone before the group came to it.
//! * **EventuallyStable**: in the end all members share a generation or an epoch, own every partition between them, and have
//!   committed its end. The world's deadline asserts it.

mod commits;
mod owners;

use std::collections::{BTreeMap, BTreeSet};

pub use self::commits::CommitAnswer;
use self::commits::{Commit, Commits};
use self::owners::Owners;
pub use self::owners::{Generation, Told};
use super::{Place, Violation};
use crate::options::{GroupOptions, GroupProtocol};

/// One group's history.
#[derive(Debug)]
pub struct GroupHistory {
    /// The group's name.
    pub name: String,
    topics: BTreeSet<usize>,
    members_wished: usize,
    /// Counts what is told, so that before and after have a meaning.
    ticks: u64,
    /// Which protocol its members speak.
    pub protocol: GroupProtocol,
    owners: Owners,
    commits: Commits,
    /// What was processed, or was gone before that: by partition and offset.
    delivered: BTreeMap<Place, Vec<bool>>,
    is_settled: bool,
}

impl GroupHistory {
    /// A group that nobody has joined.
    pub fn new(options: &GroupOptions) -> Self {
        Self {
            name: options.name.clone(),
            topics: options.topics.clone(),
            members_wished: options.members.len(),
            ticks: 0,
            protocol: options.protocol,
            owners: Owners::default(),
            commits: Commits::default(),
            delivered: BTreeMap::new(),
            is_settled: false,
        }
    }

    /// Whether the group reads this topic.
    pub fn reads(&self, topic: usize) -> bool {
        self.topics.contains(&topic)
    }

    /// A moment: what is told before it lies before it.
    pub fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    /// The coordinator has removed the group.
    pub fn removed(&mut self) {
        self.owners.group_removed();
    }

    /// The coordinator has put a member out, which may not have heard of it yet.
    pub fn member_removed(&mut self, member_id: &str) {
        let now = self.tick();
        self.owners.fence(member_id, now);
    }

    /// The group's coordinator is gone, and with it, maybe, what it had decided last.
    pub fn coordinator_died(&mut self) {
        self.owners.coordinators_died();
    }

    /// The newest generation whose assignment somebody knows.
    pub fn generation(&self) -> Generation {
        self.owners.generation()
    }

    /// A client was told of a generation. `known` is what [`generation`](Self::generation) was when it asked.
    ///
    /// # Errors
    /// The group's generations do not grow.
    pub fn joined(&mut self, client: usize, number: i32, known: Generation) -> Result<(), Violation> {
        let is_certain = self.owners.let_in(client, known.life);
        // Where both protocols meet, a member may be behind the others until it has given partitions up.
        if !is_certain || number >= known.number || self.protocol == GroupProtocol::Mixed {
            return Ok(());
        }
        let known = known.number;
        let witness = format!("{} is in generation {number}, but was in {known} before somebody joined", self.name);
        Err(Violation { property: "GenerationsGrow", witness })
    }

    /// A client of the classic protocol was told what it owns, by the answer to what it asked at `asked`. `owner` is its
    /// static name, or its id.
    ///
    /// # Errors
    /// Somebody else owns some of it.
    pub fn synced(&mut self, told: Told<'_>, owner: &str, asked: u64) -> Result<(), Violation> {
        self.owners.is_known(told.member_id, asked);
        let rival = self.owners.synced(told, owner);
        // A group that changes its protocol without members begins to count anew, and says nothing of it.
        let rival = rival.filter(|_| self.protocol != GroupProtocol::Mixed);
        self.require_alone(told, rival)
    }

    /// A client of the consumer protocol was told what it owns, by the answer to what it asked at `asked` in a certain life
    /// of the group.
    ///
    /// # Errors
    /// Another current member owns some of it.
    pub fn holds(&mut self, told: Told<'_>, asked: u64, life: u64) -> Result<(), Violation> {
        self.owners.let_in(told.client, life);
        self.owners.is_known(told.member_id, asked);
        let rival = self.owners.holds(told);
        self.require_alone(told, rival)
    }

    fn require_alone(&self, told: Told<'_>, rival: Option<(String, Place)>) -> Result<(), Violation> {
        let Some((other, place)) = rival else { return Ok(()) };
        let Told { member_id, epoch, .. } = told;
        let witness = format!("{}, epoch {epoch}: both {member_id} and {other} own {place}", self.name);
        Err(Violation { property: "DoubleOwnership", witness })
    }

    /// A client is going to tell the coordinator that it owns nothing but this.
    pub fn keeps(&mut self, client: usize, places: &BTreeSet<Place>) {
        self.owners.keeps(client, places);
    }

    /// A client owns nothing any more, and knows.
    pub fn gave_up(&mut self, client: usize) {
        self.owners.gave_up(client);
    }

    /// A client is going to commit an offset, as this member and in this generation; returns the commit's number.
    pub fn committing(&mut self, client: usize, member_id: &str, place: Place, offset: i64, generation: i32) -> usize {
        let generation = self.owners.generation_of(client, generation);
        let since = match self.protocol {
            GroupProtocol::Classic => generation,
            // At an older epoch a member may commit what it has owned since then.
            GroupProtocol::Consumer => self.owners.since(member_id, place),
            GroupProtocol::Mixed => None,
        };
        let asked = self.tick();
        self.commits.push(Commit::new(place, offset, member_id, [since, generation], asked))
    }

    /// A commit was answered.
    ///
    /// # Errors
    /// It has happened although the member had been put out.
    pub fn commit_answered(&mut self, number: usize, answer: CommitAnswer) -> Result<(), Violation> {
        let now = self.tick();
        let commit = self.commits.answered(number, answer, now);
        if answer != CommitAnswer::Acknowledged || !self.owners.is_fenced(&commit.member_id, commit.asked) {
            return Ok(());
        }
        let witness = format!("{}: the member had been put out before {commit:?}", self.name);
        Err(Violation { property: "FencedCommit", witness })
    }

    /// An offset was looked up by a question asked at `asked`; there is none if it is negative. `note` is the number of
    /// its commit.
    ///
    /// # Errors
    /// The answer is none that the commits allow.
    pub fn fetched(&mut self, asked: u64, place: Place, offset: i64, note: &str) -> Result<(), Violation> {
        let now = self.tick();
        self.commits.fetched((asked, now), place, offset, note).map_err(|why| {
            let witness = format!("{}: {place} is at {offset}, note {note:?}, {why}", self.name);
            Violation { property: "CommitRegression", witness }
        })
    }

    /// Records from one offset up to another have been processed, or are gone.
    pub fn delivered(&mut self, place: Place, from: i64, to: i64) {
        let range = usize::try_from(from).unwrap_or(0)..usize::try_from(to).unwrap_or(0);
        let delivered = self.delivered.entry(place).or_default();
        if delivered.len() < range.end {
            delivered.resize(range.end, false);
        }
        if let Some(range) = delivered.get_mut(range) {
            range.fill(true);
        }
    }

    /// Whether the group is stable, owns every one of these partitions and has got to the end of each.
    pub fn is_settled(&mut self, ends: &BTreeMap<Place, i64>) -> bool {
        self.is_settled |= self.owners.are_settled(self.members_wished, ends.keys().copied())
            && ends.iter().all(|(place, end)| self.committed(*place) >= *end);
        self.is_settled
    }

    /// A record that was found at an offset must have been processed, if the group has passed it or it was acknowledged.
    ///
    /// # Errors
    /// It was not.
    pub fn judge(&self, place: Place, offset: i64, acked: bool) -> Result<(), Violation> {
        let due = acked || offset < self.committed(place);
        let delivered = self.delivered.get(&place).and_then(|delivered| delivered.get(offset as usize));
        if !due || delivered == Some(&true) {
            return Ok(());
        }
        let witness = format!("{} has never processed {place} offset {offset}", self.name);
        Err(Violation { property: "AtLeastOnce", witness })
    }

    /// What the group still lacks, in a few words.
    pub fn describe(&self, ends: &BTreeMap<Place, i64>) -> String {
        let lag: BTreeMap<_, _> = ends.iter().map(|(place, end)| (place, (self.committed(*place), end))).collect();
        format!("{:?}, committed of end {lag:?}", self.owners)
    }

    fn committed(&self, place: Place) -> i64 {
        self.commits.committed(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { topic: 0, partition: 0 };

    /// A group that clients 1 and 2 have joined.
    fn group() -> GroupHistory {
        group_of(GroupProtocol::Classic)
    }

    fn group_of(protocol: GroupProtocol) -> GroupHistory {
        let mut group = GroupHistory::new(&GroupOptions {
            name: "group".to_owned(),
            protocol,
            is_cooperative: false,
            assignor: None,
            topics: BTreeSet::from([0]),
            session_timeout_ms: 0,
            rebalance_timeout_ms: 0,
            members: Vec::new(),
        });
        for client in [1, 2] {
            let known = group.generation();
            assert_eq!(property(group.joined(client, 1, known)), None);
        }
        group
    }

    fn property(result: Result<(), Violation>) -> Option<&'static str> {
        result.err().map(|violation| violation.property)
    }

    /// A commit by the client's member, "a" or "b".
    fn commit(group: &mut GroupHistory, client: usize, offset: i64, generation: i32) -> usize {
        group.committing(client, if client == 1 { "a" } else { "b" }, PLACE, offset, generation)
    }

    fn sync(
        group: &mut GroupHistory,
        client: usize,
        member_id: &str,
        epoch: i32,
        places: &BTreeSet<Place>,
    ) -> Result<(), Violation> {
        let asked = group.tick();
        group.synced(Told { client, member_id, epoch, places }, member_id, asked)
    }

    fn hold(
        group: &mut GroupHistory,
        client: usize,
        member_id: &str,
        epoch: i32,
        places: &BTreeSet<Place>,
    ) -> Result<(), Violation> {
        let asked = group.tick();
        group.holds(Told { client, member_id, epoch, places }, asked, 0)
    }

    #[test]
    fn an_acknowledged_commit_must_be_found() {
        let mut group = group();
        let asked = group.tick();
        let commit = commit(&mut group, 1, 5, 1);
        assert_eq!(property(group.fetched(asked, PLACE, -1, "")), None, "nothing is known yet");
        assert_eq!(property(group.commit_answered(commit, CommitAnswer::Acknowledged)), None);
        assert_eq!(property(group.fetched(asked, PLACE, -1, "")), None, "the question was asked before");
        let asked = group.tick();
        assert_eq!(property(group.fetched(asked, PLACE, 5, "0")), None);
        assert_eq!(property(group.fetched(asked, PLACE, -1, "")), Some("CommitRegression"));
        assert_eq!(property(group.fetched(asked, PLACE, 6, "0")), Some("CommitRegression"));
    }

    #[test]
    fn a_commit_without_an_answer_may_be_found_at_any_time_of_its_generation() {
        let mut group = group();
        let _lost = commit(&mut group, 1, 5, 1);
        let same = commit(&mut group, 1, 6, 1);
        assert_eq!(property(group.commit_answered(same, CommitAnswer::Acknowledged)), None);
        let asked = group.tick();
        assert_eq!(property(group.fetched(asked, PLACE, 5, "0")), None, "it may have come late");
        let later = commit(&mut group, 1, 7, 2);
        assert_eq!(property(group.commit_answered(later, CommitAnswer::Acknowledged)), None);
        let asked = group.tick();
        assert_eq!(property(group.fetched(asked, PLACE, 5, "0")), Some("CommitRegression"), "a later one refuses it");
    }

    #[test]
    fn a_commit_that_was_seen_does_not_vanish() {
        let mut group = group();
        let before = commit(&mut group, 1, 4, 1);
        assert_eq!(property(group.commit_answered(before, CommitAnswer::Acknowledged)), None);
        let unclear = commit(&mut group, 1, 5, 1);
        assert_eq!(property(group.commit_answered(unclear, CommitAnswer::Unclear)), None);
        let asked = group.tick();
        assert_eq!(property(group.fetched(asked, PLACE, 4, "0")), None);
        assert_eq!(property(group.fetched(asked, PLACE, 5, "1")), None);
        let asked = group.tick();
        assert_eq!(property(group.fetched(asked, PLACE, 4, "0")), Some("CommitRegression"));
    }

    #[test]
    fn a_refused_commit_is_never_found() {
        let mut group = group();
        let refused = commit(&mut group, 1, 5, 1);
        assert_eq!(property(group.commit_answered(refused, CommitAnswer::Refused)), None);
        let asked = group.tick();
        assert_eq!(property(group.fetched(asked, PLACE, 5, "0")), Some("CommitRegression"));
    }

    #[test]
    fn one_partition_has_one_owner_in_a_generation() {
        let mut group = group();
        let places = BTreeSet::from([PLACE]);
        assert_eq!(property(sync(&mut group, 1, "a", 1, &places)), None);
        assert_eq!(property(sync(&mut group, 1, "a", 1, &places)), None, "it may ask again");
        assert_eq!(property(sync(&mut group, 2, "b", 1, &BTreeSet::new())), None);
        assert_eq!(property(sync(&mut group, 2, "b", 2, &places)), None, "another generation");
        assert_eq!(property(sync(&mut group, 1, "a", 2, &places)), Some("DoubleOwnership"));
    }

    #[test]
    fn generations_begin_anew_only_when_the_group_was_removed() {
        let mut group = group();
        let places = BTreeSet::from([PLACE]);
        let before = group.generation();
        assert_eq!(property(sync(&mut group, 1, "a", 2, &places)), None);
        let known = group.generation();
        assert_eq!(property(group.joined(2, 1, before)), None, "it asked before anybody knew");
        assert_eq!(property(group.joined(2, 1, known)), Some("GenerationsGrow"));
        group.removed();
        assert_eq!(
            property(group.joined(2, 1, known)),
            None,
            "it may have been told of its former life or the new one"
        );
        assert_eq!(property(sync(&mut group, 2, "b", 2, &places)), None, "whose generation this is nobody knows");
        let known = group.generation();
        assert_eq!(property(group.joined(2, 1, known)), None);
        assert_eq!(property(sync(&mut group, 2, "b", 1, &places)), None);
        assert_eq!(property(group.joined(1, 0, group.generation())), Some("GenerationsGrow"));
        assert_eq!(property(sync(&mut group, 1, "a", 1, &places)), Some("DoubleOwnership"));
    }

    #[test]
    fn what_must_be_given_up_is_owned_until_its_owner_says_that_it_is_not() {
        let mut group = group_of(GroupProtocol::Consumer);
        let places = BTreeSet::from([PLACE]);
        assert_eq!(property(hold(&mut group, 1, "a", 1, &places)), None);
        assert_eq!(property(hold(&mut group, 2, "b", 2, &places)), Some("DoubleOwnership"), "at any epoch");
        group.keeps(2, &BTreeSet::new());
        group.keeps(1, &BTreeSet::new());
        assert_eq!(property(hold(&mut group, 2, "b", 2, &places)), None);
        group.member_removed("b");
        assert_eq!(property(hold(&mut group, 1, "a", 3, &places)), None, "b was put out");
        assert_eq!(property(hold(&mut group, 2, "b", 4, &places)), Some("DoubleOwnership"), "b was let in again");
    }

    #[test]
    fn who_was_put_out_commits_nothing_unless_a_crash_has_undone_that() {
        let mut group = group_of(GroupProtocol::Consumer);
        let before = commit(&mut group, 1, 4, 1);
        group.member_removed("a");
        let after = commit(&mut group, 1, 5, 1);
        assert_eq!(property(group.commit_answered(before, CommitAnswer::Acknowledged)), None);
        assert_eq!(property(group.commit_answered(after, CommitAnswer::Acknowledged)), Some("FencedCommit"));
        group.coordinator_died();
        let later = commit(&mut group, 1, 6, 1);
        assert_eq!(property(group.commit_answered(later, CommitAnswer::Acknowledged)), None);
    }

    #[test]
    fn an_owner_at_a_newer_epoch_refuses_only_commits_from_before_it_owned() {
        let mut group = group_of(GroupProtocol::Consumer);
        let places = BTreeSet::from([PLACE]);
        assert_eq!(property(hold(&mut group, 1, "a", 1, &places)), None);
        let lost = commit(&mut group, 1, 5, 1);
        assert_eq!(property(hold(&mut group, 1, "a", 2, &places)), None);
        let same = commit(&mut group, 1, 6, 2);
        assert_eq!(property(group.commit_answered(same, CommitAnswer::Acknowledged)), None);
        let asked = group.tick();
        assert_eq!(property(group.fetched(asked, PLACE, 5, &lost.to_string())), None, "it may have come late");
        group.gave_up(1);
        assert_eq!(property(hold(&mut group, 2, "b", 3, &places)), None);
        let other = commit(&mut group, 2, 7, 3);
        assert_eq!(property(group.commit_answered(other, CommitAnswer::Acknowledged)), None);
        let asked = group.tick();
        assert_eq!(property(group.fetched(asked, PLACE, 5, &lost.to_string())), Some("CommitRegression"));
    }

    #[test]
    fn what_was_passed_or_acknowledged_must_have_been_processed() {
        let mut group = group();
        group.delivered(PLACE, 0, 2);
        assert_eq!(property(group.judge(PLACE, 1, true)), None);
        assert_eq!(property(group.judge(PLACE, 2, false)), None, "nobody was promised that it is there");
        assert_eq!(property(group.judge(PLACE, 2, true)), Some("AtLeastOnce"));
        let commit = commit(&mut group, 1, 3, 1);
        assert_eq!(property(group.commit_answered(commit, CommitAnswer::Acknowledged)), None);
        assert_eq!(property(group.judge(PLACE, 2, false)), Some("AtLeastOnce"));
    }
}
