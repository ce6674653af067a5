"""Random transfers under random events, as a guest: what arrives is what was sent, each octet at its place, and nobody waits for ever.

    storm.py SEED SECONDS          scenarios, up to 24 at once, until the time is over
    storm.py --scenario NUMBER     one of them again: the same draws, but what threads do in the meantime is another time's

A scenario connects two sockets, sends by one call or another, reads by another, changes options meanwhile, and ends it in one of the
ways of SCENARIOS: by shutdown, close, reset, a killed or stopped process, a socket that another process gets. What differs is printed
with the scenario's number; the exit status is 1 then.
"""
import array
import ctypes
import errno
import fcntl
import mmap
import os
import random
import select
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
import traceback

MIB = 1 << 20
PERIOD = 1_000_003
PATTERN = memoryview(bytes(octet or 1 for octet in random.Random(1).randbytes(PERIOD)) * 5)
FILE = tempfile.TemporaryFile()
PIECE_MAX = 3 * MIB
HANGS = "hangs"
PATIENCE = 90
TCP_FASTOPEN_CONNECT, SO_ZEROCOPY, MSG_ZEROCOPY = 30, 60, 0x4000000
SIOCINQ, SIOCOUTQ, SIOCOUTQNSD = 0x541B, 0x5411, 0x894B
LIBC = ctypes.CDLL(None, use_errno=True)

# Level, option and values that change nothing of what arrives.
OPTIONS = [
    (socket.SOL_SOCKET, socket.SO_SNDBUF, (16 << 10, 64 << 10, MIB, 8 * MIB)),
    (socket.SOL_SOCKET, socket.SO_RCVBUF, (64 << 10, 256 << 10, MIB, 8 * MIB)),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, (0, 1)),
    (socket.SOL_SOCKET, 29, (0, 1)),  # SO_TIMESTAMP
    (socket.SOL_SOCKET, 37, (0, 0x18, 0x2)),  # SO_TIMESTAMPING
    (socket.SOL_SOCKET, 46, (0, 50)),  # SO_BUSY_POLL
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, (0, 1)),
    (socket.IPPROTO_TCP, socket.TCP_QUICKACK, (0, 1)),
    (socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, (128 << 10, MIB)),
    (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, (16 << 10, MIB)),
    (socket.IPPROTO_TCP, 36, (0, 1)),  # TCP_INQ
]

problems = []
counts = {}
lock = threading.Lock()


def complain(*words):
    with lock:
        problems.append(words)
        print("DIFFERS", *words, flush=True)


class Octets:
    """What one direction carries: pieces of the pattern, which begins anywhere."""

    def __init__(self, draw):
        self.start = draw.randrange(PERIOD)

    def offset(self, position):
        return (self.start + position) % PERIOD

    def at(self, position, count):
        offset = self.offset(position)
        return PATTERN[offset : offset + count]

    def describe(self, position, got):
        """Where octets that are not what they are to be come from."""
        due = self.at(position, len(got))
        first = next(index for index in range(len(got)) if got[index] != due[index])
        if not any(got[first : first + 64]):
            return f"octet {position + first}: zeros"
        found = PATTERN.tobytes().find(got[first : first + 40])
        return f"octet {position + first}: what belongs at {(found - self.start) % PERIOD}" if found >= 0 else f"octet {position + first}: of nobody's"


def aside(work):
    """Begins `work` in a thread; what is returned waits for what comes of it."""
    results = []

    def go():
        try:
            results.append(work())
        except BaseException as error:
            traceback.print_exc()
            results.append((0, error))

    thread = threading.Thread(target=go, daemon=True)
    thread.start()

    def result(patience=PATIENCE):
        thread.join(patience)
        return results[0] if results else HANGS

    return result


def fiddle(stream, draw):
    """Changes an option, or asks for something."""
    try:
        if draw.random() < 0.6:
            level, name, values = draw.choice(OPTIONS)
            stream.setsockopt(level, name, draw.choice(values))
        elif draw.random() < 0.5:
            stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 300)
        else:
            fcntl.ioctl(stream, draw.choice([SIOCINQ, SIOCOUTQ, SIOCOUTQNSD]), array.array("i", [0]))
    except OSError:
        pass  # of a connection that is over meanwhile, or of an option that the kernel has not


# The ways to send: each sends some of the octets and says how many.
def by_send(stream, octets, position, count, draw):
    return stream.send(octets.at(position, count), socket.MSG_NOSIGNAL)


def by_send_with_more(stream, octets, position, count, draw):
    sent = stream.send(octets.at(position, count), socket.MSG_NOSIGNAL | socket.MSG_MORE)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # pushes them
    return sent


