//! Random faults between the producer and a model of two brokers, then the truth about every record.
//!
//! The model appends like a Kafka leader: it knows the last five batches of each producer, answers a repeated one with
//! its first offset, refuses gaps and old epochs. Around it connections break before and after a request is carried out,
//! answers lie about errors, leaders move, and requests arrive long after their connection is gone.

use std::collections::BTreeSet;

use highwater_wire::produce::ProduceRequest;

use super::*;
use crate::client::random::Random;

const PARTITIONS: usize = 2;
const RECORDS: u64 = 60;

#[test]
fn whatever_goes_wrong_completions_tell_the_truth() {
    let mut seen = BTreeSet::new();
    for seed in 0..600 {
        let mut chaos = Chaos::new(seed);
        chaos.run();
        seen.extend(chaos.verdicts());
    }
    let expected = BTreeSet::from(["appended", "duplicate", "epoch raised", "fail", "gap", "info", "ok", "zombie"]);
    assert_eq!(seen, expected, "a fault that never happens proves nothing");
}

/// What the model's leaders know about a producer in one partition.
#[derive(Default)]
struct ProducerState {
    epoch: i16,
    /// First and last sequence, and base offset.
    batches: VecDeque<(i32, i32, i64)>,
}

struct Chaos {
    seed: u64,
    random: Random,
    client: Client,
    now: Now,
    out: Outbox,
    /// Open connections and the broker each leads to.
    connections: BTreeMap<ConnectionId, i32>,
    waiting: BTreeMap<ConnectionId, VecDeque<Request>>,
    /// Requests whose connection is gone, but which may still arrive.
    zombies: Vec<AnyRequest>,
    leaders: [i32; PARTITIONS],
    logs: [Vec<u64>; PARTITIONS],
    producers: BTreeMap<(usize, i64), ProducerState>,
    outcomes: BTreeMap<u64, Result<Produced, ProduceError>>,
    idempotent: bool,
    healed: bool,
    seen: BTreeSet<&'static str>,
}

type Request = (i32, i16, AnyRequest);

