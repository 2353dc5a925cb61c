//! The seeded world in which Highwater is tested.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod disk;
pub mod rng;
pub mod trace;
