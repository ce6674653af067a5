//! What an administrator decides for the guest's host: `--sysctl`, `--congestion`, and what `prise ss --summary` tells of memory.

mod world;

use std::process::Stdio;
use std::time::Duration;

use world::{Running, Stage, finish, need};

const LIMIT: Duration = Duration::from_secs(150);

fn python(stage: &Stage, options: &[&str], script: &str) -> Option<String> {
    let python = need("settings", "python3")?;
    let script = stage.write("guest.py", script);
    let ended = finish(&mut stage.run(options, &[python.into(), script.into()]), LIMIT).expect_success();
    Some(ended.stdout)
}

#[test]
fn settings_hold_for_sockets_on_which_nothing_was_set() {
    let stage = Stage::new();
    let options = "--link none --sysctl net.ipv4.tcp_keepalive_time=77 --sysctl net.ipv4.tcp_keepalive_intvl=5 --sysctl \
        net.ipv4.tcp_keepalive_probes=3 --sysctl net.ipv4.tcp_fin_timeout=11 --sysctl net/ipv4/tcp_syn_retries=2 --sysctl \
        net.ipv4.ip_default_ttl=33 --sysctl net.ipv4.tcp_congestion_control=reno";
    let options: Vec<&str> = options.split_ascii_whitespace().collect();
    let script = "
import socket as s
with s.socket() as it:
    names = s.TCP_KEEPIDLE, s.TCP_KEEPINTVL, s.TCP_KEEPCNT, s.TCP_LINGER2, s.TCP_SYNCNT
    print([it.getsockopt(s.IPPROTO_TCP, name) for name in names], it.getsockopt(s.IPPROTO_IP, s.IP_TTL))
    it.setsockopt(s.IPPROTO_TCP, s.TCP_KEEPIDLE, 100)
    it.setsockopt(s.IPPROTO_TCP, s.TCP_LINGER2, 20)
    print(it.getsockopt(s.IPPROTO_TCP, s.TCP_KEEPIDLE), it.getsockopt(s.IPPROTO_TCP, s.TCP_LINGER2))
    it.setsockopt(s.IPPROTO_TCP, s.TCP_LINGER2, 0)
    print(it.getsockopt(s.IPPROTO_TCP, s.TCP_LINGER2), it.getsockopt(s.IPPROTO_TCP, s.TCP_CONGESTION, 16).rstrip(b'\\0'))
one, other = s.socket(s.AF_INET, s.SOCK_DGRAM), s.socket(s.AF_INET, s.SOCK_DGRAM)
one.bind(('127.0.0.1', 0))
one.setsockopt(s.IPPROTO_IP, 12, 1)
other.sendto(b'x', one.getsockname())
print(int.from_bytes(one.recvmsg(1, 100)[1][0][2], 'little'))
";
    let Some(said) = python(&stage, &options, script) else {
        return;
    };
    assert_eq!(said, "[77, 5, 3, 11, 2] 33\n100 20\n11 b'reno'\n33\n");
}

#[test]
fn ports_come_from_the_range_and_run_out() {
    let stage = Stage::new();
    let options = ["--link", "none", "--sysctl", "net.ipv4.ip_local_port_range=5000 5003"];
    let script = "
import socket
held = []
try:
    while len(held) < 10:
        it = socket.socket()
        it.bind(('127.0.0.1', 0))
        held.append(it)
except OSError as error:
    print(sorted(it.getsockname()[1] for it in held), error.strerror)
";
    let Some(said) = python(&stage, &options, script) else {
        return;
    };
    assert_eq!(said, "[5000, 5001, 5002, 5003] Address already in use\n");
}

#[test]
fn links_choose_the_congestion_control_of_connections_that_do_not() {
    let stage = Stage::new();
    let options = ["--link", "none", "--congestion", "lo=bbr", "--no-join"];
    let script = "
import socket
server = socket.create_server(('127.0.0.1', 0))
def name(it):
    return it.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b'\\0').decode()
fresh = socket.socket()
client = socket.create_connection(server.getsockname())
picky = socket.socket()
picky.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b'reno')
picky.connect(server.getsockname())
print(name(fresh), name(client), name(server.accept()[0]), name(picky))
";
    let Some(said) = python(&stage, &options, script) else {
        return;
    };
    assert_eq!(said, "cubic bbr bbr reno\n");
}

