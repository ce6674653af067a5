//! How a run begins and ends: exit status, signals, standard streams, and programs that cannot be run.

mod world;

use std::io::{ErrorKind, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use world::{Ended, Running, Stage, finish, need, repository, skip};

const LIMIT: Duration = Duration::from_secs(150);

fn shell(script: &str) -> Vec<std::ffi::OsString> {
    ["sh", "-c", script].map(Into::into).into()
}

fn run_shell(script: &str) -> Ended {
    let stage = Stage::new();
    finish(&mut stage.run(&[], &shell(script)), LIMIT)
}

#[test]
fn the_programs_exit_status_is_prises() {
    for code in [0, 1, 7, 125, 255] {
        let ended = run_shell(&format!("exit {code}"));
        assert_eq!(ended.status.code(), Some(code), "{}", ended.stderr);
    }
}

#[test]
fn the_signal_that_ends_the_program_ends_prise() {
    for signal in [
        Signal::TERM,
        Signal::KILL,
        Signal::INT,
        Signal::HUP,
        Signal::ABORT,
        Signal::PIPE,
        Signal::USR1,
    ] {
        let ended = run_shell(&format!("kill -{} $$", signal.as_raw()));
        assert_eq!(ended.status.signal(), Some(signal.as_raw()), "{}", ended.stderr);
    }
}

#[test]
fn signals_sent_to_prise_reach_the_program() {
    for (name, signal) in [
        ("TERM", Signal::TERM),
        ("INT", Signal::INT),
        ("HUP", Signal::HUP),
        ("USR1", Signal::USR1),
        ("TTIN", Signal::TTIN),
        ("TSTP", Signal::TSTP),
        ("CONT", Signal::CONT),
        ("URG", Signal::URG),
        ("VTALRM", Signal::VTALARM),
    ] {
        let stage = Stage::new();
        let script = format!("trap 'echo caught {name}; exit 9' {name}; echo ready; while :; do sleep 0.05; done");
        let mut run = Running::start(&mut stage.run(&[], &shell(&script)));
        run.wait_for("ready", LIMIT);
        run.signal(signal);
        run.wait_for(&format!("caught {name}"), LIMIT);
        assert_eq!(run.end(LIMIT).status.code(), Some(9), "{name}");
    }
}

#[test]
fn signals_without_a_meaning_of_their_own_reach_the_program_too() {
    let stage = Stage::new();
    let script = "trap 'echo caught; exit 9' 40; echo ready; while :; do sleep 0.05; done";
    let mut run = Running::start(&mut stage.run(&[], &shell(script)));
    run.wait_for("ready", LIMIT);
    let sent = stage.native("sh", ["-c", &format!("kill -40 {}", run.pid())]).status();
    assert!(sent.is_ok_and(|status| status.success()));
    run.wait_for("caught", LIMIT);
    assert_eq!(run.end(LIMIT).status.code(), Some(9));
}

/// What stands after `State:` in a process's status once it begins with `wanted`.
#[track_caller]
fn wait_for_state(pid: u32, wanted: char) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it has not been waited for");
        let state = status.lines().find_map(|line| line.strip_prefix("State:\t"));
        if state.is_some_and(|state| state.starts_with(wanted)) {
            return;
        }
        assert!(Instant::now() < deadline, "{pid} is {state:?} and not {wanted}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What waits for prise, as a shell for its job, is told what the program does, and prise serves it as long as it does not stop.
#[test]
fn prise_is_stopped_while_its_program_is() {
    let stage = Stage::new();
    let mut run = Running::start(
        stage
            .run(&[], &shell("echo ready; read line; echo $line"))
            .stdin(Stdio::piped()),
    );
    run.wait_for("ready", LIMIT);
    for signal in [Signal::TSTP, Signal::TTIN, Signal::TTOU] {
        run.signal(signal);
        wait_for_state(run.pid(), 'T');
        run.signal(Signal::CONT);
        wait_for_state(run.pid(), 'S');
    }
    writeln!(run.stdin().expect("a pipe"), "still there").expect("the program reads");
    run.wait_for("still there", LIMIT);
    run.end(LIMIT).expect_success();
}

/// Who executed prise with a timer set means the program.
#[test]
fn a_timer_that_prise_has_inherited_is_the_programs() {
    let Some(python) = need("an alarm before execve", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script =
        "import os, signal, sys; signal.setitimer(signal.ITIMER_REAL, 0.5); os.execv(sys.argv[1], sys.argv[1:])";
    let args = ["-c".into(), script.into(), stage.path("prise")];
    let args = args.into_iter().chain(["run", "--", "sleep", "60"].map(Into::into));
    let ended = finish(&mut stage.native(python, args), LIMIT);
    assert_eq!(ended.status.signal(), Some(Signal::ALARM.as_raw()), "{}", ended.stderr);
}

/// Waits for signal 40 and tells what it carries; the other one sends it.
const QUEUED: [&str; 2] = [
    "import ctypes, signal; signal.pthread_sigmask(signal.SIG_BLOCK, [40]); print('ready', flush=True)
info = (ctypes.c_int * 32)(); mask = (ctypes.c_ulong * 16)(1 << 39)
ctypes.CDLL(None).sigwaitinfo(mask, info); print('carried', info[0], info[2], info[4], info[6], flush=True)",
    "import ctypes, os, sys; print(os.getpid()); ctypes.CDLL(None).sigqueue(int(sys.argv[1]), 40, ctypes.c_void_p(4711))",
];

#[test]
fn a_signal_reaches_the_program_with_what_it_carries() {
    let Some(python) = need("values of signals", "python3") else {
        return;
    };
    let stage = Stage::new();
    let mut run = Running::start(&mut stage.run(&[], &[python.clone().into(), "-c".into(), QUEUED[0].into()]));
    run.wait_for("ready", LIMIT);
    let sent = finish(
        &mut stage.native(python, ["-c", QUEUED[1], &run.pid().to_string()]),
        LIMIT,
    )
    .expect_success();
    // SI_QUEUE, as natively.
    run.wait_for(&format!("carried 40 -1 {} 4711", sent.stdout.trim()), LIMIT);
    run.end(LIMIT).expect_success();
}

/// A terminal with a shell, in which a job stops: by the terminal, by itself, again and again, not at all, and by others.
const JOBS: &str = r#"
import os, pty, select, signal, sys, time
prise = sys.argv[1] + " run -- "
child, terminal = pty.fork()
if child == 0:
    os.environ["PS1"] = "$ "
    os.execlp("bash", "bash", "--norc", "--noprofile", "-i")
heard, end = "", time.monotonic() + 60

def hear(word):
    global heard
    while word not in heard:
        if not select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
            sys.exit(f"no {word!r} in {heard!r}")
        heard += os.read(terminal, 4096).decode(errors="replace")
    said, _, heard = heard.partition(word)
    return said

def say(text):
    os.write(terminal, text.encode())

hear("$ ")
say("there() { echo shell$1; }\n")
hear("$ ")
# Nothing that forks: between vfork(2) and execve(2) a child that stops keeps its parent from stopping, natively, too.
say(prise + "sh -c 'echo rea\"\"dy; read line'\n")
hear("ready")
say("\x1a")
hear("Stopped")
say("kill -9 %1; wait; there 1\n")
hear("shell1")
say(prise + "sh -c 'kill -STOP $$; echo con\"\"tinued'\n")
hear("Stopped")
say("fg\n")
hear("continued")
say("there 2\n")
hear("shell2")
say(prise + "sh -c 'trap \"\" TSTP; echo rea\"\"dy; read line; echo $line$line'\n")
hear("ready")
say("\x1aon\n")
hear("onon")
say("there $?\n")
hear("shell0")
times = 'for i in range(3): signal.raise_signal(signal.SIGTSTP); print(f"time {i}", flush=True)'
say(prise + f"{sys.executable} -c 'import signal\n{times}'\n")
hear("Stopped")
for i in range(3):
    say("fg\n")
    hear(f"time {i}")
    if i < 2:
        hear("Stopped")
say("there 3\n")
hear("shell3")
say(prise + "sh -c 'echo pi\"\"d=$$,; read line; echo $line$line; exit 7'\n")
hear("pid=")
pid = int(hear(","))
os.kill(pid, signal.SIGSTOP)
if select.select([terminal], [], [], 0.5)[0]:
    sys.exit(f"said {os.read(terminal, 4096)}")
os.kill(pid, signal.SIGCONT)
say("on\n")
hear("onon")
say("there $?\n")
hear("shell7")
print("as natively")
"#;

#[test]
fn a_job_is_stopped_as_its_program_is() {
    let what = "jobs of a shell";
    let (Some(python), Some(_)) = (need(what, "python3"), need(what, "bash")) else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("jobs.py", JOBS);
    let ended = finish(&mut stage.native(python, [script, stage.path("prise")]), LIMIT).expect_success();
    assert_eq!(ended.stdout, "as natively\n");
}

/// A program that leaves a process behind, in a session of its own and without a call that is judged, which says so once the program is gone.
const LEAVES: &str = "
import os, sys, time
program = os.getpid()
if os.fork():
    sys.exit(3)
os.setsid()
try:
    while True:
        os.kill(program, 0)
        time.sleep(0.02)
except ProcessLookupError:
    print('left', flush=True)
time.sleep(1000)
";

#[test]
fn signals_sent_to_prise_end_what_the_program_has_left_behind() {
    let Some(python) = need("a process that is left behind", "python3") else {
        return;
    };
    for (options, signal) in [
        (&[][..], Signal::TERM),
        (&["--no-proc-net"][..], Signal::INT),
        (&["--no-join", "--no-proc-net"][..], Signal::HUP),
    ] {
        let stage = Stage::new();
        let script = stage.write("leaves.py", LEAVES);
        let mut run = Running::start(&mut stage.run(options, &[python.clone().into(), script.into()]));
        run.wait_for("left", LIMIT);
        run.signal(signal);
        assert_eq!(run.end(LIMIT).status.code(), Some(3), "{options:?}");
    }
}

/// Whoever executes prise has started processes before: a child of its, and one whose parent ends when prise reaps orphans.
const STRANGERS: &str = r#"
sleep 1000 >strangers 2>&1 &
echo $! >child
sh -c 'sleep 1000 & echo $! >adopted; until test -e end; do sleep 0.02; done' >strangers 2>&1 &
until test -s adopted; do sleep 0.02; done
exec "$0" run --no-proc-net -- "$@"
"#;

#[test]
fn signals_sent_to_prise_end_nobody_whom_others_have_started() {
    let Some(python) = need("a process that is left behind", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("leaves.py", LEAVES);
    let words = ["-c".into(), STRANGERS.into(), stage.path("prise"), python, script];
    let mut run = Running::start(&mut stage.native("sh", words));
    run.wait_for("left", LIMIT);
    let strangers = ["child", "adopted"].map(|file| {
        let number = std::fs::read_to_string(stage.path("work").join(file)).expect("written before prise was executed");
        number.trim().parse::<u32>().expect("a number")
    });
    let [_, adopted] = strangers;
    std::fs::write(stage.path("work").join("end"), "").expect("a file of ours");
    let limit = Instant::now() + LIMIT;
    while parent(adopted) != Some(run.pid()) {
        assert!(Instant::now() < limit, "not adopted");
        std::thread::sleep(Duration::from_millis(5));
    }
    run.signal(Signal::TERM);
    assert_eq!(run.end(LIMIT).status.code(), Some(3));
    for stranger in strangers {
        wait_for_state(stranger, 'S');
        let stranger = rustix::process::Pid::from_raw(stranger.cast_signed()).expect("a number");
        rustix::process::kill_process(stranger, Signal::KILL).expect("it runs");
    }
}

/// The first process of a PID namespace, whose group and session are beyond it.
const FIRST: &str = r#"
(until test -e end; do sleep 0.02; done; kill -TERM 1) &
exec "$0" run --no-proc-net -- "$@"
"#;

#[test]
fn a_container_is_ended_by_a_signal_that_comes_after_its_programs_end() {
    let what = "a PID namespace";
    let (Some(python), Some(_)) = (need(what, "python3"), need(what, "unshare")) else {
        return;
    };
    let stage = Stage::new();
    let own = ["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"];
    let possible = finish(&mut stage.native("unshare", own.iter().chain(&["true"])), LIMIT);
    if !possible.status.success() {
        return skip(what, possible.stderr.trim());
    }
    let script = stage.write("leaves.py", LEAVES);
    let words = [
        "sh".into(),
        "-c".into(),
        FIRST.into(),
        stage.path("prise"),
        python,
        script,
    ];
    let words = own.map(std::path::PathBuf::from).into_iter().chain(words);
    let mut run = Running::start(&mut stage.native("unshare", words));
    run.wait_for("left", LIMIT);
    std::fs::write(stage.path("work").join("end"), "").expect("a file of ours");
    let ended = run.end(LIMIT);
    assert_eq!(ended.status.code(), Some(3), "{}", ended.stderr);
}

fn parent(process: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))?
        .trim()
        .parse()
        .ok()
}

/// A program that ends while prise is stopped, which hears of a signal only when it hears of that end, too.
const MEANWHILE: &str = "
import os, signal, sys, time
program, prise = os.getpid(), os.getppid()
os.kill(prise, signal.SIGSTOP)
# Its signals are looked at first then.
os.kill(prise, signal.SIGWINCH)
if os.fork():
    sys.exit(3)
os.setsid()
while open(f'/proc/{program}/stat').read().rpartition(')')[2].split()[0] != 'Z':
    time.sleep(0.02)
os.kill(prise, signal.SIGTERM)
os.kill(prise, signal.SIGCONT)
time.sleep(1000)
";

#[test]
fn a_signal_that_comes_together_with_the_programs_end_reaches_what_it_leaves() {
    let Some(python) = need("a process that is left behind", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("meanwhile.py", MEANWHILE);
    let ended = finish(
        &mut stage.run(&["--no-proc-net"], &[python.into(), script.into()]),
        LIMIT,
    );
    assert_eq!(ended.status.code(), Some(3), "{}", ended.stderr);
}

/// A terminal at which the program ends and leaves a process in a session of its own.
const LEFT: &str = r#"
import os, pty, select, sys, time
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[1], [sys.argv[1], "run", "--no-proc-net", "--", "sh", "-c", "setsid -f sleep 1000; exit 3"])
heard, end = "", time.monotonic() + 60
while f"kill {child}" not in heard:
    if not select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
        sys.exit(f"nothing in {heard!r}")
    heard += os.read(terminal, 4096).decode(errors="replace")
if "goes on for sleep (" not in heard:
    sys.exit(f"not said in {heard!r}")
os.write(terminal, b"\x03")
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

#[test]
fn a_terminal_is_told_for_whom_the_run_goes_on_and_ends_it_by_a_key() {
    let Some(python) = need("a terminal", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("left.py", LEFT);
    let ended = finish(&mut stage.native(python, [script, stage.path("prise")]), LIMIT).expect_success();
    assert_eq!(ended.stdout, "3\n");
}

#[test]
fn who_waits_for_a_reader_of_the_record_can_be_ended() {
    let stage = Stage::new();
    let made = stage.native("mkfifo", ["record"]).status();
    assert!(made.is_ok_and(|status| status.success()));
    for option in ["--audit", "--capture"] {
        let run = Running::start(&mut stage.run(&[option, "record"], &shell("echo started")));
        // It sleeps in open(2), or will find the signal there.
        wait_for_state(run.pid(), 'S');
        run.signal(Signal::TERM);
        let ended = run.end(LIMIT);
        assert_eq!(
            (ended.status.signal(), ended.stdout.as_str()),
            (Some(Signal::TERM.as_raw()), "")
        );
    }
}

#[test]
fn nobody_who_reads_the_log_is_no_reason_to_end() {
    let stage = Stage::new();
    let mut command = stage.run(&["--log", "trace"], &shell("read line; exit 7"));
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("prise starts");
    drop(child.stderr.take());
    drop(child.stdin.take());
    assert_eq!(child.wait().expect("a child of ours").code(), Some(7));
}

#[test]
fn standard_streams_are_the_programs_own() {
    let stage = Stage::new();
    let mut command = stage.run(&[], &shell("cat; echo error >&2"));
    let mut run = Running::start(command.stdin(Stdio::piped()));
    let mut input = run.stdin().expect("a pipe");
    input.write_all(b"what comes in\n").expect("the program reads");
    drop(input);
    let ended = run.end(LIMIT).expect_success();
    assert_eq!(
        (ended.stdout.as_str(), ended.stderr.as_str()),
        ("what comes in\n", "error\n")
    );
}

#[test]
fn environment_and_arguments_arrive_as_they_are() {
    let stage = Stage::new();
    let script = r#"printf '%s|' "$FLAVOUR" "$0" "$@""#;
    let program = ["sh", "-c", script, "name", "", "a b", "--delay", "é"].map(Into::into);
    let ended = finish(stage.run(&[], &program).env("FLAVOUR", "sel de mer"), LIMIT).expect_success();
    assert_eq!(ended.stdout, "sel de mer|name||a b|--delay|é|");
}

#[test]
fn a_program_that_is_not_there_is_127_and_one_that_cannot_be_executed_is_126() {
    let stage = Stage::new();
    let missing = finish(&mut stage.run(&[], &["no-such-program-anywhere".into()]), LIMIT);
    assert_eq!(missing.status.code(), Some(127));
    assert!(
        missing
            .stderr
            .starts_with("prise: no-such-program-anywhere: no such program"),
        "{}",
        missing.stderr
    );

    let directory = stage.path("work");
    let refused = finish(&mut stage.run(&[], &[directory.into()]), LIMIT);
    assert_eq!(refused.status.code(), Some(126));
    assert!(
        refused.stderr.starts_with("prise: ") && refused.stderr.contains("cannot be executed"),
        "{}",
        refused.stderr
    );
    assert_eq!(missing.stdout + &refused.stdout, "");
}

#[test]
fn a_published_port_in_use_is_said_before_the_program_starts() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let stage = Stage::new();
    let ended = finish(
        &mut stage.run(&["-p", &format!("127.0.0.1:{port}:80")], &shell("echo started")),
        LIMIT,
    );
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(125), ""));
    assert!(
        ended
            .stderr
            .starts_with(&format!("prise: port {port} cannot be published")),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_run_waits_for_nothing_but_its_program_and_what_it_started() {
    let ended = run_shell("(sleep 0.2; echo later) & echo first");
    assert_eq!(ended.stdout, "first\nlater\n", "{}", ended.stderr);
}

#[test]
fn the_program_begins_as_it_would_natively() {
    let script = "grep -E 'SigIgn|SigBlk|SigCgt' /proc/self/status; ulimit -a; umask; pwd; env | sort; \
                  for fd in 0 1 2 3 4 5 6 7 8 9 10 20 50 100; do test -e /proc/$$/fd/$fd && echo open $fd; done; true";
    let stage = Stage::new();
    let mut program = shell(script);
    let prised = finish(&mut stage.run(&[], &program), LIMIT).expect_success().stdout;
    let native = finish(&mut stage.native(program.remove(0), program), LIMIT)
        .expect_success()
        .stdout;
    assert!(native.contains("SigIgn") && native.contains("open 2"), "{native}");
    assert!(prised == native, "natively:\n{native}\nunder prise:\n{prised}");
}

/// Rust opens /dev/null for standard descriptors that are closed; the program begins without them all the same.
#[test]
fn closed_standard_descriptors_are_closed_for_the_program() {
    let stage = Stage::new();
    let prise = stage.path("prise");
    let open = "for fd in 0 1 2 3; do [ -e /proc/self/fd/$fd ] && echo $fd; done >told";
    let script = format!("{} run -- sh -c '{open}' <&- 2>&-; cat told", prise.display());
    let ended = finish(&mut stage.native("sh", ["-c", &script]), LIMIT).expect_success();
    // The shell's own output is the file.
    assert_eq!(ended.stdout, "1\n");
}

#[test]
fn too_few_descriptors_are_said_with_what_to_do() {
    let stage = Stage::new();
    for few in [4, 8, 16, 20, 24] {
        let prise = stage.path("prise");
        let script = format!("ulimit -n {few}; exec {} run -- echo started", prise.display());
        let ended = finish(&mut stage.native("sh", ["-c", &script]), LIMIT);
        // Not from the middle of the run.
        assert_eq!(
            (ended.status.code(), ended.stdout.as_str()),
            (Some(125), ""),
            "{}",
            ended.stderr
        );
        assert!(
            ended.stderr.starts_with("prise: ") && ended.stderr.contains("ulimit -n"),
            "{few}: {}",
            ended.stderr
        );
    }
    let script = format!("ulimit -n 32; exec {} run -- true", stage.path("prise").display());
    finish(&mut stage.native("sh", ["-c", &script]), LIMIT).expect_success();
}

/// Programs ask for `SO_REUSEADDR`, with which a port that is bound and not listened at would be anybody's.
#[test]
fn a_published_port_is_the_runs_before_its_program_listens() {
    let port = world::free_port().to_string();
    let stage = Stage::new();
    let mut first = Running::start(&mut stage.run(&["-p", &port], &shell("echo ready; exec sleep 60")));
    first.wait_for("ready", LIMIT);
    let second = finish(&mut stage.run(&["-p", &port], &shell("echo started")), LIMIT);
    assert_eq!((second.status.code(), second.stdout.as_str()), (Some(125), ""));
    assert!(
        second.stderr.contains("end the program that has it"),
        "{}",
        second.stderr
    );
    // std's listeners ask for it.
    let native = std::net::TcpListener::bind(format!("127.0.0.1:{port}"));
    assert_eq!(
        native.map(drop).map_err(|error| error.kind()),
        Err(ErrorKind::AddrInUse)
    );
}

#[test]
fn ports_are_not_published_where_nobody_could_come() {
    let stage = Stage::new();
    let ended = finish(
        &mut stage.run(&["--link", "none", "-p", "8080"], &shell("echo started")),
        LIMIT,
    );
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(125), ""));
    assert!(
        ended.stderr.starts_with("prise: --publish needs --link host"),
        "{}",
        ended.stderr
    );
}

