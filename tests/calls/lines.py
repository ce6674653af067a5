"""A line that differs, with what is known of its socket, and what the rules of all kinds ask of both (known.py)."""
import collections
import re

from model import DGRAM, INET, INET6, PEEK, RECEIVES, SENDS, STREAM, answer

GOES_ON, ENDS = True, False
RULES = []


SIGNAL = re.compile(r" told \d+:[0-9a-f]+| SIGURG")


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
        self.watched = model.watched
        if native.startswith("event_wait "):
            self.watched = model.watched_by.get(native.split()[1], {})
            # Of one of several sets: how many it tells of follows from what it tells.
            native, prise = ("epoll_wait" + "".join(re.findall(r" \d+:[0-9a-f]+", line.partition(" |")[0])) for line in (native, prise))
        if native.startswith("masked ") and native.partition(" left")[2] == prise.partition(" left")[2]:
            # What such a call tells of its socket or set.
            how = "poll" if int(native.split()[2]) % 4 == 0 else "epoll_wait"
            native, prise = (how + "".join(re.findall(r" \d+:[0-9a-f]+", line.partition(" |")[0])) for line in (native, prise))
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
        of = {**self.model.slots, **self.watched} if self.name == "epoll_wait" else self.model.slots
        return [(of.get(slot), int(theirs.get(slot, "0"), 16), int(ours.get(slot, "0"), 16))
                for slot in sorted(theirs | ours) if theirs.get(slot) != ours.get(slot)]

    def selects(self):
        """Of select(2), the sockets that differ: each with what the kernel and prise have in its sets."""
        theirs, ours = (dict(word.split(":") for word in call.partition(" = ")[2].split() if ":" in word) for call in self.call)
        return [(self.model.slots.get(slot), int(theirs.get(slot, "0")), int(ours.get(slot, "0")))
                for slot in sorted(theirs | ours) if theirs.get(slot) != ours.get(slot)]

    def apart(self):
        """A list of readiness as one for each socket that differs."""
        if self.name == "select":
            lists = [dict(re.findall(r" (\d+):(\d+)", call.partition(" = ")[2])) for call in self.call]
            only = lambda seen, slot: f"{' '.join(self.words)} = 1 {slot}:{seen.get(slot, '0')}"
        elif self.name in ("poll", "epoll_wait"):
            lists = [seen(line) for line in (self.native, self.prise)]
            only = lambda seen, slot: f"{self.name} {slot}:{seen[slot]}" if slot in seen else self.name
        else:
            return []
        differ = sorted(slot for slot in lists[0] | lists[1] if lists[0].get(slot) != lists[1].get(slot))
        lines = [Line(self.model, only(lists[0], slot), only(lists[1], slot), self.carried) for slot in differ]
        for line in lines:
            line.watched = self.watched
        return lines

    def every(self, test):
        """Whether it is readiness, and differs, and all that differs is of that kind."""
        shows = self.shows() if self.name in ("poll", "epoll_wait") else []
        return bool(shows) and all(one is not None and test(one, theirs, ours) for one, theirs, ours in shows)


def has_label(model, one):
    """It may choose a flow label (IPV6_FLOWINFO_SEND), or it was accepted from one that may."""
    may = lambda one: one.stream and one.family == INET6 and one.has("setsockopt", lambda words, said: words[2:4] == ["41", "33"] and words[4] != "0" and said == "0")
    return may(one) or one.accepted and any(may(other) and other.meets(one) for other in model.all)


def queues_errors(one):
    """It was asked for errors (IP_RECVERR, IPV6_RECVERR), or for what has left (SO_TIMESTAMPING of sending, SO_ZEROCOPY)."""
    stamps = lambda words: words[2:4] in (["1", "37"], ["1", "65"]) and bool(int(words[4]) & 0x303)
    asks = lambda words: words[2:4] in (["0", "11"], ["41", "25"], ["1", "60"]) and words[4] != "0" or stamps(words)
    return one.has("setsockopt", lambda words, said: said == "0" and asks(words))


def lacks_rows(line, sockets):
    """Whether a list has on prise what it has on the kernel, but for rows with a peer: of these streams, at most as many as there are."""
    listed = ("0", INET), ("1", INET6)
    in_it = lambda one: one.stream and ((line.words[1], one.family) in listed if line.name == "table" else line.words[1:3] == [str(one.family), "6"])
    theirs, ours = (collections.Counter(re.findall(r"\(([^()]*)\)", call)) for call in line.call)
    missing = list((theirs - ours).elements())
    have_peers = all(not row.endswith("/0 10") for row in missing)
    return not ours - theirs and have_peers and 0 < len(missing) <= sum(in_it(one) for one in sockets)


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


def hears_corked(model, one):
    """Whether it, or one that may hear of it, was sent octets with MSG_MORE."""
    return any(other.corked and other.kind == one.kind and one.meets(other) for other in model.all)


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


def is_undone_stream(socket):
    """connect(2) with AF_UNSPEC."""
    return socket.stream and socket.has("connect", lambda words, said: words[2] == "0" and said == "0")
