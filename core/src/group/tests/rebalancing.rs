//! From one generation to the next, in time and out of time.

use super::*;

#[test]
fn the_first_rebalance_waits_for_more_members_while_they_come() {
    check_trace_with(
        GroupConfig { initial_rebalance_delay: Duration::from_secs(3), ..GroupConfig::default() },
        "
        > join a v=3 rebalance=8
        > wait 2
        > join b v=3 rebalance=8
        > wait 3
        > join c v=3 rebalance=8
        > wait 1
        > wait 2
        a join: generation 1 as a, range led by a [a,b,c]
        b join: generation 1 as b, range led by a []
        c join: generation 1 as c, range led by a []
        ",
    );
}

#[test]
fn members_that_do_not_join_again_in_time_are_out() {
    check_trace(
        "
        > join a v=3 rebalance=20
        a join: generation 1 as a, range led by a [a]
        > sync a assign=a:p0
        a sync: \"p0\"
        > join b v=3 rebalance=20
        > wait 19
        > heartbeat a
        a heartbeat: REBALANCE_IN_PROGRESS
        > wait 1
        b join: generation 2 as b, range led by b [b]
        > heartbeat a
        a heartbeat: UNKNOWN_MEMBER_ID
        ",
    );
}

#[test]
fn a_member_of_which_nothing_is_heard_is_out() {
    check_trace(
        "
        > join a v=3 session=10
        a join: generation 1 as a, range led by a [a]
        > join b v=3 session=30
        > join a session=10
        a join: generation 2 as a, range led by a [a,b]
        b join: generation 2 as b, range led by a []
        > sync a assign=a:p0,b:p1
        a sync: \"p0\"
        > sync b
        b sync: \"p1\"
        > wait 9
        > heartbeat a
        a heartbeat: ok
        > wait 9
        > commit a orders-0=3
        a commit: ok
        > wait 9
        > heartbeat b
        b heartbeat: ok
        > wait 1
        > heartbeat b
        b heartbeat: REBALANCE_IN_PROGRESS
        > join b session=30
        b join: generation 3 as b, range led by b [b]
        > wait 60
        > describe
        nobody describe: Empty \"consumer\" \"\"
        ",
    );
}

#[test]
fn an_id_that_nobody_comes_back_with_holds_a_rebalance_up_for_a_session() {
    check_trace(
        "
        > join a v=3 session=10
        a join: generation 1 as a, range led by a [a]
        > sync a assign=a:p0
        a sync: \"p0\"
        > join b session=10
        b join: MEMBER_ID_REQUIRED
        > join a session=30
        > wait 9
        > wait 1
        a join: generation 2 as a, range led by a [a]
        > join b
        b join: UNKNOWN_MEMBER_ID
        ",
    );
}

#[test]
fn members_that_do_not_fetch_their_assignment_in_time_are_out() {
    check_trace(
        "
        > join a v=3 rebalance=20 session=60
        a join: generation 1 as a, range led by a [a]
        > join b v=3 rebalance=20 session=60
        > join a rebalance=20 session=60
        a join: generation 2 as a, range led by a [a,b]
        b join: generation 2 as b, range led by a []
        > sync a assign=a:p0,b:p1
        a sync: \"p0\"
        > wait 20
        > heartbeat b
        b heartbeat: UNKNOWN_MEMBER_ID
        > heartbeat a
        a heartbeat: REBALANCE_IN_PROGRESS
        ",
    );
}

#[test]
fn a_new_member_that_waits_for_five_minutes_is_out() {
    check_trace(
        "
        > join a v=3 session=1000 rebalance=1000
        a join: generation 1 as a, range led by a [a]
        > join b v=3 session=1000 rebalance=1000
        > wait 300
        b join: UNKNOWN_MEMBER_ID
        > join a session=1000 rebalance=1000
        a join: generation 2 as a, range led by a [a]
        ",
    );
}

#[test]
fn a_join_without_change_says_the_generation_and_a_change_begins_another() {
    check_trace(
        "
        > join a v=3
        a join: generation 1 as a, range led by a [a]
        > join b v=3
        > join a
        a join: generation 2 as a, range led by a [a,b]
        b join: generation 2 as b, range led by a []
        > join a
        a join: generation 2 as a, range led by a [a,b]
        > sync a assign=a:p0,b:p1
        a sync: \"p0\"
        > sync b
        b sync: \"p1\"
        > join b
        b join: generation 2 as b, range led by a []
        > join b metadata=other
        > heartbeat a
        a heartbeat: REBALANCE_IN_PROGRESS
        > join a
        a join: generation 3 as a, range led by a [a,b]
        b join: generation 3 as b, range led by a []
        > sync a assign=a:p0,b:p1
        a sync: \"p0\"
        > sync b
        b sync: \"p1\"
        > join a
        > join b metadata=other
        a join: generation 4 as a, range led by a [a,b]
        b join: generation 4 as b, range led by a []
        ",
    );
}

#[test]
fn a_sync_of_another_generation_or_protocol_is_refused() {
    check_trace(
        "
        > join a v=3
        a join: generation 1 as a, range led by a [a]
        > sync a generation=0
        a sync: ILLEGAL_GENERATION
        > sync a type=connect
        a sync: INCONSISTENT_GROUP_PROTOCOL
        > sync a protocol=sticky
        a sync: INCONSISTENT_GROUP_PROTOCOL
        > sync a id=stranger
        a sync: UNKNOWN_MEMBER_ID
        > sync a group=other
        a sync: UNKNOWN_MEMBER_ID
        > sync a group=
        a sync: INVALID_GROUP_ID
        > heartbeat a generation=7
        a heartbeat: ILLEGAL_GENERATION
        > heartbeat a group=
        a heartbeat: INVALID_GROUP_ID
        > heartbeat a group=other
        a heartbeat: UNKNOWN_MEMBER_ID
        > sync a type=consumer protocol=range assign=a:p0
        a sync: \"p0\"
        ",
    );
}
