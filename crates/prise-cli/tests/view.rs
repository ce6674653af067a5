//! What programs see of the network that they are in: links, addresses, routes and sockets are the run's, not the host's,
//! whichever way they ask.

mod world;

use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use world::{Ended, Stage, finish, need, skip};

const LIMIT: Duration = Duration::from_secs(150);

fn shell(script: &str) -> Vec<OsString> {
    ["sh", "-c", script].map(OsString::from).into()
}

fn run(stage: &Stage, script: &str) -> String {
    let Ended { stdout, .. } = finish(&mut stage.run(&[], &shell(script)), LIMIT).expect_success();
    stdout
}

/// Words of each line, so that columns may be as wide as they like.
fn squeezed(text: &str) -> Vec<String> {
    let words = |line: &str| line.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(words).collect()
}

#[test]
fn ip_shows_the_runs_links_addresses_routes_and_neighbors() {
    if need("ip", "ip").is_none() {
        return;
    }
    let stage = Stage::new();
    let shown = run(
        &stage,
        "ip -br link; ip -br addr; ip route; ip -6 route; ip neigh; ip rule; ip route get 192.0.2.1; ip addr show dev lo | head -1",
    );
    let expected = "lo UNKNOWN 00:00:00:00:00:00 <LOOPBACK,UP,LOWER_UP>
eth0 UP 02:50:52:49:53:45 <BROADCAST,MULTICAST,UP,LOWER_UP>
lo UNKNOWN 127.0.0.1/8 ::1/128
eth0 UP 10.0.2.15/24 fd00:2::15/64 fe80::50:52ff:fe49:5345/64
default via 10.0.2.2 dev eth0
10.0.2.0/24 dev eth0 proto kernel scope link src 10.0.2.15
fd00:2::/64 dev eth0 proto kernel metric 256 pref medium
fe80::/64 dev eth0 proto kernel metric 256 pref medium
default via fd00:2::2 dev eth0 metric 1024 pref medium
10.0.2.2 dev eth0 lladdr 52:55:0a:00:02:02 PERMANENT
10.0.2.3 dev eth0 lladdr 52:55:0a:00:02:02 PERMANENT
fd00:2::2 dev eth0 lladdr 52:55:0a:00:02:02 PERMANENT
fd00:2::3 dev eth0 lladdr 52:55:0a:00:02:02 PERMANENT
0: from all lookup local
32766: from all lookup main
32767: from all lookup default
192.0.2.1 via 10.0.2.2 dev eth0 src 10.0.2.15 uid USER
cache
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default qlen 1000";
    let expected = expected.replace("USER", run(&stage, "id -u").trim());
    assert_eq!(squeezed(&shown), expected.lines().collect::<Vec<_>>());
}

/// As a Linux host with these addresses has it.
#[test]
fn the_trie_of_routes_is_the_runs() {
    let stage = Stage::new();
    let expected = "Main:
  +-- 0.0.0.0/1 2 0 2
     +-- 0.0.0.0/4 2 0 2
        |-- 0.0.0.0
           /0 universe UNICAST
        +-- 10.0.2.0/24 2 0 2
           +-- 10.0.2.0/28 2 0 2
              |-- 10.0.2.0
                 /24 link UNICAST
              |-- 10.0.2.15
                 /32 host LOCAL
           |-- 10.0.2.255
              /32 link BROADCAST
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
";
    let shown = run(&stage, "cat /proc/net/fib_trie");
    assert_eq!(shown, format!("{expected}{}", expected.replace("Main", "Local")));
}

/// Each answer is that of a Linux host with these links and addresses.
#[test]
fn ip_and_tc_show_the_ways_to_destinations_and_settings_as_linux_begins_with_them() {
    if need("ip", "ip").is_none() || need("ip", "tc").is_none() {
        return;
    }
    let stage = Stage::new();
    if !finish(&mut stage.native("unshare", ["--user", "true"]), LIMIT)
        .status
        .success()
    {
        skip("ip", "no user name space can be had");
        return;
    }
    let shown = run(
        &stage,
        "for way in '192.0.2.1 from 10.0.2.15' '192.0.2.1 oif lo' '10.0.2.255' '10.0.2.15 from 127.0.0.1' 2001:db8::1 'fd00:2::15 oif eth0' ff02::1
do ip route get $way | head -1; done
unshare -r ip route get 10.0.2.2 | head -1; unshare -U ip route get 10.0.2.2 | head -1
for way in '192.0.2.1 from 127.0.0.1' '192.0.2.1 from 1.2.3.4' '2001:db8::1 oif lo'; do ip route get $way 2>&1; done
ip netconf show dev eth0; ip addrlabel | head -3; ip mroute; bridge link; tc qdisc; true",
    );
    let expected = format!(
        "192.0.2.1 from 10.0.2.15 via 10.0.2.2 dev eth0 uid {user}
192.0.2.1 dev lo src 10.0.2.15 uid {user}
broadcast 10.0.2.255 dev eth0 src 10.0.2.15 uid {user}
local 10.0.2.15 from 127.0.0.1 dev lo uid {user}
2001:db8::1 from :: via fd00:2::2 dev eth0 src fd00:2::15 metric 1024 pref medium
local fd00:2::15 from :: dev lo table local proto kernel src fd00:2::15 metric 0 pref medium
multicast ff02::1 from :: dev eth0 table local proto kernel src fe80::50:52ff:fe49:5345 metric 256 pref medium
10.0.2.2 dev eth0 src 10.0.2.15 uid 0
10.0.2.2 dev eth0 src 10.0.2.15 uid 65534
RTNETLINK answers: Invalid argument
RTNETLINK answers: Network is unreachable
RTNETLINK answers: Network is unreachable
inet eth0 forwarding off rp_filter off mc_forwarding off proxy_neigh off ignore_routes_with_linkdown off
inet6 eth0 forwarding off mc_forwarding off proxy_neigh off ignore_routes_with_linkdown off
prefix ::1/128 label 0
prefix ::/96 label 3
prefix ::ffff:0.0.0.0/96 label 4
qdisc noqueue 0: dev lo root refcnt 2
qdisc noqueue 0: dev eth0 root refcnt 2",
        user = run(&stage, "id -u").trim()
    );
    assert_eq!(squeezed(&shown), expected.lines().collect::<Vec<_>>());
}

