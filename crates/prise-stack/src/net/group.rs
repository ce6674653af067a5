//! Multicast groups: who of us listens to what, and the reports that tell routers (RFC 3376, RFC 3810; RFC 2236 for
//! queriers that speak no more).

use super::address::{from_key, key};
use super::deadlines::Deadlines;
use super::{Delivered, Discard, IpOut, Net};
use crate::hash::HashKey;
use crate::link::{Link, LinkId};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use hashbrown::HashMap;
use prise_wire::icmpv6::mld::{self, MldMessage, RecordKind};
use prise_wire::igmp::{self, IgmpVersion};
use prise_wire::{Body, Emit, Frame, Head, IgmpMessage, Instant, Ipv4Header, icmpv6, ipv4, ipv6, protocol};

const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Longer messages than an Ethernet packet holds do not exist.
const MESSAGE_MAX: usize = 1500;

/// Groups in one report, so that it fits every MTU.
const RECORDS_MAX: usize = 6;

/// A report that is owed: to all queriers of a link, of a version of IP.
type Owed = (LinkId, bool);

/// The groups of all links.
#[derive(Debug)]
pub(super) struct Groups {
    /// How many of us joined the group on the link.
    members: HashMap<(u128, LinkId), u32, HashKey>,
    /// Answers to queries, delayed at random so that not all hosts answer at once.
    owed: Deadlines<Owed>,
    owed_at: Vec<(Owed, Instant)>,
    /// Links whose IGMP querier does not speak version 3.
    igmp_v2: crate::link::LinkSet,
}

impl Groups {
    pub(super) fn new(hash: HashKey) -> Self {
        Self {
            members: HashMap::with_hasher(hash),
            owed: Deadlines::default(),
            owed_at: Vec::new(),
            igmp_v2: crate::link::LinkSet::EMPTY,
        }
    }

    /// Whether anybody here listens to the group on the link; every host listens to the all-hosts groups.
    pub(super) fn is_joined(&self, link: LinkId, group: IpAddr) -> bool {
        group == ALL_HOSTS || group == ALL_NODES || self.members.contains_key(&(key(group), link))
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.owed.next()
    }

    fn owe(&mut self, at: Instant, what: Owed) {
        match self.owed_at.iter_mut().find(|(owed, _)| *owed == what) {
            // An earlier answer serves this query too (RFC 3376 §5.2, rule 1).
            Some((_, due)) if *due <= at => return,
            Some((_, due)) => self.owed.disarm(core::mem::replace(due, at), what),
            None => self.owed_at.push((what, at)),
        }
        self.owed.arm(at, what);
    }

    fn pop_owed(&mut self, now: Instant) -> Option<Owed> {
        let what = self.owed.pop_due(now)?;
        self.owed_at.retain(|(owed, _)| *owed != what);
        Some(what)
    }
}

impl Net {
    /// One of us wants what is sent to the group on the link.
    pub(crate) fn join_group(&mut self, now: Instant, link: LinkId, group: IpAddr) {
        let members = self.groups.members.entry((key(group), link)).or_insert(0);
        *members += 1;
        if *members == 1 {
            self.report(now, link, RecordKind::ToExclude, group);
        }
    }

    /// One of us does not want it any more.
    pub(crate) fn leave_group(&mut self, now: Instant, link: LinkId, group: IpAddr) {
        let Some(members) = self.groups.members.get_mut(&(key(group), link)) else {
            return;
        };
        *members -= 1;
        if *members == 0 {
            self.groups.members.remove(&(key(group), link));
            self.report(now, link, RecordKind::ToInclude, group);
        }
    }

    /// RFC 3376 §5.2.
    pub(crate) fn input_igmp(&mut self, now: Instant, packet: &Delivered<'_>) -> Result<(), Discard> {
        let mut octets = [0; MESSAGE_MAX];
        let len = super::copy_from(packet.frame, packet.transport_at, &mut octets);
        match IgmpMessage::parse(&octets[..len]) {
            Ok(IgmpMessage::Query {
                response_time, version, ..
            }) => {
                if version == IgmpVersion::V3 {
                    self.groups.igmp_v2.remove(packet.link);
                } else {
                    self.groups.igmp_v2.insert(packet.link);
                }
                self.owe_report(now, packet.link, true, response_time.saturating_mul(100));
                Ok(())
            }
            // Other members' reports change nothing for us: suppression is gone since version 3.
            Ok(_) => Ok(()),
            Err(_) => Err(Discard::IgmpMalformed),
        }
    }