def by_send_without_waiting(stream, octets, position, count, draw):
    while True:
        try:
            return stream.send(octets.at(position, count), socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
        except BlockingIOError:
            select.select([], [stream], [], PATIENCE)


def by_sendmsg(stream, octets, position, count, draw):
    data, cut = octets.at(position, count), draw.randrange(count)
    return stream.sendmsg([data[:cut], data[cut:]], [], socket.MSG_NOSIGNAL)


def by_sendfile(stream, octets, position, count, draw):
    return os.sendfile(stream.fileno(), FILE.fileno(), octets.offset(position), count)


def by_splice(stream, octets, position, count, draw):
    reader, writer = os.pipe()
    try:
        count = left = os.write(writer, octets.at(position, min(count, 64 << 10)))
        while left:
            left -= os.splice(reader, stream.fileno(), left)
        return count
    finally:
        os.close(reader)
        os.close(writer)


def by_zerocopy(stream, octets, position, count, draw):
    try:
        return stream.send(octets.at(position, count), socket.MSG_NOSIGNAL | MSG_ZEROCOPY)
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise
        look_for_notices(stream)  # which there are too many of
        return by_send(stream, octets, position, count, draw)


def by_urgent(stream, octets, position, count, draw):
    return stream.send(octets.at(position, 1), socket.MSG_NOSIGNAL | socket.MSG_OOB)


SENDS = [*[by_send] * 4, *[by_send_without_waiting] * 2, by_send_with_more, by_sendmsg, by_sendfile, by_splice, by_zerocopy]


def send(stream, draw, octets, total, urgent=False, tell=lambda position: None, stop=None):
    """Sends `total` octets; how many it were, and the error that ended it."""
    position = 0
    try:
        while position < total and not (stop and stop.is_set()):
            sizes = [1, 100, 4096] if draw.random() < 0.1 else [64 << 10, 256 << 10, 256 << 10, MIB, MIB, PIECE_MAX]
            way = by_urgent if urgent and draw.random() < 0.03 else draw.choice(SENDS)
            position += way(stream, octets, position, min(total - position, draw.choice(sizes)), draw)
            tell(position)
            if draw.random() < 0.05:
                fiddle(stream, draw)
            if draw.random() < 0.01:
                time.sleep(draw.random() * 0.03)
        return position, None
    except OSError as error:
        return position, error


def peek(stream, octets, position, count):
    got = stream.recv(min(count, 100_000), socket.MSG_PEEK)
    if got != octets.at(position, len(got)):
        raise AssertionError(f"looked at, {octets.describe(position, got)}")


def look_for_notices(stream):
    """Takes what MSG_ZEROCOPY and stamps have queued."""
    try:
        while True:
            stream.recvmsg(100, 100, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
    except BlockingIOError:
        pass


def take_by_splice(stream, count):
    reader, writer = os.pipe()
    try:
        got = os.splice(stream.fileno(), writer, min(count, 64 << 10))
        # None at the end, and before an urgent octet.
        return os.read(reader, got) if got else stream.recv(count)
    finally:
        os.close(reader)
        os.close(writer)


def take(stream, draw, count, may_wait_for_all):
    """Some octets; none where nothing was asked for."""
    way = draw.random()
    if way < 0.1:
        return stream.recvmsg(count, 200)[0]
    if way < 0.15 and may_wait_for_all:
        return stream.recv(min(count, 64 << 10), socket.MSG_WAITALL)
    if way < 0.2:
        return take_by_splice(stream, count)
    if way < 0.25:
        try:
            return stream.recv(count, socket.MSG_DONTWAIT)
        except BlockingIOError:
            select.select([stream], [], [], PATIENCE)
            return None
    if way < 0.28:
        look_for_notices(stream)
        return None
    return stream.recv(count)


END = "end"


def receive(stream, draw, octets, until=1 << 40, may_wait_for_all=True):
    """Reads `until` octets, the end or an error; how many it were, and what ended it."""
    position, slow = 0, draw.random() < 0.1
    try:
        while position < until:
            count = min(until - position, draw.choice([1, 1000, 64 << 10, 256 << 10, MIB, MIB]))
            if draw.random() < 0.02:
                time.sleep(draw.random() * (0.1 if slow else 0.03))
            if draw.random() < 0.05:
                fiddle(stream, draw)
            if draw.random() < 0.1:
                peek(stream, octets, position, count)
                continue
            got = take(stream, draw, count, may_wait_for_all)
            if got is None:
                continue
            if not got:
                return position, END
            if got != octets.at(position, len(got)):
                raise AssertionError(octets.describe(position, got))
            position += len(got)
        return position, None
    except (OSError, AssertionError) as error:
        return position, error


def some_size(draw):
    return draw.choice([0, 5, 100_000, MIB, 4 * MIB, 8 * MIB, 24 * MIB])


def allow_zerocopy(stream):
    try:
        stream.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:  # which our TCP says (docs/compat.md)
            raise


def connected(draw):
    family, host = draw.choice([(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
    with socket.create_server((host, 0), family=family) as listener:
        if draw.random() < 0.3:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, draw.choice([64 << 10, MIB]))
        client = socket.socket(family)
        if draw.random() < 0.2:
            client.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
        client.connect(listener.getsockname()[:2])
        # With a cookie TCP Fast Open connects by the first octets only.
        if not select.select([listener], [], [], 0.5)[0]:
            client.close()
            return connected(draw)
        server, _ = listener.accept()
    for stream in (client, server):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        if draw.random() < 0.5:
            allow_zerocopy(stream)
    return client, server


def keep_only(stream):
    """Closes what a process of its own has from its parent."""
    last = -1
    for descriptor in sorted({0, 1, 2, FILE.fileno(), stream.fileno()}) + [1 << 20]:
        if descriptor > last + 1:  # of an empty range CPython makes a full one
            os.closerange(last + 1, descriptor)
        last = descriptor


def in_process(stream, work, due=None):
    """A process that has only this socket and does this; its status is 0 where what comes of it is `due`, if anything is."""
    process = os.fork()
    if process == 0:
        status = 3
        try:
            keep_only(stream)
            got = work()
            status = 0 if due is None or got == due else 1
            if status:
                print("DIFFERS in a process of its own, due:", due, "got:", got, flush=True)
        finally:
            os._exit(status)
    return process


def status_of(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


class Pair:
    """Two connected sockets, what each sends, and draws of their own for what goes on aside."""

    def __init__(self, number, draw):
        self.number, self.draw = number, draw
        self.client, self.server = connected(draw)
        self.there, self.back = Octets(draw), Octets(draw)
        self.urgent = draw.random() < 0.3

    def drawn(self, of):
        return random.Random(self.number * 100 + of)


def both_ways(pair, send_there=None):
    """Both send and say that it is all; both read all of it."""
    there, back = some_size(pair.draw), pair.draw.choice([0, some_size(pair.draw)])

    def send_all(stream, of, octets, total):
        sent = send(stream, pair.drawn(of), octets, total, pair.urgent)
        stream.shutdown(socket.SHUT_WR)
        return sent

    work = lambda: send_all(pair.client, 1, pair.there, there)
    sent_there = send_there(pair, work, there) if send_there else aside(work)
    others = [
        aside(lambda: send_all(pair.server, 2, pair.back, back)),
        aside(lambda: receive(pair.client, pair.drawn(3), pair.back)),
        aside(lambda: receive(pair.server, pair.drawn(4), pair.there)),
    ]
    got = [sent_there(), *(other() for other in others)]
    return [(there, None), (back, None), (back, END), (there, END)], got


def from_another_process(pair):
    def fork(pair, work, total):
        process = in_process(pair.client, work, (total, None))
        return lambda: (total, None) if status_of(process) == 0 else "failed in its process"

    return both_ways(pair, fork)


def passed_on(pair):
    """The server's socket goes through SCM_RIGHTS first."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(ours, [b"x"], [pair.server.fileno()])
        descriptors = socket.recv_fds(theirs, 10, 1)[1]
    pair.server.close()
    pair.server = socket.socket(fileno=descriptors[0])
    return both_ways(pair)


def in_three_parts(pair):
    """One after another, with rests between."""
    due, got = [], []
    for of in range(3):
        octets, total = Octets(pair.draw), some_size(pair.draw)
        sent = aside(lambda: send(pair.client, pair.drawn(of), octets, total))
        got += [receive(pair.server, pair.draw, octets, total), sent()]
        due += [(total, None)] * 2
        time.sleep(pair.draw.random() * 0.2)
    return due, got


def receiver_closes(pair):
    """In the midst of it: the sender is told."""
    sent = aside(lambda: send(pair.client, pair.drawn(1), pair.there, 16 * MIB, pair.urgent))
    until = pair.draw.randrange(1, 12 * MIB)
    got = receive(pair.server, pair.draw, pair.there, until)
    pair.server.close()
    return [(until, None), True], [got, sent() != HANGS]


def receiver_shuts(pair):
    """What is read after shutdown(SHUT_RD) is what comes next."""
    sent = aside(lambda: send(pair.client, pair.drawn(1), pair.there, 16 * MIB, pair.urgent))
    until = pair.draw.randrange(1, 12 * MIB)
    got = receive(pair.server, pair.draw, pair.there, until)
    pair.server.shutdown(socket.SHUT_RD)
    pair.server.setblocking(False)
    right = True
    try:
        position = until
        while right and (after := pair.server.recv(100_000)):
            right = after == pair.there.at(position, len(after))
            position += len(after)
    except OSError:
        pass  # nothing more, or reset
    pair.server.close()
    return [(until, None), True, True], [got, right, sent() != HANGS]


def sender_ends(pair, end, may_wait_for_all=True):
    """After a while; what the receiver got, of what was sent."""
    stop, sent = threading.Event(), [0]
    sending = aside(lambda: send(pair.client, pair.drawn(1), pair.there, 16 * MIB, pair.urgent, lambda n: sent.__setitem__(0, n), stop))
    receiving = aside(lambda: receive(pair.server, pair.drawn(5), pair.there, may_wait_for_all=may_wait_for_all))
    time.sleep(pair.draw.random() * 0.1)
    stop.set()
    ended = sending()
    end(pair.client)
    return ended, receiving(), sent[0]


def sender_closes(pair):
    ended, got, sent = sender_ends(pair, socket.socket.close)
    return [True, (sent, END)], [ended != HANGS, got]


def is_cut_off(got, sent):
    """Whether the receiver was told that something may be missing."""
    return got != HANGS and got[0] <= sent and isinstance(got[1], OSError)


def reset(stream):
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


def disconnect(stream):
    """connect(2) to AF_UNSPEC."""
    LIBC.connect(stream.fileno(), bytes(16), 16)


def sender_aborts(pair, abort):
    # By our TCP a read with MSG_WAITALL takes the reset with it (docs/compat.md): the next one says the end.
    ended, got, sent = sender_ends(pair, abort, may_wait_for_all=False)
    return [True, True], [ended != HANGS, is_cut_off(got, sent) or (got, sent)]


def sender_resets(pair):
    return sender_aborts(pair, reset)


def sender_disconnects(pair):
    return sender_aborts(pair, disconnect)


def sender_is_killed(pair):
    """All arrives that was sent, and at most one piece more."""
    told = mmap.mmap(-1, 8)
    tell = lambda position: told.__setitem__(slice(8), struct.pack("Q", position))
    process = in_process(pair.client, lambda: send(pair.client, pair.drawn(1), pair.there, 64 * MIB, pair.urgent, tell))
    pair.client.close()
    receiving = aside(lambda: receive(pair.server, pair.drawn(5), pair.there))
    time.sleep(pair.draw.random() * 0.15)
    os.kill(process, signal.SIGKILL)
    status_of(process)
    got, sent = receiving(), struct.unpack("Q", told[:8])[0]
    right = got != HANGS and got[1] == END and sent <= got[0] <= sent + PIECE_MAX
    return [True], [right or (got, sent)]


def both_are_stopped(pair):
    """Each in a process of its own, which rests now and then."""
    total = 12 * MIB
    sender = in_process(pair.client, lambda: send(pair.client, pair.drawn(1), pair.there, total, pair.urgent), (total, None))
    pair.client.close()
    receiver = in_process(pair.server, lambda: receive(pair.server, pair.drawn(5), pair.there), (total, END))
    pair.server.close()
    for _ in range(3):
        time.sleep(pair.draw.random() * 0.05)
        process = pair.draw.choice([sender, receiver])
        os.kill(process, signal.SIGSTOP)
        time.sleep(pair.draw.random() * pair.draw.choice([0.02, 0.5]))
        os.kill(process, signal.SIGCONT)
    return [0, 0], [status_of(sender), status_of(receiver)]


SCENARIOS = [
    *[both_ways] * 4,
    from_another_process,
    passed_on,
    in_three_parts,
    receiver_closes,
    receiver_shuts,
    sender_closes,
    sender_resets,
    sender_disconnects,
    *[sender_is_killed] * 2,
    both_are_stopped,
]


def play(number):
    draw = random.Random(number)
    scenario = draw.choice(SCENARIOS)
    with lock:
        counts[scenario.__name__] = counts.get(scenario.__name__, 0) + 1
    pair = Pair(number, draw)
    due, got = scenario(pair)
    if got != due:
        complain(scenario.__name__, f"--scenario {number}", "due:", due, "got:", got)
    pair.client.close()
    pair.server.close()


def storm(seed, seconds):
    end, number, draw = time.monotonic() + seconds, seed * 1_000_000, random.Random(seed)
    while time.monotonic() < end and not problems:
        together = range(number + 1, number + 1 + draw.choice([1, 1, 2, 4, 8, 24]))
        number = together[-1]
        playing = [(one, aside(lambda one=one: play(one))) for one in together]
        for one, played in playing:
            if (outcome := played(2 * PATIENCE)) is not None:
                complain(f"--scenario {one}", outcome)


def main():
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    FILE.write(PATTERN)
    FILE.flush()
    if sys.argv[1] == "--scenario":
        play(int(sys.argv[2]))
    else:
        storm(int(sys.argv[1]), float(sys.argv[2]))
    print(sum(counts.values()), "scenarios:", ", ".join(f"{count} {name}" for name, count in sorted(counts.items())), flush=True)
    # Threads that hang are not waited for.
    os._exit(bool(problems))


main()
