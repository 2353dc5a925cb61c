//! `cluster describe`.

use clap::Subcommand;
use highwater_core::client::Target;
use highwater_wire::describe_cluster::{DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse};
use serde::Serialize;

use super::error::{CliError, error_of};
use super::json;
use super::options::ClientOptions;
use super::table::{Table, print_line};

/// Look at the brokers.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the cluster's id, its controller and its brokers.
    Describe {
        #[command(flatten)]
        client: ClientOptions,
    },
}

/// Runs a subcommand.
pub async fn run(command: Command) -> Result<(), CliError> {
    match command {
        Command::Describe { client } => describe(&client).await,
    }
}

#[derive(Serialize)]
struct ClusterRow<'a> {
    cluster_id: &'a str,
    controller: Option<i32>,
    brokers: Vec<BrokerRow<'a>>,
}

#[derive(Serialize)]
struct BrokerRow<'a> {
    id: i32,
    host: &'a str,
    port: i32,
    rack: Option<&'a str>,
    fenced: bool,
}

impl<'a> BrokerRow<'a> {
    fn of(broker: &'a DescribeClusterBroker) -> Self {
        let DescribeClusterBroker { broker_id, host, port, rack, is_fenced } = broker;
        Self { id: *broker_id, host, port: *port, rack: rack.as_deref(), fenced: *is_fenced }
    }
}

async fn describe(options: &ClientOptions) -> Result<(), CliError> {
    let response = options.session().call(Target::Any, DescribeClusterRequest::default()).await?;
    if let Some(code) = error_of(response.error_code) {
        return Err(CliError::refused("describe the cluster", code, response.error_message.as_deref()));
    }
    if options.json { print_json(&response) } else { print_text(&response) }
}

fn print_json(response: &DescribeClusterResponse) -> Result<(), CliError> {
    json::print(&ClusterRow {
        cluster_id: &response.cluster_id,
        controller: (response.controller_id >= 0).then_some(response.controller_id),
        brokers: response.brokers.iter().map(BrokerRow::of).collect(),
    })?;
    Ok(())
}

fn print_text(response: &DescribeClusterResponse) -> Result<(), CliError> {
    print_line(&format!("Cluster {}", response.cluster_id))?;
    let mut table = Table::new(&["BROKER", "ADDRESS", "RACK", "ROLE"]);
    for broker in &response.brokers {
        let role = match (broker.broker_id == response.controller_id, broker.is_fenced) {
            (_, true) => "fenced",
            (true, false) => "controller",
            (false, false) => "",
        };
        let address = format!("{}:{}", broker.host, broker.port);
        table.row(vec![
            broker.broker_id.to_string(),
            address,
            broker.rack.clone().unwrap_or_default(),
            role.to_owned(),
        ]);
    }
    table.print("")?;
    Ok(())
}
