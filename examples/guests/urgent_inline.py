#!/usr/bin/env python3
"""SO_OOBINLINE: of a listener it is also its connections', whose urgent octets then stay in line; a connect(2) that fails leaves it. Argument: 4 or 6."""
import array
import errno
import fcntl
import select
import signal
import socket
import sys
import termios

signal.alarm(60)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]


def waiting(stream):
    octets = array.array("i", [0])
    fcntl.ioctl(stream, termios.FIONREAD, octets)
    return octets[0]


def said(call):
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno]


for who in ("listener", "accepted", "refused before"):
    listener = socket.socket(FAMILY)
    if who == "listener":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    listener.bind((HOST, 0))
    listener.listen()
    client = socket.socket(FAMILY)
    if who == "refused before":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        print(said(lambda: client.connect((HOST, 1))))
    client.connect(listener.getsockname()[:2])
    server, _ = listener.accept()
    if who == "refused before":
        client, server = server, client
    if who == "accepted":
        server.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    server.setblocking(False)
    client.send(b"!", socket.MSG_OOB)
    readable = bool(select.select([server], [], [], 10)[0])
    print(who, server.getsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE), readable, waiting(server), said(lambda: server.recv(2)), waiting(server))
