//! Runs each program of `tests/probes` natively and under the supervisor and expects the same words and the same end.
//!
//! What the kernel does is the specification: the programs only print what they see. As root the supervised run is
//! nobody's, because that is what prise promises to work for.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The kernel's own answers differ now and then, as it limits how many ICMP errors it sends. What it says in one of
/// several runs is right.
const NATIVE_RUNS_MAX: usize = 5;

fn probe(name: &str) {
    let Some(python) = find("python3") else {
        println!("skipped: {name} needs python3");
        return;
    };
    let script = script(name);
    let program = [python.as_os_str(), "-u".as_ref(), script.as_os_str()];
    let natively = || output(Command::new(program[0]).args(&program[1..]));
    let native = natively();
    let supervised = output(as_nobody(&supervisor()).args(program));
    let agree =
        |native: &Output| native.stdout == supervised.stdout && native.status.code() == supervised.status.code();
    if agree(&native) || (1..NATIVE_RUNS_MAX).any(|_| agree(&natively())) {
        return;
    }
    let (expected, seen) = (
        String::from_utf8_lossy(&native.stdout),
        String::from_utf8_lossy(&supervised.stdout),
    );
    let differs = expected
        .lines()
        .zip(seen.lines())
        .find(|(expected, seen)| expected != seen);
    panic!(
        "{name}: {:?} natively, {:?} supervised; first difference {differs:?}; after {:?}; it said: {}",
        native.status.code(),
        supervised.status.code(),
        seen.lines().last(),
        String::from_utf8_lossy(&supervised.stderr),
    );
}

#[test]
fn streams_are_the_kernels() {
    probe("streams.py");
}

#[test]
fn datagrams_are_the_kernels() {
    probe("datagrams.py");
}

#[test]
fn signals_reach_those_who_wait() {
    probe("signals.py");
}

#[test]
fn descriptors_travel_and_bad_arguments_are_refused() {
    probe("descriptors.py");
}

#[test]
fn descriptors_that_run_out_lose_nothing() {
    probe("exhaustion.py");
}

#[test]
fn epoll_sets_follow_a_stream_that_is_connected_again() {
    probe("again.py");
}

#[test]
fn nobody_listens_once_a_server_that_waits_is_killed() {
    probe("killed.py");
}

#[test]
fn exec_and_death_end_the_calls_that_wait() {
    probe("exec.py");
}

#[test]
fn a_supervisor_short_of_descriptors_says_so_and_recovers() {
    let (Some(python), Some(prlimit)) = (find("python3"), find("prlimit")) else {
        println!("skipped: needs python3 and prlimit");
        return;
    };
    let supervised = as_nobody(&supervisor());
    let mut limited = Command::new(prlimit);
    limited.arg("--nofile=200:200").arg(supervised.get_program());
    limited.args(supervised.get_args()).arg(python).arg(script("scarce.py"));
    let output = output(&mut limited);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "recovered\n", "{said}");
    assert_eq!(
        said.matches("the limit of 200 open files is reached").count(),
        1,
        "{said}"
    );
}

#[test]
fn a_supervisor_that_dies_leaves_errors_and_nobody_waiting() {
    let Some(python) = find("python3") else {
        println!("skipped: needs python3");
        return;
    };
    let told = std::env::temp_dir().join(format!("prise-orphan-{}", std::process::id()));
    std::fs::write(&told, "").expect("room for a word");
    // Nobody writes to it.
    std::fs::set_permissions(&told, std::os::unix::fs::PermissionsExt::from_mode(0o666)).expect("a file of one's own");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut supervised = as_nobody(&supervisor());
    supervised.arg(python).arg(script("orphan.py")).arg("kill").arg(&told);
    // The orphan holds the pipe: its end is the pipe's.
    let status = supervised.stdin(Stdio::null()).stdout(writer).status();
    drop(supervised);
    assert!(!status.expect("it starts").success(), "killed");
    std::io::read_to_string(reader).expect("the orphan ends");
    let said = std::fs::read_to_string(&told).expect("what it said");
    // It may not go on behind our back.
    let _ = std::fs::remove_file(&told);
    assert_eq!(said, "[] ENOSYS True\n");
}

#[test]
fn nothing_is_left_behind_by_connections_and_processes() {
    let Some(python) = find("python3") else {
        println!("skipped: leaks needs python3");
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/probes/leaks.py");
    let output = output(as_nobody(&supervisor()).arg(python).arg("-u").arg(script));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/probes").join(name)
}

/// The programs bound their own time by alarm(2); this only guards against a supervisor that hangs.
fn output(command: &mut Command) -> Output {
    let mut guarded = Command::new("timeout");
    guarded.arg("120").arg(command.get_program()).args(command.get_args());
    guarded.stdin(Stdio::null()).output().expect("timeout(1) starts")
}

fn as_nobody(program: &Path) -> Command {
    if rustix::process::geteuid().is_root() && find("setpriv").is_some() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--clear-groups"]).arg(program);
        return command;
    }
    Command::new(program)
}

/// The smallest supervisor: the example `run`, which Cargo builds with the tests unless it was told to build one only.
fn supervisor() -> PathBuf {
    let own = std::env::current_exe().expect("the test has a path");
    let example = own
        .ancestors()
        .nth(2)
        .expect("target/PROFILE/deps/TEST")
        .join("examples/run");
    if !example.exists() {
        let built = Command::new(env!("CARGO"))
            .args(["build", "-q", "-p", "prise-run", "--example", "run"])
            .status();
        assert!(built.is_ok_and(|status| status.success()), "the example builds");
    }
    example
}

/// Where everyone may look first: a version manager's shims may be one user's.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let directories = ["/usr/bin", "/bin", "/usr/local/bin"].map(PathBuf::from).into_iter();
    directories
        .chain(std::env::split_paths(&path))
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}
