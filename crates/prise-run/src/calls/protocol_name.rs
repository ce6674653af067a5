//! getxattr(2) of `system.sockprotoname`, by which strace(1) tells of what protocol a descriptor is: the kernel would say that of the AF_UNIX object.
//!
//! A filter cannot see names. What is judged is a call with as much room as strace's; every other one is the kernel's.

use prise_socket::{Family, Kind, protocol};

use super::open::read_path;
use crate::guest::mounts::Mounts;
use crate::guest::notify::{Answer, Call, Judged};
use crate::supervisor::Supervisor;

/// `XATTR_NAME_SOCKPROTONAME` (net/socket.c).
const NAME: &[u8] = b"system.sockprotoname\0";

impl Supervisor {
    pub(super) fn protocol_name(&self, call: &Call) -> Judged {
        let memory = call.memory();
        if memory.read_front(call.args[1], NAME.len()).ok().as_deref() != Some(NAME) {
            return Ok(Answer::Native);
        }
        let path = read_path(memory, call.args[0]);
        let Some(name) = path.and_then(|path| self.protocol_at(call.tid, &path)) else {
            return Ok(Answer::Native);
        };
        // With its zero; there is room for all of them, else the call would not have come here.
        let shown = [name.as_bytes(), &[0]].concat();
        memory.write(call.args[2], &shown)?;
        Ok(Answer::Value(shown.len() as i64))
    }

    /// The protocol's name of the run's socket that `/proc/PID/fd/N` or `/proc/PID/task/TID/fd/N` is a link to. The link is read and not followed: it may
    /// lead to a file that a program serves which waits for us.
    fn protocol_at(&self, tid: u32, path: &[u8]) -> Option<&'static str> {
        let path = core::str::from_utf8(path).ok().filter(|path| is_descriptor(path))?;
        Mounts::of(&tid.to_string())
            .ok()
            .filter(|mounts| mounts.is_local_at("/proc"))?;
        let link = std::fs::read_link(format!("/proc/{tid}/root{path}")).ok()?;
        let inode: u32 = link
            .to_str()?
            .strip_prefix("socket:[")?
            .strip_suffix(']')?
            .parse()
            .ok()?;
        if self.netlink.inodes().any(|own| own == inode) {
            return Some("NETLINK");
        }
        // All of them are walked: who asks so of every descriptor is a tracer.
        let (_, socket) = self.sockets.iter().find(|(_, socket)| socket.inode == inode)?;
        name_of(socket.family, socket.kind, self.host.info(socket.id)?.protocol)
    }
}

/// Whether a path is that of a process's or a task's descriptor, by numbers.
fn is_descriptor(path: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_digit());
    match path.split('/').collect::<Vec<_>>()[..] {
        ["", "proc", process, "fd", number] => is_number(process) && is_number(number),
        ["", "proc", process, "task", task, "fd", number] => [process, task, number].into_iter().all(is_number),
        _ => false,
    }
}

/// `struct proto.name`; none of what there is no socket of.
fn name_of(family: Family, kind: Kind, number: u8) -> Option<&'static str> {
    const ICMP: u8 = libc::IPPROTO_ICMP as u8;
    const ICMPV6: u8 = libc::IPPROTO_ICMPV6 as u8;
    Some(match (family, kind, number) {
        (Family::Inet, Kind::Stream, _) => "TCP",
        (Family::Inet6, Kind::Stream, _) => "TCPv6",
        (Family::Inet, Kind::Raw, _) => "RAW",
        (Family::Inet6, Kind::Raw, _) => "RAWv6",
        (Family::Inet, Kind::Datagram, protocol::UDP) => "UDP",
        (Family::Inet6, Kind::Datagram, protocol::UDP) => "UDPv6",
        (Family::Inet, Kind::Datagram, protocol::UDP_LITE) => "UDP-Lite",
        (Family::Inet6, Kind::Datagram, protocol::UDP_LITE) => "UDPLITEv6",
        (Family::Inet, Kind::Datagram, ICMP) => "PING",
        (Family::Inet6, Kind::Datagram, ICMPV6) => "PINGv6",
        _ => return None,
    })
}
