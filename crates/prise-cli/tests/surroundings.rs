//! What a guest sees of itself and its host: its name, whether it can be looked into, the device that its packets leave by.

mod world;

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use world::{Ended, Stage, finish, is_root, need, skip};

const LIMIT: Duration = Duration::from_secs(150);

fn python(stage: &Stage, options: &[&str], script: &str) -> Option<Ended> {
    let python = need("the guest", "python3")?;
    let program = [python.into(), "-c".into(), script.into()];
    Some(finish(&mut stage.run(options, &program), LIMIT))
}

#[test]
fn a_guest_with_a_host_name_of_its_own_is_known_by_it() {
    let script = "
import os, platform, socket
print(socket.gethostname(), os.uname().nodename, os.uname().sysname, os.uname().machine == platform.machine())
print(socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
print(socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET6, socket.SOCK_STREAM)[0][4][0])
";
    let stage = Stage::new();
    let Some(ended) = python(&stage, &["--hostname", "Guest-1.test"], script) else {
        return;
    };
    let ended = ended.expect_success();
    assert_eq!(
        ended.stdout,
        "Guest-1.test Guest-1.test Linux True\n10.0.2.15\nfd00:2::15\n"
    );
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    let plain = python(&stage, &[], "import socket; print(socket.gethostname())").expect("as before");
    assert_eq!(plain.expect_success().stdout, host);
}

/// An agent that closes itself has sockets nevertheless, and is told what it asked for.
#[test]
fn programs_that_close_themselves_to_others_have_sockets() {
    let script = "
import ctypes, os, resource, socket, sys
prctl = ctypes.CDLL(None, use_errno=True).prctl
SET, GET = 4, 3
print(prctl(GET), prctl(SET, 0), prctl(GET), prctl(SET, 7), ctypes.get_errno())
with socket.create_server(('127.0.0.1', 0)) as server, socket.create_connection(server.getsockname()) as client:
    peer, _ = server.accept()
    peer.sendall(b'works')
    print(client.recv(10))
sys.stdout.flush()
os.execv(sys.executable, [sys.executable, '-c', 'import ctypes; print(ctypes.CDLL(None).prctl(3))'])
";
    let stage = Stage::new();
    let Some(prised) = python(&stage, &[], script) else {
        return;
    };
    let python = need("the guest", "python3").expect("as before");
    let native = finish(&mut stage.native(python, ["-c", script]), LIMIT).expect_success();
    assert_eq!(prised.expect_success().stdout, native.stdout);
    assert_eq!(native.stdout, "1 0 0 -1 22\nb'works'\n1\n");
}

#[test]
fn programs_that_close_themselves_dump_no_core() {
    let script = "
import ctypes, resource
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
ctypes.CDLL(None).prctl(4, 0)
print(resource.getrlimit(resource.RLIMIT_CORE)[0])
";
    let stage = Stage::new();
    let Some(ended) = python(&stage, &[], script) else {
        return;
    };
    assert_eq!(ended.expect_success().stdout, "0\n");
}

#[test]
fn programs_that_cannot_be_looked_into_are_told_so() {
    let what = "programs that may be executed and not read";
    if !is_root() {
        return skip(what, "only root can make one that is not ours");
    }
    let stage = Stage::new();
    let Some(compiler) = need(what, "cc") else { return };
    let source = stage.write(
        "closed.c",
        "#include <errno.h>\n#include <netinet/in.h>\n#include <stdio.h>\n#include <sys/socket.h>\n\
         static void tell(int failed) { puts(failed && errno == EACCES ? \"EACCES\" : \"allowed\"); }\n\
         int main(void) {\n\
             struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};\n\
             int stream = socket(AF_INET, SOCK_STREAM, 0);\n\
             tell(stream < 0 || connect(stream, (void *)&to, sizeof to) < 0);\n\
             tell(stream < 0 || bind(stream, (void *)&to, sizeof to) < 0);\n\
             tell(socket(AF_INET, SOCK_DGRAM, 0) < 0);\n\
             return 0;\n\
         }\n",
    );
    let program = stage.path("closed");
    let mut build = Command::new(compiler);
    finish(build.arg("-o").arg(&program).arg(source), LIMIT).expect_success();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o711)).expect("permissions can be set");
    let ended = finish(&mut stage.run(&[], &[program.into()]), LIMIT).expect_success();
    assert_eq!(ended.stdout, "EACCES\nEACCES\nEACCES\n");
    assert!(
        ended.stderr.starts_with("prise: closed (process ") && ended.stderr.contains("make the file readable"),
        "{}",
        ended.stderr
    );
}

