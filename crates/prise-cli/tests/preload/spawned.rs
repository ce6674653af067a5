//! What a program starts by the C library's other functions: `posix_spawn(3)`, system(3), and execl(3) and its like.

use super::*;

/// Executes its words, by the function that the first of them names.
const BY: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int count, char **words) {
    char *way = words[1], *name = words[2], **all = words + 2, line[4096] = "exec";
    int status, failed = 0;
    pid_t child;
    (void)count;
    if (!strcmp(way, "execl"))
        execl(name, name, words[3], (char *)0);
    if (!strcmp(way, "execle"))
        execle(name, name, words[3], (char *)0, environ);
    if (!strcmp(way, "execlp"))
        execlp(strrchr(name, '/') + 1, name, words[3], (char *)0);
    if (!strcmp(way, "execvpe"))
        execvpe(strrchr(name, '/') + 1, all, environ);
    if (!strcmp(way, "fexecve"))
        fexecve(open(name, O_RDONLY | O_CLOEXEC), all, environ);
    if (!strcmp(way, "execveat"))
        execveat(open("/", O_PATH | O_CLOEXEC), name + 1, all, environ, 0);
    if (!strcmp(way, "posix_spawn"))
        failed = posix_spawn(&child, name, 0, 0, all, environ);
    else if (!strcmp(way, "posix_spawnp"))
        failed = posix_spawnp(&child, strrchr(name, '/') + 1, 0, 0, all, environ);
    else if (!strcmp(way, "system")) {
        for (int at = 2; words[at]; at++)
            strcat(strcat(line, " "), words[at]);
        return WEXITSTATUS(system(line));
    } else
        return 1;
    return failed || waitpid(child, &status, 0) < 0 || status;
}
"#;

/// What stands before the words that a program executes, by each of its ways.
fn ways(stage: &Stage, python: &Path) -> Vec<Vec<OsString>> {
    let mut all = Vec::new();
    if let Some(by) = compiled(stage, "by", BY, &[]) {
        let ways = [
            "execl",
            "execle",
            "execlp",
            "execvpe",
            "fexecve",
            "execveat",
            "posix_spawn",
            "posix_spawnp",
            "system",
        ];
        all.extend(ways.map(|way| vec![OsString::from(&by), way.into()]));
    }
    let scripts = [
        (
            "spawn.py",
            "import os, sys\nos.waitpid(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)\n",
        ),
        (
            "spawnp.py",
            "import os, sys\nos.waitpid(os.posix_spawnp('python3', sys.argv[1:], os.environ), 0)\n",
        ),
        ("system.py", "import os, sys\nos.system(' '.join(sys.argv[1:]))\n"),
        (
            "plain.py",
            "import subprocess, sys\nsubprocess.run(sys.argv[1:], close_fds=False, restore_signals=False)\n",
        ),
    ];
    all.extend(scripts.map(|(name, text)| vec![python.into(), stage.write(name, text).into()]));
    all
}

/// The same of other programs, where they are: what each is given to execute its further words.
fn others(stage: &Stage) -> Vec<Vec<OsString>> {
    const RUST: &str = "fn main() {\n\
        let words: Vec<_> = std::env::args_os().skip(1).collect();\n\
        let status = std::process::Command::new(&words[0]).args(&words[1..]).status();\n\
        std::process::exit(status.unwrap().code().unwrap());\n}\n";
    let scripts = [
        ("perl", "system.pl", "exit(system(@ARGV) >> 8);\n"),
        ("tclsh", "exec.tcl", "exec {*}$argv <@stdin >@stdout\n"),
        (
            "node",
            "spawn.js",
            "const words = process.argv.slice(2);\n\
             process.exit(require('child_process').spawnSync(words[0], words.slice(1), { stdio: 'inherit' }).status);\n",
        ),
    ];
    let mut all = Vec::new();
    for (name, script, text) in scripts {
        if let Some(path) = need(name, name) {
            all.push(vec![path.into(), stage.write(script, text).into()]);
        }
    }
    if let Some(path) = need("git", "git") {
        all.push(vec![
            path.into(),
            "-c".into(),
            "alias.execute=!env".into(),
            "execute".into(),
        ]);
    }
    let compiler = Path::new(env!("CARGO")).with_file_name("rustc");
    let (source, program) = (stage.write("spawn.rs", RUST), stage.path("spawned"));
    let built = Command::new(compiler).arg("-o").arg(&program).arg(source).status();
    assert!(built.is_ok_and(|it| it.success()));
    all.push(vec![program.into()]);
    all
}

