//! What the members of a group were told, and what they have done with it.
//!
//! Properties:
//! * **DoubleOwnership**: in one generation no partition belongs to two members. A static member that comes back owns what
//!   its former self did.
//! * **GenerationsGrow**: who joins is told of no generation older than one whose assignment was known before it asked,
//!   unless the group was removed meanwhile: its next life begins at the first generation again.
//! * **CommitRegression**: what is looked up is the last commit that is known to have happened, or one that was concurrent
//!   with it or came later. A commit that was refused has not happened.
//! * **AtLeastOnce**: every record is processed by some member, unless it was gone before the group came to it.
//! * **EventuallyStable**: in the end all members share a generation, own every partition between them, and have
//!   committed its end. The world's deadline asserts it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Place, Violation};
use crate::options::GroupOptions;

/// One group's history.
#[derive(Debug)]
pub struct GroupHistory {
    /// The group's name.
    pub name: String,
    topics: BTreeSet<usize>,
    members_wished: usize,
    /// Counts what is told, so that before and after have a meaning.
    ticks: u64,
    /// How often it has been removed.
    removals: u64,
    /// Who owns what in each generation, as members have heard it.
    generations: BTreeMap<Generation, BTreeMap<String, BTreeSet<Place>>>,
    /// Which life of the group each client has joined, if that is certain.
    lives: BTreeMap<usize, u64>,
    /// What each client believes to own.
    current: BTreeMap<usize, (i32, BTreeSet<Place>)>,
    commits: Vec<Commit>,
    /// The newest commit of each partition that is known to have happened, by its number.
    committed: BTreeMap<Place, usize>,
    /// What was processed, or was gone before that: by partition and offset.
    delivered: BTreeMap<Place, Vec<bool>>,
    is_settled: bool,
}

/// A generation, and how often the group had been removed before: one number stands for one generation of each life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation {
    life: u64,
    number: i32,
}

/// One attempt to commit the offset of one partition.
#[derive(Debug)]
struct Commit {
    place: Place,
    offset: i64,
    /// Of its member, if it is certain.
    generation: Option<Generation>,
    asked: u64,
    /// When its fate was sealed: it cannot happen later.
    answered: Option<u64>,
    /// When somebody learnt that it has happened.
    known: Option<u64>,
    refused: bool,
}

/// What a member hears of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitAnswer {
    /// It has happened.
    Acknowledged,
    /// It has not, and never will.
    Refused,
    /// It may have.
    Unclear,
}

