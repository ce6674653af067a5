"""libnice's tests: ICE between agents over UDP and TCP on all interfaces, STUN, TURN, pseudo-TCP."""
from suite import Case

PACKAGES = ["meson", "ninja-build", "gcc", "libglib2.0-dev", "libssl-dev"]


def prepare(room):
    options = "-Dgupnp=disabled -Dgstreamer=disabled -Dintrospection=disabled -Dgtk_doc=disabled -Dcrypto-library=openssl"
    room.build("built/build.ninja", room.source("libnice"), f"meson setup built {options}")
    room.build("built/stun/tests/stun-test-usebind", room.source("libnice"), "ninja -C built")


def cases(room):
    built = room.source("libnice") / "built"
    for program in sorted(path for path in built.glob("*tests/*") if path.is_file() and path.stat().st_mode & 0o100) + sorted((built / "stun/tests").glob("stun-test-*")):
        if program.is_file() and not program.suffix:
            yield Case(program.name, [program], cwd=built, env={"NICE_STUN_SERVER": "127.0.0.1", "NICE_STUN_SERVER_PORT": "3800"}, seconds=120)
