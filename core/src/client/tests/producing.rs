use super::*;

fn plain() -> ClientConfig {
    let mut config = config();
    config.producer.idempotent = false;
    config
}

/// A client that has its producer id and has written one record to partition 0.
fn idempotent() -> Script {
    let mut script = Script::with_topic(&config(), 1);
    assert_eq!(script.produce(1, Some(0), "a"), ["send 0 InitProducerId v5"]);
    assert_eq!(script.answer(0, producer_id(7)), ["send 0 Produce v13 0:a#0/0"]);
    assert_eq!(script.answer(0, produced(0, Ok(0))), ["ok 1 0@0"]);
    script
}

#[test]
fn records_wait_for_company_until_the_batch_lingers_long_enough() {
    let mut config = plain();
    config.producer.linger = Duration::from_millis(5);
    let mut script = Script::with_topic(&config, 1);
    assert_eq!(script.produce(1, Some(0), "a"), [""; 0]);
    assert_eq!(script.produce(2, Some(0), "b"), [""; 0]);
    assert_eq!(script.advance(4), [""; 0]);
    assert_eq!(script.advance(1), ["send 0 Produce v13 0:a,b"]);
    assert_eq!(script.answer(0, produced(0, Ok(10))), ["ok 1 0@10", "ok 2 0@11"]);
}

#[test]
fn a_full_batch_does_not_linger() {
    let mut config = plain();
    config.producer.linger = Duration::from_secs(1);
    config.producer.batch_bytes = 80;
    let mut script = Script::with_topic(&config, 1);
    assert_eq!(script.produce(1, Some(0), "first"), [""; 0]);
    assert_eq!(script.produce(2, Some(0), "second"), [""; 0]);
    assert_eq!(script.produce(3, Some(0), "third"), ["send 0 Produce v13 0:first,second"]);
}

#[test]
fn records_for_a_topic_that_is_being_created_wait_for_it() {
    let mut script = Script::new(&plain());
    script.produce(1, None, "a");
    script.connected(0);
    assert_eq!(script.answer(0, api_versions()), ["send 0 Metadata v13"]);
    assert_eq!(script.answer(0, unknown_topic()), [""; 0]);
    assert_eq!(script.advance(120), ["send 0 Metadata v13"]);
    assert_eq!(script.answer(0, metadata(&[(1, "boot")], &[1])), ["send 0 Produce v13 0:a"]);
}

#[test]
fn one_request_carries_one_batch_of_each_partition_of_a_leader() {
    let mut config = plain();
    config.producer.linger = Duration::from_millis(5);
    let mut script = Script::with_topic(&config, 3);
    script.produce(1, Some(2), "c");
    script.produce(2, Some(0), "a");
    assert_eq!(script.advance(5), ["send 0 Produce v13 0:a 2:c"]);
}

#[test]
fn without_idempotence_one_batch_of_a_partition_is_in_flight() {
    let mut script = Script::with_topic(&plain(), 1);
    assert_eq!(script.produce(1, Some(0), "a"), ["send 0 Produce v13 0:a"]);
    assert_eq!(script.produce(2, Some(0), "b"), [""; 0]);
    assert_eq!(script.answer(0, produced(0, Ok(0))), ["send 0 Produce v13 0:b", "ok 1 0@0"]);
}

#[test]
fn with_idempotence_five_batches_are_in_flight_and_no_more() {
    let mut script = idempotent();
    for id in 2..7 {
        assert_eq!(script.produce(id, Some(0), "x"), [format!("send 0 Produce v13 0:x#0/{}", id - 1)]);
    }
    assert_eq!(script.produce(7, Some(0), "y"), [""; 0]);
    assert_eq!(script.answer(0, produced(0, Ok(1))), ["send 0 Produce v13 0:y#0/6", "ok 2 0@1"]);
}

