//! Every decision of a Highwater broker, as state machines without input or output.
//!
//! A *driver* owns the sockets, files, clocks and threads. It reads both clocks, passes one [`Input`] at a time to a
//! shard's `handle`, and delivers the [`Outbox`] once after a batch of inputs. The Tokio node and the seeded simulator
//! are both drivers; nothing in here can tell which one it runs under.
//!
//! Architecture invariants:
//! * No clock, thread, socket, file, global or entropy: everything arrives as an input, through [`Disk`] or as a seed.
//! * Sorted containers only, so that a run is a function of its seed.
//! * Every queue, buffer, loop and retry has a named maximum in [`limits`].
//! * A broken invariant panics; a fault of the world is a value.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod client;
pub mod config;
pub mod controller;
pub mod disk;
pub mod event;
pub mod gateway;
pub mod group;
pub mod ids;
pub mod limits;
pub mod log;
pub mod message;
pub mod outbox;
pub mod partition;
pub mod planted;
pub mod replicated;
pub mod shard;
pub mod time;

pub use disk::Disk;
pub use outbox::{Input, Outbox};
pub use time::Now;
