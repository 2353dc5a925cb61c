//! The language of the scripts: `verb who key=value …`, in group `g` where no other is named.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use highwater_wire::consumer_protocol::TopicPartition;
use highwater_wire::heartbeat::HeartbeatRequest;
use highwater_wire::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use highwater_wire::leave_group::{LeaveGroupRequest, MemberIdentity};
use highwater_wire::list_groups::ListGroupsRequest;
use highwater_wire::offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use highwater_wire::offset_delete::{OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use highwater_wire::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use highwater_wire::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use highwater_wire::{
    ConsumerGroupHeartbeatRequest, ConsumerProtocolAssignment, ConsumerProtocolSubscription, Uuid,
    consumer_group_heartbeat,
};

use super::*;

/// Runs the steps of one script.
pub(super) struct Runner {
    pub world: World,
    /// What each client knows of itself.
    pub clients: BTreeMap<String, Known>,
    /// Whose request is under way, and what it was.
    pub asked: BTreeMap<u64, (String, &'static str)>,
    /// How member ids are shown.
    pub names: BTreeMap<String, String>,
}

/// What a client remembers of the answers that it got.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub member_id: String,
    pub generation: i32,
    /// How many member ids it has had.
    pub count: usize,
    /// Partitions that it reads, by topic, as a member of a consumer group.
    pub owned: Vec<consumer_group_heartbeat::TopicPartitions>,
}

/// The words of a step behind its verb.
struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    fn who(&self) -> &'a str {
        self.0.first().copied().unwrap_or("nobody")
    }

    fn find(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    fn number(&self, key: &str) -> Option<i64> {
        self.find(key).map(|value| value.parse().unwrap())
    }

    fn seconds(&self, key: &str, default: i64) -> i32 {
        i32::try_from(self.number(key).unwrap_or(default) * 1000).unwrap()
    }

    fn group(&self) -> String {
        self.find("group").unwrap_or("g").to_owned()
    }

    fn instance(&self) -> Option<String> {
        self.find("instance").map(str::to_owned)
    }

    /// Words that name a partition, as in `orders-0=5`.
    fn partitions(&self) -> impl Iterator<Item = &&'a str> {
        self.0
            .iter()
            .filter(|word| word.split('=').next().is_some_and(|name| name.contains('-') && !name.ends_with("-all")))
    }

    fn list(&self, key: &str) -> Vec<&'a str> {
        self.find(key).map(|list| list.split(',').collect()).unwrap_or_default()
    }
}

impl Runner {
    /// Runs one step, and tells what left.
    pub fn run(&mut self, step: &str) -> Vec<String> {
        let mut words = step.split_whitespace();
        let verb = words.next().unwrap();
        let words = Words(words.collect());
        match verb {
            "join" => self.ask(&words, "join", self.join(&words)),
            "sync" => self.ask(&words, "sync", self.sync(&words)),
            "heartbeat" => self.ask(&words, "heartbeat", self.heartbeat(&words)),
            "leave" => self.ask(&words, "leave", self.leave(&words)),
            "commit" => self.ask(&words, "commit", self.commit(&words)),
            "fetch" => self.ask(&words, "fetch", self.fetch(&words)),
            "delete-offsets" => self.ask(&words, "delete-offsets", self.delete_offsets(&words)),
            "describe" => {
                let version = i16::try_from(words.number("v").unwrap_or(6)).unwrap();
                self.ask(&words, "describe", GroupCall::DescribeGroups { version, groups: vec![words.group()] });
            }
            "delete" => self.ask(&words, "delete", GroupCall::DeleteGroups(vec![words.group()])),
            "list" => {
                let list = |key| words.list(key).into_iter().map(str::to_owned).collect();
                let request = ListGroupsRequest { states_filter: list("states"), types_filter: list("types") };
                self.ask(&words, "list", GroupCall::ListGroups(request));
            }
            "beat" => self.ask(&words, "beat", self.beat(&words)),
            "bye" => self.ask(&words, "bye", self.bye(&words, -1)),
            "away" => self.ask(&words, "away", self.bye(&words, -2)),
            "describe-consumers" => {
                self.ask(&words, "describe", GroupCall::ConsumerGroupDescribe(vec![words.group()]));
            }
            "why" => self.ask(&words, "why", self.describe_either(words.group())),
            "events" => return self.render_events(),
            "forget" => drop(self.clients.remove(words.who())),
            "wait" => self.world.wait(Duration::from_secs(words.who().parse().unwrap())),
            "fail-over" => match words.number("max-size") {
                Some(max_size) => {
                    let max_size = usize::try_from(max_size).unwrap();
                    let config = GroupConfig { max_size, ..GroupConfig::clone(self.world.coordinator.config()) };
                    self.world.fail_over_to(config);
                }
                None => self.world.fail_over(),
            },
            "create-topic" => drop(self.world.create_topic(words.who(), 4)),
            "configure" => self.world.configure(&words.group(), &words.0[1..]),
            "delete-topic" => self.world.delete_topic(words.who()),
            other => panic!("no such step: {other}"),
        }
        self.render_answers()
    }

