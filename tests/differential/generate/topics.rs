//! Topics, partitions, and what describes them.

use highwater_wire::create_partitions::{CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic};
use highwater_wire::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use highwater_wire::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use highwater_wire::describe_cluster::DescribeClusterRequest;
use highwater_wire::describe_log_dirs::{DescribableLogDirTopic, DescribeLogDirsRequest};
use highwater_wire::describe_topic_partitions::{Cursor, DescribeTopicPartitionsRequest, TopicRequest};
use highwater_wire::metadata::{MetadataRequest, MetadataRequestTopic};

use super::{Draw, TOPICS};

/// Long enough for both brokers to finish: what a time-out leaves half done would differ.
const TIMEOUT_MS: i32 = 30_000;

impl Draw<'_> {
    pub(super) fn create_topics(&mut self) -> CreateTopicsRequest {
        let count = 1 + self.dice.below(2);
        let topics = (0..count).map(|_| self.creatable_topic()).collect();
        CreateTopicsRequest { topics, timeout_ms: TIMEOUT_MS, validate_only: self.dice.once_in(8) }
    }

    fn creatable_topic(&mut self) -> CreatableTopic {
        let name = match self.dice.below(8) {
            0 => self.odd_topic_name(),
            _ => self.dice.pick(&TOPICS).to_owned(),
        };
        let configs = match self.dice.below(3) {
            0 => {
                let count = 1 + self.dice.below(2);
                (0..count).map(|_| self.topic_config(&name)).collect()
            }
            _ => Vec::new(),
        };
        let configs = configs.into_iter().map(|(name, value)| CreatableTopicConfig { name, value }).collect();
        if self.dice.once_in(6) {
            let assignments = self.assignments();
            let (num_partitions, replication_factor) = self.dice.pick(&[(-1, -1), (-1, -1), (-1, -1), (1, 1), (-1, 1)]);
            return CreatableTopic { name, num_partitions, replication_factor, assignments, configs };
        }
        let num_partitions = self.dice.pick(&[1, 1, 1, 2, 2, 3, -1, 0, -2, 20_000]);
        let replication_factor = self.dice.pick(&[1, 1, 1, 1, 1, -1, -1, 0, 2, -2]);
        CreatableTopic { name, num_partitions, replication_factor, configs, ..Default::default() }
    }

    fn assignments(&mut self) -> Vec<CreatableReplicaAssignment> {
        let first = if self.dice.once_in(8) { 1 } else { 0 };
        let broker_ids = self.broker_ids();
        let count = self.dice.pick(&[1, 2, 3]);
        let mut assignments: Vec<_> = (first..first + count)
            .map(|partition_index| CreatableReplicaAssignment { partition_index, broker_ids: broker_ids.clone() })
            .collect();
        if self.dice.once_in(8) {
            assignments.push(assignments[0].clone());
        }
        assignments
    }

    fn broker_ids(&mut self) -> Vec<i32> {
        self.dice.pick(&[vec![1], vec![1], vec![1], vec![1], vec![], vec![2], vec![1, 1], vec![1, 2], vec![-1]])
    }

    pub(super) fn delete_topics(&mut self) -> DeleteTopicsRequest {
        let names = self.topic_names();
        let mut request = DeleteTopicsRequest { timeout_ms: TIMEOUT_MS, ..Default::default() };
        if self.version < 6 {
            request.topic_names = names;
            return request;
        }
        for name in names {
            let topic = match self.dice.below(8) {
                0..=3 => DeleteTopicState { name: Some(name), ..Default::default() },
                4..=6 => DeleteTopicState { name: None, topic_id: self.topic_id(&name) },
                _ => DeleteTopicState { topic_id: self.topic_id(&name), name: Some(name) },
            };
            request.topics.push(topic);
        }
        request
    }

    pub(super) fn create_partitions(&mut self) -> CreatePartitionsRequest {
        let topics = self.topic_names().into_iter().map(|name| self.grown_topic(name)).collect();
        CreatePartitionsRequest { topics, timeout_ms: TIMEOUT_MS, validate_only: self.dice.once_in(6) }
    }

    fn grown_topic(&mut self, name: String) -> CreatePartitionsTopic {
        let now = self.model.topics.get(&name).map_or(1, |topic| topic.partitions.len()) as i32;
        let more = if now < 4 { self.dice.pick(&[1, 1, 2, 0, -1]) } else { self.dice.pick(&[0, -1, -10]) };
        let assignments = self.dice.once_in(4).then(|| {
            let count = if self.dice.once_in(4) { more + 1 } else { more };
            (0..count.clamp(0, 3)).map(|_| CreatePartitionsAssignment { broker_ids: self.broker_ids() }).collect()
        });
        CreatePartitionsTopic { name, count: now + more, assignments }
    }

    pub(super) fn metadata(&mut self) -> MetadataRequest {
        let mut request = MetadataRequest { topics: self.metadata_topics(), ..Default::default() };
        let are_named = request.topics.iter().flatten().all(|topic| topic.name.is_some());
        if self.version >= 4 {
            // Where Kafka throws at a topic without a name, it never creates the others again.
            request.allow_auto_topic_creation = are_named && self.dice.once_in(4);
        }
        if (8..=10).contains(&self.version) {
            request.include_cluster_authorized_operations = self.dice.once_in(2);
        }
        if self.version >= 8 {
            request.include_topic_authorized_operations = self.dice.once_in(2);
        }
        request
    }

    fn metadata_topics(&mut self) -> Option<Vec<MetadataRequestTopic>> {
        if self.dice.once_in(4) {
            return if self.version == 0 || self.dice.once_in(2) { Some(Vec::new()) } else { None };
        }
        let names = self.different_topic_names();
        let topics = names.into_iter().map(|name| {
            if self.version >= 10 && self.dice.once_in(2) {
                let topic_id = self.topic_id(&name);
                let name = self.dice.once_in(6).then_some(name);
                return MetadataRequestTopic { topic_id, name };
            }
            MetadataRequestTopic { name: Some(name), ..Default::default() }
        });
        Some(topics.collect())
    }

    pub(super) fn describe_cluster(&mut self) -> DescribeClusterRequest {
        let mut request = DescribeClusterRequest {
            include_cluster_authorized_operations: self.dice.once_in(2),
            ..Default::default()
        };
        if self.version >= 1 {
            request.endpoint_type = self.dice.pick(&[1, 1, 1, 2, 0, 3, -1]);
        }
        if self.version >= 2 {
            request.include_fenced_brokers = self.dice.once_in(2);
        }
        request
    }

    pub(super) fn describe_topic_partitions(&mut self) -> DescribeTopicPartitionsRequest {
        let names = if self.dice.once_in(3) { Vec::new() } else { self.topic_names() };
        let cursor = self.dice.once_in(3).then(|| {
            let topic_name = self.topic_name();
            Cursor { partition_index: self.dice.pick(&[0, 0, 1, 2, 9, -1]), topic_name }
        });
        DescribeTopicPartitionsRequest {
            topics: names.into_iter().map(|name| TopicRequest { name }).collect(),
            response_partition_limit: self.dice.pick(&[2000, 1, 2, 3, 0, -1, i32::MAX]),
            cursor,
        }
    }

    pub(super) fn describe_log_dirs(&mut self) -> DescribeLogDirsRequest {
        if self.dice.once_in(4) {
            return DescribeLogDirsRequest { topics: None };
        }
        let topics = self.topic_names().into_iter().map(|topic| {
            let partitions = if self.dice.once_in(6) { Vec::new() } else { self.partition_indexes(&topic) };
            DescribableLogDirTopic { partitions, topic }
        });
        DescribeLogDirsRequest { topics: Some(topics.collect()) }
    }
}
