"""Streams by our TCP (`--no-join`, `--link none`, a socket that is connected to itself), of which the object is AF_UNIX's, and streams that are the kernel's."""
import re

from lines import ENDS, has_label, has_read, hears_corked, is_of_octets, is_undone_stream, lacks_rows, rule, sends_urgent, urgent_to
from model import ERRQUEUE, INET6, MORE, PEEK, READS, RECEIVES, SENDS, WAITALL, WRITES

# What poll(2) shows of a stream that is connected, and of one that was refused.
PEERS = (4, 5, 0x1d, 0x201d)


@rule("options of TCP that run natively, on a stream by our TCP where those of others are the kernel's: the object is AF_UNIX's")
def _(line):
    # KEPT_BY_KERNEL and TCP_QUICKACK of prise-run: TCP_NODELAY, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT.
    native = line.name in ("setsockopt", "getsockopt") and line.words[2] == "6" and line.words[3] in ("1", "3", "4", "5", "6", "12", "18")
    return native and not line.carried and line.by_ours and line.said("0 EINVAL EFAULT", "EOPNOTSUPP")


@rule("a stream that another process made a listener, where listeners are not the kernel's", ENDS)
def _(line):
    by_child = lambda one: one.has("exec", lambda words, said: words[2] == "5")
    if line.name == "select":
        differ = line.selects()
        return line.carried and bool(differ) and all(bool(one) and one.stream and by_child(one) for one, theirs, ours in differ)
    if line.name in ("poll", "epoll_wait"):
        return line.carried and line.every(lambda one, theirs, ours: one.stream and by_child(one))
    if line.name in ("table", "diag"):
        return line.carried and any(one.stream and by_child(one) for one in line.model.all)
    return line.carried and line.stream and by_child(line.socket)


@rule("a name of what then had no way: a port was picked", ENDS)
def _(line):
    return line.name in ("getsockname", "state", "bind") and line.stream and line.socket.has("connect", lambda words, said: said == "ENETUNREACH")


def are_numbered_later(line, most):
    """Whether the numbers of ports are the same of those that were shown before, and of the others the kernel's are others by so many at most."""
    numbers = [[int(number) for number in re.findall(r"/P(\d+)", call)] for call in line.call]
    pairs = set(zip(*numbers))
    one_to_one = len(pairs) == len({theirs for theirs, _ in pairs}) == len({ours for _, ours in pairs})
    differ = [pair for pair in pairs if pair[0] != pair[1]]
    return one_to_one and all(abs(theirs - ours) <= most and not {theirs, ours} & line.model.ports for theirs, ours in differ)


@rule("the same where only the numbers by which ports are shown tell of it", ENDS)
def _(line):
    picked = sum(one.stream and one.has("connect", lambda words, said: said == "ENETUNREACH") for one in line.model.all)
    unnumbered = [re.sub(r"/P\d+", "/P", call) for call in line.call]
    return line.name in ("state", "getsockname", "getpeername", "accept", "table", "diag") and unnumbered[0] == unnumbered[1] and are_numbered_later(line, picked)


@rule("mmap(2) of a stream by our TCP (TCP_ZEROCOPY_RECEIVE); SO_ZEROCOPY of one")
def _(line):
    if line.name in ("setsockopt", "getsockopt"):
        return line.words[2:4] == ["6", "35"] and line.said("EFAULT", "EINVAL") or line.words[2:4] == ["1", "60"] and line.by_ours and line.ours == "EOPNOTSUPP"
    return line.name == "file" and line.words[2] == "6" and line.by_ours and line.said("0 EPERM EINVAL", "ENODEV")


@rule("classic BPF on a stream, of which the machine's kernel says EPERM")
def _(line):
    return line.name == "setsockopt" and line.words[2:4] == ["1", "26"] and line.stream and line.theirs == "EPERM"


def is_left(model, one):
    """Whether nobody has a descriptor of a stream's peer any more; one that was disconnected is none."""
    others = [*model.slots.values(), *(held for held, _ in model.holders)]
    return not any(other is not one and other.meets(one) and not is_undone_stream(other) for other in others)


@rule("MSG_MORE on a stream by our TCP, which sends at once", ENDS)
def _(line):
    hears = lambda one: one.stream and hears_corked(line.model, one)
    if line.name == "select":
        differ = line.selects()
        return line.carried and bool(differ) and all(bool(one) and hears(one) and theirs ^ ours == 1 for one, theirs, ours in differ)
    sends_more = line.stream and line.flags() & MORE and line.name in SENDS
    # Sent at once, they were unread when the peer closed, which resets.
    reset = line.name == "shutdown" and line.by_ours and line.socket.corked and line.said("0", "ENOTCONN") and is_left(line.model, line.socket)
    return line.carried and (reset or line.every(lambda one, theirs, ours: hears(one)) or line.stream and bool(sends_more or hears(line.socket)) and is_of_octets(line))


