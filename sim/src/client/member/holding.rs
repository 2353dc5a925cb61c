//! What a member owns, and how far it has got with it.

use std::collections::{BTreeMap, BTreeSet};

use crate::oracle::{GroupHistory, Place};

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Holding {
    owned: BTreeSet<Place>,
    /// Where the group has got to is not known yet.
    pub unknown: BTreeSet<Place>,
    /// The group has not begun here, or has got to an offset that is gone: reading begins at the start.
    pub lost: BTreeSet<Place>,
    processed: BTreeMap<Place, i64>,
    /// What is known to be committed.
    pub committed: BTreeMap<Place, i64>,
}

impl Holding {
    /// What the member owns.
    pub fn owned(&self) -> &BTreeSet<Place> {
        &self.owned
    }

    /// Lets a place go.
    pub fn let_go(&mut self, place: Place) {
        self.owned.remove(&place);
        self.unknown.remove(&place);
        self.lost.remove(&place);
        self.processed.remove(&place);
        self.committed.remove(&place);
    }

    /// Takes over places, of which nothing is known yet.
    pub fn take_over(&mut self, places: &BTreeSet<Place>) {
        self.owned.extend(places);
        self.unknown.extend(places);
    }

    /// Reading a place begins here, or begins anew; returns where it stood.
    pub fn begin(&mut self, place: Place, offset: i64) -> i64 {
        self.lost.remove(&place);
        self.processed.insert(place, offset).unwrap_or(0)
    }

    /// Everything up to these positions is processed now.
    pub fn process(&mut self, positions: &BTreeMap<Place, i64>, group: &mut GroupHistory) {
        for (place, position) in positions {
            let processed = self.processed.get_mut(place).expect("what is read was begun");
            group.delivered(*place, *processed, *position);
            *processed = *position;
        }
    }

    /// What was processed and is not known to be committed.
    pub fn uncommitted(&self) -> Vec<(Place, i64)> {
        let processed = self.processed.iter().map(|(place, offset)| (*place, *offset));
        processed.filter(|(place, offset)| self.committed.get(place) != Some(offset)).collect()
    }
}
