//! Multicast listener discovery for IPv6, versions 1 and 2 (RFC 2710, RFC 3810): the listener's side.

use crate::Emit;
use crate::octets::{array, ipv6_at, u8_at, u16_at};
use core::net::Ipv6Addr;

/// The hop limit of every valid message (RFC 3810 §5).
pub const HOP_LIMIT: u8 = 1;

/// Where version 2 reports go: all routers that speak it (RFC 3810 §5.2.14).
pub const ALL_V2_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

/// ICMPv6 types.
pub mod kind {
    /// RFC 3810 §5.1.
    pub const QUERY: u8 = 130;
    /// RFC 2710 §3.
    pub const REPORT_V1: u8 = 131;
    /// RFC 2710 §3.
    pub const DONE_V1: u8 = 132;
    /// RFC 3810 §5.2.
    pub const REPORT_V2: u8 = 143;
}

const GROUP_MESSAGE_LEN: usize = 24;
const QUERY_V2_LEN: usize = 28;
const REPORT_HEADER_LEN: usize = 8;
const RECORD_LEN: usize = 20;

/// Why an ICMPv6 message is not one of listener discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MalformedMld {
    /// Not a type of this module.
    Kind,
    /// Fewer octets than the message announces, or a query between the two versions' lengths (RFC 3810 §8.1).
    Truncated,
}

/// A listener discovery message. Sources are not read: a listener needs only its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MldMessage<'a> {
    /// Who listens?
    Query {
        /// The group asked for; unspecified for all.
        group: Ipv6Addr,
        /// Milliseconds within which to answer.
        response_delay: u32,
        /// The querier speaks version 2.
        version_2: bool,
    },
    /// The sender listens to the group (version 1).
    ReportV1(Ipv6Addr),
    /// The sender listens no more (version 1).
    DoneV1(Ipv6Addr),
    /// Records of what the sender listens to (version 2).
    ReportV2(Records<'a>),
}

/// What a record of a version 2 report says (RFC 3810 §5.2.12; the numbers are IGMP's too).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// Listening to some sources only.
    IsInclude,
    /// Listening to all sources but some.
    IsExclude,
    /// From now on listening to all sources but some: a join when none are named.
    ToExclude,
    /// From now on listening to some sources only: a leave when none are named.
    ToInclude,
    /// Listening to these sources too.
    Allow,
    /// Listening to these sources no more.
    Block,
    /// Another kind.
    Other(u8),
}

impl RecordKind {
    /// The kind with this number.
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::IsInclude,
            2 => Self::IsExclude,
            3 => Self::ToInclude,
            4 => Self::ToExclude,
            5 => Self::Allow,
            6 => Self::Block,
            other => Self::Other(other),
        }
    }

    /// The kind's number.
    pub const fn number(self) -> u8 {
        match self {
            Self::IsInclude => 1,
            Self::IsExclude => 2,
            Self::ToInclude => 3,
            Self::ToExclude => 4,
            Self::Allow => 5,
            Self::Block => 6,
            Self::Other(number) => number,
        }
    }
}

/// One record of a report to be sent, of either version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a, A> {
    /// What it says of the sources.
    pub kind: RecordKind,
    /// The group.
    pub group: A,
    /// The sources; at most 65,535.
    pub sources: &'a [A],
}

impl<A> Record<'_, A> {
    /// A record without sources.
    pub const fn new(kind: RecordKind, group: A) -> Self {
        Self {
            kind,
            group,
            sources: &[],
        }
    }
}

/// The records of a version 2 report, whose lengths have been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Records<'a>(&'a [u8]);

impl<'a> Records<'a> {
    /// The records; sources are skipped.
    pub fn iter(self) -> impl Iterator<Item = (RecordKind, Ipv6Addr)> + 'a {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (record, after) = rest.split_at_checked(record_len(rest))?;
            rest = after;
            Some((RecordKind::from_number(u8_at(record, 0)), ipv6_at(record, 4)))
        })
    }
}

/// Octets of the record at the front of `octets`, with its sources and auxiliary data.
fn record_len(octets: &[u8]) -> usize {
    RECORD_LEN + usize::from(u16_at(octets, 2)) * 16 + usize::from(u8_at(octets, 1)) * 4
}