@rule("read(2), recv(2) on a stream by our TCP that was never connected, or a listener")
def _(line):
    return line.name in READS and line.by_ours and (line.said("ENOTCONN", "EINVAL") or line.said("0", "EINVAL") and 0 in line.socket.shut or line.said("EAGAIN", "EINVAL") and line.flags() & ERRQUEUE or line.ours == "EINVAL" and line.flags() & 1)


@rule("write(2), send(2) on a stream by our TCP that was never connected, or a listener")
def _(line):
    return line.name in WRITES and line.by_ours and (line.said("EPIPE", "ENOTCONN") or line.said("EPIPE", "EOPNOTSUPP") and line.flags() & 1)


@rule("write(2), send(2) on a listener by our TCP that was disconnected before: the error that waits is not the object's")
def _(line):
    return line.name in WRITES and line.by_ours and is_undone_stream(line.socket) and line.socket.has("listen") and line.said("ECONNRESET", "ENOTCONN")


def was_written_to(socket):
    """A write that runs natively was told of what the stream died of, or a child's was."""
    return any(words[0] in (*WRITES, "sendto", "sendmsg", "sendmmsg") and said == "EPIPE" or words[0] in ("fork", "exec") or words == ["drop", "1"] for words, said in socket.did)


@rule("what a write or a child's has told of a stream by our TCP that died, which is told to the next call that is judged", ENDS)
def _(line):
    dead = line.name in (*READS, "recvfrom", "recvmsg", "recvmmsg") and line.theirs.isdigit() and line.ours in ("EPIPE", "ECONNRESET", "ECONNREFUSED")
    # A child's write has taken the refusal on the kernel.
    took = lambda words, said: words[0] == "fork" and words[2] == "3" and said == "0"
    connects = line.name == "connect" and (line.said("ECONNABORTED", "EPIPE") or line.said("ECONNABORTED", "ECONNREFUSED ECONNRESET") and line.stream and line.socket.has("fork", took))
    writes = line.name in ("sendto", "sendmsg", "sendmmsg") and line.said("EPIPE", "ECONNREFUSED")
    return (dead or connects or writes) and line.by_ours and was_written_to(line.socket)


@rule("a thread that waits on a stream by our TCP, which is disconnected or shut; what a child does that holds one", ENDS)
def _(line):
    if line.native.startswith("join"):
        undone = line.said("EPIPE", "0") and is_undone_stream(line.socket)
        return line.by_ours and (line.name == "pollone" or line.ours == "ECONNRESET" or undone)
    if line.name != "drop" or not line.carried or not line.model.holders:
        return False
    held, what = line.model.holders[0]
    return held.stream and what != 0


# SO_TIMESTAMP and SO_TIMESTAMPNS, SO_TIMESTAMPING, each by its two numbers.
TIMES, STAMPS = ("29", "35", "63", "64"), ("37", "65")


def has_asked(one, *options):
    """Whether one of these options of SOL_SOCKET, which are numbers of one thing, is on."""
    values = [words[4] for words, said in one.did if words[0] == "setsockopt" and words[2] == "1" and words[3] in options and said == "0"]
    return bool(values) and values[-1] != "0"


def without_stamps(line, said, options):
    """An answer of recvmsg(2) or recvmmsg(2) without control data of these numbers, nor MSG_CTRUNC of what had no room."""
    bare = re.sub(rf" \{{1 ({'|'.join(options)}) \d+\}}", "", said)
    # A stamp has 32 octets at least, the head of its control data with it.
    no_room = line.name == "recvmmsg" or not int(line.words[4]) & 2 or 0 < int(line.words[5]) < 32
    return bare.replace("flags 8", "flags 0") if bare != said or no_room else bare


@rule("stamps of receiving: the kernel begins to stamp what comes a while after it was first asked to, on all sockets, but for SO_TIMESTAMP of datagrams; by our TCP what comes is stamped from when its socket asked")
def _(line):
    if line.name not in ("recvmsg", "recvmmsg") or not line.socket:
        return False
    if line.datagram:
        return has_asked(line.socket, *STAMPS) and line.call[0] == without_stamps(line, line.call[1], STAMPS)
    # What is accepted has the listener's options.
    asked = lambda one: one is not None and (has_asked(one, *TIMES) or has_asked(one, *STAMPS))
    asks = asked(line.socket) or line.socket.accepted and asked(line.socket.named)
    theirs, ours = (without_stamps(line, said, (*TIMES, *STAMPS)) for said in line.call)
    return line.stream and asks and (line.call[0] == ours or line.by_ours and theirs == line.call[1])


