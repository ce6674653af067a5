#!/usr/bin/env python3
"""Time stamps of datagrams (SO_TIMESTAMPING): of arrival with the datagram, of sending in the queue of errors; and the time at
which one is to leave (SO_TXTIME), with what else control data may say of one. And MSG_ZEROCOPY.

Argument: 4 or 6."""
import errno
import select
import signal
import socket
import struct
import sys
import time

signal.alarm(100)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]
SO_TIMESTAMPING, SO_TIMESTAMPING_NEW, SO_TXTIME = 37, 65, 61
TX_SOFTWARE, RX_SOFTWARE, SOFTWARE, OPT_ID, TX_SCHED, TSONLY = 1 << 1, 1 << 3, 1 << 4, 1 << 7, 1 << 8, 1 << 11
KINDS = {0: "left", 1: "queued"}


def told(call, *arguments):
    try:
        return call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]


def pair():
    receiver = socket.socket(FAMILY, socket.SOCK_DGRAM)
    receiver.bind((HOST, 0))
    return socket.socket(FAMILY, socket.SOCK_DGRAM), receiver


def is_now(data):
    seconds, nanos = struct.unpack_from("qq", data)
    return len(data) == 48 and abs(seconds + nanos / 1e9 - time.time()) < 100 and not any(data[16:])


def report(sock):
    """One message of the queue of errors: what is told, its number, what goes with it and how much of the packet."""
    poll = select.poll()
    poll.register(sock, 0)
    while not poll.poll(10_000):
        pass
    octets, control, flags, name = sock.recvmsg(4096, 512, socket.MSG_ERRQUEUE)
    kinds = []
    for level, kind, data in control:
        if level == socket.SOL_SOCKET:
            kinds.append((kind, is_now(data)))
        else:
            number, origin, what, code, _, info, data = struct.unpack_from("IBBBBII", data)
            kinds.append((level, kind, errno.errorcode[number], origin, what, code, KINDS[info], data))
    return kinds, len(octets), flags == socket.MSG_ERRQUEUE, name


print("flags:")
for bit in range(17):  # Those that later kernels know are left out here and below.
    for others in (0, TSONLY, OPT_ID):
        sock, other = pair()
        answer = told(sock.setsockopt, socket.SOL_SOCKET, SO_TIMESTAMPING, 1 << bit | others)
        print(bit, others, answer, sock.getsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING))

print("arrival:")
for name in (SO_TIMESTAMPING, SO_TIMESTAMPING_NEW):
    for flags in (SOFTWARE, RX_SOFTWARE, SOFTWARE | RX_SOFTWARE):
        sender, receiver = pair()
        receiver.setsockopt(socket.SOL_SOCKET, name, flags)
        control, wanted = [], flags == SOFTWARE | RX_SOFTWARE
        while True:
            sender.sendto(b"stamped", receiver.getsockname())
            octets, control, _, _ = receiver.recvmsg(100, 512)
            # The kernel begins to take stamps a moment after the first socket has asked for them.
            if control or not wanted:
                break
        # Without RX_SOFTWARE there is one if somebody else on this machine wants some.
        print(name, octets, [(kind, is_now(data)) for _, kind, data in control] if flags & RX_SOFTWARE else "")

print("sending:")
for flags in (TX_SOFTWARE | TSONLY, TX_SOFTWARE | SOFTWARE | TSONLY, TX_SOFTWARE | TX_SCHED | SOFTWARE | TSONLY | OPT_ID, TX_SOFTWARE | SOFTWARE | OPT_ID):
    sender, receiver = pair()
    sender.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, flags)
    for size in (1, 100):
        sender.sendto(b"x" * size, receiver.getsockname())
        print([report(sender) for kind in (TX_SOFTWARE, TX_SCHED) if flags & kind], told(sender.recvmsg, 1, 512, socket.MSG_ERRQUEUE))
    sender.connect(receiver.getsockname())
    sender.send(b"connected")
    print([report(sender) for kind in (TX_SOFTWARE, TX_SCHED) if flags & kind], [len(receiver.recv(1000)) for _ in range(3)])
    print("no error:", sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), sender.send(b"more"))

print("for one datagram:")
sender, receiver = pair()
sender.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, SOFTWARE | TSONLY | OPT_ID)
flags = struct.pack("I", TX_SOFTWARE)
for control in ([], [(SO_TIMESTAMPING, flags)], [(SO_TIMESTAMPING, flags)]):
    sent = sender.sendmsg([b"x"], [(socket.SOL_SOCKET, *it) for it in control], 0, receiver.getsockname())
    print(sent, report(sender) if control else told(sender.recvmsg, 1, 512, socket.MSG_ERRQUEUE))

print("control data:")
for timed in (False, True):
    sender, receiver = pair()
    if timed:
        print(told(sender.setsockopt, socket.SOL_SOCKET, SO_TXTIME, struct.pack("iI", time.CLOCK_MONOTONIC, 0)))
    long = struct.pack("Q", time.monotonic_ns() + 1000)
    for kind in (SO_TXTIME, SO_TIMESTAMPING, 13):
        for data in (long, long + long, b"\x00\x00", struct.pack("i", 1), struct.pack("i", 1 << 4)):
            print(kind, len(data), told(sender.sendmsg, [b"x"], [(socket.SOL_SOCKET, kind, data)], 0, receiver.getsockname()))
for length in (4, 8, 12):
    for clock, flags in ((time.CLOCK_MONOTONIC, 0), (time.CLOCK_MONOTONIC, 3), (time.CLOCK_MONOTONIC, 4)):
        sock, _ = pair()
        answer = told(sock.setsockopt, socket.SOL_SOCKET, SO_TXTIME, struct.pack("iIi", clock, flags, 0)[:length])
        print(length, clock, flags, answer, sock.getsockopt(socket.SOL_SOCKET, SO_TXTIME, 8).hex())

if FAMILY == socket.AF_INET:
    sock, other = pair()
    sock.connect(other.getsockname())
    print("what a packet can be at most:", sock.getsockopt(socket.IPPROTO_IP, 14))

print("copied:")
SO_ZEROCOPY, MSG_ZEROCOPY = 60, 0x4000000
for protocol in (0, 136):
    sender = socket.socket(FAMILY, socket.SOCK_DGRAM, protocol)
    print([told(sender.setsockopt, socket.SOL_SOCKET, SO_ZEROCOPY, value) for value in (-1, 0, 1, 2)], sender.getsockopt(socket.SOL_SOCKET, SO_ZEROCOPY))
sender, receiver = pair()
print("not asked for:", sender.sendto(b"x", MSG_ZEROCOPY, receiver.getsockname()), told(sender.recvmsg, 1, 512, socket.MSG_ERRQUEUE))
sender.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
for octets in (b"", b"x", b"y" * 5000):
    sent = sender.sendto(octets, MSG_ZEROCOPY, receiver.getsockname())
    print(sent, [(kind, data.hex()[:32]) for _, kind, data in sender.recvmsg(1, 512, socket.MSG_ERRQUEUE)[1]])
sender.connect(receiver.getsockname())
print(sender.send(b"z" * 100, MSG_ZEROCOPY), sender.send(b"z", MSG_ZEROCOPY))
octets, control, flags, name = sender.recvmsg(1, 512, socket.MSG_ERRQUEUE)
print(octets, [(level, kind, data.hex()[:32]) for level, kind, data in control], flags == socket.MSG_ERRQUEUE, name)
print(sender.send(b"copied"), told(sender.recvmsg, 1, 512, socket.MSG_ERRQUEUE), [len(receiver.recv(9000)) for _ in range(7)])