impl Chaos {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut config = config();
        config.seed = seed;
        config.producer.idempotent = random.below(4) > 0;
        config.producer.linger = Duration::from_millis(random.below(3) as u64 * 5);
        config.producer.delivery_timeout = Duration::from_millis([600, 3_000, 100_000][random.below(3)]);
        config.producer.retries_max = [0, 3, u32::MAX, u32::MAX][random.below(4)];
        config.request_timeout = Duration::from_millis(500);
        let idempotent = config.producer.idempotent;
        Self {
            seed,
            random,
            client: Client::new(&config),
            now: Now { mono: Instant(1), wall: WallMs(1) },
            out: Outbox::default(),
            connections: BTreeMap::new(),
            waiting: BTreeMap::new(),
            zombies: Vec::new(),
            leaders: [1, 2],
            logs: Default::default(),
            producers: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            idempotent,
            healed: false,
            seen: BTreeSet::new(),
        }
    }

    fn run(&mut self) {
        let mut given = 0;
        while given < RECORDS {
            if self.random.below(3) == 0 {
                self.produce(given);
                given += 1;
            }
            self.step();
        }
        self.healed = true;
        for _ in 0..20_000 {
            if self.outcomes.len() as u64 == RECORDS {
                return self.judge();
            }
            self.step();
        }
        panic!("seed {}: {} of {RECORDS} records have an outcome after the heal", self.seed, self.outcomes.len());
    }

    fn produce(&mut self, id: u64) {
        let record = NewRecord {
            topic: "t".into(),
            partition: Some(PartitionIndex(self.random.below(PARTITIONS) as i32)),
            value: Some(id.to_string().into()),
            ..Default::default()
        };
        self.input(Input::Command(Command::Produce { id: CommandId(id), record }));
    }

    /// One thing happens: time passes, a request is carried out, or something breaks.
    fn step(&mut self) {
        let busy: Vec<ConnectionId> =
            self.waiting.iter().filter(|(_, queue)| !queue.is_empty()).map(|(id, _)| *id).collect();
        let one = if busy.is_empty() { None } else { Some(busy[self.random.below(busy.len())]) };
        match (self.random.below(if self.healed { 7 } else { 12 }), one) {
            (2..7, Some(connection)) => self.serve(connection),
            (7, Some(connection)) => self.break_connection(connection),
            (8, _) => self.leaders[self.random.below(PARTITIONS)] = 1 + self.random.below(2) as i32,
            (9, _) if !self.zombies.is_empty() => {
                let zombie = self.zombies.remove(self.random.below(self.zombies.len()));
                self.seen.insert("zombie");
                if let AnyRequest::Produce(request) = zombie {
                    self.append_all(&request);
                }
            }
            _ => self.pass_time(),
        }
    }

    fn pass_time(&mut self) {
        let step = self.now.mono + Duration::from_millis(1 + self.random.below(40) as u64);
        match self.client.poll_timeout() {
            Some(at) if at <= step => {
                self.now.mono = at;
                self.input(Input::Timeout);
            }
            _ => self.now.mono = step,
        }
    }

    fn input(&mut self, input: Input) {
        let mut out = std::mem::take(&mut self.out);
        self.client.handle(self.now, input, &mut out);
        self.client.check();
        for completion in out.completions.drain(..) {
            if let Completion::Produced { id, outcome } = completion {
                assert!(self.outcomes.insert(id.0, outcome).is_none(), "seed {}: two outcomes of {id}", self.seed);
            }
        }
        let effects: Vec<Effect> = out.effects.drain(..).collect();
        self.out = out;
        effects.into_iter().for_each(|effect| self.carry_out(effect));
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Connect { connection, address } => {
                let broker = if address.host == "second" { 2 } else { 1 };
                self.connections.insert(connection, broker);
                if self.healed || self.random.below(5) > 0 {
                    self.input(Input::Connected(connection));
                } else {
                    self.break_connection(connection);
                }
            }
            Effect::Send { connection, frame } => {
                let (header, request) = decode_request(&frame.slice(4..)).unwrap();
                let request = (header.correlation_id, header.version, request);
                self.waiting.entry(connection).or_default().push_back(request);
            }
            Effect::Close { connection } => self.forget(connection),
        }
    }

    fn break_connection(&mut self, connection: ConnectionId) {
        self.forget(connection);
        self.input(Input::Disconnected(connection, "reset".into()));
    }

    fn forget(&mut self, connection: ConnectionId) {
        self.connections.remove(&connection);
        let lost = self.waiting.remove(&connection).unwrap_or_default();
        self.zombies.extend(lost.into_iter().map(|(_, _, request)| request));
    }

    /// Carries out the oldest request of a connection, and answers it if nothing goes wrong.
    fn serve(&mut self, connection: ConnectionId) {
        let Some((correlation_id, version, request)) = self.waiting.get_mut(&connection).and_then(VecDeque::pop_front)
        else {
            return;
        };
        let broker = self.connections[&connection];
        let response: AnyResponse = match request {
            AnyRequest::ApiVersions(_) => api_versions().into(),
            AnyRequest::Metadata(_) => metadata(&[(1, "boot"), (2, "second")], &self.leaders).into(),
            AnyRequest::InitProducerId(_) => producer_id(7).into(),
            AnyRequest::Produce(request) => self.serve_produce(broker, &request).into(),
            other => panic!("a producer does not send {other:?}"),
        };
        // Carried out, but nobody hears of it.
        if !self.healed && self.random.below(8) == 0 {
            return self.break_connection(connection);
        }
        let frame = response.encode_frame(version, correlation_id).unwrap().into_bytes();
        self.input(Input::Frame(connection, frame.slice(4..)));
    }

    fn serve_produce(&mut self, broker: i32, request: &ProduceRequest) -> ProduceResponse {
        let mut response = ProduceResponse::default();
        for row in request.topic_data.iter().flat_map(|topic| &topic.partition_data) {
            let partition = row.index as usize;
            let result = match self.random.below(if self.healed { 1 } else { 12 }) {
                1 => Err(ErrorCode::NotEnoughReplicas),
                2 => Err(ErrorCode::MessageTooLarge),
                3 => self.append(partition, &row.records).and(Err(ErrorCode::NotEnoughReplicasAfterAppend)),
                4 => self.append(partition, &row.records).and(Err(ErrorCode::NotLeaderOrFollower)),
                _ if self.leaders[partition] != broker => Err(ErrorCode::NotLeaderOrFollower),
                _ => self.append(partition, &row.records),
            };
            response.responses.extend(produced(row.index, result).responses);
        }
        response
    }

    fn append_all(&mut self, request: &ProduceRequest) {
        for row in request.topic_data.iter().flat_map(|topic| &topic.partition_data) {
            // A zombie hears no answer.
            let _ = self.append(row.index as usize, &row.records);
        }
    }

    fn append(&mut self, partition: usize, batch: &Records) -> Result<i64, ErrorCode> {
        let Records::Inline(bytes) = batch else { panic!("a client sends its records inline") };
        let header = BatchHeader::parse(bytes).unwrap();
        let base_offset = self.logs[partition].len() as i64;
        if header.has_producer_id() {
            match self.admit(partition, &header, base_offset) {
                Ok(None) => {}
                Ok(Some(original)) => return Ok(original),
                Err(code) => return Err(code),
            }
        }
        self.seen.insert("appended");
        let values = records(bytes, u64::MAX).unwrap().map(|record| text(&record.unwrap()).parse::<u64>().unwrap());
        self.logs[partition].extend(values);
        Ok(base_offset)
    }

    /// Kafka's rules: a batch among the last five is a duplicate, a new epoch starts at 0, everything else follows on.
    fn admit(&mut self, partition: usize, header: &BatchHeader, base_offset: i64) -> Result<Option<i64>, ErrorCode> {
        let (first, last) = (header.base_sequence, header.last_sequence());
        let is_known = self.producers.contains_key(&(partition, header.producer_id));
        let state = self.producers.entry((partition, header.producer_id)).or_default();
        if header.producer_epoch < state.epoch {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        if header.producer_epoch > state.epoch {
            self.seen.insert("epoch raised");
            if is_known && first != 0 {
                return Err(ErrorCode::OutOfOrderSequenceNumber);
            }
            *state = ProducerState { epoch: header.producer_epoch, batches: VecDeque::new() };
        } else if let Some((_, _, original)) = state.batches.iter().find(|batch| (batch.0, batch.1) == (first, last)) {
            self.seen.insert("duplicate");
            return Ok(Some(*original));
        } else if state.batches.back().is_some_and(|batch| batch.1 + 1 != first) {
            self.seen.insert("gap");
            return Err(ErrorCode::OutOfOrderSequenceNumber);
        }
        state.batches.push_back((first, last, base_offset));
        if state.batches.len() > 5 {
            state.batches.pop_front();
        }
        Ok(None)
    }

    fn judge(&self) {
        let seed = self.seed;
        let times_written = |id: &u64| self.logs.iter().flatten().filter(|value| *value == id).count();
        let mut last_offsets = [-1; PARTITIONS];
        for (id, outcome) in &self.outcomes {
            let written = times_written(id);
            match outcome {
                Ok(produced) => {
                    let (partition, offset) = (produced.partition.0 as usize, produced.offset.unwrap().0);
                    assert_eq!(
                        self.logs[partition][offset as usize], *id,
                        "seed {seed}: {id} is not where it should be"
                    );
                    assert!(offset > last_offsets[partition], "seed {seed}: {id} has overtaken another record");
                    last_offsets[partition] = offset;
                }
                Err(error) => {
                    assert!(error.maybe_written || written == 0, "seed {seed}: {id} failed and was written: {error}")
                }
            }
            assert!(!self.idempotent || written <= 1, "seed {seed}: {id} was written {written} times");
        }
    }

    fn verdicts(&self) -> BTreeSet<&'static str> {
        let kind = |outcome: &Result<Produced, ProduceError>| match outcome {
            Ok(_) => "ok",
            Err(error) if error.maybe_written => "info",
            Err(_) => "fail",
        };
        self.seen.iter().copied().chain(self.outcomes.values().map(kind)).collect()
    }
}
