"""Descriptors that travel: fork, exec, dup2, SCM_RIGHTS, and calls with bad arguments."""
import array, ctypes, errno, os, signal, socket, subprocess, sys, time

signal.alarm(100)
libc = ctypes.CDLL(None, use_errno=True)


def listener():
    s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); return s


def pair():
    s = listener(); c = socket.create_connection(s.getsockname()); a, _ = s.accept(); return c, a


# exec with a socket as standard streams
c, a = pair()
subprocess.run(["/bin/sh", "-c", "read line; echo got $line"], stdin=a.fileno(), stdout=a.fileno(), input=None) if c.sendall(b"hello\n") is None else 0
a.close()
print(c.recv(100), c.recv(100))
# an inherited listener
s = listener(); os.set_inheritable(s.fileno(), True)
code = "import socket,sys; s=socket.socket(fileno=int(sys.argv[1])); a,_=s.accept(); a.sendall(b'from the child %d' % s.getsockname()[1]); a.close()"
p = subprocess.Popen([sys.executable, "-c", code, str(s.fileno())], close_fds=False)
port = s.getsockname()[1]
c = socket.create_connection(("127.0.0.1", port)); s.close()
print(c.recv(100) == b"from the child %d" % port, p.wait())
# passed over AF_UNIX
c, a = pair()
l, r = socket.socketpair()
pid = os.fork()
if pid == 0:
    c.close(); a.close(); l.close()
    _, fds, _, _ = socket.recv_fds(r, 10, 3)
    x = socket.socket(fileno=fds[0]); x.sendall(b"I am %d" % x.getsockname()[1]); x.close(); os._exit(0)
me = a.getsockname()[1]
socket.send_fds(l, [b"fd"], [a.fileno()]); a.close()
print(c.recv(100) == b"I am %d" % me, c.recv(10), os.waitpid(pid, 0)[1])
# dup2 over another socket
c, a = pair(); c2, a2 = pair()
os.dup2(c2.fileno(), c.fileno())
print("old is gone", a.recv(1)); c.sendall(b"new"); print(a2.recv(10), c.getpeername() == a2.getsockname())
# own AF_UNIX sockets
import tempfile
d = tempfile.mkdtemp(); path = d + "/s"
u = socket.socket(socket.AF_UNIX); u.bind(path); u.listen(); v = socket.socket(socket.AF_UNIX); v.connect(path); w, _ = u.accept()
v.sendmsg([b"unix"]); print(w.recvmsg(10)[0], v.getpeername() == path); os.unlink(path); os.rmdir(d)


def call(what, result):
    print(what, result if result >= 0 else errno.errorcode[ctypes.get_errno()])


BAD = ctypes.c_void_p(8)
s = socket.socket(); s.bind(("127.0.0.1", 0)); fd = s.fileno()
buf = ctypes.create_string_buffer(128); length = ctypes.c_int(128); negative = ctypes.c_int(-1); short = ctypes.c_int(3)
call("bind bad pointer", libc.bind(fd, BAD, 16))
call("bind short", libc.bind(fd, buf, 3))
call("bind long", libc.bind(fd, buf, 1000))
call("bind negative", libc.bind(fd, buf, -1))
call("bind zero", libc.bind(fd, buf, 0))
call("connect bad pointer", libc.connect(fd, BAD, 16))
call("connect short", libc.connect(fd, buf, 1))
call("getsockname bad pointer", libc.getsockname(fd, BAD, ctypes.byref(length)))
call("getsockname bad length", libc.getsockname(fd, buf, BAD))
call("getsockname negative", libc.getsockname(fd, buf, ctypes.byref(negative)))
call("getsockname short", libc.getsockname(fd, buf, ctypes.byref(short))); print(short.value)
call("bad fd", libc.getsockname(9999, buf, ctypes.byref(length)))
call("negative fd", libc.listen(-1, 1))
call("not a socket", libc.listen(os.open("/dev/null", 0), 1))
call("getsockopt bad value", libc.getsockopt(fd, 1, 3, BAD, ctypes.byref(length)))
call("getsockopt bad length", libc.getsockopt(fd, 1, 3, buf, BAD))
call("getsockopt negative", libc.getsockopt(fd, 1, 3, buf, ctypes.byref(negative)))
call("getsockopt unknown level", libc.getsockopt(fd, 99, 3, buf, ctypes.byref(length)))
length.value = 128
call("getsockopt unknown", libc.getsockopt(fd, 6, 999, buf, ctypes.byref(length)))
call("setsockopt unknown", libc.setsockopt(fd, 6, 999, buf, 4))
call("setsockopt unknown socket option", libc.setsockopt(fd, 1, 999, buf, 4))
call("setsockopt bad pointer", libc.setsockopt(fd, 6, 1, BAD, 4))
call("setsockopt short", libc.setsockopt(fd, 6, 1, buf, 1))
call("setsockopt negative", libc.setsockopt(fd, 6, 1, buf, -4))
call("socket flags", libc.socket(2, 1 | 0o100, 0))
call("socket type", libc.socket(2, 12, 0))
call("socket negative", libc.socket(2, -1, 0))
call("accept not listening", libc.accept(fd, None, None))
call("accept4 flags", libc.accept4(fd, None, None, 12345))
call("shutdown how", libc.shutdown(fd, 7))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", 0)); ufd = u.fileno()
address = b"\2\0" + u.getsockname()[1].to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
call("sendto bad data", libc.sendto(ufd, BAD, 10, 0, address, 16))
call("sendto bad address", libc.sendto(ufd, b"x", 1, 0, BAD, 16))
call("sendto short address", libc.sendto(ufd, b"x", 1, 0, address, 4))
call("sendto family", libc.sendto(ufd, b"x", 1, 0, b"\7\0" + address[2:], 16))
call("sendto good", libc.sendto(ufd, b"x", 1, 0, address, 16))
call("recvfrom bad data", libc.recvfrom(ufd, BAD, 10, 0x40, buf, ctypes.byref(length)))
call("sendto good", libc.sendto(ufd, b"x", 1, 0, address, 16))
call("recvfrom negative length", libc.recvfrom(ufd, buf, 10, 0x40, buf, ctypes.byref(negative)))
call("sendmsg bad", libc.sendmsg(ufd, BAD, 0))
call("recvmsg bad", libc.recvmsg(ufd, BAD, 0x40))
call("sendmmsg bad", libc.sendmmsg(ufd, BAD, 3, 0))
call("sendmmsg none", libc.sendmmsg(ufd, BAD, 0, 0))
l = listener(); c = socket.create_connection(l.getsockname())
call("accept bad pointer", min(0, libc.accept(l.fileno(), BAD, ctypes.byref(length))))
c.close(); c = socket.create_connection(l.getsockname())
call("accept bad length", min(0, libc.accept(l.fileno(), buf, BAD)))
