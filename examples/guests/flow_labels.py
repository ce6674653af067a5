"""Flow labels of IPv6 (RFC 6437): leases of them (IPV6_FLOWLABEL_MGR), what is sent with one, and what the receiver is told."""

import ctypes
import errno
import os
import signal
import socket
import struct
import sys
import threading

signal.alarm(60)

FAMILY, HOST = (socket.AF_INET6, "::1") if sys.argv[1] == "6" else (socket.AF_INET, "127.0.0.1")
V6, INFO, MANAGER, SEND, AUTO = 41, 11, 32, 33, 70
GET, PUT, RENEW = range(3)
CREATE, EXCLUSIVE, REFLECT, REMOTE = 1, 2, 4, 8
EXCL, PROCESS, USER, ANY = 1, 2, 3, 255
libc = ctypes.CDLL(None, use_errno=True)


def attempt(function, *arguments):
    try:
        return function(*arguments)
    except socket.timeout:
        return "nothing"
    except OSError as error:
        return errno.errorcode.get(error.errno, error.errno)


def fresh():
    """Nobody else's: what others leased lingers for a while, natively in the name space that all runs share."""
    return int.from_bytes(os.urandom(3), "big") & 0xFFFFF or 1


def request(action, label=0, share=0, flags=0, expires=0, linger=0, to="fd00::1"):
    target = socket.inet_pton(socket.AF_INET6, to)
    return target + struct.pack("!I", label) + struct.pack("=BBHHHI", action, share, flags, expires, linger, 0)


def manage(it, *what, **more):
    return attempt(it.setsockopt, V6, MANAGER, request(*what, **more))


def held(it, flags=0, action=GET, room=32):
    """What getsockopt(2) tells, which it is asked with flags that lie in its buffer."""
    buffer = ctypes.create_string_buffer(request(action, flags=flags), 64)
    size = ctypes.c_uint(room)
    if libc.getsockopt(it.fileno(), V6, MANAGER, buffer, ctypes.byref(size)):
        return errno.errorcode[ctypes.get_errno()]
    return size.value, buffer.raw[: size.value]


def parts(told, *known):
    if isinstance(told, str):
        return told
    size, octets = told
    label = int.from_bytes(octets[16:20], "big")
    _, share, _, expires, linger, _ = struct.unpack("=BBHHHI", octets[20:32])
    name = next((f"label {at}" for at, have in enumerate(known) if have == label), "no label" if label == 0 else "another")
    return size, name, octets[:16].hex(), share, expires, linger


def datagrams():
    return [socket.socket(FAMILY, socket.SOCK_DGRAM) for _ in range(2)]


def in_child(function):
    child = os.fork()
    if child == 0:
        print("in a child:", function(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)


def in_thread(function):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(function()))
    thread.start()
    thread.join()
    return answers


def row_of(label):
    rows = (line.split() for line in open("/proc/net/ip6_flowlabel"))
    return next(row for row in rows if row[0] == f"{label:05X}")


one, two = datagrams()
print("asks", manage(one, GET, 1), manage(one, PUT, 1), manage(one, RENEW, 1), manage(one, 3, 1), held(one), held(one, room=31))
sys.stdout.flush()
if FAMILY == socket.AF_INET:
    sys.exit(0)

