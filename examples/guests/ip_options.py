#!/usr/bin/env python3
"""Options of IPv4 on datagram and raw sockets: set for good and for one message, told to the receiver and to be answered with, the
route that is recorded, on datagrams in fragments, and what is refused.

Argument: 4, or 6 for sockets of IPv6 that speak IPv4."""
import errno
import signal
import socket
import sys

signal.alarm(100)
IP_OPTIONS, IP_RECVOPTS, IP_RETOPTS = 4, 6, 7
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::ffff:127.0.0.1")}[(sys.argv[1:] or ["4"])[0]]
NOTHING, ROUTE, ALERT = b"\1\0\0\0", bytes([7, 15, 4]) + bytes(12) + b"\0", bytes([148, 4, 0, 0])


def receiver():
    sock = socket.socket(FAMILY, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    sock.setsockopt(socket.IPPROTO_IP, IP_RECVOPTS, 1)
    sock.setsockopt(socket.IPPROTO_IP, IP_RETOPTS, 1)
    return sock


def set_options(sock, value):
    try:
        sock.setsockopt(socket.IPPROTO_IP, IP_OPTIONS, value)
    except OSError as error:
        return errno.errorcode[error.errno]
    return sock.getsockopt(socket.IPPROTO_IP, IP_OPTIONS, 64).hex()


def received(sock):
    data, control, _flags, _source = sock.recvmsg(65535, 1024)
    names = {IP_RECVOPTS: "with", IP_RETOPTS: "answer"}
    return len(data), [(names[kind], value.hex()) for level, kind, value in control if level == socket.IPPROTO_IP and kind in names]


to = receiver()
sock = socket.socket(FAMILY, socket.SOCK_DGRAM)
print("none:", set_options(sock, b""), sock.getsockopt(socket.IPPROTO_IP, IP_OPTIONS, 64))
for name, value in ("nothing", NOTHING), ("one octet", b"\1"), ("route", ROUTE), ("alert", ALERT), ("all", ROUTE + ALERT + NOTHING):
    print(name + ":", set_options(sock, value))
    sock.sendto(b"data", to.getsockname())
    print("  told:", *received(to))
sock.sendto(bytes(60000), to.getsockname())
print("large:", *received(to))
print("again none:", set_options(sock, b""))
sock.sendto(b"data", to.getsockname())
print("  told:", *received(to))
sock.sendmsg([b"data"], [(socket.IPPROTO_IP, IP_RETOPTS, ALERT)], 0, to.getsockname())
print("one message:", *received(to))
sock.sendto(b"data", to.getsockname())
print("the next:", *received(to))
for name, value in (("too many", b"\1" * 41), ("no length", b"\7"), ("too short", b"\7\1"), ("too long", bytes([7, 9, 4, 0])),
                    ("no place", bytes([7, 7, 3, 0, 0, 0, 0])), ("a part of a place", bytes([7, 7, 5, 0, 0, 0, 0])), ("alert", bytes([148, 3, 0]))):
    print(name + ":", set_options(sock, value))
connected = socket.socket(FAMILY, socket.SOCK_DGRAM)
connected.connect(to.getsockname())
print("connected:", set_options(connected, ROUTE))
connected.send(b"data")
print("  told:", *received(to))
