//! A client that creates the topics of the run, and then deletes records, alters configurations, and creates, grows and
//! deletes topics of its own. What it was told has happened must be found in the metadata from then on.

mod extras;

use std::collections::BTreeMap;
use std::time::Duration;

use highwater_wire::create_topics::{CreatableTopic, CreatableTopicConfig};
use highwater_wire::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use highwater_wire::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use highwater_wire::{
    AnyResponse, ApiVersionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DescribeClusterRequest,
    DescribeLogDirsRequest, DescribeTopicPartitionsRequest, ErrorCode, IncrementalAlterConfigsRequest, MetadataRequest,
    MetadataResponse,
};

use self::extras::{Extras, Operation};
use super::link::{Link, REDIAL_AFTER};
use super::{Client, ClientEvent, Context};
use crate::options::{Options, Range, TopicOptions, segment_bytes};
use crate::oracle::Place;
use crate::rng::{Concern, Stream};

/// See the [module](self).
#[derive(Debug)]
pub struct Admin {
    topics: Vec<TopicOptions>,
    segment_bytes_min: u64,
    busy: bool,
    rng: Stream,
    link: Link<About>,
    extras: Extras,
    think: Range,
    healed: bool,
    /// Whether the metadata was looked at after everything was healed.
    looked: bool,
}

/// What a request was about.
#[derive(Debug)]
enum About {
    Create,
    Identify,
    Look,
    DeleteRecords(Place, i64),
    Extra(Operation),
    /// Something of which nothing is expected but an answer.
    Anything,
}

/// The type of a topic among the resources that can be configured.
const TOPIC_RESOURCE: i8 = 2;

/// How long the admin waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
const PATIENCE_AFTER_HEAL: Duration = Duration::from_secs(30);

impl Admin {
    /// An admin that has done nothing.
    pub fn new(number: usize, seed: u64, options: &Options) -> Self {
        Self {
            topics: options.topics.clone(),
            segment_bytes_min: options.segment_bytes_min,
            busy: options.admin,
            rng: Stream::new(seed, Concern::Client, number as u64),
            link: Link::new(format!("admin {number}")),
            extras: Extras::default(),
            think: Range { from: Duration::from_millis(10), to: Duration::from_millis(300) },
            healed: false,
            looked: false,
        }
    }

    fn woken(&mut self, context: &mut Context<'_>) {
        if !self.is_done() {
            context.wake_after(self.think.pick(&mut self.rng));
        }
        let patience = if self.healed { PATIENCE_AFTER_HEAL } else { PATIENCE };
        if self.link.oldest().is_some_and(|(asked_at, _)| context.now.since(asked_at) > patience) {
            let lost = self.link.hang_up(None, context);
            self.lost(lost);
        }
        self.work(context);
    }

    fn work(&mut self, context: &mut Context<'_>) {
        if self.link.in_flight() > 0 || self.is_done() {
            return;
        }
        if !self.link.is_connected() {
            return self.link.dial(0, context);
        }
        if context.oracle.topics().iter().any(|topic| topic.id.is_none()) {
            return if self.rng.chance(300) { self.identify(context) } else { self.create(context) };
        }
        if self.healed {
            return self.look(context);
        }
        if self.busy {
            self.do_something(context);
        }
    }

    fn do_something(&mut self, context: &mut Context<'_>) {
        match self.rng.below(10) {
            0..=1 => self.delete_records(context),
            2 => self.alter(context),
            3..=6 => self.extras.next(&mut self.rng, &mut self.link, context),
            7..=8 => self.look(context),
            _ => self.ask_anything(context),
        }
    }

    fn create(&mut self, context: &mut Context<'_>) {
        let topic = |drawn: &TopicOptions| CreatableTopic {
            name: drawn.name.clone(),
            num_partitions: drawn.partitions,
            replication_factor: 1,
            configs: drawn.configs.iter().map(|(key, value)| config(key, value)).collect(),
            ..CreatableTopic::default()
        };
        let topics = self.topics.iter().map(topic).collect();
        let request = CreateTopicsRequest { topics, ..CreateTopicsRequest::default() };
        let version = self.rng.between(2, 7) as i16;
        self.link.ask(request, version, About::Create, context);
    }

    /// Learns the ids of the topics.
    fn identify(&mut self, context: &mut Context<'_>) {
        let request = MetadataRequest { topics: None, ..MetadataRequest::default() };
        let version = self.rng.between(10, 13) as i16;
        self.link.ask(request, version, About::Identify, context);
    }

    /// Compares the metadata with what is known.
    fn look(&mut self, context: &mut Context<'_>) {
        let request = MetadataRequest { topics: None, ..MetadataRequest::default() };
        let version = self.rng.between(10, 13) as i16;
        self.link.ask(request, version, About::Look, context);
    }

    fn delete_records(&mut self, context: &mut Context<'_>) {
        let mut places = context.oracle.places();
        places.retain(|place| context.oracle.topics()[place.topic].delete_records);
        if places.is_empty() {
            return;
        }
        let place = *self.rng.pick(&places);
        let offset = self.rng.below(context.oracle.end_at_least(place) as u64 + 1) as i64;
        context.oracle.delete_asked(place, offset);
        let partition = DeleteRecordsPartition { partition_index: place.partition, offset };
        let name = context.oracle.topics()[place.topic].name.clone();
        let topics = vec![DeleteRecordsTopic { name, partitions: vec![partition] }];
        let request = DeleteRecordsRequest { topics, timeout_ms: 1000 };
        let version = self.rng.between(0, 2) as i16;
        self.link.ask(request, version, About::DeleteRecords(place, offset), context);
    }

