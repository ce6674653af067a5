//! Listeners of a run seen from the host: who can reach them, and what becomes of those who should not.

mod world;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use world::{Running, Stage, finish, free_port, need};

const LIMIT: Duration = Duration::from_secs(150);

/// The number of the socket that a process has as a descriptor (`socket:[N]`, proc(5)).
fn inode(process: &str, descriptor: &str) -> String {
    let link = std::fs::read_link(format!("/proc/{process}/fd/{descriptor}")).expect("the guest's descriptor");
    let name = link.to_str().expect("a socket").to_owned();
    let number = name.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
    number.expect("a socket").to_owned()
}

/// The address and the state of a socket in the host's table (proc_net_tcp(5)).
fn row(inode: &str) -> Option<(SocketAddr, String)> {
    let table = std::fs::read_to_string("/proc/self/net/tcp").expect("the host's table");
    table.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        if columns.get(9) != Some(&inode) {
            return None;
        }
        let (address, port) = columns[1].split_once(':')?;
        let address = u32::from_str_radix(address, 16).ok()?.to_ne_bytes();
        let port = u16::from_str_radix(port, 16).ok()?;
        Some((SocketAddr::from((address, port)), columns[3].to_owned()))
    })
}

/// `TCP_LISTEN` as the table writes it.
const LISTENS: &str = "0A";

const VISITED: &str = r#"
import os, socket, sys

listener = socket.create_server(("127.0.0.1", 5000))
print("listens", os.getpid(), listener.fileno(), flush=True)
sys.stdin.readline()
client = socket.create_connection(listener.getsockname())
end, peer = listener.accept()
print("accepted", peer == client.getsockname(), flush=True)
listener.setblocking(False)
try:
    listener.accept()
except BlockingIOError:
    print("nobody else", flush=True)
sys.stdin.readline()
"#;

