#!/usr/bin/env python3
"""The whole life of TCP sockets: create, bind, listen, connect, accept, exchange both ways, half-close, close.

A loop server answers three clients; the last one moves a mebibyte each way and half-closes. Argument: 4 or 6."""
import hashlib
import signal
import socket
import sys
import threading

signal.alarm(100)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]
BULK = bytes(range(256)) * 4096


def send_all(sock, data):
    """send() takes what fits: the rest is sent again."""
    total = 0
    while total < len(data):
        sent = sock.send(data[total:])
        if sent == 0:
            raise RuntimeError("connection broken")
        total += sent


def receive_all(sock):
    chunks = []
    while chunk := sock.recv(4096):
        chunks.append(chunk)
    return b"".join(chunks)


def serve(listener):
    for _ in range(3):
        client, _ = listener.accept()
        request = client.recv(5, socket.MSG_WAITALL)
        if request == b"bulk?":
            digest = hashlib.sha256(receive_all(client)).hexdigest()
            send_all(client, BULK + digest.encode())
        else:
            client.send(b"Hello from server, " + request)
        client.close()


listener = socket.socket(FAMILY, socket.SOCK_STREAM)
listener.bind((HOST, 0))
listener.listen(5)
where = listener.getsockname()
server = threading.Thread(target=serve, args=(listener,))
server.start()

for name in (b"Alice", b"Basil"):
    with socket.socket(FAMILY, socket.SOCK_STREAM) as client:
        client.connect(where)
        assert client.getpeername() == where
        client.sendall(name)
        print(receive_all(client).decode())

with socket.create_connection(where[:2]) as client:
    client.sendall(b"bulk?")
    send_all(client, BULK)
    client.shutdown(socket.SHUT_WR)
    answer = receive_all(client)
    print("bulk came back whole:", answer[: len(BULK)] == BULK)
    print("and had arrived whole:", answer[len(BULK) :].decode() == hashlib.sha256(BULK).hexdigest())
    try:
        client.send(b"x")
    except BrokenPipeError as error:
        print("writing after the half-close:", error.strerror)

server.join()
listener.close()
try:
    socket.create_connection(where[:2])
except ConnectionRefusedError as error:
    print("after the server's close:", error.strerror)

# By the time a client's connect has returned, its connection waits at the listener: nobody needs to wait for it.
with socket.socket(FAMILY, socket.SOCK_STREAM) as listener:
    listener.bind((HOST, 0))
    listener.listen(5)
    listener.setblocking(False)
    for _ in range(100):
        with socket.create_connection(listener.getsockname()[:2]):
            listener.accept()[0].close()
print("accepted without waiting")
