#!/usr/bin/env python3
"""The first TCP example: a server process greets a client process. Argument: 4 (default) or 6."""
import os
import signal
import socket
import sys

signal.alarm(100)  # it ends by itself, whatever happens
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]

server = socket.socket(FAMILY, socket.SOCK_STREAM)
server.bind((HOST, 0))
server.listen()

if os.fork() == 0:
    port = server.getsockname()[1]
    server.close()
    client = socket.socket(FAMILY, socket.SOCK_STREAM)
    client.connect((HOST, port))
    message = client.recv(1024)
    print("client received:", message.decode(), flush=True)
    print("client sees the end:", client.recv(1024), flush=True)
    client.close()
    os._exit(3)

connection, address = server.accept()
print("server accepted a client from", address[0], flush=True)
print("both ends agree:", connection.getsockname()[1] == server.getsockname()[1], flush=True)
connection.send("Salut client !".encode())
connection.close()
_, status = os.wait()
print("client exited with", os.waitstatus_to_exitcode(status))
