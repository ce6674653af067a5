#!/usr/bin/env python3
"""Connections that leave: what connect, poll, options, dup, fork and close do to a socket whose peer is another machine.

Usage: outside.py HOST PORT FULL_PORT, where an echo server listens on PORT that resets who writes `reset`, and nobody has
room on FULL_PORT.
"""

import array
import ctypes
import errno
import fcntl
import os
import select
import signal
import socket
import struct
import sys
import termios

signal.alarm(100)
host, port, full = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
closed = 1


def name(error):
    return errno.errorcode.get(error, str(error))


def outcome(act, *arguments):
    try:
        result = act(*arguments)
        return "ok" if result is None else result
    except OSError as error:
        return name(error.errno)


def echoes(*ends):
    """Every descriptor of one connection speaks to the same echo server."""
    for end in ends:
        end.setblocking(True)
        end.sendall(b"hello")
        if end.recv(5, socket.MSG_WAITALL) != b"hello":
            return False
    return True


def new():
    return socket.socket(family, socket.SOCK_STREAM)


def connected():
    end = new()
    end.connect((host, port))
    return end


def plain():
    end = connected()
    peer, local = end.getpeername(), end.getsockname()
    print("plain:", echoes(end), peer[:2] == (host, port), local[1] > 0, local == end.getsockname())
    print("again:", outcome(end.connect, (host, port)), outcome(end.listen, 1), outcome(end.bind, local))
    end.shutdown(socket.SHUT_WR)
    print("half-close:", end.recv(1), outcome(end.send, b"x"))


def without_waiting():
    for when in ("before", "after", "never"):
        end = new()
        end.setblocking(False)
        poller = select.epoll()
        interest = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
        if when == "before":
            poller.register(end, interest)
            poller.poll(0)
        told = end.connect_ex((host, port))
        if when != "before":
            poller.register(end, interest)
        events = 0
        while when != "never" and not events & select.EPOLLOUT:
            events = poller.poll(5)[0][1]
        select.select([], [end], [], 5)
        error = end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        print("epoll", when, name(told), error, name(end.connect_ex((host, port))))
        end.sendall(b"x")
        events = 0
        while when != "never" and not events & select.EPOLLIN:
            events = poller.poll(5)[0][1]
        select.select([end], [], [], 5)
        print("told of the echo:", end.recv(1))
        print("peer:", end.getpeername()[:2] == (host, port), echoes(end))


def refused():
    end = new()
    print("refused:", outcome(end.connect, (host, closed)), outcome(end.connect, (host, closed)))
    print("no peer:", outcome(end.getpeername))
    end.connect((host, port))
    print("then:", echoes(end))
    end = new()
    end.setblocking(False)
    told = end.connect_ex((host, closed))
    poll = select.poll()
    poll.register(end, select.POLLIN | select.POLLOUT)
    events = poll.poll(5000)[0][1]
    print("refused later:", name(told), events & select.POLLERR != 0, events & select.POLLHUP != 0)
    errors = [end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for _ in range(2)]
    print("error once:", [name(error) for error in errors], name(end.connect_ex((host, port))))
    told = end.connect_ex((host, port))
    select.select([], [end], [], 5)
    print("and anew:", name(told), echoes(end))


def shared():
    end = new()
    copy = end.dup()
    end.connect((host, port))
    print("dup before:", echoes(end, copy), copy.getpeername() == end.getpeername())
    end = connected()
    copy = end.dup()
    end.close()
    print("dup after:", echoes(copy))
    end = new()
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        theirs.recv(1)
        os._exit(0 if echoes(end) else 1)
    end.connect((host, port))
    ours.send(b"x")
    print("fork before:", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), echoes(end))
    if os.fork() == 0:
        end.connect_ex((host, port))
        os._exit(0 if echoes(end) else 1)
    print("fork after:", os.waitstatus_to_exitcode(os.wait()[1]), echoes(end))
    socket.send_fds(ours, [b"x"], [end.fileno()])
    passed = socket.socket(fileno=socket.recv_fds(theirs, 1, 1)[1][0])
    end.close()
    print("passed on:", echoes(passed))


