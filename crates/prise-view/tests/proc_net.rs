//! What files of `/proc/net` ask of the driver.

#[allow(dead_code, reason = "the kept inputs are played by another test")]
#[path = "../../../fuzz/src/target.rs"]
mod target;
#[allow(dead_code, reason = "the fuzz targets themselves are run by another test")]
#[path = "../../../fuzz/src/view.rs"]
mod view;

use prise_socket::{Errno, SocketId, State};
use prise_view::{Driver, Held, Left, NetlinkRow, View, proc_net};
use prise_wire::Instant;

/// Carries two connections that are over: one of a socket of IPv4, and one of a socket of IPv6.
#[derive(Default)]
struct Carrier {
    asked: u32,
}

impl Driver for Carrier {
    fn held(&mut self, _: SocketId) -> Held {
        Held::default()
    }

    fn carried_option(&mut self, _: SocketId, _: i32) -> Option<Vec<u8>> {
        None
    }

    fn left(&mut self) -> Vec<Left> {
        self.asked += 1;
        let left = [
            ("127.0.0.1:80", "127.0.0.1:5000"),
            ("[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]:5001"),
        ];
        left.map(|(local, remote)| Left {
            local: local.parse().expect("an endpoint"),
            remote: remote.parse().expect("an endpoint"),
            state: State::TimeWait,
            waits: None,
        })
        .into()
    }

    fn other_sockets(&mut self, _: &[u8], _: bool) -> Result<Vec<Vec<u8>>, Errno> {
        Err(Errno::ENOENT)
    }

    fn netlink_sockets(&mut self) -> Vec<NetlinkRow> {
        Vec::new()
    }
}

fn shown(name: &str) -> (String, u32) {
    let mut carrier = Carrier::default();
    let mut view = View {
        host: &mut view::host(),
        now: Instant::ZERO,
        driver: &mut carrier,
    };
    let text = proc_net::text(&mut view, name).expect("a file");
    (text, carrier.asked)
}

#[test]
fn only_files_of_tcp_ask_for_connections_that_are_over() {
    for name in ["tcp", "tcp6", "sockstat"] {
        assert_eq!(shown(name).1, 1, "{name}");
    }
    for name in [
        "udp",
        "udp6",
        "udplite",
        "icmp",
        "raw",
        "raw6",
        "snmp",
        "snmp6",
        "netstat",
        "sockstat6",
        "dev",
        "packet",
    ] {
        assert_eq!(shown(name).1, 0, "{name}");
    }
}

#[test]
fn a_connection_by_ipv4_is_listed_with_the_family_of_its_socket() {
    let waiting = |name| {
        let (text, _) = shown(name);
        let rows = text.lines().filter(|line| line.contains(" 06 "));
        rows.map(|row| row.split_whitespace().skip(1).take(2).collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
    };
    assert_eq!(waiting("tcp"), ["0100007F:0050 0100007F:1388"]);
    let mapped = "0000000000000000FFFF00000100007F";
    assert_eq!(waiting("tcp6"), [format!("{mapped}:0050 {mapped}:1389")]);
    assert!(shown("sockstat").0.contains(" tw 2 "));
}
