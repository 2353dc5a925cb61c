"""Consumer groups of real clients: `scale.py BOOTSTRAP PREFIX scale|migrate`.

For each client and each way of assigning that it knows: a group grows from one member to four and shrinks to two over
twelve partitions, while records keep coming. Every record that was acknowledged must be processed, no partition may
belong to two members at a time, and what the group has committed in the end is the end of every partition.

A member is a process of its own (see members below). All of them write their lines to one pipe, a line with one call, so
the lines are in the order of what happened: `NAME assigned P...`, `NAME revoked P...`, `NAME read P OFFSET ...`.

`migrate` has a group change its protocol instead: members of the other protocol join, the first ones leave, and back again.
"""

import os
import signal
import subprocess
import sys
import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

BOOTSTRAP, PREFIX, PLAY = sys.argv[1:]
HERE = os.path.dirname(os.path.abspath(__file__))
PARTITIONS = 12
DEADLINE_S = 40
RECORDS_PER_SECOND = 400
ADMIN = AdminClient({"bootstrap.servers": BOOTSTRAP})

JAVA = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", os.environ["KAFKA_CLASSPATH"],
        f"-Dlog4j2.configurationFile={os.environ['KAFKA_HOME']}/log4j2.yaml", f"{HERE}/Member.java"]
# Each with the assignors of the classic protocol, and "consumer" for the protocol in which the broker assigns.
MEMBERS = {
    "kafkajs": (["node", f"{HERE}/member.js"], ["roundrobin"]),
    "confluent": ([sys.executable, f"{HERE}/member.py"], ["range", "cooperative-sticky", "consumer"]),
    "franz": ([f"{os.environ['work']}/member"], ["range", "cooperative-sticky", "consumer"]),
    "java": (JAVA, ["range", "cooperative-sticky", "consumer"]),
}
# The client whose group changes its protocol: Kafka's own.
MIGRATING = "java"


class Load:
    """Writes records at a steady rate, and knows which were acknowledged."""

    def __init__(self, topic):
        self.topic, self.acknowledged, self.failed = topic, set(), []
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        producer = Producer({"bootstrap.servers": BOOTSTRAP, "linger.ms": 5})
        count = 0
        while not self.ends.is_set():
            producer.produce(self.topic, str(count), partition=count % PARTITIONS, on_delivery=self.on_delivery)
            count += 1
            producer.poll(1 / RECORDS_PER_SECOND)
        self.failed += ["unanswered"] * producer.flush(DEADLINE_S)

    def on_delivery(self, error, message):
        if error:
            self.failed.append(error)
        else:
            self.acknowledged.add((message.partition(), message.offset()))

    def stop(self):
        self.ends.set()
        self.thread.join()
        assert not self.failed, f"some records were not acknowledged: {self.failed[:3]}"


class Group:
    """The members of one group, who owns what, and what was processed."""

    def __init__(self, client, assignor, name):
        self.command, self.assignor = MEMBERS[client][0], assignor
        self.id = f"{PREFIX}-{client}-{assignor}-{name}"
        self.owners, self.processed, self.mistakes, self.processes = {}, set(), [], {}
        self.generations = 0
        self.changed = threading.Condition()
        reader, self.writer = os.pipe()
        self.thread = threading.Thread(target=self.listen, args=(reader,))
        self.thread.start()

    def start(self, *names, assignor=None):
        for name in names:
            command = [*self.command, BOOTSTRAP, self.id, name, assignor or self.assignor]
            self.processes[name] = subprocess.Popen(command, stdout=self.writer)

    def stop(self, *names):
        """Members leave as they do when somebody stops a program."""
        for name in names:
            self.processes[name].send_signal(signal.SIGTERM)
        for name in names:
            code = self.processes.pop(name).wait(DEADLINE_S)
            assert code == 0, f"member {name} ended with {code}"

    def listen(self, reader):
        with os.fdopen(reader, encoding="ascii") as lines:
            for line in lines:
                name, what, *numbers = line.split()
                with self.changed:
                    self.take(name, what, list(map(int, numbers)))
                    self.changed.notify_all()

    def take(self, name, what, numbers):
        if what == "read":
            self.processed.update(zip(numbers[::2], numbers[1::2]))
            return
        self.generations += what == "assigned"
        for partition in numbers:
            owner = self.owners.get(partition)
            if what == "revoked" and owner == name:
                del self.owners[partition]
            elif what == "assigned" and owner in (None, name):
                self.owners[partition] = name
            elif what == "assigned":
                self.mistakes.append(f"partition {partition} is given to {name} while {owner} owns it")

    def until(self, what, condition):
        with self.changed:
            if not self.changed.wait_for(lambda: self.mistakes or condition(), DEADLINE_S):
                raise AssertionError(f"after {DEADLINE_S} s still not: {what}; owners: {self.owners}")
        assert not self.mistakes, self.mistakes[0]

    def until_shared_by(self, *names):
        """Until these members, and no others, own all partitions, about as many each."""

        def is_shared():
            shares = [list(self.owners.values()).count(name) for name in names]
            return sum(shares) == len(self.owners) == PARTITIONS and max(shares) - min(shares) <= 1

        self.until(f"{', '.join(names)} share {PARTITIONS} partitions", is_shared)

    def end(self):
        """Whatever went wrong, nothing is left behind."""
        for process in self.processes.values():
            process.kill()
            process.wait()
        os.close(self.writer)
        self.thread.join()


