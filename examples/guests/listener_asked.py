#!/usr/bin/env python3
"""Listeners that are read from: by whom did not look, and as SSLContext.wrap_socket does to learn that they are not connected
(getpeername, recv); and that they listen all the same afterwards, and are closed when their last descriptor is.

Argument: 4 or 6."""
import errno
import os
import select
import signal
import socket
import sys

signal.alarm(100)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]


def ask(sock):
    """Neither has a peer nor anything to read. An AF_UNIX stream says EINVAL where TCP says ENOTCONN; CPython takes both."""
    try:
        return sock.getpeername()
    except OSError as error:
        peer = error.errno
    sock.setblocking(False)
    try:
        sock.recv(1)
        received = 0
    except OSError as error:
        received = error.errno
    sock.setblocking(True)
    return errno.errorcode[peer], received in (errno.ENOTCONN, errno.EINVAL)


def read(sock):
    """A call that blocks: it fails at once, whether or not somebody waits."""
    try:
        return os.read(sock.fileno(), 1)
    except OSError as error:
        return error.errno in (errno.ENOTCONN, errno.EINVAL)


def connect(address):
    return socket.create_connection(address[:2], timeout=5)


listener = socket.socket(FAMILY, socket.SOCK_STREAM)
listener.bind((HOST, 0))
listener.listen(5)
address = listener.getsockname()
epoll = select.epoll()
epoll.register(listener.fileno(), select.EPOLLIN)
print("asked:", *ask(listener))
print("nothing waits:", epoll.poll(0))

clients = [connect(address) for _ in range(3)]
print("asked while three wait:", *ask(listener))
for number in range(3):
    print("waits:", bool(epoll.poll(5)))
    with listener.accept()[0] as server:
        server.sendall(b"number %d" % number)
    print("answer:", clients[number].recv(100))
print("nothing waits:", epoll.poll(0))

# Nobody asked these.
fresh = socket.socket(FAMILY, socket.SOCK_STREAM)
fresh.bind((HOST, 0))
fresh.listen()
edges = select.epoll()
edges.register(fresh.fileno(), select.EPOLLIN | select.EPOLLET)
print("read:", read(fresh), edges.poll(0))
clients = []
for number in range(3):
    clients.append(connect(fresh.getsockname()))
    print("an edge:", [it[1] for it in edges.poll(5)])
print("read while three wait:", read(fresh))
print("shut for writing and read:", fresh.shutdown(socket.SHUT_WR), read(fresh))
for client in clients:
    print("accepted in turn:", fresh.accept()[0].getpeername()[:2] == client.getsockname()[:2])
print("no edge:", edges.poll(0))

# A child has it, and its parent no more.
here, there = socket.socketpair()
address = fresh.getsockname()
child = os.fork()
if child == 0:
    there.recv(1)
    os._exit(0)
fresh.close()
print("a child's:", connect(address).getpeername()[:2] == address[:2])
here.send(b".")
os.waitpid(child, 0)
try:
    connect(address)
except OSError as error:
    print("the child is gone:", error.strerror)

address = listener.getsockname()
# Someone else has it too.
other = listener.dup()
print("the other asked:", *ask(other)[:1])
client = connect(address)
print("the first accepts:", listener.accept()[0].getpeername()[:2] == client.getsockname()[:2])
client = connect(address)
print("the other accepts:", other.accept()[0].getpeername()[:2] == client.getsockname()[:2])
other.close()

client = connect(address)
listener.close()
try:
    print("closed while one waits:", client.recv(1))
except OSError as error:
    print("closed while one waits:", error.strerror)
try:
    connect(address)
except OSError as error:
    print("closed:", error.strerror)

listener = socket.socket(FAMILY, socket.SOCK_STREAM)
listener.bind((HOST, 0))
listener.listen()
address = listener.getsockname()
print("asked:", *ask(listener))
listener.close()
try:
    connect(address)
except OSError as error:
    print("closed while nobody waits:", error.strerror)
again = socket.socket(FAMILY, socket.SOCK_STREAM)
again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
again.bind(address)
again.listen()
print("bound again, asked:", *ask(again))
again.shutdown(socket.SHUT_RDWR)
try:
    again.accept()
except OSError as error:
    print("shut down:", error.strerror)
