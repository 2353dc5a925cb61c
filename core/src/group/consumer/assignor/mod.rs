//! Who is to own what: the assignors that the broker offers.

mod range;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Assignment;
use crate::group::MemberId;
use crate::ids::TopicId;

/// The assignor of groups whose members ask for none.
pub(super) const DEFAULT: &str = "uniform";

/// What an assignor goes by.
pub(super) struct Input {
    /// Who wants what, in the order of their ids.
    pub subscribers: Vec<Subscriber>,
    /// How many partitions each topic has; every wanted topic is here.
    pub partition_counts: BTreeMap<TopicId, i32>,
}

/// A member, as an assignor sees it.
pub(super) struct Subscriber {
    pub id: MemberId,
    pub instance_id: Option<Arc<str>>,
    /// The topics that it wants and that exist.
    pub topics: BTreeSet<TopicId>,
    /// What it was to own so far.
    pub target: Arc<Assignment>,
}

/// Whether there is an assignor of this name.
pub(super) fn is_supported(name: &str) -> bool {
    matches!(name, "uniform" | "range")
}

/// What each member is to own.
pub(super) fn assign(assignor: &str, input: &Input) -> BTreeMap<MemberId, Assignment> {
    let targets = match assignor {
        "range" => range::assign(input),
        _ => uniform::assign(input),
    };
    input.subscribers.iter().map(|subscriber| Arc::clone(&subscriber.id)).zip(targets).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn input(counts: &[i32], wanted: &[Vec<u8>], targets: &[Assignment]) -> Input {
        let topic = |index: u8| TopicId(u128::from(index) + 1);
        let subscribers = wanted.iter().enumerate().map(|(index, topics)| Subscriber {
            id: format!("m{index}").into(),
            instance_id: None,
            topics: topics.iter().copied().map(topic).collect(),
            target: Arc::new(targets.get(index).cloned().unwrap_or_default()),
        });
        let partition_counts = (0..).zip(counts).map(|(index, count)| (topic(index), *count)).collect();
        Input { subscribers: subscribers.collect(), partition_counts }
    }

    fn loads(targets: &BTreeMap<MemberId, Assignment>) -> Vec<usize> {
        targets.values().map(|target| target.values().map(BTreeSet::len).sum()).collect()
    }

    fn moved(before: &BTreeMap<MemberId, Assignment>, after: &BTreeMap<MemberId, Assignment>) -> usize {
        let partitions = |targets: &BTreeMap<MemberId, Assignment>| {
            let mut all = BTreeMap::new();
            for (member, target) in targets {
                all.extend(
                    target
                        .iter()
                        .flat_map(|(topic, indexes)| indexes.iter().map(|index| ((*topic, *index), member.clone()))),
                );
            }
            all
        };
        let after = partitions(after);
        partitions(before)
            .iter()
            .filter(|(partition, member)| after.get(*partition).is_some_and(|now| now != *member))
            .count()
    }

    #[test]
    fn uniform_moves_no_more_than_it_must() {
        let first = assign("uniform", &input(&[6, 6], &[vec![0, 1]], &[]));
        assert_eq!(loads(&first), [12]);
        let targets: Vec<_> = first.values().cloned().collect();
        let four = input(&[6, 6], &vec![vec![0, 1]; 4], &targets);
        let second = assign("uniform", &four);
        assert_eq!(loads(&second), [3, 3, 3, 3]);
        assert_eq!(moved(&first, &second), 9);
        let targets: Vec<_> = second.values().cloned().collect();
        let third = assign("uniform", &input(&[6, 6], &vec![vec![0, 1]; 2], &targets));
        assert_eq!(loads(&third), [6, 6]);
        assert_eq!(moved(&second, &third), 6, "only what belonged to who left");
    }

    #[test]
    fn range_gives_runs_in_the_order_of_the_members() {
        let targets = assign("range", &input(&[5, 2], &[vec![0, 1], vec![0, 1], vec![0]], &[]));
        let text: Vec<_> =
            targets.values().map(|target| format!("{:?}", target.values().collect::<Vec<_>>())).collect();
        assert_eq!(text, ["[{0, 1}, {0}]", "[{2, 3}, {1}]", "[{4}]"]);
    }

    proptest! {
        #[test]
        fn every_wanted_partition_has_one_owner_that_wants_it(
            counts in prop::collection::vec(0..9i32, 4),
            wanted in prop::collection::vec(prop::collection::vec(0..4u8, 0..4), 1..6),
            earlier in prop::collection::vec(prop::collection::vec(0..4u8, 0..4), 1..6),
            assignor in prop::sample::select(vec!["uniform", "range"]),
        ) {
            let before: Vec<_> = assign(assignor, &input(&counts, &earlier, &[])).into_values().collect();
            let input = input(&counts, &wanted, &before);
            let targets = assign(assignor, &input);
            let mut owned = BTreeSet::new();
            for subscriber in &input.subscribers {
                for (topic, indexes) in &targets[&subscriber.id] {
                    prop_assert!(subscriber.topics.contains(topic));
                    prop_assert!(indexes.iter().all(|index| owned.insert((*topic, *index))));
                }
            }
            let wanted: BTreeSet<_> = input.subscribers.iter().flat_map(|one| &one.topics).collect();
            let all: usize = wanted.iter().map(|topic| input.partition_counts[topic] as usize).sum();
            prop_assert_eq!(owned.len(), all);
            if assignor == "uniform" {
                let loads = loads(&targets);
                for (subscriber, load) in input.subscribers.iter().zip(&loads) {
                    for (other, other_load) in input.subscribers.iter().zip(&loads) {
                        let could_take = targets[&subscriber.id].keys().any(|topic| other.topics.contains(topic));
                        prop_assert!(!could_take || *load <= other_load + 1, "{:?}", loads);
                    }
                }
            }
        }
    }
}
