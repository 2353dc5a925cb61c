//! As many partitions for everyone as can be, and as few moves as that takes.
//!
//! Members that want the same topics form a class. In a class the one with the least is at hand, so a partition finds its
//! place in the time of a look-up for each class that wants its topic: mostly there is one.

use std::collections::{BTreeMap, BTreeSet};

use super::Input;
use crate::group::consumer::Assignment;
use crate::ids::TopicId;

/// How often partitions are looked through for ones that are better off elsewhere. Once is enough for a single class.
const PASSES_MAX: usize = 16;

/// What each member is to own, in the order of the members.
pub(super) fn assign(input: &Input) -> Vec<Assignment> {
    let mut balance = Balance::new(input);
    let (kept, free) = keep_targets(input);
    for (partition, member) in &kept {
        balance.give(*partition, *member);
    }
    for (topic, index) in free {
        if let Some(member) = balance.least_loaded(topic) {
            balance.give((topic, index), member);
        }
    }
    for _ in 0..PASSES_MAX {
        if !balance.level() {
            break;
        }
    }
    balance.into_targets(input.subscribers.len())
}

type Partition = (TopicId, i32);

/// Partitions that stay with their members, and those that have none.
fn keep_targets(input: &Input) -> (BTreeMap<Partition, usize>, Vec<Partition>) {
    let mut kept = BTreeMap::new();
    for (member, subscriber) in input.subscribers.iter().enumerate() {
        for (topic, indexes) in subscriber.target.iter().filter(|(topic, _)| subscriber.topics.contains(topic)) {
            let count = input.partition_counts.get(topic).copied().unwrap_or(0);
            for index in indexes.range(..count) {
                kept.entry((*topic, *index)).or_insert(member);
            }
        }
    }
    let all = input.partition_counts.iter().flat_map(|(topic, count)| (0..*count).map(|index| (*topic, index)));
    let free = all.filter(|partition| !kept.contains_key(partition)).collect();
    (kept, free)
}

struct Balance {
    owners: BTreeMap<Partition, usize>,
    loads: Vec<usize>,
    class_of: Vec<usize>,
    /// The members of each class, the least loaded first.
    classes: Vec<BTreeSet<(usize, usize)>>,
    /// The classes that want each topic.
    wanting: BTreeMap<TopicId, Vec<usize>>,
}

impl Balance {
    fn new(input: &Input) -> Self {
        let mut numbers = BTreeMap::new();
        let mut class_of = Vec::with_capacity(input.subscribers.len());
        for subscriber in &input.subscribers {
            let next = numbers.len();
            class_of.push(*numbers.entry(&subscriber.topics).or_insert(next));
        }
        let mut classes = vec![BTreeSet::new(); numbers.len()];
        for (member, class) in class_of.iter().enumerate() {
            classes[*class].insert((0, member));
        }
        let mut wanting = BTreeMap::<TopicId, Vec<usize>>::new();
        for (topics, class) in numbers {
            topics.iter().for_each(|topic| wanting.entry(*topic).or_default().push(class));
        }
        Self { owners: BTreeMap::new(), loads: vec![0; class_of.len()], class_of, classes, wanting }
    }

    /// Who has the least of those that want the topic.
    fn least_loaded(&self, topic: TopicId) -> Option<usize> {
        let classes = self.wanting.get(&topic)?;
        classes.iter().filter_map(|class| self.classes[*class].first()).min().map(|(_, member)| *member)
    }

    fn give(&mut self, partition: Partition, member: usize) {
        if let Some(previous) = self.owners.insert(partition, member) {
            self.set_load(previous, self.loads[previous] - 1);
        }
        self.set_load(member, self.loads[member] + 1);
    }

    fn set_load(&mut self, member: usize, load: usize) {
        let class = &mut self.classes[self.class_of[member]];
        class.remove(&(self.loads[member], member));
        class.insert((load, member));
        self.loads[member] = load;
    }

    /// Moves partitions to who has at least two less than their owners. Says whether any was moved.
    fn level(&mut self) -> bool {
        let owned: Vec<_> = self.owners.iter().map(|(partition, owner)| (*partition, *owner)).collect();
        let mut has_moved = false;
        for (partition, owner) in owned {
            let Some(member) = self.least_loaded(partition.0) else { continue };
            if self.loads[member] + 1 < self.loads[owner] {
                self.give(partition, member);
                has_moved = true;
            }
        }
        has_moved
    }

    fn into_targets(self, members: usize) -> Vec<Assignment> {
        let mut targets = vec![Assignment::new(); members];
        for ((topic, index), member) in self.owners {
            targets[member].entry(topic).or_default().insert(index);
        }
        targets
    }
}
