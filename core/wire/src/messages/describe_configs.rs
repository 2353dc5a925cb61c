//! Lists the configuration of topics and brokers.
//!
//! Sources: KIP-133, KIP-226 (synonyms), KIP-569 (types and documentation).

use crate::{Message, Part};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 1..=4, flexible = 4..)]
pub struct DescribeConfigsRequest {
    /// Whose configuration.
    pub resources: Vec<DescribeConfigsResource>,
    /// Whether to list where values may come from.
    pub include_synonyms: bool,
    /// Whether to say what keys mean.
    #[field(versions = 3..)]
    pub include_documentation: bool,
}

/// Whose configuration to describe.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct DescribeConfigsResource {
    /// The kind of resource: 2 a topic, 4 a broker, 8 the logger levels of a broker, 16 client metrics, 32 a group.
    pub resource_type: i8,
    /// Its name: of a topic, or the id of a broker, which is empty for all brokers.
    pub resource_name: String,
    /// The keys to list; null is all of them.
    pub configuration_keys: Option<Vec<String>>,
}

/// What [`DescribeConfigsRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 1..=4, flexible = 4..)]
pub struct DescribeConfigsResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The results, by resource.
    pub results: Vec<DescribeConfigsResult>,
}

/// The configuration of one resource.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct DescribeConfigsResult {
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(text)]
    pub error_message: Option<String>,
    /// The kind of resource: 2 a topic, 4 a broker, 8 the logger levels of a broker, 16 client metrics, 32 a group.
    pub resource_type: i8,
    /// Its name: of a topic, or the id of a broker, which is empty for all brokers.
    pub resource_name: String,
    /// The configuration.
    pub configs: Vec<DescribeConfigsResourceResult>,
}

/// One configuration key.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct DescribeConfigsResourceResult {
    /// The key.
    pub name: String,
    /// The value; null if it is sensitive or has none.
    pub value: Option<String>,
    /// Whether it cannot be changed.
    pub read_only: bool,
    /// Where the value comes from.
    #[field(default = -1)]
    pub config_source: i8,
    /// Whether the value is a secret.
    pub is_sensitive: bool,
    /// Where the value may come from, what takes precedence first.
    pub synonyms: Vec<DescribeConfigsSynonym>,
    /// The type of the value: 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password.
    #[field(versions = 3.., ignorable)]
    pub config_type: i8,
    /// What the key means.
    #[field(versions = 3.., ignorable)]
    pub documentation: Option<String>,
}

/// Another key that the value may come from.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct DescribeConfigsSynonym {
    /// The key.
    pub name: String,
    /// The value.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: i8,
}
