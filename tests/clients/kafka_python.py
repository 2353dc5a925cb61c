"""kafka-python against a broker: `kafka_python.py BOOTSTRAP RECORDS PREFIX`."""

import sys
import time

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition, errors
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec

from common import CODECS, DEADLINE_S, PARTITIONS, Checks, Record, load_records, until

BOOTSTRAP, RECORDS_FILE, PREFIX = sys.argv[1:]
# This client refuses to write a header without a value.
RECORDS = [r._replace(headers=tuple((name, content or b"") for name, content in r.headers)) for r in load_records(RECORDS_FILE)]
MODES = [
    {"acks": "all", "enable_idempotence": True},
    {"acks": "all", "enable_idempotence": False},
    {"acks": 1, "enable_idempotence": False},
    {"acks": 0, "enable_idempotence": False},
]
ADMIN = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)


def create(name, partitions=1, **config):
    """Creates a topic; dots of configuration keys are underscores here."""
    topic = f"{PREFIX}-kafka-python-{name}"
    configs = {key.replace("_", "."): str(value) for key, value in config.items()}
    ADMIN.create_topics({topic: {"num_partitions": partitions, "configs": configs}}, wait_for_metadata=True)
    return topic


def produce(topic, records, **config):
    producer = KafkaProducer(**{"bootstrap_servers": BOOTSTRAP, "linger_ms": 50} | config)
    try:
        sent = [producer.send(topic, r.value, r.key, list(r.headers), r.partition, r.timestamp) for r in records]
        return [future.get(DEADLINE_S) for future in sent]
    finally:
        producer.close(DEADLINE_S)


def consumer(positions, **config):
    """A consumer that starts at the given offset of each partition."""
    reader = KafkaConsumer(**{"bootstrap_servers": BOOTSTRAP, "group_id": None, "auto_offset_reset": "none"} | config)
    reader.assign(list(positions))
    for partition, offset in positions.items():
        reader.seek(partition, offset)
    return reader


def read(positions, count, **config):
    reader, found = consumer(positions, **config), []
    end = time.monotonic() + DEADLINE_S
    try:
        while len(found) < count and time.monotonic() < end:
            found += [m for messages in reader.poll(200, count - len(found)).values() for m in messages]
    finally:
        reader.close()
    return found


def record_of(message):
    return Record(message.partition, message.key, message.value, tuple(message.headers), message.timestamp)


def read_all(topic, count, partitions=PARTITIONS, **config):
    return [record_of(m) for m in read({TopicPartition(topic, p): 0 for p in range(partitions)}, count, **config)]


def error_of(run, *arguments, **keywords):
    """The type of the error that a call must end with."""
    try:
        run(*arguments, **keywords)
    except errors.KafkaError as error:
        return type(error)
    return None


def codec(check, name):
    topic = create(name, PARTITIONS)
    for mode in MODES:
        produce(topic, RECORDS, **mode, compression_type=None if name == "none" else name)
    expected = RECORDS * len(MODES)
    check.records(f"records written with {name}", read_all(topic, len(expected)), expected)


def offsets(check):
    topic = create("offsets", 2)
    partition, empty = TopicPartition(topic, 0), TopicPartition(topic, 1)
    records = [Record(0, None, f"{i}".encode(), (), RECORDS[0].timestamp + 1000 * i) for i in range(50)]
    metadata = produce(topic, records)
    check.equal("offsets told to the producer", [m.offset for m in metadata], list(range(50)))
    reader = consumer({partition: 0})
    check.equal("beginnings", reader.beginning_offsets([partition, empty]), {partition: 0, empty: 0})
    check.equal("ends", reader.end_offsets([partition, empty]), {partition: 50, empty: 0})

    def at(timestamp):
        found = reader.offsets_for_times({partition: timestamp})[partition]
        return found and (found.offset, found.timestamp)

    check.equal("the offset of an exact time", at(records[20].timestamp), (20, records[20].timestamp))
    check.equal("the offset between two times", at(records[20].timestamp + 1), (21, records[21].timestamp))
    check.equal("the offset before all times", at(1), (0, records[0].timestamp))
    check.equal("the offset after all times", at(records[-1].timestamp + 1), None)
    reader.close()
    listed = ADMIN.list_partition_offsets({partition: OffsetSpec.MAX_TIMESTAMP})[partition]
    check.equal("the largest timestamp", (listed.offset, listed.timestamp), (49, records[49].timestamp))
    middle = [record_of(m) for m in read({partition: 33}, 17)]
    check.equal("a read that starts inside a batch", middle, records[33:])


