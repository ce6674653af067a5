"""Differences between prise and the kernel that are known and accepted; docs/compat.md says them in words.

A rule looks at one line that differs, with what is known of its socket (model.py). It is of one kind of socket, of the calls that it
names and of the two answers that it names, and says whether what comes after it in the script can still be compared.
"""
import re

from model import DGRAM, ERRQUEUE, INET, INET6, MORE, PEEK, PORT, READS, RECEIVES, SENDS, STREAM, WRITES, answer

GOES_ON, ENDS = True, False
NETLINK = 16
RULES = []


SIGNAL = re.compile(r" told \d+:[0-9a-f]+| SIGURG")
ASYNC = "O_ASYNC on a stream by our TCP: an end besides room, and what is read by the supervisor"


HELD_BACK = "a signal too few: while a datagram is unread that agrees with the next one in nothing, that is held back"


def bare(line):
    """A line without the signals that came, which are between the answer and the readiness after it."""
    return SIGNAL.sub("", line)


def seen(line):
    """A list of readiness, by slot."""
    return dict(re.findall(r" (\d+):([0-9a-f]+)", bare(line).partition(" |")[0]))


class Line:
    """A call, both answers and the sockets before it. `carried`: streams within the run go by our TCP."""

    def __init__(self, model, native, prise, carried):
        self.model = model
        # Signals are no part of any answer: reason() looks at them.
        self.signals = SIGNAL.findall(native), SIGNAL.findall(prise)
        native, prise = bare(native), bare(prise)
        # What a watched script says after each call of all sockets is told apart from the call's own answer.
        if native.partition(" |")[0] == prise.partition(" |")[0] and " |" in native:
            native, prise = "poll" + native.partition(" |")[2], "poll" + prise.partition(" |")[2]
        self.native, self.prise = native, prise
        self.call = native.partition(" |")[0], prise.partition(" |")[0]
        self.words, self.by_child = model.words(native)
        self.name = self.words[0]
        # With a null pointer for an address they are the plain calls.
        if self.name == "sendto" and self.words[8:] == ["1"]:
            self.name = "send"
        if self.name == "recvfrom" and self.words[5:] == ["1"]:
            self.name = "recv"
        self.theirs, self.ours = answer(native), answer(prise)
        self.carried = carried
        self.socket = model.of(native)
        if self.name == "relay":
            self.relayed()

    stream = property(lambda self: bool(self.socket and self.socket.stream))
    datagram = property(lambda self: bool(self.socket and self.socket.datagram))
    # Its octets meet our TCP: by the run's options, because it is connected to itself, or by the flow label of one end.
    by_ours = property(lambda self: self.stream and (self.carried or self.socket.itself or has_label(self.model, self.socket)))

    def relayed(self):
        """Out of a socket through a pipe into another one: which of the two differs."""
        said = [line.partition(" = ")[2].split(" = ") for line in self.call]
        if said[0][0] == said[1][0] and len(said[0]) == len(said[1]) == 2:
            self.name, self.words = "splice_out", ["splice_out", *self.words[2:]]
            self.socket = self.model.slots.get(self.words[1])
            self.theirs, self.ours = (answer(f" = {one[1]}") for one in said)
        else:
            self.name, self.words = "splice_in", ["splice_in", self.words[1], *self.words[3:]]

    def flags(self):
        return int(self.words[3]) if self.name in ("send", "sendto", "sendmsg", "recv", "recvfrom", "recvmsg") else 0

    def said(self, kernel, here):
        return self.theirs in kernel.split() and self.ours in here.split()

    def shows(self):
        """Of a list of readiness, the sockets that differ: each with the kernel's and prise's; none if poll(2) shows other descriptors."""
        theirs, ours = (seen(line) for line in (self.native, self.prise))
        if self.name == "poll" and theirs.keys() != ours.keys():
            return []
        of = {**self.model.slots, **self.model.watched} if self.name == "epoll_wait" else self.model.slots
        return [(of.get(slot), int(theirs.get(slot, "0"), 16), int(ours.get(slot, "0"), 16))
                for slot in sorted(theirs | ours) if theirs.get(slot) != ours.get(slot)]

    def selects(self):
        """Of select(2), the sockets that differ: each with what the kernel and prise have in its sets."""
        theirs, ours = (dict(word.split(":") for word in call.partition(" = ")[2].split() if ":" in word) for call in self.call)
        return [(self.model.slots.get(slot), int(theirs.get(slot, "0")), int(ours.get(slot, "0")))
                for slot in sorted(theirs | ours) if theirs.get(slot) != ours.get(slot)]

    def apart(self):
        """A list of readiness as one for each socket that differs."""
        if self.name not in ("poll", "epoll_wait"):
            return []
        lists = [seen(line) for line in (self.native, self.prise)]
        differ = sorted(slot for slot in lists[0] | lists[1] if lists[0].get(slot) != lists[1].get(slot))
        only = lambda seen, slot: f"{self.name} {slot}:{seen[slot]}" if slot in seen else self.name
        return [Line(self.model, only(lists[0], slot), only(lists[1], slot), self.carried) for slot in differ]

    def every(self, test):
        """Whether it is readiness, and differs, and all that differs is of that kind."""
        shows = self.shows() if self.name in ("poll", "epoll_wait") else []
        return bool(shows) and all(one is not None and test(one, theirs, ours) for one, theirs, ours in shows)


def has_label(model, one):
    """It may choose a flow label (IPV6_FLOWINFO_SEND), or it was accepted from one that may."""
    may = lambda one: one.stream and one.family == INET6 and one.has("setsockopt", lambda words, said: words[2:4] == ["41", "33"] and words[4] != "0" and said == "0")
    return may(one) or one.accepted and any(may(other) and other.meets(one) for other in model.all)


