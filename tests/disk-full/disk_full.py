"""Fills a small disk under a broker: `disk_full.py DISK BOOTSTRAP COMMAND...`, with the broker's data on DISK.

* A produce that finds no room is answered with KAFKA_STORAGE_ERROR; nothing of it can be read.
* Everything acknowledged is read back while the disk is full, after there is room again, and after a restart.
* The broker lives on, and takes records again once there is room.
"""

import random
import sys
import time
from pathlib import Path

from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from live import FINISH_S, Broker, read_topic

DISK, BOOTSTRAP, COMMAND = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
TOPIC, PARTITIONS = "full", 2
BALLAST = DISK / "ballast"
RECORD_BYTES = 200_000
REFUSALS = 20


class Writer:
    """Sends one record at a time, without retries, and remembers what was acknowledged."""

    def __init__(self):
        self.producer = Producer({"bootstrap.servers": BOOTSTRAP, "acks": "all", "retries": 0, "log_level": 2,
                                  "message.timeout.ms": 1000 * FINISH_S})
        self.noise, self.acknowledged, self.attempts = random.Random(7), {}, 0

    def send(self):
        """Returns the code of the error, or none."""
        value, answers = self.noise.randbytes(RECORD_BYTES), []
        self.producer.produce(TOPIC, value, partition=self.attempts % PARTITIONS, on_delivery=lambda *answer: answers.append(answer))
        self.attempts += 1
        self.producer.flush(FINISH_S)
        error, message = answers[0]
        if not error:
            self.acknowledged[message.partition(), message.offset()] = value
        return error and error.code()

    def expect_all(self, when):
        found = read_topic(BOOTSTRAP, TOPIC, PARTITIONS)
        assert found == self.acknowledged, f"{when}: {len(found)} records, {len(self.acknowledged)} acknowledged"
        print(f"disk-full: {when}, all {len(found)} acknowledged records are read back, and no other")


def fill(writer):
    """Writes until the disk has refused several times."""
    refused = []
    while len(refused) < REFUSALS:
        assert writer.attempts < 1000, "the disk never ran full"
        if code := writer.send():
            refused.append(code)
    assert set(refused) == {KafkaError.KAFKA_STORAGE_ERROR}, f"refused with {set(refused)}"


def main():
    BALLAST.write_bytes(bytes(16 << 20))
    with Broker(BOOTSTRAP, COMMAND) as broker:
        admin = AdminClient({"bootstrap.servers": BOOTSTRAP, "log_level": 2})
        admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result()
        writer = Writer()
        fill(writer)
        writer.expect_all("with a full disk")
        BALLAST.unlink()
        before, end = len(writer.acknowledged), time.monotonic() + FINISH_S
        while len(writer.acknowledged) < before + 10:
            assert time.monotonic() < end, "there is room again, but no record is taken"
            writer.send()
        writer.expect_all("with room again")
        fill(writer)
        broker.kill()
        broker.start()
        writer.expect_all("after a kill and a start on a full disk")
        broker.stop()
    print(f"disk-full: {writer.attempts} records sent, {len(writer.acknowledged)} acknowledged, the others refused: passed")


if __name__ == "__main__":
    main()