#[test]
fn a_leader_that_does_not_know_the_producer_yet_gets_one_batch() {
    let mut script = Script::with_topic(&config(), 1);
    script.produce(1, Some(0), "a");
    assert_eq!(script.answer(0, producer_id(7)), ["send 0 Produce v13 0:a#0/0"]);
    assert_eq!(script.produce(2, Some(0), "b"), [""; 0]);
    assert_eq!(script.answer(0, produced(0, Ok(0))), ["send 0 Produce v13 0:b#0/1", "ok 1 0@0"]);
}

#[test]
fn a_leader_that_has_moved_gets_the_same_sequence_again() {
    let mut script = idempotent();
    script.advance(200);
    assert_eq!(script.produce(2, Some(0), "b"), ["send 0 Produce v13 0:b#0/1"]);
    assert_eq!(script.answer(0, produced(0, Err(ErrorCode::NotLeaderOrFollower))), ["send 0 Metadata v13"]);
    assert_eq!(script.answer(0, metadata(&[(1, "boot"), (2, "second")], &[2])), [""; 0]);
    assert_eq!(script.advance(120), ["connect 1 second:9092"]);
    script.connected(1);
    assert_eq!(script.answer(1, api_versions()), ["send 1 Produce v13 0:b#0/1"]);
    assert_eq!(script.answer(1, produced(0, Ok(1))), ["ok 2 0@1"]);
}

#[test]
fn batches_in_flight_on_a_lost_connection_are_repeated_in_order_with_their_sequences() {
    let mut script = idempotent();
    script.produce(2, Some(0), "b");
    script.produce(3, Some(0), "c");
    script.disconnected(0);
    assert_eq!(script.produce(4, Some(0), "d"), [""; 0]);
    assert_eq!(script.advance(250), ["connect 1 boot:9092"]);
    script.connected(1);
    let lines = script.answer(1, api_versions());
    let resent = [
        "send 1 Produce v13 0:b#0/1",
        "send 1 Produce v13 0:c#0/2",
        "send 1 Produce v13 0:d#0/3",
        "send 1 Metadata v13",
    ];
    assert_eq!(lines, resent);
    // The broker had written the first one already and answers with its original offset.
    assert_eq!(script.answer(1, produced(0, Ok(1))), ["ok 2 0@1"]);
    assert_eq!(script.answer(1, produced(0, Ok(2))), ["ok 3 0@2"]);
}

#[test]
fn a_duplicate_that_the_broker_cannot_place_counts_as_written() {
    let mut script = idempotent();
    script.produce(2, Some(0), "b");
    assert_eq!(script.answer(0, produced(0, Err(ErrorCode::DuplicateSequenceNumber))), ["ok 2 0@?"]);
}

#[test]
fn a_batch_that_came_before_its_predecessor_is_repeated_after_it() {
    let mut script = idempotent();
    script.advance(200);
    script.produce(2, Some(0), "b");
    script.produce(3, Some(0), "c");
    script.answer(0, produced(0, Err(ErrorCode::NotEnoughReplicas)));
    assert_eq!(script.answer(0, produced(0, Err(ErrorCode::OutOfOrderSequenceNumber))), [""; 0]);
    script.answer(0, metadata(&[(1, "boot")], &[1]));
    let resent = ["send 0 Produce v13 0:b#0/1", "send 0 Produce v13 0:c#0/2"];
    assert!(script.advance(300).iter().filter(|line| line.contains("Produce")).eq(resent));
}

#[test]
fn a_gap_that_nothing_explains_is_reported() {
    let mut script = idempotent();
    script.produce(2, Some(0), "b");
    let lines = script.answer(0, produced(0, Err(ErrorCode::OutOfOrderSequenceNumber)));
    assert!(lines.len() == 1 && lines[0].starts_with("fail 2 OUT_OF_ORDER_SEQUENCE_NUMBER"), "{lines:?}");
    assert_eq!(script.produce(3, Some(0), "c"), ["send 0 Produce v13 0:c#1/0"], "under a new epoch");
}

