"""The lag of a group, as Kafka's own tool and `highwater group describe` tell it: `lag.py BOOTSTRAP PREFIX`.

For groups of both protocols, with a member and after it has left: one partition is read half, one to its end, one not at
all. Both must print the same rows, and they must be the right ones.
"""

import json
import os
import subprocess
import sys

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

BOOTSTRAP, PREFIX = sys.argv[1:]
DEADLINE_S = 30
ADMIN = AdminClient({"bootstrap.servers": BOOTSTRAP})
JAVA = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", os.environ["KAFKA_CLASSPATH"],
        f"-Dlog4j2.configurationFile={os.environ['KAFKA_HOME']}/log4j2.yaml"]
TOOL = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
# The records of each partition, and how many of them the group has committed, if it has committed.
RECORDS, COMMITTED = [5, 3, 4], [2, 3, None]


def output(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, f"{command[-6:]} ended with {done.returncode}: {done.stdout} {done.stderr}"
    return done.stdout


def kafkas_rows(group):
    """Topic, partition, committed offset, end, lag, member: as Kafka's tool prints them."""
    lines = output(*JAVA, TOOL, "--bootstrap-server", BOOTSTRAP, "--describe", "--group", group).splitlines()
    rows = [line.split() for line in lines if line.startswith(group)]
    return sorted((topic, int(partition), *numbers) for _, topic, partition, *numbers in (row[:7] for row in rows))


def our_rows(group):
    described = json.loads(output(os.environ["HIGHWATER"], "group", "describe", group, "--json", "-b", BOOTSTRAP))

    def cell(value):
        return "-" if value is None else str(value)

    keys = ["committed_offset", "end_offset", "lag", "member"]
    return sorted((row["topic"], row["partition"], *(cell(row[key]) for key in keys)) for row in described["partitions"])


def expected(topic, member):
    """What both must say. Of a partition that nobody owns and nobody has committed, nobody knows."""
    rows = []
    for partition, (end, committed) in enumerate(zip(RECORDS, COMMITTED)):
        if committed is not None:
            rows.append((topic, partition, str(committed), str(end), str(end - committed), member))
        elif member != "-":
            rows.append((topic, partition, "-", str(end), "-", member))
    return rows


def compare(group, topic, member):
    theirs, ours = kafkas_rows(group), our_rows(group)
    assert theirs == ours, f"Kafka's tool says {theirs}, ours {ours}"
    assert ours == expected(topic, member), f"both say {ours}, not {expected(topic, member)}"
    return len(ours)


def follow(protocol):
    group = f"{PREFIX}-lag-{protocol}"
    ADMIN.create_topics([NewTopic(group, len(RECORDS), 1)])[group].result()
    producer = Producer({"bootstrap.servers": BOOTSTRAP})
    for partition, count in enumerate(RECORDS):
        for number in range(count):
            producer.produce(group, str(number), partition=partition)
    assert producer.flush(DEADLINE_S) == 0, "some records were not acknowledged"
    member = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": group, "group.protocol": protocol,
                       "auto.offset.reset": "earliest", "enable.auto.commit": False})
    member.subscribe([group])
    read = 0
    while read < sum(RECORDS):
        message = member.poll(DEADLINE_S)
        assert message is not None and not message.error(), f"{message and message.error()} after {read} records"
        read += 1
    committed = [TopicPartition(group, partition, offset) for partition, offset in enumerate(COMMITTED) if offset is not None]
    member.commit(offsets=committed, asynchronous=False)
    rows = compare(group, group, member.memberid())
    member.close()
    return rows + compare(group, group, "-")


for name in ["classic", "consumer"]:
    print(f"lag {name}: {follow(name)} rows, the same by Kafka's tool and by ours, with a member and without", flush=True)
