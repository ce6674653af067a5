//! What prise-view promises, for any octets from programs: no panic, answers that hold together, and an end to each.

use crate::target::Target;
use prise_socket::{Errno, Family, Host, HostConfig, Kind, SocketId};
use prise_stack::{LinkConfig, Route, StackConfig};
use prise_view::netlink::{Protocol, Socket, requests};
use prise_view::{Driver, Held, Left, NetlinkRow, View, Who, ioctl};
use prise_wire::{Instant, IpCidr, MacAddr, Medium};

/// Every target by its name.
pub(crate) const TARGETS: &[Target] = &[("netlink", netlink), ("ioctl", interface_request)];

/// A host with `lo`, `eth0`, a default route, a neighbor, a listener and two datagram sockets.
pub(crate) fn host() -> Host {
    let now = Instant::ZERO;
    let mut host = Host::new(&HostConfig {
        stack: StackConfig::new([1, 2], [3; 32]),
        owner: 1000,
    });
    for (name, mac) in [("lo", None), ("eth0", Some(MacAddr([2, 0, 0, 0, 0, 2])))] {
        let config = LinkConfig {
            name,
            medium: if mac.is_some() { Medium::Ethernet } else { Medium::Ip },
            mac,
            mtu: if mac.is_some() { 1500 } else { 65_536 },
            gso_max: 0,
            checksum_offload: false,
            loopback: mac.is_none(),
            transparent: false,
        };
        let link = host.stack_mut().add_link(&config).expect("few links");
        let own = if mac.is_some() {
            ["10.0.2.15/24", "fd00:2::15/64"]
        } else {
            ["127.0.0.1/8", "::1/128"]
        };
        for address in own {
            host.stack_mut()
                .add_address(now, link, address.parse().expect("an address"));
        }
        if mac.is_some() {
            let gateway = "10.0.2.2".parse().expect("an address");
            host.stack_mut()
                .add_neighbor(now, link, gateway, MacAddr([2, 0, 0, 0, 0, 1]));
            host.stack_mut().add_route(Route {
                prefix: IpCidr::ALL_V4,
                gateway: Some(gateway),
                link,
                source: None,
                metric: 0,
            });
        }
    }
    let stream = host.socket(Family::Inet6, Kind::Stream, 0).expect("a socket");
    host.bind(now, stream, "[::]:8080".parse().expect("an address"))
        .expect("a free port");
    host.listen(now, stream, 5).expect("listening");
    for address in ["0.0.0.0:53", "127.0.0.1:9999"] {
        let socket = host.socket(Family::Inet, Kind::Datagram, 0).expect("a socket");
        host.bind(now, socket, address.parse().expect("an address"))
            .expect("a free port");
    }
    host
}

/// A `struct unix_diag_msg`: a stream that listens, with its number.
const UNIX_ROW: [u8; 16] = [1, 1, 10, 0, 77, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];

/// A `struct packet_diag_msg`: one that hears of everything, with its number.
const PACKET_ROW: [u8; 16] = [17, 3, 3, 0, 79, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];

/// Holds every socket, and carries none; knows one of AF_UNIX, a packet socket, and one of netlink's with a name and one without.
struct SomeDriver;

impl Driver for SomeDriver {
    fn held(&mut self, _: SocketId) -> Held {
        Held {
            inode: 4711,
            ..Held::default()
        }
    }

    fn carried_option(&mut self, _: SocketId, _: i32) -> Option<Vec<u8>> {
        None
    }

    fn left(&mut self) -> Vec<Left> {
        Vec::new()
    }

    fn other_sockets(&mut self, request: &[u8], many: bool) -> Result<Vec<Vec<u8>>, Errno> {
        match request.first() {
            Some(1) if many => Ok(vec![UNIX_ROW.to_vec(); 2]),
            Some(17) if many => Ok(vec![PACKET_ROW.to_vec()]),
            _ => Err(Errno::ENOENT),
        }
    }

    fn netlink_sockets(&mut self) -> Vec<NetlinkRow> {
        let named = NetlinkRow {
            inode: 78,
            cookie: 2,
            kind: 3,
            protocol: 0,
            port: 4711,
            state: 7,
            groups: 1,
        };
        let unnamed = NetlinkRow { port: 0, ..named };
        vec![named, unnamed]
    }
}

/// Everything that a socket answers to one datagram.
pub(crate) fn ask(host: &mut Host, socket: &mut Socket, is_admin: bool, datagram: &[u8]) -> Vec<Vec<u8>> {
    /// More than any answer has here.
    const ENDLESS: usize = 10_000;
    let mut view = View {
        host,
        now: Instant::ZERO,
        driver: &mut SomeDriver,
    };
    let who = Who {
        is_admin: &|| is_admin,
        uid: &|| 1000,
    };
    socket.submit(&mut view, who, datagram);
    let mut answers = Vec::new();
    while let Some(answer) = socket.next_datagram(&mut view) {
        answers.push(answer);
        assert!(answers.len() < ENDLESS, "an answer without end");
    }
    answers
}

/// The first octet says to whom the rest is sent, and how.
fn netlink(input: &[u8]) {
    let Some((&how, datagram)) = input.split_first() else {
        return;
    };
    let protocol = if how & 1 == 0 {
        Protocol::Route
    } else {
        Protocol::SocketDiag
    };
    let mut socket = Socket::new(protocol, 3);
    socket.bind(42, 0).expect("it has no port");
    if how & 2 != 0 {
        socket.set_option(270, 12, &[1, 0, 0, 0]).expect("strict checks");
    }
    for answer in ask(&mut host(), &mut socket, how & 4 != 0, datagram) {
        let whole: usize = requests(&answer)
            .map(|message| message.octets.len().next_multiple_of(4))
            .sum();
        assert_eq!(whole, answer.len(), "an answer is whole messages");
    }
}

/// Two octets of the request's number, one for the kind of socket, the argument.
fn interface_request(input: &[u8]) {
    let [low, high, on, given @ ..] = input else { return };
    let request = u32::from(u16::from_le_bytes([*low, *high]));
    let on = [ioctl::On::Inet, ioctl::On::Inet6, ioctl::On::Other, ioctl::On::Packet][usize::from(on % 4)];
    let host = host();
    let octet = |at: usize| given.get(at).copied().unwrap_or(0);
    match ioctl::kind(on, request) {
        ioctl::Kind::Interface => drop(ioctl::answer(host.stack(), request, &core::array::from_fn(octet))),
        ioctl::Kind::Neighbor => drop(ioctl::neighbor(host.stack(), &core::array::from_fn(octet))),
        ioctl::Kind::Change { len, .. } => {
            let given: Vec<u8> = (0..len).map(octet).collect();
            let _ = ioctl::change(host.stack(), on, request, &given);
        }
        ioctl::Kind::List
        | ioctl::Kind::Ethtool
        | ioctl::Kind::NameSpace
        | ioctl::Kind::Refused(_)
        | ioctl::Kind::Unread(_) => {}
    }
}
