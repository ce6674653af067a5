"""Packages of Go as Debian has them (golang-*-dev), each a suite of its own, with their tests and Debian's Go."""
import os
import pathlib
import re

from suite import FAIL, PASS, SKIP, Case

GOPATH = pathlib.Path("/usr/share/gocode")
VERDICTS = {"PASS": PASS, "FAIL": FAIL, "SKIP": SKIP}


def go(status, output):
    tests = {name: VERDICTS[verdict] for verdict, name in re.findall(r"^\s*--- (PASS|FAIL|SKIP): (\S+) \(", output, re.MULTILINE)}
    for name in re.findall(r"^=== RUN +(\S+)", output, re.MULTILINE):
        tests.setdefault(name, FAIL)  # begun and never ended
    return tests


class Packages:
    def __init__(self, package, *imports, seconds=300):
        self.imports, self.seconds = imports, seconds
        self.PACKAGES = ["golang-go", package]
        self.__doc__ = f"{package}, of Debian: {' '.join(imports)}"

    def prepare(self, room):
        for path in self.imports:
            # The compiler's cache is the user's own.
            command = f"GOPATH={GOPATH} GO111MODULE=off go test -vet=off -c -o {self.binary(room, path)} ."
            if not self.binary(room, path).exists():
                room.build(self.binary(room, path), GOPATH / "src" / path, command)

    def binary(self, room, path):
        return room.at / (path.replace("/", "_") + ".test")

    def cases(self, room):
        words = ["-test.v", "-test.short", "-test.parallel=2", f"-test.timeout={self.seconds}s"]
        for path in self.imports:
            yield Case(path, [self.binary(room, path), *words], cwd=GOPATH / "src" / path, env={"GOTRACEBACK": os.environ.get("GOTRACEBACK", "single")}, read=go, seconds=self.seconds + 20)


NET = [f"golang.org/x/net/{name}" for name in ("icmp", "ipv4", "ipv6", "nettest", "http2", "websocket", "internal/socket", "netutil", "proxy", "internal/socks")]
SUITES = {
    "x-net": Packages("golang-golang-x-net-dev", *NET),
    "gorilla-websocket": Packages("golang-github-gorilla-websocket-dev", "github.com/gorilla/websocket"),
    "nhooyr-websocket": Packages("golang-nhooyr-websocket-dev", "nhooyr.io/websocket"),
    "miekg-dns": Packages("golang-github-miekg-dns-dev", "github.com/miekg/dns"),
    "fasthttp": Packages("golang-github-valyala-fasthttp-dev", "github.com/valyala/fasthttp"),
    "grpc-go": Packages("golang-google-grpc-dev", *(f"google.golang.org/grpc{name}" for name in ("", "/internal/transport", "/test"))),
    "quic-go": Packages("golang-github-lucas-clemente-quic-go-dev", "github.com/lucas-clemente/quic-go"),
}
