//! The cluster's metadata: brokers, topics, partitions, configuration, producer ids.
//!
//! [`Controller`] is a decide/apply machine over the metadata log; what it has applied is an [`Image`], whose committed
//! version every shard of every broker holds. [`ControllerShard`] drives it on one broker: it owns the log, sends each
//! committed image to the broker's other shards, and answers a request once all of them have taken it over, so that a
//! client that is told of a new topic can produce to it at once.
//!
//! Deliberately absent for now: a quorum. The log has one replica, so what is synced is committed.

mod adoption;
mod alter;
mod draft;
mod error;
mod identity;
pub mod image;
mod machine;
mod partitions;
mod placement;
#[cfg(test)]
mod random_tests;
pub mod record;
mod registration;
mod shard;
#[cfg(test)]
mod shard_tests;
#[cfg(test)]
mod tests;
mod topics;

use highwater_wire::{
    AlterConfigsRequest, AlterConfigsResponse, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest,
    CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse, ErrorCode, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

pub use error::ApiError;
pub use image::{Broker, Image, OFFSETS_TOPIC, Partition, Topic, is_internal};
pub use machine::{Controller, Request};
pub use record::Endpoint;
pub use registration::{METADATA_FEATURE, Registration};
pub use shard::{ControllerShard, LOG as METADATA_LOG, PARTITION as METADATA_PARTITION};
pub use topics::check_topic_name;

use crate::ids::{BrokerId, ProducerId};

/// What the controller can be asked, by the gateways of this broker and later by other brokers.
#[derive(Clone, Debug, PartialEq)]
pub enum ControllerRequest {
    /// A client's request; also how a topic is created on first use.
    CreateTopics(CreateTopicsRequest),
    /// A client's request.
    DeleteTopics(DeleteTopicsRequest),
    /// A client's request.
    CreatePartitions(CreatePartitionsRequest),
    /// A client's request.
    AlterConfigs(AlterConfigsRequest),
    /// A client's request.
    IncrementalAlterConfigs(IncrementalAlterConfigsRequest),
    /// A broker has no producer ids left.
    AllocateProducerIds {
        /// Which broker.
        broker: BrokerId,
    },
}

/// The controller's answer, of the same kind as the request.
#[derive(Clone, Debug, PartialEq)]
pub enum ControllerResponse {
    /// To a request of the same name.
    CreateTopics(CreateTopicsResponse),
    /// To a request of the same name.
    DeleteTopics(DeleteTopicsResponse),
    /// To a request of the same name.
    CreatePartitions(CreatePartitionsResponse),
    /// To a request of the same name.
    AlterConfigs(AlterConfigsResponse),
    /// To a request of the same name.
    IncrementalAlterConfigs(IncrementalAlterConfigsResponse),
    /// To a request of the same name.
    AllocateProducerIds(Result<ProducerIdBlock, ErrorCode>),
}

/// Producer ids that one broker may hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// The first.
    pub first: ProducerId,
    /// How many.
    pub len: i64,
}
