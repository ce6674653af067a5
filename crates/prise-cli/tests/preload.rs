//! Connections that leave the run and are made without asking: by the library that a program is loaded with, of which it sees nothing.

mod world;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use world::{Running, Stage, finish, free_port, need, skip};

const LIMIT: Duration = Duration::from_secs(60);

/// Debian's, which is a program; what is first in PATH may be a script that executes another.
fn python() -> Option<PathBuf> {
    let path = Path::new("/usr/bin/python3");
    if path.exists() {
        return Some(path.to_owned());
    }
    skip("connections made without asking", "there is no /usr/bin/python3");
    None
}

/// Runs a script of `python` and answers what it says.
fn told(stage: &Stage, options: &[&str], python: &Path, script: &str, arguments: &[String]) -> String {
    let script = stage.write("guest.py", script);
    let mut words: Vec<OsString> = vec![python.into(), script.into()];
    words.extend(arguments.iter().map(OsString::from));
    finish(&mut stage.run(options, &words), LIMIT).expect_success().stdout
}

/// A listener of the host's, whose clients wait: handshakes need nobody.
fn host() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("a name").port().to_string();
    (listener, port)
}

/// A listener of the host's by IPv6, where the host has that.
fn host_v6() -> Option<(TcpListener, String)> {
    let listener = TcpListener::bind("[::1]:0").ok()?;
    let port = listener.local_addr().ok()?.port().to_string();
    Some((listener, port))
}

/// Runs a program that says that it is ready and, when it is told `line`, that it has made what it was to make, for which it needs nobody.
fn while_the_supervisor_stands_still(stage: &Stage, words: &[OsString], line: &str) -> Running {
    let mut run = Running::start(stage.run(&[], words).stdin(Stdio::piped()));
    run.wait_for("ready", LIMIT);
    let supervisor = Pid::from_raw(run.pid() as i32).expect("a process");
    kill_process(supervisor, Signal::STOP).expect("it is ours");
    writeln!(run.stdin().expect("a pipe"), "{line}").expect("room");
    run.wait_for("made", LIMIT);
    kill_process(supervisor, Signal::CONT).expect("it is ours");
    run
}

#[test]
fn a_connection_that_leaves_is_made_while_the_supervisor_stands_still() {
    let Some(python) = python() else { return };
    let stage = Stage::new();
    let script = stage.write(
        "guest.py",
        "import os, socket, sys\n\
         s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)\n\
         if sys.argv[2:] and os.fork():\n    os.wait()\n    sys.exit()\n\
         print('ready', flush=True)\n\
         s.connect((sys.argv[1], int(input())))\n\
         s.sendall(b'here')\n\
         print('made', flush=True)\n\
         print('peer', *s.getpeername()[:2], flush=True)\n",
    );
    let mut worlds = vec![("10.0.2.2", host(), None), ("10.0.2.2", host(), Some("fork"))];
    match host_v6() {
        Some(host) => worlds.push(("fd00:2::2", host, None)),
        None => skip("a connection by IPv6", "the host has no IPv6 loopback"),
    }
    for (gateway, (_listener, port), forks) in worlds {
        let mut words: Vec<OsString> = vec![python.clone().into(), script.clone().into(), gateway.into()];
        words.extend(forks.map(OsString::from));
        let mut run = while_the_supervisor_stands_still(&stage, &words, &port);
        assert_eq!(run.wait_for("peer", LIMIT).trim(), format!("peer {gateway} {port}"));
        run.end(LIMIT).expect_success();
    }
}

#[test]
fn a_program_sees_nothing_of_what_it_is_loaded_with() {
    const SEEN: &str = "import os, subprocess\n\
        print(sorted(os.listdir('/proc/self/fd')))\n\
        print({k: v for k, v in os.environ.items() if k != '_'})\n\
        print(open('/proc/self/environ', 'rb').read().rstrip(b'\\0').count(b'LD_PRELOAD'))\n\
        print(subprocess.run(['/usr/bin/env'], capture_output=True).stdout)\n";
    let Some(python) = python() else { return };
    let stage = Stage::new();
    let without = told(&stage, &["--no-preload"], &python, SEEN, &[]);
    assert_eq!(told(&stage, &[], &python, SEEN, &[]), without);
    // What is empty stays there.
    let script = stage.write("empty.py", "import os\nprint(repr(os.environ['LD_PRELOAD']))\n");
    let mut command = stage.run(&[], &[python.into(), script.into()]);
    assert_eq!(
        finish(command.env("LD_PRELOAD", ""), LIMIT).expect_success().stdout,
        "''\n"
    );
}

/// A program of C, as `name`, made with these options besides; none where there is no compiler.
fn compiled(stage: &Stage, name: &str, source: &str, options: &[&str]) -> Option<PathBuf> {
    let compiler = need(name, "gcc")?;
    let source = stage.write(&format!("{name}.c"), source);
    let program = stage.path(name);
    let built = Command::new(compiler)
        .args(options)
        .arg("-o")
        .arg(&program)
        .arg(source)
        .status();
    assert!(built.is_ok_and(|it| it.success()), "{name}");
    Some(program)
}

/// Ways in which a program that is loaded with the library executes another: what goes before its words.
fn executors(stage: &Stage, python: &Path) -> Vec<Vec<OsString>> {
    const CHILD: &str = "import subprocess, sys\nsys.exit(subprocess.run(sys.argv[1:]).returncode)\n";
    const IN_PLACE: &str = "import os, sys\nos.execv(sys.argv[1], sys.argv[1:])\n";
    let script = stage.write("execute.sh", "#!/bin/sh\nexec \"$@\"\n");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("ours");
    vec![
        vec!["/bin/sh".into(), "-c".into(), "exec \"$0\" \"$@\"".into()],
        vec!["/usr/bin/env".into()],
        vec![python.into(), stage.write("child.py", CHILD).into()],
        vec![python.into(), stage.write("in_place.py", IN_PLACE).into()],
        vec![
            "/bin/sh".into(),
            "-c".into(),
            "\"$0\" \"$@\"; exit $?".into(),
            script.into(),
        ],
    ]
}

