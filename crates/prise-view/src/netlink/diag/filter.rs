//! `INET_DIAG_REQ_BYTECODE`: the filters of `ss`, compiled by it (`inet_diag_bc_audit`, `inet_diag_bc_run`).

use crate::octets::{AddressOctets, u8_at, u16_at, u32_at};
use crate::sockets::Row;
use alloc::vec::Vec;
use core::net::IpAddr;
use prise_socket::Errno;

/// Octets of a `struct inet_diag_bc_op`: code, where to go on if it holds, where if not.
const STEP: usize = 4;
/// Octets of a `struct inet_diag_hostcond` without its address.
const HOST: usize = 8;

const NOTHING: u8 = 0;
const JUMP: u8 = 1;
const SOURCE_AT_LEAST: u8 = 2;
const SOURCE_AT_MOST: u8 = 3;
const DESTINATION_AT_LEAST: u8 = 4;
const DESTINATION_AT_MOST: u8 = 5;
const AUTOMATIC: u8 = 6;
const SOURCE_HOST: u8 = 7;
const DESTINATION_HOST: u8 = 8;
const DEVICE: u8 = 9;
const MARK: u8 = 10;
const SOURCE_IS: u8 = 11;
const DESTINATION_IS: u8 = 12;
const CGROUP: u8 = 13;

/// A program that has been checked: every step lies within it, and every way through it ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    code: Vec<u8>,
}

impl Filter {
    /// Checks a program (`EINVAL`).
    pub(super) fn parse(code: &[u8]) -> Result<Self, Errno> {
        let mut rest = code;
        while !rest.is_empty() {
            if rest.len() < STEP {
                return Err(Errno::EINVAL);
            }
            let (yes, no) = (usize::from(u8_at(rest, 1)), usize::from(u16_at(rest, 2)));
            let len = step_len(rest)?;
            // Only forwards, and to a step or the end.
            let lands = |skip: usize| skip == rest.len() || is_step(code, code.len() - rest.len() + skip);
            let by_no = u8_at(rest, 0) != NOTHING;
            if by_no && (no < len || no > rest.len() + STEP || no % STEP != 0 || no <= rest.len() && !lands(no)) {
                return Err(Errno::EINVAL);
            }
            if yes < len || yes > rest.len() || yes % STEP != 0 {
                return Err(Errno::EINVAL);
            }
            rest = &rest[yes..];
        }
        Ok(Self { code: code.to_vec() })
    }

    /// Whether the program lets a socket through.
    pub(super) fn passes(&self, row: &Row) -> bool {
        let mut rest = self.code.as_slice();
        while !rest.is_empty() {
            let skip = if holds(rest, row) {
                usize::from(u8_at(rest, 1))
            } else {
                usize::from(u16_at(rest, 2))
            };
            // More than there is means "no".
            match rest.get(skip..).filter(|_| skip > 0) {
                Some(next) => rest = next,
                None => return false,
            }
        }
        true
    }
}

/// Whether following the steps from the start comes to `at` (`valid_cc`).
fn is_step(code: &[u8], at: usize) -> bool {
    let mut position = 0;
    while position < at {
        let yes = usize::from(u8_at(code, position + 1));
        if yes < STEP {
            return false;
        }
        position += yes;
    }
    position == at
}

/// The octets of a step with what belongs to it.
fn step_len(rest: &[u8]) -> Result<usize, Errno> {
    let len = match u8_at(rest, 0) {
        NOTHING | JUMP | AUTOMATIC => STEP,
        SOURCE_AT_LEAST | SOURCE_AT_MOST | DESTINATION_AT_LEAST | DESTINATION_AT_MOST | SOURCE_IS | DESTINATION_IS
        | DEVICE => 2 * STEP,
        MARK | CGROUP => 3 * STEP,
        SOURCE_HOST | DESTINATION_HOST => {
            let octets = match u8_at(rest, STEP) {
                0 => 0,
                2 => 4,
                10 => 16,
                _ => return Err(Errno::EINVAL),
            };
            if usize::from(u8_at(rest, STEP + 1)) > octets * 8 {
                return Err(Errno::EINVAL);
            }
            STEP + HOST + octets
        }
        _ => return Err(Errno::EINVAL),
    };
    if len > rest.len() { Err(Errno::EINVAL) } else { Ok(len) }
}

