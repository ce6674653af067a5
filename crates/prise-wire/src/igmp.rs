//! The Internet Group Management Protocol, versions 1 to 3 (RFC 1112, RFC 2236, RFC 3376): the member's side.

use crate::icmpv6::mld::Record;
use crate::octets::{ipv4_at, u8_at};
use crate::{Emit, checksum};
use core::net::Ipv4Addr;

/// Where version 3 reports go (RFC 3376 §4.2.14).
pub const ALL_V3_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);

/// Where version 2 leaves go.
pub const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);

const MESSAGE_LEN: usize = 8;
const QUERY_V3_LEN: usize = 12;
const RECORD_LEN: usize = 8;

/// Message types.
pub mod kind {
    /// Membership query.
    pub const QUERY: u8 = 0x11;
    /// RFC 1112.
    pub const REPORT_V1: u8 = 0x12;
    /// RFC 2236.
    pub const REPORT_V2: u8 = 0x16;
    /// RFC 2236.
    pub const LEAVE_V2: u8 = 0x17;
    /// RFC 3376.
    pub const REPORT_V3: u8 = 0x22;
}

/// Why octets are not an IGMP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MalformedIgmp {
    /// Fewer octets than a message.
    Truncated,
    /// A type that is not known.
    Kind,
    /// The checksum does not hold.
    Checksum,
}

/// The version a querier speaks, by the length and the maximum response time of its query (RFC 3376 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IgmpVersion {
    /// RFC 1112.
    V1,
    /// RFC 2236.
    V2,
    /// RFC 3376.
    V3,
}

/// An IGMP message as a member sees it. Version 3 reports of others are of no interest to members and not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IgmpMessage {
    /// Who is a member?
    Query {
        /// The group asked for; unspecified for all.
        group: Ipv4Addr,
        /// Tenths of a second within which to answer.
        response_time: u32,
        /// What the querier speaks.
        version: IgmpVersion,
    },
    /// Another member reports the group (version 1 or 2).
    Report(Ipv4Addr),
    /// Another member leaves the group.
    Leave(Ipv4Addr),
    /// Another member's version 3 report.
    ReportV3,
}

impl IgmpMessage {
    /// Reads and verifies a whole message.
    pub fn parse(octets: &[u8]) -> Result<Self, MalformedIgmp> {
        if octets.len() < MESSAGE_LEN {
            return Err(MalformedIgmp::Truncated);
        }
        if !checksum::is_valid(checksum::sum(octets)) {
            return Err(MalformedIgmp::Checksum);
        }
        let group = ipv4_at(octets, 4);
        let code = u8_at(octets, 1);
        match u8_at(octets, 0) {
            kind::QUERY if octets.len() >= QUERY_V3_LEN => Ok(Self::Query {
                group,
                response_time: response_time(code),
                version: IgmpVersion::V3,
            }),
            kind::QUERY if code == 0 => Ok(Self::Query {
                group,
                response_time: 100,
                version: IgmpVersion::V1,
            }),
            kind::QUERY => Ok(Self::Query {
                group,
                response_time: u32::from(code),
                version: IgmpVersion::V2,
            }),
            kind::REPORT_V1 | kind::REPORT_V2 => Ok(Self::Report(group)),
            kind::LEAVE_V2 => Ok(Self::Leave(group)),
            kind::REPORT_V3 => Ok(Self::ReportV3),
            _ => Err(MalformedIgmp::Kind),
        }
    }
}

/// Tenths of a second of a version 3 maximum response code (RFC 3376 §4.1.1).
fn response_time(code: u8) -> u32 {
    let code = u32::from(code);
    if code < 0x80 {
        code
    } else {
        (code & 0x0f | 0x10) << ((code >> 4 & 7) + 3)
    }
}

/// A version 3 report to be sent: each group with what changed (RFC 3376 §4.2).
#[derive(Clone, Copy, Debug)]
pub struct ReportV3<'a>(pub &'a [Record<'a, Ipv4Addr>]);

impl Emit for ReportV3<'_> {
    fn emit_len(&self) -> usize {
        let records = self.0.iter().map(|record| RECORD_LEN + record.sources.len() * 4);
        MESSAGE_LEN + records.sum::<usize>()
    }

    /// Writes the message with its checksum.
    fn emit(&self, out: &mut [u8]) {
        let len = self.emit_len();
        let out = &mut out[..len];
        out[..MESSAGE_LEN].fill(0);
        out[0] = kind::REPORT_V3;
        out[6..8].copy_from_slice(&(self.0.len() as u16).to_be_bytes());
        let mut rest = &mut out[MESSAGE_LEN..];
        for Record { kind, group, sources } in self.0 {
            let (record, after) = rest.split_at_mut(RECORD_LEN + sources.len() * 4);
            record[..2].copy_from_slice(&[kind.number(), 0]);
            record[2..4].copy_from_slice(&(sources.len() as u16).to_be_bytes());
            for (addr, place) in [group].into_iter().chain(*sources).zip(record[4..].chunks_exact_mut(4)) {
                place.copy_from_slice(&addr.octets());
            }
            rest = after;
        }
        put_checksum(out);
    }
}

/// A version 2 message to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageV2 {
    /// A member of the group; sent to the group.
    Report(Ipv4Addr),
    /// A member no more; sent to [`ALL_ROUTERS`].
    Leave(Ipv4Addr),
}

impl Emit for MessageV2 {
    fn emit_len(&self) -> usize {
        MESSAGE_LEN
    }

    /// Writes the message with its checksum.
    fn emit(&self, out: &mut [u8]) {
        let (kind, group) = match self {
            Self::Report(group) => (kind::REPORT_V2, group),
            Self::Leave(group) => (kind::LEAVE_V2, group),
        };
        let out = &mut out[..MESSAGE_LEN];
        out[..4].copy_from_slice(&[kind, 0, 0, 0]);
        out[4..].copy_from_slice(&group.octets());
        put_checksum(out);
    }
}

/// Fills in the checksum of a message whose field is zero.
fn put_checksum(message: &mut [u8]) {
    let checksum = checksum::finish(checksum::sum(message));
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
}
