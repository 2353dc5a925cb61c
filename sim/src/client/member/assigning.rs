//! What the leader of a classic group gives to whom.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::oracle::Place;

/// What a member says that it owns, and since which generation.
#[derive(Debug, Default)]
pub struct Claim {
    /// The generation; a claim of an older one counts for nothing where another contradicts it.
    pub generation: i32,
    /// What it owns.
    pub places: BTreeSet<Place>,
}

/// Gives out every place, beginning with the member at `first`.
pub fn in_turn(places: &[Place], members: usize, first: usize) -> Vec<BTreeSet<Place>> {
    let mut given = vec![BTreeSet::new(); members];
    for (at, place) in places.iter().enumerate() {
        given[(first + at) % members].insert(*place);
    }
    given
}

/// Gives out what nobody owns, and leaves to everybody what is owned, up to a fair share. What lies beyond that is given to
/// nobody, for its owner must give it up first (KIP-429).
pub fn by_claims(places: &[Place], claims: &[Claim]) -> Vec<BTreeSet<Place>> {
    let mut owners: BTreeMap<Place, usize> = BTreeMap::new();
    for (member, claim) in claims.iter().enumerate() {
        for place in places.iter().filter(|place| claim.places.contains(place)) {
            let owner = owners.entry(*place).or_insert(member);
            if claims[*owner].generation < claim.generation {
                *owner = member;
            }
        }
    }
    let mut given = vec![BTreeSet::new(); claims.len()];
    for (place, owner) in &owners {
        given[*owner].insert(*place);
    }
    cut_to_shares(&mut given, places.len());
    for place in places.iter().filter(|place| !owners.contains_key(place)) {
        if let Some(least) = given.iter_mut().min_by_key(|given| given.len()) {
            least.insert(*place);
        }
    }
    given
}

/// Nobody keeps more than a fair share; whoever has the most may have one more than others, if it does not come out even.
fn cut_to_shares(given: &mut [BTreeSet<Place>], places: usize) {
    let members = given.len();
    let mut ranked: Vec<&mut BTreeSet<Place>> = given.iter_mut().collect();
    ranked.sort_by_key(|given| Reverse(given.len()));
    for (rank, given) in ranked.into_iter().enumerate() {
        let share = places / members + usize::from(rank < places % members);
        while given.len() > share {
            given.pop_last();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn place(partition: i32) -> Place {
        Place { topic: 0, partition }
    }

    fn claim(generation: i32, partitions: &[i32]) -> Claim {
        Claim { generation, places: partitions.iter().copied().map(place).collect() }
    }

    #[test]
    fn what_is_owned_moves_only_by_way_of_nobody() {
        let places = [0, 1, 2, 3, 4].map(place);
        let given = |claims: &[Claim]| -> Vec<Vec<i32>> {
            let given = by_claims(&places, claims);
            given.iter().map(|given| given.iter().map(|place| place.partition).collect()).collect()
        };
        assert_eq!(given(&[claim(-1, &[]), claim(-1, &[])]), [vec![0, 2, 4], vec![1, 3]]);
        assert_eq!(
            given(&[claim(1, &[0, 1, 2, 3, 4]), claim(-1, &[])]),
            [vec![0, 1, 2], vec![]],
            "not to the other yet"
        );
        assert_eq!(given(&[claim(2, &[0, 1, 2]), claim(2, &[])]), [vec![0, 1, 2], vec![3, 4]]);
        assert_eq!(
            given(&[claim(2, &[0, 1, 2]), claim(3, &[2, 3])]),
            [vec![0, 1, 4], vec![2, 3]],
            "the newer claim counts"
        );
    }
}
