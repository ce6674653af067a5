#!/usr/bin/env python3
"""What goes wrong, by its name: refused, timed out, in use, not connected, unknown. Argument: 4 or 6."""
import errno
import signal
import socket
import sys

signal.alarm(100)
SIX = (sys.argv[1:] or ["4"])[0] == "6"
FAMILY, HOST, ANY = (socket.AF_INET6, "::1", "::") if SIX else (socket.AF_INET, "127.0.0.1", "0.0.0.0")


def stream():
    return socket.socket(FAMILY, socket.SOCK_STREAM)


def attempt(what, action):
    try:
        result = action()
        print(f"{what}: no error" + ("" if result is None else f" ({result})"))
    except OSError as error:
        number = "" if error.errno is None else f" {errno.errorcode[error.errno]}"
        print(f"{what}: {type(error).__name__}{number}")


# A port that nobody listens on: bound, so that nobody can come.
closed = stream()
closed.bind((HOST, 0))
nobody = closed.getsockname()
attempt("connect to a closed port", lambda: stream().connect(nobody))
again = stream()
attempt("first try", lambda: again.connect(nobody))
attempt("second try on the same socket", lambda: again.connect(nobody))

# A listener whose queue is full and whom nobody serves: the handshake gets no answer.
busy = stream()
busy.bind((HOST, 0))
busy.listen(0)
first = stream()
first.connect(busy.getsockname())


def wait_for_nothing():
    waiting = [stream() for _ in range(4)]
    for sock in waiting:
        sock.settimeout(0.3)
        sock.connect(busy.getsockname())


attempt("connect with a time limit", wait_for_nothing)
first.settimeout(0.2)
attempt("recv with a time limit", lambda: first.recv(1))
attempt("non-blocking recv", lambda: (first.setblocking(False), first.recv(1)))

attempt("bind to a port in use", lambda: stream().bind(busy.getsockname()))
attempt("bind to a foreign address", lambda: stream().bind(("2001:db8::1" if SIX else "192.0.2.1", 0)))
bound = stream()
bound.bind((HOST, 0))
attempt("bind twice", lambda: bound.bind((HOST, 0)))
attempt("accept without listen", lambda: bound.accept())
attempt("send without connect", lambda: socket.socket(FAMILY, socket.SOCK_DGRAM).sendmsg([b"x"]))
attempt("getpeername without connect", lambda: stream().getpeername())
attempt("shutdown without connect", lambda: stream().shutdown(socket.SHUT_WR))
attempt("connect a connected socket", lambda: (first.setblocking(True), first.connect(busy.getsockname())))
attempt("listen on a connected socket", lambda: first.listen())
attempt("listen on a datagram socket", lambda: socket.socket(FAMILY, socket.SOCK_DGRAM).listen())
attempt("unknown protocol", lambda: socket.socket(FAMILY, socket.SOCK_STREAM, 99))
attempt("TCP on a datagram socket", lambda: socket.socket(FAMILY, socket.SOCK_DGRAM, socket.IPPROTO_TCP))

server = stream()
server.bind((ANY, 0))
server.listen()
client = stream()
client.connect((HOST, server.getsockname()[1]))
connection, _ = server.accept()
client.sendall(b"unread")
connection.recv(1)
connection.close()  # with data unread: a reset
attempt("recv after a reset", lambda: client.recv(1))
attempt("recv after that", lambda: client.recv(1))
attempt("send after that", lambda: client.send(b"x"))

closed.close()
attempt("use after close", lambda: closed.getsockname())