#[test]
fn ip_changes_nothing() {
    if need("ip", "ip").is_none() {
        return;
    }
    let stage = Stage::new();
    for change in [
        "link set eth0 down",
        "addr add 192.0.2.9/24 dev lo",
        "route del default",
        "neigh del 10.0.2.2 dev eth0",
    ] {
        let ended = finish(&mut stage.run(&[], &shell(&format!("exec ip {change}"))), LIMIT);
        let refused = ended.stderr.contains("Operation not permitted");
        assert!(!ended.status.success() && refused, "{change}: {}", ended.stderr);
    }
}

#[test]
fn without_a_gateway_there_is_no_default_route() {
    if need("ip", "ip").is_none() {
        return;
    }
    let stage = Stage::new();
    let program = shell("ip route; ip route get 192.0.2.1; true");
    let ended = finish(&mut stage.run(&["--link", "none"], &program), LIMIT).expect_success();
    assert!(!ended.stdout.contains("default"), "{}", ended.stdout);
    assert!(ended.stderr.contains("Network is unreachable"), "{}", ended.stderr);
}

const SOCKETS: &str = "
import socket, subprocess, sys
listener = socket.create_server(('127.0.0.1', 8080), backlog=5)
client = socket.create_connection(('127.0.0.1', 8080))
accepted, _ = listener.accept()
accepted.sendall(b'x' * 100)
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.bind(('::1', 5353))
unbound = socket.socket()
for words in sys.argv[1:]:
    shown = subprocess.run(['ss', '-Hn'] + words.split(' ', 1)[:1] + words.split(' ', 1)[1:], capture_output=True, text=True)
    print(words, '->', len(shown.stdout.splitlines()), end=shown.stderr + chr(10))
shown = subprocess.run(['ss', '-Htlnp'], capture_output=True, text=True).stdout
print('python3' in shown, f'fd={listener.fileno()}' in shown)
shown = subprocess.run(['ss', '-Hti', 'sport = :8080', 'and', 'dport', f'= :{client.getsockname()[1]}'], capture_output=True, text=True).stdout
print('bytes_sent:100' in shown and 'wscale' in shown, shown.split()[5])
";

#[test]
fn ss_shows_the_runs_sockets_and_who_holds_them() {
    let (Some(python), Some(_)) = (need("ss", "python3"), need("ss", "ss")) else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("sockets.py", SOCKETS);
    let mut program: Vec<OsString> = vec![python.into(), script.into()];
    let questions = [
        "-tan",
        "-tln",
        "-uan",
        "-t sport = :8080",
        "-t dst 127.0.0.1",
        "-t dst 10.0.0.0/8",
        "-ta sport >= :8000 and sport <= :8080",
        "-6ua",
        "-wa",
    ];
    program.extend(questions.map(OsString::from));
    let kernels = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").expect("the kernel's default");
    for (options, congestion) in [(&[][..], kernels.trim()), (&["--no-join"], "cubic")] {
        let ended = finish(&mut stage.run(options, &program), LIMIT).expect_success();
        assert_eq!(ended.stdout, expected(congestion), "{}", ended.stderr);
    }
}

/// What `SOCKETS` prints; `congestion`: the control of a stream.
fn expected(congestion: &str) -> String {
    format!(
        "-tan -> 3
-tln -> 1
-uan -> 1
-t sport = :8080 -> 1
-t dst 127.0.0.1 -> 2
-t dst 10.0.0.0/8 -> 0
-ta sport >= :8000 and sport <= :8080 -> 2
-6ua -> 1
-wa -> 0
True True
True {congestion}
"
    )
}

const LIBRARIES: &str = "
import fcntl, socket, struct
print(socket.if_nameindex(), socket.if_nametoindex('eth0'), socket.if_indextoname(1))
print(sorted({info[4][0] for info in socket.getaddrinfo('localhost', 80, flags=socket.AI_ADDRCONFIG)} <= {'127.0.0.1', '::1'} and ['local']))
request = struct.pack('16s24x', b'eth0')
ask = lambda it, number: fcntl.ioctl(it, number, request)[16:].rstrip(b'\\0').hex()
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK):
    with socket.socket(family, socket.SOCK_DGRAM) as it:
        shown = []
        for number in (0x8933, 0x8913, 0x8921, 0x8927, 0x8915, 0x891b, 0x8919, 0x8946, 0x8914):
            try:
                shown.append(ask(it, number))
            except OSError as error:
                shown.append(error.errno)
        print(family.name, *shown)
