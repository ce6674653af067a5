#!/usr/bin/env python3
"""UDP without connect: sendto and recvfrom, an acknowledging server. Argument: 4 or 6."""
import signal
import socket
import sys
import threading

signal.alarm(100)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]

server = socket.socket(FAMILY, socket.SOCK_DGRAM)
server.bind((HOST, 0))
where = server.getsockname()


def serve():
    while True:
        data, sender = server.recvfrom(65535)
        server.sendto(b"ACK %d %s" % (len(data), data[:12]), sender)
        if data == b"end":
            return


thread = threading.Thread(target=serve)
thread.start()

client = socket.socket(FAMILY, socket.SOCK_DGRAM)
client.settimeout(5)
for data in (b"Hello serveur UDP", b"", b"x" * 1472, b"y" * 9000, b"end"):
    print("sent", client.sendto(data, where), end=" ")
    response, source = client.recvfrom(1024)
    print("received", response, "from the server:", source == where)
thread.join()

# A datagram larger than the buffer is cut, and the rest of it is gone.
client.sendto(b"0123456789", where)
print("cut to:", server.recv(4))
client.sendto(b"next", where)
print("then:", server.recv(100))

try:
    client.sendto(b"z" * 70000, where)
except OSError as error:
    print("too long:", error.strerror)

server.setblocking(False)
try:
    server.recvfrom(1024)
except BlockingIOError as error:
    print("nothing there:", error.strerror)
