"""What the answers so far say of a script's sockets: enough to tell whom a difference is about (known.py)."""
import re

INET, INET6 = 2, 10
STREAM, DGRAM = 1, 2
PEEK, WAITALL, MORE, ERRQUEUE = 2, 0x100, 0x8000, 0x2000
WRITES = ("write", "send", "writev", "splice_out", "sendfile")
# Who makes a call: a child with all that it inherits, or one that has nothing but the descriptor, which the script keeps or not.
BY_OTHERS = ("child", "given", "moved")
READS = ("read", "recv", "readv", "splice_in")
SENDS = (*WRITES, "sendto", "sendmsg", "sendmmsg")
RECEIVES = (*READS, "recvfrom", "recvmsg", "recvmmsg")
# The word of a call that is the port that it names.
PORT = {"sendto": 6, "sendmsg": 6, "sendmmsg": 6, "connect": 4, "bind": 4}


class Socket:
    """One socket, whatever descriptors it has."""

    def __init__(self, family, kind, protocol=0):
        self.family = family
        self.kind = kind
        self.protocol = protocol
        self.did = []  # the calls on it: words, answer
        self.waited = 0  # how many of them were before the last epoll_wait(2)
        self.bound = False  # has a port
        self.listens = False
        self.peer = None  # words of the connect(2) that succeeded or is in progress; "accepted"
        self.accepted = False
        self.named = None  # whose port that was, or the listener that it came from
        self.shut = set()  # 0 reading, 1 writing, whether or not shutdown(2) failed
        self.corked = False  # octets were sent with MSG_MORE; of a datagram socket by calls that nobody judges
        self.begun = False  # a datagram that a call with an address began with MSG_MORE is not sent yet
        self.begun_for = []  # the datagram sockets that this one is for
        self.passed_over = []  # whom such a one was for that a plain write went on with, though it has a peer
        self.written_to = []  # the peers of these writes
        self.unread = []  # who has sent the datagrams that may have come and were not read, the oldest first
        self.itself = False  # was told to connect to itself
        self.edges = False
        self.once = False  # an epoll(7) set watches it with EPOLLONESHOT
        self.childs = False  # a child gave it a name, a peer, or took that away
        self.childs_peer = False  # a child has connected it, or tried to
        self.childs_queue = False  # a child has made it a listener

    stream = property(lambda self: self.kind == STREAM)
    datagram = property(lambda self: self.kind == DGRAM)
    def meets(self, other):
        """Whether octets of the one may come to the other, or errors."""
        if self is other:
            return True
        if self.stream and other.stream:
            return self.named is not None and self.named is other.named
        nine = lambda one: one.has("bind", lambda words, said: words[4] == "9" and said == "0")
        to = lambda one, whom: bool(one.peer) and (one.named is whom or one.peer[4] == "9" and nine(whom))
        return to(self, other) or to(other, self)

    ping = property(lambda self: self.kind == DGRAM and self.protocol in (1, 58))

    def has(self, name, test=lambda words, said: True):
        """Whether it was asked such a thing."""
        return any(words[0] == name and test(words, said) for words, said in self.did)


def answer(line):
    """The number or the error of an answer."""
    words = line.partition(" |")[0].partition(" = ")[2].split()
    if not words:
        return ""
    return words[1] if words[0] == "-1" and len(words) > 1 else words[0]


def names_address(words):
    """Whether a call sends to an address, and not to the peer."""
    return words[0] in ("sendto", "sendmsg", "sendmmsg") and len(words) > 6 and words[4] != "0" and not (words[0] == "sendto" and words[8:] == ["1"])


def shown_ports(line):
    return set(map(int, re.findall(r"/P(\d+)", line)))


