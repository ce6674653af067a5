#!/usr/bin/env python3
"""The standard library's threaded HTTP server with a keep-alive client and ten at once. Argument: 4 or 6."""
import concurrent.futures
import http.client
import http.server
import signal
import socket
import sys
import threading

signal.alarm(100)
FAMILY, HOST = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}[(sys.argv[1:] or ["4"])[0]]


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[::-1])

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = FAMILY
    request_queue_size = 20


def post(connection, body):
    connection.request("POST", "/", body)
    response = connection.getresponse()
    return response.read() == body[::-1]


def one(number):
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        return post(connection, b"%d" % number * 20000)
    finally:
        connection.close()


server = Server((HOST, 0), Echo)
port = server.server_address[1]
threading.Thread(target=server.serve_forever, daemon=True).start()

connection = http.client.HTTPConnection(HOST, port, timeout=10)
print("five on one connection:", [post(connection, b"request %d" % i) for i in range(5)])
connection.close()
with concurrent.futures.ThreadPoolExecutor(10) as pool:
    print("ten at once:", list(pool.map(one, range(10))))
server.shutdown()
server.server_close()
print("closed")
