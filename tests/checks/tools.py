"""Tools that people and scripts reach for, against servers in the same run."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading

from stage import LOCAL, Failure, Skip, check, expect, find


def web(here, port):
    """python3 -m http.server on a directory with something small and something large."""
    here.write("web/page.html", "<!doctype html><title>prise</title><body style='background:#0a0'><img src=dot.svg><script>fetch('said?' + document.title)</script>\n")
    here.write("web/dot.svg", "<svg xmlns='http://www.w3.org/2000/svg' width='50' height='50'><circle cx='25' cy='25' r='20'/></svg>\n")
    here.write("web/said", "heard\n")
    here.noise("web/large", 20_000_000)
    return here.serve(port, find("python3"), "-u", "-m", "http.server", port, "-b", LOCAL, "-d", here.at / "web")


@check("curl python3", "curl")
def curl(here):
    """Parallel, resumed, limited and refused transfers, and both families for one name."""
    web(here, 8601)
    large = (here.at / "web/large").read_bytes()
    words = [word for n in range(8) for word in ("-o", here.at / f"got{n}", "http://127.0.0.1:8601/large")]
    here.run("curl", "-sSf", "-Z", *words)
    expect(all((here.at / f"got{n}").read_bytes() == large for n in range(8)), "eight at once")
    here.run("curl", "-sSf", "--limit-rate", "8M", "--max-time", "20", "-o", here.at / "slow", "http://localhost:8601/large")
    expect((here.at / "slow").read_bytes() == large, "a slow reader")
    here.run("curl", "-sS", "http://127.0.0.1:8609/", status=7)
    here.run("curl", "-sS", "--max-time", "0.5", "-o", "/dev/null", "--limit-rate", "1M", "http://127.0.0.1:8601/large", status=28)


@check("wget python3", "wget")
def wget(here):
    web(here, 8602)
    here.run("wget", "-nv", "-r", "-np", "-P", "copy", "http://localhost:8602/")
    expect((here.at / "copy/localhost:8602/large").read_bytes() == (here.at / "web/large").read_bytes(), "a copied tree")
    here.run("wget", "-nv", "--tries=1", "http://127.0.0.1:8609/", status=4)


@check("iperf3", "iperf3", limit=120)
def iperf3(here):
    """TCP and UDP, up, down and both, one stream and several."""
    here.serve(5201, "iperf3", "-s", "-p", 5201)
    rates, refusals = [], ("\"error\":\t\"unable to ", "\"error\":\t\"the server is busy")
    for options in (("-t1",), ("-t1", "-R"), ("-t1", "-P4"), ("-t1", "-P4", "-R"), ("-t1", "--bidir"), ("-t1", "-6"), ("-t1", "-u", "-b", "50M"), ("-t1", "-u", "-b", "50M", "-R"), ("-n", "20M", "-Z")):
        host = "::1" if "-6" in options else LOCAL
        if "-6" in options:
            server = here.start("iperf3", "-s", "-p", 5202, "-B", "::1")
            here.listening(5202, server, "::1")
        def accepted():
            said = here.run("iperf3", "-c", host, "-p", 5202 if "-6" in options else 5201, "-J", *options, status=None)
            return not any(refusal in said for refusal in refusals) and said

        # Between two tests the server ends the one and listens anew.
        said = here.until("the server", accepted)
        answer = json.loads(said)
        end = answer["end"]
        expect("error" not in answer and end, options, answer.get("error"), said[-2000:])
        total = end.get("sum_received") or end["sum"]
        expect(total["bytes"] > 1_000_000, options, said[-1000:])
        if "-u" in options:
            expect(end["sum"]["lost_percent"] < 20, options, end["sum"])
        rates.append(f"{total['bits_per_second'] / 1e9:.1f}")
    print("Gbit/s:", *rates)


@check("socat", "socat")
def socat(here):
    """Relays of all sorts: fork, UDP, half-close, a process's standard streams, AF_UNIX to TCP."""
    here.serve(8701, "socat", "TCP-LISTEN:8701,fork,reuseaddr,bind=127.0.0.1", "EXEC:tr a-z A-Z")
    here.serve(8702, "socat", "TCP-LISTEN:8702,fork,reuseaddr", "TCP:127.0.0.1:8701")
    for port in (8701, 8702):
        expect(here.run("socat", "-t5", "-", f"TCP:127.0.0.1:{port}", input="through a filter") == "THROUGH A FILTER", port)
    relay = here.start("socat", f"UNIX-LISTEN:{here.at}/local,fork", "TCP:127.0.0.1:8701")
    here.until("the local socket", (here.at / "local").exists)
    expect(here.run("socat", "-t5", "-", f"UNIX-CONNECT:{here.at}/local", input="local") == "LOCAL", "over AF_UNIX")
    here.end(relay)
    here.start("socat", "UDP-RECVFROM:8703,fork", "EXEC:cat")

    def echoed():
        return here.run("socat", "-T1", "-", "UDP:127.0.0.1:8703", input="a datagram", status=None) == "a datagram"

    here.until("an answer over UDP", echoed)
    large = here.noise("large", 5_000_000)
    here.start("socat", "-u", f"OPEN:{large}", "TCP-LISTEN:8704,reuseaddr,bind=127.0.0.1")
    here.run("socat", "-u", "TCP:127.0.0.1:8704,retry=50,interval=0.1", f"CREATE:{here.at}/copy")
    expect((here.at / "copy").read_bytes() == large.read_bytes(), "a large file")


