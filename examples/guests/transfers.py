"""Transfers of megabytes: whole and in order whichever way they go, beside pauses, urgent octets, ends and programs that look on."""

import array
import fcntl
import hashlib
import os
import random
import select
import signal
import socket
import struct
import sys
import tempfile
import threading

signal.alarm(60)
FAMILY = socket.AF_INET6 if sys.argv[1:] == ["6"] else socket.AF_INET
HOST = "::1" if FAMILY == socket.AF_INET6 else "127.0.0.1"
NOISE = random.Random(7).randbytes(3 << 20)
MIB = 1 << 20
SIOCATMARK = 0x8905


def pair():
    with socket.create_server((HOST, 0), family=FAMILY) as listener:
        client = socket.create_connection(listener.getsockname()[:2])
        server, _ = listener.accept()
    return client, server


def pieces(total, seed):
    """The noise in pieces of many sizes, most of them large, of `total` octets together."""
    sizes = random.Random(seed)
    while total:
        size = min(total, sizes.choice([1, 700, 5000, 65536, 262144, 262144, MIB, MIB, len(NOISE)]))
        start = sizes.randrange(len(NOISE) - size + 1)
        yield memoryview(NOISE)[start:start + size]
        total -= size


def send(to, total, seed, blocks=True):
    told = hashlib.sha256()
    for piece in pieces(total, seed):
        told.update(piece)
        while piece:
            try:
                piece = piece[to.send(piece, 0 if blocks else socket.MSG_DONTWAIT):]
            except BlockingIOError:
                select.select([], [to], [])
    return told.hexdigest()


def receive(by, total, largest=MIB, flags=0):
    told, left = hashlib.sha256(), total
    while left:
        octets = by.recv(min(left, largest), flags)
        if not octets:
            break
        told.update(octets)
        left -= len(octets)
    return told.hexdigest() if not left else f"{left} octets are missing"


def aside(work):
    """Runs `work` in a thread; what it gives is there once that was joined."""
    given = []
    thread = threading.Thread(target=lambda: given.append(work()))
    thread.start()
    return lambda: (thread.join(), given[0])[1]


def there(total, seed, largest=MIB, blocks=True, flags=0):
    client, server = pair()
    with client, server:
        sent = aside(lambda: send(client, total, seed, blocks))
        received = receive(server, total, largest, flags)
        return sent() == received


print("in large pieces", there(24 * MIB, 1))
print("read in small pieces", there(6 * MIB, 2, largest=3000))
print("written without waiting", there(24 * MIB, 3, blocks=False))
print("read with MSG_WAITALL", there(24 * MIB, 4, flags=socket.MSG_WAITALL))

client, server = pair()
with client, server:
    ways = [
        aside(lambda: send(client, 16 * MIB, 5)),
        aside(lambda: send(server, 20 * MIB, 6)),
        aside(lambda: receive(client, 20 * MIB)),
    ]
    received = receive(server, 16 * MIB)
    forth, back, taken = [way() for way in ways]
    print("both ways at once", forth == received, back == taken)

client, server = pair()
with client, server:
    sent = aside(lambda: (send(client, 12 * MIB, 7), client.sendall(b"tail"), client.shutdown(socket.SHUT_WR))[0])
    print("then the end", receive(server, 12 * MIB) == sent(), server.recv(100), server.recv(100))

# What was looked at with MSG_PEEK comes again.
client, server = pair()
with client, server:
    sent = aside(lambda: send(client, 8 * MIB, 8))
    told, left, same = hashlib.sha256(), 8 * MIB, True
    while left:
        seen = server.recv(min(left, 100_000), socket.MSG_PEEK)
        octets = server.recv(min(left, 200_000))
        same = same and octets.startswith(seen)
        told.update(octets)
        left -= len(octets)
    print("peeked at", same, told.hexdigest() == sent())

# A program that does not read for a while finds everything, and the sender has gone on as far as TCP's buffers let it.
client, server = pair()
with client, server:
    sent = aside(lambda: send(client, 10 * MIB, 9))
    same = receive(server, 10 * MIB) == sent()
    print("one mebibyte that nobody reads", send(client, MIB, 10) == receive(server, MIB), same)

