//! What integration tests share: an unprivileged user, a place that it can read, programs that are found or whose absence
//! is said aloud, and processes that end in bounded time.
#![allow(dead_code, reason = "each test file compiles this module and uses its part of it")]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// nobody: whom issue after issue demands that prise serves.
const NOBODY: u32 = 65534;

/// A directory that every user may read, with the built command in it. What programs write goes into `work`, which
/// belongs to the unprivileged user. Gone with the value.
#[derive(Debug)]
pub(crate) struct Stage {
    directory: TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("prise-test-")
            .tempdir()
            .expect("a temporary directory");
        open_to_all(directory.path());
        let stage = Self { directory };
        // Another build, such as a released one, can be put to the same tests.
        let command = std::env::var_os("PRISE_UNDER_TEST").unwrap_or_else(|| env!("CARGO_BIN_EXE_prise").into());
        stage.put(Path::new(&command), "prise");
        let work = stage.path("work");
        fs::create_dir(&work).expect("a directory to write to");
        if is_root() {
            std::os::unix::fs::chown(&work, Some(NOBODY), Some(NOBODY)).expect("given to nobody");
        }
        stage
    }

    /// A path in the stage.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Copies a file into the stage, executable by all.
    ///
    /// A process of its own writes the copy: while we had it open for writing, another test's thread could fork, and until
    /// that child has executed its program the copy could not be (ETXTBSY).
    pub(crate) fn put(&self, file: &Path, name: &str) -> PathBuf {
        let target = self.path(name);
        let copied = Command::new("cp").arg("--").arg(file).arg(&target).status();
        assert!(
            copied.is_ok_and(|status| status.success()),
            "{} cannot be copied",
            file.display()
        );
        open_to_all(&target);
        target
    }

    /// Writes a file into the stage, readable by all.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let target = self.path(name);
        fs::write(&target, content).expect("the stage can be written");
        open_to_all(&target);
        target
    }

    /// A program as the unprivileged user, with nothing around it.
    pub(crate) fn native<A: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = if is_root() {
            let mut setpriv = Command::new("setpriv");
            let ids = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
            setpriv.args(ids).args(["--clear-groups", "--"]).arg(program);
            setpriv
        } else {
            Command::new(program)
        };
        command
            .args(arguments)
            .current_dir(self.path("work"))
            .stdin(Stdio::null());
        command
            .env("HOME", self.path("work"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1");
        // Proxies of the surroundings are not to answer for our servers.
        for variable in [
            "http_proxy",
            "https_proxy",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "all_proxy",
            "ALL_PROXY",
        ] {
            command.env_remove(variable);
        }
        command
    }

    /// `prise` with these arguments, as the unprivileged user.
    pub(crate) fn prise<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        self.native(self.path("prise"), arguments)
    }

    /// `prise run OPTIONS -- PROGRAM ARGUMENTS`.
    pub(crate) fn run(&self, options: &[&str], program: &[OsString]) -> Command {
        let options = ["run"].iter().chain(options).chain(&["--"]).map(OsString::from);
        self.prise(options.chain(program.iter().cloned()))
    }
}

