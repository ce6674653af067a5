//! Files of `/proc/net` (`proc_net(5)`): sockets, links, routes, addresses and neighbors as text, in Linux's columns.

use crate::netlink::path;
use crate::sockets::{self, Row, TCP};
use crate::{View, counters, fib_trie, groups, interface};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::net::{IpAddr, SocketAddr};
use prise_socket::{Family, Kind, SocketId, State, protocol};
use prise_stack::NeighborState;

/// The file that a path names, if it is one of those that [`text`] knows: `/proc/net/tcp`, `/proc/self/net/tcp`, `/proc/4711/net/tcp`.
pub fn name(path: &[u8]) -> Option<&str> {
    below(path).filter(|name| FILES.contains(name))
}

/// What a path names below the `/proc/net` of any process.
pub fn below(path: &[u8]) -> Option<&str> {
    let path = core::str::from_utf8(path).ok()?.strip_prefix("/proc/")?;
    let (process, name) = path.split_once("net/")?;
    let is_process = match process.strip_suffix('/') {
        Some("self" | "thread-self") => true,
        Some(process) => match process.split_once("/task/") {
            Some((process, thread)) => (process == "self" || is_number(process)) && is_number(thread),
            None => is_number(process),
        },
        None => process.is_empty(),
    };
    is_process.then_some(name)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}

/// Whether a file of this name is told of.
pub fn has(name: &[u8]) -> bool {
    FILES.iter().any(|file| file.as_bytes() == name)
}

/// Every file that is told of.
const FILES: [&str; 29] = [
    "tcp",
    "tcp6",
    "udp",
    "udp6",
    "udplite",
    "udplite6",
    "raw",
    "raw6",
    "dev",
    "route",
    "arp",
    "if_inet6",
    "sockstat",
    "sockstat6",
    "snmp",
    "snmp6",
    "netstat",
    "icmp",
    "icmp6",
    "ipv6_route",
    "igmp",
    "igmp6",
    "mcfilter",
    "mcfilter6",
    "dev_mcast",
    "anycast6",
    "ip6_flowlabel",
    "packet",
    "fib_trie",
];

/// What the file says now; none if there is no such file here.
pub fn text(view: &mut View<'_>, name: &str) -> Option<String> {
    if let Some(text) = counters_text(view, name).or_else(|| groups::text(view, name)) {
        return Some(text);
    }
    let (plain, family) = match name.strip_suffix('6') {
        Some(plain) => (plain, Family::Inet6),
        None => (name, Family::Inet),
    };
    Some(match plain {
        "tcp" => tcp(view, family),
        "udp" => datagrams(view, family, Kind::Datagram, Some(protocol::UDP)),
        "udplite" => datagrams(view, family, Kind::Datagram, Some(protocol::UDP_LITE)),
        "icmp" => datagrams(view, family, Kind::Datagram, Some(ping_protocol(family))),
        "raw" => datagrams(view, family, Kind::Raw, None),
        "dev" => links(view),
        "route" => routes(view),
        "ipv6_route" => ipv6_routes(view),
        "fib_trie" => fib_trie::text(view.host.stack()),
        "arp" => neighbors(view),
        "if_inet" => addresses(view),
        "sockstat" => counts(view, family),
        "ip6_flowlabel" => flow_labels(view),
        // Nobody here forwards.
        "anycast" => String::new(),
        // Packet sockets are not the host's: whoever has them adds the lines.
        "packet" => "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n".into(),
        _ => return None,
    })
}

/// The flow labels that are leased or linger (`ip6fl_seq_show`).
fn flow_labels(view: &mut View<'_>) -> String {
    let mut text = String::from("Label S Owner  Users  Linger Expires  Dst                              Opt\n");
    for row in view.host.leased_labels(view.now) {
        let (linger, to) = (row.linger.as_secs(), row.to.to_bits());
        let _ = writeln!(
            text,
            "{:05X} {:<1} {:<6} {:<6} {linger:<6} {:<8} {to:032x} 0   ",
            row.label, row.share, row.owner, row.users, row.expires
        );
    }
    text
}

/// The files of counters.
fn counters_text(view: &mut View<'_>, name: &str) -> Option<String> {
    let mut count =
        |wanted: fn(State) -> bool| own_rows(view, |row| row.kind == Kind::Stream && wanted(row.state)).len() as u64;
    Some(match name {
        "snmp" => {
            let established = count(counters::is_established);
            counters::snmp(view, established)
        }
        "netstat" => {
            let waiting = count(|state| state == State::TimeWait);
            counters::netstat(view, waiting)
        }
        "snmp6" => counters::snmp6(view),
        _ => return None,
    })
}

