"""What the files of this directory share: where sources come from, how a case runs, how its output is read."""
import dataclasses
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import time

NOBODY = 65534
# Where the servers of a case are that run beside it.
HOST = "@HOST@"
PASS, FAIL, SKIP = "PASS", "FAIL", "SKIP"


@dataclasses.dataclass
class Case:
    """One program of a suite. `read` maps (exit status or None when it took too long, output) to {test: verdict}.
    `root`: the tree of another release of the distribution, in which it runs. `outside`: a shell command that starts servers on the host's
    loopback, beside the run, and waits until they answer; what `argv` and `env` name as HOST is where they are."""

    name: str
    argv: list
    cwd: pathlib.Path = pathlib.Path("/")
    env: dict = dataclasses.field(default_factory=dict)
    read: object = None
    seconds: int = 60
    root: pathlib.Path = None
    outside: str = ""

    def verdicts(self, status, output):
        if self.read:
            tests = self.read(status, output)
            if tests:
                return {f"{self.name}: {test}" if test else self.name: verdict for test, verdict in tests.items()}
        return {self.name: PASS if status == 0 else SKIP if status == 77 else FAIL}


def tap(status, output):
    """Test Anything Protocol: tests are named by their number, a program that ends early fails as `end`."""
    tests, plan = {}, None
    for line in output.splitlines():
        if match := re.match(r"\s*1\.\.(\d+)(.*)", line):
            if not line[0].isspace():
                plan = int(match[1])
                if plan == 0:
                    return {"": SKIP}
        elif match := re.match(r"(not )?ok (\d+)(.*)", line):
            skipped = re.search(r"#\s*(skip|todo)", match[3], re.IGNORECASE)
            tests[match[2]] = SKIP if skipped else FAIL if match[1] else PASS
    tests["end"] = PASS if status == 0 and plan is not None and len(tests) == plan else FAIL
    return tests


COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def told(pattern, words, ends=(0,)):
    """A reader of programs that tell of each test: `pattern` finds its (?P<name>) and its (?P<word>), which `words` translate; of equals one
    that fails decides. A program that does not end with a status of `ends` fails as `end`."""
    pattern = re.compile(pattern, re.MULTILINE)

    def read(status, output):
        tests = {}
        for match in pattern.finditer(COLOURS.sub("", output)):
            if tests.get(match["name"]) != FAIL:
                tests[match["name"]] = words[match["word"]]
        return {**tests, "end": PASS if status in ends else FAIL}

    return read


# GoogleTest's, and cmocka's after it.
gtest = told(r"\[ +(?P<word>OK|FAILED|SKIPPED) +\] (?P<name>[^ ,\n]+)", {"OK": PASS, "FAILED": FAIL, "SKIPPED": SKIP}, ends=(0, 1))


def unittest(output, head):
    """Of `unittest -v`: `head` finds where a test is named, and names it; what tests print may lie between a name and its verdict."""
    tests = {}
    blocks = re.split(head, output, flags=re.MULTILINE)
    for name, block in zip(blocks[1::2], blocks[2::2]):
        verdict = re.search(r"(?:^|\.\.\. )(ok|FAIL|ERROR|skipped|expected failure)\b", block, re.MULTILINE)
        if tests.get(name) != FAIL:
            tests[name] = {"ok": PASS, "skipped": SKIP, "expected failure": SKIP}.get(verdict and verdict[1], FAIL)
    return tests


