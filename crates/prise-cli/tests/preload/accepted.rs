//! Clients of a published port that are accepted without asking.

use super::*;

/// A server at a published port that says whom it has accepted, and does as its client says.
const SERVER: &str = r"
import socket, sys, threading
family, host = (socket.AF_INET6, '::') if sys.argv[1] == '6' else (socket.AF_INET, '0.0.0.0')
l = socket.create_server((host, 7000), family=family, backlog=16, dualstack_ipv6=family == socket.AF_INET6)
print('ready', flush=True)
for line in sys.stdin:
    if line == 'accept\n':
        s, name = l.accept()
        print('from', name[0], name[1] == s.getpeername()[1], name[0] == s.getpeername()[0], s.getsockname()[1], flush=True)
        s.sendall(b'!')
        s.close()
    if line == 'connect\n':
        # Somebody of the run, who has another name, comes while accept(2) waits.
        def visit():
            c = socket.create_connection(('127.0.0.1', 7000))
            print('visited', c.getpeername()[0], c.getsockname()[0], c.recv(1) == b'!', flush=True)
        threading.Timer(0.2, visit).start()
    if line == 'nobody\n':
        l.setblocking(False)
        try:
            l.accept()
        except BlockingIOError:
            print('nobody', flush=True)
        l.setblocking(True)
";

/// The server in a run, and what it is told.
struct Served {
    run: Running,
    input: std::process::ChildStdin,
    port: u16,
}

impl Served {
    fn start(stage: &Stage, python: &Path, family: &str) -> Self {
        let script = stage.write("server.py", SERVER);
        let port = free_port();
        let publish = format!("{port}:7000");
        let words: [OsString; 3] = [python.into(), script.into(), family.into()];
        let mut run = Running::start(stage.run(&["-p", &publish], &words).stdin(Stdio::piped()));
        run.wait_for("ready", LIMIT);
        let input = run.stdin().expect("a pipe");
        Self { run, input, port }
    }

    fn say(&mut self, word: &str) {
        writeln!(self.input, "{word}").expect("room");
    }

    /// A client of the host's comes.
    fn come(&self, host: &str) {
        let mut client = TcpStream::connect((host, self.port)).expect("a listener");
        let mut octet = [0];
        client.read_exact(&mut octet).expect("an answer");
    }

    fn end(self) {
        drop(self.input);
        self.run.end(LIMIT).expect_success();
    }
}

#[test]
fn clients_of_a_published_port_are_accepted_while_the_supervisor_stands_still() {
    let Some(python) = python() else { return };
    let stage = Stage::new();
    let mut served = Served::start(&stage, &python, "4");
    // The first one shows that the library is there.
    served.say("accept");
    served.come("127.0.0.1");
    assert_eq!(
        served.run.wait_for("from", LIMIT).trim(),
        "from 10.0.2.2 True True 7000"
    );
    let supervisor = Pid::from_raw(served.run.pid() as i32).expect("a process");
    kill_process(supervisor, Signal::STOP).expect("it is ours");
    served.say("accept");
    served.come_asked_nothing(supervisor);
    served.say("nobody");
    kill_process(supervisor, Signal::CONT).expect("it is ours");
    served.run.wait_for("nobody", LIMIT);
    served.end();
}

impl Served {
    /// A client is accepted though the supervisor stands still; what the server then asks about it has to wait.
    fn come_asked_nothing(&mut self, supervisor: Pid) {
        let mut client = TcpStream::connect(("127.0.0.1", self.port)).expect("a listener");
        // The queue is empty once it was accepted, which the kernel tells of the listener.
        let listens = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.get(1) == Some(&format!("0100007F:{:04X}", self.port).as_str()) && words.get(3) == Some(&"0A")
        };
        let queue = || {
            let table = std::fs::read_to_string("/proc/net/tcp").expect("a table");
            let line = table
                .lines()
                .find(|line| listens(line))
                .expect("the listener")
                .to_owned();
            line.split_whitespace().nth(4).map(str::to_owned)
        };
        let begin = std::time::Instant::now();
        while queue().as_deref() != Some("00000000:00000000") {
            assert!(begin.elapsed() < LIMIT, "nobody has accepted the client");
            std::thread::yield_now();
        }
        kill_process(supervisor, Signal::CONT).expect("it is ours");
        assert_eq!(self.run.wait_for("from", LIMIT).trim(), "from 10.0.2.2 True True 7000");
        client.read_exact(&mut [0]).expect("an answer");
    }
}

