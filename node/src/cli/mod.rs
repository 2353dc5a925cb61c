//! The subcommands that talk to a broker or look into its files.
//!
//! Results go to standard output, as text for people or with `--json` as one object a line; everything else goes to
//! standard error. What a command has written when it fails is true.

mod cluster;
mod configs;
mod consume;
mod error;
mod format;
mod group;
mod json;
mod log;
mod options;
mod produce;
mod progress;
mod table;
mod timestamp;
mod topic;

use std::future::Future;

use clap::Subcommand;

use self::error::CliError;
use crate::exit::Exit;

/// What clients and operators do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create, list, describe, change and delete topics.
    #[command(subcommand)]
    Topic(topic::Command),
    /// Write records: one for each line of standard input or of files.
    Produce(produce::Args),
    /// Read records and print them.
    Consume(consume::Args),
    /// Look at consumer groups, configure, move and delete them.
    #[command(subcommand)]
    Group(group::Command),
    /// Look at the brokers.
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Look into a data directory or a segment file, without a broker.
    #[command(subcommand)]
    Log(log::Command),
}

/// Runs one subcommand to its exit code.
pub fn run(command: Command) -> Exit {
    let result = match command {
        Command::Topic(command) => wait_for(topic::run(command)),
        Command::Produce(args) => wait_for(produce::run(args)),
        Command::Consume(args) => wait_for(consume::run(args)),
        Command::Group(command) => wait_for(group::run(command)),
        Command::Cluster(command) => wait_for(cluster::run(command)),
        Command::Log(command) => log::run(&command),
    };
    match result {
        Ok(()) => Exit::Ok,
        // Whoever reads our output has seen enough.
        Err(CliError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(error) => {
            eprintln!("highwater: {error}");
            error.exit()
        }
    }
}

fn wait_for(work: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::Failed(format!("cannot start: {error}")))?;
    let result = runtime.block_on(work);
    // A thread may still wait for standard input; there is no reason to wait for it.
    runtime.shutdown_background();
    result
}
