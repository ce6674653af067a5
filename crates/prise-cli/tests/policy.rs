//! `--allow`, `--deny` and `--audit`: what a program may reach, what it is told otherwise, and what is on record.

mod world;

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use world::{Ended, Running, Stage, finish, need, skip};

const LIMIT: Duration = Duration::from_secs(150);

/// Tries each of its arguments and prints what came of it: `tcp HOST PORT`, `udp HOST PORT`, `name HOST`.
const PROBE: &str = r#"
import errno, signal, socket, sys
signal.alarm(100)
def attempt(what, host, port=0):
    if what == "name":
        return socket.getaddrinfo(host, None, socket.AF_INET)[0][4][0]
    if what == "ping":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as s:
            s.sendto(b"\x08\0\0\0\0\0\0\1", (host, 0))
            return "sent"
    kind = socket.SOCK_STREAM if what == "tcp" else socket.SOCK_DGRAM
    family = socket.AF_UNSPEC if ":" in host else socket.AF_INET
    for family, kind, _, _, address in socket.getaddrinfo(host, int(port), family, kind):
        with socket.socket(family, kind) as s:
            s.settimeout(5)
            if what == "udp":
                s.sendto(b"ping", address)
            else:
                s.connect(address)
                s.sendall(b"ping")
            return s.recv(100).decode()
for words in sys.argv[1:]:
    try:
        print(attempt(*words.split()))
    except socket.gaierror as error:
        print(error.strerror)
    except OSError as error:
        print(errno.errorcode.get(error.errno, error))
"#;

/// Answers every connection and datagram with `pong`, at one port of the host, for as long as the test runs.
fn serve(ip: &str) -> u16 {
    let listener = TcpListener::bind((ip, 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let datagrams = UdpSocket::bind(address).expect("the same port for UDP");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            use std::io::{Read, Write};
            let mut stream = stream;
            let mut octets = [0; 4];
            // A client that was cut off has nothing to say.
            let _ = stream.read_exact(&mut octets).and_then(|()| stream.write_all(b"pong"));
        }
    });
    thread::spawn(move || {
        let mut octets = [0; 100];
        while let Ok((_, from)) = datagrams.recv_from(&mut octets) {
            let _ = datagrams.send_to(b"pong", from);
        }
    });
    address.port()
}

fn probe(stage: &Stage, options: &[&str], attempts: &[&str]) -> Option<Ended> {
    let python = need("the probe", "python3")?;
    let script = stage.write("probe.py", PROBE);
    let mut program = vec![python.into(), script.into()];
    program.extend(attempts.iter().map(Into::into));
    Some(finish(&mut stage.run(options, &program), LIMIT).expect_success())
}

#[track_caller]
fn expect(options: &str, attempts: &[(&str, &str)]) {
    let stage = Stage::new();
    let options: Vec<&str> = options.split_ascii_whitespace().collect();
    let (asked, expected): (Vec<&str>, Vec<&str>) = attempts.iter().copied().unzip();
    let Some(ended) = probe(&stage, &options, &asked) else {
        return;
    };
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines, expected, "{options:?} {asked:?}\n{}", ended.stderr);
}

/// An address of this machine that is not loopback, if it has one. Nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback()).then_some(address)
}

/// The same as [`expect`], with names of the host's own: in a mount namespace whose /etc/hosts says so.
fn expect_with_names(hosts: &str, options: &str, attempts: &[(&str, &str)]) {
    let what = format!("names with {options:?}");
    let (Some(python), Some(unshare)) = (need(&what, "python3"), need(&what, "unshare")) else {
        return;
    };
    let stage = Stage::new();
    let (script, hosts) = (stage.write("probe.py", PROBE), stage.write("hosts", hosts));
    let in_place = r#"mount --bind "$0" /etc/hosts && exec "$@""#;
    let mut command = stage.native(unshare, ["-Urm", "sh", "-c", in_place]);
    command
        .arg(hosts)
        .arg(stage.path("prise"))
        .arg("run")
        .args(options.split_ascii_whitespace());
    command
        .arg("--")
        .arg(python)
        .arg(script)
        .args(attempts.iter().map(|(attempt, _)| attempt));
    let ended = finish(&mut command, LIMIT);
    if !ended.status.success() && ended.stderr.starts_with("unshare:") {
        return skip(&what, ended.stderr.trim());
    }
    let ended = ended.expect_success();
    let expected: Vec<&str> = attempts.iter().map(|&(_, expected)| expected).collect();
    assert_eq!(
        ended.stdout.lines().collect::<Vec<_>>(),
        expected,
        "{options} {attempts:?}\n{}",
        ended.stderr
    );
}

