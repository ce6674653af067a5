"""Paths with `..` through a file system (FUSE) that a process of the run serves, which opens files itself while it answers: nobody waits for ever.

Root's, in a mount name space of its own. Prints what became of each open(2).
"""
import ctypes
import os
import signal
import struct
import sys
import tempfile

CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH = 0x20000, 1 << 14, 1 << 18, 2
LOOKUP, FORGET, GETATTR, INIT, BATCH_FORGET = 1, 2, 3, 26, 42  # linux/fuse.h
ENOSYS, S_IFDIR = 38, 0o40000
LIBC = ctypes.CDLL(None, use_errno=True)
LIMIT = 60


def check(result):
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def attributes(node):
    """struct fuse_attr: a directory."""
    return struct.pack("<6Q10I", node, 0, 0, 0, 0, 0, 0, 0, 0, S_IFDIR | 0o755, 2, 0, 0, 0, 4096, 0)


def answer(kind, node):
    if kind == INIT:
        return struct.pack("<4I2H2I36x", 7, 31, 65536, 0, 0, 0, 65536, 0)
    if kind == LOOKUP:
        with open("/etc/../etc/passwd", "rb") as file:  # as a file system does that shows another one's files
            file.read()
        return struct.pack("<4Q2I", 2, 0, 0, 0, 0, 0) + attributes(2)
    return struct.pack("<Q2I", 0, 0, 0) + attributes(node) if kind == GETATTR else None


def serve(device):
    while True:
        request = os.read(device, 200_000)
        _, kind, number, node = struct.unpack("<2I2Q", request[:24])
        if kind in (FORGET, BATCH_FORGET):
            continue
        body = answer(kind, node)
        head = struct.pack("<IiQ", 16 + len(body or b""), 0 if body is not None else -ENOSYS, number)
        os.write(device, head + (body or b""))


def tell(what, path):
    try:
        os.close(os.open(path, os.O_RDONLY))
        print(what, "opened", flush=True)
    except OSError as error:
        print(what, error.strerror, flush=True)


def main():
    place = tempfile.mkdtemp()
    check(LIBC.unshare(CLONE_NEWNS))
    check(LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
    check(LIBC.mount(b"served", place.encode(), b"fuse", 0, options.encode()))
    server = os.fork()
    if server == 0:
        signal.alarm(LIMIT)
        try:
            serve(device)
        finally:
            os._exit(1)
    os.close(device)
    signal.alarm(LIMIT)
    root = f"{place}/a/.." + "/.." * place.count("/")
    tell("a file beside it", f"{root}/etc/passwd")
    tell("a file of the run's", f"{root}/proc/net/tcp")
    LIBC.umount2(place.encode(), MNT_DETACH)
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)
    os.rmdir(place)
    print("done")


try:
    main()
except FileNotFoundError as error:
    sys.exit(f"no file systems of programs here: {error}")
