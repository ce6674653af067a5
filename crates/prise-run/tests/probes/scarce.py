"""Neither the program nor the supervisor may have many descriptors: calls fail with an error that says so, and what is
closed can be had again."""
import errno, os, signal, socket

signal.alarm(100)


def sockets_of_many():
    """What four processes are told who want a hundred datagram sockets each: none has too many for itself, and of each one end is the
    supervisor's."""
    told, told_by, go, goes = *os.pipe(), *os.pipe()
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            os.close(goes)
            kept, errors = [], set()
            for _ in range(100):
                try:
                    kept.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                except OSError as error:
                    errors.add(errno.errorcode[error.errno])
            os.write(told_by, f"{len(kept)} {' '.join(errors)}\n".encode())
            os.read(go, 1)
            os._exit(0)
        children.append(child)
    os.close(told_by)
    os.close(go)
    lines = []
    with os.fdopen(told) as reader:
        for _ in children:
            lines.append(reader.readline().split())
    os.close(goes)
    for child in children:
        os.waitpid(child, 0)
    return lines


lines = sockets_of_many()
assert 50 < sum(int(line[0]) for line in lines) < 200, lines
assert any(line[1:] for line in lines) and all(set(line[1:]) <= {"EMFILE", "ENFILE"} for line in lines), lines
while True:
    try:
        listener = socket.create_server(("127.0.0.1", 0), backlog=500)
        break
    except OSError as error:
        # What was closed is looked for now and then, not for every call that fails. The alarm ends it.
        assert error.errno in (errno.EMFILE, errno.ENFILE), error
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
