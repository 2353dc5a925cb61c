//! The shell around `highwater-core`: sockets, files, threads, configuration and the command line.
//!
//! Nothing is decided here. A shard's thread takes inputs from the operating system, lets the core's machine handle
//! them, and carries the outbox out.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod acceptor;
pub mod args;
pub mod broker;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod connection;
pub mod data_dir;
pub mod disk;
pub mod events;
pub mod exit;
pub mod limits;
pub mod listeners;
pub mod logging;
pub mod serve;
pub mod shard;
pub mod socket;
pub mod status;
