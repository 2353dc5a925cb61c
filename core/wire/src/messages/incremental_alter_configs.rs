//! Changes single configuration keys.
//!
//! Sources: KIP-339.

use crate::{Message, Part};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=1, flexible = 1..)]
pub struct IncrementalAlterConfigsRequest {
    /// Whose configuration.
    pub resources: Vec<AlterConfigsResource>,
    /// Whether to check only, without doing it.
    pub validate_only: bool,
}

/// Whose configuration to change.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct AlterConfigsResource {
    /// The kind of resource: 2 a topic, 4 a broker, 8 the logger levels of a broker, 16 client metrics, 32 a group.
    pub resource_type: i8,
    /// Its name: of a topic, or the id of a broker, which is empty for all brokers.
    pub resource_name: String,
    /// The changes.
    pub configs: Vec<AlterableConfig>,
}

/// A change of one configuration key.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct AlterableConfig {
    /// The key.
    pub name: String,
    /// What to do: 0 set, 1 delete, 2 append to a list, 3 subtract from a list.
    pub config_operation: i8,
    /// The value to set, append or subtract.
    pub value: Option<String>,
}

/// What [`IncrementalAlterConfigsRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=1, flexible = 1..)]
pub struct IncrementalAlterConfigsResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The results, by resource.
    pub responses: Vec<AlterConfigsResourceResponse>,
}

/// What became of one resource.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct AlterConfigsResourceResponse {
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(text)]
    pub error_message: Option<String>,
    /// The kind of resource: 2 a topic, 4 a broker, 8 the logger levels of a broker, 16 client metrics, 32 a group.
    pub resource_type: i8,
    /// Its name: of a topic, or the id of a broker, which is empty for all brokers.
    pub resource_name: String,
}