#[test]
fn what_a_program_starts_connects_while_the_supervisor_stands_still() {
    let Some(python) = python() else { return };
    let stage = Stage::new();
    let script = stage.write("guest.py", CONNECTS);
    let (_listener, port) = host();
    for mut words in [ways(&stage, &python), others(&stage)].concat() {
        eprintln!("{words:?}");
        words.extend([python.clone().into(), script.clone().into()]);
        while_the_supervisor_stands_still(&stage, &words, &port)
            .end(LIMIT)
            .expect_success();
    }
}

#[test]
fn what_make_starts_connects_while_the_supervisor_stands_still() {
    let (Some(python), Some(make)) = (python(), need("make", "make")) else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("guest.py", CONNECTS);
    let (python, script) = (python.display(), script.display());
    let file = stage.write(
        "Makefile",
        format!("plain:\n\t@{python} {script}\nshell:\n\t@: && {python} {script}\n"),
    );
    let (_listener, port) = host();
    for target in ["plain", "shell"] {
        let words: [OsString; 4] = [make.clone().into(), "-f".into(), file.clone().into(), target.into()];
        while_the_supervisor_stands_still(&stage, &words, &port)
            .end(LIMIT)
            .expect_success();
    }
}

#[test]
fn what_a_program_starts_sees_nothing_of_it_either() {
    let Some(python) = python() else { return };
    let stage = Stage::new();
    for way in ways(&stage, &python) {
        for preloaded in [None, Some("libm.so.6")] {
            let seen = seen_alike(&stage, &python, &way, &["_", "GIT_PREFIX"], preloaded);
            assert!(
                seen.ends_with(if preloaded.is_some() { "\n1\n" } else { "\n0\n" }),
                "{seen}"
            );
        }
    }
}

/// Says what it was started with.
const LOOK: &str = r#"
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **words) {
    char line[256], directory[256];
    FILE *status = fopen("/proc/self/status", "r");
    if (count > 99)
        connect(0, 0, 0);
    printf("  %s of %d in %s, %s, %s\n", words[0], count, strrchr(getcwd(directory, sizeof directory), '/') + 1, getenv("A"), getenv("LD_PRELOAD"));
    while (fgets(line, sizeof line, status))
        if (!strncmp(line, "SigBlk", 6) || !strncmp(line, "SigIgn", 6))
            printf("  %s", line);
    return KIND;
}
"#;

const SPAWNS: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
typedef int (*spawn)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const *, char *const *);
static char *variables[] = { "A=1", 0 };

static void told(const char *name, int failed, pid_t child) {
    int status = -1;
    if (!failed)
        waitpid(child, &status, 0);
    printf("%s: %d %x %d\n", name, failed, status, errno);
    fflush(stdout);
}

static void start(const char *name, spawn how, char *file, posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes, char **environment) {
    char *words[] = { file, "a", 0 };
    pid_t child = 0;
    errno = 77;
    int failed = how(&child, file, actions, attributes, words, environment);
    told(name, failed, child);
}

static void both(char *file, posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes) {
    start(file, posix_spawn, file, actions, attributes, variables);
    start(file, posix_spawnp, file, actions, attributes, variables);
}

