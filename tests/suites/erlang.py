"""Erlang's gen_tcp, gen_udp, inet, inet_sockopt and socket suites, under common_test."""
import re

from suite import FAIL, PASS, SKIP, Case

PACKAGES = ["erlang-base", "erlang-common-test", "erlang-dev", "erlang-tools"]
MODULES = ("gen_tcp_api_SUITE", "gen_tcp_echo_SUITE", "gen_tcp_misc_SUITE", "gen_udp_SUITE", "inet_SUITE", "inet_sockopt_SUITE")
# Its module `socket`, which makes the system's calls itself: what its suite is told to include.
SOCKET = ("API", "REG", "MON", "IOCTL", "SOCK_CLOSE", "TRAFFIC", "TICKETS")
BESIDE = ("socket_test_lib", "socket_test_logger", "socket_test_evaluator", "socket_test_ttest_lib", "socket_test_ttest_tcp_client", "socket_test_ttest_tcp_client_gen", "socket_test_ttest_tcp_client_socket",
          "socket_test_ttest_tcp_gen", "socket_test_ttest_tcp_server", "socket_test_ttest_tcp_server_gen", "socket_test_ttest_tcp_server_socket", "socket_test_ttest_tcp_socket", "kernel_test_lib", "kernel_test_sys_monitor", "kernel_test_global_sys_monitor")


def prepare(room):
    tests = room.source("erlang") / "lib" / "kernel" / "test"
    # The suites include the library's own headers, as `kernel/src/…`.
    compiled = (f"erlc -I ../.. -I . -o beams.new {name}.erl" for name in (*BESIDE, *MODULES, "socket_SUITE"))
    # A hook that belongs to the whole distribution's test server.
    hook = "printf '%s' '-module(ts_install_cth). -export([init/2]). init(_, _) -> {ok, none}.' > ts_install_cth.erl; erlc -o beams.new ts_install_cth.erl"
    room.build("beams", tests, "mkdir -p beams.new", hook, *compiled, "mv beams.new beams")


def cases(room):
    for suite in MODULES:
        yield case(room, suite, suite, {})
    for part in SOCKET:
        env = {f"ESOCK_TEST_{name}": "include" if name == part else "exclude" for name in (*SOCKET, "TTEST")}
        yield case(room, f"socket_SUITE {part}", "socket_SUITE", env)


def case(room, name, suite, env):
    tests = room.source("erlang") / "lib" / "kernel" / "test"
    run = f'ct:run_test([{{suite,{suite}}},{{dir,"{tests}/beams"}},{{auto_compile,false}},{{logdir,"."}},{{multiply_timetraps,2}}]),init:stop()'
    # Most of `socket` is skipped without an address that is not of `lo`, which a run has.
    link = "ip link add eth0 type veth peer name eth1 && ip link set eth1 up && ip addr add 10.0.2.15/24 dev eth0 && ip addr add fd00:2::15/64 dev eth0 nodad && ip link set eth0 up"
    script = f"({link}) 2>/dev/null; logs=$(mktemp -d) && cd $logs && ln -s {tests}/*_data . ; timeout 880 erl -sname ct -noshell -pa {tests}/beams -eval '{run}' </dev/null; epmd -kill >/dev/null; find . -name suite.log -exec cat {{}} +; rm -rf $logs"
    return Case(name, ["sh", "-c", script], env={"HOME": "/tmp", **env}, read=verdicts, seconds=900)


def verdicts(status, output):
    tests = {}
    for name, result in re.findall(r"^=case +\w+:(\w+)\n(?:.*\n)*?=result +(\w+)", output, re.MULTILINE):
        tests[name] = {"ok": PASS, "failed": FAIL}.get(result, SKIP)
    return tests or {"": FAIL}
