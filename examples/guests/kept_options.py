#!/usr/bin/env python3
"""Options that only the connection knows, on streams at every stage of their lives, and what accept(2) inherits. Argument: 4 or 6."""
import errno
import signal
import socket
import struct
import sys

signal.alarm(100)
SIX = (sys.argv[1:] or ["4"])[0] == "6"
FAMILY, HOST = (socket.AF_INET6, "::1") if SIX else (socket.AF_INET, "127.0.0.1")
NOBODY = "ff02::1" if SIX else "255.255.255.255"

TCP = socket.IPPROTO_TCP
OPTIONS = [
    ("NODELAY", TCP, socket.TCP_NODELAY),
    ("CORK", TCP, socket.TCP_CORK),
    ("KEEPIDLE", TCP, socket.TCP_KEEPIDLE),
    ("KEEPINTVL", TCP, socket.TCP_KEEPINTVL),
    ("KEEPCNT", TCP, socket.TCP_KEEPCNT),
    ("USER_TIMEOUT", TCP, socket.TCP_USER_TIMEOUT),
    ("KEEPALIVE", socket.SOL_SOCKET, socket.SO_KEEPALIVE),
]


def told(stream):
    return [stream.getsockopt(level, option) for _, level, option in OPTIONS]


def step(stream, what):
    """Each option a little further than it was."""
    for name, level, option in OPTIONS:
        one = option in (socket.TCP_NODELAY, socket.TCP_CORK) and level == TCP or level == socket.SOL_SOCKET
        value = 1 if one else stream.getsockopt(level, option) + 1
        try:
            stream.setsockopt(level, option, value)
        except OSError as error:
            print(what, name, errno.errorcode[error.errno])
    stream.setsockopt(TCP, socket.TCP_QUICKACK, 1)
    print(what, told(stream))


def attempt(what, call):
    try:
        print(what, call())
    except OSError as error:
        print(what, errno.errorcode[error.errno])


stream = socket.socket(FAMILY)
step(stream, "new")
for name, value in ("KEEPIDLE", 0), ("KEEPCNT", 200), ("NODELAY", -1):
    level, option = next((level, option) for known, level, option in OPTIONS if known == name)
    attempt(f"{name} {value}", lambda: stream.setsockopt(level, option, value))
    attempt(f"{name} of two octets", lambda: stream.setsockopt(level, option, b"\1\0"))
attempt("connect to nobody", lambda: stream.connect((NOBODY, 9)))
step(stream, "unreachable")
closed = socket.socket(FAMILY)
closed.bind((HOST, 0))
attempt("connect where nobody listens", lambda: stream.connect(closed.getsockname()[:2]))
step(stream, "refused")
step(closed, "bound")
closed.listen()
step(closed, "listening")
stream.connect(closed.getsockname()[:2])
step(stream, "connected")
end, _ = closed.accept()
print("accepted", told(end))
step(end, "accepted")
closed.close()
end.setsockopt(TCP, socket.TCP_CORK, 0)
end.sendall(b"well")
print(stream.recv(4, socket.MSG_WAITALL))
end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
end.close()
attempt("recv", lambda: stream.recv(1))
step(stream, "reset")
bound = socket.socket(FAMILY)
step(bound, "another")
bound.bind((HOST, 0))
listening = socket.create_server((HOST, 0), family=FAMILY)
bound.connect(listening.getsockname()[:2])
print("bound and connected", told(bound))
copy = bound.dup()
step(copy, "copy")
print("the same", told(bound) == told(copy))

# What is a listener's alone.
OWN = {"SO_PRIORITY": (socket.SOL_SOCKET, socket.SO_PRIORITY, 3), "TCP_DEFER_ACCEPT": (TCP, socket.TCP_DEFER_ACCEPT, 1), "TCP_FASTOPEN": (TCP, socket.TCP_FASTOPEN, 5)}
for level, option, value in OWN.values():
    listening.setsockopt(level, option, value)
stream = socket.create_connection(listening.getsockname()[:2])
stream.sendall(b"first")
end, _ = listening.accept()
for name, (level, option, _) in OWN.items():
    print(name, "of the listener", listening.getsockopt(level, option), "and of what it accepts", end.getsockopt(level, option))
listening.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0x10)
print("by IP_TOS", listening.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY))
stream = socket.create_connection(listening.getsockname()[:2])
stream.sendall(b"first")
end, _ = listening.accept()
print("and of what it accepts", end.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY))
datagram = socket.socket(FAMILY, socket.SOCK_DGRAM)
classes = []
for service in range(0, 256, 8):
    datagram.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, service)
    classes.append(datagram.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY))
print("classes of service", *classes)
datagram.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 1)
datagram.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 248)
print("not changed", datagram.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY))
