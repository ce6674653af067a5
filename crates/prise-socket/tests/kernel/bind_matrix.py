#!/usr/bin/env python3
"""Prints which pairs of sockets may share a port, as the running kernel decides: the expectation in `bind_matrix.txt`.

Rows are the socket bound first, columns the one bound second, each `ADDRESS OPTIONS [listening]`:
  options  -  none    r  SO_REUSEADDR    p  SO_REUSEPORT    b  both
Cells: `.` both bind (and the second TCP socket can listen), `B` bind fails with EADDRINUSE, `L` only listen does.
Part `owner` (needs root): the second socket belongs to another user. Part `device`: SO_BINDTODEVICE.
Run: unshare -n sh -c 'ip link set lo up; ip tuntap add d0 mode tun; ./bind_matrix.py' > bind_matrix.txt
"""
import errno
import os
import socket as S

ADDRESSES = [
    ("4any", S.AF_INET, "0.0.0.0", 0),
    ("4lo1", S.AF_INET, "127.0.0.1", 0),
    ("4lo2", S.AF_INET, "127.0.0.2", 0),
    ("6any", S.AF_INET6, "::", 0),
    ("6any!", S.AF_INET6, "::", 1),
    ("6lo", S.AF_INET6, "::1", 0),
    ("m0", S.AF_INET6, "::ffff:0.0.0.0", 0),
    ("m1", S.AF_INET6, "::ffff:127.0.0.1", 0),
]
OPTIONS = "-rpb"


def make(kind, address, options, port, device=None):
    _, family, text, v6only = address
    s = S.socket(family, kind)
    if family == S.AF_INET6:
        s.setsockopt(S.IPPROTO_IPV6, S.IPV6_V6ONLY, v6only)
    if options in "rb":
        s.setsockopt(S.SOL_SOCKET, S.SO_REUSEADDR, 1)
    if options in "pb":
        s.setsockopt(S.SOL_SOCKET, S.SO_REUSEPORT, 1)
    if device:
        s.setsockopt(S.SOL_SOCKET, S.SO_BINDTODEVICE, device.encode())
    try:
        s.bind((text, port))
    except OSError as e:
        assert e.errno == errno.EADDRINUSE, e
        s.close()
        return None
    return s


def cell(kind, one, two, port):
    """one, two: (address, options, listening/try to listen, device, uid)"""
    first = make(kind, one[0], one[1], port, one[3])
    if one[2]:
        first.listen(1)
    if two[4]:
        os.seteuid(two[4])
    second = make(kind, two[0], two[1], port, two[3])
    if two[4]:
        os.seteuid(0)
    result = "B"
    if second:
        result = "."
        if kind == S.SOCK_STREAM:
            try:
                second.listen(1)
            except OSError as e:
                assert e.errno == errno.EADDRINUSE, e
                result = "L"
        second.close()
    first.close()
    return result


def name(side):
    return f"{side[0][0]}{'@' + side[3] if side[3] else ''} {side[1]}{' listening' if side[2] else ''}"


PORT = 20000


def matrix(title, kind, firsts, seconds):
    global PORT
    print(f"== {title}")
    print("   columns: " + ", ".join(name(s) for s in seconds))
    for one in firsts:
        row = ""
        for two in seconds:
            PORT = 20000 + (PORT + 1) % 10000
            row += cell(kind, one, two, PORT)
        print(f"{name(one):22} {row}")


def sides(listening, addresses=ADDRESSES, options=OPTIONS, devices=(None,), uid=0):
    return [(a, o, l, d, uid) for l in listening for a in addresses for d in devices for o in options]


matrix("tcp", S.SOCK_STREAM, sides([False, True]), sides([False]))
matrix("udp", S.SOCK_DGRAM, sides([False]), sides([False]))
few = ADDRESSES[:2]
matrix("tcp owner", S.SOCK_STREAM, sides([False, True], few), sides([False], few, uid=1234))
matrix("udp owner", S.SOCK_DGRAM, sides([False], few), sides([False], few, uid=1234))
devices = (None, "lo", "d0")
some = [ADDRESSES[0], ADDRESSES[3]]
matrix("tcp device", S.SOCK_STREAM, sides([True], some, "-p", devices), sides([False], some, "-p", devices))
matrix("udp device", S.SOCK_DGRAM, sides([False], some, "-p", devices), sides([False], some, "-p", devices))