with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as it:
    print(it.getsockname(), it.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN), it.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE))
    it.bind((0, 1))
    import os
    print(it.getsockname() == (os.getpid(), 1))
    other = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    try:
        other.bind((os.getpid(), 0))
    except OSError as error:
        print(error.strerror)
    it.setblocking(False)
    try:
        it.recv(10)
    except BlockingIOError as error:
        print(error.strerror)
    it.sendto(struct.pack('=IHHIIBxxx', 20, 18, 0x301, 7, 0, 0), (0, 0))
    whole = it.recv(1, socket.MSG_PEEK | socket.MSG_TRUNC)
    octets, _, flags, source = it.recvmsg(100)
    print(len(octets), flags & socket.MSG_TRUNC != 0, source)
    import select
    poll = select.epoll()
    poll.register(it, select.EPOLLIN)
    it.send(struct.pack('=IHHIIBxxx', 20, 22, 0x301, 8, 0, 0))
    print(poll.poll(5) != [], struct.unpack_from('=IHHI', it.recv(9999))[3])
    for number in (9, 6, 12, 16):
        try:
            socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, number).close()
            print(number, 'opened')
        except OSError as error:
            print(number, error.strerror)
";

#[test]
fn libraries_find_the_runs_interfaces_by_netlink_and_by_ioctl() {
    let Some(python) = need("interfaces", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("libraries.py", LIBRARIES);
    let ended = finish(&mut stage.run(&[], &[python.into(), script.into()]), LIMIT).expect_success();
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "[(1, 'lo'), (2, 'eth0')] 2 lo",
            "['local']",
            "AF_INET 02 4310 dc05 0100025052495345 020000000a00020f 02000000ffffff 020000000a0002ff 14 1",
            "AF_INET6 02 4310 dc05 0100025052495345 25 25 25 14 1",
            "AF_UNIX 02 4310 dc05 0100025052495345 25 25 25 14 1",
            "AF_NETLINK 02 4310 dc05 0100025052495345 25 25 25 14 1",
            "(0, 0) 16 3",
            "True",
            "Address already in use",
            "Resource temporarily unavailable",
            "100 True (0, 0)",
            "True 8",
            "9 opened",
            "6 Protocol not supported",
            "12 Protocol not supported",
            "16 opened",
        ],
        "{}",
        ended.stderr
    );
}

const C_LIBRARY: &str = r#"
#include <ifaddrs.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <stdio.h>
int main(void) {
    struct ifaddrs *all, *it;
    if (getifaddrs(&all)) { perror("getifaddrs"); return 1; }
    for (it = all; it; it = it->ifa_next) {
        char text[64] = "-";
        int family = it->ifa_addr ? it->ifa_addr->sa_family : -1;
        if (family == AF_INET) inet_ntop(family, &((struct sockaddr_in *)it->ifa_addr)->sin_addr, text, 64);
        if (family == AF_INET6) inet_ntop(family, &((struct sockaddr_in6 *)it->ifa_addr)->sin6_addr, text, 64);
        printf("%s %d %s\n", it->ifa_name, family, text);
    }
    printf("%u %u\n", if_nametoindex("lo"), if_nametoindex("eth0"));
    return 0;
}
"#;

/// Compiles the program with each C library that is there: musl reads the answer without waiting for it.
#[test]
fn c_libraries_list_the_runs_addresses() {
    let stage = Stage::new();
    let source = stage.write("interfaces.c", C_LIBRARY);
    for compiler in ["cc", "musl-gcc"] {
        let Some(found) = need("getifaddrs", compiler) else {
            continue;
        };
        let program = stage.path(format!("interfaces-{compiler}"));
        let mut build = Command::new(found);
        build.arg("-static").arg("-o").arg(&program).arg(&source);
        if !finish(&mut build, LIMIT).status.success() {
            skip("getifaddrs", &format!("{compiler} makes no static program"));
            continue;
        }
        let ended = finish(&mut stage.run(&[], &[program.into()]), LIMIT).expect_success();
        let mut lines: Vec<&str> = ended.stdout.lines().collect();
        lines.sort_unstable();
        let expected = [
            "1 2",
            "eth0 10 fd00:2::15",
            "eth0 10 fe80::50:52ff:fe49:5345",
            "eth0 17 -",
            "eth0 2 10.0.2.15",
            "lo 10 ::1",
            "lo 17 -",
            "lo 2 127.0.0.1",
        ];
        assert_eq!(lines, expected, "{compiler}");
    }
}

#[test]
fn node_lists_the_runs_addresses() {
    let Some(node) = need("os.networkInterfaces", "node") else {
        return;
    };
    let stage = Stage::new();
    let code = "const all = require('os').networkInterfaces();
        for (const name in all) console.log(name, ...all[name].map(it => it.cidr));";
    let program: Vec<OsString> = vec![node.into(), "-e".into(), code.into()];
    let ended = finish(&mut stage.run(&[], &program), LIMIT).expect_success();
    let expected = "lo 127.0.0.1/8 ::1/128\neth0 10.0.2.15/24 fd00:2::15/64 fe80::50:52ff:fe49:5345/64\n";
    assert_eq!(ended.stdout, expected);
}

