"""Neither the program nor the supervisor may have many descriptors: calls fail with an error that says so, and what is
closed can be had again."""
import errno, signal, socket, sys

signal.alarm(100)
listener = socket.create_server(("127.0.0.1", 0), backlog=500)
kept, errors = [], set()
for _ in range(300):
    try:
        kept.append(socket.create_connection(listener.getsockname(), 5))
        kept.append(listener.accept()[0])
    except OSError as error:
        errors.add(errno.errorcode.get(error.errno, str(error)))
assert 50 < len(kept) < 600, len(kept)
assert errors and errors <= {"EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"}, errors
for one in kept:
    one.close()
# Connections whose program could not be given a descriptor may still wait, ended.
listener.settimeout(0.3)
try:
    while True:
        listener.accept()[0].close()
except TimeoutError:
    listener.settimeout(5)
for _ in range(20):
    client = socket.create_connection(listener.getsockname(), 5)
    served, _ = listener.accept()
    client.sendall(b"x")
    assert served.recv(1) == b"x"
    kept += [client, served]
print("recovered")
