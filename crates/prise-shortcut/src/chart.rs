//! What the supervisor tells the preloaded library: which connections it may make by itself, and how it shows that it is the one who makes them.
//!
//! The chart lies within the library's file. The supervisor writes it before the program starts, and may take the leave back at any time.

use core::mem::offset_of;

/// The hints of how long what is written will live (fcntl(2) `F_SET_RW_HINT`) that are marks on a run's sockets: nothing else looks at them there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Mark {
    /// A listener at which whoever comes is a client of a published port of the host's loopback.
    Published = 1,
    /// The run knows the socket; what else it is, it has to be asked.
    Known = 2,
    /// A stream whose connect(2) was made without asking and has failed, which its program was told.
    Failed = 3,
    /// A connection within the run whose own name is the kernel's.
    Within = 4,
    /// A connection that leaves the run, or one that is to.
    Outside = 5,
}

impl Mark {
    const ALL: [Self; 5] = [Self::Published, Self::Known, Self::Failed, Self::Within, Self::Outside];

    /// The hint that is the mark.
    #[must_use]
    pub const fn hint(self) -> u64 {
        self as u64
    }

    /// The mark that a hint is; none if it is none.
    #[must_use]
    pub fn of(hint: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.hint() == hint)
    }
}

/// What the chart begins with, by which it is found in the library's file.
pub const MAGIC: [u8; 16] = *b"prise's chart 1\0";

/// Octets of the variable's value that may be told.
pub const PATH_MAX: usize = 32;

/// `AF_INET` and `AF_INET6`.
const INET: u16 = 2;
const INET6: u16 = 10;

/// Octets of `struct sockaddr_in` and `struct sockaddr_in6`.
pub const V4_LEN: usize = 16;
/// The same of IPv6.
pub const V6_LEN: usize = 28;

/// Octets of the longest address that calls take (`struct sockaddr_storage`).
const ADDRESS_MAX: usize = 128;

/// DNS, whose servers' addresses may be the run's own affair.
const DNS: u16 = 53;

/// An address as connect(2) takes it: `struct sockaddr_in` or `struct sockaddr_in6`.
pub type Octets = [u8; V6_LEN];

/// Where a run's network begins and ends, in one version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Edge<const N: usize> {
    /// The program's own address.
    pub own: [u8; N],
    /// The bits that all addresses of the run share.
    pub mask: [u8; N],
    /// The gateway, which stands for the host's loopback.
    pub gateway: [u8; N],
}

impl<const N: usize> Edge<N> {
    const NONE: Self = Self {
        own: [0; N],
        mask: [0; N],
        gateway: [0; N],
    };

    fn is_within(&self, address: &[u8]) -> bool {
        address
            .iter()
            .zip(self.own)
            .zip(self.mask)
            .all(|((one, own), mask)| (one ^ own) & mask == 0)
    }
}

/// Where a run's network begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Edges {
    /// IPv4.
    pub v4: Edge<4>,
    /// IPv6.
    pub v6: Edge<16>,
}

/// What the library is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Chart {
    /// [`MAGIC`].
    pub magic: [u8; 16],
    /// Whether any connection may be made without the supervisor.
    pub open: u32,
    /// What the filter lets calls pass for: drawn anew for each run.
    pub token: u64,
    /// `SO_NETNS_COOKIE` of sockets that the host's network is meant for.
    pub home: u64,
    /// The library's own file: its [`version`], if it had [`NEVER`] changed.
    pub library: u64,
    /// Whether clients of a published port may be accepted without the supervisor.
    pub accepts: u32,
    /// Whether files that are not the run's may be opened for reading.
    pub opens: u32,
    /// Which addresses are the run's own affair.
    pub edges: Edges,
    /// The library's path, as `LD_PRELOAD` names it, and zeros.
    pub path: [u8; PATH_MAX],
    /// What was answered about programs' files ([`answer`]), each at [`place_of`] its version: nobody has to be asked again.
    pub known: [u64; KNOWN],
}

impl Chart {
    /// One that allows nothing.
    pub const NONE: Self = Self {
        magic: MAGIC,
        open: 0,
        token: 0,
        home: 0,
        library: 0,
        accepts: 0,
        opens: 0,
        edges: Edges {
            v4: Edge::NONE,
            v6: Edge::NONE,
        },
        path: [0; PATH_MAX],
        known: [0; KNOWN],
    };