#[test]
fn who_comes_from_the_host_to_a_listener_within_the_run_is_reset_and_counted() {
    let Some(python) = need("strangers", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("visited.py", VISITED);
    let program = [python.into(), script.into()];
    let mut run = Running::start(stage.run(&[], &program).stdin(Stdio::piped()));
    let line = run.wait_for("listens", LIMIT);
    let words: Vec<&str> = line.split_whitespace().collect();
    let Some((at, state)) = row(&inode(words[1], words[2])) else {
        world::skip("strangers", "listeners are not the kernel's here");
        return;
    };
    assert!(at.ip().is_loopback(), "{at}");
    assert_eq!(state, LISTENS);
    let mut stranger = TcpStream::connect(at).expect("anybody of the host can connect");
    stranger.set_read_timeout(Some(LIMIT)).expect("a timeout");
    let mut stdin = run.stdin().expect("a pipe");
    stdin.write_all(b"\n").expect("the guest reads");
    assert_eq!(run.wait_for("accepted", LIMIT).trim(), "accepted True");
    run.wait_for("nobody else", LIMIT);
    let turned_away = stranger.read(&mut [0]).expect_err("reset");
    assert_eq!(turned_away.kind(), std::io::ErrorKind::ConnectionReset);
    let shown = finish(&mut stage.prise(["ss", "--json"]), LIMIT).expect_success();
    let reports: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    let mut own = reports.as_array().expect("a list").iter();
    let report = own.find(|report| report["supervisor"] == run.pid()).expect("this run");
    assert_eq!(report["strangers"], 1);
    drop(stdin);
    run.end(LIMIT).expect_success();
}

const SERVER: &str = r#"
import os, socket, sys

for turn in range(2):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", 5000))
    listener.listen(3)
    print("listens", os.getpid(), listener.fileno(), flush=True)
    end, peer = listener.accept()
    print("from", peer[0], peer[1], end.getsockname() == ("10.0.2.15", 5000), end.getpeername() == peer, flush=True)
    near = socket.create_connection(("127.0.0.1", 5000))
    end, peer = listener.accept()
    print("near", peer == near.getsockname(), flush=True)
    listener.shutdown(socket.SHUT_RDWR)
    print("shut", flush=True)
    sys.stdin.readline()
    listener.listen(3)
    print("listens again", flush=True)
    listener.accept()[0].sendall(b"again")
    listener.close()
    print("closed", flush=True)
    sys.stdin.readline()
"#;

#[test]
fn clients_of_a_published_port_come_to_the_programs_own_listener_while_there_is_one() {
    let Some(python) = need("published listeners", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script: PathBuf = stage.write("server.py", SERVER);
    let program = [python.into(), script.into()];
    for everywhere in [false, true] {
        let port = free_port();
        let publish = if everywhere {
            format!("0.0.0.0:{port}:5000")
        } else {
            format!("127.0.0.1:{port}:5000")
        };
        let mut run = Running::start(stage.run(&["-p", &publish], &program).stdin(Stdio::piped()));
        let mut stdin = run.stdin().expect("a pipe");
        let refused = || {
            let refused = TcpStream::connect(("127.0.0.1", port)).expect_err("nobody listens");
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        };
        for _ in 0..2 {
            let line = run.wait_for("listens", LIMIT);
            let words: Vec<&str> = line.split_whitespace().collect();
            let Some((at, state)) = row(&inode(words[1], words[2])) else {
                world::skip("published listeners", "listeners are not the kernel's here");
                return;
            };
            assert_eq!((at.port(), at.ip().is_unspecified()), (port, everywhere));
            assert_eq!(state, LISTENS);
            let client = TcpStream::connect(("127.0.0.1", port)).expect("the port is published");
            let own = client.local_addr().expect("connected").port();
            let told = run.wait_for("from", LIMIT);
            assert_eq!(told.trim(), format!("from 10.0.2.2 {own} True True"));
            assert_eq!(run.wait_for("near", LIMIT).trim(), "near True");
            run.wait_for("shut", LIMIT);
            refused();
            stdin.write_all(b"\n").expect("the guest reads");
            run.wait_for("listens again", LIMIT);
            let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens again");
            let mut said = String::new();
            client.read_to_string(&mut said).expect("an orderly end");
            assert_eq!(said, "again");
            run.wait_for("closed", LIMIT);
            refused();
            stdin.write_all(b"\n").expect("the guest reads");
        }
        run.end(LIMIT).expect_success();
        refused();
    }
}

const CLOSING: &str = r#"
import os, socket, sys

def listen():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", 5000))
    listener.listen()
    print("listens", os.getpid(), listener.fileno(), flush=True)
    return listener

listener = listen()
sys.stdin.readline()
listener.close()
print("closed", flush=True)
sys.stdin.readline()
listen().accept()[0].sendall(b"again")
"#;

/// The kernel tells of the close, and the supervisor may hear of it whenever it comes to that.
#[test]
fn a_published_port_is_the_runs_when_its_program_has_closed_the_listener() {
    let what = "published ports between listeners";
    let Some(python) = need(what, "python3") else {
        return;
    };
    let stage = Stage::new();
    let script: PathBuf = stage.write("closing.py", CLOSING);
    let port = free_port();
    let publish = format!("127.0.0.1:{port}:5000");
    let mut run = Running::start(
        stage
            .run(&["-p", &publish], &[python.into(), script.into()])
            .stdin(Stdio::piped()),
    );
    let mut stdin = run.stdin().expect("a pipe");
    let line = run.wait_for("listens", LIMIT);
    let words: Vec<&str> = line.split_whitespace().collect();
    if row(&inode(words[1], words[2])).is_none() {
        return world::skip(what, "listeners are not the kernel's here");
    }
    run.signal(Signal::STOP);
    stdin.write_all(b"\n").expect("the guest reads");
    run.wait_for("closed", LIMIT);
    // std's listeners ask for `SO_REUSEADDR`.
    let stranger = TcpListener::bind(("127.0.0.1", port)).map(drop);
    run.signal(Signal::CONT);
    assert_eq!(
        stranger.map_err(|error| error.kind()),
        Err(std::io::ErrorKind::AddrInUse)
    );
    stdin.write_all(b"\n").expect("the guest reads");
    run.wait_for("listens", LIMIT);
    let mut said = String::new();
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens again");
    client.read_to_string(&mut said).expect("an orderly end");
    assert_eq!(said, "again");
    run.end(LIMIT).expect_success();
}

const NEAR: &str = r#"
import socket, sys

listeners = [socket.create_server((host, 5000), family=family) for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6))]
print("listens", flush=True)
for listener in listeners:
    end, peer = listener.accept()
    print("from", peer[0], end.getsockname()[0], listener.getsockname()[0], flush=True)
    with socket.create_connection(listener.getsockname()[:2]) as near, listener.accept()[0] as end:
        print("near", end.getpeername() == near.getsockname(), flush=True)
    listener.close()
    print("closed", flush=True)
    sys.stdin.readline()
