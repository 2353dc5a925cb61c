"""The records that every client of the matrix writes and reads back, as JSON on stdout.

One list for all languages: keyed, unkeyed and empty keys; empty, null and 900 kB values; no, repeated, empty and null
headers; rising timestamps; spread over 12 partitions. Bytes are base64, null stays null.
"""

import base64
import json
import random
import sys
import time

PARTITIONS = 12
COUNT = 96
LARGE_BYTES = 900_000


def encoded(data):
    return None if data is None else base64.b64encode(data).decode()


def record(i, start_ms, noise):
    key = [None, b"", f"key-{i % 7}".encode(), bytes([i, 0, 255])][i % 4]
    value = [f"value {i} ".encode() * (i + 1), b"", None, noise.randbytes(100 + i), b"x" * 2000][i % 5]
    headers = [[], [("h", f"{i}".encode())], [("h", b"1"), ("h", b"2"), ("empty", b""), ("null", None)]][i % 3]
    if key is None and value is None:
        value = b""  # some clients refuse to write a record of nothing
    if i == COUNT // 2:
        value = noise.randbytes(LARGE_BYTES)
    return {
        "partition": i % PARTITIONS,
        "key": encoded(key),
        "value": encoded(value),
        "headers": [[name, encoded(content)] for name, content in headers],
        "timestamp": start_ms + 1000 * i,
    }


def main():
    noise = random.Random(4)
    # Recent enough that no retention by time touches them.
    start_ms = int(time.time()) * 1000 - 3_600_000
    json.dump([record(i, start_ms, noise) for i in range(COUNT)], sys.stdout)


if __name__ == "__main__":
    main()
