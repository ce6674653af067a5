//! Programs that abuse the supervisor, beside one that does not: what the innocent one transfers stays as it is, and its run ends
//! as it should.

mod world;

use std::process::Command;
use std::time::Duration;

use world::{Stage, finish, need, repository};

const LIMIT: Duration = Duration::from_secs(100);

/// Starts the abusers, then transfers, and tells how long that took and whether all came back as it was sent.
const INNOCENT: &str = "
import hashlib, os, random, signal, socket, subprocess, sys, threading, time
signal.alarm(90)
abusers = [subprocess.Popen(words.split(), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) for words in sys.argv[1:]]
def echo(listener):
    while True:
        peer, _ = listener.accept()
        while octets := peer.recv(65536):
            peer.sendall(octets)
        peer.close()
def transfer(at, size):
    with socket.create_connection(at) as it:
        octets = random.Random(at[1]).randbytes(size)
        def send():
            it.sendall(octets)
            it.shutdown(socket.SHUT_WR)
        threading.Thread(target=send).start()
        returned = hashlib.sha256()
        while some := it.recv(65536):
            returned.update(some)
        return returned.digest() == hashlib.sha256(octets).digest()
right = []
begin = time.monotonic()
for family, at in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')):
    listener = socket.create_server((at, 0), family=family, backlog=50)
    server = os.fork()
    if server == 0:
        signal.alarm(90)
        echo(listener)
    threads = [threading.Thread(target=lambda: right.append(transfer(listener.getsockname()[:2], 2 << 20))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(100):
        right.append(transfer(listener.getsockname()[:2], 200))
    os.kill(server, signal.SIGKILL)
took = time.monotonic() - begin
alive = sum(abuser.poll() is None for abuser in abusers)
for abuser in abusers:
    os.killpg(abuser.pid, signal.SIGKILL)
    abuser.wait()
print(len(right), all(right), alive == len(abusers), flush=True)
print(f'{took:.2f}', file=sys.stderr)
";

/// Kills, stops and continues processes at any moment of their calls, executes while connecting, and takes all descriptors.
const TORMENTOR: &str = "
import os, random, resource, signal, socket, sys, time
def child(act):
    pid = os.fork()
    if pid == 0:
        try:
            act()
        except OSError:
            pass
        os._exit(0)
    return pid
def churn():
    while True:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            it = socket.socket(socket.AF_INET, kind)
            it.setblocking(kind == socket.SOCK_DGRAM)
            try:
                it.bind(('127.0.0.1', 0))
                if kind == socket.SOCK_STREAM:
                    it.listen()
                it.connect(('127.0.0.1', random.randrange(7000, 7008)))
            except OSError:
                pass
def hog():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    held = []
    while True:
        try:
            held.append(socket.socket())
        except OSError:
            time.sleep(0.01)
            held.clear()
def wait():
    it = socket.create_server(('127.0.0.1', 0))
    it.accept()
def execute():
    it = socket.socket()
    it.setblocking(False)
    it.connect_ex(('192.0.2.1', 9))
    it.set_inheritable(True)
    os.execv('/bin/sleep', ['sleep', '60'])
def flood():
    it = socket.socket()
    while True:
        it.getsockname()
        it.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
hog_pid = child(hog)
while True:
    pids = [child(act) for act in (churn, wait, execute, flood, churn)]
    for _ in range(6):
        time.sleep(random.random() / 50)
        victim = random.choice(pids)
        os.kill(victim, random.choice((signal.SIGSTOP, signal.SIGCONT)))
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
";

#[test]
fn what_abusers_do_does_not_reach_the_innocent() {
    let what = "abuse";
    let (Some(python), Some(cc)) = (need(what, "python3"), need(what, "cc")) else {
        return;
    };
    let stage = Stage::new();
    let built = ["noise", "odd"].map(|name| {
        let program = stage.path(name);
        let mut build = Command::new(&cc);
        build.args(["-O1", "-pthread", "-o"]).arg(&program);
        build.arg(repository().join(format!("tests/calls/{name}.c")));
        finish(&mut build, LIMIT).expect_success();
        program.display().to_string()
    });
    let [noise, odd] = built.each_ref().map(String::as_str);
    let innocent = stage.write("innocent.py", INNOCENT);
    let tormentor = stage.write("tormentor.py", TORMENTOR);
    let torment = format!("{} {}", python.display(), tormentor.display());
    let mut took = Vec::new();
    let all = &[noise, noise, odd, odd, torment.as_str()][..];
    for (options, abusers) in [
        (&["--link", "none"][..], &[][..]),
        (&["--link", "none"], all),
        (&["--link", "none", "--no-join"], all),
        (&["--allow", "10.0.2.2"], all),
    ] {
        let mut program = vec![python.clone().into_os_string(), innocent.clone().into_os_string()];
        program.extend(abusers.iter().map(Into::into));
        let ended = finish(&mut stage.run(options, &program), LIMIT).expect_success();
        assert_eq!(ended.stdout, "208 True True\n", "{options:?}: {}", ended.stderr);
        took.push(ended.stderr.trim().to_owned());
    }
    // Shown, and not judged: how much of the processor the abusers get is the kernel's affair, and the machine's other work's.
    eprintln!(
        "{what}: {} s alone, {} s beside the abusers",
        took[0],
        took[1..].join(", ")
    );
}
