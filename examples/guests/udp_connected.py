#!/usr/bin/env python3
"""UDP with connect: send and recv, only the peer is heard, and a closed port is reported. Argument: 4 or 6."""
import signal
import socket
import sys

signal.alarm(100)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]

server = socket.socket(FAMILY, socket.SOCK_DGRAM)
server.bind((HOST, 0))
client = socket.socket(FAMILY, socket.SOCK_DGRAM)
client.settimeout(5)
client.connect(server.getsockname())
print("peer known:", client.getpeername() == server.getsockname())
print("address chosen:", client.getsockname()[0] == HOST)

client.send(b"Hello UDP")
data, sender = server.recvfrom(1024)
print("server received", data, "from the client:", sender == client.getsockname())

stranger = socket.socket(FAMILY, socket.SOCK_DGRAM)
stranger.sendto(b"not for you", client.getsockname())
server.sendto(b"ACK", sender)
print("client hears only its peer:", client.recv(1024))

server.close()
client.send(b"anyone?")
try:
    client.recvfrom(1024)
except ConnectionRefusedError as error:
    print("closed port:", error.strerror)
