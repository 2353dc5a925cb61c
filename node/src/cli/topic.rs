//! `topic create|list|describe|alter|delete`.

use std::collections::BTreeMap;

use clap::Subcommand;
use highwater_core::client::Target;
use highwater_core::ids::BrokerId;
use highwater_wire::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use highwater_wire::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use highwater_wire::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use highwater_wire::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use highwater_wire::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponsePartition, MetadataResponseTopic,
};
use highwater_wire::{ErrorCode, Uuid};
use serde::Serialize;

use super::configs::{self, ChangedRow, Changes, Configured, Resource, configured};
use super::error::{CliError, error_of};
use super::json;
use super::options::{ClientOptions, parse_pair, usage};
use super::table::{Table, counted, list, print_line};
use crate::client::Session;

/// The timestamp that stands for the first offset that can be read.
pub const EARLIEST: i64 = -2;
/// The timestamp that stands for the offset after the last record that can be read.
pub const LATEST: i64 = -1;

/// Create, list, describe, change and delete topics.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a topic.
    Create {
        /// The topic's name: letters, digits, `.`, `_` and `-`.
        topic: String,
        /// How many partitions [default: the broker's num.partitions].
        #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// How many brokers hold each partition [default: the broker's default.replication.factor].
        #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
        replication_factor: Option<i16>,
        /// A topic configuration key, as in `retention.ms=86400000`; may be given several times.
        #[arg(long, short, value_name = "KEY=VALUE", value_parser = parse_pair)]
        config: Vec<(String, String)>,
        /// Succeed if the topic exists already, whatever it looks like.
        #[arg(long)]
        if_not_exists: bool,
        /// Check the request, but create nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        client: ClientOptions,
    },
    /// List topics.
    List {
        /// List the cluster's own topics too.
        #[arg(long)]
        internal: bool,
        #[command(flatten)]
        client: ClientOptions,
    },
    /// Show partitions, replicas, offsets and the configuration that was set.
    Describe {
        /// Which topics [default: all but internal ones].
        #[arg(value_name = "TOPIC")]
        topics: Vec<String>,
        #[command(flatten)]
        client: ClientOptions,
    },
    /// Add partitions; set or delete configuration.
    Alter {
        /// Which topic.
        topic: String,
        /// The new number of partitions; it can only grow. Keys that were written before stay where they are.
        #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        #[command(flatten)]
        changes: Changes,
        #[command(flatten)]
        client: ClientOptions,
    },
    /// Delete topics and all their records.
    Delete {
        /// Which topics.
        #[arg(required = true, value_name = "TOPIC")]
        topics: Vec<String>,
        /// Succeed if a topic does not exist.
        #[arg(long)]
        if_exists: bool,
        #[command(flatten)]
        client: ClientOptions,
    },
}

/// Runs a subcommand.
pub async fn run(command: Command) -> Result<(), CliError> {
    match command {
        Command::Create { topic, partitions, replication_factor, config, if_not_exists, dry_run, client } => {
            let creatable = CreatableTopic {
                name: topic,
                num_partitions: partitions.unwrap_or(-1),
                replication_factor: replication_factor.unwrap_or(-1),
                configs: config
                    .into_iter()
                    .map(|(name, value)| CreatableTopicConfig { name, value: Some(value) })
                    .collect(),
                ..Default::default()
            };
            create(&client, creatable, if_not_exists, dry_run).await
        }
        Command::List { internal, client } => list_topics(&client, internal).await,
        Command::Describe { topics, client } => describe(&client, topics).await,
        Command::Alter { topic, partitions, changes, client } => alter(&client, &topic, partitions, &changes).await,
        Command::Delete { topics, if_exists, client } => delete(&client, &topics, if_exists).await,
    }
}

/// The metadata of topics, or of all topics; creates none.
pub async fn metadata(
    session: &mut Session,
    names: Option<Vec<String>>,
) -> Result<Vec<MetadataResponseTopic>, CliError> {
    let topic = |name| MetadataRequestTopic { name: Some(name), ..Default::default() };
    let request = MetadataRequest {
        topics: names.map(|names| names.into_iter().map(topic).collect()),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    let mut topics = session.call(Target::Any, request).await?.topics;
    for topic in &mut topics {
        topic.partitions.sort_by_key(|partition| partition.partition_index);
        if let Some(code) = error_of(topic.error_code) {
            return Err(CliError::refused(&format!("find topic {}", topic.name.as_deref().unwrap_or("?")), code, None));
        }
    }
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(topics)
}

#[derive(Serialize)]
struct CreatedRow<'a> {
    topic: &'a str,
    id: Option<String>,
    created: bool,
    partitions: Option<i32>,
    replication_factor: Option<i16>,
}

