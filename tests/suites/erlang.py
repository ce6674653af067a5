"""Erlang's gen_tcp, gen_udp, inet and inet_sockopt suites, under common_test."""
import re

from suite import FAIL, PASS, SKIP, Case

PACKAGES = ["erlang-base", "erlang-common-test", "erlang-dev", "erlang-tools"]
MODULES = ("gen_tcp_api_SUITE", "gen_tcp_echo_SUITE", "gen_tcp_misc_SUITE", "gen_udp_SUITE", "inet_SUITE", "inet_sockopt_SUITE")
BESIDE = ("kernel_test_lib", "kernel_test_sys_monitor", "kernel_test_global_sys_monitor")


def prepare(room):
    tests = room.source("erlang") / "lib" / "kernel" / "test"
    # The suites include the library's own headers, as `kernel/src/…`.
    compiled = (f"erlc -I ../.. -I . -o beams.new {name}.erl" for name in (*BESIDE, *MODULES))
    # A hook that belongs to the whole distribution's test server.
    hook = "printf '%s' '-module(ts_install_cth). -export([init/2]). init(_, _) -> {ok, none}.' > ts_install_cth.erl; erlc -o beams.new ts_install_cth.erl"
    room.build("beams", tests, "mkdir -p beams.new", hook, *compiled, "mv beams.new beams")


def cases(room):
    tests = room.source("erlang") / "lib" / "kernel" / "test"
    for suite in MODULES:
        run = f'ct:run_test([{{suite,{suite}}},{{dir,"{tests}/beams"}},{{auto_compile,false}},{{logdir,"."}},{{multiply_timetraps,2}}]),init:stop()'
        script = f"logs=$(mktemp -d) && cd $logs && ln -s {tests}/*_data . ; timeout 880 erl -sname ct -noshell -pa {tests}/beams -eval '{run}' </dev/null; epmd -kill >/dev/null; find . -name suite.log -exec cat {{}} +; rm -rf $logs"
        yield Case(suite, ["sh", "-c", script], env={"HOME": "/tmp"}, read=verdicts, seconds=900)


def verdicts(status, output):
    tests = {}
    for name, result in re.findall(r"^=case +\w+:(\w+)\n(?:.*\n)*?=result +(\w+)", output, re.MULTILINE):
        tests[name] = {"ok": PASS, "failed": FAIL}.get(result, SKIP)
    return tests or {"": FAIL}