#[test]
fn what_a_program_executes_connects_while_the_supervisor_stands_still() {
    let Some(python) = python() else { return };
    let stage = Stage::new();
    let script = stage.write(
        "guest.py",
        "import socket, sys\n\
         s = socket.socket()\n\
         print('ready', flush=True)\n\
         s.connect(('10.0.2.2', int(input())))\n\
         print('made', flush=True)\n",
    );
    let (_listener, port) = host();
    for mut words in executors(&stage, &python) {
        let way = words.clone();
        words.extend([python.clone().into(), script.clone().into()]);
        eprintln!("{way:?}");
        while_the_supervisor_stands_still(&stage, &words, &port)
            .end(LIMIT)
            .expect_success();
    }
}

#[test]
fn what_a_program_executes_sees_nothing_of_it_either() {
    const SEEN: &str = "import os, sys\n\
        print(sorted(os.listdir('/proc/self/fd')))\n\
        print(sorted((k, v) for k, v in os.environ.items() if k != '_'))\n\
        print(open('/proc/self/environ', 'rb').read().rstrip(b'\\0').count(b'LD_PRELOAD'))\n";
    let Some(python) = python() else { return };
    let stage = Stage::new();
    let seen = stage.write("seen.py", SEEN);
    for mut words in executors(&stage, &python) {
        words.extend([python.clone().into(), seen.clone().into()]);
        for preloaded in [None, Some(""), Some("libm.so.6")] {
            let told = |options: &[&str]| {
                let mut command = stage.run(options, &words);
                match preloaded {
                    Some(value) => command.env("LD_PRELOAD", value),
                    None => command.env_remove("LD_PRELOAD"),
                };
                finish(&mut command, LIMIT).expect_success().stdout
            };
            assert_eq!(told(&[]), told(&["--no-preload"]), "{words:?} {preloaded:?}");
        }
    }
}

#[test]
fn files_of_the_hosts_are_opened_while_the_supervisor_stands_still() {
    const GUEST: &str = r"
import os, sys
print('ready', flush=True)
input()
os.chdir('/etc')
for path in '/etc/hostname', '//etc//hostname', '/./etc/hostname', 'resolv.conf', './resolv.conf', '/nowhere', '/':
    for flags in os.O_RDONLY, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK:
        try:
            os.close(os.open(path, flags))
        except FileNotFoundError:
            pass
print('made', flush=True)
";
    let Some(python) = python() else { return };
    let stage = Stage::new();
    let words: [OsString; 2] = [python.into(), stage.write("guest.py", GUEST).into()];
    while_the_supervisor_stands_still(&stage, &words, "")
        .end(LIMIT)
        .expect_success();
}

#[test]
fn files_of_the_runs_are_the_runs_by_every_name() {
    const GUEST: &str = r"
import ctypes, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
l = socket.create_server(('127.0.0.1', 7000))
def word(fd):
    if fd < 0:
        return errno.errorcode[ctypes.get_errno()]
    try:
        lines = os.read(fd, 65536).decode(errors='replace').splitlines()
    except OSError as error:
        return errno.errorcode[error.errno]
    finally:
        os.close(fd)
    return 'the run' if len(lines) == 2 and ':1B58 ' in lines[1] else lines[:1]
def told(name, fd):
    print(name, word(fd))
calls = [lambda path: libc.open(path, 0), lambda path: libc.open64(path, os.O_CLOEXEC), lambda path: libc.openat(-100, path, os.O_NONBLOCK),
         lambda path: libc.openat64(-100, path, 0), lambda path: libc.__open_2(path, 0), lambda path: libc.__openat64_2(-100, path, 0)]
for folder in '/', '/proc', '/proc/net', '/proc/sys/net/ipv4', '/sys/class/net/lo':
    os.chdir(folder)
    for path in (b'/proc/net/tcp', b'//proc/net/tcp', b'/./proc/./net//tcp', b'/proc/self/net/tcp', b'tcp', b'./tcp', b'net/tcp', b'../net/tcp',
                 b'proc/net/tcp', b'tcp_ecn', b'mtu', b'/proc/sys/net/ipv4/ip_default_ttl', b'/sys/class/net/lo/mtu', b'/etc/../proc/net/tcp', b'/proc/net/../net/tcp',
                 b'/proc/' + b'./' * 40 + b'net/tcp', b'./' * 40 + b'tcp', b'', b'/', b'tcp/', b'TCP'):
        for call in calls:
            told((folder, path), call(path))
for pointer in 0, 1, 4096, -1, -4096, 1 << 46:
    for call in calls:
        told(pointer, call(ctypes.c_void_p(pointer)))
directory = os.open('/proc/net', os.O_RDONLY | os.O_DIRECTORY)
for fd in directory, 0, -1, 999:
    told('directory', libc.openat(fd, b'tcp', 0))
# What is made has the mode that was asked for, and others have none.
os.umask(0)
os.chdir(os.environ['HOME'])
for call in lambda: libc.open(b'a', os.O_CREAT, 0o641), lambda: libc.openat(-100, b'a', os.O_CREAT | os.O_RDWR, 0o642), lambda: libc.open64(b'.', 0o20200000 | os.O_RDWR, 0o643):
    fd = call()
    print(oct(os.fstat(fd).st_mode))
    os.path.exists('a') and os.unlink('a')
child = os.fork()
if not child:
    libc.__open_2(b'a', os.O_CREAT)
    os._exit(0)
print(os.waitpid(child, 0)[1] & 127, os.path.exists('a'))
";
    let Some(python) = python() else { return };
    let stage = Stage::new();
    let with = told(&stage, &[], &python, GUEST, &[]);
    assert_eq!(with, told(&stage, &["--no-preload"], &python, GUEST, &[]));
    assert!(with.matches("the run").count() > 100, "{with}");
}

