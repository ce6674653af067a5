"""Scripts of socket calls, drawn at random with a bias towards those that get somewhere."""

from outside import ADDRESSES, PORTS, far_step, outside_scene
from scenes import SCENES
from scenes_of_many import SCENES_OF_MANY

SLOTS = 8
INET, INET6 = 2, 10
STREAM, DGRAM = 1, 2
NONBLOCK = 0o4000
FLAGS_SEND = (0, 0, 0, 0, 0x4000, 0x40, 1, 4, 0x800, 0x2000, 0x4000000)
MORE = 0x8000
FLAGS_RECV = (0, 0, 0, 0, 0x40, 2, 0x20, 0x100, 1, 0x22, 0x2000, 0x142, 0x40000000, 0x102, 0x60, 0x3, 0x41, 0x161)
# level, name: options whose values are a matter of the socket and not of the machine
OPTIONS = [
    (1, name) for name in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 18, 19, 20, 21, 29, 30, 31, 35, 36, 37, 38, 39, 40, 42, 44, 46, 50, 63, 999, 14, 16, 17, 23, 24, 26, 27, 28, 32, 33, 34, 43, 45, 47, 48, 49, 51, 53, 56, 60, 66, 67, 68, 69, 73, 74, 75, 76, 77)
] + [(6, name) for name in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 30, 36, 37, 99, 14, 22, 26, 27, 28, 29, 31, 32, 33, 34, 35, 38, 39, 40)] + [
    (0, name) for name in (1, 2, 3, 4, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 19, 20, 23, 24, 32, 33, 34, 49, 50, 51, 120, 5, 9, 17, 18, 21, 22, 25, 26, 52)
] + [(41, name) for name in (1, 16, 17, 18, 19, 22, 23, 24, 25, 26, 49, 50, 51, 52, 60, 62, 66, 67, 70, 72, 74, 78, 99, 2, 3, 5, 8, 20, 29, 30, 31, 33, 53, 56, 57, 58, 61, 68, 69, 75, 76, 77, 79, 80)] + [(17, 1), (17, 103), (17, 104), (77, 1)]
VALUES = (0, 1, 1, 1, 2, 5, 10, 64, 255, 256, 1000, 4096, 65536, -1, -2, 0x7FFFFFFF, -0x80000000)
LENGTHS = (4, 4, 4, 4, 4, 4, 1, 2, 3, 0, 8, 8, 16, 20, 64, -1, 0x7FFFFFFF)

# What a child may do with a socket that it inherits, so that its parent sees something of it.
BY_CHILDREN = ("bind", "listen", "connect", "getsockname", "getpeername", "send", "write", "sendto", "sendmsg", "recv", "read", "recvfrom", "recvmsg", "shutdown", "setsockopt", "getsockopt", "ioctl", "nonblock", "accept")


