"""Projects of PyPI, each a suite of its own (tornado, aiohttp, urllib3, gevent …), with the distribution's interpreter."""
import pathlib
import re
import shlex
import subprocess
import sys
import tarfile

from suite import FAIL, PASS, SKIP, Case, unittest

# A test's verdict may come more than once: for its call, and for what ends after it.
PYTEST = re.compile(r"^(\S+::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b", re.MULTILINE)


def pytest(status, output):
    tests = {}
    for name, verdict in PYTEST.findall(output):
        if tests.get(name) != FAIL:
            tests[name] = {"PASSED": PASS, "FAILED": FAIL, "ERROR": FAIL}.get(verdict, SKIP)
    if status not in (0, 1):
        # 5: nothing was collected.
        tests["end"] = SKIP if status == 5 else FAIL
    return tests


def by_unittest(status, output):
    return unittest(output, r"^(\w+ \([\w.]+\))(?=$|\n| \.\.\.)")


def trial(status, output):
    """Of Twisted's `trial --reporter=verbose`: a tree by indentation, a verdict at the end of each leaf; what tests print may lie between."""
    tests, above = {}, {}
    for line in output.splitlines():
        if match := re.match(r"( *)([\w.]+)(?: \.\.\.)?\s*(?:\[(OK|ERROR|FAIL|SKIPPED|TODO)\])?$", line):
            depth, word, verdict = len(match[1]) // 2, match[2], match[3]
            above = {at: name for at, name in above.items() if at < depth} | {depth: word}
            if word.startswith("test_"):
                tests[".".join(above.values())] = {"OK": PASS, "ERROR": FAIL, "FAIL": FAIL, None: FAIL}.get(verdict, SKIP)
    if status not in (0, 1):
        tests["end"] = FAIL
    return tests


# The distribution's, where there is one: another user can read it, too.
PYTHON = "/usr/bin/python3" if pathlib.Path("/usr/bin/python3").exists() else sys.executable


def beside(server, ready):
    """Python that starts a server for the tests of one case, and waits until it answers."""
    return (f"import atexit, subprocess; server = subprocess.Popen({shlex.split(server)!r}, stdout=2); atexit.register(server.kill); "
            f"subprocess.run(['timeout', '20', 'sh', '-c', 'until {ready}; do :; done'], stdout=2)")


class Project:
    """Tests lie in the installed package (`inside`, those whose name matches `only`) or in the source archive (`files`).
    `before`: Python that the project's own runner does before its tests. `programs`: each file is one of its own, not
    pytest's. `trials`: once with each of these reactors of Twisted's. `needs`: what else they import. `options`: of pytest.
    `compiled`: the archive's package of this name is moved out of the way; the installed one is what is tested. `called`: the suite, where
    another one has the name."""

    PACKAGES = []

    def __init__(self, name, release, needs="", files=(), inside=None, only="", before="pass", options="", programs=False, trials=(), compiled=None, called=None, outside="", env=None, seconds=300):
        self.name, self.release, self.needs, self.options = name, release, needs.split(), shlex.split(options)
        self.called = called or name
        self.files, self.inside, self.only, self.before = files, inside, only, before
        self.env = {"PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200", **(env or {})}
        self.programs, self.trials, self.compiled, self.outside, self.seconds = programs, trials, compiled, outside, seconds
        self.__doc__ = f"{name} {release}, of PyPI"

    def prepare(self, room):
        if not (room.at / "installed").exists():
            self.client(PYTHON, "-m", "venv", room.at / "venv")
            self.client(room.at / "venv/bin/pip", "install", "-q", "pytest", "pytest-timeout", f"{self.name}=={self.release}", *self.needs)
            (room.at / "installed").touch()
        if self.files and not self.tree(room).exists():
            self.client(room.at / "venv/bin/pip", "download", "-q", "--no-deps", "--no-binary", self.name, "-d", room.at, f"{self.name}=={self.release}")
            with tarfile.open(next(room.at.glob(f"{self.name}-*.tar.gz"))) as archive:
                archive.extractall(room.at)
            if self.compiled:
                (self.tree(room) / self.compiled).rename(room.at / "not-compiled")

    @staticmethod
    def client(*words):
        subprocess.run([str(word) for word in words], check=True)

    def tree(self, room):
        return room.at / f"{self.name}-{self.release}"

    def cases(self, room):
        python = room.at / "venv/bin/python"
        env = self.env
        main = f"import sys; {self.before}; import pytest; sys.exit(pytest.main(sys.argv[1:]))"
        # Without the project's own options: they ask for plugins that share the work between processes, or measure.
        words = [python, "-c", main, "-v", "--color=no", "-p", "no:cacheprovider", "-o", "addopts=", "--timeout=60", *self.options]
        if not self.inside:
            tree = self.tree(room)
            for path in sorted({path.relative_to(tree) for pattern in self.files for path in tree.glob(pattern)}):
                yield Case(str(path), [*words, path], cwd=tree, env=env, read=pytest, seconds=self.seconds, outside=self.outside)
            return
        root = next((room.at / "venv").glob("lib/python3*/site-packages")) / self.inside.replace(".", "/")
        for path in sorted([*root.rglob("test_*.py"), *root.rglob("*_test.py")]):
            module = ".".join([self.inside, *path.relative_to(root).with_suffix("").parts])
            if not re.search(self.only, module):
                continue
            for reactor in self.trials:
                command = [python, "-m", "twisted.trial", "--reporter=verbose", f"--reactor={reactor}", f"--temp-directory={room.at}/trial-{reactor}-{module}", module]
                yield Case(f"{reactor} {module}", command, cwd=room.at, env=env, read=trial, seconds=self.seconds)
            if self.trials:
                continue
            if self.programs:
                yield Case(module, [python, "-m", module, "-v"], cwd=room.at, env=env, read=by_unittest, seconds=self.seconds)
            else:
                yield Case(module, [*words, "--pyargs", module], cwd=room.at, env=env, read=pytest, seconds=self.seconds)