#[test]
fn who_becomes_another_user_executes_without_it() {
    if !rustix::process::geteuid().is_root() {
        return skip("another user", "only root becomes one");
    }
    // As root, where others of these tests are nobody. What setpriv(1) may do ends with it.
    let told = |ids: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_prise"));
        command.args(["run", "--", "setpriv", "--clear-groups"]).args(ids);
        command.args([
            "sh",
            "-c",
            "grep -c prise-shortcut /proc/$$/maps; env | grep LD_PRELOAD",
        ]);
        let told = finish(command.stdin(Stdio::null()).env_remove("LD_PRELOAD"), LIMIT);
        (told.stdout, told.stderr)
    };
    assert_ne!(told(&[]).0, "0\n", "the library is there without another user");
    for ids in [
        &["--reuid=65534"][..],
        &["--reuid=65534", "--inh-caps=-all"],
        &["--regid=65534"],
        &["--reuid=65534", "--regid=65534"],
    ] {
        assert_eq!(told(ids), ("0\n".to_owned(), String::new()), "{ids:?}");
    }
}

/// What a command in a run as root says, which looks for the library in the environment of what it executes.
fn told_as_root(before: &[&str], words: &[&str]) -> (String, String) {
    let prise = env!("CARGO_BIN_EXE_prise");
    let all: Vec<&str> = [before, &[prise, "run", "--"], words].concat();
    let mut command = Command::new(all[0]);
    command.args(&all[1..]).stdin(Stdio::null()).env_remove("LD_PRELOAD");
    let told = finish(&mut command, LIMIT).expect_success();
    (told.stdout, told.stderr)
}

#[test]
fn who_loses_capabilities_by_executing_executes_without_it() {
    if !rustix::process::geteuid().is_root() {
        return skip("capabilities", "only root has some");
    }
    // They are lost not before execve(2), before which the library can be found.
    for losing in [
        &["--bounding-set=-sys_ptrace"][..],
        &["--bounding-set=-all"],
        &["--securebits=+noroot"],
        &["--no-new-privs", "--bounding-set=-sys_ptrace"],
    ] {
        let words = [&["setpriv"][..], losing, &["sh", "-c", "env | grep LD_PRELOAD; id -u"]].concat();
        assert_eq!(
            told_as_root(&[], &words),
            ("0\n".to_owned(), String::new()),
            "{losing:?}"
        );
    }
}

#[test]
fn another_process_with_the_supervisors_number_does_not_have_the_library() {
    const GUEST: &str = "import os, sys\n\
        child = os.fork()\n\
        child or os.execv('/bin/sh', ['sh', '-c', ':'])\n\
        os.waitpid(child, 0)\n\
        for _ in range(64):\n    os.set_inheritable(os.open('/etc/passwd', os.O_RDONLY), True)\n\
        os.execvp(sys.argv[1], sys.argv[1:])\n";
    if !rustix::process::geteuid().is_root() {
        return skip("name spaces of processes", "only root makes some");
    }
    let Some(python) = python() else { return };
    // The shell is known to want it. Both are the first of theirs, and what the second one executes finds a file where the first has the library.
    let alone = ["unshare", "--pid", "--fork", "--mount-proc"];
    let python = python.to_str().expect("a path");
    let looks = ["sh", "-c", "env | grep LD_PRELOAD; echo $$"];
    let told = told_as_root(&alone, &[&[python, "-c", GUEST], &alone[..], &looks].concat());
    assert_eq!(told, ("1\n".to_owned(), String::new()));
}

