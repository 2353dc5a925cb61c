//! Describes brokers, topics and partitions; creates topics on first use.
//!
//! Sources: KIP-4, KIP-430 (authorized operations), KIP-516 (topic ids).

use crate::{Message, Part, Uuid};

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=13, flexible = 9..)]
pub struct MetadataRequest {
    /// The topics to describe; null is all of them. In version 0 an empty array is all of them.
    #[field(nullable = 1..)]
    pub topics: Option<Vec<MetadataRequestTopic>>,
    /// Whether topics that do not exist may be created, if the broker does that.
    #[field(versions = 4.., default = true)]
    pub allow_auto_topic_creation: bool,
    /// Whether to list what the client may do to the cluster.
    #[field(versions = 8..=10)]
    pub include_cluster_authorized_operations: bool,
    /// Whether to list what the client may do to each topic.
    #[field(versions = 8..)]
    pub include_topic_authorized_operations: bool,
}

/// A topic to describe.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct MetadataRequestTopic {
    /// The topic's id.
    #[field(versions = 10.., ignorable)]
    pub topic_id: Uuid,
    /// The topic's name; null if its id is given.
    #[field(nullable = 10..)]
    pub name: Option<String>,
}

/// What [`MetadataRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=13, flexible = 9..)]
pub struct MetadataResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    #[field(versions = 3.., ignorable)]
    pub throttle_time_ms: i32,
    /// The brokers.
    pub brokers: Vec<MetadataResponseBroker>,
    /// The cluster's id, null if unknown.
    #[field(versions = 2.., ignorable)]
    pub cluster_id: Option<String>,
    /// The broker to send administrative requests to, -1 if there is none.
    #[field(versions = 1.., default = -1, ignorable)]
    pub controller_id: i32,
    /// The topics.
    pub topics: Vec<MetadataResponseTopic>,
    /// What the client may do to the cluster, as bits; the minimum if it was not asked for.
    #[field(versions = 8..=10, default = i32::MIN)]
    pub cluster_authorized_operations: i32,
    /// What went wrong, 0 if nothing did.
    #[field(versions = 13.., ignorable)]
    pub error_code: i16,
}

/// A broker that is alive.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct MetadataResponseBroker {
    /// The broker's id.
    pub node_id: i32,
    /// The host that clients connect to.
    pub host: String,
    /// The port that clients connect to.
    pub port: i32,
    /// The broker's rack, null if it has none.
    #[field(versions = 1.., ignorable)]
    pub rack: Option<String>,
}

/// A topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct MetadataResponseTopic {
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// The topic's name; null if an id was given that is unknown.
    #[field(nullable = 12..)]
    pub name: Option<String>,
    /// The topic's id.
    #[field(versions = 10.., ignorable)]
    pub topic_id: Uuid,
    /// Whether the broker keeps its own state in it.
    #[field(versions = 1.., ignorable)]
    pub is_internal: bool,
    /// Its partitions.
    pub partitions: Vec<MetadataResponsePartition>,
    /// What the client may do to the topic, as bits; the minimum if it was not asked for.
    #[field(versions = 8.., default = i32::MIN)]
    pub topic_authorized_operations: i32,
}

/// A partition.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct MetadataResponsePartition {
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// The partition's index.
    pub partition_index: i32,
    /// The leader's broker id, -1 if there is none.
    pub leader_id: i32,
    /// The leader epoch, -1 if unknown.
    #[field(versions = 7.., default = -1, ignorable)]
    pub leader_epoch: i32,
    /// The brokers that have a replica, the preferred leader first.
    pub replica_nodes: Vec<i32>,
    /// The brokers in the ISR.
    pub isr_nodes: Vec<i32>,
    /// The replicas that are not available.
    #[field(versions = 5.., ignorable)]
    pub offline_replicas: Vec<i32>,
}