const NO_NAME: &str = "Name or service not known";

#[test]
fn the_first_allow_closes_everything_else_for_every_transport() {
    let (open, shut) = (serve("127.0.0.1"), serve("127.0.0.1"));
    let at = |what: &str, port: u16| format!("{what} 10.0.2.2 {port}");
    expect(
        "",
        &[
            (&at("tcp", open), "pong"),
            (&at("udp", open), "pong"),
            (&at("tcp", shut), "pong"),
        ],
    );
    expect(
        &format!("--allow 10.0.2.2:{open}"),
        &[
            (&at("tcp", open), "pong"),
            (&at("udp", open), "pong"),
            (&at("tcp", shut), "EACCES"),
            (&at("udp", shut), "EACCES"),
            ("tcp 192.0.2.1 443", "EACCES"),
            ("udp 2001:db8::1 443", "EACCES"),
            ("tcp 169.254.169.254 80", "EACCES"),
            ("name example.com", NO_NAME),
            ("name host.prise.internal", "10.0.2.2"),
        ],
    );
}

#[test]
fn a_denial_leaves_the_rest_and_the_more_specific_rule_decides() {
    let (open, shut) = (serve("127.0.0.1"), serve("127.0.0.1"));
    let (open_at, shut_at) = (format!("tcp 10.0.2.2 {open}"), format!("tcp 10.0.2.2 {shut}"));
    expect(
        &format!("--deny 10.0.2.2:{shut}"),
        &[(&open_at, "pong"), (&shut_at, "EACCES")],
    );
    expect(
        &format!("--deny 10.0.0.0/8 --allow host.prise.internal:{open}"),
        &[(&open_at, "EACCES")],
    );
    expect(
        &format!("--deny 10.0.0.0/8 --allow 10.0.2.2:{open}"),
        &[(&open_at, "pong"), (&shut_at, "EACCES")],
    );
    expect(
        "--allow *",
        &[(&open_at, "EACCES"), ("tcp 169.254.169.254 80", "EACCES")],
    );
    expect(
        &format!("--allow host.prise.internal:{open}"),
        &[
            (&format!("tcp host.prise.internal {open}"), "pong"),
            (&shut_at, "EACCES"),
        ],
    );
}

#[test]
fn what_stays_inside_the_run_is_always_allowed() {
    let script = "
import socket, signal
signal.alarm(100)
for address in ('127.0.0.1', '10.0.2.15', '0.0.0.0'):
    with socket.create_server((address, 0)) as server:
        with socket.create_connection((address, server.getsockname()[1])) as client:
            client.sendall(b'x')
            print(server.accept()[0].recv(1))
";
    let stage = Stage::new();
    let Some(python) = need("the guest", "python3") else {
        return;
    };
    let program = [python.into(), "-c".into(), script.into()];
    let ended = finish(&mut stage.run(&["--deny", "*"], &program), LIMIT).expect_success();
    assert_eq!(ended.stdout, "b'x'\n".repeat(3));
}

#[test]
fn names_of_the_hosts_own_table_are_judged_as_names() {
    let Some(address) = own_address() else {
        return skip("names that lead to addresses", "this machine has loopback only");
    };
    let port = serve(&address.to_string());
    let hosts =
        format!("{address} api.example.test\n198.51.100.1 other.example.test\n169.254.169.254 evil.example.test\n");
    let (api, by_address) = (format!("tcp api.example.test {port}"), format!("tcp {address} {port}"));
    let expect = |options: &str, attempts: &[(&str, &str)]| expect_with_names(&hosts, options, attempts);
    expect("", &[(&api, "pong"), (&by_address, "pong")]);
    expect(
        &format!("--allow api.example.test:{port}"),
        &[
            (&api, "pong"),
            (&by_address, "pong"),
            ("tcp other.example.test 80", "EACCES"),
        ],
    );
    expect("--allow *.example.test:1", &[(&api, "EACCES")]);
    expect(
        "--allow *.example.test",
        &[(&api, "pong"), ("tcp evil.example.test 80", "EACCES")],
    );
    expect(&format!("--allow *.example.test --deny {address}"), &[(&api, "EACCES")]);
    expect("--deny api.example.test", &[(&api, "EACCES"), (&by_address, "EACCES")]);
}

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).expect("the audit");
    assert!(text.is_empty() || text.ends_with('\n'), "an unfinished line: {text:?}");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

