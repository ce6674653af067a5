"""Groups and the sources of them that a socket listens to (RFC 3678): IP_ADD_SOURCE_MEMBERSHIP, MCAST_MSFILTER and their like."""

import errno
import select
import signal
import socket
import struct
import sys

signal.alarm(100)

V6 = sys.argv[1] == "6"
FAMILY, LEVEL = (socket.AF_INET6, 41) if V6 else (socket.AF_INET, 0)
GROUP, OTHER = ("ff05::4321", "ff05::4322") if V6 else ("239.1.2.3", "239.1.2.4")
JOIN, BLOCK, UNBLOCK, LEAVE, JOIN_SOURCE, LEAVE_SOURCE, FILTER = 42, 43, 44, 45, 46, 47, 48
EXCLUDE, INCLUDE = 0, 1


# On lo, unless another interface is named: IPv6 has no way to groups there, so nothing is heard.
LINK = socket.if_nametoindex(sys.argv[2] if len(sys.argv) > 2 else "lo")
OWN, ELSE = (("::1", "fd00:2::99") if V6 else ("127.0.0.1", "127.0.0.99")) if len(sys.argv) < 3 else ("fd00:2::15", "fd00:2::99") if V6 else ("10.0.2.15", "10.0.2.99")


def attempt(function, *arguments):
    try:
        return function(*arguments)
    except socket.timeout:
        return "nothing"
    except OSError as error:
        return errno.errorcode.get(error.errno, error.errno)


def storage(address, family=FAMILY):
    octets = socket.inet_pton(FAMILY, address)
    start = struct.pack("=HHI", family, 0, 0) + octets if V6 else struct.pack("=HH", family, 0) + octets
    return start.ljust(128, b"\0")


def source_request(group, source, link=LINK, family=FAMILY):
    return struct.pack("=II", link, 0) + storage(group, family) + storage(source, family)


def filtered(group, mode, sources, link=LINK, count=None, family=FAMILY):
    head = struct.pack("=II", link, 0) + storage(group, family) + struct.pack("=Ii", mode, len(sources) if count is None else count)
    return head + b"".join(storage(one, family) for one in sources)


def show(what, value):
    print(f"{what}: {value}")


def new(kind=socket.SOCK_DGRAM, protocol=0):
    it = socket.socket(FAMILY, kind, protocol)
    it.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return it


