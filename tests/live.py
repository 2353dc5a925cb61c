"""What the Python programs that drive a real broker share: its process, and reading a topic to its end."""

import socket
import subprocess
import sys
import tempfile
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

READY_S = 30
FINISH_S = 60


class Broker:
    """The process under test: it dies with the test, and what it logged is shown when it fails."""

    def __init__(self, bootstrap, command):
        self.bootstrap, self.command = bootstrap, command
        self.process, self.log = None, tempfile.TemporaryFile()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def start(self):
        """Starts it and returns how long it took to answer."""
        begin = time.monotonic()
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        host, port = self.bootstrap.rsplit(":", 1)
        while time.monotonic() < begin + READY_S and self.process.poll() is None:
            try:
                socket.create_connection((host, int(port)), 1).close()
                return time.monotonic() - begin
            except OSError:
                time.sleep(0.01)
        self.fail("the broker did not start")

    def kill(self):
        if self.process.poll() is not None:
            self.fail(f"the broker ended by itself with {self.process.returncode}")
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM; the broker must end well."""
        self.process.terminate()
        if self.process.wait(READY_S) != 0:
            self.fail(f"the broker answered SIGTERM with {self.process.returncode}")

    def fail(self, what):
        self.log.seek(0)
        sys.stderr.buffer.write(self.log.read()[-4000:])
        sys.exit(what)


def watermarks(reader, partition):
    """The first and the end offset. A broker that has just started may answer that it does not lead yet."""
    end = time.monotonic() + READY_S
    while True:
        try:
            return reader.get_watermark_offsets(partition, READY_S)
        except KafkaException as error:
            loading = error.args[0].retriable() or error.args[0].code() == KafkaError.NOT_LEADER_FOR_PARTITION
            if not loading or time.monotonic() > end:
                raise
            time.sleep(0.1)


def read_topic(bootstrap, topic, partitions):
    """Every record of a topic from offset 0: (partition, offset) → value."""
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "live", "enable.auto.commit": False,
                       "auto.offset.reset": "error", "log_level": 2})
    count, found = 0, {}
    for partition in range(partitions):
        low, high = watermarks(reader, TopicPartition(topic, partition))
        assert low == 0, f"{topic} {partition} starts at {low}"
        count += high
    reader.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    end = time.monotonic() + FINISH_S
    while len(found) < count and time.monotonic() < end:
        for message in reader.consume(1000, 0.2):
            if message.error():
                raise KafkaException(message.error())
            found[message.partition(), message.offset()] = message.value()
    reader.close()
    return found