int main(void) {
    char *files[] = { "/nowhere/sh", "", ".", "plain", "lost", "bare", "here/dynamic", "./here/static", "tool", "dynamic", "/proc/self/fd/9", 0 };
    posix_spawn_file_actions_t none, moves, opens, fails;
    posix_spawnattr_t attributes;
    sigset_t set;
    setenv("PATH", "here:/usr/bin", 1);
    posix_spawn_file_actions_init(&none);
    posix_spawn_file_actions_init(&moves);
    posix_spawn_file_actions_addchdir_np(&moves, "there");
    posix_spawn_file_actions_init(&opens);
    posix_spawn_file_actions_addopen(&opens, 9, "there/here/tool", O_RDONLY, 0);
    posix_spawn_file_actions_init(&fails);
    posix_spawn_file_actions_addopen(&fails, 9, "/nowhere", O_RDONLY, 0);
    dup2(open("here/dynamic", O_RDONLY), 9);
    for (char **file = files; *file; file++) {
        both(*file, 0, 0);
        both(*file, &none, 0);
        both(*file, &moves, 0);
        both(*file, &opens, 0);
        both(*file, &fails, 0);
    }
    // Signals, users, sessions and scheduling.
    posix_spawnattr_init(&attributes);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    posix_spawnattr_setsigmask(&attributes, &set);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    posix_spawnattr_setsigdefault(&attributes, &set);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, 0);
    short flags[] = { 0, POSIX_SPAWN_SETSIGMASK, POSIX_SPAWN_SETSIGDEF, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF, POSIX_SPAWN_RESETIDS,
                      POSIX_SPAWN_SETPGROUP, POSIX_SPAWN_SETSID, POSIX_SPAWN_SETSCHEDPARAM, 0x4000 };
    for (unsigned at = 0; at < sizeof flags / sizeof *flags; at++) {
        printf("%x\n", posix_spawnattr_setflags(&attributes, flags[at]));
        both("here/dynamic", 0, &attributes);
        both("here/static", &none, &attributes);
    }
    // Environments, and no place for the number.
    char *many[700], *loads[] = { "A=2", "LD_BIND_NOW=1", "LD_PRELOAD=libm.so.6", 0 };
    for (int at = 0; at < 699; at++)
        many[at] = "A=3";
    many[699] = 0;
    start("many", posix_spawn, "here/dynamic", 0, 0, many);
    start("loads", posix_spawn, "here/dynamic", 0, 0, loads);
    start("loads alone", posix_spawn, "here/dynamic", 0, 0, loads + 2);
    start("none", posix_spawn, "here/dynamic", 0, 0, 0);
    start("its own", posix_spawn, "here/dynamic", 0, 0, environ);
    char *words[] = { "dynamic", 0 };
    int failed = posix_spawn(0, "here/dynamic", 0, 0, words, variables);
    wait(0);
    printf("%d\n", failed);
    fflush(stdout);
    unsetenv("PATH");
    both("sh", 0, 0);
    return 0;
}
"#;

/// A folder with programs in it: `here/dynamic` and `there/here/dynamic`, `static` and `tool` beside each, of which one is the other kind than its
/// namesake.
fn programs(stage: &Stage) -> Option<()> {
    for folder in ["here", "there", "there/here"] {
        std::fs::create_dir(stage.path(folder)).expect("ours");
    }
    let fixed = compiled(stage, "static", LOOK, &["-DKIND=5", "-static"])?;
    let loaded = compiled(stage, "dynamic", LOOK, &["-DKIND=6"])?;
    for (from, to) in [
        (&fixed, "here/static"),
        (&loaded, "here/dynamic"),
        (&loaded, "here/tool"),
        (&fixed, "there/tool"),
        (&fixed, "there/here/tool"),
        (&fixed, "there/here/dynamic"),
        (&loaded, "there/here/static"),
    ] {
        std::fs::copy(from, stage.path(to)).expect("room");
    }
    for (name, text, mode) in [
        ("plain", "exit 1\n", 0o644),
        ("lost", "#!/nowhere/sh\n", 0o755),
        ("bare", "exit 2\n", 0o755),
        ("script", "#!here/tool\n", 0o755),
    ] {
        let path = stage.write(name, text);
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("ours");
    }
    Some(())
}

/// What a program says on the kernel, which is what it says in runs.
fn told_everywhere(stage: &Stage, program: &Path) -> String {
    let folder = stage.path("");
    let said = |mut command: Command| {
        let told = finish(command.current_dir(&folder).env_remove("LD_PRELOAD"), LIMIT);
        told.stdout + &told.stderr
    };
    let kernel = said(stage.native(program, [""; 0]));
    for options in [&["--no-preload"][..], &[]] {
        let run = said(stage.run(options, &[program.into()]));
        for (at, (one, other)) in run.lines().zip(kernel.lines()).enumerate() {
            assert_eq!(one, other, "line {at}, {options:?}");
        }
        assert_eq!(run.lines().count(), kernel.lines().count(), "{options:?}");
    }
    kernel
}

#[test]
fn spawning_is_as_on_the_kernel() {
    let stage = Stage::new();
    let (Some(()), Some(program)) = (programs(&stage), compiled(&stage, "spawns", SPAWNS, &[])) else {
        return;
    };
    let told = told_everywhere(&stage, &program);
    assert!(told.matches("(null)").count() > 60, "{told}");
}

const SYSTEMS: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int alarms;
static int ends[2];

