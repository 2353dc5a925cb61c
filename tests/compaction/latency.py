"""Latency of producing, alone and beside a compaction: `latency.py BOOTSTRAP MIB BROKER_LOG LIMIT`.

One record every two milliseconds with acks=all, each timed until it is acknowledged. What is compacted beside them are
other topics, MIB large each, filled before and released one at a time; the broker's log says when each is done.
"""

import pathlib
import sys
import time

from confluent_kafka import Producer
from confluent_kafka import admin as adm

BOOTSTRAP, MIB, LOG, LIMIT = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4]
TABLES = ["table-a", "table-b"]
VALUE = b"v" * 1000
KEYS = 1000
INTERVAL_S = 0.002
ALONE_S, PATIENCE_S = 10, 300
ADMIN = adm.AdminClient({"bootstrap.servers": BOOTSTRAP})


def create():
    table = {"cleanup.policy": "compact", "segment.bytes": str(16 << 20), "min.compaction.lag.ms": "86400000"}
    topics = [adm.NewTopic(name, 1, 1, config=table) for name in TABLES] + [adm.NewTopic("paced", 1, 1)]
    for created in ADMIN.create_topics(topics).values():
        created.result()


def fill(table):
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "linger.ms": 20})
    for number in range((MIB << 20) // len(VALUE)):
        while True:
            try:
                producer.produce(table, key=str(number % KEYS), value=VALUE)
                break
            except BufferError:
                producer.poll(0.05)
    assert producer.flush(PATIENCE_S) == 0


def release(table):
    """Everything in the table may be compacted now, the segment that is written to included."""
    resource = adm.ConfigResource(adm.ConfigResource.Type.TOPIC, table)
    for name, value in [("min.compaction.lag.ms", "0"), ("max.compaction.lag.ms", "1")]:
        entry = adm.ConfigEntry(name, value, incremental_operation=adm.AlterConfigOpType.SET)
        resource.add_incremental_config(entry)
    ADMIN.incremental_alter_configs([resource])[resource].result()


def is_compacted(table):
    return any("log compacted" in line and table in line for line in LOG.read_text(encoding="utf-8").splitlines())


def paced(is_over):
    """Produces at a steady rate; returns the milliseconds that each record took, and the seconds that all of it took."""
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "linger.ms": 0, "acks": "all"})
    latencies, began = [], time.monotonic()
    due = began
    while not is_over(due - began):
        sent = time.monotonic()
        producer.produce("paced", VALUE[:100], on_delivery=lambda error, _, sent=sent: latencies.append(
            (time.monotonic() - sent) * 1000 if error is None else float("inf")))
        due += INTERVAL_S
        while (left := due - time.monotonic()) > 0:
            producer.poll(left)
    assert producer.flush(PATIENCE_S) == 0
    return sorted(latencies), time.monotonic() - began


def tell(what, latencies, seconds):
    p50, p99, worst = (latencies[min(int(len(latencies) * part), len(latencies) - 1)] for part in (0.5, 0.99, 1))
    print(f"{what}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, worst {worst:.1f} ms of {len(latencies)} records in {seconds:.1f} s",
          flush=True)


def main():
    create()
    for table in TABLES:
        fill(table)
    for table in TABLES:
        tell("alone", *paced(lambda passed: passed >= ALONE_S))
        release(table)
        checked = [0.0, False]

        def is_over(passed, table=table, checked=checked):
            """The log is looked at twice a second: that takes time too."""
            if passed - checked[0] >= 0.5:
                checked[:] = passed, is_compacted(table)
            assert passed < PATIENCE_S, f"{table} is not compacted after {PATIENCE_S} s"
            return checked[1]

        tell(f"beside a compaction of {MIB} MiB{LIMIT and ', ' + LIMIT}", *paced(is_over))


main()