/// The line with that event and port, which there must be once.
#[track_caller]
fn only<'a>(lines: &'a [Value], event: &str, protocol: &str, port: u16) -> &'a Value {
    let mut found = lines.iter().filter(|line| {
        (&line["event"], &line["protocol"], &line["port"]) == (&event.into(), &protocol.into(), &port.into())
    });
    let line = found
        .next()
        .unwrap_or_else(|| panic!("no {event} {protocol} {port}: {lines:#?}"));
    assert!(found.next().is_none(), "{event} {protocol} {port} twice: {lines:#?}");
    line
}

#[test]
fn the_audit_has_a_line_for_whatever_crosses_the_edge() {
    let (open, shut) = (serve("127.0.0.1"), serve("127.0.0.1"));
    // Bound and not listening: refused.
    let closed = UdpSocket::bind("127.0.0.1:0")
        .expect("a free port")
        .local_addr()
        .expect("bound")
        .port();
    let stage = Stage::new();
    let file = stage.path("work/net.jsonl");
    let options = [
        "--audit",
        file.to_str().expect("UTF-8"),
        "--allow",
        &format!("10.0.2.2:{open},{closed}"),
    ];
    let attempts = [
        "name host.prise.internal".to_owned(),
        "name forbidden.example".to_owned(),
        format!("tcp host.prise.internal {open}"),
        format!("udp 10.0.2.2 {open}"),
        format!("tcp 10.0.2.2 {shut}"),
        format!("tcp 10.0.2.2 {closed}"),
        "ping 192.0.2.9".to_owned(),
    ];
    let attempts: Vec<&str> = attempts.iter().map(String::as_str).collect();
    let Some(ended) = probe(&stage, &options, &attempts) else {
        return;
    };
    let said: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(
        said,
        ["10.0.2.2", NO_NAME, "pong", "pong", "EACCES", "ECONNREFUSED", "EACCES"]
    );

    let lines = lines(&file);
    for protocol in ["tcp", "udp"] {
        let open_line = only(&lines, "open", protocol, open);
        let close = only(&lines, "close", protocol, open);
        assert_eq!(open_line["flow"], close["flow"]);
        for line in [open_line, close] {
            assert_eq!(line["address"], "10.0.2.2");
            assert_eq!(line["verdict"], "allowed");
            assert_eq!(line["name"], "host.prise.internal");
            assert_eq!(line["direction"], "out");
            assert!(line["pid"].is_u64(), "{line}");
            assert!(
                line["program"]
                    .as_str()
                    .is_some_and(|program| program.contains("python")),
                "{line}"
            );
        }
        assert_eq!((&close["sent"], &close["received"]), (&4.into(), &4.into()));
        assert!(
            close["duration"]
                .as_f64()
                .is_some_and(|seconds| (0.0..20.0).contains(&seconds))
        );
    }
    let denied = only(&lines, "refused", "tcp", shut);
    assert_eq!(
        (&denied["verdict"], &denied["error"]),
        (&"denied".into(), &"EACCES".into())
    );
    assert!(denied["pid"].is_u64());
    let ping = lines
        .iter()
        .find(|line| line["protocol"] == "icmp")
        .expect("a line for the ping");
    assert_eq!(
        (&ping["event"], &ping["verdict"], &ping["address"]),
        (&"refused".into(), &"denied".into(), &"192.0.2.9".into())
    );
    let failed = only(&lines, "refused", "tcp", closed);
    assert_eq!(
        (&failed["verdict"], &failed["error"]),
        (&"allowed".into(), &"ECONNREFUSED".into())
    );
    let verdicts: HashSet<(&str, &str)> = lines
        .iter()
        .filter(|line| line["event"] == "lookup")
        .filter_map(|line| Some((line["name"].as_str()?, line["verdict"].as_str()?)))
        .collect();
    assert!(verdicts.contains(&("host.prise.internal", "allowed")), "{lines:#?}");
    assert!(verdicts.contains(&("forbidden.example", "denied")), "{lines:#?}");
    let time = denied["time"].as_str().expect("a time");
    assert!(
        time.len() == 27 && time.starts_with("20") && time.ends_with('Z'),
        "{time}"
    );
}

