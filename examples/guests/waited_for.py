#!/usr/bin/env python3
"""How many octets a read waits for: SO_RCVLOWAT, which accepted connections have from their listener, and MSG_PEEK with MSG_WAITALL. Argument: 4 or 6."""
import errno
import signal
import socket
import struct
import sys
import threading
import time

signal.alarm(60)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]
LOOK, AT_ONCE = socket.MSG_PEEK | socket.MSG_WAITALL, socket.MSG_DONTWAIT
CALLS = {"45", "47"}  # recvfrom(2), recvmsg(2)


def pair(low=None):
    listener = socket.socket(FAMILY)
    if low:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, low)
    listener.bind((HOST, 0))
    listener.listen()
    client = socket.socket(FAMILY)
    client.connect(listener.getsockname()[:2])
    return client, listener.accept()[0]


def said(call):
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno]


def waits(thread):
    with open(f"/proc/self/task/{thread.native_id}/syscall") as call:
        return call.read().split()[0] in CALLS


def meanwhile(read, *then):
    """What a thread reads that waits, as far as it does, when these things happen."""
    told = []
    thread = threading.Thread(target=lambda: told.append(said(read)))
    thread.start()
    for happens in then:
        while thread.is_alive() and not waits(thread):
            time.sleep(0.001)
        happens()
    thread.join()
    return told[0]


def come(stream, count):
    """Waits until so many octets are there."""
    while len(said(lambda: stream.recv(100, socket.MSG_PEEK | AT_ONCE))) != count:
        time.sleep(0.001)


def limit(stream, micros):
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, micros))


HOWS = (("recv", lambda stream, count, flags=0: stream.recv(count, flags)),
        ("recvfrom", lambda stream, count, flags=0: stream.recvfrom(count, flags)[0]),
        ("recvmsg", lambda stream, count, flags=0: stream.recvmsg(count, 0, flags)[0]))

for low, inherited in ((5, False), (4, True)):
    client, server = pair(low if inherited else None)
    if not inherited:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, low)
    print("low water", server.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT))
    for name, read in HOWS:
        print(name, meanwhile(lambda: read(server, 100), lambda: client.send(b"12"), lambda: client.send(b"34567")))
    client.send(b"12")
    print(server.recv(2))  # all that is asked for
    client.send(b"12")
    come(server, 2)
    print(server.recv(9, AT_ONCE))
    client.send(b"12")
    limit(server, 50_000)
    print(server.recv(9))
    limit(server, 0)
    client.send(b"12")
    print(meanwhile(lambda: server.recv(9), lambda: client.shutdown(socket.SHUT_WR)), server.recv(9))

for name, look in HOWS:
    client, server = pair()
    print(name, meanwhile(lambda: look(server, 8, socket.MSG_WAITALL), lambda: client.send(b"12"), lambda: client.send(b"34567"), lambda: client.send(b"890")), server.recv(9))
    print(said(lambda: look(server, 4, LOOK | AT_ONCE)))
    print(meanwhile(lambda: look(server, 4, LOOK), lambda: client.send(b"ab"), lambda: client.send(b"cd")), look(server, 3, LOOK))
    print(look(server, 9, LOOK | AT_ONCE))
    limit(server, 50_000)
    print(look(server, 9, LOOK))
    limit(server, 0)
    print(server.recv(9))
    client.send(b"ab")
    come(server, 2)
    print(meanwhile(lambda: look(server, 9, LOOK), lambda: client.shutdown(socket.SHUT_WR)), server.recv(9), look(server, 9, LOOK))
    client, server = pair()
    client.send(b"ab")
    client.send(b"!", socket.MSG_OOB)
    client.send(b"cd")
    come(server, 2)
    print(look(server, 9, LOOK), server.recv(9), server.recv(9))
