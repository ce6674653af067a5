//! Multicast groups: who of us listens to what, and the reports that tell routers (RFC 3376, RFC 3810; RFC 2236 for
//! queriers that speak no more).

use super::address::{from_key, key};
use super::deadlines::Deadlines;
use super::filter::SourceFilter;
use super::{Delivered, Discard, FlowLabel, IpOut, Net};
use crate::hash::HashKey;
use crate::link::{Link, LinkId};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use hashbrown::HashMap;
use prise_wire::icmpv6::mld::{self, MldMessage, Record, RecordKind};
use prise_wire::igmp::{self, IgmpVersion};
use prise_wire::{
    Body, Emit, Frame, Head, IgmpMessage, Instant, Ipv4Header, Ipv4Options, icmpv6, ipv4, ipv6, protocol,
};

const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Longer messages than an Ethernet packet holds do not exist.
const MESSAGE_MAX: usize = 1500;

/// Groups in one report, so that it fits every MTU.
const RECORDS_MAX: usize = 6;

/// Sources in one record, likewise: a report with them holds no other record.
const SOURCES_MAX: usize = 60;

/// What has changed is said a second time, in case the first was lost, at any moment within this
/// (Unsolicited Report Interval, RFC 3376 §8.11; Robustness Variable of 2, §8.1; RFC 3810 §9.11).
const REPEAT_WITHIN_MILLIS: u32 = 1000;

/// Changes that wait to be said again. Beyond this they are said once: queries ask for the rest.
const REPEATS_MAX: usize = 256;

/// A record as it is to be said.
type Said<A> = (RecordKind, A, Vec<A>);

/// One group of a link: what its members want, and how many want the same. Most want everything.
#[derive(Debug, Default)]
struct Group {
    members: Vec<(SourceFilter, u32)>,
    /// Lists show the latest first.
    number: u64,
}

/// A group that somebody here is a member of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInfo {
    /// Where.
    pub link: LinkId,
    /// The group.
    pub group: IpAddr,
    /// How many of us joined.
    pub members: u32,
}

impl Group {
    fn add(&mut self, filter: &SourceFilter) {
        match self.members.iter_mut().find(|(have, _)| have == filter) {
            Some((_, count)) => *count += 1,
            None => self.members.push((filter.clone(), 1)),
        }
    }

    fn remove(&mut self, filter: &SourceFilter) {
        if let Some(at) = self.members.iter().position(|(have, _)| have == filter) {
            self.members[at].1 -= 1;
            if self.members[at].1 == 0 {
                self.members.swap_remove(at);
            }
        }
    }

    fn merged(&self) -> SourceFilter {
        SourceFilter::merged(&self.members.iter().map(|(filter, _)| filter))
    }

    /// How many members want each source that they named, and how many do not.
    fn sources(&self) -> BTreeMap<IpAddr, (u32, u32)> {
        let mut sources: BTreeMap<IpAddr, (u32, u32)> = BTreeMap::new();
        for (filter, count) in &self.members {
            for source in &filter.sources {
                let (wanted, not) = sources.entry(*source).or_default();
                *(if filter.excludes { not } else { wanted }) += count;
            }
        }
        sources
    }
}

/// A report that is owed: to all queriers of a link, of a version of IP.
type Owed = (LinkId, bool);

/// The groups of all links.
#[derive(Debug)]
pub(crate) struct Groups {
    /// Those of us who joined the group on the link.
    members: HashMap<(u128, LinkId), Group, HashKey>,
    /// The number of the next group that gets members.
    next_number: u64,
    /// Answers to queries, delayed at random so that not all hosts answer at once.
    owed: Deadlines<Owed>,
    owed_at: Vec<(Owed, Instant)>,
    /// What has changed lately, by the keys of `members`, to be said again as it is by then.
    repeats: Deadlines<(u128, LinkId)>,
    /// Links whose IGMP querier does not speak version 3.
    igmp_v2: crate::link::LinkSet,
}

impl Groups {
    pub(super) fn new(hash: HashKey) -> Self {
        Self {
            members: HashMap::with_hasher(hash),
            next_number: 0,
            owed: Deadlines::default(),
            owed_at: Vec::new(),
            repeats: Deadlines::default(),
            igmp_v2: crate::link::LinkSet::EMPTY,
        }
    }

