//! Says which APIs, versions and features a broker serves.
//!
//! Sources: KIP-35, KIP-511 (the client's software), KIP-584 (features).

use crate::{Message, Part};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=4, flexible = 3..)]
pub struct ApiVersionsRequest {
    /// What the client library calls itself.
    #[field(versions = 3.., ignorable)]
    pub client_software_name: String,
    /// Its version.
    #[field(versions = 3.., ignorable)]
    pub client_software_version: String,
}

/// What [`ApiVersionsRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=4, flexible = 3..)]
pub struct ApiVersionsResponse {
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// The APIs that are served.
    pub api_keys: Vec<ApiVersion>,
    /// How long the client should pause because of a quota, in milliseconds.
    #[field(versions = 1.., ignorable)]
    pub throttle_time_ms: i32,
    /// The features that this broker knows.
    #[field(versions = 3.., tag = 0, ignorable)]
    pub supported_features: Vec<SupportedFeatureKey>,
    /// The version of the finalized features, -1 if unknown.
    #[field(versions = 3.., tag = 1, default = -1, ignorable)]
    pub finalized_features_epoch: i64,
    /// The features of the cluster.
    #[field(versions = 3.., tag = 2, ignorable)]
    pub finalized_features: Vec<FinalizedFeatureKey>,
    /// A relic of the move away from ZooKeeper.
    #[field(versions = 3.., tag = 3, ignorable)]
    pub zk_migration_ready: bool,
}

/// The versions that are served of one API.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct ApiVersion {
    /// The API's key.
    pub api_key: i16,
    /// The first version.
    pub min_version: i16,
    /// The last version.
    pub max_version: i16,
}

/// The levels of a feature that this broker can run at.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct SupportedFeatureKey {
    /// The feature's name.
    pub name: String,
    /// The lowest level.
    pub min_version: i16,
    /// The highest level.
    pub max_version: i16,
}

/// The level of a feature that the cluster runs at.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct FinalizedFeatureKey {
    /// The feature's name.
    pub name: String,
    /// The highest level in use.
    pub max_version_level: i16,
    /// The lowest level in use.
    pub min_version_level: i16,
}
