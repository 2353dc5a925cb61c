//! Offsets: committed, looked up, forgotten.

use super::*;

#[test]
fn offsets_are_what_was_committed_last() {
    check_trace(
        "
        > fetch admin orders-0
        admin fetch: orders-0=-1
        > fetch admin
        admin fetch: nothing
        > commit admin orders-0=5/note orders-1=6 events-0=1
        admin commit: ok ok ok
        > commit admin orders-0=3
        admin commit: ok
        > fetch admin orders-0 orders-1 orders-2
        admin fetch: orders-0=3 orders-1=6 orders-2=-1
        > fail-over
        > fetch admin
        admin fetch: events-0=1 orders-0=3 orders-1=6
        > list
        nobody list: g(,Empty,classic)
        > describe
        nobody describe: Empty \"\" \"\"
        ",
    );
}

#[test]
fn only_members_of_the_generation_commit_to_a_group_that_has_members() {
    check_trace(
        "
        > join a v=3
        a join: generation 1 as a, range led by a [a]
        > sync a assign=a:p0
        a sync: \"p0\"
        > commit admin orders-0=5
        admin commit: UNKNOWN_MEMBER_ID
        > commit admin id=stranger generation=1 orders-0=5
        admin commit: UNKNOWN_MEMBER_ID
        > commit a generation=0 orders-0=5
        a commit: ILLEGAL_GENERATION
        > commit a generation=-1 orders-0=5
        a commit: ILLEGAL_GENERATION
        > commit a instance=i1 orders-0=5
        a commit: UNKNOWN_MEMBER_ID
        > commit a orders-0=5
        a commit: ok
        > leave a
        a leave: ok
        > commit a orders-0=6
        a commit: UNKNOWN_MEMBER_ID
        > commit admin orders-0=7
        admin commit: ok
        > commit a group=other generation=3 v=8 orders-0=6
        a commit: ILLEGAL_GENERATION
        > commit a group=other generation=3 v=9 orders-0=6
        a commit: GROUP_ID_NOT_FOUND
        > fetch admin orders-0
        admin fetch: orders-0=7
        ",
    );
}

#[test]
fn a_note_that_is_too_long_fails_by_itself() {
    check_trace_with(
        GroupConfig { offset_metadata_max_bytes: 4, ..GroupConfig::default() },
        "
        > commit admin orders-0=5/12345 orders-1=6/1234
        admin commit: OFFSET_METADATA_TOO_LARGE ok
        > fetch admin
        admin fetch: orders-1=6/1234
        ",
    );
}

#[test]
fn offsets_of_a_deleted_topic_are_gone_and_its_namesake_begins_without_them() {
    check_trace(
        "
        > commit admin orders-0=5 events-0=1
        admin commit: ok ok
        > delete-topic orders
        > fetch admin
        admin fetch: events-0=1
        > create-topic orders
        > fetch admin orders-0
        admin fetch: orders-0=-1
        > wait 2
        > commit admin orders-1=1
        admin commit: ok
        > fetch admin
        admin fetch: events-0=1 orders-1=1
        > delete-topic orders
        > delete-topic events
        > wait 2
        > list
        nobody list: nothing
        ",
    );
}

#[test]
fn offsets_of_a_topic_that_is_read_are_not_deleted() {
    check_trace(
        "
        > commit admin orders-0=5 events-0=1
        admin commit: ok ok
        > join a v=3 topics=orders
        a join: generation 1 as a, range led by a [a]
        > delete-offsets admin orders-0 events-0 events-1
        admin delete-offsets: GROUP_SUBSCRIBED_TO_TOPIC ok ok
        > fetch admin
        admin fetch: orders-0=5
        > delete-offsets admin group=other orders-0
        admin delete-offsets: GROUP_ID_NOT_FOUND
        > delete-offsets admin group= orders-0
        admin delete-offsets: INVALID_GROUP_ID
        > leave a
        a leave: ok
        > delete-offsets admin orders-0
        admin delete-offsets: ok
        > fetch admin
        admin fetch: nothing
        ",
    );
}

#[test]
fn offsets_of_a_group_that_keeps_its_secrets_are_not_deleted() {
    check_trace(
        "
        > join a v=3 type=connect
        a join: generation 1 as a, range led by a [a]
        > delete-offsets admin orders-0
        admin delete-offsets: NON_EMPTY_GROUP
        ",
    );
}

