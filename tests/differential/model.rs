//! What both brokers should hold by now: enough of it that most requests are about something that exists.
//!
//! It follows Kafka's answers. A wrong guess costs nothing but a request that is refused.

use std::collections::BTreeMap;

use highwater_wire::produce::TopicProduceResponse;
use highwater_wire::records::BatchHeader;
use highwater_wire::{AnyRequest, AnyResponse, ErrorCode, Records, Uuid};

use crate::dice::Dice;
use crate::ids::{Ids, Who};
use crate::step::Step;

/// The known world, ids in our names.
#[derive(Debug, Default)]
pub struct Model {
    /// By name.
    pub topics: BTreeMap<String, Topic>,
    /// Ids of topics that are gone.
    pub deleted: Vec<Uuid>,
    /// Producers that were given an id.
    pub producers: Vec<Producer>,
    /// Open fetch sessions: id, the epoch that comes next, and whether they name topics by id.
    pub sessions: Vec<Session>,
    /// Groups with what they have of members.
    pub groups: BTreeMap<String, Group>,
}

/// A topic.
#[derive(Clone, Debug, Default)]
pub struct Topic {
    /// Its id, once an answer has told.
    pub id: Option<Uuid>,
    /// Its partitions.
    pub partitions: Vec<Partition>,
}

/// A partition.
#[derive(Clone, Copy, Debug, Default)]
pub struct Partition {
    /// Its first offset.
    pub start: i64,
    /// The offset that comes next.
    pub end: i64,
}

/// An idempotent producer.
#[derive(Clone, Debug)]
pub struct Producer {
    /// Its id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// The sequence number that comes next, by topic and partition.
    pub next: BTreeMap<(String, i32), i32>,
}

/// A group, of either protocol.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Those that joined.
    pub members: Vec<Member>,
    /// Those that were given an id, and are to join with it.
    pub pending: Vec<String>,
    /// The generation of a classic group.
    pub generation: i32,
}

/// A member of a group.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// Its name, if it is a static member.
    pub instance: Option<String>,
    /// Our name for its epoch, if it speaks the consumer protocol.
    pub epoch: Option<i32>,
}

/// A fetch session.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// Its id.
    pub id: i32,
    /// The epoch that comes next.
    pub epoch: i32,
    /// The version that it was opened in.
    pub version: i16,
}

/// The first version of Produce that names topics by id.
const TOPIC_ID_VERSION: i16 = 13;

/// The most sessions that are remembered.
const SESSIONS_MAX: usize = 4;

impl Group {
    fn put(&mut self, member: Member) {
        self.members.retain(|known| known.id != member.id);
        self.members.push(member);
    }

    fn remove(&mut self, id: &str) {
        self.members.retain(|member| member.id != id);
        self.pending.retain(|pending| pending != id);
    }
}

impl Model {
    /// A topic that exists, if there is one.
    pub fn any_topic(&self, dice: &mut Dice) -> Option<(&str, &Topic)> {
        let names: Vec<&String> = self.topics.keys().collect();
        if names.is_empty() {
            return None;
        }
        let name = dice.pick(&names);
        Some((name, &self.topics[name]))
    }

    /// Whether the id of a topic is not known yet.
    pub fn lacks_ids(&self) -> bool {
        self.topics.values().any(|topic| topic.id.is_none())
    }

    /// The name of a topic with this id.
    pub fn name_of(&self, id: Uuid) -> Option<&str> {
        self.topics.iter().find(|(_, topic)| topic.id == Some(id)).map(|(name, _)| name.as_str())
    }

    /// A partition, if it is known.
    pub fn partition(&self, topic: &str, index: i32) -> Option<Partition> {
        let index = usize::try_from(index).ok()?;
        self.topics.get(topic)?.partitions.get(index).copied()
    }