#[test]
fn who_else_comes_to_a_published_listener_has_the_runs_name() {
    let Some(python) = python() else { return };
    let stage = Stage::new();
    for (family, gateway, guest) in [
        ("4", "10.0.2.2", "127.0.0.1"),
        ("6", "::ffff:10.0.2.2", "::ffff:127.0.0.1"),
    ] {
        let mut served = Served::start(&stage, &python, family);
        for _ in 0..2 {
            served.say("accept");
            served.come("127.0.0.1");
            assert_eq!(
                served.run.wait_for("from", LIMIT).trim(),
                format!("from {gateway} True True 7000")
            );
        }
        // accept(2) waits in the kernel when the leave is taken back.
        served.say("connect");
        served.say("accept");
        assert_eq!(
            served.run.wait_for("from", LIMIT).trim(),
            format!("from {guest} True True 7000")
        );
        assert_eq!(
            served.run.wait_for("visited", LIMIT).trim(),
            "visited 127.0.0.1 127.0.0.1 True"
        );
        served.say("accept");
        served.come("127.0.0.1");
        assert_eq!(
            served.run.wait_for("from", LIMIT).trim(),
            format!("from {gateway} True True 7000")
        );
        served.end();
    }
}

#[test]
fn who_waits_with_the_supervisor_is_accepted_by_a_call_that_waits_in_the_kernel() {
    let Some(python) = python() else { return };
    if TcpListener::bind("[::1]:0").is_err() {
        return skip("a client by IPv6", "the host has no IPv6 loopback");
    }
    let stage = Stage::new();
    // By IPv4 its clients come to the listener itself, by IPv6 to the gateway.
    let mut served = Served::start(&stage, &python, "6");
    for (host, shown) in [
        ("127.0.0.1", "::ffff:10.0.2.2"),
        ("127.0.0.1", "::ffff:10.0.2.2"),
        ("::1", "fd00:2::2"),
        ("127.0.0.1", "::ffff:10.0.2.2"),
        ("::1", "fd00:2::2"),
    ] {
        served.say("accept");
        served.come(host);
        assert_eq!(
            served.run.wait_for("from", LIMIT).trim(),
            format!("from {shown} True True 7000")
        );
    }
    served.end();
}

#[test]
fn many_who_accept_and_many_who_come_from_both_sides_are_told_the_right_names() {
    const CROWD: &str = r"
import os, signal, socket, sys, threading
workers, own = int(sys.argv[1]), int(sys.argv[2])
l = socket.create_server(('0.0.0.0', 7000), backlog=512)
def serve():
    while True:
        s, name = l.accept()
        wanted = '127.0.0.1' if s.recv(1) == b'i' else '10.0.2.2'
        s.sendall(b'y' if name == s.getpeername() and name[0] == wanted else b'n')
        s.close()
children = []
for _ in range(workers):
    children.append(os.fork())
    if not children[-1]:
        break
if not children or children[-1]:
    print('ready', flush=True)
    threading.Thread(target=serve, daemon=True).start()
    input()
    wrong = 0
    for _ in range(own):
        with socket.create_connection(('127.0.0.1', 7000)) as c:
            c.sendall(b'i')
            wrong += c.recv(1) != b'y'
    print('wrong', wrong, flush=True)
    input()
    for child in children:
        os.kill(child, signal.SIGKILL)
    os._exit(0)
for _ in range(4):
    threading.Thread(target=serve, daemon=True).start()
serve()
";
    let Some(python) = python() else { return };
    let stage = Stage::new();
    let script = stage.write("crowd.py", CROWD);
    for workers in ["0", "2"] {
        let port = free_port();
        let words = [
            python.clone().into(),
            script.clone().into(),
            workers.into(),
            "50".into(),
        ];
        let mut run = Running::start(
            stage
                .run(&["-p", &format!("{port}:7000")], &words)
                .stdin(Stdio::piped()),
        );
        run.wait_for("ready", LIMIT);
        let mut input = run.stdin().expect("a pipe");
        let come = move |clients: usize| {
            for _ in 0..clients {
                let mut client = TcpStream::connect(("127.0.0.1", port)).expect("a listener");
                client.write_all(b"o").expect("room");
                let mut answer = [0];
                client.read_exact(&mut answer).expect("an answer");
                assert_eq!(answer, *b"y", "a client's name");
            }
        };
        // Once all of them are unasked, the run's own clients come between them.
        come(20);
        let crowd: Vec<_> = (0..3).map(|_| std::thread::spawn(move || come(100))).collect();
        writeln!(input, "visit").expect("room");
        assert_eq!(run.wait_for("wrong", LIMIT).trim(), "wrong 0");
        for clients in crowd {
            clients.join().expect("the right names");
        }
        writeln!(input, "end").expect("room");
        run.end(LIMIT).expect_success();
    }
}