@rule("SO_TIMESTAMP and its like of a stream by our TCP that refused SO_TIMESTAMPING of sending, with which the kernel took the numbers that control data have")
def _(line):
    refused = lambda words, said: words[2:4] in (["1", "37"], ["1", "65"])
    return line.name == "getsockopt" and line.by_ours and line.words[2] == "1" and line.words[3] in ("29", "35", "63", "64") and line.theirs == line.ours == "0" and line.socket.has("setsockopt", refused)


@rule("SO_TIMESTAMPING and SO_ZEROCOPY of streams by our TCP: what has left is not told, nor what was copied")
def _(line):
    asks = lambda words, said: words[2:4] in (["1", "37"], ["1", "65"], ["1", "60"]) and said == "0"
    if line.name in ("recv", "recvfrom", "recvmsg"):
        return line.by_ours and bool(line.flags() & ERRQUEUE) and line.theirs.isdigit() and line.ours == "EAGAIN" and line.socket.has("setsockopt", asks)
    if line.name == "select":
        # An error is something to read.
        differ = line.selects()
        return line.carried and bool(differ) and all(bool(one) and one.stream and theirs == ours | 1 and one.has("setsockopt", asks) for one, theirs, ours in differ)
    return line.carried and line.every(lambda one, theirs, ours: one.stream and theirs ^ ours == 8 and theirs & 8 and one.has("setsockopt", asks))


@rule("a stream by our TCP whose connect(2) has failed, or that was disconnected, has another object: what told once (EPOLLONESHOT) tells that it hangs up")
def _(line):
    failed = lambda words, said: words[2] != "0" and said in ("ECONNREFUSED", "ECONNRESET", "ECONNABORTED")
    # Where the kernel carries streams, only of one that was a listener or had a copy before it was connected.
    copied = lambda one: any(words[0] in ("dup", "dup2", "copy") for words, said in one.did)
    anew = lambda one: (line.carried or one.has("listen") or copied(one)) and (one.has("connect", failed) or line.carried and is_undone_stream(one))
    # Refused since, though it did not wait for that.
    late = lambda one, ours: one.has("listen") and ours & 0x18 == 0x18 and one.has("connect", lambda words, said: said == "EINPROGRESS")
    return line.name == "epoll_wait" and line.every(lambda one, theirs, ours: one.stream and one.once and not theirs and bool(ours & 0x10) and (anew(one) or late(one, ours)))


@rule("a stream by our TCP that was shut before it was connected: the shutdown(2) that failed is heeded by the kernel", ENDS)
def _(line):
    shut = lambda one: one.stream and bool(one.peer) and one.peer != "accepted" and one.has("shutdown", lambda words, said: said == "ENOTCONN")
    if line.name in ("poll", "epoll_wait"):
        # Where the kernel carries streams, only of one that was a listener.
        return line.every(lambda one, theirs, ours: shut(one) and (line.carried or one.has("listen")))
    by_child = line.name == "fork" and line.words[2] == "3" and line.said("0", "1")
    return line.by_ours and shut(line.socket) and (line.name in SENDS and line.theirs == "EPIPE" or line.name in RECEIVES and line.theirs == "0" or by_child)


@rule("an urgent octet that a read has passed over is unread all the same, for which a stream by our TCP resets when it is closed", ENDS)
def _(line):
    sent = lambda one: any(sends_urgent(words) for words, said in one.did)
    return line.carried and line.every(lambda one, theirs, ours: one.stream and theirs & 0x2001 and not theirs & 8 and ours == theirs | 0x18 and sent(one))


@rule("a child that names, connects or disconnects a stream that is to be carried by our TCP: its own descriptor has another object then", ENDS)
def _(line):
    by_child = lambda one: one.stream and one.childs and (line.carried or one.itself or has_label(line.model, one))
    if line.name in ("poll", "epoll_wait"):
        return line.every(lambda one, theirs, ours: by_child(one))
    return bool(line.socket) and by_child(line.socket)


