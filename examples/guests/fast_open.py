"""TCP Fast Open (RFC 7413): the calls, and what becomes of data where the server takes none with the SYN."""

import errno
import select
import signal
import socket
import sys

signal.alarm(100)

FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[sys.argv[1]]
MSG_FASTOPEN = 0x20000000
TCP_FASTOPEN, TCP_FASTOPEN_CONNECT, TCP_FASTOPEN_KEY, TCP_FASTOPEN_NO_COOKIE = 23, 30, 33, 34


def tcp():
    return socket.socket(FAMILY, socket.SOCK_STREAM)


def option(sock, number, value):
    sock.setsockopt(socket.IPPROTO_TCP, number, value)
    return sock.getsockopt(socket.IPPROTO_TCP, number)


def error(call, *args):
    try:
        return call(*args)
    except OSError as failure:
        return errno.errorcode[failure.errno]


listener = tcp()
listener.bind((HOST, 0))
print("queue", option(listener, TCP_FASTOPEN, 5))
print("key", error(listener.setsockopt, socket.IPPROTO_TCP, TCP_FASTOPEN_KEY, b"k" * 15))
print("key", error(listener.setsockopt, socket.IPPROTO_TCP, TCP_FASTOPEN_KEY, b"k" * 16))
listener.listen()
address = listener.getsockname()

# A call that connects and sends; it waits for the handshake.
client = tcp()
print("sent", client.sendto(b"hello", MSG_FASTOPEN, address))
server, _ = listener.accept()
print(server.recv(100))
server.sendall(b"welcome")
print(client.recv(100))
print("again", error(client.sendto, b"hello", MSG_FASTOPEN, address))

# More than a SYN can hold.
client, octets = tcp(), b"x" * 30000
left = octets[client.sendto(octets, MSG_FASTOPEN, address) :]
client.sendall(left)
client.shutdown(socket.SHUT_WR)
server, _ = listener.accept()
total = 0
while part := server.recv(65536):
    total += len(part)
print("in all", total)

# One message.
client = tcp()
print("sent", client.sendmsg([b"one", b"two"], [], MSG_FASTOPEN, address))
server, _ = listener.accept()
print(server.recv(100))

# Without waiting.
client = tcp()
client.setblocking(False)
print("at once", error(client.sendto, b"hello", MSG_FASTOPEN, address))
select.select([], [client], [], 5)
print("error", client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "sent", client.send(b"later"))
server, _ = listener.accept()
print(server.recv(100))

# A connect that may put it off.
client = tcp()
print("connect", option(client, TCP_FASTOPEN_CONNECT, 1), option(client, TCP_FASTOPEN_NO_COOKIE, 1))
print("connect", error(client.connect, address))
print("writable", bool(select.select([], [client], [], 0)[1]))
client.sendall(b"first")
server, _ = listener.accept()
print(server.recv(100))
server.sendall(b"second")
print(client.recv(100))

# Nobody there.
listener.close()
print("refused", error(tcp().sendto, b"hello", MSG_FASTOPEN, address))
