//! Where the compared processes run, and how they are started.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::load::{self, Figure, PATIENCE};

/// Longer than a process of this program takes for all its figures: it gives each of them [`PATIENCE`] and ends with the first that fails.
const ALL_PATIENCE: Duration = Duration::from_secs(4 * PATIENCE.as_secs());

/// What carries the octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Kernel,
    Prise,
    PriseWithoutJoining,
    /// Loopback ports of its namespace that lead to the host's, by splice(2).
    PastaSpliced,
    /// Through its tap device.
    PastaTap,
    Slirp,
}

/// Which side is in the peer's world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The client.
    Outbound,
    /// The server.
    Published,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Prise => "prise",
            Self::PriseWithoutJoining => "prise --no-join",
            Self::PastaSpliced => "pasta, spliced",
            Self::PastaTap => "pasta, tap",
            Self::Slirp => "slirp4netns",
        }
    }

    fn program(self) -> Option<&'static str> {
        match self {
            Self::Kernel | Self::Prise | Self::PriseWithoutJoining => None,
            Self::PastaSpliced | Self::PastaTap => Some("pasta"),
            Self::Slirp => Some("slirp4netns"),
        }
    }
}

/// Whether the peer is installed and may make its namespace; if not, says so once.
pub(crate) fn is_present(peer: Peer) -> bool {
    static SAID: Mutex<Vec<&str>> = Mutex::new(Vec::new());
    let Some(program) = peer.program() else { return true };
    let installed = succeeds(Command::new("sh").args(["-c", &format!("command -v {program}")]));
    let allowed = succeeds(Command::new("unshare").args(["-rn", "true"]));
    if installed && allowed {
        return true;
    }
    let mut said = SAID.lock().expect("nobody panics");
    if !said.contains(&program) {
        said.push(program);
        let why = if installed {
            "namespaces are not allowed"
        } else {
            "it is not installed"
        };
        println!("{program} is left out: {why}");
    }
    false
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// The words that put a program into the world of prise, or leave it in the kernel's.
fn prised(peer: Peer, options: &[&str]) -> Vec<String> {
    let words: &[&str] = match peer {
        Peer::Prise => &[env!("CARGO_BIN_EXE_prise"), "run"],
        Peer::PriseWithoutJoining => &[env!("CARGO_BIN_EXE_prise"), "run", "--no-join"],
        _ => return Vec::new(),
    };
    owned(&[words, options, &["--"]].concat())
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().copied().map(String::from).collect()
}

/// This program behind `wrap`.
fn myself(wrap: &[String], arguments: &[&str]) -> Command {
    let own = std::env::current_exe().expect("this program has a path");
    let words = [wrap, &[own.display().to_string()], &owned(arguments)].concat();
    let mut command = Command::new(&words[0]);
    // A group of its own: pasta leaves what runs in its namespace alone when it is ended.
    command.args(&words[1..]).stdin(Stdio::null()).process_group(0);
    command
}

/// Its figures, a line each.
fn figures(wrap: &[String], arguments: &[&str], rows: &[usize]) -> Vec<Figure> {
    let rows: Vec<String> = rows.iter().map(usize::to_string).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let mut command = myself(wrap, &[arguments, &rows[..]].concat());
    let Ok(mut child) = command.stdout(Stdio::piped()).spawn() else {
        return Vec::new();
    };
    let text = child.stdout.take().and_then(|output| {
        told(output, ALL_PATIENCE, |output| {
            let mut text = String::new();
            output.read_to_string(&mut text).map(|_| text)
        })
    });
    stop(&mut child);
    let figure = |line: &str| line.parse().map_err(|_| line.to_owned());
    text.unwrap_or_default().lines().map(figure).collect()
}

/// What is read from another process, unless that takes too long.
fn told<R: Read + Send + 'static>(
    output: R,
    patience: Duration,
    read: fn(&mut BufReader<R>) -> std::io::Result<String>,
) -> Option<String> {
    let (done, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        // Nobody waits for it any more.
        let _ = done.send(read(&mut output));
    });
    told.recv_timeout(patience).ok()?.ok()
}

/// The same reason for each row.
fn failed(rows: &[usize], why: &str) -> Vec<Figure> {
    let count = rows.iter().max().map_or(0, |row| row + 1);
    vec![Err(why.to_owned()); count]
}

/// A server that was started and is stopped by being dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(wrap: &[String], port: &str) -> Option<Self> {
        let mut command = myself(wrap, &["serve", port]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
        let line = told(child.stdout.take()?, PATIENCE, |output| {
            let mut line = String::new();
            output.read_line(&mut line).map(|_| line)
        });
        // Without a line it has ended, or never will.
        let Some(port) = line.and_then(|line| line.trim().parse().ok()) else {
            stop(&mut child);
            return None;
        };
        Some(Self { child, port })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// Ends a child that was started here, and its own.
fn stop(child: &mut Child) {
    let pid = rustix::process::Pid::from_child(child);
    let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::TERM);
    let patience = Instant::now() + Duration::from_secs(2);
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    let _ = child.wait();
}

