//! Ids that each broker draws for itself, and the one name that both are known by here.
//!
//! A request of a sequence holds our names. They follow from the step that first saw the ids, so a sequence means the
//! same when it is played again, in part or in whole, and the brokers draw other ids.

use std::collections::BTreeMap;

use highwater_wire::Uuid;

/// One of the two brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Apache Kafka.
    Kafka,
    /// Highwater.
    Highwater,
}

/// The ids of one kind.
#[derive(Debug)]
pub struct Table<T> {
    /// Our name by each broker's id.
    names: [BTreeMap<T, T>; 2],
    /// Each broker's id by our name.
    ids: [BTreeMap<T, T>; 2],
}

/// All ids of a sequence.
#[derive(Debug, Default)]
pub struct Ids {
    /// Of topics.
    pub topics: Table<Uuid>,
    /// Of producers.
    pub producers: Table<i64>,
    /// Of fetch sessions.
    pub sessions: Table<i32>,
    /// Of members of groups.
    pub members: Table<String>,
    /// The step that is being compared, and how many names it has given.
    step: u32,
    named: u32,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { names: Default::default(), ids: Default::default() }
    }
}

impl<T: Ord + Clone> Table<T> {
    /// Our name for a broker's id.
    pub fn name(&self, who: Who, id: &T) -> Option<&T> {
        self.names[who as usize].get(id)
    }

    /// A broker's id for our name; the name itself if nobody knows it, which then is an id that no broker has drawn.
    pub fn id(&self, who: Who, name: &T) -> T {
        self.ids[who as usize].get(name).unwrap_or(name).clone()
    }

    fn learn(&mut self, name: &T, kafka: &T, highwater: &T) {
        for (who, id) in [(Who::Kafka, kafka), (Who::Highwater, highwater)] {
            self.names[who as usize].insert(id.clone(), name.clone());
            self.ids[who as usize].insert(name.clone(), id.clone());
        }
    }

    /// Whether the ids stand for the same thing. Two that were never seen do from now on, under this name.
    fn same(&mut self, kafka: &T, highwater: &T, name: &T) -> bool {
        match (self.name(Who::Kafka, kafka), self.name(Who::Highwater, highwater)) {
            (Some(left), Some(right)) => left == right,
            (None, None) => {
                self.learn(name, kafka, highwater);
                true
            }
            _ => false,
        }
    }
}

impl Ids {
    /// Names from now on follow from this step.
    pub fn begin_step(&mut self, step: u32) {
        (self.step, self.named) = (step, 0);
    }

    /// Whether two topic ids stand for the same topic.
    pub fn same_topic(&mut self, kafka: Uuid, highwater: Uuid) -> bool {
        let name = Uuid(0xd1ff << 112 | u128::from(self.next()));
        let are_drawn = kafka != Uuid::ZERO && highwater != Uuid::ZERO;
        kafka == highwater || (are_drawn && self.topics.same(&kafka, &highwater, &name))
    }

    /// Whether two producer ids stand for the same producer.
    pub fn same_producer(&mut self, kafka: i64, highwater: i64) -> bool {
        let name = 1 << 40 | i64::from(self.next());
        if kafka < 0 || highwater < 0 {
            return kafka == highwater;
        }
        // Both brokers count from 0, so equal numbers may well be different producers.
        self.producers.same(&kafka, &highwater, &name)
    }

    /// Whether two session ids stand for the same fetch session.
    pub fn same_session(&mut self, kafka: i32, highwater: i32) -> bool {
        let name = 1 << 30 | self.next().cast_signed();
        (kafka == 0) == (highwater == 0) && (kafka == 0 || self.sessions.same(&kafka, &highwater, &name))
    }

    /// Whether two member ids stand for the same member of a group.
    pub fn same_member(&mut self, kafka: &String, highwater: &String) -> bool {
        let name = format!("member-{}", self.next());
        let known = self.members.name(Who::Kafka, kafka).is_some();
        (kafka == highwater && !known)
            || (!kafka.is_empty() && !highwater.is_empty() && self.members.same(kafka, highwater, &name))
    }

    fn next(&mut self) -> u32 {
        self.named += 1;
        self.step << 8 | self.named.min(255)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ids_that_were_seen_together_stay_together() {
        let mut ids = Ids::default();
        ids.begin_step(1);
        assert!(ids.same_producer(1000, 7), "neither was seen before");
        assert!(ids.same_producer(1000, 7));
        assert!(!ids.same_producer(1000, 8));
        assert!(!ids.same_producer(1001, 7));
        assert!(ids.same_producer(-1, -1) && !ids.same_producer(-1, 8));
        let name = *ids.producers.name(Who::Kafka, &1000).unwrap();
        assert_eq!(ids.producers.id(Who::Highwater, &name), 7);
    }

    #[test]
    fn an_id_that_only_one_broker_has_drawn_is_different() {
        let mut ids = Ids::default();
        assert!(ids.same_topic(Uuid::ZERO, Uuid::ZERO));
        assert!(!ids.same_topic(Uuid(5), Uuid::ZERO));
        assert!(!ids.same_session(0, 5));
    }
}
