//! Core's events as log lines: the only place that turns them into prose.

use highwater_core::event::Event;
use highwater_core::group::GroupEvent;
use slog::{Logger, debug, error, info, trace, warn};

/// Writes one event to the log.
pub fn log(log: &Logger, event: &Event) {
    match event {
        Event::Ready => debug!(log, "shard ready"),
        Event::ClusterFounded { cluster_id } => info!(log, "founded a new cluster"; "cluster" => cluster_id),
        Event::LogRecovered { partition, topic, bytes_read, bytes_truncated, log_end_offset } => {
            let fields = slog::o!("topic" => topic.clone(), "partition" => partition.index.0, "bytes_read" => *bytes_read,
                "log_end_offset" => log_end_offset.0);
            match bytes_truncated {
                0 => debug!(log, "log recovered"; fields),
                _ => info!(log, "log recovered, torn tail cut off"; "bytes_truncated" => *bytes_truncated, fields),
            }
        }
        Event::BecameLeader { partition, topic, leader_epoch } => {
            debug!(log, "became leader"; "topic" => topic, "partition" => partition.index.0, "leader_epoch" => leader_epoch.0);
        }
        Event::SegmentRolled { partition, base_offset } => {
            debug!(log, "segment rolled"; "partition" => %partition, "base_offset" => base_offset.0);
        }
        Event::SegmentDeleted { partition, base_offset, bytes } => {
            info!(log, "segment deleted"; "partition" => %partition, "base_offset" => base_offset.0, "bytes" => *bytes);
        }
        Event::LogCompacted { partition, topic, compacted } => {
            info!(log, "log compacted"; "topic" => topic, "partition" => partition.index.0,
                "segments_before" => compacted.segments_before, "segments_after" => compacted.segments_after,
                "bytes_before" => compacted.bytes_before, "bytes_after" => compacted.bytes_after,
                "cleaned_offset" => compacted.cleaned_offset.0);
        }
        Event::CompactionFailed { partition, topic, reason } => {
            error!(log, "log is damaged and is not compacted any more"; "topic" => topic,
                "partition" => partition.index.0, "reason" => reason);
        }
        Event::DiskFull { partition } => {
            error!(log, "disk full: produces are refused until there is room"; "partition" => %partition);
        }
        Event::DiskHasRoom => info!(log, "disk has room again"),
        Event::StrayDirectory { path } => {
            warn!(log, "directory belongs to no known partition and is left alone"; "path" => path);
        }
        Event::CoordinatorLoaded { partition, log_end_offset, skipped } => {
            let fields = slog::o!("partition" => partition.index.0, "log_end_offset" => log_end_offset.0);
            match skipped {
                0 => debug!(log, "group coordinator ready"; fields),
                _ => {
                    warn!(log, "group coordinator ready; records of unknown kinds were skipped"; "skipped" => *skipped, fields)
                }
            }
        }
        Event::Group(event) => log_group(log, event),
        Event::ConnectionClosed { connection, reason } => {
            info!(log, "connection closed"; "connection" => connection.0, "reason" => %reason);
        }
    }
}

fn log_group(log: &Logger, event: &GroupEvent) {
    match event {
        GroupEvent::Rebalancing { group, generation, reason } => {
            info!(log, "group rebalances"; "group" => &**group, "generation" => *generation, "reason" => &**reason);
        }
        GroupEvent::Changed { group, standing } => {
            debug!(log, "group has changed"; "group" => &**group, "protocol" => standing.protocol,
                "state" => standing.state, "generation" => standing.generation, "members" => standing.members);
        }
        GroupEvent::Committed { group, topic, partition, offset } => {
            trace!(log, "group has got further"; "group" => &**group, "topic" => &**topic, "partition" => *partition,
                "offset" => *offset);
        }
        GroupEvent::MemberRemoved { group, member, reason } => {
            info!(log, "member is gone"; "group" => &**group, "member" => &**member, "reason" => &**reason);
        }
        GroupEvent::Removed { group } => info!(log, "group is removed"; "group" => &**group),
    }
}
