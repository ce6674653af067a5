#!/usr/bin/env python3
"""Packet sockets on lo: what they see of datagrams and of a connection, what they say of themselves and of errors, a ring that is
mapped, and frames that they send.

Argument: 4 or 6."""
import array
import ctypes
import errno
import fcntl
import mmap
import os
import select
import signal
import socket
import struct
import sys

signal.alarm(100)
FAMILY, HOST, PROTOCOL = {
    "4": (socket.AF_INET, "127.0.0.1", 0x0800),
    "6": (socket.AF_INET6, "::1", 0x86DD),
}[(sys.argv[1:] or ["4"])[0]]
ETHERNET, IP = 14, 20 if FAMILY == socket.AF_INET else 40
ALL = 3
SOL_PACKET = 263
ADD_MEMBERSHIP, DROP_MEMBERSHIP, RX_RING, STATISTICS, AUXDATA, VERSION, HDRLEN, IGNORE_OUTGOING = 1, 2, 5, 6, 8, 10, 11, 23
SO_TIMESTAMPNS, SO_ATTACH_FILTER = 35, 26
LOAD_HALF, LOAD_BYTE, EQUAL, RETURN = 0x28, 0x30, 0x15, 0x06


def packet(kind, protocol):
    return socket.socket(socket.AF_PACKET, kind, socket.htons(protocol))


def name_of(number):
    return errno.errorcode[number]


def tried(work):
    try:
        return work()
    except OSError as error:
        return name_of(error.errno) if error.errno else type(error).__name__


def hear_only(sock, port, network):
    """Nobody else's packets: the machine's loopback is everybody's. `network` is where the IP header begins."""
    at = network + IP
    program = [(LOAD_HALF, 0, 0, at), (EQUAL, 2, 0, port), (LOAD_HALF, 0, 0, at + 2), (EQUAL, 0, 1, port)]
    program += [(RETURN, 0, 0, 262144), (RETURN, 0, 0, 0)]
    lines = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(lines)))


def waiting(sock):
    return bool(select.select([sock], [], [], 10)[0])


def heard(sock, network):
    octets, (device, protocol, kind, hardware, address) = sock.recvfrom(70000)
    link = octets[:network]
    return device, hex(protocol), kind, hardware, address, link.hex(), octets[network + IP + 8:]


def statistics(sock):
    return struct.unpack("II", sock.getsockopt(SOL_PACKET, STATISTICS, 8))


try:
    raw = packet(socket.SOCK_RAW, ALL)
except PermissionError:
    sys.exit(77)
lo = socket.if_nametoindex("lo")
udp = socket.socket(FAMILY, socket.SOCK_DGRAM)
udp.bind((HOST, 0))
port = udp.getsockname()[1]

print("name:", raw.getsockname(), raw.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE), raw.proto, raw.family.name)
print("domain:", raw.getsockopt(socket.SOL_SOCKET, 39), "protocol:", hex(raw.getsockopt(socket.SOL_SOCKET, 38)))
hear_only(raw, port, ETHERNET)
raw.bind(("lo", ALL))
print("bound:", raw.getsockname())
print("peer:", tried(raw.getpeername), "listens:", tried(lambda: raw.listen(1)), "connects:", tried(lambda: raw.connect(("lo", 0))))

print("-- a datagram, of each of which lo has two ends")
cooked = packet(socket.SOCK_DGRAM, PROTOCOL)
hear_only(cooked, port, 0)
late = packet(socket.SOCK_DGRAM, 0)
statistics(raw), statistics(cooked)
udp.sendto(b"question", (HOST, port))
print("raw:", heard(raw, ETHERNET), heard(raw, ETHERNET))
print("cooked:", heard(cooked, 0))
print("more:", [tried(lambda: sock.recv(1, socket.MSG_DONTWAIT)) for sock in (raw, cooked, late)])
print("counted:", statistics(raw), statistics(cooked), "and then:", statistics(raw))
udp.recv(100)

