#!/usr/bin/env python3
"""Datagrams to a port that nobody has: which call of a connected socket tells, what poll(2) shows, and how often.

Argument: 4 or 6."""
import ctypes
import errno
import os
import random
import select
import signal
import socket
import struct
import sys
import threading

signal.alarm(120)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]
SHORTLY = 5000


def told(call):
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno]


def free_port():
    """One that nobody has, nor is given without asking for it."""
    while True:
        with socket.socket(FAMILY, socket.SOCK_DGRAM) as sock:
            port = random.randrange(10000, 32000)
            if told(lambda: sock.bind((HOST, port))) is None:
                return port


def datagram_socket():
    return socket.socket(FAMILY, socket.SOCK_DGRAM)


def can_be_asked():
    """Whether the kernel tells of UDP sockets (sock_diag(7)): prise asks it which of its objects are still open."""
    with datagram_socket() as sock, socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as diag:
        sock.bind((HOST, 0))
        address = socket.inet_pton(FAMILY, HOST).ljust(16, b"\0")
        request = struct.pack("=BBHI", FAMILY, socket.IPPROTO_UDP, 0, 0xFFFFFFFF)
        request += struct.pack("!HH", 1, sock.getsockname()[1]) + address * 2 + struct.pack("=I8s", 0, b"\xff" * 8)
        diag.send(struct.pack("=IHHII", 16 + len(request), 20, 1, 0, 0) + request)
        return struct.unpack("=IHHII", diag.recv(4096)[:16])[1] == 20


def polled(sock, wanted=select.POLLERR):
    """What poll(2) shows once it shows what is waited for."""
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLOUT | select.POLLRDHUP)
    while not (shown := poll.poll(SHORTLY)) or not shown[0][1] & wanted:
        pass
    return hex(shown[0][1])


if not can_be_asked():
    print("this kernel tells nothing of UDP sockets (udp_diag)")
    sys.exit(77)

PORT = free_port()
CALLS = {
    "recv": lambda sock: sock.recv(1),
    "read": lambda sock: os.read(sock.fileno(), 1),
    "send": lambda sock: sock.send(b"x"),
    "write": lambda sock: os.write(sock.fileno(), b"x"),
    "recvfrom": lambda sock: sock.recvfrom(1)[0],
    "recvmsg": lambda sock: sock.recvmsg(1)[0],
    "sendto": lambda sock: sock.sendto(b"x", (HOST, PORT)),
    "sendmsg": lambda sock: sock.sendmsg([b"x"]),
    "SO_ERROR": lambda sock: errno.errorcode.get(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)),
}

print("which call tells:")
for name, call in CALLS.items():
    for sending in ("send", "sendmsg"):
        sock = datagram_socket()
        sock.connect((HOST, PORT))
        sock.setblocking(False)
        CALLS[sending](sock)
        print(" ", sending, polled(sock), name, told(lambda: call(sock)), end="; ")
        if name.startswith(("recv", "read")):
            print("then", told(lambda: sock.recv(1)), told(lambda: sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))
        else:
            print()

print("ports that a lookup of names only asks for the way to:")
for port, waits in ((9, True), (65535, False)):
    sock = datagram_socket()
    sock.setblocking(waits)
    sock.connect((HOST, port))
    sock.send(b"x")
    print(" ", port, polled(sock), told(lambda: sock.recv(1)))

print("a blocked recv:")
sock = datagram_socket()
sock.settimeout(None)
sock.connect((HOST, PORT))
sock.send(b"x")
print(" ", told(lambda: sock.recv(10)))
sock.settimeout(0.05)
print("  and only once:", end=" ")
try:
    sock.recv(10)
except TimeoutError:
    print("it waits")

print("epoll, edge-triggered, watched before connect:")
sock = datagram_socket()
sock.bind((HOST, 0))
epoll = select.epoll()
epoll.register(sock, select.EPOLLIN | select.EPOLLERR | select.EPOLLET)
sock.setblocking(False)
sock.connect((HOST, PORT))
for _ in range(3):
    sock.send(b"x")
    print(" ", [hex(events) for _, events in epoll.poll(SHORTLY / 1000)], told(lambda: sock.recv(10)))
epoll.unregister(sock)

print("each of a hundred is refused once:")
refused = 0
for number in range(100):
    sock.send(b"x")
    polled(sock)
    refused += told(lambda: sock.recv(10)) == "ECONNREFUSED"
    refused += told(lambda: sock.recv(10)) == "ECONNREFUSED"
print(" ", refused)

print("somebody comes:")
server = datagram_socket()
server.bind((HOST, PORT))
server.settimeout(20)
for words in (b"hello", b"", b"y" * 9000):
    sock.send(words)
    came, sender = server.recvfrom(10000)
    server.sendto(came, sender)
    polled(sock, select.POLLIN)
    print(" ", len(came), sender == sock.getsockname(), sock.recv(10000) == words)
