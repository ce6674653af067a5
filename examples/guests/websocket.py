#!/usr/bin/env python3
"""WebSocket from scratch (RFC 6455): the upgrade, masked text frames each way, ping and pong, the close. Argument: 4 or 6."""
import base64
import hashlib
import signal
import socket
import struct
import sys
import threading

signal.alarm(100)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def accept_key(key):
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return base64.b64encode(digest)


def frame(opcode, payload, mask=None):
    masked = 0x80 if mask else 0
    length = struct.pack("!BB", 0x80 | opcode, masked | len(payload)) if len(payload) < 126 else struct.pack("!BBH", 0x80 | opcode, masked | 126, len(payload))
    if not mask:
        return length + payload
    return length + mask + bytes(octet ^ mask[i % 4] for i, octet in enumerate(payload))


def read_frame(stream):
    first, second = stream.read(2)
    length = second & 0x7F
    if length == 126:
        (length,) = struct.unpack("!H", stream.read(2))
    mask = stream.read(4) if second & 0x80 else bytes(4)
    return first & 15, bytes(octet ^ mask[i % 4] for i, octet in enumerate(stream.read(length)))


def headers(stream):
    lines = []
    while (line := stream.readline().strip()):
        lines.append(line)
    return lines


def serve(listener):
    sock, _ = listener.accept()
    stream = sock.makefile("rb")
    key = next(line.split(b": ")[1] for line in headers(stream) if line.startswith(b"Sec-WebSocket-Key"))
    sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept_key(key) + b"\r\n\r\n")
    while True:
        opcode, payload = read_frame(stream)
        sock.sendall(frame(PONG if opcode == PING else opcode, payload))
        if opcode == CLOSE:
            break
    stream.close()
    sock.close()


listener = socket.socket(FAMILY, socket.SOCK_STREAM)
listener.bind((HOST, 0))
listener.listen()
thread = threading.Thread(target=serve, args=(listener,))
thread.start()
sock = socket.create_connection(listener.getsockname()[:2])
stream = sock.makefile("rb")
key = base64.b64encode(b"prise-websocket!")
sock.sendall(b"GET /chat HTTP/1.1\r\nHost: example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n")
answer = headers(stream)
print(answer[0].decode(), "accepted:", answer[-1].split(b": ")[1] == accept_key(key))
for opcode, payload in ((TEXT, "salut à tous".encode()), (PING, b"latency"), (TEXT, b"x" * 5000), (CLOSE, b"\x03\xe8")):
    sock.sendall(frame(opcode, payload, mask=b"\x11\x22\x33\x44"))
    kind, echoed = read_frame(stream)
    print("frame", kind, "of", len(echoed), "octets, intact:", echoed == payload)
print("end of stream:", stream.read())
thread.join()
