"""Copies of a socket that were made before it had a name, a listener's queue or a peer: they are the same socket."""
import os
import select
import signal
import socket
import sys

signal.alarm(100)
v6 = sys.argv[1] == "6"
family, host = (socket.AF_INET6, "::1") if v6 else (socket.AF_INET, "127.0.0.1")

# A stream that stays within the process: what comes after it may be expected to be another.
first = socket.create_server((host, 0), family=family)
before = socket.create_connection(first.getsockname()[:2])
first.accept()[0].close()
before.close()

for bound in (True, False):
    original = socket.socket(family)
    copy = original.dup()
    number = os.dup(original.fileno())
    polled = select.epoll()
    polled.register(original, select.EPOLLIN)
    os.set_inheritable(number, True)
    if bound:
        copy.bind((host, 0))
    copy.listen(3)
    print("bound" if bound else "not bound")
    print("one name:", original.getsockname() == copy.getsockname() and original.getsockname()[1] != 0)
    print("listens:", original.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    print("inherited as before:", os.get_inheritable(number), os.get_inheritable(copy.fileno()))
    client = socket.create_connection((host, original.getsockname()[1]))
    print("the set tells:", [(fd == original.fileno(), events) for fd, events in polled.poll()])
    accepted, peer = original.accept()
    print("from the client:", peer[:2] == client.getsockname()[:2])
    copy.close()
    os.close(number)
    again = socket.create_connection((host, original.getsockname()[1]))
    accepted_again = original.accept()[0]
    print("still there:", accepted_again.getpeername()[:2] == again.getsockname()[:2])
    polled.close()
    original.close()
    for it in (client, accepted, again, accepted_again):
        it.close()

# Bound by one process, made a listener by another, as servers with workers do.
shared = socket.socket(family)
shared.bind((host, 0))
if (child := os.fork()) == 0:
    shared.listen(3)
    os._exit(0)
os.waitpid(child, 0)
client = socket.create_connection((host, shared.getsockname()[1]))
print("a child's listener:", shared.accept()[1][:2] == client.getsockname()[:2])

listener = socket.create_server((host, 0), family=family)
original = socket.socket(family)
copy = original.dup()
copy.connect(listener.getsockname()[:2])
accepted, peer = listener.accept()
print("connected:", original.getsockname() == copy.getsockname() == peer, original.getpeername() == listener.getsockname())
original.sendall(b"by the original")
print(accepted.recv(100))
