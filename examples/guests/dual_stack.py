#!/usr/bin/env python3
"""One IPv6 listener for both families, and IPV6_V6ONLY to have one for each on the same port."""
import signal
import socket

signal.alarm(100)
both = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
both.bind(("::", 0))
both.listen()
port = both.getsockname()[1]
for host in ("127.0.0.1", "::1"):
    client = socket.create_connection((host, port))
    connection, address = both.accept()
    print(host, "is seen as", address[0], "on", connection.getsockname()[0])
    connection.sendall(b"welcome")
    print(client.recv(7, socket.MSG_WAITALL))
blocked = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
try:
    blocked.bind(("0.0.0.0", port))
except OSError as error:
    print("the port is taken for IPv4, too:", error.strerror)
both.close()

only = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
only.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
only.bind(("::", 0))
only.listen()
port = only.getsockname()[1]
four = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
four.bind(("0.0.0.0", port))
four.listen()
for host, listener in (("127.0.0.1", four), ("::1", only)):
    client = socket.create_connection((host, port))
    print(host, "reaches its own listener from", listener.accept()[1][0])

datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
datagrams.bind(("::", 0))
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.sendto(b"mapped", ("127.0.0.1", datagrams.getsockname()[1]))
data, address = datagrams.recvfrom(100)
datagrams.sendto(data.upper(), address)
print("datagram from", address[0], "answered:", sender.recv(100))
