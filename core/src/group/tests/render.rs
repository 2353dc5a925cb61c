//! What leaves in a step, as the scripts show it.

use bytes::Bytes;
use highwater_wire::join_group::JoinGroupResponse;
use highwater_wire::offset_fetch::OffsetFetchResponseTopics;
use highwater_wire::{
    ConsumerGroupHeartbeatResponse, ConsumerProtocolAssignment, ErrorCode, Uuid, consumer_group_describe,
};

use super::script::{Known, Runner};
use super::*;

impl Runner {
    pub fn render_answers(&mut self) -> Vec<String> {
        let answers = std::mem::take(&mut self.world.answers);
        for (ticket, response) in &answers {
            let (who, _) = self.asked[ticket].clone();
            match response {
                GroupResponse::JoinGroup(response) => self.learn(&who, response),
                GroupResponse::ConsumerGroupHeartbeat(response) => self.learn_epoch(&who, response),
                _ => {}
            }
        }
        let mut lines = Vec::new();
        for (ticket, response) in answers {
            let (who, what) = self.asked.remove(&ticket).expect("every request is answered once");
            let texts = if what == "why" { vec![self.render_why(&response)] } else { self.render(response) };
            lines.extend(texts.into_iter().map(|text| format!("{who} {what}: {text}")));
        }
        lines
    }

    fn render(&self, response: GroupResponse) -> Vec<String> {
        let text = match response {
            GroupResponse::JoinGroup(response) => self.render_join(&response),
            GroupResponse::SyncGroup(response) => match error(response.error_code) {
                None => render_assignment(&response.assignment),
                Some(error) => error,
            },
            GroupResponse::Heartbeat(response) => outcome(response.error_code),
            GroupResponse::LeaveGroup(response) if response.error_code != 0 => outcome(response.error_code),
            GroupResponse::LeaveGroup(response) => {
                response.members.iter().map(|one| outcome(one.error_code)).collect::<Vec<_>>().join(" ")
            }
            GroupResponse::OffsetCommit(response) => {
                let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
                partitions.map(|one| outcome(one.error_code)).collect::<Vec<_>>().join(" ")
            }
            GroupResponse::OffsetFetch(response) if response.error_code != 0 => outcome(response.error_code),
            GroupResponse::OffsetFetch(response) => render_offsets(&response.topics),
            GroupResponse::OffsetDelete(response) if response.error_code != 0 => outcome(response.error_code),
            GroupResponse::OffsetDelete(response) => {
                let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
                partitions.map(|one| outcome(one.error_code)).collect::<Vec<_>>().join(" ")
            }
            GroupResponse::DescribeGroups(groups) => return groups.iter().map(|one| self.render_group(one)).collect(),
            GroupResponse::ListGroups(groups) => {
                let group = |one: &highwater_wire::list_groups::ListedGroup| {
                    format!("{}({},{},{})", one.group_id, one.protocol_type, one.group_state, one.group_type)
                };
                let groups = groups.unwrap();
                if groups.is_empty() {
                    return vec!["nothing".to_owned()];
                }
                groups.iter().map(group).collect::<Vec<_>>().join(" ")
            }
            GroupResponse::ConsumerGroupHeartbeat(response) => self.render_beat(&response),
            GroupResponse::ConsumerGroupDescribe(groups) => {
                return groups.iter().flat_map(|group| self.render_consumers(group)).collect();
            }
            GroupResponse::DeleteGroups(results) => {
                results.iter().map(|one| outcome(one.error_code)).collect::<Vec<_>>().join(" ")
            }
        };
        vec![text]
    }

    fn render_why(&self, response: &GroupResponse) -> String {
        let last = match response {
            GroupResponse::DescribeGroups(groups) => groups[0].last_rebalance.clone(),
            GroupResponse::ConsumerGroupDescribe(groups) => groups[0].last_rebalance.clone(),
            other => panic!("not a description: {other:?}"),
        };
        let Some(last) = last else { return "unknown".to_owned() };
        let passed = (self.world.now.wall.0 - last.began_ms) / 1000;
        format!("{passed} s ago, because {}", self.with_names(&last.reason))
    }

    /// What the coordinator has reported since this was last asked.
    pub fn render_events(&mut self) -> Vec<String> {
        let events = self.world.coordinator.take_events();
        let text = |event| match event {
            GroupEvent::Changed { group, standing: Standing { protocol, state, generation, members } } => {
                format!("{group} is {protocol}, {state}, {generation}, {members}")
            }
            GroupEvent::Rebalancing { group, generation, reason } => {
                format!("{group} rebalances after {generation}: {}", self.with_names(&reason))
            }
            GroupEvent::MemberRemoved { group, member, reason } => {
                format!("{group} loses {}: {reason}", self.name(&member))
            }
            GroupEvent::Committed { group, topic, partition, offset } => {
                format!("{group} is at {topic}-{partition}={offset}")
            }
            GroupEvent::Removed { group } => format!("{group} is removed"),
        };
        events.into_iter().map(text).collect()
    }

