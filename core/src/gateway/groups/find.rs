//! FindCoordinator: who coordinates a group. The topic that coordinators need is made on first use.
//!
//! Sources: KIP-98, KIP-699 (several keys at once). Deliberately absent: coordinators of transactions and share groups.

use highwater_wire::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use highwater_wire::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use highwater_wire::{AnyResponse, ErrorCode};

use super::partition_of;
use crate::config::BrokerConfig;
use crate::controller::{ControllerRequest, ControllerResponse, Image, OFFSETS_TOPIC};
use crate::gateway::call::{Context, Outcome};

/// The `key_type` of groups.
const GROUPS: i8 = 0;
/// The `key_type` of transactional ids.
const TRANSACTIONS: i8 = 1;

/// The first version that asks for several keys.
const SEVERAL_KEYS_VERSION: i16 = 4;

/// A request that waits for the topic to be made.
pub(in crate::gateway) struct FindCoordinatorCall {
    request: FindCoordinatorRequest,
    is_made: bool,
}

impl FindCoordinatorCall {
    /// Asks the controller for the topic, if there is none yet.
    ///
    /// # Errors
    /// The answer, if there is nothing to wait for.
    pub(in crate::gateway) fn begin(
        context: &mut Context<'_>,
        request: FindCoordinatorRequest,
    ) -> Result<Self, Outcome> {
        if request.key_type != GROUPS || context.image.topic(OFFSETS_TOPIC).is_some() {
            return Err(respond(context, &request).into());
        }
        let topics = vec![offsets_topic(context.config, context.image)];
        context.ask_controller(ControllerRequest::CreateTopics(CreateTopicsRequest { topics, ..Default::default() }));
        Ok(Self { request, is_made: false })
    }

    /// Takes note that the controller has made the topic, or has said why not: then clients try again.
    pub(in crate::gateway) fn handle_controller(&mut self, response: &ControllerResponse) {
        assert!(matches!(response, ControllerResponse::CreateTopics(_)), "a topic was to be made: {response:?}");
        self.is_made = true;
    }

    /// Whether the controller has answered.
    pub(in crate::gateway) fn is_complete(&self) -> bool {
        self.is_made
    }

    /// The answer to a complete request.
    pub(in crate::gateway) fn end(&self, context: &Context<'_>) -> AnyResponse {
        respond(context, &self.request)
    }
}

/// `__consumer_offsets`, as it is made on first use.
pub(in crate::gateway) fn offsets_topic(config: &BrokerConfig, image: &Image) -> CreatableTopic {
    let brokers = i16::try_from(image.brokers().count()).unwrap_or(i16::MAX).max(1);
    let segment_bytes = config.offsets_topic_segment_bytes.to_string();
    let configs =
        [("cleanup.policy", "compact"), ("compression.type", "producer"), ("segment.bytes", segment_bytes.as_str())];
    CreatableTopic {
        name: OFFSETS_TOPIC.to_owned(),
        num_partitions: config.offsets_topic_num_partitions,
        replication_factor: config.offsets_topic_replication_factor.min(brokers),
        configs: configs
            .map(|(name, value)| CreatableTopicConfig { name: name.to_owned(), value: Some(value.to_owned()) })
            .into(),
        ..Default::default()
    }
}

fn respond(context: &Context<'_>, request: &FindCoordinatorRequest) -> AnyResponse {
    if context.version >= SEVERAL_KEYS_VERSION {
        let coordinators = request.coordinator_keys.iter().map(|key| find(context, request.key_type, key)).collect();
        return FindCoordinatorResponse { coordinators, ..Default::default() }.into();
    }
    let found = find(context, request.key_type, &request.key);
    // Kafka names the error also where there is none.
    let error_message = found.error_message.or_else(|| Some("NONE".to_owned()));
    let Coordinator { node_id, host, port, error_code, .. } = found;
    FindCoordinatorResponse { error_code, error_message, node_id, host, port, ..Default::default() }.into()
}

fn find(context: &Context<'_>, key_type: i8, key: &str) -> Coordinator {
    let refuse = |code: ErrorCode| Coordinator {
        key: key.to_owned(),
        node_id: -1,
        port: -1,
        error_code: code.code(),
        error_message: Some(code.to_string()),
        ..Default::default()
    };
    match key_type {
        GROUPS => {}
        TRANSACTIONS => return refuse(ErrorCode::CoordinatorNotAvailable),
        _ => return refuse(ErrorCode::InvalidRequest),
    }
    let leader = partition_of(context.image, key).and_then(|id| context.image.partition(id)?.leader);
    let broker = leader.and_then(|leader| context.image.broker(leader));
    let Some((broker, endpoint)) = broker.and_then(|broker| Some((broker, broker.endpoint(context.listener_name())?)))
    else {
        return refuse(ErrorCode::CoordinatorNotAvailable);
    };
    Coordinator {
        key: key.to_owned(),
        node_id: broker.id.0,
        host: endpoint.host.clone(),
        port: i32::try_from(endpoint.port).unwrap_or(-1),
        ..Default::default()
    }
}
