//! The consumer protocol: targets, reconciliation, fencing.

use super::*;

#[test]
fn a_member_alone_gets_everything() {
    check_trace(
        "
        > beat a topics=orders,events
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3 events-0 events-1]
        > beat a
        a beat: epoch 2
        > describe-consumers
        nobody describe: Stable epoch 2 assigned 2 by uniform
        nobody describe: a type 1 epoch 2 [orders-0 orders-1 orders-2 orders-3 events-0 events-1] target [orders-0 orders-1 orders-2 orders-3 events-0 events-1]
        > list
        nobody list: g(consumer,Stable,consumer)
        > describe
        nobody describe: GROUP_ID_NOT_FOUND Dead
        ",
    );
}

#[test]
fn a_new_member_gets_partitions_when_they_are_given_up_and_not_before() {
    check_trace(
        "
        > beat a topics=orders
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > beat b topics=orders
        b beat: epoch 3 owns []
        > beat b
        b beat: epoch 3
        > beat a
        a beat: epoch 2 owns [orders-2 orders-3]
        > beat b
        b beat: epoch 3
        > beat a owns=orders-0,orders-2,orders-3
        a beat: epoch 2
        > beat b
        b beat: epoch 3
        > describe-consumers
        nobody describe: Reconciling epoch 3 assigned 3 by uniform
        nobody describe: a type 1 epoch 2 [orders-2 orders-3] target [orders-2 orders-3]
        nobody describe: b type 1 epoch 3 [] target [orders-0 orders-1]
        > fail-over
        > beat a ack
        a beat: epoch 3
        > beat b
        b beat: epoch 3 owns [orders-0 orders-1]
        > list
        nobody list: g(consumer,Stable,consumer)
        ",
    );
}

#[test]
fn members_leave_and_their_partitions_go_to_the_rest() {
    check_trace(
        "
        > beat a topics=orders
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > bye a
        a bye: epoch -1
        > list
        nobody list: g(consumer,Empty,consumer)
        > beat b topics=orders
        b beat: epoch 4 owns [orders-0 orders-1 orders-2 orders-3]
        > bye a
        a bye: UNKNOWN_MEMBER_ID
        > bye a group=other
        a bye: GROUP_ID_NOT_FOUND
        ",
    );
}

#[test]
fn a_member_of_which_nothing_is_heard_is_out() {
    check_trace(
        "
        > beat a topics=orders
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > beat b topics=orders
        b beat: epoch 3 owns []
        > wait 44
        > beat b
        b beat: epoch 3
        > wait 1
        > beat b
        b beat: epoch 4 owns [orders-0 orders-1 orders-2 orders-3]
        > beat a
        a beat: UNKNOWN_MEMBER_ID
        ",
    );
}

#[test]
fn a_session_lasts_as_long_as_is_configured_for_the_group() {
    check_trace(
        "
        > beat a topics=orders
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > configure g consumer.session.timeout.ms=60000 consumer.heartbeat.interval.ms=12000
        > beat a
        a beat: epoch 2, again in 12 s
        > wait 59
        > beat a
        a beat: epoch 2, again in 12 s
        > fail-over
        > wait 59
        > beat a
        a beat: epoch 2, again in 12 s
        > wait 60
        > beat a
        a beat: UNKNOWN_MEMBER_ID
        > beat a group=other topics=orders
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        ",
    );
}

#[test]
fn a_member_that_does_not_give_up_in_time_is_out() {
    check_trace(
        "
        > beat a topics=orders rebalance=20
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > beat b topics=orders
        b beat: epoch 3 owns []
        > beat a
        a beat: epoch 2 owns [orders-2 orders-3]
        > wait 15
        > beat a
        a beat: epoch 2
        > wait 5
        > beat a
        a beat: UNKNOWN_MEMBER_ID
        > beat b
        b beat: epoch 4 owns [orders-0 orders-1 orders-2 orders-3]
        ",
    );
}

#[test]
fn epochs_that_are_not_the_members_are_fenced() {
    check_trace(
        "
        > beat a topics=orders
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > beat a epoch=7
        a beat: FENCED_MEMBER_EPOCH
        > beat a topics=orders
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > beat a topics=events
        a beat: epoch 2 owns []
        > beat a ack
        a beat: epoch 3 owns [events-0 events-1]
        > beat a epoch=2 owns=events-0
        a beat: epoch 3
        > beat a epoch=2 owns=orders-0
        a beat: FENCED_MEMBER_EPOCH
        > beat b epoch=2
        b beat: UNKNOWN_MEMBER_ID
        > beat b epoch=2 group=other
        b beat: GROUP_ID_NOT_FOUND
        ",
    );
}