impl<'a> MldMessage<'a> {
    /// Reads a whole ICMPv6 message. Its checksum, hop limit and addresses are the caller's to check.
    pub fn parse(octets: &'a [u8]) -> Result<Self, MalformedMld> {
        let [kind] = array(octets, 0).ok_or(MalformedMld::Truncated)?;
        match kind {
            kind::QUERY | kind::REPORT_V1 | kind::DONE_V1 if octets.len() < GROUP_MESSAGE_LEN => {
                Err(MalformedMld::Truncated)
            }
            kind::QUERY => {
                let version_2 = octets.len() >= QUERY_V2_LEN;
                if !version_2 && octets.len() != GROUP_MESSAGE_LEN {
                    return Err(MalformedMld::Truncated);
                }
                let code = u16_at(octets, 4);
                let response_delay = if version_2 {
                    response_delay(code)
                } else {
                    u32::from(code)
                };
                Ok(Self::Query {
                    group: ipv6_at(octets, 8),
                    response_delay,
                    version_2,
                })
            }
            kind::REPORT_V1 => Ok(Self::ReportV1(ipv6_at(octets, 8))),
            kind::DONE_V1 => Ok(Self::DoneV1(ipv6_at(octets, 8))),
            kind::REPORT_V2 => {
                let mut rest = octets.get(REPORT_HEADER_LEN..).ok_or(MalformedMld::Truncated)?;
                let records = rest;
                for _ in 0..u16_at(octets, 6) {
                    rest = rest.get(record_len(rest)..).ok_or(MalformedMld::Truncated)?;
                }
                Ok(Self::ReportV2(Records(&records[..records.len() - rest.len()])))
            }
            _ => Err(MalformedMld::Kind),
        }
    }
}

/// Milliseconds of a version 2 maximum response code (RFC 3810 §5.1.3).
fn response_delay(code: u16) -> u32 {
    let code = u32::from(code);
    if code < 0x8000 {
        code
    } else {
        (code & 0x0fff | 0x1000) << ((code >> 12 & 7) + 3)
    }
}

/// A version 2 report to be sent: each group with what changed (RFC 3810 §5.2).
#[derive(Clone, Copy, Debug)]
pub struct ReportV2<'a>(pub &'a [Record<'a, Ipv6Addr>]);

impl Emit for ReportV2<'_> {
    fn emit_len(&self) -> usize {
        let records = self.0.iter().map(|record| RECORD_LEN + record.sources.len() * 16);
        REPORT_HEADER_LEN + records.sum::<usize>()
    }

    /// Writes the message with the checksum field zero: see [`emit_message`](super::emit_message).
    fn emit(&self, out: &mut [u8]) {
        out[..REPORT_HEADER_LEN].fill(0);
        out[0] = kind::REPORT_V2;
        out[6..8].copy_from_slice(&(self.0.len() as u16).to_be_bytes());
        let mut rest = &mut out[REPORT_HEADER_LEN..];
        for Record { kind, group, sources } in self.0 {
            let (record, after) = rest.split_at_mut(RECORD_LEN + sources.len() * 16);
            record[..2].copy_from_slice(&[kind.number(), 0]);
            record[2..4].copy_from_slice(&(sources.len() as u16).to_be_bytes());
            for (addr, place) in [group]
                .into_iter()
                .chain(*sources)
                .zip(record[4..].chunks_exact_mut(16))
            {
                place.copy_from_slice(&addr.octets());
            }
            rest = after;
        }
    }
}

/// A version 1 message to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageV1 {
    /// Listening to the group; sent to the group.
    Report(Ipv6Addr),
    /// Listening no more; sent to all routers.
    Done(Ipv6Addr),
}

impl Emit for MessageV1 {
    fn emit_len(&self) -> usize {
        GROUP_MESSAGE_LEN
    }

    /// Writes the message with the checksum field zero: see [`emit_message`](super::emit_message).
    fn emit(&self, out: &mut [u8]) {
        let (kind, group) = match self {
            Self::Report(group) => (kind::REPORT_V1, group),
            Self::Done(group) => (kind::DONE_V1, group),
        };
        out[..8].copy_from_slice(&[kind, 0, 0, 0, 0, 0, 0, 0]);
        out[8..24].copy_from_slice(&group.octets());
    }
}
