//! What the command says: help, errors and their exit statuses, as users read them.

use std::process::{Command, Output};

fn prise(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_prise"))
        .args(arguments)
        .output()
        .expect("the built command starts")
}

/// The exit status and what stood on standard error; nothing may have stood on standard output.
fn refused(line: &str) -> String {
    let arguments: Vec<&str> = line.split_ascii_whitespace().collect();
    let output = prise(&arguments);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "",
        "an error does not belong on standard output"
    );
    let status = output.status.code().expect("an exit status, not a signal");
    let words = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(words.starts_with("prise: "), "{words}");
    format!("$ prise {line}\n{words}[{status}]\n")
}

fn help(arguments: &[&str]) -> String {
    let output = prise(arguments);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn help_names_the_commands() {
    insta::assert_snapshot!(help(&["--help"]));
}

#[test]
fn help_of_run_names_every_option() {
    insta::assert_snapshot!(help(&["run", "--help"]));
}

#[test]
fn help_of_ss_names_every_option() {
    insta::assert_snapshot!(help(&["ss", "--help"]));
}

#[test]
fn a_bare_command_shows_its_help_as_an_error() {
    let output = prise(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(output.stdout, b"");
    assert!(String::from_utf8_lossy(&output.stderr).contains("Usage: prise <COMMAND>"));
}

#[test]
fn usage_errors_say_what_to_write_and_exit_with_2() {
    let lines = [
        "run",
        "run --",
        "run --dealy 5ms -- true",
        "run --delay -- true",
        "run --delay 50 -- true",
        "run --delay soon -- true",
        "run --jitter 5m5s -- true",
        "run --loss 0.01 -- true",
        "run --loss 101% -- true",
        "run --corrupt=-1% -- true",
        "run --rate 0 -- true",
        "run --rate 5mph -- true",
        "run --queue 5 -- true",
        "run --rate 1mbit --queue 0 -- true",
        "run --seed x -- true",
        "run -p 0 -- true",
        "run -p http -- true",
        "run -p ::1:80 -- true",
        "run -p localhost:80 -- true",
        "run -p 80/sctp -- true",
        "run --link wifi -- true",
        "run --link tun: -- true",
        "run --capture - -- true",
        "run --address 127.0.0.1 -- true",
        "run --address 10.0.0.5 --address 10.0.0.6 -- true",
        "run --hostname -x- -- true",
        "run --allow -- true",
        "run --allow 2001:db8::1:https -- true",
        "run --allow example.com:https -- true",
        "run --deny 10.0.0.0/33 -- true",
        "run --deny api.*.com -- true",
        "run --audit - -- true",
        "run --log loud -- true",
        "run --log-file x -- true",
        "ss --jsn",
        "sz",
        "python3 -m http.server",
    ];
    insta::assert_snapshot!(lines.map(refused).join("\n"));
}

#[test]
fn what_does_not_exist_yet_is_refused_by_name() {
    let lines = [
        "run --ui -- true",
        "run --net lab -- true",
        "top",
        "lab up lab.toml",
        "ping 127.0.0.1",
    ];
    insta::assert_snapshot!(lines.map(refused).join("\n"));
}