/// The rows of a kind of sockets, half-open ones and those in TIME-WAIT included: those that are carried elsewhere, too. Their driver may
/// have to look for them, so only files that tell of them are made of these.
fn all_rows(view: &mut View<'_>, wanted: impl Fn(&Row) -> bool) -> Vec<Row> {
    with_sockets(view, wanted, sockets::unowned)
}

/// The same without those that are carried elsewhere and that no program holds.
fn own_rows(view: &mut View<'_>, wanted: impl Fn(&Row) -> bool) -> Vec<Row> {
    with_sockets(view, wanted, |view| sockets::unowned_by_stack(view))
}

fn with_sockets(
    view: &mut View<'_>,
    wanted: impl Fn(&Row) -> bool,
    others: impl Fn(&mut View<'_>) -> Vec<Row>,
) -> Vec<Row> {
    let ids: Vec<SocketId> = view.host.sockets().collect();
    let mut rows: Vec<Row> = ids.into_iter().filter_map(|id| sockets::row(view, id)).collect();
    rows.extend(others(view));
    rows.retain(wanted);
    rows
}

/// An endpoint in hexadecimal: 32-bit words in the machine's order, and the port.
fn endpoint(at: SocketAddr) -> String {
    let mut shown = String::new();
    let octets = match at.ip() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    for word in octets.as_chunks::<4>().0 {
        // Writing into a string cannot fail.
        let _ = write!(shown, "{:08X}", u32::from_ne_bytes(*word));
    }
    let _ = write!(shown, ":{:04X}", at.port());
    shown
}

/// The columns that all sockets have.
fn columns(row: &Row, state: u8) -> String {
    /// Hundredths of a second (`USER_HZ`).
    const TICK_MILLIS: u128 = 10;
    // 3: TIME-WAIT's.
    let timer = if row.waits.is_some() { 3 } else { 0 };
    let left = row.waits.map_or(0, |left| left.as_millis() / TICK_MILLIS);
    let (local, remote) = (endpoint(row.local), endpoint(row.remote));
    let sent = if row.state == State::Listen { 0 } else { row.send_queue };
    format!(
        "{local} {remote} {state:02X} {sent:08X}:{:08X} {timer:02X}:{left:08X} 00000000 {:5}        0 {}",
        row.receive_queue, row.uid, row.inode
    )
}

fn tcp(view: &mut View<'_>, family: Family) -> String {
    let mut text = header(
        family,
        "rem_address  ",
        "remote_address",
        " st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
    );
    if family == Family::Inet {
        text = format!("{:<149}\n", text.trim_end());
    }
    let rows = all_rows(view, |row| {
        row.family == family && row.kind == Kind::Stream && row.protocol == TCP
    });
    for (number, row) in rows.iter().enumerate() {
        let columns = columns(row, row.state as u8);
        // What the kernel has of TIME-WAIT is no socket any more: it has three holders, and nothing to send.
        let (holders, rest) = if row.waits.is_some() {
            (3, "")
        } else {
            (1, " 20 4 0 10 -1")
        };
        let line = format!("{number:4}: {columns} {holders} 0000000000000000{rest}");
        // Lines for IPv4 are all of one length (TMPSZ).
        let _ = match family {
            Family::Inet => writeln!(text, "{line:<149}"),
            Family::Inet6 => writeln!(text, "{line}"),
        };
    }
    text
}

fn datagrams(view: &mut View<'_>, family: Family, kind: Kind, protocol: Option<u8>) -> String {
    let columns_after = " st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";
    let mut text = header(family, "rem_address  ", "remote_address", columns_after);
    if family == Family::Inet {
        text = format!("{:<127}\n", text.trim_end());
    }
    let wanted = |row: &Row| row.family == family && row.kind == kind && protocol.is_none_or(|it| it == row.protocol);
    for row in own_rows(view, wanted) {
        let mut shown = row;
        if kind == Kind::Raw {
            // A raw socket's port is its protocol.
            shown.local.set_port(shown.protocol.into());
        }
        let line = format!(
            "{:5}: {} 2 0000000000000000 0",
            shown.local.port(),
            columns(&shown, shown.state as u8)
        );
        let _ = match family {
            Family::Inet => writeln!(text, "{line:<127}"),
            Family::Inet6 => writeln!(text, "{line}"),
        };
    }
    text
}

/// That of ping sockets.
const fn ping_protocol(family: Family) -> u8 {
    match family {
        Family::Inet => protocol::ICMP,
        Family::Inet6 => protocol::ICMPV6,
    }
}

/// The line of titles.
fn header(family: Family, remote_v4: &str, remote_v6: &str, rest: &str) -> String {
    match family {
        Family::Inet => format!("  sl  local_address {}{rest}\n", remote_v4.trim_end())
            .replace("rem_address st", "rem_address   st"),
        Family::Inet6 => format!("  sl  {:<37} {remote_v6:<37}{rest}\n", "local_address"),
    }
}

fn links(view: &View<'_>) -> String {
    let mut text = String::from(
        "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed \
         multicast|bytes    packets errs drop fifo colls carrier compressed\n",
    );
    for link in view.host.stack().links() {
        let it = link.counters();
        let _ = writeln!(
            text,
            "{:>6}: {:7} {:7} {:4} {:4} {:4} {:5} {:10} {:9} {:8} {:7} {:4} {:4} {:4} {:5} {:7} {:10}",
            link.name(),
            it.received_octets,
            it.received_frames,
            0,
            it.received_discards,
            0,
            0,
            0,
            0,
            it.transmitted_octets,
            it.transmitted_frames,
            0,
            it.transmit_discards,
            0,
            0,
            0,
            0
        );
    }
    text
}

/// The main table of IPv4.
fn routes(view: &View<'_>) -> String {
    /// `RTF_UP`, `RTF_GATEWAY`, `RTF_HOST`.
    const UP: u16 = 1;
    const GATEWAY: u16 = 2;
    const HOST: u16 = 4;
    let titles = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT";
    let mut text = format!("{titles:<127}\n");
    let stack = view.host.stack();
    let mut routes: Vec<_> = stack.routes().filter(|route| route.prefix.is_ipv4()).collect();
    routes.sort_by_key(|route| (route.prefix.prefix_len(), route.prefix.address()));
    for route in routes {
        let word = |address: IpAddr| match address {
            IpAddr::V4(v4) => u32::from_ne_bytes(v4.octets()),
            IpAddr::V6(_) => 0,
        };
        let name = stack
            .links()
            .iter()
            .find(|link| link.id() == route.link)
            .map_or("*", |link| link.name());
        let by_gateway = if route.gateway.is_some() { GATEWAY } else { 0 };
        let to_host = if route.prefix.prefix_len() == 32 { HOST } else { 0 };
        let line = format!(
            "{name}\t{:08X}\t{:08X}\t{:04X}\t0\t0\t{}\t{:08X}\t0\t0\t0",
            word(route.prefix.address()),
            route.gateway.map_or(0, word),
            UP | by_gateway | to_host,
            route.metric,
            word(route.prefix.netmask()),
        );
        let _ = writeln!(text, "{line:<127}");
    }
    text
}

/// All tables of IPv6 (`ipv6_route_native_seq_show`), and the route that rejects what has none.
fn ipv6_routes(view: &View<'_>) -> String {
    /// `RTF_UP`, `RTF_GATEWAY`, `RTF_LOCAL` with `RTF_NONEXTHOP`; `RTF_REJECT` with `RTF_NONEXTHOP`.
    const UP: u32 = 1;
    const GATEWAY: u32 = 2;
    const LOCAL: u32 = 0x8020_0000;
    const REJECTED: u32 = 0x0020_0200;
    let stack = view.host.stack();
    let bits = |address: IpAddr| match address {
        IpAddr::V4(_) => 0,
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let mut text = String::new();
    let mut line = |to: (u128, u8), gateway: u128, metric: u32, flags: u32, name: &str| {
        let (prefix, len) = to;
        let _ = writeln!(
            text,
            "{prefix:032x} {len:02x} {:032x} 00 {gateway:032x} {metric:08x} 00000001 00000000 {flags:08x} {name:>8}",
            0
        );
    };
    for entry in path::entries(stack).iter().filter(|entry| !entry.prefix.is_ipv4()) {
        let name = stack.links().iter().find(|link| link.id() == entry.link);
        let gateway = if entry.gateway.is_some() { GATEWAY } else { 0 };
        let local = if entry.is_local() { LOCAL } else { 0 };
        line(
            (bits(entry.prefix.address()), entry.prefix.prefix_len()),
            entry.gateway.map_or(0, bits),
            entry.metric,
            UP | gateway | local,
            name.map_or("*", |link| link.name()),
        );
    }
    line((0, 0), 0, u32::MAX, REJECTED, "lo");
    text
}

fn neighbors(view: &View<'_>) -> String {
    /// `ATF_COM`, `ATF_PERM`.
    const COMPLETE: u8 = 2;
    const PERMANENT: u8 = 4;
    let mut text = String::from("IP address       HW type     Flags       HW address            Mask     Device\n");
    let stack = view.host.stack();
    let mut known: Vec<_> = stack.neighbors().filter(|it| it.addr.is_ipv4()).collect();
    known.sort_by_key(|it| it.addr);
    for it in known {
        let permanent = if it.state == NeighborState::Permanent {
            PERMANENT
        } else {
            0
        };
        let flags = it.mac.map_or(0, |_| COMPLETE) | permanent;
        let mac = it
            .mac
            .map_or([0; 6], |mac| mac.0)
            .map(|octet| format!("{octet:02x}"))
            .join(":");
        let name = stack
            .links()
            .iter()
            .find(|link| link.id() == it.link)
            .map_or("*", |link| link.name());
        let (address, flags) = (format!("{}", it.addr), format!("0x{flags:x}"));
        let _ = writeln!(text, "{address:<16} {:<12}{flags:<12}{mac}     *        {name}", "0x1");
    }
    text
}

fn addresses(view: &View<'_>) -> String {
    /// `IFA_F_PERMANENT`.
    const PERMANENT: u8 = 0x80;
    let mut text = String::new();
    let stack = view.host.stack();
    for link in stack.links() {
        for (address, prefix_len) in interface::ipv6_addresses(stack, link) {
            // IPV6_ADDR_LOOPBACK, IPV6_ADDR_LINKLOCAL, or global.
            let scope = match address {
                it if it.is_loopback() => 0x10,
                it if it.is_unicast_link_local() => 0x20,
                _ => 0,
            };
            let _ = writeln!(
                text,
                "{:032x} {:02x} {prefix_len:02x} {scope:02x} {PERMANENT:02x} {:>8}",
                address.to_bits(),
                link.id().interface_index(),
                link.name()
            );
        }
    }
    text
}

fn counts(view: &mut View<'_>, family: Family) -> String {
    let all = match family {
        // The one that counts TIME-WAIT and orphans.
        Family::Inet => all_rows(view, |_| true),
        Family::Inet6 => own_rows(view, |_| true),
    };
    let of = |kind: Kind, protocol: Option<u8>| {
        let mine =
            |row: &&Row| row.family == family && row.kind == kind && protocol.is_none_or(|it| it == row.protocol);
        all.iter()
            .filter(mine)
            .filter(|row| row.state != State::TimeWait)
            .count()
    };
    let (udp, lite, raw) = (
        of(Kind::Datagram, Some(protocol::UDP)),
        of(Kind::Datagram, Some(protocol::UDP_LITE)),
        of(Kind::Raw, None),
    );
    let tcp = of(Kind::Stream, None);
    if family == Family::Inet6 {
        return format!(
            "TCP6: inuse {tcp}\nUDP6: inuse {udp}\nUDPLITE6: inuse {lite}\nRAW6: inuse {raw}\nFRAG6: inuse 0 memory 0\n"
        );
    }
    let waits = all.iter().filter(|row| row.state == State::TimeWait).count();
    let orphans = all
        .iter()
        .filter(|row| row.id.is_none() && !matches!(row.state, State::TimeWait | State::SynReceived))
        .count();
    let held = all.iter().filter(|row| row.id.is_some());
    let streams = held.clone().filter(|row| row.kind == Kind::Stream).count();
    format!(
        "sockets: used {}\nTCP: inuse {tcp} orphan {orphans} tw {waits} alloc {streams} mem 0\nUDP: inuse {udp} mem 0\nUDPLITE: inuse {lite}\n\
         RAW: inuse {raw}\nFRAG: inuse 0 memory 0\n",
        held.count()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_files_of_any_process_and_nothing_else() {
        for (path, expected) in [
            ("/proc/net/tcp", Some("tcp")),
            ("/proc/self/net/udp6", Some("udp6")),
            ("/proc/thread-self/net/dev", Some("dev")),
            ("/proc/4711/net/route", Some("route")),
            ("/proc/self/task/12/net/tcp", Some("tcp")),
            ("/proc/4711/task/4712/net/tcp", Some("tcp")),
            ("/proc/4711/task/net/tcp", None),
            ("/proc/4711/task/self/net/tcp", None),
            ("/proc/net/unix", None),
            ("/proc/net/", None),
            ("/proc/sys/net/dev", None),
            ("/proc/net/../net/tcp", None),
            ("proc/net/tcp", None),
            ("/proc/self/maps", None),
        ] {
            assert_eq!(name(path.as_bytes()), expected, "{path}");
        }
        assert_eq!(name(b"/proc/net/\xff"), None);
        assert_eq!(below(b"/proc/4711/net/unix"), Some("unix"));
    }

    #[test]
    fn endpoints_are_words_in_the_machines_order() {
        assert_eq!(endpoint("127.0.0.1:8080".parse().unwrap()), "0100007F:1F90");
        assert_eq!(
            endpoint("[::1]:9".parse().unwrap()),
            "00000000000000000000000001000000:0009"
        );
    }
}
