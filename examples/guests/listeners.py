"""Everything about a listening socket that a program can see: its poll masks, its queue, its errors, and who may accept."""
import array
import ctypes
import errno
import os
import select
import signal
import socket
import struct
import sys

signal.alarm(100)
v6 = sys.argv[1] == "6"
family, host = (socket.AF_INET6, "::1") if v6 else (socket.AF_INET, "127.0.0.1")
libc = ctypes.CDLL(None, use_errno=True)


def attempt(action):
    try:
        return action()
    except OSError as error:
        return errno.errorcode[error.errno]


def mask(socket, wait=0):
    poll = select.poll()
    poll.register(socket, select.POLLIN | select.POLLOUT | select.POLLRDHUP | select.POLLPRI)
    return [events for _, events in poll.poll(wait)]


def listener(backlog=8):
    made = socket.socket(family)
    made.bind((host, 0))
    made.listen(backlog)
    return made


def client(to):
    return socket.create_connection(to.getsockname()[:2])


# What poll(2) says from birth to death.
one = socket.socket(family)
print("fresh", mask(one))
one.bind((host, 0))
print("bound", mask(one), one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
one.listen(8)
print("listening", mask(one), one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
name = one.getsockname()
first = client(one)
print("somebody waits", mask(one, 5000), "again", mask(one))
served, _ = one.accept()
print("nobody waits", mask(one))
print("read", attempt(lambda: one.recv(1)), "write", attempt(lambda: one.send(b"x", socket.MSG_NOSIGNAL)))
print("read from", attempt(lambda: one.recvfrom(1)), "message", attempt(lambda: one.recvmsg(1)))
print("connected?", attempt(one.getpeername), "named", one.getsockname() == name)
print("connect", attempt(lambda: one.connect(name)))
print("bind", attempt(lambda: one.bind((host, 0))))
one.shutdown(socket.SHUT_WR)
print("shut for writing", mask(one), one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
waiting = client(one)
one.shutdown(socket.SHUT_RD)
print("shut", mask(one), one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), attempt(one.accept))
print("who waited", attempt(lambda: waiting.recv(1)))
print("refused", attempt(lambda: socket.create_connection(name[:2])))
print("shut twice", attempt(lambda: one.shutdown(socket.SHUT_RD)))
first.sendall(b"still")
print("who was accepted", served.recv(5))
one.listen(8)
second = client(one)
print("listens again", mask(one, 5000))
one.accept()[0].close()
one.shutdown(socket.SHUT_RDWR)
other = listener()
print("connects elsewhere", attempt(lambda: one.connect(other.getsockname())), attempt(one.getpeername) == other.getsockname())
other.accept()[0].close()
one.close()

# Nobody is there: one does not wait, one waits for a while.
other.setblocking(False)
print("not blocking", attempt(other.accept))
other.setblocking(True)
other.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 50_000))
print("for a while", attempt(other.accept))
other.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 0))

# A name that cannot be told: the connection is accepted and closed.
lost = client(other)
length = ctypes.c_int(28)
told = libc.accept(other.fileno(), ctypes.c_void_p(8), ctypes.byref(length))
print("no place for the name", told, errno.errorcode[ctypes.get_errno()], lost.recv(1), mask(other))

# The order is that of arrival, whatever has become of the clients.
three = [client(other) for _ in range(3)]
names = [it.getsockname() for it in three]
three[0].sendall(b"gone")
three[0].close()
three[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
three[1].close()
for number in range(3):
    end, peer = other.accept()
    print("in order", peer == names[number], attempt(lambda: end.recv(9, 0 if number < 2 else socket.MSG_DONTWAIT)))

# Edges: one for each arrival.
epoll = select.epoll()
epoll.register(other, select.EPOLLIN | select.EPOLLET)
edges = [len(epoll.poll(0))]
some = [client(other)]
edges += [len(epoll.poll(5)), len(epoll.poll(0))]
some.append(client(other))
edges += [len(epoll.poll(5)), len(epoll.poll(0))]
other.accept()[0].close()
other.accept()[0].close()
print("edges", edges, len(epoll.poll(0)))

# What a connection has from its listener.
other.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
other.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
other.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77)
other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3))
other.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 873)
heir = client(other)
end, _ = other.accept()
for level, option in (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    (socket.SOL_SOCKET, socket.SO_ACCEPTCONN),
    (socket.SOL_SOCKET, socket.SO_DOMAIN),
):
    print("inherits", end.getsockopt(level, option))
