"""aiokafka, which speaks old versions only, against a broker: `aiokafka_client.py BOOTSTRAP RECORDS PREFIX`."""

import asyncio
import sys

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from common import CODECS, DEADLINE_S, PARTITIONS, Checks, Record, load_records

BOOTSTRAP, RECORDS_FILE, PREFIX = sys.argv[1:]
RECORDS = load_records(RECORDS_FILE)
MODES = [
    {"acks": "all", "enable_idempotence": True},
    {"acks": "all"},
    {"acks": 1},
    {"acks": 0},
]


async def create(name, partitions):
    topic = f"{PREFIX}-aiokafka-{name}"
    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()
    try:
        response = await admin.create_topics([NewTopic(topic, partitions, 1)])
        assert [error for _, error, *_ in response.topic_errors] == [0], response
    finally:
        await admin.close()
    return topic


async def produce(topic, records, **config):
    async with AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, linger_ms=50, max_batch_size=1_000_000, **config) as producer:
        sent = [await producer.send(topic, r.value, r.key, r.partition, r.timestamp, list(r.headers)) for r in records]
        return await asyncio.wait_for(asyncio.gather(*sent), DEADLINE_S)


async def read(topic, positions, count):
    async with AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP, auto_offset_reset="none") as consumer:
        partitions = {TopicPartition(topic, p): offset for p, offset in positions.items()}
        consumer.assign(list(partitions))
        for partition, offset in partitions.items():
            consumer.seek(partition, offset)
        found = [await asyncio.wait_for(consumer.getone(), DEADLINE_S) for _ in range(count)]
    return [Record(m.partition, m.key, m.value, tuple(m.headers), m.timestamp) for m in found]


async def round_trip(topic, name):
    for mode in MODES:
        await produce(topic, RECORDS, **mode, compression_type=None if name == "none" else name)
    return await read(topic, {p: 0 for p in range(PARTITIONS)}, len(RECORDS) * len(MODES))


async def found_offsets(topic, records):
    await produce(topic, records)
    partition = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP) as consumer:
        consumer.assign([partition])
        times = await consumer.offsets_for_times({partition: records[20].timestamp + 1})
        ends = await consumer.end_offsets([partition])
    return times[partition].offset, ends[partition]


def codec(check, name):
    topic = asyncio.run(create(name, PARTITIONS))
    check.records(f"records written with {name}", asyncio.run(round_trip(topic, name)), RECORDS * len(MODES))


def offsets(check):
    topic = asyncio.run(create("offsets", 1))
    records = [Record(0, None, f"{i}".encode(), (), RECORDS[0].timestamp + 1000 * i) for i in range(50)]
    check.equal("by time and at the end", asyncio.run(found_offsets(topic, records)), (21, 50))
    check.equal("a read that starts inside a batch", asyncio.run(read(topic, {0: 33}, 17)), records[33:])


def main():
    check = Checks("aiokafka", aiokafka.__version__)
    for name in CODECS:
        check.scenario(codec, name)
    check.scenario(offsets)
    check.report()


if __name__ == "__main__":
    main()
