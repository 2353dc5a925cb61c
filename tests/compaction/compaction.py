"""Fills a compacted topic and waits until it has one record for each key: `compaction.py BOOTSTRAP RECORDS KEYS PID`.

Record i has key i % KEYS and value i, so the newest value of key k is RECORDS - KEYS + k.
"""

import pathlib
import re
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka import admin as adm

BOOTSTRAP, RECORDS, KEYS, PID = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
TOPIC = "table"
PATIENCE_S = 600
ADMIN = adm.AdminClient({"bootstrap.servers": BOOTSTRAP})


def resident_mib():
    """The largest resident set that the broker ever had."""
    status = pathlib.Path(f"/proc/{PID}/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024


def create():
    # Nothing is compacted before all records are there: the test is about the end, and about memory.
    config = {"cleanup.policy": "compact", "segment.bytes": str(64 << 20), "min.compaction.lag.ms": "86400000"}
    ADMIN.create_topics([adm.NewTopic(TOPIC, 1, 1, config=config)])[TOPIC].result()


def produce():
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "linger.ms": 20, "queue.buffering.max.messages": 1_000_000})
    for number in range(RECORDS):
        while True:
            try:
                producer.produce(TOPIC, key=str(number % KEYS), value=str(number))
                break
            except BufferError:
                producer.poll(0.05)
        if number % 10_000 == 0:
            producer.poll(0)
    assert producer.flush(PATIENCE_S) == 0


def compact():
    """Everything may be compacted now, the segment that is written to included."""
    resource = adm.ConfigResource(adm.ConfigResource.Type.TOPIC, TOPIC)
    for name, value in [("min.compaction.lag.ms", "0"), ("max.compaction.lag.ms", "1")]:
        entry = adm.ConfigEntry(name, value, incremental_operation=adm.AlterConfigOpType.SET)
        resource.add_incremental_config(entry)
    ADMIN.incremental_alter_configs([resource])[resource].result()


def read():
    """Every record from offset 0 to the end, and that end."""
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "unused", "enable.auto.commit": False,
                         "enable.partition.eof": True})
    consumer.assign([TopicPartition(TOPIC, 0, OFFSET_BEGINNING)])
    found, deadline = [], time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for message in consumer.consume(100_000, timeout=1):
            if message.error() is None:
                found.append((int(message.key()), int(message.value()), message.offset()))
            else:
                end = message.offset()
                consumer.close()
                return found, end
    raise SystemExit(f"the reader does not reach the end: {len(found)} records")


def main():
    create()
    began = time.monotonic()
    produce()
    print(f"{RECORDS} records of {KEYS} keys written in {time.monotonic() - began:.1f} s, "
          f"resident at most {resident_mib()} MiB")
    before = resident_mib()
    began = time.monotonic()
    compact()
    while True:
        found, end = read()
        assert end == RECORDS, f"the log ends at {end}"
        if len(found) == KEYS:
            break
        assert time.monotonic() - began < PATIENCE_S, f"{len(found)} records are left"
        time.sleep(1)
    print(f"compacted in {time.monotonic() - began:.1f} s, resident at most {resident_mib()} MiB, before {before} MiB")
    assert found == [(key, RECORDS - KEYS + key, RECORDS - KEYS + key) for key in range(KEYS)]
    print(f"python reads {len(found)} records, the newest of each key, and reaches {end}")


main()
