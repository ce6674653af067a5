//! ioctl(2) on sockets: queues (tcp(7), udp(7)) and interfaces (netdevice(7)).

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use prise_socket::{Errno, Family};
use prise_stack::Link;

use super::Target;
use crate::notify::{Call, DONE, Judged};
use crate::sockaddr::encode;
use crate::supervisor::Supervisor;

const SIOCGIFNAME: u32 = 0x8910;
const SIOCGIFCONF: u32 = 0x8912;
const SIOCGIFFLAGS: u32 = 0x8913;
const SIOCGIFADDR: u32 = 0x8915;
const SIOCGIFDSTADDR: u32 = 0x8917;
const SIOCGIFBRDADDR: u32 = 0x8919;
const SIOCGIFNETMASK: u32 = 0x891b;
const SIOCGIFMETRIC: u32 = 0x891d;
const SIOCGIFMTU: u32 = 0x8921;
const SIOCGIFHWADDR: u32 = 0x8927;
const SIOCGIFINDEX: u32 = 0x8933;
const SIOCGIFTXQLEN: u32 = 0x8942;
const SIOCETHTOOL: u32 = 0x8946;
const SIOCOUTQNSD: u32 = 0x894b;
/// Requests that would change an interface or a route: root's.
const CHANGES: [u32; 16] = [
    0x890b, 0x890c, 0x8914, 0x8916, 0x8918, 0x891a, 0x891c, 0x891e, 0x8922, 0x8923, 0x8924, 0x8931, 0x8932, 0x8936,
    0x8943, 0x8971,
];

/// `struct ifreq`: a name and a union.
const IFREQ_LEN: usize = 40;
const IFNAMSIZ: usize = 16;

const IFF_UP: u16 = 0x1;
const IFF_BROADCAST: u16 = 0x2;
const IFF_LOOPBACK: u16 = 0x8;
const IFF_RUNNING: u16 = 0x40;
const IFF_MULTICAST: u16 = 0x1000;

/// `ARPHRD_ETHER` and `ARPHRD_LOOPBACK` (linux/if_arp.h); a link of bare IP packets is `ARPHRD_NONE`.
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;
const ARPHRD_NONE: u16 = 0xfffe;

impl Supervisor {
    pub(super) fn ioctl(&mut self, call: &Call, target: &Target) -> Judged {
        let request = call.args[1] as u32;
        let id = self.entry(target.slot)?.id;
        let queue = match request {
            SIOCOUTQNSD => Some(self.host.unsent_queue(id)?),
            _ if request == libc::TIOCOUTQ as u32 => Some(self.outgoing_queue(target)?),
            _ => None,
        };
        if let Some(octets) = queue {
            call.memory().write(call.args[2], &(octets as i32).to_ne_bytes())?;
            return DONE;
        }
        match request {
            SIOCGIFCONF => self.interfaces(call),
            SIOCETHTOOL => Err(Errno::EOPNOTSUPP),
            _ if CHANGES.contains(&request) => Err(Errno::EPERM),
            _ => self.interface(call, request),
        }
    }

    /// What the program wrote and the peer has not acknowledged: in the kernel's object and in the host.
    fn outgoing_queue(&mut self, target: &Target) -> Result<usize, Errno> {
        self.attend(target.slot);
        let id = self.entry(target.slot)?.id;
        self.host.send_queue(id)
    }

    /// `SIOCGIFCONF`: the IPv4 addresses, each with its interface's name.
    fn interfaces(&self, call: &Call) -> Judged {
        let mut header = [0; 16];
        call.memory().read(call.args[2], &mut header)?;
        let room = i32::from_ne_bytes(core::array::from_fn(|i| header[i]));
        let buffer = u64::from_ne_bytes(core::array::from_fn(|i| header[8 + i]));
        let mut octets = Vec::new();
        for link in self.host.stack().links() {
            for (address, _) in self.ipv4_addresses(link) {
                octets.extend_from_slice(&request_of(link.name(), &v4_union(address)));
            }
        }
        if buffer != 0 {
            let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
            octets.truncate(room / IFREQ_LEN * IFREQ_LEN);
            call.memory().write(buffer, &octets)?;
        }
        call.memory()
            .write(call.args[2], &(octets.len() as i32).to_ne_bytes())?;
        DONE
    }

