//! InitProducerId: ids come from blocks that the controller gives out, so most cost no round trip.
//!
//! Source: KIP-98, KIP-730 (blocks). Deliberately absent: transactional ids; they belong to a coordinator.

use std::ops::Range;

use highwater_wire::ErrorCode;
use highwater_wire::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use super::call::{Context, Outcome};
use crate::controller::{ControllerRequest, ControllerResponse};

/// Ids of this shard's block that nobody has got yet.
#[derive(Debug, Default)]
pub(super) struct ProducerIds(Range<i64>);

/// A request that waits for a block.
pub(super) struct InitProducerIdCall {
    granted: Option<Result<i64, ErrorCode>>,
}

impl InitProducerIdCall {
    /// Takes an id, or asks for a block.
    ///
    /// # Errors
    /// The answer, if there is an id at hand or the request cannot be served.
    pub(super) fn begin(context: &mut Context<'_>, request: &InitProducerIdRequest) -> Result<Self, Outcome> {
        // Who knows one of the two without the other is confused.
        if (request.producer_id == -1) != (request.producer_epoch == -1) {
            return Err(respond(Err(ErrorCode::InvalidRequest)).into());
        }
        if request.transactional_id.is_some() {
            return Err(respond(Err(ErrorCode::CoordinatorNotAvailable)).into());
        }
        if let Some(id) = context.producer_ids.0.next() {
            return Err(respond(Ok(id)).into());
        }
        context.ask_controller(ControllerRequest::AllocateProducerIds { broker: context.config.node_id });
        Ok(Self { granted: None })
    }

    /// Takes a block. What another request's block still holds is left unused: ids are not scarce.
    pub(super) fn handle_controller(&mut self, context: &mut Context<'_>, response: ControllerResponse) {
        let ControllerResponse::AllocateProducerIds(block) = response else {
            unreachable!("a block was asked for: {response:?}")
        };
        self.granted = Some(block.map(|block| {
            let mut ids = block.first.0..block.first.0 + block.len;
            let id = ids.next().expect("a block is not empty");
            context.producer_ids.0 = ids;
            id
        }));
    }

    /// Whether the controller has answered.
    pub(super) fn is_complete(&self) -> bool {
        self.granted.is_some()
    }

    /// The answer to a complete request.
    pub(super) fn end(self) -> InitProducerIdResponse {
        respond(self.granted.expect("only complete requests end"))
    }
}

fn respond(granted: Result<i64, ErrorCode>) -> InitProducerIdResponse {
    let (error_code, producer_id, producer_epoch) = match granted {
        Ok(id) => (ErrorCode::None.code(), id, 0),
        Err(code) => (code.code(), -1, -1),
    };
    InitProducerIdResponse { error_code, producer_id, producer_epoch, ..Default::default() }
}
