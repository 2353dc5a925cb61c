//! What the metadata log holds.
//!
//! A record says what is so from now on, never how it came about: whoever applies it needs to decide nothing. Fields
//! and numbers are only ever added (protobuf); a record of an unknown kind stops an older broker instead of being
//! skipped.

use bytes::Bytes;
use prost::Message;

use crate::ids::{Incarnation, TopicId};
use crate::replicated::{LogRecord, RecordError};

/// One change of the cluster's metadata.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Record {
    /// The cluster was founded. The first record of every log.
    #[prost(message, tag = "1")]
    Cluster(ClusterRecord),
    /// A broker has started and may be used.
    #[prost(message, tag = "2")]
    Broker(BrokerRecord),
    /// A topic exists; its partitions follow in the same batch.
    #[prost(message, tag = "3")]
    Topic(TopicRecord),
    /// A partition is in this state, whether it is new or not.
    #[prost(message, tag = "4")]
    Partition(PartitionRecord),
    /// A topic, its partitions and its configuration are gone.
    #[prost(message, tag = "5")]
    RemoveTopic(RemoveTopicRecord),
    /// A key of a topic, group or broker has a value, or none any more.
    #[prost(message, tag = "6")]
    Config(ConfigRecord),
    /// Producer ids below this one are taken.
    #[prost(message, tag = "7")]
    ProducerIds(ProducerIdsRecord),
    /// A feature is at this level.
    #[prost(message, tag = "8")]
    Feature(FeatureRecord),
}

/// The founding of the cluster.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ClusterRecord {
    /// 22 characters of base64url.
    #[prost(string, tag = "1")]
    pub cluster_id: String,
}

/// A broker's registration. Its offset in the log is the broker's epoch.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BrokerRecord {
    /// Its `node.id`.
    #[prost(int32, tag = "1")]
    pub broker_id: i32,
    /// The start of the process that registered.
    #[prost(message, required, tag = "2")]
    pub incarnation: Id,
    /// The data directory, by the random id it was given when it was made.
    #[prost(message, required, tag = "3")]
    pub directory_id: Id,
    /// `broker.rack`.
    #[prost(string, optional, tag = "4")]
    pub rack: Option<String>,
    /// Where clients reach it: one for each listener's name.
    #[prost(message, repeated, tag = "5")]
    pub endpoints: Vec<Endpoint>,
    /// The broker's epoch where it is not the record's own offset: in a snapshot.
    #[prost(int64, optional, tag = "6")]
    pub epoch: Option<i64>,
}

/// Where a broker can be reached on one listener.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Endpoint {
    /// The listener's name.
    #[prost(string, tag = "1")]
    pub listener: String,
    /// The advertised host.
    #[prost(string, tag = "2")]
    pub host: String,
    /// The advertised port.
    #[prost(uint32, tag = "3")]
    pub port: u32,
    /// Kafka's code of the security protocol.
    #[prost(int32, tag = "4")]
    pub security_protocol: i32,
}

/// A new topic.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TopicRecord {
    /// Its id.
    #[prost(message, required, tag = "1")]
    pub topic_id: Id,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
}

/// The whole state of a partition.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PartitionRecord {
    /// Its topic.
    #[prost(message, required, tag = "1")]
    pub topic_id: Id,
    /// Its number in the topic.
    #[prost(int32, tag = "2")]
    pub index: i32,
    /// Who holds a copy; the first is the preferred leader.
    #[prost(int32, repeated, tag = "3")]
    pub replicas: Vec<i32>,
    /// Which of them are in sync.
    #[prost(int32, repeated, tag = "4")]
    pub isr: Vec<i32>,
    /// Who leads, or -1.
    #[prost(int32, tag = "5")]
    pub leader: i32,
    /// The leader's term.
    #[prost(int32, tag = "6")]
    pub leader_epoch: i32,
    /// How often this state has changed.
    #[prost(int32, tag = "7")]
    pub partition_epoch: i32,
}

/// A topic that is gone.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RemoveTopicRecord {
    /// Which.
    #[prost(message, required, tag = "1")]
    pub topic_id: Id,
}