class Room:
    """Where one suite is unpacked and built."""

    def __init__(self, root, name):
        self.at = pathlib.Path(root) / name
        self.at.mkdir(parents=True, exist_ok=True)

    def source(self, package):
        """The unpacked source of a Debian package, got by apt-get on demand (needs a deb-src line)."""
        found = self.unpacked(package)
        if not found:
            command = ["apt-get", "source", "-qq", "--only-source", package]
            if subprocess.run(command, cwd=self.at).returncode:
                # A mirror may have the project's archive without the distribution's part.
                subprocess.run([*command, "--tar-only"], cwd=self.at, check=True)
                archive = next(path for path in self.at.glob(f"{package}_*.orig.tar.*") if path.suffix != ".asc")
                directory = self.at / archive.name.split(".orig.")[0].replace("_", "-")
                directory.mkdir()
                subprocess.run(["tar", "-xf", archive, "--strip-components=1", "-C", directory], check=True)
            found = self.unpacked(package)
        return found

    def unpacked(self, package):
        return next((path for path in sorted(self.at.glob(f"{package}-[0-9]*")) if path.is_dir()), None)

    def release(self, name, packages):
        """The tree of another release of Debian, with these packages."""
        root = self.at.parent / name
        if not (root / "etc/apt/complete").exists():
            install(["debootstrap"])
            shutil.rmtree(root, ignore_errors=True)
            mirror = "http://deb.debian.org/debian"
            # It knows no release that is younger than itself; unstable is what they all come from.
            known = pathlib.Path("/usr/share/debootstrap/scripts", name).exists()
            subprocess.run(["debootstrap", "--variant=minbase", name, root, mirror, *([] if known else ["sid"])], stdout=subprocess.DEVNULL, check=True)
            # A mirror may lag behind what a release that is not yet stable says of its age.
            (root / "etc/apt/apt.conf.d/prise").write_text('Acquire::Check-Valid-Until "false";\n')
            (root / "etc/apt/sources.list").write_text(f"deb {mirror} {name} main\ndeb-src {mirror} {name} main\n")
            subprocess.run(["chroot", root, "apt-get", "update", "-qq"], check=True)
            (root / "etc/apt/complete").touch()
        install(packages, ["chroot", root])
        return root

    def give(self, user):
        """Lets `user` write there: tests write beside themselves."""
        subprocess.run(["chown", "-R", f"{user}:{user}", self.at], check=True)

    def build(self, mark, directory, *commands):
        """Runs shell commands in `directory` unless `mark` is there; their output goes to build.log."""
        if (directory / mark).exists():
            return
        with open(self.at / "build.log", "ab") as log:
            for command in commands:
                if subprocess.run(["sh", "-ec", command], cwd=directory, stdout=log, stderr=log).returncode:
                    raise RuntimeError(f"`{command}` failed in {directory}; see {self.at}/build.log")


def install(packages, where=()):
    missing = [name for name in packages if subprocess.run([*where, "dpkg", "-s", name], capture_output=True).returncode]
    if missing:
        print("installing", *missing, flush=True)
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1")
        subprocess.run([*where, "apt-get", "-o", "DPkg::Lock::Timeout=300", "install", "-qq", "-y", "--no-install-recommends", *missing], env=environment, stdout=subprocess.DEVNULL, check=True)


def within(root, wrap):
    """What a tree needs of the machine: devices, processes and what the command names. The mounts end with the case's name space."""
    needs = [f"mount --rbind /dev {root}/dev", f"mount -t proc proc {root}/proc", f"mount -t sysfs sysfs {root}/sys"]
    # A directory cannot lie on a file, and what the run is to make is none yet.
    for program in filter(os.path.isfile, re.findall(r"(?:^|[\n=])(/\S+)", "\n".join(wrap))):
        place = f"{root}{program}"
        needs += [f"mkdir -p $(dirname {place})", f"touch {place}", f"mount --bind {program} {place}"]
    return "; ".join(needs)


# A link with what a run has of one (`docs/run.md`): its other end is in a name space of its own, where nobody answers.
LINK = """unshare -n sleep infinity & until [ "$(readlink /proc/$!/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad; ip link add eth0 address 02:50:52:49:53:45 type veth peer name peer netns $!
nsenter -t $! -n ip link set peer up; ip link set eth0 up; ip address add 10.0.2.15/24 brd + dev eth0; ip address add fd00:2::15/64 dev eth0
ip route add default via 10.0.2.2; ip -6 route add default via fd00:2::2 metric 1024
"""


def run(case, wrap, nobody, linked=False):
    """Runs one case in new network and process name spaces that hold only `lo`, and `eth0` if they are `linked`: (exit status or None, output, seconds)."""
    place = (lambda word: str(word).replace(HOST, "10.0.2.2" if wrap else "127.0.0.1")) if case.outside else str
    words = [*wrap, *map(place, case.argv)]
    env = {**os.environ, **{key: place(value) for key, value in case.env.items()}}
    if nobody and os.geteuid() == 0:
        words = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *words]
        env["HOME"] = "/tmp"  # root's is closed to everybody else
    inside = f"cd {shlex.quote(str(case.cwd))}; exec {shlex.join(words)}"
    if case.root:
        inside = f"{within(case.root, wrap)}; exec chroot {case.root} sh -c {shlex.quote(inside)}"
    inside = f"mount -t proc proc /proc; ip link set lo up; {LINK if linked else ''}{case.outside or ':'}; {inside}"
    user = [] if os.geteuid() == 0 else ["-r"]
    start = time.monotonic()
    child = subprocess.Popen(
        ["unshare", *user, "-n", "-m", "-p", "-f", "--kill-child", "sh", "-c", inside],
        env=env,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        output, status = child.communicate(timeout=case.seconds)[0], child.returncode
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        output, status = child.communicate()[0], None
    return status, output.decode("utf-8", "replace"), time.monotonic() - start
