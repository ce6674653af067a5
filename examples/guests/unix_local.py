#!/usr/bin/env python3
"""AF_UNIX: a stream at a path, datagrams, sequenced packets that keep their boundaries, a pair. prise leaves them alone."""
import os
import signal
import socket
import tempfile

signal.alarm(100)
with tempfile.TemporaryDirectory() as directory:
    path = os.path.join(directory, "app.sock")
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    server.listen()
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect(path)
    connection, _ = server.accept()
    connection.sendall(b"stream")
    print("client received", client.recv(100), "from", os.path.basename(client.getpeername()))
    print("peer is this process:", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4] == os.getpid().to_bytes(4, "little"))

    datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    datagrams.bind(os.path.join(directory, "box.sock"))
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"datagram", datagrams.getsockname())
    print("box received", datagrams.recv(100))

    try:
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).connect(os.path.join(directory, "nobody.sock"))
    except FileNotFoundError as error:
        print("no such path:", error.strerror)

left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
left.send(b"first")
left.send(b"second")
print("boundaries kept:", right.recv(100), right.recv(100))

left, right = socket.socketpair()
if os.fork() == 0:
    right.sendall(b"from the child: " + right.recv(100).upper())
    os._exit(0)
left.sendall(b"to the child")
print(left.recv(100))
os.wait()

# A descriptor travels: the Internet socket that it names works on the other side.
inside, outside = socket.socketpair()
listener = socket.create_server(("127.0.0.1", 0))
socket.send_fds(outside, [b"take it"], [listener.fileno()])
message, fds, _, _ = socket.recv_fds(inside, 100, 1)
taken = socket.socket(fileno=fds[0])
client = socket.create_connection(listener.getsockname())
listener.close()
connection, _ = taken.accept()
connection.sendall(b"through the passed listener")
print(message, "->", client.recv(100))
