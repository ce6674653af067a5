"""Mosquitto's tests of its broker and of its libraries: MQTT 3 and 5, bridges, TLS, wills, sessions, plugins."""
from suite import Case

PACKAGES = ["gcc", "g++", "make", "libssl-dev", "libcjson-dev", "uthash-dev", "openssl", "libmosquitto-dev", "libmosquittopp-dev"]


def prepare(room):
    options = "WITH_DOCS=no WITH_SYSTEMD=no WITH_WEBSOCKETS=no WITH_SHARED_LIBRARIES=yes"
    room.build("test/lib/c/01-con-discon-success.test", room.source("mosquitto"), f"make -s {options}", f"make -s -C test/broker/c {options}", f"make -s -C test/lib/c {options}", f"make -s -C test/lib/cpp {options}")


def cases(room):
    for part in ("broker", "lib"):
        tests = room.source("mosquitto") / "test" / part
        for path in sorted(tests.glob("[01][0-9]-*.py")):
            for words in [["c/" + path.stem + ".test"], ["cpp/" + path.stem + ".test"]] if part == "lib" else [[]]:
                if not words or (tests / words[0]).exists():
                    yield Case(" ".join([f"{part}/{path.name}", *words]), ["python3", path, *words], cwd=tests, seconds=60)