    /// RFC 3810 §6.2.
    pub(crate) fn input_mld(&mut self, now: Instant, packet: &Delivered<'_>) -> Result<(), Discard> {
        let link_local = matches!(packet.src, IpAddr::V6(src) if src.is_unicast_link_local());
        if packet.hop_limit != mld::HOP_LIMIT || !link_local {
            return Err(Discard::MldInvalid);
        }
        let mut octets = [0; MESSAGE_MAX];
        let len = super::copy_from(packet.frame, packet.transport_at, &mut octets);
        if octets[0] != mld::kind::QUERY {
            return Ok(());
        }
        match MldMessage::parse(&octets[..len]) {
            Ok(MldMessage::Query { response_delay, .. }) => {
                self.owe_report(now, packet.link, false, response_delay);
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(_) => Err(Discard::MldInvalid),
        }
    }

    fn owe_report(&mut self, now: Instant, link: LinkId, ipv4: bool, within_millis: u32) {
        let delay = self.random().below(within_millis.max(1));
        self.groups.owe(now + Duration::from_millis(delay.into()), (link, ipv4));
    }

    pub(super) fn expire_groups(&mut self, now: Instant) {
        while let Some((link, ipv4)) = self.groups.pop_owed(now) {
            let kind = RecordKind::IsExclude;
            let of_link = self.groups.members.keys().filter(|(_, on)| *on == link);
            let mut groups: Vec<IpAddr> = of_link.map(|&(group, _)| from_key(group)).collect();
            // Not in the table's order: the same inputs give the same packets, whatever the key.
            groups.sort_unstable();
            if ipv4 {
                let records: Vec<_> = groups
                    .iter()
                    .filter_map(|&group| as_v4(group))
                    .map(|group| (kind, group))
                    .collect();
                records
                    .chunks(RECORDS_MAX)
                    .for_each(|some| self.report_v4(now, link, some));
            } else {
                let records: Vec<_> = groups
                    .iter()
                    .filter_map(|&group| as_v6(group))
                    .map(|group| (kind, group))
                    .collect();
                records
                    .chunks(RECORDS_MAX)
                    .for_each(|some| self.report_v6(now, link, some));
            }
        }
    }

    /// Tells routers of a change.
    fn report(&mut self, now: Instant, link: LinkId, kind: RecordKind, group: IpAddr) {
        match group {
            IpAddr::V4(group) => self.report_v4(now, link, &[(kind, group)]),
            IpAddr::V6(group) => self.report_v6(now, link, &[(kind, group)]),
        }
    }

    fn report_v4(&mut self, now: Instant, link: LinkId, records: &[(RecordKind, Ipv4Addr)]) {
        if !self.groups.igmp_v2.contains(link) {
            return self.send_igmp(now, link, igmp::ALL_V3_ROUTERS, &igmp::ReportV3(records));
        }
        for &(kind, group) in records {
            match kind {
                RecordKind::ToInclude => {
                    self.send_igmp(now, link, igmp::ALL_ROUTERS, &igmp::MessageV2::Leave(group));
                }
                _ => self.send_igmp(now, link, group, &igmp::MessageV2::Report(group)),
            }
        }
    }

    fn report_v6(&mut self, now: Instant, link: LinkId, records: &[(RecordKind, Ipv6Addr)]) {
        self.send_mld(now, link, &mld::ReportV2(records));
    }

    fn send_igmp(&mut self, now: Instant, link: LinkId, to: Ipv4Addr, message: &impl Emit) {
        let Some(IpAddr::V4(source)) = self
            .addresses
            .primary(link, true)
            .filter(|source| !source.is_loopback())
        else {
            return;
        };
        let mut frame = Frame::with_header(message, Body::new());
        let mut header = Ipv4Header::new(source, to, protocol::IGMP, frame.total_len());
        header.hop_limit = 1;
        header.tos = 0xc0;
        header.dont_fragment = true;
        header.options = ipv4::Ipv4Options::copy_from(&ipv4::ROUTER_ALERT);
        header.total_len += header.options.padded_len() as u16;
        frame.push_header(&header);
        self.ip_counters.sent += 1;
        self.send_wrapped(now, link, to.into(), frame);
    }

    fn send_mld(&mut self, now: Instant, link: LinkId, message: &impl Emit) {
        if self.link(link).is_none_or(Link::is_loopback) {
            return;
        }
        // The unspecified address is right as long as there is no link-local one (RFC 3810 §5.2.13).
        let src = self.addresses.link_local(link).unwrap_or(Ipv6Addr::UNSPECIFIED);
        let dst = mld::ALL_V2_ROUTERS;
        let mut head = Head::new();
        icmpv6::emit_message(message, src, dst, head.grow_front(message.emit_len()));
        let mut frame = Frame::new(head, Body::new());
        frame.push_front(&ipv6::extension::MLD_HOP_BY_HOP);
        let out = IpOut {
            src: src.into(),
            dst: dst.into(),
            protocol: protocol::HOP_BY_HOP,
            hop_limit: mld::HOP_LIMIT,
            tos: 0,
            dont_fragment: true,
        };
        if !self.push_ip_header(&out, &mut frame) {
            return;
        }
        self.send_wrapped(now, link, dst.into(), frame);
    }
}

fn as_v4(addr: IpAddr) -> Option<Ipv4Addr> {
    if let IpAddr::V4(addr) = addr { Some(addr) } else { None }
}

fn as_v6(addr: IpAddr) -> Option<Ipv6Addr> {
    if let IpAddr::V6(addr) = addr { Some(addr) } else { None }
}