    /// Octets of the chart in the library's file; what follows is for its alignment.
    pub const LEN: usize = offset_of!(Self, known) + KNOWN * size_of::<u64>();

    /// The chart as it lies in memory.
    #[must_use]
    pub fn to_octets(self) -> [u8; Self::LEN] {
        let Self {
            magic,
            open,
            token,
            home,
            library,
            accepts,
            opens,
            edges: Edges { v4, v6 },
            path,
            known: _,
        } = self;
        let mut octets = [0; Self::LEN];
        let mut put = |at: usize, part: &[u8]| octets[at..at + part.len()].copy_from_slice(part);
        put(offset_of!(Self, magic), &magic);
        put(offset_of!(Self, open), &open.to_ne_bytes());
        put(offset_of!(Self, token), &token.to_ne_bytes());
        put(offset_of!(Self, home), &home.to_ne_bytes());
        put(offset_of!(Self, library), &library.to_ne_bytes());
        put(offset_of!(Self, accepts), &accepts.to_ne_bytes());
        put(offset_of!(Self, opens), &opens.to_ne_bytes());
        put(offset_of!(Self, edges.v4.own), &v4.own);
        put(offset_of!(Self, edges.v4.mask), &v4.mask);
        put(offset_of!(Self, edges.v4.gateway), &v4.gateway);
        put(offset_of!(Self, edges.v6.own), &v6.own);
        put(offset_of!(Self, edges.v6.mask), &v6.mask);
        put(offset_of!(Self, edges.v6.gateway), &v6.gateway);
        put(offset_of!(Self, path), &path);
        // Nothing is known before the program has begun.
        octets
    }
}

/// What a call of accept(2) shows in the place of the token if the library would rather make it without the supervisor.
#[must_use]
pub const fn wish(token: u64) -> u64 {
    token.wrapping_add(1)
}

/// What a call of connect(2) shows that is none: it asks whether the library is for a program that the caller is about to execute, whose file's
/// descriptor is its first argument. It succeeds, or says `ENOEXEC`.
#[must_use]
pub const fn question(token: u64) -> u64 {
    token.wrapping_add(2)
}

/// Programs about which the answer is known.
pub const KNOWN: usize = 64;

/// A file as it is: its device, its number, and when it last changed, in seconds and nanoseconds. Others may have the same, by a rare chance.
#[must_use]
pub const fn version(device: u64, number: u64, changed: (u64, u64)) -> u64 {
    // Odd, and as good as any (the golden ratio's bits): each step spreads what came before over the word.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    const fn mix(hash: u64, word: u64) -> u64 {
        (hash ^ word).wrapping_mul(SPREAD).rotate_left(29)
    }
    mix(mix(mix(mix(0, device), number), changed.0), changed.1)
}

/// When a file last changed of which that does not matter.
pub const NEVER: (u64, u64) = (0, 0);

/// Where in [`Chart::known`] the answer about a version stands, in the place of another one's.
#[must_use]
pub const fn place_of(version: u64) -> usize {
    (version >> 1) as usize % KNOWN
}

/// How it stands there that the library is for a version of a program, or is not.
#[must_use]
pub const fn answer(version: u64, is_wanted: bool) -> u64 {
    version & !1 | is_wanted as u64
}

/// Octets at a script's begin that the kernel looks at (`BINPRM_BUF_SIZE`).
pub const SCRIPT_HEAD: usize = 256;

/// Scripts whose interpreters are scripts: as many as the kernel follows (`exec_binprm`, fs/exec.c).
pub const INTERPRETERS_MAX: usize = 5;

/// The interpreter of the script that begins so; none if it is no script.
#[must_use]
pub fn interpreter(head: &[u8]) -> Option<&[u8]> {
    let line = head.strip_prefix(b"#!")?.split(|octet| *octet == b'\n').next()?;
    let is_end = |octet: &u8| matches!(octet, b' ' | b'\t' | 0);
    line.trim_ascii_start().split(is_end).next().filter(|it| !it.is_empty())
}

