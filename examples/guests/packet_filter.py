#!/usr/bin/env python3
"""Classic BPF on datagram sockets: SO_ATTACH_FILTER keeps, cuts and drops, SO_ATTACH_REUSEPORT_CBPF chooses among sockets.

Argument: 4 or 6."""
import ctypes
import errno
import select
import signal
import socket
import struct
import sys

signal.alarm(20)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]
ATTACH, DETACH, LOCK, CHOOSE, CHOOSE_NO_MORE = 26, 27, 44, 51, 68
LDB, LDH, LDW, LEN, JEQ, JGT, RET, RET_A, AND, TAX, LDB_X = 0x30, 0x28, 0x20, 0x80, 0x15, 0x25, 0x06, 0x16, 0x54, 0x07, 0x50
NETWORK, ANCILLARY = 2**32 - 0x100000, 2**32 - 0x1000


def told(call, *arguments):
    try:
        call(*arguments)
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]


def attach(sock, *lines, option=ATTACH, count=None, size=16):
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    value = struct.pack("HxxxxxxP", len(lines) if count is None else count, ctypes.addressof(program))
    return told(sock.setsockopt, socket.SOL_SOCKET, option, value[:size])


def udp():
    sock = socket.socket(FAMILY, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    return sock


receiver, sender = udp(), udp()


def heard(*datagrams):
    """The last one is always let through."""
    for datagram in datagrams:
        sender.sendto(datagram, receiver.getsockname())
    got = []
    while not got or not got[-1].startswith(b"end"):
        got.append(receiver.recv(100))
    return got


def filter_of(sock, room):
    libc = ctypes.CDLL(None, use_errno=True)
    value, count = ctypes.create_string_buffer(8 * 100), ctypes.c_uint(room)
    if libc.getsockopt(sock.fileno(), socket.SOL_SOCKET, ATTACH, value, ctypes.byref(count)):
        return errno.errorcode[ctypes.get_errno()]
    return count.value, value.raw[:24].hex()


print("none:", filter_of(receiver, 0), filter_of(receiver, 5))
keep_all = [(RET, 0, 0, 2**32 - 1)]
# The first octet of the payload, behind the header of UDP: "a" goes, "b" is cut to three octets.
by_letter = [(LDB, 0, 0, 8), (JEQ, 0, 1, ord("a")), (RET, 0, 0, 0), (JEQ, 0, 1, ord("b")), (RET, 0, 0, 8 + 3), (RET, 0, 0, 65535)]
print("attached:", attach(receiver, *by_letter), heard(b"a 1", b"b 12345", b"c 1", b"a 2", b"end"))
print("told:", [filter_of(receiver, room) for room in (0, 1, 5, 6, 90)])
print("all kept:", attach(receiver, *keep_all), heard(b"a 1", b"b 12345", b"end"))
# Shorter than what is looked at: dropped.
print("a long one only:", attach(receiver, (LDW, 0, 0, 16), (RET, 0, 0, 65535)), heard(b"short", b"x" * 12, b"end of twelve"))
# By the lengths that the packet, the header of UDP and that of IP tell.
print("by length:", attach(receiver, (LEN, 0, 0, 0), (JGT, 1, 0, 8 + 5), (RET, 0, 0, 65535), (RET, 0, 0, 0)), heard(b"123456", b"12345", b"end"))
print("by UDP's length:", attach(receiver, (LDH, 0, 0, 4), (JEQ, 0, 1, 8 + 4), (RET, 0, 0, 0), (RET, 0, 0, 65535)), heard(b"1234", b"12345", b"end"))
source = [(LDH, 0, 0, 0), (JEQ, 0, 1, sender.getsockname()[1]), (RET, 0, 0, 65535), (RET, 0, 0, 0)]
print("by port:", attach(receiver, *source), heard(b"mine", b"end"))
version = [(LDB, 0, 0, NETWORK), (AND, 0, 0, 0xF0), (JEQ, 0, 1, 0x40 if FAMILY == socket.AF_INET else 0x60), (RET, 0, 0, 65535), (RET, 0, 0, 0)]
print("by version:", attach(receiver, *version), heard(b"a", b"end"))
protocol = [(LDH, 0, 0, ANCILLARY), (JEQ, 0, 1, 0x0800 if FAMILY == socket.AF_INET else 0x86DD), (RET, 0, 0, 65535), (RET, 0, 0, 0)]
print("by protocol:", attach(receiver, *protocol), heard(b"a", b"end"))
print("nothing passes:", attach(receiver, (RET, 0, 0, 0)))
sender.sendto(b"lost", receiver.getsockname())
print("readable:", select.select([receiver], [], [], 0.05)[0] == [receiver])
print("detached:", told(receiver.setsockopt, socket.SOL_SOCKET, DETACH, 0), told(receiver.setsockopt, socket.SOL_SOCKET, DETACH, 0))
print("heard again:", heard(b"a", b"end"))

other = udp()
for what, lines in {
    "no return": [(LDB, 0, 0, 0)],
    "a jump too far": [(JEQ, 1, 0, 0), *keep_all],
    "no such instruction": [(0xFF, 0, 0, 0), *keep_all],
    "a division by zero": [(0x34, 0, 0, 0), *keep_all],
    "a word never written": [(0x60, 0, 0, 1), *keep_all],
    "nothing": [],
}.items():
    print(f"{what}:", attach(other, *lines))
print("too many:", attach(other, *keep_all, count=5000), "a short value:", attach(other, *keep_all, size=12))
print("nowhere:", told(other.setsockopt, socket.SOL_SOCKET, ATTACH, struct.pack("HxxxxxxP", 1, 8)))
print("locked:", attach(other, *keep_all), told(other.setsockopt, socket.SOL_SOCKET, LOCK, 1), attach(other, *keep_all))
print(told(other.setsockopt, socket.SOL_SOCKET, DETACH, 0), told(other.setsockopt, socket.SOL_SOCKET, LOCK, 0), other.getsockopt(socket.SOL_SOCKET, LOCK))

# Three sockets of one port: the payload's first octet says whose the datagram is.
print("no group:", attach(other, *keep_all, option=CHOOSE))
three = [socket.socket(FAMILY, socket.SOCK_DGRAM) for _ in range(3)]
port = 0
for sock in three:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((HOST, port))
    port = sock.getsockname()[1]
print("chosen:", attach(three[1], (LDB, 0, 0, 0), (AND, 0, 0, 3), (RET_A, 0, 0, 0), option=CHOOSE))
for octet in b"012210":
    sender.sendto(bytes([octet]), (HOST, port))
    ready = select.select(three, [], [], 5)[0]
    print(chr(octet), [three.index(sock) for sock in ready], [sock.recv(10) for sock in ready])
print("no more:", told(three[0].setsockopt, socket.SOL_SOCKET, CHOOSE_NO_MORE, 0) in ("ok", "ENOENT"))
