//! Kernels and containers that lack something: what is said, and what goes on without it. Absence is made by a filter in
//! front of prise (tests/doctor/without.py).

mod world;

use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use world::{Ended, Stage, finish, need, skip};

const LIMIT: Duration = Duration::from_secs(150);

/// Numbers of system calls (x86-64).
const SECCOMP: u32 = 317;
const PROCESS_VM_READV: u32 = 310;
const PROCESS_VM_WRITEV: u32 = 311;
const PIDFD_OPEN: u32 = 434;
const PIDFD_GETFD: u32 = 438;
const LANDLOCK_CREATE_RULESET: u32 = 444;
const IOCTL: u32 = 16;
const SENDTO: u32 = 44;
const UNSHARE: u32 = 272;
const EPERM: i32 = 1;
const EINVAL: i32 = 22;
const ENOSYS: i32 = 38;
const EOPNOTSUPP: i32 = 95;

/// TCP with all that a supervisor does for it: a published name, blocking calls, addresses written back, a datagram.
const GUEST: &str = "
import signal, socket, threading
signal.alarm(100)
server = socket.create_server(('127.0.0.1', 0))
def serve():
    peer, address = server.accept()
    peer.sendall(peer.recv(100).upper())
    peer.close()
thread = threading.Thread(target=serve)
thread.start()
client = socket.create_connection(server.getsockname())
client.sendmsg([b'hel', b'lo'])
print(client.recv(100), client.getpeername() == server.getsockname())
thread.join()
one, two = (socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(2))
one.bind(('::1', 0))
two.sendto(b'datagram', one.getsockname())
print(one.recvfrom(100)[0])
";
const SAID: &str = "b'HELLO' True\nb'datagram'\n";

/// `prise ARGUMENTS` behind a filter with these rules.
fn without(stage: &Stage, rules: &[String], arguments: &[OsString]) -> Option<Ended> {
    let python = need("a filter in front of prise", "python3")?;
    let script = stage.write("without.py", include_str!("doctor/without.py"));
    let mut command = stage.native(&python, [&script]);
    command.arg(rules.join(",")).arg(stage.path("prise")).args(arguments);
    Some(finish(&mut command, LIMIT))
}

fn run_guest(stage: &Stage, options: &[&str], rules: &[String]) -> Option<Ended> {
    let python = need("the guest", "python3")?;
    let mut arguments: Vec<OsString> = vec!["run".into()];
    arguments.extend(options.iter().map(Into::into));
    arguments.extend(["--".into(), python.into(), "-c".into(), GUEST.into()]);
    without(stage, rules, &arguments)
}

#[test]
fn each_missing_thing_has_a_sentence_that_says_what_to_do() {
    let stage = Stage::new();
    for (rules, words) in [
        (vec![format!("{SECCOMP}={ENOSYS}")], "prise needs Linux 5.19 or newer"),
        // A kernel before 5.19 does not know the flag.
        (
            vec![format!("{SECCOMP}@1&0x20={EINVAL}")],
            "WAIT_KILLABLE_RECV); prise needs Linux 5.19 or newer",
        ),
        (vec![format!("{SECCOMP}={EPERM}")], "--security-opt seccomp=unconfined"),
        (
            vec![format!("{PIDFD_OPEN}={ENOSYS}")],
            "prise needs Linux 5.19 or newer",
        ),
    ] {
        let Some(ended) = run_guest(&stage, &[], &rules) else {
            return;
        };
        assert_eq!(
            (ended.status.code(), ended.stdout.as_str()),
            (Some(125), ""),
            "{rules:?}"
        );
        assert!(
            ended.stderr.starts_with("prise: ") && ended.stderr.contains(words),
            "{rules:?}: {}",
            ended.stderr
        );
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);

        let doctor = without(&stage, &rules, &["doctor".into()]).expect("as before");
        assert_eq!(doctor.status.code(), Some(1), "{rules:?}: {}", doctor.stdout);
        assert!(
            doctor.stdout.contains("missing") && doctor.stdout.contains(words),
            "{rules:?}: {}",
            doctor.stdout
        );
    }
}

