"""Datagrams, as a program sees them."""
import errno, fcntl, os, select, signal, socket, struct, sys, threading, time

import waits

signal.alarm(100)


def attempt(what, action, show=repr):
    try:
        print(what, show(action()))
    except OSError as error:
        print(what, errno.errorcode.get(error.errno, type(error).__name__))


for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    def bound():
        s = socket.socket(family, socket.SOCK_DGRAM)
        s.bind((host, 0))
        s.settimeout(5)
        return s
    a, b, c = bound(), bound(), bound()
    # many sources, recv and recvfrom mixed
    for i in range(6):
        (b if i % 2 else c).sendto(b"%d" % i, a.getsockname())
    got = []
    c.settimeout(None)
    for i in range(6):
        if i % 3 == 2:
            got.append((a.recv(10), None))
        else:
            data, source = a.recvfrom(10)
            got.append((data, {b.getsockname(): "b", c.getsockname(): "c"}[source]))
    print(got)
    a.sendto(b"", b.getsockname())
    print("empty", b.recvfrom(10)[0])
    a.sendto(b"x" * 1000, b.getsockname())
    print("truncated", len(b.recv(10)))
    a.sendto(b"x" * 1000, b.getsockname())
    print("peek", len(b.recv(2000, socket.MSG_PEEK)), len(b.recv(2000, socket.MSG_TRUNC)))
    a.sendto(b"x" * 1000, b.getsockname())
    print("trunc flag", len(b.recvfrom(10, socket.MSG_TRUNC)[0]))
    print("biggest", a.sendto(b"y" * 60000, b.getsockname()), len(b.recv(65535)))
    attempt("too big", lambda: a.sendto(b"y" * 65536, b.getsockname()))
    a.settimeout(None)
    attempt("nowait", lambda: a.recv(1, socket.MSG_DONTWAIT))
    attempt("nowait from", lambda: a.recvfrom(1, socket.MSG_DONTWAIT))
    a.settimeout(5)
    # connected
    a.connect(b.getsockname())
    print("peer", a.getpeername() == b.getsockname())
    c.sendto(b"stranger", a.getsockname())
    b.sendto(b"friend", a.getsockname())
    print(a.recv(100))
    a.send(b"native"), a.sendto(b"named", c.getsockname()), a.sendall(b"again")
    print(b.recv(100), b.recv(100), c.recv(100))
    # messages with control data
    b.setsockopt(socket.SOL_SOCKET, 29, 1)
    level, pktinfo = (socket.IPPROTO_IP, 8) if family == socket.AF_INET else (socket.IPPROTO_IPV6, 49)
    b.setsockopt(level, pktinfo, 1)
    c.sendmsg([b"in ", b"pieces"], [], 0, b.getsockname())
    data, control, flags, source = b.recvmsg(100, 200)
    print(data, flags, source == c.getsockname(), sorted((l, t, len(d)) for l, t, d in control))
    info = [d for l, t, d in control if l == level][0]
    print("dst", socket.inet_ntop(family, info[8:12] if family == socket.AF_INET else info[:16]))
    stamp = [struct.unpack("ll", d)[0] for l, t, d in control if l == socket.SOL_SOCKET and t == 29][0]
    print("stamp", abs(stamp - time.time()) < 3)
    c.sendto(b"no room", b.getsockname())
    data, control, flags, source = b.recvmsg(100, 4)
    print(data, bool(flags & socket.MSG_CTRUNC))
    # poll
    p = select.poll(); p.register(a, 0x7)
    print("poll", p.poll(0)[0][1])
    b.sendto(b"wake", a.getsockname())
    print([m for _, m in p.poll(5000)] and True, a.recvfrom(10)[0])
    # a blocked recvfrom
    got = []
    c.settimeout(None)
    t = threading.Thread(target=lambda: got.append(c.recvfrom(100)))
    t.start(); waits.until_in_call(os.getpid(), t.native_id, [waits.RECVFROM])
    b.sendto(b"late", c.getsockname()); t.join(60)
    print(got[0][0], got[0][1] == b.getsockname())
    c.settimeout(0.05)
    attempt("timeout", lambda: c.recvfrom(10))
    c.settimeout(None)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 50000))
    attempt("SO_RCVTIMEO", lambda: c.recvfrom(10))
    # closed port
    d = bound(); gone = d.getsockname(); d.close()
    e = bound(); e.connect(gone); e.send(b"x")
    attempt("refused", lambda: e.recvfrom(10))
    e.send(b"x")
    p = select.poll(); p.register(e, 0); p.poll(5000)
    print("SO_ERROR", errno.errorcode.get(e.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)), e.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    attempt("rebind", lambda: socket.socket(family, socket.SOCK_DGRAM).bind(gone))
    attempt("in use", lambda: socket.socket(family, socket.SOCK_DGRAM).bind(b.getsockname()))
    x = socket.socket(family, socket.SOCK_DGRAM)
    attempt("destination", lambda: x.sendto(b"x", (host, 0)))
    attempt("no peer", lambda: x.sendmsg([b"x"]))
    attempt("getpeername", x.getpeername)
    x.connect(b.getsockname())
    attempt("connected getpeername", lambda: x.getpeername() == b.getsockname())
    b.settimeout(5)
    x.send(b"bye"); x.close()
    print("after close", b.recv(10))
    # SO_REUSEPORT spreads, closed ones get nothing
    shared = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(3)]
    for s in shared: s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    shared[0].bind((host, 0))
    for s in shared[1:]: s.bind(shared[0].getsockname())
    shared.pop().close()
    senders = [bound() for _ in range(20)]
    for s in senders: s.sendto(b"m", shared[0].getsockname())
    count = 0
    while count < len(senders) and (ready := select.select(shared, [], [], 5)[0]):
        for s in ready: s.recvfrom(10); count += 1
    print("all arrive", count)
    print("FIONREAD", struct.unpack("i", fcntl.ioctl(a, 0x541B, b"0000"))[0])