class Model:
    """The sockets of a script, by slot."""

    def __init__(self):
        self.slots = {}
        self.watched = {}  # whom the epoll(7) set watches under the number of a slot
        self.watched_by = {}  # the same of each of several sets
        self.all = []
        self.holders = []  # sockets that children hold and what each does with it when it is let go, the oldest first
        self.waits = None  # the words of the call that a thread waits in
        self.ports = set()  # the numbers by which ports were shown

    def of(self, line):
        words, _ = self.words(line)
        # Who is outside has numbers of its own, and so have sets.
        return self.slots.get(words[1]) if len(words) > 1 and not words[0].startswith(("far_", "event_")) else None

    def words(self, line):
        """The call of a line and whether a child makes it; of a thread's answer, the call that it waited in."""
        words = line.partition(" = ")[0].partition(" |")[0].split()
        if words == ["join"]:
            return self.waits or words, False
        by_child = words[0] in BY_OTHERS
        return words[1 if by_child or words[0] in ("wait", "race") else 0:], by_child

    def is_open(self, one):
        """Whether the script or a child of its holds it."""
        return any(one is other for other in (*self.slots.values(), *(held for held, _ in self.holders)))

    def named(self, port):
        """Whose port it is that make_address() would take."""
        return self.slots.get(str(int(port) - 100)) if int(port) >= 100 else None

    def addressed(self, one, words):
        """The datagram sockets that may get what this call sends."""
        if names_address(words):
            port = words[PORT[words[0]]]
            whom = self.named(port)
        elif one.peer:
            port, whom = one.peer[PORT["connect"]], one.named
        else:
            return []
        bound = lambda asked, said: said == "0" and (asked[PORT["bind"]] == port == "9" or whom is not None and self.named(asked[PORT["bind"]]) is whom)
        return [other for other in self.all if other.datagram and (other is whom or other.has("bind", bound))]

    def pass_datagrams(self, one, words, said):
        """Who has heard of whom, and read it."""
        flags = int(words[3]) if len(words) > 3 and words[0].startswith("recv") else 0
        if not one.datagram or flags & ERRQUEUE:
            return
        if words[0] in SENDS and said.isdigit():
            for other in self.addressed(one, words):
                other.unread.append(one)
        elif words[0] in RECEIVES and said == "EAGAIN":
            one.unread.clear()
        elif words[0] in RECEIVES and said.isdigit() and not flags & PEEK:
            del one.unread[: int(said) if words[0] == "recvmmsg" else 1]

    def hear(self, line):
        """Follows one call and what the kernel answered."""
        (words, by_child), said = self.words(line), answer(line)
        done = "= -1" not in line
        one = self.of(line)
        if line.startswith("wait "):
            self.waits = words
            return
        self.ports |= shown_ports(line)
        if one:
            one.did.append((words, said))
            self.pass_datagrams(one, words, said)
        if one and by_child and words[0] in ("bind", "connect", "listen"):
            one.childs = True
            one.childs_queue = one.childs_queue or words[0] == "listen" and done
            one.childs_peer = one.childs_peer or words[0] == "connect" and words[2] != "0" and said in ("0", "EINPROGRESS", "ECONNREFUSED")
        follow = getattr(self, "hear_" + words[0], None)
        if line.startswith("moved ") and said != "none":
            self.slots.pop(words[1], None)
        # What a child opens and closes is its own.
        if follow and not (by_child and words[0] in ("socket", "accept", "dup", "dup2", "copy", "pass", "close", "close_range")):
            follow(one, words, said, done)

    def enter(self, slot, socket):
        self.slots[slot] = socket
        if socket not in self.all:
            self.all.append(socket)

    def hear_socket(self, _, words, said, done):
        if done:
            self.enter(words[1], Socket(int(words[2]), int(words[3]) & 0xF, int(words[4])))

    def hear_accept(self, one, words, said, done):
        if done and one:
            made = Socket(one.family, STREAM)
            made.peer, made.bound, made.accepted, made.named = "accepted", True, True, one
            self.enter(words[2], made)

    def hear_dup(self, one, words, said, done):
        if done and one:
            self.slots[words[2]] = one

    def hear_copy(self, one, words, said, done):
        if done and one:
            self.slots[words[2]] = one

    def hear_dup2(self, one, words, said, done):
        if said == "1" and one:
            self.slots[words[2]] = one

    def hear_pass(self, one, words, said, done):
        if said == "1" and one:
            if words[3] != "0":
                self.slots.pop(words[1], None)
            self.slots[words[2]] = one

    def hear_close(self, one, words, said, done):
        self.slots.pop(words[1], None)

    hear_close_range = hear_close

    def hear_bind(self, one, words, said, done):
        if one and done:
            one.bound = True

    def hear_listen(self, one, words, said, done):
        if one and done:
            one.bound = one.listens = True

    def hear_connect(self, one, words, said, done):
        if not one:
            return
        # inet_dgram_connect() picks a port once it has an address, whatever becomes of it.
        heard = said != "EFAULT" and words[2] != "0" and 2 <= (int(words[5]) or 16) <= 128
        one.bound = one.bound or one.datagram and heard or done or said == "EINPROGRESS"
        if words[2] == "0" and done:
            one.peer, one.listens = None, False
            # Only TCP forgets that (`tcp_disconnect`).
            one.shut = one.shut if one.datagram else set()
            # A port that was picked is given up.
            one.bound = one.bound and one.has("bind", lambda asked, answered: asked[4] != "0" and answered == "0")
        elif done and self.finishes(one):
            return
        elif done or said == "EINPROGRESS":
            one.peer, one.named = words, self.named(words[4])
        one.itself = one.itself or self.named(words[4]) is one or words[4] == "9" and one.has("bind", lambda asked, _: asked[4] == "9")

    def finishes(self, one):
        """Whether connect(2) once more, whatever it names, is told of the end of the one before, which was in progress to a listener."""
        before = next((said for words, said in reversed(one.did[:-1]) if words[0] == "connect"), "")
        return one.stream and before == "EINPROGRESS" and one.named is not None and one.named.listens

    def hear_shutdown(self, one, words, said, done):
        if one and (done or said == "ENOTCONN"):
            one.shut |= {"0": {0}, "1": {1}, "2": {0, 1}}.get(words[2], set())
            if one.listens and 0 in one.shut:
                one.listens = False

    def hear_fork(self, one, words, said, done):
        if one and int(words[2]) % 4 == 2 and not one.listens:
            one.shut.add(1)

    def hear_hold(self, one, words, said, done):
        if one and said == "0":
            self.holders.append((one, int(words[2]) % 4))

    def hear_drop(self, _, words, said, done):
        if not self.holders:
            return
        one, what = self.holders.pop(0)
        one.did.append((["drop", str(what)], said))
        if what == 2 and not one.listens:
            one.shut |= {0, 1}
        one.listens = one.listens and what != 2

    def hear_exec(self, one, words, said, done):
        if one and words[2] == "4" and not one.listens:
            one.shut.add(1)

    def hear_epoll_ctl(self, one, words, said, done):
        if one and done:
            one.edges = one.edges or bool(int(words[3]) >> 31 & 1)
            one.once = one.once or bool(int(words[3]) >> 30 & 1)
            self.watched[words[1]] = one

    def hear_event_ctl(self, _, words, said, done):
        one = self.slots.get(words[2])
        if one and done:
            one.edges = one.edges or bool(int(words[4]) >> 31 & 1)
            one.once = one.once or bool(int(words[4]) >> 30 & 1)
            self.watched_by.setdefault(words[1], {})[words[2]] = one

    def hear_event_wait(self, _, words, said, done):
        self.hear_epoll_wait(_, words, said, done)

    def hear_epoll_wait(self, _, words, said, done):
        for one in self.all:
            one.waited = len(one.did)

    def hear_sendto(self, one, words, said, done):
        if one and done:
            one.bound = True
            if not one.begun:
                one.begun_for = self.addressed(one, words) if names_address(words) else []
            one.begun = one.datagram and bool(int(words[3]) & MORE) and (one.begun or names_address(words))
            one.corked = one.corked or one.stream and bool(int(words[3]) & MORE)

    hear_sendmsg = hear_sendto

    def hear_sendmmsg(self, one, words, said, done):
        if one and done:
            one.begun = one.begun and bool(int(words[3]) & MORE)

    def go_on(self, one, words):
        """A plain write on a socket whose datagram was begun with an address."""
        if one.begun and one.peer:
            one.passed_over += one.begun_for
            one.written_to += self.addressed(one, words)

    def hear_write(self, one, words, said, done):
        if one and done:
            self.go_on(one, words)
            one.begun = False

    hear_writev = hear_write

    def hear_splice_out(self, one, words, said, done):
        # SPLICE_F_MORE
        if one and done:
            one.corked = one.corked or bool(int(words[3]) & 4)
            one.begun = one.begun and bool(int(words[3]) & 4)

    def hear_relay(self, one, words, said, done):
        self.hear_splice_out(self.slots.get(words[2]), ["splice_out", words[2], words[3], words[4]], said, done)

    def hear_sendfile(self, one, words, said, done):
        # Less than was asked for: more is to come.
        if one and done and one.datagram:
            one.corked = one.corked or int(said) < int(words[2])
            one.begun = one.begun and int(said) < int(words[2])

    def hear_send(self, one, words, said, done):
        if one and done:
            self.go_on(one, words)
            one.corked = one.corked or bool(int(words[3]) & MORE)
            one.begun = one.begun and bool(int(words[3]) & MORE)
