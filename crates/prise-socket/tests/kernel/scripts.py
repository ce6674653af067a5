#!/usr/bin/env python3
"""Makes random scripts of socket calls and records what the running kernel answers on loopback: the expectation in `scripts.txt`.

  script N
  CALL SOCKET ARGUMENTS => ANSWER [SOCKET=POLL ...]
POLL is what poll(2) shows of each open socket whose mask has changed since the call before. Ports are named p0..p3, others (ephemeral) `e`.
Left out, because the kernel itself is at odds there: a datagram peer with port 0 (which stands for every port), connecting an IPv6 stream to IPv4 and
then to IPv6 (the SYN gets no answer), and connecting a stream after shutdown (which survives, and acts if the connection is to itself);
and a second urgent octet before the first was read (which falls back into the stream).
Run: unshare -n sh -c 'ip link set lo up; ./scripts.py SEED COUNT' > scripts.txt
"""
import array
import ctypes
import errno
import fcntl
import os
import random
import select
import socket as S
import struct
import sys
import termios

libc = ctypes.CDLL(None, use_errno=True)
seed, count = int(sys.argv[1]), int(sys.argv[2])
only = int(sys.argv[3]) if len(sys.argv) > 3 else None
KINDS = {"tcp4": (S.AF_INET, S.SOCK_STREAM), "tcp6": (S.AF_INET6, S.SOCK_STREAM), "udp4": (S.AF_INET, S.SOCK_DGRAM), "udp6": (S.AF_INET6, S.SOCK_DGRAM)}
V4 = ["127.0.0.1", "127.0.0.1", "127.0.0.2", "0.0.0.0"]
V6 = ["::1", "::1", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0"]
OPTIONS = {
    "reuseaddr": (S.SOL_SOCKET, S.SO_REUSEADDR),
    "reuseport": (S.SOL_SOCKET, S.SO_REUSEPORT),
    "v6only": (S.IPPROTO_IPV6, S.IPV6_V6ONLY),
    "recverr": (S.IPPROTO_IP, 11),
    "recverr6": (S.IPPROTO_IPV6, 25),
    "broadcast": (S.SOL_SOCKET, S.SO_BROADCAST),
    "noport": (S.IPPROTO_IP, 24),
    "lowat": (S.SOL_SOCKET, S.SO_RCVLOWAT),
    "peekoff": (S.SOL_SOCKET, 42),
}
MASK = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x40 | 0x100 | 0x200 | 0x2000


class Script:
    def __init__(self, number):
        self.r = random.Random(f"{seed}/{number}")
        self.ports = [4000 + number * 4 % 28000 + n for n in range(4)]
        self.sockets = {}
        self.kinds = {}
        self.masks = {}
        self.mapped = {}
        self.shut = set()
        self.urgent = set()
        self.next = 0

    # What calls answer.
    def port(self, port):
        return f"p{self.ports.index(port)}" if port in self.ports else "0" if port == 0 else "e"

    def address(self, address):
        return f"{address[0]}/{self.port(address[1])}"

    def answer(self, call):
        try:
            return call()
        except OSError as e:
            return errno.errorcode[e.errno].replace("ENOTSUP", "EOPNOTSUPP")

    def polls(self):
        out = []
        for name, s in sorted(self.sockets.items()):
            poller = select.poll()
            poller.register(s.fileno(), MASK)
            mask = dict(poller.poll(0)).get(s.fileno(), 0)
            if self.masks.get(name) != mask:
                self.masks[name] = mask
                out.append(f"{name}={mask:x}")
        return " ".join(out)

    def step(self, text, call):
        result = self.answer(call)
        print(f"{text} => {result} [{self.polls()}]")
        return result

    # The calls.
    def create(self, kind):
        name = f"s{self.next}"
        self.next += 1
        s = S.socket(*KINDS[kind])
        s.setblocking(False)
        if kind.startswith("tcp"):
            s.setsockopt(S.IPPROTO_TCP, S.TCP_NODELAY, 1)
        inline = self.r.random() < 0.1
        if inline:
            s.setsockopt(S.SOL_SOCKET, S.SO_OOBINLINE, 1)
        self.sockets[name], self.kinds[name] = s, kind
        self.step(f"socket {name} {kind}{' inline' * inline}", lambda: "ok")
        return name

    def pick_address(self, name):
        if self.kinds[name].endswith("4"):
            return self.r.choice(V4)
        if self.kinds[name] == "tcp6":
            mapped = self.mapped.setdefault(name, self.r.random() < 0.3)
            return self.r.choice([a for a in V6 if a.startswith("::ffff") == mapped or a == "::" and not mapped])
        return self.r.choice(V6)

    def pick_port(self, zero=0.05):
        return 0 if self.r.random() < zero else self.r.choice(self.ports)

    def bind(self, name, address=None, port=None):
        address = address or self.pick_address(name)
        port = self.pick_port(0.2) if port is None else port
        return self.step(f"bind {name} {self.address((address, port))}", lambda: self.sockets[name].bind((address, port)) or "ok")

    def listen(self, name, backlog=None):
        backlog = self.r.choice([0, 1, 5, -1]) if backlog is None else backlog

        def call():
            if libc.listen(self.sockets[name].fileno(), backlog) < 0:
                raise OSError(ctypes.get_errno(), "")
            return "ok"

        return self.step(f"listen {name} {backlog}", call)

    def connect(self, name, address=None, port=None):
        address = address or self.pick_address(name)
        if name in self.shut:
            return None
        udp = self.kinds[name].startswith("udp")
        port = self.pick_port(0 if udp else 0.05) if port is None else port
        return self.step(f"connect {name} {self.address((address, port))}", lambda: self.sockets[name].connect((address, port)) or "ok")

    def connect_to(self, name, other):
        """To where another socket is: its ephemeral port has no name."""
        target = self.sockets[other].getsockname()
        if name in self.shut or target[1] == 0 and self.kinds[name].startswith("udp") or self.kinds[name] == "tcp6":
            return
        self.step(f"connectto {name} {other}", lambda: self.sockets[name].connect(target[:2]) or "ok")

    def disconnect(self, name):
        def call():
            if libc.connect(self.sockets[name].fileno(), bytes(16), 16) < 0:
                raise OSError(ctypes.get_errno(), "")
            return "ok"

        self.step(f"disconnect {name}", call)

    def accept(self, name):
        new = f"s{self.next}"
        self.next += 1

        def call():
            s, peer = self.sockets[name].accept()
            s.setblocking(False)
            self.sockets[new], self.kinds[new] = s, self.kinds[name]
            return self.address(peer)

        self.step(f"accept {name} {new}", call)

    def send(self, name, size=None, flags=None):
        size = self.r.choice([0, 1, 2, 10, 700]) if size is None else size
        flags = self.r.choice([0, 0, 0, 0, 1]) if flags is None else flags
        if flags and self.kinds[name].startswith("tcp"):
            flags = 0 if name in self.urgent else 1
            self.urgent.add(name)
        self.step(f"send {name} {size} {flags}", lambda: self.sockets[name].send(bytes(range(65, 91)) * 27 if size > 26 else bytes(range(65, 65 + size)), flags | S.MSG_NOSIGNAL))

    def sendto(self, name, address=None, port=None):
        address = address or self.pick_address(name)
        port = self.pick_port(0.1) if port is None else port
        size = self.r.choice([0, 1, 10])
        self.step(f"sendto {name} {size} {self.address((address, port))}", lambda: self.sockets[name].sendto(bytes(range(65, 65 + size)), S.MSG_NOSIGNAL, (address, port)))

    def recv(self, name):
        # Python answers a size of 0 itself.
        size = self.r.choice([1, 5, 1000, 1000])
        flags = self.r.choice([0, 0, 0, 1, 2, 2])

        def call():
            if self.kinds[name].startswith("udp"):
                data, source = self.sockets[name].recvfrom(1000, flags)
                return f"{len(data)}:{data[:6].decode()}:{self.address(source)}"
            data = self.sockets[name].recv(size, flags)
            return f"{len(data)}:{data[:6].decode()}"

        self.step(f"recv {name} {size} {flags}", call)

    def recverr(self, name):
        def call():
            data, control, flags, address = self.sockets[name].recvmsg(1000, 1000, S.MSG_ERRQUEUE)
            for level, kind, value in control:
                if kind in (11, 25):
                    number, origin, type_, code = struct.unpack("IBBB", value[:7])
                    return f"{errno.errorcode[number]}:{origin}:{type_}:{code}:{len(data)}:{self.address(address)}"
            return "nothing"

        self.step(f"recverr {name}", call)

    def shutdown(self, name):
        how = self.r.choice([0, 1, 1, 2])
        if self.kinds[name].startswith("tcp"):
            self.shut.add(name)
        self.step(f"shutdown {name} {how}", lambda: self.sockets[name].shutdown(how) or "ok")

    def close(self, name):
        s = self.sockets.pop(name)
        self.masks.pop(name, None)
        self.step(f"close {name}", lambda: s.close() or "ok")

    def set(self, name):
        option = self.r.choice(list(OPTIONS))
        value = self.r.choice([1, 1, 1, 0])
        self.step(f"set {name} {option} {value}", lambda: self.sockets[name].setsockopt(*OPTIONS[option], value) or "ok")

    def linger(self, name):
        on = self.r.choice([1, 1, 0])
        self.step(f"linger {name} {on}", lambda: self.sockets[name].setsockopt(S.SOL_SOCKET, S.SO_LINGER, struct.pack("ii", on, 0)) or "ok")

    def error(self, name):
        self.step(f"error {name}", lambda: errno.errorcode.get(self.sockets[name].getsockopt(S.SOL_SOCKET, S.SO_ERROR), "0"))

    def local(self, name):
        self.step(f"local {name}", lambda: self.address(self.sockets[name].getsockname()))

    def peer(self, name):
        self.step(f"peer {name}", lambda: self.address(self.sockets[name].getpeername()))

    def ioctl(self, name, word, request):
        def call():
            out = array.array("i", [0])
            fcntl.ioctl(self.sockets[name], request, out)
            return out[0]

        self.step(f"{word} {name}", call)

    # What scripts are made of.
    def start(self):
        """Something to begin with, so that random calls find connections."""
        kind = self.r.choice(["tcp4", "tcp6", "tcp4", "udp4", "udp6", None])
        if kind is None:
            return
        a = self.create(kind)
        if kind.startswith("tcp"):
            self.bind(a, self.r.choice(["127.0.0.1", "0.0.0.0"] if kind == "tcp4" else ["::1", "::"]), self.ports[0])
            self.listen(a, self.r.choice([1, 5]))
            b = self.create(kind)
            self.connect(b, "127.0.0.1" if kind == "tcp4" else "::1", self.ports[0])
            if self.r.random() < 0.8:
                self.accept(a)
            if self.r.random() < 0.6:
                self.connect(b, "127.0.0.1" if kind == "tcp4" else "::1", self.ports[0])
        else:
            self.bind(a, "127.0.0.1" if kind == "udp4" else self.r.choice(["::1", "::"]), self.ports[0])
            b = self.create(kind)
            if self.r.random() < 0.5:
                self.connect(b, "127.0.0.1" if kind == "udp4" else "::1", self.ports[0])

    def random_step(self):
        if len(self.sockets) < 2 or len(self.sockets) < 7 and self.r.random() < 0.1:
            self.create(self.r.choice(list(KINDS)))
            return
        name = self.r.choice(list(self.sockets))
        other = self.r.choice(list(self.sockets))
        udp = self.kinds[name].startswith("udp")
        calls = [
            (3, lambda: self.bind(name)),
            (2, lambda: self.listen(name)),
            (4, lambda: self.connect(name)),
            (1, lambda: self.connect_to(name, other)) if self.kinds[name] == self.kinds[other] else (0, None),
            (1, lambda: self.disconnect(name)),
            (3, lambda: self.accept(name)),
            (5, lambda: self.send(name)),
            (4 if udp else 1, lambda: self.sendto(name)),
            (7, lambda: self.recv(name)),
            (2, lambda: self.recverr(name)) if udp else (0, None),
            (3, lambda: self.shutdown(name)),
            (2, lambda: self.close(name)),
            (3, lambda: self.set(name)),
            (1, lambda: self.linger(name)),
            (1, lambda: self.error(name)),
            (2, lambda: self.local(name)),
            (2, lambda: self.peer(name)),
            (1, lambda: self.ioctl(name, "inq", termios.FIONREAD)),
            (1, lambda: self.ioctl(name, "atmark", 0x8905)),
        ]
        self.r.choices([c[1] for c in calls], [c[0] for c in calls])[0]()

    def run(self):
        self.start()
        for _ in range(self.r.randint(6, 25)):
            self.random_step()
        for s in self.sockets.values():
            s.close()


for number in range(count):
    if only is not None and number != only:
        continue
    print(f"script {number}")
    Script(number).run()