/// Both processes in one world.
pub(crate) fn within(peer: Peer, rows: &[usize]) -> Vec<Figure> {
    figures(&prised(peer, &[]), &["pair"], rows)
}

/// Starts a server beside this process and asks it.
pub(crate) fn pair(is_chosen: &dyn Fn(usize) -> bool) -> Vec<Figure> {
    let server = Server::start(&[], "0").expect("a server");
    load::ask(SocketAddr::from(([127, 0, 0, 1], server.port)), is_chosen)
}

/// What one call costs.
pub(crate) fn calls(peer: Peer) -> Vec<Figure> {
    figures(&prised(peer, &[]), &["calls"], &[])
}

/// Client and server in two worlds.
pub(crate) fn across(peer: Peer, way: Way, rows: &[usize]) -> Vec<Figure> {
    let measured = match way {
        Way::Outbound => outbound(peer, rows),
        Way::Published => published(peer, rows),
    };
    measured.unwrap_or_else(|why| failed(rows, why))
}

const NO_WORLD: &str = "its world could not be made";
const NO_SERVER: &str = "the server did not start";

fn outbound(peer: Peer, rows: &[usize]) -> Result<Vec<Figure>, &'static str> {
    let server = Server::start(&[], "0").ok_or(NO_SERVER)?;
    let port = server.port;
    let (host, wrap, _namespace) = enter(peer, &format!("{port}"), None).ok_or(NO_WORLD)?;
    Ok(figures(&wrap, &["ask", &format!("{host}:{port}")], rows))
}

fn published(peer: Peer, rows: &[usize]) -> Result<Vec<Figure>, &'static str> {
    let port = free_port();
    let inner = if peer == Peer::Kernel { port } else { 7000 };
    let (_, wrap, _namespace) = enter(peer, "none", Some(port)).ok_or(NO_WORLD)?;
    let _server = Server::start(&wrap, &inner.to_string()).ok_or(NO_SERVER)?;
    await_port(port)?;
    Ok(figures(&[], &["ask", &format!("127.0.0.1:{port}")], rows))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

/// pasta listens before its namespace is ready; a server there answers when it is.
fn await_port(port: u16) -> Result<(), &'static str> {
    let answers = || {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(&load::opening(b'c', 0))?;
        stream.read_exact(&mut [0])
    };
    if await_for(|| answers().is_ok()) {
        Ok(())
    } else {
        Err("nobody answered at the published port")
    }
}

/// What lets a program run in the peer's world: the host's address there, the words before it, and what must live on.
fn enter(peer: Peer, out: &str, published: Option<u16>) -> Option<(&'static str, Vec<String>, Option<Namespace>)> {
    let forward = published.map_or_else(|| "none".to_owned(), |port| format!("{port}:7000"));
    match peer {
        Peer::Kernel => Some(("127.0.0.1", Vec::new(), None)),
        Peer::Prise | Peer::PriseWithoutJoining => {
            let options: &[&str] = if published.is_some() { &["-p", &forward] } else { &[] };
            Some(("10.0.2.2", prised(peer, options), None))
        }
        Peer::PastaSpliced | Peer::PastaTap => {
            let spliced = peer == Peer::PastaSpliced;
            let mut words = owned(&[
                "pasta",
                "-f",
                "-q",
                "--config-net",
                "-t",
                &forward,
                "-u",
                "none",
                "-U",
                "none",
            ]);
            words.extend(owned(&["-T", if spliced { out } else { "none" }]));
            words.extend(owned(&["-a", "10.99.0.2", "-n", "24", "-g", "10.99.0.1"]));
            if rustix::process::geteuid().is_root() {
                words.extend(owned(&["--runas", "0"]));
            }
            words.push("--".to_owned());
            Some((if spliced { "127.0.0.1" } else { "10.99.0.1" }, words, None))
        }
        Peer::Slirp => {
            let namespace = Namespace::new(published)?;
            let words = namespace.words.clone();
            Some(("10.0.2.2", words, Some(namespace)))
        }
    }
}

/// A namespace that slirp4netns serves.
struct Namespace {
    holder: Child,
    slirp: Child,
    words: Vec<String>,
}

