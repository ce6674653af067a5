//! `/proc/net/unix` (`proc_net(5)`), and the rows of sock_diag(7), without what stands behind the run's Internet and netlink sockets: to programs that
//! match them with `/proc/PID/fd` (psutil, `ss -x`, netstat, lsof), such a descriptor would be two sockets.

use std::collections::HashSet;

use crate::guest::socket_number;
use crate::socket::Sockets;
use crate::supervisor::Supervisor;

/// The column of the flags, which tells of listeners (`__SO_ACCEPTCON`), and that of the inode.
const FLAGS: usize = 3;
const INODE: usize = 6;
const LISTENS: &str = "00010000";

/// What is left out.
#[derive(Debug, Default)]
pub(crate) struct Hidden {
    /// The programs' ends, by the number that /proc/PID/fd shows.
    programs: HashSet<u32>,
    /// The supervisor's sockets, of which those that listen stay: others find a run by them.
    own: HashSet<u32>,
}

impl Supervisor {
    /// The table of the name space in which `tid` is; none if it cannot be read.
    pub(super) fn unix_table(&mut self, tid: u32) -> Option<Vec<u8>> {
        let table = std::fs::read(format!("/proc/{tid}/net/unix")).ok()?;
        let hidden = Hidden::of(&self.sockets, self.netlink.inodes());
        Some(
            table
                .split_inclusive(|&octet| octet == b'\n')
                .filter(|row| !hidden.holds(row))
                .flatten()
                .copied()
                .collect(),
        )
    }
}

impl Hidden {
    /// The objects of these sockets, and the supervisor's own.
    pub(crate) fn of(sockets: &Sockets, netlink: impl Iterator<Item = u32>) -> Self {
        let sockets = sockets.iter().map(|(_, socket)| socket.inode);
        Self {
            programs: sockets.chain(netlink).collect(),
            own: own_sockets(),
        }
    }

    /// Whether a socket is one of them.
    pub(crate) fn hides(&self, inode: u32, listens: bool) -> bool {
        self.programs.contains(&inode) || self.own.contains(&inode) && !listens
    }

    /// Whether a row of the table is of one of them. The head of the table is none, nor is the rest of a path with an end of line in it.
    fn holds(&self, row: &[u8]) -> bool {
        let front: Vec<&str> = row
            .split(u8::is_ascii_whitespace)
            .filter(|field| !field.is_empty())
            .take(INODE + 1)
            .map_while(|field| core::str::from_utf8(field).ok())
            .collect();
        let Some(Ok(inode)) = front.get(INODE).map(|field| field.parse()) else {
            return false;
        };
        self.hides(inode, front[FLAGS] == LISTENS)
    }
}

/// The numbers of the supervisor's own sockets.
fn own_sockets() -> HashSet<u32> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers
        .filter_map(|fd| socket_number(std::process::id(), fd).ok()?)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_run_are_hidden_but_for_listeners_of_the_supervisor() {
        let hidden = Hidden {
            programs: HashSet::from([11, 12]),
            own: HashSet::from([21, 22]),
        };
        for (row, expected) in [
            ("Num       RefCount Protocol Flags    Type St Inode Path\n", false),
            ("0000000000000000: 00000003 00000000 00000000 0002 01 11\n", true),
            (
                "0000000000000000: 00000003 00000000 00010000 0001 01    12 /tmp/12\n",
                true,
            ),
            (
                "0000000000000000: 00000003 00000000 00000000 0001 03 13 /tmp/11\n",
                false,
            ),
            ("0000000000000000: 00000003 00000000 00000000 0001 03 21 @name\n", true),
            ("0000000000000000: 00000002 00000000 00010000 0001 01 22 @name\n", false),
            ("11 12\n", false),
            ("\n", false),
        ] {
            assert_eq!(hidden.holds(row.as_bytes()), expected, "{row}");
        }
        assert!(!hidden.holds(b"\xff\xff 1 2 3 4 5 11\n"));
    }
}