static void count(int signal) {
    (void)signal;
    alarms++;
}

static void told(const char *line) {
    errno = 77;
    int status = system(line);
    // What has interrupted it may have come before it waited.
    printf("%.40s: %x %d\n", line ? line : "none", status, errno == EINTR ? 77 : errno);
    fflush(stdout);
}

static void signals(void) {
    struct sigaction interrupt, quit;
    sigset_t mask;
    sigaction(SIGINT, 0, &interrupt);
    sigaction(SIGQUIT, 0, &quit);
    pthread_sigmask(SIG_BLOCK, 0, &mask);
    printf("%d %d %x %d, %d, %d\n", interrupt.sa_handler == count, interrupt.sa_handler == SIG_IGN, interrupt.sa_flags, sigismember(&interrupt.sa_mask, SIGHUP),
           quit.sa_handler == SIG_DFL, sigismember(&mask, SIGCHLD));
    fflush(stdout);
}

static void *often(void *number) {
    char line[32];
    sprintf(line, "exit %ld", (long)number);
    for (int at = 0; at < 20; at++)
        if (system(line) != (long)number << 8)
            printf("%ld\n", (long)number);
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, 0, &mask);
    return (void *)(long)sigismember(&mask, SIGCHLD);
}

static void *in_vain(void *line) {
    system(line);
    return 0;
}

static void cancel(void) {
    char line[64], octet;
    void *ended;
    pthread_t thread;
    if (pipe2(ends, O_CLOEXEC) || dup2(ends[1], 8) < 0)
        return;
    sprintf(line, "echo >&8; exec sleep 1000");
    pthread_create(&thread, 0, in_vain, line);
    int got = read(ends[0], &octet, 1);
    close(ends[1]);
    close(8);
    pthread_cancel(thread);
    pthread_join(thread, &ended);
    // The shell is gone, and nobody else has the pipe.
    printf("%d %d %d\n", got, ended == PTHREAD_CANCELED, (int)read(ends[0], &octet, 1));
}

int main(void) {
    static char large[200000];
    struct sigaction counts = { .sa_handler = count };
    // Who has just started somebody has all signals blocked for a moment.
    const char *shown = "while grep -q SigBlk:.ffff /proc/$PPID/status; do :; done; grep -h Sig[BI] /proc/self/status /proc/$PPID/status";
    memset(large, 'a', sizeof large - 1);
    told("exit 3");
    told("kill -9 $$");
    told(0);
    told("");
    told("/nowhere/program");
    told("-x");
    told("tr '\\0' ' ' < /proc/$$/cmdline");
    told("env | grep LD_");
    told(large);
    told(shown);
    sigaddset(&counts.sa_mask, SIGHUP);
    counts.sa_flags = SA_RESETHAND;
    sigaction(SIGINT, &counts, 0);
    told(shown);
    signals();
    counts.sa_flags = 0;
    sigaction(SIGALRM, &counts, 0);
    told("kill -INT $PPID; kill -QUIT $PPID; kill -ALRM $PPID; exit 5");
    printf("%d\n", alarms);
    signal(SIGINT, SIG_IGN);
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, 0);
    told(shown);
    signals();
    sigprocmask(SIG_UNBLOCK, &child, 0);
    sigaction(SIGINT, &counts, 0);
    cancel();
    signals();
    pthread_t threads[8];
    for (long at = 0; at < 8; at++)
        pthread_create(threads + at, 0, often, (void *)at);
    for (int at = 0; at < 8; at++) {
        void *blocked;
        pthread_join(threads[at], &blocked);
        printf("%d\n", (int)(long)blocked);
    }
    signals();
    signal(SIGCHLD, SIG_IGN);
    told("exit 3");
    signal(SIGCHLD, SIG_DFL);
    clearenv();
    told("echo ${A-none}");
    struct rlimit none = { 0, 0 };
    setrlimit(RLIMIT_NPROC, &none);
    told("exit 3");
    told(0);
    signals();
    return 0;
}
"#;

#[test]
fn shells_are_started_as_on_the_kernel() {
    let stage = Stage::new();
    let Some(program) = compiled(&stage, "systems", SYSTEMS, &["-pthread"]) else {
        return;
    };
    let told = told_everywhere(&stage, &program);
    assert!(told.contains("\n1 1 0\n"), "{told}");
    assert!(told.contains("exit 3: 7f00 11\nnone: 0 11\n"), "{told}");
}
