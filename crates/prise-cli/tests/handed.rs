//! Connections that leave the run, and those that come to it, while nobody needs their packets: programs cannot tell them
//! from the kernel's, nor from those that `--no-join` has go by our stack.

mod world;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use world::{Running, Stage, finish, free_port, need, repository};

const LIMIT: Duration = Duration::from_secs(150);

/// Echoes on the first port, for both families, and resets who says so; nobody has room on the second.
const SERVER: &str = r#"
import socket, struct, threading

def serve(listener):
    while True:
        threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()

def echo(end):
    try:
        while data := end.recv(65536):
            if data == b"reset":
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                break
            end.sendall(data)
    except OSError:
        pass
    end.close()

held = []
echoing = socket.create_server(("127.0.0.1", 0))
port = echoing.getsockname()[1]
crowded = socket.create_server(("127.0.0.1", 0), backlog=0)
full = crowded.getsockname()[1]
for _ in range(2):
    held.append(socket.socket())
    held[-1].setblocking(False)
    held[-1].connect_ex(("127.0.0.1", full))
try:
    echoing6 = socket.create_server(("::1", port), family=socket.AF_INET6)
    crowded6 = socket.create_server(("::1", full), family=socket.AF_INET6, backlog=0)
    for _ in range(2):
        held.append(socket.socket(socket.AF_INET6))
        held[-1].setblocking(False)
        held[-1].connect_ex(("::1", full))
    threading.Thread(target=serve, args=(echoing6,), daemon=True).start()
except OSError:
    pass
print("ports", port, full, flush=True)
serve(echoing)
"#;

/// The server on the host, and its ports.
fn serve(stage: &Stage, python: &PathBuf) -> (Running, Vec<String>) {
    let script = stage.write("server.py", SERVER);
    let mut server = Running::start(&mut stage.native(python, [script]));
    let line = server.wait_for("ports ", LIMIT);
    let ports = line.split_whitespace().skip(1).map(str::to_owned).collect();
    (server, ports)
}

fn compare_outside(native: &str, prised: &str) {
    let Some(python) = need("connections that leave", "python3") else {
        return;
    };
    let stage = Stage::new();
    let (_server, ports) = serve(&stage, &python);
    let guest = stage.put(&repository().join("examples/guests/outside.py"), "outside.py");
    let program = |host: &str| -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![python.clone().into(), guest.clone().into(), host.into()];
        words.extend(ports.iter().map(OsString::from));
        words
    };
    let words = program(native);
    let expected = finish(&mut stage.native(&words[0], &words[1..]), LIMIT).expect_success();
    for options in [&[][..], &["--no-preload"], &["--no-join"]] {
        let told = finish(&mut stage.run(options, &program(prised)), LIMIT).expect_success();
        assert_eq!(told.stdout, expected.stdout, "{options:?}: {}", told.stderr);
    }
}

#[test]
fn a_connection_that_leaves_behaves_as_the_kernels_over_ipv4() {
    compare_outside("127.0.0.1", "10.0.2.2");
}

#[test]
fn a_connection_that_leaves_behaves_as_the_kernels_over_ipv6() {
    if TcpStream::connect("[::1]:1").is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused) {
        compare_outside("::1", "fd00:2::2");
    } else {
        world::skip("connections that leave over IPv6", "the host has no IPv6 loopback");
    }
}

/// What a client is answered.
fn ask(client: &mut TcpStream, wish: &str, len: usize) -> String {
    client.write_all(wish.as_bytes()).expect("room");
    let mut answer = vec![0; len];
    client.read_exact(&mut answer).expect("an answer");
    String::from_utf8(answer).expect("text")
}