def queues_errors(one):
    """IP_RECVERR, IPV6_RECVERR"""
    return one.has("setsockopt", lambda words, said: words[2:4] in (["0", "11"], ["41", "25"]) and said == "0")


def looks_from_offset(one):
    """SO_PEEK_OFF, which a value below 0 turns off."""
    values = [words[4] for words, said in one.did if words[0] == "setsockopt" and words[2:4] == ["1", "42"] and said == "0"]
    return bool(values) and not values[-1].startswith("-")


def sends_urgent(words):
    return words[0] in ("send", "sendto", "sendmsg") and bool(int(words[3]) & 1)


def urgent_to(model, one):
    """How many calls have sent an urgent octet that this stream may have heard."""
    return sum(sends_urgent(words) for other in model.all if other.stream and other.meets(one) for words, said in other.did if said.isdigit())


def has_read(one):
    """Whether octets were taken from it, by a child, too."""
    peeks = lambda words: words[0].startswith("recv") and int(words[3]) & PEEK
    took = lambda words: words[0] in (*RECEIVES, "relay") and not peeks(words) or words[0] == "exec" and words[2] == "3"
    return any(took(words) and said.isdigit() and 0 < int(said) for words, said in one.did)


def is_undone_datagram(one):
    """connect(2) with AF_UNSPEC."""
    return one.datagram and one.has("connect", lambda words, said: words[2] == "0" and said == "0")


def rule(why, after=GOES_ON):
    def enter(test):
        RULES.append((why, after, test))
        return test
    return enter


def lacks_held_back(line):
    """Only signals are missing of datagram sockets that have not read yet what somebody else has sent them than who sends now."""
    theirs, ours = (sorted(signals) for signals in line.signals)
    missing = [signal for signal in theirs if signal not in ours]
    slots = [re.fullmatch(r" told (\d+):41", signal) for signal in missing]
    if not missing or not all(slots) or sorted(missing + ours) != theirs or line.name not in SENDS:
        return False
    heard = lambda one: any(other is not line.socket for other in one.unread)
    return all((one := line.model.slots.get(slot[1])) is not None and one.datagram and heard(one) for slot in slots)


def reason(line):
    """Why these two answers to the same call differ and whether the script can be followed further, or None."""
    if line.signals[0] != line.signals[1]:
        if line.native == line.prise and lacks_held_back(line):
            return HELD_BACK, GOES_ON
        if not line.carried or any(" SIGURG" in signals for signals in line.signals) and not all(" SIGURG" in signals for signals in line.signals):
            return None
        if line.native == line.prise:
            return ASYNC, GOES_ON
    for why, after, test in RULES:
        if test(line):
            return why, after
    apart = line.apart()
    if len(apart) < 2:
        return None
    found = [reason(one) for one in apart]
    if not all(found):
        return None
    # Several sockets differ, each for a reason of its own.
    return next((one for one in found if one[1] == ENDS), found[0])


# Datagram sockets: what write(2), send(2), read(2) and recv(2) say is the AF_UNIX object's.

@rule("write(2), send(2) on a datagram socket without a peer: the object's error")
def _(line):
    return line.name in WRITES and line.datagram and line.socket.bound and line.said("EDESTADDRREQ", "ENOTCONN EPIPE EFAULT")


@rule("the same where errors wait in the queue, which poll(2) shows by a peer of the object's")
def _(line):
    # Or that was refused before it was disconnected: an object that was given a name keeps its peer.
    refused = lambda one: is_undone_datagram(one) and any(said in ("ECONNREFUSED", "ECONNRESET") or words[0] == "getsockopt" and words[2:4] == ["1", "4"] for words, said in one.did)
    if line.name in ("fork", "exec"):
        return line.datagram and (line.name == "fork" and line.words[2] == "3" and line.said("0", "1") or line.words[2] == "2" and line.said("189", "5")) and refused(line.socket)
    return line.name in WRITES and line.datagram and line.theirs == "EDESTADDRREQ" and line.ours.isdigit() and (queues_errors(line.socket) or refused(line.socket))


@rule("the same on one without a name, which gets a port on the kernel before it fails", ENDS)
def _(line):
    return line.name in WRITES and line.datagram and line.said("EDESTADDRREQ", "ENOTCONN EPIPE EFAULT")


@rule("the same by a child, or on an object of UDP that has lost its peer (which says what the kernel says): the name tells", ENDS)
def _(line):
    tried = lambda words, said: words[0] in WRITES and said == "EDESTADDRREQ" or words[0] == "exec" and words[2] == "2" and said == "189" or words[0] == "fork" and words[2] == "3" and said == "0"
    failed = lambda socket: socket.datagram and any(tried(words, said) for words, said in socket.did)
    if line.name in ("table", "diag"):
        return any(failed(one) for one in line.model.all)
    by_child = line.datagram and not line.socket.bound and (line.socket.has("fork", lambda words, said: words[2] == "3") or line.socket.has("exec", lambda words, said: words[2] == "2") or failed(line.socket))
    named = line.name in ("state", "getsockname") and "/P" in line.native and "/0" in line.prise
    # What it or another then connects to by its name is port 0 here.
    whom = (line.socket if line.socket.itself else line.socket.peer and line.socket.named) if line.datagram else None
    itself = line.name in ("state", "getpeername") and bool(whom) and failed(whom)
    # And who sends to its port or takes it.
    asks = PORT.get(line.name)
    whose = line.model.named(line.words[asks]) if asks and len(line.words) > asks else None
    if whose and failed(whose) and line.datagram:
        # Port 0 is looked at before the octets and the way.
        sends = line.name not in ("bind", "connect") and line.ours == "EINVAL" and (line.theirs.isdigit() or line.theirs in ("EFAULT", "EMSGSIZE", "ENETUNREACH", "EACCES", "ECONNREFUSED"))
        if sends or line.name == "bind" and line.said("EADDRINUSE", "0"):
            return True
    return itself or by_child and (named or line.name == "bind" and line.said("EINVAL", "0"))