impl GroupHistory {
    /// A group that nobody has joined.
    pub fn new(options: &GroupOptions) -> Self {
        Self {
            name: options.name.clone(),
            topics: options.topics.clone(),
            members_wished: options.members.len(),
            ticks: 0,
            removals: 0,
            generations: BTreeMap::new(),
            lives: BTreeMap::new(),
            current: BTreeMap::new(),
            commits: Vec::new(),
            committed: BTreeMap::new(),
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
        self.removals += 1;
    }

    /// The newest generation whose assignment somebody knows.
    pub fn generation(&self) -> Generation {
        let newest = self.generations.last_key_value().map(|(generation, _)| *generation);
        let none = Generation { life: self.removals, number: -1 };
        newest.map_or(none, |newest| newest.max(none))
    }

    /// A client was told of a generation. `known` is what [`generation`](Self::generation) was when it asked.
    ///
    /// # Errors
    /// The group's generations do not grow.
    pub fn joined(&mut self, client: usize, number: i32, known: Generation) -> Result<(), Violation> {
        if known.life != self.removals {
            self.lives.remove(&client);
            return Ok(());
        }
        self.lives.insert(client, known.life);
        if number >= known.number {
            return Ok(());
        }
        let known = known.number;
        let witness = format!("{} is in generation {number}, but was in {known} before somebody joined", self.name);
        Err(Violation { property: "GenerationsGrow", witness })
    }

    /// A client was told what it owns. `owner` is its member id, or its static name.
    ///
    /// # Errors
    /// Somebody else owns some of it.
    pub fn synced(
        &mut self,
        client: usize,
        owner: &str,
        generation: i32,
        places: &BTreeSet<Place>,
    ) -> Result<(), Violation> {
        self.current.insert(client, (generation, places.clone()));
        let Some(generation) = self.generation_of(client, generation) else { return Ok(()) };
        let owners = self.generations.entry(generation).or_default();
        owners.insert(owner.to_owned(), places.clone());
        let others = owners.iter().filter(|(other, _)| *other != owner);
        let shared = others.filter_map(|(other, theirs)| Some((other, theirs.intersection(places).next()?))).next();
        let Some((other, place)) = shared else { return Ok(()) };
        let number = generation.number;
        let witness = format!("{} generation {number}: both {owner} and {other} own {place}", self.name);
        Err(Violation { property: "DoubleOwnership", witness })
    }

    /// A client owns nothing any more, and knows.
    pub fn gave_up(&mut self, client: usize) {
        self.current.remove(&client);
    }

    /// A client's generation, if it is certain in which life of the group it has joined.
    fn generation_of(&self, client: usize, number: i32) -> Option<Generation> {
        self.lives.get(&client).map(|life| Generation { life: *life, number })
    }

    /// A client is going to commit an offset; returns the commit's number.
    pub fn committing(&mut self, client: usize, place: Place, offset: i64, generation: i32) -> usize {
        let asked = self.tick();
        let generation = self.generation_of(client, generation);
        self.commits.push(Commit { place, offset, generation, asked, answered: None, known: None, refused: false });
        self.commits.len() - 1
    }

    /// A commit was answered.
    pub fn commit_answered(&mut self, number: usize, answer: CommitAnswer) {
        let now = self.tick();
        let commit = &mut self.commits[number];
        commit.answered = Some(now);
        match answer {
            CommitAnswer::Acknowledged => {
                commit.known.get_or_insert(now);
                let place = commit.place;
                self.note_committed(place, number);
            }
            CommitAnswer::Refused => commit.refused = true,
            CommitAnswer::Unclear => {}
        }
    }

    fn note_committed(&mut self, place: Place, number: usize) {
        let newest = self.committed.entry(place).or_insert(number);
        *newest = number.max(*newest);
    }

    /// An offset was looked up by a question asked at `asked`; there is none if it is negative. `note` is the number of
    /// its commit.
    ///
    /// # Errors
    /// The answer is none that the commits allow.
    pub fn fetched(&mut self, asked: u64, place: Place, offset: i64, note: &str) -> Result<(), Violation> {
        let now = self.tick();
        let known = |commit: &&Commit| commit.place == place && commit.known.is_some_and(|known| known < asked);
        let violation = |what: &str, which: &dyn std::fmt::Debug| {
            let witness = format!("{}: {place} is at {offset}, note {note:?}, {what} {which:?}", self.name);
            Err(Violation { property: "CommitRegression", witness })
        };
        if offset < 0 {
            let forgotten = self.commits.iter().rev().find(known);
            return forgotten.map_or(Ok(()), |commit| violation("after", commit));
        }
        let number = note.parse().unwrap_or(usize::MAX);
        let Some(found) = self.commits.get(number) else { return violation("which nobody has committed", &()) };
        if found.place != place || found.offset != offset {
            return violation("which belongs to", found);
        }
        if found.refused {
            return violation("although this was refused:", found);
        }
        if let Some(newer) = self.commits.iter().filter(known).find(|commit| commit.follows(found)) {
            return violation("after", newer);
        }
        self.commits[number].known.get_or_insert(now);
        self.note_committed(place, number);
        Ok(())
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
        let generations: BTreeSet<i32> = self.current.values().map(|(generation, _)| *generation).collect();
        let owned: BTreeSet<Place> = self.current.values().flat_map(|(_, places)| places).copied().collect();
        self.is_settled |= self.current.len() == self.members_wished
            && generations.len() == 1
            && ends.iter().all(|(place, end)| owned.contains(place) && self.committed(*place) >= *end);
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
        format!("members {:?}, committed of end {lag:?}", self.current)
    }

    fn committed(&self, place: Place) -> i64 {
        self.committed.get(&place).map_or(0, |number| self.commits[*number].offset)
    }
}

impl Commit {
    /// Whether it can only have happened after the other: it was asked for when the other's fate was sealed, or in a later
    /// generation, which refuses the other.
    fn follows(&self, other: &Self) -> bool {
        let is_newer = other.generation.zip(self.generation).is_some_and(|(other, own)| other < own);
        is_newer || other.answered.is_some_and(|answered| answered < self.asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { topic: 0, partition: 0 };

    /// A group that clients 1 and 2 have joined.
    fn group() -> GroupHistory {
        let mut group = GroupHistory::new(&GroupOptions {
            name: "group".to_owned(),
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

    #[test]
    fn an_acknowledged_commit_must_be_found() {
        let mut group = group();
        let asked = group.tick();
        let commit = group.committing(1, PLACE, 5, 1);
        assert_eq!(property(group.fetched(asked, PLACE, -1, "")), None, "nothing is known yet");
        group.commit_answered(commit, CommitAnswer::Acknowledged);
        assert_eq!(property(group.fetched(asked, PLACE, -1, "")), None, "the question was asked before");
        let asked = group.tick();
        assert_eq!(property(group.fetched(asked, PLACE, 5, "0")), None);
        assert_eq!(property(group.fetched(asked, PLACE, -1, "")), Some("CommitRegression"));
        assert_eq!(property(group.fetched(asked, PLACE, 6, "0")), Some("CommitRegression"));
    }

    #[test]
    fn a_commit_without_an_answer_may_be_found_at_any_time_of_its_generation() {
        let mut group = group();
        let _lost = group.committing(1, PLACE, 5, 1);
        let same = group.committing(1, PLACE, 6, 1);
        group.commit_answered(same, CommitAnswer::Acknowledged);
        let asked = group.tick();
        assert_eq!(property(group.fetched(asked, PLACE, 5, "0")), None, "it may have come late");
        let later = group.committing(1, PLACE, 7, 2);
        group.commit_answered(later, CommitAnswer::Acknowledged);
        let asked = group.tick();
        assert_eq!(property(group.fetched(asked, PLACE, 5, "0")), Some("CommitRegression"), "a later one refuses it");
    }

    #[test]
    fn a_commit_that_was_seen_does_not_vanish() {
        let mut group = group();
        let before = group.committing(1, PLACE, 4, 1);
        group.commit_answered(before, CommitAnswer::Acknowledged);
        let unclear = group.committing(1, PLACE, 5, 1);
        group.commit_answered(unclear, CommitAnswer::Unclear);
        let asked = group.tick();
        assert_eq!(property(group.fetched(asked, PLACE, 4, "0")), None);
        assert_eq!(property(group.fetched(asked, PLACE, 5, "1")), None);
        let asked = group.tick();
        assert_eq!(property(group.fetched(asked, PLACE, 4, "0")), Some("CommitRegression"));
    }

    #[test]
    fn a_refused_commit_is_never_found() {
        let mut group = group();
        let refused = group.committing(1, PLACE, 5, 1);
        group.commit_answered(refused, CommitAnswer::Refused);
        let asked = group.tick();
        assert_eq!(property(group.fetched(asked, PLACE, 5, "0")), Some("CommitRegression"));
    }

    #[test]
    fn one_partition_has_one_owner_in_a_generation() {
        let mut group = group();
        let places = BTreeSet::from([PLACE]);
        assert_eq!(property(group.synced(1, "a", 1, &places)), None);
        assert_eq!(property(group.synced(1, "a", 1, &places)), None, "it may ask again");
        assert_eq!(property(group.synced(2, "b", 1, &BTreeSet::new())), None);
        assert_eq!(property(group.synced(2, "b", 2, &places)), None, "another generation");
        assert_eq!(property(group.synced(1, "a", 2, &places)), Some("DoubleOwnership"));
    }

    #[test]
    fn generations_begin_anew_only_when_the_group_was_removed() {
        let mut group = group();
        let places = BTreeSet::from([PLACE]);
        let before = group.generation();
        assert_eq!(property(group.synced(1, "a", 2, &places)), None);
        let known = group.generation();
        assert_eq!(property(group.joined(2, 1, before)), None, "it asked before anybody knew");
        assert_eq!(property(group.joined(2, 1, known)), Some("GenerationsGrow"));
        group.removed();
        assert_eq!(
            property(group.joined(2, 1, known)),
            None,
            "it may have been told of its former life or the new one"
        );
        assert_eq!(property(group.synced(2, "b", 2, &places)), None, "whose generation this is nobody knows");
        let known = group.generation();
        assert_eq!(property(group.joined(2, 1, known)), None);
        assert_eq!(property(group.synced(2, "b", 1, &places)), None);
        assert_eq!(property(group.joined(1, 0, group.generation())), Some("GenerationsGrow"));
        assert_eq!(property(group.synced(1, "a", 1, &places)), Some("DoubleOwnership"));
    }

    #[test]
    fn what_was_passed_or_acknowledged_must_have_been_processed() {
        let mut group = group();
        group.delivered(PLACE, 0, 2);
        assert_eq!(property(group.judge(PLACE, 1, true)), None);
        assert_eq!(property(group.judge(PLACE, 2, false)), None, "nobody was promised that it is there");
        assert_eq!(property(group.judge(PLACE, 2, true)), Some("AtLeastOnce"));
        let commit = group.committing(1, PLACE, 3, 1);
        group.commit_answered(commit, CommitAnswer::Acknowledged);
        assert_eq!(property(group.judge(PLACE, 2, false)), Some("AtLeastOnce"));
    }
}
