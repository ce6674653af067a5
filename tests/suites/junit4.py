"""Tests of JUnit 4 of Debian's sources, against the installed jars: Netty's transports (Java's and its own epoll), Tomcat's connectors."""
import pathlib
import re

from suite import FAIL, PASS, SKIP, Case

HERE = pathlib.Path(__file__).resolve().parent
JDK = "/usr/lib/jvm/java-17-openjdk-amd64"
JARS = pathlib.Path("/usr/share/java")


def verdicts(status, output):
    tests = {}
    for word, name in re.findall(r"^(BEGUN|PASS|FAIL|SKIP) (\S.*)$", output, re.MULTILINE):
        name = re.sub(r"@[0-9a-f]+|(?<=\[)\d+: ", "", name)  # where an object lies; a number in an order that is drawn
        if word == "BEGUN":
            tests.setdefault(name, FAIL)
        elif word != "PASS" or tests.get(name) != SKIP:
            tests[name] = {"PASS": PASS, "SKIP": SKIP}.get(word, FAIL)
    tests["end"] = PASS if status == 0 else FAIL
    return tests


class Classes:
    """`sources`: directories of tests, without files that match `apart`. `jars`: what they are compiled with, besides JUnit's.
    `before`: commands that make what else they need. `only`: which classes are run."""

    def __init__(self, package, needs, jars, sources, before=(), apart=None, only="", options=(), seconds=300):
        self.package, self.jars, self.sources, self.before = package, jars.split(), sources.split(), before
        self.apart, self.only, self.options, self.seconds = apart, only, options, seconds
        self.PACKAGES = ["openjdk-17-jdk-headless", "junit4", *needs.split()]
        self.__doc__ = f"{package}, of Debian: {sources}"

    def path(self):
        return ":".join(str(path) for name in ("junit4", "hamcrest-all", *self.jars) for path in sorted(JARS.glob(f"{name}.jar")))

    def prepare(self, room):
        apart = f"grep -vE '{self.apart}'" if self.apart else "cat"
        found = f"find {' '.join(self.sources)} -name '*.java' | {apart} > classes.txt"
        compile_all = f"{JDK}/bin/javac -nowarn -proc:none -cp {self.path()} -d prise-classes.new {HERE}/Verdicts.java @classes.txt"
        room.build("prise-classes", room.source(self.package), "mkdir -p prise-classes.new", *self.before, found, compile_all, "mv prise-classes.new prise-classes")

    def cases(self, room):
        tree = room.source(self.package)
        words = [f"{JDK}/bin/java", *self.options, "-cp", f"prise-classes:{self.path()}", "Verdicts"]
        for name in sorted((tree / "classes.txt").read_text().split()):
            text = (tree / name).read_text(errors="replace")
            package, kind = re.search(r"^package ([\w.]+);", text, re.MULTILINE), pathlib.Path(name).stem
            if re.search(r"^Test(?!er)|Test$", kind) and re.search(self.only, name) and not re.search(rf"\b(abstract class|interface) {kind}\b", text):
                yield Case(f"{package[1]}.{kind}", [*words, f"{package[1]}.{kind}"], cwd=tree, read=verdicts, seconds=self.seconds)


EPOLL = "transport-native-epoll/src/main"
UNIX = "transport-native-unix-common/src/main/c"
SUITES = {
    "netty": Classes(
        "netty", "gcc libnetty-java libmockito-java libxz-java libnetty-tcnative-java libbcpkix-java libbcprov-java liblogback-java",
        "netty-[bchrt]*[a-z] netty-tcnative bcpkix bcprov bcutil mockito-core objenesis byte-buddy byte-buddy-agent slf4j-api xz logback-core logback-classic",
        "testsuite/src/main/java transport-native-epoll/src/test/java transport-native-unix-common-tests/src/main/java transport/src/test/java handler-proxy/src/test/java",
        before=[f"gcc -shared -fPIC -O1 -w -D_GNU_SOURCE -I{JDK}/include -I{JDK}/include/linux -I{UNIX} -I{EPOLL}/c {UNIX}/*.c {EPOLL}/c/*.c -o prise-classes.new/libnetty_transport_native_epoll_x86_64.so"],
        apart="/udt/|PendingWriteQueueTest", only="^(?!.*Ssl(Echo|Greeting)).*(socket/|epoll/|proxy/|channel/nio|transport/src/.*(Bootstrap|local|pool)|unix)",
        options=["-Djava.library.path=prise-classes", "-Dio.netty.leakDetection.level=disabled", "-XX:TieredStopAtLevel=1"]),
    # TestStream is of a class that belongs to its examples.
    "tomcat": Classes(
        "tomcat9", "libtomcat9-java libecj-java libeasymock-java", "tomcat9-*[a-z] ecj easymock objenesis", "test/org/apache/catalina test/org/apache/coyote test/org/apache/tomcat",
        before=[f"mkdir -p output/build; cp -r webapps conf output/build/; cd output/build/webapps/examples/WEB-INF/classes; {JDK}/bin/javac -nowarn -cp '{JARS}/*' $(find . -name '*.java')"],
        apart="buildutil|openssl|/ha/|realm|storeconfig|jdbc|/jni/|/ant/|/ssi/|TestStream.java", only="coyote/|util/net/|websocket/|catalina/(connector|nonblocking|core/TestAsync|tribes|valves/TestS|startup/TestTomcat)",
        options=["-XX:TieredStopAtLevel=1", "-Dtomcat.test.temp=output/tmp", "-Dtomcat.test.tomcatbuild=output/build", "-Dtomcat.test.protocol=org.apache.coyote.http11.Http11NioProtocol"]),
}
