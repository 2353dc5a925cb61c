//! What is answered from the metadata image, and what the controller must decide first.

use std::collections::BTreeMap;

use highwater_wire::create_topics::{CreatableTopic, CreateTopicsRequest};
use highwater_wire::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic};
use highwater_wire::{AnyResponse, ErrorCode, Uuid};

use super::call::{Context, Outcome};
use super::work::Work;
use super::{describe, groups};
use crate::controller::{ControllerRequest, ControllerResponse, OFFSETS_TOPIC};

/// A Metadata request, which may create the topics that it names.
pub(super) struct MetadataCall {
    request: MetadataRequest,
    /// Why topics could not be created, once that is known.
    refused: Option<BTreeMap<String, ErrorCode>>,
}

/// The first version whose response may leave out a topic's name. Requests have topic ids from version 10 on, but what
/// asks for an id that is unknown could not be answered before.
const TOPIC_ID_VERSION: i16 = 12;

impl MetadataCall {
    /// Asks the controller for the topics that are named, are missing, and may be created on first use.
    ///
    /// # Errors
    /// The answer to a request that uses topic ids too early.
    pub(super) fn begin(context: &mut Context<'_>, request: MetadataRequest) -> Result<Self, Outcome> {
        let named = |topic: &MetadataRequestTopic| topic.name.is_some() && topic.topic_id == Uuid::ZERO;
        if context.version < TOPIC_ID_VERSION && !request.topics.iter().flatten().all(named) {
            return Err(refuse_all(request).into());
        }
        let missing = if request.allow_auto_topic_creation && context.config.auto_create_topics_enable {
            missing_topics(context, &request)
        } else {
            Vec::new()
        };
        let refused = missing.is_empty().then(BTreeMap::new);
        if !missing.is_empty() {
            let topics = missing.into_iter().map(|name| new_topic(context, name));
            let create = CreateTopicsRequest { topics: topics.collect(), ..Default::default() };
            context.ask_controller(ControllerRequest::CreateTopics(create));
        }
        Ok(Self { request, refused })
    }

    /// Takes the controller's word on the topics that were missing.
    pub(super) fn handle_controller(&mut self, response: ControllerResponse) {
        let ControllerResponse::CreateTopics(response) = response else {
            unreachable!("topics were to be created: {response:?}")
        };
        let refused = response.topics.into_iter().filter_map(|topic| {
            // Another client may have been first: the topic is there, which is all that was wanted.
            let code = ErrorCode::try_from(topic.error_code).ok()?;
            (!matches!(code, ErrorCode::None | ErrorCode::TopicAlreadyExists)).then_some((topic.name, code))
        });
        self.refused = Some(refused.collect());
    }

    /// Whether nothing is waited for.
    pub(super) fn is_complete(&self) -> bool {
        self.refused.is_some()
    }

    /// The answer to a complete request.
    pub(super) fn end(self, context: &Context<'_>) -> MetadataResponse {
        let mut response = describe::metadata(context, &self.request);
        let refused = self.refused.expect("only complete requests end");
        for topic in &mut response.topics {
            let code = topic.name.as_ref().and_then(|name| refused.get(name));
            if let Some(code) = code.filter(|_| topic.error_code == ErrorCode::UnknownTopicOrPartition.code()) {
                topic.error_code = code.code();
            }
        }
        response
    }
}

fn refuse_all(request: MetadataRequest) -> MetadataResponse {
    let refuse = |topic: MetadataRequestTopic| MetadataResponseTopic {
        error_code: ErrorCode::InvalidRequest.code(),
        name: Some(topic.name.unwrap_or_default()),
        topic_id: topic.topic_id,
        ..Default::default()
    };
    let topics = request.topics.into_iter().flatten().map(refuse).collect();
    MetadataResponse { topics, ..Default::default() }
}

/// A topic as it is made on first use.
fn new_topic(context: &Context<'_>, name: String) -> CreatableTopic {
    if name == OFFSETS_TOPIC {
        return groups::offsets_topic(context.config, context.image);
    }
    CreatableTopic { name, num_partitions: -1, replication_factor: -1, ..Default::default() }
}

fn missing_topics(context: &Context<'_>, request: &MetadataRequest) -> Vec<String> {
    let mut missing: Vec<String> = request.topics.iter().flatten().filter_map(|topic| topic.name.clone()).collect();
    missing.retain(|name| context.image.topic(name).is_none());
    missing.sort();
    missing.dedup();
    missing
}

/// A request that the controller decides, answer and all.
pub(super) struct ControllerCall(Option<AnyResponse>);

impl ControllerCall {
    /// Passes the request on.
    pub(super) fn begin(context: &mut Context<'_>, request: ControllerRequest) -> Work {
        context.ask_controller(request);
        Work::Controller(Self(None))
    }

    /// Takes the answer.
    pub(super) fn handle_controller(&mut self, response: ControllerResponse) {
        self.0 = Some(match response {
            ControllerResponse::CreateTopics(response) => response.into(),
            ControllerResponse::DeleteTopics(response) => response.into(),
            ControllerResponse::CreatePartitions(response) => response.into(),
            ControllerResponse::AlterConfigs(response) => response.into(),
            ControllerResponse::IncrementalAlterConfigs(response) => response.into(),
            ControllerResponse::AllocateProducerIds(block) => unreachable!("no block was asked for: {block:?}"),
        });
    }

    /// Whether the controller has answered.
    pub(super) fn is_complete(&self) -> bool {
        self.0.is_some()
    }

    /// The answer to a complete request.
    pub(super) fn end(self) -> AnyResponse {
        self.0.expect("only complete requests end")
    }
}
