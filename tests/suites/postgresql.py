"""PostgreSQL 15's tests with its servers and clients over TCP: libpq, TLS, passwords, replication, backups, pgbench, its regression tests."""
import os

from suite import FAIL, PASS, Case, tap, told

PACKAGES = ["gcc", "postgresql-15", "postgresql-server-dev-15", "libpq-dev", "libipc-run-perl", "openssl"]
VERSION = "/usr/lib/postgresql/15"
TESTED = ("src/interfaces/libpq", "src/test/authentication", "src/test/ssl", "src/test/postmaster", "src/test/recovery", "src/test/subscription", "src/bin/pg_basebackup", "src/bin/pg_ctl", "src/bin/pgbench", "src/bin/psql", "src/bin/scripts", "src/bin/pg_rewind")
# What asks for modules that are no part of the installed server, or takes minutes of a processor.
APART = ("002_api.pl", "002_pg_upgrade.pl", "027_stream_regress.pl", "017_shm.pl", "010_tab_completion.pl")
# A server refuses to be root's; tests read logs, of which their own runner removes old ones.
AS_NOBODY = 'rm -rf tmp_check; if [ $(id -u) = 0 ]; then exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; else exec "$@"; fi'
REGRESSION = told(r"^(?:test |     )(?P<name>\w+) +\.\.\. (?P<word>ok|FAILED)", {"ok": PASS, "FAILED": FAIL}, ends=(0, 1))


def prepare(room):
    tree = room.source("postgresql-15")
    # By default its tests use AF_UNIX.
    tcp = "sed -i 's/(!$windows_os || defined $ENV{PG_TEST_USE_UNIX_SOCKETS})/0/' src/test/perl/PostgreSQL/Test/Utils.pm"
    compiled = "gcc -O1 -fPIC -shared -w -I$(/usr/lib/postgresql/15/bin/pg_config --includedir-server) -I/usr/include/postgresql -o src/test/regress/regress.so src/test/regress/regress.c"
    room.build("prise-built", tree, tcp, compiled, "touch prise-built")
    room.give(65534)


def cases(room):
    tree = room.source("postgresql-15")
    env = {"PATH": f"{VERSION}/bin:{os.environ['PATH']}", "PGPORT": "65432", "PERL5LIB": tree / "src/test/perl", "PG_REGRESS": f"{VERSION}/lib/pgxs/src/test/regress/pg_regress",
           "REGRESS_SHLIB": tree / "src/test/regress/regress.so", "PG_TEST_EXTRA": "ssl", "with_ssl": "openssl", "with_icu": "yes", "top_builddir": tree, "GZIP_PROGRAM": "gzip", "TAR": "tar", "HOME": "/tmp"}
    for directory in TESTED:
        for test in sorted((tree / directory / "t").glob("*.pl")):
            if test.name not in APART:
                words = ["sh", "-c", AS_NOBODY, "sh", "perl", "-I.", f"t/{test.name}"]
                yield Case(f"{directory}/{test.stem}", words, cwd=tree / directory, env={**env, "TESTDIR": tree / directory, "TESTDATADIR": tree / directory / "tmp_check"}, read=tap, seconds=300)
    regress = tree / "src/test/regress"
    words = [env["PG_REGRESS"], f"--bindir={VERSION}/bin", "--temp-instance=./tmp_check", "--host=127.0.0.1", "--inputdir=.", "--outputdir=.", "--dlpath=.", "--max-connections=4", "--schedule=parallel_schedule"]
    yield Case("regress", ["sh", "-c", AS_NOBODY, "sh", *words], cwd=regress, env=env, read=REGRESSION, seconds=900)