print("lingers", struct.unpack("ii", end.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)))
print("small segments", heir.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= 873)

# A listener that waits for data.
other.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
silent = client(other)
print("silent", mask(other), end="; ")
silent.sendall(b"now")
print("speaks", mask(other, 5000), other.accept()[0].recv(3))
other.close()

# Whoever waits when the last descriptor is closed is reset, and the port is free.
left = listener()
left_name = left.getsockname()
copy = left.dup()
waiting = [client(left) for _ in range(3)]
left.close()
waiting.append(client(copy))
copy.close()
print("left alone", [attempt(lambda: it.recv(1)) for it in waiting])
print("nobody", attempt(lambda: socket.create_connection(left_name[:2])))
again = socket.socket(family)
again.bind(left_name)
again.listen(1)
print("same port", again.getsockname() == left_name)
again.close()

# Another backlog for a queue that is full: the next one is let in at once.
small = listener(backlog=0)
inside = client(small)
small.listen(5)
inside = [inside, client(small), client(small)]
print("more room", len([small.accept() for _ in inside]))

# Several processes accept at one listener; one has it by a message, and its first owner is gone.
shared = listener(backlog=16)
near, far = socket.socketpair()
children = []
for by_message in (False, False, True):
    child = os.fork()
    if child == 0:
        mine = shared
        if by_message:
            shared.close()
            _, control, _, _ = far.recvmsg(1, socket.CMSG_SPACE(4))
            mine = socket.socket(fileno=array.array("i", control[0][2])[0])
        for _ in range(3):
            end, _ = mine.accept()
            end.sendall(str(os.getpid()).encode())
            end.close()
        os._exit(0)
    children.append(child)
near.sendmsg([b"!"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [shared.fileno()]))])
shared_name = shared.getsockname()
shared.close()
near.close()
far.close()
servers = [socket.create_connection(shared_name[:2]).recv(20) for _ in range(9)]
print("served by", sorted(servers.count(str(child).encode()) for child in children))
print("ended", [os.waitpid(child, 0)[1] for child in children])
print("nobody left", attempt(lambda: socket.create_connection(shared_name[:2])))

# One program leaves its listener to another (exec).
heirloom = listener()
os.set_inheritable(heirloom.fileno(), True)
waits = client(heirloom)
child = os.fork()
if child == 0:
    program = "import socket, sys; s = socket.socket(fileno=int(sys.argv[1])); s.accept()[0].sendall(b'heir'); s.accept()[0].sendall(b'again')"
    os.execv(sys.executable, [sys.executable, "-c", program, str(heirloom.fileno())])
heirloom_name = heirloom.getsockname()
heirloom.close()
print("after exec", waits.recv(9), socket.create_connection(heirloom_name[:2]).recv(9), os.waitpid(child, 0)[1])

# Which family reaches a listener of every address.
if v6:
    for only in (0, 1):
        every = socket.socket(socket.AF_INET6)
        every.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        every.bind(("::", 0))
        every.listen(4)
        port = every.getsockname()[1]
        print("only IPv6" if only else "both", [attempt(lambda: bool(socket.create_connection((at, port)))) for at in ("::1", "127.0.0.1")])
        every.setblocking(False)
        print([attempt(lambda: every.accept()[1][0]) for _ in range(3)])
else:
    every = socket.create_server(("0.0.0.0", 0))
    port = every.getsockname()[1]
    bound = socket.socket()
    bound.bind(("127.0.0.9", 0))
    bound.connect(("127.0.0.7", port))
    end, peer = every.accept()
    print("bound", peer == bound.getsockname(), peer[0], end.getsockname() == ("127.0.0.7", port))
