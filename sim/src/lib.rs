//! The seeded world in which Highwater is tested.
//!
//! One seed draws everything: the machines, the network, the workload, the faults and when they strike. The broker's
//! core runs in it as it runs in the real node; disks, clocks, connections and processes are simulated. Clients send
//! real bytes, and an oracle compares every acknowledged record.
//!
//! Invariants:
//! * A run is a function of its seed: the same seed gives the same trace hash.
//! * What may be lost is decided by the disk's model alone; the oracle forgives nothing else.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod boot;
mod broker;
mod client;
mod clock;
pub mod disk;
mod faults;
mod network;
pub mod options;
mod oracle;
mod queue;
mod records;
pub mod report;
pub mod rng;
pub mod runner;
pub mod trace;
mod world;