async fn create(
    options: &ClientOptions,
    topic: CreatableTopic,
    if_not_exists: bool,
    dry_run: bool,
) -> Result<(), CliError> {
    let name = topic.name.clone();
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: options.timeout_ms(), validate_only: dry_run };
    let response = options.session().call(Target::Controller, request).await?;
    let result =
        response.topics.first().ok_or_else(|| CliError::Failed(format!("the broker says nothing about {name}")))?;
    let exists = match error_of(result.error_code) {
        None => false,
        Some(ErrorCode::TopicAlreadyExists) if if_not_exists => true,
        Some(code) => {
            return Err(CliError::refused(&format!("create topic {name}"), code, result.error_message.as_deref()));
        }
    };
    let partitions = (result.num_partitions > 0).then_some(result.num_partitions);
    if options.json {
        let replication_factor = (result.replication_factor > 0).then_some(result.replication_factor);
        let id = (result.topic_id != Uuid::ZERO).then(|| result.topic_id.to_string());
        json::print(&CreatedRow { topic: &name, id, created: !exists && !dry_run, partitions, replication_factor })?;
        return Ok(());
    }
    let with = partitions.map(|count| format!(" with {}", counted(count as usize, "partition"))).unwrap_or_default();
    print_line(&match (exists, dry_run) {
        (true, _) => format!("Topic {name} exists already"),
        (false, true) => format!("Topic {name} can be created{with}"),
        (false, false) => format!("Created topic {name}{with}"),
    })?;
    Ok(())
}

#[derive(Serialize)]
struct ListRow<'a> {
    topic: &'a str,
    id: String,
    partitions: usize,
    replication_factor: usize,
    internal: bool,
}

async fn list_topics(options: &ClientOptions, internal: bool) -> Result<(), CliError> {
    let topics = metadata(&mut options.session(), None).await?;
    let mut table = Table::new(&["TOPIC", "PARTITIONS", "REPLICATION", "ID"]);
    for topic in topics.iter().filter(|topic| internal || !topic.is_internal) {
        let row = ListRow {
            topic: topic.name.as_deref().unwrap_or_default(),
            id: topic.topic_id.to_string(),
            partitions: topic.partitions.len(),
            replication_factor: topic.partitions.first().map_or(0, |partition| partition.replica_nodes.len()),
            internal: topic.is_internal,
        };
        if options.json {
            json::print(&row)?;
        } else {
            table.row(vec![
                row.topic.to_owned(),
                row.partitions.to_string(),
                row.replication_factor.to_string(),
                row.id,
            ]);
        }
    }
    if !options.json {
        table.print("")?;
    }
    Ok(())
}

#[derive(Serialize)]
struct TopicRow {
    topic: String,
    id: String,
    internal: bool,
    config: Configured,
    partitions: Vec<PartitionRow>,
}

#[derive(Serialize)]
struct PartitionRow {
    partition: i32,
    leader: Option<i32>,
    leader_epoch: i32,
    replicas: Vec<i32>,
    isr: Vec<i32>,
    start_offset: Option<i64>,
    end_offset: Option<i64>,
}

async fn describe(options: &ClientOptions, names: Vec<String>) -> Result<(), CliError> {
    let mut session = options.session();
    let all = names.is_empty();
    let topics = metadata(&mut session, (!all).then_some(names)).await?;
    for topic in topics.into_iter().filter(|topic| !all || !topic.is_internal) {
        let name = topic.name.unwrap_or_default();
        let starts = offsets(&mut session, &name, &topic.partitions, EARLIEST).await?;
        let ends = offsets(&mut session, &name, &topic.partitions, LATEST).await?;
        let partition = |partition: &MetadataResponsePartition| PartitionRow {
            partition: partition.partition_index,
            leader: (partition.leader_id >= 0).then_some(partition.leader_id),
            leader_epoch: partition.leader_epoch,
            replicas: partition.replica_nodes.clone(),
            isr: partition.isr_nodes.clone(),
            start_offset: starts.get(&partition.partition_index).copied(),
            end_offset: ends.get(&partition.partition_index).copied(),
        };
        let row = TopicRow {
            id: topic.topic_id.to_string(),
            internal: topic.is_internal,
            config: configured(&mut session, Resource::Topic(&name)).await?,
            partitions: topic.partitions.iter().map(partition).collect(),
            topic: name,
        };
        if options.json { json::print(&row)? } else { print_topic(&row)? }
    }
    Ok(())
}