#[test]
fn ping_is_answered_by_the_run_itself_and_by_its_gateway() {
    if need("ping", "ping").is_none() {
        return;
    }
    let stage = Stage::new();
    for address in [
        "127.0.0.1",
        "::1",
        "10.0.2.15",
        "fd00:2::15",
        "10.0.2.2",
        "fd00:2::2",
        "10.0.2.3",
    ] {
        let shown = run(&stage, &format!("ping -n -c 2 -i 0.2 -W 5 {address}"));
        assert!(shown.contains(" 0% packet loss"), "{shown}");
    }
    // A name of the run's own.
    let shown = run(&stage, "ping -c 1 -W 5 localhost");
    assert!(shown.contains(" 0% packet loss"), "{shown}");
}

#[test]
fn traceroute_finds_the_gateway_by_datagrams_echoes_and_syns() {
    if need("traceroute", "traceroute").is_none() {
        return;
    }
    let stage = Stage::new();
    for (how, address) in [
        ("", "10.0.2.2"),
        ("-U", "fd00:2::2"),
        ("-I", "10.0.2.2"),
        ("-I", "fd00:2::2"),
        ("-T", "10.0.2.2"),
        ("-UL", "127.0.0.1"),
        ("-I", "::1"),
    ] {
        let shown = run(&stage, &format!("traceroute {how} -n -q 1 -w 5 -m 3 {address}"));
        let lines = squeezed(&shown);
        assert_eq!(lines.len(), 2, "{how} {address}: {shown}");
        assert!(
            lines[1].starts_with(&format!("1 {address} ")),
            "{how} {address}: {shown}"
        );
    }
}

/// A network name space inside a run makes no difference: sockets and what is seen of them are the run's.
#[test]
fn a_name_space_inside_shows_the_same_and_its_loopback_can_be_set_up() {
    if ["unshare", "ip", "ping"]
        .iter()
        .any(|program| need("unshare", program).is_none())
    {
        return;
    }
    let stage = Stage::new();
    let possible = finish(
        &mut stage.native("unshare", ["--user", "--map-root-user", "--net", "true"]),
        LIMIT,
    );
    if !possible.status.success() {
        skip("unshare", possible.stderr.trim());
        return;
    }
    let script = "unshare --user --map-root-user --net sh -ec '
        ip -br addr show dev eth0
        ip link set lo up
        ip link set dev eth0 up
        ip link set lo down || echo no
        ping -n -c 1 -W 5 127.0.0.1 > /dev/null && echo pong
    ' 2>&1";
    let lines = squeezed(&run(&stage, script));
    assert_eq!(
        lines,
        [
            "eth0 UP 10.0.2.15/24 fd00:2::15/64 fe80::50:52ff:fe49:5345/64",
            "RTNETLINK answers: Operation not permitted",
            "no",
            "pong"
        ]
    );
}

const CHANGES: &str = "
import errno, fcntl, os, socket, struct
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def change(number, name, union):
    try:
        fcntl.ioctl(sock, number, struct.pack('16s24s', name, union))
        return 'done'
    except OSError as error:
        return errno.errorcode[error.errno]
address = lambda text: struct.pack('=HH4s', socket.AF_INET, 0, socket.inet_aton(text))
print('flags', [change(0x8914, name, struct.pack('H', flags)) for name, flags in ((b'lo', 0x49), (b'lo', 1), (b'lo', 0), (b'lo', 0x101), (b'no', 1))])
print('address', [change(0x8916, b'lo', address(text)) for text in ('127.0.0.1', '127.0.0.2')])
print('netmask', [change(0x891c, b'lo', address(text)) for text in ('255.0.0.0', '255.255.0.0')])
print('mtu', [change(0x8922, b'lo', struct.pack('I', mtu)) for mtu in (65536, 1500)])
try:
    own = fcntl.ioctl(sock, 0x894c)
    print('name space', os.fstat(own).st_ino == os.stat('/proc/self/ns/net').st_ino, os.get_inheritable(own))
except OSError as error:
    print('name space', errno.errorcode[error.errno])
";

/// Who may change the network hears that what would change nothing is done; who may not is told so first.
#[test]
fn requests_that_change_nothing_succeed_for_who_may() {
    let (Some(python), Some(_)) = (need("ioctl", "python3"), need("ioctl", "unshare")) else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("changes.py", CHANGES);
    let alone = ["--user", "--map-root-user", "--net"];
    let possible = finish(&mut stage.native("unshare", alone.into_iter().chain(["true"])), LIMIT);
    if !possible.status.success() {
        skip("unshare", possible.stderr.trim());
        return;
    }
    let command = |user: &str| format!("unshare {user} '{}' '{}'", python.display(), script.display());
    assert_eq!(
        squeezed(&run(&stage, &command("--user --map-root-user --net"))),
        [
            "flags ['done', 'done', 'EPERM', 'EPERM', 'ENODEV']",
            "address ['done', 'EPERM']",
            "netmask ['done', 'EPERM']",
            "mtu ['done', 'EPERM']",
            "name space True False"
        ]
    );
    // Without a mapping nobody there has capabilities after execve(2).
    assert_eq!(
        squeezed(&run(&stage, &command("--user"))),
        [
            "flags ['EPERM', 'EPERM', 'EPERM', 'EPERM', 'EPERM']",
            "address ['EPERM', 'EPERM']",
            "netmask ['EPERM', 'EPERM']",
            "mtu ['EPERM', 'EPERM']",
            "name space EPERM"
        ]
    );
}

