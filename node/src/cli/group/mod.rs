//! `group list|describe|alter|reset-offsets|delete`.

mod describe;
mod member;
mod reset;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Subcommand;
use highwater_core::client::{Position, Target};
use highwater_core::ids::BrokerId;
use highwater_wire::delete_groups::DeleteGroupsRequest;
use highwater_wire::describe_cluster::DescribeClusterRequest;
use highwater_wire::find_coordinator::{Coordinator, FindCoordinatorRequest};
use highwater_wire::list_groups::ListGroupsRequest;
use highwater_wire::metadata::MetadataResponsePartition;
use highwater_wire::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup};
use highwater_wire::{ErrorCode, Uuid};
use serde::Serialize;

pub use self::member::Member;
use super::configs::{ChangedRow, Changes, Resource};
use super::consume::parse_position;
use super::error::{CliError, error_of};
use super::json;
use super::options::{ClientOptions, usage};
use super::table::{Table, print_line};
use super::topic::metadata;
use crate::client::Session;

/// The key type of groups in FindCoordinator.
const GROUP_KEY: i8 = 0;

/// Time between two questions to a coordinator that is about to be there.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Look at consumer groups, configure, move and delete them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List groups.
    List {
        /// Only groups in these states, as in `Stable,Empty`.
        #[arg(long, value_name = "STATE", value_delimiter = ',')]
        state: Vec<String>,
        #[command(flatten)]
        client: ClientOptions,
    },
    /// Show a group's state and members, and how far each partition is behind.
    Describe {
        /// Which groups.
        #[arg(required = true, value_name = "GROUP")]
        groups: Vec<String>,
        #[command(flatten)]
        client: ClientOptions,
    },
    /// Set or delete configuration. The group need not exist yet.
    Alter {
        /// Which group.
        group: String,
        #[command(flatten)]
        changes: Changes,
        #[command(flatten)]
        client: ClientOptions,
    },
    /// Move where a group without members goes on to read.
    ResetOffsets {
        /// Which group. It need not exist yet.
        group: String,
        /// Which topics, or single partitions as in `orders:0,3`; may be given several times.
        #[arg(long, short, required = true, value_name = "TOPIC[:N,...]", value_parser = reset::parse_scope)]
        topic: Vec<reset::Scope>,
        /// Where to: `earliest`, `latest`, an offset, or `@` with a time, in milliseconds since 1970 or as in
        /// 2026-01-31T12:00:00Z. Offsets outside the log become its start or end.
        #[arg(long, value_name = "WHERE", value_parser = parse_position)]
        to: Position,
        /// Show what would be committed, but commit nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        client: ClientOptions,
    },
    /// Delete groups without members, and their offsets.
    Delete {
        /// Which groups.
        #[arg(required = true, value_name = "GROUP")]
        groups: Vec<String>,
        /// Succeed if a group does not exist.
        #[arg(long)]
        if_exists: bool,
        #[command(flatten)]
        client: ClientOptions,
    },
}

/// Runs a subcommand.
pub async fn run(command: Command) -> Result<(), CliError> {
    match command {
        Command::List { state, client } => list(&client, state).await,
        Command::Describe { groups, client } => describe::run(&client, &groups).await,
        Command::Alter { group, changes, client } => alter(&client, &group, &changes).await,
        Command::ResetOffsets { group, topic, to, dry_run, client } => {
            reset::run(&client, &group, topic, to, dry_run).await
        }
        Command::Delete { groups, if_exists, client } => delete(&client, &groups, if_exists).await,
    }
}

#[derive(Serialize)]
struct ListRow {
    group: String,
    state: String,
    #[serde(rename = "type")]
    kind: String,
    protocol_type: String,
    coordinator: i32,
}

async fn list(options: &ClientOptions, states: Vec<String>) -> Result<(), CliError> {
    let mut session = options.session();
    let mut rows = Vec::new();
    let cluster = session.call(Target::Any, DescribeClusterRequest::default()).await?;
    for broker in cluster.brokers {
        let request = ListGroupsRequest { states_filter: states.clone(), types_filter: Vec::new() };
        let response = session.call(Target::Broker(BrokerId(broker.broker_id)), request).await?;
        if let Some(code) = error_of(response.error_code) {
            return Err(CliError::refused("list groups", code, None));
        }
        rows.extend(response.groups.into_iter().map(|group| ListRow {
            group: group.group_id,
            state: group.group_state,
            kind: group.group_type,
            protocol_type: group.protocol_type,
            coordinator: broker.broker_id,
        }));
    }
    rows.sort_by(|a, b| a.group.cmp(&b.group));
    if options.json {
        return Ok(rows.iter().try_for_each(json::print)?);
    }
    let mut table = Table::new(&["GROUP", "STATE", "TYPE", "PROTOCOL", "COORDINATOR"]);
    for row in rows {
        table.row(vec![row.group, row.state, row.kind, row.protocol_type, row.coordinator.to_string()]);
    }
    Ok(table.print("")?)
}

#[derive(Serialize)]
struct AlteredRow<'a> {
    group: &'a str,
    #[serde(flatten)]
    changes: ChangedRow<'a>,
}

