"""Clients whose servers run beside the run, on the host's loopback: Redis's, memcached's, PostgreSQL's and MariaDB's."""
import re

from hiredis import VERDICTS
from postgresql import REGRESSION, VERSION
from pypi import Project
from redis import verdicts as of_redis
from suite import FAIL, HOST, PASS, Case, tap, told

NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups"
UNTIL = "timeout 20 sh -c 'until {}; do :; done' > /dev/null 2>&1"
# What servers write lies in a file system that ends with the case.
REDIS = "mount -t tmpfs -o mode=1777 tmpfs /mnt; redis-server --save '' --dir /mnt > /dev/null & " + UNTIL.format("redis-cli ping")
MEMCACHED = "memcached -u nobody > /dev/null & " + UNTIL.format("nc -z 127.0.0.1 11211")
POSTGRES = (f"mount -t tmpfs -o mode=1777 tmpfs /mnt; {NOBODY} sh -c 'cd /mnt; {VERSION}/bin/initdb -A trust -U postgres -D data && "
            f"{VERSION}/bin/pg_ctl -D data -w -l log -o \"-k /mnt -c fsync=off -c max_prepared_transactions=10 -c wal_level=logical\" start' > /dev/null; "
            "psql -h 127.0.0.1 -U postgres -d postgres -qc 'create database tested'")
MARIADB = (f"mount -t tmpfs -o mode=1777 tmpfs /mnt; {NOBODY} sh -c 'cd /mnt; mariadb-install-db --no-defaults --auth-root-authentication-method=normal --datadir=/mnt/data; "
           "mariadbd --no-defaults --datadir=/mnt/data --socket=/mnt/socket --bind-address=127.0.0.1 & " + UNTIL.format("mariadb-admin --no-defaults -S /mnt/socket -u root ping").replace("'", '"') + "' > /dev/null 2>&1; "
           "mariadb --no-defaults -S /mnt/socket -u root -e \"create database tested; create user tester@localhost; grant all on *.* to tester@localhost\"")
# Where its tests look first; without it they would not ask for a server at all.
TOLD = "echo '$::test_dsn = $ENV{DBI_DSN}; $::test_db = \"tested\"; $::test_user = \"tester\"; $::test_password = \"\"; 1;' > t/mysql.mtest"
PIPELINE = ("disallowed_in_pipeline", "multi_pipelines", "nosync", "pipeline_abort", "pipeline_idle", "pipelined_insert", "prepared", "simple_pipeline", "singlerow", "transaction", "uniqviol")


class Client:
    """`build`: commands in the sources of `package`, and what they leave."""

    PACKAGES = []

    def __init__(self, package, needs, told_of, build=("prise-built", "touch prise-built")):
        self.package, self.told_of, self.build, self.PACKAGES = package, told_of, build, needs.split()
        self.__doc__ = f"{package}, of Debian, with its servers outside of the run"

    def prepare(self, room):
        room.build(self.build[0], room.source(self.package), *self.build[1:])

    def cases(self, room):
        yield from self.told_of(room.source(self.package))


def redis(source):
    for unit in ("unit/type/list", "unit/type/string", "unit/type/hash", "unit/type/set", "unit/pubsub", "unit/multi", "unit/scripting", "unit/protocol", "unit/querybuf", "unit/expire", "unit/scan", "unit/sort", "unit/tracking"):
        words = ["tclsh8.6", "tests/test_helper.tcl", "--clients", "1", "--host", HOST, "--port", "6379", "--single", unit]
        yield Case(unit, words, cwd=source, read=of_redis, seconds=300, outside=REDIS)


def hiredis(source):
    yield Case("hiredis-test", ["./hiredis-test", "-h", HOST, "-p", "6379", "--skip-throughput"], cwd=source, read=VERDICTS, outside=REDIS)