def fetch_sessions(check):
    """Partitions come, go and pause while sessions stay open on one connection."""
    topics = [create(f"session-{i}", 4) for i in range(3)]
    partitions = [TopicPartition(topic, p) for topic in topics for p in range(4)]
    reader = consumer({partition: 0 for partition in partitions})
    expected, got = [], []

    def write(tag, to):
        for partition in to:
            produce(partition.topic, [Record(partition.partition, None, tag, (), RECORDS[0].timestamp)])
            expected.append((partition, tag))

    def reads_everything():
        got.extend((TopicPartition(m.topic, m.partition), m.value) for ms in reader.poll(100).values() for m in ms)
        return len(got) >= len(expected)

    write(b"first", partitions)
    until("the first round is read", reads_everything)
    reader.pause(*partitions[::2])
    write(b"while paused", partitions[1::2])
    until("the others are read", reads_everything)
    reader.resume(*partitions[::2])
    write(b"resumed", partitions[::2])
    until("the resumed are read", reads_everything)
    positions = {partition: reader.position(partition) for partition in partitions[2:9]}
    reader.assign(list(positions))
    for partition, offset in positions.items():
        reader.seek(partition, offset)
    write(b"fewer", positions)
    until("a smaller assignment is read", reads_everything)
    check.equal("what was read", sorted(got), sorted(expected))
    reader.close()


def small_fetches(check):
    topic = create("small-fetches", PARTITIONS)
    produce(topic, RECORDS)
    got = read_all(topic, len(RECORDS), max_partition_fetch_bytes=1000, fetch_max_bytes=1000)
    check.records("the first batch comes whatever the limits", got, RECORDS)


def long_poll(check):
    topic = create("long-poll")
    reader = consumer({TopicPartition(topic, 0): 0}, fetch_max_wait_ms=10000)
    check.equal("an empty partition yields nothing", reader.poll(1000), {})
    produce(topic, [Record(0, b"k", b"late", (), RECORDS[0].timestamp)], linger_ms=0)
    begin = time.monotonic()
    messages = until("the record comes", lambda: reader.poll(1000))
    check.equal("the record that ends a long poll", [m.value for ms in messages.values() for m in ms], [b"late"])
    check.true("a long poll ends when a record comes", time.monotonic() - begin < 5)
    reader.close()


def refusals(check):
    topic = create("refusals", max_message_bytes=10000)
    produce(topic, [Record(0, None, b"x" * 9000, (), RECORDS[0].timestamp)])
    large = [Record(0, None, b"x" * 11000, (), RECORDS[0].timestamp)]
    check.equal("a batch over max.message.bytes", error_of(produce, topic, large), errors.MessageSizeTooLargeError)
    beyond = error_of(read, {TopicPartition(topic, 0): 99}, 1)
    check.equal("a fetch beyond the end", beyond, errors.OffsetOutOfRangeError)
    check.equal("a topic that exists", error_of(create, "refusals"), errors.TopicAlreadyExistsError)
    check.equal("a bad name", error_of(create, "bad/name"), errors.InvalidTopicError)
    check.equal("a bad configuration", error_of(create, "bad", retention_ms="soon"), errors.InvalidConfigurationError)


def topics(check):
    topic = create("topics", PARTITIONS)
    described = ADMIN.describe_topics([topic])[0]
    check.equal("partitions", sorted(p["partition_index"] for p in described["partitions"]), list(range(PARTITIONS)))
    ADMIN.create_partitions({topic: PARTITIONS + 1})
    until("more partitions", lambda: len(ADMIN.describe_topics([topic])[0]["partitions"]) == PARTITIONS + 1)
    check.true("it is listed", topic in ADMIN.list_topics())
    ADMIN.delete_topics([topic])
    until("the topic is gone", lambda: topic not in ADMIN.list_topics())
    check.equal("a topic that is gone", error_of(ADMIN.delete_topics, [topic]), errors.UnknownTopicOrPartitionError)


def configurations(check):
    topic = create("configs", retention_ms=3600000)

    def described():
        found = ADMIN.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
        return {name: entry["value"] for name, entry in found["topic"][topic].items()}

    check.equal("a value that was set", int(described()["retention.ms"]), 3600000)
    for incremental in [True, False]:
        change = ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": str(20000 + incremental)})
        ADMIN.alter_configs([change], incremental=incremental)
        check.equal("a value that was altered", int(described()["max.message.bytes"]), 20000 + incremental)
        check.equal("a read-modify-write keeps the others", int(described()["retention.ms"]), 3600000)


def deleted_records(check):
    topic = create("deleted")
    partition = TopicPartition(topic, 0)
    produce(topic, [Record(0, None, b"%d" % i, (), RECORDS[0].timestamp) for i in range(20)])
    result = ADMIN.delete_records({partition: 12})[partition]
    check.equal("the low watermark", result["low_watermark"], 12)
    found = read({partition: 3}, 8, auto_offset_reset="earliest")
    check.equal("what is left", [m.offset for m in found], list(range(12, 20)))


def cluster(check):
    described = ADMIN.describe_cluster()
    check.true("a cluster id", described["cluster_id"])
    check.true("brokers", described["brokers"])
    check.true("log directories", ADMIN.describe_log_dirs())


def main():
    check = Checks("kafka-python", kafka.__version__)
    for name in CODECS:
        check.scenario(codec, name)
    for run in [offsets, fetch_sessions, small_fetches, long_poll, refusals, topics, configurations, deleted_records, cluster]:
        check.scenario(run)
    ADMIN.close()
    check.report()


if __name__ == "__main__":
    main()
