//! What the members of a group have committed, and what a look-up may find of it.

use std::collections::BTreeMap;

use super::{Generation, Place};

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Commits {
    all: Vec<Commit>,
    /// The newest commit of each partition that is known to have happened, by its number.
    newest: BTreeMap<Place, usize>,
}

/// One attempt to commit the offset of one partition.
#[derive(Debug)]
pub struct Commit {
    /// The partition.
    pub place: Place,
    /// The offset.
    pub offset: i64,
    /// Who commits.
    pub member_id: String,
    /// In which generation, or at which epoch, if that is certain.
    pub generation: Option<Generation>,
    /// Commits of generations before this one are refused since this one may be made, if that is certain.
    pub since: Option<Generation>,
    /// When it was asked for.
    pub asked: u64,
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

impl Commit {
    /// A commit of a generation by who has owned the partition since another, or the same, asked for now.
    pub fn new(place: Place, offset: i64, member_id: &str, since: [Option<Generation>; 2], asked: u64) -> Self {
        let (member_id, [since, generation]) = (member_id.to_owned(), since);
        Self { place, offset, member_id, generation, since, asked, answered: None, known: None, refused: false }
    }

    /// Whether it can only have happened after the other: it was asked for when the other's fate was sealed, or by who owned
    /// the partition since a generation that refuses the other.
    fn follows(&self, other: &Self) -> bool {
        let is_newer = other.generation.zip(self.since).is_some_and(|(other, since)| other < since);
        is_newer || other.answered.is_some_and(|answered| answered < self.asked)
    }
}

impl Commits {
    /// A commit is under way; returns its number.
    pub fn push(&mut self, commit: Commit) -> usize {
        self.all.push(commit);
        self.all.len() - 1
    }

    /// A commit was answered; returns it.
    pub fn answered(&mut self, number: usize, answer: CommitAnswer, now: u64) -> &Commit {
        let commit = &mut self.all[number];
        commit.answered = Some(now);
        match answer {
            CommitAnswer::Acknowledged => {
                commit.known.get_or_insert(now);
                let place = commit.place;
                self.note_newest(place, number);
            }
            CommitAnswer::Refused => commit.refused = true,
            CommitAnswer::Unclear => {}
        }
        &self.all[number]
    }

    fn note_newest(&mut self, place: Place, number: usize) {
        let newest = self.newest.entry(place).or_insert(number);
        *newest = number.max(*newest);
    }

    /// A look-up that was asked for at `asked` is answered now: with nothing if the offset is negative. `note` is the number
    /// of the commit that is found.
    ///
    /// # Errors
    /// Why the commits do not allow the answer.
    pub fn fetched(&mut self, (asked, now): (u64, u64), place: Place, offset: i64, note: &str) -> Result<(), String> {
        let known = |commit: &&Commit| commit.place == place && commit.known.is_some_and(|known| known < asked);
        if offset < 0 {
            let forgotten = self.all.iter().rev().find(known);
            return forgotten.map_or(Ok(()), |commit| Err(format!("after {commit:?}")));
        }
        let number = note.parse().unwrap_or(usize::MAX);
        let found = self.all.get(number).ok_or("which nobody has committed")?;
        if found.place != place || found.offset != offset {
            return Err(format!("which belongs to {found:?}"));
        }
        if found.refused {
            return Err(format!("although this was refused: {found:?}"));
        }
        if let Some(newer) = self.all.iter().filter(known).find(|commit| commit.follows(found)) {
            return Err(format!("after {newer:?}"));
        }
        self.all[number].known.get_or_insert(now);
        self.note_newest(place, number);
        Ok(())
    }

    /// How far a group is known to have got.
    pub fn committed(&self, place: Place) -> i64 {
        self.newest.get(&place).map_or(0, |number| self.all[*number].offset)
    }
}
