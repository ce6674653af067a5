"""nng's tests: its protocols over TCP, TLS, WebSocket, HTTP, IPC and inproc, its own event loop, UDP and resolver."""
from suite import Case

PACKAGES = ["cmake", "ninja-build", "g++"]


def built(room):
    return room.source("nng") / "b"


def prepare(room):
    room.build("b/tests/ws", room.source("nng"), "cmake -G Ninja -DNNG_TESTS=ON -DNNG_TOOLS=OFF -DCMAKE_BUILD_TYPE=None -S . -B b", "ninja -C b")


def cases(room):
    """Each program is one; those that nobody calls a test by its name are beside them all the same."""
    for program in sorted(path for path in built(room).rglob("*") if path.is_file() and path.stat().st_mode & 0o100 and "CMakeFiles" not in path.parts):
        if ".so" not in program.name and program.parent.name != "b":
            yield Case(str(program.relative_to(built(room))), [program], cwd=program.parent, seconds=120)