#[test]
fn a_published_listeners_clients_are_accepted_queued_and_reset_as_the_kernels() {
    let Some(python) = need("visits", "python3") else {
        return;
    };
    let stage = Stage::new();
    let guest = stage.put(&repository().join("examples/guests/visited.py"), "visited.py");
    for (options, family, host) in [
        (&[][..], "4", "127.0.0.1"),
        (&["--no-join"][..], "4", "127.0.0.1"),
        (&[][..], "6", "::1"),
    ] {
        let port = free_port();
        let publish = port.to_string();
        let published = [options, &["-p", &publish]].concat();
        let program = [
            python.clone().into(),
            guest.clone().into(),
            port.to_string().into(),
            family.into(),
        ];
        let mut run = Running::start(&mut stage.run(&published, &program));
        run.wait_for("ready", LIMIT);
        let Ok(probe) = TcpStream::connect((host, port)) else {
            world::skip("visits over IPv6", "the host has no IPv6 loopback");
            continue;
        };
        drop(probe);
        let connect = || {
            let client = TcpStream::connect((host, port)).expect("the port is published");
            client.set_read_timeout(Some(LIMIT)).expect("a timeout");
            client
        };
        // Thrice, for each way in which the guest waits.
        for _ in 0..3 {
            let mut client = connect();
            assert_eq!(ask(&mut client, "name", 9), "True True");
            assert_eq!(ask(&mut client, "options", 17), "[1, 1] True False");
            assert_eq!(ask(&mut client, "fork", 12), "child parent");
        }
        let mut client = connect();
        client.write_all(b"reset").expect("room");
        let failed = client.read(&mut [0]).expect_err("the guest's close resets");
        assert_eq!(failed.kind(), std::io::ErrorKind::ConnectionReset);
        let mut waiting: Vec<TcpStream> = (0..3).map(|_| connect()).collect();
        for (number, client) in waiting.iter_mut().enumerate() {
            assert_eq!(ask(client, &number.to_string(), 1), number.to_string());
            // The guest serves one after the other.
            client.shutdown(std::net::Shutdown::Both).expect("connected");
        }
        assert_eq!(ask(&mut connect(), "end", 6), "ending");
        run.end(LIMIT).expect_success();
    }
}

const SHOWN: &str = r#"
import socket, sys
out = socket.create_connection((sys.argv[1], int(sys.argv[2])))
out.sendall(b"x" * 1000)
out.recv(1000, socket.MSG_WAITALL)
listener = socket.create_server(("0.0.0.0", 8000))
print("listening", flush=True)
end, _ = listener.accept()
print("from", out.getsockname()[1], flush=True)
sys.stdin.read()
"#;

#[test]
fn ss_shows_connections_that_leave_with_the_kernels_figures() {
    let Some(python) = need("sockets shown", "python3") else {
        return;
    };
    let stage = Stage::new();
    let (_server, ports) = serve(&stage, &python);
    let script = stage.write("shown.py", SHOWN);
    for (options, way) in [(&[][..], "kernel"), (&["--no-join"][..], "stack")] {
        let port = free_port();
        let publish = format!("{port}:8000");
        let program = [
            python.clone().into(),
            script.clone().into(),
            "10.0.2.2".into(),
            ports[0].clone().into(),
        ];
        let mut command = stage.run(&[options, &["-p", &publish]].concat(), &program);
        let mut run = Running::start(command.stdin(Stdio::piped()));
        run.wait_for("listening", LIMIT);
        let client = TcpStream::connect(("127.0.0.1", port)).expect("the port is published");
        let line = run.wait_for("from ", LIMIT);
        let local = format!("10.0.2.15:{}", line.trim().rsplit(' ').next().expect("a port"));
        let shown = finish(&mut stage.prise(["ss", "--json"]), LIMIT).expect_success();
        let reports: Value = serde_json::from_str(&shown.stdout).expect("JSON");
        let find = |local: &str| {
            let runs = reports.as_array().expect("a list").iter();
            let own = runs.filter(|report| report["supervisor"] == run.pid());
            let mut sockets = own.flat_map(|report| report["sockets"].as_array().expect("a list"));
            sockets
                .find(|socket| socket["local"] == local && socket["state"] == "ESTAB")
                .unwrap_or_else(|| panic!("no {local} in {reports:#}"))
                .clone()
        };
        let out = find(&local);
        assert_eq!(
            (&out["way"], &out["peer"]),
            (&way.into(), &format!("10.0.2.2:{}", ports[0]).into())
        );
        assert_eq!(
            (&out["tcp"]["bytes_sent"], &out["tcp"]["bytes_received"]),
            (&1000.into(), &1000.into())
        );
        assert!(out["tcp"]["rtt_us"].as_u64().is_some_and(|rtt| rtt > 0), "{out}");
        let accepted = find("10.0.2.15:8000");
        let peer = format!("10.0.2.2:{}", client.local_addr().expect("connected").port());
        assert_eq!((&accepted["way"], &accepted["peer"]), (&way.into(), &peer.into()));
        drop(run.stdin());
        run.end(LIMIT).expect_success();
    }
}

