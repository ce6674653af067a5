//! Runs scripts in processes of their own, some at a time, each bounded in time.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::script::{Action, Script, Step, When};

/// How a script went against Linux.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It came true.
    Passed,
    /// It is not run there, and why.
    Skipped(String),
    /// It did not come true; what was seen.
    Failed(String),
}

/// One script and how it went.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its place in the list.
    pub index: usize,
    /// How it went.
    pub outcome: Outcome,
    /// What it printed: the trace.
    pub output: String,
}

/// Whether scripts can be run here; why not otherwise.
///
/// # Errors
/// The reason, to be printed.
pub fn probe() -> Result<(), String> {
    let output = in_namespace("ip")
        .args(["tuntap", "add", "probe", "mode", "tun"])
        .output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "no network namespace with a TUN device for this user: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Err(format!("cannot start unshare(1): {error}")),
    }
}

fn in_namespace(program: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net"]).arg(program);
    command
}

/// A script that is running.
struct Running {
    index: usize,
    child: Child,
    deadline: Instant,
    attempts: usize,
}

/// Runs all scripts, `jobs` at a time; a script that fails is tried again as often, since a busy machine can be late.
/// `report` hears of each as it ends.
/// `program` is this crate's.
pub fn run_all(
    scripts: &[Script],
    program: &str,
    ipv6: bool,
    jobs: usize,
    retries: usize,
    report: &mut dyn FnMut(&Report),
) {
    let mut waiting: Vec<(usize, usize)> = (0..scripts.len()).rev().map(|index| (index, 0)).collect();
    let mut running: Vec<Running> = Vec::new();
    while !waiting.is_empty() || !running.is_empty() {
        while running.len() < jobs
            && let Some((index, attempts)) = waiting.pop()
        {
            let script = &scripts[index];
            let reason = script.not_on_linux.clone();
            if let Some(reason) = reason {
                report(&ended(index, Outcome::Skipped(reason), String::new()));
                continue;
            }
            match start(script, program, ipv6) {
                Ok(child) => running.push(Running {
                    index,
                    child,
                    deadline: Instant::now() + bound(script),
                    attempts,
                }),
                Err(error) => report(&ended(index, Outcome::Failed(error.to_string()), String::new())),
            }
        }
        let mut at = 0;
        while at < running.len() {
            let Some(done) = finished(&mut running[at]) else {
                at += 1;
                continue;
            };
            let it = running.swap_remove(at);
            if matches!(done.outcome, Outcome::Failed(_)) && it.attempts < retries {
                waiting.push((it.index, it.attempts + 1));
            } else {
                report(&done);
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn ended(index: usize, outcome: Outcome, output: String) -> Report {
    Report { index, outcome, output }
}

fn start(script: &Script, program: &str, ipv6: bool) -> std::io::Result<Child> {
    let family = if ipv6 { "6" } else { "4" };
    in_namespace(program)
        .args(["child", &script.file, &script.line.to_string(), family])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// The most that a script can take, with room for a busy machine.
fn bound(script: &Script) -> Duration {
    script.steps.iter().map(longest).sum::<Duration>() * 2 + Duration::from_secs(20)
}

fn longest(step: &Step) -> Duration {
    let before = match step.when {
        When::Now => Duration::ZERO,
        When::After { time, tolerance } => time + tolerance,
        When::Between(_, max) => max,
    };
    match &step.action {
        Action::Wait(time) => before + *time,
        Action::Open(open) => before + open.rtt,
        _ => before,
    }
}

fn finished(it: &mut Running) -> Option<Report> {
    let status = match it.child.try_wait() {
        Ok(Some(status)) => status,
        Ok(None) if Instant::now() < it.deadline => return None,
        _ => {
            let _gone_already = it.child.kill();
            let _reaped = it.child.wait();
            let outcome = Outcome::Failed("it took too long".into());
            return Some(ended(it.index, outcome, String::new()));
        }
    };
    let mut output = String::new();
    if let Some(stdout) = &mut it.child.stdout {
        let _nothing_more = stdout.read_to_string(&mut output);
    }
    let mut errors = String::new();
    if let Some(stderr) = &mut it.child.stderr {
        let _nothing_more = stderr.read_to_string(&mut errors);
    }
    let outcome = if status.success() {
        Outcome::Passed
    } else {
        Outcome::Failed(errors)
    };
    Some(ended(it.index, outcome, output))
}