fn shell(script: &str) -> Vec<OsString> {
    ["sh", "-c", script].map(Into::into).into()
}

#[test]
fn uname_reports_a_bad_address_as_linux_does() {
    let script = "
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(63, ctypes.c_void_p(8)), ctypes.get_errno())
";
    let stage = Stage::new();
    let Some(ended) = python(&stage, &["--hostname", "x"], script) else {
        return;
    };
    assert_eq!(ended.expect_success().stdout, "-1 14\n");
    let ended = finish(&mut stage.run(&["--hostname", "x"], &shell("uname -n")), LIMIT).expect_success();
    assert_eq!(ended.stdout, "x\n");
}

/// In a network namespace of the test's own, whose kernel is at the other end of the device.
#[test]
fn packets_leave_by_a_device_of_the_hosts() {
    let what = "--link tun";
    if !is_root() {
        return skip(what, "devices are made by root");
    }
    let (Some(_), Some(python)) = (need(what, "ip"), need(what, "python3")) else {
        return;
    };
    let stage = Stage::new();
    let server = stage.write(
        "server.py",
        "
import signal, socket
signal.alarm(100)
servers = [socket.create_server((at, 7000), family=family) for at, family in (('10.0.2.2', socket.AF_INET), ('fd00:2::2', socket.AF_INET6))]
print('ready', flush=True)
for server in servers:
    peer, address = server.accept()
    peer.sendall(f'you are {address[0]}: '.encode() + peer.recv(100))
    peer.close()
",
    );
    let client = stage.write(
        "client.py",
        "
import signal, socket
signal.alarm(100)
for at in ('10.0.2.2', 'fd00:2::2'):
    with socket.create_connection((at, 7000), 5) as peer:
        peer.sendall(b'hello')
        print(peer.makefile().read())
",
    );
    let script = format!(
        "set -e
ip tuntap add dev t0 mode tun
ip address add 10.0.2.2/24 dev t0
ip address add fd00:2::2/64 dev t0 nodad
ip link set t0 up
{python} {server} | (read ready; {prise} run --link tun:t0 --delay 1ms -- {python} {client}; cat)
",
        python = python.display(),
        server = server.display(),
        client = client.display(),
        prise = stage.path("prise").display(),
    );
    let mut command = Command::new("unshare");
    let ended = finish(command.args(["-n", "sh", "-c", &script]), LIMIT);
    if ended.stderr.contains("/dev/net/tun") || ended.stderr.contains("unshare:") {
        return skip(what, &ended.stderr);
    }
    assert_eq!(
        ended.expect_success().stdout,
        "you are 10.0.2.15: hello\nyou are fd00:2::15: hello\n"
    );
}

#[test]
fn what_a_device_cannot_give_is_said_before_the_program_starts() {
    let stage = Stage::new();
    for (options, words) in [
        (&["--link", "tun:no-such-tun"][..], "no-such-tun: cannot be opened"),
        (
            &["--link", "tun:t0", "--allow", "192.0.2.1"],
            "--allow needs --link host",
        ),
        (&["--link", "tun:t0", "--audit", "x"], "--audit needs --link host"),
        (&["--link", "tun:t0", "-p", "8080"], "--publish needs --link host"),
    ] {
        let ended = finish(&mut stage.run(options, &shell("echo started")), LIMIT);
        assert_eq!(
            (ended.status.code(), ended.stdout.as_str()),
            (Some(125), ""),
            "{options:?}"
        );
        assert!(ended.stderr.contains(words), "{options:?}: {}", ended.stderr);
    }
}

/// Whoever may go before others has the supervisor do so; the program keeps the value that `prise` was started with.
#[test]
fn the_supervisor_goes_before_its_guests_where_it_may() {
    let seen = "
import os
own, parents = (os.getpriority(os.PRIO_PROCESS, pid) for pid in (0, os.getppid()))
print(own, parents)
";
    let expected = "
import os
own = os.getpriority(os.PRIO_PROCESS, 0)
try:
    os.setpriority(os.PRIO_PROCESS, 0, own - 5)
except PermissionError:
    pass
print(own, os.getpriority(os.PRIO_PROCESS, 0))
";
    let stage = Stage::new();
    let Some(ended) = python(&stage, &[], seen) else {
        return;
    };
    let native = need("the guest", "python3").expect("as before");
    let native = finish(&mut stage.native(native, ["-c", expected]), LIMIT).expect_success();
    assert_eq!(ended.expect_success().stdout, native.stdout);
}