stranger = datagram_socket()
stranger.sendto(b"not for you", sock.getsockname())
server.sendto(b"for you", sock.getsockname())
polled(sock, select.POLLIN)
print(" ", sock.recv(100), told(lambda: sock.recv(100)))
polled(sock, select.POLLOUT)
for number in range(200):
    server.sendto(b"%d" % number, sock.getsockname())
sock.settimeout(20)
came = [sock.recv(10) if number % 2 else sock.recvfrom(10)[0] for number in range(200)]
print("  all of 200, in their order:", came == [b"%d" % number for number in range(200)])
server.close()
sock.send(b"gone")
print("  gone again:", polled(sock), told(lambda: sock.recv(10)))

print("who was there when it connected:")
for ending in ("recv", "read", "send", "write", "recvfrom", "SO_ERROR"):
    server = datagram_socket()
    server.bind((HOST, PORT))
    server.settimeout(20)
    sock = datagram_socket()
    sock.connect((HOST, PORT))
    sock.settimeout(20)
    for number in range(3):
        sock.send(b"%d" % number)
        came, sender = server.recvfrom(10)
        server.sendto(came, sender)
        polled(sock, select.POLLIN)
        assert sock.recv(10) == came == b"%d" % number
    server.close()
    os.write(sock.fileno(), b"gone")
    print(" ", polled(sock), ending, told(lambda: CALLS[ending](sock)), end="; ")
    sock.setblocking(False)
    print("then", told(lambda: sock.recv(1)) if ending[0] == "r" else told(lambda: sock.connect((HOST, PORT))))
one, other = datagram_socket(), datagram_socket()
one.bind((HOST, PORT))
other.bind((HOST, 0))
one.connect(other.getsockname())
other.connect((HOST, PORT))
for sock, peer in ((one, other), (other, one)):
    sock.send(b"to each other")
    polled(peer, select.POLLIN)
    print(" ", peer.recv(100))
one.close()
other.send(b"gone")
print(" ", polled(other), told(lambda: other.recv(10)))
own = datagram_socket()
own.bind((HOST, PORT))
own.connect((HOST, PORT))
own.send(b"to itself")
polled(own, select.POLLIN)
print(" ", own.recv(100))
own.close()

print("without a peer, and with another:")
other = datagram_socket()
other.bind((HOST, 0))
other.settimeout(20)
if FAMILY == socket.AF_INET:
    # Bound to a port of its own choice, it keeps that.
    sock = datagram_socket()
    sock.bind((HOST, free_port()))
    sock.connect((HOST, PORT))
    libc = ctypes.CDLL(None)
    print(" ", libc.connect(sock.fileno(), b"\0" * 16, 16), told(sock.getpeername), told(lambda: sock.send(b"x")))
    sock.settimeout(20)
    other.sendto(b"from anybody", sock.getsockname())
    print(" ", sock.recv(100))
    other.sendto(b"from anybody", sock.getsockname())
    came, sender = sock.recvfrom(100)
    print(" ", came, sender == other.getsockname())
sock.connect(other.getsockname())
sock.send(b"to another")
came, sender = other.recvfrom(100)
other.sendto(b"back", sender)
print(" ", came, sock.recv(100))

print("shut:")
sock = datagram_socket()
sock.connect((HOST, PORT))
sock.setblocking(True)
print(" ", told(lambda: sock.shutdown(socket.SHUT_WR)), told(lambda: sock.send(b"x")))
print(" ", told(lambda: sock.shutdown(socket.SHUT_RD)), told(lambda: sock.recv(10)), polled(sock, select.POLLIN))

print("a thread that waits meanwhile:")
sock = datagram_socket()
sock.bind((HOST, free_port()))
sock.setblocking(True)
waiting = threading.Thread(target=lambda: print(" ", sock.recv(100)))
waiting.start()
RECVFROM = "45"
while not open(f"/proc/self/task/{waiting.native_id}/syscall").read().startswith(RECVFROM + " "):
    pass
sock.connect((HOST, PORT))
server = datagram_socket()
server.bind((HOST, PORT))
server.sendto(b"for the thread", sock.getsockname())
waiting.join()
server.close()

print("another process and a copy:")
sock = datagram_socket()
copy = sock.dup()
sock.connect((HOST, PORT))
print(" ", told(copy.getpeername)[:2] == (HOST, PORT))
sock = datagram_socket()
sock.connect((HOST, PORT))
copy = sock.dup()
if (child := os.fork()) == 0:
    copy.send(b"x")
    polled(copy)
    os._exit(0)
print(" ", os.waitpid(child, 0)[1], polled(sock), told(lambda: copy.recv(10)), sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
