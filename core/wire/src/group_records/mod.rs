//! What `__consumer_offsets` holds: Kafka's own records, so that tools that read the topic understand ours.
//!
//! A key is the record's type and a message in version 0; a value is a version and a message in that version. A key
//! without a value is a tombstone: what it names is gone.
//!
//! Sources: Kafka 4.3's schemas, KIP-496, KIP-848.
//! Deliberately absent: share groups and streams groups. Their records are skipped.

mod classic;
mod consumer;
mod offset;

use bytes::Bytes;

pub use classic::*;
pub use consumer::*;
pub use offset::*;

use crate::decoder::{DecodeError, Decoder};
use crate::encoder::{EncodeError, Encoder};
use crate::{Field, Message};

/// The type of a stored offset in the oldest keys; its values are those of [`OffsetCommitValue`].
const LEGACY_OFFSET_COMMIT: i16 = 0;

/// Hands the table of record types to a macro of the caller's: name, type, key, value.
#[macro_export]
macro_rules! with_group_records {
    ($callback:ident) => {
        $callback! {
            OffsetCommit = 1, OffsetCommitKey, OffsetCommitValue;
            GroupMetadata = 2, GroupMetadataKey, GroupMetadataValue;
            ConsumerGroupMetadata = 3, ConsumerGroupMetadataKey, ConsumerGroupMetadataValue;
            ConsumerGroupPartitionMetadata = 4, ConsumerGroupPartitionMetadataKey, ConsumerGroupPartitionMetadataValue;
            ConsumerGroupMemberMetadata = 5, ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue;
            ConsumerGroupTargetAssignmentMetadata = 6, ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue;
            ConsumerGroupTargetAssignmentMember = 7, ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue;
            ConsumerGroupCurrentMemberAssignment = 8, ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue;
            ConsumerGroupRegularExpression = 16, ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue;
        }
    };
}

macro_rules! define_records {
    ($($name:ident = $type:literal, $key:ident, $value:ident;)+) => {
        /// A record of `__consumer_offsets`: a key, and its value unless that is deleted.
        #[derive(Clone, Debug, PartialEq)]
        pub enum GroupRecord {
            $(
                #[doc = concat!("Of the type ", stringify!($type), ".")]
                $name($key, Option<$value>),
            )+
        }

        impl GroupRecord {
            /// The record's key and value, as Kafka 4.3 writes them.
            ///
            /// # Errors
            /// A string is longer than Kafka allows.
            pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), EncodeError> {
                match self {
                    $(Self::$name(key, value) => {
                        let value = value.as_ref().map(|value| {
                            let version = value.written_version();
                            versioned(version, value, version)
                        });
                        Ok((versioned($type, key, 0)?, value.transpose()?))
                    })+
                }
            }

            /// Reads a record; none if it is of a type that is not kept here.
            ///
            /// # Errors
            /// It is not what its type and version say, or its version is newer than Kafka 4.3.
            pub fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Option<Self>, DecodeError> {
                let mut input = Decoder::new(key);
                let record_type = match i16::decode(&mut input)? {
                    LEGACY_OFFSET_COMMIT => 1,
                    other => other,
                };
                Ok(Some(match record_type {
                    $($type => {
                        let value = value.map(value_of::<$value>).transpose()?;
                        Self::$name(Message::decode_body(input, 0)?, value)
                    })+
                    _ => return Ok(None),
                }))
            }

            /// A random record.
            #[cfg(any(test, feature = "testing"))]
            pub fn sample(source: &mut $crate::testing::Source) -> Self {
                let samples: &[fn(&mut $crate::testing::Source) -> Self] = &[$(|source| {
                    let key = $crate::testing::Sample::sample(source);
                    let value: Option<$value> = source.nullable(true);
                    Self::$name(key, value)
                }),+];
                samples[source.below(samples.len() as u64) as usize](source)
            }
        }
    };
}

with_group_records!(define_records);

/// A value of a record, which knows the version that it is written in.
trait Value: Message {
    fn written_version(&self) -> i16 {
        *Self::VERSIONS.end()
    }
}

impl Value for OffsetCommitValue {
    /// Only version 1 has an expiry of its own.
    fn written_version(&self) -> i16 {
        if self.expire_timestamp == -1 { 4 } else { 1 }
    }
}