@rule("recv(2), send(2) on a connected datagram socket that was refused, without an address", ENDS)
def _(line):
    # Disconnected since: the refusal still waits in the object, and a write that has nobody to write to takes it.
    if line.datagram and is_undone_datagram(line.socket):
        took = lambda words, said: words[0] == "fork" and words[2] == "3" and said == "0" or words[0] == "exec" and words[2] == "2" and said == "189"
        if line.name in WRITES and line.said("EDESTADDRREQ", "ECONNRESET") or line.name == "exec" and line.words[2] == "2" and line.said("189", "204"):
            return True
        if line.name in READS and line.said("ECONNREFUSED", "EAGAIN") and any(took(words, said) for words, said in line.socket.did):
            return True
    return line.name in READS + WRITES and line.datagram and line.said("ECONNREFUSED", "ECONNRESET")


@rule("the same where an error waits in the queue", ENDS)
def _(line):
    if line.name in ("fork", "exec"):
        return line.datagram and line.said("1 5 111 189", "0 5 204 211") and queues_errors(line.socket)
    # The kernel tells of the last error once, and of the queue not at all.
    theirs = line.theirs.isdigit() or line.theirs in ("ECONNREFUSED", "EAGAIN", "EDESTADDRREQ") or line.datagram and line.theirs == "EPIPE" and 1 in line.socket.shut
    return line.name in READS + WRITES and line.datagram and theirs and line.ours in ("ECONNRESET", "ECONNREFUSED") and queues_errors(line.socket)


@rule("POLLERR and SO_ERROR of errors in the queue, once a call that nobody judges was told of the last one")
def _(line):
    takes = lambda words, said: words[0] in READS + WRITES and said == "ECONNREFUSED" or (words[0], words[2]) == ("fork", "3") and said == "0" or (words[0], words[2]) == ("exec", "2") and said == "211"
    told = lambda one: one.datagram and queues_errors(one) and any(takes(words, said) for words, said in one.did if len(words) > 2)
    if line.name == "select":
        # It reads of such a one.
        differ = line.selects()
        return bool(differ) and all(one is not None and told(one) and (theirs, ours) == (theirs | 1, theirs & ~1) for one, theirs, ours in differ)
    if line.name == "state":
        # The error of the next one, which was the last one's until it was taken off the queue.
        return line.datagram and told(line.socket) and line.call[0].endswith("error none") and line.call[0][:-4] + "ECONNREFUSED" == line.call[1]
    return line.every(lambda one, theirs, ours: theirs ^ ours == 8 and theirs & 8 and told(one))


@rule("an edge more: that errors still wait in the queue is shown anew when one of them was told")
def _(line):
    return line.name == "epoll_wait" and line.every(lambda one, theirs, ours: one.datagram and one.edges and not theirs and ours == 8 and queues_errors(one))


@rule("options of TCP that run natively, on a stream by our TCP where those of others are the kernel's: the object is AF_UNIX's")
def _(line):
    # KEPT_BY_KERNEL and TCP_QUICKACK of prise-run: TCP_NODELAY, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT.
    native = line.name in ("setsockopt", "getsockopt") and line.words[2] == "6" and line.words[3] in ("1", "3", "4", "5", "6", "12", "18")
    return native and not line.carried and line.by_ours and line.said("0 EINVAL EFAULT", "EOPNOTSUPP")


@rule("options of TCP on a datagram socket, which nobody judges")
def _(line):
    return line.name in ("setsockopt", "getsockopt") and line.words[2] == "6" and line.datagram and line.said("ENOPROTOOPT", "EOPNOTSUPP EINVAL")


@rule("read(2), recv(2) of a datagram that has come to an unconnected socket after it was shut for reading", ENDS)
def _(line):
    is_deaf = lambda one: bool(one) and one.datagram and not one.peer and 0 in one.shut
    if line.name == "drop" and line.model.holders:
        held, what = line.model.holders[0]
        return what == 3 and is_deaf(held) and line.said("0", "1")
    if line.name == "exec":
        return line.words[2] == "3" and is_deaf(line.socket) and line.theirs.isdigit() and int(line.theirs) < 100 and line.ours == "111"
    return line.name in READS and is_deaf(line.socket) and (line.theirs.isdigit() or line.theirs == "EFAULT") and line.ours in ("0", "EAGAIN")


@rule("the first datagram to a socket that was shut for reading and closed with one unread, which is not refused", ENDS)
def _(line):
    closed = lambda one: 0 in one.shut and bool(one.unread) and one not in line.model.slots.values()
    return line.every(lambda one, theirs, ours: one.datagram and theirs ^ ours == 8 and theirs & 8 and any(closed(other) and one.meets(other) for other in line.model.all if other.datagram))


@rule("MSG_TRUNC where a datagram is looked at from an offset (SO_PEEK_OFF): UDP compares the room with the whole datagram, and tells of that")
def _(line):
    looks = line.name in ("recv", "recvfrom", "recvmsg") and line.datagram and line.flags() & PEEK and looks_from_offset(line.socket)
    if looks and line.flags() & 0x20 and line.theirs.isdigit() and line.ours.isdigit():
        return int(line.theirs) > int(line.ours)
    return bool(looks) and line.name == "recvmsg" and " flags 20" in line.call[0] and line.call[0].replace(" flags 20", " flags 0") == line.call[1]


@rule("FIONREAD of a datagram socket that was shut for reading")
def _(line):
    return line.name == "ioctl" and int(line.words[2]) % 9 == 0 and line.datagram and 0 in line.socket.shut and line.call[1].endswith("= 0 0")


