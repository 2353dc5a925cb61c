//! A classic group as administrators see it.

use highwater_wire::describe_groups::{DescribedGroup, DescribedGroupMember};

use super::{ClassicGroup, State};

impl ClassicGroup {
    /// The group and its members. What members said and got is told only of a generation that is complete.
    pub fn describe(&self, id: &str) -> DescribedGroup {
        let protocol = match self.state {
            State::Stable => self.protocol.as_deref(),
            State::Empty | State::PreparingRebalance(_) | State::CompletingRebalance => None,
        };
        let members = self.members().map(|member| DescribedGroupMember {
            member_id: member.id.to_string(),
            group_instance_id: member.instance_id.as_deref().map(str::to_owned),
            client_id: member.client_id.to_string(),
            client_host: member.client_host.to_string(),
            member_metadata: protocol.and_then(|name| member.protocols.metadata(name)).cloned().unwrap_or_default(),
            member_assignment: member.assignment.clone(),
        });
        DescribedGroup {
            group_id: id.to_owned(),
            group_state: self.state.name().to_owned(),
            protocol_type: self.protocol_type.as_deref().unwrap_or_default().to_owned(),
            protocol_data: protocol.unwrap_or_default().to_owned(),
            members: members.collect(),
            ..DescribedGroup::default()
        }
    }
}
