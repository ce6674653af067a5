"""Servers, each with its own clients, in one run."""
import concurrent.futures
import os
import re
import shutil
import socket

from stage import LOCAL, check, expect, find


def same_file(one, other):
    return one.read_bytes() == other.read_bytes()


@check("nginx curl wrk", "nginx-light curl wrk")
def nginx(here):
    """Two workers that share a listener and two with SO_REUSEPORT; sendfile, a proxy, a reload, an orderly end."""
    (here.at / "html").mkdir()
    here.noise("html/large", 20_000_000)
    here.write("html/hello", "hello from nginx\n")
    here.write("nginx.conf", f"""
        worker_processes 2; daemon off; pid {here.at}/pid; error_log {here.at}/error.log;
        events {{ worker_connections 512; }}
        http {{
            access_log off; sendfile on; tcp_nopush on; root {here.at}/html;
            client_body_temp_path {here.at}; proxy_temp_path {here.at}; fastcgi_temp_path {here.at}; uwsgi_temp_path {here.at}; scgi_temp_path {here.at};
            server {{ listen 8080; listen [::]:8080 ipv6only=on; location /behind/ {{ proxy_pass http://127.0.0.1:8081/; }} }}
            server {{ listen 8081 reuseport; }}
        }}""")
    server = here.serve(8080, "nginx", "-e", here.at / "error.log", "-p", here.at, "-c", here.at / "nginx.conf")
    for host in ("127.0.0.1", "[::1]"):
        for path in ("", "/behind"):
            expect(here.run("curl", "-sSf", f"http://{host}:8080{path}/hello") == "hello from nginx\n", "a small file", host, path)
    here.run("curl", "-sSf", "-o", here.at / "got", "http://127.0.0.1:8080/behind/large")
    expect(same_file(here.at / "got", here.at / "html/large"), "a large file through the proxy")
    expect(here.run("curl", "-sSf", "-r", "1000-1999", "-o", here.at / "part", "http://127.0.0.1:8080/large") == "", "a range")
    expect((here.at / "part").read_bytes() == (here.at / "html/large").read_bytes()[1000:2000], "the octets of a range")
    said = here.run("wrk", "-t2", "-c50", "-d2s", "http://127.0.0.1:8080/hello")
    expect("Socket errors" not in said and "Non-2xx" not in said, said)
    server.send_signal(1)
    here.until("the reload", lambda: "hello" in here.run("curl", "-sS", "http://127.0.0.1:8080/hello"))
    server.send_signal(3)
    expect(server.wait(20) == 0, "an orderly end")
    print(re.search(r"Requests/sec: *\S+", said).group())


@check("redis-server redis-cli redis-benchmark", "redis-server redis-tools")
def redis(here):
    server = here.serve(6399, "redis-server", "--port", 6399, "--save", "", "--bind", "127.0.0.1", "::1", "--dir", here.at)
    expect(here.run("redis-cli", "-p", 6399, "set", "name", "prise") == "OK\n", "set")
    expect(here.run("redis-cli", "-h", "::1", "-p", 6399, "get", "name") == "prise\n", "get over IPv6")
    subscriber = here.start("redis-cli", "-p", 6399, "subscribe", "news")
    here.until("a subscriber", lambda: here.run("redis-cli", "-p", 6399, "publish", "news", "extra").strip() == "1")
    here.until("the message", lambda: "extra" in subscriber.log.read_text())
    replica = here.serve(6400, "redis-server", "--port", 6400, "--save", "", "--replicaof", "127.0.0.1", 6399, "--dir", here.at, "--dbfilename", "replica.rdb")
    here.until("the replica", lambda: here.run("redis-cli", "-p", 6400, "get", "name") == "prise\n")
    said = here.run("redis-benchmark", "-p", 6399, "-q", "-n", 20000, "-c", 40, "-t", "set,get,lpush,mset")
    said += here.run("redis-benchmark", "-p", 6399, "-q", "-n", 100000, "-P", 16, "-t", "get")
    expect(said.count("requests per second") >= 5, said)
    here.run("redis-cli", "-p", 6399, "shutdown", "nosave")
    expect(server.wait(20) == 0, "an orderly end")
    here.end(replica)
    print(" ".join(re.findall(r"(\S+: \S+) requests", said)))


