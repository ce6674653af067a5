"""What is left of a stream whose other end, another process's, is closed: unread octets, one write, then EPIPE."""

import errno
import os
import select
import signal
import socket
import sys

signal.alarm(100)

V6 = sys.argv[1:] == ["6"]
FAMILY, HOST = (socket.AF_INET6, "::1") if V6 else (socket.AF_INET, "127.0.0.1")
NAMES = {select.POLLIN: "IN", select.POLLOUT: "OUT", select.POLLHUP: "HUP", select.POLLRDHUP: "RDHUP"}


def attempt(function, *arguments):
    try:
        return function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]


def readiness(stream, wanted):
    """What poll(2) says once `wanted` is part of it, POLLERR left out."""
    watch = select.poll()
    watch.register(stream, wanted)
    watch.poll(5000)
    watch.register(stream, select.POLLIN | select.POLLOUT | select.POLLRDHUP)
    said = watch.poll(0)[0][1]
    return [name for bit, name in NAMES.items() if said & bit]


def connected(there):
    """A stream whose other end is given to `there` in another process; each end once the one that listened."""
    for here_listens in (False, True):
        listener = socket.create_server((HOST, 0), family=FAMILY)
        ready, go = os.pipe()
        child = os.fork()
        if child == 0:
            if here_listens:
                stream = socket.create_connection(listener.getsockname()[:2])
            else:
                stream = listener.accept()[0]
            listener.close()
            os.close(ready)
            there(stream)
            os._exit(0)
        os.close(go)
        stream = listener.accept()[0] if here_listens else socket.create_connection(listener.getsockname()[:2])
        listener.close()
        yield stream, lambda: os.read(ready, 1), child
        os.waitpid(child, 0)
        os.close(ready)
        stream.close()


def says_and_closes(stream):
    stream.sendall(b"bye")
    stream.close()


def waits_for_its_end(stream):
    stream.sendall(b"bye")
    stream.recv(1)


def leaves_octets(stream):
    readiness(stream, select.POLLIN)
    stream.close()


def hears_no_more(stream):
    stream.shutdown(socket.SHUT_RD)
    stream.sendall(b"deaf")
    signal.pause()


for stream, closed, child in connected(says_and_closes):
    print("closed:", closed(), readiness(stream, select.POLLRDHUP))
    print("read:", attempt(stream.recv, 2), attempt(stream.recv, 2), attempt(stream.recv, 2))
    print("end:", readiness(stream, select.POLLRDHUP))
    print("first write:", attempt(stream.send, b"once"), readiness(stream, select.POLLHUP))
    print("then:", attempt(stream.send, b"again"), attempt(stream.recv, 2), attempt(stream.send, b"again"))

for stream, closed, child in connected(waits_for_its_end):
    stream.recv(3)
    os.kill(child, signal.SIGKILL)
    print("killed:", readiness(stream, select.POLLRDHUP), attempt(stream.send, b"once"), readiness(stream, select.POLLHUP), attempt(stream.send, b"again"))

for stream, closed, child in connected(leaves_octets):
    stream.sendall(b"never read")
    closed()
    print("unread:", readiness(stream, select.POLLHUP), attempt(stream.recv, 2), attempt(stream.recv, 2), attempt(stream.send, b"late"))

for stream, closed, child in connected(hears_no_more):
    print("deaf:", attempt(stream.recv, 4), attempt(stream.send, b"one"), attempt(stream.send, b"two"), readiness(stream, select.POLLOUT))
    os.kill(child, signal.SIGKILL)
