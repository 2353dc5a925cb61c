//! Founding a cluster, registering brokers, handing out producer ids.

use highwater_wire::ErrorCode;

use super::ProducerIdBlock;
use super::draft::Draft;
use super::image::Partition;
use super::record::{BrokerRecord, ClusterRecord, Endpoint, FeatureRecord, Id, ProducerIdsRecord, Record};
use crate::config::BrokerConfig;
use crate::ids::{BrokerId, Incarnation, LeaderEpoch, PartitionEpoch, ProducerId};
use crate::limits::PRODUCER_IDS_PER_BLOCK;

/// The feature that says how to read the metadata log itself, and the highest level that this version knows.
pub const METADATA_FEATURE: (&str, i32) = ("highwater.metadata", 1);

/// A broker that has started.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// Its `node.id`.
    pub broker: BrokerId,
    /// This start of its process.
    pub incarnation: Incarnation,
    /// Its data directory.
    pub directory_id: u128,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// Where it can be reached, by the listener's name.
    pub endpoints: Vec<Endpoint>,
}

impl Registration {
    /// The registration of a broker that was started with this configuration.
    pub fn new(config: &BrokerConfig, incarnation: Incarnation, directory_id: u128) -> Self {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for listener in &config.listeners {
            if endpoints.iter().all(|endpoint| endpoint.listener != listener.name) {
                endpoints.push(Endpoint {
                    listener: listener.name.clone(),
                    host: listener.advertised_host.clone(),
                    port: listener.advertised_port.into(),
                    security_protocol: listener.protocol.code().into(),
                });
            }
        }
        Self { broker: config.node_id, incarnation, directory_id, rack: config.rack.clone(), endpoints }
    }
}

/// Decides the first records of a log.
pub(super) fn decide_founding(draft: &mut Draft, cluster_id: &str) {
    assert!(draft.image().cluster_id().is_empty(), "a cluster is founded once");
    draft.push(Record::Cluster(ClusterRecord { cluster_id: cluster_id.to_owned() }));
    let (name, level) = METADATA_FEATURE;
    draft.push(Record::Feature(FeatureRecord { name: name.to_owned(), level }));
}

/// Decides a registration. A new incarnation resumes no epoch: whatever its broker leads, it leads in a new one, since
/// what it had promised before may be lost.
pub(super) fn decide_registration(draft: &mut Draft, registration: &Registration) {
    draft.push(Record::Broker(BrokerRecord {
        broker_id: registration.broker.0,
        incarnation: registration.incarnation.into(),
        directory_id: Id::new(registration.directory_id),
        rack: registration.rack.clone(),
        endpoints: registration.endpoints.clone(),
        epoch: None,
    }));
    let mut bumped = Vec::new();
    for topic in draft.image().topics() {
        let led = topic.partitions().filter(|(_, partition)| partition.leader == Some(registration.broker));
        bumped.extend(led.map(|(index, partition)| Record::Partition(next_term(partition).to_record(topic.id, index))));
    }
    for record in bumped {
        draft.push(record);
    }
}

/// Decides which producer ids a broker gets.
pub(super) fn decide_producer_ids(draft: &mut Draft, broker: BrokerId) -> Result<ProducerIdBlock, ErrorCode> {
    if draft.image().broker(broker).is_none() {
        return Err(ErrorCode::BrokerIdNotRegistered);
    }
    let first = draft.image().next_producer_id();
    let next_producer_id = first.checked_add(PRODUCER_IDS_PER_BLOCK).ok_or(ErrorCode::UnknownServerError)?;
    draft.push(Record::ProducerIds(ProducerIdsRecord { broker_id: broker.0, next_producer_id }));
    Ok(ProducerIdBlock { first: ProducerId(first), len: PRODUCER_IDS_PER_BLOCK })
}

fn next_term(partition: &Partition) -> Partition {
    let next = |epoch: i32| epoch.checked_add(1).expect("no broker starts 2^31 times");
    Partition {
        leader_epoch: LeaderEpoch(next(partition.leader_epoch.0)),
        partition_epoch: PartitionEpoch(next(partition.partition_epoch.0)),
        ..partition.clone()
    }
}