impl Value for GroupMetadataValue {
    /// Version 4 says no more than version 3, which older tools can read.
    fn written_version(&self) -> i16 {
        3
    }
}

impl Value for ConsumerGroupMetadataValue {}
impl Value for ConsumerGroupPartitionMetadataValue {}
impl Value for ConsumerGroupMemberMetadataValue {}
impl Value for ConsumerGroupTargetAssignmentMetadataValue {}
impl Value for ConsumerGroupTargetAssignmentMemberValue {}
impl Value for ConsumerGroupCurrentMemberAssignmentValue {}
impl Value for ConsumerGroupRegularExpressionValue {}

fn versioned<M: Message>(prefix: i16, message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut out = Encoder::new();
    prefix.encode(&mut out)?;
    message.encode_body(&mut out, version)?;
    Ok(out.finish().into_bytes())
}

fn value_of<M: Message>(bytes: &Bytes) -> Result<M, DecodeError> {
    let mut input = Decoder::new(bytes);
    let version = i16::decode(&mut input)?;
    M::decode_body(input, version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DecodeErrorKind;
    use crate::testing::{Source, sample};

    #[test]
    fn a_record_survives_its_round_trip() {
        for seed in 0..2000 {
            let record = match GroupRecord::sample(&mut Source::new(seed, 4)) {
                // What its version cannot say is lost.
                GroupRecord::OffsetCommit(key, Some(value)) if value.expire_timestamp != -1 => {
                    let value = OffsetCommitValue { leader_epoch: -1, topic_id: crate::Uuid::ZERO, ..value };
                    GroupRecord::OffsetCommit(key, Some(value))
                }
                record => record,
            };
            let (key, value) = record.encode().unwrap();
            assert_eq!(GroupRecord::decode(&key, value.as_ref()), Ok(Some(record)), "seed {seed}");
        }
    }

    #[test]
    fn every_version_of_a_value_can_be_read() {
        macro_rules! check_versions {
            ($($name:ident = $type:literal, $key:ident, $value:ident;)+) => {
                $(for version in $value::VERSIONS {
                    for seed in 0..100 {
                        let message: $value = sample(seed, version);
                        let bytes = versioned(version, &message, version).unwrap();
                        assert_eq!(value_of(&bytes), Ok(message), "{} {version} seed {seed}", stringify!($name));
                    }
                })+
            };
        }
        with_group_records!(check_versions);
    }

    #[test]
    fn the_oldest_offsets_are_offsets_and_unknown_records_are_none() {
        let key = OffsetCommitKey { group: "g".into(), topic: "t".into(), partition: 3 };
        let record = GroupRecord::OffsetCommit(key.clone(), None);
        assert_eq!(GroupRecord::decode(&versioned(0, &key, 0).unwrap(), None), Ok(Some(record)));
        for unknown in [11, 17, -1, i16::MAX] {
            assert_eq!(GroupRecord::decode(&versioned(unknown, &key, 0).unwrap(), None), Ok(None));
        }
    }

    #[test]
    fn a_value_of_a_newer_version_is_an_error() {
        let key = versioned(2, &GroupMetadataKey { group: "g".into() }, 0).unwrap();
        let error = GroupRecord::decode(&key, Some(&Bytes::from_static(&[0, 9]))).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::Version(9));
    }

    #[test]
    fn foreign_bytes_are_a_record_or_an_error() {
        for seed in 0..20_000 {
            let mut source = Source::new(seed, 4);
            let (key, value) = GroupRecord::sample(&mut source).encode().unwrap();
            let damaged = |bytes: Bytes, source: &mut Source| {
                let mut bytes = bytes.to_vec();
                for _ in 0..source.below(4) {
                    let at = source.below(bytes.len() as u64) as usize;
                    bytes[at] = source.below(256) as u8;
                }
                bytes.truncate(source.below(2 * bytes.len() as u64 + 1) as usize);
                Bytes::from(bytes)
            };
            let key = damaged(key, &mut source);
            let value = value.map(|value| damaged(value, &mut source));
            if let Ok(Some(record)) = GroupRecord::decode(&key, value.as_ref()) {
                record.encode().unwrap();
            }
        }
    }
}