@check("initdb postgres psql pgbench", "postgresql postgresql-contrib", limit=180)
def postgres(here):
    """The server forks a process a connection, and shares its sockets with statistics and workers."""
    data = here.at / "data"
    here.run("initdb", "-D", data, "-A", "trust", "-U", "prise", "--no-sync", limit=120)
    server = here.serve(5439, "postgres", "-D", data, "-p", 5439, "-k", here.at, "-c", "listen_addresses=127.0.0.1,::1", "-c", "fsync=off")
    query = ("psql", "-U", "prise", "-d", "postgres", "-p", 5439, "-At", "-h")
    here.until("the server", lambda: "1" in here.run(*query, LOCAL, "-c", "select 1", status=None))
    expect(here.run(*query, "::1", "-c", "select inet_client_addr()") == "::1\n", "the client's address over IPv6")
    expect(here.run(*query, LOCAL, "-c", "select sum(i) from generate_series(1,100000) i") == "5000050000\n", "a sum")
    expect(len(here.run(*query, LOCAL, "-c", "select repeat('x', 5000000)")) == 5_000_001, "a large answer")
    # Many clients, and a query that is cancelled over a connection of its own.
    here.run("pgbench", "-i", "-q", "-h", LOCAL, "-p", 5439, "-U", "prise", "postgres")
    said = here.run("pgbench", "-c", 10, "-j", 2, "-T", 3, "-h", LOCAL, "-p", 5439, "-U", "prise", "postgres")
    expect("number of failed transactions: 0" in said, said)
    said = here.run(*query, LOCAL, "-c", "set statement_timeout = 300", "-c", "select pg_sleep(60)", status=None)
    expect("statement timeout" in said, said)
    sleeper = here.start(*query, LOCAL, "-c", "select pg_sleep(60)")
    here.until("a sleeper", lambda: here.run(*query, LOCAL, "-c", "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)'") == "1\n")
    sleeper.send_signal(2)
    here.until("the cancelled query", lambda: "canceling statement" in sleeper.log.read_text())
    server.send_signal(2)
    expect(server.wait(20) == 0, "an orderly end")
    print(re.search(r"tps = \d+", here.logs() + said).group() if "tps" in said else "")


@check("memcached", "memcached")
def memcached(here):
    """TCP and UDP, four threads that hand connections to each other."""
    here.serve(11299, "memcached", "-l", "127.0.0.1", "-p", 11299, "-U", 11299, "-t", 4)

    def talk(number):
        with socket.create_connection((LOCAL, 11299)) as client, client.makefile("rwb") as lines:
            value = b"x" * (number * 37 % 5000)
            lines.write(b"set k%d 0 0 %d\r\n%s\r\n" % (number, len(value), value))
            lines.flush()
            stored = lines.readline() == b"STORED\r\n"
            lines.write(b"get k%d\r\n" % number)
            lines.flush()
            head = lines.readline()
            return stored and head == b"VALUE k%d 0 %d\r\n" % (number, len(value)) and lines.readline().rstrip() == value

    with concurrent.futures.ThreadPoolExecutor(50) as threads:
        expect(all(threads.map(talk, range(400))), "what was set is there")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.sendto(b"\0\x07\0\0\0\1\0\0get k1\r\n", (LOCAL, 11299))
        expect(client.recv(2000).startswith(b"\0\x07\0\0\0\1\0\0VALUE k1 0 37"), "an answer over UDP")