@rule("a listener that was shut and that a child connects or makes a listener again: its own descriptor has another object then", ENDS)
def _(line):
    again = lambda one: one.stream and (one.childs_peer or one.childs_queue) and one.has("listen") and (one.has("shutdown") or (["drop", "2"], "0") in one.did)
    if line.name == "bind":
        # It has no port of its own any more, which the child's has.
        return line.stream and again(line.socket) and line.said("EINVAL", "0")
    if line.name in ("state", "getsockname"):
        # Its name is that of the child's connect(2) that has failed.
        name = lambda said: re.sub(r"len \d+ [0-9a-f:.]+/", "", said, count=1)
        return line.stream and again(line.socket) and name(line.call[0]) == name(line.call[1])
    if line.name in RECEIVES:
        # The end of what was shut, or as many messages of nothing.
        is_end = line.ours == "0" or line.name == "recvmmsg" and set(re.findall(r"\((\d+)", line.call[1])) == {"0"}
        return line.stream and again(line.socket) and line.theirs == "ENOTCONN" and is_end
    # Who accepted the child's connection hears its end, for the child has closed what it alone had.
    heard = lambda one: one.accepted and any(again(other) and one.meets(other) for other in line.model.all)
    if line.every(lambda one, theirs, ours: heard(one) and (theirs, ours) == (4, 0x2005)):
        return True
    # That of the shut one, POLLOUT and POLLHUP, where it listens, waits, is connected or was refused.
    return line.every(lambda one, theirs, ours: again(one) and ours == 0x14 and theirs in (0, 1, *PEERS))


@rule("a listener that was shut and connects while others hold it: what they hold is another object, and is nothing once the script's own is closed", ENDS)
def _(line):
    connects = lambda one: one.stream and bool(one.peer) and one.has("listen", lambda words, said: said == "0") and (one.has("shutdown") or (["drop", "2"], "0") in one.did)
    held = [one for one, _ in line.model.holders if connects(one) and not any(one is other for other in line.model.slots.values())]
    if line.name in ("table", "diag"):
        return lacks_rows(line, held)
    return line.name == "bind" and bool(held) and line.said("EADDRINUSE", "0")


@rule("a listener by our TCP that a process shuts which has held it since before listen(2): what it holds is another object", ENDS)
def _(line):
    def by_holder(one):
        names = [words[0] for words, _ in one.did]
        return one.stream and "hold" in names and "listen" in names[names.index("hold"):] and (["drop", "2"], "0") in one.did
    return line.carried and line.every(lambda one, theirs, ours: by_holder(one) and theirs == 0x14 and ours == 0)


@rule("listen(2) of a stream by our TCP that was disconnected: SO_ERROR of its connection")
def _(line):
    if line.name == "recvmmsg":
        return line.carried and line.stream and is_undone_stream(line.socket) and line.socket.listens and line.said("ECONNRESET", "ENOTCONN")
    return line.name == "state" and line.carried and line.stream and is_undone_stream(line.socket) and line.call[0].replace("error ECONNRESET", "error none") == line.call[1]


@rule("TCP_MAXSEG within the run over IPv6, of which the kernel's end is IPv4")
def _(line):
    return line.name == "getsockopt" and line.words[2:4] == ["6", "2"] and line.stream and line.socket.family == INET6 and line.socket.peer is not None and line.theirs == line.ours == "0"


@rule("IP_MINTTL: heeded by the kernel's on a stream within the run over IPv6, of which its end is IPv4", ENDS)
def _(line):
    asks = lambda words, said: words[2:4] == ["0", "21"] and said == "0"
    asked = lambda one: bool(one) and one.stream and one.has("setsockopt", asks)

    def meets(one):
        """It asked, or its peer did."""
        if not one.stream or line.carried or one.family != INET6:
            return False
        if one.peer == "accepted":
            return any(asked(other) for other in line.model.all)
        return asked(one) or bool(one.peer) and asked(line.model.named(one.peer[4]))
    if line.stream and line.name in (*READS, "recvfrom", "recvmsg", "recvmmsg", "state"):
        return meets(line.socket)
    return line.every(lambda one, theirs, ours: meets(one))


@rule("the first write after a reset, on a stream by our TCP", ENDS)
def _(line):
    return line.name in (*WRITES, "sendto", "sendmsg", "sendmmsg") and line.by_ours and (line.said("ECONNRESET", "EPIPE") or line.said("EPIPE", "ECONNRESET"))


@rule("read(2), write(2) on a connection that our TCP has given up", ENDS)
def _(line):
    return line.by_ours and (line.name in READS and line.said("ECONNREFUSED", "ECONNRESET") or line.name in WRITES and line.said("ECONNREFUSED", "EPIPE ECONNRESET"))