const FILES: &str = "
import os, socket
listener = socket.create_server(('127.0.0.1', 8080), backlog=5)
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.bind(('::1', 5353))
def lines(path):
    with open(path) as file:
        return [line.split() for line in file.read().splitlines()]
inode = str(os.fstat(listener.fileno()).st_ino)
[_, tcp] = lines('/proc/net/tcp')
print(tcp[1:4], tcp[9] == inode)
[_, udp6] = lines(f'/proc/{os.getpid()}/net/udp6')
print(udp6[1:4])
print([line[0] for line in lines('/proc/self/net/dev')[2:]])
print([line[:4] for line in lines('/proc/net/route')[1:]])
print([line[-1] for line in lines('/proc/net/if_inet6')], [line[0] for line in lines('/proc/net/arp')[1:]])
print(lines('/proc/net/sockstat')[1][:3])
fd = os.open('/proc/net/dev', os.O_RDONLY)
print(os.get_inheritable(fd), os.read(fd, 6), os.pread(fd, 6, 0), os.lseek(fd, 0, 0), os.read(fd, 6))
for path in ('/proc/net/nothing', '/nothing'):
    try:
        open(path)
    except OSError as error:
        print(error.strerror)
print(open('/proc/self/comm').read().strip(), os.path.exists('/proc/net/unix'))
asks, pair = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW), socket.socketpair()
[head, *rows] = lines('/proc/net/unix')
print(head[0], [str(os.fstat(each.fileno()).st_ino) in [row[6] for row in rows] for each in (listener, udp, asks, *pair)])
";

/// What `ss -x`, `ss -f netlink` and `strace -yy` ask. The last question has a family that does not exist.
const OTHER_FAMILIES: &str = "
import os, socket, struct
def told(family, at, protocol=0, length=24):
    diag = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)
    question = struct.pack('=BBHIII8x', family, protocol, 0, 0xffffffff, 0, 4)[:length]
    diag.send(struct.pack('=IHHII', 16 + len(question), 20, 0x301, 7, 0) + question)
    rows = {}
    while True:
        octets = diag.recv(1 << 16)
        while octets:
            length, kind = struct.unpack_from('=IH', octets)
            if kind in (2, 3):
                return rows, os.strerror(-struct.unpack_from('=i', octets, 16)[0])
            rows[struct.unpack_from('=I', octets, 16 + at)[0]] = octets[16:length]
            octets = octets[length + 3 & ~3:]
number = lambda each: os.fstat(each.fileno()).st_ino
stream, datagrams, pair, name = socket.create_server(('127.0.0.1', 0)), socket.socket(type=2), socket.socketpair(), socket.socket(1)
name.bind('\\0prise-view-%d' % os.getpid())
route, unnamed, events = (socket.socket(16, 3, protocol) for protocol in (0, 0, 15))
route.bind((0, 3))
events.bind((0, 0))
rows, ended = told(1, 4)
print([number(each) in rows for each in (stream, datagrams, *pair, name, route)], ended)
print(struct.pack('=HHI', 8, 2, number(pair[1])) in rows[number(pair[0])])
rows, ended = told(16, 16, 255)
print([number(each) in rows for each in (route, unnamed, events, *pair)], ended)
row = rows[number(route)]
print(row[:4], struct.unpack_from('=I', row, 4)[0] == route.getsockname()[0])
route.connect((0, 0))
print(told(16, 16, 0)[0][number(route)][3])
print(told(46, 0, length=2))
import ctypes
libc, room = ctypes.CDLL(None), ctypes.create_string_buffer(256)
def protocol(each):
    length = libc.getxattr(b'/proc/%d/fd/%d' % (os.getpid(), each.fileno()), b'system.sockprotoname', room, 255)
    return room.raw[:length]
print([protocol(each) for each in (stream, datagrams, socket.socket(10), socket.socket(10, 2, 136), socket.socket(2, 2, 1), route, events, pair[0])])
";

#[test]
fn sockets_of_other_families_are_listed_without_what_stands_behind_the_runs() {
    let Some(python) = need("sock_diag", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("families.py", OTHER_FAMILIES);
    let program = [python.into(), script.into()];
    let ended = finish(&mut stage.run(&[], &program), LIMIT).expect_success();
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "[False, False, True, True, True, False] Success",
            "True",
            "[True, False, True, False, False] Success",
            "b'\\x10\\x03\\x00\\x07' True",
            "1",
            "({}, 'Invalid argument')",
            "[b'TCP\\x00', b'UDP\\x00', b'TCPv6\\x00', b'UDPLITEv6\\x00', b'PING\\x00', b'NETLINK\\x00', b'NETLINK\\x00', b'UNIX-STREAM\\x00']"
        ],
        "{}",
        ended.stderr
    );
}