#[test]
fn a_page_of_stack_is_enough_to_execute() {
    const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char *many[300];
static char *words[] = { "sh", "-c", "exit 3", 0 };

static int execute(void *variables) {
    execve("/bin/sh", words, variables);
    _exit(4);
}

int main(void) {
    for (int at = 0; at < 299; at++)
        many[at] = "A=1";
    for (int at = 0; at < 2; at++) {
        int status;
        char *stack = mmap(0, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mprotect(stack + 4096, 4096, PROT_READ | PROT_WRITE);
        pid_t child = clone(execute, stack + 8192, CLONE_VM | CLONE_VFORK | SIGCHLD, at ? many : environ);
        waitpid(child, &status, 0);
        printf("%x\n", status);
    }
    return 0;
}
"#;
    let stage = Stage::new();
    // Nothing is looked up while it runs: that needs more.
    let Some(program) = compiled(&stage, "narrow", SOURCE, &["-Wl,-z,now"]) else {
        return;
    };
    let told = finish(&mut stage.run(&[], &[program.into()]), LIMIT).expect_success();
    assert_eq!(told.stdout, "300\n300\n");
}

/// A pipe with a name, which anybody may open, and execute if that could be.
fn pipe(stage: &Stage, name: &str) -> PathBuf {
    let path = stage.path(name);
    let made = Command::new("mkfifo").args(["-m", "777"]).arg(&path).status();
    assert!(made.is_ok_and(|it| it.success()), "{name}");
    path
}

#[test]
fn pipes_that_cannot_be_executed_are_not_opened() {
    const GUEST: &str = r"
import errno, os, sys
writer = os.fork()
if not writer:
    os.open(sys.argv[1], os.O_WRONLY)
    os._exit(3)
# It waits for somebody who reads, and goes on to do so.
waits = lambda: open(f'/proc/{writer}/stat').read().split()[2] == 'S'
while not all(waits() for _ in range(100)):
    pass
try:
    os.execv(sys.argv[1], ['pipe'])
except OSError as error:
    print(errno.errorcode[error.errno])
print(all(waits() for _ in range(100)))
os.kill(writer, 9)
";
    let Some(python) = python() else { return };
    let stage = Stage::new();
    let pipe = pipe(&stage, "pipe").to_str().expect("a path").to_owned();
    assert_eq!(told(&stage, &[], &python, GUEST, &[pipe]), "EACCES\nTrue\n");
}

#[test]
fn libraries_that_a_program_names_by_paths_are_not_looked_into() {
    let stage = Stage::new();
    let options = ["-shared", "-fPIC"];
    let Some(library) = compiled(&stage, "named.so", "int named(void) { return 0; }\n", &options) else {
        return;
    };
    let path = library.to_str().expect("a path");
    let source = "int named(void);\nint main(void) { return named(); }\n";
    let Some(program) = compiled(&stage, "naming", source, &["-Wl,--no-as-needed", path]) else {
        return;
    };
    // The dynamic linker waits at it for ever, and nobody else does.
    std::fs::remove_file(&library).expect("ours");
    pipe(&stage, "named.so");
    let script = "\"$0\" & while ! grep -q ld-linux /proc/$!/maps; do :; done; cat /proc/net/dev > /dev/null && echo on; kill $!";
    let words: [OsString; 4] = ["/bin/sh".into(), "-c".into(), script.into(), program.into()];
    assert_eq!(
        finish(&mut stage.run(&[], &words), LIMIT).expect_success().stdout,
        "on\n"
    );
}

#[test]
fn executing_fails_and_succeeds_as_it_does_without_the_library() {
    const GUEST: &str = r"
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
words = lambda *all: (ctypes.c_char_p * (len(all) + 1))(*all, None)
folder = sys.argv[1]
def told(call, *arguments):
    child = os.fork()
    if not child:
        before = os.listdir('/proc/self/fd')
        getattr(libc, call)(*arguments)
        print(call, errno.errorcode[ctypes.get_errno()], os.listdir('/proc/self/fd') == before, flush=True)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
shell, environment = b'/bin/sh', words(b'PATH=/usr/bin:/bin')
for path in b'/nowhere/sh', folder.encode(), (folder + '/plain').encode(), (folder + '/lost').encode(), b'', ctypes.c_void_p(0), ctypes.c_void_p(8192), ctypes.c_void_p(-4096):
    told('execve', path, words(b'sh', b'-c', b'exit 3'), environment)
# No list of arguments, or of variables; such that are not there, or end where memory does.
told('execve', shell, words(b'sh', b'-c', b'exit 4'), None)
told('execve', shell, ctypes.c_void_p(8192), environment)
told('execve', shell, words(b'sh', b'-c', b'exit 5'), ctypes.c_void_p(8192))
told('execve', shell, words(b'sh', b'-c', b'exit 5'), (ctypes.c_void_p * 2)(8192, None))
told('execv', shell, words(b'sh', b'-c', b'exit 6'))
told('execvp', b'sh', words(b'sh', b'-c', b'exit 7'))
told('execvp', b'nowhere', words(b'nowhere'))
told('execvp', b'', words(b''))
told('execvp', (folder + '/nothing/sh').encode(), words(b'sh'))
# Without a word of its interpreter, which execvp(3) knows.
told('execvp', (folder + '/bare').encode(), words(b'bare'))
told('execve', shell, words(b'sh', b'-c', b'exit 8'), words(*[b'A%d=1' % it for it in range(3000)]))
told('execve', shell, words(b'sh', b'-c', b'exit 9'), words(b'LD_PRELOAD=' + b'/lib/x86_64-linux-gnu/libm.so.6:' * 40))
told('execve', b'/usr/bin/env', words(b'env'), words(b'LD_PRELOAD=libm.so.6', b'B=2', b'LD_LIBRARY_PATH=/nowhere', b'C=3'))
told('execve', b'/usr/bin/env', words(b'env'), words(b'LD_BIND_NOW=1', b'B=2'))
told('execve', b'/usr/bin/env', words(b'env'), words(b'LD_TRACE_LOADED_OBJECTS=1'))
";
    let Some(python) = python() else { return };
    let stage = Stage::new();
    let guest = stage.write("guest.py", GUEST);
    let (plain, lost, bare) = (
        stage.write(
            "plain", "exit 1
",
        ),
        stage.write(
            "lost",
            "#!/nowhere/sh
",
        ),
        stage.write(
            "bare", "exit 2
",
        ),
    );
    for (file, mode) in [(&plain, 0o644), (&lost, 0o755), (&bare, 0o755)] {
        std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("ours");
    }
    let words: [OsString; 3] = [python.into(), guest.into(), stage.path("").into()];
    let told = |options: &[&str]| {
        let told = finish(&mut stage.run(options, &words), LIMIT).expect_success();
        // The variable that names libraries stands last; where the loader has put these is another place each time.
        let lines = told
            .stdout
            .lines()
            .map(|line| line.split(" (0x").next().unwrap_or(line).to_owned());
        let mut lines: Vec<_> = lines.collect();
        lines.sort();
        (lines, told.stderr)
    };
    let with = told(&[]);
    assert_eq!(with, told(&["--no-preload"]));
    assert_eq!(
        with.0.iter().filter(|line| line.starts_with("exec")).count(),
        14,
        "{with:?}"
    );
}

#[test]
fn a_program_without_the_c_library_starts() {
    const SOURCE: &str = r#"
static void call(long number, long one, long two, long three) {
    __asm__ volatile("syscall" : "+a"(number) : "D"(one), "S"(two), "d"(three) : "rcx", "r11", "memory");
}

void _start(void) {
    call(1, 1, (long)"alone\n", 6);
    call(231, 0, 0, 0);
}
"#;
    let stage = Stage::new();
    let linked = [
        "-nostdlib",
        "-fPIE",
        "-pie",
        "-Wl,--dynamic-linker=/lib64/ld-linux-x86-64.so.2",
    ];
    let Some(program) = compiled(&stage, "alone", SOURCE, &linked) else {
        return;
    };
    let told = finish(&mut stage.run(&[], &[program.into()]), LIMIT).expect_success();
    assert_eq!((told.stdout.as_str(), told.stderr.as_str()), ("alone\n", ""));
}

#[test]
fn the_auxiliary_vector_lies_behind_the_environment() {
    const SOURCE: &str = r#"
#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

int main(int count, char **words, char **variables) {
    int preloaded = 0;
    (void)count, (void)words;
    for (; *variables; variables++)
        preloaded += !**variables || !strncmp(*variables, "LD_PRELOAD", 10);
    unsigned long *entry = (unsigned long *)(variables + 1), page = 0;
    for (; *entry != AT_NULL; entry += 2)
        if (*entry == AT_PAGESZ)
            page = entry[1];
    printf("%d %d\n", preloaded, page && page == getauxval(AT_PAGESZ));
    return 0;
}
"#;
    let stage = Stage::new();
    let Some(program) = compiled(&stage, "vector", SOURCE, &[]) else {
        return;
    };
    for others in [None, Some("libm.so.6")] {
        let mut command = stage.run(&[], &[program.clone().into()]);
        match others {
            Some(others) => command.env("LD_PRELOAD", others),
            None => command.env_remove("LD_PRELOAD"),
        };
        let told = finish(&mut command, LIMIT).expect_success().stdout;
        assert_eq!(told, format!("{} 1\n", i32::from(others.is_some())));
    }
}

#[test]
fn a_filter_of_the_programs_own_sees_no_calls_but_its() {
    const SOURCE: &str = r#"
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENDS(number) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

int main(int count, char **words) {
    struct sock_filter steps[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), ENDS(SYS_fcntl), ENDS(SYS_getsockopt), ENDS(SYS_madvise),
                                   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
    struct sock_fprog filter = { sizeof steps / sizeof *steps, steps };
    struct sockaddr_in to = { .sin_family = AF_INET };
    (void)count;
    to.sin_port = htons(atoi(words[1]));
    inet_pton(AF_INET, "10.0.2.2", &to.sin_addr);
    int stream = socket(AF_INET, SOCK_STREAM, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    int set = strcmp(words[2], "prctl") ? syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter)
                                        : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
    printf("%d %d\n", set, connect(stream, (struct sockaddr *)&to, sizeof to));
    return 0;
}
"#;
    let stage = Stage::new();
    let Some(program) = compiled(&stage, "filtered", SOURCE, &[]) else {
        return;
    };
    let (_listener, port) = host();
    for call in ["prctl", "seccomp"] {
        let words = [program.clone().into(), port.clone().into(), call.into()];
        let told = finish(&mut stage.run(&[], &words), LIMIT).expect_success();
        assert_eq!(told.stdout, "0 0\n", "{call}");
    }
}

#[test]
fn a_stream_that_is_listed_before_it_connects_has_its_peer() {
    // What the library does, with somebody between its steps who lists sockets.
    const GUEST: &str = r"
import ctypes, fcntl, socket, struct, sys
MAGIC, EXTREME = b'prise\'s chart 1\0', struct.pack('Q', 5)
F_SET_RW_HINT, CONNECT = 1036, 42
port = int(sys.argv[1])
begin = next(int(line.split('-')[0], 16) for line in open('/proc/self/maps') if 'prise-shortcut' in line)
with open('/proc/self/mem', 'rb') as memory:
    memory.seek(begin)
    library = memory.read(4096)
token = struct.unpack_from('Q', library, library.index(MAGIC) + 24)[0]
libc = ctypes.CDLL(None)
with socket.socket() as s:
    fcntl.fcntl(s, F_SET_RW_HINT, EXTREME)
    print(len(list(open('/proc/net/tcp'))))
    address = b'\2\0' + port.to_bytes(2, 'big') + bytes([127, 0, 0, 1]) + bytes(8)
    print(libc.syscall(CONNECT, s.fileno(), address, 16, 0, 0, ctypes.c_uint64(token)))
    print(s.getpeername() == ('10.0.2.2', port), s.getsockname()[0])
";
    let Some(python) = python() else { return };
    let stage = Stage::new();
    let (_listener, port) = host();
    assert_eq!(told(&stage, &[], &python, GUEST, &[port]), "1\n0\nTrue 10.0.2.15\n");
}

#[test]
fn a_call_that_waits_ends_when_its_stream_is_shut() {
    const GUEST: &str = r"
import errno, socket, sys, threading, time
full, another = int(sys.argv[1]), int(sys.argv[2])
s, ready = socket.socket(), threading.Event()
def connect():
    ready.set()
    print(errno.errorcode[s.connect_ex(('10.0.2.2', full))])
thread = threading.Thread(target=connect, daemon=True)
thread.start()
ready.wait()
while not any(':%04X 02 ' % full in line for line in open('/proc/net/tcp')):
    time.sleep(0.01)
s.shutdown(socket.SHUT_RDWR)
thread.join(20)
print(thread.is_alive(), s.connect_ex(('10.0.2.2', another)))
";
    let Some(python) = python() else { return };
    let stage = Stage::new();
    let (_listener, port) = host();
    let full = crowded();
    let arguments = [full.port.clone(), port];
    for options in [&[][..], &["--no-preload"]] {
        let told = told(&stage, options, &python, GUEST, &arguments);
        assert_eq!(told, "ECONNRESET\nFalse 0\n", "{options:?}");
    }
}

#[test]
fn what_else_is_preloaded_stays_so() {
    let (Some(python), Some(compiler)) = (python(), need("another preloaded library", "gcc")) else {
        return;
    };
    let stage = Stage::new();
    let source = stage.write("other.c", "int others_answer(void) { return 42; }\n");
    let library = stage.path("other.so");
    let words: [OsString; 5] = [
        "-shared".into(),
        "-fPIC".into(),
        "-o".into(),
        library.clone().into(),
        source.into(),
    ];
    assert!(
        Command::new(compiler)
            .args(&words)
            .status()
            .is_ok_and(|it| it.success())
    );
    let script = stage.write(
        "guest.py",
        "import ctypes, os\nprint(os.environ['LD_PRELOAD'], ctypes.CDLL(None).others_answer())\n\
         print('prise-shortcut' in open('/proc/self/maps').read())\n",
    );
    let mut command = stage.run(&[], &[python.into(), script.into()]);
    command.env("LD_PRELOAD", &library);
    let told = finish(&mut command, LIMIT).expect_success().stdout;
    assert_eq!(told, format!("{} 42\nTrue\n", library.display()));
}

#[test]
fn whatever_is_no_plain_stream_that_leaves_is_judged() {
    const GUEST: &str = r"
import ctypes, errno, os, socket, sys, threading, time
port = int(sys.argv[1])
gateway = ('10.0.2.2', port)
# Sockets of other kinds, and what was judged before.
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    print(s.connect_ex(gateway), s.getpeername() == gateway)
with socket.socket() as s:
    s.bind(('10.0.2.15', 0))
    own = s.getsockname()
    print(s.connect_ex(gateway), s.getsockname() == own, s.getpeername() == gateway)
with socket.socket(socket.AF_INET6) as s:
    libc = ctypes.CDLL(None, use_errno=True)
    address = b'\2\0' + port.to_bytes(2, 'big') + bytes([10, 0, 2, 2]) + bytes(8)
    print(libc.connect(s.fileno(), address, 16), errno.errorcode[ctypes.get_errno()])
# Bad pointers, lengths and descriptors.
with socket.socket() as s:
    for pointer in 0, 1, 8192, -1, -4096, 1 << 46, 0x7ff000000000:
        print(libc.connect(s.fileno(), ctypes.c_void_p(pointer), 16), errno.errorcode[ctypes.get_errno()])
    for length in 0, 2, 15, 129, 0x7fffffff, -1:
        print(libc.connect(s.fileno(), address, length), errno.errorcode[ctypes.get_errno()])
print(libc.connect(-1, address, 16), errno.errorcode[ctypes.get_errno()])
# Refused, and once more on the same socket; connected twice; disconnected.
with socket.socket() as s:
    print(s.connect_ex(('10.0.2.2', 1)), s.connect_ex(gateway), s.getpeername() == gateway, s.connect_ex(gateway))
    print(libc.connect(s.fileno(), bytes(16), 16), s.connect_ex(gateway), s.getpeername() == gateway)
# A call that does not wait: told once, then it is connected.
with socket.socket() as s:
    s.setblocking(False)
    print([s.connect_ex(gateway) for _ in range(3)], s.getpeername() == gateway)
# The run's own.
with socket.create_server(('127.0.0.1', 0)) as l, socket.socket() as s:
    print(s.connect_ex(l.getsockname()), s.getpeername() == l.getsockname())
# A stream that is listed while it connects, to a listener that has no room, and fails; then it is another one.
full, wait = int(sys.argv[2]), threading.Event()
with socket.socket() as s:
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
    def connect():
        print(errno.errorcode[s.connect_ex(('10.0.2.2', full))], s.connect_ex(gateway), s.getpeername() == gateway)
    thread = threading.Thread(target=connect)
    thread.start()
    target = '0202000A:%04X' % full
    while not any(f' {target} 02 ' in line for line in open('/proc/net/tcp')):
        time.sleep(0.01)
    thread.join()
";
    const WANTED: &str = "0 True\n0 True True\n-1 EINVAL\n\
        -1 EFAULT\n-1 EFAULT\n-1 EFAULT\n-1 EFAULT\n-1 EFAULT\n-1 EFAULT\n-1 EFAULT\n\
        -1 EINVAL\n-1 EINVAL\n-1 EINVAL\n-1 EINVAL\n-1 EINVAL\n-1 EINVAL\n-1 EBADF\n111 0 True 106\n0 0 True\n[115, 0, 106] True\n0 True\nETIMEDOUT 0 True\n";
    let Some(python) = python() else { return };
    let stage = Stage::new();
    let (_listener, port) = host();
    let full = crowded();
    let arguments = [port, full.port.clone()];
    for options in [&[][..], &["--no-preload"]] {
        assert_eq!(told(&stage, options, &python, GUEST, &arguments), WANTED, "{options:?}");
    }
}

/// A listener that has no room for anybody.
struct Crowded {
    port: String,
    _held: Vec<rustix::fd::OwnedFd>,
}

fn crowded() -> Crowded {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, getsockname, listen, socket_with};
    let stream = || {
        socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            None,
        )
        .expect("a stream")
    };
    let mut held = vec![stream()];
    bind(&held[0], &std::net::SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    listen(&held[0], 0).expect("a listener");
    let at = std::net::SocketAddr::try_from(getsockname(&held[0]).expect("a name")).expect("an address");
    for _ in 0..2 {
        held.push(stream());
        // Still in progress when the program comes, all of them but the first.
        let _ = connect(held.last().expect("one"), &at);
    }
    Crowded {
        port: at.port().to_string(),
        _held: held,
    }
}