# Leases.
print("short", attempt(one.setsockopt, V6, MANAGER, request(GET, 1)[:31]), attempt(one.setsockopt, V6, MANAGER, b""))
print("too large", manage(one, GET, 0x1FFFFF, ANY, CREATE), manage(one, GET, 0x100000, ANY, CREATE))
print("to whom", [manage(one, GET, fresh(), ANY, CREATE, to=to) for to in ("::", "::ffff:127.0.0.1", "ff02::1", "::1")])
print("shares", [manage(one, GET, fresh(), share, CREATE) for share in (0, 4, 254, EXCL, PROCESS, USER, ANY)])
label = fresh()
print("nobody's", manage(one, GET, label, ANY), manage(one, GET, label, ANY, EXCLUSIVE), manage(one, PUT, label))
print("made", manage(one, GET, label, ANY, CREATE), manage(one, GET, label, ANY), manage(one, GET, label, ANY, CREATE))
print("not twice", manage(one, GET, label, ANY, CREATE | EXCLUSIVE), manage(one, GET, label, ANY, EXCLUSIVE))
print("another's", manage(two, GET, label, ANY), manage(two, GET, label, ANY, EXCLUSIVE), manage(two, GET, label, USER))
print("put", [manage(one, PUT, label) for _ in range(4)], [manage(two, PUT, label) for _ in range(2)])
print("lingers", manage(two, GET, label, USER, CREATE), manage(two, GET, label, ANY), manage(two, PUT, label))
mine = fresh()
print("exclusive", manage(one, GET, mine, EXCL, CREATE), [manage(it, GET, mine, share) for it in (one, two) for share in (EXCL, ANY, USER)])
for share in (USER, PROCESS):
    shared = fresh()
    print("shared", share, manage(one, GET, shared, share, CREATE), manage(one, GET, shared, share), manage(two, GET, shared, share))
    print("by others", manage(two, GET, shared, ANY), manage(two, GET, shared, EXCL), manage(two, GET, shared, EXCL, EXCLUSIVE))
    in_child(lambda: (manage(one, GET, shared, share), manage(one, PUT, shared)))
    print("in a thread", in_thread(lambda: (manage(one, GET, shared, share), manage(one, PUT, shared))))
    theirs = fresh()
    print("a thread's", in_thread(lambda: (manage(one, GET, theirs, share, CREATE), int(row_of(theirs)[2]) == threading.get_native_id())))
    print("by its process", manage(one, GET, theirs, share), manage(one, PUT, theirs))
print("renewed", manage(one, RENEW, fresh(), EXCL), manage(one, RENEW, mine, EXCL, linger=26), manage(two, RENEW, mine, EXCL))
picked = ctypes.create_string_buffer(request(GET, 0, ANY, CREATE), 32)
done = libc.setsockopt(one.fileno(), V6, MANAGER, picked, 32)
number = int.from_bytes(picked.raw[16:20], "big")
print("picked", done, 0 < number < 1 << 20, picked.raw[:16].hex(), manage(one, PUT, number))
print("reflects", manage(one, GET, 0, flags=REFLECT), manage(one, PUT, 0, flags=REFLECT), parts(held(one, REMOTE)))
print("what is behind it", attempt(one.setsockopt, V6, MANAGER, request(GET, fresh(), ANY, CREATE) + bytes(3)), attempt(one.setsockopt, V6, MANAGER, request(GET, fresh(), ANY, CREATE) + struct.pack("=QII", 20, V6, 1) + bytes(8)))
print("asked", held(one), held(one, action=PUT), held(one, room=31), attempt(one.getsockopt, V6, MANAGER, 32))


# What is sent with one.
def told(it):
    got = attempt(it.recvmsg, 10, 100)
    if isinstance(got, str):
        return got
    octets, control, _, source = got
    info = [int.from_bytes(data, "big") for level, kind, data in control if (level, kind) == (V6, INFO)]
    names = {0: "none", mine: "mine", label: "label", odd: "odd"}
    return octets, [(hex(one >> 20), names.get(one & 0xFFFFF, "of its own")) for one in info], source[2]


def flow(number, top=0):
    return [(V6, INFO, struct.pack("!I", top << 20 | number))]


odd = fresh()
one.close()
two.close()
receiver, sender = datagrams()
receiver.bind((HOST, 0))
receiver.settimeout(2)
receiver.setsockopt(V6, INFO, 1)
to = receiver.getsockname()[:2]
mine = fresh()
print("an own one", manage(sender, GET, mine, EXCL, CREATE))
print("option", sender.getsockopt(V6, SEND), sender.getsockopt(V6, AUTO), receiver.getsockopt(V6, INFO))
for name, control, address in (
    ("plain", [], (*to, mine)),
    ("control data", flow(mine), to),
    ("with a class", flow(mine, 0xB8), to),
    ("with a version", flow(mine, 0x600), to),
    ("not ours", flow(odd), to),
    ("none", flow(0), to),
    ("short", [(V6, INFO, b"\0\0\0")], to),
    ("long", [(V6, INFO, struct.pack("!I", mine) + bytes(4))], to),
    ("with options", flow(mine) + [(V6, 67, struct.pack("i", 0x88))], to),
):
    sent = attempt(sender.sendmsg, [b"x"], control, 0, address)
    print(name, sent, told(receiver) if sent == 1 else None)
