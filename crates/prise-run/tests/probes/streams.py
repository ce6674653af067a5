"""Streams, as a program sees them: prints what the kernel's do, line by line."""
import errno, fcntl, os, select, signal, socket, struct, sys, threading, time
import waits

signal.alarm(100)
HOST = "127.0.0.1"


def name(error):
    return errno.errorcode.get(error.errno, str(error)) if isinstance(error, OSError) and error.errno else type(error).__name__


def attempt(what, action, show=repr):
    try:
        print(what, show(action()))
    except OSError as error:
        print(what, name(error))


def mask(sock, wait=0.0, events=0x7FFF):
    """poll's answer once it has settled."""
    end = time.monotonic() + wait
    p = select.poll()
    p.register(sock, select.POLLIN | select.POLLOUT | select.POLLPRI | select.POLLRDHUP)
    return p.poll(0)[0][1] if p.poll(0) else 0


def settle(sock, wanted, limit=50.0):
    """Waits until poll shows `wanted`, and gives what it shows in the end."""
    end = time.monotonic() + limit
    while mask(sock) != wanted and time.monotonic() < end:
        time.sleep(0.001)
    return mask(sock)


def listener(backlog=8):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((HOST, 0))
    s.listen(backlog)
    return s


def pair():
    s = listener()
    c = socket.create_connection(s.getsockname())
    a, _ = s.accept()
    s.close()
    return c, a


IN, PRI, OUT, ERR, HUP, RDHUP = 1, 2, 4, 8, 16, 0x2000

print("fresh", mask(socket.socket()))
s = listener()
print("listener", mask(s))
c = socket.create_connection(s.getsockname())
print("listener with one", settle(s, IN))
a, addr = s.accept()
print("address", addr == c.getsockname(), a.getpeername() == addr, a.getsockname() == s.getsockname())
print("listener after", mask(s), "connected", mask(c), mask(a))
a.sendall(b"x")
print("readable", settle(c, IN | OUT))
a.shutdown(socket.SHUT_WR)
print("half", settle(c, IN | OUT | RDHUP), mask(a))
print(c.recv(10), c.recv(10))
c.shutdown(socket.SHUT_WR)
print("both", settle(c, IN | OUT | RDHUP | HUP), settle(a, IN | OUT | RDHUP | HUP))
attempt("send after", lambda: c.send(b"x"))
attempt("name after", lambda: c.getsockname()[0])
c.close(), a.close()

# Resets
c, a = pair()
a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
c.sendall(b"unread")
a.close()
print("reset", settle(c, IN | OUT | ERR | HUP | RDHUP))
print("SO_ERROR", errno.errorcode[c.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)], c.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
attempt("recv", lambda: c.recv(1))
c, a = pair()
c.sendall(b"unread")
settle(a, IN | OUT)
a.close()
settle(c, IN | OUT | ERR | HUP | RDHUP)
attempt("recv after unread close", lambda: c.recv(1))
attempt("recv again", lambda: c.recv(1))
attempt("send", lambda: c.send(b"x"))
c, a = pair()
a.sendall(b"first")
settle(c, IN | OUT)
c.sendall(b"x")
settle(a, IN | OUT)
a.close()
settle(c, IN | OUT | ERR | HUP | RDHUP)
attempt("data before reset", lambda: c.recv(10))
attempt("then", lambda: c.recv(10))
# Reset after our own shutdown
c, a = pair()
c.shutdown(socket.SHUT_WR)
settle(a, IN | OUT | RDHUP)
a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
a.close()
settle(c, IN | OUT | ERR | HUP | RDHUP)
attempt("reset after shutdown", lambda: c.recv(1))
# Blocked receiver is woken by reset
c, a = pair()
result = []
t = threading.Thread(target=lambda: attempt("blocked", lambda: c.recv(1), result.append) or None)
t.start()
waits.until_in_call(os.getpid(), t.native_id, [waits.RECVFROM])
a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
a.close()
t.join(60)