/// Whether a step holds for a socket.
fn holds(rest: &[u8], row: &Row) -> bool {
    let (source, destination) = (row.local.port(), row.remote.port());
    let port = u16_at(rest, STEP + 2);
    match u8_at(rest, 0) {
        // Nothing is told of control groups.
        JUMP | CGROUP => false,
        SOURCE_AT_LEAST => source >= port,
        SOURCE_AT_MOST => source <= port,
        SOURCE_IS => source == port,
        DESTINATION_AT_LEAST => destination >= port,
        DESTINATION_AT_MOST => destination <= port,
        DESTINATION_IS => destination == port,
        SOURCE_HOST => is_host(&rest[STEP..], row.local.ip(), source),
        DESTINATION_HOST => is_host(&rest[STEP..], row.remote.ip(), destination),
        // Nor of bound links and of marks: sockets count as having none.
        DEVICE | MARK => u32_at(rest, STEP) == 0,
        _ => true,
    }
}

/// `inet_diag_bc_run`, host conditions: a port or −1, and the front of an address.
fn is_host(condition: &[u8], address: IpAddr, port: u16) -> bool {
    let (family, prefix_len) = (u8_at(condition, 0), u8_at(condition, 1));
    let wanted_port = u32_at(condition, 4);
    if wanted_port != u32::MAX && wanted_port != u32::from(port) {
        return false;
    }
    let is_v4 = |address: IpAddr| match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(v6) => v6.to_ipv4_mapped(),
    };
    let address = match (family, address) {
        (2, given) => is_v4(given).map(IpAddr::from),
        (10, IpAddr::V4(_)) => None,
        _ => Some(address),
    };
    let Some(address) = address else { return false };
    let (have, wanted) = (AddressOctets::of(address), condition.get(HOST..).unwrap_or(&[]));
    bits_match(have.as_slice(), wanted, prefix_len.into())
}

/// Whether the first `bits` bits are the same.
fn bits_match(have: &[u8], wanted: &[u8], bits: usize) -> bool {
    let mask = |at: usize| match bits.saturating_sub(at * 8) {
        0 => 0,
        left @ 1..8 => !(0xff_u8 >> left),
        _ => 0xff,
    };
    have.iter()
        .enumerate()
        .all(|(at, octet)| (octet ^ u8_at(wanted, at)) & mask(at) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::SocketAddr;
    use prise_socket::{Family, Kind, State};

    fn row(local: &str, remote: &str) -> Row {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        Row {
            id: None,
            family: Family::Inet,
            kind: Kind::Stream,
            protocol: 6,
            state: State::Established,
            local: at(local),
            remote: at(remote),
            receive_queue: 0,
            send_queue: 0,
            uid: 0,
            inode: 0,
            v6_only: false,
            waits: None,
        }
    }

    /// `sport >= 1000 and sport <= 2000`, as ss compiles it.
    const RANGE: [u8; 16] = [2, 8, 20, 0, 0, 0, 0xe8, 3, 3, 8, 12, 0, 0, 0, 0xd0, 7];

    #[test]
    fn a_range_of_ports_lets_through_what_lies_in_it() {
        let filter = Filter::parse(&RANGE).unwrap();
        for (port, passes) in [(999, false), (1000, true), (2000, true), (2001, false)] {
            let local = alloc::format!("127.0.0.1:{port}");
            assert_eq!(filter.passes(&row(&local, "127.0.0.1:9")), passes, "{port}");
        }
        assert!(Filter::default().passes(&row("127.0.0.1:1", "127.0.0.1:9")));
    }

    #[test]
    fn a_host_is_found_by_its_prefix_and_as_mapped() {
        let code = [8, 16, 20, 0, 2, 8, 0, 0, 0xff, 0xff, 0xff, 0xff, 10, 0, 0, 0];
        let filter = Filter::parse(&code).unwrap();
        assert!(filter.passes(&row("127.0.0.1:1", "10.9.8.7:80")));
        assert!(filter.passes(&row("[::1]:1", "[::ffff:10.0.0.1]:80")));
        assert!(!filter.passes(&row("127.0.0.1:1", "11.0.0.1:80")));
        assert!(!filter.passes(&row("[::1]:1", "[::1]:80")));
    }

    #[test]
    fn programs_that_leave_themselves_or_go_back_are_refused() {
        for at in 0..RANGE.len() {
            assert!(Filter::parse(&RANGE[..at]).is_err() || at == 0, "{at}");
        }
        for (at, value) in [
            (0, 99),
            (1, 0),
            (1, 4),
            (1, 6),
            (1, 200),
            (2, 0),
            (2, 6),
            (2, 24),
            (9, 0),
        ] {
            let mut code = RANGE;
            code[at] = value;
            assert!(Filter::parse(&code).is_err(), "{at}: {value}");
        }
    }
}