/// A 32-bit program of a few instructions: what it does first is a system call of i386.
#[test]
fn a_32_bit_program_is_refused_with_a_sentence() {
    let stage = Stage::new();
    // mov eax, 20 (getpid); int 0x80; mov eax, 1 (exit); xor ebx, ebx; int 0x80; hlt
    let code = [
        0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0xcd, 0x80, 0xf4,
    ];
    let base: u32 = 0x0804_8000;
    let (header, segment) = (52u16, 32u16);
    let entry = base + u32::from(header + segment);
    let size = u32::from(header + segment) + code.len() as u32;
    let mut file = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for half in [2u16, 3] {
        file.extend(half.to_le_bytes());
    }
    for word in [1, entry, u32::from(header), 0, 0] {
        file.extend(word.to_le_bytes());
    }
    for half in [header, segment, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    for word in [1, 0, base, base, size, size, 5, 0x1000] {
        file.extend(word.to_le_bytes());
    }
    file.extend(code);
    let program = stage.write("old", file);
    let native = finish(&mut stage.native(&program, [""; 0]), LIMIT);
    if native.status.code() != Some(0) {
        return skip("32-bit programs", "this kernel runs none");
    }
    let ended = finish(&mut stage.run(&[], &[program.into()]), LIMIT);
    assert!(!ended.status.success());
    assert!(ended.stderr.contains("makes 32-bit system calls"), "{}", ended.stderr);
}

#[test]
fn a_run_ends_though_ends_of_connections_do_not_agree_what_was_sent() {
    let Some(python) = need("connections within a run that is over", "python3") else {
        return;
    };
    let stage = Stage::new();
    let guest = stage.put(
        &repository().join("examples/guests/desynchronised.py"),
        "desynchronised.py",
    );
    for family in ["4", "6"] {
        let program = [python.clone().into(), guest.clone().into(), family.into()];
        let ended = finish(&mut stage.run(&[], &program), LIMIT).expect_success();
        // Otherwise prise would say that it has given them up.
        assert_eq!(ended.stderr, "");
    }
}
