//! The command line: which subcommand runs, with which flags.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::cli;
use crate::exit;
use crate::serve;
use crate::status::{self, StatusArgs};

/// A message broker that speaks Kafka's protocol.
#[derive(Debug, Parser)]
#[command(name = "highwater", version, after_help = exit::HELP, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// What to do; `serve` if nothing is named.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of `serve`, which may stand without its name.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a broker (what `highwater` without a subcommand does).
    Serve(ServeArgs),
    /// Tell whether a broker serves; exits 0 if it does, else 1.
    Status(StatusArgs),
    /// What clients and operators do.
    #[command(flatten)]
    Cli(cli::Command),
}

/// The flags of `serve`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ServeArgs {
    /// The data directory [default: ./highwater-data].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// An address to listen on, may be given several times [default: 127.0.0.1:9092].
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Vec<String>,
    /// A TOML file of configuration keys.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A configuration key, stronger than the environment and the file; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Runs the process from its command line to its exit code.
pub fn run() -> ExitCode {
    let args = Args::parse();
    let exit = match args.command {
        None => serve::run(&args.serve),
        Some(Command::Serve(serve_args)) => serve::run(&serve_args),
        Some(Command::Status(status_args)) => status::run(&status_args),
        Some(Command::Cli(command)) => cli::run(command),
    };
    exit.into()
}
