"""Holds many connections, half of them in the middle of a request, and asks for metadata on one more."""

import socket
import struct
import sys
import time

bootstrap, count, pid, kib_max = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
host, port = bootstrap.rsplit(":", 1)

# ApiVersions v0, correlation id 7, client id "t".
REQUEST = struct.pack(">hhih1s", 18, 0, 7, 1, b"t")
FRAME = struct.pack(">i", len(REQUEST)) + REQUEST


def resident_kib():
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def exchange(connection):
    connection.sendall(FRAME)
    (length,) = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))
    answer = connection.recv(length, socket.MSG_WAITALL)
    assert struct.unpack(">i", answer[:4]) == (7,), answer[:4]


before = resident_kib()
held = []
for number in range(count):
    connection = socket.create_connection((host, int(port)))
    exchange(connection)
    if number % 2:
        connection.sendall(FRAME[:9])
    held.append(connection)

started = time.monotonic()
with socket.create_connection((host, int(port))) as one_more:
    exchange(one_more)
took_ms = (time.monotonic() - started) * 1000
resident = resident_kib()
print(f"{count} connections: {resident} KiB resident, {before} before, one more answered in {took_ms:.1f} ms")

for number, connection in enumerate(held):
    if number % 2:
        connection.sendall(FRAME[9:])
        assert len(connection.recv(4, socket.MSG_WAITALL)) == 4, "a held connection is still served"
sys.exit(resident > kib_max)
