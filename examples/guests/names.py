#!/usr/bin/env python3
"""Names: localhost, numbers, services, and one that does not exist."""
import signal
import socket

signal.alarm(100)
print("localhost:", socket.gethostbyname("localhost"))
server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
server.bind(("localhost", 0))
server.listen()
client = socket.create_connection(("localhost", server.getsockname()[1]))
print("bound and reached by name:", client.getpeername()[0], server.accept()[1] == client.getsockname())
print("number:", socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)[0][4])
print("IPv6 number:", socket.getaddrinfo("::1", 80, type=socket.SOCK_STREAM)[0][4])
try:
    socket.getaddrinfo("::1", 80, family=socket.AF_INET)
except socket.gaierror as error:
    print("an IPv6 number for IPv4:", error.strerror)
try:
    socket.create_connection(("no-such-host.invalid", 80), timeout=20)
except socket.gaierror as error:
    print("a name that does not exist:", error.strerror)
