"""A member of a group, with confluent-kafka: `member.py BOOTSTRAP GROUP NAME ASSIGNOR`. Reads the topic that is named
like its group, until SIGTERM."""

import os
import signal
import sys
import threading

from confluent_kafka import Consumer

BOOTSTRAP, GROUP, NAME, ASSIGNOR = sys.argv[1:]


def tell(what, numbers):
    os.write(1, f"{NAME} {what} {' '.join(map(str, numbers))}\n".encode())


def tell_partitions(what):
    return lambda _, partitions: tell(what, [partition.partition for partition in partitions])


ends = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ends.set())
CLASSIC = {"partition.assignment.strategy": ASSIGNOR, "heartbeat.interval.ms": 300, "session.timeout.ms": 6000}
PROTOCOL = {"group.protocol": "consumer"} if ASSIGNOR == "consumer" else CLASSIC
consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": GROUP, "auto.offset.reset": "earliest"} | PROTOCOL)
consumer.subscribe([GROUP], on_assign=tell_partitions("assigned"), on_revoke=tell_partitions("revoked"),
                   on_lost=tell_partitions("revoked"))
while not ends.is_set():
    messages = consumer.consume(100, 0.1)
    if messages:
        tell("read", [number for message in messages for number in (message.partition(), message.offset())])
consumer.close()
