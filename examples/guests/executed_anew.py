#!/usr/bin/env python3
"""A server that executes itself anew while one of its connections lives: what that has of its listener, and who may have the port. Argument: 4 or 6."""
import errno
import os
import signal
import socket
import sys

signal.alarm(100)
VERSION = (sys.argv[1:] or ["4"])[0]
FAMILY, HOST, HOPS = {
    "4": (socket.AF_INET, "127.0.0.1", (socket.IPPROTO_IP, socket.IP_TTL)),
    "6": (socket.AF_INET6, "::1", (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)),
}[VERSION]
CHOSEN = {
    "SO_REUSEADDR": (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1),
    "SO_KEEPALIVE": (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    "SO_RCVBUF": (socket.SOL_SOCKET, socket.SO_RCVBUF, 8192),
    "TCP_KEEPIDLE": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77),
    "hops": (*HOPS, 33),
}


def serve():
    listener = socket.socket(FAMILY)
    for level, name, value in CHOSEN.values():
        listener.setsockopt(level, name, value)
    listener.bind((HOST, 0))
    listener.listen()
    port = listener.getsockname()[1]
    client = socket.socket(FAMILY)
    client.connect((HOST, port))
    # accept() would ask for the connection's name while the listener is there.
    accepted, _ = listener._accept()
    for kept in (accepted, client.fileno()):
        os.set_inheritable(kept, True)
    sys.stdout.flush()
    # The listener is closed by that.
    os.execv(sys.executable, [sys.executable, __file__, VERSION, *map(str, (port, accepted, client.fileno()))])


def bind(port, reuse):
    with socket.socket(FAMILY) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        try:
            listener.bind((HOST, port))
            listener.listen()
        except OSError as error:
            return errno.errorcode[error.errno]
        return "listens"


def go_on(port, accepted, client):
    accepted, client = socket.socket(fileno=accepted), socket.socket(fileno=client)
    for title, (level, name, _) in CHOSEN.items():
        print(title, accepted.getsockopt(level, name))
    print("names", accepted.getsockname() == client.getpeername(), accepted.getpeername() == client.getsockname())
    print("beside it", *(bind(port, reuse) for reuse in (0, 1)))
    client.sendall(b"still here?")
    print(accepted.recv(100))
    accepted.sendall(b"yes")
    accepted.close()
    print(client.recv(100), client.recv(100))


if len(sys.argv) > 2:
    go_on(*map(int, sys.argv[2:]))
else:
    serve()
