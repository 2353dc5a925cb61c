//! The controller's decisions, as a machine over its log.

use std::sync::Arc;

use highwater_wire::ErrorCode;

use super::draft::Draft;
use super::{ControllerRequest, ControllerResponse, Image, alter, error::ApiError, partitions, registration, topics};
use crate::Now;
use crate::config::BrokerConfig;
use crate::ids::Offset;
use crate::replicated::{Decision, Origin, Refusal, StateMachine};

pub use super::registration::Registration;

/// Decides about the cluster's metadata. Its state is the newest appended [`Image`].
#[derive(Clone, Debug)]
pub struct Controller {
    image: Arc<Image>,
}

/// What the controller decides about.
#[derive(Clone, Debug)]
pub enum Request {
    /// An empty directory starts a new cluster.
    Found {
        /// Its id.
        cluster_id: String,
    },
    /// A broker has started.
    Register(Registration),
    /// Somebody asks.
    Ask {
        /// Who.
        origin: Origin,
        /// Random bits for what the decision must draw: deciding has none of its own.
        entropy: u128,
        /// What.
        request: ControllerRequest,
    },
}

impl Controller {
    /// A controller that knows nothing yet, on a broker with this configuration.
    pub fn new(config: Arc<BrokerConfig>) -> Self {
        Self { image: Arc::new(Image::new(config)) }
    }

    /// Everything that has been appended.
    pub fn image(&self) -> &Arc<Image> {
        &self.image
    }
}

impl StateMachine for Controller {
    type Request = Request;
    type Response = ControllerResponse;
    type Record = super::record::Record;
    type Soft = std::convert::Infallible;
    type View = Arc<Image>;

    fn decide(&self, _: Now, request: &Request) -> Decision<Self> {
        let mut draft = Draft::new(&self.image);
        let replies = match request {
            Request::Found { cluster_id } => {
                registration::decide_founding(&mut draft, cluster_id);
                Vec::new()
            }
            Request::Register(registration) => {
                registration::decide_registration(&mut draft, registration);
                Vec::new()
            }
            Request::Ask { origin, entropy, request } => vec![(*origin, decide_request(&mut draft, request, *entropy))],
        };
        Decision { records: draft.into_records(), replies, soft: Vec::new() }
    }

    fn refuse(&self, request: &Request, refusal: Refusal) -> Vec<(Origin, ControllerResponse)> {
        match request {
            Request::Ask { origin, request, .. } => vec![(*origin, refuse_request(request, &refusal.into()))],
            Request::Found { .. } | Request::Register(_) => Vec::new(),
        }
    }

    fn apply(&mut self, offset: Offset, record: &Self::Record) {
        Arc::make_mut(&mut self.image).apply(offset, record);
    }

    fn absorb(&mut self, soft: Self::Soft) {
        match soft {}
    }

    fn view(&self) -> Arc<Image> {
        Arc::clone(&self.image)
    }
}

fn decide_request(draft: &mut Draft, request: &ControllerRequest, entropy: u128) -> ControllerResponse {
    match request {
        ControllerRequest::CreateTopics(request) => {
            ControllerResponse::CreateTopics(topics::decide_create(draft, request, entropy))
        }
        ControllerRequest::DeleteTopics(request) => {
            ControllerResponse::DeleteTopics(topics::decide_delete(draft, request))
        }
        ControllerRequest::CreatePartitions(request) => {
            ControllerResponse::CreatePartitions(partitions::decide_create(draft, request, entropy))
        }
        ControllerRequest::AlterConfigs(request) => {
            ControllerResponse::AlterConfigs(alter::decide_replace(draft, request))
        }
        ControllerRequest::IncrementalAlterConfigs(request) => {
            ControllerResponse::IncrementalAlterConfigs(alter::decide_incremental(draft, request))
        }
        ControllerRequest::AllocateProducerIds { broker } => {
            ControllerResponse::AllocateProducerIds(registration::decide_producer_ids(draft, *broker))
        }
    }
}

fn refuse_request(request: &ControllerRequest, error: &ApiError) -> ControllerResponse {
    match request {
        ControllerRequest::CreateTopics(request) => {
            ControllerResponse::CreateTopics(topics::refuse_create(request, error))
        }
        ControllerRequest::DeleteTopics(request) => {
            ControllerResponse::DeleteTopics(topics::refuse_delete(request, error))
        }
        ControllerRequest::CreatePartitions(request) => {
            ControllerResponse::CreatePartitions(partitions::refuse_create(request, error))
        }
        ControllerRequest::AlterConfigs(request) => {
            ControllerResponse::AlterConfigs(alter::refuse_replace(request, error))
        }
        ControllerRequest::IncrementalAlterConfigs(request) => {
            ControllerResponse::IncrementalAlterConfigs(alter::refuse_incremental(request, error))
        }
        ControllerRequest::AllocateProducerIds { .. } => ControllerResponse::AllocateProducerIds(Err(error.code)),
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::Busy => ErrorCode::ThrottlingQuotaExceeded,
            Refusal::TooLarge => ErrorCode::PolicyViolation,
            Refusal::DiskFull => ErrorCode::KafkaStorageError,
            Refusal::TooFewReplicas => ErrorCode::NotEnoughReplicas,
            Refusal::Deposed | Refusal::Stopping => ErrorCode::NotController,
        };
        Self::new(code, refusal.to_string())
    }
}