fn open_to_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("permissions can be set");
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Words of a command line as the arguments of a program.
pub(crate) fn words(line: &str) -> Vec<OsString> {
    line.split_ascii_whitespace().map(OsString::from).collect()
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Panics with everything it said unless it exited with 0.
    #[track_caller]
    pub(crate) fn expect_success(self) -> Self {
        assert!(
            self.status.success(),
            "{}\nstdout: {}\nstderr: {}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }
}

/// A program that runs, in a process group of its own, killed with the value.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: Option<mpsc::Receiver<String>>,
    stderr: Option<mpsc::Receiver<String>>,
    heard: String,
}

impl Running {
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = child.stdout.take().map(lines);
        let stderr = child.stderr.take().map(lines);
        Self {
            child,
            stdout,
            stderr,
            heard: String::new(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, if the command asked for a pipe.
    pub(crate) fn stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// Waits for a line of its standard output that contains `text`.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str, limit: Duration) -> String {
        let output = self.stdout.as_ref().expect("standard output is piped");
        loop {
            match output.recv_timeout(limit) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => self.heard += &line,
                Err(reason) => {
                    let said: String = self.stderr.iter().flat_map(mpsc::Receiver::try_iter).collect();
                    panic!(
                        "no line with {text:?} ({reason}); before it: {:?}; standard error: {said:?}",
                        self.heard
                    )
                }
            }
        }
    }

    /// Waits for its end; panics, and kills it, after `limit`.
    #[track_caller]
    pub(crate) fn end(self, limit: Duration) -> Ended {
        self.try_end(limit)
            .unwrap_or_else(|late| panic!("did not end within {limit:?}\nstdout: {}\nstderr: {}", late.0, late.1))
    }

    /// The same, with what it had said where it did not end. A stream ends with the last process that holds it, so the
    /// end is that of everything that the program has started.
    pub(crate) fn try_end(mut self, limit: Duration) -> Result<Ended, (String, String)> {
        let deadline = Instant::now() + limit;
        let (mut stdout, mut stderr) = (std::mem::take(&mut self.heard), String::new());
        let ended =
            drain(self.stdout.take(), deadline, &mut stdout) && drain(self.stderr.take(), deadline, &mut stderr);
        if !ended {
            self.kill();
            return Err((stdout, stderr));
        }
        let status = self.child.wait().expect("a child of ours");
        Ok(Ended { status, stdout, stderr })
    }

    /// Sends a signal to the process itself.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it has not been waited for");
    }

    fn kill(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        // The group's other members may have ended by themselves.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
            let _ = self.child.wait();
        }
    }
}

/// Whether the stream ended before the deadline.
fn drain(stream: Option<mpsc::Receiver<String>>, deadline: Instant, to: &mut String) -> bool {
    let Some(stream) = stream else { return true };
    loop {
        match stream.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => *to += &line,
            Err(mpsc::RecvTimeoutError::Disconnected) => return true,
            Err(mpsc::RecvTimeoutError::Timeout) => return false,
        }
    }
}

fn lines(stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|octets| octets > 0) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
            line.clear();
        }
    });
    lines
}

/// Runs a program to its end.
#[track_caller]
pub(crate) fn finish(command: &mut Command, limit: Duration) -> Ended {
    Running::start(command).end(limit)
}

/// Where a program is that the unprivileged user can run: version managers keep theirs in root's home.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = [
        "/usr/local/bin",
        "/usr/bin",
        "/bin",
        "/usr/local/sbin",
        "/usr/sbin",
        "/sbin",
    ]
    .map(PathBuf::from);
    let directories = std::env::split_paths(&path).filter(|directory| !is_root() || !directory.starts_with("/root"));
    directories
        .chain(usual)
        .map(|directory| directory.join(program))
        .find(|file| {
            fs::metadata(file)
                .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o005 == 0o005)
        })
}

/// Says, where libtest cannot swallow it, why a test or a part of it is not run.
pub(crate) fn skip(what: &str, reason: &str) {
    let _ = writeln!(std::io::stderr(), "skipped {what}: {reason}");
}

/// The program, or a word about its absence.
pub(crate) fn need(what: &str, program: &str) -> Option<PathBuf> {
    let found = find(program);
    if found.is_none() {
        skip(what, &format!("there is no {program}"));
    }
    found
}

/// A port of the host's loopback that nobody has at the moment, by IPv4 and IPv6, and that no socket without a wish is given before it is published:
/// it lies below `ip_local_port_range`. Each process begins at another one, and none is named twice by the same.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static NAMED: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(61);
    (0..COUNT)
        .map(|_| {
            let turn = begin.wrapping_add(NAMED.fetch_add(1, Ordering::Relaxed));
            u16::try_from(FIRST + turn % COUNT).expect("below 30,000")
        })
        .find(|port| !taken((Ipv4Addr::LOCALHOST, *port).into()) && !taken((Ipv6Addr::LOCALHOST, *port).into()))
        .expect("a free port")
}

/// Whether somebody listens there. A host without IPv6 has nobody at its addresses.
fn taken(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
}

/// The repository's root.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
