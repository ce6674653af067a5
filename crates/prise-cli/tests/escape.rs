//! Attempts to get around a policy (docs/security.md). Each is made natively first, where it must succeed if the machine
//! permits it at all: that it fails under prise is then prise's doing.

#[path = "escape/outside.rs"]
mod outside;
mod world;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use outside::Outside;
use world::{Running, finish, is_root, need, skip};

const LIMIT: Duration = Duration::from_secs(150);

macro_rules! outside {
    ($what:literal) => {
        match Outside::new($what) {
            Some(outside) => outside,
            None => return,
        }
    };
}

#[test]
fn denied_endpoints_are_denied_in_every_form() {
    let outside = outside!("the forms of an endpoint");
    let (allowed, denied) = (outside.allowed, outside.denied);
    outside.expect_all(&[
        (&format!("tcp {denied}"), "EACCES"),
        (&format!("udp {denied}"), "EACCES"),
        (&format!("many {allowed} {denied}"), "1 sent"),
        (&format!("unspecified {allowed} {denied}"), "EACCES"),
        (&format!("tunnel {denied}"), "EACCES"),
        (&format!("name_space_only {denied}"), "EACCES"),
    ]);
    let confined = |line: String| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        outside.confined(&outside.attempt(&words))
    };
    assert_eq!(
        confined(format!("tcp {allowed}")),
        "reached",
        "what is allowed is reached"
    );
    for form in [
        "10.0.2.2",
        "::ffff:10.0.2.2",
        "fd00:2::2",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::1",
        "169.254.169.254",
    ] {
        assert_eq!(confined(format!("address {form} {denied}")), "EACCES", "{form}");
    }
    // In the run, nobody's address and loopback are the run's own.
    for form in ["0.0.0.0", "::", "127.0.0.1", "::ffff:127.0.0.1"] {
        assert_eq!(confined(format!("address {form} {denied}")), "ECONNREFUSED", "{form}");
    }
    // Natively a new network namespace has no network; here sockets stay what they were, and are judged.
    let said = confined(format!("name_space {denied}"));
    assert!(["EACCES", "EPERM"].contains(&said.as_str()), "{said}");
    assert_eq!(outside.reached(), 7, "the native halves, and nothing else");
}

#[test]
fn other_ways_into_the_kernels_network_are_shut() {
    let outside = outside!("other ways into the network");
    outside.expect_all(&[
        ("io_uring", "ENOSYS"),
        ("key", "EPERM"),
        ("keyctl", "EPERM"),
        ("bpf", "EPERM"),
        ("type_ahead", "EPERM"),
        ("privileges", "kept out"),
    ]);
    // AF_TIPC, AF_BLUETOOTH, AF_CAN, AF_VSOCK, AF_QIPCRTR, AF_XDP, AF_SMC.
    for family in ["30", "31", "29", "40", "42", "44", "43"] {
        for kind in ["1", "2", "3"] {
            let said = outside.confined(&outside.attempt(&["family", family, kind]));
            assert_eq!(said, "EAFNOSUPPORT", "family {family}, type {kind}");
        }
    }
    outside.expect(&["socketpair", "30"], "EAFNOSUPPORT");
    // SOCK_DGRAM, SOCK_RAW, SOCK_PACKET.
    for kind in ["2", "3", "10"] {
        let packets = outside.confined(&outside.attempt(&["family", "17", kind]));
        assert_eq!(packets, "EPERM", "type {kind}");
        outside.expect(&["packets_apart", kind], "EPERM");
    }
    for attempt in ["raw", "ping"] {
        let said = outside.confined(&outside.attempt(match attempt {
            "raw" => &["raw", "0"],
            _ => &["ping"],
        }));
        assert!(
            ["EACCES", "EPERM", "EPROTONOSUPPORT"].contains(&said.as_str()),
            "{attempt}: {said}"
        );
    }
    for kernel_only in ["1 1", "16 3", "38 5"] {
        let words: Vec<&str> = format!("family {kernel_only}").leak().split(' ').collect();
        let natively = outside.natively(&outside.attempt(&words));
        assert_eq!(outside.confined(&outside.attempt(&words)), natively, "{kernel_only}");
    }
}

#[test]
fn names_that_may_not_be_reached_are_not_asked_for() {
    let outside = outside!("tunnels through the name server");
    for name in ["c2VjcmV0.tunnel.example", "www.example.com"] {
        let said = outside.confined(&outside.attempt(&["tunnel_by_resolver", name]));
        assert_eq!(said, "NXDOMAIN", "{name}");
    }
}