    /// Whether anybody here listens to `source` in the group on the link; every host listens to the all-hosts groups.
    pub(super) fn admits(&self, link: LinkId, group: IpAddr, source: IpAddr) -> bool {
        let members = self.members.get(&(key(group), link));
        let wanted = |group: &Group| {
            // RFC 3810 §4.2: who has no address yet cannot be filtered by it.
            source.is_unspecified() || group.members.iter().any(|(filter, _)| filter.admits(source))
        };
        group == ALL_HOSTS || group == ALL_NODES || members.is_some_and(wanted)
    }

    /// What members there are, link by link, the latest group of each first.
    pub(crate) fn list(&self) -> Vec<GroupInfo> {
        let mut groups: Vec<_> = self.members.iter().collect();
        groups.sort_unstable_by_key(|((_, link), group)| (*link, core::cmp::Reverse(group.number)));
        let info = |(&(group, link), it): (&(u128, LinkId), &Group)| GroupInfo {
            link,
            group: from_key(group),
            members: it.members.iter().map(|(_, count)| count).sum(),
        };
        groups.into_iter().map(info).collect()
    }

    pub(crate) fn sources(&self, link: LinkId, group: IpAddr) -> BTreeMap<IpAddr, (u32, u32)> {
        let members = self.members.get(&(key(group), link));
        members.map(Group::sources).unwrap_or_default()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.owed.next().into_iter().chain(self.repeats.next()).min()
    }

    /// A change was told; whatever is there when this comes round is told again.
    fn repeat(&mut self, at: Instant, what: (u128, LinkId)) {
        let known = self.repeats.iter().any(|one| one == what);
        if !known && self.repeats.iter().count() < REPEATS_MAX {
            self.repeats.arm(at, what);
        }
    }

