//! Members with a name of their own (KIP-345): a restart is no rebalance.

use super::*;

#[test]
fn a_static_member_that_restarts_keeps_its_assignment() {
    check_trace(
        "
        > join a instance=i1
        a join: generation 1 as a, range led by a [a]
        > join b instance=i2
        > join a instance=i1
        a join: generation 2 as a, range led by a [a,b]
        b join: generation 2 as b, range led by a []
        > sync a instance=i1 assign=a:p0,b:p1
        a sync: \"p0\"
        > sync b instance=i2
        b sync: \"p1\"
        > join b id=\"\" instance=i2
        b join: generation 2 as b2, range led by a []
        > sync b instance=i2
        b sync: \"p1\"
        > heartbeat b id=b instance=i2
        b heartbeat: FENCED_INSTANCE_ID
        > commit b id=b instance=i2 orders-0=3
        b commit: FENCED_INSTANCE_ID
        > heartbeat b instance=i2
        b heartbeat: ok
        > join a id=\"\" instance=i1 v=9
        a join: generation 2 as a2, range led by a2 [a2,b2] skip
        > join a id=\"\" instance=i1 v=8
        a join: generation 2 as a3, range led by a2 []
        > fail-over
        > sync a instance=i1
        a sync: \"p0\"
        > heartbeat b instance=i2
        b heartbeat: ok
        ",
    );
}

#[test]
fn a_replacement_that_would_choose_another_protocol_begins_a_rebalance() {
    check_trace(
        "
        > join a instance=i1 protocols=range,sticky
        a join: generation 1 as a, range led by a [a]
        > sync a instance=i1 assign=a:p0
        a sync: \"p0\"
        > join a id=\"\" instance=i1 protocols=sticky,range
        a join: generation 2 as a2, sticky led by a2 [a2]
        ",
    );
}

#[test]
fn a_replacement_fences_whoever_waits_under_the_old_id() {
    check_trace(
        "
        > join a instance=i1
        a join: generation 1 as a, range led by a [a]
        > join b v=3
        > join a instance=i1 id=stranger
        a join: FENCED_INSTANCE_ID
        > join c instance=i3
        > join c2 instance=i3
        c join: FENCED_INSTANCE_ID
        > join a instance=i1
        b join: generation 2 as b, range led by a []
        a join: generation 2 as a, range led by a [b,a,c2]
        c2 join: generation 2 as c2, range led by a []
        > sync c2 instance=i3
        > join c3 instance=i3
        c2 sync: FENCED_INSTANCE_ID
        ",
    );
}

#[test]
fn static_members_are_waited_for_until_their_session_ends() {
    check_trace(
        "
        > join a instance=i1 session=100 rebalance=20
        a join: generation 1 as a, range led by a [a]
        > sync a instance=i1 assign=a:p0
        a sync: \"p0\"
        > join b v=3 session=100 rebalance=20
        > wait 20
        b join: generation 2 as b, range led by b [b,a]
        > sync b assign=b:p1,a:p0
        b sync: \"p1\"
        ",
    );
}

#[test]
fn an_administrator_removes_a_static_member_by_its_name() {
    check_trace(
        "
        > join a instance=i1
        a join: generation 1 as a, range led by a [a]
        > leave admin instance=i9
        admin leave: UNKNOWN_MEMBER_ID
        > leave admin id=stranger instance=i1
        admin leave: FENCED_INSTANCE_ID
        > leave admin instance=i1
        admin leave: ok
        > heartbeat a instance=i1
        a heartbeat: UNKNOWN_MEMBER_ID
        ",
    );
}