@rule("sendmmsg(2) on a stream by our TCP whose peer resets at the first of many: told to the next call", ENDS)
def _(line):
    return line.name == "sendmmsg" and line.by_ours and line.theirs.isdigit() and line.ours.isdigit() and int(line.theirs) <= int(line.ours)


@rule("splice(2) out of a stream by our TCP: an urgent octet, before which the kernel ends; one that was shut for reading and then reset", ENDS)
def _(line):
    return line.name == "splice_in" and line.by_ours and (
        line.said("0", "EAGAIN") or line.theirs == "0" and line.ours.isdigit() and urgent_to(line.model, line.socket) > 0 or line.said("ECONNRESET", "0") and 0 in line.socket.shut)


@rule("an urgent octet behind another that was not read: the kernel has lost the first, which a stream by our TCP has in line", ENDS)
def _(line):
    if line.name not in RECEIVES or not line.by_ours or not line.ours.isdigit():
        return False
    theirs = int(line.theirs) if line.theirs.isdigit() else 0 if line.theirs == "EAGAIN" else None
    return theirs is not None and 0 < int(line.ours) - theirs < urgent_to(line.model, line.socket)


@rule("POLLPRI of a stream by our TCP of which one of two urgent octets was read")
def _(line):
    return line.carried and line.every(lambda one, theirs, ours: one.stream and theirs | 2 == ours and urgent_to(line.model, one) > 1 and has_read(one))


@rule("write(2) of no octets, while a stream by our TCP connects")
def _(line):
    return line.name in (*WRITES, "sendto", "sendmsg") and line.by_ours and line.said("EAGAIN", "0")


@rule("a stream by our TCP that did not wait for its connect and was reset after the peer's end", ENDS)
def _(line):
    return line.name == "connect" and line.by_ours and line.said("EPIPE", "ECONNABORTED")


@rule("recv(2) of no octets on a stream by our TCP")
def _(line):
    return line.name in ("read", "recv", "recvfrom", "recvmsg") and line.by_ours and line.words[2] == "0" and (line.ours == "EAGAIN" or bool(line.flags() & 1) and line.said("0", "1"))


@rule("a read of no octets at an urgent octet, which a stream by our TCP has passed over then")
def _(line):
    nothing = lambda words, said: words[0] in RECEIVES and words[2] == "0" and said == "0"
    read = lambda one: any(nothing(words, said) for words, said in one.did)
    return line.carried and line.every(lambda one, theirs, ours: one.stream and theirs & 2 and ours == theirs & ~2 and urgent_to(line.model, one) > 0 and read(one))


@rule("an urgent octet that is in line on a stream by our TCP, of a set that does not watch for it (POLLPRI)")
def _(line):
    return line.name == "epoll_wait" and line.carried and line.every(lambda one, theirs, ours: one.stream and (theirs, ours) == (0, 1) and urgent_to(line.model, one) > 0)


@rule("readv(2) with a place that is not there, of writes that the kernel's TCP has put together and our TCP has not", ENDS)
def _(line):
    return line.name == "readv" and line.by_ours and line.words[3] == "1" and line.theirs == "EFAULT" and line.ours.isdigit()


@rule("a reset that recv(2) with MSG_WAITALL meets behind octets: a stream by our TCP has told of it then")
def _(line):
    def waited(one):
        """The last read has taken less than it asked for: the reset has ended it."""
        words, said = next(((words, said) for words, said in reversed(one.did) if words[0] in RECEIVES), ([""], ""))
        return words[0] in ("recv", "recvfrom", "recvmsg") and int(words[3]) & WAITALL and said.isdigit() and int(said) < int(words[2])
    if line.name == "state":
        return line.by_ours and line.call[0].endswith("error ECONNRESET") and line.call[0][:-10] + "none" == line.call[1] and waited(line.socket)
    return line.carried and line.every(lambda one, theirs, ours: one.stream and theirs ^ ours == 8 and theirs & 8 and waited(one))


def listener_was_shut(one, theirs, ours):
    """POLLOUT and POLLHUP for POLLIN, POLLRDHUP and POLLHUP; with those where it was shut once more."""
    return one.has("listen") and theirs & ~4 in (0x10, 0x2011, 0x11) and ours & 0x10 and not ours & 0xC


def ends_twice(one, theirs, ours):
    """The peer's end and then its reset, or a write that told of it: POLLERR or not; of one that was shut, with an urgent octet."""
    urgent = 2 if {0, 1} <= one.shut else 0
    return (theirs & ~urgent) ^ ours == 8 and theirs & 0x11


