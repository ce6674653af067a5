//! Real programs move real data: published and fetched files arrive whole, many at once, over bad lines, and a server
//! that is killed leaves nothing. Quick forms of what `tests/show` does in full.

mod world;

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use world::{Ended, Running, Stage, finish, free_port, need, words};

const LIMIT: Duration = Duration::from_secs(150);

/// Fifty at once: ten times the queue of Python's server, so that some handshakes have to be repeated.
const CLIENTS: usize = 50;

/// Octets that no compression or repetition can fake: a multiplicative generator's.
fn noise(octets: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut data = Vec::with_capacity(octets + 8);
    while data.len() < octets {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        data.extend_from_slice(&(state ^ (state >> 33)).to_le_bytes());
    }
    data.truncate(octets);
    data
}

/// An HTTP server of the stage's files as the program of a run, for both families (a published port is open as long as
/// the program listens, in the families that it listens in), published on a free port of the host.
struct Published {
    run: Running,
    port: u16,
}

fn publish(stage: &Stage, python: &Path, options: &[&str]) -> Published {
    let port = free_port();
    let publish = format!("{port}:8000");
    let mut program = words("-m http.server 8000 --bind :: --directory");
    program.insert(0, python.into());
    program.push(stage.path("").into());
    let mut run = Running::start(&mut stage.run(&[&["-p", publish.as_str()], options].concat(), &program));
    run.wait_for("Serving HTTP", LIMIT);
    Published { run, port }
}

/// The same server on the host itself.
fn serve_natively(stage: &Stage, python: &Path, port: u16) -> Running {
    let mut program = words("-m http.server --bind 127.0.0.1 --directory");
    program.push(stage.path("").into());
    program.push(port.to_string().into());
    let mut server = Running::start(&mut stage.native(python, &program));
    server.wait_for("Serving HTTP", LIMIT);
    server
}

#[track_caller]
fn assert_same(file: &Path, expected: &[u8]) {
    let content = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    assert!(
        content == expected,
        "{} differs: {} octets instead of {}",
        file.display(),
        content.len(),
        expected.len()
    );
}

#[test]
fn a_published_server_serves_a_file_whole_over_ipv4_and_ipv6() {
    let (Some(python), Some(curl)) = (need("publishing", "python3"), need("publishing", "curl")) else {
        return;
    };
    let stage = Stage::new();
    let data = noise(16 << 20);
    stage.write("file", &data);
    let server = publish(&stage, &python, &[]);
    for (number, host) in ["127.0.0.1", "[::1]"].into_iter().enumerate() {
        if number == 1 && TcpStream::connect(("::1", server.port)).is_err() {
            world::skip("publishing on ::1", "the host has no IPv6 loopback");
            continue;
        }
        let target = stage.path(format!("work/fetched{number}"));
        let url = format!("http://{host}:{}/file", server.port);
        let arguments = ["-sS", "--max-time", "50", "-o", target.to_str().expect("UTF-8"), &url];
        finish(&mut stage.native(&curl, arguments), LIMIT).expect_success();
        assert_same(&target, &data);
    }
}

/// Clients of the host's loopback can only be shown as the gateway (127.0.0.1 is the guest's own); all others as they are.
/// A namespace gives the host an address that is not loopback.
const CLIENTS_ADDRESSES: &str = r#"
ip link set lo up; ip addr add 192.0.2.77/32 dev lo; ip addr add 2001:db8::77/128 dev lo nodad
"$PRISE" run -p 0.0.0.0:8000 -p [::]:8000 -- "$PYTHON" -m http.server 8000 --bind :: >/dev/null 2>log & server=$!
curl="curl -sS -o /dev/null --max-time 20 --retry 50 --retry-delay 1 --retry-all-errors"
$curl http://127.0.0.1:8000/ && $curl http://192.0.2.77:8000/ && $curl 'http://[2001:db8::77]:8000/'
kill $server; wait $server; grep -o '^.* - - ' log
"#;