/// systemd-resolved's, which most desktops have: its address is the run's own.
#[test]
fn who_asks_a_name_server_of_the_loopback_is_on_record() {
    let what = "a name server of the loopback";
    let (Some(python), Some(unshare)) = (need(what, "python3"), need(what, "unshare")) else {
        return;
    };
    let stage = Stage::new();
    let file = stage.path("work/net.jsonl");
    let in_place = r#"mount --bind "$0" /etc/resolv.conf && exec "$@""#;
    let mut command = stage.native(unshare, ["-Urm", "sh", "-c", in_place]);
    command.arg(stage.write("resolv.conf", "nameserver 127.0.0.53\n"));
    command.arg(stage.path("prise")).args(["run", "--audit"]).arg(&file);
    command.arg("--").arg(python).arg(stage.write("probe.py", PROBE));
    let ended = finish(command.arg("name host.prise.internal"), LIMIT);
    if !ended.status.success() && ended.stderr.starts_with("unshare:") {
        return skip(what, ended.stderr.trim());
    }
    assert_eq!(ended.expect_success().stdout, "10.0.2.2\n");
    let lines = lines(&file);
    assert!(!lines.is_empty());
    for line in lines {
        assert_eq!(line["event"], "lookup");
        assert!(line["pid"].is_u64() && line["program"].is_string(), "{line}");
        assert!(
            line["local"]
                .as_str()
                .is_some_and(|local| local.starts_with("127.0.0.1:")),
            "{line}"
        );
    }
}

#[test]
fn published_ports_and_their_clients_are_on_record() {
    let free = TcpListener::bind("127.0.0.1:0")
        .expect("a free port")
        .local_addr()
        .expect("bound")
        .port();
    let stage = Stage::new();
    let Some(python) = need("the guest", "python3") else {
        return;
    };
    let file = stage.path("work/net.jsonl");
    let script = "
import signal, socket
signal.alarm(100)
server = socket.create_server(('0.0.0.0', 8080))
print('ready', flush=True)
peer = server.accept()[0]
peer.sendall(peer.recv(100) * 2)
peer.close()
";
    let publish = format!("127.0.0.1:{free}:8080");
    let options = ["--audit", file.to_str().expect("UTF-8"), "--deny", "*", "-p", &publish];
    let mut run = Running::start(&mut stage.run(&options, &[python.into(), "-c".into(), script.into()]));
    run.wait_for("ready", LIMIT);
    let address: SocketAddr = ([127, 0, 0, 1], free).into();
    let answered = std::net::TcpStream::connect(address).and_then(|mut stream| {
        use std::io::{Read, Write};
        stream.write_all(b"four")?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text)
    });
    assert_eq!(answered.expect("published"), "fourfour");
    run.end(LIMIT).expect_success();
    let lines = lines(&file);
    let find = |event: &str| {
        lines
            .iter()
            .find(|line| line["event"] == event)
            .unwrap_or_else(|| panic!("{lines:#?}"))
    };
    assert_eq!(find("listen")["local"], "0.0.0.0:8080");
    let close = find("close");
    assert_eq!(
        (&close["direction"], &close["sent"], &close["received"]),
        (&"in".into(), &8.into(), &4.into())
    );
    assert_eq!(close["pid"], find("listen")["pid"]);
}

#[test]
fn what_was_begun_is_on_record_even_when_prise_is_killed() {
    let port = serve("127.0.0.1");
    let stage = Stage::new();
    let Some(python) = need("the guest", "python3") else {
        return;
    };
    let file = stage.path("work/net.jsonl");
    let script = format!(
        "
import signal, socket, time
signal.alarm(100)
peer = socket.create_connection(('10.0.2.2', {port}))
print('connected', flush=True)
peer.recv(1)
"
    );
    let options = ["--audit", file.to_str().expect("UTF-8")];
    for signal in [rustix::process::Signal::KILL, rustix::process::Signal::TERM] {
        let _ = std::fs::remove_file(&file);
        let program = [python.clone().into(), "-c".into(), script.clone().into()];
        let mut run = Running::start(&mut stage.run(&options, &program));
        run.wait_for("connected", LIMIT);
        run.signal(signal);
        run.end(LIMIT);
        let lines = lines(&file);
        only(&lines, "open", "tcp", port);
        if signal == rustix::process::Signal::TERM {
            only(&lines, "close", "tcp", port);
        }
    }
}

#[test]
fn an_audit_that_cannot_be_written_is_said_before_the_program_starts() {
    let stage = Stage::new();
    let ended = finish(
        &mut stage.run(&["--audit", "/no/such/directory/net.jsonl"], &["true".into()]),
        LIMIT,
    );
    assert_eq!(ended.status.code(), Some(125));
    assert!(
        ended.stderr.contains("name another file for --audit"),
        "{}",
        ended.stderr
    );
}
