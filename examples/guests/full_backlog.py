"""A listener whose queue is full: connect(2) waits, and goes on once somebody has accepted."""
import select
import signal
import socket
import sys

signal.alarm(100)
v6 = sys.argv[1] == "6"
family, host = (socket.AF_INET6, "::1") if v6 else (socket.AF_INET, "127.0.0.1")
listener = socket.socket(family)
listener.bind((host, 0))
listener.listen(2)
name = listener.getsockname()

clients, connected = [], 0
for number in range(5):
    client = socket.socket(family)
    client.setblocking(False)
    client.connect_ex(name)
    clients.append(client)

# One more than the backlog is let in (sk_acceptq_is_full).
waiting = set(clients)
while len(waiting) > 2:
    writable = select.select([], list(waiting), [])[1]
    waiting -= set(writable)
    connected += len(writable)
print("let in:", connected)
print("more within 0.2 s:", len(select.select([], list(waiting), [], 0.2)[1]))

accepted = []
while len(accepted) < 5:
    accepted.append(listener.accept()[0])
for client in waiting:
    select.select([], [client], [])
    print("then:", client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
names = {client.getsockname()[:2] for client in clients}
print("all accepted:", names == {peer.getpeername()[:2] for peer in accepted})