/// Both ends at home, then a connection that leaves; a copy of a socket from before it had a name or a peer is the same socket.
const ELSEWHERE: &str = r#"
import os, socket, sys

here = socket.create_server(("127.0.0.1", 0))
near = socket.create_connection(here.getsockname())
peer, name = here.accept()
near.sendall(b"near")
print(peer.recv(4, socket.MSG_WAITALL), name == near.getsockname())
far = (sys.argv[1], int(sys.argv[2]))
first = socket.socket()
if sys.argv[3:]:
    copy = first.dup()
    if os.fork() == 0:
        copy.connect(far)
        os._exit(0)
    os.wait()
else:
    first.connect(far)
first.sendall(b"far")
print(first.recv(3, socket.MSG_WAITALL), first.getpeername() == far)
"#;

#[test]
fn neither_copies_nor_a_network_name_space_of_its_own_keep_a_stream_from_connecting() {
    let what = "programs in other network name spaces";
    let Some(python) = need(what, "python3") else { return };
    let stage = Stage::new();
    let (_server, ports) = serve(&stage, &python);
    let script = stage.write("elsewhere.py", ELSEWHERE);
    let plain: Vec<OsString> = [
        python.as_os_str(),
        script.as_os_str(),
        "10.0.2.2".as_ref(),
        ports[0].as_ref(),
    ]
    .map(OsString::from)
    .into();
    let expected = "b'near' True\nb'far' True\n";
    let shared = [plain.clone(), vec!["shared".into()]].concat();
    let ended = finish(&mut stage.run(&[], &shared), LIMIT).expect_success();
    assert_eq!(ended.stdout, expected, "{}", ended.stderr);
    let Some(unshare) = need(what, "unshare") else { return };
    let apart = [vec![unshare.into(), "-Urn".into()], plain].concat();
    let ended = finish(&mut stage.run(&[], &apart), LIMIT);
    if !ended.status.success() && ended.stderr.starts_with("unshare:") {
        return world::skip(what, "user name spaces are not allowed");
    }
    assert_eq!(ended.expect_success().stdout, expected);
}

/// Connections of which the run was told nothing but that they are to be made: one as it was made, one whose number is another's, one that
/// is a child's, and one that is closed.
const UNASKED: &str = r#"
import errno, os, socket, struct, sys

far = (sys.argv[1], int(sys.argv[2]))

def connect():
    one = socket.socket()
    one.connect(far)
    return one

def listed():
    wanted = "%08X:%04X" % (struct.unpack("=I", socket.inet_aton(far[0]))[0], far[1])
    rows = [line.split() for line in open("/proc/net/tcp")][1:]
    return sorted(int(row[1].split(":")[1], 16) for row in rows if row[2] == wanted and row[3] == "01")

plain, moved, closed = connect(), connect(), connect()
moved = socket.socket(fileno=os.dup(moved.fileno()))
closed.close()
told, tell = os.pipe()
wait, end = os.pipe()
if os.fork() == 0:
    plain.close(), moved.close()
    child = connect()
    os.write(tell, b"x")
    os.read(wait, 1)
    child.sendall(b"child")
    os._exit(child.recv(5, socket.MSG_WAITALL) != b"child" or child.getsockname()[1] not in listed())
os.read(told, 1)
ports = listed()
print(len(ports), all(it.getsockname()[1] in ports for it in (plain, moved)), all(it.getpeername() == far for it in (plain, moved)))
os.write(end, b"x")
print(os.wait()[1])
plain.close(), moved.close()
print(listed())
cut = connect()
cut.sendall(b"reset")
for call in lambda: cut.recv(1), cut.getpeername:
    try:
        print(call())
    except OSError as error:
        print(errno.errorcode[error.errno])
