#!/usr/bin/env python3
"""A server that accepts as seldom seen: into little room, without a name, without descriptors, with many acceptors at once.

Usage: accepted.py PORT HOST FAMILY. Clients come from HOST; a line of their ports is read from standard input once they wait.
"""

import ctypes
import errno
import os
import resource
import signal
import socket
import struct
import sys
import threading

signal.alarm(100)
port, host, family = int(sys.argv[1]), sys.argv[2], sys.argv[3]
family = socket.AF_INET6 if family == "6" else socket.AF_INET
listener = socket.socket(family)
if family == socket.AF_INET6:
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
listener.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))
listener.listen(64)
libc = ctypes.CDLL(None, use_errno=True)
octets, room = ctypes.create_string_buffer(64), ctypes.c_uint32()


def name_of(number):
    """What the kernel writes of a client."""
    if family == socket.AF_INET:
        return struct.pack("=H", family) + struct.pack("!H", number) + socket.inet_aton(host) + bytes(8)
    address = socket.inet_pton(socket.AF_INET6, "::ffff:" + host)
    return struct.pack("=H", family) + struct.pack("!H", number) + bytes(4) + address + bytes(4)


def accept(flags=0):
    """accept4(2), with `room` as it stands."""
    octets.raw = b"\xaa" * 64
    fd = libc.accept4(listener.fileno(), octets, ctypes.byref(room), flags)
    return socket.socket(family, socket.SOCK_STREAM, 0, fd) if fd >= 0 else ctypes.get_errno()


def is_from(end, number):
    told = end.getpeername()
    return told[0].removeprefix("::ffff:") == host and told[1] == number and end.getsockname()[1] == port


print("ready", flush=True)
ports = [int(word) for word in sys.stdin.readline().split()]
first, told = listener.accept()
print("name", told == first.getpeername(), is_from(first, ports.pop(0)))
whole = len(name_of(0))
for little in 0, 1, 2, 4, 7, 8, 15, 16, 27, 28, 64:
    number = ports.pop(0)
    room.value = little
    end = accept(socket.SOCK_NONBLOCK if little == 8 else 0)
    told, expected = min(little, whole), name_of(number)
    print("room", little, octets.raw == expected[:told] + b"\xaa" * (64 - told), room.value == whole, is_from(end, number),
          os.get_blocking(end.fileno()) == (little != 8))
    end.close()
number = ports.pop(0)
fd = libc.accept(listener.fileno(), None, None)
print("no name", is_from(socket.socket(family, socket.SOCK_STREAM, 0, fd), number))
room.value = 64
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
lowest = os.dup(0)
resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
os.close(lowest)
while True:
    try:
        os.dup(0)
    except OSError:
        break
failed = [accept() for _ in range(2)]
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
number = ports.pop(0)
end = accept()
print("no descriptors", failed == [errno.EMFILE] * 2, octets.raw[:whole] == name_of(number), room.value == whole, is_from(end, number))
end.close()
near = socket.create_connection(("127.0.0.1", port))
fd = libc.accept(listener.fileno(), ctypes.c_void_p(8), ctypes.byref(room))
print("nowhere to write", fd, ctypes.get_errno() in (0, errno.EFAULT))
ports.pop(0)
listener.setblocking(False)
room.value = 16
ends = [accept() for _ in ports]
print("all", len(ends) > 2, all(is_from(end, number) for end, number in zip(ends, ports)))
end, peer = listener.accept()
print("near", peer == end.getpeername(), peer[0].removeprefix("::ffff:") == "127.0.0.1", peer[1] == near.getsockname()[1])
room.value = 5
print("nobody", accept() == errno.EAGAIN, room.value == 5)
for it in [near, end, *ends]:
    it.close()

listener.setblocking(True)
print("again", flush=True)
told, lock = [], threading.Lock()


def serve():
    while True:
        try:
            end, peer = listener.accept()
        except OSError:
            return
        with end:
            with lock:
                told.append((peer == end.getpeername(), peer[1]))
            end.sendall(end.recv(1))


threads = [threading.Thread(target=serve, daemon=True) for _ in range(4)]
for thread in threads:
    thread.start()
ports = [int(word) for word in sys.stdin.readline().split()]
listener.shutdown(socket.SHUT_RDWR)
for thread in threads:
    thread.join()
print("together", sorted(told) == sorted((True, number) for number in ports))
listener.close()


def binds():
    again = socket.socket(family)
    try:
        again.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))
    except OSError as error:
        return error.errno
    again.close()
    return 0


print("held", binds() == errno.EADDRINUSE, is_from(first, first.getpeername()[1]))
first.close()
print("left", binds() == errno.EADDRINUSE)
