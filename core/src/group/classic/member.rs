//! A member of a classic group.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use highwater_wire::group_records::MemberMetadata;
use highwater_wire::join_group::JoinGroupRequestProtocol;

use crate::group::{MemberId, millis};
use crate::replicated::Origin;

/// A member, and the requests of it that wait.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub id: MemberId,
    pub instance_id: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub rebalance_timeout: Duration,
    pub session_timeout: Duration,
    pub protocols: Protocols,
    /// What the leader gave it.
    pub assignment: Bytes,
    /// The join that waits for the next generation.
    pub join: Option<Origin>,
    /// The sync that waits for the leader's.
    pub sync: Option<Origin>,
    /// Whether it has not been in a generation yet: then a waiting join does not keep its session alive, since a client
    /// that gives up waiting joins as somebody else.
    pub is_new: bool,
}

impl Member {
    pub fn from_value(value: &MemberMetadata, protocol: &str) -> Self {
        let session_timeout = millis(value.session_timeout);
        Self {
            id: value.member_id.as_str().into(),
            instance_id: value.group_instance_id.as_deref().map(Arc::from),
            client_id: value.client_id.as_str().into(),
            client_host: value.client_host.as_str().into(),
            rebalance_timeout: match value.rebalance_timeout {
                -1 => session_timeout,
                timeout => millis(timeout),
            },
            session_timeout,
            protocols: Protocols([(Arc::from(protocol), value.subscription.clone())].into()),
            assignment: value.assignment.clone(),
            join: None,
            sync: None,
            is_new: false,
        }
    }

    /// What the log is to say, given the group's protocol.
    pub fn to_value(&self, protocol: &str) -> MemberMetadata {
        MemberMetadata {
            member_id: self.id.to_string(),
            group_instance_id: self.instance_id.as_deref().map(str::to_owned),
            client_id: self.client_id.to_string(),
            client_host: self.client_host.to_string(),
            rebalance_timeout: as_millis(self.rebalance_timeout),
            session_timeout: as_millis(self.session_timeout),
            subscription: self.protocols.metadata(protocol).cloned().unwrap_or_default(),
            assignment: self.assignment.clone(),
        }
    }

    /// Whether a request that waits shows that it is alive.
    pub fn is_heard_of(&self) -> bool {
        !self.is_new && (self.join.is_some() || self.sync.is_some())
    }
}

fn as_millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).expect("it came from an i32")
}

/// The ways of assigning that a member supports, the best first, each name once.
#[derive(Clone, Debug, PartialEq)]
pub struct Protocols(Arc<[(Arc<str>, Bytes)]>);

impl Protocols {
    pub fn new(protocols: &[JoinGroupRequestProtocol]) -> Self {
        let mut seen = BTreeSet::new();
        let first = protocols.iter().filter(|protocol| seen.insert(&protocol.name));
        Self(first.map(|protocol| (Arc::from(protocol.name.as_str()), protocol.metadata.clone())).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().map(|(name, _)| name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &(Arc<str>, Bytes)> {
        self.0.iter()
    }

    /// The one that the member likes best.
    pub fn first(&self) -> Option<(&Arc<str>, &Bytes)> {
        self.0.first().map(|(name, metadata)| (name, metadata))
    }

    /// What the member says for the protocol.
    pub fn metadata(&self, name: &str) -> Option<&Bytes> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, metadata)| metadata)
    }

    /// The room that they take.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(name, metadata)| name.len() + metadata.len()).sum()
    }
}

impl FromIterator<(Arc<str>, Bytes)> for Protocols {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Bytes)>>(protocols: I) -> Self {
        Self(protocols.into_iter().collect())
    }
}