"#;

#[test]
fn clients_of_a_published_port_come_to_who_listens_on_the_loopback() {
    let Some(python) = need("published listeners of the loopback", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script: PathBuf = stage.write("near.py", NEAR);
    let program = [python.into(), script.into()];
    for further in [&[][..], &["--no-join"], &["--delay", "1ms"]] {
        let port = free_port();
        let publish = format!("{port}:5000");
        let options = [&["-p", &publish], further].concat();
        let mut run = Running::start(stage.run(&options, &program).stdin(Stdio::piped()));
        let mut stdin = run.stdin().expect("a pipe");
        run.wait_for("listens", LIMIT);
        for (host, told) in [
            ("127.0.0.1", "10.0.2.2 10.0.2.15 127.0.0.1"),
            ("::1", "fd00:2::2 fd00:2::15 ::1"),
        ] {
            let client = TcpStream::connect((host, port)).expect("the port is published");
            assert_eq!(
                run.wait_for("from", LIMIT).trim(),
                format!("from {told}"),
                "{options:?}"
            );
            assert_eq!(run.wait_for("near", LIMIT).trim(), "near True", "{options:?}");
            drop(client);
            run.wait_for("closed", LIMIT);
            if further.is_empty() {
                // Else it is the gateway that listens, which hears of the close a moment later.
                let refused = TcpStream::connect((host, port)).expect_err("nobody listens");
                assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
            }
            stdin.write_all(b"\n").expect("the guest reads");
        }
        run.end(LIMIT).expect_success();
    }
}

const NEAR_BY_UDP: &str = r#"
import errno, socket, sys

def refused(call, *arguments):
    try:
        return call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]

for host, family, elsewhere in (("127.0.0.1", socket.AF_INET, "192.0.2.1"), ("::1", socket.AF_INET6, "2001:db8::1")):
    near, far = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
    near.bind((host, 5000))
    print("hears", flush=True)
    octets, peer = near.recvfrom(100)
    near.sendto(b"by its name " + octets, peer)
    if sys.argv[1:] == ["confined"]:
        elsewhere = [(elsewhere, 9), (peer[0], 9)]
        print("refused", *(refused(it.sendto, b"out", to) for it in (near, far) for to in elsewhere), refused(far.sendto, b"out", peer), flush=True)
    near.connect(peer)
    near.send(b"connected")
    print("from", peer[0], near.getsockname()[:2], near.getpeername() == peer, near.recv(100), flush=True)
    near.close()
    near = socket.socket(family, socket.SOCK_DGRAM)
    near.bind((host, 5000))
    far.sendto(b"within", near.getsockname())
    print("near", near.recvfrom(100)[1][0], flush=True)
    near.close()
"#;