#[test]
fn files_of_proc_net_show_the_run() {
    let Some(python) = need("/proc/net", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("files.py", FILES);
    let program = [python.into(), script.into()];
    let ended = finish(&mut stage.run(&[], &program), LIMIT).expect_success();
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "['0100007F:1F90', '00000000:0000', '0A'] True",
            "['00000000000000000000000001000000:14E9', '00000000000000000000000000000000:0000', '07']",
            "['lo:', 'eth0:']",
            "[['eth0', '00000000', '0202000A', '0003'], ['eth0', '0002000A', '00000000', '0001']]",
            "['lo', 'eth0', 'eth0'] ['10.0.2.2', '10.0.2.3']",
            "['TCP:', 'inuse', '1']",
            "False b'Inter-' b'Inter-' 0 b'Inter-'",
            "No such file or directory",
            "No such file or directory",
            "python3 True",
            "Num [False, False, False, True, True]"
        ],
        "{}",
        ended.stderr
    );
}

const WHOSE: &str = "
import os
file = open('/proc/net/dev')
print(os.readlink(f'/proc/self/fd/{file.fileno()}'))
";

#[test]
fn files_of_proc_net_can_be_left_the_hosts() {
    let Some(python) = need("/proc/net", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("whose.py", WHOSE);
    let program = [python.into(), script.into()];
    let whose = |options: &[&str]| {
        let ended = finish(&mut stage.run(options, &program), LIMIT).expect_success();
        ended.stdout
    };
    assert!(whose(&[]).starts_with("/memfd:"));
    assert!(whose(&["--no-proc-net"]).starts_with("/proc/"));
}

const COUNTS: &str = "
import ctypes, os, socket, struct
def rows(path):
    with open(path) as file:
        lines = [line.split() for line in file]
    return {title[0] + name: int(value) for title, values in zip(lines[::2], lines[1::2]) for name, value in zip(title[1:], values[1:])}
before = rows('/proc/net/snmp')
listener = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(listener.getsockname())
server = listener.accept()[0]
client.sendall(b'x')
server.recv(1)
for host in ('127.0.0.1', '::1'):
    udp = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((host, 0))
    udp.sendto(b'x', udp.getsockname())
    udp.recv(1)
refused = socket.socket()
print('refused', refused.connect_ex(('127.0.0.1', 9)))
now = rows('/proc/net/snmp')
more = lambda name: now[name] - before[name]
print([more(name) for name in ('Tcp:ActiveOpens', 'Tcp:PassiveOpens', 'Tcp:AttemptFails', 'Tcp:OutRsts', 'Tcp:CurrEstab', 'Udp:InDatagrams', 'Udp:OutDatagrams')])
print(more('Tcp:InSegs') > 4, more('Tcp:OutSegs') > 4, more('Ip:InReceives') > 6, now['Tcp:MaxConn'], now['Ip:DefaultTTL'])
six = dict(line.split() for line in open('/proc/net/snmp6'))
print(int(six['Ip6InReceives']) >= 1, 'TcpExt:ListenOverflows' in rows('/proc/net/netstat'))
value = lambda path: open('/sys/class/net/' + path).read().strip()
print([value('eth0/' + name) for name in ('address', 'mtu', 'operstate', 'type', 'carrier', 'ifindex', 'flags')])
print([value('lo/' + name) for name in ('address', 'mtu', 'operstate', 'type')], int(value('lo/statistics/rx_bytes')) > 100)
how = ctypes.create_string_buffer(struct.pack('QQQ', os.O_RDONLY, 0, 0))
fd = ctypes.CDLL(None).syscall(437, -100, b'/sys/class/net/eth0/mtu', how, 24)
print(os.read(fd, 10))
";

#[test]
fn counters_and_links_are_the_runs_own() {
    let Some(python) = need("/proc/net", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("counts.py", COUNTS);
    let program = [python.into(), script.into()];
    // Connections that are the kernel's are counted there.
    let ended = finish(&mut stage.run(&["--no-join"], &program), LIMIT).expect_success();
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "refused 111",
            "[2, 1, 1, 1, 2, 2, 2]",
            "True True True -1 64",
            "True True",
            "['02:50:52:49:53:45', '1500', 'up', '1', '1', '2', '0x1003']",
            "['00:00:00:00:00:00', '65536', 'unknown', '772'] True",
            "b'1500\\n'"
        ],
        "{}",
        ended.stderr
    );
}

const GROUPS: &str = "
import socket, struct
ETH0 = socket.if_nametoindex('eth0')
ones = [socket.socket(family, kind) for family, kind in ((2, 2), (2, 2), (2, 2), (10, 2))]
here = struct.pack('=4si', bytes(4), ETH0)
ones[0].setsockopt(0, socket.IP_ADD_MEMBERSHIP, socket.inet_aton('239.1.2.3') + here)
ones[1].bind(('', 5000))
ones[1].setsockopt(0, socket.IP_ADD_MEMBERSHIP, socket.inet_aton('239.1.2.3') + here)
ones[2].setsockopt(0, socket.IP_ADD_MEMBERSHIP, socket.inet_aton('239.1.2.4') + here)
IP_ADD_SOURCE_MEMBERSHIP = 39
ones[1].setsockopt(0, IP_ADD_SOURCE_MEMBERSHIP, socket.inet_aton('239.9.9.9') + socket.inet_aton('10.0.2.15') + socket.inet_aton('10.0.2.77'))
ones[3].setsockopt(41, socket.IPV6_JOIN_GROUP, socket.inet_pton(10, 'ff05::99') + struct.pack('i', ETH0))
ones[2].setsockopt(0, socket.IP_ADD_MEMBERSHIP, socket.inet_aton('224.0.0.1') + here)
for group in ('ff02::1', 'ff01::1'):
    ones[3].setsockopt(41, socket.IPV6_JOIN_GROUP, socket.inet_pton(10, group) + struct.pack('i', ETH0))
