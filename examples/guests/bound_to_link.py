#!/usr/bin/env python3
"""SO_BINDTODEVICE of streams: by the link that leads there anyway they are like all others, options of TCP included. Argument: 4 or 6."""
import signal
import socket
import sys

signal.alarm(30)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]
OPTIONS = (socket.TCP_NODELAY, 1), (socket.TCP_CORK, 0), (socket.TCP_KEEPIDLE, 30), (socket.TCP_USER_TIMEOUT, 5000)


def by_loopback(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
    return sock


def told(sock):
    device = sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
    for name, value in OPTIONS:
        sock.setsockopt(socket.IPPROTO_TCP, name, value)
    return device, [sock.getsockopt(socket.IPPROTO_TCP, name) for name, _ in OPTIONS]


for whose in ("client", "listener", "both"):
    listener = socket.socket(FAMILY)
    if whose != "client":
        by_loopback(listener)
    listener.bind((HOST, 0))
    listener.listen()
    client = socket.socket(FAMILY)
    if whose != "listener":
        by_loopback(client)
    client.connect(listener.getsockname()[:2])
    server, peer = listener.accept()
    print(whose, peer[:2] == client.getsockname()[:2], told(client), told(server))
    client.sendall(b"there")
    server.sendall(b"and back")
    print(server.recv(100), client.recv(100))
    for sock in (client, server, listener):
        sock.close()

nobody = by_loopback(socket.socket(FAMILY))
port = socket.create_server((HOST, 0), family=FAMILY).getsockname()[1]
print("refused", nobody.connect_ex((HOST, port)))
