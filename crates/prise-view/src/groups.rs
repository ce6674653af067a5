//! Files of `/proc/net` about multicast groups: `igmp`, `igmp6`, their filters and the groups of the links' own addresses
//! (`igmp_mc_seq_show`, `igmp6_mc_seq_show`, `igmp_mcf_seq_show`, `igmp6_mcf_seq_show`, `dev_mc_seq_show`).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use prise_stack::{GroupInfo, Link, Stack};

use crate::View;

/// Groups that every host is in and that nobody has to be told of.
const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_OF_INTERFACE: Ipv6Addr = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 1);

/// The lines of one link with its groups.
type Lines = fn(&Stack, &Link, &[&GroupInfo]) -> String;

/// Whether every host is in it.
fn is_always_there(group: IpAddr) -> bool {
    [IpAddr::V4(ALL_HOSTS), ALL_NODES.into(), ALL_NODES_OF_INTERFACE.into()].contains(&group)
}

/// How many are members of a group that is always there: the host itself and who joined besides.
fn members_always(groups: &[&GroupInfo], group: IpAddr) -> u32 {
    1 + groups.iter().find(|it| it.group == group).map_or(0, |it| it.members)
}

/// What the file says now; none if there is no such file here.
pub(crate) fn text(view: &View<'_>, name: &str) -> Option<String> {
    let stack = view.host.stack();
    let groups = stack.groups();
    let links = stack.links().iter();
    let of_link = links.map(|link| {
        (
            link,
            groups.iter().filter(|it| it.link == link.id()).collect::<Vec<_>>(),
        )
    });
    let (title, lines): (&str, Lines) = match name {
        "igmp" => ("Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n", ipv4),
        "igmp6" => ("", ipv6),
        "mcfilter" => ("Idx Device        MCA        SRC    INC    EXC\n", ipv4_sources),
        "mcfilter6" => (
            "Idx Device                Multicast Address                   Source Address    INC    EXC\n",
            ipv6_sources,
        ),
        "dev_mcast" => ("", hardware),
        _ => return None,
    };
    let lines = of_link.map(|(link, groups)| lines(stack, link, &groups));
    Some(core::iter::once(title.into()).chain(lines).collect())
}

/// The groups of IPv4 of a link, as numbers in the machine's order.
fn ipv4(_: &Stack, link: &Link, groups: &[&GroupInfo]) -> String {
    let mut lines = String::new();
    let mut count = 1;
    let mut line = |group: Ipv4Addr, members: u32| {
        let word = u32::from_ne_bytes(group.octets());
        // Writing into a string cannot fail.
        let _ = writeln!(lines, "\t\t\t\t{word:08X} {members:5} 0:00000000\t\t0");
    };
    for it in groups {
        if let IpAddr::V4(group) = it.group
            && group != ALL_HOSTS
        {
            count += 1;
            line(group, it.members);
        }
    }
    line(ALL_HOSTS, members_always(groups, ALL_HOSTS.into()));
    let index = link.id().interface_index();
    format!("{index}\t{:<10}: {count:5} {:>7}\n{lines}", link.name(), "V3")
}

fn ipv6(_: &Stack, link: &Link, groups: &[&GroupInfo]) -> String {
    /// `MAF_LAST_REPORTER`, `MAF_NOREPORT`.
    const REPORTED: u8 = 4;
    const NOT_REPORTED: u8 = 8;
    let others = groups.iter().filter(|it| !is_always_there(it.group));
    let joined = others.filter_map(|it| match it.group {
        IpAddr::V6(group) => Some((group, it.members, REPORTED)),
        IpAddr::V4(_) => None,
    });
    let always = [
        (ALL_NODES, REPORTED | NOT_REPORTED),
        (ALL_NODES_OF_INTERFACE, NOT_REPORTED),
    ];
    let always = always.map(|(group, flags)| (group, members_always(groups, group.into()), flags));
    let line = |(group, members, flags): (Ipv6Addr, u32, u8)| {
        let (index, name) = (link.id().interface_index(), link.name());
        format!(
            "{index:<4} {name:<15} {:032x} {members:5} {flags:08X} 0\n",
            group.to_bits()
        )
    };
    joined.chain(always).map(line).collect()
}

fn ipv4_sources(stack: &Stack, link: &Link, groups: &[&GroupInfo]) -> String {
    sources(stack, link, groups, |it| match it {
        IpAddr::V4(it) => Some(format!("0x{:08x}", it.to_bits())),
        IpAddr::V6(_) => None,
    })
}

fn ipv6_sources(stack: &Stack, link: &Link, groups: &[&GroupInfo]) -> String {
    sources(stack, link, groups, |it| match it {
        IpAddr::V4(_) => None,
        IpAddr::V6(it) => Some(format!("{:032x}", it.to_bits())),
    })
}

/// The sources that members of a link's groups named, with how many want them and how many do not.
fn sources(stack: &Stack, link: &Link, groups: &[&GroupInfo], shown: fn(IpAddr) -> Option<String>) -> String {
    let mut lines = String::new();
    for it in groups {
        let Some(group) = shown(it.group) else {
            continue;
        };
        for (source, (wanted, not)) in stack.group_sources(it.link, it.group) {
            if let Some(source) = shown(source) {
                let (index, name) = (link.id().interface_index(), link.name());
                let _ = writeln!(lines, "{index:3} {name:>6} {group} {source} {wanted:6} {not:6}");
            }
        }
    }
    lines
}

/// The groups of a link's own addresses to which those of IP are sent (RFC 1112 §6.4, RFC 2464 §7), the first of them first.
fn hardware(_: &Stack, link: &Link, groups: &[&GroupInfo]) -> String {
    if link.mac().is_none() {
        return String::new();
    }
    let always = [IpAddr::V6(ALL_NODES), IpAddr::V4(ALL_HOSTS)];
    let mut macs: Vec<(String, u32)> = Vec::new();
    let joined = groups.iter().rev().map(|it| it.group);
    let joined = joined.filter(|it| !is_always_there(*it));
    for group in always.into_iter().chain(joined) {
        let mac = match group {
            IpAddr::V4(group) => format!("01005e{:06x}", group.to_bits() & 0x007f_ffff),
            IpAddr::V6(group) => format!("3333{:08x}", group.to_bits() as u32),
        };
        match macs.iter_mut().find(|it| it.0 == mac) {
            Some((_, count)) => *count += 1,
            None => macs.push((mac, 1)),
        }
    }
    let line = |(mac, count): (String, u32)| {
        let (index, name) = (link.id().interface_index(), link.name());
        format!("{index:<4} {name:<15} {count:<5} {:<5} {mac}\n", 0)
    };
    macs.into_iter().map(line).collect()
}