#[test]
fn a_published_servers_clients_have_their_own_addresses() {
    let Some(python) = need("clients' addresses", "python3") else {
        return;
    };
    if ["curl", "unshare", "ip"]
        .iter()
        .any(|program| need("clients' addresses", program).is_none())
    {
        return;
    }
    let stage = Stage::new();
    let mut command = stage.native("unshare", ["-rn", "sh", "-c", CLIENTS_ADDRESSES]);
    let ended = finish(command.env("PRISE", stage.path("prise")).env("PYTHON", python), LIMIT);
    if ended.stderr.contains("unshare failed") {
        world::skip("clients' addresses", ended.stderr.trim());
        return;
    }
    let seen = ended.stdout.replace("::ffff:", "");
    assert_eq!(
        seen, "10.0.2.2 - - \n192.0.2.77 - - \n2001:db8::77 - - \n",
        "{}",
        ended.stderr
    );
}

#[test]
fn curl_in_a_run_fetches_a_file_whole_from_the_host() {
    let (Some(python), Some(curl)) = (need("fetching", "python3"), need("fetching", "curl")) else {
        return;
    };
    let stage = Stage::new();
    let data = noise(16 << 20);
    stage.write("file", &data);
    let port = free_port();
    let _server = serve_natively(&stage, &python, port);
    for (number, host) in ["10.0.2.2", "[fd00:2::2]"].into_iter().enumerate() {
        let target = stage.path(format!("work/fetched{number}"));
        let mut program = words(&format!("-sS --max-time 50 http://{host}:{port}/file -o"));
        program.insert(0, curl.clone().into());
        program.push(target.clone().into());
        let ended = finish(&mut stage.run(&[], &program), LIMIT);
        // The host's server is on 127.0.0.1 only: through the IPv6 gateway it is refused, as on the host itself.
        if number == 1 && ended.status.code() == Some(7) {
            continue;
        }
        ended.expect_success();
        assert_same(&target, &data);
    }
}

#[test]
fn many_clients_at_once_each_get_the_whole_file() {
    let (Some(python), Some(curl)) = (need("many clients", "python3"), need("many clients", "curl")) else {
        return;
    };
    let stage = Stage::new();
    let data = noise(256 << 10);
    stage.write("file", &data);
    let server = publish(&stage, &python, &[]);
    let url = format!("http://127.0.0.1:{}/file?[1-{CLIENTS}]", server.port);
    let target = stage.path("work/many#1");
    let mut command = stage.native(
        &curl,
        [
            "-sS",
            "--fail",
            "--max-time",
            "50",
            "--no-progress-meter",
            "-Z",
            "--parallel-immediate",
        ],
    );
    command
        .args(["--parallel-max", &CLIENTS.to_string(), "-o"])
        .arg(target)
        .arg(url);
    finish(&mut command, LIMIT).expect_success();
    for number in 1..=CLIENTS {
        assert_same(&stage.path(format!("work/many{number}")), &data);
    }
}

/// The processes whose ancestors include `pid`, by /proc.
fn descendants(pid: u32) -> Vec<u32> {
    let children = |pid: u32| -> Vec<u32> {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        text.split_ascii_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect()
    };
    let mut found = children(pid);
    let mut next = 0;
    while next < found.len() {
        found.extend(children(found[next]));
        next += 1;
    }
    found
}

fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn a_server_killed_in_mid_transfer_ends_its_client_and_leaves_nothing() {
    let (Some(python), Some(curl)) = (need("killing", "python3"), need("killing", "curl")) else {
        return;
    };
    let stage = Stage::new();
    stage.write("file", noise(32 << 20));
    let Published { run, port } = publish(&stage, &python, &[]);
    let url = format!("http://127.0.0.1:{port}/file");
    // Slow enough to be killed in the middle; curl tells its progress on standard error when asked for a trace.
    let arguments = [
        "-sS",
        "--max-time",
        "50",
        "--limit-rate",
        "4M",
        "-N",
        &url,
        "-o",
        "partial",
    ];
    let client = Running::start(&mut stage.native(&curl, arguments));
    let partial = stage.path("work/partial");
    let deadline = Instant::now() + LIMIT;
    while fs::metadata(&partial).map_or(0, |file| file.len()) < 1 << 20 {
        assert!(Instant::now() < deadline, "the transfer does not begin");
        std::thread::yield_now();
    }
    let supervisor = run.pid();
    let guests = descendants(supervisor);
    let guest = *guests.last().expect("the program is a child of prise");
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(guest as i32).expect("a pid"),
        Signal::KILL,
    )
    .expect("the guest runs");

    let client = client.end(LIMIT);
    assert!(
        [Some(18), Some(56)].contains(&client.status.code()),
        "curl: {}: {}",
        client.status,
        client.stderr
    );
    let run = run.end(LIMIT);
    assert!(
        std::os::unix::process::ExitStatusExt::signal(&run.status) == Some(9),
        "{}",
        run.status
    );
    for pid in guests.iter().chain(&[supervisor]) {
        assert!(!exists(*pid), "process {pid} is left behind");
    }
    assert!(
        TcpStream::connect(("127.0.0.1", port)).is_err(),
        "port {port} is still open"
    );
    let sockets = fs::read("/proc/net/unix").expect("the list of local sockets");
    let sockets = String::from_utf8_lossy(&sockets);
    assert!(
        !sockets.contains(&format!("/{supervisor}")),
        "a local socket is left behind"
    );
    let left: Vec<_> = fs::read_dir(stage.path("work"))
        .expect("the stage")
        .map(|e| e.expect("a file").file_name())
        .collect();
    assert_eq!(left, ["partial"], "files are left behind");
}