@check("haproxy curl python3", "haproxy curl")
def haproxy(here):
    """Balances over two servers, over HTTP and TCP, and keeps connections."""
    for port in (8101, 8102):
        (here.at / str(port)).mkdir()
        here.write(f"{port}/name", f"{port}\n")
        here.serve(port, find("python3"), "-m", "http.server", port, "-b", LOCAL, "-d", here.at / str(port))
    here.noise("8101/large", 5_000_000)
    shutil.copy(here.at / "8101/large", here.at / "8102/large")
    here.write("haproxy.cfg", """
        defaults
            timeout connect 5s
            timeout client 20s
            timeout server 20s
        frontend web
            mode http
            bind 127.0.0.1:8100
            bind :::8100 v6only
            default_backend servers
        backend servers
            mode http
            option httpchk GET /name
            server one 127.0.0.1:8101 check inter 200
            server two 127.0.0.1:8102 check inter 200
        listen plain
            mode tcp
            bind 127.0.0.1:8103
            server one 127.0.0.1:8101
        """)
    here.serve(8100, "haproxy", "-db", "-f", here.at / "haproxy.cfg")
    names = {here.run("curl", "-sSf", f"http://{host}:8100/name") for host in ("127.0.0.1", "[::1]") * 3}
    expect(names == {"8101\n", "8102\n"}, "both servers answer", names)
    for port in (8100, 8103):
        here.run("curl", "-sSf", "-o", here.at / "got", f"http://127.0.0.1:{port}/large")
        expect(same_file(here.at / "got", here.at / "8101/large"), "a large file", port)


def ask(here, port):
    """The names that both name servers are told to know."""
    for options in ((), ("+tcp",)):
        for name, kind, answer in (("one.test", "A", "192.0.2.1"), ("one.test", "AAAA", "2001:db8::1")):
            said = here.run("dig", "+short", "+tries=2", "+time=5", *options, "@127.0.0.1", "-p", port, name, kind)
            expect(said.strip() == answer, name, kind, *options, said)
    said = here.run("dig", "+tries=2", "+time=5", "@127.0.0.1", "-p", port, "none.test", "A")
    expect("NXDOMAIN" in said, said)


@check("dnsmasq dig", "dnsmasq-base bind9-dnsutils")
def dnsmasq(here):
    here.serve(
        5399, "dnsmasq", "--no-daemon", "--port=5399", "--no-resolv", "--no-hosts", "--listen-address=127.0.0.1", "--bind-interfaces", "--local=/test/",
        "--host-record=one.test,192.0.2.1,2001:db8::1", f"--pid-file={here.at}/pid", "--user=", "--group=", "--conf-file=/dev/null",
    )
    ask(here, 5399)


@check("unbound dig", "unbound bind9-dnsutils")
def unbound(here):
    here.write("unbound.conf", f"""
        server:
            interface: 127.0.0.1@5398
            do-daemonize: no
            username: ""
            chroot: ""
            directory: "{here.at}"
            pidfile: "{here.at}/pid"
            use-syslog: no
            num-threads: 2
            so-reuseport: yes
            module-config: "iterator"
            local-zone: "test." static
            local-data: "one.test. A 192.0.2.1"
            local-data: "one.test. AAAA 2001:db8::1"
        remote-control:
            control-enable: no
        """)
    here.serve(5398, "unbound", "-d", "-c", here.at / "unbound.conf")
    ask(here, 5398)


