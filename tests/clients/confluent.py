"""confluent-kafka (librdkafka) against a broker: `confluent.py BOOTSTRAP RECORDS PREFIX`.

Comes after kafkajs with the same PREFIX, and reads what kafkajs wrote.
"""

import sys
import time

import confluent_kafka
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import admin as adm

from common import CODECS, DEADLINE_S, PARTITIONS, Checks, Record, load_records, until

BOOTSTRAP, RECORDS_FILE, PREFIX = sys.argv[1:]
RECORDS = load_records(RECORDS_FILE)
MODES = [
    {"acks": "all", "enable.idempotence": True},
    {"acks": "all", "enable.idempotence": False},
    {"acks": "1"},
    {"acks": "0"},
]
ADMIN = adm.AdminClient({"bootstrap.servers": BOOTSTRAP})


def create(name, partitions=1, **config):
    """Creates a topic; dots of configuration keys are underscores here."""
    topic = f"{PREFIX}-{name}"
    config = {key.replace("_", "."): str(value) for key, value in config.items()}
    ADMIN.create_topics([adm.NewTopic(topic, partitions, 1, config=config)])[topic].result()
    return topic


def produce(topic, records, **config):
    """Writes the records and waits for every answer; returns the delivered messages."""
    errors, delivered = [], []
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "linger.ms": 50, "message.timeout.ms": DEADLINE_S * 1000} | config)

    def on_delivery(error, message):
        (errors if error else delivered).append(error or message)

    for r in records:
        producer.produce(topic, r.value, r.key, r.partition, on_delivery=on_delivery, timestamp=r.timestamp,
                         headers=list(r.headers))
    assert producer.flush(DEADLINE_S) == 0, "some records were never answered"
    if errors:
        raise KafkaException(errors[0])
    return delivered


def consumer(**config):
    return Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": PREFIX, "enable.auto.commit": False,
                     "fetch.error.backoff.ms": 50, "auto.offset.reset": "error"} | config)


def record_of(message):
    headers = tuple((name, content) for name, content in message.headers() or [])
    return Record(message.partition(), message.key(), message.value(), headers, message.timestamp()[1])


def read(assignments, count, **config):
    """Reads `count` messages from the given positions."""
    reader, found = consumer(**config), []
    reader.assign(assignments)
    end = time.monotonic() + DEADLINE_S
    while len(found) < count and time.monotonic() < end:
        for message in reader.consume(count - len(found), 0.2):
            if message.error():
                raise KafkaException(message.error())
            found.append(message)
    reader.close()
    return found


def read_all(topic, count, partitions=PARTITIONS, **config):
    return [record_of(m) for m in read([TopicPartition(topic, p, 0) for p in range(partitions)], count, **config)]


def error_of(run, *arguments, **keywords):
    """The code of the error that a call must end with."""
    try:
        run(*arguments, **keywords)
    except KafkaException as error:
        return error.args[0].code()
    return None


def codec(check, name):
    topic = create(f"confluent-{name}", PARTITIONS)
    for mode in MODES:
        produce(topic, RECORDS, **mode, **{"compression.type": name})
    expected = RECORDS * len(MODES)
    check.records(f"records written with {name}", read_all(topic, len(expected)), expected)


def offsets(check):
    topic = create("confluent-offsets", 2)
    records = [Record(0, None, f"{i}".encode(), (), RECORDS[0].timestamp + 1000 * i) for i in range(50)]
    delivered = produce(topic, records)
    check.equal("offsets told to the producer", [m.offset() for m in delivered], list(range(50)))
    reader = consumer()
    check.equal("watermarks", reader.get_watermark_offsets(TopicPartition(topic, 0)), (0, 50))
    check.equal("watermarks of an empty partition", reader.get_watermark_offsets(TopicPartition(topic, 1)), (0, 0))

    def at(timestamp):
        return reader.offsets_for_times([TopicPartition(topic, 0, timestamp)])[0].offset

    check.equal("the offset of an exact time", at(records[20].timestamp), 20)
    check.equal("the offset between two times", at(records[20].timestamp + 1), 21)
    check.equal("the offset before all times", at(1), 0)
    check.equal("the offset after all times", at(records[-1].timestamp + 1), -1)
    reader.close()

    def listed(spec):
        partition = TopicPartition(topic, 0)
        return ADMIN.list_offsets({partition: spec}, isolation_level=IsolationLevel.READ_UNCOMMITTED)[partition].result().offset

    check.equal("earliest", listed(adm.OffsetSpec.earliest()), 0)
    check.equal("latest", listed(adm.OffsetSpec.latest()), 50)
    check.equal("the offset of the largest timestamp", listed(adm.OffsetSpec.max_timestamp()), 49)
    middle = [record_of(m) for m in read([TopicPartition(topic, 0, 33)], 17)]
    check.equal("a read that starts inside a batch", middle, records[33:])


def small_fetches(check):
    topic = create("confluent-small-fetches", PARTITIONS)
    produce(topic, RECORDS)
    limits = {"fetch.message.max.bytes": 1000, "fetch.max.bytes": 1000, "message.max.bytes": 1000}
    check.records("the first batch comes whatever the limits", read_all(topic, len(RECORDS), **limits), RECORDS)