/// A sandbox with no /proc, and one with that of other processes.
#[test]
fn a_proc_that_is_not_this_ones_is_said_before_the_program_starts() {
    let what = "a sandbox without /proc";
    if need(what, "bwrap").is_none() {
        return;
    }
    let stage = Stage::new();
    let bwrap = |proc: &str, command: &str| {
        let script = format!("exec bwrap --ro-bind / / --dev /dev {proc} {command}");
        finish(&mut stage.native("sh", ["-c", &script]), LIMIT)
    };
    if !bwrap("--proc /proc", "true").status.success() {
        return skip(what, "bwrap makes no sandbox here");
    }
    let prise = stage.path("prise");
    let sandbox = |proc: &str, command: &str| bwrap(proc, &format!("{} {command}", prise.display()));
    sandbox("--proc /proc", "run -- true").expect_success();
    for proc in ["--tmpfs /proc", "--unshare-pid --bind /proc /proc"] {
        let run = sandbox(proc, "run -- echo started");
        assert_eq!(
            (run.status.code(), run.stdout.as_str()),
            (Some(125), ""),
            "{}",
            run.stderr
        );
        assert!(
            run.stderr
                .starts_with("prise: /proc is not mounted here, or is that of another pid namespace"),
            "{proc}: {}",
            run.stderr
        );
        let doctor = sandbox(proc, "doctor");
        assert_eq!(doctor.status.code(), Some(1), "{proc}: {}", doctor.stdout);
    }
}

#[test]
fn what_can_be_done_without_is_done_without() {
    let stage = Stage::new();
    let process_vm = |errno| {
        vec![
            format!("{PROCESS_VM_READV}={errno}"),
            format!("{PROCESS_VM_WRITEV}={errno}"),
        ]
    };
    for (rules, options, what) in [
        // podman's default profile, and an old one's answer.
        (process_vm(EPERM), &[][..], "process_vm_readv"),
        (process_vm(ENOSYS), &[], "process_vm_readv"),
        // SECCOMP_IOCTL_NOTIF_SET_FLAGS, before Linux 6.6.
        (vec![format!("{IOCTL}@1=0x40082104={EINVAL}")], &[], ""),
        // PIDFD_THREAD, before Linux 6.9.
        (vec![format!("{PIDFD_OPEN}@1&0x80={EINVAL}")], &[], "pidfds of threads"),
        (
            vec![format!("{LANDLOCK_CREATE_RULESET}={ENOSYS}")],
            &["--deny", "192.0.2.1"],
            "Landlock",
        ),
        (
            vec![format!("{LANDLOCK_CREATE_RULESET}={EOPNOTSUPP}")],
            &["--deny", "192.0.2.1"],
            "Landlock",
        ),
        (vec![format!("{SENDTO}@3&1={EOPNOTSUPP}")], &[], "MSG_OOB"),
        (vec![format!("{UNSHARE}={EPERM}")], &[], "user namespaces"),
        (vec![format!("{PIDFD_GETFD}={EPERM}")], &[], "pidfd_getfd"),
        (vec![format!("{PIDFD_GETFD}={ENOSYS}")], &[], "pidfd_getfd"),
    ] {
        let Some(ended) = run_guest(&stage, options, &rules) else {
            return;
        };
        assert_eq!(ended.stdout, SAID, "{rules:?}: {}", ended.stderr);
        let doctor = without(&stage, &rules, &["doctor".into()])
            .expect("as before")
            .expect_success();
        let line = doctor.stdout.lines().find(|line| line.starts_with("without"));
        assert!(line.unwrap_or_default().contains(what), "{rules:?}: {}", doctor.stdout);
        assert!(
            !doctor.stdout.contains("cannot be read"),
            "{rules:?}: {}",
            doctor.stdout
        );
    }
}

#[test]
fn ports_are_published_without_the_programs_descriptors() {
    let stage = Stage::new();
    let Some(python) = need("the guest", "python3") else {
        return;
    };
    let port = world::free_port();
    let guest = format!(
        "
import signal, socket
signal.alarm(100)
server = socket.create_server(('0.0.0.0', 80))
for _ in range(2):
    client = socket.create_connection(('10.0.2.2', {port}))
    accepted, (host, _) = server.accept()
    accepted.sendall(host.encode())
    print(client.recv(100))
"
    );
    let mut arguments: Vec<OsString> = ["run", "-p", &format!("{port}:80"), "--"].map(Into::into).into();
    arguments.extend([python.into(), "-c".into(), guest.into()]);
    let rules = [format!("{PIDFD_GETFD}={EPERM}")];
    let Some(ended) = without(&stage, &rules, &arguments) else {
        return;
    };
    assert_eq!(ended.stdout, "b'10.0.2.2'\nb'10.0.2.2'\n", "{}", ended.stderr);
}

#[test]
fn a_policy_holds_without_landlock() {
    let stage = Stage::new();
    let Some(python) = need("the guest", "python3") else {
        return;
    };
    let guest = "
import ctypes, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def attempt(what, *arguments):
    try:
        what(*arguments)
        print('reached')
    except OSError as error:
        print(errno.errorcode[error.errno])
def seize(pid):
    if libc.ptrace(0x4206, pid, None, None) < 0:
        raise OSError(ctypes.get_errno(), '')
attempt(seize, os.getppid())
attempt(open, f'/proc/{os.getppid()}/mem')
attempt(socket.create_connection, ('192.0.2.1', 80))
";
    let rules = [format!("{LANDLOCK_CREATE_RULESET}={ENOSYS}")];
    let arguments = ["run", "--allow", "192.0.2.2", "--"].map(OsString::from);
    let program = [python.into(), "-c".into(), guest.into()];
    let ended = without(&stage, &rules, &[&arguments[..], &program].concat()).expect("python3 is there");
    assert_eq!(ended.stdout, "EPERM\nEACCES\nEACCES\n", "{}", ended.stderr);
}