@check("sshd ssh sftp ssh-keygen curl libnss_wrapper.so", "openssh-server openssh-client libnss-wrapper")
def ssh(here):
    """A command, files, a port forwarded each way and a SOCKS proxy. The account is one that has a shell, by a wrapper of
    /etc/passwd: the user that the check runs as may have none."""
    for key in ("host", "user"):
        here.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", here.at / key)
    shutil.copy(here.at / "user.pub", here.at / "authorized")
    here.write("passwd", f"prise:NP:{os.getuid()}:{os.getgid()}::{here.at}:/bin/sh\n")
    here.write("group", f"prise:x:{os.getgid()}:\n")
    wrapped = dict(os.environ, LD_PRELOAD=find("libnss_wrapper.so"), NSS_WRAPPER_PASSWD=str(here.at / "passwd"), NSS_WRAPPER_GROUP=str(here.at / "group"))
    here.write("sshd.conf", f"""
        Port 2299
        ListenAddress 127.0.0.1
        HostKey {here.at}/host
        AuthorizedKeysFile {here.at}/authorized
        PidFile none
        StrictModes no
        UsePAM no
        Subsystem sftp internal-sftp
        """)
    here.serve(2299, find("sshd"), "-D", "-e", "-f", here.at / "sshd.conf", env=wrapped)
    options = ("-F", "none", "-i", here.at / "user", "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={here.at}/known", "-o", "BatchMode=yes")
    expect(here.run("ssh", *options, "-p", 2299, "prise@127.0.0.1", "cat; echo done", input="sent\n", env=wrapped).endswith("sent\ndone\n"), "a command")
    large = here.noise("large", 8_000_000)
    here.run("sftp", *options, "-P", 2299, "-b", "-", "prise@127.0.0.1", input=f"put {large} {here.at}/there\nget {here.at}/there {here.at}/back\n", env=wrapped)
    expect(same_file(large, here.at / "back"), "a file there and back")
    here.write("web/hello", "through the tunnel\n")
    here.serve(8201, find("python3"), "-m", "http.server", 8201, "-b", LOCAL, "-d", here.at / "web")
    forwards = ("-L", "127.0.0.1:8202:127.0.0.1:8201", "-D", "127.0.0.1:8203", "-R", "127.0.0.1:8204:127.0.0.1:8201")
    here.serve(8202, "ssh", *options, "-p", 2299, "-N", *forwards, "prise@127.0.0.1", env=wrapped)
    for words in (("http://127.0.0.1:8202/hello",), ("http://127.0.0.1:8204/hello",), ("-x", "socks5h://127.0.0.1:8203", "http://127.0.0.1:8201/hello")):
        expect(here.run("curl", "-sSf", "--retry", 5, "--retry-connrefused", *words) == "through the tunnel\n", words)


@check("rsync", "rsync")
def rsync(here):
    (here.at / "shared").mkdir()
    for number in range(300):
        here.write(f"shared/{number % 7}/{number}", f"{number}\n" * (number * 20))
    here.noise("shared/large", 10_000_000)
    here.write("rsyncd.conf", f"""
        pid file = {here.at}/pid
        port = 8730
        use chroot = no
        [files]
            path = {here.at}/shared
            read only = no
        """)
    here.serve(8730, "rsync", "--daemon", "--no-detach", f"--config={here.at}/rsyncd.conf")
    here.run("rsync", "-a", "rsync://127.0.0.1:8730/files/", f"{here.at}/copy/")
    here.run("diff", "-r", here.at / "shared", here.at / "copy")
    here.write("copy/new", "to be sent back\n")
    here.run("rsync", "-a", f"{here.at}/copy/", "rsync://127.0.0.1:8730/files/")
    here.run("diff", "-r", here.at / "shared", here.at / "copy")


@check("git git-http-backend python3", "git")
def git_http(here):
    """Clone and push over git's HTTP transport."""
    git = ("git", "-c", "user.name=prise", "-c", "user.email=prise@example.invalid", "-c", "init.defaultBranch=main")
    here.run(*git, "init", "-q", "--bare", "served/project.git")
    here.run(*git, "-C", "served/project.git", "config", "http.receivepack", "true")
    here.serve(8301, find("python3"), here.guests / "git_http.py", here.at / "served", 8301, find("git-http-backend"))
    here.run(*git, "clone", "-q", "http://127.0.0.1:8301/project.git", "work")
    here.noise("work/large", 3_000_000)
    here.run(*git, "-C", "work", "add", ".")
    here.run(*git, "-C", "work", "commit", "-q", "-m", "A large file")
    here.run(*git, "-C", "work", "push", "-q", "origin", "HEAD:main")
    here.run(*git, "clone", "-q", "-b", "main", "http://127.0.0.1:8301/project.git", "again")
    expect(same_file(here.at / "work/large", here.at / "again/large"), "what was pushed is cloned")


@check("lighttpd curl", "lighttpd")
def lighttpd(here):
    (here.at / "html").mkdir()
    here.noise("html/large", 5_000_000)
    here.write("lighttpd.conf", f"""
        server.document-root = "{here.at}/html"
        server.port = 8401
        server.bind = "127.0.0.1"
        server.upload-dirs = ( "{here.at}" )
        """)
    here.serve(8401, find("lighttpd"), "-D", "-f", here.at / "lighttpd.conf")
    here.run("curl", "-sSf", "-Z", *[word for n in range(10) for word in ("-o", here.at / f"got{n}", "http://127.0.0.1:8401/large")])
    expect(all(same_file(here.at / f"got{n}", here.at / "html/large") for n in range(10)), "ten large files at once")