class Draw:
    """One script. What it remembers of the sockets only guides it: the calls decide."""

    def __init__(self, random, outside=False):
        self.random = random
        self.outside = outside  # somebody is there to connect to, and who connects
        self.lines = []
        self.kinds = {}  # slot: (family, type)
        self.listening = set()
        self.bound = set()
        self.peers = set()  # datagram sockets that were connected
        self.pinged = False

    def say(self, *words):
        self.lines.append(" ".join(map(str, words)))

    def some(self, *choices):
        return self.random.choice(choices)

    def rarely(self, value, usual=0, odds=12):
        return value if self.random.randrange(odds) == 0 else usual

    def slot(self):
        if self.kinds and self.random.randrange(30):
            return self.random.choice(sorted(self.kinds))
        return self.rarely(self.some(-1, 500, 1000000), self.random.randrange(SLOTS))

    def pointer(self):
        return self.rarely(self.some(1, 2, 3, 4), odds=25)

    def address(self, slot, aim=True):
        """family, address, port, length."""
        if self.outside and self.random.randrange(3) == 0:
            return self.far_address(slot, aim)
        family = self.kinds.get(slot, (INET, STREAM))[0]
        targets = [other for other in (self.listening if aim and self.random.randrange(3) else self.bound) if self.kinds.get(other, (0,))[0]]
        port = 100 + self.random.choice(sorted(targets)) if targets and self.random.randrange(10) else self.some(9, 9, 9) if aim else self.some(0, 0, 9)
        if targets and port >= 100 and self.kinds[port - 100][0] == INET and family == INET6:
            which = self.rarely(1, 2)
        else:
            which = self.some(1, 1, 1, 1, 0, 2, 3, self.rarely(4, 1, 3)) if aim else self.some(1, 1, 1, 0, 0, 2, 3, 4, self.some(5, 6, 7, 8, 9))
        family = self.rarely(self.some(0, 1, INET, INET6, 99), family, 15)
        return family, which, port, self.rarely(self.some(1, 2, 4, 8, 15, 24, 27, 28, 40, 128, 129, -1, 2**31 - 1), odds=20)

    def far_address(self, slot, aim):
        """Of somebody outside, or where he comes to."""
        family = self.kinds.get(slot, (INET, STREAM))[0]
        if aim:
            return family, self.some(*ADDRESSES[family]), self.some(*PORTS), 0
        return family, self.some(0, 0, 0, 1, 13), self.some(60, 60, 61), 0

    def socket(self):
        slot = self.random.randrange(SLOTS)
        family, kind = self.some(INET, INET, INET6), self.some(STREAM, STREAM, STREAM, DGRAM)
        flags = self.some(0, NONBLOCK)
        if self.random.randrange(25) == 0:
            self.say("socket", slot, self.some(family, 0, 1, 16, 99, -1), self.some(kind, 0, 3, 5, 15, 16, 0x800 | kind, 1 << 20), self.some(0, 6, 17, 255, 132, 263, -1, 256))
            return
        self.say("socket", slot, family, kind | flags, self.rarely(self.some(6, 17, 136)))
        self.forget(slot)
        self.kinds[slot] = (family, kind)

    def forget(self, slot):
        self.kinds.pop(slot, None)
        self.listening.discard(slot)
        self.bound.discard(slot)
        self.peers.discard(slot)

    def server(self):
        """A listener and clients of its own: without them random calls seldom meet."""
        slot, client, served = self.random.sample(range(SLOTS), 3)
        for one in (slot, client, served):
            self.forget(one)
        family = self.some(INET, INET, INET6)
        self.say("socket", slot, family, STREAM | self.some(0, NONBLOCK), 0)
        self.say("bind", slot, family, self.some(0, 1), 0, 0)
        self.say("listen", slot, self.some(0, 1, 5))
        self.kinds[slot] = (family, STREAM)
        self.listening.add(slot)
        self.bound.add(slot)
        if self.random.randrange(5):
            self.say("socket", client, family, STREAM | self.some(0, NONBLOCK), 0)
            self.kinds[client] = (family, STREAM)
            if self.random.randrange(3) == 0:
                self.say("epoll_ctl", client, 1, self.events())
            self.say("connect", client, family, 1, 100 + slot, 0)
            self.bound.add(client)
            if self.random.randrange(5):
                self.say("accept", slot, served, self.some(0, NONBLOCK, 0), 0, 0)
                self.kinds[served] = (family, STREAM)

    def datagrams(self):
        one, other = self.random.sample(range(SLOTS), 2)
        family = self.some(INET, INET, INET6)
        for slot in (one, other):
            self.forget(slot)
            self.say("socket", slot, family, DGRAM | self.some(0, NONBLOCK), 0)
            self.say("bind", slot, family, self.some(0, 1), 0, 0)
            self.kinds[slot] = (family, DGRAM)
            self.bound.add(slot)
        if self.random.randrange(2):
            self.say("connect", one, family, 1, 100 + other, 0)
            self.peers.add(one)
            if self.random.randrange(2):
                self.say("connect", other, family, 1, 100 + one, 0)
                self.peers.add(other)

    def pings(self):
        """One ping socket, whose identifier is the same on both sides."""
        if self.pinged:
            return
        self.pinged = True
        slot, family = self.random.randrange(SLOTS), self.some(INET, INET6)
        self.forget(slot)
        self.say("socket", slot, family, DGRAM | NONBLOCK, 1 if family == INET else 58)
        self.say("bind", slot, family, self.some(0, 1), 9, 0)
        self.kinds[slot] = (family, DGRAM)
        self.bound.add(slot)
        if self.random.randrange(3) == 0:
            self.say("connect", slot, family, 1, 0, 0)
            self.peers.add(slot)
        for _ in range(self.random.randrange(1, 4)):
            self.say("echo", slot, self.some(8, 8, 30, 100, 7), self.rarely(self.some(0, 3, 13), 8 if family == INET else 128), family, self.rarely(self.some(0, 2), 1), self.rarely(9), 0)
            self.say(*self.some(("poll",), ("recv", slot, 200, self.some(0, 2, 0x20), 0), ("recvmsg", slot, 200, self.some(0, 0x20), 3, 0, 0), ("recvfrom", slot, 20, 0, 0, 0)))

    def scene(self):
        self.random.choice((*SCENES, *SCENES_OF_MANY))(self)

    def events(self):
        return self.some(1, 4, 5, 0x2005, 0x2007) | self.some(0, 0, 1 << 31, 1 << 30, self.rarely(1 << 28, 0, 4))

    def size(self):
        return self.some(0, 1, 1, 5, 100, 100, 1000, 3000, self.rarely(20000, 100, 4))

    def sending(self):
        return self.rarely(MORE, self.some(*FLAGS_SEND), 40)

    def long(self, slot):
        """Of a datagram socket now and then more than there can be."""
        return self.rarely(self.some(65507, 65508, 65527, 65528, 65535), self.size(), 15) if self.kinds.get(slot, (0, 0))[1] == DGRAM else self.size()

    def step(self):
        slot = self.slot()
        random = self.random
        makers = {
            "bind": lambda: (slot, *self.address(slot, False), self.pointer()),
            "listen": lambda: (slot, self.some(0, 1, 5, -1, 4096)),
            "connect": lambda: (slot, *self.address(slot), self.pointer()),
            "accept": lambda: (slot, random.randrange(SLOTS), self.rarely(self.some(NONBLOCK, 0x80000, 16)), self.rarely(self.some(1, 2, 8, 500, -1)), self.rarely(self.some(9, 2, 3))),
            "getsockname": lambda: (slot, self.rarely(self.some(1, 2, 8, 500, -1)), self.pointer(), self.pointer()),
            "getpeername": lambda: (slot, self.rarely(self.some(1, 2, 8, 500, -1)), self.pointer(), self.pointer()),
            "send": lambda: (slot, self.size(), self.sending(), self.pointer()),
            "write": lambda: (slot, self.size(), self.pointer()),
            "sendto": lambda: (slot, self.long(slot), self.sending(), *self.address(slot), self.pointer()),
            "sendmsg": lambda: (slot, self.long(slot), self.sending(), *self.rarely((0, 0, 0, 0), self.address(slot), 2), self.rarely(random.randrange(15), odds=3)),
            "recv": lambda: (slot, self.size(), self.some(*FLAGS_RECV), self.pointer()),
            "read": lambda: (slot, self.size(), 0, self.pointer()),
            "recvfrom": lambda: (slot, self.size(), self.some(*FLAGS_RECV), self.rarely(self.some(1, 2, 8, 500, -1)), self.pointer()),
            "recvmsg": lambda: (slot, self.size(), self.some(*FLAGS_RECV), random.randrange(4), self.rarely(self.some(1, 15, 20)), self.rarely(random.randrange(7))),
            "shutdown": lambda: (slot, self.some(0, 1, 1, 2, 3, -1)),
            "close": lambda: (slot,),
            "dup": lambda: (slot, random.randrange(SLOTS)),
            "dup2": lambda: (slot, random.randrange(SLOTS)),
            "setsockopt": lambda: (slot, *self.option(), self.some(*VALUES), self.some(*LENGTHS), self.pointer(), self.some(0, 0, 1)),
            "getsockopt": lambda: (slot, *self.option(), self.some(*LENGTHS), self.pointer(), self.pointer()),
            "group": lambda: (slot, *self.group()),
            "groups": lambda: (slot, *self.group(self.some(41, 48, 48))),
            "ioctl": lambda: (slot, random.randrange(9), self.some(0, 1), self.pointer()),
            "nonblock": lambda: (slot, self.some(0, 1)),
            "getfl": lambda: (slot,),
            "poll": lambda: (),
            "epoll_ctl": lambda: (slot, self.some(1, 1, 2, 3), self.events()),
            "epoll_wait": lambda: (),
            "fork": lambda: (slot, random.randrange(4)),
            "copy": lambda: (slot, random.randrange(SLOTS), random.randrange(3)),
            "pass": lambda: (slot, random.randrange(SLOTS), self.some(0, 1)),
            "sendfile": lambda: (slot, self.size(), self.rarely(self.some(-1, 3990, 5000), self.some(0, 100))),
            "splice_in": lambda: (slot, self.size(), self.some(0, 2, 2, 16)),
            "splice_out": lambda: (slot, self.size(), self.some(0, 0, 2, 16)),
            "splice_odd": lambda: (slot, self.size(), self.some(0, 1)),
            "recvmmsg": lambda: (slot, self.some(1, 2, 4, 0), self.some(0x40, 0x40, 0x10000, 2, 0), self.some(0, 1, 1, self.rarely(2), self.rarely(3))),
            "sendmmsg": lambda: (slot, self.some(1, 2, 4, 0), self.some(0, 0x40, 0x4000), *self.rarely((0, 0, 0, 0), self.address(slot), 2), self.rarely(self.some(1, 2, 3), odds=5)),
            "readv": lambda: (slot, self.some(0, 1, 3, 5, 1025, -1), self.rarely(1)),
            "writev": lambda: (slot, self.some(0, 1, 3, 5, 1025, -1), self.rarely(1)),
            "select": lambda: (self.rarely(self.some(0, -1, -2), 1), random.randrange(8), self.rarely(1)),
            "file": lambda: (slot, random.randrange(14)),
            "fcntl": lambda: (slot, random.randrange(11)),
            "exec": lambda: (slot, random.randrange(7)),
            "state": lambda: (slot,),
        }
        seldom = ("file", "fcntl", "exec", "splice_odd")
        weights = {**dict.fromkeys(seldom, 1), "send": 6, "write": 3, "recv": 6, "read": 3, "connect": 5, "accept": 5, "poll": 6, "epoll_wait": 6, "shutdown": 3, "epoll_ctl": 3, "close": 2, "setsockopt": 6, "getsockopt": 5}
        name = random.choices(list(makers), [weights.get(name, 2) for name in makers])[0]
        words = makers[name]()
        if name in BY_CHILDREN and random.randrange(12) == 0:
            self.say(self.some("child", "child", "given"), name, *words)
            return
        if self.lacks_peer(name, slot, words) and random.randrange(12):
            return
        self.say(name, *words)
        self.follow(name, words)

    def lacks_peer(self, name, slot, words):
        """What fails on a datagram socket without a peer is known to; more of it shows nothing."""
        writes = name in ("send", "write", "writev", "splice_out", "sendfile") or name == "fork" and words[1] == 3 or name == "exec" and words[1] == 2
        return writes and self.kinds.get(slot, (0, 0))[1] == DGRAM and slot not in self.peers

    def group(self, name=None):
        """level, name, group, source, link, count and mode, family, length."""
        level = self.some(0, 0, 1)
        names = (42, 42, 43, 44, 45, 46, 46, 47, 48) if level else (35, 36, 37, 38, 39, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48)
        name = name or self.some(*names)
        mode = self.some(0, 0, 1, 1, self.rarely(2))
        return (level, 48 if level and name < 42 else name, self.some(0, 0, 0, 1, self.rarely(self.some(2, 3))), self.some(0, 0, 1, 2, self.rarely(3)), self.rarely(77, 1),
                self.some(0, 1, 2, 3) | mode << 3, self.rarely(self.some(1, 2, 10, 99), odds=25), self.rarely(self.some(-1, 1, 4, -8), odds=25))

    def option(self):
        return self.random.choice(OPTIONS)

    def follow(self, name, words):
        """What the call did, if it did it."""
        if name == "close":
            self.forget(words[0])
        elif name == "bind":
            self.bound.add(words[0])
        elif name == "connect" and words[0] in self.kinds:
            self.peers.add(words[0])
        elif name == "listen" and words[0] in self.kinds:
            self.listening.add(words[0])
        elif name in ("accept", "dup", "copy", "pass") and words[0] in self.kinds:
            self.forget(words[1])
            self.kinds[words[1]] = self.kinds.get(words[0], (INET, STREAM))

    def script(self):
        if self.random.randrange(4) == 0:
            self.say("watch")
        drawn, weights = (self.socket, self.server, self.datagrams, self.pings, self.scene, self.step), (4, 4, 2, 0.3, 1.5, 40)
        if self.outside:
            drawn, weights = (*drawn, lambda: outside_scene(self), lambda: far_step(self)), (2, 2, 0.3, 0, 0.5, 15, 4, 5)
        for _ in range(self.random.randrange(10, 40)):
            self.random.choices(drawn, weights)[0]()
        self.say("poll")
        for slot in sorted(self.kinds):
            self.say("state", slot)
        for which in range(4):
            self.say("table", which)
        for family in (INET, INET6):
            for protocol in (6, 17):
                self.say("diag", family, protocol)
        return self.lines