@rule("write(2), send(2) on a ping socket: what is no echo request is taken", ENDS)
def _(line):
    return line.name in WRITES and line.datagram and line.socket.ping and line.theirs in ("EINVAL", "EMSGSIZE", "EFAULT") and (line.ours in ("ENOTCONN", "EFAULT") or line.ours.isdigit())


@rule("the same by a child", ENDS)
def _(line):
    return line.name in ("fork", "exec") and line.datagram and line.socket.ping and line.words[2] in ("2", "3")


@rule("which of two mistakes a ping socket is told of")
def _(line):
    if line.name == "bind":
        return line.datagram and line.socket.ping and line.said("EADDRNOTAVAIL", "EINVAL")
    return line.name in ("send", "sendto", "sendmsg", "sendmmsg", "echo") and line.datagram and line.socket.ping and (line.said("EFAULT", "EINVAL") or line.said("EOPNOTSUPP", "EDESTADDRREQ EINVAL") or line.said("EINVAL EFAULT", "EDESTADDRREQ ENETUNREACH EOPNOTSUPP EAFNOSUPPORT EFAULT EACCES EPERM"))


@rule("a datagram socket that was shut for writing says so before what is wrong with the datagram")
def _(line):
    return line.name in (*WRITES, "sendto", "sendmsg", "sendmmsg") and line.datagram and 1 in line.socket.shut and line.said("EMSGSIZE EFAULT EINVAL", "EPIPE")


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


@rule("write(2), send(2) of more than UDP takes, in octets or in segments (UDP_SEGMENT): told to the next call", ENDS)
def _(line):
    return line.name in WRITES and line.datagram and not line.socket.ping and line.said("EMSGSIZE EINVAL", line.ours) and line.ours.isdigit()


@rule("a datagram that is too long by its headers only and lies at a bad address: which of the two is told")
def _(line):
    return line.name in ("sendto", "sendmsg") and line.datagram and line.said("EMSGSIZE", "EFAULT")


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
    return line.name in ("state", "getsockname", "table", "diag") and unnumbered[0] == unnumbered[1] and are_numbered_later(line, picked)


@rule("FIONREAD of netlink, which has none on the kernel")
def _(line):
    return line.name == "state" and " family 16" in line.native and line.call[0].replace("unread -1 0", "unread 0 0") == line.call[1]


@rule("mmap(2) of a stream by our TCP (TCP_ZEROCOPY_RECEIVE); SO_ZEROCOPY of one")
def _(line):
    if line.name in ("setsockopt", "getsockopt"):
        return line.words[2:4] == ["6", "35"] and line.said("EFAULT", "EINVAL") or line.words[2:4] == ["1", "60"] and line.by_ours and line.ours == "EOPNOTSUPP"
    return line.name == "file" and line.words[2] == "6" and line.by_ours and line.said("0 EPERM EINVAL", "ENODEV")


@rule("classic BPF on a stream, of which the machine's kernel says EPERM")
def _(line):
    return line.name == "setsockopt" and line.words[2:4] == ["1", "26"] and line.stream and line.theirs == "EPERM"


@rule("what a program says that was executed with a datagram socket whose error waits, which it takes natively", ENDS)
def _(line):
    return line.name == "exec" and line.datagram and line.words[2] in ("2", "3") and line.said("211", "204")


@rule("what a program says that was executed with such a socket")
def _(line):
    # 100 and the error: EPIPE for ENOTCONN, ENOTCONN or an end for EINVAL, ECONNRESET and ECONNREFUSED for EPIPE.
    by_ours = line.by_ours and (line.said("132", "207") or line.said("207", "122") or line.said("204", "132") or line.said("211", "132") or line.said("0", "122") and 0 in line.socket.shut)
    return line.name == "exec" and (by_ours or line.datagram and line.words[2] in ("2", "3") and line.said("189", "207 132"))


@rule("FIONREAD of a ping socket, which has none on the kernel")
def _(line):
    return line.datagram and line.socket.ping and (line.name == "state" and line.call[0].replace("unread -1 0", "unread 0 0") == line.call[1] or line.name == "ioctl" and int(line.words[2]) % 9 in (0, 2) and line.theirs == "ENOTTY")


def hears_corked(model, one):
    """Whether it, or one that may hear of it, was sent octets with MSG_MORE."""
    return any(other.corked and other.kind == one.kind and one.meets(other) for other in model.all)


def is_left(model, one):
    """Whether nobody has a descriptor of a stream's peer any more; one that was disconnected is none."""
    others = [*model.slots.values(), *(held for held, _ in model.holders)]
    return not any(other is not one and other.meets(one) and not is_undone_stream(other) for other in others)


OCTETS = {
    # With a bad address of what has not come, EAGAIN.
    DGRAM: ({"ECONNREFUSED", "ECONNRESET", "EAGAIN"}, {"EFAULT", "EAGAIN"}, {"EFAULT", "ECONNREFUSED"}),
    STREAM: ({"ECONNRESET", "EPIPE", "EAGAIN"}, {"EFAULT", "EAGAIN"}, {"EFAULT", "0"}),
}


def is_of_octets(line):
    """Of the calls on one socket, those that tell what has come and what was left of what it sent: both answers are of that."""
    unread = lambda said: re.sub(r"unread -?\d+ -?\d+ error \w+", "", said)
    if line.name == "state":
        return unread(line.call[0]) == unread(line.call[1])
    if line.name in (*SENDS, *RECEIVES):
        said = {line.theirs, line.ours}
        errors = {one for one in said if not one.isdigit()}
        return errors <= OCTETS[line.socket.kind][0] or said in OCTETS[line.socket.kind][1:]
    if line.name == "getpeername":
        return line.stream and {line.theirs, line.ours} == {"0", "ENOTCONN"}
    of_octets = line.name == "ioctl" and int(line.words[2]) % 9 in (0, 1, 2, 3) or line.name == "getsockopt" and line.words[2:4] == ["1", "4"]
    return of_octets and line.theirs == line.ours == "0"


