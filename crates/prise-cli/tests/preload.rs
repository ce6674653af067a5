//! Connections that leave the run and are made without asking: by the library that a program is loaded with, of which it sees nothing.

#[path = "preload/accepted.rs"]
mod accepted;
#[path = "preload/behind.rs"]
mod behind;
#[path = "preload/executed.rs"]
mod executed;
#[path = "preload/opened.rs"]
mod opened;
#[path = "preload/spawned.rs"]
mod spawned;
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
    while_it_stands_still(&mut stage.run(&[], words), line)
}

/// The same in a run that was asked for more.
fn while_it_stands_still(command: &mut Command, line: &str) -> Running {
    let mut run = Running::start(command.stdin(Stdio::piped()));
    run.wait_for("ready", LIMIT);
    let supervisor = Pid::from_raw(run.pid() as i32).expect("a process");
    kill_process(supervisor, Signal::STOP).expect("it is ours");
    writeln!(run.stdin().expect("a pipe"), "{line}").expect("room");
    run.wait_for("made", LIMIT);
    kill_process(supervisor, Signal::CONT).expect("it is ours");
    run
}

/// Connects to the port that it is told, once it has said that it is there.
const CONNECTS: &str = "import socket, sys\n\
    s = socket.socket()\n\
    print('ready', flush=True)\n\
    s.connect(('10.0.2.2', int(input())))\n\
    print('made', flush=True)\n";

/// What a program sees of itself – descriptors, variables but for those that are `unlike` at each start, the list of what is preloaded – that is started in such
/// a way: the same with the library and without.
fn seen_alike(stage: &Stage, python: &Path, way: &[OsString], unlike: &[&str], preloaded: Option<&str>) -> String {
    const SEEN: &str = "import os, sys\n\
        print(sorted(os.listdir('/proc/self/fd')))\n\
        print(sorted((k, v) for k, v in os.environ.items() if k not in sys.argv[1:]))\n\
        print(open('/proc/self/environ', 'rb').read().rstrip(b'\\0').count(b'LD_PRELOAD'))\n";
    let mut words = way.to_vec();
    words.extend([python.into(), stage.write("seen.py", SEEN).into()]);
    words.extend(unlike.iter().map(OsString::from));
    let told = |options: &[&str]| {
        let mut command = stage.run(options, &words);
        match preloaded {
            Some(value) => command.env("LD_PRELOAD", value),
            None => command.env_remove("LD_PRELOAD"),
        };
        finish(&mut command, LIMIT).expect_success().stdout
    };
    let seen = told(&[]);
    assert_eq!(seen, told(&["--no-preload"]), "{words:?} {preloaded:?}");
    seen
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
