//! Who owns what in a group, as its members know it.

use std::collections::{BTreeMap, BTreeSet};

use super::Place;

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Owners {
    /// How often the group has been removed.
    removals: u64,
    /// Which life of the group each client has joined, if that is certain.
    lives: BTreeMap<usize, u64>,
    /// Who owns what in each generation, as members of the classic protocol have heard it.
    generations: BTreeMap<Generation, BTreeMap<String, BTreeSet<Place>>>,
    /// What each client owns.
    holders: BTreeMap<usize, Holder>,
    /// Since when each member has owned what it owns, at the latest.
    since: BTreeMap<String, BTreeMap<Place, Generation>>,
    /// Members that the coordinator has put out and not let in again.
    fenced: BTreeMap<String, Fencing>,
}

/// A generation or an epoch, and how often the group had been removed before: one number stands for one generation of each
/// life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation {
    /// How often the group had been removed.
    pub life: u64,
    /// The number.
    pub number: i32,
}

#[derive(Debug)]
struct Holder {
    member_id: String,
    is_classic: bool,
    epoch: i32,
    places: BTreeSet<Place>,
}

#[derive(Debug)]
struct Fencing {
    at: u64,
    /// Whether no crash can have undone it.
    is_certain: bool,
}

/// What a client has heard of its place in the group.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The client's number.
    pub client: usize,
    /// The member that it is.
    pub member_id: &'a str,
    /// Its generation, or its epoch.
    pub epoch: i32,
    /// What it owns.
    pub places: &'a BTreeSet<Place>,
}

impl Owners {
    /// The newest generation whose assignment somebody knows.
    pub fn generation(&self) -> Generation {
        let newest = self.generations.last_key_value().map(|(generation, _)| *generation);
        let none = Generation { life: self.removals, number: -1 };
        newest.map_or(none, |newest| newest.max(none))
    }

    /// A client was let in by the answer to what it asked in a certain life of the group. Says whether that is still the
    /// same.
    pub fn let_in(&mut self, client: usize, life: u64) -> bool {
        let is_certain = life == self.removals;
        match is_certain {
            true => self.lives.insert(client, life),
            false => self.lives.remove(&client),
        };
        is_certain
    }

    /// A client's generation, if it is certain in which life of the group it has joined.
    pub fn generation_of(&self, client: usize, number: i32) -> Option<Generation> {
        self.lives.get(&client).map(|life| Generation { life: *life, number })
    }

    /// A member of the classic protocol knows its assignment. `owner` is its static name, or its id. Returns who else owns
    /// some of it in that generation.
    pub fn synced(&mut self, told: Told<'_>, owner: &str) -> Option<(String, Place)> {
        self.hold(told, true);
        let generation = self.generation_of(told.client, told.epoch)?;
        let owners = self.generations.entry(generation).or_default();
        owners.insert(owner.to_owned(), told.places.clone());
        let others = owners.iter().filter(|(other, _)| *other != owner);
        others.filter_map(|(other, theirs)| Some((other.clone(), shared(theirs, told.places)?))).next()
    }

    /// A member of the consumer protocol knows what it owns, what it has still to give up included. Returns which other
    /// current member owns some of it, at whatever epoch.
    pub fn holds(&mut self, told: Told<'_>) -> Option<(String, Place)> {
        self.hold(told, false);
        if self.fenced.contains_key(told.member_id) {
            return None;
        }
        let rivals = self.holders.iter().filter(|(client, holder)| {
            **client != told.client && !holder.is_classic && !self.fenced.contains_key(&holder.member_id)
        });
        let mut shares =
            rivals.filter_map(|(_, rival)| Some((rival.member_id.clone(), shared(&rival.places, told.places)?)));
        shares.next()
    }

    fn hold(&mut self, told: Told<'_>, is_classic: bool) {
        let Told { client, member_id, epoch, places } = told;
        let before = self.since.remove(member_id).unwrap_or_default();
        if let Some(now) = self.generation_of(client, epoch) {
            let since =
                |place: &Place| before.get(place).copied().filter(|since| since.life == now.life).unwrap_or(now);
            let since = places.iter().map(|place| (*place, since(place))).collect();
            self.since.insert(member_id.to_owned(), since);
        }
        let holder = Holder { member_id: member_id.to_owned(), is_classic, epoch, places: places.clone() };
        self.holders.insert(client, holder);
    }

    /// A client tells the coordinator that it owns nothing but this.
    pub fn keeps(&mut self, client: usize, places: &BTreeSet<Place>) {
        if let Some(holder) = self.holders.get_mut(&client) {
            holder.places.retain(|place| places.contains(place));
        }
    }

    /// A client owns nothing any more, and knows.
    pub fn gave_up(&mut self, client: usize) {
        self.holders.remove(&client);
    }

    /// The coordinator has removed the group.
    pub fn group_removed(&mut self) {
        self.removals += 1;
    }

    /// The coordinator has put a member out.
    pub fn fence(&mut self, member_id: &str, at: u64) {
        self.fenced.insert(member_id.to_owned(), Fencing { at, is_certain: true });
    }

    /// What coordinators have decided last may be lost.
    pub fn coordinators_died(&mut self) {
        self.fenced.values_mut().for_each(|fencing| fencing.is_certain = false);
    }

    /// The coordinator knows a member, as the answer to something says that was asked at `asked`.
    pub fn is_known(&mut self, member_id: &str, asked: u64) {
        if self.fenced.get(member_id).is_some_and(|fencing| fencing.at < asked) {
            self.fenced.remove(member_id);
        }
    }

    /// Whether the coordinator must refuse what a member asks at this moment.
    pub fn is_fenced(&self, member_id: &str, asked: u64) -> bool {
        self.fenced.get(member_id).is_some_and(|fencing| fencing.is_certain && fencing.at < asked)
    }

    /// Since when a member has owned a place, at the latest.
    pub fn since(&self, member_id: &str, place: Place) -> Option<Generation> {
        self.since.get(member_id)?.get(&place).copied()
    }

    /// Whether so many clients share an epoch and own all of this between them.
    pub fn are_settled(&self, members: usize, mut places: impl Iterator<Item = Place>) -> bool {
        let epochs: BTreeSet<i32> = self.holders.values().map(|holder| holder.epoch).collect();
        let owned: BTreeSet<Place> = self.holders.values().flat_map(|holder| &holder.places).copied().collect();
        self.holders.len() == members && epochs.len() == 1 && places.all(|place| owned.contains(&place))
    }
}

fn shared(ones: &BTreeSet<Place>, others: &BTreeSet<Place>) -> Option<Place> {
    ones.intersection(others).next().copied()
}