#[test]
fn bad_heartbeats_are_refused() {
    check_trace_with(
        GroupConfig {
            consumer: ConsumerGroupConfig { max_size: 1, ..ConsumerGroupConfig::default() },
            ..GroupConfig::default()
        },
        "
        > beat a topics=orders group=
        a beat: INVALID_REQUEST
        > beat a topics=orders member=\"\"
        a beat: INVALID_REQUEST
        > beat a
        a beat: INVALID_REQUEST
        > beat a topics=orders owns=orders-0
        a beat: INVALID_REQUEST
        > beat a topics=orders instance=
        a beat: INVALID_REQUEST
        > beat a topics=orders epoch=-3
        a beat: INVALID_REQUEST
        > away a
        a away: INVALID_REQUEST
        > beat a topics=orders assignor=sticky
        a beat: UNSUPPORTED_ASSIGNOR
        > beat a regex=(
        a beat: INVALID_REGULAR_EXPRESSION
        > list
        nobody list: nothing
        > beat a topics=orders
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > beat b topics=orders
        b beat: GROUP_MAX_SIZE_REACHED
        ",
    );
}

#[test]
fn topics_that_change_begin_another_epoch() {
    check_trace(
        "
        > beat a topics=orders,new
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > create-topic new
        > beat a
        a beat: epoch 3 owns [orders-0 orders-1 orders-2 orders-3 new-0 new-1 new-2 new-3]
        > delete-topic orders
        > beat a
        a beat: epoch 3 owns [new-0 new-1 new-2 new-3]
        > beat a ack
        a beat: epoch 4
        ",
    );
}

#[test]
fn a_regular_expression_finds_topics_that_come_later() {
    check_trace(
        "
        > beat a regex=or.*
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > create-topic ordinary
        > wait 9
        > beat a
        a beat: epoch 2
        > wait 1
        > beat a
        a beat: epoch 3 owns [orders-0 orders-1 orders-2 orders-3 ordinary-0 ordinary-1 ordinary-2 ordinary-3]
        > delete-offsets admin orders-0
        admin delete-offsets: GROUP_SUBSCRIBED_TO_TOPIC
        > beat a regex= topics=events
        a beat: epoch 3 owns []
        > beat a ack
        a beat: epoch 4 owns [events-0 events-1]
        > beat a regex=(
        a beat: INVALID_REGULAR_EXPRESSION
        > beat a
        a beat: epoch 4
        ",
    );
}

#[test]
fn the_assignor_that_most_members_want_is_used() {
    check_trace(
        "
        > beat b topics=orders,events assignor=range
        b beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3 events-0 events-1]
        > beat a topics=orders,events assignor=range
        a beat: epoch 3 owns []
        > beat b
        b beat: epoch 2 owns [orders-2 orders-3 events-1]
        > beat b ack
        b beat: epoch 3
        > beat a
        a beat: epoch 3 owns [orders-0 orders-1 events-0]
        ",
    );
}

#[test]
fn a_static_member_that_is_away_keeps_what_it_owns() {
    check_trace(
        "
        > beat a topics=orders instance=i1
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > beat b topics=orders instance=i1
        b beat: UNRELEASED_INSTANCE_ID
        > beat b epoch=2 instance=i1
        b beat: FENCED_INSTANCE_ID
        > away a instance=i1
        a away: epoch -2
        > fail-over
        > beat b topics=orders instance=i1
        b beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > beat a epoch=2 instance=i1
        a beat: FENCED_INSTANCE_ID
        > away b instance=i1
        b away: epoch -2
        > wait 45
        > list
        nobody list: g(consumer,Empty,consumer)
        ",
    );
}

#[test]
fn commits_at_other_epochs_are_refused_but_for_what_was_owned_all_along() {
    check_trace(
        "
        > beat a topics=orders
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > beat b topics=orders
        b beat: epoch 3 owns []
        > commit a orders-0=5
        a commit: ok
        > beat a
        a beat: epoch 2 owns [orders-2 orders-3]
        > commit a orders-0=6
        a commit: ok
        > beat a ack
        a beat: epoch 3
        > beat b
        b beat: epoch 3 owns [orders-0 orders-1]
        > commit a generation=2 orders-2=7
        a commit: ok
        > commit a generation=2 orders-0=7
        a commit: STALE_MEMBER_EPOCH
        > commit b generation=2 orders-0=7
        b commit: STALE_MEMBER_EPOCH
        > commit a generation=4 orders-2=7
        a commit: STALE_MEMBER_EPOCH
        > commit a v=8 orders-2=7
        a commit: UNSUPPORTED_VERSION
        > commit admin orders-2=7
        admin commit: UNKNOWN_MEMBER_ID
        > fetch admin
        admin fetch: orders-0=6 orders-2=7
        ",
    );
}

#[test]
fn a_consumer_group_is_deleted_when_it_has_no_members() {
    check_trace(
        "
        > beat a topics=orders regex=ev.*
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3 events-0 events-1]
        > commit a orders-0=5
        a commit: ok
        > delete admin
        admin delete: NON_EMPTY_GROUP
        > bye a
        a bye: epoch -1
        > delete admin
        admin delete: ok
        > describe-consumers
        nobody describe: GROUP_ID_NOT_FOUND
        > list
        nobody list: nothing
        ",
    );
}

#[test]
fn offsets_of_a_consumer_group_expire_where_nobody_reads() {
    check_trace_with(
        GroupConfig {
            offsets_retention: Duration::from_secs(30),
            offsets_retention_check_interval: Duration::from_secs(10),
            ..GroupConfig::default()
        },
        "
        > beat a topics=orders
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > commit a orders-0=5 events-0=1
        a commit: ok ok
        > wait 40
        > fetch admin
        admin fetch: orders-0=5
        > bye a
        a bye: epoch -1
        > wait 40
        > list
        nobody list: nothing
        ",
    );
}

#[test]
fn a_member_that_subscribes_to_nothing_is_in_the_group_and_survives_a_failover() {
    check_trace(
        "
        > beat a topics=none
        a beat: epoch 2 owns []
        > beat a
        a beat: epoch 2
        > fail-over
        > beat a
        a beat: epoch 2
        > beat b topics=orders
        b beat: epoch 3 owns [orders-0 orders-1 orders-2 orders-3]
        > beat a
        a beat: epoch 3
        ",
    );
}
