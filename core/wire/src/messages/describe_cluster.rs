//! Describes the cluster and its brokers, without topics.
//!
//! Sources: KIP-700, KIP-919 (controllers as endpoints), KIP-1073 (fenced brokers).

use crate::{Message, Part};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=2, flexible = 0..)]
pub struct DescribeClusterRequest {
    /// Whether to list what the client may do to the cluster.
    pub include_cluster_authorized_operations: bool,
    /// Which endpoints are meant: 1 brokers, 2 controllers.
    #[field(versions = 1.., default = 1)]
    pub endpoint_type: i8,
    /// Whether to list brokers that are fenced.
    #[field(versions = 2..)]
    pub include_fenced_brokers: bool,
}

/// What [`DescribeClusterRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=2, flexible = 0..)]
pub struct DescribeClusterResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(text)]
    pub error_message: Option<String>,
    /// Which endpoints are meant: 1 brokers, 2 controllers.
    #[field(versions = 1.., default = 1)]
    pub endpoint_type: i8,
    /// The cluster's id.
    pub cluster_id: String,
    /// The broker to send administrative requests to, -1 if there is none.
    #[field(default = -1)]
    pub controller_id: i32,
    /// The brokers.
    pub brokers: Vec<DescribeClusterBroker>,
    /// What the client may do to the cluster, as bits; the minimum if it was not asked for.
    #[field(default = i32::MIN)]
    pub cluster_authorized_operations: i32,
}

/// A broker.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct DescribeClusterBroker {
    /// The broker's id.
    pub broker_id: i32,
    /// The host that clients connect to.
    pub host: String,
    /// The port that clients connect to.
    pub port: i32,
    /// The broker's rack, null if it has none.
    pub rack: Option<String>,
    /// Whether the controller has fenced it.
    #[field(versions = 2..)]
    pub is_fenced: bool,
}