@check("apache2 curl", "apache2", quick=False)
def apache(here):
    """Threads and processes that share a listener."""
    modules = "/usr/lib/apache2/modules"
    here.write("html/hello", "hello from apache\n")
    here.write("apache.conf", f"""
        ServerRoot {here.at}
        ServerName localhost
        PidFile {here.at}/pid
        ErrorLog {here.at}/error.log
        DefaultRuntimeDir {here.at}
        Listen 127.0.0.1:8402
        LoadModule mpm_event_module {modules}/mod_mpm_event.so
        LoadModule authz_core_module {modules}/mod_authz_core.so
        DocumentRoot {here.at}/html
        """)
    here.serve(8402, "apache2", "-DFOREGROUND", "-f", here.at / "apache.conf")
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        said = list(threads.map(lambda _: here.run("curl", "-sSf", "http://127.0.0.1:8402/hello"), range(40)))
    expect(set(said) == {"hello from apache\n"}, said)


@check("vsftpd curl lftp", "vsftpd curl lftp", root=True)
def vsftpd(here):
    """Both ways of a data connection, pieces at once, and back. It wants root to begin with."""
    (here.at / "ftp/pub").mkdir(parents=True)
    (here.at / "empty").mkdir()
    here.at.chmod(0o755)
    (here.at / "ftp").chmod(0o755)
    (here.at / "ftp/pub").chmod(0o777)
    large = here.noise("ftp/pub/large", 3_000_000)
    # Its own filter ends it in the middle of a session on today's C libraries, natively, too.
    settings = here.write("vsftpd.conf", f"""
        listen=YES
        listen_port=2121
        background=NO
        anonymous_enable=YES
        no_anon_password=YES
        anon_root={here.at}/ftp
        anon_upload_enable=YES
        write_enable=YES
        connect_from_port_20=NO
        seccomp_sandbox=NO
        secure_chroot_dir={here.at}/empty
        """)
    here.serve(2121, "vsftpd", settings)
    url = f"ftp://{LOCAL}:2121/pub"
    for way in ([], ["--disable-epsv"], ["--ftp-port", LOCAL], ["--ftp-port", LOCAL, "--disable-eprt"]):
        here.run("curl", "-sSf", *way, "-o", here.at / "got", f"{url}/large")
        expect(same_file(here.at / "got", large), "a file", *way)
    here.run("lftp", "-c", f"set net:max-retries 1; pget -n 4 {url}/large -o {here.at}/pieces")
    expect(same_file(here.at / "pieces", large), "four pieces at once")
    here.run("curl", "-sSf", "-T", large, f"{url}/back")
    expect(same_file(here.at / "ftp/pub/back", large), "the way back")


@check("turnserver turnutils_peer turnutils_uclient turnutils_stunclient", "coturn", quick=False)
def coturn(here):
    """Relays over UDP and TCP, by channels and by indications, to a peer that sends everything back."""
    here.serve(
        3478, "turnserver", "-n", "-a", "-u", "prise:word", "-r", "realm", "-L", LOCAL, "-p", 3478, "--no-cli", "--no-tls", "--no-dtls", "--allow-loopback-peers",
        "--pidfile", here.at / "pid", "--db", here.at / "db", "--log-file", "stdout",
    )
    here.start("turnutils_peer", "-L", LOCAL, "-p", 3480)
    expect("reflexive addr: " in here.run("turnutils_stunclient", LOCAL), "whence a request comes")
    for way in ([], ["-t", "-s"], ["-y"]):
        said = here.run("turnutils_uclient", *way, "-u", "prise", "-w", "word", "-r", 3480, "-e", LOCAL, "-n", 20, "-m", 2, "-l", 170, LOCAL)
        sent = 40 if "-y" not in way else 80
        expect(f"tot_send_msgs={sent}, tot_recv_msgs={sent}" in said, way, said[-800:])