#[test]
fn a_thread_that_waits_in_connect_can_be_cancelled() {
    const SOURCE: &str = r#"
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in to = { .sin_family = AF_INET };
static int cleaned;

static void clean(void *unused) { (void)unused; cleaned = 1; }

static void *wait_in_vain(void *ready) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    pthread_cleanup_push(clean, NULL);
    *(volatile int *)ready = 1;
    connect(s, (struct sockaddr *)&to, sizeof to);
    pthread_cleanup_pop(0);
    return NULL;
}

int main(int count, char **words) {
    volatile int ready = 0;
    void *ended = NULL;
    pthread_t thread;
    (void)count;
    to.sin_port = htons(atoi(words[1]));
    inet_pton(AF_INET, "10.0.2.2", &to.sin_addr);
    pthread_create(&thread, NULL, wait_in_vain, (void *)&ready);
    while (!ready)
        usleep(1000);
    pthread_cancel(thread);
    pthread_join(thread, &ended);
    printf("%d %d\n", ended == PTHREAD_CANCELED, cleaned);
    return 0;
}
"#;
    let Some(compiler) = need("a cancelled connect", "gcc") else {
        return;
    };
    let stage = Stage::new();
    let source = stage.write("cancelled.c", SOURCE);
    let program = stage.path("cancelled");
    let built = Command::new(compiler)
        .arg("-pthread")
        .arg("-o")
        .arg(&program)
        .arg(source)
        .status();
    assert!(built.is_ok_and(|it| it.success()));
    let full = crowded();
    for options in [&[][..], &["--no-preload"]] {
        let words = [program.clone().into(), full.port.clone().into()];
        let told = finish(&mut stage.run(options, &words), LIMIT).expect_success();
        assert_eq!(told.stdout, "1 1\n", "{options:?}");
    }
}