def postgresql(source):
    env = {"PGUSER": "postgres", "PGHOST": HOST, "PGDATABASE": "tested"}
    for name in PIPELINE:
        yield Case(f"libpq_pipeline {name}", ["src/test/modules/libpq_pipeline/prise-pipeline", name, f"host={HOST} user=postgres dbname=tested"], cwd=source, outside=POSTGRES)
    words = [f"{VERSION}/bin/pgbench", "-i", "-s", "1"]
    yield Case("pgbench, to begin with", words, env=env, outside=POSTGRES)
    # Its tables are made from outside.
    made = f"{POSTGRES}; {VERSION}/bin/pgbench -h 127.0.0.1 -U postgres -i -q tested > /dev/null 2>&1"
    for name, more in {"new connections": ["-C"], "threads": ["-c", "8", "-j", "4"], "prepared": ["-M", "prepared", "-c", "4"]}.items():
        yield Case(f"pgbench, {name}", [f"{VERSION}/bin/pgbench", "-t", "100", *more], env=env, read=processed, outside=made)
    regress = source / "src/test/regress"
    words = [f"{VERSION}/lib/pgxs/src/test/regress/pg_regress", f"--bindir={VERSION}/bin", "--use-existing", f"--host={HOST}", "--user=postgres", "--dbname=tested", "--inputdir=.", "--outputdir=/mnt", "--dlpath=.", "--max-connections=4", "--schedule=parallel_schedule"]
    yield Case("regress", ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *words], cwd=regress, env={"HOME": "/tmp"}, read=REGRESSION, seconds=600, outside=POSTGRES)


def processed(status, output):
    """Of pgbench, which tells how many transactions there were and how many were to be."""
    return {"": PASS if status == 0 and re.search(r"processed: (\d+)/\1\n", output) else FAIL}


def dbd_mysql(source):
    env = {"DBI_DSN": f"DBI:mysql:database=tested;host={HOST};mysql_skip_secure_auth=1", "DBI_USER": "tester", "DBI_PASS": ""}
    for test in sorted(source.glob("t/*.t")):
        yield Case(test.name, ["perl", "-Mblib", f"t/{test.name}"], cwd=source, env=env, read=tap, seconds=120, outside=MARIADB)


SUITES = {
    "outside-redis": Client("redis", "redis-server redis-tools tcl8.6", redis),
    "outside-hiredis": Client("hiredis", "gcc make redis-server redis-tools", hiredis, ("hiredis-test", "make -s hiredis-test")),
    "outside-postgresql": Client("postgresql-15", "gcc postgresql-15 libpq-dev postgresql-server-dev-15", postgresql, ("src/test/modules/libpq_pipeline/prise-pipeline", f"cd src/test/modules/libpq_pipeline && gcc -w -I$({VERSION}/bin/pg_config --includedir-server) -I$({VERSION}/bin/pg_config --includedir) -o prise-pipeline libpq_pipeline.c -L$({VERSION}/bin/pg_config --pkglibdir) -lpq -lpgcommon -lpgport")),
    "outside-dbd-mysql": Client("libdbd-mysql-perl", "gcc make perl libdbi-perl libdevel-checklib-perl libmariadb-dev libmariadb-dev-compat mariadb-server", dbd_mysql, ("blib/arch/auto/DBD/mysql/mysql.so", "perl Makefile.PL --testuser=tester", TOLD, "make -s")),
    "outside-redis-py": Project("redis", "8.1.0", needs="pytest-asyncio numpy uvloop hiredis PyJWT pybreaker xxhash mock", options=f"-m 'not onlycluster and not redismod and not ssl' --redis-url=redis://{HOST}:6379/9",
                                files=["tests/test_commands.py", "tests/test_connection*.py", "tests/test_pubsub.py", "tests/test_pipeline.py", "tests/test_multiprocessing.py", "tests/test_lock.py", "tests/test_asyncio/test_com*.py", "tests/test_asyncio/test_conn*.py", "tests/test_asyncio/test_pubsub.py", "tests/test_asyncio/test_cwe*.py"], outside=REDIS),
    "outside-pymemcache": Project("pymemcache", "4.0.0", "faker gevent zstd pytest-cov pylibmc", options=f"--server {HOST}", files=["pymemcache/test/test_integration.py", "pymemcache/test/test_client*.py"], outside=MEMCACHED),
    "outside-psycopg2": Project("psycopg2", "2.9.13", "gevent", files=["tests/test_*.py"], outside=POSTGRES, compiled="lib", env={"PSYCOPG2_TESTDB": "tested", "PSYCOPG2_TESTDB_HOST": HOST, "PSYCOPG2_TESTDB_USER": "postgres"}),
}
