#!/usr/bin/env python3
"""What a peer hears of a stream that was shut for reading: an end, or a reset for octets that nobody will read. Argument: 4 or 6."""
import errno
import select
import signal
import socket
import sys
import time

signal.alarm(60)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]
PATIENCE = 10

listener = socket.socket(FAMILY)
listener.bind((HOST, 0))
listener.listen()


def said(call):
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno]


def waits_for_reset(client):
    """Whether the client is reset: behind an end only its writes tell of it, and only one that nobody takes tells surely."""
    end = time.monotonic() + PATIENCE
    while not (error := client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) and time.monotonic() < end:
        time.sleep(0.005)
    return errno.errorcode.get(error, "nothing")


def hears(title, calls, reset):
    client = socket.create_connection(listener.getsockname()[:2], timeout=PATIENCE)
    server, _ = listener.accept()
    server.settimeout(PATIENCE)
    told = []
    for call in calls.split():
        if call == "sends":
            client.sendall(b"octets")
            if calls.startswith(call):
                select.select([server], [], [], PATIENCE)
            else:
                time.sleep(0.05)  # Until they are there, which nothing tells of who has shut reading.
        elif call == "reads":
            told.append(said(lambda: server.recv(100)))
        elif call == "close":
            server.close()
        else:
            server.shutdown({"reading": socket.SHUT_RD, "writing": socket.SHUT_WR, "both": socket.SHUT_RDWR}[call])
    told.append(said(lambda: client.recv(100)))
    if reset and told[-1] == b"":
        told.append(waits_for_reset(client))
    elif told[-1] == "ECONNRESET" or reset:
        told.append(said(lambda: client.recv(100)))
    print(title, *told)


hears("what came after it was not read:", "reading sends close", True)
hears("nor what came before it:", "sends reading close", True)
hears("read:", "sends reading reads close", False)
hears("nothing came:", "reading close", False)
hears("left unread, then shut both ways:", "sends both close", True)
hears("read, then:", "sends both reads close", False)
hears("shut for reading, octets, shut for writing:", "reading sends writing close", True)
hears("shut for writing, octets:", "writing sends close", True)
hears("shut for writing, then for reading, octets:", "writing reading sends", True)
hears("octets after both:", "both sends", True)
hears("nothing after both:", "both close", False)
