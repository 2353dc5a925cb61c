//! What the shards of one broker say to each other.

use std::sync::Arc;

use crate::controller::{ControllerRequest, ControllerResponse, Image};
use crate::ids::{Offset, Ticket};

/// A message between two shards. The driver only carries it.
#[derive(Debug)]
pub enum ShardMessage {
    /// The controller's shard has committed new metadata. Images come in the order of their offsets.
    Image(Arc<Image>),
    /// The sender works by the image of this offset, so answers that depend on it may leave.
    ImageAdopted {
        /// [`Image::offset`].
        offset: Offset,
    },
    /// Asks the controller to decide something.
    ControllerRequest {
        /// Comes back with the answer.
        ticket: Ticket,
        /// What to decide.
        request: ControllerRequest,
    },
    /// The answer to a [`ControllerRequest`]: its decision is durable, and every shard has adopted it.
    ControllerResponse {
        /// The request's ticket.
        ticket: Ticket,
        /// What was decided.
        response: ControllerResponse,
    },
}
