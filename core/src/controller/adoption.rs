//! Which answers wait for the broker's shards to work by an image.
//!
//! A client that is told of a new topic may produce to it the next moment, through any shard.

use std::collections::VecDeque;

use super::ControllerResponse;
use crate::ids::{Offset, ShardId};
use crate::replicated::Origin;

/// Before any image.
const NEVER: Offset = Offset(i64::MIN);

/// What was announced to the data shards, what they have adopted, and who waits for that.
#[derive(Debug)]
pub(super) struct Adoption {
    announced: Offset,
    /// By shard, from shard 1.
    adopted: Vec<Offset>,
    waiting: VecDeque<(Offset, Origin, ControllerResponse)>,
}

impl Adoption {
    pub fn new(shards: u16) -> Self {
        assert!(shards > 0, "a broker has a data shard");
        Self { announced: NEVER, adopted: vec![NEVER; shards.into()], waiting: VecDeque::new() }
    }

    /// The shards that images go to.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        let last = u16::try_from(self.adopted.len()).expect("it was made of a u16");
        (1..=last).map(ShardId)
    }

    /// Whether the image at `offset` is newer than what was announced, which it then is.
    pub fn announce(&mut self, offset: Offset) -> bool {
        let is_new = offset > self.announced;
        self.announced = self.announced.max(offset);
        is_new
    }

    /// Keeps an answer until everything announced so far is adopted.
    pub fn wait(&mut self, origin: Origin, response: ControllerResponse) {
        self.waiting.push_back((self.announced, origin, response));
    }

    /// A shard works by the image at `offset`.
    pub fn adopted(&mut self, shard: ShardId, offset: Offset) {
        let at = usize::from(shard.0).checked_sub(1).expect("the controller's shard adopts nothing");
        assert!(offset <= self.announced, "a shard adopts what was announced");
        assert!(offset >= self.adopted[at], "a shard does not go back");
        self.adopted[at] = offset;
    }

    /// The answers that may leave, in order.
    pub fn take_ready(&mut self) -> Vec<(Origin, ControllerResponse)> {
        let everywhere = self.adopted.iter().copied().min().expect("a broker has a data shard");
        let mut ready = Vec::new();
        while let Some((_, origin, response)) = self.waiting.pop_front_if(|(offset, ..)| *offset <= everywhere) {
            ready.push((origin, response));
        }
        ready
    }
}