print("-- what is asked for")
for option, value in ((AUXDATA, 1), (IGNORE_OUTGOING, 1)):
    raw.setsockopt(SOL_PACKET, option, value)
    print(option, raw.getsockopt(SOL_PACKET, option))
raw.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
print("room:", raw.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
everything = struct.pack("iHH8s", lo, 1, 0, b"")
print("promiscuous:", raw.setsockopt(SOL_PACKET, ADD_MEMBERSHIP, everything), raw.setsockopt(SOL_PACKET, DROP_MEMBERSHIP, everything))
print("unknown link:", tried(lambda: raw.setsockopt(SOL_PACKET, ADD_MEMBERSHIP, struct.pack("iHH8s", 4711, 1, 0, b""))))
print("unknown option:", tried(lambda: raw.setsockopt(SOL_PACKET, 99, 1)), tried(lambda: raw.getsockopt(SOL_PACKET, 99)))
udp.sendto(b"x" * 100, (HOST, port))
print("polls:", waiting(raw))
count = array.array("i", [0])
fcntl.ioctl(raw, 0x541B, count)
print("waits:", count[0])
octets, ancillary, flags, address = raw.recvmsg(50, 200)
auxdata = next(data for level, kind, data in ancillary if (level, kind) == (SOL_PACKET, AUXDATA))
print("told:", len(octets), flags == socket.MSG_TRUNC, struct.unpack("IIIHHHH", auxdata)[1:5], address)
print("stamped:", any((level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS) for level, kind, _ in ancillary))
udp.sendto(b"x" * 100, (HOST, port))
waiting(raw)
print("cut:", len(raw.recv(10)))
answer = fcntl.ioctl(raw, 0x8927, struct.pack("16s16x", b"lo"))
print("hardware:", struct.unpack("H", answer[16:18]), answer[18:24].hex())
for request in (0x8915, 0x891B):  # SIOCGIFADDR, SIOCGIFNETMASK, which are handed on to IPv4.
    answer = fcntl.ioctl(raw, request, struct.pack("16s24x", b"lo"))
    print(f"{request:x}:", answer[16:24].hex())

print("-- a ring")
lengths = [ctypes.c_int(version) for version in (0, 1, 2, 3)]
libc = ctypes.CDLL(None, use_errno=True)
asked = [libc.getsockopt(raw.fileno(), SOL_PACKET, HDRLEN, ctypes.byref(length), ctypes.byref(ctypes.c_uint(4))) for length in lengths]
print("headers:", asked, [length.value for length in lengths])
ring = packet(socket.SOCK_RAW, 0)
ring.setsockopt(SOL_PACKET, VERSION, 1)
ring.setsockopt(SOL_PACKET, RX_RING, struct.pack("IIII", 4096, 2, 2048, 4))
mapped = mmap.mmap(ring.fileno(), 2 * 4096)
hear_only(ring, port, ETHERNET)
ring.bind(("lo", ALL))
udp.sendto(b"mapped", (HOST, port))
print("polls:", waiting(ring))
for frame in (0, 2048):
    status, length, _, at = struct.unpack_from("IIIH", mapped, frame)
    print("frame:", status & 1, length, mapped[frame + at:frame + at + length][-6:])
mapped.close()
ring.close()

print("-- a connection that is made now, to a listener that was there")
listener = socket.create_server((HOST, 0), family=FAMILY)
served = listener.getsockname()[1]
watcher = packet(socket.SOCK_DGRAM, PROTOCOL)
hear_only(watcher, served, 0)
with socket.create_connection((HOST, served), timeout=60) as client:
    accepted = listener.accept()[0]
    client.sendall(b"heard")
    accepted.recv(100)
    flags, seen = [], b""
    while seen != b"heard":
        segment = watcher.recv(2000)[IP:]
        flags.append(segment[13] & 0x17)
        seen = segment[(segment[12] >> 4) * 4:]
    print("flags:", flags)
watcher.close()

print("-- what is sent")


def summed(octets):
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def datagram(payload):
    """A packet from somewhere on the loopback to our socket, without a sum where there may be none."""
    own = socket.inet_pton(FAMILY, HOST)
    header = struct.pack("!HHH", 9, port, 8 + len(payload))
    if FAMILY == socket.AF_INET:
        first = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(payload), 7, 0, 64, 17, 0) + own + own
        first = first[:10] + struct.pack("!H", summed(first)) + first[12:]
        return first + header + b"\0\0" + payload
    padded = payload + b"\0" * (len(payload) % 2)
    sum_of_all = summed(own + own + struct.pack("!II", 8 + len(payload), 17) + header + b"\0\0" + padded)
    return struct.pack("!IHBB", 0x60000000, 8 + len(payload), 17, 64) + own + own + header + struct.pack("!H", sum_of_all) + payload