/// What a [`ConfigRecord`] is about.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum ConfigOwner {
    /// A topic, by its id.
    #[prost(message, tag = "1")]
    Topic(Id),
    /// One broker.
    #[prost(int32, tag = "2")]
    Broker(i32),
    /// All brokers.
    #[prost(bool, tag = "3")]
    AllBrokers(bool),
    /// A group, by its id; it need not exist.
    #[prost(string, tag = "6")]
    Group(String),
}

/// One key's value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConfigRecord {
    /// Whose.
    #[prost(oneof = "ConfigOwner", tags = "1, 2, 3, 6")]
    pub owner: Option<ConfigOwner>,
    /// Which key.
    #[prost(string, tag = "4")]
    pub key: String,
    /// As it was written; absent once it is reset.
    #[prost(string, optional, tag = "5")]
    pub value: Option<String>,
}

/// A block of producer ids went to a broker.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ProducerIdsRecord {
    /// Who got it.
    #[prost(int32, tag = "1")]
    pub broker_id: i32,
    /// The first id that is still free.
    #[prost(int64, tag = "2")]
    pub next_producer_id: i64,
}

/// A feature's level.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FeatureRecord {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its level; 0 is off.
    #[prost(int32, tag = "2")]
    pub level: i32,
}

/// 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Id {
    /// The upper half.
    #[prost(fixed64, tag = "1")]
    pub high: u64,
    /// The lower half.
    #[prost(fixed64, tag = "2")]
    pub low: u64,
}

impl Id {
    /// These bits.
    pub fn new(bits: u128) -> Self {
        Self { high: (bits >> 64) as u64, low: bits as u64 }
    }

    /// The bits.
    pub fn bits(self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }
}

impl From<TopicId> for Id {
    fn from(id: TopicId) -> Self {
        Self::new(id.0)
    }
}

impl From<Id> for TopicId {
    fn from(id: Id) -> Self {
        Self(id.bits())
    }
}

impl From<Incarnation> for Id {
    fn from(incarnation: Incarnation) -> Self {
        Self::new(incarnation.0)
    }
}

impl From<Id> for Incarnation {
    fn from(id: Id) -> Self {
        Self(id.bits())
    }
}

/// A record on its way to the log or back.
#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    #[prost(oneof = "Record", tags = "1, 2, 3, 4, 5, 6, 7, 8")]
    record: Option<Record>,
}

impl LogRecord for Record {
    fn to_key_value(&self) -> (Option<Bytes>, Option<Bytes>) {
        let envelope = Envelope { record: Some(self.clone()) };
        (None, Some(envelope.encode_to_vec().into()))
    }

    fn from_key_value(_: Option<Bytes>, value: Option<Bytes>) -> Result<Option<Self>, RecordError> {
        let value = value.ok_or_else(|| RecordError::Malformed("it has no value".into()))?;
        let envelope = Envelope::decode(value).map_err(|error| RecordError::Malformed(error.to_string()))?;
        match envelope.record {
            Some(Self::Config(ConfigRecord { owner: None, .. })) | None => Err(RecordError::Newer),
            Some(record) => Ok(Some(record)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_the_log() {
        let topic_id = Id::new(u128::MAX - 5);
        let record = Record::Config(ConfigRecord {
            owner: Some(ConfigOwner::Topic(topic_id)),
            key: "retention.ms".into(),
            value: Some("1".into()),
        });
        let (key, value) = record.to_key_value();
        assert_eq!(Record::from_key_value(key, value), Ok(Some(record)));
    }

    #[test]
    fn a_record_of_an_unknown_kind_is_refused_as_newer() {
        let unknown_field = Bytes::from_static(&[0xfa, 0x01, 0x00]);
        assert_eq!(Record::from_key_value(None, Some(unknown_field)), Err(RecordError::Newer));
        assert_eq!(Record::from_key_value(None, Some(Bytes::new())), Err(RecordError::Newer));
    }

    #[test]
    fn bytes_that_are_no_record_are_refused() {
        for value in [None, Some(Bytes::from_static(&[0x0a, 0x7f]))] {
            assert!(matches!(Record::from_key_value(None, value), Err(RecordError::Malformed(_))));
        }
    }
}
