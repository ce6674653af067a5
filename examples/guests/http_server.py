#!/usr/bin/env python3
"""The minimal HTTP server, written on bare sockets, asked by the standard library's client. Argument: 4 or 6."""
import http.client
import signal
import socket
import sys
import threading

signal.alarm(100)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]


def handle_request(client):
    request = client.recv(4096).decode()
    print("request:", request.splitlines()[0])
    body = "<html><body><h1>Hello from Socket API!</h1></body></html>"
    client.send(f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{body}".encode())
    client.close()


server = socket.socket(FAMILY, socket.SOCK_STREAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind((HOST, 0))
server.listen(5)
port = server.getsockname()[1]


def serve():
    for _ in range(2):
        client, _ = server.accept()
        handle_request(client)
    server.close()


thread = threading.Thread(target=serve)
thread.start()
for path in ("/", "/page?q=1"):
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    connection.request("GET", path)
    response = connection.getresponse()
    print("response:", response.status, response.reason, response.getheader("Content-Type"))
    print(response.read().decode())
    connection.close()
thread.join()
