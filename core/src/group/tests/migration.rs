//! From one protocol to the other, with members.

use super::*;

#[test]
fn a_classic_group_becomes_a_consumer_group_and_back() {
    check_trace(
        "
        > join a v=3 topics=orders
        a join: generation 1 as a, range led by a [a]
        > sync a assign=a:orders/0/1/2/3
        a sync: owns [orders-0 orders-1 orders-2 orders-3]
        > beat b topics=orders
        b beat: epoch 2 owns []
        > list
        nobody list: g(consumer,Reconciling,consumer)
        > commit a orders-0=4
        a commit: ok
        > heartbeat a
        a heartbeat: REBALANCE_IN_PROGRESS
        > join a topics=orders owns=orders-0,orders-1,orders-2,orders-3
        a join: generation 1 as a, range led by \"\" []
        > sync a
        a sync: owns [orders-2 orders-3]
        > heartbeat a
        a heartbeat: REBALANCE_IN_PROGRESS
        > join a topics=orders owns=orders-2,orders-3
        a join: generation 2 as a, range led by \"\" []
        > sync a
        a sync: owns [orders-2 orders-3]
        > heartbeat a
        a heartbeat: ok
        > beat b
        b beat: epoch 2 owns [orders-0 orders-1]
        > describe-consumers
        nobody describe: Stable epoch 2 assigned 2 by uniform
        nobody describe: a type 0 epoch 2 [orders-2 orders-3] target [orders-2 orders-3]
        nobody describe: b type 1 epoch 2 [orders-0 orders-1] target [orders-0 orders-1]
        > fail-over
        > bye b
        b bye: epoch -1
        > list
        nobody list: g(consumer,PreparingRebalance,classic)
        > heartbeat a
        a heartbeat: REBALANCE_IN_PROGRESS
        > join a topics=orders
        a join: generation 3 as a, range led by a [a]
        ",
    );
}

/// Found by the simulator: without a failover the heartbeat of who is left sends it back to join; after one nobody did, and
/// what the others had owned was read by nobody.
#[test]
fn a_failover_does_not_undo_the_rebalance_that_begins_when_a_group_becomes_classic() {
    check_trace(
        "
        > beat b topics=orders
        b beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > join a v=3 topics=orders
        a join: generation 3 as a, range led by \"\" []
        > sync a
        a sync: owns []
        > bye b
        b bye: epoch -1
        > fail-over
        > list
        nobody list: g(consumer,PreparingRebalance,classic)
        > heartbeat a
        a heartbeat: REBALANCE_IN_PROGRESS
        > join a topics=orders
        a join: generation 4 as a, range led by a [a]
        ",
    );
}

#[test]
fn whoever_waits_in_a_classic_group_is_sent_back_when_it_changes() {
    check_trace(
        "
        > join a v=3 topics=orders
        a join: generation 1 as a, range led by a [a]
        > join b v=3 topics=orders
        > beat c topics=orders
        b join: REBALANCE_IN_PROGRESS
        c beat: epoch 2 owns [orders-2]
        > list
        nobody list: g(consumer,Reconciling,consumer)
        ",
    );
}

#[test]
fn groups_that_cannot_change_are_left_alone() {
    check_trace(
        "
        > join a v=3 type=connect
        a join: generation 1 as a, range led by a [a]
        > beat b topics=orders
        b beat: GROUP_ID_NOT_FOUND
        > join c v=3 group=h metadata=gibberish
        c join: generation 1 as c, range led by c [c]
        > beat b topics=orders group=h
        b beat: GROUP_ID_NOT_FOUND
        > list
        nobody list: g(connect,CompletingRebalance,classic) h(consumer,CompletingRebalance,classic)
        ",
    );
}

#[test]
fn an_empty_group_changes_without_further_ado() {
    check_trace(
        "
        > commit admin orders-0=5
        admin commit: ok
        > beat a topics=orders
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > bye a
        a bye: epoch -1
        > join b v=3
        b join: generation 1 as b, range led by b [b]
        > list
        nobody list: g(consumer,CompletingRebalance,classic)
        > leave b
        b leave: ok
        > beat a topics=orders
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > fetch admin
        admin fetch: orders-0=5
        ",
    );
}

#[test]
fn classic_members_of_a_consumer_group_come_and_go() {
    check_trace(
        "
        > beat a topics=orders
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > join b type=connect topics=orders
        b join: INCONSISTENT_GROUP_PROTOCOL
        > join b topics=orders
        b join: MEMBER_ID_REQUIRED
        > join b metadata=gibberish
        b join: INCONSISTENT_GROUP_PROTOCOL
        > join b topics=orders
        b join: generation 3 as b, range led by \"\" []
        > heartbeat b
        b heartbeat: ok
        > sync b
        b sync: owns []
        > beat a
        a beat: epoch 2 owns [orders-2 orders-3]
        > beat a ack
        a beat: epoch 3
        > heartbeat b
        b heartbeat: REBALANCE_IN_PROGRESS
        > join b topics=orders
        b join: generation 3 as b, range led by \"\" []
        > sync b generation=1
        b sync: ILLEGAL_GENERATION
        > sync b protocol=sticky
        b sync: INCONSISTENT_GROUP_PROTOCOL
        > sync b
        b sync: owns [orders-0 orders-1]
        > heartbeat a
        a heartbeat: UNKNOWN_MEMBER_ID
        > leave b and=stranger
        b leave: ok UNKNOWN_MEMBER_ID
        > beat a
        a beat: epoch 4 owns [orders-0 orders-1 orders-2 orders-3]
        ",
    );
}

#[test]
fn a_classic_member_that_does_not_come_back_in_time_is_out() {
    check_trace(
        "
        > beat a topics=orders
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > join b topics=orders rebalance=10
        b join: MEMBER_ID_REQUIRED
        > join b topics=orders rebalance=10
        b join: generation 3 as b, range led by \"\" []
        > wait 10
        > sync b
        b sync: UNKNOWN_MEMBER_ID
        ",
    );
}

#[test]
fn a_static_member_that_goes_back_to_the_classic_protocol_takes_the_group_with_it() {
    check_trace(
        "
        > beat a topics=orders instance=i1
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > join b topics=orders instance=i1
        b join: generation 2 as b, range led by \"\" []
        > list
        nobody list: g(consumer,Stable,classic)
        > sync b instance=i1
        b sync: owns [orders-0 orders-1 orders-2 orders-3]
        > heartbeat b instance=i1
        b heartbeat: ok
        > beat a epoch=2 instance=i1
        a beat: GROUP_ID_NOT_FOUND
        > fail-over
        > join c topics=orders,events instance=i1
        c join: generation 2 as c, range led by c [c] skip
        ",
    );
}

#[test]
fn a_group_stays_what_it_is_where_the_policy_says_so() {
    let consumer = ConsumerGroupConfig { migration: MigrationPolicy::Disabled, ..ConsumerGroupConfig::default() };
    check_trace_with(
        GroupConfig { consumer, ..GroupConfig::default() },
        "
        > join a v=3 topics=orders
        a join: generation 1 as a, range led by a [a]
        > beat b topics=orders
        b beat: GROUP_ID_NOT_FOUND
        > beat b topics=orders group=h
        b beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > join c v=3 topics=orders group=h
        c join: generation 3 as c, range led by \"\" []
        > bye b group=h
        b bye: epoch -1
        > list
        nobody list: g(consumer,CompletingRebalance,classic) h(consumer,Assigning,consumer)
        ",
    );
}
