#!/usr/bin/env python3
"""A chat room on select: what one says, the others read, and who leaves is missed. Argument: 4 or 6."""
import select
import signal
import socket
import sys
import threading

signal.alarm(100)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]

room = socket.socket(FAMILY, socket.SOCK_STREAM)
room.bind((HOST, 0))
room.listen()


def chat():
    members = {}
    while True:
        readable, _, _ = select.select([room, *members], [], [], 10)
        for sock in readable:
            if sock is room:
                member, _ = room.accept()
                members[member] = member.recv(100).decode()
                member.send(b"%d here\n" % len(members))
                continue
            words = sock.recv(100).decode()
            name = members[sock]
            line = f"{name}: {words}\n" if words else f"{name} left\n"
            if not words:
                del members[sock]
                sock.close()
            for member in members:
                if member is not sock:
                    member.send(line.encode())
        if not members:
            return


thread = threading.Thread(target=chat)
thread.start()
people = {}
for name in ("Ada", "Bob", "Cid"):
    person = socket.create_connection(room.getsockname()[:2], timeout=5)
    person.send(name.encode())
    people[name] = person.makefile("r")
    people[name].sock = person
    print(name, "joins:", people[name].readline(), end="")
people["Ada"].sock.send(b"bonjour")
for name in ("Bob", "Cid"):
    print(name, "reads:", people[name].readline(), end="")
people["Ada"].sock.shutdown(socket.SHUT_RDWR)
for name in ("Bob", "Cid"):
    print(name, "reads:", people[name].readline(), end="")
for name in ("Bob", "Cid"):
    people[name].sock.shutdown(socket.SHUT_WR)
    print(name, "leaves and reads:", people[name].readline(), end="\n")
thread.join()
print("the room is empty")
