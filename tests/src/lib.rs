//! Scenarios, real clients and real processes.
//!
//! Here: a broker as a process ([`broker`]) and the smallest client that can talk to it ([`client`]). What is tested
//! with them lies in `tests/`, what needs other languages' clients in the directories beside it.

#![allow(clippy::unwrap_used)]

pub mod broker;
pub mod client;
