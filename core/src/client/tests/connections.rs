use super::*;

#[test]
fn versions_are_asked_before_anything_else_and_the_bootstrap_connection_becomes_the_brokers() {
    let mut script = Script::new(&config());
    assert_eq!(script.assign(0, Position::Offset(crate::ids::Offset(5))), ["connect 0 boot:9092"]);
    assert_eq!(script.connected(0), ["send 0 ApiVersions v4"]);
    assert_eq!(script.answer(0, api_versions()), ["send 0 Metadata v13"]);
    assert_eq!(script.answer(0, metadata(&[(1, "boot")], &[1])), ["send 0 Fetch v18 session 0/0 0@5"]);
}

#[test]
fn a_broker_that_refuses_our_version_of_api_versions_is_asked_in_its_own() {
    let mut script = Script::new(&config());
    script.assign(0, Position::Offset(crate::ids::Offset(0)));
    script.connected(0);
    let (correlation_id, _, _) = script.waiting.get_mut(&ConnectionId(0)).unwrap().pop_front().unwrap();
    let refusal = ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion as i16,
        api_keys: vec![ApiVersion { api_key: 18, min_version: 0, max_version: 2 }],
        ..Default::default()
    };
    let frame = AnyResponse::from(refusal).encode_frame(0, correlation_id).unwrap().into_bytes();
    assert_eq!(script.frame(0, frame.slice(4..)), ["send 0 ApiVersions v2"]);
    assert_eq!(script.answer(0, api_versions()), ["send 0 Metadata v13"]);
}

#[test]
fn requests_go_out_in_the_highest_version_that_both_ends_speak() {
    let mut script = Script::new(&config());
    script.assign(0, Position::Offset(crate::ids::Offset(0)));
    script.connected(0);
    let mut versions = api_versions();
    versions.api_keys.iter_mut().find(|api| api.api_key == ApiKey::Metadata as i16).unwrap().max_version = 8;
    assert_eq!(script.answer(0, versions), ["send 0 Metadata v8"]);
}

#[test]
fn failed_attempts_go_round_the_bootstrap_addresses_with_growing_pauses() {
    let mut config = config();
    config.bootstrap.push(Address { host: "other".into(), port: 9093 });
    let mut script = Script::new(&config);
    assert_eq!(script.assign(0, Position::Earliest), ["connect 0 boot:9092"]);
    assert_eq!(script.disconnected(0), ["connect 1 other:9093", "unreachable boot:9092 reset"]);
    assert_eq!(script.disconnected(1), ["unreachable other:9093 reset"]);
    assert_eq!(script.advance(79), [""; 0]);
    assert_eq!(script.advance(41), ["connect 2 boot:9092"]);
}

#[test]
fn an_answer_to_nothing_ends_the_connection() {
    let mut script = Script::with_topic(&config(), 1);
    script.assign(0, Position::Earliest);
    let lines = script.frame(0, Bytes::from_static(&[0, 0, 0, 99]));
    assert_eq!(lines[0], "close 0");
    assert!(
        lines.iter().any(|line| line == "unreachable boot:9092 an answer to nothing (correlation id 99)"),
        "{lines:?}"
    );
}

#[test]
fn a_request_without_an_answer_ends_its_connection_when_its_time_is_up() {
    let mut script = Script::with_topic(&config(), 1);
    assert_eq!(script.assign(0, Position::Earliest), ["send 0 ListOffsets v11 0@-2"]);
    let lines = script.advance(30_000);
    assert_eq!(lines[0], "close 0");
    assert_eq!(lines[1], "unreachable boot:9092 no answer to ListOffsets within 30s");
}

#[test]
fn an_idle_connection_may_close_without_anybody_hearing_of_it() {
    let mut script = Script::with_topic(&config(), 1);
    assert_eq!(script.disconnected(0), [""; 0]);
    assert_eq!(script.advance(200), [""; 0]);
    assert_eq!(script.assign(0, Position::Earliest), ["connect 1 boot:9092"]);
}

#[test]
fn what_a_closed_connection_still_says_is_ignored() {
    let mut script = Script::with_topic(&config(), 1);
    script.disconnected(0);
    assert_eq!(script.connected(0), [""; 0]);
    assert_eq!(script.frame(0, Bytes::from_static(&[0, 0, 0, 1])), [""; 0]);
    assert_eq!(script.disconnected(0), [""; 0]);
}