#[test]
fn what_follows_a_refused_batch_starts_over_under_a_new_epoch() {
    let mut script = idempotent();
    script.produce(2, Some(0), "too large");
    script.produce(3, Some(0), "c");
    let lines = script.answer(0, produced(0, Err(ErrorCode::MessageTooLarge)));
    assert!(lines[0].starts_with("fail 2 MESSAGE_TOO_LARGE"), "{lines:?}");
    script.answer(0, produced(0, Err(ErrorCode::OutOfOrderSequenceNumber)));
    let lines = script.advance(120);
    assert!(lines.contains(&"send 0 Produce v13 0:c#1/0".to_owned()), "{lines:?}");
}

#[test]
fn a_record_that_ran_out_of_time_after_an_attempt_may_have_been_written() {
    let mut config = config();
    config.producer.delivery_timeout = Duration::from_secs(1);
    let mut script = Script::with_topic(&config, 1);
    script.produce(1, Some(0), "a");
    script.answer(0, producer_id(7));
    script.disconnected(0);
    let lines = script.advance(1_000);
    assert_eq!(lines.last().unwrap(), "info 1 not acknowledged in time; last: boot:9092: reset");
    script.connected(1);
    script.answer(1, api_versions());
    assert_eq!(script.produce(2, Some(0), "b"), ["send 1 Produce v13 0:b#1/0"], "the old sequences are in doubt");
}

#[test]
fn a_record_that_was_never_sent_certainly_fails() {
    let mut config = plain();
    config.producer.delivery_timeout = Duration::from_secs(1);
    let mut script = Script::new(&config);
    script.produce(1, None, "a");
    script.disconnected(0);
    let lines = script.advance(1_000);
    assert_eq!(lines.last().unwrap(), "fail 1 not acknowledged in time; last: boot:9092: reset");
}

#[test]
fn without_retries_a_lost_connection_leaves_the_outcome_open() {
    let mut config = plain();
    config.producer.retries_max = 0;
    let mut script = Script::with_topic(&config, 1);
    script.produce(1, Some(0), "a");
    let lines = script.disconnected(0);
    assert_eq!(lines.last().unwrap(), "info 1 not acknowledged in time; last: boot:9092: reset");
}

#[test]
fn without_acks_a_record_is_done_when_it_is_sent() {
    let mut config = plain();
    config.producer.acks = Acks::None;
    let mut script = Script::with_topic(&config, 1);
    assert_eq!(script.produce(1, Some(0), "a"), ["send 0 Produce v13 0:a", "ok 1 0@?"]);
    assert_eq!(script.produce(2, Some(0), "b"), ["send 0 Produce v13 0:b", "ok 2 0@?"]);
}

#[test]
fn a_full_buffer_refuses_records() {
    let mut config = plain();
    config.producer.buffer_bytes_max = 40;
    let mut script = Script::with_topic(&config, 1);
    script.produce(1, Some(0), "a");
    assert_eq!(script.produce(2, Some(0), "b"), ["fail 2 the producer's buffer is full"]);
    script.answer(0, produced(0, Ok(0)));
    assert_eq!(script.produce(3, Some(0), "c"), ["send 0 Produce v13 0:c"]);
}

#[test]
fn a_partition_that_does_not_exist_is_refused_with_how_many_there_are() {
    let mut script = Script::with_topic(&plain(), 2);
    script.produce(1, Some(0), "a");
    assert_eq!(script.produce(2, Some(2), "b"), ["fail 2 the topic has 2 partitions, there is no partition 2"]);
}

#[test]
fn equal_seeds_choose_equal_partitions_for_records_without_a_key() {
    let run = || {
        let mut script = Script::with_topic(&plain(), 16);
        (0..40).flat_map(|id| script.produce(id, None, "x")).collect::<Vec<_>>()
    };
    let first = run();
    assert_eq!(first, run());
    let partitions: std::collections::BTreeSet<_> = first.iter().filter_map(|line| line.split(' ').nth(4)).collect();
    assert!(partitions.len() > 1, "{first:?}");
}