/// A server at a published port that says whom it has accepted, and does as its client says.
const SERVER: &str = r"
import socket, sys, threading
family, host = (socket.AF_INET6, '::') if sys.argv[1] == '6' else (socket.AF_INET, '0.0.0.0')
l = socket.create_server((host, 7000), family=family, backlog=16, dualstack_ipv6=family == socket.AF_INET6)
print('ready', flush=True)
for line in sys.stdin:
    if line == 'accept\n':
        s, name = l.accept()
        print('from', name[0], name[1] == s.getpeername()[1], name[0] == s.getpeername()[0], s.getsockname()[1], flush=True)
        s.sendall(b'!')
        s.close()
    if line == 'connect\n':
        # Somebody of the run, who has another name, comes while accept(2) waits.
        def visit():
            c = socket.create_connection(('127.0.0.1', 7000))
            print('visited', c.getpeername()[0], c.getsockname()[0], c.recv(1) == b'!', flush=True)
        threading.Timer(0.2, visit).start()
    if line == 'nobody\n':
        l.setblocking(False)
        try:
            l.accept()
        except BlockingIOError:
            print('nobody', flush=True)
        l.setblocking(True)
";

/// The server in a run, and what it is told.
struct Served {
    run: Running,
    input: std::process::ChildStdin,
    port: u16,
}

