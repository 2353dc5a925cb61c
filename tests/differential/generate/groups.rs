//! Groups of both protocols: their members come and go, keep up or fall behind.
//!
//! Nobody has to wait: a member joins a classic group only where no other member would have to join again first.
//! Deliberately absent: several members at once, since their order would be left to chance; and subscriptions by regular
//! expressions, which Kafka resolves at a time of its own.

use bytes::Bytes;
use highwater_wire::consumer_group_describe::ConsumerGroupDescribeRequest;
use highwater_wire::consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, TopicPartitions};
use highwater_wire::delete_groups::DeleteGroupsRequest;
use highwater_wire::describe_groups::DescribeGroupsRequest;
use highwater_wire::find_coordinator::FindCoordinatorRequest;
use highwater_wire::heartbeat::HeartbeatRequest;
use highwater_wire::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use highwater_wire::leave_group::{LeaveGroupRequest, MemberIdentity};
use highwater_wire::list_groups::ListGroupsRequest;
use highwater_wire::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

use super::Draw;
use crate::model::{Group, Member};

/// Names that classic groups are given, and groups of the consumer protocol. No group changes its protocol here: the
/// brokers count its epochs differently, which then are its generations.
const CLASSIC_GROUPS: [&str; 2] = ["g", "long group/name"];
const CONSUMER_GROUPS: [&str; 2] = ["h", "é"];

/// What members are called who ask to be known.
const INSTANCES: [&str; 2] = ["one", "two"];

/// Long enough for nothing to expire.
const TIMEOUT_MS: i32 = 60_000;

