//! Finds the offset that a position stands for.

use highwater_wire::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use highwater_wire::{AnyRequest, ApiKey};

use super::{Consumer, Place, isolation_code};
use crate::client::answer::Answer;
use crate::client::boundary::{ConsumeError, Outbox, Position, TopicPartition};
use crate::client::error_of;
use crate::client::metadata::{Leader, Metadata};
use crate::client::network::Network;
use crate::client::purpose::Purpose;
use crate::ids::{BrokerId, Offset};
use crate::time::Instant;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

impl Consumer {
    pub(super) fn look_up(
        &mut self,
        now: Instant,
        broker: BrokerId,
        partitions: &[(TopicPartition, Leader)],
        network: &mut Network,
        out: &mut Outbox,
    ) {
        let Some(connection) = network.ready(now, broker, out) else { return };
        let version = match connection.version_for(ApiKey::ListOffsets) {
            Ok(version) => version,
            Err(unsupported) => {
                let error = ConsumeError::Unsupported(unsupported.to_string());
                return partitions.iter().for_each(|(partition, _)| self.fail(partition, error.clone(), out));
            }
        };
        let topics = partitions.chunk_by(|a, b| a.0.topic == b.0.topic).map(|rows| ListOffsetsTopic {
            name: rows[0].0.topic.clone(),
            partitions: rows.iter().filter_map(|(partition, leader)| self.ask(partition, leader)).collect(),
        });
        let request: AnyRequest = ListOffsetsRequest {
            replica_id: -1,
            isolation_level: isolation_code(self.config.isolation),
            topics: topics.collect(),
            ..Default::default()
        }
        .into();
        let purpose = Purpose::ListOffsets(partitions.iter().map(|(partition, _)| partition.clone()).collect());
        connection.send(now, &request, version, purpose, out).expect("every version can carry a consumer's look-up");
        for (partition, _) in partitions {
            if let Some(assigned) = self.partitions.get_mut(partition)
                && let Place::Unknown(position) = assigned.place
            {
                assigned.place = Place::Asked(position);
            }
        }
    }

    /// Takes the answer to a look-up.
    pub fn on_offsets(
        &mut self,
        now: Instant,
        partitions: &[TopicPartition],
        answer: &Answer,
        metadata: &mut Metadata,
        out: &mut Outbox,
    ) {
        let Ok(response) = answer.decode::<ListOffsetsRequest>() else {
            return self.on_offsets_lost(now, partitions, metadata);
        };
        for partition in partitions {
            match find_row(&response, partition) {
                Some(row) => self.on_offset(now, partition, row, metadata, out),
                None => self.on_offsets_lost(now, std::slice::from_ref(partition), metadata),
            }
        }
    }

    /// The connection went away under a look-up.
    pub fn on_offsets_lost(&mut self, now: Instant, partitions: &[TopicPartition], metadata: &mut Metadata) {
        metadata.refresh();
        for partition in partitions {
            self.ask_again(now, partition);
        }
    }

    fn on_offset(
        &mut self,
        now: Instant,
        partition: &TopicPartition,
        row: &ListOffsetsPartitionResponse,
        metadata: &mut Metadata,
        out: &mut Outbox,
    ) {
        let Some(assigned) = self.partitions.get_mut(partition) else { return };
        let Place::Asked(position) = assigned.place else { return };
        match error_of(row.error_code) {
            None => {
                assigned.failures = 0;
                assigned.place = match (position, row.offset) {
                    // No record is as young as that: begin with those that will be.
                    (Position::Timestamp(_), ..0) => Place::Unknown(Position::Latest),
                    (_, offset) => Place::At(Offset(offset.max(0))),
                };
            }
            Some(code) if code.retriable() => {
                metadata.refresh();
                self.ask_again(now, partition);
            }
            Some(code) => self.fail(partition, ConsumeError::Refused(code), out),
        }
    }

    fn ask_again(&mut self, now: Instant, partition: &TopicPartition) {
        let Some(assigned) = self.partitions.get_mut(partition) else { return };
        if let Place::Asked(position) = assigned.place {
            assigned.place = Place::Unknown(position);
            assigned.back_off(now, &mut self.backoff);
        }
    }

    fn ask(&self, partition: &TopicPartition, leader: &Leader) -> Option<ListOffsetsPartition> {
        let Place::Unknown(position) = self.partitions.get(partition)?.place else { return None };
        let timestamp = match position {
            Position::Latest => LATEST,
            Position::Earliest => EARLIEST,
            Position::Timestamp(wall) => wall.0,
            Position::Offset(_) => return None,
        };
        let current_leader_epoch = leader.epoch.map_or(-1, |epoch| epoch.0);
        Some(ListOffsetsPartition { partition_index: partition.index.0, current_leader_epoch, timestamp })
    }
}

fn find_row<'a>(
    response: &'a ListOffsetsResponse,
    partition: &TopicPartition,
) -> Option<&'a ListOffsetsPartitionResponse> {
    let topic = response.topics.iter().find(|topic| topic.name == partition.topic)?;
    topic.partitions.iter().find(|row| row.partition_index == partition.index.0)
}
