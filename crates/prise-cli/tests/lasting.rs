//! A run that lasts: connections, datagram sockets and processes come and go, and nothing of them stays in the supervisor.

mod world;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use world::{Ended, Running, Stage, finish, need};

const LIMIT: Duration = Duration::from_mins(2);

/// Each line of input is one round: connections by threads and by processes, datagrams, resets, and failures.
const CHURN: &str = r#"
import os, socket, struct, sys, threading

listeners = [socket.create_server(("127.0.0.1", 0), backlog=100), socket.create_server(("::1", 0), family=socket.AF_INET6, backlog=100)]

def serve(listener):
    while True:
        connection, _ = listener.accept()
        try:
            connection.sendall(connection.recv(100))
        except ConnectionResetError:
            pass
        connection.close()

for listener in listeners:
    threading.Thread(target=serve, args=(listener,), daemon=True).start()

def connect(listener, abort=False):
    with socket.create_connection(listener.getsockname()[:2]) as client:
        if abort:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        client.sendall(b"come and go")
        assert client.recv(100) == b"come and go"

def datagrams():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        one.bind(("127.0.0.1", 0))
        other.sendto(b"hello", one.getsockname())
        assert one.recv(100) == b"hello"

def refused():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lonely:
        lonely.connect(("127.0.0.1", 1))
        lonely.send(b"hello")
        try:
            lonely.recv(100)
        except ConnectionError:
            pass

outside = ("10.0.2.2", int(sys.argv[1]))

def leave(asked):
    with socket.socket() as client:
        client.connect(outside)
        assert not asked or client.getpeername() == outside
        client.sendall(b"out and back")
        assert client.recv(100, socket.MSG_WAITALL) == b"out and back"

closed = socket.socket()
closed.bind(("127.0.0.1", 0))
for line in sys.stdin:
    for number in range(300):
        connect(listeners[number % 2], abort=number % 7 == 0)
        datagrams()
        refused()
        leave(asked=number % 3 == 0)
        unused = socket.socket()
        try:
            socket.create_connection(closed.getsockname())
        except ConnectionRefusedError:
            pass
    for _ in range(10):
        if os.fork() == 0:
            connect(listeners[0])
            os._exit(0)
    for _ in range(10):
        os.wait()
    print("round", line.strip(), flush=True)
"#;

/// Echoes to whoever comes, one after the other, as long as the test runs.
fn echo() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for mut end in listener.incoming().flatten() {
            let mut room = [0; 100];
            // Who closes early is of no interest.
            if let Ok(read) = end.read(&mut room) {
                let _ = end.write_all(&room[..read]);
            }
        }
    });
    port
}

/// Tasks one after the other, each with a connection of its own; those that fail are told.
const TASKS: &str = r#"
import os, socket, threading
listener = socket.create_server(("127.0.0.1", 0))
failed = []

def connect():
    try:
        with socket.create_connection(listener.getsockname()) as client:
            listener.accept()[0].close()
    except OSError as error:
        failed.append(error.strerror)

for _ in range(150):
    thread = threading.Thread(target=connect)
    thread.start()
    thread.join()
    child = os.fork()
    if child == 0:
        failed.clear()
        connect()
        print(*failed, end="", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
print("failed", failed)
"#;

/// Takes all descriptors that there are for connections, and then asks much of the first of these, from several tasks.
const ALL: &str = r#"
import os, socket, threading
listener = socket.create_server(("127.0.0.1", 0))
first = socket.create_connection(listener.getsockname())
accepted, _ = listener.accept()
held = []
try:
    while True:
        held.append(socket.create_connection(listener.getsockname()))
        held.append(listener.accept()[0])
except OSError as error:
    print(error.strerror)

def use():
    global said
    first.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    first.sendall(b"goes on")
    said = accepted.recvmsg(100, 100)[0], accepted.getpeername() == first.getsockname()

use()
print(said)
for _ in range(100):
    said = None
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
child = os.fork()
if child == 0:
    use()
    os._exit(0)
print(said, os.waitpid(child, 0)[1])
first.shutdown(socket.SHUT_WR)
print(accepted.recv(1))
"#;

/// Open sockets and resident memory in KiB. Descriptors of processes are not counted: some dozens that have ended are remembered.
fn held(pid: u32) -> (usize, u64) {
    let directory = fs::read_dir(format!("/proc/{pid}/fd")).expect("the supervisor lives");
    let links = directory.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let sockets = links
        .filter(|link| link.to_string_lossy().starts_with("socket:"))
        .count();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the supervisor lives");
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    (sockets, resident.expect("a VmRSS line"))
}

#[test]
fn what_comes_and_goes_leaves_neither_sockets_nor_memory() {
    let Some(python) = need("coming and going", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("churn.py", CHURN);
    let port = echo().to_string();
    let mut command = stage.run(&[], &[python.into(), script.into(), port.into()]);
    let mut run = Running::start(command.stdin(Stdio::piped()));
    let mut input = run.stdin().expect("a pipe");
    let mut round = |number: usize| {
        writeln!(input, "{number}").expect("the program reads");
        run.wait_for(&format!("round {number}\n"), LIMIT);
        // Closed datagram sockets lie about until enough of them have come together; a question of prise ss sweeps.
        finish(&mut stage.prise(["ss"]), LIMIT).expect_success();
        held(run.pid())
    };
    // Two rounds fill caches, pools and the allocator; what grows after them grows for ever.
    let (_, (sockets, memory)) = (round(1), round(2));
    let (mut after, mut grown) = (0, 0);
    for number in 3..=6 {
        (after, grown) = round(number);
    }
    // A connection that just ended may still be closing: its sockets go a moment later.
    assert!(after <= sockets + 8, "{sockets} sockets became {after}");
    // TIME-WAIT keeps 64 octets and a table entry for each of some 1,000 connections for a minute; a leaked buffer for
    // each would be far above this.
    assert!(grown < memory + 2048, "{memory} KiB became {grown}");
    drop(input);
    run.end(LIMIT).expect_success();
}

/// A run that may have few descriptors.
fn with_few(stage: &Stage, options: &str, program: &str) -> Ended {
    let prise = stage.path("prise");
    let line = format!(
        "ulimit -n 64; exec {} run {options} --link none -- {program}",
        prise.display()
    );
    finish(&mut stage.native("sh", ["-c", &line]), LIMIT).expect_success()
}

#[test]
fn tasks_that_have_ended_take_no_descriptors_from_the_others() {
    let Some(python) = need("few descriptors", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("tasks.py", TASKS);
    for options in ["", "--no-join"] {
        let ended = with_few(&stage, options, &format!("{} {}", python.display(), script.display()));
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("failed []\n", ""));
    }
}

#[test]
fn connections_work_on_where_no_more_can_be_made() {
    let Some(python) = need("no descriptors", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("all.py", ALL);
    for options in ["", "--no-join"] {
        let ended = with_few(&stage, options, &format!("{} {}", python.display(), script.display()));
        assert_eq!(
            ended.stdout, "Too many open files\n(b'goes on', True)\n(b'goes on', True) 0\nb''\n",
            "{}",
            ended.stderr
        );
    }
}