# Ended while all buffers are full, and while the sender's has become smaller than what lies in it.
for smaller in (False, True):
    client, server = pair()
    with client, server:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        client.setblocking(False)
        told, filled = hashlib.sha256(), 0
        while select.select([], [client], [], 0.3)[1]:
            piece = NOISE[:client.send(NOISE)]
            told.update(piece)
            filled += len(piece)
        if smaller:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
        client.shutdown(socket.SHUT_WR)
        print("full when it ends", receive(server, filled) == told.hexdigest(), server.recv(1))

# The mark stays where it was, and the octets before it and behind it are all there.
client, server = pair()
with client, server:
    server.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    marked = threading.Event()

    def with_mark():
        before = send(client, 4 * MIB, 11)
        client.send(b"!", socket.MSG_OOB)
        marked.set()
        return before, send(client, 4 * MIB, 12)

    sent = aside(with_mark)
    first = receive(server, 3 * MIB)
    marked.wait()
    before, at_mark = 3 * MIB, array.array("i", [0])
    while not fcntl.ioctl(server, SIOCATMARK, at_mark) and not at_mark[0]:
        before += len(server.recv(65536))
    print("urgent", before == 4 * MIB, server.recv(1), receive(server, 4 * MIB) == sent()[1])

# Right behind a large piece and before another, again and again: the mark is not passed by whoever takes much at once.
def with_mark_between(size):
    client, server = pair()
    with client, server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)

        def at_once():
            for piece in [NOISE[:MIB], NOISE[:size]]:
                client.sendall(piece)
            client.send(b"!", socket.MSG_OOB)
            client.sendall(NOISE[:size])
            client.shutdown(socket.SHUT_WR)

        sending = aside(at_once)
        all_of_it = bytearray()
        while octets := server.recv(MIB):
            all_of_it += octets
        sending()
        return all_of_it == NOISE[:MIB] + NOISE[:size] + b"!" + NOISE[:size]


print("urgent between large pieces", all(with_mark_between(size) for size in [40_000, 70_000, 100_000, 200_000] * 20))

# Many of them, one behind the other before the first was read, and while there is no room: none is lost.
client, server = pair()
with client, server:
    server.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)

    def with_marks():
        told = hashlib.sha256()
        for number, piece in enumerate(pieces(12 * MIB, 15)):
            client.sendall(piece)
            told.update(piece)
            for _ in range(number % 3):
                client.send(b"!", socket.MSG_OOB)
                told.update(b"!")
        client.shutdown(socket.SHUT_WR)
        return told.hexdigest()

    sent = aside(with_marks)
    told = hashlib.sha256()
    while octets := server.recv(MIB):
        told.update(octets)
    print("many urgent", told.hexdigest() == sent())

# Who waits to receive a message, with room for its name and control data, is woken although somebody else sends on the same socket.
client, server = pair()
with client, server:
    waits = aside(lambda: client.recvmsg(100, 100)[0])
    for _ in range(20):
        client.sendall(b"other way")
    receive(server, 180)
    server.sendall(b"answer")
    print("who waits while others send", waits())

# From a file and to a pipe without the program's memory.
with tempfile.TemporaryFile() as file:
    file.write(NOISE * 3)
    client, server = pair()
    with client, server:
        def from_file():
            done = 0
            while done < 3 * len(NOISE):
                done += os.sendfile(client.fileno(), file.fileno(), done, 3 * len(NOISE) - done)
            client.shutdown(socket.SHUT_WR)

        sending = aside(from_file)
        out, into = os.pipe()
        told = hashlib.sha256()
        while moved := os.splice(server.fileno(), into, 65536):
            while moved:
                octets = os.read(out, moved)
                told.update(octets)
                moved -= len(octets)
        sending()
        os.close(out)
        os.close(into)
        print("sendfile and splice", told.hexdigest() == hashlib.sha256(NOISE * 3).hexdigest())

# Who is gone with octets unread resets; who closes after writing does not lose them.
client, server = pair()
with client:
    sent = aside(lambda: send(client, 6 * MIB, 13))
    receive(server, 6 * MIB)
    sent()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()
    try:
        print("reset", client.recv(1))
    except OSError as error:
        print("reset", error.strerror)
client, server = pair()
with server:
    sent = aside(lambda: (send(client, 6 * MIB, 14), client.close())[0])
    print("closed behind its last octet", receive(server, 6 * MIB) == sent(), server.recv(1))
