//! The subcommands that talk to a broker or look into its files.

use clap::Subcommand;

use crate::exit::Exit;

/// What clients and operators do.
#[derive(Debug, Subcommand)]
pub enum Command {}

/// Runs one subcommand to its exit code.
pub fn run(command: Command) -> Exit {
    match command {}
}