for name in ('igmp', 'igmp6', 'dev_mcast', 'mcfilter', 'ipv6_route'):
    print(open('/proc/net/' + name).read(), end='')
ones[0].bind(('', 0))
for one in ones:
    one.close()
print(open('/proc/net/igmp').read(), end='')
";

#[test]
fn files_tell_of_the_groups_that_were_joined_and_of_the_routes_of_ipv6() {
    let Some(python) = need("files of /proc/net", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("groups.py", GROUPS);
    let program: [OsString; 2] = [python.into(), script.into()];
    let ended = finish(&mut stage.run(&[], &program), LIMIT).expect_success();
    let expected = "Idx Device : Count Querier Group Users Timer Reporter
1 lo : 1 V3
010000E0 1 0:00000000 0
2 eth0 : 4 V3
090909EF 1 0:00000000 0
040201EF 1 0:00000000 0
030201EF 2 0:00000000 0
010000E0 2 0:00000000 0
1 lo ff020000000000000000000000000001 1 0000000C 0
1 lo ff010000000000000000000000000001 1 00000008 0
2 eth0 ff050000000000000000000000000099 1 00000004 0
2 eth0 ff0200000000000000000001ff000015 1 00000004 0
2 eth0 ff0200000000000000000001ff495345 1 00000004 0
2 eth0 ff020000000000000000000000000001 2 0000000C 0
2 eth0 ff010000000000000000000000000001 2 00000008 0
2 eth0 1 0 333300000001
2 eth0 1 0 01005e000001
2 eth0 1 0 3333ff495345
2 eth0 1 0 3333ff000015
2 eth0 1 0 01005e010203
2 eth0 1 0 01005e010204
2 eth0 1 0 01005e090909
2 eth0 1 0 333300000099
Idx Device MCA SRC INC EXC
2 eth0 0xef090909 0x0a00024d 1 0
fd000002000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001 eth0
fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001 eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000002000000000000000000000002 00000400 00000001 00000000 00000003 eth0
00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000001 00000000 80200001 lo
fd000002000000000000000000000015 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000001 00000000 80200001 eth0
fe80000000000000005052fffe495345 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000001 00000000 80200001 eth0
ff000000000000000000000000000000 08 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001 eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200 lo
Idx Device : Count Querier Group Users Timer Reporter
1 lo : 1 V3
010000E0 1 0:00000000 0
2 eth0 : 1 V3
010000E0 1 0:00000000 0";
    assert_eq!(squeezed(&ended.stdout), expected.lines().collect::<Vec<_>>());
}

const LEFT: &str = "
import re, socket, subprocess
listener = socket.create_server(('127.0.0.1', 8080))
ends = []
for client_first in (True, False):
    client = socket.create_connection(('127.0.0.1', 8080))
    accepted = listener.accept()[0]
    ends.append((client.getsockname(), ('127.0.0.1', 8080)) if client_first else (('127.0.0.1', 8080), client.getsockname()))
    first, last = (client, accepted) if client_first else (accepted, client)
    first.close()
    last.recv(1)
    last.close()
listener.close()
shown = subprocess.run(['ss', '-Htano', 'state', 'time-wait'], capture_output=True, text=True).stdout
for local, remote in ends:
    print(len(re.findall('%s:%d +%s:%d +timer:[(]timewait,(59sec|1min)' % (*local, *remote), shown)))
rows = subprocess.run(['grep', ' 06 ', '/proc/net/tcp'], capture_output=True, text=True).stdout.splitlines()
print(len(rows), [re.search(' 06 [0:]* 03:0000(1...) ', row) is not None for row in rows])
";

#[test]
fn connections_that_were_closed_are_shown_as_long_as_they_linger() {
    let (Some(python), Some(_)) = (need("TIME-WAIT", "python3"), need("TIME-WAIT", "ss")) else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("left.py", LEFT);
    let program: [OsString; 2] = [python.into(), script.into()];
    for options in [&[][..], &["--no-join"]] {
        let ended = finish(&mut stage.run(options, &program), LIMIT).expect_success();
        assert_eq!(ended.stdout, "1\n1\n2 [True, True]\n", "{options:?} {}", ended.stderr);
    }
}

#[test]
fn whichever_way_a_file_is_named_it_is_the_runs() {
    let Some(python) = need("paths", "python3") else { return };
    let stage = Stage::new();
    let script = stage.write(
        "paths.py",
        "
import os
whole = open('/proc/net/route').read()
assert '0202000A' in whole
os.chdir('/proc/net')
print([open(path).read() == whole for path in ('route', './route', '/proc//net/./route', f'/proc/self/task/{os.getpid()}/net/route')])
os.chdir('/')
print(open('proc/net/route').read() == whole)
back = ('/proc/net/../net/route', '/proc/net/../../net/route', '/proc/self/fd/../net/route', 'etc/../proc/net/route')
print([os.read(os.open(path, os.O_RDONLY), 4096).decode() == whole for path in back])
try: open('/proc/self/cwd/../net/route')
except FileNotFoundError: print('nothing behind a link')
directory = os.open('/proc/self/net', os.O_RDONLY | os.O_DIRECTORY)
print(os.read(os.open('route', os.O_RDONLY, dir_fd=directory), 4096).decode() == whole)
os.chdir('/proc/sys/net')
print(open('ipv4/tcp_tw_reuse').read())
os.chdir(os.path.dirname(__file__))
print(open('route').read())
for directory in ('/proc/net/route/', '/proc/net/route/.'):
    try: print(os.open(directory, os.O_RDONLY))
    except NotADirectoryError: print('no directory')
import fcntl
print(fcntl.fcntl(os.open('/proc/net/route', os.O_RDONLY | os.O_NONBLOCK), fcntl.F_GETFL) & os.O_NONBLOCK != 0)
",
    );
    stage.write("route", "its own");
    let program: [OsString; 2] = [python.into(), script.into()];
    let ended = finish(&mut stage.run(&[], &program), LIMIT).expect_success();
    assert_eq!(
        ended.stdout,
        "[True, True, True, True]\nTrue\n[True, True, True, True]\nnothing behind a link\nTrue\n1\n\nits own\nno directory\nno directory\nTrue\n",
        "{}",
        ended.stderr
    );
}

/// What TIME-WAIT there is, and what there is to be: of a server for both families, and after clients with names of their own.
const LEFT_MAPPED: &str = "
import os, re, socket
dual = socket.create_server(('::', 8080), family=socket.AF_INET6, dualstack_ipv6=True)
client = socket.create_connection(('127.0.0.1', 8080))
accepted = dual.accept()[0]
port = client.getsockname()[1]
accepted.close()
client.recv(1)
client.close()
rows = lambda file: [row.split() for row in open('/proc/net/' + file) if ' 06 ' in row]
mapped = '0000000000000000FFFF00000100007F'
print([row[1:3] == ['%s:%04X' % (mapped, 8080), '%s:%04X' % (mapped, port)] for row in rows('tcp6')], len(rows('tcp')))
dual.close()
print(len(rows('tcp6')))
both = socket.create_server(('0.0.0.0', 8081))
names = []
for address in ('127.0.0.1', '127.0.0.2'):
    client = socket.create_connection((address, 8081))
    accepted = both.accept()[0]
    names.append('%s:%04X' % ('0100007F', client.getsockname()[1]))
    accepted.close()
    client.recv(1)
    client.close()
print(all(row[2] in names for row in rows('tcp')))
";

#[test]
fn what_lingers_of_a_server_for_both_families_is_of_ipv6_and_no_name_is_the_hosts() {
    let Some(python) = need("TIME-WAIT", "python3") else {
        return;
    };
    let stage = Stage::new();
    let script = stage.write("left.py", LEFT_MAPPED);
    let program: [OsString; 2] = [python.into(), script.into()];
    let ended = finish(&mut stage.run(&[], &program), LIMIT).expect_success();
    assert_eq!(ended.stdout, "[True] 0\n1\nTrue\n", "{}", ended.stderr);
}

/// A host whose ports are few: connections of others to each of them have closed a moment ago.
const OTHERS: &str = "
import socket
for port in range(40001, 40011):
    listener = socket.create_server(('127.0.0.1', port))
    client = socket.create_connection(('127.0.0.1', port), source_address=('127.0.0.1', port + 1000))
    accepted = listener.accept()[0]
    client.close()
    accepted.recv(1)
    accepted.close()
    listener.close()
print(sum(' 06 ' in row for row in open('/proc/net/tcp')))
";

const LEFT_AMONG_OTHERS: &str = "
import socket
listener = socket.create_server(('127.0.0.1', 8080))
client = socket.create_connection(('127.0.0.1', 8080))
port = client.getsockname()[1]
accepted = listener.accept()[0]
accepted.close()
client.recv(1)
client.close()
rows = [row.split()[1:3] for row in open('/proc/net/tcp') if ' 06 ' in row]
print(rows == [['0100007F:1F90', '0100007F:%04X' % port]], rows)
";

#[test]
fn what_lingers_of_others_at_the_place_that_a_listener_gets_is_not_its_own() {
    const WHAT: &str = "TIME-WAIT of others";
    let (Some(python), Some(_), Some(_)) = (need(WHAT, "python3"), need(WHAT, "unshare"), need(WHAT, "ip")) else {
        return;
    };
    let stage = Stage::new();
    let script = format!(
        "ip link set lo up
echo 40001 40010 > /proc/sys/net/ipv4/ip_local_port_range || exit 77
{python} {others} && {prise} run -- {python} {own}",
        python = python.display(),
        others = stage.write("others.py", OTHERS).display(),
        prise = stage.path("prise").display(),
        own = stage.write("own.py", LEFT_AMONG_OTHERS).display(),
    );
    let alone = ["--user", "--map-root-user", "--net", "sh", "-c"];
    let ended = finish(
        &mut stage.native("unshare", alone.into_iter().chain([script.as_str()])),
        LIMIT,
    );
    if ended.status.code() == Some(77) || ended.stderr.starts_with("unshare:") {
        return skip(WHAT, ended.stderr.trim());
    }
    let ended = ended.expect_success();
    assert!(
        ended.stdout.starts_with("10\nTrue "),
        "{}{}",
        ended.stdout,
        ended.stderr
    );
}
