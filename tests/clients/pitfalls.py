"""What broke clients on other brokers, request by request: `pitfalls.py BOOTSTRAP RECORDS PREFIX`.

A client shows most pitfalls of its library only when it is too late. This one writes single requests with kafka-python's
codec, and looks at every field of the answer.
"""

import socket
import struct
import sys
import time
import uuid

import kafka
from kafka.protocol.admin import CreateTopicsRequest, CreateTopicsResponse
from kafka.protocol.consumer import FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse
from kafka.protocol.metadata import ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, MetadataResponse
from kafka.protocol.producer import InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, ProduceResponse
from kafka.record.default_records import DefaultRecordBatchBuilder

from common import DEADLINE_S, Checks, until

BOOTSTRAP, _, PREFIX = sys.argv[1:]
UNKNOWN_SERVER_ERROR, NONE, OFFSET_OUT_OF_RANGE, CORRUPT_MESSAGE, UNKNOWN_TOPIC_OR_PARTITION = -1, 0, 1, 2, 3
OUT_OF_ORDER_SEQUENCE_NUMBER, DUPLICATE_SEQUENCE_NUMBER = 45, 46
UNSUPPORTED_VERSION, FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH = 35, 70, 71
UNKNOWN_LEADER_EPOCH, UNSUPPORTED_COMPRESSION_TYPE, INVALID_RECORD, UNKNOWN_TOPIC_ID = 75, 76, 87, 100
RESPONSES = {request.API_KEY: response for request, response in [
    (ApiVersionsRequest, ApiVersionsResponse), (MetadataRequest, MetadataResponse), (CreateTopicsRequest, CreateTopicsResponse),
    (ProduceRequest, ProduceResponse), (FetchRequest, FetchResponse), (ListOffsetsRequest, ListOffsetsResponse),
    (InitProducerIdRequest, InitProducerIdResponse)]}


class Closed(Exception):
    """The broker closed the connection."""


class Connection:
    """A socket that sends requests and takes answers, each when told to."""

    def __init__(self):
        host, port = BOOTSTRAP.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), DEADLINE_S)
        self.correlation_id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, request, client_id="pitfalls"):
        self.correlation_id += 1
        request.with_header(self.correlation_id, client_id)
        self.socket.sendall(request.encode(framed=True, header=True))
        return request

    def frame(self):
        return self.exactly(struct.unpack(">i", self.exactly(4))[0])

    def exactly(self, count):
        data = b""
        while len(data) < count:
            try:
                more = self.socket.recv(count - len(data))
            except ConnectionResetError:
                more = b""
            if not more:
                raise Closed
            data += more
        return data

    def receive(self, request):
        return RESPONSES[request.API_KEY].decode(self.frame(), version=request.API_VERSION, header=True)

    def call(self, request):
        return self.receive(self.send(request))


def create(name, partitions=1):
    topic = f"{PREFIX}-pitfalls-{name}"
    row = CreateTopicsRequest.CreatableTopic(name=topic, num_partitions=partitions, replication_factor=1, assignments=[], configs=[])
    with Connection() as connection:
        answer = connection.call(CreateTopicsRequest[5](topics=[row], timeout_ms=10000, validate_only=False))
        assert answer.topics[0].error_code == NONE, answer
        asked = MetadataRequest[12](topics=[MetadataRequest.MetadataRequestTopic(topic_id=uuid.UUID(int=0), name=topic)],
                                    allow_auto_topic_creation=False, include_topic_authorized_operations=False)
        found = until("the topic is known", lambda: next(
            (t for t in connection.call(asked).topics if t.error_code == NONE and all(p.leader_id >= 0 for p in t.partitions)), None))
        every = fetch([(p, 0) for p in range(partitions)], topic=topic)
        until("its leaders lead", lambda: not any(row.error_code for row in rows_of(connection.call(every))))
    return topic, found.topic_id


def batch(count=1, producer=(-1, -1, -1), codec=0):
    producer_id, epoch, sequence = producer
    builder = DefaultRecordBatchBuilder(magic=2, compression_type=codec, is_transactional=False, producer_id=producer_id,
                                        producer_epoch=epoch, base_sequence=sequence, batch_size=1 << 20)
    for i in range(count):
        builder.append(i, int(time.time() * 1000), None, b"value", [])
    return bytes(builder.build())