@check("ncat", "ncat")
def ncat(here):
    """A broker between clients, UDP, a zero-octet scan."""
    server = here.start("ncat", "-l", "--broker", LOCAL, 8711)
    here.listening(8711, server)
    ears = here.start("ncat", LOCAL, 8711, stdin=subprocess.PIPE)  # at its input's end it would leave
    here.until("the message at another client", lambda: (here.run("ncat", "-i1", LOCAL, 8711, input="to all\n", status=None), "to all" in ears.log.read_text())[1])
    here.start("ncat", "-l", "-k", "-c", "echo an answer", LOCAL, 8712)
    here.listening(8712)
    expect(here.run("ncat", "--recv-only", LOCAL, 8712) == "an answer\n", "an answer")
    here.run("ncat", "-z", LOCAL, 8712)
    here.run("ncat", "-z", LOCAL, 8713, status=1)


@check("ab python3", "apache2-utils", quick=False)
def ab(here):
    web(here, 8603)
    said = here.run("ab", "-q", "-n", 500, "-c", 20, "http://127.0.0.1:8603/page.html")
    expect(re.search(r"Failed requests: +0", said), said)


@check("nmap", "nmap", quick=False)
def nmap(here):
    """A scan by connecting, as it is without privileges."""
    with socket.create_server((LOCAL, 8621)):
        said = here.run("nmap", "-sT", "-Pn", "-n", "-p", "8615-8625", LOCAL)
    expect("8621/tcp open" in said and said.count("/tcp open") == 1, said)


@check("mosquitto mosquitto_pub mosquitto_sub", "mosquitto mosquitto-clients", quick=False)
def mosquitto(here):
    here.write("mosquitto.conf", "listener 18830 127.0.0.1\nallow_anonymous true\n")
    here.serve(18830, find("mosquitto"), "-c", here.at / "mosquitto.conf")
    ears = here.start("mosquitto_sub", "-h", LOCAL, "-p", 18830, "-t", "news")
    here.until("a message", lambda: (here.run("mosquitto_pub", "-h", LOCAL, "-p", 18830, "-t", "news", "-m", "extra"), "extra" in ears.log.read_text())[1])


@check("tcpdump", "tcpdump", quick=False)
def tcpdump(here):
    """Nobody may see frames: it must say so and end."""
    expect("permission" in here.run("tcpdump", "-i", "lo", "-c", "1", status=1, limit=10), "it says why")


def watch(here, *options):
    """tcpdump, once it watches."""
    process = here.start("tcpdump", "-l", "-n", *options)
    here.until("it watches", lambda: "listening on" in process.log.read_text())
    return process


