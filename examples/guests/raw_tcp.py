#!/usr/bin/env python3
"""A raw socket of TCP hears the segments of connections that are made while it is open, to listeners that were there before, and the
reset of one that is refused.

Argument: 4 or 6."""
import ctypes
import signal
import socket
import struct
import sys

signal.alarm(100)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]
SYN, RST, PSH, ACK = 2, 4, 8, 16


SO_ATTACH_FILTER = 26
LOAD_HALF, LOAD_HEADER, EQUAL, RETURN = 0x48, 0xB1, 0x15, 0x06


def bound():
    sock = socket.socket(FAMILY, socket.SOCK_STREAM)
    sock.bind((HOST, 0))
    return sock, sock.getsockname()[1]


def hear_only(raw, *ports):
    """Nobody else's segments: the machine's loopback is everybody's."""
    # X is where TCP's header begins: 0 in IPv6, whose header raw sockets are not given.
    program = [(LOAD_HEADER, 0, 0, 0)] if FAMILY == socket.AF_INET else []
    tests = [(at, port) for at in (0, 2) for port in ports]
    for number, (at, port) in enumerate(tests):
        program += [(LOAD_HALF, 0, 0, at), (EQUAL, 2 * (len(tests) - number) - 1, 0, port)]
    program += [(RETURN, 0, 0, 0), (RETURN, 0, 0, 65535)]
    lines = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    raw.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(lines)))


def heard(raw, source, target, wanted):
    """The payload of the next segment between these ports that has the wanted flags."""
    while True:
        packet = raw.recv(65535)
        segment = packet[(packet[0] & 15) * 4:] if FAMILY == socket.AF_INET else packet
        ports, offset, flags = struct.unpack("!HH", segment[:4]), segment[12] >> 4, segment[13]
        if ports == (source, target) and flags & wanted == wanted:
            return segment[offset * 4:]


listener, server = bound()
listener.listen(5)
# Bound and not listening: nobody else's, and refused.
closed, port = bound()
try:
    raw = socket.socket(FAMILY, socket.SOCK_RAW, socket.IPPROTO_TCP)
except PermissionError:
    sys.exit(77)
hear_only(raw, server, port)
with socket.create_connection((HOST, server), timeout=60) as sock:
    client = sock.getsockname()[1]
    accepted = listener.accept()[0]
    print("SYN:", heard(raw, client, server, SYN))
    print("SYN, ACK:", heard(raw, server, client, SYN | ACK))
    sock.sendall(b"question")
    print("asked:", accepted.recv(100), heard(raw, client, server, PSH))
    accepted.sendall(b"answer")
    print("answered:", sock.recv(100), heard(raw, server, client, PSH))
    accepted.close()
sock, client = bound()
print("refused:", sock.connect_ex((HOST, port)) != 0, heard(raw, port, client, RST))
raw.close()
with socket.create_connection((HOST, server), timeout=60) as sock:
    accepted = listener.accept()[0]
    accepted.sendall(b"unheard")
    print("after it was closed:", sock.recv(100))
