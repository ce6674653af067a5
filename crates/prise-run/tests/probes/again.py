"""A stream that is connected again after a refusal, or listens again, is watched on by the epoll sets it is in."""
import errno, select, signal, socket, sys

signal.alarm(100)
closed = socket.socket()
closed.bind(("127.0.0.1", 0))
listener = socket.create_server(("127.0.0.1", 0))
one, other = select.epoll(), select.epoll()
client = socket.socket()
client.setblocking(False)
one.register(client, select.EPOLLOUT | select.EPOLLIN)
other.register(client, select.EPOLLIN | select.EPOLLET)


def connect(to):
    """Asked until it is under way: Linux tells of the failure before once more."""
    said = []
    while not said or said[-1] not in ("EINPROGRESS", "0"):
        said.append(errno.errorcode.get(client.connect_ex(to), "0"))
    return said, [events for _, events in one.poll(5)], [events for _, events in other.poll(1)]


for _ in range(3):
    print(*connect(closed.getsockname()))
    print(errno.errorcode.get(client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))
print(connect(listener.getsockname())[:2])
served, _ = listener.accept()
served.sendall(b"heard by both")
print([events & 1 for _, events in other.poll(5)])
one.modify(client, select.EPOLLIN)
print([(fd == client.fileno(), events) for fd, events in one.poll(5)], client.recv(100))
one.unregister(client)
print(one.poll(0))