for _ in range(3):
    udp.recv(2000)
ether = bytes(12) + struct.pack("!H", PROTOCOL)
watcher = packet(socket.SOCK_DGRAM, PROTOCOL)
hear_only(watcher, port, 0)
watcher.settimeout(30)
print("raw:", raw.send(ether + datagram(b"by name")), heard(watcher, 0))
print("cooked:", cooked.sendto(datagram(b"by number"), ("lo", PROTOCOL, 0, 0, bytes(6))), heard(watcher, 0))
print("message:", raw.sendmsg([ether, datagram(b"in pieces")]), heard(watcher, 0))
# Of IPv4 nobody hears what comes in from an address of one's own: what is sent behind it comes first.
udp.settimeout(30)
print("arrived:", [udp.recv(2000) for _ in range(3 if FAMILY == socket.AF_INET6 else 0)])
udp.sendto(b"behind them", (HOST, port))
print("and then:", udp.recv(2000))
print("no link:", tried(lambda: cooked.send(datagram(b"nowhere"))))
address = ctypes.create_string_buffer(struct.pack("HHi12x", socket.AF_PACKET, 0, 4711))
sent = libc.sendto(raw.fileno(), ether, len(ether), 0, address, 20), name_of(ctypes.get_errno())
print("unknown link:", sent, tried(lambda: raw.bind(("nolink0", ALL))))
print("too long:", tried(lambda: raw.send(bytes(70000))))
print("too short:", tried(lambda: raw.send(b"\0" * 5)), tried(lambda: raw.send(b"")))

print("-- who may not")
print("types:", [tried(lambda: packet(kind, ALL)) for kind in (socket.SOCK_STREAM, 4, 5, 11)])
row = next(line.split() for line in open("/proc/net/packet") if line.split()[-1] == str(os.fstat(raw.fileno()).st_ino))
print("listed:", row[2:6])
# What `ss -0` asks: `struct packet_diag_req`, of lists, and what is wrong with it.
for question, flags in ((struct.pack("=BBHIIQ", socket.AF_PACKET, 0, 0, 0, 1, 2**64 - 1), 0x301),
                        (struct.pack("=BBHIIQ", socket.AF_PACKET, 3, 0, 0, 1, 2**64 - 1), 0x301),
                        (struct.pack("=BBHIIQ", socket.AF_PACKET, 0, 0, 0, 1, 2**64 - 1), 1), (bytes([socket.AF_PACKET]) + bytes(11), 0x301)):
    diag = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)
    diag.send(struct.pack("=IHHII", 16 + len(question), 20, flags, 7, 0) + question)
    rows, octets = {}, diag.recv(1 << 16)
    while struct.unpack_from("=H", octets, 4)[0] == 20:
        length = struct.unpack_from("=I", octets)[0]
        rows[struct.unpack_from("=I", octets, 20)[0]] = octets[16:20], octets[32:length]
        octets = octets[length:] or diag.recv(1 << 16)
    of_ours = [rows.get(os.fstat(one.fileno()).st_ino) for one in (raw, cooked)]
    print("sock_diag:", len(rows), of_ours, -struct.unpack_from("=i", octets, 16)[0])
sys.stdout.flush()
if os.fork() == 0:
    os.setgroups([])
    os.setresuid(65534, 65534, 65534)
    print("nobody:", [tried(lambda: packet(kind, ALL)) for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM, socket.SOCK_STREAM)], flush=True)
    os._exit(0)
os.wait()