    /// Changes something about a topic that its readers and writers must not notice.
    fn alter(&mut self, context: &mut Context<'_>) {
        let topic = self.rng.index(self.topics.len());
        let (key, value) = match self.rng.below(3) {
            0 => ("internal.segment.bytes", segment_bytes(self.segment_bytes_min, &mut self.rng)),
            1 => ("segment.ms", self.rng.skewed(100, 5000).to_string()),
            _ => ("index.interval.bytes", self.rng.skewed(64, 4096).to_string()),
        };
        let name = context.oracle.topics()[topic].name.clone();
        let version = self.rng.between(0, 1) as i16;
        self.link.ask(set_config(name, key, &value), version, About::Anything, context);
    }

    fn ask_anything(&mut self, context: &mut Context<'_>) {
        match self.rng.below(4) {
            0 => {
                let version = self.rng.between(0, 4) as i16;
                let request = ApiVersionsRequest {
                    client_software_name: "sim".to_owned(),
                    client_software_version: "1".to_owned(),
                };
                self.link.ask(request, version, About::Anything, context);
            }
            1 => {
                let version = self.rng.between(0, 1) as i16;
                self.link.ask(DescribeClusterRequest::default(), version, About::Anything, context);
            }
            2 => {
                let version = self.rng.between(1, 4) as i16;
                let request = DescribeLogDirsRequest { topics: None };
                self.link.ask(request, version, About::Anything, context);
            }
            _ => {
                let request = DescribeTopicPartitionsRequest {
                    response_partition_limit: self.rng.between(1, 10) as i32,
                    ..DescribeTopicPartitionsRequest::default()
                };
                self.link.ask(request, 0, About::Anything, context);
            }
        }
    }

    fn answered(&mut self, about: About, response: AnyResponse, context: &mut Context<'_>) {
        match (about, response) {
            (About::Create, AnyResponse::CreateTopics(response)) => {
                for row in &response.topics {
                    let expected = matches!(
                        ErrorCode::try_from(row.error_code),
                        Ok(ErrorCode::None | ErrorCode::TopicAlreadyExists | ErrorCode::KafkaStorageError)
                    ) || is_retriable(row.error_code);
                    context.oracle.require(expected, "Answers", || format!("a topic is not created: {row:?}"));
                }
                self.identify(context);
            }
            (About::Identify, AnyResponse::Metadata(response)) => self.identified(&response, context),
            (About::Look, AnyResponse::Metadata(response)) => {
                self.identified(&response, context);
                self.extras.compare(&response, context);
                self.looked |= self.healed;
            }
            (About::DeleteRecords(place, offset), AnyResponse::DeleteRecords(response)) => {
                let rows = response.topics.iter().flat_map(|topic| &topic.partitions);
                for row in rows.filter(|row| row.error_code == 0) {
                    let enough = row.low_watermark >= offset;
                    context.oracle.require(enough, "LogStart", || format!("{place}: asked for {offset}: {row:?}"));
                    context.oracle.delete_acked(place, offset);
                }
            }
            (About::Extra(operation), response) => self.extras.answered(operation, &response, context),
            (About::Anything, _) => {}
            (about, response) => {
                context.oracle.require(false, "Answers", || format!("{about:?} is answered with {response:?}"));
            }
        }
    }

    /// Every topic of the run that was ever seen is seen by every later look.
    fn identified(&mut self, response: &MetadataResponse, context: &mut Context<'_>) {
        let ids: BTreeMap<_, _> =
            response.topics.iter().filter_map(|row| Some((row.name.as_deref()?, row.topic_id))).collect();
        for topic in 0..self.topics.len() {
            let known = &context.oracle.topics()[topic];
            match (ids.get(known.name.as_str()), known.id) {
                (Some(id), _) => context.oracle.topic_created(topic, *id),
                (None, None) => {}
                (None, Some(id)) => {
                    let witness = || format!("topic {topic} with id {id} is not in the metadata any more");
                    context.oracle.require(false, "MetadataDurable", witness);
                }
            }
        }
    }

    fn lost(&mut self, lost: Vec<About>) {
        for about in lost {
            if let About::Extra(operation) = about {
                self.extras.lost(&operation);
            }
        }
    }
}

impl Client for Admin {
    fn handle(&mut self, event: ClientEvent, context: &mut Context<'_>) {
        match event {
            ClientEvent::Woken => self.woken(context),
            ClientEvent::Connected(id) => {
                if self.link.connected(id) {
                    self.work(context);
                }
            }
            ClientEvent::Frame(id, frame) => {
                if let Some((about, response)) = self.link.answer(id, &frame, context) {
                    self.answered(about, response, context);
                }
            }
            ClientEvent::Closed(id) => {
                if let Some(lost) = self.link.closed(id) {
                    self.lost(lost);
                    context.wake_after(REDIAL_AFTER);
                }
            }
            ClientEvent::Healed => {
                self.healed = true;
                context.wake_after(REDIAL_AFTER);
            }
            ClientEvent::Quiet => {}
        }
    }

    fn is_done(&self) -> bool {
        self.healed && self.looked && self.link.in_flight() == 0
    }

    fn describe(&self) -> String {
        format!("{} waits for {:?}", self.link.name(), self.link.oldest())
    }
}

fn config(key: &str, value: &str) -> CreatableTopicConfig {
    CreatableTopicConfig { name: key.to_owned(), value: Some(value.to_owned()) }
}

fn set_config(topic: String, key: &str, value: &str) -> IncrementalAlterConfigsRequest {
    let config = AlterableConfig { name: key.to_owned(), config_operation: 0, value: Some(value.to_owned()) };
    let resource = AlterConfigsResource { resource_type: TOPIC_RESOURCE, resource_name: topic, configs: vec![config] };
    IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false }
}

fn is_retriable(error_code: i16) -> bool {
    ErrorCode::try_from(error_code).is_ok_and(ErrorCode::retriable)
}
