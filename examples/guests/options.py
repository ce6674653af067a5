#!/usr/bin/env python3
"""Socket options: set, read back, and what they change. Argument: 4 or 6."""
import errno
import signal
import socket
import struct
import sys

signal.alarm(100)
SIX = (sys.argv[1:] or ["4"])[0] == "6"
FAMILY, HOST = (socket.AF_INET6, "::1") if SIX else (socket.AF_INET, "127.0.0.1")

INTEGERS = [
    ("SOL_SOCKET", "SO_REUSEADDR", 1),
    ("SOL_SOCKET", "SO_REUSEPORT", 1),
    ("SOL_SOCKET", "SO_KEEPALIVE", 1),
    ("SOL_SOCKET", "SO_RCVBUF", 65536),  # Linux keeps, and tells, twice as much
    ("SOL_SOCKET", "SO_SNDBUF", 65536),
    ("SOL_SOCKET", "SO_BROADCAST", 1),
    ("SOL_SOCKET", "SO_OOBINLINE", 1),
    ("IPPROTO_TCP", "TCP_NODELAY", 1),
    ("IPPROTO_TCP", "TCP_CORK", 1),
    ("IPPROTO_TCP", "TCP_KEEPIDLE", 30),
    ("IPPROTO_TCP", "TCP_KEEPINTVL", 5),
    ("IPPROTO_TCP", "TCP_KEEPCNT", 4),
    ("IPPROTO_TCP", "TCP_SYNCNT", 3),
    ("IPPROTO_TCP", "TCP_USER_TIMEOUT", 10000),
    ("IPPROTO_TCP", "TCP_LINGER2", 20),
]
V4 = [("IPPROTO_IP", "IP_TTL", 33), ("IPPROTO_IP", "IP_TOS", 16)]
V6 = [("IPPROTO_IPV6", "IPV6_V6ONLY", 1), ("IPPROTO_IPV6", "IPV6_UNICAST_HOPS", 33)]

sock = socket.socket(FAMILY, socket.SOCK_STREAM)
for level, name, value in INTEGERS + (V6 if SIX else V4):
    level, option = getattr(socket, level), getattr(socket, name)
    before = sock.getsockopt(level, option)
    sock.setsockopt(level, option, value)
    default = "…" if name in ("SO_RCVBUF", "SO_SNDBUF") else before  # the machine's own choice
    print(f"{name}: {default} -> {sock.getsockopt(level, option)}")

linger = struct.pack("ii", 1, 7)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
print("SO_LINGER:", struct.unpack("ii", sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)))
timeout = struct.pack("ll", 2, 500000)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
print("SO_RCVTIMEO:", struct.unpack("ll", sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)))
for name in ("SO_TYPE", "SO_PROTOCOL", "SO_ERROR", "SO_ACCEPTCONN"):
    print(name, sock.getsockopt(socket.SOL_SOCKET, getattr(socket, name, {"SO_PROTOCOL": 38}.get(name))))
print("SO_DOMAIN is the family:", sock.getsockopt(socket.SOL_SOCKET, 39) == FAMILY)

for what, level, option in (("unknown option", socket.IPPROTO_TCP, 4000), ("unknown level", 4000, 1)):
    try:
        sock.setsockopt(level, option, 1)
    except OSError as error:
        print(what, errno.errorcode[error.errno])
try:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_TYPE, 1)
except OSError as error:
    print("setting what can only be read:", errno.errorcode[error.errno])
try:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, b"x")
except OSError as error:
    print("a value too short:", errno.errorcode[error.errno])


def bind(port, *options):
    sock = socket.socket(FAMILY, socket.SOCK_STREAM)
    for option in options:
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        sock.bind((HOST, port))
        sock.listen()
        return sock, "bound"
    except OSError as error:
        return sock, errno.errorcode[error.errno]


# The server closes first, so TIME-WAIT is its side's: only SO_REUSEADDR (on both) may have the port again at once.
server, _ = bind(0, socket.SO_REUSEADDR)
port = server.getsockname()[1]
print("SO_ACCEPTCONN of a listener:", server.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
print("port in use:", bind(port)[1], "; even with SO_REUSEADDR:", bind(port, socket.SO_REUSEADDR)[1])
client = socket.create_connection((HOST, port))
connection, _ = server.accept()
connection.close()
assert client.recv(1) == b""
client.close()
server.close()
print("rebinding during TIME-WAIT:", bind(port)[1], "; with SO_REUSEADDR:", bind(port, socket.SO_REUSEADDR)[1])

first, one = bind(0, socket.SO_REUSEPORT)
second, two = bind(first.getsockname()[1], socket.SO_REUSEPORT)
print("SO_REUSEPORT twice:", one, two)

# Nagle off: each small write leaves at once; TCP_INFO shows the state of the connection.
server, _ = bind(0)
client = socket.create_connection(server.getsockname()[:2])
connection, _ = server.accept()
client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)
print("TCP_INFO: state", info[0], "retransmits", info[2], "backoff", info[4])
for octet in b"nodelay":
    client.send(bytes([octet]))
print(connection.recv(7, socket.MSG_WAITALL))

# Linger of zero: close becomes a reset.
client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
client.close()
try:
    connection.recv(1)
except ConnectionResetError as error:
    print("SO_LINGER 0:", error.strerror)

print("values that are longer, shorter or larger than most:")
SO_MAX_PACING_RATE, SO_BUSY_POLL_BUDGET, IPV6_ADDR_PREFERENCES, IPV6_PATHMTU = 47, 70, 72, 61


def tried(sock, level, option, value):
    try:
        sock.setsockopt(level, option, value)
    except OSError as error:
        return errno.errorcode[error.errno]


for rate in (struct.pack("=I", 7), struct.pack("=Q", 7 << 32), struct.pack("=QI", 7 << 32 | 1, 1)):
    sock = socket.socket(FAMILY, socket.SOCK_DGRAM)
    print(" ", tried(sock, socket.SOL_SOCKET, SO_MAX_PACING_RATE, rate), sock.getsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, 8).hex())
print(" ", *(tried(sock, socket.SOL_SOCKET, SO_BUSY_POLL_BUDGET, value) for value in (-1, 0, 70_000)))
if SIX:
    for preferences in ((1, 0), (2, 8), (1, 4), (4, 256), (3,), (2049,)):
        sock = socket.socket(FAMILY, socket.SOCK_DGRAM)
        told = [tried(sock, socket.IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, value) for value in preferences]
        print(" ", preferences, told, hex(sock.getsockopt(socket.IPPROTO_IPV6, IPV6_ADDR_PREFERENCES)))
    sock.connect((HOST, 9))
    print(" ", sock.getsockopt(socket.IPPROTO_IPV6, IPV6_PATHMTU, 32).hex())
