#!/usr/bin/env python3
"""A segment that neither end of a connection has sent: they no longer agree on what was, and neither can tell the other that it has
closed. The program ends nevertheless, and nobody waits for them.

Argument: 4 or 6."""
import ctypes
import signal
import socket
import struct
import sys

signal.alarm(100)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[sys.argv[1]]
PSH, ACK = 8, 16
SO_ATTACH_FILTER = 26
LOAD_HALF, LOAD_HEADER, EQUAL, RETURN = 0x48, 0xB1, 0x15, 0x06


def hear_only(raw, port):
    """Nobody else's segments: the machine's loopback is everybody's."""
    # X is where TCP's header begins: 0 in IPv6, whose header raw sockets are not given.
    lines = [(LOAD_HEADER, 0, 0, 0)] if FAMILY == socket.AF_INET else []
    lines += [(LOAD_HALF, 0, 0, 0), (EQUAL, 3, 0, port), (LOAD_HALF, 0, 0, 2), (EQUAL, 1, 0, port), (RETURN, 0, 0, 0), (RETURN, 0, 0, 65535)]
    octets = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    raw.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(lines), ctypes.addressof(octets)))


def heard(raw, source, target, payload):
    """The segment between these ports that carries this."""
    while True:
        packet = raw.recv(65535)
        segment = packet[(packet[0] & 15) * 4:] if FAMILY == socket.AF_INET else packet
        if struct.unpack("!HH", segment[:4]) == (source, target) and segment.endswith(payload):
            return segment


def summed(segment):
    """With its checksum, over the pseudo-header (RFC 9293 §3.1)."""
    address = socket.inet_pton(FAMILY, HOST)
    octets = address + address + struct.pack("!II", len(segment), socket.IPPROTO_TCP) + segment + b"\0" * (len(segment) % 2)
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return segment[:16] + struct.pack("!H", ~total & 0xFFFF) + segment[18:]


def forged(segment, payload):
    """What would follow that segment, a minute later by its timestamp (RFC 7323 §3.2): what is older than the peer's last is dropped."""
    header = bytearray(segment[:(segment[12] >> 4) * 4])
    seq = struct.unpack("!I", header[4:8])[0] + len(segment) - len(header)
    header[4:8] = struct.pack("!I", seq & 0xFFFFFFFF)
    header[13], header[16:18] = PSH | ACK, b"\0\0"
    assert header[20:24] == b"\1\1\x08\x0a", header
    stamp = struct.unpack("!I", header[24:28])[0] + 60_000
    header[24:28] = struct.pack("!I", stamp & 0xFFFFFFFF)
    return summed(bytes(header) + payload)


listener = socket.create_server((HOST, 0), family=FAMILY)
server = listener.getsockname()[1]
try:
    raw = socket.socket(FAMILY, socket.SOCK_RAW, socket.IPPROTO_TCP)
except PermissionError:
    sys.exit(77)
hear_only(raw, server)
client = socket.create_connection((HOST, server), timeout=60)
accepted = listener.accept()[0]
ways = ((client, accepted), (accepted, client))
segments = []
for one, other in ways:
    one.sendall(b"said")
    print("said:", other.recv(100))
    segments.append(heard(raw, one.getsockname()[1], other.getsockname()[1], b"said"))
for segment, (_, other) in zip(segments, ways):
    raw.sendto(forged(segment, b"forged"), (HOST, 0))
    print("forged:", other.recv(100))