#[test]
fn sockets_of_the_hosts_processes_are_out_of_reach() {
    let outside = outside!("the host's AF_UNIX sockets");
    let path = |path: &PathBuf| path.to_str().expect("UTF-8").to_owned();
    let (stream, datagram) = (path(&outside.stream), path(&outside.datagram));
    let name = format!("@{}", outside.abstract_name);
    outside.expect_all(&[
        (&format!("local_stream {stream}"), "EACCES"),
        (&format!("local_stream {name}"), "EACCES"),
        (&format!("local_by_link {stream}"), "EACCES"),
        (&format!("local_datagram {datagram}"), "EACCES"),
        (&format!("local_message {datagram}"), "EACCES"),
        (&format!("rights {}", path(&outside.giver)), "EACCES"),
    ]);
}

#[test]
fn the_runs_own_local_sockets_work() {
    let script = r"
import array, os, signal, socket, subprocess, sys, tempfile, threading
signal.alarm(100)
directory = tempfile.mkdtemp(dir='.')
os.chdir(directory)
for name in (os.getcwd() + '/stream', 'stream-2', '\0prise-own-' + str(os.getpid())):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen(1)
        clients = []
        # More than wait at once: blocking connects wait for their turn.
        def connect():
            client = socket.socket(socket.AF_UNIX)
            client.connect(name)
            client.sendall(b'hello')
            clients.append(client)
        threads = [threading.Thread(target=connect) for _ in range(6)]
        for thread in threads: thread.start()
        peers = [listener.accept()[0] for _ in threads]
        for thread in threads: thread.join()
        print([peer.recv(5) for peer in peers])
for name in (os.getcwd() + '/datagram', '\0prise-dgram-' + str(os.getpid())):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        receiver.bind(name)
        sender.sendto(b'one', name)
        sender.sendmsg([b't', b'wo'], [], 0, name)
        sender.connect(name)
        sender.send(b'three')
        print(receiver.recv(9), receiver.recv(9), receiver.recv(9))
here, there = socket.socketpair()
with open(sys.executable, 'rb') as file:
    here.sendmsg([b'fd'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [file.fileno(), 0]))])
data, control, _, _ = there.recvmsg(9, socket.CMSG_SPACE(8))
fds = array.array('i'); fds.frombytes(control[0][2])
print(data, len(fds), os.read(fds[0], 4))
# A full queue makes a blocking sender wait for its reader.
total = 3 << 20
def read():
    left = total
    while left: left -= len(there.recv(left))
reader = threading.Thread(target=read)
reader.start()
sent = 0
while sent < total:
    sent += here.sendmsg([bytes(min(1 << 20, total - sent))])
reader.join()
print('read')
there.close()
try:
    here.sendmsg([b'x'])
except BrokenPipeError:
    print('broken pipe')
";
    let outside = outside!("local sockets within a run");
    let program = [outside.python.clone().into(), "-c".into(), script.into()];
    assert_eq!(outside.confined(&program), outside.natively(&program));
}

/// A process of the same user beyond the run.
fn bystander(outside: &Outside) -> Running {
    let mut command = outside.stage.native("sh", ["-c", "echo ready; exec sleep 60"]);
    let mut bystander = Running::start(&mut command);
    bystander.wait_for("ready", LIMIT);
    bystander
}

#[test]
fn processes_beyond_the_run_are_out_of_reach() {
    let outside = outside!("other processes");
    let bystander = bystander(&outside);
    let pid = bystander.pid().to_string();
    outside.expect_all(&[
        (&format!("ptrace {pid}"), "EPERM"),
        (&format!("vm_readv {pid}"), "EPERM"),
        (&format!("vm_writev {pid}"), "EPERM"),
        (&format!("pidfd_getfd {pid}"), "EPERM"),
        (&format!("memory_file {pid}"), "EACCES"),
    ]);
    let signalled = outside.confined(&outside.attempt(&["kill", &pid]));
    assert!(["EPERM", "reached"].contains(&signalled.as_str()), "{signalled}");
    if signalled == "reached" {
        skip("signals to other processes", "this kernel's Landlock has no scopes");
    }
}

#[test]
fn the_supervisor_is_out_of_reach() {
    let outside = outside!("the supervisor");
    for (attempt, reason) in [
        ("ptrace", "EPERM"),
        ("vm_readv", "EPERM"),
        ("vm_writev", "EPERM"),
        ("pidfd_getfd", "EPERM"),
        ("memory_file", "EACCES"),
        ("kill", "EPERM"),
    ] {
        // The program's parent is prise itself.
        let script = format!("exec \"$0\" \"$1\" {attempt} $PPID");
        let mut program: Vec<OsString> = vec!["sh".into(), "-c".into(), script.into()];
        program.extend(outside.attempt(&[]));
        let said = outside.confined(&program);
        if attempt == "kill" && said == "reached" {
            skip("signals to the supervisor", "this kernel's Landlock has no scopes");
            continue;
        }
        assert_eq!(said, reason, "{attempt}");
    }
}

