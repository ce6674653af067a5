#!/usr/bin/env python3
"""A server whose clients come from elsewhere: what accept, poll, names, backlog and close do to a listener and its sockets.

Usage: visited.py PORT [FAMILY]. A client sends what it wants to see: `name`, `options`, `reset`, `fork`, `end`.
"""

import os
import select
import signal
import socket
import struct
import sys

signal.alarm(100)
port, family = int(sys.argv[1]), socket.AF_INET6 if sys.argv[2:] == ["6"] else socket.AF_INET
here = "::" if family == socket.AF_INET6 else "0.0.0.0"
listener = socket.create_server((here, port), family=family, backlog=4)
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
print("ready", flush=True)


def options_of(end):
    numbers = (socket.IPPROTO_TCP, socket.TCP_NODELAY), (socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    return [end.getsockopt(*number) for number in numbers]


def serve(end, peer):
    while wish := end.recv(64).decode():
        if wish == "name":
            same = end.getpeername() == peer and end.getsockname()[1] == port
            answer = f"{same} {listener.getsockname()[1] == port}"
        elif wish == "options":
            # Only the supervisor sees that the descriptor does not wait, and whether it does is the program's to say.
            answer = f"{options_of(end)} {os.get_blocking(end.fileno())} {os.get_inheritable(end.fileno())}"
        elif wish == "fork":
            child = os.fork()
            if child == 0:
                end.sendall(b"child ")
                os._exit(0)
            os.waitpid(child, 0)
            answer = "parent"
        elif wish == "reset":
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return True
        elif wish == "end":
            end.sendall(b"ending")
            return False
        else:
            answer = wish
        end.sendall(answer.encode())
    return True


# First by waiting in accept, then by poll, then by edges, as servers do.
poller = select.epoll()
poller.register(listener, select.EPOLLIN | select.EPOLLET)
goes_on, turn = True, 0
while goes_on:
    if turn % 3 == 1:
        select.select([listener], [], [])
    elif turn % 3 == 2:
        listener.setblocking(False)
        while True:
            try:
                end, peer = listener.accept()
                break
            except BlockingIOError:
                poller.poll()
    if turn % 3 != 2:
        listener.setblocking(True)
        end, peer = listener.accept()
    end.setblocking(True)
    print("from", peer[0], flush=True)
    goes_on = serve(end, peer)
    end.close()
    turn += 1
try:
    listener.setblocking(False)
    listener.accept()
except BlockingIOError:
    print("nobody waits", flush=True)
listener.close()
