"""Crates as they were published, with the tests that they contain, and the network tests of Rust's standard library."""
import json
import os
import pathlib
import re
import shutil
import subprocess

from suite import FAIL, PASS, SKIP, Case

VERDICTS = {"ok": PASS, "FAILED": FAIL, "ignored": SKIP}


def libtest(status, output):
    found = re.findall(r"^test (\S+)(?: - should panic)? \.\.\. (?:.*?)(ok|FAILED|ignored)\b", output, re.MULTILINE)
    tests = {name: VERDICTS[verdict] for name, verdict in found}
    for name in re.findall(r"^test (\S+) has been running for", output, re.MULTILINE):
        tests.setdefault(name, FAIL)
    return tests


def compile_tests(tree, room, *selected):
    """Builds test programs; {target: path}, `lib` for the crate's own."""
    env = dict(os.environ, CARGO_TARGET_DIR=str(room.at / "target"), CARGO_PROFILE_DEV_DEBUG="0", RUSTC_BOOTSTRAP="1")
    command = ["cargo", "test", "--no-run", "--message-format=json", *selected]
    told = subprocess.run(command, cwd=tree, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout
    built = [message for message in map(json.loads, told.splitlines()) if message.get("executable") and message["profile"]["test"]]
    return {"lib" if "lib" in message["target"]["kind"] else message["target"]["name"]: message["executable"] for message in built}


class Tests:
    """What the suites of this file have in common: programs that are built once, one a case."""

    PACKAGES = []
    seconds = 300

    def prepare(self, room):
        for name, program in self.build(room).items() if not (room.at / "bin").exists() else ():
            (room.at / "bin").mkdir(exist_ok=True)
            shutil.copy(program, room.at / "bin" / name)

    def cases(self, room):
        for program in sorted((room.at / "bin").iterdir()):
            yield Case(program.name, [program, "--test-threads=2"], cwd=self.tree(room), read=libtest, seconds=self.seconds)


class Published(Tests):
    def __init__(self, name, release, *tests, options=()):
        self.name, self.release, self.tests, self.options = name, release, tests, options
        self.__doc__ = f"{name} {release}, of crates.io"

    def tree(self, room):
        return room.at / f"{self.name}-{self.release}"

    def build(self, room):
        if not self.tree(room).exists():
            self.fetch(room)
        return compile_tests(self.tree(room), room, *self.options, *(word for test in self.tests for word in (["--lib"] if test == "lib" else ["--test", test])))

    def fetch(self, room):
        """As somebody's dependency."""
        asks = room.at / "fetch"
        (asks / "src").mkdir(parents=True, exist_ok=True)
        (asks / "src/lib.rs").touch()
        package = '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n'
        (asks / "Cargo.toml").write_text(f'{package}[dependencies]\n{self.name} = "={self.release}"\n')
        subprocess.run(["cargo", "fetch", "-q"], cwd=asks, check=True)
        home = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo"))
        shutil.copytree(next(home.glob(f"registry/src/*/{self.name}-{self.release}")), self.tree(room))
        # They name releases that may be gone, or are not installed.
        for name in ("Cargo.lock", "rust-toolchain", "rust-toolchain.toml"):
            (self.tree(room) / name).unlink(missing_ok=True)
        with open(self.tree(room) / "Cargo.toml", "a") as manifest:
            # What its tests bring along may depend on the crate itself.
            manifest.write(f'\n[workspace]\n[patch.crates-io]\n{self.name} = {{ path = "." }}\n')


class StandardLibrary(Tests):
    """std/src/net/{tcp,udp}/tests.rs of Debian's rust-src, as a crate of their own, against the installed toolchain's std.
    The one line that looks into a private field asks for the same number through a trait."""

    PACKAGES = ["rust-src"]
    SOURCE = pathlib.Path("/usr/lib/rustlib/src/rust/library/std/src/net")
    ROOT = """#![cfg(test)]
#![feature(io_error_uncategorized, tcp_linger)]
pub use std::{env, fmt, io, mem, os, sync, thread, time};
mod net {
    pub use std::net::*;
    mod tcp;
    pub mod test;
    mod udp;
}
"""

    def tree(self, room):
        return room.at / "std-net"

    def build(self, room):
        tree = self.tree(room)
        (tree / "src/net").mkdir(parents=True, exist_ok=True)
        (tree / "Cargo.toml").write_text('[package]\nname = "std-net"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n')
        (tree / "src/lib.rs").write_text(self.ROOT)
        for name, origin in (("tcp", "tcp/tests.rs"), ("udp", "udp/tests.rs"), ("test", "test.rs")):
            text = (self.SOURCE / origin).read_text()
            text = text.replace("udpsock.0.socket().as_raw()", "std::os::fd::AsRawFd::as_raw_fd(&udpsock)")
            (tree / f"src/net/{name}.rs").write_text(text)
        return compile_tests(tree, room)


SUITES = {
    "rust-std": StandardLibrary(),
    "polling": Published("polling", "3.11.0", "io", "many_connections", "concurrent_modification", "multiple_pollers", "notify", "other_modes", "timeout"),
    "async-io": Published("async-io", "2.6.0", "async", "block_on", "issue_182"),
    "quinn-udp": Published("quinn-udp", "0.6.3", "tests"),
    "nix": Published("nix", "0.31.3", "test", options=["--all-features"]),
    "async-std": Published("async-std", "1.13.2", "tcp", "udp", "uds", "stream", options=["--features", "unstable,attributes"]),
    "curl-rust": Published("curl", "0.4.51", "easy", "multi", "post", "protocols", "lib"),
    "hyper-util": Published("hyper-util", "0.1.21", "legacy_client", "proxy", "lib", options=["--all-features"]),
    "actix-server": Published("actix-server", "2.10.0", "server", "testing_server"),
    "isahc": Published("isahc", "2.0.2", "auth", "timeouts", "net", "unix", "proxy", "redirects", "request_body", "response_body", "methods", "status", "tls"),
    "axum": Published("axum", "0.8.9", "lib", options=["--all-features", "--features", "axum-macros/__private"]),
    "monoio": Published("monoio", "0.2.4", "tcp_accept", "tcp_connect", "tcp_echo", "tcp_into_split", "tcp_split", "udp", "uds_cred", "uds_split", "uds_stream", "unix_datagram", "unix_seqpacket", "buf_writter", "zero_copy"),
    "compio-net": Published("compio-net", "0.12.5", "buffer_pool", "incoming", "poll", "runtime_wake", "split", "tcp_accept", "tcp_connect", "tcp_disconnect", "udp", "unix_stream", "zero_copy", options=["--features", "compio-driver/polling"]),
    "may": Published("may", "0.3.51", "lib"),
    "actix-http": Published("actix-http", "3.20.0", "test_client", "test_h2_timer", "test_openssl", "test_server", "lib", options=["--features", "http2,openssl"]),
    "rumqttc": Published("rumqttc", "0.25.1", "broker", "reliability", "lib"),
    "mdns-sd": Published("mdns-sd", "0.21.7", "mdns_test", "shutdown_test", "lib"),
    "message-io": Published("message-io", "0.19.0", "integration", "lib"),
    "zeromq-rust": Published("zeromq", "0.7.0", "bind_listener", "connect", "dealer_split", "error_handling", "large_message", "pub_sub", "push_pull_timeout", "recv_cancel_safety", "req_rep", "req_router_dealer_rep", "router_split", "xpub_sub", "xsub_xpub", "lib"),
    "ipc-channel": Published("ipc-channel", "0.23.1", "integration_test", "lib"),
    "ureq": Published("ureq", "3.5.1", "socks", "tcp_eintr", "lib", options=["--features", "socks-proxy,_test"]),
    "laminar": Published("laminar", "0.5.0", "basic_socket_test", "fragmentation_packets_test", "unreliable_packets_test", "lib"),
    "coap": Published("coap", "0.29.0", "lib"),
    "surge-ping": Published("surge-ping", "0.9.1", "client_destroyed", "integration_test", "regression_p0", "lib"),
    "tokio-util": Published("tokio-util", "0.7.20", "udp", "codecs", "compat", "framed", "io_sync_bridge", "lib", options=["--all-features"]),
    "webrtc-util": Published("webrtc-util", "0.17.2", "lib"),
    "turn": Published("turn", "0.17.2", "lib"),
    "russh": Published("russh", "0.65.1", "auth_agent_req_channel_reply", "auth_partial_success", "auth_signer_failure", "auth_state_reset", "test_backpressure", "test_data_stream", "test_keepalive_before_auth", "test_max_channel_packet_size", "lib"),
    "remoc": Published("remoc", "0.20.5", "tests"),
    "attohttpc": Published("attohttpc", "0.31.0", "test_invalid_certs", "test_multipart", "test_proxy", "test_redirection", "test_timeout", "lib", options=["--features", "multipart-form"]),
    "tftpd": Published("tftpd", "1.0.0", "integration_test", "lib", options=["--features", "integration,client"]),
    "tiny_http": Published("tiny_http", "0.12.0", "input-tests", "network", "non-chunked-buffering", "promptness", "simple-test", "unblock-test", "unix-test", "lib"),
    "zbus": Published("zbus", "6.2.1", "basic", "connection_closed", "unixexec", "lib", options=["--features", "p2p"]),
    "actix-web": Published("actix-web", "4.18.1", "test_httpserver", "test_server", "test_streaming_response", "lib", options=["--features", "openssl"]),
    "ntex": Published("ntex", "3.12.3", "connect", "http_client", "http_openssl", "http_server", "http_ws", "http_ws_client", "rt", "server", "web_httpserver", options=["--features", "tokio,openssl,ws"]),
    "libp2p-quic": Published("libp2p-quic", "0.14.0", "smoke", options=["--all-features"]),
    "zmq": Published("zmq", "0.10.0", "connection", "context", "curve", "error", "message", "monitor", "poll", "test"),
    "quinn": Published("quinn", "0.11.12", "lib", "many_connections"),
    "async-process": Published("async-process", "2.5.0", "sleep", "std", "lib"),
    "cadence": Published("cadence", "1.8.0", "core", "spy", "udp", "unix", "lib"),
    "socketpair": Published("socketpair", "0.19.8", "seqpacket", "test"),
    "sendfd": Published("sendfd", "0.4.5", "lib"),
    "passfd": Published("passfd", "0.1.6", "lib"),
    "tokio-seqpacket": Published("tokio-seqpacket", "0.9.1", "abstract_namespace", "ancillary_fds", "ancillary_fds_peek", "listener", "multiple_fds", "raw_fd", "socket", "split"),
    "signal-hook": Published("signal-hook", "0.4.6", "default", "shutdown", "lib"),
    "ws": Published("ws", "0.9.2", "bind", "shutdown", "lib"),
    "varlink": Published("varlink", "13.0.0", "lib", options=["--all-features"]),
    "openssl-rust": Published("openssl", "0.10.82", "lib"),
    "libp2p-tcp": Published("libp2p-tcp", "0.45.0", "lib", options=["--all-features"]),
    "hickory-proto": Published("hickory-proto", "0.26.3", "lib", options=["--features", "mdns,testing"]),
    "procfs": Published("procfs", "0.18.0", "lib"),
    "netstat2": Published("netstat2", "0.11.2", "lib"),
    "neli": Published("neli", "0.7.5", "lib", options=["--all-features"]),
    "netlink-sys": Published("netlink-sys", "0.9.0", "lib", options=["--all-features"]),
    "if-addrs": Published("if-addrs", "0.15.0", "lib"),
    "dns-lookup": Published("dns-lookup", "4.0.2", "lib"),
    "rustix": Published("rustix", "1.1.6", "lib", options=["--features", "all-apis"]),
    "shadowsocks": Published("shadowsocks", "1.25.0", "tcp", "tcp_tfo", "udp", "lib"),
    "calloop": Published("calloop", "0.14.5", "signals", "lib", options=["--all-features"]),
    "tungstenite": Published("tungstenite", "0.30.0", "lib"),
    "tide": Published("tide", "0.16.0", "chunked-encode-large", "chunked-encode-small", "server", "lib"),
}