def produced(connection, topic, records, partition=0, acks=-1):
    """The row of the answer to a produce request."""
    answer = connection.call(produce(topic, records, partition, acks))
    return answer.responses[0].partition_responses[0]


def produce(topic, records, partition=0, acks=-1):
    row = ProduceRequest.TopicProduceData.PartitionProduceData(index=partition, records=records)
    topics = [ProduceRequest.TopicProduceData(name=topic, partition_data=[row])]
    return ProduceRequest[9](transactional_id=None, acks=acks, timeout_ms=10000, topic_data=topics)


def fetch(rows, version=12, session=(0, -1), max_wait_ms=0, min_bytes=1, max_bytes=1 << 20, topic_id=None, topic=""):
    """A fetch of (partition, offset[, leader epoch]) rows of one topic."""
    make = FetchRequest.FetchTopic.FetchPartition
    partitions = [make(partition=p, fetch_offset=o, current_leader_epoch=(epoch or [-1])[0], last_fetched_epoch=-1,
                       log_start_offset=-1, partition_max_bytes=max_bytes) for p, o, *epoch in rows]
    topics = [FetchRequest.FetchTopic(topic=topic, topic_id=topic_id, partitions=partitions)] if rows else []
    return FetchRequest[version](replica_id=-1, max_wait_ms=max_wait_ms, min_bytes=min_bytes, max_bytes=max_bytes, isolation_level=0,
                                 session_id=session[0], session_epoch=session[1], topics=topics, forgotten_topics_data=[], rack_id="")


def rows_of(answer):
    return [row for topic in answer.responses for row in topic.partitions]


def api_versions(check):
    with Connection() as connection:
        # Version 99 of ApiVersions, in a header that every broker can read.
        connection.socket.sendall(struct.pack(">ihhihb", 11, 18, 99, 7, -1, 0))
        body = connection.frame()
        check.equal("the correlation id", struct.unpack_from(">i", body)[0], 7)
        error, count, key, low, high = struct.unpack_from(">hihhh", body, 4)
        check.equal("an unknown version gets a v0 body with one entry", (error, count, key, low), (UNSUPPORTED_VERSION, 1, 18, 0))
        check.equal("and nothing behind it", len(body), 16)
        check.true("the highest version is served", high >= 3)
        answer = connection.call(ApiVersionsRequest[3](client_software_name="pitfalls", client_software_version="1"))
        ranges = {key.api_key: (key.min_version, key.max_version) for key in answer.api_keys}
        check.equal("Produce is advertised from 0", ranges[0], (0, 13))
        check.true("features whose minimum is 0 are left out below v4", all(f.min_version > 0 for f in answer.supported_features))
        old = connection.call(ApiVersionsRequest[0]())
        check.equal("v0 tells the same ranges", {k.api_key: (k.min_version, k.max_version) for k in old.api_keys}, ranges)
        for key, (low, high) in {1: (4, 18), 2: (1, 11), 3: (0, 13), 19: (2, 7), 20: (1, 6), 22: (0, 5)}.items():
            check.true(f"API {key} covers {low} to {high}", ranges[key][0] <= low and ranges[key][1] >= high)


def null_client_id(check):
    with Connection() as connection:
        request = connection.send(MetadataRequest[12](topics=[], allow_auto_topic_creation=False,
                                                      include_topic_authorized_operations=False), client_id=None)
        check.true("a flexible request without a client id", connection.receive(request).brokers)


def closed(check):
    frames = {
        "an unknown API": struct.pack(">ihhih", 10, 9999, 0, 1, -1),
        "a version that is not served": struct.pack(">ihhih", 10, 1, 99, 1, -1),
        "a negative length": struct.pack(">i", -1),
        "a length of 2 GiB": struct.pack(">i", 2**31 - 1) + b"x" * 100,
        "a request that ends too early": struct.pack(">ihhihi", 14, 3, 1, 1, -1, 1000),
        "an empty frame": struct.pack(">i", 0),
    }
    for what, frame in frames.items():
        with Connection() as connection:
            connection.socket.sendall(frame)
            try:
                got = connection.frame()
            except Closed:
                got = None
            check.equal(f"{what} closes the connection", got, None)


