//! Fetches, and what else is asked of a log: offsets, epochs, the deletion of records.

use highwater_wire::Uuid;
use highwater_wire::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use highwater_wire::fetch::{FetchPartition, FetchRequest, FetchTopic, ForgottenTopic};
use highwater_wire::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use highwater_wire::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};

use super::Draw;
use super::records::FIRST_TIMESTAMP_MS;

/// The only topic whose records are deleted up to the end: what is then left on the disk, and what the largest timestamp
/// is, differs.
const EMPTIED_TOPIC: &str = "d";

/// The first version that names topics by id.
const TOPIC_ID_VERSION: i16 = 13;

impl Draw<'_> {
    pub(super) fn fetch(&mut self) -> FetchRequest {
        let names = if self.dice.once_in(2) { vec![self.topic_name()] } else { self.different_topic_names() };
        let topics = names.into_iter().map(|name| self.fetch_topic(name)).collect();
        let mut request = FetchRequest {
            max_wait_ms: self.dice.pick(&[0, 0, 0, 1, 5, -1]),
            min_bytes: self.dice.pick(&[1, 1, 0, 1000, -1, i32::MAX]),
            max_bytes: self.dice.pick(&[i32::MAX, 50 << 20, 1000, 300, 100, 1, 0, -1]),
            isolation_level: self.dice.pick(&[0, 1]),
            topics,
            ..Default::default()
        };
        if self.version >= 7 && self.dice.once_in(2) {
            self.use_session(&mut request);
        }
        keep_negative_limits_alone(&mut request);
        self.keep_zero_ids_alone(&mut request);
        request
    }

    /// Leaves the zero id only in a request for one topic without a session: Kafka throws where it meets another, and now
    /// and then never answers.
    pub(super) fn keep_zero_ids_alone(&self, request: &mut FetchRequest) {
        if self.version >= TOPIC_ID_VERSION && (request.topics.len() > 1 || request.session_epoch != -1) {
            request.topics.retain(|topic| topic.topic_id != Uuid::ZERO);
            request.forgotten_topics_data.retain(|topic| topic.topic_id != Uuid::ZERO);
        }
    }

    fn use_session(&mut self, request: &mut FetchRequest) {
        let known =
            self.model.sessions.iter().filter(|session| session.version == self.version || self.dice.once_in(8));
        let known: Vec<_> = known.copied().collect();
        if known.is_empty() || self.dice.once_in(3) {
            (request.session_id, request.session_epoch) =
                self.dice.pick(&[(0, 0), (0, 0), (0, 0), (77, 0), (77, 1), (0, 5), (77, -1)]);
            return;
        }
        let session = self.dice.pick(&known);
        request.session_id = session.id;
        request.session_epoch = match self.dice.below(16) {
            0 => session.epoch + 1,
            1 => session.epoch - 1,
            2 => -1,
            3 => 0,
            4 => i32::MAX,
            _ => session.epoch,
        };
        if self.dice.once_in(2) {
            request.topics.clear();
        }
        if self.dice.once_in(5) {
            let topic = self.topic_name();
            let partitions = self.partition_indexes(&topic);
            let (topic, topic_id) = self.named(topic);
            request.forgotten_topics_data.push(ForgottenTopic { topic, topic_id, partitions });
        }
    }

    fn fetch_topic(&mut self, name: String) -> FetchTopic {
        let partitions =
            self.partition_indexes(&name).into_iter().map(|index| self.fetch_partition(&name, index)).collect();
        let (topic, topic_id) = self.named(name);
        FetchTopic { topic, topic_id, partitions }
    }

    /// A topic's name or id, whichever the version has.
    fn named(&mut self, name: String) -> (String, Uuid) {
        if self.version < TOPIC_ID_VERSION {
            return (name, Default::default());
        }
        let id = self.topic_id(&name);
        (String::new(), id)
    }

    fn fetch_partition(&mut self, topic: &str, partition: i32) -> FetchPartition {
        let mut wanted = FetchPartition {
            partition,
            fetch_offset: self.offset(topic, partition),
            partition_max_bytes: self.dice.pick(&[1 << 20, 1 << 20, i32::MAX, 1000, 200, 1, 0, -1]),
            ..Default::default()
        };
        if self.version >= 9 {
            wanted.current_leader_epoch = self.leader_epoch();
        }
        if self.version >= 12 {
            wanted.last_fetched_epoch = self.dice.pick(&[-1, -1, -1, -1, 0, 0, 1, -2]);
        }
        wanted
    }

    /// An offset: of the log, at one of its ends, or outside.
    fn offset(&mut self, topic: &str, index: i32) -> i64 {
        let partition = self.model.partition(topic, index).unwrap_or_default();
        match self.dice.below(12) {
            0 => partition.start - 1,
            1 => partition.end + 1,
            2 => self.dice.pick(&[-1, -2, i64::MAX, i64::MIN, 1 << 40]),
            3 | 4 => partition.end,
            5 | 6 => partition.start,
            _ => {
                let len = usize::try_from(partition.end - partition.start).unwrap_or(0);
                partition.start + self.dice.below(len + 1) as i64
            }
        }
    }

    fn leader_epoch(&mut self) -> i32 {
        self.dice.pick(&[-1, -1, -1, -1, -1, 0, 0, 0, 1, 7, -2])
    }

    pub(super) fn list_offsets(&mut self) -> ListOffsetsRequest {
        let topics = self.topic_names().into_iter().map(|name| {
            let partitions =
                self.partition_indexes(&name).into_iter().map(|index| self.list_partition(&name, index)).collect();
            ListOffsetsTopic { name, partitions }
        });
        let topics = topics.collect();
        let isolation_level = if self.version >= 2 { self.dice.pick(&[0, 1]) } else { 0 };
        let timeout_ms = if self.version >= 10 { 1000 } else { 0 };
        ListOffsetsRequest { replica_id: -1, isolation_level, topics, timeout_ms }
    }

    fn list_partition(&mut self, name: &str, partition_index: i32) -> ListOffsetsPartition {
        let time = FIRST_TIMESTAMP_MS + self.dice.below(2000) as i64;
        let mut timestamp =
            self.dice.pick(&[-1, -2, -3, -4, -5, -6, -7, 0, i64::MAX, i64::MIN, time, time, time, time]);
        // Kafka finds records that are deleted, the one of the largest timestamp for one, until it removes their segment.
        let start = self.model.partition(name, partition_index).map_or(0, |partition| partition.start);
        if start > 0 && matches!(timestamp, -3 | 0) {
            timestamp = -1;
        }
        let current_leader_epoch = if self.version >= 4 { self.leader_epoch() } else { -1 };
        ListOffsetsPartition { partition_index, current_leader_epoch, timestamp }
    }

    pub(super) fn offset_for_leader_epoch(&mut self) -> OffsetForLeaderEpochRequest {
        let topics = self.topic_names().into_iter().map(|topic| {
            let partitions = self.partition_indexes(&topic).into_iter().map(|partition| OffsetForLeaderPartition {
                partition,
                current_leader_epoch: self.leader_epoch(),
                leader_epoch: self.dice.pick(&[0, 0, 0, 1, 5, -1, -2, i32::MAX]),
            });
            OffsetForLeaderTopic { partitions: partitions.collect(), topic }
        });
        let topics = topics.collect();
        let replica_id = if self.version >= 3 { self.dice.pick(&[-1, -2]) } else { -2 };
        OffsetForLeaderEpochRequest { replica_id, topics }
    }

    pub(super) fn delete_records(&mut self) -> DeleteRecordsRequest {
        let topics = self.topic_names().into_iter().map(|name| {
            let indexes = self.partition_indexes(&name);
            let partitions = indexes.into_iter().map(|partition_index| {
                let mut offset = self.offset(&name, partition_index);
                let end = self.model.partition(&name, partition_index).map_or(0, |partition| partition.end);
                if name != EMPTIED_TOPIC && (offset == -1 || offset == end) {
                    offset = end - 1;
                }
                DeleteRecordsPartition { partition_index, offset }
            });
            let partitions = partitions.collect();
            DeleteRecordsTopic { partitions, name }
        });
        DeleteRecordsRequest { topics: topics.collect(), timeout_ms: 30_000 }
    }
}

/// Leaves a limit below 0 only in a request for one partition without a session. Kafka throws there and goes on to the
/// next partition as if it had not been asked for this one, where Highwater takes the limit for 0.
pub(super) fn keep_negative_limits_alone(request: &mut FetchRequest) {
    let partitions: usize = request.topics.iter().map(|topic| topic.partitions.len()).sum();
    if partitions == 1 && request.session_epoch == -1 {
        return;
    }
    request.max_bytes = request.max_bytes.max(0);
    let rows = request.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    rows.for_each(|row| row.partition_max_bytes = row.partition_max_bytes.max(0));
}