async fn alter(options: &ClientOptions, group: &str, changes: &Changes) -> Result<(), CliError> {
    if changes.is_empty() {
        return Err(usage("nothing to change: give --config or --delete-config"));
    }
    changes.apply(&mut options.session(), Resource::Group(group)).await?;
    if options.json {
        json::print(&AlteredRow { group, changes: changes.row() })?;
    } else {
        print_line(&format!("Changed group {group}"))?;
    }
    Ok(())
}

#[derive(Serialize)]
struct DeletedRow<'a> {
    group: &'a str,
    deleted: bool,
}

async fn delete(options: &ClientOptions, groups: &[String], if_exists: bool) -> Result<(), CliError> {
    let mut session = options.session();
    let mut first_error = None;
    for group in groups {
        let coordinator = find_coordinator(&mut session, options, group).await?;
        let request = DeleteGroupsRequest { groups_names: vec![group.clone()] };
        let response = session.call(coordinator, request).await?;
        let deleted = match response.results.first().and_then(|result| error_of(result.error_code)) {
            None => true,
            Some(ErrorCode::GroupIdNotFound) if if_exists => false,
            Some(code) => {
                first_error.get_or_insert(refused(&format!("delete group {group}"), code));
                continue;
            }
        };
        if options.json {
            json::print(&DeletedRow { group, deleted })?;
        } else {
            print_line(&format!("{} {group}", if deleted { "Deleted group" } else { "There is no group" }))?;
        }
    }
    first_error.map_or(Ok(()), Err)
}

/// The broker that coordinates a group, once there is one.
async fn find_coordinator(session: &mut Session, options: &ClientOptions, group: &str) -> Result<Target, CliError> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(options.timeout);
    loop {
        let request = FindCoordinatorRequest {
            key_type: GROUP_KEY,
            coordinator_keys: vec![group.to_owned()],
            ..FindCoordinatorRequest::default()
        };
        let response = session.call(Target::Any, request).await?;
        let Some(Coordinator { node_id, error_code, error_message, .. }) = response.coordinators.first() else {
            return Err(CliError::Failed(format!("the broker says nothing about the coordinator of {group}")));
        };
        match error_of(*error_code) {
            None => return Ok(Target::Broker(BrokerId(*node_id))),
            Some(code) if code.retriable() && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(RETRY_AFTER).await;
            }
            Some(code) => {
                let what = format!("find the coordinator of group {group}");
                return Err(CliError::refused(&what, code, error_message.as_deref()));
            }
        }
    }
}

/// What a group has committed: topic, partition, offset. A coordinator that loads is waited for.
async fn committed(
    session: &mut Session,
    options: &ClientOptions,
    coordinator: &Target,
    group: &str,
) -> Result<BTreeMap<(String, i32), i64>, CliError> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(options.timeout);
    let group_row = loop {
        let asked = OffsetFetchRequestGroup { group_id: group.to_owned(), topics: None, ..Default::default() };
        let request = OffsetFetchRequest { groups: vec![asked], ..OffsetFetchRequest::default() };
        let response = session.call(coordinator.clone(), request).await?;
        let row = response.groups.into_iter().next();
        let row = row.ok_or_else(|| CliError::Failed(format!("the broker says nothing about group {group}")))?;
        match error_of(row.error_code) {
            None => break row,
            Some(code) if code.retriable() && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(RETRY_AFTER).await;
            }
            Some(code) => return Err(refused(&format!("read the offsets of group {group}"), code)),
        }
    };
    let by_id = group_row.topics.iter().any(|topic| topic.name.is_empty());
    let names = if by_id { topic_names(session).await? } else { BTreeMap::new() };
    let mut offsets = BTreeMap::new();
    for topic in group_row.topics {
        let name = if topic.name.is_empty() { names.get(&topic.topic_id).cloned() } else { Some(topic.name) };
        // A topic that is gone by now has no lag.
        let Some(name) = name else { continue };
        let known = topic.partitions.iter().filter(|row| row.error_code == 0 && row.committed_offset >= 0);
        offsets.extend(known.map(|row| ((name.clone(), row.partition_index), row.committed_offset)));
    }
    Ok(offsets)
}

async fn topic_names(session: &mut Session) -> Result<BTreeMap<Uuid, String>, CliError> {
    let topics = metadata(session, None).await?;
    Ok(topics.into_iter().filter_map(|topic| Some((topic.topic_id, topic.name?))).collect())
}

/// The ids and partitions of those of the topics that exist, by name.
async fn partitions_of(
    session: &mut Session,
    topics: &BTreeSet<String>,
) -> Result<BTreeMap<String, (Uuid, Vec<MetadataResponsePartition>)>, CliError> {
    let all = metadata(session, None).await?;
    let named = all.into_iter().filter_map(|topic| Some((topic.name?, (topic.topic_id, topic.partitions))));
    Ok(named.filter(|(name, _)| topics.contains(name)).collect())
}

/// A refusal in the words of groups.
fn refused(what: &str, code: ErrorCode) -> CliError {
    match code {
        ErrorCode::GroupIdNotFound => CliError::NotFound(format!(
            "cannot {what}: there is no such group; `highwater group list` shows those there are"
        )),
        ErrorCode::NonEmptyGroup | ErrorCode::UnknownMemberId | ErrorCode::StaleMemberEpoch => {
            CliError::Failed(format!(
                "cannot {what}: it has members ({}); stop its consumers first, `highwater group describe` shows them",
                code.name()
            ))
        }
        code => CliError::refused(what, code, None),
    }
}