#[test]
fn clients_of_a_published_port_reach_a_datagram_socket_of_the_loopback() {
    let Some(python) = need("published sockets of the loopback", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script: PathBuf = stage.write("near.py", NEAR_BY_UDP);
    for further in [&[][..], &["--no-join"], &["--deny", "*"]] {
        let confined = further.contains(&"--deny");
        let mut program: Vec<OsString> = vec![python.clone().into(), script.clone().into()];
        program.extend(confined.then(|| "confined".into()));
        let port = free_port();
        let publish = format!("{port}:5000/udp");
        let options = [&["-p", &publish], further].concat();
        let mut run = Running::start(&mut stage.run(&options, &program));
        for (host, gateway) in [("127.0.0.1", "10.0.2.2"), ("::1", "fd00:2::2")] {
            run.wait_for("hears", LIMIT);
            let client = UdpSocket::bind((host, 0)).expect("a port");
            client.connect((host, port)).expect("a way");
            client.set_read_timeout(Some(LIMIT)).expect("a timeout");
            let mut said = [0; 100];
            let mut answer = || {
                let len = client.recv(&mut said).expect("an answer");
                String::from_utf8_lossy(&said[..len]).into_owned()
            };
            client.send(b"one").expect("room");
            assert_eq!([answer(), answer()], ["by its name one", "connected"]);
            if confined {
                // The client who has spoken may be answered, by the socket that it has spoken to; nobody else may be sent anything.
                assert_eq!(
                    run.wait_for("refused", LIMIT).trim(),
                    "refused EACCES EACCES EACCES EACCES EACCES"
                );
            }
            client.send(b"two").expect("room");
            let told = run.wait_for("from", LIMIT);
            assert_eq!(
                told.trim(),
                format!("from {gateway} ('{host}', 5000) True b'two'"),
                "{options:?}"
            );
            assert_eq!(
                run.wait_for("near", LIMIT).trim(),
                format!("near {host}"),
                "{options:?}"
            );
        }
        run.end(LIMIT).expect_success();
    }
}

/// What `accepted.py` prints, visited by clients of this process.
fn accepted(mut run: Running, port: u16) -> String {
    const WAIT_FIRST: usize = 20;
    const AT_ONCE: usize = 40;
    run.wait_for("ready", LIMIT);
    let mut stdin = run.stdin().expect("a pipe");
    let connect = || TcpStream::connect(("127.0.0.1", port)).expect("the port is published");
    let mut tell = |clients: &[TcpStream]| {
        let port_of = |client: &TcpStream| client.local_addr().expect("connected").port().to_string();
        let ports: Vec<String> = clients.iter().map(port_of).collect();
        stdin
            .write_all(format!("{}\n", ports.join(" ")).as_bytes())
            .expect("the guest reads");
    };
    let waiting: Vec<TcpStream> = (0..WAIT_FIRST).map(|_| connect()).collect();
    tell(&waiting);
    run.wait_for("again", LIMIT);
    let mut clients: Vec<TcpStream> = (0..AT_ONCE).map(|_| connect()).collect();
    for client in &mut clients {
        client.set_read_timeout(Some(LIMIT)).expect("a timeout");
        client.write_all(b"?").expect("room");
        client.read_exact(&mut [0]).expect("an answer");
    }
    tell(&clients);
    let ended = run.end(LIMIT).expect_success();
    drop(waiting);
    ended.stdout
}

#[test]
fn whom_the_kernel_gives_out_at_a_published_port_is_told_as_the_kernel_tells() {
    let Some(python) = need("accepted clients", "python3") else {
        return;
    };
    let stage = Stage::new();
    let guest = stage.put(&world::repository().join("examples/guests/accepted.py"), "accepted.py");
    for family in ["4", "6"] {
        for options in [&[][..], &["--no-join"]] {
            let port = free_port();
            let publish = format!("127.0.0.1:{port}:5000");
            let program = [
                python.clone().into(),
                guest.clone().into(),
                "5000".into(),
                "10.0.2.2".into(),
                family.into(),
            ];
            let options = [options, &["-p", &publish]].concat();
            let run = Running::start(stage.run(&options, &program).stdin(Stdio::piped()));
            let told = accepted(run, port);
            assert!(told.lines().count() >= 19, "{options:?}, IPv{family}: {told}");
            assert!(!told.contains("False"), "{options:?}, IPv{family}: {told}");
        }
    }
}

const GROUP: &str = r#"
import os, select, socket

group = []
for _ in range(2):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("0.0.0.0", 5000))
    listener.listen(64)
    group.append(listener)
print("listen", flush=True)
count = {listener: 0 for listener in group}
while sum(count.values()) < 64:
    for listener in select.select(group, [], [])[0]:
        listener.accept()[0].close()
        count[listener] += 1
print("each", min(count.values()) > 0, flush=True)
"#;

