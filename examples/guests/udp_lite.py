"""UDP-Lite (RFC 3828): a port space of its own, and a checksum that covers what the sender says."""

import signal
import socket
import sys

signal.alarm(100)

IPPROTO_UDPLITE = 136
SEND_CSCOV, RECV_CSCOV = 10, 11
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[sys.argv[1]]


def lite():
    try:
        return socket.socket(FAMILY, socket.SOCK_DGRAM, IPPROTO_UDPLITE)
    except OSError as error:
        print("this kernel has no UDP-Lite:", error)
        sys.exit(77)


server, client = lite(), lite()
server.bind((HOST, 0))
server.settimeout(5)
address = server.getsockname()
print("protocol", server.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL))

# The same port of UDP is free.
other = socket.socket(FAMILY, socket.SOCK_DGRAM)
other.bind(address)
other.setblocking(False)

for cover in (None, 0, 3, 8, 20, 70000):
    if cover is not None:
        client.setsockopt(IPPROTO_UDPLITE, SEND_CSCOV, cover)
    client.sendto(b"some octets, twenty-eight", address)
    print(cover, client.getsockopt(IPPROTO_UDPLITE, SEND_CSCOV), server.recv(100))

# What is not covered as far as the receiver demands does not arrive.
server.setsockopt(IPPROTO_UDPLITE, RECV_CSCOV, 16)
for cover in (8, 16, 0):
    client.setsockopt(IPPROTO_UDPLITE, SEND_CSCOV, cover)
    client.sendto(b"covered %d" % cover + b"." * 30, address)
client.sendto(b"last", address)
while (octets := server.recv(100)) != b"last":
    print(octets)

try:
    other.recv(100)
except BlockingIOError:
    print("nothing came by UDP")
try:
    other.setsockopt(socket.IPPROTO_UDP, SEND_CSCOV, 8)
except OSError as error:
    print("on UDP:", error.strerror)
try:
    lite().bind(address)
except OSError as error:
    print("again:", error.strerror)

# Nobody there: ICMP finds its way back.
server.close()
client.connect(address)
client.settimeout(5)
client.send(b"x")
try:
    client.recvmsg(10)
except OSError as error:
    print("closed:", error.strerror)
