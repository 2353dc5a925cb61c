//! One request of a sequence, and how it is put into bytes for each broker.

use bytes::{Bytes, BytesMut};
use highwater_wire::records::{BatchHeader, crc32c};
use highwater_wire::{AnyRequest, ApiKey, Records, Uuid};

use crate::ids::{Ids, Who};

/// A request, in our names, and what is done to its bytes.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its place in the sequence that it was drawn for. It keeps it when the sequence is made shorter.
    pub number: u32,
    /// The version that it is written in.
    pub version: i16,
    /// What it asks.
    pub request: AnyRequest,
    /// How its frame is spoilt.
    pub damage: Option<Damage>,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It says that it is of this version.
    Version(i16),
    /// It says that it is of this API.
    Key(i16),
    /// It has only so many bytes of its body.
    Cut(usize),
}

/// Where the version stands in a frame, behind the length and the API key.
const KEY_AT: usize = 4;
const VERSION_AT: usize = 6;

impl Step {
    /// The API.
    pub fn api(&self) -> ApiKey {
        self.request.key()
    }

    /// The version that the answer must be read in.
    pub fn answer_version(&self) -> i16 {
        match self.damage {
            // Whoever asks in a version that nobody knows is answered in the first.
            Some(Damage::Version(_)) => 0,
            _ => self.version,
        }
    }

    /// Whether no answer is expected where all goes well.
    pub fn is_silent(&self) -> bool {
        matches!(&self.request, AnyRequest::Produce(produce) if produce.acks == 0) && self.damage.is_none()
    }

    /// How many partitions it writes to.
    pub fn partitions(&self) -> usize {
        match &self.request {
            AnyRequest::Produce(produce) => produce.topic_data.iter().map(|topic| topic.partition_data.len()).sum(),
            _ => 0,
        }
    }

    /// The frame for a broker, with its ids.
    pub fn frame(&self, who: Who, ids: &Ids, correlation_id: i32) -> Bytes {
        let request = translate(self.request.clone(), who, ids);
        let encoded = request.encode_frame(self.version, correlation_id, Some("differential"));
        let mut frame = match encoded {
            Ok(encoded) => encoded.into_bytes().to_vec(),
            Err(error) => panic!("step {} cannot be written: {error}: {self:?}", self.number),
        };
        match self.damage {
            None => {}
            Some(Damage::Version(version)) => put(&mut frame, VERSION_AT, &version.to_be_bytes()),
            Some(Damage::Key(key)) => put(&mut frame, KEY_AT, &key.to_be_bytes()),
            Some(Damage::Cut(len)) => {
                frame.truncate(KEY_AT + len);
                let prefix = u32::try_from(frame.len() - KEY_AT).expect("frames are small");
                put(&mut frame, 0, &prefix.to_be_bytes());
            }
        }
        frame.into()
    }
}

fn put(frame: &mut [u8], at: usize, bytes: &[u8]) {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Puts a broker's ids where our names stand.
fn translate(mut request: AnyRequest, who: Who, ids: &Ids) -> AnyRequest {
    let topic = |id: &mut Uuid| *id = ids.topics.id(who, id);
    match &mut request {
        AnyRequest::Metadata(metadata) => {
            metadata.topics.iter_mut().flatten().for_each(|wanted| topic(&mut wanted.topic_id));
        }
        AnyRequest::DeleteTopics(delete) => delete.topics.iter_mut().for_each(|wanted| topic(&mut wanted.topic_id)),
        AnyRequest::InitProducerId(init) => init.producer_id = ids.producers.id(who, &init.producer_id),
        AnyRequest::Produce(produce) => {
            for data in &mut produce.topic_data {
                topic(&mut data.topic_id);
                data.partition_data.iter_mut().for_each(|data| translate_records(&mut data.records, who, ids));
            }
        }
        AnyRequest::Fetch(fetch) => {
            fetch.session_id = ids.sessions.id(who, &fetch.session_id);
            fetch.topics.iter_mut().for_each(|wanted| topic(&mut wanted.topic_id));
            fetch.forgotten_topics_data.iter_mut().for_each(|forgotten| topic(&mut forgotten.topic_id));
        }
        _ => translate_groups(&mut request, who, ids),
    }
    request
}

fn translate_groups(request: &mut AnyRequest, who: Who, ids: &Ids) {
    let topic = |id: &mut Uuid| *id = ids.topics.id(who, id);
    let member = |id: &mut String| *id = ids.members.id(who, id);
    match request {
        AnyRequest::JoinGroup(join) => member(&mut join.member_id),
        AnyRequest::SyncGroup(sync) => {
            member(&mut sync.member_id);
            sync.assignments.iter_mut().for_each(|assignment| member(&mut assignment.member_id));
        }
        AnyRequest::Heartbeat(heartbeat) => member(&mut heartbeat.member_id),
        AnyRequest::LeaveGroup(leave) => {
            member(&mut leave.member_id);
            leave.members.iter_mut().for_each(|leaving| member(&mut leaving.member_id));
        }
        AnyRequest::OffsetCommit(commit) => {
            member(&mut commit.member_id);
            commit.topics.iter_mut().for_each(|committed| topic(&mut committed.topic_id));
        }
        AnyRequest::OffsetFetch(fetch) => {
            for group in &mut fetch.groups {
                group.member_id.iter_mut().for_each(member);
                group.topics.iter_mut().flatten().for_each(|wanted| topic(&mut wanted.topic_id));
            }
        }
        AnyRequest::ConsumerGroupHeartbeat(heartbeat) => {
            member(&mut heartbeat.member_id);
            heartbeat.topic_partitions.iter_mut().flatten().for_each(|owned| topic(&mut owned.topic_id));
        }
        _ => {}
    }
}

/// Where a batch says who produced it.
const PRODUCER_ID_AT: usize = 43;
/// Where its checksum stands.
const CRC_AT: usize = 17;

/// Puts a broker's producer id into the first batch. A checksum that was right stays right, one that was wrong wrong.
fn translate_records(records: &mut Records, who: Who, ids: &Ids) {
    let Records::Inline(bytes) = records else { return };
    let Ok(header) = BatchHeader::parse(bytes) else { return };
    let len = header.size_in_bytes();
    if !header.has_producer_id() || bytes.len() < len {
        return;
    }
    let id = ids.producers.id(who, &header.producer_id);
    let was_right = header.crc == crc32c(&[&bytes[BatchHeader::CHECKSUMMED_FROM..len]]);
    let mut batch = BytesMut::from(&bytes[..]);
    put(&mut batch, PRODUCER_ID_AT, &id.to_be_bytes());
    if was_right {
        seal(&mut batch, len);
    }
    *records = Records::Inline(batch.freeze());
}

/// Gives a batch of `len` bytes the checksum that it has.
pub fn seal(batch: &mut [u8], len: usize) {
    let crc = crc32c(&[&batch[BatchHeader::CHECKSUMMED_FROM..len]]);
    put(batch, CRC_AT, &crc.to_be_bytes());
}
