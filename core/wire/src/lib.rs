//! Kafka's wire protocol: messages and record batches.
//!
//! A message is a plain struct, one module for each API; what its fields look like in which version stands in their
//! attributes, and the [`Message`] derive writes the encoding and the decoding. [`frame`] puts headers around bodies.
//! Everything that is decoded comes from someone else: lengths are checked before anything is allocated, and bad bytes
//! are a [`DecodeError`], never a panic. Records are neither copied nor looked at here; [`records`] does that for those
//! who must.
//!
//! Facts about the messages come from Kafka 4.3's schemas. To add an API: one line in [`with_apis`], one module.

#![cfg_attr(test, allow(clippy::unwrap_used))]

// Derived code names this crate from outside and from within alike.
extern crate self as highwater_wire;

pub mod api;
pub mod consumer_protocol;
pub mod decoder;
pub mod encoder;
mod error_code;
pub mod field;
pub mod frame;
pub mod group_records;
pub mod message;
pub mod messages;
mod payload;
pub mod records;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod uuid;

pub use api::{AnyRequest, AnyResponse, ApiKey};
pub use consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
pub use decoder::{DecodeError, DecodeErrorKind, Decoder};
pub use encoder::{EncodeError, EncodeErrorKind, Encoded, Encoder, Gap, Piece};
pub use error_code::ErrorCode;
pub use field::Field;
pub use frame::{RequestHeader, decode_request, decode_response, encode_request, encode_response};
pub use group_records::GroupRecord;
pub use highwater_wire_derive::{Message, Part};
pub use message::{Message, RequestMessage, ResponseMessage};
pub use messages::*;
pub use payload::Records;
pub use uuid::Uuid;

/// Keeps items that only tests need out of every other build. For derived code.
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
#[macro_export]
macro_rules! when_testing {
    ($($item:item)*) => { $($item)* };
}

/// Keeps items that only tests need out of every other build. For derived code.
#[cfg(not(any(test, feature = "testing")))]
#[doc(hidden)]
#[macro_export]
macro_rules! when_testing {
    ($($item:item)*) => {};
}
