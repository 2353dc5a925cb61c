//! Kafka's wire protocol: messages and record batches.