impl Draw<'_> {
    /// A group's id, rarely a very long one or one that no group has.
    pub(super) fn group_id(&mut self) -> String {
        match self.dice.below(30) {
            0 | 1 => "x".repeat(300),
            2 => "missing".to_owned(),
            _ if self.dice.once_in(2) => self.dice.pick(&CLASSIC_GROUPS).to_owned(),
            _ => self.dice.pick(&CONSUMER_GROUPS).to_owned(),
        }
    }

    /// A group for a member to join: one of its protocol, or none at all.
    fn joined_group_id(&mut self, groups: &[&str]) -> String {
        if self.dice.once_in(20) { String::new() } else { self.dice.pick(groups).to_owned() }
    }

    pub(super) fn group_ids(&mut self) -> Vec<String> {
        let count = self.dice.pick(&[1, 1, 2, 3]);
        (0..count).map(|_| self.group_id()).collect()
    }

    pub(super) fn group(&self, id: &str) -> Group {
        self.model.groups.get(id).cloned().unwrap_or_default()
    }

    /// A member of a group; now and then one that it does not have.
    pub(super) fn member(&mut self, group: &Group) -> Member {
        let stranger = || Member { id: "stranger".to_owned(), instance: None, epoch: None };
        match self.dice.below(12) {
            0 => stranger(),
            1 => Member { id: String::new(), ..stranger() },
            2 if !group.pending.is_empty() => Member { id: self.dice.pick(&group.pending), ..stranger() },
            3 => Member { instance: Some(self.dice.pick(&INSTANCES).to_owned()), ..stranger() },
            _ if group.members.is_empty() => stranger(),
            _ => self.dice.pick(&group.members),
        }
    }

    /// A generation or an epoch: the one that counts, or one beside it.
    pub(super) fn near(&mut self, now: i32) -> i32 {
        now + self.dice.pick(&[0, 0, 0, 0, 0, 0, 0, 0, 1, -1])
    }

    pub(super) fn find_coordinator(&mut self) -> FindCoordinatorRequest {
        let mut request = FindCoordinatorRequest::default();
        match self.version {
            ..=3 => request.key = self.group_id(),
            _ => request.coordinator_keys = self.group_ids(),
        }
        request
    }

    pub(super) fn join_group(&mut self) -> JoinGroupRequest {
        let group_id = self.joined_group_id(&CLASSIC_GROUPS);
        let group = self.group(&group_id);
        let (member_id, group_instance_id) = self.joining_member(&group);
        let protocol_type = if self.dice.once_in(12) { self.dice.pick(&["connect", ""]) } else { "consumer" };
        let protocols = match self.dice.below(12) {
            0 => Vec::new(),
            1 => vec![self.protocol("other")],
            2 | 3 => vec![self.protocol("roundrobin"), self.protocol("range")],
            _ => vec![self.protocol("range")],
        };
        let odd_timeout = self.dice.once_in(20);
        JoinGroupRequest {
            group_id,
            session_timeout_ms: if odd_timeout { self.dice.pick(&[0, -1, 5000, i32::MAX]) } else { TIMEOUT_MS },
            rebalance_timeout_ms: TIMEOUT_MS,
            member_id,
            group_instance_id,
            protocol_type: protocol_type.to_owned(),
            protocols,
            reason: (self.version >= 8).then(|| "because".to_owned()),
        }
    }

    /// Who joins a classic group without having to wait for anybody: its only member, whoever was given an id where there
    /// is no member, anybody where there is nobody, and else only who will be refused or told to come back.
    fn joining_member(&mut self, group: &Group) -> (String, Option<String>) {
        let comes_back = self.version >= 4;
        let unknown = || ("stranger".to_owned(), None);
        if self.dice.once_in(12) {
            return unknown();
        }
        match (&group.members[..], &group.pending[..]) {
            ([], []) if self.version >= 5 && self.dice.once_in(3) => {
                (String::new(), Some(self.dice.pick(&INSTANCES).to_owned()))
            }
            ([], []) => (String::new(), None),
            ([], [pending]) => (pending.clone(), None),
            ([member], []) if !self.dice.once_in(5) => {
                (member.id.clone(), member.instance.clone().filter(|_| self.version >= 5))
            }
            _ if comes_back => (String::new(), None),
            _ => unknown(),
        }
    }

    /// A protocol with a subscription in Kafka's format, or with what means nothing.
    fn protocol(&mut self, name: &str) -> JoinGroupRequestProtocol {
        let subscription = Bytes::from_static(&[0, 1, 0, 0, 0, 1, 0, 1, b'a', 0, 0, 0, 0, 0, 0, 0, 0]);
        let metadata = if self.dice.once_in(8) { Bytes::from_static(b"?") } else { subscription };
        JoinGroupRequestProtocol { name: name.to_owned(), metadata }
    }

    pub(super) fn sync_group(&mut self) -> SyncGroupRequest {
        let group_id = self.group_id();
        let group = self.group(&group_id);
        let member = self.member(&group);
        let mut assignments = Vec::new();
        if !self.dice.once_in(4) {
            let assignment = Bytes::from_static(&[0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
            assignments.push(SyncGroupRequestAssignment { member_id: member.id.clone(), assignment });
        }
        let mut request = SyncGroupRequest {
            group_id,
            generation_id: self.near(group.generation),
            member_id: member.id,
            assignments,
            ..Default::default()
        };
        if self.version >= 3 {
            request.group_instance_id = member.instance;
        }
        if self.version >= 5 {
            let odd = self.dice.once_in(8);
            request.protocol_type = Some(if odd { "connect" } else { "consumer" }.to_owned());
            request.protocol_name = (!self.dice.once_in(8)).then(|| "range".to_owned());
        }
        request
    }

    pub(super) fn heartbeat(&mut self) -> HeartbeatRequest {
        let group_id = self.group_id();
        let group = self.group(&group_id);
        let member = self.member(&group);
        let group_instance_id = member.instance.filter(|_| self.version >= 3);
        HeartbeatRequest {
            group_id,
            generation_id: self.near(group.generation),
            member_id: member.id,
            group_instance_id,
        }
    }

    pub(super) fn leave_group(&mut self) -> LeaveGroupRequest {
        let group_id = self.joined_group_id(&CLASSIC_GROUPS);
        let group = self.group(&group_id);
        let member = self.member(&group);
        if self.version <= 2 {
            return LeaveGroupRequest { group_id, member_id: member.id, ..Default::default() };
        }
        let mut members = vec![member];
        if self.dice.once_in(4) {
            members.push(self.member(&group));
        }
        let members = members.into_iter().map(|member| {
            let by_name = member.instance.is_some() && self.dice.once_in(2);
            MemberIdentity {
                member_id: if by_name { String::new() } else { member.id },
                group_instance_id: member.instance,
                reason: None,
            }
        });
        LeaveGroupRequest { group_id, members: members.collect(), ..Default::default() }
    }

    pub(super) fn describe_groups(&mut self) -> DescribeGroupsRequest {
        let include_authorized_operations = self.version >= 3 && self.dice.once_in(3);
        DescribeGroupsRequest { groups: self.group_ids(), include_authorized_operations }
    }

    pub(super) fn list_groups(&mut self) -> ListGroupsRequest {
        let mut request = ListGroupsRequest::default();
        let states = ["Stable", "Empty", "stable", "Assigning", "Reconciling", "CompletingRebalance", "Nonsense"];
        if self.version >= 4 && self.dice.once_in(2) {
            request.states_filter = vec![self.dice.pick(&states).to_owned()];
        }
        if self.version >= 5 && self.dice.once_in(2) {
            request.types_filter = vec![self.dice.pick(&["classic", "consumer", "Consumer", "nonsense"]).to_owned()];
        }
        request
    }

    pub(super) fn delete_groups(&mut self) -> DeleteGroupsRequest {
        DeleteGroupsRequest { groups_names: self.group_ids() }
    }

    pub(super) fn consumer_group_describe(&mut self) -> ConsumerGroupDescribeRequest {
        let include_authorized_operations = self.dice.once_in(3);
        ConsumerGroupDescribeRequest { group_ids: self.group_ids(), include_authorized_operations }
    }

    pub(super) fn consumer_group_heartbeat(&mut self) -> ConsumerGroupHeartbeatRequest {
        let group_id = self.joined_group_id(&CONSUMER_GROUPS);
        let group = self.group(&group_id);
        let consumers: Vec<_> = group.members.iter().filter(|member| member.epoch.is_some()).cloned().collect();
        if consumers.is_empty() {
            return self.joining_heartbeat(group_id);
        }
        let member = if self.dice.once_in(15) { self.member(&group) } else { self.dice.pick(&consumers) };
        let epoch = member.epoch.unwrap_or(3);
        let mut request = ConsumerGroupHeartbeatRequest {
            group_id,
            member_id: member.id,
            member_epoch: match self.dice.below(12) {
                0 => -1,
                1 if member.instance.is_some() => -2,
                _ => self.near(epoch),
            },
            instance_id: member.instance,
            ..Default::default()
        };
        if request.member_epoch > 0 {
            self.change_subscription(&mut request);
        }
        request
    }

    fn joining_heartbeat(&mut self, group_id: String) -> ConsumerGroupHeartbeatRequest {
        let mut request = ConsumerGroupHeartbeatRequest {
            group_id,
            rebalance_timeout_ms: TIMEOUT_MS,
            subscribed_topic_names: Some(self.subscription()),
            topic_partitions: Some(Vec::new()),
            ..Default::default()
        };
        if self.version >= 1 {
            request.member_id = "consumer".to_owned();
        }
        if self.dice.once_in(4) {
            request.instance_id = Some(self.dice.pick(&INSTANCES).to_owned());
        }
        match self.dice.below(16) {
            0 => request.server_assignor = Some("nonsense".to_owned()),
            1 => request.rebalance_timeout_ms = -1,
            2 => request.topic_partitions = None,
            3 => request.subscribed_topic_names = None,
            4 => request.member_epoch = -3,
            5 | 6 => request.server_assignor = Some("range".to_owned()),
            7 => request.server_assignor = Some("uniform".to_owned()),
            _ => {}
        }
        request
    }

    fn subscription(&mut self) -> Vec<String> {
        let mut names = self.topic_names();
        names.sort();
        names.dedup();
        names
    }

    /// What a member says that is in the group: mostly nothing, or that it holds partitions, or that it wants other topics.
    fn change_subscription(&mut self, request: &mut ConsumerGroupHeartbeatRequest) {
        match self.dice.below(8) {
            0 => request.subscribed_topic_names = Some(self.subscription()),
            1 => {
                request.rebalance_timeout_ms = TIMEOUT_MS;
                let name = self.topic_name();
                let partitions = vec![self.partition_index(&name)];
                request.topic_partitions = Some(vec![TopicPartitions { topic_id: self.topic_id(&name), partitions }]);
            }
            2 => request.topic_partitions = Some(Vec::new()),
            _ => {}
        }
    }
}
