//! What all messages have in common.

use std::ops::RangeInclusive;

use crate::api::ApiKey;
use crate::decoder::{DecodeError, DecodeErrorKind, Decoder};
use crate::encoder::{EncodeError, EncodeErrorKind, Encoder};
use crate::field::Field;

/// A request's or a response's body.
///
/// Derived: `#[message(versions = A..=B, flexible = F..)]` on the struct. See [`crate::Message`] for the fields.
pub trait Message: Field {
    /// The struct's name, which is Kafka's.
    const NAME: &'static str;
    /// The versions that exist.
    const VERSIONS: RangeInclusive<i16>;
    /// The first flexible version; `i16::MAX` if there is none.
    const FLEXIBLE_FROM: i16;

    /// Writes the message behind what was written before.
    ///
    /// # Errors
    /// There is no such version, or it cannot represent the message.
    fn encode_body(&self, out: &mut Encoder, version: i16) -> Result<(), EncodeError> {
        out.begin(version, version >= Self::FLEXIBLE_FROM);
        if !Self::VERSIONS.contains(&version) {
            return Err(out.error(EncodeErrorKind::Version).in_field(Self::NAME));
        }
        self.encode(out)
    }

    /// Reads the message, which must be the rest of the frame.
    ///
    /// # Errors
    /// There is no such version, or the bytes are not such a message and nothing else.
    fn decode_body(mut input: Decoder<'_>, version: i16) -> Result<Self, DecodeError> {
        let message = Self::decode_front(&mut input, version)?;
        input.finish(Self::NAME)?;
        Ok(message)
    }

    /// Reads the message and leaves what follows it.
    ///
    /// # Errors
    /// There is no such version, or the bytes do not begin with such a message.
    fn decode_front(input: &mut Decoder<'_>, version: i16) -> Result<Self, DecodeError> {
        input.begin(version, version >= Self::FLEXIBLE_FROM);
        if !Self::VERSIONS.contains(&version) {
            return Err(input.error(DecodeErrorKind::Version(version)).in_field(Self::NAME));
        }
        Self::decode(input).map_err(|error| error.in_field(Self::NAME))
    }
}

/// A message that a client sends.
pub trait RequestMessage: Message {
    /// The API it belongs to.
    const KEY: ApiKey;
    /// What answers it, in the same version.
    type Response: ResponseMessage<Request = Self>;
}

/// A message that a broker answers with.
pub trait ResponseMessage: Message {
    /// The API it belongs to.
    const KEY: ApiKey;
    /// What it answers.
    type Request: RequestMessage<Response = Self>;
}