@rule("MSG_MORE of send(2) and of sendfile(2) on a datagram socket, which is not seen", ENDS)
def _(line):
    hears = lambda one: bool(one) and one.datagram and hears_corked(line.model, one)
    if line.name == "select":
        differ = line.selects()
        return bool(differ) and all(hears(one) for one, _, _ in differ)
    if line.datagram and line.socket.corked and line.name in SENDS:
        # What was begun goes on after shutdown(2), and has left here, and may have been refused.
        if 1 in line.socket.shut and line.theirs.isdigit() and line.ours == "EPIPE" or line.theirs == "EINVAL" and (line.ours in ("ECONNREFUSED", "ECONNRESET") or line.ours.isdigit()):
            return True
    # What another has been sent before is not here, of which a child says so.
    if line.name == "exec" and line.words[2] == "3" and line.said("3", "111") and line.datagram and hears_corked(line.model, line.socket):
        return True
    sends_more = line.datagram and line.flags() & MORE and line.name == "send"
    return line.every(lambda one, theirs, ours: hears(one) and not (theirs ^ ours) & ~0xD) or bool(sends_more or hears(line.socket)) and is_of_octets(line)


@rule("write(2), send(2) behind a sendto(2) or sendmsg(2) with MSG_MORE on a datagram socket without a peer, whose datagram they go on with", ENDS)
def _(line):
    begun = line.datagram and line.socket.begun and not line.socket.peer
    return line.name in WRITES and begun and line.theirs.isdigit() and line.ours in ("ENOTCONN", "EPIPE", "EDESTADDRREQ")


@rule("TIOCOUTQ of a datagram that was begun with MSG_MORE, which on the kernel counts its buffer")
def _(line):
    asks = line.name == "ioctl" and int(line.words[2]) % 9 == 2 and line.theirs == line.ours == "0" and line.call[1].endswith(" = 0 0")
    return asks and line.datagram and line.socket.begun


@rule("what follows MSG_MORE on a datagram socket, which goes where the first octets go, whatever it names", ENDS)
def _(line):
    # That both together are too long is seen before the way, too.
    goes_on = line.theirs.isdigit() or line.theirs == "EMSGSIZE"
    return line.name in ("sendto", "sendmsg", "sendmmsg") and line.datagram and line.socket.corked and goes_on and line.ours in ("EINVAL", "EACCES", "ENETUNREACH", "EAFNOSUPPORT")


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


@rule("a datagram socket that was connected to port 0, to which errors of all ports are told", ENDS)
def _(line):
    nowhere = line.datagram and line.socket.peer and line.socket.peer != "accepted" and int(line.socket.peer[4]) >= 100
    refused = line.name in ("recv", "recvfrom", "recvmsg", "write", "send") and line.theirs == "ECONNREFUSED" and (line.ours in ("EAGAIN", "EINVAL") or line.ours.isdigit())
    if line.name == "state":
        return nowhere and line.call[0].endswith("error ECONNREFUSED") and line.call[1].endswith("error EINVAL")
    taken = line.name in WRITES and (line.ours == "EINVAL" and line.theirs.isdigit() or line.said("EINVAL", "EFAULT"))
    # What was written before is told to a child, which writes.
    taken = taken or line.name == "exec" and line.words[2] == "2" and line.said("5", "204")
    # A peer that it names anew (`udpv6_sendmsg`) must have a port.
    taken = taken or line.name == "fork" and line.words[2] == "3" and line.said("0", "1") and line.datagram and line.socket.family == INET6
    return nowhere and (refused or taken)


@rule("an edge more or less: each datagram that has left is one on the kernel; here a write that fails is, too")
def _(line):
    # An edge shows all that is there: to read, too.
    failed = lambda one: any(words[0] in WRITES and not said.isdigit() for words, said in one.did[one.waited:])
    shown = lambda one, theirs, ours: not theirs and ours == 5 and failed(one)
    # What lies in the queue of one that connect(2) with AF_UNSPEC disconnects is put there anew.
    put_anew = lambda one, theirs, ours: not theirs and ours & 1 and is_undone_datagram(one) and one.did[-1][0][0] == "connect" and bool(one.unread)
    edge = lambda one, theirs, ours: theirs ^ ours == 4 or theirs & 4 and not ours or shown(one, theirs, ours) or put_anew(one, theirs, ours)
    return line.name == "epoll_wait" and line.every(lambda one, theirs, ours: one.datagram and one.edges and bool(edge(one, theirs, ours)))


@rule("a datagram socket whose connect(2) to a broadcast address has failed: the kernel's next datagrams but one go there nevertheless", ENDS)
def _(line):
    lost = lambda one: one.datagram and one.has("connect", lambda words, said: words[3] == "3" and said == "EACCES")
    if line.name in ("poll", "epoll_wait"):
        return line.every(lambda one, theirs, ours: lost(one))
    return line.name in ("write", "send", "sendto", "sendmsg", "recv", "read") and line.datagram and lost(line.socket)


# Streams by our TCP (`--no-join`, `--link none`, a socket that is connected to itself): the object is AF_UNIX's.

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


def is_undone_stream(socket):
    """connect(2) with AF_UNSPEC."""
    return socket.stream and socket.has("connect", lambda words, said: words[2] == "0" and said == "0")


@rule("what a write or a child's has told of a stream by our TCP that died, which is told to the next call that is judged", ENDS)
def _(line):
    dead = line.name in (*READS, "recvfrom", "recvmsg", "recvmmsg") and line.theirs.isdigit() and line.ours in ("EPIPE", "ECONNRESET", "ECONNREFUSED")
    connects = line.name == "connect" and line.said("ECONNABORTED", "EPIPE")
    return (dead or connects) and line.by_ours and was_written_to(line.socket)


