"""Language runtimes: each brings a network layer of its own."""

from stage import check, expect, find


def guest(here, *command, limit=80):
    """A guest says "ok" last, after whatever it checks itself."""
    said = here.run(*command, limit=limit)
    expect(said.rstrip().endswith("ok"), said)
    print(said.strip().splitlines()[-1])


@check("node", "nodejs")
def node_http(here):
    """A server and its client in one process: keep-alive, pipelined bodies, an aborted request."""
    guest(here, "node", here.guests / "http.js")


@check("node", "nodejs")
def node_net_and_dgram(here):
    guest(here, "node", here.guests / "net.js")


@check("node", "nodejs")
def node_cluster(here):
    """Workers that the first process hands its listener or its connections to, and one that dies."""
    guest(here, "node", here.guests / "cluster.js")


@check("node", "nodejs")
def node_http2(here):
    guest(here, "node", here.guests / "http2.js")


@check("bun", "npm:bun")
def bun(here):
    """A runtime whose event loop and HTTP are its own."""
    guest(here, "bun", here.guests / "bun.mjs")


@check("deno", "npm:deno")
def deno(here):
    """JavaScript on tokio and hyper."""
    guest(here, "deno", "run", "--allow-all", "--unstable-net", here.guests / "deno.ts")


@check("go", "golang-go", limit=300)
def go_http(here):
    """net/http, TLS and HTTP/2 within one process, a static binary of raw system calls."""
    guest(here, here.build_go("http.go"))


@check("go", "golang-go", limit=300)
def go_goroutines(here):
    """Some thousands of goroutines with a connection each, deadlines, half-closes, UDP and a resolver."""
    guest(here, here.build_go("goroutines.go"))


@check("java", "default-jdk-headless")
def java_nio(here):
    """A selector with channels of all sorts, old sockets with timeouts, datagrams."""
    guest(here, "java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", here.guests / "Nio.java")


@check("java", "default-jdk-headless")
def java_http(here):
    """HttpServer and HttpClient; virtual threads where the runtime has them."""
    guest(here, "java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", here.guests / "Http.java")


@check("ruby", "ruby")
def ruby(here):
    guest(here, "ruby", here.guests / "sockets.rb")


@check("perl", "perl")
def perl(here):
    guest(here, "perl", here.guests / "sockets.pl")


@check("erl", "erlang-base erlang-inets")
def erlang(here):
    """gen_tcp, gen_udp and the socket module, which is a thin layer on system calls."""
    here.write("guest.erl", (here.guests / "guest.erl").read_text())
    here.run("erlc", "guest.erl")
    guest(here, "erl", "-noshell", "-eval", "guest:main().")


@check("php", "php-cli")
def php(here):
    guest(here, "php", here.guests / "sockets.php")


@check("python3", "python3")
def python_asyncio(here):
    """Streams, datagrams, TLS-less start-up of hundreds of connections, subprocess workers that share a listener."""
    guest(here, find("python3"), here.guests / "asyncio_many.py")


@check("gcc", "gcc libc6-dev")
def c_static(here):
    """A static binary: there is no library to preload into."""
    program = here.compile("posix.c", "-static")
    expect("interpreter" not in here.run(find("file") or "true", program), "it is static")
    guest(here, program)


