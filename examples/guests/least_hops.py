#!/usr/bin/env python3
"""IP_MINTTL and IPV6_MINHOPCOUNT of streams: what comes from too far away is not heard. Argument: 4 or 6."""
import select
import signal
import socket
import struct
import sys

signal.alarm(30)
IPV6_UNICAST_HOPS, IPV6_MINHOPCOUNT, IP_MINTTL = 16, 73, 21
FAMILY, HOST, LEVEL, LEAST, HOPS = {
    "4": (socket.AF_INET, "127.0.0.1", socket.IPPROTO_IP, IP_MINTTL, socket.IP_TTL),
    "6": (socket.AF_INET6, "::1", socket.IPPROTO_IPV6, IPV6_MINHOPCOUNT, IPV6_UNICAST_HOPS),
}[(sys.argv[1:] or ["4"])[0]]


def connects(name, hops, family=FAMILY):
    client = socket.socket(family)
    client.setsockopt(socket.IPPROTO_IP if family == socket.AF_INET else LEVEL, socket.IP_TTL if family == socket.AF_INET else HOPS, hops)
    client.settimeout(0.3 if hops < 100 else 10)
    try:
        client.connect(name)
    except TimeoutError:
        return None
    return client


def heard(sock, seconds):
    return bool(select.select([sock], [], [], seconds)[0])


listener = socket.socket(FAMILY)
listener.bind((HOST, 0))
listener.listen()
print("at first", listener.getsockopt(LEVEL, LEAST))
listener.setsockopt(LEVEL, LEAST, 100)
name = listener.getsockname()[:2]
print("from too far:", connects(name, 99))
client = connects(name, 100)
server, _ = listener.accept()
print("the connection has", server.getsockopt(LEVEL, LEAST))

client.setsockopt(LEVEL, HOPS, 99)
client.sendall(b"far")
print("from too far:", heard(server, 0.3))
client.setsockopt(LEVEL, HOPS, 255)
print("sent again from near:", heard(server, 10), server.recv(10))
server.setsockopt(LEVEL, LEAST, 0)
client.setsockopt(LEVEL, HOPS, 1)
client.sendall(b"from anywhere")
print(server.recv(100))

# Each version of IP has its own.
both = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
near = ("127.0.0.1", both.getsockname()[1])
both.setsockopt(socket.IPPROTO_IPV6, IPV6_MINHOPCOUNT, 255)
print("IPv6's does not count for IPv4:", connects(near, 64, socket.AF_INET) is not None)
both.setsockopt(socket.IPPROTO_IP, IP_MINTTL, 255)
print("but IPv4's does:", connects(near, 64, socket.AF_INET))
both.setsockopt(socket.IPPROTO_IP, IP_MINTTL, 100)


def reaches_mapped(*options):
    client = socket.socket(socket.AF_INET6)
    for option in options:
        client.setsockopt(*option)
    client.settimeout(0.3)
    try:
        client.connect(("::ffff:127.0.0.1", near[1]))
    except TimeoutError:
        return False
    return True


TTL_OF_IPV4, HOPS_OF_IPV6 = (socket.IPPROTO_IP, socket.IP_TTL, 200), (socket.IPPROTO_IPV6, IPV6_UNICAST_HOPS, 200)
print("a socket of IPv6 goes as far over IPv4:", reaches_mapped(), reaches_mapped(TTL_OF_IPV4), reaches_mapped(HOPS_OF_IPV6))

# Neighbors who believe only each other: all of a connection, from the SYN-ACK on, has the program's number of hops.
near_only = socket.socket(FAMILY)
near_only.bind((HOST, 0))
near_only.listen()
caller = socket.socket(FAMILY)
for sock in (near_only, caller):
    sock.setsockopt(LEVEL, HOPS, 255)
    sock.setsockopt(LEVEL, LEAST, 255)
caller.settimeout(10)
caller.connect(near_only.getsockname()[:2])
called, _ = near_only.accept()
called.sendall(b"from next door")
print(caller.recv(100))
caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
caller.close()
called.settimeout(10)
try:
    print(called.recv(10))
except ConnectionResetError:
    print("even its reset is heard")
called.close()
near_only.close()

# What only looks at the neighbor of the other version: a connection over IPv6 does not heed IP_MINTTL, set before it or while it stands.
if FAMILY == socket.AF_INET6:
    for said, is_asked_before in ((b"of the other version", True), (b"while it stands", False)):
        other = socket.socket(FAMILY)
        if is_asked_before:
            other.setsockopt(socket.IPPROTO_IP, IP_MINTTL, 255)
        other.bind((HOST, 0))
        other.listen()
        client = connects(other.getsockname()[:2], 200)
        server, _ = other.accept()
        server.setsockopt(socket.IPPROTO_IP, IP_MINTTL, 255)
        client.sendall(said)
        print(heard(server, 10) and server.recv(100))
else:
    # From next door, by another congestion control.
    near_only = socket.create_server((HOST, 0))
    near_only.setsockopt(LEVEL, LEAST, 255)
    client = socket.socket(FAMILY)
    client.setsockopt(LEVEL, HOPS, 255)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    client.settimeout(10)
    client.connect(near_only.getsockname()[:2])
    near_only.settimeout(10)
    server, _ = near_only.accept()
    client.sendall(b"by another congestion control")
    print(server.recv(100))