def listing(it, group, room=4, link=LINK, family=FAMILY):
    """getsockopt(MCAST_MSFILTER): the buffer asks, and is answered in; Python's own getsockopt has no way to ask."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    asked = filtered(group, 7, [], link, count=room, family=family)
    buffer = ctypes.create_string_buffer(asked + bytes(128 * room))
    size = ctypes.c_uint32(144 + 128 * room)
    if libc.getsockopt(it.fileno(), LEVEL, FILTER, buffer, ctypes.byref(size)):
        return errno.errorcode[ctypes.get_errno()]
    mode, count = struct.unpack("=Ii", buffer.raw[136:144])
    at, width = (8, 16) if V6 else (4, 4)
    shown = [socket.inet_ntop(FAMILY, buffer.raw[144 + 128 * number + at:][:width]) for number in range(min(room, count))]
    return size.value, mode, count, shown


def heard(sender, receiver, group=GROUP):
    """Whether a datagram to the group arrives."""
    sent = attempt(sender.sendto, b"x", (group, receiver.getsockname()[1]))
    came = bool(select.select([receiver], [], [], 0.5)[0])
    if came:
        receiver.recv(10)
    return sent, came


sender = new()
sender.setsockopt(LEVEL, 17 if V6 else 32, struct.pack("=I", LINK) if V6 else socket.inet_pton(FAMILY, OWN))
sender.bind((OWN, 0))
listener = new()
listener.bind(("", 0))
name = LEVEL
for what, option, request in [
    ("blocking without joining", BLOCK, source_request(GROUP, OWN)),
    ("leaving a source without joining", LEAVE_SOURCE, source_request(GROUP, OWN)),
    ("no group", JOIN_SOURCE, source_request(OWN, OWN)),
    ("no such link", JOIN_SOURCE, source_request(GROUP, OWN, 77)),
    ("another family", JOIN_SOURCE, source_request(GROUP, OWN, family=99)),
    ("too short", JOIN_SOURCE, source_request(GROUP, OWN)[:263]),
    ("a filter without joining", FILTER, filtered(GROUP, EXCLUDE, [OWN])),
    ("a filter of an unknown mode", FILTER, filtered(GROUP, 2, [OWN])),
    ("a filter too long", FILTER, filtered(GROUP, INCLUDE, [OWN], count=2)),
    ("a filter with too many", FILTER, filtered(GROUP, INCLUDE, [OWN] * 65)),
    ("a filter of nothing", FILTER, filtered(GROUP, INCLUDE, [])),
    ("a filter of another family", FILTER, filtered(GROUP, INCLUDE, [OWN], family=99)),
]:
    show(what, attempt(listener.setsockopt, LEVEL, option, request))
show("not joined", listing(listener, GROUP))

show("another source", attempt(listener.setsockopt, LEVEL, JOIN_SOURCE, source_request(GROUP, ELSE)))
show("listed", listing(listener, GROUP))
show("heard", heard(sender, listener))
show("this source", attempt(listener.setsockopt, LEVEL, JOIN_SOURCE, source_request(GROUP, OWN)))
show("this source again", attempt(listener.setsockopt, LEVEL, JOIN_SOURCE, source_request(GROUP, OWN)))
show("listed", listing(listener, GROUP))
show("listed, room for one", listing(listener, GROUP, 1))
show("listed, another link", listing(listener, GROUP, link=0))
show("listed, another family", listing(listener, GROUP, family=99))
show("heard", heard(sender, listener))
show("blocking one while including", attempt(listener.setsockopt, LEVEL, BLOCK, source_request(GROUP, OWN)))
show("joining at large", attempt(listener.setsockopt, LEVEL, JOIN, struct.pack("=II", LINK, 0) + storage(GROUP)))
show("leaving it", attempt(listener.setsockopt, LEVEL, LEAVE_SOURCE, source_request(GROUP, OWN)))
show("heard", heard(sender, listener))
show("leaving the last", attempt(listener.setsockopt, LEVEL, LEAVE_SOURCE, source_request(GROUP, ELSE)))
show("listed", listing(listener, GROUP))

show("joining at large", attempt(listener.setsockopt, LEVEL, JOIN, struct.pack("=II", LINK, 0) + storage(OTHER)))
show("heard", heard(sender, listener, OTHER))
show("listed", listing(listener, OTHER))
show("unblocking what is not", attempt(listener.setsockopt, LEVEL, UNBLOCK, source_request(OTHER, OWN)))
show("blocking", attempt(listener.setsockopt, LEVEL, BLOCK, source_request(OTHER, OWN)))
show("heard", heard(sender, listener, OTHER))
show("listed", listing(listener, OTHER))
show("including while blocking", attempt(listener.setsockopt, LEVEL, JOIN_SOURCE, source_request(OTHER, OWN)))
show("unblocking", attempt(listener.setsockopt, LEVEL, UNBLOCK, source_request(OTHER, OWN)))
show("heard", heard(sender, listener, OTHER))
show("including after unblocking", attempt(listener.setsockopt, LEVEL, JOIN_SOURCE, source_request(OTHER, OWN)))
show("a whole filter", attempt(listener.setsockopt, LEVEL, FILTER, filtered(OTHER, INCLUDE, [ELSE, OWN])))
show("listed", listing(listener, OTHER))
show("heard", heard(sender, listener, OTHER))
show("none excluded", attempt(listener.setsockopt, LEVEL, FILTER, filtered(OTHER, EXCLUDE, [])))
show("listed", listing(listener, OTHER))
show("a mode changed", attempt(listener.setsockopt, LEVEL, JOIN_SOURCE, source_request(OTHER, ELSE)))
show("listed", listing(listener, OTHER))
show("heard", heard(sender, listener, OTHER))
show("none included", attempt(listener.setsockopt, LEVEL, FILTER, filtered(OTHER, INCLUDE, [])))
show("listed", listing(listener, OTHER))

many = new()
for number in range(70):
    done = attempt(many.setsockopt, LEVEL, JOIN_SOURCE, source_request(GROUP, f"fd00:2::1:{number}" if V6 else f"10.0.3.{number}"))
    if done:
        show("sources of one group", (number, done))
        break
many = new()
for number in range(30):
    done = attempt(many.setsockopt, LEVEL, JOIN, struct.pack("=II", LINK, 0) + storage(f"ff05::1:{number}" if V6 else f"239.2.0.{number}"))
    if done:
        break
show("groups", (number, done))

# Before there is a port; and of a stream.
early = new()
show("early", attempt(early.setsockopt, LEVEL, JOIN_SOURCE, source_request(GROUP, ELSE)))
early.bind(("", 0))
show("heard", heard(sender, early))
show("more", attempt(early.setsockopt, LEVEL, JOIN_SOURCE, source_request(GROUP, OWN)))
show("heard", heard(sender, early))
stream = new(socket.SOCK_STREAM)
show("a stream", attempt(stream.setsockopt, LEVEL, JOIN_SOURCE, source_request(GROUP, ELSE)))
show("a stream's list", listing(stream, GROUP))

# What nobody on the host wants does not reach those who want everything either.
everything = new()
everything.bind(("", 0))
show("heard without joining", heard(sender, everything))
show("blocked", attempt(early.setsockopt, LEVEL, LEAVE_SOURCE, source_request(GROUP, OWN)))
show("heard without joining", heard(sender, everything))

if not V6:
    def old(*addresses):
        return b"".join(socket.inet_pton(FAMILY, one) for one in addresses)

    it = new()
    it.bind(("", 0))
    for what, option, request in [
        ("add", 39, old(GROUP, OWN, OWN)),
        ("add again", 39, old(GROUP, OWN, OWN)),
        ("add by another address", 39, old(GROUP, "9.9.9.9", OWN)),
        ("add by no address", 39, old(GROUP, "0.0.0.0", ELSE)),
        ("add to no group", 39, old(OWN, OWN, OWN)),
        ("too long", 39, old(GROUP, OWN, OWN) + b"\0"),
        ("too short", 39, old(GROUP, OWN)),
        ("block", 38, old(GROUP, OWN, OWN)),
        ("drop", 40, old(GROUP, OWN, ELSE)),
        ("drop again", 40, old(GROUP, OWN, ELSE)),
        ("drop the last", 40, old(GROUP, OWN, OWN)),
        ("drop what is left", 40, old(GROUP, OWN, OWN)),
        ("join", 35, old(GROUP, OWN)),
        ("block", 38, old(GROUP, OWN, OWN)),
        ("unblock", 37, old(GROUP, OWN, OWN)),
        ("unblock again", 37, old(GROUP, OWN, OWN)),
        ("filter", 41, old(GROUP, OWN) + struct.pack("=II", INCLUDE, 2) + old(ELSE, OWN)),
        ("filter too short", 41, old(GROUP, OWN) + struct.pack("=II", INCLUDE, 2) + old(ELSE)),
        ("filter too long", 41, old(GROUP, OWN) + struct.pack("=II", INCLUDE, 11) + old(ELSE)),
        ("filter of 15 octets", 41, bytes(15)),
        ("filter of no group", 41, old(OWN, OWN) + struct.pack("=II", INCLUDE, 1) + old(ELSE)),
        ("filter of no mode", 41, old(GROUP, OWN) + struct.pack("=II", 5, 1) + old(ELSE)),
    ]:
        show(what, attempt(it.setsockopt, LEVEL, option, request))
    show("heard", heard(sender, it))
    show("listed", listing(it, GROUP))
