#!/usr/bin/env python3
"""What recvmsg(2) tells of a stream's octets: when the last of them came (SO_TIMESTAMP and its like) and how many are left (TCP_INQ). Argument: 4 or 6."""
import errno
import signal
import socket
import struct
import sys
import time

signal.alarm(60)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]
LOOK, URGENT, AT_ONCE, DISCARD = socket.MSG_PEEK, socket.MSG_OOB, socket.MSG_DONTWAIT, socket.MSG_TRUNC
STAMP, STAMP_NANOS, STAMPING, STAMP_NEW, STAMP_NANOS_NEW, STAMPING_NEW = 29, 35, 37, 63, 64, 65
OF_RECEIVING = 8 | 16  # SOF_TIMESTAMPING_RX_SOFTWARE, SOF_TIMESTAMPING_SOFTWARE
LEFT = 36  # TCP_INQ, TCP_CM_INQ


def pair(*options):
    listener = socket.socket(FAMILY)
    for level, name, value in options:
        listener.setsockopt(level, name, value)
    listener.bind((HOST, 0))
    listener.listen()
    client = socket.socket(FAMILY)
    client.connect(listener.getsockname()[:2])
    return client, listener


def come(stream, count):
    """Waits until so many octets are there, seen by what tells nothing of them."""
    while len(stream.recv(100, LOOK)) != count:
        time.sleep(0.001)


def when(kind, data):
    whole, part = struct.unpack_from("qq", data)
    return whole + part / (1e6 if kind in (STAMP, STAMP_NEW) else 1e9)


def told(stream, count, flags=0, room=512):
    """What was read and told, and when it is said to have come."""
    try:
        octets, control, shown, name = stream.recvmsg(count, room, flags)
    except OSError as error:
        return errno.errorcode[error.errno], None
    left = [struct.unpack("i", data)[0] for level, kind, data in control if (level, kind, len(data)) == (socket.IPPROTO_TCP, LEFT, 4)]
    stamps = [(kind, len(data)) for level, kind, data in control if level == socket.SOL_SOCKET]
    times = [when(kind, data) for level, kind, data in control if level == socket.SOL_SOCKET]
    if flags & DISCARD:
        octets = len(octets)
    return (octets, left, stamps, len(control), shown & ~LOOK), times


def stamped_from_now_on():
    """The kernel begins to stamp what comes a while after it was first asked to: asks until it does."""
    client, listener = pair((socket.SOL_SOCKET, STAMP_NANOS, 1))
    server = listener.accept()[0]
    client.send(b"?")
    while not told(server, 1)[1]:
        client.send(b"?")
        time.sleep(0.001)
    return client, listener, server


# How many are left.
client, listener = pair()
server = listener.accept()[0]
server.setsockopt(socket.IPPROTO_TCP, LEFT, 1)
client.send(b"1234567890")
come(server, 10)
for count, flags, room in ((1, 0, 512), (1, LOOK, 512), (1, 0, 0), (1, 0, 8), (1, 0, 18), (0, 0, 512), (1, DISCARD, 512), (2, 0, 512)):
    print("left", count, flags, room, told(server, count, flags, room)[0])
client.shutdown(socket.SHUT_WR)
print("left", told(server, 1)[0][0], server.recv(1))
while told(server, 1, LOOK)[0][1] != [2]:
    time.sleep(0.001)
for step in range(3):
    print("left at the end", told(server, 1)[0])
server.shutdown(socket.SHUT_WR)
print("left at both ends", told(server, 1)[0])
server.setsockopt(socket.IPPROTO_TCP, LEFT, 0)
print("no more", told(server, 1)[0])

client, listener = pair((socket.IPPROTO_TCP, LEFT, 1))
server = listener.accept()[0]
client.send(b"abcd")
come(server, 4)
print("inherited", server.getsockopt(socket.IPPROTO_TCP, LEFT), told(server, 1)[0], server.recvfrom(1)[0], server.recv(1), told(server, 1)[0])

# When they came.
kept = stamped_from_now_on()
for name, value in ((STAMP, 1), (STAMP_NANOS, 1), (STAMPING, OF_RECEIVING), (STAMP_NEW, 1), (STAMP_NANOS_NEW, 1), (STAMPING_NEW, OF_RECEIVING)):
    client, listener = pair()
    server = listener.accept()[0]
    server.setsockopt(socket.SOL_SOCKET, name, value)
    before = time.time()
    client.send(b"abcd")
    come(server, 4)
    after = time.time()
    time.sleep(0.05)
    for count, flags in ((1, 0), (1, LOOK), (0, 0), (2, 0), (1, 0), (1, AT_ONCE)):
        said, times = told(server, count, flags)
        print(name, count, flags, said, [before - 0.01 < came < after + 0.01 for came in times or ()])
    server.setsockopt(socket.SOL_SOCKET, name, 0)
    client.send(b"e")
    print("no more", told(server, 1)[0])

# What comes while something is unread joins it, and a read has the time of the last of it.
client, listener = pair((socket.SOL_SOCKET, STAMP_NANOS, 1), (socket.SOL_SOCKET, STAMPING, OF_RECEIVING), (socket.IPPROTO_TCP, LEFT, 1))
before = time.time()
client.send(b"ab")
time.sleep(0.1)
server = listener.accept()[0]
said, times = told(server, 1)
print("before it was accepted", said, [before - 0.01 < came < before + 0.05 for came in times])
between = time.time()
client.send(b"cd")
come(server, 3)
for count in (1, 2):
    said, times = told(server, count)
    print("joined", said, [came > between - 0.01 for came in times])

# Many, and an end.
client.send(b"x" * 200_000)
received = 0
while received < 200_000:
    said, times = told(server, 70_000)
    received += len(said[0])
    assert len(times) == 2 and len(said[1]) == 1, said
client.send(b"ij")
client.shutdown(socket.SHUT_WR)
while told(server, 9, LOOK)[0][1] != [3]:
    time.sleep(0.001)
server.shutdown(socket.SHUT_RDWR)
print("ended", [told(server, 9)[0] for step in range(2)])