sender.setsockopt(V6, SEND, 1)
for name, control, address in (
    ("by its name", [], (*to, mine)),
    ("a name not ours", [], (*to, odd)),
    ("both", flow(0), (*to, mine)),
    ("both with a version", flow(mine, 0x600), (*to, mine)),
    ("no label", [], (*to, 0)),
):
    sent = attempt(sender.sendmsg, [b"x"], control, 0, address)
    print(name, sent, told(receiver) if sent == 1 else None)
print("connected", attempt(sender.connect, (*to, odd)), attempt(sender.getpeername), attempt(sender.connect, (*to, mine)))
print("its peer", hex(sender.getpeername()[2] & ~mine), sender.getpeername()[2] & mine == mine)
for name, send in (
    ("send", lambda: sender.send(b"x")),
    ("sendmsg", lambda: sender.sendmsg([b"x"])),
    ("sendto", lambda: sender.sendto(b"x", to)),
    ("sendto with it", lambda: sender.sendto(b"x", (*to, mine))),
    ("control data", lambda: sender.sendmsg([b"x"], flow(0))),
):
    print(name, attempt(send), told(receiver))
print("held", parts(held(sender), mine)[1:4])
sender.setsockopt(V6, SEND, 0)
print("not shown", sender.getpeername()[2], attempt(sender.send, b"x"), told(receiver))
print("put", manage(sender, PUT, mine), attempt(sender.send, b"x"), told(receiver), held(sender))
sender.setsockopt(V6, AUTO, 0)
print("off", sender.getsockopt(V6, AUTO), attempt(sender.send, b"x"), told(receiver))
sender.setsockopt(V6, 67, 0xB8)
print("off, with a class", attempt(sender.send, b"x"), told(receiver))
sender.setsockopt(V6, AUTO, 1)
print("on", attempt(sender.send, b"x"), told(receiver))


def raw_label():
    sender.send(b"x")
    _, control, _, _ = receiver.recvmsg(10, 100)
    return control


print("stays", raw_label() == raw_label())
mine = fresh()

# Streams.
with socket.create_server((HOST, 0), family=FAMILY) as listener:
    to = listener.getsockname()[:2]
    for asks, number in ((0, 0), (1, 0), (1, mine), (0, mine), (1, odd)):
        client = socket.socket(FAMILY)
        client.setsockopt(V6, SEND, asks)
        leased = manage(client, GET, mine, ANY, CREATE) if number == mine else None
        print("connect", asks, leased, attempt(client.connect, (*to, number)), end=" ")
        if attempt(client.getpeername) == "ENOTCONN":
            print("not connected")
            continue
        server, source = listener.accept()
        print("shown", [hex(name[2] & ~mine) for name in (client.getpeername(), client.getsockname(), server.getpeername(), source)], end=" ")
        print("theirs", [parts(held(it, REMOTE), 0, mine)[1] for it in (client, server)], parts(held(client), mine)[1:4])
        print("octets", client.send(b"hello"), server.recv(10), server.send(b"back"), client.recv(10))
        if leased is None and number:
            print("put", manage(client, PUT, mine))
        print("reflects", manage(client, GET, flags=REFLECT), manage(client, PUT, flags=REFLECT))
        client.close()
        server.close()

    with socket.socket(FAMILY) as client:
        client.bind((HOST, 0))
        client.connect(to)
        server, _ = listener.accept()
        print("bound first", [parts(held(it, REMOTE))[1] for it in (client, server)])
        server.close()

# Echo requests of ping sockets are in ping.py's hands; what is listed.
rows = [line.split() for line in open("/proc/net/ip6_flowlabel")]
print("listed", rows[0])
keeper = socket.socket(FAMILY, socket.SOCK_DGRAM)
listed = fresh()
print("leased", manage(keeper, GET, listed, USER, CREATE, linger=20, expires=100), manage(keeper, GET, listed, USER, linger=30))
row = next(line.rstrip("\n") for line in open("/proc/net/ip6_flowlabel") if line.startswith(f"{listed:05X}"))
print([ "label", *row.split()[1:2], int(row.split()[2]) == os.geteuid(), *row.split()[3:5], int(row.split()[5]) in (98, 99, 100), *row.split()[6:]], len(row))
print("too long", manage(keeper, GET, fresh(), ANY, CREATE, linger=151) in ("EPERM", None), manage(keeper, RENEW, listed, linger=20))
