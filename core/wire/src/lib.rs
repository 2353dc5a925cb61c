//! Kafka's wire protocol: messages and record batches.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod records;