def order_of_answers(check):
    topic, _ = create("order")
    with Connection() as connection:
        sent = [connection.send(fetch([(0, 0)], topic=topic, max_wait_ms=500))]
        for _ in range(5):
            sent.append(connection.send(ApiVersionsRequest[0]()))
            sent.append(connection.send(produce(topic, batch())))
        got = [connection.receive(request) for request in sent]
        check.equal("answers come in the order of requests", [a.header.correlation_id for a in got], list(range(1, 12)))
        connection.send(produce(topic, batch(), acks=0))
        last = connection.send(ApiVersionsRequest[0]())
        check.equal("acks=0 answers nothing", connection.receive(last).header.correlation_id, 13)


def empty_fetches(check):
    topic, _ = create("empty", 2)
    with Connection() as connection:
        answer = connection.call(fetch([(0, 0), (1, 0), (7, 0)], topic=topic))
        rows = {row.partition_index: row for row in rows_of(answer)}
        check.equal("every partition has a row with its index", sorted(rows), [0, 1, 7])
        check.equal("records are empty, not null", [bytes(rows[p].records or b"null") for p in (0, 1)
                                                    if rows[p].records is None], [])
        check.equal("the state of an empty row", [(rows[0].high_watermark, rows[0].last_stable_offset, rows[0].log_start_offset)],
                    [(0, 0, 0)])
        check.equal("an unknown partition", (rows[7].error_code, rows[7].high_watermark), (UNKNOWN_TOPIC_OR_PARTITION, -1))
        begin = time.monotonic()
        connection.call(fetch([(0, 0)], topic=topic, max_wait_ms=300))
        check.true("a poll waits for its time", 0.25 < time.monotonic() - begin < 5)


def fetched_offsets(check):
    topic, topic_id = create("offsets")
    with Connection() as connection:
        check.equal("a base offset", produced(connection, topic, batch(10)).base_offset, 0)
        check.equal("the next", produced(connection, topic, batch(10)).base_offset, 10)
        row = rows_of(connection.call(fetch([(0, 5)], topic=topic)))[0]
        check.equal("an offset inside a batch gets the batch from its base", struct.unpack_from(">q", bytes(row.records))[0], 0)
        row = rows_of(connection.call(fetch([(0, 15)], topic=topic, max_bytes=1)))[0]
        check.equal("one batch comes whatever the limit", struct.unpack_from(">q", bytes(row.records))[0], 10)
        row = rows_of(connection.call(fetch([(0, 21)], topic=topic)))[0]
        check.equal("beyond the end", row.error_code, OFFSET_OUT_OF_RANGE)
        row = rows_of(connection.call(fetch([(0, 20, 9)], topic=topic)))[0]
        check.equal("a leader epoch of the future", row.error_code, UNKNOWN_LEADER_EPOCH)
        row = rows_of(connection.call(fetch([(0, 0)], version=15, topic_id=topic_id)))[0]
        check.equal("a fetch by topic id", (row.error_code, row.high_watermark), (NONE, 20))
        unknown = connection.call(fetch([(0, 0)], version=15, topic_id=uuid.uuid4()))
        check.equal("an unknown topic id has its error in the row", (unknown.error_code, rows_of(unknown)[0].error_code),
                    (NONE, UNKNOWN_TOPIC_ID))
        check.equal("the connection lives on", rows_of(connection.call(fetch([(0, 0)], topic=topic)))[0].error_code, NONE)
        twice = rows_of(connection.call(fetch([(0, 0), (0, 0)], topic=topic)))
        check.equal("a partition that is asked for twice has one row", len(twice), 1)