impl Edges {
    /// Gives a client of a published port of the host's loopback the name that the run has for it: the gateway's, with its own port.
    pub fn rename_client(&self, name: &mut Octets) {
        const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255];
        match u16::from_ne_bytes([name[0], name[1]]) {
            INET => name[4..8].copy_from_slice(&self.v4.gateway),
            INET6 if name[8..20] == MAPPED => name[20..24].copy_from_slice(&self.v4.gateway),
            INET6 => {
                name[4..8].fill(0);
                name[8..24].copy_from_slice(&self.v6.gateway);
                name[24..28].fill(0);
            }
            _ => (),
        }
    }

    /// Where connect(2) to `address` leads in the host's network; none if the supervisor has to say. `len` is what connect(2) was told.
    #[must_use]
    pub fn way(&self, address: &Octets, len: usize) -> Option<(Octets, usize)> {
        let family = u16::from_ne_bytes([address[0], address[1]]);
        let port = u16::from_be_bytes([address[2], address[3]]);
        if port == 0 || port == DNS || len > ADDRESS_MAX {
            return None;
        }
        match family {
            INET if len >= V4_LEN => self.way_v4(address).map(|to| (to, V4_LEN)),
            INET6 if len >= V6_LEN => self.way_v6(address).map(|to| (to, V6_LEN)),
            _ => None,
        }
    }

    fn way_v4(&self, address: &Octets) -> Option<Octets> {
        let mut to = *address;
        let ip = &mut to[4..8];
        if *ip == self.v4.gateway {
            ip.copy_from_slice(&[127, 0, 0, 1]);
            return Some(to);
        }
        // This network, loopback, link-local, and what is no host's (RFC 6890).
        let is_special = matches!(ip, [0 | 127 | 224.., ..] | [169, 254, ..]);
        (!is_special && !self.v4.is_within(ip)).then_some(to)
    }

    fn way_v6(&self, address: &Octets) -> Option<Octets> {
        let mut to = *address;
        let (label, scope) = (&to[4..8], &to[24..28]);
        if label != [0; 4] || scope != [0; 4] {
            return None;
        }
        let ip = &mut to[8..24];
        if *ip == self.v6.gateway {
            ip.fill(0);
            ip[15] = 1;
            return Some(to);
        }
        // Global unicast (RFC 4291 §2.4): what else there is has a meaning of its own.
        let is_global = ip[0] >> 5 == 1;
        (is_global && !self.v6.is_within(ip)).then_some(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGES: Edges = Edges {
        v4: Edge {
            own: [10, 0, 2, 15],
            mask: [255, 255, 255, 0],
            gateway: [10, 0, 2, 2],
        },
        v6: Edge {
            own: [0xfd, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x15],
            mask: [255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0],
            gateway: [0xfd, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
        },
    };

    fn v4(ip: [u8; 4], port: u16) -> Octets {
        let mut octets = [0; V6_LEN];
        octets[..2].copy_from_slice(&INET.to_ne_bytes());
        octets[2..4].copy_from_slice(&port.to_be_bytes());
        octets[4..8].copy_from_slice(&ip);
        octets
    }

    fn v6(ip: [u8; 16], port: u16) -> Octets {
        let mut octets = v4([0; 4], port);
        octets[..2].copy_from_slice(&INET6.to_ne_bytes());
        octets[8..24].copy_from_slice(&ip);
        octets
    }

    fn leads(address: Octets) -> Option<Octets> {
        EDGES.way(&address, V6_LEN).map(|(to, _)| to)
    }

    #[test]
    fn the_gateway_is_the_hosts_loopback_and_strangers_are_themselves() {
        assert_eq!(leads(v4([10, 0, 2, 2], 80)), Some(v4([127, 0, 0, 1], 80)));
        assert_eq!(leads(v4([192, 0, 2, 7], 443)), Some(v4([192, 0, 2, 7], 443)));
        let mut loopback = [0; 16];
        loopback[15] = 1;
        assert_eq!(leads(v6(EDGES.v6.gateway, 80)), Some(v6(loopback, 80)));
        let stranger = v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 443);
        assert_eq!(leads(stranger), Some(stranger));
        assert_eq!(EDGES.way(&stranger, V6_LEN).map(|it| it.1), Some(V6_LEN));
        assert_eq!(EDGES.way(&v4([192, 0, 2, 7], 1), 128).map(|it| it.1), Some(V4_LEN));
    }

    #[test]
    fn whatever_else_there_is_is_for_the_supervisor() {
        let special = [
            [10, 0, 2, 15],
            [10, 0, 2, 3],
            [10, 0, 2, 255],
            [0, 0, 0, 0],
            [127, 0, 0, 1],
            [169, 254, 1, 1],
            [224, 0, 0, 1],
            [255, 255, 255, 255],
        ];
        for ip in special {
            assert_eq!(leads(v4(ip, 80)), None, "{ip:?}");
        }
        let mut mapped = [0; 16];
        mapped[10..].copy_from_slice(&[255, 255, 192, 0, 2, 7]);
        let link_local = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        for ip in [[0; 16], mapped, link_local, EDGES.v6.own] {
            assert_eq!(leads(v6(ip, 80)), None, "{ip:?}");
        }
        let stranger = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let (mut labelled, mut scoped) = (v6(stranger, 80), v6(stranger, 80));
        labelled[7] = 1;
        scoped[24] = 1;
        assert_eq!((leads(labelled), leads(scoped)), (None, None));
        assert_eq!(leads(v4([192, 0, 2, 7], 0)), None, "no port");
        assert_eq!(leads(v4([8, 8, 8, 8], 53)), None, "perhaps the run's name server");
        for len in [0, V4_LEN - 1, ADDRESS_MAX + 1, u32::MAX as usize] {
            assert_eq!(EDGES.way(&v4([192, 0, 2, 7], 80), len), None, "{len}");
        }
        assert_eq!(EDGES.way(&v6(stranger, 80), V6_LEN - 1), None);
        assert_eq!(leads([0; V6_LEN]), None, "AF_UNSPEC");
    }

    #[test]
    fn who_comes_from_the_hosts_loopback_is_the_gateway() {
        let renamed = |mut name: Octets| {
            EDGES.rename_client(&mut name);
            name
        };
        assert_eq!(renamed(v4([127, 0, 0, 1], 40000)), v4([10, 0, 2, 2], 40000));
        let mut loopback = [0; 16];
        loopback[15] = 1;
        assert_eq!(renamed(v6(loopback, 40000)), v6(EDGES.v6.gateway, 40000));
        let mapped = |ip: [u8; 4]| {
            let mut octets = [0; 16];
            octets[10..12].fill(255);
            octets[12..].copy_from_slice(&ip);
            octets
        };
        assert_eq!(
            renamed(v6(mapped([127, 0, 0, 1]), 40000)),
            v6(mapped([10, 0, 2, 2]), 40000)
        );
    }

    #[test]
    fn scripts_name_their_interpreters() {
        let known: [(&[u8], Option<&[u8]>); 7] = [
            (b"#!/bin/sh\necho", Some(b"/bin/sh")),
            (b"#! \t/usr/bin/env python3\n", Some(b"/usr/bin/env")),
            (b"#!sh\0\0", Some(b"sh")),
            (b"#!\n/bin/sh", None),
            (b"#!", None),
            (b"\x7fELF", None),
            (b"", None),
        ];
        for (head, wanted) in known {
            assert_eq!(interpreter(head), wanted, "{head:?}");
        }
    }

    #[test]
    fn every_mark_is_a_hint_of_its_own_and_none_is_no_mark() {
        for mark in Mark::ALL {
            assert_eq!(Mark::of(mark.hint()), Some(mark));
        }
        assert_eq!((Mark::of(0), Mark::of(6)), (None, None));
    }

    #[test]
    fn a_chart_is_told_as_it_lies_in_memory() {
        let chart = Chart {
            open: 1,
            token: 0x0102_0304_0506_0708,
            edges: EDGES,
            ..Chart::NONE
        };
        let octets = chart.to_octets();
        assert_eq!(octets[..16], MAGIC);
        let at = offset_of!(Chart, token);
        assert_eq!(octets[at..at + 8], chart.token.to_ne_bytes());
        let at = offset_of!(Chart, edges.v6.gateway);
        assert_eq!(octets[at..at + 16], EDGES.v6.gateway);
        assert_eq!(octets.len(), offset_of!(Chart, known) + 8 * KNOWN);
    }
}
