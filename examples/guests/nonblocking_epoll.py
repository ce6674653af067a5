#!/usr/bin/env python3
"""The edge server's loop: two listening ports and many connections under one epoll, all non-blocking.

Argument: 4 or 6."""
import errno
import select
import signal
import socket
import sys

signal.alarm(100)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]


def listener():
    sock = socket.socket(FAMILY, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((HOST, 0))
    sock.listen(1024)
    sock.setblocking(False)
    return sock


http, https = listener(), listener()
epoll = select.epoll()
for sock in (http, https):
    epoll.register(sock.fileno(), select.EPOLLIN)

try:
    http.accept()
except BlockingIOError as error:
    print("accept with nobody there:", error.strerror)
print("events with nobody there:", epoll.poll(0))

clients = []
for number in range(20):
    client = socket.socket(FAMILY, socket.SOCK_STREAM)
    client.setblocking(False)
    result = client.connect_ex((http if number % 2 else https).getsockname())
    assert result in (0, errno.EINPROGRESS), errno.errorcode[result]
    clients.append(client)

for client in clients:
    _, writable, _ = select.select([], [client], [], 5)
    assert writable and client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
print("twenty connects completed")
try:
    clients[0].recv(10)
except BlockingIOError as error:
    print("recv before the answer:", error.strerror)
for number, client in enumerate(clients):
    client.send(b"request %d" % number)

connections, served = {}, 0
while served < len(clients):
    for fd, event in epoll.poll(5):
        if fd in (http.fileno(), https.fileno()):
            port = http if fd == http.fileno() else https
            while True:
                try:
                    connection, _ = port.accept()
                except BlockingIOError:
                    break
                connection.setblocking(False)
                epoll.register(connection.fileno(), select.EPOLLIN | select.EPOLLET)
                connections[connection.fileno()] = connection
        elif event & select.EPOLLIN:
            connection = connections.pop(fd)
            connection.send(b"answer to " + connection.recv(1024))
            epoll.unregister(fd)
            connection.close()
            served += 1

for client in clients:
    client.setblocking(True)
answers = [client.recv(1024) for client in clients]
print("answers:", answers[0], "...", answers[-1])
print("each its own:", answers == [b"answer to request %d" % number for number in range(20)])
print("then the end:", {client.recv(1) for client in clients})
