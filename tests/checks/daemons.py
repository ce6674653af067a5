"""Larger servers and clusters, each whole in one run: databases, directories, proxies, name and file servers, processes that compute together."""
import os
import re
import socket

from stage import LOCAL, check, expect


@check("mariadbd mariadb-install-db mariadb mariadb-admin mariadb-slap", "mariadb-server", quick=False, limit=180)
def mariadb(here):
    """A thread a connection, large rows, forty clients, and an end that is asked for over a connection."""
    data = here.at / "data"
    here.run("mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db", limit=120)
    server = here.start(
        "mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={here.at}/socket", "--port=3307",
        f"--bind-address={LOCAL}", "--innodb-flush-log-at-trx-commit=0",
    )
    reach = ("--no-defaults", "-uroot", f"-h{LOCAL}", "-P3307")
    here.until("the server", lambda: "alive" in here.run("mariadb-admin", *reach, "ping", status=None), limit=60)
    here.run("mariadb", *reach, "-e", "create database d; create table d.t (b longblob); insert into d.t values (repeat('x', 3000000))")
    expect(len(here.run("mariadb", *reach, "-N", "-e", "select b from d.t")) == 3_000_001, "a large row")
    said = here.run("mariadb-slap", *reach, "--concurrency=40", "--auto-generate-sql", "--number-of-queries=2000")
    here.run("mariadb-admin", *reach, "shutdown")
    expect(server.wait(30) == 0, "an orderly end")
    print(re.search(r"Average.*", said).group().strip())


@check("slapd ldapadd ldapsearch", "slapd ldap-utils", quick=False)
def openldap(here):
    """Its listener and its threads wake each other by a pair of sockets."""
    (here.at / "db").mkdir()
    here.write("conf", f"""
        include /etc/ldap/schema/core.schema
        modulepath /usr/lib/ldap
        moduleload back_mdb
        pidfile {here.at}/pid
        database mdb
        suffix "dc=test"
        rootdn "cn=admin,dc=test"
        rootpw secret
        directory {here.at}/db
        """)
    here.serve(3389, "slapd", "-f", here.at / "conf", "-h", f"ldap://{LOCAL}:3389", "-d", "0")
    entries = "dn: dc=test\nobjectClass: dcObject\nobjectClass: organization\ndc: test\no: test\n\n"
    entries += "".join(f"dn: cn=u{number},dc=test\nobjectClass: person\ncn: u{number}\nsn: s\n\n" for number in range(500))
    reach = ("-x", "-H", f"ldap://{LOCAL}:3389")
    here.run("ldapadd", *reach, "-D", "cn=admin,dc=test", "-w", "secret", input=entries)
    found = here.run("ldapsearch", *reach, "-b", "dc=test", "(cn=u1*)", "cn").count("\ndn: ")
    expect(found == 111, "entries that match", found)


@check("named dig", "bind9 bind9-dnsutils", quick=False)
def bind9(here):
    """libuv with a listener for each processor, UDP and TCP, a zone transferred to a second server that is told of it."""
    records = "".join(f"h{number} A 10.0.{number // 256}.{number % 256}\n" for number in range(3000))
    here.write("zone", f"$TTL 60\n@ IN SOA ns.test. root.test. 1 60 60 600 60\n@ NS ns.test.\nns A {LOCAL}\n{records}")

    def name_server(port, zone):
        at = here.at / str(port)
        at.mkdir()
        here.write(f"{port}/conf", f"""
            options {{
                directory "{at}"; pid-file none; session-keyfile none; recursion no; dnssec-validation no; transfer-source {LOCAL};
                listen-on port {port} {{ {LOCAL}; }}; listen-on-v6 {{ none; }}; minimal-responses yes;
            }};
            controls {{ }};
            zone "test" {{ {zone} }};""")
        return here.serve(port, "named", "-c", at / "conf", "-g")

    def ask(port, *words):
        return here.run("dig", f"@{LOCAL}", "-p", port, "+short", *words, status=None).strip()

    name_server(5301, f'type primary; file "{here.at}/zone"; allow-transfer {{ any; }}; also-notify {{ {LOCAL} port 5302; }};')
    name_server(5302, f'type secondary; file "copy"; masterfile-format text; primaries {{ {LOCAL} port 5301; }};')
    here.until("the zone's copy", lambda: ask(5302, "h2999.test") == "10.0.11.183")
    expect(ask(5301, "h300.test") == "10.0.1.44" and ask(5302, "+tcp", "h300.test") == "10.0.1.44", "answers by UDP and TCP")
    expect(len(ask(5301, "test", "AXFR").splitlines()) == 3004, "the zone")


