//! Files that a program opens for reading which is loaded with the library.

use super::*;

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
    // Also behind a shell, and where all packets are wanted.
    let shell = ["/bin/sh", "-c", "\"$0\" \"$@\"; exit $?"].map(OsString::from);
    let behind = [&shell[..], &words].concat();
    let capture = ["--capture", "work/packets.pcap"];
    for options in [
        &[][..],
        &["--no-join"],
        &capture,
        &["--link", "none"],
        &["--delay", "1ms"],
    ] {
        for words in [&words[..], &behind] {
            eprintln!("{options:?}");
            while_it_stands_still(stage.run(options, words).current_dir(stage.path("")), "")
                .end(LIMIT)
                .expect_success();
        }
    }
}

#[test]
fn who_wants_every_call_judged_has_no_library() {
    const GUEST: &str = "print('prise-shortcut' in open('/proc/self/maps').read())\n";
    let Some(python) = python() else { return };
    let stage = Stage::new();
    let (deny, allow) = (["--deny", "192.0.2.0/24"], ["--allow", "192.0.2.0/24"]);
    for (options, has_it) in [
        (&[][..], "True\n"),
        (&["--no-join"], "True\n"),
        (&["--no-join", "--no-preload"], "False\n"),
        (&["--no-join", "--no-proc-net"], "False\n"),
        (&["--audit", "/dev/null"], "False\n"),
        (&deny, "False\n"),
        (&allow, "False\n"),
    ] {
        assert_eq!(told(&stage, options, &python, GUEST, &[]), has_it, "{options:?}");
    }
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
    for options in [&[][..], &["--no-join"]] {
        let with = told(&stage, options, &python, GUEST, &[]);
        let without = [options, &["--no-preload"]].concat();
        assert_eq!(with, told(&stage, &without, &python, GUEST, &[]));
        assert!(with.matches("the run").count() > 100, "{with}");
    }
}
