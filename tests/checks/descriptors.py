"""Programs that do unusual things with descriptors, processes, threads and calls."""
import os
import socket
import subprocess

from stage import LOCAL, Skip, check, expect, find


@check("gcc", "gcc libc6-dev")
def passed_sockets(here):
    """SCM_RIGHTS: a listener, a connection and a datagram socket go to a stranger, who goes on with them; one stays on its
    way while its sender closes it."""
    expect(here.run(here.compile("passing.c")).endswith("ok\n"), "passing")


@check("gcc", "gcc libc6-dev")
def inetd(here):
    """A connection over descriptors 0 to 2 of programs that know nothing of sockets; a shell's pipes between them."""
    server = here.serve(8801, here.compile("inetd.c"), 8801, "/bin/sh", "-c", "tr a-z A-Z | rev; echo told >&2")
    for number in range(20):
        with socket.create_connection((LOCAL, 8801)) as client:
            client.sendall(b"line %d\n" % number)
            client.shutdown(socket.SHUT_WR)
            heard = b"".join(iter(lambda: client.recv(100), b""))
        expect(heard == f"line {number}".upper()[::-1].encode() + b"\ntold\n", heard)
    here.end(server)


@check("systemd-socket-activate python3", "systemd")
def activation(here):
    """A listener that a program inherits from the one that waited for its first client (LISTEN_FDS)."""
    guest = here.write("guest.py", """
        import os, socket
        assert os.environ["LISTEN_FDS"] == "1"
        listener = socket.socket(fileno=3)
        for _ in range(5):
            connection, peer = listener.accept()
            connection.sendall(b"activated by " + peer[0].encode())
            connection.close()
        """)
    server = here.start("systemd-socket-activate", "-l", "127.0.0.1:8802", find("python3"), guest)

    def answer():
        try:
            with socket.create_connection((LOCAL, 8802)) as client:
                return client.recv(100)
        except ConnectionRefusedError:
            return None

    here.until("an answer", lambda: answer() == b"activated by 127.0.0.1")
    for _ in range(4):
        expect(answer() == b"activated by 127.0.0.1", "the inherited listener")
    expect(server.wait(20) == 0, "its end")


@check("gcc", "gcc libc6-dev")
def sendfile_and_splice(here):
    """sendfile(2), splice(2) through pipes both ways, vmsplice(2), tee(2), copy to a file; blocking and not."""
    here.noise("large", 6_000_000)
    expect(here.run(here.compile("splice.c"), "large").endswith("ok\n"), "splice")


@check("gcc", "gcc libc6-dev")
def io_uring(here):
    """Refused, so that programs fall back to what is judged."""
    expect("ENOSYS" in here.run(here.compile("uring.c")), "io_uring_setup is refused")


@check("gcc", "gcc libc6-dev")
def thousands_of_threads(here):
    """2,000 threads that all wait in calls: accept, recvfrom, connect with a timeout; each is woken by what it waits for."""
    print(here.run(here.compile("threads.c"), 2000, limit=80).strip())


@check("gcc", "gcc libc6-dev")
def thousands_of_processes(here):
    """1,000 processes one after the other and 200 at once, each with connections and some killed in the middle."""
    print(here.run(here.compile("processes.c"), limit=80).strip())


@check("python3", "python3")
def daemons(here):
    """A server that forks twice, detaches and is nobody's child serves on, until it is told to end."""
    guest = here.write("daemon.py", """
        import os, socket, sys
        listener = socket.create_server(("127.0.0.1", 8803))
        if os.fork():
            os._exit(0)
        os.setsid()
        if os.fork():
            os._exit(0)
        os.chdir("/")
        null = os.open("/dev/null", os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        while True:
            connection, _ = listener.accept()
            asked = connection.recv(100)
            connection.sendall(b"%d" % os.getpid())
            connection.close()
            if asked == b"end":
                sys.exit()
        """)
    here.run(find("python3"), guest)

    def ask(words):
        with socket.create_connection((LOCAL, 8803)) as client:
            client.sendall(words)
            return int(client.recv(100))

    expect(len({ask(b"who") for _ in range(20)}) == 1, "one daemon")
    pid = ask(b"end")
    here.until("its end", lambda: not os.path.exists(f"/proc/{pid}"))
    with socket.socket() as client:
        expect(client.connect_ex((LOCAL, 8803)) == 111, "nobody listens any more")


@check("unshare python3", "util-linux")
def namespaces(here):
    """A program that makes a network namespace of its own keeps the run's sockets: there is no way out, and none is lost."""
    if subprocess.run(["unshare", "-Urn", "true"], capture_output=True).returncode:
        raise Skip("no user namespaces here")
    with socket.create_server((LOCAL, 8804)):
        here.run("unshare", "-Urn", find("python3"), "-c", "import socket; socket.create_connection(('127.0.0.1', 8804))")


@check("bwrap python3", "bubblewrap")
def bubblewrap(here):
    """A container without a daemon."""
    if subprocess.run(["bwrap", "--ro-bind", "/", "/", "true"], capture_output=True).returncode:
        raise Skip("bwrap cannot make namespaces here")
    with socket.create_server((LOCAL, 8805)):
        inside = "import socket, os; socket.create_connection(('127.0.0.1', 8805)); print(os.getpid())"
        said = here.run("bwrap", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--unshare-all", "--die-with-parent", find("python3"), "-c", inside)
        expect(int(said) < 10, "a process number of the container's", said)


@check("busybox unshare", "busybox-static")
def chroot(here):
    """A root of its own, with a static web server in it."""
    root = here.at / "root"
    (root / "bin").mkdir(parents=True)
    here.write("root/index.html", "from within\n")
    busybox = root / "bin/busybox"
    busybox.write_bytes(open(find("busybox"), "rb").read())
    busybox.chmod(0o755)
    inside = ("unshare", "-Ur", "chroot", root, "/bin/busybox")
    if subprocess.run([*map(str, inside), "true"], capture_output=True).returncode:
        raise Skip("no user namespaces here, or busybox is not static")
    here.serve(8806, *inside, "httpd", "-f", "-p", "127.0.0.1:8806", "-h", "/")
    expect(here.run(*inside, "wget", "-q", "-O", "-", "http://127.0.0.1:8806/index.html") == "from within\n", "a page")


@check("gcc", "gcc libc6-dev")
def storms(here):
    """Timers that go off every few hundred microseconds while connections come and go: EINTR only where Linux has it."""
    print(here.run(here.compile("storm.c"), limit=80).strip())