impl Served {
    fn start(stage: &Stage, python: &Path, family: &str) -> Self {
        let script = stage.write("server.py", SERVER);
        let port = free_port();
        let publish = format!("{port}:7000");
        let words: [OsString; 3] = [python.into(), script.into(), family.into()];
        let mut run = Running::start(stage.run(&["-p", &publish], &words).stdin(Stdio::piped()));
        run.wait_for("ready", LIMIT);
        let input = run.stdin().expect("a pipe");
        Self { run, input, port }
    }

    fn say(&mut self, word: &str) {
        writeln!(self.input, "{word}").expect("room");
    }

    /// A client of the host's comes.
    fn come(&self, host: &str) {
        let mut client = TcpStream::connect((host, self.port)).expect("a listener");
        let mut octet = [0];
        client.read_exact(&mut octet).expect("an answer");
    }

    fn end(self) {
        drop(self.input);
        self.run.end(LIMIT).expect_success();
    }
}

#[test]
fn clients_of_a_published_port_are_accepted_while_the_supervisor_stands_still() {
    let Some(python) = python() else { return };
    let stage = Stage::new();
    let mut served = Served::start(&stage, &python, "4");
    // The first one shows that the library is there.
    served.say("accept");
    served.come("127.0.0.1");
    assert_eq!(
        served.run.wait_for("from", LIMIT).trim(),
        "from 10.0.2.2 True True 7000"
    );
    let supervisor = Pid::from_raw(served.run.pid() as i32).expect("a process");
    kill_process(supervisor, Signal::STOP).expect("it is ours");
    served.say("accept");
    served.come_asked_nothing(supervisor);
    served.say("nobody");
    kill_process(supervisor, Signal::CONT).expect("it is ours");
    served.run.wait_for("nobody", LIMIT);
    served.end();
}

