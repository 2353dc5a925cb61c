//! `group describe`: who is in a group and how far behind it is.

use std::collections::{BTreeMap, BTreeSet};

use highwater_core::client::{CallError, Target};
use highwater_wire::consumer_group_describe::{ConsumerGroupDescribeRequest, Member};
use highwater_wire::describe_groups::{DescribeGroupsRequest, DescribedGroupMember, LastRebalance};
use highwater_wire::{ConsumerProtocolAssignment, ErrorCode};
use serde::Serialize;

use super::{committed, find_coordinator, partitions_of, refused};
use crate::cli::configs::{self, Configured, Resource, configured};
use crate::cli::error::{CliError, error_of};
use crate::cli::json;
use crate::cli::options::ClientOptions;
use crate::cli::table::{Table, counted, print_line};
use crate::cli::timestamp::format_timestamp;
use crate::cli::topic::{LATEST, offsets};
use crate::client::{Session, SessionError};

/// The protocol type of groups of consumers, whose assignments can be read.
const CONSUMER_PROTOCOL: &str = "consumer";

/// Describes groups one after the other.
pub async fn run(options: &ClientOptions, groups: &[String]) -> Result<(), CliError> {
    let mut session = options.session();
    for group in groups {
        let coordinator = find_coordinator(&mut session, options, group).await?;
        let described = describe(&mut session, &coordinator, group).await?;
        let lag = lag(&mut session, options, &coordinator, group, &described.members).await?;
        let config = configured(&mut session, Resource::Group(group)).await?;
        let row = GroupRow { group, described, config, partitions: lag };
        if options.json { json::print(&row)? } else { print_text(&row)? }
    }
    Ok(())
}

#[derive(Serialize)]
struct GroupRow<'a> {
    group: &'a str,
    #[serde(flatten)]
    described: Described,
    config: Configured,
    partitions: Vec<PartitionRow>,
}

#[derive(Serialize)]
struct Described {
    state: String,
    #[serde(rename = "type")]
    kind: &'static str,
    /// The protocol of a classic group, the assignor of a consumer group.
    assignor: String,
    /// Only consumer groups have one.
    epoch: Option<i32>,
    /// Only Highwater tells, of what it has seen since the group's coordinator began.
    last_rebalance: Option<RebalanceRow>,
    members: Vec<MemberRow>,
}

#[derive(Serialize)]
struct RebalanceRow {
    began: String,
    reason: String,
}

impl From<LastRebalance> for RebalanceRow {
    fn from(LastRebalance { began_ms, reason }: LastRebalance) -> Self {
        Self { began: format_timestamp(began_ms), reason }
    }
}

#[derive(Serialize)]
struct MemberRow {
    member: String,
    instance: Option<String>,
    client: String,
    host: String,
    /// By topic; empty where the group's protocol is not that of consumers.
    assignment: BTreeMap<String, Vec<i32>>,
}

#[derive(Serialize)]
struct PartitionRow {
    topic: String,
    partition: i32,
    committed_offset: Option<i64>,
    end_offset: Option<i64>,
    lag: Option<i64>,
    member: Option<String>,
}

/// Asks in the new protocol (KIP-848), and in the old one where the broker or the group knows no other.
async fn describe(session: &mut Session, coordinator: &Target, group: &str) -> Result<Described, CliError> {
    let request = ConsumerGroupDescribeRequest { group_ids: vec![group.to_owned()], ..Default::default() };
    let described = match session.call(coordinator.clone(), request).await {
        Err(SessionError::Call(CallError::Unsupported(_))) => None,
        response => response?.groups.into_iter().next(),
    };
    match described {
        Some(row) if row.error_code == ErrorCode::GroupIdNotFound.code() => {}
        None => {}
        Some(row) => {
            if let Some(code) = error_of(row.error_code) {
                return Err(refused(&format!("describe group {group}"), code));
            }
            return Ok(Described {
                state: row.group_state,
                kind: "consumer",
                assignor: row.assignor_name,
                epoch: Some(row.group_epoch),
                last_rebalance: row.last_rebalance.map(RebalanceRow::from),
                members: row.members.into_iter().map(MemberRow::consumer).collect(),
            });
        }
    }
    describe_classic(session, coordinator, group).await
}

async fn describe_classic(session: &mut Session, coordinator: &Target, group: &str) -> Result<Described, CliError> {
    let request = DescribeGroupsRequest { groups: vec![group.to_owned()], ..Default::default() };
    let row = session.call(coordinator.clone(), request).await?.groups.into_iter().next();
    let row = row.ok_or_else(|| CliError::Failed(format!("the broker says nothing about group {group}")))?;
    let code = error_of(row.error_code);
    // Before version 6 a group that does not exist is one that is dead.
    if let Some(code) = code.or((row.group_state == "Dead").then_some(ErrorCode::GroupIdNotFound)) {
        return Err(refused(&format!("describe group {group}"), code));
    }
    let is_consumer = row.protocol_type == CONSUMER_PROTOCOL;
    Ok(Described {
        state: row.group_state,
        kind: "classic",
        assignor: row.protocol_data,
        epoch: None,
        last_rebalance: row.last_rebalance.map(RebalanceRow::from),
        members: row.members.into_iter().map(|member| MemberRow::classic(member, is_consumer)).collect(),
    })
}