class OfDebian(Project):
    """What is installed is of PyPI; the tests are in the sources that the distribution has of the same release."""

    def __init__(self, name, *arguments, **options):
        super().__init__(name, *arguments, **options)
        self.PACKAGES = ["python3-venv"]

    def tree(self, room):
        return room.source(self.name)


class Labels(Project):
    """`words`: the project's own runner, which tells of its tests as unittest does; `labels`: what it is given, one a case."""

    def __init__(self, name, release, needs, words, labels, seconds=600):
        super().__init__(name, release, needs, files=["."], seconds=seconds)
        self.words, self.labels = words, labels.split()

    def cases(self, room):
        for label in self.labels:
            yield Case(label, [room.at / "venv/bin/python", *self.words, label], cwd=self.tree(room), env={"PYTHONDONTWRITEBYTECODE": "1"}, read=by_unittest, seconds=self.seconds)


NETWORK = "socket|ssl|server|pywsgi|select|ares|resolver|makefile|core|backdoor|subprocess|threadpool"
REACTORS = r"internet\.test|names\.test|test\.test_(tcp|udp|unix|ssl|internet|stdio|ftp|socks|process|sslverify|amp|iutils|ident|protocols|tcp_internals|banana|threadable|threads)"
SUITES = {
    project.called: project
    for project in (
        Project("tornado", "6.6.1", "pycurl", inside="tornado.test", only="http|stream|tcp|netutil|web|wsgi|ioloop|process|asyncio",
                before="import logging; logging.getLogger('tornado.access').setLevel(50)"),
        Project("gevent", "26.9.0", "dnspython psutil requests", inside="gevent.tests", only=NETWORK, programs=True, seconds=120),
        Project("trio", "0.35.0", "trustme pyOpenSSL", inside="trio._tests", options="-p trio._tests.pytest_plugin", only="socket|ssl|dtls|highlevel|epoll|io|subprocess|signal"),
        Project("anyio", "4.16.0", "anyio[test] trio trustme uvloop pytest-mock psutil truststore",
                files=["tests/test_sockets.py", "tests/streams/test_tls.py", "tests/test_eventloop.py", "tests/test_from_thread.py", "tests/test_subprocesses.py"]),
        Project("aiohttp", "3.14.5", "coverage blockbuster pytest-mock pytest-xdist pytest-codspeed trustme uvloop proxy.py re-assert freezegun time-machine aiodns brotli zlib-ng isal",
                files=["tests/test_*functional.py", "tests/test_connector.py", "tests/test_run_app.py", "tests/test_web_server.py", "tests/test_web_runner.py",
                       "tests/test_test_utils.py", "tests/test_loop.py", "tests/test_tcp_helpers.py"]),
        Project("urllib3", "2.8.0", "tornado trustme hypercorn quart quart-trio httpx PySocks pytest-socket trio h2 pyOpenSSL idna", files=["test/**/test_*.py"]),
        Project("httpcore", "1.0.9", "anyio trio pytest-httpbin pytest-trio h2 socksio hpack", files=["tests/**/test_*.py"]),
        Project("httpx", "0.28.1", "anyio trio uvicorn trustme chardet h2 cryptography zstandard brotli click rich pygments pytest-trio", files=["tests/**/test_*.py"]),
        Project("requests", "2.34.2", "pytest-httpbin pytest-mock trustme PySocks", files=["tests/test_*.py"]),
        Project("uvicorn", "0.54.0", "uvicorn[standard] httpx httpx2 pytest-mock trustme a2wsgi wsproto cryptography anyio typing-extensions", files=["tests/**/test_*.py"]),
        Project("hypercorn", "0.18.0", "pytest-asyncio pytest-trio trio httpx h2 uvloop", files=["tests/**/test_*.py"]),
        Project("eventlet", "0.41.3", "pyOpenSSL pyzmq", files=["tests/*_test.py", "tests/test_*.py"]),
        Project("paramiko", "5.1.0", "pytest-relaxed icecream mock", options="-p no:relaxed", files=["tests/test_*.py"]),
        Project("asyncssh", "2.24.1", "uvloop pyOpenSSL bcrypt", files=["tests/test_*.py"], seconds=900),
        Project("twisted", "26.10.0", "twisted[tls,conch,http2] pyhamcrest pyasn1 hypothesis httpx h2 priority", inside="twisted", trials=["epoll", "asyncio", "poll"], only=REACTORS),
        Project("aioquic", "1.7.2", files=["tests/test_asyncio.py", "tests/test_h*.py", "tests/test_webtransport.py"]),
        Project("aiosmtpd", "1.4.6", "pytest-mock pytest-asyncio", inside="aiosmtpd.tests"),
        Project("aiosmtplib", "5.1.3", "pytest-asyncio hypothesis aiosmtpd trustme uvloop", files=["tests/test_*.py"]),
        Project("cheroot", "11.1.2", "requests[use_chardet_on_py3] jaraco.context jaraco.text portend pyopenssl pypytools pytest-mock pytest-xdist requests-unixsocket requests_toolbelt trustme pytest-cov pytest-rerunfailures",
                inside="cheroot.test", options="-p cheroot.test._pytest_plugin"),
        Project("dnspython", "2.9.2", "trio anyio aioquic trustme cryptography httpx h2 quart-trio hypercorn", files=["tests/test_async.py", "tests/test_d[do]*.py", "tests/test_query.py", "tests/test_resol*.py", "tests/test_xfr.py"]),
        Project("pexpect", "4.9.0", files=["tests/test_[sfip]*.py"]),
        Project("pyftpdlib", "2.2.0", "psutil pyopenssl setuptools", files=["tests/test_*.py"]),
        Project("pytest_httpserver", "1.2.0", "requests httpx trustme", files=["tests/test_*.py"]),
        Project("pyzmq", "27.3.0", "pytest-asyncio tornado pymongo gevent paramiko", files=["tests/test_*.py"], compiled="zmq"),
        Project("waitress", "3.0.2", files=["tests/test_*.py"]),
        Project("psutil", "7.2.2", "psutil[test] pytest-instafail pytest<9", files=["tests/test_connections.py", "tests/test_process.py", "tests/test_posix.py", "tests/test_testutils.py", "tests/test_contracts.py", "tests/test_linux.py", "tests/test_system.py", "tests/test_unicode.py"], compiled="psutil"),
        Project("zeroconf", "0.154.0", "pytest-asyncio", files=["tests/test_*.py", "tests/services/test_*.py", "tests/utils/test_*.py"], compiled="src"),
        Project("pyro5", "5.17", "msgpack", files=["tests/test_*.py"]),
        Project("aiocoap", "0.4.17", "aiocoap[all]", files=["tests/test_*.py"]),
        Project("gunicorn", "27.0.1", "gunicorn[gevent,eventlet,tornado,setproctitle,testing] pytest-asyncio httpx h2 h11 uvloop", files=["tests/test_*.py", "tests/workers/test_*.py", "tests/dirty/test_*.py"]),
        Project("portpicker", "1.6.0", files=["src/tests/*_test.py"]),
        Project("sanic", "25.12.1", "sanic[test,ext,http3] sanic-testing beautifulsoup4 pytest-sanic uvicorn aioquic", files=["tests/test_*.py", "tests/worker/test_*.py", "tests/http3/test_*.py"]),
        Project("starlette", "1.10.0", "starlette[full] trio anyio httpx2", files=["tests/test_*.py", "tests/middleware/test_*.py"]),
        Project("websocket_client", "1.9.2", "python-socks websockets", files=["websocket/tests/test_*.py"]),
        Project("sshtunnel", "0.5.1", "mock", files=["tests/test_*.py"]),
        Project("paho_mqtt", "2.2.0", files=["tests/test_*.py", "tests/lib/test_*.py"]),
        Project("pyserial", "3.5", files=["test/test*.py"]),
        Project("pyroute2", "0.9.7", "pyroute2 pytest-asyncio", files=["tests/test_unit/**/test_*.py"]),
        Project("werkzeug", "3.1.9", "cffi cryptography ephemeral-port-reserve watchdog", files=["tests/test_serving.py", "tests/test_debug.py", "tests/test_test.py", "tests/live_apps/*.py"]),
        Project("aioftp", "0.28.3", "async-timeout pytest-asyncio pytest-mock siosocks trustme", files=["tests/test_*.py"]),
        Project("asyncpg", "0.32.0", "uvloop distro", files=["tests/test_*.py"], compiled="asyncpg"),
        Project("dulwich", "1.2.21", "dulwich[https,paramiko,fastimport] aiohttp", files=["tests/test_client.py", "tests/test_server.py", "tests/test_web.py", "tests/test_protocol.py", "tests/test_aiohttp.py", "tests/compat/test_*.py"], compiled="dulwich", seconds=600),
        Project("execnet", "2.1.2", "gevent eventlet", files=["testing/test_*.py"]),
        Project("geventhttpclient", "2.6.1", "dpkt requests httplib2 pytest-rerunfailures", options="-m 'not network'", files=["tests/test_*.py", "tests/gevent_only/test_*.py"]),
        Project("grpclib", "0.4.9", "pytest-asyncio protobuf googleapis-common-protos certifi faker async-timeout", options="-o asyncio_default_fixture_loop_scope=function", files=["tests/test_*.py"]),
        Project("pyopenssl", "26.4.0", "pretend", files=["tests/test_ssl.py", "tests/test_util.py"]),
        Project("python_engineio", "4.15.1", "pytest-asyncio eventlet gevent gevent-websocket tornado sanic aiohttp requests websocket-client simple-websocket uvicorn", files=["tests/*/test_*.py"]),
        Project("redis", "8.1.0", called="redis-py", needs="pytest-asyncio numpy uvloop hiredis PyJWT pybreaker xxhash mock", before=beside("redis-server --save ''", "redis-cli ping"), options="-m 'not onlycluster and not redismod and not ssl'",
                files=["tests/test_*.py", "tests/test_asyncio/test_*.py", "tests/test_parsers/test_*.py"]),
        Project("tlslite_ng", "0.8.2", "hypothesis", files=["unit_tests/test_tlslite_tlsconnection.py", "unit_tests/test_tlslite_integration_xmlrpcserver.py", "unit_tests/test_tlslite_recordlayer.py", "unit_tests/test_tlslite_bufferedsocket.py"]),
        Project("trio_websocket", "0.12.2", "pytest-trio trustme attrs", options="-o trio_mode=true", files=["tests/test_*.py"]),
        Project("pycurl", "7.49.0", "flask bottle numpy", files=["tests/*_test.py"]),
        Project("cherrypy", "18.10.0", "pytest-services path requests_toolbelt routes objgraph pyOpenSSL pytest-forked jaraco.test simplejson", inside="cherrypy.test"),
        Project("treq", "26.7.0", "httpbin<0.10 werkzeug<2.1 flask<2.2", inside="treq", trials=["epoll", "asyncio"]),
        Project("thriftpy2", "0.7.1", "toml tornado pytest-asyncio pure-sasl", files=["tests/test_*.py"], compiled="thriftpy2"),
        Project("daphne", "4.2.3", "hypothesis pytest-asyncio django", files=["tests/test_*.py"]),
        Project("tftpy", "0.8.7", files=["tests/test.py"]),
        Project("pymemcache", "4.0.0", "faker gevent zstd pytest-cov pylibmc", before=beside("memcached -u nobody", "nc -z 127.0.0.1 11211"), files=["pymemcache/test/test_*.py"]),
        Project("jupyter_client", "8.10.0", "jupyter_client[test] ipykernel", files=["tests/test_*.py"]),
        Project("scrapy", "2.19.0", "testfixtures attrs pexpect pyftpdlib sybil uvloop httpx trustme pytest-twisted boto3 w3lib h2 brotli zstandard", files=["tests/test_*down*.py", "tests/test_crawl*.py", "tests/test_core*.py", "tests/test_feedexport*.py", "tests/test_engine*.py", "tests/test_extension_telnet.py", "tests/test_http2*.py", "tests/test_proxy*.py", "tests/test_spidermiddleware*.py", "tests/test_request*.py", "tests/test_command*.py", "tests/test_closespider.py", "tests/test_pipeline*.py", "tests/test_resolver.py", "tests/test_webclient.py"]),
        Project("impacket", "0.13.1", files=["tests/SMB_RPC/test_smbserver.py", "tests/SMB_RPC/test_smb.py", "tests/SMB_RPC/test_nmb.py"]),
        Project("python_socketio", "5.18.1", "pytest-asyncio aiohttp requests websocket-client simple-websocket uvicorn redis msgpack", files=["tests/*/test_*.py"]),
        Project("Pyro4", "4.82", called="pyro4", needs="msgpack cloudpickle dill serpent", before="sys.path.insert(0, 'tests/PyroTests')", files=["tests/PyroTests/test_*.py"]),
        Project("circuits", "3.2.5", "pytest-cov", files=["tests/net/test_*.py", "tests/web/test_*.py", "tests/node/test_*.py", "tests/io/test_*.py", "tests/core/test_*.py", "tests/protocols/test_*.py"]),
        Project("curio", "1.6", "requests", files=["tests/test_*.py"]),
        Project("foolscap", "24.9.0", "mock", inside="foolscap.test", trials=["epoll", "asyncio", "poll"]),
        Project("httplib2", "0.32.1", "mock six pytest-forked pytest-randomly cryptography future PySocks", options="-p no:randomly", files=["tests/test_*.py"]),
        Project("pytest_localserver", "0.10.0.post0", "pytest-localserver[smtp] requests", files=["tests/test_*.py"]),
        Project("supervisor", "4.3.0", "setuptools<81", files=["supervisor/tests/test_*.py"]),
        Project("telnetlib3", "5.0.1", "pytest-asyncio pexpect ucs-detect", files=["telnetlib3/tests/test_*.py"]),
        Project("trustme", "1.2.1", "service-identity pyopenssl cryptography", files=["tests/test_*.py"]),
        Project("zeo", "6.2", "zope.testing zope.testrunner mock uvloop ZODB", files=["src/ZEO/tests/test*.py", "src/ZEO/asyncio/tests.py"], seconds=900),
        Project("zope.server", "5.0", "zope.testing zope.testrunner zope.i18n zope.publisher[test]", inside="zope.server"),
        Project("bottle", "0.13.4", "gevent cherrypy cheroot paste waitress tornado twisted eventlet aiohttp uvloop", files=["test/test_*.py"]),
        Project("magic_wormhole", "0.24.0", "magic-wormhole-transit-relay magic-wormhole-mailbox-server mock treq pytest-twisted hypothesis", inside="wormhole.test", trials=["epoll", "asyncio"]),
        Project("pynng", "0.9.0", "pytest-asyncio pytest-trio trio curio", files=["test/test_*.py"], compiled="pynng"),
        Project("websockify", "0.13.0", "jwcrypto redis simplejson", files=["tests/test_*.py"]),
        Project("aiorpcx", "0.25.0", "websockets<14 pytest-asyncio<0.22 pytest<8", files=["tests/test_*.py"]),
        Project("aiozmq", "1.0.0", "msgpack<1 uvloop", files=["tests/*_test.py", "tests/test_*.py"]),
        Project("python_osc", "1.10.2", inside="pythonosc.test"),
        Project("prometheus_client", "0.26.0", "prometheus-client[twisted,aiohttp,django] pytest-benchmark", files=["tests/test_*.py", "tests/bridge/test_*.py"]),
        OfDebian("pymodbus", "3.0.0", "pytest<8 pytest-asyncio<0.21 pytest-xdist pyserial pyserial-asyncio aiohttp typer prompt-toolkit pygments click redis sqlalchemy", options="-o asyncio_mode=auto", files=["test/test_*.py"]),
        Labels("django", "5.2.19", "asgiref aiosmtpd jinja2 numpy pillow pywatchman geoip2 pymemcache redis requests selenium sqlparse tblib tzdata", words=["tests/runtests.py", "--parallel=1", "-v2"],
               labels="servers asgi wsgi mail handlers test_client staticfiles_tests httpwrappers requests_tests signals file_uploads middleware admin_scripts async test_runner sessions_tests utils_tests"),
        Project("rloop", "0.5.0", "pytest-asyncio", files=["tests/**/test_*.py"], compiled="rloop"),
        Project("pycapnp", "2.2.4", "anyio pytest-asyncio", options="-o asyncio_mode=auto", files=["test/test_*.py"], compiled="capnp"),
        Project("python_socks", "3.2.1", "trio curio anyio pytest-asyncio pytest-trio flask yarl attrs uvicorn starlette tiny-proxy", options="-o asyncio_mode=strict", files=["tests/test_*.py"]),
        Project("python_snap7", "3.3.0", "pytest-asyncio hypothesis click rich", files=["tests/test_*.py"]),
        Project("aioice", "0.13.0", "pyopenssl", files=["tests/test_*.py"]),
        Project("aiortc", "1.16.0", "numpy", files=["tests/test_rtc*.py"]),
        Project("python_can", "4.6.1", "msgpack parameterized hypothesis pyserial", files=["test/back2back_test.py", "test/network_test.py", "test/notifier_test.py", "test/simplecyclic_test.py", "test/test_socketcand.py", "test/test_bridge.py", "test/test_message_sync.py"]),
        Project("loky", "3.7.0", "psutil", files=["tests/test_*.py"], seconds=900),
        Project("billiard", "4.3.2", "psutil", files=["t/unit/test_*.py", "t/integration/tests/test_*.py"]),
        Project("jupyter_server", "2.21.1", "jupyter_server[test]", files=["tests/test_serverapp.py", "tests/test_gateway.py", "tests/test_terminal.py", "tests/auth/test_*.py", "tests/base/test_*.py", "tests/extension/test_*.py", "tests/services/[akns]*/test_*.py"]),
        Project("acme", "5.9.0", files=["src/acme/_internal/tests/*_test.py"]),
        Project("joblib", "1.6.0", "numpy psutil distributed threadpoolctl", inside="joblib.test", only="parallel|memmapping|backends|dask|cloudpickle|module|testing|func"),
        Project("multiprocess", "0.70.19", "psutil", inside="multiprocess.tests", only="test_multiprocessing_", programs=True, seconds=900),
        Project("pebble", "5.2.3", files=["test/test_*.py"]),
        Project("kombu", "5.7.0", "kombu[redis] pytz pytest-freezer hypothesis vine Pyro4 redis", files=["t/unit/asynchronous/**/test_*.py", "t/unit/transport/test_[fmprv]*.py", "t/unit/utils/test_*.py"]),
        OfDebian("mitmproxy", "8.1.1", "pytest<8 pytest-asyncio<0.20 pytest-xdist parver hypothesis requests werkzeug<2.2 markupsafe<2.1", options="-o asyncio_mode=auto",
                 files=["test/mitmproxy/addons/test_[cdpr]*.py", "test/mitmproxy/net/**/test_*.py", "test/mitmproxy/proxy/**/test_*.py", "test/mitmproxy/tools/test_*.py", "test/mitmproxy/test_[cfhpt]*.py", "test/pathod/**/test_*.py"]),
        Project("uvloop", "0.23.0", "pyOpenSSL psutil aiohttp", files=["tests/test_*.py"], compiled="uvloop"),
    )
}
