#!/usr/bin/env python3
"""Connecting without waiting to a port at which nobody listens: which call tells, and what the next ones say.

Argument: 4 or 6."""
import errno
import select
import signal
import socket
import sys

signal.alarm(20)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]


def told(call):
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno]


def stream():
    sock = socket.socket(FAMILY, socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock


# A port that nobody listens at: bound, so that nobody can come.
closed = stream()
closed.bind((HOST, 0))
nobody = closed.getsockname()

CALLS = {
    "recv": lambda sock: sock.recv(1),
    "send": lambda sock: sock.send(b"x", socket.MSG_NOSIGNAL),
    "recvfrom": lambda sock: sock.recvfrom(1)[0],
    "recvmsg": lambda sock: sock.recvmsg(1)[0],
    "SO_ERROR": lambda sock: sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
    "connect": lambda sock: sock.connect(nobody),
    "getpeername": lambda sock: sock.getpeername(),
    "shutdown": lambda sock: sock.shutdown(socket.SHUT_RDWR),
}
for first in CALLS:
    sock = stream()
    epoll = select.epoll()
    epoll.register(sock.fileno(), select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
    epoll.poll(0)
    print(first, "begins:", told(lambda: sock.connect(nobody)))
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLOUT | select.POLLRDHUP)
    while not (shown := poll.poll(5000)) or not shown[0][1] & select.POLLHUP:
        pass
    print("  polls", hex(shown[0][1]), [hex(it[1]) for it in epoll.poll(5)])
    for second in (first, "recv", "send", "recv", "SO_ERROR"):
        print("  ", second, told(lambda: CALLS[second](sock)))

# The same socket finds who has come meanwhile, from its own port.
sock = stream()
sock.bind((HOST, 0))
print("refused:", told(lambda: sock.connect(nobody)), select.select([], [sock], [], 5)[1] == [sock], told(lambda: sock.recv(1)))
closed.listen()
print("again:", told(lambda: sock.connect(nobody)) is not None)
told(lambda: sock.connect(nobody))
print("connected:", select.select([], [sock], [], 5)[1] == [sock], sock.getpeername() == nobody)
closed.setblocking(True)
server, client = closed.accept()
print("from:", client == sock.getsockname())
server.send(b"hello")
sock.setblocking(True)
print(sock.recv(10))

# And who waits is told at once, and may try again.
waits = socket.socket(FAMILY, socket.SOCK_STREAM)
closed.close()
server.close()
print("waits:", told(lambda: waits.connect(nobody)), told(lambda: waits.connect(nobody)))