impl Served {
    /// A client is accepted though the supervisor stands still; what the server then asks about it has to wait.
    fn come_asked_nothing(&mut self, supervisor: Pid) {
        let mut client = TcpStream::connect(("127.0.0.1", self.port)).expect("a listener");
        // The queue is empty once it was accepted, which the kernel tells of the listener.
        let listens = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.get(1) == Some(&format!("0100007F:{:04X}", self.port).as_str()) && words.get(3) == Some(&"0A")
        };
        let queue = || {
            let table = std::fs::read_to_string("/proc/net/tcp").expect("a table");
            let line = table
                .lines()
                .find(|line| listens(line))
                .expect("the listener")
                .to_owned();
            line.split_whitespace().nth(4).map(str::to_owned)
        };
        let begin = std::time::Instant::now();
        while queue().as_deref() != Some("00000000:00000000") {
            assert!(begin.elapsed() < LIMIT, "nobody has accepted the client");
            std::thread::yield_now();
        }
        kill_process(supervisor, Signal::CONT).expect("it is ours");
        assert_eq!(self.run.wait_for("from", LIMIT).trim(), "from 10.0.2.2 True True 7000");
        client.read_exact(&mut [0]).expect("an answer");
    }
}

#[test]
fn who_else_comes_to_a_published_listener_has_the_runs_name() {
    let Some(python) = python() else { return };
    let stage = Stage::new();
    for (family, gateway, guest) in [
        ("4", "10.0.2.2", "127.0.0.1"),
        ("6", "::ffff:10.0.2.2", "::ffff:127.0.0.1"),
    ] {
        let mut served = Served::start(&stage, &python, family);
        for _ in 0..2 {
            served.say("accept");
            served.come("127.0.0.1");
            assert_eq!(
                served.run.wait_for("from", LIMIT).trim(),
                format!("from {gateway} True True 7000")
            );
        }
        // accept(2) waits in the kernel when the leave is taken back.
        served.say("connect");
        served.say("accept");
        assert_eq!(
            served.run.wait_for("from", LIMIT).trim(),
            format!("from {guest} True True 7000")
        );
        assert_eq!(
            served.run.wait_for("visited", LIMIT).trim(),
            "visited 127.0.0.1 127.0.0.1 True"
        );
        served.say("accept");
        served.come("127.0.0.1");
        assert_eq!(
            served.run.wait_for("from", LIMIT).trim(),
            format!("from {gateway} True True 7000")
        );
        served.end();
    }
}

#[test]
fn who_waits_with_the_supervisor_is_accepted_by_a_call_that_waits_in_the_kernel() {
    let Some(python) = python() else { return };
    if TcpListener::bind("[::1]:0").is_err() {
        return skip("a client by IPv6", "the host has no IPv6 loopback");
    }
    let stage = Stage::new();
    // By IPv4 its clients come to the listener itself, by IPv6 to the gateway.
    let mut served = Served::start(&stage, &python, "6");
    for (host, shown) in [
        ("127.0.0.1", "::ffff:10.0.2.2"),
        ("127.0.0.1", "::ffff:10.0.2.2"),
        ("::1", "fd00:2::2"),
        ("127.0.0.1", "::ffff:10.0.2.2"),
        ("::1", "fd00:2::2"),
    ] {
        served.say("accept");
        served.come(host);
        assert_eq!(
            served.run.wait_for("from", LIMIT).trim(),
            format!("from {shown} True True 7000")
        );
    }
    served.end();
}

#[test]
fn many_who_accept_and_many_who_come_from_both_sides_are_told_the_right_names() {
    const CROWD: &str = r"
import os, signal, socket, sys, threading
workers, own = int(sys.argv[1]), int(sys.argv[2])
l = socket.create_server(('0.0.0.0', 7000), backlog=512)
def serve():
    while True:
        s, name = l.accept()
        wanted = '127.0.0.1' if s.recv(1) == b'i' else '10.0.2.2'
        s.sendall(b'y' if name == s.getpeername() and name[0] == wanted else b'n')
        s.close()
children = []
for _ in range(workers):
    children.append(os.fork())
    if not children[-1]:
        break
if not children or children[-1]:
    print('ready', flush=True)
    threading.Thread(target=serve, daemon=True).start()
    input()
    wrong = 0
    for _ in range(own):
        with socket.create_connection(('127.0.0.1', 7000)) as c:
            c.sendall(b'i')
            wrong += c.recv(1) != b'y'
    print('wrong', wrong, flush=True)
    input()
    for child in children:
        os.kill(child, signal.SIGKILL)
    os._exit(0)
for _ in range(4):
    threading.Thread(target=serve, daemon=True).start()
serve()
";
    let Some(python) = python() else { return };
    let stage = Stage::new();
    let script = stage.write("crowd.py", CROWD);
    for workers in ["0", "2"] {
        let port = free_port();
        let words = [
            python.clone().into(),
            script.clone().into(),
            workers.into(),
            "50".into(),
        ];
        let mut run = Running::start(
            stage
                .run(&["-p", &format!("{port}:7000")], &words)
                .stdin(Stdio::piped()),
        );
        run.wait_for("ready", LIMIT);
        let mut input = run.stdin().expect("a pipe");
        let come = move |clients: usize| {
            for _ in 0..clients {
                let mut client = TcpStream::connect(("127.0.0.1", port)).expect("a listener");
                client.write_all(b"o").expect("room");
                let mut answer = [0];
                client.read_exact(&mut answer).expect("an answer");
                assert_eq!(answer, *b"y", "a client's name");
            }
        };
        // Once all of them are unasked, the run's own clients come between them.
        come(20);
        let crowd: Vec<_> = (0..3).map(|_| std::thread::spawn(move || come(100))).collect();
        writeln!(input, "visit").expect("room");
        assert_eq!(run.wait_for("wrong", LIMIT).trim(), "wrong 0");
        for clients in crowd {
            clients.join().expect("the right names");
        }
        writeln!(input, "end").expect("room");
        run.end(LIMIT).expect_success();
    }
}
