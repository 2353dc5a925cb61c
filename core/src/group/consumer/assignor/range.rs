//! Runs of neighbouring partitions, topic by topic: the same positions of all topics go to the same member.

use super::Input;
use crate::group::consumer::Assignment;

/// What each member is to own, in the order of the members.
pub(super) fn assign(input: &Input) -> Vec<Assignment> {
    let mut targets = vec![Assignment::new(); input.subscribers.len()];
    let mut order: Vec<usize> = (0..targets.len()).collect();
    order.sort_by_key(|index| {
        let subscriber = &input.subscribers[*index];
        // Static members first: their places must not move when others come and go.
        (subscriber.instance_id.is_none(), subscriber.instance_id.as_ref(), &subscriber.id)
    });
    for (topic, count) in &input.partition_counts {
        let members: Vec<usize> =
            order.iter().copied().filter(|index| input.subscribers[*index].topics.contains(topic)).collect();
        let Ok(members_len) = i32::try_from(members.len()) else { continue };
        let mut next = 0;
        for (place, member) in (0..).zip(members) {
            let len = count / members_len + i32::from(place < count % members_len);
            if len > 0 {
                targets[member].entry(*topic).or_default().extend(next..next + len);
            }
            next += len;
        }
    }
    targets
}
