#!/usr/bin/env python3
"""Requests and options that a kind of socket has or has not: ioctl(2) about stamps, queues, marks and links, and what netlink sockets, which
have no process for a peer, answer to options of others.

Argument: 4 or 6."""
import array
import errno
import fcntl
import signal
import socket
import struct
import sys
import time

signal.alarm(100)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]
TIOCOUTQ, SIOCATMARK = 0x5411, 0x8905
SIOCGSTAMP, SIOCGSTAMPNS, SIOCGSTAMP_NEW, SIOCGSTAMPNS_NEW = 0x8906, 0x8907, 0x80108906, 0x80108907
SIOCGIFSLAVE, SIOCWANDEV, SIOCBONDINFOQUERY, SIOCGHWTSTAMP = 0x8929, 0x894A, 0x8994, 0x89B1
SIOCUNIXFILE = 0x89E0
SO_PEEK_OFF, SO_PEERGROUPS, SO_PEERPIDFD = 42, 59, 77
SOL_NETLINK, PACKET_INFO, LIST_MEMBERSHIPS = 270, 3, 9


def told(call, *arguments):
    try:
        return call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]


def stamp(sock, request):
    answer = told(fcntl.ioctl, sock, request, bytes(16))
    if isinstance(answer, str):
        return answer
    seconds, fraction = struct.unpack("qq", answer)
    return abs(seconds - time.time()) < 100 and 0 <= fraction < 1_000_000_000


receiver = socket.socket(FAMILY, socket.SOCK_DGRAM)
receiver.bind((HOST, 0))
stamps = SIOCGSTAMP, SIOCGSTAMP_NEW, SIOCGSTAMPNS, SIOCGSTAMPNS_NEW
print("before:", [stamp(receiver, request) for request in stamps])
socket.socket(FAMILY, socket.SOCK_DGRAM).sendto(b"now", receiver.getsockname())
print("came:", receiver.recvfrom(9)[0], [stamp(receiver, request) for request in stamps])

for request in (SIOCGIFSLAVE, SIOCWANDEV, SIOCBONDINFOQUERY, SIOCGHWTSTAMP):
    links = [struct.pack("16s24x", name) for name in (b"lo", b"nobody", b"")]
    print(f"{request:x}:", [told(fcntl.ioctl, receiver, request, link) for link in links])

netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
number = array.array("i", [0])
print("queue:", told(fcntl.ioctl, netlink, TIOCOUTQ, number))
print("mark:", told(fcntl.ioctl, netlink, SIOCATMARK, bytes(40)))
print("peer:", netlink.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12).hex())
print("no peer:", [told(netlink.getsockopt, socket.SOL_SOCKET, name) for name in (SO_PEERGROUPS, SO_PEERPIDFD)])
print("peek:", told(netlink.setsockopt, socket.SOL_SOCKET, SO_PEEK_OFF, 1), told(netlink.getsockopt, socket.SOL_SOCKET, SO_PEEK_OFF))
print("groups:", netlink.getsockopt(SOL_NETLINK, LIST_MEMBERSHIPS, 8))
print("short:", told(netlink.setsockopt, SOL_NETLINK, PACKET_INFO, b"\1"), netlink.getsockopt(SOL_NETLINK, PACKET_INFO))
# A matter of privileges, then of the name that it has not.
print("file:", told(fcntl.ioctl, socket.socket(socket.AF_UNIX), SIOCUNIXFILE) in ("EPERM", "ENOENT"))