@rule("a thread that waits on a stream by our TCP, which is disconnected or shut; what a child does that holds one", ENDS)
def _(line):
    if line.native.startswith("join"):
        undone = line.said("EPIPE", "0") and is_undone_stream(line.socket)
        return line.by_ours and (line.name == "pollone" or line.ours == "ECONNRESET" or undone)
    if line.name != "drop" or not line.carried or not line.model.holders:
        return False
    held, what = line.model.holders[0]
    return held.stream and what != 0


@rule("SO_TIMESTAMPING of streams by our TCP: what has left is not told")
def _(line):
    asks = lambda words, said: words[2:4] == ["1", "37"] and said == "0"
    return line.carried and line.every(lambda one, theirs, ours: one.stream and theirs ^ ours == 8 and theirs & 8 and one.has("setsockopt", asks))


@rule("a stream by our TCP whose connect(2) has failed, or that was disconnected, has another object: what told once (EPOLLONESHOT) tells that it hangs up")
def _(line):
    failed = lambda words, said: words[2] != "0" and said in ("ECONNREFUSED", "ECONNRESET", "ECONNABORTED")
    # Where the kernel carries streams, only of one that was a listener.
    anew = lambda one: (line.carried or one.has("listen")) and (one.has("connect", failed) or line.carried and is_undone_stream(one))
    return line.name == "epoll_wait" and line.every(lambda one, theirs, ours: one.stream and one.once and not theirs and ours & 0x10 and anew(one))


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
    again = lambda one: one.stream and one.childs and one.has("listen") and (one.has("shutdown") or (["drop", "2"], "0") in one.did)
    if line.name in ("state", "getsockname"):
        # Its name is that of the child's connect(2) that has failed.
        name = lambda said: re.sub(r"len \d+ [0-9a-f:.]+/", "", said, count=1)
        return line.stream and again(line.socket) and name(line.call[0]) == name(line.call[1])
    if line.name in RECEIVES:
        # The end of what was shut, or as many messages of nothing.
        is_end = line.ours == "0" or line.name == "recvmmsg" and set(re.findall(r"\((\d+)", line.call[1])) == {"0"}
        return line.stream and again(line.socket) and line.theirs == "ENOTCONN" and is_end
    # That of the shut one: POLLOUT and POLLHUP.
    return line.every(lambda one, theirs, ours: again(one) and ours == 0x14)


@rule("a listener by our TCP that a process shuts which has held it since before listen(2): what it holds is another object", ENDS)
def _(line):
    def by_holder(one):
        names = [words[0] for words, _ in one.did]
        return one.stream and "hold" in names and "listen" in names[names.index("hold"):] and (["drop", "2"], "0") in one.did
    return line.carried and line.every(lambda one, theirs, ours: by_holder(one) and theirs == 0x14 and ours == 0)


@rule("listen(2) of a stream by our TCP that was disconnected: SO_ERROR of its connection")
def _(line):
    return line.name == "state" and line.carried and line.stream and is_undone_stream(line.socket) and line.call[0].replace("error ECONNRESET", "error none") == line.call[1]


@rule("SO_PEEK_OFF of a datagram socket, of a datagram that was read in part: it goes back by the whole, where UDP goes back by the part", ENDS)
def _(line):
    reads = line.name in (*READS, "recvfrom", "recvmsg", "recvmmsg") or line.name == "getsockopt" and line.words[2:4] == ["1", "42"]
    return reads and line.datagram and looks_from_offset(line.socket) and line.socket.has("recv", lambda words, said: said.isdigit())


@rule("the table of a datagram socket of IPv6 that was disconnected: the kernel leaves the peer's address in it")
def _(line):
    return line.name in ("table", "diag") and any(one.datagram and one.family == INET6 and one.has("connect", lambda words, said: words[2] == "0" and said == "0") for one in line.model.all)


@rule("an error for a datagram socket of IPv6 that was disconnected from a peer of IPv4, whose address the kernel still compares (`sk_v6_daddr`): it is lost there", ENDS)
def _(line):
    by_v4 = lambda words, said: (words[2] == "2" or words[2] == "10" and words[3] in ("2", "3", "5")) and said == "0"
    kept = lambda one: one.datagram and one.family == INET6 and not one.peer and is_undone_datagram(one) and one.has("connect", by_v4)
    return line.every(lambda one, theirs, ours: kept(one) and ours == theirs | 8 and ours != theirs and queues_errors(one))


@rule("bind(2) of a group of SO_REUSEPORT beside one that is none: the kernel remembers the group, and forgets the other (`sk_reuseport_match`; of UDP the one that was bound last, `udp_lib_lport_inuse`)", ENDS)
def _(line):
    shares = lambda words, said: words[2:4] == ["1", "15"] and words[4] != "0" and said == "0"
    return line.name in ("bind", "listen") and line.said("0", "EADDRINUSE") and (line.stream or line.datagram) and line.socket.has("setsockopt", shares)


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


@rule("SIOCGSTAMP of what was only looked at, or not all read")
def _(line):
    return line.name == "ioctl" and int(line.words[2]) % 9 == 8 and line.datagram and line.said("EFAULT 0", "ENOENT")


@rule("send(2) of nothing on a socket of netlink")
def _(line):
    return line.name in (*WRITES, "sendto", "sendmsg") and bool(line.socket) and line.socket.family == NETLINK and line.said("ENODATA", "0")


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


@rule("POLLERR of a refused datagram socket that was shut for reading")
def _(line):
    return line.every(lambda one, theirs, ours: one.datagram and 0 in one.shut and theirs ^ ours == 8)


