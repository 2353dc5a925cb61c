//! Gives a producer its id and epoch.
//!
//! Sources: KIP-98, KIP-360 (recovering from errors).

use crate::Message;

/// What a client asks for. See the [module](self).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=5, flexible = 2..)]
pub struct InitProducerIdRequest {
    /// The producer's transactional id; null if it is only idempotent.
    pub transactional_id: Option<String>,
    /// After how long a transaction may be aborted, in milliseconds.
    pub transaction_timeout_ms: i32,
    /// The id the producer has, -1 if it has none.
    #[field(versions = 3.., default = -1)]
    pub producer_id: i64,
    /// The epoch the producer has, -1 if it has none.
    #[field(versions = 3.., default = -1)]
    pub producer_epoch: i16,
}

/// What [`InitProducerIdRequest`] is answered with.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=5, flexible = 2..)]
pub struct InitProducerIdResponse {
    /// How long the client should pause because of a quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// What went wrong, 0 if nothing did.
    pub error_code: i16,
    /// The id to use, -1 after an error.
    #[field(default = -1)]
    pub producer_id: i64,
    /// The epoch to use.
    pub producer_epoch: i16,
}
