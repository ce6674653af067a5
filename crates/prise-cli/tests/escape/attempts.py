"""Attempts to get around a policy. Usage: attempts.py NAME [ARGUMENT...]; prints one line, what came of it.

`reached` means that octets went where they must not, or that a process beyond the run was opened. Everything else is the
reason why not: an errno's name. Run natively, each attempt that the machine permits at all prints `reached`.
"""

import array
import ctypes
import errno
import os
import signal
import socket
import struct
import sys

signal.alarm(100)
libc = ctypes.CDLL(None, use_errno=True)


def call(number, *arguments):
    """A system call by its number; raises OSError."""
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def server(port):
    return (os.environ["HOST_ADDRESS"], int(port))


def talk(stream):
    """Whoever answers is somebody beyond the run."""
    stream.settimeout(5)
    stream.sendall(b"ping")
    return "reached" if stream.recv(4) == b"pong" else "nothing"


def tcp(port):
    return talk(socket.create_connection(server(port), 5))


def address(ip, port):
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family) as stream:
        stream.settimeout(3)
        stream.connect((ip, int(port)))
        return talk(stream)


def udp(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        s.sendto(b"ping", server(port))
        return "reached" if s.recv(4) == b"pong" else "nothing"


def io_uring():
    ring = call(425, 4, ctypes.create_string_buffer(120))
    os.close(ring)
    return "reached"


def ring_of_another(fd):
    """io_uring_enter(2) on a ring that was inherited."""
    call(426, int(fd), 0, 0, 0, None, 0)
    return "reached"


def inherited(fd):
    return talk(socket.socket(fileno=int(fd)))


def rights(path):
    """A server beyond the run hands out a connected socket."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(path)
        data, ancillary, _, _ = s.recvmsg(1, socket.CMSG_SPACE(4))
        fds = array.array("i")
        fds.frombytes(ancillary[0][2])
        return talk(socket.socket(fileno=fds[0]))


def local_stream(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path.replace("@", "\0"))
        return talk(s)


def local_datagram(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(b"ping", path.replace("@", "\0"))
        return "reached"


def local_message(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendmsg([b"ping"], [], 0, path.replace("@", "\0"))
        return "reached"


def local_by_link(path):
    """The path of a socket of the run's own that becomes another's."""
    own = f"own-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(own)
        listener.listen()
        os.rename(own, own + "-away")
        os.symlink(path, own)
        try:
            return local_stream(own)
        finally:
            os.unlink(own)
            os.unlink(own + "-away")


def ptrace(pid):
    PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17
    if libc.ptrace(PTRACE_SEIZE, int(pid), None, None) < 0:
        raise OSError(ctypes.get_errno(), "")
    libc.ptrace(PTRACE_DETACH, int(pid), None, None)
    return "reached"


def memory_file(pid):
    with open(f"/proc/{pid}/mem", "r+b"):
        return "reached"


class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


def mapped(pid):
    """An address in every process: its vvar page would do, the executable's first page is simpler to find by number."""
    return 0x1000


def transfer(number, pid):
    """No address is known, so that success is EFAULT: the right was granted."""
    octets = ctypes.create_string_buffer(8)
    local = Vector(ctypes.addressof(octets), 8)
    remote = Vector(mapped(pid), 8)
    try:
        call(number, int(pid), ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
    except OSError as error:
        if error.errno != errno.EFAULT:
            raise
    return "reached"


def vm_readv(pid):
    return transfer(310, pid)


def vm_writev(pid):
    return transfer(311, pid)


def pidfd_getfd(pid):
    call(438, os.pidfd_open(int(pid)), 0, 0)
    return "reached"


def kill(pid):
    os.kill(int(pid), 0)
    return "reached"


def family(number, kind):
    socket.socket(int(number), int(kind)).close()
    return "reached"


def socketpair(number):
    fds = (ctypes.c_int * 2)()
    call(53, int(number), 1, 0, fds)
    return "reached"


def raw(port):
    """An ICMP echo request, header and all, to where nothing may go."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as s:
        s.sendto(b"\x08\0\xf7\xff\0\0\0\0", server(0))
        return "reached"


def ping():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as s:
        s.settimeout(3)
        s.sendto(b"\x08\0\0\0\0\0\0\1", server(0))
        return "reached" if s.recv(100) else "nothing"


def key():
    """A key of this type is made by a program of the host's that looks the name up."""
    call(249, b"dns_resolver", b"secret.example.com", None, -1)
    return "reached"


def keyctl():
    call(250, 0, -1, 0)
    return "reached"


def bpf():
    call(321, 0, None, 0)
    return "reached"


def type_ahead():
    import fcntl, termios

    controller, terminal = os.openpty()
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    fcntl.ioctl(terminal, termios.TIOCSTI, b"x")
    return "reached"


def query(name):
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    return struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + question + struct.pack("!2H", 16, 1)


def tunnel(port):
    """A query to a name server of the program's choice."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        s.sendto(query("secret.example.com"), server(port))
        return "reached" if s.recv(512) else "nothing"


def tunnel_by_resolver(name):
    """A query to the run's own name server, which would pass it on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(20)
        s.sendto(query(name), ("10.0.2.3", 53))
        code = s.recv(512)[3] & 15
        return {3: "NXDOMAIN"}.get(code, f"rcode {code}")


def many(allowed, denied):
    """One sendmmsg(2) with several destinations; counts what was sent."""

    class Message(ctypes.Structure):
        _fields_ = [
            ("name", ctypes.c_void_p), ("namelen", ctypes.c_uint), ("vector", ctypes.c_void_p),
            ("vectors", ctypes.c_size_t), ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t),
            ("flags", ctypes.c_int), ("padding", ctypes.c_int), ("sent", ctypes.c_uint),
        ]

    octets = ctypes.create_string_buffer(b"ping", 4)
    vector = Vector(ctypes.addressof(octets), 4)
    names = []
    for port in (allowed, denied, denied):
        ip, port = server(port)
        names.append(ctypes.create_string_buffer(struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(ip) + bytes(8), 16))
    messages = (Message * 3)(*[Message(ctypes.addressof(n), 16, ctypes.addressof(vector), 1, None, 0, 0, 0, 0) for n in names])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        sent = call(307, s.fileno(), messages, 3, 0)
        return "reached" if sent > 1 else f"{sent} sent"


def unspecified(allowed, denied):
    """Connected where it may, dissolved, connected where it may not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        s.connect(server(allowed))
        if libc.connect(s.fileno(), bytes(16), 16) < 0:
            raise OSError(ctypes.get_errno(), "")
        s.connect(server(denied))
        s.send(b"ping")
        return "reached" if s.recv(4) else "nothing"


def name_space(port):
    """Root of a namespace of its own."""
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(0x10000000 | 0x40000000) < 0:
        raise OSError(ctypes.get_errno(), "")
    with open("/proc/self/setgroups", "w") as file:
        file.write("deny")
    with open("/proc/self/uid_map", "w") as file:
        file.write(f"0 {uid} 1")
    return tcp(port)


def name_space_only(port):
    """The same without the network namespace, which natively has no network."""
    if libc.unshare(0x10000000) < 0:
        raise OSError(ctypes.get_errno(), "")
    return tcp(port)


def packets_apart(kind):
    """A packet socket for root of a namespace of its own, who may have one in its own network."""
    if libc.unshare(0x10000000 | 0x40000000) < 0:
        raise OSError(ctypes.get_errno(), "")
    socket.socket(socket.AF_PACKET, int(kind), socket.htons(3)).close()
    return "reached"


def privileges():
    """Whether a set-user-ID program would gain anything."""
    with open("/proc/self/status") as file:
        return "kept out" if "NoNewPrivs:\t1" in file.read() else "reached"


def main():
    try:
        return globals()[sys.argv[1]](*sys.argv[2:])
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


if __name__ == "__main__":
    print(main(), flush=True)