impl MemberRow {
    fn consumer(member: Member) -> Self {
        let owned = member.assignment.topic_partitions.into_iter();
        Self {
            member: member.member_id,
            instance: member.instance_id,
            client: member.client_id,
            host: member.client_host,
            assignment: owned.map(|topic| (topic.topic_name, topic.partitions)).collect(),
        }
    }

    fn classic(member: DescribedGroupMember, is_consumer: bool) -> Self {
        let readable = is_consumer && !member.member_assignment.is_empty();
        let assignment =
            readable.then(|| ConsumerProtocolAssignment::from_bytes(&member.member_assignment).ok()).flatten();
        let owned = assignment.into_iter().flat_map(|assignment| assignment.assigned_partitions);
        Self {
            member: member.member_id,
            instance: member.group_instance_id,
            client: member.client_id,
            host: member.client_host,
            assignment: owned.map(|topic| (topic.topic, topic.partitions)).collect(),
        }
    }

    fn partition_count(&self) -> usize {
        self.assignment.values().map(Vec::len).sum()
    }
}

/// Every partition that the group has committed or somebody owns.
async fn lag(
    session: &mut Session,
    options: &ClientOptions,
    coordinator: &Target,
    group: &str,
    members: &[MemberRow],
) -> Result<Vec<PartitionRow>, CliError> {
    let committed = committed(session, options, coordinator, group).await?;
    let mut owners = BTreeMap::new();
    for member in members {
        for (topic, partitions) in &member.assignment {
            owners.extend(partitions.iter().map(|&index| ((topic.clone(), index), member.member.clone())));
        }
    }
    let keys: BTreeSet<_> = committed.keys().chain(owners.keys()).cloned().collect();
    let topics = keys.iter().map(|(topic, _)| topic.clone()).collect();
    let mut ends = BTreeMap::new();
    for (topic, (_, partitions)) in partitions_of(session, &topics).await? {
        let found = offsets(session, &topic, &partitions, LATEST).await?;
        ends.extend(found.into_iter().map(|(index, end)| ((topic.clone(), index), end)));
    }
    let row = |key: (String, i32)| {
        let (offset, end) = (committed.get(&key).copied(), ends.get(&key).copied());
        PartitionRow {
            committed_offset: offset,
            end_offset: end,
            lag: offset.zip(end).map(|(offset, end)| (end - offset).max(0)),
            member: owners.get(&key).cloned(),
            topic: key.0,
            partition: key.1,
        }
    };
    Ok(keys.into_iter().map(row).collect())
}

fn print_text(row: &GroupRow) -> Result<(), CliError> {
    let described = &row.described;
    let assignor = if described.assignor.is_empty() { String::new() } else { format!(", {}", described.assignor) };
    let epoch = described.epoch.map(|epoch| format!(", epoch {epoch}")).unwrap_or_default();
    let lag: i64 = row.partitions.iter().filter_map(|partition| partition.lag).sum();
    print_line(&format!(
        "Group {} ({}, {}{assignor}{epoch}, {}, lag {lag})",
        row.group,
        described.kind,
        described.state,
        counted(described.members.len(), "member")
    ))?;
    configs::print(&row.config)?;
    if let Some(RebalanceRow { began, reason }) = &described.last_rebalance {
        print_line(&format!("  last rebalance at {began}: {reason}"))?;
    }
    if !described.members.is_empty() {
        let mut table = Table::new(&["MEMBER", "CLIENT", "HOST", "PARTITIONS"]);
        for member in &described.members {
            let name = member.instance.as_ref().map(|instance| format!("{} ({instance})", member.member));
            table.row(vec![
                name.unwrap_or_else(|| member.member.clone()),
                member.client.clone(),
                member.host.clone(),
                member.partition_count().to_string(),
            ]);
        }
        table.print("  ")?;
    }
    if !row.partitions.is_empty() {
        let mut table = Table::new(&["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER"]);
        let number = |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
        for partition in &row.partitions {
            table.row(vec![
                partition.topic.clone(),
                partition.partition.to_string(),
                number(partition.committed_offset),
                number(partition.end_offset),
                number(partition.lag),
                partition.member.clone().unwrap_or("-".to_owned()),
            ]);
        }
        table.print("  ")?;
    }
    Ok(())
}
