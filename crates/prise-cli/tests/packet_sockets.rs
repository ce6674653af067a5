//! Who gets packet sockets, what prise says of them, and what becomes of them without the supervisor (docs/run.md). What they do is compared
//! with the kernel in `guests.rs`.

mod world;

use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use world::{Ended, Running, Stage, finish, is_root, need, skip};

const LIMIT: Duration = Duration::from_secs(100);

/// What is said where connections have no packets.
const UNSEEN: &str = "packet sockets do not see connections that the host's kernel carries";

/// What is said where there can be none.
const NONE: &str = "programs get no packet sockets (EPERM)";

/// Tells how socket(2) ends, for each protocol among the arguments.
const MAKE: &str = "
import errno, socket, sys
for protocol in sys.argv[1:]:
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(int(protocol, 16))).close()
        print('made')
    except OSError as error:
        print(errno.errorcode[error.errno])
";

/// ARP's, and those of which connections are: all, IPv4, IPv6, and the one that leaves it to bind(2).
const ARP: &str = "806";
const OF_CONNECTIONS: [&str; 4] = ["3", "800", "86dd", "0"];

fn make(python: &std::path::Path, protocols: &[&str]) -> Vec<OsString> {
    let script = [python.into(), "-c".into(), MAKE.into()];
    script.into_iter().chain(protocols.iter().map(OsString::from)).collect()
}

/// The program in a run of root's, behind what changes root's surroundings.
fn of_root(stage: &Stage, before: &[&str], program: &[OsString]) -> Command {
    let mut command = Command::new(before.first().copied().unwrap_or("env"));
    command.args(before.get(1..).unwrap_or_default());
    command.arg(stage.path("prise")).args(["run", "--"]).args(program);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Whether root may have packet sockets here; else the reason is said.
fn may_have(what: &str) -> bool {
    if !is_root() {
        skip(what, "only root may have them");
        return false;
    }
    match std::fs::File::open("/dev/net/tun") {
        Ok(_) => true,
        Err(error) => {
            skip(what, &format!("/dev/net/tun cannot be opened: {error}"));
            false
        }
    }
}

fn times(ended: &Ended, sentence: &str) -> usize {
    ended.stderr.matches(sentence).count()
}

#[test]
fn who_asks_for_packets_of_connections_hears_that_some_have_none_and_once() {
    let what = "the sentence about connections";
    let Some(python) = need(what, "python3") else { return };
    if !may_have(what) {
        return;
    }
    let stage = Stage::new();
    for (protocols, said) in [
        (vec![ARP], 0),
        (vec![ARP, "3"], 1),
        (vec!["800"], 1),
        (vec!["86dd"], 1),
        (vec!["0"], 1),
        (OF_CONNECTIONS.to_vec(), 1),
    ] {
        let ended = finish(&mut of_root(&stage, &[], &make(&python, &protocols)), LIMIT);
        assert_eq!(ended.stdout, "made\n".repeat(protocols.len()), "{}", ended.stderr);
        assert_eq!(times(&ended, UNSEEN), said, "{protocols:?}: {}", ended.stderr);
    }
}

#[test]
fn who_lacks_the_capability_is_refused_as_by_the_kernel_and_nothing_is_said() {
    let what = "packet sockets of nobody";
    let Some(python) = need(what, "python3") else { return };
    let stage = Stage::new();
    let program = make(&python, &["3", ARP]);
    let natively = finish(&mut stage.native(&program[0], &program[1..]), LIMIT);
    let prised = finish(&mut stage.run(&[], &program), LIMIT);
    assert_eq!(natively.stdout, "EPERM\nEPERM\n");
    assert_eq!((prised.stdout, prised.stderr.as_str()), (natively.stdout, ""));
}

#[test]
fn where_there_can_be_none_root_is_refused_and_the_missing_thing_is_named_once() {
    /// As containers have it.
    const WITHOUT_TUN: [&str; 5] = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        "mount -t tmpfs none /dev/net && exec \"$@\"",
    ];
    let what = "packet sockets that cannot be made";
    let Some(python) = need(what, "python3") else { return };
    if !may_have(what) || need(what, "unshare").is_none() || need(what, "setpriv").is_none() {
        return;
    }
    let stage = Stage::new();
    let without_tun = [&WITHOUT_TUN[..], &["sh"]].concat();
    let without_admin = ["setpriv", "--bounding-set", "-sys_admin", "--"];
    for (before, missing) in [(&without_tun[..], "/dev/net/tun"), (&without_admin, "CAP_SYS_ADMIN")] {
        let ended = finish(&mut of_root(&stage, before, &make(&python, &["3", "3", ARP])), LIMIT);
        assert_eq!(ended.stdout, "EPERM\n".repeat(3), "{}", ended.stderr);
        assert_eq!(times(&ended, NONE), 1, "{}", ended.stderr);
        assert_eq!(times(&ended, missing), 1, "{}", ended.stderr);
        assert_eq!(times(&ended, UNSEEN), 0, "{}", ended.stderr);
    }
}

#[test]
fn when_the_supervisor_is_killed_the_links_of_packet_sockets_go() {
    /// `lo` stays and is silent; whoever is bound to `eth0` is told.
    const SCRIPT: &str = "
import errno, signal, socket
signal.alarm(90)
def tried(work):
    try:
        return work()
    except OSError as error:
        return errno.errorcode[error.errno]
bound = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
bound.bind(('eth0', 3))
print('ready', flush=True)
heard = b''
while isinstance(heard, bytes):
    heard = tried(lambda: bound.recv(2000))
print('heard:', heard, 'new:', tried(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)), flush=True)
";
    let what = "packet sockets without a supervisor";
    let Some(python) = need(what, "python3") else { return };
    if !may_have(what) {
        return;
    }
    let stage = Stage::new();
    let program = [python.into(), "-c".into(), SCRIPT.into()];
    let mut run = Running::start(&mut of_root(&stage, &[], &program));
    run.wait_for("ready", LIMIT);
    run.signal(rustix::process::Signal::KILL);
    run.wait_for("heard: ENETDOWN new: ENOSYS", LIMIT);
    run.end(LIMIT);
}
