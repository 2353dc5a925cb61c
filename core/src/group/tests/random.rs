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
    let verb = prop::sample::select(vec![
        "join",
        "join",
        "join",
        "join",
        "sync assign",
        "sync",
        "heartbeat",
        "leave",
        "commit",
        "fetch",
        "delete-offsets",
        "describe",
        "delete",
        "list",
    ]);
    prop_oneof![
        12 => (verb, client, extra).prop_map(|(verb, client, extra)| match verb {
            "sync assign" => format!("sync {client} {extra} assign-all"),
            "commit" => format!("commit {client} {extra} orders-0=5 events-1=6"),
            "fetch" => format!("fetch {client} {extra}"),
            "delete-offsets" => format!("delete-offsets {client} {extra} orders-0"),
            verb => format!("{verb} {client} {extra}"),
        }),
        3 => prop::sample::select(vec![1, 5, 11, 40, 100, 400]).prop_map(|seconds| format!("wait {seconds}")),
        1 => Just("fail-over".to_owned()),
        1 => prop::sample::select(vec!["delete-topic orders", "create-topic orders"]).prop_map(str::to_owned),
    ]
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Checks after every step are the world's.
    #[test]
    fn a_random_script_leaves_nobody_waiting(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new(config());
        world.create_topic("orders", 1);
        let mut runner =
            script::Runner { world, clients: BTreeMap::new(), asked: BTreeMap::new(), names: BTreeMap::new() };
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
        prop_assert!(runner.world.coordinator.groups().values().all(|group| group.classic().member_count() == 0));
    }
}
