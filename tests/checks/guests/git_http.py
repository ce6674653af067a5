"""Serves git's HTTP transport: one process of git-http-backend a request, on the connection's own input and output."""
import http.server
import os
import subprocess
import sys

ROOT, PORT, BACKEND = sys.argv[1], int(sys.argv[2]), sys.argv[3]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, query = self.path.partition("?")
        environment = dict(
            os.environ, GIT_PROJECT_ROOT=ROOT, GIT_HTTP_EXPORT_ALL="1", REQUEST_METHOD=self.command, PATH_INFO=path, QUERY_STRING=query,
            CONTENT_TYPE=self.headers.get("Content-Type", ""), REMOTE_ADDR=self.client_address[0], REMOTE_USER="prise",
            HTTP_CONTENT_ENCODING=self.headers.get("Content-Encoding", ""),
        )
        answer = subprocess.run([BACKEND], input=self.body(), env=environment, stdout=subprocess.PIPE).stdout
        head, _, body = answer.partition(b"\r\n\r\n")
        status = "200 OK"
        fields = []
        for line in head.decode().splitlines():
            name, _, value = line.partition(": ")
            if name == "Status":
                status = value
            else:
                fields.append((name, value))
        self.send_response(int(status.split()[0]))
        for name, value in fields:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        octets = b""
        while size := int(self.rfile.readline(), 16):
            octets += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return octets


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