@check("squid curl", "squid curl", quick=False)
def squid(here):
    """A proxy that caches, and tunnels of CONNECT through it."""
    here.noise("web/file", 5_000_000)
    here.write("conf", f"""
        http_port {LOCAL}:3128
        pid_filename {here.at}/pid
        cache_log {here.at}/cache.log
        access_log stdio:{here.at}/access.log
        http_access allow all
        coredump_dir {here.at}
        shutdown_lifetime 0 seconds
        pinger_enable off
        netdb_filename none
        """)
    here.serve(8099, "python3", "-m", "http.server", 8099, "--bind", LOCAL, "--directory", here.at / "web")
    here.serve(3128, "squid", "-N", "-n", f"prise{os.getpid()}", "-f", here.at / "conf")
    for options in ((), (), ("--proxytunnel",)):
        here.run("curl", "-sSf", *options, "-x", f"http://{LOCAL}:3128", "-o", here.at / "got", f"http://{LOCAL}:8099/file")
        expect((here.at / "got").read_bytes() == (here.at / "web/file").read_bytes(), "the file through the proxy", *options)


@check("smbd smbclient", "samba smbclient", quick=False)
def samba(here):
    """A process for each client, which the listener's process forks."""
    here.noise("share/file", 4_000_000)
    private = "".join(f"{name} = {here.at}\n" for name in ("private dir", "lock directory", "state directory", "cache directory", "pid directory", "ncalrpc dir"))
    here.write("conf", "[global]\nserver role = standalone\nmap to guest = bad user\nguest account = nobody\nsmb ports = 4455\ninterfaces = lo\n"
               f"bind interfaces only = yes\ndisable spoolss = yes\nload printers = no\nlog file = {here.at}/smbd.log\n{private}"
               f"[s]\npath = {here.at}/share\nguest ok = yes\nread only = no\n")
    here.serve(4455, "smbd", "-s", here.at / "conf", "-F", "--no-process-group")
    here.run("smbclient", "-s", here.at / "conf", "-p", 4455, "-N", f"//{LOCAL}/s", "-c", f"get file {here.at}/got; put {here.at}/got copy")
    sent = (here.at / "share/file").read_bytes()
    expect((here.at / "got").read_bytes() == sent and (here.at / "share/copy").read_bytes() == sent, "the file there and back")


@check("caddy curl", "caddy curl", quick=False)
def caddy(here):
    """HTTP, HTTPS with certificates of its own, HTTP/2, and an administrator's port that ends it."""
    here.noise("web/file", 3_000_000)
    here.write("Caddyfile", f"""
        {{
            admin {LOCAL}:2019
            http_port 8081
            https_port 8444
            skip_install_trust
        }}
        http://{LOCAL}:8081 {{
            root * {here.at}/web
            file_server
        }}
        https://localhost:8444 {{
            tls internal
            root * {here.at}/web
            file_server
        }}
        """)
    server = here.serve(8081, "caddy", "run", "--config", here.at / "Caddyfile", "--adapter", "caddyfile")
    for address in (f"http://{LOCAL}:8081", "https://localhost:8444"):
        here.until(address, lambda: here.run("curl", "-skf", "--http2", "-o", here.at / "got", f"{address}/file", status=None) == "" and (here.at / "got").exists())
        expect((here.at / "got").read_bytes() == (here.at / "web/file").read_bytes(), "the file by", address)
        (here.at / "got").unlink()
    here.run("curl", "-sSf", "-X", "POST", f"http://{LOCAL}:2019/stop")
    expect(server.wait(20) == 0, "an orderly end")


