"""Measures two brokers in turns: `compare.py [OPTIONS] NAME=ADDRESS=PID NAME=ADDRESS=PID`; run it through ./run.

A round makes a topic of six partitions, fills it with ProducerPerformance (1 kB records, acks=all), reads it, deletes it.
CPU is the broker's user and system time; RSS its largest. Before the first round memory is touched once, because on a
virtual machine the first touch of a page is dear and would be charged to whoever comes first; before each round the disk
is synced, so that nobody pays for the writes of the one before.
"""

import argparse
import json
import mmap
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PARTITIONS = 6
RECORD_BYTES = 1024
MB, GB = 1 << 20, 1e9
AIMS = {"produce MB/s": (min, 0.97), "produce CPU s/GB": (max, 0.5)}
RSS_MIB_MAX = 100


def java(*arguments):
    """Runs a Java program and returns what it printed."""
    command = ["java", "-Xmx512m", "-cp", os.environ["KAFKA_CLASSPATH"],
               f"-Dlog4j2.configurationFile={HERE.parent / 'kafka' / 'log4j2.yaml'}", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, timeout=600, check=True)
    return done.stdout


class Broker:
    """A running broker."""

    def __init__(self, text):
        self.name, self.address, pid = text.split("=")
        self.process = Path("/proc") / pid

    def cpu_s(self):
        fields = (self.process / "stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mib(self):
        return int(re.search(r"VmHWM:\s+(\d+)", (self.process / "status").read_text())[1]) / 1024

    def topic(self, action, name, *more):
        java("org.apache.kafka.tools.TopicCommand", "--bootstrap-server", self.address, action, "--topic", name, *more)

    def produce(self, topic, count):
        before = self.cpu_s()
        printed = java("org.apache.kafka.tools.ProducerPerformance", "--bootstrap-server", self.address, "--topic", topic,
                       "--num-records", count, "--record-size", RECORD_BYTES, "--throughput", "-1",
                       "--command-property", "acks=all", "batch.size=65536", "linger.ms=5")
        last = printed.strip().splitlines()[-1]
        sent, rate, p99 = re.search(r"(\d+) records sent.*\((\S+) MB/sec\).* (\d+) ms 99th", last).groups()
        assert int(sent) == count, last
        gigabytes = count * RECORD_BYTES / GB
        return {"produce MB/s": float(rate), "produce CPU s/GB": (self.cpu_s() - before) / gigabytes, "p99 ms": float(p99)}

    def consume(self, topic, count):
        before = self.cpu_s()
        size, seconds = java(HERE / "Consume.java", self.address, topic, PARTITIONS, count).split()
        return {"consume MB/s": int(size) / MB / float(seconds), "consume CPU s/GB": (self.cpu_s() - before) / (int(size) / GB)}

    def round(self, number, count):
        os.sync()
        topic = f"compare-{number}"
        self.topic("--create", topic, "--partitions", PARTITIONS)
        measured = self.produce(topic, count) | self.consume(topic, count) | {"RSS MiB": self.rss_mib()}
        self.topic("--delete", topic)
        return measured


def touch_memory():
    """Touches most of the free memory once and gives it back."""
    available = int(re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024
    size = min(available * 3 // 4, 16 << 30) // mmap.PAGESIZE * mmap.PAGESIZE
    mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


def show(brokers, rounds):
    """Prints every round, the medians, and returns the median of the ratios of each pair."""
    columns = list(rounds[0][0])
    print(f"{'':22}" + "".join(f"{column:>18}" for column in columns))

    def line(name, row):
        print(f"{name:22}" + "".join(f"{row[column]:18.3f}" for column in columns))

    for number, pair in enumerate(rounds):
        for broker, row in zip(brokers, pair):
            line(f"{number + 1} {broker.name}", row)
    for index, broker in enumerate(brokers):
        line(f"median {broker.name}", {c: statistics.median(pair[index][c] for pair in rounds) for c in columns})
    ratios = {c: statistics.median(pair[0][c] / max(pair[1][c], 1e-9) for pair in rounds) for c in columns}
    line("median of the ratios", ratios)
    return ratios


def missed(ratios, rounds):
    """The aims that were missed, in words."""
    for column, (worse, aim) in AIMS.items():
        if worse(ratios[column], aim) == ratios[column] != aim:
            yield f"{column}: ratio {ratios[column]:.3f}, aim {aim}"
    rss = max(pair[0]["RSS MiB"] for pair in rounds)
    if rss >= RSS_MIB_MAX:
        yield f"RSS: {rss:.0f} MiB, aim below {RSS_MIB_MAX}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("broker", nargs=2, type=Broker)
    options = parser.parse_args()

    touch_memory()
    for broker in options.broker:
        broker.round("warm-up", options.records // 4)
    rounds = []
    for number in range(options.pairs):
        rounds.append([broker.round(number, options.records) for broker in options.broker])
        print(f"pair {number + 1} of {options.pairs} measured", file=sys.stderr)
    ratios = show(options.broker, rounds)
    failures = list(missed(ratios, rounds))
    for failure in failures:
        print(f"missed: {failure}")
    if options.json:
        names = [broker.name for broker in options.broker]
        options.json.write_text(json.dumps({"rounds": [dict(zip(names, pair)) for pair in rounds], "ratios": ratios}, indent=1))
    sys.exit(bool(options.check and failures))


if __name__ == "__main__":
    main()
