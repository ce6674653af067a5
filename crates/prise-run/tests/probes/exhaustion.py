"""Descriptors run out in the program: calls that make one say so, and lose nothing."""
import errno, os, resource, select, signal, socket, sys

signal.alarm(100)


def name(action):
    try:
        made = action()
        return made, "made"
    except OSError as error:
        return None, errno.errorcode[error.errno]


listener = socket.create_server(("127.0.0.1", 0), backlog=50)
clients = [socket.create_connection(listener.getsockname()) for _ in range(5)]
idle = [os.dup(0) for _ in range(10)]
highest = max(idle)
resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
print(name(socket.socket)[1], name(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))[1], name(listener.accept)[1], name(listener.accept)[1])
print(name(lambda: socket.socketpair())[1], name(lambda: os.dup(listener.fileno()))[1])
# The connections that could not be had wait on, in their order, and the listener shows them.
print(select.select([listener], [], [], 0)[0] == [listener])
for fd in idle:
    os.close(fd)
listener.settimeout(5)
for client in clients:
    served, _ = listener.accept()
    served.sendall(b"x")
    print(served.getpeername() == client.getsockname(), client.recv(1))
    served.close()
listener.setblocking(False)
print(name(listener.accept)[1], select.select([listener], [], [], 0)[0])
# A nonblocking accept that fails so keeps the connection too.
extra = socket.create_connection(listener.getsockname())
select.select([listener], [], [], 5)
idle = []
while True:
    try:
        idle.append(os.dup(0))
    except OSError:
        break
print(name(listener.accept)[1])
os.close(idle.pop())
print(name(listener.accept)[1])
