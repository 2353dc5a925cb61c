//! Random scripts: whatever happens, the coordinator is sound, and its log tells what it knows.

use proptest::prelude::*;

use super::*;

const CLIENTS: [&str; 4] = ["a", "b", "c", "d"];

/// One line of a script, with what makes it interesting: stale ids and generations, wrong names, time that passes.
fn step() -> impl Strategy<Value = String> {
    let client = prop::sample::select(&CLIENTS[..]);
    let extra = prop::sample::select(vec![
        "",
        "",
        "",
        "",
        "",
        "id=\"\"",
        "id=a",
        "id=b2",
        "generation=1",
        "generation=-1",
        "instance=i1",
        "instance=i2",
        "v=3",
        "v=3",
        "metadata=other",
        "protocols=sticky,range",
        "protocols=range,sticky",
        "session=10",
        "topics=orders",
        "group=h",
    ]);
    let verb = prop::sample::select(
        "join,join,join,join,sync assign,sync,heartbeat,leave,commit,fetch,delete-offsets,describe,delete,list,\
         beat,beat,beat ack,beat ack,beat ack,beat full,beat want,bye,away,describe-consumers"
            .split(',')
            .collect::<Vec<_>>(),
    );
    prop_oneof![
        12 => (verb, client, extra).prop_map(|(verb, client, extra)| match verb {
            "sync assign" => format!("sync {client} {extra} assign-all"),
            "commit" => format!("commit {client} {extra} orders-0=5 events-1=6"),
            "fetch" => format!("fetch {client} {extra}"),
            "beat" => format!("beat {client} {}", beat_extra(extra)),
            "beat ack" => format!("beat {client} ack {}", beat_extra(extra)),
            "beat full" => format!("beat {client} full topics=orders,events {}", beat_extra(extra)),
            "beat want" => format!("beat {client} ack regex=orders|ev.* topics=none {}", beat_extra(extra)),
            "delete-offsets" => format!("delete-offsets {client} {extra} orders-0"),
            verb => format!("{verb} {client} {extra}"),
        }),
        3 => prop::sample::select(vec![1, 5, 11, 40, 100, 400]).prop_map(|seconds| format!("wait {seconds}")),
        1 => Just("fail-over".to_owned()),
        1 => prop::sample::select(vec!["delete-topic orders", "create-topic orders"]).prop_map(str::to_owned),
    ]
}

/// What makes a heartbeat interesting.
fn beat_extra(extra: &str) -> &str {
    match extra {
        "" => "topics=orders",
        "id=a" => "topics=events,orders",
        "id=b2" => "topics=events",
        "session=10" => "epoch=0 topics=orders,events",
        "generation=1" => "epoch=2",
        "v=3" => "",
        extra => extra,
    }
}

fn config() -> GroupConfig {
    GroupConfig {
        max_size: 3,
        initial_rebalance_delay: Duration::from_secs(2),
        offsets_retention: Duration::from_secs(300),
        offsets_retention_check_interval: Duration::from_secs(30),
        ..GroupConfig::default()
    }
}

fn runner() -> script::Runner {
    let mut world = World::new(config());
    world.create_topic("orders", 4);
    world.create_topic("events", 2);
    script::Runner { world, clients: BTreeMap::new(), asked: BTreeMap::new(), names: BTreeMap::new() }
}

/// What consumers of the new protocol do, faults included.
fn consumer_step() -> impl Strategy<Value = String> {
    let client = prop::sample::select(&CLIENTS[..]);
    let what = "beat,beat,beat,ack,ack,ack,want orders,want orders%events,want events,match,epoch 0,epoch 1,bye,classic,\
                classic,sync,heartbeat,leave,commit";
    let what = prop::sample::select(what.split(',').collect::<Vec<_>>());
    prop_oneof![
        12 => (client, what).prop_map(|(client, what)| match what.split_once(' ') {
            Some(("want", topics)) => format!("beat {client} ack topics={}", topics.replace('%', ",")),
            Some((_, epoch)) => format!("beat {client} topics=orders epoch={epoch} owns=nothing"),
            None => match what {
                "beat" => format!("beat {client} topics=orders,events"),
                "ack" => format!("beat {client} ack topics=orders,events"),
                "match" => format!("beat {client} ack topics=none regex=ev.*"),
                "classic" => format!("join {client} v=3 topics=orders,events"),
                "commit" => format!("commit {client} orders-0=5"),
                what => format!("{what} {client}"),
            },
        }),
        2 => prop::sample::select(vec![1, 11, 30]).prop_map(|seconds| format!("wait {seconds}")),
        1 => Just("fail-over".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Checks after every step are the world's.
    #[test]
    fn a_random_script_leaves_nobody_waiting(steps in prop::collection::vec(step(), 1..60)) {
        let mut runner = runner();
        for step in &steps {
            let has_orders = runner.world.image.topic("orders").is_some();
            match step.as_str() {
                "delete-topic orders" if !has_orders => continue,
                "create-topic orders" if has_orders => continue,
                "fail-over" => runner.asked.clear(),
                _ => {}
            }
            runner.run(step);
        }
        runner.run("wait 100000");
        prop_assert!(runner.asked.is_empty(), "unanswered: {:?}", runner.asked);
        prop_assert!(!runner.world.coordinator.groups().values().any(|group| group.has_members()));
    }

    /// That no partition has two owners is checked after every step.
    #[test]
    fn consumers_that_go_on_come_to_rest(steps in prop::collection::vec(consumer_step(), 1..60)) {
        let mut runner = runner();
        for step in &steps {
            if step == "fail-over" {
                runner.asked.clear();
            }
            runner.run(step);
        }
        // Whoever spoke the classic protocol is not heard of again.
        runner.run("wait 400");
        let mut told = Vec::new();
        for _ in 0..12 {
            told.clear();
            for client in CLIENTS {
                told.extend(runner.run(&format!("beat {client} ack full topics=orders,events regex=")));
            }
        }
        prop_assert!(told.iter().all(|line| line.contains(": epoch ")), "{told:?}");
        let group = runner.world.coordinator.group("g").unwrap().consumer.as_ref().unwrap();
        prop_assert_eq!(group.state().name(), "Stable", "{:?}", told);
        let owned: usize = group.members().map(|member| member.owned().count()).sum();
        prop_assert_eq!(owned, 6, "{:?}", told);
    }
}