#[test]
fn the_runs_own_processes_may_look_into_each_other() {
    let outside = outside!("debuggers within a run");
    let script = r#"sleep 20 & exec 3<&0; "$0" "$1" ptrace $!; "$0" "$1" pidfd_getfd $!; kill $!"#;
    let mut program: Vec<OsString> = vec!["sh".into(), "-c".into(), script.into()];
    program.extend(outside.attempt(&[]));
    let natively = outside.natively(&program);
    assert_eq!(outside.confined(&program), natively);
}

#[test]
fn what_prise_was_started_with_does_not_reach_the_program() {
    let outside = outside!("inherited descriptors");
    let script = format!(
        "
import os, socket, sys
peer = socket.create_connection(('127.0.0.1', {}))
os.dup2(peer.fileno(), 9)
read, write = os.pipe()
os.dup2(read, 8)
os.execvp(sys.argv[1], sys.argv[1:])
",
        outside.denied
    );
    let wrapped = |program: &[OsString]| {
        let mut wrapped: Vec<OsString> = vec![outside.python.clone().into(), "-c".into(), script.clone().into()];
        wrapped.extend_from_slice(program);
        wrapped
    };
    let attempt = outside.attempt(&["inherited", "9"]);
    assert_eq!(outside.natively(&wrapped(&attempt)), "reached");
    let prise = outside.stage.path("prise");
    let policy = outside.policy();
    let under = |attempt: &[OsString]| {
        let mut run: Vec<OsString> = vec![
            prise.clone().into(),
            "run".into(),
            "--allow".into(),
            policy.clone().into(),
            "--".into(),
        ];
        run.extend_from_slice(attempt);
        outside.natively(&wrapped(&run))
    };
    assert_eq!(under(&attempt), "EBADF");
    let pipe = ["sh".into(), "-c".into(), "test -p /dev/fd/8 && echo kept".into()];
    assert_eq!(under(&pipe), "kept", "pipes are the program's");

    let ring = "
import ctypes, os, sys
ring = ctypes.CDLL(None).syscall(425, 4, ctypes.create_string_buffer(120))
if ring >= 0:
    os.dup2(ring, 9)
os.execvp(sys.argv[1], sys.argv[1:])
";
    let with_ring = |program: &[OsString]| {
        let mut wrapped: Vec<OsString> = vec![outside.python.clone().into(), "-c".into(), ring.into()];
        wrapped.extend_from_slice(program);
        outside.natively(&wrapped)
    };
    let attempt = outside.attempt(&["ring_of_another", "9"]);
    let native = with_ring(&attempt);
    if native != "reached" {
        skip("the native half of an inherited ring", &native);
    }
    let mut run: Vec<OsString> = ["run", "--allow", &policy, "--"].map(OsString::from).into();
    run.insert(0, prise.clone().into());
    run.extend(attempt);
    assert_eq!(with_ring(&run), "ENOSYS");

    let as_input = format!(
        "
import os, socket, sys
peer = socket.create_connection(('127.0.0.1', {}))
os.dup2(peer.fileno(), 0)
os.execvp(sys.argv[1], sys.argv[1:])
",
        outside.denied
    );
    let mut command = outside.stage.native(&outside.python, ["-c", &as_input]);
    command.arg(&prise).args(["run", "--allow", &policy, "--", "true"]);
    let ended = finish(&mut command, LIMIT);
    assert_eq!(ended.status.code(), Some(125), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("standard input is a socket of the network"),
        "{}",
        ended.stderr
    );
}

fn races(outside: &Outside, arguments: &[&str]) -> Option<PathBuf> {
    let source = outside.stage.write("races.c", include_str!("escape/races.c"));
    let target = outside.stage.path("races");
    let mut build = Command::new(need("races", "cc")?);
    build
        .args(arguments)
        .args(["-O2", "-pthread", "-o"])
        .arg(&target)
        .arg(source);
    let built = finish(&mut build, LIMIT);
    if !built.status.success() {
        skip("races", &built.stderr);
        return None;
    }
    Some(target)
}

