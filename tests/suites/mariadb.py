"""MariaDB's own test runner on what is about connections: over TCP, AF_UNIX and TLS, killed and timed out, pools of threads, replicas, its accounts of sockets."""
import os

from suite import FAIL, PASS, SKIP, Case, told

PACKAGES = ["mariadb-server", "mariadb-test"]
RUNNER = "/usr/share/mysql/mysql-test"
# {suite: its tests}
TESTS = {
    "main": "connect|bind_|chained_ssl|compress|flush_ssl|grant_kill|host|init_connect|kill|lock_kill|long_host|mysqladmin|mysql_client|mysqldump|openssl|packet|pool_of|processlist|require_secure|reset_conn|skip_name|socket|ssl|status|thread_pool|timeout|tls|transaction_timeout|wait_timeout|max_conn|client|bug12427262|lowercase_fs|nonblock|proxy|async|wl",
    "perfschema": "socket|hostcache|connect|threads|idle|event_aggregate|relaylog",
    "rpl": "rpl_(ssl|semi|heartbeat|slave|stop|connection|kill|gtid_(st|re)|mdev|bug|timezone|packet|server_id|row_until|parallel_(conf|opt|stop)|net|old_master|password|show_slave|empty_master|get_master|ip_mix)",
    "sys_vars": "(max_(conn|user|allowed)|connect|net_|wait_timeout|interactive|skip_net|bind|port|socket|back_log|thread|secure_auth|ssl|tls|proxy|extra).*",
    "multi_source": "",
    "federated": "federated(_server|_partition|_debug|x|)$",
}
VERDICTS = told(r"^(?P<name>\w+\.\S+(?: '[^']*')*) +(?:w\d+ )?\[ (?:retry-)?(?P<word>pass|fail|skipped|disabled) \]", {"pass": PASS, "fail": FAIL, "skipped": SKIP, "disabled": SKIP}, ends=(0, 1))


def prepare(room):
    (room.at / "var").mkdir(exist_ok=True)


def cases(room):
    for suite, wanted in TESTS.items():
        words = ["./mtr", f"--vardir={room.at}/var/{os.getpid()}", "--force", "--max-test-fail=0", "--retry=0", "--suite-timeout=40", "--testcase-timeout=4", f"--suite={suite}"]
        as_root = ["--user=root"] if os.geteuid() == 0 else []
        yield Case(suite, [*words, *as_root, *([f"--do-test={wanted}"] if wanted else [])], cwd=RUNNER, read=VERDICTS, seconds=2400)