    /// Takes note of what Kafka has answered.
    pub fn learn(&mut self, step: &Step, response: &AnyResponse, ids: &Ids) {
        let topic_name = |id: &Uuid| ids.topics.name(Who::Kafka, id).copied().filter(|id| *id != Uuid::ZERO);
        match (&step.request, response) {
            (AnyRequest::CreateTopics(request), AnyResponse::CreateTopics(response)) if !request.validate_only => {
                for created in response.topics.iter().filter(|topic| topic.error_code == 0) {
                    let asked = request.topics.iter().find(|topic| topic.name == created.name);
                    let count = asked.map_or(1, |topic| topic.num_partitions.max(topic.assignments.len() as i32));
                    let count = usize::try_from(created.num_partitions.max(count)).unwrap_or(0).max(1);
                    let partitions = vec![Partition::default(); count];
                    self.topics.insert(created.name.clone(), Topic { id: topic_name(&created.topic_id), partitions });
                }
            }
            (AnyRequest::DeleteTopics(_), AnyResponse::DeleteTopics(response)) => {
                for deleted in response.responses.iter().filter(|topic| topic.error_code == 0) {
                    let topic = deleted.name.as_ref().and_then(|name| self.topics.remove(name));
                    self.deleted.extend(topic.and_then(|topic| topic.id));
                }
            }
            (AnyRequest::CreatePartitions(request), AnyResponse::CreatePartitions(response))
                if !request.validate_only =>
            {
                for grown in response.results.iter().filter(|topic| topic.error_code == 0) {
                    let asked = request.topics.iter().find(|topic| topic.name == grown.name);
                    if let (Some(topic), Some(asked)) = (self.topics.get_mut(&grown.name), asked) {
                        topic.partitions.resize(usize::try_from(asked.count).unwrap_or(0), Partition::default());
                    }
                }
            }
            (_, AnyResponse::Metadata(response)) => {
                for listed in response.topics.iter().filter(|topic| topic.error_code == 0 && !topic.is_internal) {
                    let Some(name) = listed.name.as_ref().filter(|name| *name != crate::world::BARRIER) else {
                        continue;
                    };
                    let topic = self.topics.entry(name.clone()).or_default();
                    topic.id = topic_name(&listed.topic_id).or(topic.id);
                    topic.partitions.resize(listed.partitions.len(), Partition::default());
                }
            }
            (_, AnyResponse::InitProducerId(response)) if response.error_code == 0 => {
                if let Some(&id) = ids.producers.name(Who::Kafka, &response.producer_id) {
                    self.producers.push(Producer { id, epoch: response.producer_epoch, next: BTreeMap::new() });
                }
            }
            (AnyRequest::Produce(request), AnyResponse::Produce(response)) => {
                for topic in &request.topic_data {
                    let by_id = step.version >= TOPIC_ID_VERSION;
                    let name = if by_id { self.name_of(topic.topic_id) } else { Some(&*topic.name) };
                    let Some(name) = name.map(str::to_owned) else { continue };
                    let is_asked = |answered: &&TopicProduceResponse| match by_id {
                        true => topic_name(&answered.topic_id) == Some(topic.topic_id),
                        false => answered.name == topic.name,
                    };
                    let rows = response.responses.iter().filter(is_asked).flat_map(|topic| &topic.partition_responses);
                    for answered in rows.filter(|row| row.error_code == 0) {
                        if let Some(asked) = topic.partition_data.iter().find(|asked| asked.index == answered.index) {
                            self.produced(&name, asked.index, answered.base_offset, &asked.records);
                        }
                    }
                }
            }
            (AnyRequest::DeleteRecords(_), AnyResponse::DeleteRecords(response)) => {
                for topic in &response.topics {
                    for row in topic.partitions.iter().filter(|row| row.error_code == 0) {
                        if let Some(partition) = self.partition_mut(&topic.name, row.partition_index) {
                            partition.start = row.low_watermark;
                        }
                    }
                }
            }
            (AnyRequest::Fetch(request), AnyResponse::Fetch(response)) => {
                self.fetched(step.version, request.session_id, request.session_epoch, response, ids);
            }
            _ => self.learn_groups(&step.request, response, ids),
        }
    }