@rule("write(2) of no octets, while a stream by our TCP connects")
def _(line):
    return line.name in (*WRITES, "sendto", "sendmsg") and line.by_ours and line.said("EAGAIN", "0")


@rule("a stream by our TCP that did not wait for its connect and was reset after the peer's end", ENDS)
def _(line):
    return line.name == "connect" and line.by_ours and line.said("EPIPE", "ECONNABORTED")


@rule("recv(2) of no octets on a stream by our TCP")
def _(line):
    return line.name in ("read", "recv", "recvfrom", "recvmsg") and line.by_ours and line.words[2] == "0" and line.ours == "EAGAIN"


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
    if not asks or not line.stream or not is_undone_stream(line.socket):
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
    urgent = lambda words, said: words[2] != "0" and int(words[3]) & 1 and said == "1"
    read = lambda one: one.has("recv", urgent) or one.has("recvfrom", urgent) or one.has("recvmsg", urgent)
    return line.carried and line.every(lambda one, theirs, ours: one.stream and theirs | 1 == ours and read(one))


@rule("SO_RCVLOWAT of a stream by our TCP: poll(2), select(2) and epoll(7) show fewer octets, too")
def _(line):
    asks = lambda words, said: words[2:4] == ["1", "18"] and words[4] not in ("0", "1") and said == "0"
    more = lambda one, theirs, ours: bool(one) and one.stream and theirs | 1 == ours and one.has("setsockopt", asks)
    if line.name == "select":
        differ = line.selects()
        return line.carried and bool(differ) and all(more(one, theirs, ours) for one, theirs, ours in differ)
    return line.carried and line.every(more)


@rule("FIONREAD of a listener that was shut, where listeners are not the kernel's")
def _(line):
    return line.name == "state" and line.by_ours and line.socket.has("listen") and line.call[0].replace("unread 0 0", "unread -1 0") == line.call[1]


@rule("octets for a stream by our TCP that was shut for reading", ENDS)
def _(line):
    return line.name in (*READS, "recvfrom", "recvmsg", "recvmmsg") and line.by_ours and 0 in line.socket.shut and (line.theirs.isdigit() or line.theirs == "ECONNRESET") and (line.ours.isdigit() or line.ours == "EAGAIN")


@rule("an edge more or less: here each octet of a stream by our TCP that was read is one, and a write that has failed")
def _(line):
    # One that is over wakes those who wait once more when it is shut (inet_shutdown).
    shut_again = lambda one: bool(one.did) and one.did[-1][0][0] == "shutdown" and one.did[-1][1] == "ENOTCONN"
    return line.name == "epoll_wait" and line.carried and line.every(
        lambda one, theirs, ours: one.stream and one.edges and (0 in (theirs, ours) and (theirs ^ ours) & 4 or theirs and not ours and shut_again(one)))


# Oddities of the kernel, and of the machine.

@rule("an option that names a link, where the kernel's side has none but lo", ENDS)
def _(line):
    # A group, too (IPV6_JOIN_GROUP), of no link: the one that its way leads to.
    return line.name == "setsockopt" and (line.words[2:5] == ["41", "17", "2"] or line.words[2:4] == ["41", "20"]) and line.said("ENODEV", "0")


@rule("the kernel's side has no link but lo", ENDS)
def _(line):
    return line.name in ("sendto", "sendmsg", "sendmmsg", "connect", "echo") and line.theirs == "ENETUNREACH" and leads_out(line)


@rule("the kernel still speaks IPv4 for a socket of IPv6 that was refused by IPv4", ENDS)
def _(line):
    refused = lambda words, said: words[2] == "10" and words[3] in ("2", "3", "5") and said in ("ECONNREFUSED", "EINPROGRESS", "ECONNABORTED")
    spoke = lambda one: one.stream and one.family == INET6 and one.has("connect", refused)
    if line.name in ("poll", "epoll_wait"):
        return line.every(lambda one, theirs, ours: spoke(one))
    return line.name in ("connect", "write", "send", "recv") and line.stream and spoke(line.socket)


@rule("a socket that was shut and connects to itself", ENDS)
def _(line):
    if line.name in ("poll", "epoll_wait"):
        return line.every(lambda one, theirs, ours: one.stream and one.itself and bool(one.shut))
    nine = lambda: line.words[4] == "9" and line.socket.has("bind", lambda words, said: words[4] == "9" and said == "0")
    return line.name == "connect" and line.theirs == "ECONNABORTED" and line.stream and bool(line.socket.shut) and (line.socket.itself or nine())


@rule("a group of IPv6 asked of a socket that is bound or connected to IPv4")
def _(line):
    return line.name == "connect" and line.ours == "EAFNOSUPPORT" and leads_out(line)


@rule("a stream bound to a broadcast address, which the kernel does not connect from", ENDS)
def _(line):
    return line.name == "connect" and line.stream and line.socket.has("bind", lambda words, said: words[2:4] == ["2", "3"] and said == "0")


@rule("the address of a stream that was shut while it connected, or refused when its first octets connected it (TCP_FASTOPEN_CONNECT), which the kernel gives up")
def _(line):
    waits = lambda words, said: said == "EINPROGRESS"
    late = lambda: line.socket.has("setsockopt", lambda words, said: words[2:4] == ["6", "30"] and said == "0") and line.socket.has("send", lambda words, said: said == "ECONNREFUSED")
    bare = lambda said: re.sub(r"len \d+ [0-9a-f:.]+/", "", said, count=1)
    given_up = re.search(r"len (28 ::|16 0\.0\.0\.0)/P", line.call[0])
    return line.name in ("state", "getsockname") and line.stream and bool(given_up) and bare(line.call[0]) == bare(line.call[1]) and (line.socket.has("connect", waits) and bool(line.socket.shut) or late())


