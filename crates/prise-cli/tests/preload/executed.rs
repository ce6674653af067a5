//! What a program executes that is loaded with the library.

use super::*;

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
    let script = stage.write("guest.py", CONNECTS);
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
    let Some(python) = python() else { return };
    let stage = Stage::new();
    for way in executors(&stage, &python) {
        for preloaded in [None, Some(""), Some("libm.so.6")] {
            seen_alike(&stage, &python, &way, &["_"], preloaded);
        }
    }
}

#[test]
fn who_becomes_another_user_executes_without_it() {
    if !rustix::process::geteuid().is_root() {
        return skip("another user", "only root becomes one");
    }
    // What setpriv(1) may do ends with it.
    let told = |ids: &[&str]| {
        let look = "grep -c prise-shortcut /proc/$$/maps; env | grep LD_PRELOAD; true";
        told_as_root(
            &[],
            &[&["setpriv", "--clear-groups"][..], ids, &["sh", "-c", look]].concat(),
        )
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

/// What a command in a run as root says, where others of these tests are nobody, and which looks for the library in the environment of what it executes.
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
fn as_much_can_be_executed_with_as_on_the_kernel() {
    const GUEST: &str = r"
import os, resource
resource.setrlimit(resource.RLIMIT_STACK, (1 << 19, 1 << 19))
def executed(words):
    child = os.fork()
    if not child:
        try:
            os.execve('/bin/sh', words, {'A': '1'})
        except OSError:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 3 << 8
def spawned(words):
    try:
        return os.waitpid(os.posix_spawn('/bin/sh', words, {'A': '1'}), 0)[1] == 3 << 8
    except OSError:
        return False
for call in executed, spawned:
    fewest, most = 0, 1 << 18
    while most - fewest > 1:
        octets = (fewest + most) // 2
        words = ['sh', '-c', 'exit 3'] + ['a' * 1000] * (octets // 1000) + ['a' * (octets % 1000)]
        fewest, most = (octets, most) if call(words) else (fewest, octets)
    print(fewest)
";
    let Some(python) = python() else { return };
    let stage = Stage::new();
    let script = stage.write("guest.py", GUEST);
    let on_the_kernel = finish(&mut stage.native(&python, [&script]), LIMIT)
        .expect_success()
        .stdout;
    assert_eq!(told(&stage, &[], &python, GUEST, &[]), on_the_kernel);
}

#[test]
fn executing_fails_and_succeeds_as_on_the_kernel() {
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
told('execvpe', b'sh', words(b'sh', b'-c', b'exit 10'), environment)
told('execvpe', b'nowhere', words(b'nowhere'), environment)
opened, path = os.open('/bin/sh', os.O_RDONLY | os.O_CLOEXEC), os.open('/bin/sh', os.O_PATH | os.O_CLOEXEC)
plain, directory = os.open(folder + '/plain', os.O_RDONLY), os.open('/bin', os.O_PATH)
for file in opened, path, plain, directory, -1, 999:
    told('fexecve', file, words(b'sh', b'-c', b'exit 11'), environment)
told('fexecve', opened, None, environment)
told('fexecve', opened, words(b'sh'), None)
for at, name, flags in (directory, b'sh', 0), (directory, b'sh', 256), (directory, b'dash', 256), (path, b'', 4096), (path, b'', 0), (-1, shell, 0), (-1, b'sh', 0), (directory, b'sh', 7), (directory, None, 0):
    told('execveat', at, name, words(b'sh', b'-c', b'exit 12'), environment, flags)
told('execl', shell, b'sh', b'-c', b'exit 13', None)
told('execl', b'/nowhere/sh', b'sh', None)
told('execlp', b'sh', b'sh', b'-c', b'exit $(($# + 14))', b'a', b'b', b'c', b'd', b'e', b'f', None)
told('execle', b'/usr/bin/env', b'env', None, words(b'B=15', b'LD_PRELOAD=libm.so.6'))
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
    let told = |mut command: Command| {
        let told = finish(command.env_remove("LD_PRELOAD"), LIMIT).expect_success();
        // The variable that names libraries stands last; where the loader has put these is another place each time.
        let lines = told
            .stdout
            .lines()
            .map(|line| line.split(" (0x").next().unwrap_or(line).to_owned());
        let mut lines: Vec<_> = lines.collect();
        lines.sort();
        (lines, told.stderr)
    };
    let with = told(stage.run(&[], &words));
    assert_eq!(with, told(stage.run(&["--no-preload"], &words)));
    assert_eq!(with, told(stage.native(&words[0], &words[1..])));
    assert_eq!(
        with.0.iter().filter(|line| line.starts_with("exec")).count(),
        21,
        "{with:?}"
    );
}
