//! Derives the encoding and decoding of Kafka messages from field attributes.