    fn ask(&mut self, words: &Words<'_>, what: &'static str, call: GroupCall) {
        let who = words.who().to_owned();
        self.asked.insert(self.world.asked + 1, (who.clone(), what));
        self.world.ask(&who, call);
    }

    /// Describes a group by the protocol that it is of.
    fn describe_either(&self, group: String) -> GroupCall {
        let known = self.world.coordinator.group(&group);
        match known.is_some_and(|group| group.consumer.is_some()) {
            true => GroupCall::ConsumerGroupDescribe(vec![group]),
            false => GroupCall::DescribeGroups { version: 6, groups: vec![group] },
        }
    }

    fn known(&self, words: &Words<'_>) -> Known {
        let mut known = self.clients.get(words.who()).cloned().unwrap_or_default();
        if let Some(id) = words.find("id") {
            let named = self.names.iter().find(|(_, name)| *name == id).map(|(id, _)| id.clone());
            known.member_id = named.unwrap_or_else(|| id.trim_matches('"').to_owned());
        }
        known.generation = words.number("generation").map_or(known.generation, |number| number.try_into().unwrap());
        known
    }

    fn join(&self, words: &Words<'_>) -> GroupCall {
        let protocols = words.find("protocols").unwrap_or("range");
        let topics: Vec<String> = words.list("topics").into_iter().map(str::to_owned).collect();
        let metadata = if topics.is_empty() {
            Bytes::copy_from_slice(words.find("metadata").unwrap_or("m").as_bytes())
        } else {
            let owned_partitions = words.list("owns").into_iter().map(|word| {
                let (topic, index) = word.split_once('-').unwrap();
                TopicPartition { topic: topic.to_owned(), partitions: vec![index.parse().unwrap()] }
            });
            let owned_partitions = owned_partitions.collect();
            let subscription =
                ConsumerProtocolSubscription { topics, owned_partitions, generation_id: -1, ..Default::default() };
            subscription.to_bytes(3).unwrap()
        };
        let protocol = |name: &str| JoinGroupRequestProtocol { name: name.to_owned(), metadata: metadata.clone() };
        let session_timeout_ms = words.seconds("session", 30);
        let request = JoinGroupRequest {
            group_id: words.group(),
            session_timeout_ms,
            rebalance_timeout_ms: words.seconds("rebalance", 60),
            member_id: self.known(words).member_id,
            group_instance_id: words.instance(),
            protocol_type: words.find("type").unwrap_or("consumer").to_owned(),
            protocols: protocols.split(',').filter(|name| *name != "none").map(protocol).collect(),
            reason: None,
        };
        GroupCall::JoinGroup { version: i16::try_from(words.number("v").unwrap_or(9)).unwrap(), request }
    }

    fn sync(&self, words: &Words<'_>) -> GroupCall {
        let known = self.known(words);
        let assignment = |word: &&str| {
            let (name, assignment) = word.split_once(':').unwrap();
            let member_id = self.names.iter().find(|(_, known)| *known == name).unwrap().0.clone();
            let assignment = match assignment.split_once('/') {
                // Such as `orders/0/1`: two partitions.
                Some((topic, partitions)) => {
                    let partitions = partitions.split('/').map(|index| index.parse().unwrap()).collect();
                    let assigned_partitions = vec![TopicPartition { topic: topic.to_owned(), partitions }];
                    ConsumerProtocolAssignment { assigned_partitions, user_data: None }.to_bytes(1).unwrap()
                }
                None => Bytes::copy_from_slice(assignment.as_bytes()),
            };
            SyncGroupRequestAssignment { member_id, assignment }
        };
        GroupCall::SyncGroup(SyncGroupRequest {
            group_id: words.group(),
            generation_id: known.generation,
            member_id: known.member_id,
            group_instance_id: words.instance(),
            protocol_type: words.find("type").map(str::to_owned),
            protocol_name: words.find("protocol").map(str::to_owned),
            assignments: words.list("assign").iter().map(assignment).collect(),
        })
    }

    fn heartbeat(&self, words: &Words<'_>) -> GroupCall {
        let known = self.known(words);
        GroupCall::Heartbeat(HeartbeatRequest {
            group_id: words.group(),
            generation_id: known.generation,
            member_id: known.member_id,
            group_instance_id: words.instance(),
        })
    }

    fn leave(&self, words: &Words<'_>) -> GroupCall {
        let mut members = vec![MemberIdentity {
            member_id: self.known(words).member_id,
            group_instance_id: words.instance(),
            reason: None,
        }];
        members.extend(words.list("and").into_iter().map(|name| MemberIdentity {
            member_id: self.clients.get(name).map(|known| known.member_id.clone()).unwrap_or_else(|| name.to_owned()),
            ..MemberIdentity::default()
        }));
        GroupCall::LeaveGroup(LeaveGroupRequest { group_id: words.group(), members, ..Default::default() })
    }