def is_undone(one, theirs, ours):
    """shutdown(2) or a child's while it connects: the object is that of a stream that has ended."""
    waits = one.has("connect", lambda words, said: said == "EINPROGRESS") and (bool(one.shut) or one.has("exec"))
    return waits and theirs & ~8 == 0x14 and ours & ~8 == 0x2015


def is_urgent_only(one, theirs, ours):
    """An urgent octet is readable on an AF_UNIX stream, and lost on one that was shut for reading."""
    return theirs & 2 and (ours == theirs | 1 or 0 in one.shut and ours == theirs & ~2)


def selects_otherwise(model, one, theirs, ours):
    """The same in the sets of select(2): 1 to read, 2 to write, 4 an urgent octet."""
    is_sent = any(other.stream and any(sends_urgent(words) for words, said in other.did) for other in model.all)
    if is_sent and theirs ^ ours in (1, 4, 5):
        return True
    return one.has("listen") and (one.has("shutdown") or one.has("drop") or is_undone_stream(one))


@rule("poll(2) of a stream by our TCP: a listener that was shut; the peer's end and then its reset; shut while it connects; an urgent octet only")
def _(line):
    kinds = (listener_was_shut, ends_twice, is_undone, is_urgent_only)
    if line.name == "select":
        differ = line.selects()
        return line.carried and bool(differ) and all(one is not None and one.stream and selects_otherwise(line.model, one, theirs, ours) for one, theirs, ours in differ)
    # Under one number another one may be watched, too, that shows room.
    room = 4 if line.name == "epoll_wait" else 0
    return line.every(lambda one, theirs, ours: one.stream and (line.carried or has_label(line.model, one)) and any(kind(one, theirs, ours) or room & theirs and kind(one, theirs, ours & ~room) for kind in kinds))


@rule("SO_ERROR after a write that has told of a reset behind the peer's end, on a stream by our TCP")
def _(line):
    if line.name == "state":
        told = lambda words: words[0] in (*WRITES, "sendto", "sendmsg", "sendmmsg", "fork", "exec")
        # Or a read, of one that was shut while it connected.
        if line.by_ours and line.socket.shut and line.call[0].endswith("error none") and line.call[0][:-4] + "ECONNRESET" == line.call[1]:
            return any(words[0] in READS and said == "ECONNRESET" for words, said in line.socket.did)
        kept = line.call[1].endswith(("error EPIPE", "error ECONNRESET", "error ECONNREFUSED"))
        return line.by_ours and line.call[0].endswith("error none") and kept and any(told(words) or words == ["drop", "1"] for words, _ in line.socket.did)
    return line.name == "getsockopt" and line.by_ours and line.words[2:4] == ["1", "4"] and " 20" in line.call[1]


@rule("TIOCOUTQ, SIOCOUTQNSD of a stream by our TCP that is over, which on the kernel count what never left, or a FIN")
def _(line):
    if line.name != "ioctl" or int(line.words[2]) % 9 not in (2, 3):
        return False
    return line.by_ours and (line.call[1].endswith("= 0 0") or bool(line.socket.shut))


@rule("SIOCOUTQNSD, TIOCOUTQ of a stream that was disconnected, by which the kernel has skipped as much as a window holds: by our TCP, and by IPv6, another one")
def _(line):
    asks = line.name == "ioctl" and int(line.words[2]) % 9 in (2, 3) and line.theirs == line.ours == "0"
    # One that was reset, of which connect(2) has told, is as if disconnected.
    was_reset = lambda words, said: said == "ECONNRESET"
    if not asks or not line.stream or not (is_undone_stream(line.socket) or line.socket.has("connect", was_reset)):
        return False
    joined = line.socket.accepted or line.socket.has("connect", lambda words, said: words[2] != "0" and said in ("0", "EINPROGRESS"))
    # One that never was connected has skipped what none needs to have (`tcp_disconnect`).
    undone = sum(words[0] == "connect" and words[2] == "0" and said == "0" for words, said in line.socket.did)
    return joined and (line.by_ours or line.socket.family == INET6) or line.by_ours and line.call[0].endswith(f"= 0 {2 * undone}") and line.call[1].endswith("= 0 0")


@rule("FIONREAD where listeners are not the kernel's, or streams were shut for reading")
def _(line):
    return line.name == "ioctl" and int(line.words[2]) % 9 == 0 and line.by_ours and (line.said("0 EFAULT", "EINVAL") and line.socket.has("listen") or line.call[1].endswith("= 0 0") and 0 in line.socket.shut)


