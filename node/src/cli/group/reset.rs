//! `group reset-offsets`: where a group goes on to read.

use std::collections::{BTreeMap, BTreeSet};

use highwater_core::client::{Position, Target};
use highwater_wire::offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use highwater_wire::{ErrorCode, Uuid};
use serde::Serialize;

use super::{committed, find_coordinator, partitions_of, refused};
use crate::cli::error::{CliError, error_of};
use crate::cli::json;
use crate::cli::options::ClientOptions;
use crate::cli::table::{Table, print_line};
use crate::cli::topic::{EARLIEST, LATEST, offsets};
use crate::client::Session;

/// A topic, or some of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    topic: String,
    /// Empty means all.
    partitions: BTreeSet<i32>,
}

/// `TOPIC` or `TOPIC:N,N`.
pub fn parse_scope(text: &str) -> Result<Scope, String> {
    let (topic, partitions) = text.split_once(':').map_or((text, None), |(topic, rest)| (topic, Some(rest)));
    if topic.is_empty() {
        return Err("the topic's name is missing: expected `TOPIC` or `TOPIC:N,...`".to_owned());
    }
    let index = |text: &str| match text.parse() {
        Ok(index) if index >= 0 => Ok(index),
        _ => Err(format!("{text:?} is not a partition's number")),
    };
    let partitions = partitions.map(|rest| rest.split(',').map(index).collect()).transpose()?.unwrap_or_default();
    Ok(Scope { topic: topic.to_owned(), partitions })
}

#[derive(Serialize)]
struct ResetRow {
    topic: String,
    partition: i32,
    old_offset: Option<i64>,
    new_offset: i64,
}

/// Commits new offsets for a group that has no members.
pub async fn run(
    options: &ClientOptions,
    group: &str,
    scopes: Vec<Scope>,
    to: Position,
    dry_run: bool,
) -> Result<(), CliError> {
    let mut session = options.session();
    let (ids, targets) = targets(&mut session, scopes, to).await?;
    let coordinator = find_coordinator(&mut session, options, group).await?;
    let old = committed(&mut session, options, &coordinator, group).await?;
    if !dry_run {
        commit(&mut session, &coordinator, group, &ids, &targets).await?;
    }
    let row = |((topic, partition), new_offset)| {
        let old_offset = old.get(&(String::clone(&topic), partition)).copied();
        ResetRow { topic, partition, old_offset, new_offset }
    };
    print(options, group, &targets.into_iter().map(row).collect::<Vec<_>>(), dry_run)
}

/// The offset of each partition.
pub type Targets = BTreeMap<(String, i32), i64>;

/// The ids of the topics, and the offset that each partition goes to.
async fn targets(
    session: &mut Session,
    scopes: Vec<Scope>,
    to: Position,
) -> Result<(BTreeMap<String, Uuid>, Targets), CliError> {
    let names = scopes.iter().map(|scope| scope.topic.clone()).collect();
    let existing = partitions_of(session, &names).await?;
    let mut targets = Targets::new();
    for Scope { topic, partitions: wanted } in scopes {
        let (_, partitions) = existing.get(&topic).ok_or_else(|| unknown(&topic))?;
        let count = partitions.len();
        if let Some(missing) = wanted.iter().find(|index| !partitions.iter().any(|row| row.partition_index == **index))
        {
            let message = format!("topic {topic} has no partition {missing}; its partitions are 0 to {}", count - 1);
            return Err(CliError::NotFound(message));
        }
        let starts = offsets(session, &topic, partitions, EARLIEST).await?;
        let ends = offsets(session, &topic, partitions, LATEST).await?;
        let found = match to {
            Position::Timestamp(time) => offsets(session, &topic, partitions, time.0).await?,
            Position::Earliest | Position::Latest | Position::Offset(_) => BTreeMap::new(),
        };
        for row in partitions.iter().filter(|row| wanted.is_empty() || wanted.contains(&row.partition_index)) {
            let index = row.partition_index;
            let (Some(&start), Some(&end)) = (starts.get(&index), ends.get(&index)) else {
                return Err(CliError::Failed(format!("partition {index} of topic {topic} does not answer")));
            };
            let offset = match to {
                Position::Earliest => start,
                Position::Latest => end,
                Position::Offset(offset) => offset.0.clamp(start, end),
                // Where every record is older, the group goes on at the end.
                Position::Timestamp(_) => found.get(&index).copied().filter(|offset| *offset >= 0).unwrap_or(end),
            };
            targets.insert((topic.clone(), index), offset);
        }
    }
    Ok((existing.into_iter().map(|(name, (id, _))| (name, id)).collect(), targets))
}

fn unknown(topic: &str) -> CliError {
    CliError::refused(&format!("find topic {topic}"), ErrorCode::UnknownTopicOrPartition, None)
}

async fn commit(
    session: &mut Session,
    coordinator: &Target,
    group: &str,
    ids: &BTreeMap<String, Uuid>,
    targets: &Targets,
) -> Result<(), CliError> {
    let topics = commit_topics(targets, ids);
    let request = OffsetCommitRequest { group_id: group.to_owned(), topics, ..OffsetCommitRequest::default() };
    let response = session.call(coordinator.clone(), request).await?;
    let mut rows = response.topics.iter().flat_map(|topic| &topic.partitions);
    match rows.find_map(|row| error_of(row.error_code)) {
        Some(code) => Err(refused(&format!("move group {group}"), code)),
        None => Ok(()),
    }
}

/// What a commit says of its topics, by name and by id.
pub fn commit_topics(targets: &Targets, ids: &BTreeMap<String, Uuid>) -> Vec<OffsetCommitRequestTopic> {
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for ((topic, index), offset) in targets {
        topics.entry(topic).or_default().push(OffsetCommitRequestPartition {
            partition_index: *index,
            committed_offset: *offset,
            ..Default::default()
        });
    }
    let topic = |(name, partitions): (&str, _)| OffsetCommitRequestTopic {
        name: name.to_owned(),
        topic_id: ids.get(name).copied().unwrap_or(Uuid::ZERO),
        partitions,
    };
    topics.into_iter().map(topic).collect()
}

fn print(options: &ClientOptions, group: &str, rows: &[ResetRow], dry_run: bool) -> Result<(), CliError> {
    if options.json {
        return Ok(rows.iter().try_for_each(json::print)?);
    }
    print_line(&format!("{} {group}", if dry_run { "Would move group" } else { "Moved group" }))?;
    let mut table = Table::new(&["TOPIC", "PARTITION", "FROM", "TO"]);
    for row in rows {
        table.row(vec![
            row.topic.clone(),
            row.partition.to_string(),
            row.old_offset.map_or("-".to_owned(), |offset| offset.to_string()),
            row.new_offset.to_string(),
        ]);
    }
    Ok(table.print("  ")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_topic_or_some_of_its_partitions() {
        let scope = |topic: &str, partitions: &[i32]| {
            Ok(Scope { topic: topic.to_owned(), partitions: partitions.iter().copied().collect() })
        };
        assert_eq!(parse_scope("orders"), scope("orders", &[]));
        assert_eq!(parse_scope("orders:3"), scope("orders", &[3]));
        assert_eq!(parse_scope("orders:3,0"), scope("orders", &[0, 3]));
        for wrong in ["", ":1", "orders:", "orders:x", "orders:-1", "orders:1,,2"] {
            assert!(parse_scope(wrong).is_err(), "{wrong}");
        }
    }
}