# Nonblocking connect
s = listener()
c = socket.socket()
c.setblocking(False)
print("in progress", errno.errorcode[c.connect_ex(s.getsockname())])
print("writable", settle(c, OUT), c.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
attempt("again", lambda: c.connect(s.getsockname()))
attempt("and again", lambda: c.connect(s.getsockname()))
a, _ = s.accept()
c.send(b"hi")
print(a.recv(10))
closed = socket.socket()
closed.bind((HOST, 0))
c = socket.socket()
c.setblocking(False)
print("to nobody", errno.errorcode[c.connect_ex(closed.getsockname())])
print("refused", settle(c, IN | OUT | ERR | HUP | RDHUP))
print("why", errno.errorcode[c.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)], c.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
attempt("once more", lambda: c.connect(s.getsockname()))
attempt("and once more", lambda: c.connect(s.getsockname()))
print("connected now", settle(c, OUT))
c2 = socket.socket()
attempt("blocking refused", lambda: c2.connect(closed.getsockname()))
attempt("blocking then good", lambda: c2.connect(s.getsockname()))
print(s.accept()[0].getpeername() in (c.getsockname(), c2.getsockname()))
c2.sendall(b"works")
for _ in range(1):
    a, _ = s.accept()
# epoll edges
s = listener()
s.setblocking(False)
e = select.epoll()
e.register(s, select.EPOLLIN | select.EPOLLET)
print("edges", e.poll(0))
c1 = socket.create_connection(s.getsockname())
print(len(e.poll(5)))
c2 = socket.create_connection(s.getsockname())
print(len(e.poll(5)))
print(len(e.poll(0)))
s.accept(), s.accept()
attempt("accept none", s.accept)
e = select.epoll()
c = socket.socket()
c.setblocking(False)
e.register(c, select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)
e.poll(0)
c.connect_ex(s.getsockname())
print("edge of connect", [m & OUT for _, m in e.poll(5)])

# Timeouts
s = listener()
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 50000))
attempt("accept timeout", s.accept)
c, a = pair()
c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 50000))
attempt("recv timeout", lambda: c.recv(1))
a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 50000))
try:
    while True:
        a.send(b"x" * 65536)
except OSError as error:
    print("send timeout", name(error))

# Listening again, shutdown of a listener
s = listener()
woken = []
t = threading.Thread(target=lambda: attempt("woken accept", s.accept))
t.start()
waits.until_in_call(os.getpid(), t.native_id, [waits.ACCEPT4])
s.shutdown(socket.SHUT_RD)
t.join(60)
attempt("accept after", s.accept)
s.listen(2)
c = socket.create_connection(s.getsockname())
print("listens again", s.accept()[1] == c.getsockname())

# Not connected
for what in ("getpeername",):
    attempt(what, getattr(socket.socket(), what))
attempt("shutdown", lambda: socket.socket().shutdown(socket.SHUT_RDWR))
attempt("accept on fresh", lambda: socket.socket().accept())
attempt("bad domain", lambda: socket.socket(socket.AF_INET, 77))
attempt("bad protocol", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 17))
attempt("listen dgram", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).listen())
attempt("bind twice", lambda: [s.bind((HOST, 0)) for s in [socket.socket()] for _ in range(2)])
attempt("bind elsewhere", lambda: socket.socket().bind(("192.0.2.1", 0)))
s = socket.socket(); s.bind((HOST, 0))
attempt("bind in use", lambda: socket.socket().bind(s.getsockname()))
port = s.getsockname()[1]
s.close()
attempt("bind after close", lambda: socket.socket().bind((HOST, port)))
os.close(3) if False else None
c, a = pair()
d = os.dup(c.fileno())
c.close()
os.write(d, b"through the copy")
print(a.recv(100))
os.close(d)
print("last copy closed", a.recv(1))
# sendfile, splice, writev, readv
c, a = pair()
with open("/proc/self/exe", "rb") as f:
    n = os.sendfile(c.fileno(), f.fileno(), 0, 1000)
got = b""
while len(got) < n:
    got += a.recv(1000)
print("sendfile", n, got[:4])
print(os.writev(c.fileno(), [b"ab", b"cd"]), a.recvmsg(10))
a.sendmsg([b"1", b"2"])
buffers = [bytearray(1), bytearray(5)]
settle(c, IN | OUT)
c.recvmsg_into(buffers)
print(buffers)
a.sendto(b"named", ("1.2.3.4", 5))
settle(c, IN | OUT)
print(c.recvfrom(10))
print("FIONREAD", struct.unpack("i", fcntl.ioctl(c, 0x541B, b"0000"))[0])
# large transfers both ways
c, a = pair()
blob = os.urandom(1 << 20) * 8
def send(s):
    s.sendall(blob)
    s.shutdown(socket.SHUT_WR)
ts = [threading.Thread(target=send, args=(x,)) for x in (c, a)]
for t in ts: t.start()
def drain(s):
    out = bytearray()
    while True:
        d = s.recv(1 << 16)
        if not d: return bytes(out)
        out += d
r = {}
ds = [threading.Thread(target=lambda x=x: r.__setitem__(x, drain(x))) for x in (c, a)]
for t in ds: t.start()
for t in ts + ds: t.join()
print("both ways", r[c] == blob, r[a] == blob)