def options():
    tcp, level = socket.IPPROTO_TCP, socket.SOL_SOCKET
    end = new()
    end.setsockopt(tcp, socket.TCP_NODELAY, 1)
    end.setsockopt(level, socket.SO_KEEPALIVE, 1)
    end.setsockopt(tcp, socket.TCP_KEEPIDLE, 77)
    end.setsockopt(tcp, socket.TCP_USER_TIMEOUT, 5000)
    end.setsockopt(level, socket.SO_RCVTIMEO, struct.pack("ll", 0, 50_000))
    end.connect((host, port))
    numbers = (tcp, socket.TCP_NODELAY), (level, socket.SO_KEEPALIVE), (tcp, socket.TCP_KEEPIDLE)
    print("kept:", [end.getsockopt(*number) for number in numbers], end.getsockopt(tcp, socket.TCP_USER_TIMEOUT))
    print("timeout:", outcome(end.recv, 1))
    end.setsockopt(tcp, socket.TCP_KEEPIDLE, 78)
    end.setsockopt(tcp, socket.TCP_CORK, 1)
    end.setsockopt(tcp, socket.TCP_CORK, 0)
    end.setsockopt(level, socket.SO_LINGER, struct.pack("ii", 1, 3))
    linger = struct.unpack("ii", end.getsockopt(level, socket.SO_LINGER, 8))
    print("later:", end.getsockopt(tcp, socket.TCP_KEEPIDLE), linger, outcome(end.setsockopt, tcp, 999, 1))
    state = end.getsockopt(tcp, socket.TCP_INFO, 104)[0]
    print("state:", state, end.getsockopt(level, socket.SO_TYPE), end.getsockopt(level, socket.SO_DOMAIN) == family)
    print("cookie stays:", end.getsockopt(level, 57, 8) == end.getsockopt(level, 57, 8))
    end.setsockopt(level, socket.SO_RCVTIMEO, struct.pack("ll", 0, 0))
    end.sendmsg([b"ab", b"cd"])
    print("peek:", end.recv(4, socket.MSG_PEEK | socket.MSG_WAITALL), queued(end, termios.FIONREAD))
    print("message:", end.recvmsg(4)[0], queued(end, termios.FIONREAD))
    bound = new()
    bound.bind(("", 0))
    local = bound.getsockname()[1]
    bound.connect((host, port))
    print("bound:", bound.getsockname()[1] == local, echoes(bound))


def queued(end, request):
    count = array.array("i", [0])
    fcntl.ioctl(end, request, count)
    return count[0]


def endings():
    end = connected()
    end.sendall(b"reset")
    print("reset:", outcome(end.recv, 1), outcome(end.getpeername), outcome(end.connect, (host, port)))
    end = connected()
    chosen = (socket.TCP_NODELAY, 1), (socket.TCP_KEEPIDLE, 77), (socket.TCP_USER_TIMEOUT, 5000)
    for name, value in chosen:
        end.setsockopt(socket.IPPROTO_TCP, name, value)
    unspecified = struct.pack("=HHI8x", socket.AF_UNSPEC, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    print("disconnect:", libc.connect(end.fileno(), unspecified, 16), outcome(end.getpeername))
    kept = [end.getsockopt(socket.IPPROTO_TCP, name) for name, _ in chosen]
    print("anew:", kept, outcome(end.connect, (host, port)), echoes(end))
    print("kept:", [end.getsockopt(socket.IPPROTO_TCP, name) for name, _ in chosen])
    here = socket.create_server(("127.0.0.1", 0))
    near = new() if family == socket.AF_INET else socket.socket()
    near.connect(here.getsockname())
    peer, _ = here.accept()
    near.sendall(b"near")
    print("a listener and a peer at home:", peer.recv(4, socket.MSG_WAITALL))


class Interrupted(Exception):
    pass


def interrupt(*_):
    raise Interrupted


def patience():
    end = new()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 200_000))
    print("no room:", outcome(end.connect, (host, full)))
    end = new()
    signal.signal(signal.SIGUSR1, interrupt)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        select.select([], [], [], 0.3)
        os.kill(parent, signal.SIGUSR1)
        os._exit(0)
    try:
        print("interrupted:", outcome(end.connect, (host, full)))
    except Interrupted:
        print("interrupted: by the handler")
    os.waitpid(child, 0)
    end.setblocking(False)
    print("goes on:", name(end.connect_ex((host, full))))


for show in (plain, without_waiting, refused, shared, options, endings, patience):
    show()
    # A program's first connection and its later ones, whichever show is first.
    child = os.fork()
    if child == 0:
        show()
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)