/// The offsets that a timestamp stands for, where the leaders say them.
pub async fn offsets(
    session: &mut Session,
    topic: &str,
    partitions: &[MetadataResponsePartition],
    timestamp: i64,
) -> Result<BTreeMap<i32, i64>, CliError> {
    let mut leaders: BTreeMap<i32, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for partition in partitions.iter().filter(|partition| partition.leader_id >= 0) {
        let asked =
            ListOffsetsPartition { partition_index: partition.partition_index, timestamp, ..Default::default() };
        leaders.entry(partition.leader_id).or_default().push(asked);
    }
    let mut found = BTreeMap::new();
    for (leader, partitions) in leaders {
        let topics = vec![ListOffsetsTopic { name: topic.to_owned(), partitions }];
        let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
        let response = session.call(Target::Broker(BrokerId(leader)), request).await?;
        let rows = response.topics.iter().flat_map(|topic| &topic.partitions);
        found.extend(rows.filter(|row| row.error_code == 0).map(|row| (row.partition_index, row.offset)));
    }
    Ok(found)
}

fn print_topic(row: &TopicRow) -> Result<(), CliError> {
    let internal = if row.internal { ", internal" } else { "" };
    print_line(&format!(
        "Topic {} ({}, id {}{internal})",
        row.topic,
        counted(row.partitions.len(), "partition"),
        row.id
    ))?;
    configs::print(&row.config)?;
    let mut table = Table::new(&["PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR", "START", "END"]);
    let number = |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
    for partition in &row.partitions {
        table.row(vec![
            partition.partition.to_string(),
            number(partition.leader.map(i64::from)),
            partition.leader_epoch.to_string(),
            list(&partition.replicas),
            list(&partition.isr),
            number(partition.start_offset),
            number(partition.end_offset),
        ]);
    }
    table.print("  ")?;
    Ok(())
}

#[derive(Serialize)]
struct AlteredRow<'a> {
    topic: &'a str,
    partitions: Option<i32>,
    #[serde(flatten)]
    changes: ChangedRow<'a>,
}

async fn alter(
    options: &ClientOptions,
    topic: &str,
    partitions: Option<i32>,
    changes: &Changes,
) -> Result<(), CliError> {
    if partitions.is_none() && changes.is_empty() {
        return Err(usage("nothing to change: give --partitions, --config or --delete-config"));
    }
    let mut session = options.session();
    // Configuration first: it can be wrong in more ways, and partitions cannot be taken away again.
    if !changes.is_empty() {
        changes.apply(&mut session, Resource::Topic(topic)).await?;
    }
    if let Some(count) = partitions {
        add_partitions(&mut session, options, topic, count).await?;
    }
    if options.json {
        json::print(&AlteredRow { topic, partitions, changes: changes.row() })?;
    } else {
        print_line(&format!("Changed topic {topic}"))?;
    }
    Ok(())
}

async fn add_partitions(
    session: &mut Session,
    options: &ClientOptions,
    topic: &str,
    count: i32,
) -> Result<(), CliError> {
    let topics = vec![CreatePartitionsTopic { name: topic.to_owned(), count, assignments: None }];
    let request = CreatePartitionsRequest { topics, timeout_ms: options.timeout_ms(), validate_only: false };
    let response = session.call(Target::Controller, request).await?;
    for result in &response.results {
        if let Some(code) = error_of(result.error_code) {
            return Err(CliError::refused(
                &format!("add partitions to topic {topic}"),
                code,
                result.error_message.as_deref(),
            ));
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct DeletedRow<'a> {
    topic: &'a str,
    deleted: bool,
}

async fn delete(options: &ClientOptions, names: &[String], if_exists: bool) -> Result<(), CliError> {
    let request = DeleteTopicsRequest {
        topics: names.iter().map(|name| DeleteTopicState { name: Some(name.clone()), topic_id: Uuid::ZERO }).collect(),
        topic_names: names.to_vec(),
        timeout_ms: options.timeout_ms(),
    };
    let response = options.session().call(Target::Controller, request).await?;
    let mut first_error = None;
    for result in &response.responses {
        let topic = result.name.as_deref().unwrap_or_default();
        let deleted = match error_of(result.error_code) {
            None => true,
            Some(ErrorCode::UnknownTopicOrPartition) if if_exists => false,
            Some(code) => {
                let error = CliError::refused(&format!("delete topic {topic}"), code, result.error_message.as_deref());
                first_error.get_or_insert(error);
                continue;
            }
        };
        if options.json {
            json::print(&DeletedRow { topic, deleted })?;
        } else {
            print_line(&if deleted {
                format!("Deleted topic {topic}")
            } else {
                format!("Topic {topic} does not exist")
            })?;
        }
    }
    first_error.map_or(Ok(()), Err)
}
