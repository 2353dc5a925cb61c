//! Whatever a well-formed request asks for, in whichever version, it is answered and nothing breaks.
//!
//! The answers need not be good: that they can be encoded in the version asked for, come in order and come at all is
//! what this shows. Names and ids are often those of a topic that exists.

use highwater_wire::Uuid;
use highwater_wire::testing::Source;

use super::*;

/// Longer than the longest wait that a request can ask for.
const FOREVER: Duration = Duration::from_secs(30 * 24 * 3600);

/// Sends a random request and waits until it is answered, or the connection closed.
fn ask(world: &mut World, api: ApiKey, version: i16, seed: u64) {
    let topics = || world.controller.image().topics().take(8);
    let mut source = Source::new(seed, version)
        .with_words(topics().map(|topic| topic.name.to_string()).chain(["1".to_owned(), "retention.ms".to_owned()]))
        .with_ids(topics().map(|topic| Uuid(topic.id.0)))
        .with_records([batch(&["a", "b"]), batch(&["c"])]);
    let request = AnyRequest::sample(api, &mut source);
    world.send(request, version);
    world.sync_all();
    if !world.asked.is_empty() {
        world.advance(FOREVER);
        world.sync_all();
    }
    if let Some(Flow::Close(reason)) = world.flow.pop() {
        assert!(matches!(reason, CloseReason::UnansweredError(_)), "{api} version {version} seed {seed}: {reason}");
        reconnect(world);
    }
    assert!(world.halt.is_none(), "{api} version {version} seed {seed}: {:?}", world.halt);
    assert!(world.asked.is_empty(), "{api} version {version} seed {seed} is never answered");
    world.answers.clear();
}

fn reconnect(world: &mut World) {
    world.handle(Input::Connection(CLIENT, ConnectionInput::Closed));
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    world.handle(Input::Connection(CLIENT, ConnectionInput::Opened { listener: 0, peer }));
}

#[test]
fn every_request_of_every_version_is_answered() {
    for round in 0..30 {
        let mut world = World::new();
        for &api in ApiKey::ALL {
            for version in crate::gateway::served(api).into_iter().flatten() {
                for seed in 0..10 {
                    ask(&mut world, api, version, round << 32 | seed << 16 | version as u64);
                }
            }
        }
    }
}

/// Requests have topic ids from version 10 on, responses without names only from version 12 on: an unknown id could not
/// be answered, and the attempt ended the broker. Kafka refuses ids in those two versions.
#[test]
fn metadata_by_id_is_refused_where_the_response_must_have_names() {
    let mut world = World::new();
    let wanted = MetadataRequestTopic { topic_id: Uuid(1), name: None };
    let request = MetadataRequest { topics: Some(vec![wanted]), ..Default::default() };
    for (version, expected, name) in [
        (10, ErrorCode::InvalidRequest, Some("")),
        (11, ErrorCode::InvalidRequest, Some("")),
        (12, ErrorCode::UnknownTopicId, None),
    ] {
        world.send(request.clone(), version);
        let Some(AnyResponse::Metadata(response)) = world.answers.pop() else { panic!("no answer") };
        let [topic] = &response.topics[..] else { panic!("one row") };
        assert_eq!((topic.error_code, topic.name.as_deref()), (expected.code(), name), "version {version}");
    }
}
