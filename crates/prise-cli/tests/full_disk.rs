//! Files that prise writes beside the program and cannot write any more: the user is told once, and the program goes on.

mod world;

use std::ffi::OsString;
use std::time::Duration;

use world::{Ended, Stage, finish, need, words};

const LIMIT: Duration = Duration::from_secs(100);

/// Opens ports and connects to them; half-way it empties the file that it is told of, if there is one.
const BUSY: &str = "
import os, signal, socket, sys
signal.alarm(60)
for port in range(1, 30):
    listener = socket.create_server(('127.0.0.1', port))
    with socket.create_connection(('127.0.0.1', port)) as it:
        it.sendall(bytes(2000))
    if port == 15 and len(sys.argv) > 1:
        os.truncate(sys.argv[1], 0)
print('done')
";

/// `prise run` with these options where no file may be larger than a few blocks of 512 octets, as sh(1) counts them.
fn limited(stage: &Stage, options: &str, program: &[OsString]) -> Ended {
    let limit = "ulimit -f 4 && exec \"$@\"";
    let mut line: Vec<OsString> = vec!["-c".into(), limit.into(), "sh".into(), stage.path("prise").into()];
    line.extend(words(&format!("run {options} --")));
    line.extend(program.iter().cloned());
    finish(&mut stage.native("sh", line), LIMIT)
}

#[test]
fn a_capture_that_cannot_grow_is_told_of_and_the_program_goes_on() {
    let Some(python) = need("a capture on a full disk", "python3") else {
        return;
    };
    let stage = Stage::new();
    let busy = stage.write("busy.py", BUSY);
    let ended = limited(&stage, "--capture packets", &[python.into(), busy.into()]);
    assert_eq!(ended.stdout, "done\n", "{}", ended.stderr);
    let told = "prise: packets: the capture ends here: File too large (os error 27)\n";
    assert_eq!(ended.stderr, told);
}

#[test]
fn an_audit_that_cannot_grow_is_told_of_and_says_what_it_lacks() {
    let Some(python) = need("an audit on a full disk", "python3") else {
        return;
    };
    let stage = Stage::new();
    let busy = stage.write("busy.py", BUSY);
    let ended = limited(&stage, "--audit lines", &[python.into(), busy.into(), "lines".into()]);
    assert_eq!(ended.stdout, "done\n", "{}", ended.stderr);
    let told = "prise: lines: the audit is incomplete: File too large (os error 27)\n";
    assert_eq!(ended.stderr, told);
    let written = std::fs::read_to_string(stage.path("work/lines")).unwrap();
    assert!(written.contains("\"event\":\"lost\",\"lost\":"), "{written}");
}

#[test]
fn programs_have_the_signals_ignored_that_they_would_have_natively() {
    let stage = Stage::new();
    let program = words("grep SigIgn /proc/self/status");
    let natively = finish(&mut stage.native(&program[0], &program[1..]), LIMIT).expect_success();
    let prised = finish(&mut stage.run(&[], &program), LIMIT).expect_success();
    assert_eq!(prised.stdout, natively.stdout);
}
