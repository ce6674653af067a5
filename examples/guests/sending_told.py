#!/usr/bin/env python3
"""What the queue of errors tells of a stream's sends: that octets of MSG_ZEROCOPY may be used again, and when octets left and
were acknowledged (SO_TIMESTAMPING).

Argument: 4 or 6."""
import errno
import select
import signal
import socket
import struct
import sys
import time

signal.alarm(100)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]
SO_TIMESTAMPING, SO_ZEROCOPY, MSG_ZEROCOPY = 37, 60, 0x4000000
TX_SOFTWARE, SOFTWARE, OPT_ID, TX_ACK, TSONLY = 1 << 1, 1 << 4, 1 << 7, 1 << 9, 1 << 11
ZEROCOPY, TIMESTAMPING = 5, 4
KINDS = {0: "left", 1: "queued", 2: "acknowledged"}


def told(call, *arguments):
    try:
        return call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]


def report(sock):
    """One message of the queue: its origin, code, first and last number, and the stamp."""
    poll = select.poll()
    poll.register(sock, 0)
    while not poll.poll(10_000):
        pass
    _, control, _, _ = sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)
    stamp = None
    for level, kind, data in control:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPING):
            stamp = struct.unpack_from("qq", data)
        else:
            _, origin, _, code, _, info, last = struct.unpack_from("IBBBBII", data)
    return origin, code, info, last, stamp


listener = socket.create_server((HOST, 0), family=FAMILY)
client = socket.socket(FAMILY, socket.SOCK_STREAM)
print("set:", told(client.setsockopt, socket.SOL_SOCKET, SO_ZEROCOPY, 1), client.getsockopt(socket.SOL_SOCKET, SO_ZEROCOPY))
print("not a number that it has:", told(client.setsockopt, socket.SOL_SOCKET, SO_ZEROCOPY, 2))
client.connect(listener.getsockname())
server, _ = listener.accept()
first = 0
for size in (1, 5000, 60_000):
    print("sent:", client.send(b"z" * size, MSG_ZEROCOPY), len(server.recv(size, socket.MSG_WAITALL)))
in_turn = True
while first < 3:
    # One notice may tell of several sends.
    origin, code, start, last, _ = report(client)
    in_turn &= origin == ZEROCOPY and start == first
    first = last + 1
print("told of all in turn:", in_turn)
print("nothing more:", told(client.recvmsg, 0, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT))
print("without the option:", told(server.send, b"x", MSG_ZEROCOPY), told(server.recvmsg, 0, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT))

flags = TX_SOFTWARE | TX_ACK | SOFTWARE | OPT_ID | TSONLY
print("stamps:", told(server.setsockopt, socket.SOL_SOCKET, SO_TIMESTAMPING, flags), server.getsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING) == flags)
begin = time.time()
for octets in (b"a", b"bc" * 50):
    server.send(octets)
    client.recv(len(octets), socket.MSG_WAITALL)
    stamps = sorted((report(server) for _ in range(2)), key=lambda it: it[2])
    for origin, _, kind, number, (seconds, nanos) in stamps:
        within = begin - 1 < seconds + nanos / 1e9 < time.time() + 1
        print("octet", number, KINDS[kind], origin == TIMESTAMPING, within)
