//! DescribeLogDirs: the sizes of all logs, from every shard.
//!
//! Sources: KIP-113, KIP-827 (room on the disk).

use std::collections::{BTreeMap, BTreeSet};

use highwater_wire::ErrorCode;
use highwater_wire::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult,
    DescribeLogDirsTopic,
};

use super::call::Context;
use crate::disk::Space;
use crate::ids::{PartitionId, ShardId};
use crate::message::PartitionRequest;

/// A request in progress.
pub(super) struct LogDirsCall {
    /// The partitions that are asked for; `None` asks for all.
    wanted: Option<BTreeSet<(String, i32)>>,
    sizes: Vec<(PartitionId, u64)>,
    space: Option<Space>,
    missing: u16,
}

impl LogDirsCall {
    /// Asks every shard.
    pub(super) fn begin(context: &mut Context<'_>, request: DescribeLogDirsRequest) -> Self {
        let wanted = request.topics.map(|topics| {
            let names = topics
                .into_iter()
                .flat_map(|topic| topic.partitions.into_iter().map(move |partition| (topic.topic.clone(), partition)));
            names.collect()
        });
        for shard in 1..=context.shards {
            context.ask(ShardId(shard), PartitionRequest::DescribeLogDirs);
        }
        Self { wanted, sizes: Vec::new(), space: None, missing: context.shards }
    }

    /// Takes the sizes of one shard's logs.
    pub(super) fn place(&mut self, sizes: Vec<(PartitionId, u64)>, space: Option<Space>) {
        self.sizes.extend(sizes);
        self.space = self.space.or(space);
        self.missing -= 1;
    }

    /// Whether every shard has answered.
    pub(super) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// The answer to a complete request.
    pub(super) fn end(self, context: &Context<'_>) -> DescribeLogDirsResponse {
        let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
        for (partition, size) in self.sizes {
            // A topic may have been deleted while the shards were asked.
            let Some(topic) = context.image.topic_by_id(partition.topic) else { continue };
            let key = (topic.name.to_string(), partition.index.0);
            if self.wanted.as_ref().is_none_or(|wanted| wanted.contains(&key)) {
                let row = DescribeLogDirsPartition {
                    partition_index: key.1,
                    partition_size: i64::try_from(size).unwrap_or(i64::MAX),
                    ..Default::default()
                };
                topics.entry(key.0).or_default().push(row);
            }
        }
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let result = DescribeLogDirsResult {
            error_code: ErrorCode::None.code(),
            log_dir: context.config.log_dir.clone(),
            topics: topics.into_iter().map(|(name, partitions)| DescribeLogDirsTopic { name, partitions }).collect(),
            total_bytes: self.space.map_or(-1, |space| bytes(space.total)),
            usable_bytes: self.space.map_or(-1, |space| bytes(space.usable)),
            ..Default::default()
        };
        DescribeLogDirsResponse { results: vec![result], ..Default::default() }
    }
}
