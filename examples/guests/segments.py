"""Many datagrams at once: UDP_SEGMENT on the way out, as an option and as control data, UDP_GRO on the way in."""

import errno
import signal
import socket
import struct
import sys

signal.alarm(100)

V6 = sys.argv[1] == "6"
FAMILY, HOST = (socket.AF_INET6, "::1") if V6 else (socket.AF_INET, "127.0.0.1")
SEGMENT, GRO = 103, 104


def attempt(function, *arguments):
    try:
        return function(*arguments)
    except socket.timeout:
        return "nothing"
    except OSError as error:
        return errno.errorcode.get(error.errno, error.errno)


def pair():
    receiver, sender = (socket.socket(FAMILY, socket.SOCK_DGRAM) for _ in range(2))
    receiver.bind((HOST, 0))
    receiver.settimeout(0.3)
    sender.connect(receiver.getsockname())
    return receiver, sender


def received(it, flags=0):
    """Lengths and what is said of them, until nothing comes."""
    shown = []
    while True:
        got = attempt(it.recvmsg, 70000, 200, flags)
        if isinstance(got, str):
            return shown + [got]
        octets, control, _, _ = got
        shown.append((len(octets), octets[:1], [(level, kind, data.hex()) for level, kind, data in control]))


def filled(*lengths):
    return b"".join(bytes([65 + number]) * length for number, length in enumerate(lengths))


for gro in (0, 1):
    receiver, sender = pair()
    receiver.setsockopt(17, GRO, gro)
    print("UDP_GRO", gro, receiver.getsockopt(17, GRO), receiver.getsockopt(17, SEGMENT))
    print("plain", sender.send(filled(100)), received(receiver))
    sender.setsockopt(17, SEGMENT, 100)
    print("by option", sender.send(filled(100, 100, 100, 7)), received(receiver))
    print("one only", sender.send(filled(100)), received(receiver))
    print("less than one", sender.send(filled(9)), received(receiver))
    other = [(17, SEGMENT, struct.pack("=H", 30))]
    print("by control data", sender.sendmsg([filled(30, 30, 1)], other), received(receiver))
    print("none by control data", sender.sendmsg([filled(30, 300)], [(17, SEGMENT, struct.pack("=H", 0))]), received(receiver))
    print("with an address", attempt(sender.sendto, filled(100, 100), receiver.getsockname()), received(receiver))
    sender.send(filled(100, 50))
    print("peeked", len(attempt(receiver.recv, 1000, socket.MSG_PEEK)))
    print("cut", attempt(receiver.recvmsg, 60)[2], received(receiver))
    print("native", sender.send(filled(100, 20)), [len(attempt(receiver.recv, 1000)), *received(receiver)])

receiver, sender = pair()
sender.setsockopt(17, SEGMENT, 10)
for length in (1280, 1281, 65507 if not V6 else 65487, 65536):
    print("as many as", length, attempt(sender.sendmsg, [bytes(length)]))
received(receiver)
for value in (-1, 0, 65535, 65536):
    print("set", value, attempt(sender.setsockopt, 17, SEGMENT, value), sender.getsockopt(17, SEGMENT))
print("too short", attempt(sender.sendmsg, [b"x"], [(17, SEGMENT, b"")]))
print("too large", attempt(sender.sendmsg, [bytes(60000)], [(17, SEGMENT, struct.pack("=H", 59000))]))
stream = socket.socket(FAMILY)
print("a stream", attempt(stream.setsockopt, 17, SEGMENT, 5), attempt(stream.getsockopt, 17, GRO))
