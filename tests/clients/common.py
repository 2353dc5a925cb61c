"""What the Python clients of the matrix share: the records, the comparison, the report."""

import base64
import json
import sys
import time
import traceback
from collections import namedtuple

PARTITIONS = 12
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
DEADLINE_S = 30

Record = namedtuple("Record", "partition key value headers timestamp")


def load_records(path):
    """The records of records.py, in the order of writing."""

    def decoded(text):
        return None if text is None else base64.b64decode(text)

    with open(path, encoding="ascii") as file:
        return [
            Record(r["partition"], decoded(r["key"]), decoded(r["value"]),
                   tuple((name, decoded(content)) for name, content in r["headers"]), r["timestamp"])
            for r in json.load(file)
        ]


def by_partition(records):
    """The records of each partition, in order."""
    found = {partition: [] for partition in range(PARTITIONS)}
    for record in records:
        found[record.partition].append(record)
    return found


def brief(thing):
    text = repr(thing)
    return text if len(text) <= 300 else f"{text[:300]}… ({len(text)} characters)"


class Checks:
    """Counts what was checked and goes on with the next scenario after a failure."""

    def __init__(self, client, version):
        self.client, self.version, self.passed, self.failed = client, version, 0, 0

    def equal(self, what, got, expected):
        assert got == expected, f"{what}: got {brief(got)}, expected {brief(expected)}"
        self.passed += 1

    def true(self, what, condition):
        assert condition, what
        self.passed += 1

    def records(self, what, got, expected):
        """The same records in the same order in every partition, byte for byte."""
        got, expected = by_partition(got), by_partition(expected)
        for partition, wanted in expected.items():
            for i, (one, other) in enumerate(zip(got[partition], wanted)):
                assert one == other, f"{what}: partition {partition}, record {i}: got {brief(one)}, expected {brief(other)}"
            count, wanted_count = len(got[partition]), len(wanted)
            assert count == wanted_count, f"{what}: partition {partition} has {count} records, expected {wanted_count}"
        self.passed += 1

    def scenario(self, run, *arguments):
        name = " ".join([run.__name__, *map(str, arguments)])
        begin = time.monotonic()
        try:
            run(self, *arguments)
        except Exception as error:  # whatever a client library raises is a failed scenario, and the next one runs
            self.failed += 1
            line = traceback.extract_tb(error.__traceback__)
            where = next(frame.lineno for frame in line if frame.name == run.__name__)
            print(f"{self.client}: {name} (line {where}): {type(error).__name__}: {error}")
        print(f"{self.client}: {name} took {time.monotonic() - begin:.1f} s", file=sys.stderr)

    def report(self):
        """Prints the client's one line and ends the program."""
        failures = f", {self.failed} FAILED" if self.failed else ""
        print(f"{self.client} {self.version}: {self.passed} checks passed{failures}", flush=True)
        sys.exit(1 if self.failed else 0)


def until(what, condition):
    """Asks until the answer is true, for at most DEADLINE_S."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"after {DEADLINE_S} s still not: {what}")