    /// A request about one interface, by name; `SIOCGIFNAME` by index.
    fn interface(&self, call: &Call, request: u32) -> Judged {
        let mut ifreq = [0; IFREQ_LEN];
        if !is_about_interface(request) {
            return Err(Errno::ENOTTY);
        }
        call.memory().read(call.args[2], &mut ifreq)?;
        let (name, union) = ifreq.split_at(IFNAMSIZ);
        let links = self.host.stack().links();
        let link = if request == SIOCGIFNAME {
            let index = u32::from_ne_bytes(core::array::from_fn(|i| union[i]));
            links.iter().find(|link| link.id().interface_index() == index)
        } else {
            let name = name.split(|&octet| octet == 0).next().unwrap_or_default();
            // An alias, `eth0:1`, is about its interface.
            let name = name.split(|&octet| octet == b':').next().unwrap_or_default();
            links.iter().find(|link| link.name().as_bytes() == name)
        };
        let link = link.ok_or(Errno::ENODEV)?;
        let union = self.describe_link(link, request)?;
        let name = if request == SIOCGIFNAME {
            link.name().as_bytes()
        } else {
            name
        };
        let mut answer = [0; IFREQ_LEN];
        answer[..name.len()].copy_from_slice(name);
        answer[IFNAMSIZ..].copy_from_slice(&union);
        call.memory().write(call.args[2], &answer)?;
        DONE
    }

    fn describe_link(&self, link: &Link, request: u32) -> Result<[u8; IFREQ_LEN - IFNAMSIZ], Errno> {
        let first = || self.ipv4_addresses(link).next().ok_or(Errno::EADDRNOTAVAIL);
        Ok(match request {
            SIOCGIFNAME | SIOCGIFINDEX => number(link.id().interface_index()),
            SIOCGIFFLAGS => {
                let kind = if link.is_loopback() {
                    IFF_LOOPBACK
                } else {
                    IFF_BROADCAST | IFF_MULTICAST
                };
                number(u32::from(IFF_UP | IFF_RUNNING | kind))
            }
            SIOCGIFADDR | SIOCGIFDSTADDR => v4_union(first()?.0),
            SIOCGIFBRDADDR => {
                let (address, prefix_len) = first()?;
                let host_bits = u32::MAX.checked_shr(u32::from(prefix_len)).unwrap_or(0);
                let broadcast = if link.is_loopback() {
                    0
                } else {
                    address.to_bits() | host_bits
                };
                v4_union(Ipv4Addr::from_bits(broadcast))
            }
            SIOCGIFNETMASK => {
                let host_bits = u32::MAX.checked_shr(u32::from(first()?.1)).unwrap_or(0);
                v4_union(Ipv4Addr::from_bits(!host_bits))
            }
            SIOCGIFMETRIC => number(0),
            SIOCGIFMTU => number(link.mtu()),
            SIOCGIFTXQLEN => number(1000),
            SIOCGIFHWADDR => {
                let mut union = [0; IFREQ_LEN - IFNAMSIZ];
                let kind = match link.mac() {
                    Some(mac) => {
                        union[2..8].copy_from_slice(&mac.0);
                        ARPHRD_ETHER
                    }
                    None if link.is_loopback() => ARPHRD_LOOPBACK,
                    None => ARPHRD_NONE,
                };
                union[..2].copy_from_slice(&kind.to_ne_bytes());
                union
            }
            _ => return Err(Errno::ENOTTY),
        })
    }

    fn ipv4_addresses(&self, link: &Link) -> impl Iterator<Item = (Ipv4Addr, u8)> {
        let id = link.id();
        self.host
            .stack()
            .addresses()
            .iter()
            .filter_map(move |entry| match entry.cidr.address() {
                IpAddr::V4(address) if entry.link == id => Some((address, entry.cidr.prefix_len())),
                _ => None,
            })
    }
}

fn is_about_interface(request: u32) -> bool {
    matches!(
        request,
        SIOCGIFNAME
            | SIOCGIFFLAGS
            | SIOCGIFADDR
            | SIOCGIFDSTADDR
            | SIOCGIFBRDADDR
            | SIOCGIFNETMASK
            | SIOCGIFMETRIC
            | SIOCGIFMTU
            | SIOCGIFHWADDR
            | SIOCGIFINDEX
            | SIOCGIFTXQLEN
    )
}

fn request_of(name: &str, union: &[u8; IFREQ_LEN - IFNAMSIZ]) -> [u8; IFREQ_LEN] {
    let mut octets = [0; IFREQ_LEN];
    octets[..name.len()].copy_from_slice(name.as_bytes());
    octets[IFNAMSIZ..].copy_from_slice(union);
    octets
}

fn number(value: u32) -> [u8; IFREQ_LEN - IFNAMSIZ] {
    let mut union = [0; IFREQ_LEN - IFNAMSIZ];
    union[..4].copy_from_slice(&value.to_ne_bytes());
    union
}

fn v4_union(address: Ipv4Addr) -> [u8; IFREQ_LEN - IFNAMSIZ] {
    let mut union = [0; IFREQ_LEN - IFNAMSIZ];
    let encoded = encode(SocketAddr::new(address.into(), 0), Family::Inet);
    union[..16].copy_from_slice(encoded.as_slice());
    union
}
