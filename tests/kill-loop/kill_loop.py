"""Kills a broker under load and reads back what it acknowledged: `kill_loop.py SECONDS SEED BOOTSTRAP COMMAND...`.

Four producers write to six partitions each: two idempotent with acks=all, one without idempotence, one with acks=1. At
the end the broker is killed once more, started, and every partition is read from its start.

* No acknowledged record is lost: at the offset that was answered stands the record, byte for byte.
* Idempotent producers: no record twice, and the order of writing within each partition.
* No producer meets an error that it cannot retry.
"""

import random
import sys
import threading
import time
from collections import Counter

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from live import FINISH_S, Broker, read_topic

SECONDS, SEED, BOOTSTRAP, COMMAND = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
PARTITIONS = 6
WRITERS = {
    "idempotent-a": {"enable.idempotence": True},
    "idempotent-b": {"enable.idempotence": True, "compression.type": "lz4", "linger.ms": 0},
    "plain": {"acks": "all"},
    "leader": {"acks": "1"},
}


def value_of(name, partition, number):
    """The bytes of one record: its identity, then between 0 and 3,000 bytes that follow from it."""
    head = f"{name} {partition} {number} ".encode()
    return head + random.Random(head).randbytes(number * 37 % 3000)


class Writer(threading.Thread):
    """One producer; remembers what was acknowledged."""

    def __init__(self, name, config):
        super().__init__(name=name, daemon=True)
        self.topic = name
        self.stopping = threading.Event()
        self.acknowledged, self.errors, self.sent = {}, Counter(), Counter()
        self.producer = Producer({
            "bootstrap.servers": BOOTSTRAP, "linger.ms": 5, "message.timeout.ms": 1000 * FINISH_S, "retry.backoff.ms": 50,
            "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "queue.buffering.max.messages": 1000, "log_level": 2,
        } | config)

    def run(self):
        pick = random.Random(f"{SEED} {self.name}")
        while not self.stopping.is_set():
            partition = pick.randrange(PARTITIONS)
            number = self.sent[partition]
            try:
                self.producer.produce(self.topic, value_of(self.name, partition, number), partition=partition,
                                      on_delivery=self.on_delivery(partition, number))
                self.sent[partition] += 1
                self.producer.poll(0)
            except BufferError:
                self.producer.poll(0.05)
        self.producer.flush(FINISH_S)

    def on_delivery(self, partition, number):
        def remember(error, message):
            if error:
                self.errors[str(error)] += 1
            else:
                self.acknowledged[partition, number] = message.offset()
        return remember


def judge(writer):
    """Compares what was acknowledged with what is there; returns (lost, duplicates, out of order, phantoms)."""
    found = read_topic(BOOTSTRAP, writer.topic, PARTITIONS)
    lost = sum(found.get((partition, offset)) != value_of(writer.name, partition, number)
               for (partition, number), offset in writer.acknowledged.items())
    phantoms = disorder = 0
    seen, last = Counter(), {}
    for (partition, _), value in sorted(found.items()):
        name, written_to, number = value.split(b" ", 3)[:3]
        number = int(number)
        if value != value_of(writer.name, partition, number) or number >= writer.sent[partition]:
            phantoms += 1
        seen[partition, number] += 1
        disorder += number < last.get(partition, 0)
        last[partition] = number
    duplicates = sum(count - 1 for count in seen.values())
    return lost, duplicates, disorder, phantoms


def kill_under_load(broker):
    """Kills and starts until the time is over; returns the times it took to answer again."""
    pick, restarts = random.Random(SEED), []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(pick.choice([0.02, 0.2, 1, 2]) * pick.uniform(0.5, 1.5))
        broker.kill()
        restarts.append(broker.start())
    return restarts


def run(broker):
    """The whole test; returns whether it failed."""
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP, "log_level": 2})
    for future in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in WRITERS]).values():
        future.result()
    writers = [Writer(name, config) for name, config in WRITERS.items()]
    for writer in writers:
        writer.start()
    restarts = sorted(kill_under_load(broker))
    for writer in writers:
        writer.stopping.set()
    for writer in writers:
        writer.join(2 * FINISH_S)
    broker.kill()
    broker.start()

    failed = False
    for writer in writers:
        lost, duplicates, disorder, phantoms = judge(writer)
        print(f"{writer.name}: {sum(writer.sent.values())} sent, {len(writer.acknowledged)} acknowledged, {lost} lost, "
              f"{duplicates} duplicates, {disorder} out of order, {phantoms} phantoms, errors {dict(writer.errors)}")
        idempotent = "enable.idempotence" in WRITERS[writer.name]
        failed |= bool(lost or phantoms or writer.errors or not writer.acknowledged or idempotent and (duplicates or disorder))
    acknowledged = sum(len(writer.acknowledged) for writer in writers)
    print(f"kill-loop: {len(restarts)} kills, {acknowledged} acknowledged, ready again after {restarts[len(restarts) // 2]:.2f} s "
          f"(median) to {restarts[-1]:.2f} s, seed {SEED}: {'FAILED' if failed else 'nothing lost'}")
    return failed


def main():
    with Broker(BOOTSTRAP, COMMAND) as broker:
        failed = run(broker)
    sys.exit(failed)


if __name__ == "__main__":
    main()
