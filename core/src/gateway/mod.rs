//! One Kafka connection: frames, versions, response order, routing, error codes.

mod frame;

pub use frame::{FrameError, FrameReader};