def long_poll(check):
    topic = create("confluent-long-poll")
    reader = consumer(**{"fetch.wait.max.ms": 10000, "socket.timeout.ms": 20000})
    reader.assign([TopicPartition(topic, 0, 0)])
    check.true("an empty partition yields nothing", reader.poll(1) is None)
    produce(topic, [Record(0, b"k", b"late", (), RECORDS[0].timestamp)], **{"linger.ms": 0})
    begin = time.monotonic()
    message = reader.poll(DEADLINE_S)
    check.equal("the record that ends a long poll", message and message.value(), b"late")
    check.true("a long poll ends when a record comes", time.monotonic() - begin < 5)
    reader.close()
    begin = time.monotonic()
    check.equal("a record below fetch.min.bytes",
                len(read([TopicPartition(topic, 0, 0)], 1, **{"fetch.min.bytes": 100000, "fetch.wait.max.ms": 300})), 1)
    check.true("max wait ends a poll that min bytes would hold", time.monotonic() - begin < 5)


def out_of_range(check):
    topic = create("confluent-out-of-range")
    produce(topic, [Record(0, None, b"%d" % i, (), RECORDS[0].timestamp) for i in range(5)])
    check.equal("a fetch beyond the end", error_of(read, [TopicPartition(topic, 0, 99)], 1), KafkaError._AUTO_OFFSET_RESET)
    found = read([TopicPartition(topic, 0, 99)], 5, **{"auto.offset.reset": "earliest"})
    check.equal("a reset to earliest", [m.offset() for m in found], [0, 1, 2, 3, 4])


def too_large(check):
    topic = create("confluent-too-large", max_message_bytes=10000)
    small, large = (Record(0, None, b"x" * size, (), RECORDS[0].timestamp) for size in (9000, 11000))
    produce(topic, [small])
    check.equal("a batch over max.message.bytes", error_of(produce, topic, [large]), KafkaError.MSG_SIZE_TOO_LARGE)
    check.equal("what was refused was not written", len(read_all(topic, 1, 1)), 1)


def log_append_time(check):
    topic = create("confluent-append-time", message_timestamp_type="LogAppendTime")
    begin = time.time() * 1000 - 1000
    for name in CODECS:
        produce(topic, [Record(0, b"k", b"v" * 100, (), 1234)], **{"compression.type": name})
    found = read([TopicPartition(topic, 0, 0)], len(CODECS))
    kinds = {m.timestamp()[0] for m in found}
    check.equal("the kind of timestamp", kinds, {confluent_kafka.TIMESTAMP_LOG_APPEND_TIME})
    check.true("the broker's time", all(begin <= m.timestamp()[1] <= time.time() * 1000 + 1000 for m in found))


def recompression(check):
    for kept in ["uncompressed", "gzip", "snappy", "lz4", "zstd", "producer"]:
        topic = create(f"confluent-recompressed-{kept}", PARTITIONS, compression_type=kept)
        for name in CODECS:
            produce(topic, RECORDS, **{"compression.type": name})
        expected = RECORDS * len(CODECS)
        check.records(f"records of a topic with compression.type={kept}", read_all(topic, len(expected)), expected)


def many_segments(check):
    topic = create("confluent-segments", 2, segment_bytes=1048576)
    records = [Record(i % 2, b"%d" % i, RECORDS[48].value[i:i + 40000], (), RECORDS[0].timestamp + i) for i in range(200)]
    for begin in range(0, len(records), 40):
        produce(topic, records[begin:begin + 40])
    for limit in [10_000, 1_000_000]:
        found = read([TopicPartition(topic, p, 0) for p in range(2)], len(records), **{"fetch.message.max.bytes": limit})
        check.records(f"several segments in fetches of {limit} bytes", [record_of(m) for m in found], records)


def topics(check):
    topic = create("confluent-topics", PARTITIONS)
    again = error_of(create, "confluent-topics", PARTITIONS)
    check.equal("a topic that exists", again, KafkaError.TOPIC_ALREADY_EXISTS)
    check.equal("a bad name", error_of(create, "confluent/bad"), KafkaError.TOPIC_EXCEPTION)
    check.equal("no partitions", error_of(create, "confluent-no-partitions", 0), KafkaError.INVALID_PARTITIONS)
    check.equal("a bad configuration", error_of(create, "confluent-bad", retention_ms="soon"), KafkaError.INVALID_CONFIG)
    described = ADMIN.list_topics(topic).topics[topic].partitions
    check.equal("partitions", sorted(described), list(range(PARTITIONS)))
    check.true("each has a leader that is in the ISR", all(p.leader in p.isrs for p in described.values()))
    details = ADMIN.describe_topics(confluent_kafka.TopicCollection([topic]))[topic].result()
    check.equal("described partitions", len(details.partitions), PARTITIONS)
    ADMIN.create_partitions([adm.NewPartitions(topic, PARTITIONS + 3)])[topic].result()
    until("more partitions", lambda: len(ADMIN.list_topics(topic).topics[topic].partitions) == PARTITIONS + 3)
    produce(topic, [Record(PARTITIONS + 2, None, b"new", (), RECORDS[0].timestamp)])
    check.equal("the new partition takes records", len(read([TopicPartition(topic, PARTITIONS + 2, 0)], 1)), 1)
    fewer = error_of(lambda: ADMIN.create_partitions([adm.NewPartitions(topic, 2)])[topic].result())
    check.equal("fewer partitions", fewer, KafkaError.INVALID_PARTITIONS)
    ADMIN.delete_topics([topic])[topic].result()
    until("the topic is gone", lambda: topic not in ADMIN.list_topics().topics)
    gone = error_of(lambda: ADMIN.delete_topics([topic])[topic].result())
    check.equal("a topic that is gone", gone, KafkaError.UNKNOWN_TOPIC_OR_PART)
    topic = create("confluent-topics", 1)
    produce(topic, [Record(0, None, b"second life", (), RECORDS[0].timestamp)])
    check.equal("a topic made again is empty", [m.value() for m in read([TopicPartition(topic, 0, 0)], 1)], [b"second life"])


