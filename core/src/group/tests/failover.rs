//! What another broker makes of the log.

use super::*;

#[test]
fn a_stable_group_goes_on_and_silent_members_get_a_session_to_show_up() {
    check_trace(
        "
        > join a v=3
        a join: generation 1 as a, range led by a [a]
        > join b v=3
        > join a
        a join: generation 2 as a, range led by a [a,b]
        b join: generation 2 as b, range led by a []
        > sync a assign=a:p0,b:p1
        a sync: \"p0\"
        > sync b
        b sync: \"p1\"
        > wait 25
        > fail-over
        > wait 25
        > heartbeat b
        b heartbeat: ok
        > sync b
        b sync: \"p1\"
        > wait 5
        > heartbeat b
        b heartbeat: REBALANCE_IN_PROGRESS
        > join b
        b join: generation 3 as b, range led by b [b]
        ",
    );
}

#[test]
fn joins_in_progress_are_lost_and_begin_anew() {
    check_trace(
        "
        > join a v=3
        a join: generation 1 as a, range led by a [a]
        > sync a assign=a:p0
        a sync: \"p0\"
        > join b v=3
        > fail-over
        > heartbeat a
        a heartbeat: ok
        > join c
        c join: MEMBER_ID_REQUIRED
        > fail-over
        > join c
        c join: UNKNOWN_MEMBER_ID
        ",
    );
}

#[test]
fn a_group_that_has_become_too_large_rebalances_and_whoever_comes_first_stays() {
    check_trace(
        "
        > join a v=3
        a join: generation 1 as a, range led by a [a]
        > join b v=3
        > join c v=3
        > join a
        a join: generation 2 as a, range led by a [a,b,c]
        b join: generation 2 as b, range led by a []
        c join: generation 2 as c, range led by a []
        > sync a assign=a:p0,b:p1,c:p2
        a sync: \"p0\"
        > fail-over max-size=2
        > heartbeat a
        a heartbeat: REBALANCE_IN_PROGRESS
        > join b
        > join c
        > join a
        b join: generation 3 as b, range led by b [b,c]
        c join: generation 3 as c, range led by b []
        a join: GROUP_MAX_SIZE_REACHED
        ",
    );
}
