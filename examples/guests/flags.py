#!/usr/bin/env python3
"""Message flags and partial reads: peek, wait for all, out of band, more to come, scatter and gather. Argument: 4 or 6."""
import array
import fcntl
import select
import signal
import socket
import sys
import termios

signal.alarm(100)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]

listener = socket.socket(FAMILY, socket.SOCK_STREAM)
listener.bind((HOST, 0))
listener.listen()
client = socket.create_connection(listener.getsockname()[:2])
server, _ = listener.accept()

client.sendall(b"peekaboo")
print("waited for all:", server.recv(8, socket.MSG_WAITALL | socket.MSG_PEEK))
print("still there:", server.recv(4), server.recv(4))
try:
    server.recv(1, socket.MSG_DONTWAIT)
except BlockingIOError:
    print("nothing more")

client.send(b"one ", socket.MSG_MORE)
client.send(b"segment")
print("more to come:", server.recv(11, socket.MSG_WAITALL))

client.sendmsg([b"gath", b"er", b"ed"])
first, second = bytearray(4), bytearray(10)
select.select([server], [], [], 5)
length, _, flags, _ = server.recvmsg_into([first, second])
print("scattered:", bytes(first), bytes(second[: length - 4]), "flags", flags)

client.sendall(b"counted")
server.recv(7, socket.MSG_PEEK | socket.MSG_WAITALL)
waiting = array.array("i", [0])
fcntl.ioctl(server, termios.FIONREAD, waiting)
print("octets waiting:", waiting[0], server.recv(100))

client.send(b"!", socket.MSG_OOB)
_, _, urgent = select.select([], [], [server], 5)
print("urgent:", bool(urgent), server.recv(1, socket.MSG_OOB))

client.shutdown(socket.SHUT_WR)
poll = select.poll()
poll.register(server, select.POLLRDHUP)
poll.poll(5000)
poll.modify(server, select.POLLIN | select.POLLRDHUP)
events = poll.poll(5000)[0][1]
print("half-closed:", bool(events & select.POLLIN), bool(events & select.POLLRDHUP), bool(events & select.POLLHUP))
server.sendall(b"the other half lives")
print(client.recv(20, socket.MSG_WAITALL))