    fn with_names(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (id, name)| text.replace(id, name))
    }

    fn render_join(&self, response: &JoinGroupResponse) -> String {
        if let Some(error) = error(response.error_code) {
            return error;
        }
        let members = response.members.iter().map(|member| self.name(&member.member_id)).collect::<Vec<_>>().join(",");
        let skip = if response.skip_assignment { " skip" } else { "" };
        format!(
            "generation {} as {}, {} led by {} [{members}]{skip}",
            response.generation_id,
            self.name(&response.member_id),
            response.protocol_name.as_deref().unwrap_or("none"),
            self.name(&response.leader),
        )
    }

    /// A client takes the id and the generation that it is told.
    fn learn(&mut self, who: &str, response: &JoinGroupResponse) {
        if response.error_code != 0 && response.error_code != ErrorCode::MemberIdRequired.code() {
            return;
        }
        let known = self.clients.entry(who.to_owned()).or_default();
        if !self.names.contains_key(&response.member_id) {
            known.count += 1;
            let name = if known.count == 1 { who.to_owned() } else { format!("{who}{}", known.count) };
            self.names.insert(response.member_id.clone(), name);
        }
        known.member_id.clone_from(&response.member_id);
        known.generation = response.generation_id;
    }

    /// A client takes over what it shall own, or begins anew.
    fn learn_epoch(&mut self, who: &str, response: &ConsumerGroupHeartbeatResponse) {
        let known = self.clients.entry(who.to_owned()).or_default();
        match ErrorCode::try_from(response.error_code).unwrap() {
            ErrorCode::None => {}
            ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound => {
                *known = Known { count: known.count, ..Known::default() };
                return;
            }
            _ => return,
        }
        known.generation = response.member_epoch.max(0);
        known.member_id = response.member_id.clone().unwrap_or_default();
        self.names.insert(known.member_id.clone(), who.to_owned());
        if let Some(assignment) = &response.assignment {
            known.owned.clone_from(&assignment.topic_partitions);
        }
    }

    fn render_beat(&self, response: &ConsumerGroupHeartbeatResponse) -> String {
        if let Some(error) = error(response.error_code) {
            return error;
        }
        let partitions = response.assignment.as_ref().map(|assignment| {
            let topics = assignment.topic_partitions.iter();
            let topics = topics.map(|topic| self.render_partitions(topic.topic_id, &topic.partitions));
            format!(" owns [{}]", topics.collect::<Vec<_>>().join(" "))
        });
        let again = match response.heartbeat_interval_ms {
            // The default of a script, and of who leaves.
            5000 | 0 => String::new(),
            interval => format!(", again in {} s", interval / 1000),
        };
        format!("epoch {}{}{again}", response.member_epoch, partitions.unwrap_or_default())
    }

    fn render_partitions(&self, topic: Uuid, partitions: &[i32]) -> String {
        let topic = self.world.image.topic_by_id(TopicId(topic.0));
        let topic = topic.map_or("gone", |topic| &*topic.name);
        partitions.iter().map(|index| format!("{topic}-{index}")).collect::<Vec<_>>().join(" ")
    }

    fn render_consumers(&self, group: &consumer_group_describe::DescribedGroup) -> Vec<String> {
        if let Some(error) = error(group.error_code) {
            return vec![error];
        }
        let assignment = |assignment: &consumer_group_describe::Assignment| {
            let topics = assignment.topic_partitions.iter();
            topics.map(|topic| self.render_partitions(topic.topic_id, &topic.partitions)).collect::<Vec<_>>().join(" ")
        };
        let mut lines = vec![format!(
            "{} epoch {} assigned {} by {}",
            group.group_state, group.group_epoch, group.assignment_epoch, group.assignor_name
        )];
        lines.extend(group.members.iter().map(|member| {
            format!(
                "{} type {} epoch {} [{}] target [{}]",
                self.name(&member.member_id),
                member.member_type,
                member.member_epoch,
                assignment(&member.assignment),
                assignment(&member.target_assignment)
            )
        }));
        lines
    }

    fn name(&self, member_id: &str) -> String {
        self.names.get(member_id).cloned().unwrap_or_else(|| format!("{member_id:?}"))
    }

    fn render_group(&self, group: &highwater_wire::describe_groups::DescribedGroup) -> String {
        if let Some(error) = error(group.error_code) {
            return format!("{error} {}", group.group_state);
        }
        let member = |one: &highwater_wire::describe_groups::DescribedGroupMember| {
            let bytes = |bytes: &Bytes| str::from_utf8(bytes).unwrap_or("?").to_owned();
            format!(" {}({}:{})", self.name(&one.member_id), bytes(&one.member_metadata), bytes(&one.member_assignment))
        };
        let members: String = group.members.iter().map(member).collect();
        format!("{} {:?} {:?}{members}", group.group_state, group.protocol_type, group.protocol_data)
    }
}

fn render_offsets(topics: &[OffsetFetchResponseTopics]) -> String {
    let mut texts = Vec::new();
    for topic in topics {
        for partition in &topic.partitions {
            let metadata = partition.metadata.as_deref().filter(|text| !text.is_empty());
            let metadata = metadata.map(|text| format!("/{text}")).unwrap_or_default();
            texts
                .push(format!("{}-{}={}{metadata}", topic.name, partition.partition_index, partition.committed_offset));
        }
    }
    if texts.is_empty() { "nothing".to_owned() } else { texts.join(" ") }
}

/// Assignments of scripts are words, those of a consumer group are in the consumers' own format.
fn render_assignment(bytes: &Bytes) -> String {
    match ConsumerProtocolAssignment::from_bytes(bytes) {
        Ok(assignment) => {
            let topics = assignment.assigned_partitions.iter();
            let topics =
                topics.flat_map(|topic| topic.partitions.iter().map(|index| format!("{}-{index}", topic.topic)));
            format!("owns [{}]", topics.collect::<Vec<_>>().join(" "))
        }
        Err(_) => format!("{:?}", str::from_utf8(bytes).unwrap()),
    }
}

fn error(code: i16) -> Option<String> {
    (code != 0).then(|| outcome(code))
}

fn outcome(code: i16) -> String {
    match ErrorCode::try_from(code).unwrap() {
        ErrorCode::None => "ok".to_owned(),
        error => error.name().to_owned(),
    }
}