#[test]
fn arguments_that_change_while_they_are_judged_lead_nowhere() {
    let outside = outside!("races");
    let Some(races) = races(&outside, &[]) else { return };
    let run = |words: Vec<String>| {
        let mut program: Vec<OsString> = vec![races.clone().into()];
        program.extend(words.into_iter().map(Into::into));
        program
    };
    let datagram = outside.datagram.to_str().expect("UTF-8").to_owned();
    let own = outside.stage.path("work/a.sock").to_str().expect("UTF-8").to_owned();
    assert_eq!(own.len(), datagram.len(), "{own} {datagram}");
    for (words, confined) in [
        (
            vec![
                "address".to_owned(),
                outside.allowed.to_string(),
                outside.denied.to_string(),
            ],
            "1 made, some refused",
        ),
        (vec!["path".to_owned(), own, datagram.clone()], "some sent"),
        (vec!["socket".to_owned(), datagram], "none sent"),
    ] {
        let program = run(words.clone());
        let before = outside.reached();
        outside.natively(&program);
        assert!(outside.reached() > before, "{words:?} reaches it natively");
        let before = outside.reached();
        assert_eq!(outside.confined(&program), confined, "{words:?}");
        assert_eq!(outside.reached(), before, "{words:?}");
    }
}

#[test]
fn static_programs_and_other_system_call_tables_are_judged() {
    let outside = outside!("static programs");
    let Some(races) = races(&outside, &["-static"]) else {
        return;
    };
    let run = |words: &[&str]| {
        let mut program: Vec<OsString> = vec![races.clone().into()];
        program.extend(words.iter().map(Into::into));
        program
    };
    let denied = outside.denied.to_string();
    assert_eq!(outside.natively(&run(&["static", "127.0.0.1", &denied])), "reached");
    assert_eq!(outside.confined(&run(&["static", "10.0.2.2", &denied])), "EACCES");
    for table in ["i386", "x32"] {
        let native = outside.natively(&run(&[table]));
        if native != "reached" {
            skip(&format!("the native half of {table}"), &native);
        }
        assert_eq!(outside.confined(&run(&[table])), "ENOSYS", "{table}");
    }
}

#[test]
fn a_run_within_the_run_reaches_no_more() {
    let outside = outside!("nested runs");
    let denied = outside.denied.to_string();
    let mut program: Vec<OsString> = vec![outside.stage.path("prise").into(), "run".into(), "--".into()];
    program.extend(outside.attempt(&["tcp", &denied]));
    let before = outside.reached();
    let mut command = outside.stage.run(&["--allow", &outside.policy()], &program);
    let ended = finish(command.env("HOST_ADDRESS", "10.0.2.2"), LIMIT);
    assert!(!ended.stdout.contains("reached"), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(outside.reached(), before);
}

#[test]
fn when_the_supervisor_is_killed_the_programs_sockets_end_with_it() {
    let outside = outside!("a killed supervisor");
    let script = format!(
        "
import errno, os, signal, socket, time
signal.alarm(100)
print('ready', flush=True)
while os.getppid() == {{PARENT}}: time.sleep(0.01)
try:
    socket.create_connection(('10.0.2.2', {}), 5)
    print('reached', flush=True)
except OSError as error:
    print('ended:', errno.errorcode[error.errno], flush=True)
",
        outside.allowed
    )
    .replace("{PARENT}", "parent")
    .replace("signal.alarm(100)", "signal.alarm(100); parent = os.getppid()");
    let program = [outside.python.clone().into(), "-c".into(), script.into()];
    let mut run = Running::start(&mut outside.stage.run(&["--allow", &outside.policy()], &program));
    run.wait_for("ready", LIMIT);
    run.signal(rustix::process::Signal::KILL);
    run.wait_for("ended: ENOSYS", LIMIT);
    run.end(LIMIT);
}

#[test]
fn root_is_confined_too() {
    if !is_root() {
        return skip("a confined root", "this test does not run as root");
    }
    let outside = outside!("a confined root");
    let bystander = bystander(&outside);
    let pid = bystander.pid().to_string();
    for (words, reason) in [
        (vec!["tcp", "0"], "EACCES"),
        (vec!["ptrace", &pid], "EPERM"),
        (vec!["memory_file", &pid], "EACCES"),
        (vec!["local_stream", outside.stream.to_str().expect("UTF-8")], "EACCES"),
    ] {
        let program = outside.attempt(&words);
        let mut command = Command::new(outside.stage.path("prise"));
        command.args(["run", "--allow", &outside.policy(), "--"]).args(&program);
        assert_eq!(
            Outside::said(command.env("HOST_ADDRESS", "10.0.2.2")),
            reason,
            "{words:?}"
        );
    }
}
