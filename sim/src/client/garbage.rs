//! A client that sends bytes which are no requests, or nearly. Whatever it is answered, others must not suffer.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::link::{Link, REDIAL_AFTER};
use super::{Client, ClientEvent, Context};
use crate::rng::{Concern, Stream};

/// See the [module](self).
#[derive(Debug)]
pub struct Garbage {
    rng: Stream,
    link: Link<()>,
    healed: bool,
}

/// APIs that change nothing, so that a frame which happens to be a request does no harm: Fetch, ListOffsets, Metadata,
/// ApiVersions, OffsetForLeaderEpoch, DescribeConfigs, DescribeCluster, and one that does not exist.
const HARMLESS: [i16; 8] = [1, 2, 3, 18, 23, 32, 60, 999];

impl Garbage {
    /// A client that has not begun.
    pub fn new(number: usize, seed: u64) -> Self {
        let rng = Stream::new(seed, Concern::Client, number as u64);
        Self { rng, link: Link::new(format!("garbage {number}")), healed: false }
    }

    fn garbage(&mut self) -> Bytes {
        let mut bytes = BytesMut::new();
        let len = self.rng.skewed(1, 500) as usize;
        match self.rng.below(3) {
            0 => {}
            1 => bytes.put_i32(self.rng.bits() as i32),
            _ => {
                bytes.put_i32(len as i32 + 10);
                bytes.put_i16(*self.rng.pick(&HARMLESS));
                bytes.put_i16(self.rng.between(0, 20) as i16 - 1);
                bytes.put_i32(self.rng.bits() as i32);
                bytes.put_i16(if self.rng.chance(800) { -1 } else { self.rng.bits() as i16 });
            }
        }
        let small = self.rng.chance(500);
        bytes.extend((0..len).map(|_| if small { self.rng.below(4) as u8 } else { self.rng.bits() as u8 }));
        bytes.freeze()
    }
}

impl Client for Garbage {
    fn handle(&mut self, event: ClientEvent, context: &mut Context<'_>) {
        match event {
            ClientEvent::Woken => {
                if self.healed {
                    return;
                }
                if !self.link.is_connected() {
                    self.link.dial(0, context);
                } else if self.rng.chance(300) {
                    self.link.hang_up(None, context);
                } else {
                    let bytes = self.garbage();
                    self.link.send(bytes, context);
                }
                context.wake_after(Duration::from_millis(self.rng.skewed(1, 300)));
            }
            ClientEvent::Connected(id) => {
                self.link.connected(id);
            }
            ClientEvent::Frame(..) => {}
            ClientEvent::Closed(id) => {
                if self.link.closed(id).is_some() {
                    context.wake_after(REDIAL_AFTER);
                }
            }
            ClientEvent::Healed => {
                self.healed = true;
                self.link.hang_up(None, context);
            }
            ClientEvent::Quiet => {}
        }
    }

    fn is_done(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        format!("{} waits for nothing", self.link.name())
    }
}