print(cut.getsockname()[0])
"#;

#[test]
fn what_nobody_asked_about_is_listed_all_the_same() {
    let Some(python) = need("sockets listed", "python3") else {
        return;
    };
    let stage = Stage::new();
    let (_server, ports) = serve(&stage, &python);
    let script = stage.write("unasked.py", UNASKED);
    let program = [
        python.into(),
        script.into(),
        "10.0.2.2".into(),
        OsString::from(&ports[0]),
    ];
    for options in [&[][..], &["--no-preload"], &["--no-join"]] {
        let ended = finish(&mut stage.run(options, &program), LIMIT).expect_success();
        assert_eq!(
            ended.stdout, "3 True True\n0\n[]\nECONNRESET\nENOTCONN\n10.0.2.15\n",
            "{options:?}: {}",
            ended.stderr
        );
    }
}

const DISCONNECTED: &str = r#"
import ctypes, resource, select, socket, struct

def reset():
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    end = listener.accept()[0]
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
    poll = select.poll()
    poll.register(client, select.POLLIN)
    poll.poll()
    return client

client = reset()
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
# Nothing can be put under its number any more.
resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno(), limits[1]))
unspecified = bytes(16)
ctypes.CDLL(None).connect(client.fileno(), unspecified, len(unspecified))
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
print(*(client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for _ in range(2)))
"#;

#[test]
fn the_error_that_waits_outlives_a_disconnecting_call_whether_that_fails_or_not() {
    let Some(python) = need("connect(2) with AF_UNSPEC", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script: PathBuf = stage.write("disconnected.py", DISCONNECTED);
    let program: [OsString; 2] = [python.into(), script.into()];
    for options in [&[][..], &["--no-join"], &["--deny", "192.0.2.1"]] {
        let ended = finish(&mut stage.run(options, &program), LIMIT).expect_success();
        // `ECONNRESET`.
        assert_eq!(ended.stdout, "104 0\n", "{options:?}");
    }
}

#[test]
fn a_stream_tells_what_its_clients_first_packet_had() {
    /// `IP_PKTOPTIONS`, with `IP_PKTINFO`, `IP_RECVTTL` and `IP_RECVTOS`, of all ends and in too little room.
    const GUEST: &str = r#"
import socket, struct

def messages(end, room):
    left, told = end.getsockopt(0, 9, room), []
    total = len(left)
    while len(left) >= 16:
        length, level, kind = struct.unpack("=QII", left[:16])
        told.append((length, level, kind, left[16:length].hex()))
        left = left[length + 7 & ~7:]
    return total, told

for family, own, to in (
    (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
    (socket.AF_INET6, "::ffff:127.0.0.1", "127.0.0.1"),
    (socket.AF_INET6, "::1", "::1"),
    (socket.AF_INET6, "::", "::1"),
    (socket.AF_INET6, "::", "127.0.0.1"),
):
    for asked in ([], [13], [12], [8], [8, 12, 13]):
        listener = socket.socket(family)
        listener.bind((own, 0))
        listener.listen()
        client = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET)
        for end in (listener, client):
            for name in asked:
                end.setsockopt(0, name, 1)
        client.setsockopt(0, socket.IP_TOS, 96)
        client.setsockopt(0, socket.IP_TTL, 33)
        client.connect((to, listener.getsockname()[1]))
        accepted, _ = listener.accept()
        client.setsockopt(0, socket.IP_TOS, 32)
        for end in (listener, client, accepted):
            print([messages(end, room) for room in (15, 16, 19, 24, 40, 48, 99)])
        print(accepted.getsockopt(0, socket.IP_MULTICAST_TTL))
"#;
    let Some(python) = need("what first packets had", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("first.py", GUEST);
    let kernels = finish(&mut stage.native(&python, [&script]), LIMIT)
        .expect_success()
        .stdout;
    let ours = finish(&mut stage.run(&[], &[python.into(), script.into()]), LIMIT)
        .expect_success()
        .stdout;
    assert_eq!(ours, kernels);
}