def created_on_first_use(check):
    topic = f"{PREFIX}-confluent-first-use"
    produce(topic, [Record(0, None, b"hello", (), RECORDS[0].timestamp)])
    check.equal("a topic made by its first record", len(read([TopicPartition(topic, 0, 0)], 1)), 1)


def configurations(check):
    topic = create("confluent-configs", retention_ms=3600000)
    resource = adm.ConfigResource(adm.ResourceType.TOPIC, topic)

    def described():
        return next(iter(ADMIN.describe_configs([resource]).values())).result()

    check.equal("a value that was set", described()["retention.ms"].value, "3600000")
    check.equal("a value that was not", described()["max.message.bytes"].value, "1048588")
    check.true("which is a default", described()["max.message.bytes"].is_default)

    def alter(name, value, operation):
        entry = adm.ConfigEntry(name, value, incremental_operation=operation)
        changed = adm.ConfigResource(adm.ResourceType.TOPIC, topic, incremental_configs=[entry])
        next(iter(ADMIN.incremental_alter_configs([changed]).values())).result()

    alter("max.message.bytes", "20000", adm.AlterConfigOpType.SET)
    check.equal("a value that was altered", described()["max.message.bytes"].value, "20000")
    check.equal("the others stay", described()["retention.ms"].value, "3600000")
    alter("max.message.bytes", None, adm.AlterConfigOpType.DELETE)
    check.equal("a value that was deleted", described()["max.message.bytes"].value, "1048588")
    check.equal("an unknown key", error_of(alter, "no.such.key", "1", adm.AlterConfigOpType.SET), KafkaError.INVALID_CONFIG)
    check.equal("a bad value", error_of(alter, "retention.ms", "soon", adm.AlterConfigOpType.SET), KafkaError.INVALID_CONFIG)
    broker = ADMIN.list_topics().orig_broker_id
    resource = adm.ConfigResource(adm.ResourceType.BROKER, str(broker))
    check.true("a broker has a configuration", "log.retention.ms" in described())


def deleted_records(check):
    topic = create("confluent-deleted")
    produce(topic, [Record(0, None, b"%d" % i, (), RECORDS[0].timestamp) for i in range(20)])
    partition = TopicPartition(topic, 0, 12)
    low = ADMIN.delete_records([partition])[partition].result().low_watermark
    check.equal("the low watermark", low, 12)
    reader = consumer()
    check.equal("watermarks", reader.get_watermark_offsets(TopicPartition(topic, 0)), (12, 20))
    reader.close()
    check.equal("a read below the start", error_of(read, [TopicPartition(topic, 0, 3)], 1), KafkaError._AUTO_OFFSET_RESET)
    found = read([TopicPartition(topic, 0, confluent_kafka.OFFSET_BEGINNING)], 8)
    check.equal("what is left", [m.offset() for m in found], list(range(12, 20)))


def cluster(check):
    described = ADMIN.describe_cluster().result()
    check.true("a cluster id", described.cluster_id)
    check.true("the controller is a broker", described.controller.id in [node.id for node in described.nodes])


def written_by(check, client, name, times):
    """Reads what another client wrote, whose consumer needs groups; it cannot tell a null header from an empty one."""
    records = [r._replace(headers=tuple((key, content or b"") for key, content in r.headers)) for r in RECORDS]
    expected = records * times
    check.records(f"records that {client} wrote with {name}", read_all(f"{PREFIX}-{client}-{name}", len(expected)), expected)


def main():
    check = Checks("confluent-kafka", f"{confluent_kafka.version()} (librdkafka {confluent_kafka.libversion()[0]})")
    for name in CODECS:
        check.scenario(codec, name)
        check.scenario(written_by, "kafkajs", name, 4)
    for run in [offsets, small_fetches, long_poll, out_of_range, too_large, log_append_time, recompression, many_segments,
                topics, created_on_first_use, configurations, deleted_records, cluster]:
        check.scenario(run)
    check.report()


if __name__ == "__main__":
    main()