/// `prise ss --json` of the run that `supervisor` is.
fn sockets_of(stage: &Stage, supervisor: u32) -> Vec<Value> {
    let ended = finish(&mut stage.prise(["ss", "--json"]), LIMIT).expect_success();
    let runs: Vec<Value> = serde_json::from_str(&ended.stdout).expect("JSON");
    let run = runs
        .into_iter()
        .find(|run| run["supervisor"] == supervisor)
        .expect("the run is listed");
    run["sockets"].as_array().expect("a list").clone()
}

const TWO_PROCESSES: &str = r#"
import os, socket, sys
family, host = (socket.AF_INET6, "::1") if sys.argv[1] == "6" else (socket.AF_INET, "127.0.0.1")
server = socket.socket(family, socket.SOCK_STREAM)
server.bind((host, 7000))
server.listen()
if os.fork() == 0:
    client = socket.create_connection((host, 7000))
    client.sendall(b"from the other process")
    client.recv(1)
    os._exit(0)
connection, peer = server.accept()
print(connection.recv(22, socket.MSG_WAITALL).decode(), "port", peer[1], flush=True)
sys.stdin.read()
connection.close()
os.wait()
"#;

#[test]
fn two_processes_of_a_run_meet_on_its_loopback_and_are_seen_by_ss() {
    let Some(python) = need("two processes", "python3") else {
        return;
    };
    let worlds = [("4", "127.0.0.1"), ("6", "[::1]")]
        .into_iter()
        .flat_map(|world| [(world, &[][..]), (world, &["--no-join"][..])]);
    for ((family, host), options) in worlds {
        let stage = Stage::new();
        let script = stage.write("two.py", TWO_PROCESSES);
        let mut command = stage.run(options, &[python.clone().into(), script.into(), family.into()]);
        let mut run = Running::start(command.stdin(std::process::Stdio::piped()));
        let port = run
            .wait_for("from the other process port ", LIMIT)
            .trim()
            .rsplit(' ')
            .next()
            .expect("a port")
            .to_owned();
        let sockets = sockets_of(&stage, run.pid());
        let (server, client) = (format!("{host}:7000"), format!("{host}:{port}"));
        let find = |state: &str, local: &str, peer: Option<&str>| {
            let found = sockets
                .iter()
                .find(|socket| socket["state"] == state && socket["local"] == local && socket["peer"].as_str() == peer);
            found
                .unwrap_or_else(|| panic!("no {state} {local} {peer:?} in {sockets:#?}"))
                .clone()
        };
        find("LISTEN", &server, None);
        let accepted = find("ESTAB", &server, Some(&client));
        let connected = find("ESTAB", &client, Some(&server));
        assert_ne!(accepted["pid"], connected["pid"], "two processes");
        assert_eq!(connected["way"], if options.is_empty() { "kernel" } else { "stack" });
        assert_eq!(connected["tcp"]["bytes_sent"], 22);
        assert_eq!(accepted["tcp"]["bytes_received"], 22);
        drop(run.stdin());
        run.end(LIMIT).expect_success();
    }
}