    /// What there is of a group, as a change to that: nothing is a change to no source at all.
    fn restated(&self, at: (u128, LinkId)) -> Said<IpAddr> {
        let group = from_key(at.0);
        let Some(members) = self.members.get(&at) else {
            return (RecordKind::ToInclude, group, Vec::new());
        };
        let state = members.merged();
        let kind = match state.current() {
            RecordKind::IsInclude => RecordKind::ToInclude,
            _ => RecordKind::ToExclude,
        };
        (kind, group, state.sources)
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
    /// An address needs what is sent to its group on the link. Told once: a switch that has not heard it lets neighbors' questions through.
    pub(super) fn join_group(&mut self, now: Instant, link: LinkId, group: IpAddr) {
        self.change_group(now, link, group, None, Some(&SourceFilter::ANY));
    }

    /// It does not any more.
    pub(super) fn leave_group(&mut self, now: Instant, link: LinkId, group: IpAddr) {
        self.change_group(now, link, group, Some(&SourceFilter::ANY), None);
    }

    /// One of us wanted `old` of the group on the link and wants `new` from now on; none where it is no member.
    pub(crate) fn refilter_group(
        &mut self,
        now: Instant,
        link: LinkId,
        group: IpAddr,
        old: Option<&SourceFilter>,
        new: Option<&SourceFilter>,
    ) {
        let heard = self.link(link).is_some_and(|link| !link.is_loopback());
        if self.change_group(now, link, group, old, new) && heard {
            let delay = Duration::from_millis(self.random().below(REPEAT_WITHIN_MILLIS).into());
            self.groups.repeat(now + delay, (key(group), link));
        }
    }

    /// Answers whether there was something to tell.
    fn change_group(
        &mut self,
        now: Instant,
        link: LinkId,
        group: IpAddr,
        old: Option<&SourceFilter>,
        new: Option<&SourceFilter>,
    ) -> bool {
        let at = (key(group), link);
        let next_number = &mut self.groups.next_number;
        let members = self.groups.members.entry(at).or_insert_with(|| {
            *next_number += 1;
            Group {
                number: *next_number,
                ..Group::default()
            }
        });
        let before = members.merged();
        if let Some(old) = old {
            members.remove(old);
        }
        if let Some(new) = new {
            members.add(new);
        }
        let after = members.merged();
        if members.members.is_empty() {
            self.groups.members.remove(&at);
        }
        let said = before.changes(&after).into_iter();
        let said: Vec<_> = said.map(|(kind, sources)| (kind, group, sources)).collect();
        let told = !said.is_empty();
        self.report(now, link, said);
        told
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
        if !has_router_alert(packet) {
            return Err(Discard::MldInvalid);
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
        while let Some(at) = self.groups.repeats.pop_due(now) {
            let said = self.groups.restated(at);
            self.report(now, at.1, [said].into());
        }
        while let Some((link, ipv4)) = self.groups.pop_owed(now) {
            let of_link = self.groups.members.iter().filter(|((_, on), _)| *on == link);
            let states = of_link.map(|((group, _), members)| (from_key(*group), members.merged()));
            let states = states.filter(|(group, _)| group.is_ipv4() == ipv4);
            let mut said: Vec<_> = states
                .map(|(group, state)| (state.current(), group, state.sources))
                .collect();
            // Not in the table's order: the same inputs give the same packets, whatever the key.
            said.sort_unstable_by_key(|(_, group, _)| *group);
            self.report(now, link, said);
        }
    }

    /// Tells routers what there is, or what has changed.
    fn report(&mut self, now: Instant, link: LinkId, said: Vec<Said<IpAddr>>) {
        let (v4, v6): (Vec<_>, Vec<_>) = said.into_iter().partition(|(_, group, _)| group.is_ipv4());
        let v4 = in_pieces(v4, as_v4);
        let v6 = in_pieces(v6, as_v6);
        messages(&v4).for_each(|some| self.report_v4(now, link, some));
        messages(&v6).for_each(|some| self.send_mld(now, link, &mld::ReportV2(&records(some))));
    }

    fn report_v4(&mut self, now: Instant, link: LinkId, said: &[Said<Ipv4Addr>]) {
        if !self.groups.igmp_v2.contains(link) {
            return self.send_igmp(now, link, igmp::ALL_V3_ROUTERS, &igmp::ReportV3(&records(said)));
        }
        // Such a querier knows members only, no sources (RFC 3376 §7.2.1).
        for (kind, group, sources) in said {
            match kind {
                RecordKind::ToInclude if sources.is_empty() => {
                    self.send_igmp(now, link, igmp::ALL_ROUTERS, &igmp::MessageV2::Leave(*group));
                }
                _ => self.send_igmp(now, link, *group, &igmp::MessageV2::Report(*group)),
            }
        }
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
        header.options = Ipv4Options::copy_from(&ipv4::ROUTER_ALERT);
        header.total_len += header.options.padded_len() as u16;
        frame.push_header(&header);
        self.ip_counters[0].sent += 1;
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
            flow_label: FlowLabel::Given(0),
            dont_fragment: true,
            options: &Ipv4Options::NONE,
        };
        if !self.push_ip_header(&out, &mut frame) {
            return;
        }
        self.send_wrapped(now, link, dst.into(), frame);
    }
}

/// Whether its hop-by-hop options ask routers to look at it as a message of listener discovery.
fn has_router_alert(packet: &Delivered<'_>) -> bool {
    let chain = packet.frame.head().get(packet.network_at..).map(ipv6::extension::walk);
    matches!(chain, Some(Ok(chain)) if chain.router_alert == Some(0))
}

/// Records that fit a message. What listens to all but too many sources says so of the first of them only (RFC 3376 §4.2.16).
fn in_pieces<A>(said: Vec<Said<IpAddr>>, of: impl Fn(IpAddr) -> Option<A>) -> Vec<Said<A>> {
    let mut pieces = Vec::new();
    for (kind, group, sources) in said {
        let sources_at_once = |sources: &[IpAddr]| sources.iter().filter_map(|source| of(*source)).collect();
        let mut chunks = sources.chunks(SOURCES_MAX);
        let first = chunks.next().unwrap_or_default();
        pieces.extend(of(group).map(|group| (kind, group, sources_at_once(first))));
        if matches!(kind, RecordKind::IsExclude | RecordKind::ToExclude) {
            continue;
        }
        for more in chunks {
            pieces.extend(of(group).map(|group| (kind, group, sources_at_once(more))));
        }
    }
    pieces
}

/// What goes into one message each: a few records without sources, or one with them.
fn messages<A>(said: &[Said<A>]) -> impl Iterator<Item = &[Said<A>]> {
    said.chunk_by(|one, other| one.2.is_empty() && other.2.is_empty())
        .flat_map(|some| some.chunks(RECORDS_MAX))
}

fn records<A: Copy>(said: &[Said<A>]) -> Vec<Record<'_, A>> {
    said.iter()
        .map(|(kind, group, sources)| Record {
            kind: *kind,
            group: *group,
            sources,
        })
        .collect()
}

fn as_v4(addr: IpAddr) -> Option<Ipv4Addr> {
    if let IpAddr::V4(addr) = addr { Some(addr) } else { None }
}

fn as_v6(addr: IpAddr) -> Option<Ipv6Addr> {
    if let IpAddr::V6(addr) = addr { Some(addr) } else { None }
}