#[test]
fn data_goes_with_the_syn_where_the_setting_lets_it() {
    let stage = Stage::new();
    let options = ["--link", "none", "--no-join", "--sysctl", "net.ipv4.tcp_fastopen=0x3"];
    let refused = finish(&mut stage.run(&options, &["true".into()]), LIMIT);
    assert_eq!(refused.status.code(), Some(2));
    let options = ["--link", "none", "--no-join", "--sysctl", "net.ipv4.tcp_fastopen=7"];
    // Bit 2: without a cookie. TCP_INFO's tcpi_options has TCPI_OPT_SYN_DATA (32) where the SYN's data was taken.
    let script = "
import socket
server = socket.socket()
server.bind(('127.0.0.1', 0))
server.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
server.setsockopt(socket.IPPROTO_TCP, 34, 1) # TCP_FASTOPEN_NO_COOKIE
server.listen()
client = socket.socket()
client.sendto(b'with the SYN', 0x20000000, server.getsockname())
peer = server.accept()[0]
print(peer.recv(100), peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[5] & 32)
";
    let Some(said) = python(&stage, &options, script) else {
        return;
    };
    assert_eq!(said, "b'with the SYN' 32\n");
}

#[test]
fn files_of_proc_sys_say_what_was_set() {
    let stage = Stage::new();
    let options = "--link none --sysctl net.ipv4.tcp_ecn=1 --sysctl net.ipv4.tcp_ecn=3";
    let options: Vec<&str> = options.split_ascii_whitespace().collect();
    let script = "
for name in 'tcp_ecn', 'tcp_rmem', 'tcp_congestion_control', 'tcp_available_congestion_control':
    print(open('/proc/sys/net/ipv4/' + name).read(), end='')
";
    let Some(said) = python(&stage, &options, script) else {
        return;
    };
    assert_eq!(said, "3\n4096\t262144\t67107840\ncubic\ncubic reno bbr\n");
}

#[test]
fn unknown_settings_are_refused_with_the_list_of_known_ones() {
    let stage = Stage::new();
    let ended = finish(
        &mut stage.run(&["--sysctl", "net.ipv4.ip_forward=1"], &["true".into()]),
        LIMIT,
    );
    assert_eq!(ended.status.code(), Some(2));
    for words in [
        "net.ipv4.ip_forward: no setting that prise has; it has net.ipv4.ip_default_ttl",
        "net.ipv4.tcp_wmem",
    ] {
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
}

#[test]
fn the_budget_is_what_was_set_and_the_summary_tells_of_it() {
    let stage = Stage::new();
    let Some(python) = need("memory", "python3") else {
        return;
    };
    // A peer that is not read: 4 MiB may wait in the whole stack, of which this connection gets a part under pressure.
    let script = "
import socket
server = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(server.getsockname())
peer = server.accept()[0]
client.setblocking(False)
try:
    while True:
        client.send(bytes(65536))
except BlockingIOError:
    print('full', flush=True)
input()
";
    let script = stage.write("guest.py", script);
    let options = [
        "--link",
        "none",
        "--no-join",
        "--sysctl",
        "net.ipv4.tcp_mem=256 512 1024",
    ];
    let mut command = stage.run(&options, &[python.into(), script.into()]);
    let mut run = Running::start(command.stdin(Stdio::piped()));
    let input = run.stdin().expect("a pipe");
    run.wait_for("full\n", LIMIT);
    let json = finish(&mut stage.prise(["ss", "--json"]), LIMIT)
        .expect_success()
        .stdout;
    let runs: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let mut runs = runs.as_array().expect("a list of runs").iter();
    let ours = runs.find(|it| it["supervisor"] == run.pid()).expect("this run");
    let figure = |name: &str| ours["memory"][name].as_u64().expect("a number");
    let marks = ["low", "pressure_mark", "high"].map(figure);
    assert_eq!(marks, [1 << 20, 2 << 20, 4 << 20]);
    let used = figure("used");
    assert!(used > 0 && used <= (4 << 20) + (64 << 10), "{used}");
    let summary = finish(&mut stage.prise(["ss", "--summary"]), LIMIT)
        .expect_success()
        .stdout;
    let here = format!("({}): ", run.pid());
    let line = summary.lines().find(|line| line.contains(&here)).expect("this run");
    for words in ["1 tcp LISTEN", "2 tcp ESTAB", " of 4.0 MiB"] {
        assert!(line.contains(words), "{line}");
    }
    drop(input);
    run.end(LIMIT);
}
