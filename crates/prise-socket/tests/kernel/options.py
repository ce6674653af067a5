#!/usr/bin/env python3
"""Prints what the running kernel answers to getsockopt and setsockopt: the expectation in `options.txt`.

First the values that are tried, `value N HEX`. Then for each option, over all kinds of sockets with the same answers,
  KIND,... LEVEL NAME get ANSWER:ROOM,... ...     into a buffer of ROOM octets, on a fresh socket
  KIND,... LEVEL NAME set ANSWER:N,... ...        value N on a fresh socket; what getsockopt shows afterwards in 16 octets
ANSWER is an error's name, octets in hex, `-` for none, `*LENGTH` where they vary, `same` for the value's own first octets, `ok` if it cannot be read.
Runs as root, but asks as nobody:
  unshare -n sh -c 'ip link set lo up; sysctl -qw net.ipv4.ping_group_range="0 2147483647"; ./options.py' > options.txt
"""
import ctypes
import errno
import os
import socket as S
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
KINDS = {
    "tcp4": (S.AF_INET, S.SOCK_STREAM, 0),
    "tcp6": (S.AF_INET6, S.SOCK_STREAM, 0),
    "udp4": (S.AF_INET, S.SOCK_DGRAM, 0),
    "udp6": (S.AF_INET6, S.SOCK_DGRAM, 0),
    "ping4": (S.AF_INET, S.SOCK_DGRAM, 1),
    "ping6": (S.AF_INET6, S.SOCK_DGRAM, 58),
    "raw4": (S.AF_INET, S.SOCK_RAW, 1),
    "raw6": (S.AF_INET6, S.SOCK_RAW, 58),
}
LEVELS = {1: range(0, 90), 0: range(0, 60), 41: range(0, 90), 6: range(0, 50), 17: range(0, 110), 255: range(0, 10), 58: range(0, 10), 1000: range(0, 3)}
ROOMS = [0, 1, 2, 3, 4, 8, 12, 16, 400]
# Values that differ from run to run, or are structures of their own.
VARYING = {(1, 17), (1, 55), (1, 56), (1, 57), (1, 71), (1, 49), (1, 59), (6, 11), (6, 26), (1, 48), (1, 46), (1, 70)}
# Not ours to answer: filters, security labels, process descriptors, memory reservations, the kernel's private hooks.
SKIP = {(1, 26), (1, 27), (1, 31), (1, 50), (1, 51), (1, 52), (1, 68), (1, 77)}

i = lambda n: struct.pack("<i", n).hex()
VALUES = ["", "00", "01", "0100", "010000"]
VALUES += [i(n) for n in (0, 1, 2, 3, 4, 6, 7, 10, -1, -2, 40, 63, 64, 88, 127, 128, 255, 256, 536, 1000, 1460, 4096, 32767, 32768, 65535, 65536, 300000, 1 << 30, 2**31 - 1, -(2**31))]
VALUES += [struct.pack("<ii", 1, 0).hex(), struct.pack("<ii", 1, 5).hex(), struct.pack("<ii", 0, 7).hex()]
VALUES += [struct.pack("<qq", a, b).hex() for a, b in ((0, 0), (1, 500000), (0, 1), (0, 1000000), (-1, 0), (5, -1))]
VALUES += [b"cubic".hex(), b"reno\0".hex(), b"nope".hex(), b"lo\0".hex(), b"none".hex()]
# Multicast: interface by address, mreq, mreqn, ipv6_mreq.
VALUES += [S.inet_aton("127.0.0.1").hex(), (S.inet_aton("239.1.2.3") + S.inet_aton("127.0.0.1")).hex()]
VALUES += [(S.inet_aton("239.1.2.3") + S.inet_aton("0.0.0.0") + struct.pack("<i", 1)).hex(), (S.inet_aton("10.1.2.3") + S.inet_aton("127.0.0.1")).hex()]
VALUES += [(S.inet_pton(S.AF_INET6, "ff02::123") + struct.pack("<i", n)).hex() for n in (0, 1, 9)]
VALUES += [(S.inet_pton(S.AF_INET6, "fd00::1") + struct.pack("<i", 1)).hex()]


def get(fd, level, name, room):
    buffer = ctypes.create_string_buffer(max(room, 1))
    length = ctypes.c_uint32(room)
    if libc.getsockopt(fd, level, name, buffer, ctypes.byref(length)) < 0:
        return errno.errorcode[ctypes.get_errno()]
    if (level, name) in VARYING:
        return f"*{length.value}"
    return buffer.raw[: length.value].hex() or "-"


def set_(fd, level, name, value):
    if libc.setsockopt(fd, level, name, value, len(value)) < 0:
        return errno.errorcode[ctypes.get_errno()]
    return None


def compress(numbers):
    out = []
    for n in numbers:
        if out and out[-1][1] == n - 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in out)




def create(spec):
    """Raw sockets need a privilege; what is asked of them should not have it."""
    os.seteuid(0)
    s = S.socket(*spec)
    os.seteuid(65534)
    return s


def group(pairs):
    out = {}
    for key, answer in pairs:
        out.setdefault(answer, []).append(key)
    return " ".join(f"{answer.replace('ENOTSUP', 'EOPNOTSUPP')}:{compress(keys)}" for answer, keys in out.items())


def set_answers(spec, level, name):
    for n, text in enumerate(VALUES):
        s = create(spec)
        answer = set_(s.fileno(), level, name, bytes.fromhex(text))
        if answer is None:
            answer = get(s.fileno(), level, name, 16)
            if answer == "ENOPROTOOPT":
                answer = "ok"
            elif answer != "-" and text.startswith(answer):
                answer = "same"
        yield n, answer
        s.close()


for n, text in enumerate(VALUES):
    print("value", n, text or "-")
lines = {}
for kind, spec in KINDS.items():
    fresh = create(spec)
    for level, names in LEVELS.items():
        for name in names:
            if (level, name) in SKIP:
                continue
            gets = "get " + group((room, get(fresh.fileno(), level, name, room)) for room in ROOMS)
            sets = "set " + group(set_answers(spec, level, name))
            for line in (gets, sets):
                lines.setdefault((level, name, line), []).append(kind)
for (level, name, line), kinds in sorted(lines.items()):
    print(",".join(kinds), level, name, line)
