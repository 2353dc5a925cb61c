//! What groups tell of themselves: events, and why they have rebalanced.

use super::*;

#[test]
fn a_classic_group_reports_how_it_stands_and_why_it_rebalances() {
    check_trace(
        "
        > join a v=3
        a join: generation 1 as a, range led by a [a]
        > why admin
        admin why: 0 s ago, because a joins; its reason: not provided
        > sync a assign=a:x
        a sync: \"x\"
        > events
        g rebalances after 0: a joins; its reason: not provided
        g is classic, Stable, 1, 1
        > wait 10
        > join b v=3
        > events
        g rebalances after 1: b-00000000-0000-0000-0000-000000000004 joins; its reason: not provided
        g is classic, PreparingRebalance, 1, 2
        > why admin
        admin why: 0 s ago, because b-00000000-0000-0000-0000-000000000004 joins; its reason: not provided
        > join a v=3
        a join: generation 2 as a, range led by a [a,b]
        b join: generation 2 as b, range led by a []
        > sync a assign=a:x,b:y
        a sync: \"x\"
        > commit a orders-0=5
        a commit: ok
        > events
        g is at orders-0=5
        g is classic, Stable, 2, 2
        > leave b
        b leave: ok
        > wait 7
        > why admin
        admin why: 7 s ago, because b has left
        > fail-over
        > events
        g is classic, Stable, 2, 2
        > why admin
        admin why: unknown
        ",
    );
}

#[test]
fn a_consumer_group_reports_how_it_stands_and_why_it_rebalances() {
    check_trace(
        "
        > beat a topics=orders
        a beat: epoch 2 owns [orders-0 orders-1 orders-2 orders-3]
        > events
        g rebalances after 1: a joins
        g is consumer, Stable, 2, 1
        > wait 10
        > beat b topics=orders
        b beat: epoch 3 owns []
        > why admin
        admin why: 0 s ago, because b joins
        > events
        g rebalances after 2: b joins
        g is consumer, Reconciling, 3, 2
        > beat a
        a beat: epoch 2 owns [orders-2 orders-3]
        > beat a ack
        a beat: epoch 3
        > beat b
        b beat: epoch 3 owns [orders-0 orders-1]
        > events
        g is consumer, Stable, 3, 2
        > commit a orders-3=7
        a commit: ok
        > events
        g is at orders-3=7
        > create-topic new
        > beat a topics=orders,new
        a beat: epoch 3 owns []
        > why admin
        admin why: 0 s ago, because a subscribes to something else
        > bye b
        b bye: epoch -1
        > why admin
        admin why: 0 s ago, because b is gone: it has left
        > events
        g rebalances after 3: a subscribes to something else
        g loses b: it has left
        g rebalances after 4: b is gone: it has left
        g is consumer, Assigning, 5, 1
        > fail-over
        > events
        g is consumer, Assigning, 5, 1
        > why admin
        admin why: unknown
        > bye a
        a bye: epoch -1
        > events
        g loses a: it has left
        g is consumer, Empty, 6, 0
        > delete admin
        admin delete: ok
        > events
        g is removed
        ",
    );
}