def fetch_sessions(check):
    topic, _ = create("sessions", 2)
    with Connection() as connection, Connection() as writer:
        answer = connection.call(fetch([(0, 0), (1, 0)], topic=topic, session=(0, 0)))
        session = answer.session_id
        check.true("a session is given", session > 0)
        check.equal("the first answer has every row", len(rows_of(answer)), 2)
        answer = connection.call(fetch([], session=(session, 1)))
        check.equal("nothing new: no rows", (answer.error_code, answer.session_id, rows_of(answer)), (NONE, session, []))
        waiting = connection.send(fetch([], session=(session, 2), max_wait_ms=10000))
        produced(writer, topic, batch(3), partition=1)
        begin = time.monotonic()
        rows = rows_of(connection.receive(waiting))
        check.true("a record ends the wait", time.monotonic() - begin < 5)
        check.equal("only the partition with news has a row", [(row.partition_index, row.high_watermark) for row in rows], [(1, 3)])
        answer = connection.call(fetch([], session=(session, 9)))
        check.equal("a wrong epoch", answer.error_code, INVALID_FETCH_SESSION_EPOCH)
        answer = connection.call(fetch([], session=(12345, 3)))
        check.equal("an unknown session", answer.error_code, FETCH_SESSION_ID_NOT_FOUND)


def idempotence(check):
    topic, _ = create("idempotence")
    with Connection() as connection:
        given = connection.call(InitProducerIdRequest[4](transactional_id=None, transaction_timeout_ms=0, producer_id=-1,
                                                         producer_epoch=-1))
        check.equal("a producer id", (given.error_code, given.producer_epoch), (NONE, 0))

        def write(sequence, epoch=0):
            row = produced(connection, topic, batch(2, (given.producer_id, epoch, sequence)))
            return row.error_code, row.base_offset

        check.equal("the first seven batches", [write(2 * i) for i in range(7)], [(NONE, 2 * i) for i in range(7)])
        check.equal("the last five again get their first answers", [write(2 * i) for i in range(2, 7)],
                    [(NONE, 2 * i) for i in range(2, 7)])
        check.true("an older one is refused", write(0)[0] in (OUT_OF_ORDER_SEQUENCE_NUMBER, DUPLICATE_SEQUENCE_NUMBER))
        check.equal("a gap", write(20)[0], OUT_OF_ORDER_SEQUENCE_NUMBER)
        check.equal("the right one after all that", write(14), (NONE, 14))
        check.equal("a new epoch begins at 0", write(3, epoch=1)[0], OUT_OF_ORDER_SEQUENCE_NUMBER)
        check.equal("and goes on", write(0, epoch=1), (NONE, 16))


def bad_batches(check):
    topic, _ = create("bad-batches")
    good = batch(3)

    def changed(at, data):
        """The batch with some bytes set and its checksum made right, or wrong if that is what was set."""
        bad = bytearray(good)
        bad[at:at + len(data)] = data
        if at > 20:
            bad[17:21] = struct.pack(">I", kafka.record.util.calc_crc32c(bytes(bad[21:])))
        return bytes(bad)

    cases = {
        "a wrong checksum": (changed(17, b"\0\0\0\0"), {CORRUPT_MESSAGE}),
        "a count that lies": (changed(57, struct.pack(">i", 4)), {INVALID_RECORD}),
        "a count of 2³¹−1": (changed(57, struct.pack(">i", 2**31 - 1)), {INVALID_RECORD}),
        "a last offset that lies": (changed(23, struct.pack(">i", 7)), {INVALID_RECORD}),
        "a length beyond the bytes": (changed(8, struct.pack(">i", 5000)), {CORRUPT_MESSAGE, INVALID_RECORD}),
        "an unknown codec": (changed(21, struct.pack(">h", 6)), {UNSUPPORTED_COMPRESSION_TYPE, UNKNOWN_SERVER_ERROR}),
        "two batches": (good + good, {INVALID_RECORD}),
    }
    for what, (records, expected) in cases.items():
        with Connection() as connection:
            code = produced(connection, topic, records).error_code
            check.true(f"{what}: {code} is one of {expected}", code in expected)
            check.equal(f"a good batch after {what}", produced(connection, topic, good).error_code, NONE)
    with Connection() as connection:
        row = rows_of(connection.call(fetch([(0, 0)], topic=topic)))[0]
        check.equal("nothing of a bad batch was kept", row.high_watermark, 3 * len(cases))


def main():
    check = Checks("pitfalls", f"(requests by kafka-python {kafka.__version__})")
    for run in [api_versions, null_client_id, closed, order_of_answers, empty_fetches, fetched_offsets, fetch_sessions, idempotence,
                bad_batches]:
        check.scenario(run)
    check.report()


if __name__ == "__main__":
    main()