@rule("a datagram of IPv6 with more octets than IPv4 carries, from an object of UDP (a peer that is not there, or the program itself)", ENDS)
def _(line):
    return line.name in WRITES and line.datagram and line.socket.family == INET6 and line.theirs.isdigit() and line.ours == "EMSGSIZE" and 65507 < int(line.theirs) <= 65527


@rule("the same where it comes: to a socket with an object of UDP, which has a peer", ENDS)
def _(line):
    long = lambda one: any(words[0] in (*SENDS,) and said.isdigit() and 65507 < int(said) <= 65527 for words, said in one.did)
    hears = lambda one: bool(one) and one.datagram and one.family == INET6 and any(other.datagram and long(other) and one.meets(other) for other in line.model.all)
    if line.name == "select":
        differ = line.selects()
        return bool(differ) and all(hears(one) and theirs ^ ours == 1 for one, theirs, ours in differ)
    return line.every(lambda one, theirs, ours: theirs ^ ours == 1 and hears(one)) or (
        line.name in RECEIVES and hears(line.socket) and line.theirs.isdigit() and (line.ours.isdigit() or line.ours == "EAGAIN"))


@rule("SO_SELECT_ERR_QUEUE: POLLPRI beside POLLERR")
def _(line):
    asks = lambda one: bool(one) and one.has("setsockopt", lambda words, said: words[2:4] == ["1", "45"] and words[4] != "0" and said == "0")
    if line.name == "select":
        differ = line.selects()
        return bool(differ) and all(asks(one) and theirs ^ ours == 4 for one, theirs, ours in differ)
    return line.every(lambda one, theirs, ours: asks(one) and theirs ^ ours == 2 and theirs & 8)


@rule("a raw socket, which needs no privilege here; netlink of IPsec; what is wrong with a socket of netlink", ENDS)
def _(line):
    return line.name == "socket" and (line.theirs, line.ours) in {("EPERM", "0"), ("EPERM", "EPROTONOSUPPORT"), ("0", "EPROTONOSUPPORT"), ("EINVAL", "ESOCKTNOSUPPORT")}


@rule("a stream that was shut when its connect had failed, of which nobody had been told", ENDS)
def _(line):
    return line.name == "listen" and line.stream and line.said("EINVAL", "0") and line.socket.has("shutdown", lambda words, said: said == "ENOTCONN")


@rule("TCP_LINGER2 below 0: whether the peer has acknowledged the end when the socket is closed, on which a reset depends, is a matter of microseconds", ENDS)
def _(line):
    unkind = lambda words, said: words[2:4] == ["6", "8"] and words[4].startswith("-") and said == "0"
    if not any(one.stream and one.has("setsockopt", unkind) for one in line.model.all):
        return False
    # By our TCP a reset behind the peer's end shows no error.
    differ = (0x18, 0x10) if line.carried else (0x18,)
    return line.every(lambda one, theirs, ours: one.stream and theirs ^ ours in differ) or line.stream and (line.theirs == "EPIPE" or line.ours == "EPIPE")


@rule("the machine's own default of congestion control")
def _(line):
    return line.name == "getsockopt" and line.words[2:4] == ["6", "13"] and " 62" in line.native and " 63" in line.prise


# Level and name: TCP_TIMESTAMP (a clock), TCP_CC_INFO (of the machine's congestion control), SO_INCOMING_CPU, IP_PROTOCOL and SO_PEERNAME (ports),
# TCP_QUICKACK, which changes by itself.
CHANCE = {("6", "24"), ("6", "26"), ("6", "12"), ("1", "49"), ("0", "52"), ("1", "28")}
# SO_ATTACH_BPF.
MISSING = {("1", "50")}
# SO_SNDBUF and SO_RCVBUF after autotuning, SO_TIMESTAMPING, TCP_MAXSEG, TCP_WINDOW_CLAMP.
CARRIED = {("1", "7"), ("1", "8"), ("1", "37"), ("6", "2"), ("6", "10")}
# IP_MULTICAST_TTL, IPV6_MULTICAST_IF and _HOPS, taken from the first packets of what was accepted.
ACCEPTED = {("0", "33"), ("41", "17"), ("41", "18")}


@rule("an option that is a matter of chance or of the machine")
def _(line):
    return line.name in ("getsockopt", "setsockopt") and tuple(line.words[2:4]) in CHANCE


@rule("an option that is not there")
def _(line):
    return line.name in ("getsockopt", "setsockopt") and tuple(line.words[2:4]) in MISSING


@rule("sizes of buffers and segments, SO_TIMESTAMPING of streams by our TCP")
def _(line):
    return line.name in ("getsockopt", "setsockopt") and line.by_ours and tuple(line.words[2:4]) in CARRIED


@rule("TCP_MAXSEG of a stream before it is connected: what the kernel keeps of a connection before, or of a connect that failed; within the run over IPv6 the kernel's end is IPv4")
def _(line):
    tried = lambda: is_undone_stream(line.socket) or line.socket.has("connect", lambda words, said: words[2] != "0" and said in ("ECONNREFUSED", "EINPROGRESS"))
    return line.name == "getsockopt" and line.words[2:4] == ["6", "2"] and line.stream and line.theirs == line.ours == "0" and tried()


@rule("options of multicast that an accepted stream has from its first packets; IP_MTU within the run over IPv6, of which the kernel's end is IPv4")
def _(line):
    if line.name != "getsockopt" or not line.stream:
        return False
    return tuple(line.words[2:4]) in ACCEPTED and line.socket.accepted or line.words[2:4] == ["0", "14"] and line.socket.family == INET6


def leads_out(line):
    """Whether it is about an address that is not of lo, of the interpreter's addresses; :: is no host's for a ping."""
    which = line.words[3 if line.name == "connect" else 5]
    return which in ("4", "6", "7", "8", "9") or line.name == "echo" and which == "0"