impl Namespace {
    fn new(published: Option<u16>) -> Option<Self> {
        let mut holder = Command::new("unshare");
        let mut holder = holder.args(["-rn", "sleep", "600"]).process_group(0).spawn().ok()?;
        let pid = holder.id().to_string();
        let words = owned(&["nsenter", "-t", &pid, "-U", "-n", "--preserve-credentials"]);
        let inside = |arguments: &[&str]| {
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]).args(arguments);
            command
        };
        let is_new = await_for(|| succeeds(&mut inside(&["ip", "link", "set", "lo", "up"])));
        let api = std::env::temp_dir().join(format!("prise-peers-{pid}.sock"));
        let slirp = Command::new("slirp4netns")
            .args(["--configure", "--mtu=65520", "--api-socket"])
            .arg(&api)
            .args([&pid, "tap0"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        let Ok(slirp) = slirp else {
            stop(&mut holder);
            return None;
        };
        let has_address = "ip -4 address show tap0 | grep -q 10.0.2.100";
        let ready = is_new && await_for(|| succeeds(&mut inside(&["sh", "-c", has_address])));
        let namespace = Self { holder, slirp, words };
        let forwarded = published.is_none_or(|port| forward(&api, port).is_some());
        let _ = std::fs::remove_file(&api);
        (ready && forwarded).then_some(namespace)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        stop(&mut self.slirp);
        stop(&mut self.holder);
    }
}

/// Looks again and again, for some seconds at most.
fn await_for(mut holds: impl FnMut() -> bool) -> bool {
    let patience = Instant::now() + Duration::from_secs(5);
    while Instant::now() < patience {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// Asks slirp4netns to lead a port of the host's loopback to port 7000.
fn forward(api: &std::path::Path, port: u16) -> Option<()> {
    let mut stream = UnixStream::connect(api).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let wish = format!(
        "{{\"execute\":\"add_hostfwd\",\"arguments\":{{\"proto\":\"tcp\",\"host_addr\":\"127.0.0.1\",\"host_port\":{port},\
         \"guest_addr\":\"10.0.2.100\",\"guest_port\":7000}}}}"
    );
    stream.write_all(wish.as_bytes()).ok()?;
    stream.shutdown(std::net::Shutdown::Write).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.contains("return").then_some(())
}

/// Real programs, server and client in one world, in the order of `PROGRAM_ROWS`.
pub(crate) fn programs(peer: Peer, rows: &[usize]) -> Vec<Figure> {
    let wrap = prised(peer, &[]);
    let port = free_port();
    let redis = |options: &str| {
        format!(
            "redis-server --port {port} --save '' --bind 127.0.0.1 >/dev/null 2>&1 & \
             until redis-cli -p {port} ping 2>/dev/null | grep -q PONG; do sleep 0.02; done; \
             redis-benchmark -p {port} -q -n 60000 -c 20 {options} -t get | tr '\\r' '\\n' | grep -o 'GET: [0-9.]*' | grep -v ' 0'; \
             redis-cli -p {port} shutdown nosave; wait"
        )
    };
    let nginx = format!(
        "d=$(mktemp -d); printf 'worker_processes 1; daemon off; error_log /dev/null; pid %s/pid; events {{}} http {{ access_log off; \
         client_body_temp_path %s; proxy_temp_path %s; fastcgi_temp_path %s; uwsgi_temp_path %s; scgi_temp_path %s; \
         server {{ listen 127.0.0.1:{port}; location / {{ return 200 hello; }} }} }}' $d $d $d $d $d $d >$d/conf; \
         nginx -c $d/conf & until curl -so /dev/null 127.0.0.1:{port}; do sleep 0.02; done; \
         wrk -t1 -c32 -d1s http://127.0.0.1:{port}/ | grep Requests; kill %1; wait; rm -r $d"
    );
    let iperf = format!(
        "iperf3 -s -1 -p {port} >/dev/null & sleep 0.3; iperf3 -c 127.0.0.1 -p {port} -t 1 -f g | \
         awk '/receiver/ {{ for (i = 2; i <= NF; i++) if ($i ~ \"bits/sec\") print $(i - 1) }}'"
    );
    [
        (redis(""), "redis-benchmark"),
        (redis("-P 16"), "redis-benchmark"),
        (nginx, "wrk"),
        (iperf, "iperf3"),
    ]
    .into_iter()
    .enumerate()
    .map(|(row, (script, needs))| {
        if rows.contains(&row) {
            number(&wrap, &script, needs)
        } else {
            Err("not asked for".to_owned())
        }
    })
    .collect()
}

/// The first number that a script prints; none where what it needs is missing.
fn number(wrap: &[String], script: &str, needs: &str) -> Figure {
    let there = succeeds(Command::new("sh").args(["-c", &format!("command -v {needs}")]));
    if !there {
        return Err(format!("{needs} is not installed"));
    }
    let words = [wrap, &owned(&["timeout", "-k", "5", "20", "bash", "-c", script])].concat();
    let output = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut words = text.split_ascii_whitespace();
    words
        .find_map(|word| word.parse().ok())
        .ok_or_else(|| "it printed no number".to_owned())
}
