"""Thousands of connections, datagram sockets and processes: the supervisor's descriptors and memory stay where they were."""
import os, signal, socket, sys

signal.alarm(110)
SUPERVISOR = os.getppid()


def held():
    with open(f"/proc/{SUPERVISOR}/status") as f:
        memory = int([line for line in f if line.startswith("VmRSS")][0].split()[1])
    return len(os.listdir(f"/proc/{SUPERVISOR}/fd")), memory


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(16)
address = listener.getsockname()


def connections(count):
    for i in range(count):
        c = socket.create_connection(address)
        a, _ = listener.accept()
        c.sendall(b"hello")
        a.recv(10)
        if i % 4 == 0:
            c.shutdown(socket.SHUT_WR)
            a.recv(1)
            a.shutdown(socket.SHUT_RDWR)
        elif i % 4 == 1:
            a.sendall(b"never read")
        (a if i % 2 else c).close()
        (c if i % 2 else a).close()


def datagrams(count):
    for _ in range(count):
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        u.bind(("127.0.0.1", 0))
        u.sendto(b"to myself", u.getsockname())
        u.recvfrom(10)
        u.close()


def idle(count):
    for _ in range(count):
        s = socket.socket()
        s.bind(("127.0.0.1", 0))
        s.close()
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", 1))
        s.close()


def processes(count):
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            c = socket.create_connection(address)
            listener.accept()
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)


def round():
    connections(1000), datagrams(500), idle(500), processes(60)


round()
descriptors, memory = held()
for _ in range(3):
    round()
after = held()
print("descriptors", descriptors, after[0], "memory in KiB", memory, after[1])
# Closed sockets that tell nobody may lie about until there are enough of them to be worth a look; tasks are remembered.
assert after[0] <= descriptors + 400, after
assert after[1] <= memory + 4096, after
