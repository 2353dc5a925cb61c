//! What one broker has been asked to fetch, and what it remembers of that (KIP-227).
//!
//! With a session only changes are sent: partitions that are new or whose position has moved, and those that are no
//! longer wanted. Without one every request names everything.

use std::collections::BTreeMap;

use highwater_wire::Uuid;
use highwater_wire::fetch::{FetchPartition, FetchRequest, FetchTopic, ForgottenTopic};

use crate::client::boundary::TopicPartition;
use crate::ids::{LeaderEpoch, Offset, TopicId};

/// The epoch of a request that neither opens nor continues a session.
const SESSIONLESS_EPOCH: i32 = -1;

/// What is asked for one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Want {
    pub topic_id: TopicId,
    pub leader_epoch: Option<LeaderEpoch>,
    pub offset: Offset,
    /// Which `Assign` this belongs to.
    pub assignment: u64,
}

#[derive(Debug, Default)]
pub(super) struct FetchSession {
    id: i32,
    epoch: i32,
    /// What the broker has been told, which is what its answers are about.
    told: BTreeMap<TopicPartition, Want>,
}

impl FetchSession {
    /// Fills in what a request must say so that the broker knows all of `wanted` and nothing else.
    pub fn ask(
        &mut self,
        wanted: BTreeMap<TopicPartition, Want>,
        partition_bytes_max: i32,
        sessions: bool,
        request: &mut FetchRequest,
    ) {
        let continues = sessions && self.epoch > 0;
        let changed =
            |(partition, want): &(&TopicPartition, &Want)| !continues || self.told.get(partition) != Some(want);
        let news: Vec<_> = wanted.iter().filter(changed).collect();
        request.topics =
            news.chunk_by(|a, b| a.0.topic == b.0.topic).map(|rows| fetch_topic(rows, partition_bytes_max)).collect();
        if continues {
            let renamed = |partition: &TopicPartition, told: &Want| {
                wanted.get(partition).is_none_or(|want| want.topic_id != told.topic_id)
            };
            let gone: Vec<_> = self.told.iter().filter(|(partition, told)| renamed(partition, told)).collect();
            request.forgotten_topics_data = gone.chunk_by(|a, b| a.0.topic == b.0.topic).map(forgotten_topic).collect();
        }
        (request.session_id, request.session_epoch) =
            if sessions { (self.id, self.epoch) } else { (0, SESSIONLESS_EPOCH) };
        self.told = wanted;
    }

    /// The partition that a row of an answer is about, with what was asked for it.
    pub fn find(&self, topic: &str, topic_id: Uuid, index: i32) -> Option<(&TopicPartition, &Want)> {
        self.told.iter().find(|(partition, want)| {
            let same_topic = if topic.is_empty() { want.topic_id.0 == topic_id.0 } else { partition.topic == topic };
            partition.index.0 == index && same_topic
        })
    }

    /// The partitions that were asked for last.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.told.keys()
    }

    /// The broker has answered, and remembers what it was told if it gives the session an id.
    pub fn on_answer(&mut self, session_id: i32) {
        self.epoch = match session_id {
            0 => 0,
            _ => self.epoch.checked_add(1).unwrap_or(1),
        };
        self.id = session_id;
    }

    /// The broker may not remember: start over, and let it forget the old session if it still has it.
    pub fn restart(&mut self, broker_forgot: bool) {
        self.epoch = 0;
        if broker_forgot {
            self.id = 0;
        }
    }
}

fn fetch_topic(rows: &[(&TopicPartition, &Want)], partition_bytes_max: i32) -> FetchTopic {
    let partition = |(partition, want): &(&TopicPartition, &Want)| FetchPartition {
        partition: partition.index.0,
        current_leader_epoch: want.leader_epoch.map_or(-1, |epoch| epoch.0),
        fetch_offset: want.offset.0,
        partition_max_bytes: partition_bytes_max,
        ..Default::default()
    };
    let (first, want) = rows[0];
    FetchTopic {
        topic: first.topic.clone(),
        topic_id: Uuid(want.topic_id.0),
        partitions: rows.iter().map(partition).collect(),
    }
}

fn forgotten_topic(rows: &[(&TopicPartition, &Want)]) -> ForgottenTopic {
    let (first, told) = rows[0];
    ForgottenTopic {
        topic: first.topic.clone(),
        topic_id: Uuid(told.topic_id.0),
        partitions: rows.iter().map(|(partition, _)| partition.index.0).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PartitionIndex;

    fn wanted(rows: &[(&str, i32, i64)]) -> BTreeMap<TopicPartition, Want> {
        let want = |offset| Want { topic_id: TopicId(1), leader_epoch: None, offset: Offset(offset), assignment: 0 };
        rows.iter()
            .map(|(topic, index, offset)| (TopicPartition::new(*topic, PartitionIndex(*index)), want(*offset)))
            .collect()
    }

    /// What the next request says: session id and epoch, partitions with offsets, forgotten partitions.
    fn ask(session: &mut FetchSession, rows: &[(&str, i32, i64)]) -> (i32, i32, Vec<(i32, i64)>, Vec<i32>) {
        let mut request = FetchRequest::default();
        session.ask(wanted(rows), 1024, true, &mut request);
        let asked =
            request.topics.iter().flat_map(|topic| &topic.partitions).map(|row| (row.partition, row.fetch_offset));
        let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| topic.partitions.clone());
        (request.session_id, request.session_epoch, asked.collect(), forgotten.collect())
    }

    #[test]
    fn a_session_is_told_changes_only() {
        let mut session = FetchSession::default();
        assert_eq!(ask(&mut session, &[("t", 0, 5), ("t", 1, 7)]), (0, 0, vec![(0, 5), (1, 7)], vec![]));
        session.on_answer(42);
        assert_eq!(ask(&mut session, &[("t", 0, 6), ("t", 1, 7)]), (42, 1, vec![(0, 6)], vec![]));
        session.on_answer(42);
        assert_eq!(ask(&mut session, &[("t", 0, 6)]), (42, 2, vec![], vec![1]));
    }

    #[test]
    fn a_broker_that_gives_no_session_is_told_everything_each_time() {
        let mut session = FetchSession::default();
        ask(&mut session, &[("t", 0, 5)]);
        session.on_answer(0);
        assert_eq!(ask(&mut session, &[("t", 0, 5)]), (0, 0, vec![(0, 5)], vec![]));
    }

    #[test]
    fn a_lost_answer_starts_the_session_over() {
        let mut session = FetchSession::default();
        ask(&mut session, &[("t", 0, 5)]);
        session.on_answer(42);
        session.restart(false);
        assert_eq!(ask(&mut session, &[("t", 0, 5)]), (42, 0, vec![(0, 5)], vec![]));
    }
}
