#!/usr/bin/env python3
"""One connection between two processes: what each end sees of the other's writes, ends, resets and options. Argument: 4 or 6."""
import os
import select
import signal
import socket
import struct
import sys

signal.alarm(100)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]
ABORT = struct.pack("ii", 1, 0)
EVENTS = {"IN": select.POLLIN, "PRI": select.POLLPRI, "OUT": select.POLLOUT, "ERR": select.POLLERR, "HUP": select.POLLHUP,
          "RDHUP": select.POLLRDHUP}


class Gate:
    """Lets one process wait for the other."""

    def __init__(self):
        self.waiting, self.opening = os.pipe()

    def open(self):
        os.write(self.opening, b".")

    def wait(self):
        os.read(self.waiting, 1)


def attempt(act, *arguments):
    try:
        return act(*arguments)
    except OSError as error:
        return error.strerror


def shown(stream, wanted=0, seconds=5):
    """What poll(2) shows; it waits for `wanted`."""
    poll = select.poll()
    if wanted:
        poll.register(stream, wanted)
        poll.poll(seconds * 1000)
    poll.register(stream, select.POLLIN | select.POLLOUT | select.POLLPRI | select.POLLRDHUP)
    mask = sum(events for _, events in poll.poll(0))
    return "+".join(name for name, bit in EVENTS.items() if mask & bit)


def drained(stream):
    total = 0
    while octets := stream.recv(1 << 16):
        total += len(octets)
    return total


def case(name, client, server, prepare=lambda stream: None):
    """Runs `client` in a child and `server` here, on the two ends of a connection, and prints what they answer."""
    listener = socket.create_server((HOST, 0), family=FAMILY)
    gate, (answer, answering) = Gate(), os.pipe()
    child = os.fork()
    if child == 0:
        stream = socket.socket(FAMILY)
        prepare(stream)
        stream.connect(listener.getsockname())
        os.write(answering, repr(client(stream, gate)).encode())
        os._exit(0)
    os.close(answering)
    stream, peer = listener.accept()
    listener.close()
    answered = server(stream, gate)
    stream.close()
    with open(answer, "rb") as answers:
        told = answers.read().decode()
    os.waitpid(child, 0)
    print(f"{name}: client {told}, server {answered}", flush=True)


def exchange_client(stream, _):
    stream.sendall(b"hello")
    greeting, peer = stream.recv(100), stream.getpeername()[0]
    stream.shutdown(socket.SHUT_WR)
    return greeting, peer, stream.recv(10)


def exchange_server(stream, _):
    greeting = stream.recv(100)
    stream.sendall(greeting.upper())
    return greeting, stream.recv(10), shown(stream), stream.getsockname()[0]


case("exchange", exchange_client, exchange_server)


def bulk_client(stream, _):
    stream.sendall(bytes(3_000_000))
    stream.shutdown(socket.SHUT_WR)
    return drained(stream)


def bulk_server(stream, _):
    received = drained(stream)
    stream.sendall(bytes(2_000_000))
    return received


case("bulk", bulk_client, bulk_server)


def pipeline_client(stream, _):
    for _ in range(3000):
        stream.send(b"ping\n")
    stream.shutdown(socket.SHUT_WR)
    return drained(stream)


def pipeline_server(stream, _):
    return sum(stream.send(b"pong\n") for _ in stream.makefile("rb"))


case("pipeline", pipeline_client, pipeline_server)


def half_client(stream, gate):
    stream.shutdown(socket.SHUT_WR)
    gate.open()
    late = stream.recv(10), stream.recv(10)
    return late, shown(stream), attempt(stream.send, b"after")


def half_server(stream, gate):
    gate.wait()
    ended = shown(stream, select.POLLRDHUP), stream.recv(10)
    stream.sendall(b"late")
    stream.shutdown(socket.SHUT_WR)
    return ended


case("half-close", half_client, half_server)


def unread_client(stream, gate):
    stream.recv(1, socket.MSG_PEEK)
    stream.close()
    gate.open()


def reset_server(stream, gate):
    stream.sendall(b"12345")
    gate.wait()
    mask = shown(stream, select.POLLHUP)
    return mask, attempt(stream.recv, 10), attempt(stream.recv, 10), attempt(stream.send, b"after")


