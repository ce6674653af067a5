"""What the checks of tests/programs stand on: a check's description, and the processes and files of one that runs."""
import contextlib
import importlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import textwrap
import time

SKIPPED = 77  # the exit status of a check that cannot be made here
# Version managers keep their shims where nobody may not look.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games:/usr/lib/postgresql/15/bin:/usr/lib/git-core"
LOCAL = "127.0.0.1"


class Skip(Exception):
    """What the check needs turned out not to be here."""


class Failure(Exception):
    """A program did something else than it does on the kernel's sockets."""


def find(program):
    """Where a program is, or a library (*.so) that is to be loaded into one; None if it is not installed."""
    if program.endswith(".so"):
        return next((str(path) for path in sorted(pathlib.Path("/usr/lib").glob(f"*/{program}"))), None)
    return shutil.which(program, path=PATH)


class Check:
    """A function, what it needs, and how long it may take."""

    def __init__(self, function, programs, packages, quick, limit, options, root):
        self.function, self.name = function, function.__name__
        self.programs, self.packages = programs.split(), packages.split()
        self.quick, self.limit, self.options, self.root = quick, limit, options, root

    def missing(self):
        return [program for program in self.programs if not find(program)]


checks = {}


def check(programs="", packages="", quick=True, limit=90, options=(), root=False):
    """Declares a check: the programs it starts and the libraries it loads, the packages that have them (Debian's, or `npm:NAME`), whether CI runs it, options for
    `prise run`, and whether root stays root for it (nobody else can run it)."""

    def declare(function):
        checks[function.__name__] = Check(function, programs, packages, quick, limit, options, root)
        return function

    return declare


def load():
    """All checks, in the order of their files."""
    for path in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        importlib.import_module(path.stem)
    return checks


def expect(truth, what, *details):
    if not truth:
        raise Failure(" ".join(map(str, (what, *details))))


class Stage:
    """The processes and files of one check. Leaving it ends what was started."""

    def __init__(self, at):
        self.at = pathlib.Path(at)
        self.guests = pathlib.Path(__file__).parent / "guests"
        self.cache = pathlib.Path(os.environ.get("PRISE_CACHE", at))
        self.started = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.started):
            self.end(process)

    def write(self, name, text):
        path = self.at / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
        return path

    def noise(self, name, octets):
        path = self.at / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(octets))
        return path

    def start(self, *command, **options):
        """A process that lasts as long as the check. Its output goes to a file beside."""
        log = open(self.at / f"{len(self.started)}.log", "wb")
        options = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "cwd": self.at, "start_new_session": True} | options
        process = subprocess.Popen([str(word) for word in command], **options)
        process.log = pathlib.Path(log.name)
        log.close()
        self.started.append(process)
        return process

    def serve(self, port, *command, **options):
        """A server, once it can be reached on `port`."""
        process = self.start(*command, **options)
        self.listening(port, process)
        return process

    def end(self, process, how=signal.SIGTERM, limit=10):
        """Ends a process and what it started; its exit status."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return process.wait(limit)

    def run(self, *command, limit=60, status=0, **options):
        """A process to its end; its output, both streams."""
        options = {"stdin": subprocess.DEVNULL, "cwd": self.at} | options
        if "input" in options:
            del options["stdin"]
        words = [str(word) for word in command]
        try:
            done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=limit, **options)
        except subprocess.TimeoutExpired as late:
            heard = (late.stdout or b"").decode(errors="replace")
            raise Failure(f"{' '.join(words)}: nothing after {limit} s; it said: {heard[-2000:]}{self.logs()}") from None
        if status is not None and done.returncode != status:
            raise Failure(f"{' '.join(words)}: status {done.returncode}; it said: {done.stdout[-2000:]}{self.logs()}")
        return done.stdout

    def logs(self):
        """The last words of what runs beside."""
        said = ""
        for process in self.started:
            text = process.log.read_text(errors="replace")[-1000:].strip()
            said += f"\n-- {process.args[0]}: {text}" if text else ""
        return said

    def until(self, what, is_so, limit=30):
        end = time.monotonic() + limit
        while not (found := is_so()):
            if time.monotonic() > end:
                raise Failure(f"not after {limit} s: {what}{self.logs()}")
            time.sleep(0.02)  # what other programs do has no event for us
        return found

    def listening(self, port, process=None, address=LOCAL):
        def answers():
            if process and process.poll() is not None:
                raise Failure(f"{process.args[0]} has ended with {process.returncode}{self.logs()}")
            with contextlib.suppress(OSError), socket.create_connection((address, port), 5):
                return True

        self.until(f"something listens on {port}", answers)

    def compile(self, name, *flags):
        """A guest written in C."""
        program = self.at / pathlib.Path(name).stem
        self.run(find("gcc") or find("cc"), "-O1", "-o", program, self.guests / name, "-pthread", *flags)
        return program

    def build_go(self, name, cgo=False):
        program = self.at / pathlib.Path(name).stem
        environment = dict(os.environ, CGO_ENABLED=str(int(cgo)), GOCACHE=str(self.cache / "go"), GOFLAGS="-mod=mod", GO111MODULE="off", GOTOOLCHAIN="local")
        self.run("go", "build", "-o", program, self.guests / name, env=environment, limit=240)
        return program