def scale(group):
    group.start("a")
    group.until_shared_by("a")
    group.start("b", "c", "d")
    group.until_shared_by("a", "b", "c", "d")
    group.stop("a", "b")
    group.until_shared_by("c", "d")
    return "c", "d"


def migrate(group):
    """From the classic protocol to that of consumer groups, and back."""
    group.start("a", "b")
    group.until_shared_by("a", "b")
    assert protocol(group.id) == "CLASSIC"
    for old, new, assignor, expected in [("ab", "cd", "consumer", "CONSUMER"), ("cd", "ef", group.assignor, "CLASSIC")]:
        group.start(*new, assignor=assignor)
        group.until_shared_by(*old, *new)
        assert protocol(group.id) == "CONSUMER", "a group with members of both protocols is a consumer group"
        group.stop(*old)
        group.until_shared_by(*new)
        assert protocol(group.id) == expected, f"the group is {protocol(group.id)}, not {expected}"
    return "e", "f"


def under_load(client, assignor, name, play):
    """Plays with the members of a group while records keep coming; says what came of it."""
    group = Group(client, assignor, name)
    ADMIN.create_topics([NewTopic(group.id, PARTITIONS, 1)])[group.id].result()
    load = Load(group.id)
    try:
        left = play(group)
        load.stop()
        group.until("every record is processed", lambda: load.acknowledged <= group.processed)
        group.stop(*left)
        assert not group.owners, f"members that have left still own {group.owners}"
        committed = commits(group.id)
        assert committed == len(load.acknowledged), f"{committed} records are committed, not {len(load.acknowledged)}"
    finally:
        load.ends.set()
        group.end()
    return f"{len(load.acknowledged)} records processed, {group.generations} assignments, no partition owned twice"


def protocol(group):
    listed = ADMIN.list_consumer_groups().result().valid
    return next(one.type.name for one in listed if one.group_id == group)


def commits(group):
    """How many records the group has committed that it has read."""
    reader = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": group})
    offsets = reader.committed([TopicPartition(group, partition) for partition in range(PARTITIONS)], DEADLINE_S)
    reader.close()
    return sum(partition.offset for partition in offsets)


def main():
    if PLAY == "migrate":
        what, play, groups = "from classic to consumer to classic", migrate, [(MIGRATING, "range")]
    else:
        what, play = "1 to 4 to 2 members", scale
        groups = [(client, assignor) for client, (_, assignors) in MEMBERS.items() for assignor in assignors]
    failed = 0
    for client, assignor in groups:
        begin = time.monotonic()
        try:
            result = under_load(client, assignor, play.__name__, play)
            print(f"groups {client} {assignor}: {what}, {result}, {time.monotonic() - begin:.0f} s", flush=True)
        except Exception as error:  # one client's failure must not hide another's
            failed += 1
            print(f"groups {client} {assignor}: {what} FAILED: {error}", flush=True)
    sys.exit(1 if failed else 0)


main()