def error_server(stream, gate):
    stream.sendall(b"12345")
    gate.wait()
    shown(stream, select.POLLHUP)
    error = stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return os.strerror(error), stream.recv(10)


case("closed with octets unread", unread_client, reset_server)
case("... by its option", unread_client, error_server)


def abort_client(stream, gate):
    stream.recv(5, socket.MSG_WAITALL)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    stream.close()
    gate.open()


def abort_early_client(stream, gate):
    stream.recv(5, socket.MSG_WAITALL)
    stream.close()
    gate.open()


def calm_client(stream, gate):
    stream.recv(5, socket.MSG_WAITALL)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
    stream.close()
    gate.open()


def calm_server(stream, gate):
    stream.sendall(b"12345")
    gate.wait()
    return attempt(stream.recv, 10)


case("aborted", abort_client, reset_server)
case(
    "aborted as it was told before",
    abort_early_client,
    reset_server,
    lambda stream: stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT),
)
case("not aborted after all", calm_client, calm_server)


def urgent_client(stream, _):
    stream.recv(1)
    stream.sendall(b"ab")
    stream.send(b"!", socket.MSG_OOB)
    stream.sendall(b"cd")
    return stream.recv(1)


def urgent_server(stream, _):
    stream.sendall(b"g")
    mask = shown(stream, select.POLLPRI)
    urgent = stream.recv(1, socket.MSG_OOB)
    octets = stream.recv(2, socket.MSG_WAITALL), stream.recv(2, socket.MSG_WAITALL)
    stream.sendall(b"e")
    return mask, urgent, octets


case("urgent", urgent_client, urgent_server)


def killed_client(stream, _):
    stream.sendall(b"hello")
    stream.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


def killed_server(stream, _):
    greeting = stream.recv(5, socket.MSG_WAITALL)
    stream.sendall(b".")
    return greeting, stream.recv(10)


case("killed", killed_client, killed_server)


def state(stream):
    return stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[0]


def informed_client(stream, gate):
    before = stream.recv(1), state(stream)
    gate.open()
    return before, stream.recv(1), state(stream)


def informed_server(stream, gate):
    stream.sendall(b"x")
    gate.wait()


case("states", informed_client, informed_server)


def addressed_client(stream, _):
    return stream.recvfrom(10), stream.recvfrom(10)


def addressed_server(stream, gate):
    stream.sendto(b"one", stream.getpeername())


case("with addresses", addressed_client, addressed_server)


def silent_client(stream, gate):
    stream.recv(1)
    stream.shutdown(socket.SHUT_RD)
    return attempt(stream.recv, 1), stream.sendall(b"still")


def silent_server(stream, _):
    stream.sendall(b".")
    return stream.recv(10)


case("deaf", silent_client, silent_server)


def nonblocking(stream, gate):
    stream.setblocking(False)
    nothing = attempt(stream.recv, 1)
    sent = 0
    # Acknowledgements that come late make room once more; nobody reads before the gate opens, so it fills for good.
    full = "OUT"
    while "OUT" in full:
        try:
            while True:
                sent += stream.send(bytes(1 << 16))
        except BlockingIOError:
            full = shown(stream)
    gate.open()
    return nothing, sent > 100_000, full


def slow_server(stream, gate):
    gate.wait()
    return drained(stream) > 100_000


case("nonblocking", nonblocking, slow_server)


def forking_client(stream, gate):
    child = os.fork()
    if child == 0:
        stream.sendall(b"child ")
        os._exit(0)
    os.waitpid(child, 0)
    copy = stream.dup()
    stream.close()
    copy.sendall(b"copy")
    copy.close()


case("several holders", forking_client, lambda stream, _: stream.recv(10, socket.MSG_WAITALL) + stream.recv(1))

# The port is free as soon as nobody listens: the ends that closed first are the clients'.
listener = socket.create_server((HOST, 0), family=FAMILY, reuse_port=False)
address = listener.getsockname()
child = os.fork()
if child == 0:
    socket.create_connection(address[:2]).close()
    os._exit(0)
os.waitpid(child, 0)
stream, _ = listener.accept()
print("closed before it was accepted:", stream.recv(1), shown(stream))
