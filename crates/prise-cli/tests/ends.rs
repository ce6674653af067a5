//! How a run begins and ends: exit status, signals, standard streams, and programs that cannot be run.

mod world;

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use world::{Ended, Running, Stage, finish, need, repository};

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
    let script = format!("ulimit -n 8; exec {} run -- true", stage.path("prise").display());
    let ended = finish(&mut stage.native("sh", ["-c", &script]), LIMIT);
    assert_eq!(ended.status.code(), Some(125), "{}", ended.stderr);
    assert!(
        ended.stderr.starts_with("prise: ") && ended.stderr.contains("ulimit -n"),
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
        return world::skip("32-bit programs", "this kernel runs none");
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
