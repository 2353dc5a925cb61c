use highwater_wire::list_offsets::{ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse};

use super::*;
use crate::ids::Offset;

fn offset_found(index: i32, offset: i64) -> ListOffsetsResponse {
    let row = ListOffsetsPartitionResponse { partition_index: index, offset, ..Default::default() };
    let topic = ListOffsetsTopicResponse { name: "t".into(), partitions: vec![row] };
    ListOffsetsResponse { topics: vec![topic], ..Default::default() }
}

#[test]
fn reading_from_the_beginning_asks_for_it_and_tells_of_the_end_once() {
    let mut script = Script::with_topic(&config(), 1);
    assert_eq!(script.assign(0, Position::Earliest), ["send 0 ListOffsets v11 0@-2"]);
    assert_eq!(script.answer(0, offset_found(0, 3)), ["send 0 Fetch v18 session 0/0 0@3"]);
    let lines = script.answer(0, fetched(9, 0, None, batch(3, &["a", "b"]), 5));
    assert_eq!(lines, ["send 0 Fetch v18 session 9/1 0@5", "fetched t-0 3:a,4:b", "end t-0@5"]);
    let lines = script.answer(0, FetchResponse { session_id: 9, ..Default::default() });
    assert_eq!(lines, ["send 0 Fetch v18 session 9/2"]);
    let lines = script.answer(0, fetched(9, 0, None, batch(5, &["c"]), 6));
    assert_eq!(lines, ["send 0 Fetch v18 session 9/3 0@6", "fetched t-0 5:c", "end t-0@6"]);
}

#[test]
fn a_time_after_the_last_record_is_the_end() {
    let mut script = Script::with_topic(&config(), 1);
    assert_eq!(script.assign(0, Position::Timestamp(WallMs(77))), ["send 0 ListOffsets v11 0@77"]);
    assert_eq!(script.answer(0, offset_found(0, -1)), ["send 0 ListOffsets v11 0@-1"]);
    assert_eq!(script.answer(0, offset_found(0, 8)), ["send 0 Fetch v18 session 0/0 0@8"]);
}

#[test]
fn an_offset_out_of_range_follows_the_policy() {
    let mut script = Script::with_topic(&config(), 1);
    script.assign(0, Position::Offset(Offset(99)));
    let lines = script.answer(0, fetched(0, 0, Some(ErrorCode::OffsetOutOfRange), Bytes::new(), 5));
    assert_eq!(lines, ["send 0 ListOffsets v11 0@-2"]);

    let mut strict = config();
    strict.consumer.out_of_range = OutOfRange::Fail;
    let mut script = Script::with_topic(&strict, 1);
    script.assign(0, Position::Offset(Offset(99)));
    let lines = script.answer(0, fetched(0, 0, Some(ErrorCode::OffsetOutOfRange), Bytes::new(), 5));
    assert_eq!(lines, ["failed t-0 offset 99 is not in the log"]);
}

#[test]
fn a_leader_that_has_moved_is_found_again() {
    let mut script = Script::with_topic(&config(), 1);
    script.assign(0, Position::Offset(Offset(4)));
    script.advance(200);
    let lines = script.answer(0, fetched(9, 0, Some(ErrorCode::NotLeaderOrFollower), Bytes::new(), -1));
    assert_eq!(lines, ["send 0 Metadata v13"]);
    assert_eq!(script.answer(0, metadata(&[(1, "boot"), (2, "second")], &[2])), [""; 0]);
    assert_eq!(script.advance(120), ["connect 1 second:9092"]);
    script.connected(1);
    assert_eq!(script.answer(1, api_versions()), ["send 1 Fetch v18 session 0/0 0@4"]);
}

#[test]
fn a_lost_fetch_is_repeated_and_delivers_every_record_once() {
    let mut script = Script::with_topic(&config(), 1);
    script.assign(0, Position::Offset(Offset(0)));
    script.answer(0, fetched(9, 0, None, batch(0, &["a"]), 2));
    script.disconnected(0);
    let lines = script.advance(200);
    assert_eq!(lines, ["connect 1 boot:9092"]);
    script.connected(1);
    let lines = script.answer(1, api_versions());
    assert_eq!(lines, ["send 1 Fetch v18 session 9/0 0@1", "send 1 Metadata v13"]);
    let lines = script.answer(1, fetched(10, 0, None, batch(0, &["a", "b"]), 2));
    assert_eq!(lines, ["send 1 Fetch v18 session 10/1 0@2", "fetched t-0 1:b", "end t-0@2"]);
}

#[test]
fn a_forgotten_session_is_opened_anew() {
    let mut script = Script::with_topic(&config(), 1);
    script.assign(0, Position::Offset(Offset(0)));
    script.answer(0, fetched(9, 0, None, batch(0, &["a"]), 1));
    let forgotten = FetchResponse { error_code: ErrorCode::FetchSessionIdNotFound as i16, ..Default::default() };
    assert_eq!(script.answer(0, forgotten), ["send 0 Fetch v18 session 0/0 0@1"]);
}

#[test]
fn assigning_again_drops_what_was_under_way() {
    let mut script = Script::with_topic(&config(), 1);
    script.assign(0, Position::Offset(Offset(0)));
    assert_eq!(script.assign(0, Position::Offset(Offset(7))), [""; 0]);
    let lines = script.answer(0, fetched(9, 0, None, batch(0, &["a"]), 9));
    assert_eq!(lines, ["send 0 Fetch v18 session 9/1 0@7"]);
}

#[test]
fn damaged_records_end_the_assignment() {
    let mut script = Script::with_topic(&config(), 1);
    script.assign(0, Position::Offset(Offset(0)));
    let mut damaged = batch(0, &["a"]).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let lines = script.answer(0, fetched(9, 0, None, damaged.into(), 1));
    assert!(lines.len() == 1 && lines[0].starts_with("failed t-0 damaged records from offset 0 on"), "{lines:?}");
}

#[test]
fn a_topic_that_is_not_there_fails() {
    let mut script = Script::new(&config());
    script.assign(0, Position::Earliest);
    script.connected(0);
    script.answer(0, api_versions());
    let lines = script.answer(0, unknown_topic());
    assert!(lines.len() == 1 && lines[0].starts_with("failed t-0 UNKNOWN_TOPIC_OR_PARTITION"), "{lines:?}");
}

#[test]
fn a_topic_that_no_request_can_name_is_refused_at_once() {
    let mut script = Script::new(&config());
    let partition = TopicPartition::new("x".repeat(40_000), PartitionIndex(0));
    let lines = script.step(Input::Command(Command::Assign { partition, from: Position::Earliest }));
    assert!(lines.len() == 1 && lines[0].ends_with("INVALID_TOPIC_EXCEPTION"), "{lines:?}");
}