    /// A heartbeat: a full one from who joins; `ack` tells that the client has given up what it was told to, `owns=` tells
    /// something else.
    fn beat(&self, words: &Words<'_>) -> GroupCall {
        let known = self.known(words);
        let epoch = words.number("epoch").map_or(known.generation, |epoch| epoch.try_into().unwrap());
        let is_full = epoch == 0 || words.0.contains(&"full");
        let list = |key| words.find(key).map(|_| words.list(key).into_iter().map(str::to_owned).collect::<Vec<_>>());
        let owned = match words.find("owns") {
            Some("nothing") => Some(Vec::new()),
            Some(partitions) => Some(self.parse_partitions(partitions)),
            None if epoch == 0 => Some(Vec::new()),
            None if is_full || words.0.contains(&"ack") => Some(known.owned),
            None => None,
        };
        let text = |key: &str| words.find(key).map(str::to_owned);
        let topics = list("topics").map(|topics| topics.into_iter().filter(|topic| topic != "none").collect());
        let request = ConsumerGroupHeartbeatRequest {
            group_id: words.group(),
            member_id: text("member").unwrap_or_else(|| words.who().to_owned()).trim_matches('"').to_owned(),
            member_epoch: epoch,
            instance_id: words.instance(),
            rack_id: text("rack"),
            rebalance_timeout_ms: if is_full { words.seconds("rebalance", 60) } else { -1 },
            subscribed_topic_names: topics,
            subscribed_topic_regex: text("regex"),
            server_assignor: text("assignor"),
            topic_partitions: owned,
        };
        GroupCall::ConsumerGroupHeartbeat { version: i16::try_from(words.number("v").unwrap_or(1)).unwrap(), request }
    }

    fn parse_partitions(&self, text: &str) -> Vec<consumer_group_heartbeat::TopicPartitions> {
        let partition = |text: &str| {
            let (topic, index) = text.split_once('-').unwrap();
            let partitions = vec![index.parse().unwrap()];
            consumer_group_heartbeat::TopicPartitions { topic_id: self.topic_id(topic), partitions }
        };
        text.split(',').map(partition).collect()
    }

    fn bye(&self, words: &Words<'_>, epoch: i32) -> GroupCall {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: words.group(),
            member_id: words.who().to_owned(),
            member_epoch: epoch,
            instance_id: words.instance(),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        GroupCall::ConsumerGroupHeartbeat { version: 1, request }
    }

    fn topic_id(&self, name: &str) -> Uuid {
        self.world.image.topic(name).map_or(Uuid::ZERO, |topic| Uuid(topic.id.0))
    }

    fn commit(&self, words: &Words<'_>) -> GroupCall {
        let known = self.known(words);
        let topic = |word: &&str| {
            let (partition, rest) = word.split_once('=').unwrap();
            let (offset, metadata) = rest.split_once('/').unwrap_or((rest, ""));
            let (name, index) = partition.split_once('-').unwrap();
            let partition = OffsetCommitRequestPartition {
                partition_index: index.parse().unwrap(),
                committed_offset: offset.parse().unwrap(),
                committed_leader_epoch: 5,
                committed_metadata: Some(metadata.to_owned()),
            };
            OffsetCommitRequestTopic {
                name: name.to_owned(),
                topic_id: self.topic_id(name),
                partitions: vec![partition],
            }
        };
        let is_anonymous = known.member_id.is_empty() && words.find("generation").is_none();
        GroupCall::OffsetCommit {
            version: i16::try_from(words.number("v").unwrap_or(9)).unwrap(),
            request: OffsetCommitRequest {
                group_id: words.group(),
                generation_id_or_member_epoch: if is_anonymous { -1 } else { known.generation },
                member_id: known.member_id,
                group_instance_id: words.instance(),
                retention_time_ms: words.number("retention").unwrap_or(-1),
                topics: words.partitions().map(topic).collect(),
            },
        }
    }

    fn fetch(&self, words: &Words<'_>) -> GroupCall {
        let topic = |word: &&str| {
            let (name, index) = word.split_once('-').unwrap();
            OffsetFetchRequestTopics {
                name: name.to_owned(),
                topic_id: self.topic_id(name),
                partition_indexes: vec![index.parse().unwrap()],
            }
        };
        let topics: Vec<_> = words.partitions().map(topic).collect();
        GroupCall::OffsetFetch(OffsetFetchRequestGroup {
            group_id: words.group(),
            member_id: None,
            member_epoch: -1,
            topics: (!topics.is_empty()).then_some(topics),
        })
    }

    fn delete_offsets(&self, words: &Words<'_>) -> GroupCall {
        let topic = |word: &&str| {
            let (name, index) = word.split_once('-').unwrap();
            let partitions = vec![OffsetDeleteRequestPartition { partition_index: index.parse().unwrap() }];
            OffsetDeleteRequestTopic { name: name.to_owned(), partitions }
        };
        let topics = words.partitions().map(topic).collect();
        GroupCall::OffsetDelete(OffsetDeleteRequest { group_id: words.group(), topics })
    }
}