@check("tcpdump curl ping python3", "tcpdump curl iputils-ping", quick=False, options=("--no-join",), root=True)
def tcpdump_of_root(here):
    """Frames of connections that are made while it watches, to a server that was there before, and of a ping; of its own links only."""
    web(here, 8605)
    watcher = watch(here, "-i", "any", "icmp or tcp port 8605")
    before = here.run("curl", "-sSf", "http://127.0.0.1:8605/page.html")
    here.run("ping", "-c", 1, LOCAL)
    said = lambda: watcher.log.read_text()
    here.until("the request", lambda: re.search(r"127\.0\.0\.1\.\d+ > 127\.0\.0\.1\.8605: Flags \[P\.\], seq 1:", said()))
    here.until("the ping", lambda: "ICMP echo reply" in said())
    expect(re.search(r"Flags \[S\],.*\n.*Flags \[S\.\],", said()), "the handshake", said())
    here.end(watcher, signal.SIGINT)
    expect("0 packets dropped by kernel" in said(), "its end", said())
    # What has a description is no link.
    links = re.findall(r"^\d+\.(\S+) \[", here.run("tcpdump", "-D"), re.M)
    expect(sorted(links) == sorted(name for _, name in socket.if_nameindex()), "the links", links)
    after = here.run("curl", "-sSf", "http://127.0.0.1:8605/page.html")
    expect(after == before, "the same page when nobody watches", after)


@check("arping dhclient", "iputils-arping isc-dhcp-client", quick=False, root=True)
def arping(here):
    """Requests that the far end of the run's link answers, and the search for a server that is not there."""
    own = None
    with contextlib.suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as way:
        way.connect(("10.0.2.2", 9))
        own = way.getsockname()[0]
    if own != "10.0.2.15":
        raise Skip("no run, and so no gateway")
    said = here.run("arping", "-c", 2, "-w", 10, "-I", "eth0", "10.0.2.2")
    expect("Received 2 response" in said, said)
    client = here.start("dhclient", "-d", "-1", "-v", "-sf", "/bin/true", "-lf", here.at / "leases", "-pf", here.at / "pid", "eth0")
    here.until("it looks for a server", lambda: client.log.read_text().count("DHCPDISCOVER on eth0 to 255.255.255.255") > 1)


@check("nmap tcpdump", "nmap tcpdump", quick=False, root=True)
def nmap_of_root(here):
    """A scan by half-open connections: raw packets out, and answers by a packet socket."""
    with socket.create_server((LOCAL, 8622)):
        said = here.run("nmap", "-sS", "-Pn", "-n", "-p", "8616-8626", LOCAL)
    expect("8622/tcp open" in said and said.count("/tcp open") == 1, said)


@check("strace curl python3", "strace", quick=False)
def strace(here):
    """A program that is traced by another one in the same run."""
    web(here, 8604)
    said = here.run("strace", "-f", "-e", "trace=network", "curl", "-sSf", "http://127.0.0.1:8604/said")
    expect("connect(" in said and "heard" in said, said)


@check("valgrind curl python3", "valgrind", quick=False)
def valgrind(here):
    """System calls made by a program that is translated as it runs."""
    web(here, 8605)
    expect("heard" in here.run("valgrind", "-q", "curl", "-sSf", "http://127.0.0.1:8605/said"), "an answer")


@check("chromium python3", "chromium", limit=180)
def chromium(here):
    """A browser fetches a page, its image and what its script asks for, and draws it."""
    server = web(here, 8606)
    browser = (
        "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions", "--hide-scrollbars",
        f"--user-data-dir={here.at}/profile", "--window-size=300,200", "--timeout=20000",
    )
    environment = dict(os.environ, XDG_CONFIG_HOME=str(here.at), XDG_CACHE_HOME=str(here.at))
    here.run(*browser, f"--screenshot={here.at}/page.png", "http://localhost:8606/page.html", limit=120, env=environment)
    picture = (here.at / "page.png").read_bytes()
    expect(picture.startswith(b"\x89PNG") and len(picture) > 500, "a picture")
    asked = server.log.read_text()
    for path in ("/page.html", "/dot.svg", "/said?prise"):
        expect(f"GET {path}" in asked, path, "was not asked for:", asked)


@check("bash", "bash")
def bash(here):
    """Redirections to /dev/tcp."""
    with socket.create_server((LOCAL, 0)) as listener:
        port = listener.getsockname()[1]

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(connection.recv(100).upper())

        threading.Thread(target=answer, daemon=True).start()
        said = here.run("bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}; echo hello >&3; cat <&3")
    if said != "HELLO\n":
        raise Failure(said)
