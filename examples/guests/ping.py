#!/usr/bin/env python3
"""Ping, by hand: an ICMP echo request through an ICMP datagram socket, or a raw one where only that is allowed.

Exits with 77 where the system allows neither. Argument: 4 or 6."""
import signal
import socket
import struct
import sys

signal.alarm(100)
SIX = (sys.argv[1:] or ["4"])[0] == "6"
FAMILY, HOST, PROTOCOL, REQUEST, REPLY = (
    (socket.AF_INET6, "::1", socket.IPPROTO_ICMPV6, 128, 129)
    if SIX
    else (socket.AF_INET, "127.0.0.1", socket.IPPROTO_ICMP, 8, 0)
)


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def echo(kind):
    sock = socket.socket(FAMILY, kind, PROTOCOL)
    sock.settimeout(5)
    for sequence in range(1, 4):
        payload = b"prise%03d" % sequence
        header = struct.pack("!BBHHH", REQUEST, 0, 0, 4242, sequence)
        # For ICMPv6 the sum covers the addresses too and is the system's affair (RFC 3542 §3.1).
        total = 0 if SIX else checksum(header + payload)
        sock.sendto(struct.pack("!BBHHH", REQUEST, 0, total, 4242, sequence) + payload, (HOST, 0))
        while True:
            packet, (address, *_) = sock.recvfrom(1500)
            if kind == socket.SOCK_RAW and not SIX:
                packet = packet[(packet[0] & 15) * 4 :]  # a raw IPv4 socket hands out the IP header, too
            if packet[0] == REPLY:
                break
        number = struct.unpack("!H", packet[6:8])[0]
        print(f"{len(packet)} octets from {address}: seq={number} payload={packet[8:].decode()}")


for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
    try:
        echo(kind)
        break
    except PermissionError:
        continue
else:
    print("neither ICMP datagram nor raw sockets are allowed here")
    sys.exit(77)