@rule("FIONREAD of a stream by our TCP, which counts an urgent octet that is next and what is behind one")
def _(line):
    if line.name != "ioctl" or int(line.words[2]) % 9 or not line.by_ours:
        return False
    theirs, ours = (said.split()[-1] for said in line.call)
    return theirs.isdigit() and ours.isdigit() and int(ours) > int(theirs) and urgent_to(line.model, line.socket) > 0


@rule("an urgent octet that was read and is not passed over yet: POLLIN of a stream by our TCP")
def _(line):
    # Without room for it (MSG_TRUNC) it is read all the same.
    urgent = lambda words, said: int(words[3]) & 1 and said == ("0" if words[2] == "0" else "1")
    read = lambda one: one.has("recv", urgent) or one.has("recvfrom", urgent) or one.has("recvmsg", urgent)
    return line.carried and line.every(lambda one, theirs, ours: one.stream and theirs | 1 == ours and read(one))


@rule("an urgent octet and nothing else, on a stream by our TCP: POLLIN, also of who does not ask for POLLPRI")
def _(line):
    return line.name == "epoll_wait" and line.carried and line.every(
        lambda one, theirs, ours: one.stream and theirs | 1 == ours and not theirs & 2 and urgent_to(line.model, one) > 0 and not has_read(one))


@rule("SO_RCVLOWAT of a stream by our TCP: poll(2), select(2) and epoll(7) show fewer octets, too")
def _(line):
    asks = lambda words, said: words[2:4] == ["1", "18"] and words[4] not in ("0", "1") and said == "0"
    more = lambda one, theirs, ours: bool(one) and one.stream and theirs | 1 == ours and one.has("setsockopt", asks)
    if line.name == "select":
        differ = line.selects()
        return line.carried and bool(differ) and all(more(one, theirs, ours) for one, theirs, ours in differ)
    return line.carried and line.every(more)


@rule("recv(2) with MSG_PEEK on a stream by our TCP with SO_RCVLOWAT: it shows fewer octets, too")
def _(line):
    asks = lambda words, said: words[2:4] == ["1", "18"] and words[4] not in ("0", "1") and said == "0"
    looks = line.name == "recv" and line.by_ours and line.flags() & PEEK and not line.flags() & WAITALL
    fewer = looks and line.theirs.isdigit() and line.ours.isdigit() and int(line.ours) < int(line.theirs)
    return bool(fewer) and line.socket.has("setsockopt", asks)


@rule("FIONREAD of a listener that was shut, where listeners are not the kernel's")
def _(line):
    return line.name == "state" and line.by_ours and line.socket.has("listen") and line.call[0].replace("unread 0 0", "unread -1 0") == line.call[1]


@rule("octets for a stream by our TCP that was shut for reading", ENDS)
def _(line):
    return line.name in (*READS, "recvfrom", "recvmsg", "recvmmsg") and line.by_ours and 0 in line.socket.shut and (line.theirs.isdigit() or line.theirs == "ECONNRESET") and (line.ours.isdigit() or line.ours == "EAGAIN" or is_wrong_length(line))


def is_wrong_length(line):
    """Told of a name's length, which is looked at behind what there is to read."""
    return line.name == "recvfrom" and line.words[4].startswith("-") and line.ours == "EINVAL"


@rule("an edge more or less: here each octet of a stream by our TCP that was read is one, and a write that has failed")
def _(line):
    # One that is over wakes those who wait once more when it is shut (inet_shutdown).
    shut_again = lambda one: bool(one.did) and one.did[-1][0][0] == "shutdown" and one.did[-1][1] == "ENOTCONN"
    return line.name == "epoll_wait" and line.carried and line.every(
        lambda one, theirs, ours: one.stream and one.edges and (0 in (theirs, ours) and (theirs ^ ours) & 4 or theirs and not ours and shut_again(one)))


@rule("an edge less: AF_UNSPEC on a stream by our TCP that has no peer, or a connect(2) that waits and is refused, which the kernel tells of", ENDS)
def _(line):
    ended = lambda one: bool(one.did) and one.did[-1][0][0] == "connect" and (one.did[-1][0][2] == "0" and one.did[-1][1] == "0" or one.did[-1][1] == "ECONNREFUSED")
    return line.name == "epoll_wait" and line.carried and line.every(lambda one, theirs, ours: one.stream and one.edges and theirs == 0x10 and not ours and ended(one))


