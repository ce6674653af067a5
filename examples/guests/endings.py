#!/usr/bin/env python3
"""How connections end: in order, with octets unread, by reset, while the other side still writes. Argument: 4 or 6."""
import errno
import select
import signal
import socket
import struct
import sys

signal.alarm(100)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]

listener = socket.socket(FAMILY, socket.SOCK_STREAM)
listener.bind((HOST, 0))
listener.listen()


def pair():
    client = socket.create_connection(listener.getsockname()[:2], timeout=10)
    server, _ = listener.accept()
    return client, server


def writes_until_it_fails(sock):
    """The error that a writer gets: there may be room for a little more before it does."""
    try:
        while True:
            sock.sendall(b"x" * 65536)
    except TimeoutError:
        return "nothing, for ever"
    except (BrokenPipeError, ConnectionResetError):
        return "that nobody reads"


def name(error):
    return errno.errorcode[error] if error else "none"


def reads(sock):
    try:
        return sock.recv(100)
    except OSError as error:
        return name(error.errno)


client, server = pair()
client.close()
print("closed: the server reads", reads(server))

client, server = pair()
client.sendall(b"unread")
select.select([server], [], [], 5)
server.close()
print("closed with octets unread: the client reads", reads(client), "then", reads(client))

# An HTTP server that refuses a large body answers, ends its half, and closes in the middle of the body.
client, server = pair()
server.sendall(b"refused")
server.shutdown(socket.SHUT_WR)
client.sendall(b"body " * 1000)
select.select([server], [], [], 5)
server.close()
print("answered, half-closed, closed with octets unread: the client is told", writes_until_it_fails(client))

client, server = pair()
server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
server.sendall(b"last words")
server.close()
print("reset after writing: the client reads", reads(client), "then", reads(client))

client, server = pair()
server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
server.close()
print("reset: the client is told", writes_until_it_fails(client))

client, server = pair()
server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
server.close()
poll = select.poll()
poll.register(client, select.POLLIN)
events = poll.poll(5000)[0][1]
print("reset: polled", bool(events & select.POLLIN), bool(events & select.POLLERR), bool(events & select.POLLHUP))
print("its error", *(name(client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) for _ in range(2)), "then read", reads(client))

# A writer that is never read from learns of the reset while it is blocked.
client, server = pair()
client.setblocking(False)
try:
    while True:
        client.send(b"x" * 65536)
except BlockingIOError:
    client.settimeout(10)
server.close()
print("reset while the buffers are full: the client is told", writes_until_it_fails(client))

# Ends that are closed one after the other meet no simultaneous close: only the first is left in TIME-WAIT, and the other's port is free.
taken = 0
for _ in range(50):
    door = socket.socket(FAMILY, socket.SOCK_STREAM)
    door.bind((HOST, 0))
    door.listen()
    client = socket.socket(FAMILY, socket.SOCK_STREAM)
    client.bind((HOST, 0))
    at = client.getsockname()
    client.connect(door.getsockname())
    server, _ = door.accept()
    door.close()
    server.close()
    client.close()
    again = socket.socket(FAMILY, socket.SOCK_STREAM)
    try:
        again.bind(at)
    except OSError:
        taken += 1
    again.close()
print("ports still taken by who closed last:", taken)