#[test]
fn listeners_that_share_a_published_port_all_get_clients() {
    let Some(python) = need("a group of listeners", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("group.py", GROUP);
    let port = free_port();
    let publish = format!("127.0.0.1:{port}:5000");
    let mut run = Running::start(&mut stage.run(&["-p", &publish], &[python.into(), script.into()]));
    run.wait_for("listen", LIMIT);
    let clients: Vec<TcpStream> = (0..64)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).expect("the port is published"))
        .collect();
    assert_eq!(run.wait_for("each", LIMIT).trim(), "each True");
    drop(clients);
    run.end(LIMIT).expect_success();
}

const NAMED: &str = r#"
import errno, resource, socket

def refused(number, act):
    try:
        act()
    except OSError as error:
        return error.errno == number
    return False

listener = socket.socket()
listener.bind(("0.0.0.0", 0))
listener.listen(8)
here = ("127.0.0.1", listener.getsockname()[1])
clients = [socket.create_connection(here) for _ in range(4)]
first, peer = listener.accept()
print("names", peer == clients[0].getsockname(), peer == first.getpeername(), first.getsockname() == here,
      clients[0].getpeername() == here)
asked = clients[1].getsockname()
second, peer = listener.accept()
print("asked before", peer == asked)
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (second.fileno() + 1, hard))
full = refused(errno.EMFILE, listener.accept)
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
third, peer = listener.accept()
print("after EMFILE", full, peer == clients[2].getsockname())
fourth, peer = listener.accept()
listener.close()
print("listener closed", fourth.getsockname() == here, fourth.getpeername() == peer, peer == clients[3].getsockname())
for end, client in zip((first, second, third, fourth), clients):
    end.sendall(b"?")
    print("octets", client.recv(1) == b"?", client.send(b"!") == 1, end.recv(1) == b"!")
    end.close()
    print("end", client.recv(1) == b"")
    client.close()
listener = socket.create_server(("127.0.0.1", 0))
here = listener.getsockname()
client = socket.create_connection(here)
end, _ = listener.accept()
listener.close()
again = socket.socket()
print("held", refused(errno.EADDRINUSE, lambda: again.bind(here)))
"#;

#[test]
fn connections_within_the_run_are_called_the_same_at_both_ends_and_leave_what_linux_leaves() {
    let Some(python) = need("names", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("named.py", NAMED);
    let run = finish(&mut stage.run(&[], &[python.into(), script.into()]), LIMIT).expect_success();
    assert!(run.stdout.lines().count() >= 13, "{}", run.stdout);
    assert!(!run.stdout.contains("False"), "{}", run.stdout);
}

const LEFT: &str = r#"
import socket, sys

listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("0.0.0.0", 5000))
listener.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 33)
listener.listen()
print("listens", flush=True)
# accept() would ask for the connection's name while the listener is there.
accepted, peer = listener._accept()
listener.close()
print("closed", flush=True)
sys.stdin.readline()
accepted = socket.socket(fileno=accepted)
print("name", accepted.getpeername() == peer)
print("options", accepted.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR), accepted.getsockopt(socket.IPPROTO_IP, socket.IP_TTL))
again = socket.socket()
again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
again.bind(("0.0.0.0", 5000))
again.listen()
print("listens again")
"#;

#[test]
fn a_client_of_a_published_port_has_its_listeners_options_beyond_the_listeners_close() {
    let Some(python) = need("closed listeners", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("left.py", LEFT);
    let port = free_port();
    let publish = format!("127.0.0.1:{port}:5000");
    let mut command = stage.run(&["-p", &publish], &[python.into(), script.into()]);
    let mut run = Running::start(command.stdin(Stdio::piped()));
    run.wait_for("listens", LIMIT);
    let _client = TcpStream::connect(("127.0.0.1", port)).expect("the port is published");
    run.wait_for("closed", LIMIT);
    // The gateway refuses: the supervisor has heard of the close.
    let patience = std::time::Instant::now() + LIMIT;
    while TcpStream::connect(("127.0.0.1", port)).is_ok() {
        assert!(std::time::Instant::now() < patience, "somebody listens still");
    }
    run.stdin().expect("a pipe").write_all(b"\n").expect("the guest reads");
    let ended = run.end(LIMIT).expect_success();
    let told: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(told, ["name True", "options 1 33", "listens again"]);
}
