//! How members come and go.

use super::*;

#[test]
fn the_first_member_gets_an_id_first_and_leads() {
    check_trace(
        "
        > join a
        a join: MEMBER_ID_REQUIRED
        > join a
        a join: generation 1 as a, range led by a [a]
        > heartbeat a
        a heartbeat: ok
        > sync a assign=a:p0
        a sync: \"p0\"
        > sync a
        a sync: \"p0\"
        > describe
        nobody describe: Stable \"consumer\" \"range\" a(m:p0)
        > list
        nobody list: g(consumer,Stable,classic)
        ",
    );
}

#[test]
fn an_older_client_joins_without_an_id() {
    check_trace(
        "
        > join a v=3
        a join: generation 1 as a, range led by a [a]
        ",
    );
}

#[test]
fn a_second_member_makes_the_first_join_again() {
    check_trace(
        "
        > join a v=3
        a join: generation 1 as a, range led by a [a]
        > sync a assign=a:p0p1
        a sync: \"p0p1\"
        > join b v=3
        > heartbeat a
        a heartbeat: REBALANCE_IN_PROGRESS
        > sync a
        a sync: REBALANCE_IN_PROGRESS
        > join a
        a join: generation 2 as a, range led by a [a,b]
        b join: generation 2 as b, range led by a []
        > sync b
        > commit b orders-0=7
        b commit: REBALANCE_IN_PROGRESS
        > sync a assign=a:p0,b:p1
        a sync: \"p0\"
        b sync: \"p1\"
        > heartbeat b
        b heartbeat: ok
        ",
    );
}

#[test]
fn bad_joins_are_refused() {
    check_trace(
        "
        > join a group= v=3
        a join: INVALID_GROUP_ID
        > join a session=5
        a join: INVALID_SESSION_TIMEOUT
        > join a session=1801
        a join: INVALID_SESSION_TIMEOUT
        > join a id=stranger
        a join: UNKNOWN_MEMBER_ID
        > join a protocols=none
        a join: INCONSISTENT_GROUP_PROTOCOL
        > join a type=
        a join: INCONSISTENT_GROUP_PROTOCOL
        > join a v=3
        a join: generation 1 as a, range led by a [a]
        > join b v=3 type=connect
        b join: INCONSISTENT_GROUP_PROTOCOL
        > join b v=3 protocols=sticky
        b join: INCONSISTENT_GROUP_PROTOCOL
        > join b id=stranger
        b join: UNKNOWN_MEMBER_ID
        ",
    );
}

#[test]
fn any_protocol_type_is_carried() {
    check_trace(
        "
        > join worker v=3 type=connect protocols=sessioned,compatible
        worker join: generation 1 as worker, sessioned led by worker [worker]
        > sync worker assign=worker:tasks
        worker sync: \"tasks\"
        > describe
        nobody describe: Stable \"connect\" \"sessioned\" worker(m:tasks)
        ",
    );
}

#[test]
fn most_votes_choose_among_the_protocols_that_all_know() {
    check_trace_with(
        GroupConfig { initial_rebalance_delay: Duration::from_secs(3), ..GroupConfig::default() },
        "
        > join a v=3 protocols=sticky,range,roundrobin
        > join b v=3 protocols=roundrobin,range
        > join c v=3 protocols=range,roundrobin
        > wait 9
        a join: generation 1 as a, range led by a [a,b,c]
        b join: generation 1 as b, range led by a []
        c join: generation 1 as c, range led by a []
        ",
    );
}

#[test]
fn a_full_group_takes_nobody_else() {
    check_trace_with(
        GroupConfig { max_size: 2, ..GroupConfig::default() },
        "
        > join a v=3
        a join: generation 1 as a, range led by a [a]
        > join b v=3
        > join c v=3
        > join a
        b join: generation 2 as b, range led by b [b,c]
        c join: generation 2 as c, range led by b []
        a join: GROUP_MAX_SIZE_REACHED
        > join d v=3
        d join: GROUP_MAX_SIZE_REACHED
        > join c
        c join: generation 2 as c, range led by b []
        ",
    );
}

#[test]
fn members_leave_one_by_one_or_several_at_once() {
    check_trace(
        "
        > join a v=3
        a join: generation 1 as a, range led by a [a]
        > join b v=3
        > join c
        c join: MEMBER_ID_REQUIRED
        > leave c
        c leave: ok
        > join a
        a join: generation 2 as a, range led by a [a,b]
        b join: generation 2 as b, range led by a []
        > leave a id=stranger
        a leave: UNKNOWN_MEMBER_ID
        > leave a and=b,stranger
        a leave: ok ok UNKNOWN_MEMBER_ID
        > heartbeat a
        a heartbeat: UNKNOWN_MEMBER_ID
        > describe
        nobody describe: Empty \"consumer\" \"\"
        > leave a group=other
        a leave: UNKNOWN_MEMBER_ID
        > leave a group=
        a leave: INVALID_GROUP_ID
        ",
    );
}

#[test]
fn a_request_that_waits_is_answered_when_its_retry_comes() {
    check_trace(
        "
        > join a v=3
        a join: generation 1 as a, range led by a [a]
        > join b
        b join: MEMBER_ID_REQUIRED
        > join b
        > join b
        b join: REBALANCE_IN_PROGRESS
        > join a
        a join: generation 2 as a, range led by a [a,b]
        b join: generation 2 as b, range led by a []
        > sync b
        > sync b
        b sync: REBALANCE_IN_PROGRESS
        > sync a assign=a:p0,b:p1
        a sync: \"p0\"
        b sync: \"p1\"
        ",
    );
}

#[test]
fn whoever_waits_is_answered_when_it_is_removed() {
    check_trace(
        "
        > join a v=3
        a join: generation 1 as a, range led by a [a]
        > join b
        b join: MEMBER_ID_REQUIRED
        > join b
        > leave b
        b join: UNKNOWN_MEMBER_ID
        b leave: ok
        > join b id=\"\" v=3
        > join a
        a join: generation 2 as a, range led by a [a,b2]
        b join: generation 2 as b2, range led by a []
        > sync b
        > leave b
        b sync: UNKNOWN_MEMBER_ID
        b leave: ok
        ",
    );
}

#[test]
fn a_name_of_32_kb_makes_an_id_that_fits() {
    let mut world = World::new(GroupConfig::default());
    let id = member_id(&"ä".repeat(16_000), 7);
    assert!(id.len() < 1100 && id.ends_with("-00000000-0000-0000-0000-000000000007"), "{id}");
    world.wait(Duration::from_secs(1));
}
