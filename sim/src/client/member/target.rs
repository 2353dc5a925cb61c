//! A member turns from what it owns to what it shall own: at once as far as it only takes over, step by step as far as it
//! must give up.

use std::collections::BTreeSet;

use super::Member;
use crate::client::Context;
use crate::oracle::Place;

/// How far a member has come with what it must give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surplus {
    /// There is none.
    None,
    /// It is being committed.
    Committing,
    /// It has just been given up; the coordinator does not know yet.
    GivenUp,
}

impl Member {
    /// Stops reading what it shall not own, takes over what it shall.
    pub(super) fn turn_to(&mut self, target: BTreeSet<Place>, context: &mut Context<'_>) {
        let has_no_surplus = self.holding.owned().is_subset(&self.target);
        assert!(has_no_surplus, "a member asks for nothing more before it has given up what it must");
        let gained: BTreeSet<Place> = target.difference(self.holding.owned()).copied().collect();
        let reads_too_much = self.reader.positions.keys().any(|place| !target.contains(place));
        self.target = target;
        if gained.is_empty() && !reads_too_much {
            return;
        }
        context.trace.tell(context.now, self.coordinator.name(), || {
            format!("shall own {:?} at epoch {}, owns {:?}", self.target, self.epoch, self.holding.owned())
        });
        self.holding.process(&self.reader.positions, context.oracle.group(self.group));
        self.reader.positions.retain(|place, _| self.target.contains(place));
        self.stint += 1;
        self.holding.take_over(&gained);
    }

    /// Commits, mostly, what it shall not own, then lets it go.
    pub(super) fn give_up_surplus(&mut self, context: &mut Context<'_>) -> Surplus {
        let surplus = self.surplus();
        if surplus.is_empty() {
            return Surplus::None;
        }
        let mut uncommitted = self.holding.uncommitted();
        uncommitted.retain(|(place, _)| surplus.contains(place));
        if !uncommitted.is_empty() && self.rng.chance(700) {
            self.commit(uncommitted, context);
            return Surplus::Committing;
        }
        context.oracle.count("member gave some of its own up");
        self.lose_surplus();
        Surplus::GivenUp
    }

    /// Lets what it shall not own go as it is. Returns whether there was any.
    pub(super) fn lose_surplus(&mut self) -> bool {
        let surplus = self.surplus();
        surplus.iter().for_each(|place| self.holding.let_go(*place));
        !surplus.is_empty()
    }

    fn surplus(&self) -> BTreeSet<Place> {
        self.holding.owned().difference(&self.target).copied().collect()
    }
}
