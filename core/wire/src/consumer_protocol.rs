//! What consumers put into the opaque bytes of a classic group of protocol type `consumer`.
//!
//! The bytes are a version and a message. A newer version begins like the newest that is known here, so it is read as
//! that, and bytes behind it are ignored.
//!
//! Sources: KIP-429 (owned partitions), KIP-792 (generation), KIP-881 (racks).

use bytes::Bytes;

use crate::decoder::{DecodeError, Decoder};
use crate::encoder::{EncodeError, Encoder};
use crate::{Field, Message, Part};

/// What a consumer says of itself when it joins a classic group.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=3)]
pub struct ConsumerProtocolSubscription {
    /// The topics that the member wants.
    pub topics: Vec<String>,
    /// The assignor's own bytes.
    pub user_data: Option<Bytes>,
    /// What the member owns.
    #[field(versions = 1.., ignorable)]
    pub owned_partitions: Vec<TopicPartition>,
    /// The generation in which it got them, -1 if unknown.
    #[field(versions = 2.., default = -1, ignorable)]
    pub generation_id: i32,
    /// The member's rack, null if it does not say.
    #[field(versions = 3.., ignorable)]
    pub rack_id: Option<String>,
}

/// Partitions of one topic.
#[derive(Part, Clone, Debug, PartialEq)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: String,
    /// The partitions' indexes.
    pub partitions: Vec<i32>,
}

/// What a consumer gets in a classic group.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = 0..=3)]
pub struct ConsumerProtocolAssignment {
    /// What the member gets.
    pub assigned_partitions: Vec<TopicPartition>,
    /// The assignor's own bytes.
    pub user_data: Option<Bytes>,
}

impl ConsumerProtocolSubscription {
    /// Reads a member's metadata.
    ///
    /// # Errors
    /// The bytes do not begin with a subscription.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, DecodeError> {
        from_bytes(bytes)
    }

    /// A member's metadata.
    ///
    /// # Errors
    /// There is no such version, or a topic's name is too long.
    pub fn to_bytes(&self, version: i16) -> Result<Bytes, EncodeError> {
        to_bytes(self, version)
    }
}

impl ConsumerProtocolAssignment {
    /// Reads a member's assignment.
    ///
    /// # Errors
    /// The bytes do not begin with an assignment.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, DecodeError> {
        from_bytes(bytes)
    }

    /// A member's assignment.
    ///
    /// # Errors
    /// There is no such version, or a topic's name is too long.
    pub fn to_bytes(&self, version: i16) -> Result<Bytes, EncodeError> {
        to_bytes(self, version)
    }
}

fn from_bytes<M: Message>(bytes: &Bytes) -> Result<M, DecodeError> {
    let mut input = Decoder::new(bytes);
    let version = i16::decode(&mut input)?;
    M::decode_front(&mut input, version.min(*M::VERSIONS.end()))
}

fn to_bytes<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut out = Encoder::new();
    version.encode(&mut out)?;
    message.encode_body(&mut out, version)?;
    Ok(out.finish().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sample;

    #[test]
    fn a_newer_subscription_is_read_as_the_newest_that_is_known() {
        let ours: ConsumerProtocolSubscription = sample(7, 3);
        let mut bytes = ours.to_bytes(3).unwrap().to_vec();
        bytes[..2].copy_from_slice(&9i16.to_be_bytes());
        bytes.extend(b"what we do not know");
        assert_eq!(ConsumerProtocolSubscription::from_bytes(&bytes.into()), Ok(ours));
    }

    #[test]
    fn what_is_no_assignment_is_an_error() {
        for bytes in [&b""[..], &[0], &[0, 0, 0, 0], &[0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]] {
            let read = ConsumerProtocolAssignment::from_bytes(&Bytes::copy_from_slice(bytes));
            assert!(read.is_err(), "{bytes:?}");
        }
    }
}
