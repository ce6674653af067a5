#!/usr/bin/env python3
"""Three processes accept on one inherited listener, as prefork servers do. Argument: 4 or 6."""
import os
import signal
import socket
import sys

signal.alarm(100)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]

listener = socket.socket(FAMILY, socket.SOCK_STREAM)
listener.bind((HOST, 0))
listener.listen(50)
where = listener.getsockname()[:2]
workers = []
for number in range(3):
    pid = os.fork()
    if pid == 0:
        signal.alarm(100)
        while True:
            connection, _ = listener.accept()
            request = connection.recv(100)
            connection.sendall(b"worker served " + request)
            connection.close()
    workers.append(pid)
listener.close()

answers = []
for number in range(30):
    with socket.create_connection(where, timeout=10) as client:
        client.sendall(b"request %d" % number)
        answers.append(client.makefile().read())
print("thirty requests served:", answers == [f"worker served request {number}" for number in range(30)])

for pid in workers:
    os.kill(pid, signal.SIGTERM)
print("workers ended by", {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in workers})
try:
    socket.create_connection(where)
except ConnectionRefusedError:
    print("with the last worker the port is closed")
os.kill(os.getpid(), signal.SIGTERM)