/// What Docker's default profile refuses to an unprivileged container, of what prise or its guests might call: it is a
/// list of what is allowed, and everything else is EPERM (clone3: ENOSYS, for programs to fall back to clone).
fn docker(with_ptrace: bool) -> Vec<String> {
    const CLONE3: u32 = 435;
    const NAMESPACES: u32 = 0x7e02_0000;
    const CLONE: u32 = 56;
    // unshare, setns, mount, bpf, perf_event_open, keyctl, add_key, request_key, userfaultfd, kcmp, io_uring_setup,
    // io_uring_enter, io_uring_register, fsopen, move_mount, open_tree, sethostname, syslog.
    let mut refused = vec![
        UNSHARE, 308, 165, 321, 298, 250, 248, 249, 323, 312, 425, 426, 427, 430, 429, 428, 170, 103,
    ];
    if !with_ptrace {
        refused.push(PIDFD_GETFD);
    }
    let mut rules: Vec<String> = refused.iter().map(|call| format!("{call}={EPERM}")).collect();
    rules.push(format!("{CLONE3}={ENOSYS}"));
    rules.push(format!("{CLONE}@0&{NAMESPACES}={EPERM}"));
    rules
}

#[test]
fn a_container_with_dockers_default_profile_needs_a_capability_for_a_policy_only() {
    let stage = Stage::new();
    let Some(kept) = run_guest(&stage, &[], &docker(false)) else {
        return;
    };
    assert_eq!(kept.stdout, SAID, "{}", kept.stderr);
    let refused = run_guest(&stage, &["--allow", "10.0.2.2"], &docker(false)).expect("as before");
    assert_eq!((refused.status.code(), refused.stdout.as_str()), (Some(125), ""));
    assert!(refused.stderr.contains("--cap-add=SYS_PTRACE"), "{}", refused.stderr);
    for options in [&[][..], &["--allow", "10.0.2.2"]] {
        let ended = run_guest(&stage, options, &docker(true)).expect("as before");
        assert_eq!(ended.stdout, SAID, "{}", ended.stderr);
    }
}

#[test]
fn a_run_within_a_run_has_the_outer_ones_sockets() {
    let stage = Stage::new();
    let prise = stage.path("prise").into_os_string();
    let inner = |words: &[&str]| {
        let mut program = vec![prise.clone(), "run".into()];
        program.extend(words.iter().map(Into::into));
        finish(&mut stage.run(&["--address", "192.168.7.15/24"], &program), LIMIT)
    };
    let Some(python) = need("the guest", "python3") else {
        return;
    };
    let python = python.to_str().expect("UTF-8").to_owned();
    let show = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('192.0.2.1', 9)); print(s.getsockname()[0])";
    let ended = inner(&["--", &python, "-c", show]).expect_success();
    assert_eq!(ended.stdout, "192.168.7.15\n");
    assert_eq!(inner(&["--", "sh", "-c", "exit 7"]).status.code(), Some(7));
    assert_eq!(inner(&["--", "no-such-program"]).status.code(), Some(127));
    let refused = inner(&["--delay", "5ms", "--", "true"]);
    assert_eq!(refused.status.code(), Some(125));
    assert!(
        refused.stderr.contains("this is a run within the run of process"),
        "{}",
        refused.stderr
    );
}

#[test]
fn another_supervisor_is_not_taken_for_prise() {
    let what = "another supervisor";
    let stage = Stage::new();
    let Some(python) = need(what, "python3") else { return };
    // A listener of its own, as container engines have: everything is allowed, and nobody answers.
    let script = r"
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
code = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0x7fff0000))
class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('code', ctypes.c_void_p)]
libc.prctl(38, 1, 0, 0, 0)
header = Program(1, ctypes.addressof(code))
fd = libc.syscall(317, 1, 8, ctypes.byref(header))
assert fd >= 0, os.strerror(ctypes.get_errno())
os.set_inheritable(fd, True)
os.execv(sys.argv[1], sys.argv[1:])
";
    let mut command: Command = stage.native(python, ["-c", script]);
    command.arg(stage.path("prise")).args(["run", "--", "true"]);
    let ended = finish(&mut command, LIMIT);
    if ended.stderr.contains("AssertionError") {
        return skip(what, &ended.stderr);
    }
    assert_eq!(ended.status.code(), Some(125));
    assert!(
        ended.stderr.contains("another supervisor already has the system calls"),
        "{}",
        ended.stderr
    );
}
