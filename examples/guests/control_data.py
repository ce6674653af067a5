"""What is said of datagrams beside their octets: cmsg(3) both ways, and the queue of errors (IP_RECVERR)."""

import errno
import select
import signal
import socket
import struct
import sys

signal.alarm(100)

V6 = sys.argv[1] == "6"
FAMILY, HOST = (socket.AF_INET6, "::1") if V6 else (socket.AF_INET, "127.0.0.1")
RECVERR, ERR = ((41, 25) if V6 else (0, 11)), ((41, 25) if V6 else (0, 11))


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
    receiver.settimeout(2)
    sender.settimeout(2)
    return receiver, sender, receiver.getsockname()[:2]


def shown(level, kind, data):
    if (level, kind) == ERR:
        number, origin, code, _, _, info, _ = struct.unpack("=IBBBBII", data[:16])
        offender = data[24:40] if data[16] == 10 else data[20:24]
        return ("error", errno.errorcode[number], origin, code, offender.hex() if data[16] else None)
    if level == socket.SOL_SOCKET:
        return ("time", kind, len(data))
    if (level, kind) in ((0, 20), (41, 74)):
        return (level, kind, data[:2].hex(), data[4:].hex())
    if (level, kind) == (41, 11):
        return (level, kind, hex(int.from_bytes(data, "big") >> 20))  # without the label, of which each host draws its own
    return (level, kind, data.hex())


def message(it, flags=0):
    got = attempt(it.recvmsg, 100, 400, flags)
    if isinstance(got, str):
        return got
    octets, control, flags, _ = got
    return octets, sorted(shown(*one) for one in control), flags


# Asked for, and told.
v4 = {"info": (0, 8), "ttl": (0, 12), "tos": (0, 13), "destination": (0, 20), "lost": (1, 40)}
v6 = {"info": (41, 49), "hops": (41, 51), "class": (41, 66), "flow": (41, 11), "destination": (41, 74), "info 2292": (41, 2), "hops 2292": (41, 8)}
for name, option in {**(v6 if V6 else v4), "stamp": (1, 29), "nanos": (1, 35), "new stamp": (1, 63), "new nanos": (1, 64)}.items():
    receiver, sender, address = pair()
    receiver.setsockopt(*option, 1)
    sender.setsockopt(*((41, 16) if V6 else (0, 2)), 33)
    sender.setsockopt(*((41, 67) if V6 else (0, 1)), 0x48)
    sender.sendto(b"told", address)
    print(name, message(receiver))

# Said for one datagram.
if V6:
    loopback = socket.inet_pton(FAMILY, HOST)
    said = [(41, 52, struct.pack("i", 7)), (41, 67, struct.pack("i", 0x20)), (41, 50, loopback + struct.pack("I", 1)),
            (41, 50, b"\x20\x01" + b"\0" * 14 + struct.pack("I", 0)), (41, 50, b"\0" * 16 + struct.pack("I", 9999)),
            (41, 52, struct.pack("i", 300)), (41, 99, b"1234")]
else:
    info = lambda index, address: struct.pack("=I4s4s", index, socket.inet_aton(address), b"\0" * 4)
    said = [(0, 2, struct.pack("i", 5)), (0, 1, struct.pack("i", 0x10)), (0, 8, info(1, "127.0.0.7")), (0, 8, info(9999, "0.0.0.0")),
            (0, 2, struct.pack("i", 0)), (0, 2, struct.pack("i", 256)), (0, 99, b"1234"), (17, 103, struct.pack("H", 3))]
for one in said:
    receiver, sender, address = pair()
    for option in ((41, 51), (41, 66)) if V6 else ((0, 12), (0, 13)):
        receiver.setsockopt(*option, 1)
    sent = attempt(sender.sendmsg, [b"said"], [one], 0, address)
    print(one[0], one[1], one[2].hex(), sent, message(receiver) if isinstance(sent, int) else "")

# Nobody there: the queue of errors, which poll(2) shows until it is empty.
receiver, sender, address = pair()
receiver.close()
sender.setsockopt(*RECVERR, 1)
sender.sendto(b"refused", address)
poll = select.poll()
poll.register(sender, select.POLLIN)
events = lambda: [event & (select.POLLERR | select.POLLIN) for _, event in poll.poll(2000)]
print("poll", events())
print("receive", message(sender))
print("poll", events())
print("queue", message(sender, socket.MSG_ERRQUEUE))
poll.modify(sender, 0)
print("poll", poll.poll(0))

# Twice without being asked for errors: an unconnected socket hears of none.
silent = socket.socket(FAMILY, socket.SOCK_DGRAM)
silent.settimeout(0.2)
print("unconnected", silent.sendto(b"x", address), attempt(silent.recvfrom, 10))

# More than a datagram holds: what the way carries is told, and to whom it went.
sender = socket.socket(FAMILY, socket.SOCK_DGRAM)
sender.setsockopt(*RECVERR, 1)
sent = attempt(sender.sendto, bytes(65528), (HOST, 9))
_, told, _, whom = sender.recvmsg(10, 400, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
print("too much", sent, whom, [struct.unpack("=IBBBBII", data[:16]) for _, _, data in told])