    /// Takes note of where logs end.
    pub fn learn_ends(&mut self, ends: &[(String, i32, i64)]) {
        for (topic, index, end) in ends {
            if let Some(partition) = self.partition_mut(topic, *index) {
                partition.end = *end;
            }
        }
    }

    fn produced(&mut self, topic: &str, index: i32, base_offset: i64, records: &Records) {
        let Records::Inline(bytes) = records else { return };
        let Ok(header) = BatchHeader::parse(bytes) else { return };
        if let Some(partition) = self.partition_mut(topic, index) {
            partition.end = partition.end.max(base_offset + i64::from(header.last_offset_delta) + 1);
        }
        if let Some(producer) = self.producers.iter_mut().find(|producer| producer.id == header.producer_id) {
            let next = header.base_sequence.wrapping_add(header.record_count);
            producer.epoch = producer.epoch.max(header.producer_epoch);
            producer.next.insert((topic.to_owned(), index), if next < 0 { 0 } else { next });
        }
    }

    fn fetched(&mut self, version: i16, asked: i32, epoch: i32, response: &highwater_wire::FetchResponse, ids: &Ids) {
        if epoch <= 0 || response.error_code != 0 {
            self.sessions.retain(|session| session.id != asked || (response.error_code != 0 && epoch > 0));
        } else if let Some(session) = self.sessions.iter_mut().find(|session| session.id == asked) {
            session.epoch += 1;
        }
        if epoch == 0
            && response.session_id != 0
            && let Some(&id) = ids.sessions.name(Who::Kafka, &response.session_id)
        {
            if self.sessions.len() == SESSIONS_MAX {
                self.sessions.remove(0);
            }
            self.sessions.push(Session { id, epoch: 1, version });
        }
    }

    fn learn_groups(&mut self, request: &AnyRequest, response: &AnyResponse, ids: &Ids) {
        let name = |id: &String| ids.members.name(Who::Kafka, id).unwrap_or(id).clone();
        match (request, response) {
            (AnyRequest::JoinGroup(request), AnyResponse::JoinGroup(response)) => {
                let group = self.groups.entry(request.group_id.clone()).or_default();
                let id = name(&response.member_id);
                if response.error_code == ErrorCode::MemberIdRequired.code() {
                    group.pending.push(id);
                } else if response.error_code == 0 {
                    group.pending.retain(|pending| *pending != id);
                    group.generation = response.generation_id;
                    let instance = request.group_instance_id.clone();
                    group.members.retain(|member| instance.is_none() || member.instance != instance);
                    group.put(Member { id, instance, epoch: None });
                }
            }
            (AnyRequest::LeaveGroup(request), AnyResponse::LeaveGroup(response)) if response.error_code == 0 => {
                let Some(group) = self.groups.get_mut(&request.group_id) else { return };
                group.remove(&request.member_id);
                for member in response.members.iter().filter(|member| member.error_code == 0) {
                    group.remove(&name(&member.member_id));
                    group
                        .members
                        .retain(|known| known.instance.is_none() || known.instance != member.group_instance_id);
                }
            }
            (AnyRequest::ConsumerGroupHeartbeat(request), AnyResponse::ConsumerGroupHeartbeat(response))
                if response.error_code == 0 =>
            {
                let group = self.groups.entry(request.group_id.clone()).or_default();
                let id = response.member_id.as_ref().map_or_else(|| request.member_id.clone(), name);
                if response.member_epoch < 0 {
                    group.remove(&id);
                    return;
                }
                let known = group.members.iter().find(|member| member.id == id);
                let instance = known.and_then(|member| member.instance.clone()).or_else(|| request.instance_id.clone());
                group.put(Member { id, instance, epoch: Some(response.member_epoch) });
            }
            (_, AnyResponse::DeleteGroups(response)) => {
                for row in response.results.iter().filter(|row| row.error_code == 0) {
                    self.groups.remove(&row.group_id);
                }
            }
            _ => {}
        }
    }

    fn partition_mut(&mut self, topic: &str, index: i32) -> Option<&mut Partition> {
        let index = usize::try_from(index).ok()?;
        self.topics.get_mut(topic)?.partitions.get_mut(index)
    }
}
