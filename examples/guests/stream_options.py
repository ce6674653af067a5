#!/usr/bin/env python3
"""Options of IPv4 on streams, which the peer answers with; TCP_TX_DELAY. Argument: 4 or 6."""
import errno
import signal
import socket
import sys

signal.alarm(30)
TCP_TX_DELAY = 37
RECORD_ROUTE = bytes([7, 11, 4]) + bytes(8)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]


def said(call):
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno]


def options(sock):
    return sock.getsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, 60).hex()


def pair(listener, chosen=b""):
    client = socket.socket(listener.family)
    if chosen:
        client.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, chosen)
    client.connect(listener.getsockname()[:2])
    return client, listener.accept()[0]


def echoes(client, server):
    for sender, reader in ((client, server), (server, client)):
        data = b"octets" * 10000
        sender.sendall(data)
        got = b""
        while len(got) < len(data):
            got += reader.recv(100000)
        print("transferred", got == data)


listener = socket.socket(FAMILY)
listener.bind((HOST, 0))
listener.listen()
client = socket.socket(FAMILY)
print("at first", repr(options(client)))
for chosen in (RECORD_ROUTE, b"\1\1\1", bytes([148, 4, 0, 0]), bytes([7, 3, 9]), bytes([1, 7]), bytes(41)):
    print(chosen.hex(), said(lambda: client.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, chosen)), options(client))
client.close()

if FAMILY == socket.AF_INET:
    client, server = pair(listener, RECORD_ROUTE)
    print("connected", options(client), "answers with", options(server))
    echoes(client, server)
    client.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"")
    print("none any more:", repr(options(client)), options(server))
    echoes(client, server)
    client.close()
    print("its end:", server.recv(1))
    server.close()

    listener.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\1\1\1\0")
    client, server = pair(listener)
    print("a listener's are its own:", options(listener), repr(options(server)))
    echoes(client, server)

client = socket.socket(FAMILY)
for delay in (0, 1, 100000, (1 << 28) - 1, 1 << 28, -1):
    print("delay", delay, said(lambda: client.setsockopt(socket.IPPROTO_TCP, TCP_TX_DELAY, delay)), client.getsockopt(socket.IPPROTO_TCP, TCP_TX_DELAY))
client.connect(listener.getsockname()[:2])
server, _ = listener.accept()
print(client.getsockopt(socket.IPPROTO_TCP, TCP_TX_DELAY), server.getsockopt(socket.IPPROTO_TCP, TCP_TX_DELAY))
listener.setsockopt(socket.IPPROTO_TCP, TCP_TX_DELAY, 1000)
_, server = pair(listener)
print("of the listener:", server.getsockopt(socket.IPPROTO_TCP, TCP_TX_DELAY))