@rule("MSG_OOB of what has come from a stream that is closed since, which our TCP still has", ENDS)
def _(line):
    return line.name in ("recv", "recvfrom", "recvmsg") and line.by_ours and bool(line.flags() & 1) and line.said("ENOTCONN", "1") and urgent_to(line.model, line.socket) > 0


@rule("out of the run from ::1, which is no address outside of a host (RFC 4291, 2.5.3): on the kernel it is sent, and nobody answers", ENDS)
def _(line):
    here = lambda words, said: words[2:4] == ["10", "1"] and said == "0"
    # Who connects to :: comes from there, too.
    connected = lambda words, said: words[2:4] in (["10", "0"], ["10", "1"]) and said == "0"
    to = {"connect": 3, "sendto": 5, "sendmsg": 5, "sendmmsg": 5}.get(line.name)
    # Or to a group, which has its members there, too.
    outside = to is not None and (line.stream or line.datagram) and line.words[to - 1] == "10" and (line.words[to] == "12" or line.datagram and line.words[to] in ("4", "8", "10"))
    if not outside or not (line.socket.has("bind", here) or line.socket.has("connect", connected)):
        return False
    if line.stream:
        return line.said("EINPROGRESS", "EINVAL")
    # Bound to the loopback (IPV6_UNICAST_IF) there is no way at all; that it was shut is told where there is one.
    is_sent = line.theirs.isdigit() or line.theirs == "ECONNREFUSED" or line.theirs == "EPIPE" and 1 in line.socket.shut
    return is_sent and line.ours in ("EINVAL", "ENETUNREACH")


@rule("the size of the buffers of a stream that was disconnected, of which the kernel keeps what it grew to")
def _(line):
    left = lambda words, said: words[2] != "0" and said in ("0", "EINPROGRESS")
    asks = line.name == "getsockopt" and line.words[2:4] in (["1", "7"], ["1", "8"]) and line.theirs == line.ours == "0"
    return asks and line.stream and is_undone_stream(line.socket) and (line.socket.accepted or line.socket.has("connect", left))


@rule("a stream that was a listener and was disconnected or shut, which a child then connects: its copies do not follow", ENDS)
def _(line):
    shut = lambda one: one.has("shutdown", lambda words, said: words[2] in ("0", "2") and said == "0") or one.has("drop", lambda words, said: words[1] == "2" and said == "0")
    copied = lambda one: bool(one) and one.stream and one.childs_peer and (is_undone_stream(one) or shut(one)) and one.has("listen", lambda words, said: said == "0")
    if line.name in ("table", "diag"):
        # Its own row only, in which each has a peer.
        return lacks_rows(line, [one for one in line.model.all if copied(one)])
    if line.name in ("recv", "read", "recvfrom", "recvmsg"):
        return copied(line.socket) and line.said("EAGAIN", "ENOTCONN")
    if line.name == "connect":
        # The child's is over.
        return copied(line.socket) and line.said("0", "EINPROGRESS")
    # It says of itself what it said before: that it hangs up, where it waits, is connected or was refused; or nothing of the refusal.
    hangs_up = lambda theirs, ours: ours == 0x14 and theirs in (0, *PEERS)
    unsaid = lambda theirs, ours: bool(theirs & 8) and (theirs ^ ours == 8 or line.name == "epoll_wait" and not ours)
    return line.every(lambda one, theirs, ours: copied(one) and (hangs_up(theirs, ours) or unsaid(theirs, ours)))


@rule("a client of a published address that the gateway serves (by IPv6 of a listener of both families, and of listeners that share their port), which accepts beyond their backlog", ENDS)
def _(line):
    if line.name != "far_knock" or not line.said("EINPROGRESS", "0"):
        return False
    port, by_v6 = str(60 + int(line.words[2]) % 2), int(line.words[3]) % 2 == 1
    # Addresses of make_address() that are everybody's or the run's own.
    reached = {"10": ("0", "13")} if by_v6 else {"2": ("0", "13"), "10": ("0", "3", "15")}
    at = lambda words, said: words[4] == port and words[3] in reached.get(words[2], ()) and said == "0"
    set_to = lambda one, *option: next((words[4] for words, said in reversed(one.did) if words[0] == "setsockopt" and words[2:4] == [*option] and said == "0"), "0")
    both = lambda one: by_v6 and one.has("bind", lambda words, said: at(words, said) and words[3] == "0") and set_to(one, "41", "26") == "0"
    served = lambda one: both(one) or set_to(one, "1", "15") != "0"
    return any(one.stream and one.listens and line.model.is_open(one) and one.has("bind", at) and served(one) for one in line.model.all)
