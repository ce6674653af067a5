#!/usr/bin/env python3
"""Who is told that it is connected finds the listener readable, at once: on `lo` the last segment of a handshake arrives
before connect() returns.

Argument: 4 or 6."""
import select
import signal
import socket
import sys

signal.alarm(100)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]
ROUNDS = 200

listener = socket.socket(FAMILY, socket.SOCK_STREAM)
listener.bind((HOST, 0))
listener.listen(16)
listener.setblocking(False)
epoll = select.epoll()
epoll.register(listener.fileno(), select.EPOLLIN | select.EPOLLET)

readable = accepted = 0
for _ in range(ROUNDS):
    with socket.create_connection(listener.getsockname()[:2]):
        readable += bool(epoll.poll(0))
        try:
            listener.accept()[0].close()
            accepted += 1
        except BlockingIOError:
            pass
print("readable at once:", readable, "of", ROUNDS)
print("accepted at once:", accepted, "of", ROUNDS)
