//! Topics that a message names several times.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// A topic's name and what is asked of its partitions.
type TopicOf<P> = (String, Vec<P>);

/// Puts the partitions of each topic together, one row for each and what is asked last of it; and tells which were named
/// more than once.
pub(super) fn merged<P>(
    topics: impl Iterator<Item = (String, Vec<P>)>,
    index_of: impl Fn(&P) -> i32,
) -> (Vec<TopicOf<P>>, BTreeSet<(String, i32)>) {
    let mut merged: Vec<TopicOf<P>> = Vec::new();
    let mut topic_places = BTreeMap::new();
    let mut places = BTreeMap::new();
    let mut twice = BTreeSet::new();
    for (name, partitions) in topics {
        for partition in partitions {
            let at = *topic_places.entry(name.clone()).or_insert_with(|| {
                merged.push((name.clone(), Vec::new()));
                merged.len() - 1
            });
            let rows = &mut merged[at].1;
            match places.entry((name.clone(), index_of(&partition))) {
                Entry::Occupied(place) => {
                    rows[*place.get()] = partition;
                    twice.insert(place.key().clone());
                }
                Entry::Vacant(place) => {
                    place.insert(rows.len());
                    rows.push(partition);
                }
            }
        }
    }
    (merged, twice)
}

/// Puts the rows of each topic together, in the order in which topics are named first.
pub(super) fn merged_rows<T, K: Ord, P>(
    rows: impl IntoIterator<Item = T>,
    topic_of: impl Fn(&T) -> K,
    partitions_of: impl Fn(&mut T) -> &mut Vec<P>,
) -> Vec<T> {
    let mut merged: Vec<T> = Vec::new();
    let mut places = BTreeMap::new();
    for mut row in rows {
        match places.entry(topic_of(&row)) {
            Entry::Occupied(place) => {
                let earlier: &mut T = &mut merged[*place.get()];
                partitions_of(earlier).append(partitions_of(&mut row));
            }
            Entry::Vacant(place) => {
                place.insert(merged.len());
                merged.push(row);
            }
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(rows: &[(&str, &[i32])]) -> Vec<(String, Vec<i32>)> {
        rows.iter().map(|(name, partitions)| ((*name).to_owned(), partitions.to_vec())).collect()
    }

    #[test]
    fn a_partition_that_is_named_twice_has_one_row_and_is_told() {
        let named = topics(&[("a", &[1, 2]), ("b", &[1]), ("a", &[2, 3])]);
        let (merged, twice) = merged(named.into_iter(), |index| *index);
        assert_eq!(merged, topics(&[("a", &[1, 2, 3]), ("b", &[1])]));
        assert_eq!(twice, BTreeSet::from([("a".to_owned(), 2)]));
    }

    #[test]
    fn rows_of_one_topic_come_together_where_it_is_named_first() {
        let rows = topics(&[("b", &[9]), ("a", &[1]), ("b", &[2, 2])]);
        let merged = merged_rows(rows, |(name, _)| name.clone(), |(_, partitions)| partitions);
        assert_eq!(merged, topics(&[("b", &[9, 2, 2]), ("a", &[1])]));
    }
}
