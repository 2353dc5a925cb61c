"""Kills a broker under load and reads back what it acknowledged: `kill_loop.py SECONDS SEED BOOTSTRAP COMMAND...`.

Four producers write to six partitions each: two idempotent with acks=all, one without idempotence, one with acks=1. At
the end the broker is killed once more, started, and every partition is read from its start.

* No acknowledged record is lost: at the offset that was answered stands the record, byte for byte.
* Idempotent producers: no record twice, and the order of writing within each partition.
* No producer meets an error that it cannot retry.
"""

import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

SECONDS, SEED, BOOTSTRAP, COMMAND = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
PARTITIONS = 6
WRITERS = {
    "idempotent-a": {"enable.idempotence": True},
    "idempotent-b": {"enable.idempotence": True, "compression.type": "lz4", "linger.ms": 0},
    "plain": {"acks": "all"},
    "leader": {"acks": "1"},
}
READY_S = 30
FINISH_S = 60


class Broker:
    """The process under test."""

    def __init__(self):
        self.process, self.log = None, tempfile.TemporaryFile()

    def start(self):
        """Starts it and returns how long it took to answer."""
        begin = time.monotonic()
        self.process = subprocess.Popen(COMMAND, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        host, port = BOOTSTRAP.rsplit(":", 1)
        while time.monotonic() < begin + READY_S:
            try:
                socket.create_connection((host, int(port)), 1).close()
                return time.monotonic() - begin
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.01)
        self.log.seek(0)
        sys.stderr.buffer.write(self.log.read()[-4000:])
        sys.exit("kill-loop: the broker did not start again")

    def kill(self):
        if self.process.poll() is not None:
            sys.exit(f"kill-loop: the broker ended by itself with {self.process.returncode}")
        self.process.kill()
        self.process.wait()


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


def watermarks(reader, partition):
    """The first and the end offset. A broker that has just started may answer that it does not lead yet."""
    end = time.monotonic() + READY_S
    while True:
        try:
            return reader.get_watermark_offsets(partition, READY_S)
        except KafkaException as error:
            if not error.args[0].retriable() and error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION \
                    or time.monotonic() > end:
                raise
            time.sleep(0.1)


def read_back(topic):
    """Every record of a topic: (partition, offset) → value."""
    reader = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "kill-loop", "enable.auto.commit": False,
                       "auto.offset.reset": "error"})
    missing, found = {}, {}
    for partition in range(PARTITIONS):
        low, high = watermarks(reader, TopicPartition(topic, partition))
        assert low == 0, f"{topic} {partition} starts at {low}"
        missing[partition] = high
    reader.assign([TopicPartition(topic, partition, 0) for partition in missing])
    end = time.monotonic() + FINISH_S
    while len(found) < sum(missing.values()) and time.monotonic() < end:
        for message in reader.consume(1000, 0.2):
            if message.error():
                raise KafkaException(message.error())
            found[message.partition(), message.offset()] = message.value()
    reader.close()
    return found


def judge(writer):
    """Compares what was acknowledged with what is there; returns (lost, duplicates, out of order, phantoms)."""
    found = read_back(writer.topic)
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
    broker.start()
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
    broker = Broker()
    try:
        failed = run(broker)
    finally:
        if broker.process:
            broker.process.kill()
    sys.exit(failed)


if __name__ == "__main__":
    main()