#[test]
fn an_impaired_line_is_slower_loses_packets_and_delivers_everything() {
    let (Some(python), Some(curl)) = (need("impairments", "python3"), need("impairments", "curl")) else {
        return;
    };
    let stage = Stage::new();
    let data = noise(512 << 10);
    stage.write("file", &data);
    let port = free_port();
    let _server = serve_natively(&stage, &python, port);
    let mut program = words(&format!(
        "-sS --max-time 50 -w %{{time_connect}} http://10.0.2.2:{port}/file -o fetched"
    ));
    program.insert(0, curl.into());
    let options = words("--delay 20ms --loss 2% --seed 7 --capture t.pcapng");
    let options: Vec<&str> = options.iter().map(|word| word.to_str().expect("UTF-8")).collect();
    let ended = finish(&mut stage.run(&options, &program), LIMIT).expect_success();
    let connected: f64 = ended.stdout.parse().unwrap_or_else(|_| panic!("{:?}", ended.stdout));
    assert!(
        (0.040..1.0).contains(&connected),
        "connected after {connected} s over 20 ms each way"
    );
    assert_same(&stage.path("work/fetched"), &data);
    inspect(&stage, &stage.path("work/t.pcapng"), port);
}

/// tshark must see the handshake, the close and retransmissions, and find nothing wrong.
fn inspect(stage: &Stage, capture: &Path, port: u16) {
    let Some(tshark) = need("inspecting the capture", "tshark") else {
        return;
    };
    let count = |filter: &str| -> usize {
        let filter = filter.replace("PORT", &port.to_string());
        let ended = tshark_fields(stage, &tshark, capture, &filter).expect_success();
        ended.stdout.lines().count()
    };
    assert!(
        count("tcp.flags.syn == 1 && tcp.flags.ack == 0 && tcp.dstport == PORT") >= 1,
        "no SYN"
    );
    assert!(
        count("tcp.flags.syn == 1 && tcp.flags.ack == 1 && tcp.srcport == PORT") >= 1,
        "no SYN-ACK"
    );
    assert!(
        count("tcp.flags.fin == 1 && tcp.port == PORT") >= 2,
        "no FIN from both ends"
    );
    assert!(
        count("tcp.analysis.retransmission || tcp.analysis.lost_segment || tcp.analysis.duplicate_ack") >= 1,
        "no loss"
    );
    assert_eq!(
        count("tcp.checksum.status == Bad || ip.checksum.status == Bad || udp.checksum.status == Bad"),
        0
    );
    assert_eq!(count("_ws.malformed"), 0, "malformed packets");
}

fn tshark_fields(stage: &Stage, tshark: &PathBuf, capture: &Path, filter: &str) -> Ended {
    let mut command: Command = stage.native(tshark, ["-r"]);
    command
        .arg(capture)
        .args(["-Y", filter, "-T", "fields", "-e", "frame.number"]);
    for check in [
        "tcp.check_checksum:TRUE",
        "ip.check_checksum:TRUE",
        "udp.check_checksum:TRUE",
    ] {
        command.args(["-o", check]);
    }
    finish(&mut command, LIMIT)
}

/// Writes until nothing more is taken, says how much that was, and ends.
const WRITES_AND_ENDS: &str = "
import socket, sys
it = socket.create_connection(('10.0.2.2', int(sys.argv[1])))
it.setblocking(False)
written = 0
try:
    while True:
        written += it.send(bytes(65536))
except BlockingIOError:
    print(written, flush=True)
";

#[test]
fn what_a_program_wrote_before_it_ended_arrives_though_tcp_had_no_room_for_it_yet() {
    let Some(python) = need("a program that ends", "python3") else {
        return;
    };
    let stage = Stage::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port().to_string();
    let reader = std::thread::spawn(move || {
        let mut received = Vec::new();
        let (mut peer, _) = listener.accept().expect("the program connects");
        peer.read_to_end(&mut received).map(|_| received.len())
    });
    let program = [python.into(), "-c".into(), WRITES_AND_ENDS.into(), port.into()];
    let ended = finish(&mut stage.run(&["--delay", "50ms"], &program), LIMIT).expect_success();
    let written: usize = ended.stdout.trim().parse().expect("a number");
    let received = reader
        .join()
        .expect("the reader lives")
        .expect("the stream ends in order");
    assert_eq!((received, ended.stderr.as_str()), (written, ""));
}