@check("etcd etcdctl", "etcd-server etcd-client", quick=False, limit=180)
def etcd(here):
    """Three servers that elect one of them, one of which is killed."""
    os.environ["ETCDCTL_API"] = "3"
    names = {"a": 1, "b": 2, "c": 3}
    cluster = ",".join(f"{name}=http://{LOCAL}:{number}2380" for name, number in names.items())
    servers = {}
    for name, number in names.items():
        client, peer = f"http://{LOCAL}:{number}2379", f"http://{LOCAL}:{number}2380"
        servers[name] = here.start(
            "etcd", "--name", name, "--data-dir", here.at / name, "--initial-cluster", cluster, "--listen-client-urls", client,
            "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--unsafe-no-fsync",
        )

    def ask(ports, *words):
        return here.run("etcdctl", "--endpoints", ",".join(f"{LOCAL}:{port}" for port in ports), *words, status=None)

    here.until("a leader", lambda: "OK" in ask((12379, 22379, 32379), "put", "key", "first"), limit=60)
    here.end(servers["a"], how=9)
    here.until("another", lambda: "OK" in ask((22379, 32379), "put", "key", "second"), limit=60)
    expect("second" in ask((22379,), "get", "key") and "second" in ask((32379,), "get", "key"), "both have it")


@check("nats-server", "nats-server", quick=False)
def nats(here):
    """Publishers and a subscriber over one connection, thousands of messages each way."""
    here.serve(4222, "nats-server", "-a", LOCAL, "-p", 4222)
    with socket.create_connection((LOCAL, 4222)) as client, client.makefile("rb") as lines:
        client.sendall(b'CONNECT {"verbose":false}\r\nSUB subject 1\r\n' + b"PUB subject 4\r\nword\r\n" * 5000)
        heard = 0
        while heard < 5000:
            heard += lines.readline().startswith(b"MSG subject 1 4")


@check("epmd elixir", "elixir", quick=False)
def erlang_nodes(here):
    """Two nodes of Erlang's that find each other by its port mapper, which goes into the background."""
    os.environ["ERL_EPMD_PORT"] = "4370"
    here.run("epmd", "-daemon")
    wait = "wait = fn wait -> Node.connect(:\"one@127.0.0.1\") || (Process.sleep(50); wait.(wait)) end; wait.(wait)"
    here.start("elixir", "--name", "one@127.0.0.1", "--cookie", "c", "--no-halt", "-e", ":ok")
    said = here.run("elixir", "--name", "two@127.0.0.1", "--cookie", "c", "-e",
                    f"{wait}; IO.inspect(:rpc.call(:\"one@127.0.0.1\", :erlang, :node, [])); :rpc.call(:\"one@127.0.0.1\", :init, :stop, [])")
    expect("one@127.0.0.1" in said, said)
    here.until("the port mapper's end", lambda: "Killed" in here.run("epmd", "-kill", status=None))


@check("mpirun.openmpi mpicc.openmpi", "openmpi-bin libopenmpi-dev", quick=False)
def openmpi(here):
    """Processes that compute together, over TCP, started by a daemon of their own."""
    os.environ["HOME"] = str(here.at)
    here.run("mpicc.openmpi", "-o", here.at / "ring", here.guests / "ring.c")
    said = here.run("mpirun.openmpi", "--oversubscribe", "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "lo", "-n", 4, here.at / "ring")
    expect("4 passed 20 MiB on" in said, said)


@check("Rscript", "r-base-core", quick=False)
def r_cluster(here):
    """Workers that connect back to the process that started them."""
    said = here.run("Rscript", "-e", "library(parallel); c <- makePSOCKcluster(3); print(sum(unlist(parLapply(c, 1:100, function(i) i^2)))); stopCluster(c)")
    expect("338350" in said, said)


@check("racket", "racket", quick=False)
def racket(here):
    """Green threads over its own event loop."""
    program = here.guests / "sockets.rkt"
    expect(here.run("racket", program).rstrip().endswith("ok"), "what it said")
