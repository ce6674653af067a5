"""connect(2) with AF_UNSPEC: what is left of a stream that had a peer. Argument: 4 or 6."""

import ctypes
import errno
import fcntl
import os
import resource
import select
import signal
import socket
import sys

signal.alarm(60)
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]
PATIENCE = 10
RDHUP = 0x2000
WANTED = select.POLLIN | select.POLLPRI | select.POLLOUT | RDHUP
libc = ctypes.CDLL(None, use_errno=True)


def said(call, *arguments):
    try:
        return call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]


def named(events):
    return "|".join(name for name in ("IN", "PRI", "OUT", "ERR", "HUP", "RDHUP") if events & getattr(select, "POLL" + name))


def shown(it):
    poller = select.poll()
    poller.register(it, WANTED)
    return [named(events) for _, events in poller.poll(0)]


def let_go(it):
    return 0 if libc.connect(it.fileno(), bytes(16), 16) == 0 else errno.errorcode[ctypes.get_errno()]


def pair(congestion):
    listener = socket.create_server((HOST, 0), family=FAMILY)
    listener.settimeout(PATIENCE)
    client = socket.socket(FAMILY)
    client.settimeout(PATIENCE)
    if congestion:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")  # Its octets are never the kernel's under prise.
    client.connect(listener.getsockname())
    return listener, client, listener.accept()[0]


for congestion in (False, True):
    for how in ("nothing", "unread", "the peer's end", "asked for the error", "shut for writing", "a copy", "accepted"):
        listener, client, server = pair(congestion)
        it, peer = (server, client) if how == "accepted" else (client, server)
        it.setblocking(False)
        copy = it.dup() if how == "a copy" else None
        watch = select.epoll()
        watch.register(it, WANTED)
        if how == "unread":
            peer.send(b"hello")
            select.select([it], [], [], PATIENCE)
        elif how == "the peer's end":
            peer.shutdown(socket.SHUT_WR)
            select.select([it], [], [], PATIENCE)
        elif how == "shut for writing":
            it.shutdown(socket.SHUT_WR)
            peer.settimeout(PATIENCE)
            peer.recv(9)
        print(how, let_go(it), shown(it), [named(events) for _, events in watch.poll(0)], end=" ")
        if how == "asked for the error":
            print(errno.errorcode.get(it.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)), shown(it), end=" ")
        for call in (lambda: it.recv(9), lambda: it.recv(9), lambda: it.send(b"x"), it.getpeername):
            print(said(call), shown(it), end=" ")
        if copy:
            print("copy", shown(copy), said(copy.recv, 9), end=" ")
        peer.settimeout(PATIENCE)
        print("peer", said(peer.recv, 9), end=" ")
        # Once more, and something else.
        it.setblocking(True)
        print("again", said(it.connect, listener.getsockname()), shown(it), [named(events) for _, events in watch.poll(0)], end=" ")
        server, _ = listener.accept()
        print(server.send(b"octets"), it.recv(9), it.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    listener, client, server = pair(congestion)
    let_go(client)
    # It may listen.
    client.bind((HOST, 0))
    client.listen()
    with socket.create_connection(client.getsockname()[:2]) as visitor:
        print("listens", client.accept()[0].getpeername() == visitor.getsockname())
    # Its signals.
    listener, client, server = pair(congestion)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    fcntl.fcntl(client, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(client, fcntl.F_SETSIG, signal.SIGUSR1)
    fcntl.fcntl(client, fcntl.F_SETFL, fcntl.fcntl(client, fcntl.F_GETFL) | os.O_ASYNC)
    client.settimeout(None)
    let_go(client)
    print("owned", fcntl.fcntl(client, fcntl.F_GETOWN) == os.getpid(), fcntl.fcntl(client, fcntl.F_GETSIG) == signal.SIGUSR1, end=" ")
    client.connect(listener.getsockname())
    server, _ = listener.accept()
    while signal.sigtimedwait([signal.SIGUSR1], 0):
        pass
    server.send(b"octets")
    told = signal.sigtimedwait([signal.SIGUSR1], PATIENCE)
    print("told", told and told.si_signo == signal.SIGUSR1, bool(fcntl.fcntl(client, fcntl.F_GETFL) & os.O_ASYNC), client.recv(9))
    # Under a number that no new descriptor may have: it is done or it is not.
    listener, client, server = pair(congestion)
    client.settimeout(None)
    above = fcntl.fcntl(client, fcntl.F_DUPFD, 200)
    client.close()
    client = socket.socket(fileno=above)
    server.settimeout(PATIENCE)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, limits[1]))
    done = let_go(client) == 0
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    said(client.send, b"octets")
    print("done or not", done == (said(server.recv, 9) == "ECONNRESET"))