#[test]
fn a_group_is_deleted_when_it_has_no_members() {
    check_trace(
        "
        > delete admin
        admin delete: GROUP_ID_NOT_FOUND
        > join a v=3
        a join: generation 1 as a, range led by a [a]
        > sync a assign=a:p0
        a sync: \"p0\"
        > commit a orders-0=5
        a commit: ok
        > delete admin
        admin delete: NON_EMPTY_GROUP
        > leave a
        a leave: ok
        > join b
        b join: MEMBER_ID_REQUIRED
        > delete admin
        admin delete: ok
        > join b
        b join: UNKNOWN_MEMBER_ID
        > fetch admin
        admin fetch: nothing
        > describe
        nobody describe: GROUP_ID_NOT_FOUND Dead
        > describe admin v=5
        admin describe: Dead \"\" \"\"
        ",
    );
}

#[test]
fn groups_are_listed_by_state_and_type() {
    check_trace(
        "
        > commit admin group=simple orders-0=5
        admin commit: ok
        > join a v=3 group=busy
        a join: generation 1 as a, range led by a [a]
        > list
        nobody list: busy(consumer,CompletingRebalance,classic) simple(,Empty,classic)
        > list admin states=empty,dead
        admin list: simple(,Empty,classic)
        > list admin types=consumer
        admin list: nothing
        ",
    );
}

/// A day is 86,400 s; offsets are kept for seven.
#[test]
fn offsets_expire_when_they_have_not_been_used_for_the_time_of_retention() {
    check_trace(
        "
        > commit admin group=simple orders-0=5
        admin commit: ok
        > commit admin group=hasty retention=5000 orders-0=5
        admin commit: ok
        > join a v=3 session=1000 topics=orders
        a join: generation 1 as a, range led by a [a]
        > sync a assign=a:p0
        a sync: \"p0\"
        > commit a orders-0=5 events-0=1
        a commit: ok ok
        > wait 900
        > heartbeat a
        a heartbeat: ok
        > list
        nobody list: g(consumer,Stable,classic) simple(,Empty,classic)
        > leave a
        a leave: ok
        > wait 603800
        > commit admin group=simple orders-1=1
        admin commit: ok
        > wait 900
        > fetch admin group=simple
        admin fetch: orders-1=1
        > fetch admin
        admin fetch: events-0=1 orders-0=5
        > wait 600
        > fetch admin
        admin fetch: nothing
        > list
        nobody list: simple(,Empty,classic)
        > wait 604800
        > list
        nobody list: nothing
        ",
    );
}

#[test]
fn a_member_that_gives_a_topic_up_lets_its_offsets_expire() {
    check_trace_with(
        GroupConfig {
            offsets_retention: Duration::from_secs(100),
            offsets_retention_check_interval: Duration::from_secs(10),
            ..GroupConfig::default()
        },
        "
        > join a v=3 session=1000 topics=orders
        a join: generation 1 as a, range led by a [a]
        > sync a assign=a:p0
        a sync: \"p0\"
        > commit a orders-0=5 events-0=1
        a commit: ok ok
        > wait 110
        > fetch admin
        admin fetch: orders-0=5
        ",
    );
}

#[test]
fn a_sweep_looks_through_many_groups_in_pieces() {
    let mut world = World::new(GroupConfig::default());
    world.create_topic("orders", 1);
    for group in 0..30 {
        let mut runner =
            script::Runner { world, clients: BTreeMap::new(), asked: BTreeMap::new(), names: BTreeMap::new() };
        runner.run(&format!("commit admin group=g{group:0>20000} orders-0=1"));
        world = runner.world;
    }
    world.delete_topic("orders");
    world.wait(Duration::from_millis(999));
    let before = world.log.len();
    world.move_clock(world.now.mono + Duration::from_millis(1));
    world.handle(&GroupRequest::Timeout);
    assert!((1..30).contains(&(world.log.len() - before)), "one decision writes a bounded piece");
    world.wait(Duration::ZERO);
    assert_eq!(world.log.len() - before, 30, "a tombstone for each offset");
    assert_eq!(world.coordinator.groups().len(), 0, "nothing else was known of them");
}

#[test]
fn an_empty_group_stays_until_it_is_time_to_look_for_what_has_expired() {
    check_trace_with(
        GroupConfig { offsets_retention_check_interval: Duration::from_secs(10), ..GroupConfig::default() },
        "
        > join a v=3 topics=orders
        a join: generation 1 as a, range led by a [a]
        > sync a assign=a:p0
        a sync: \"p0\"
        > commit a orders-0=5
        a commit: ok
        > leave a
        a leave: ok
        > delete-topic orders
        > wait 2
        > fetch admin
        admin fetch: nothing
        > list
        nobody list: g(consumer,Empty,classic)
        > wait 9
        > list
        nobody list: nothing
        ",
    );
}
