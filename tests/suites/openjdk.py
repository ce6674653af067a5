"""OpenJDK 17's own tests of java.net, java.nio.channels, the HTTP server and clients, run by jtreg on the installed JDK."""
import re

from suite import FAIL, PASS, SKIP, Case

PACKAGES = ["jtreg7", "openjdk-17-jdk-headless"]
JDK = "/usr/lib/jvm/java-17-openjdk-amd64"
GROUPS = """
    java/net/Socket java/net/ServerSocket java/net/DatagramSocket java/net/MulticastSocket java/net/SocketOption java/net/SocketImpl
    java/net/NetworkInterface java/net/InetAddress java/net/Inet6Address java/net/InetSocketAddress java/net/ipv6tests java/net/Socks
    java/net/PortUnreachableException java/net/BindException java/net/DatagramPacket java/net/DatagramSocketImpl java/net/PlainSocketImpl
    java/net/SocketInputStream java/net/IPSupport java/net/URLConnection java/net/HttpURLConnection java/net/Authenticator java/net/ProxySelector
    java/net/UnixDomainSocketAddress jdk/net/ExtendedSocketOption jdk/net/Sockets
    java/nio/channels/SocketChannel java/nio/channels/ServerSocketChannel java/nio/channels/DatagramChannel java/nio/channels/Selector
    java/nio/channels/SelectionKey java/nio/channels/AsynchronousSocketChannel java/nio/channels/AsynchronousServerSocketChannel
    java/nio/channels/AsynchronousChannelGroup java/nio/channels/Channels java/nio/channels/Pipe java/nio/channels/etc
    java/nio/channels/unixdomain java/nio/channels/spi
    com/sun/net/httpserver sun/net/ftp sun/net/www
""".split()
# By initial letter: the whole takes a quarter of an hour.
CLIENT = "java/net/httpclient"


def prepare(room):
    if not room.unpacked("openjdk-17"):
        room.source("openjdk-17")
    for user in ("0", "65534"):
        work = room.at / "work" / user
        work.mkdir(parents=True, exist_ok=True)
        work.chmod(0o777)


def cases(room):
    """Agents of jtreg live as long as their group: they, too, are on the sockets that are tried."""
    tree = room.source("openjdk-17") / "test/jdk"
    for group, tests in [*((group, [group]) for group in GROUPS), *sorted(client(tree).items())]:
        name = group.replace("/", ".")
        at = f"{room.at}/work/$(id -u)/{name}"
        command = f"exec jtreg -jdk:{JDK} -agentvm -conc:2 -timeoutFactor:4 -verbose:summary -retain:none -ignore:quiet -w {at} -r {at}/report {' '.join(tests)}"
        yield Case(name, ["sh", "-c", command], cwd=tree, env={"HOME": "/tmp"}, read=verdicts, seconds=1500)


def client(tree):
    """{name of a group: its tests} of the HTTP client: a group for each directory and each initial letter."""
    groups = {}
    for path in sorted((tree / CLIENT).rglob("*.java")):
        if "@test" in path.read_text(errors="replace"):
            within = path.relative_to(tree / CLIENT)
            group = within.parts[0] if len(within.parts) > 1 else within.name[0]
            groups.setdefault(f"{CLIENT}/{group}", []).append(str(path.relative_to(tree)))
    return groups


def verdicts(status, output):
    tests = {}
    for word, name in re.findall(r"^(Passed|FAILED|Error|Not run)[.:] (\S+/\S+)", output, re.MULTILINE):
        tests[name] = {"Passed": PASS, "Not run": SKIP}.get(word, FAIL)
    if status is None:
        tests["end"] = FAIL
    return tests
