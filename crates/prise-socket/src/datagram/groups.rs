//! Multicast groups and the sources of them that a socket listens to (RFC 3376 §3, RFC 3678; `ip_mc_source`, `ip6_mc_source` and their like).

use alloc::vec::Vec;
use core::net::IpAddr;

use prise_stack::{JoinError, LinkId, SourceFilter, UdpId};
use prise_wire::Instant;

use crate::socket::Transport;
use crate::{Errno, Host, SocketId};

/// Groups of IPv4 that one socket may join (`net.ipv4.igmp_max_memberships`).
const GROUPS_V4_MAX: usize = 20;

/// Groups of IPv6: as many as fit a socket's memory for options (`net.core.optmem_max`).
const GROUPS_V6_MAX: usize = 2048;

/// Sources of one group (`net.ipv4.igmp_max_msf`, `net.ipv6.mld_max_msf`).
pub(crate) const fn sources_max(group: IpAddr) -> usize {
    if group.is_ipv4() { 10 } else { 64 }
}

/// `MCAST_EXCLUDE` and `MCAST_INCLUDE`: whether the sources listed are those not heard, or those heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Exclude,
    Include,
}

impl Mode {
    pub(crate) const fn from_raw(raw: i32) -> Option<Self> {
        match raw {
            0 => Some(Self::Exclude),
            1 => Some(Self::Include),
            _ => None,
        }
    }

    pub(crate) const fn raw(self) -> i32 {
        match self {
            Self::Exclude => 0,
            Self::Include => 1,
        }
    }
}

/// A group that was joined.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) group: IpAddr,
    pub(crate) link: Option<LinkId>,
    mode: Mode,
    /// None until a source was named: until then the mode may change (`pmc->sflist`).
    sources: Option<Vec<IpAddr>>,
}

impl Membership {
    fn new(group: IpAddr, link: Option<LinkId>, mode: Mode) -> Self {
        Self {
            group,
            link,
            mode,
            sources: None,
        }
    }

    fn is(&self, group: IpAddr, link: Option<LinkId>) -> bool {
        self.group == group && (link.is_none() || self.link == link)
    }

    /// Whether anything but an ordinary membership.
    pub(super) fn is_filtered(&self) -> bool {
        self.mode == Mode::Include || self.sources.is_some()
    }

    /// What the stack is to let through.
    pub(super) fn filter(&self) -> SourceFilter {
        SourceFilter {
            excludes: self.mode == Mode::Exclude,
            sources: self.sources.clone().unwrap_or_default(),
        }
    }

    /// What is shown of it.
    pub(crate) fn shown(&self) -> (Mode, &[IpAddr]) {
        (self.mode, self.sources.as_deref().unwrap_or_default())
    }

    /// The part of `ip_mc_source` that concerns the list; false if the last source was taken out, which is to leave.
    fn change(&mut self, mode: Mode, source: IpAddr, add: bool) -> Result<bool, Errno> {
        if self.mode != mode {
            // What was listed was listed in the other mode.
            if self.sources.is_some() {
                return Err(Errno::EINVAL);
            }
            self.mode = mode;
        }
        let at = |sources: &[IpAddr]| sources.iter().position(|have| *have == source);
        if !add {
            let sources = self.sources.as_mut().ok_or(Errno::EADDRNOTAVAIL)?;
            let at = at(sources).ok_or(Errno::EADDRNOTAVAIL)?;
            if mode == Mode::Include && sources.len() == 1 {
                return Ok(false);
            }
            sources.remove(at);
            return Ok(true);
        }
        let sources = self.sources.as_deref().unwrap_or_default();
        if sources.len() >= sources_max(self.group) {
            return Err(Errno::ENOBUFS);
        }
        if at(sources).is_some() {
            return Err(Errno::EADDRNOTAVAIL);
        }
        self.sources.get_or_insert_default().push(source);
        Ok(true)
    }
}

impl Host {
    /// Joins or leaves a multicast group, on a link or the one that a route names.
    pub(crate) fn membership(
        &mut self,
        now: Instant,
        s: SocketId,
        group: IpAddr,
        link: Option<LinkId>,
        join: bool,
    ) -> Result<(), Errno> {
        if !join {
            return self.leave(now, s, group, link);
        }
        self.join(now, s, group, link, Mode::Exclude).map(|_| ())
    }

    /// Joins a group, for all sources or, with [`Mode::Include`], for none yet; says on which link.
    pub(crate) fn join(
        &mut self,
        now: Instant,
        s: SocketId,
        group: IpAddr,
        link: Option<LinkId>,
        mode: Mode,
    ) -> Result<Option<LinkId>, Errno> {
        let socket = self.socket_ref(s)?;
        let transport = socket.transport;
        let link = match link.or_else(|| socket.device()) {
            None => Some(self.stack.route(group, None, None).map_err(|_| Errno::ENODEV)?.link),
            given => given,
        };
        let groups = &mut self.socket_mut(s)?.extra_mut().groups;
        if groups.iter().any(|have| have.is(group, link)) {
            return Err(Errno::EADDRINUSE);
        }
        let of_family = groups
            .iter()
            .filter(|have| have.group.is_ipv4() == group.is_ipv4())
            .count();
        match group {
            IpAddr::V4(_) if of_family >= GROUPS_V4_MAX => return Err(Errno::ENOBUFS),
            IpAddr::V6(_) if of_family >= GROUPS_V6_MAX => return Err(Errno::ENOMEM),
            _ => {}
        }
        let joined = Membership::new(group, link, mode);
        match (transport, link) {
            (Transport::Udp(id), _) => match self.stack.udp_join_sources(now, id, group, link, joined.filter()) {
                // Bound to an address of the other family: it is a member, and will hear nothing.
                Ok(()) | Err(JoinError::NotAGroup) => {}
                Err(error) => return Err(error.into()),
            },
            // Ping and raw sockets get whatever IP delivers, and UDP's without a port nothing: that the host is a member is all they need.
            (_, Some(link)) => self
                .stack
                .refilter_group(now, link, group, None, Some(&joined.filter())),
            (_, None) => {}
        }
        self.socket_mut(s)?.extra_mut().groups.push(joined);
        Ok(link)
    }

    fn leave(&mut self, now: Instant, s: SocketId, group: IpAddr, link: Option<LinkId>) -> Result<(), Errno> {
        let socket = self.socket_mut(s)?;
        let transport = socket.transport;
        let link = link.or_else(|| socket.device());
        let groups = &mut socket.extra_mut().groups;
        let at = groups.iter().position(|have| have.is(group, link));
        let left = groups.remove(at.ok_or(Errno::EADDRNOTAVAIL)?);
        match (transport, left.link) {
            (Transport::Udp(id), link) => match self.stack.udp_leave(now, id, group, link) {
                // It was a member in name only, or its link is gone.
                Ok(()) | Err(JoinError::NotJoined) => {}
                Err(error) => return Err(error.into()),
            },
            (_, Some(link)) => self.stack.refilter_group(now, link, group, Some(&left.filter()), None),
            (_, None) => {}
        }
        Ok(())
    }

    /// The memberships of a UDP socket become those of what it is in the stack from now on.
    pub(super) fn hand_groups_over(&mut self, now: Instant, s: SocketId, id: UdpId) {
        let extra = self.sockets.get(s).and_then(|socket| socket.extra.as_ref());
        for joined in extra.map(|extra| extra.groups.clone()).unwrap_or_default() {
            // Each was judged when the program joined it; a link that has vanished since takes its groups with it.
            let _gone = self
                .stack
                .udp_join_sources(now, id, joined.group, joined.link, joined.filter());
            self.unjoin(now, &joined);
        }
    }

    /// A socket that is not UDP's, or has no port, is closed.
    pub(crate) fn leave_groups(&mut self, now: Instant, s: SocketId) {
        let extra = self.sockets.get_mut(s).and_then(|socket| socket.extra.as_mut());
        for joined in extra
            .map(|extra| core::mem::take(&mut extra.groups))
            .unwrap_or_default()
        {
            self.unjoin(now, &joined);
        }
    }

    /// The host is a member no longer for the sake of this.
    fn unjoin(&mut self, now: Instant, joined: &Membership) {
        if let Some(link) = joined.link {
            self.stack
                .refilter_group(now, link, joined.group, Some(&joined.filter()), None);
        }
    }

    /// Adds a source to a membership's list, or takes it out.
    pub(crate) fn change_source(
        &mut self,
        now: Instant,
        s: SocketId,
        (group, link): (IpAddr, Option<LinkId>),
        mode: Mode,
        source: IpAddr,
        add: bool,
    ) -> Result<(), Errno> {
        let joined = self.joined(s, group, link).ok_or(Errno::EINVAL)?;
        let old = joined.filter();
        let changed = joined.change(mode, source, add);
        let (link, new) = (joined.link, joined.filter());
        if changed == Ok(false) {
            return self.leave(now, s, group, link);
        }
        self.refilter(now, s, (group, link), &old, new);
        changed.map(|_| ())
    }

    /// Replaces a membership's list.
    pub(crate) fn set_sources(
        &mut self,
        now: Instant,
        s: SocketId,
        (group, link): (IpAddr, Option<LinkId>),
        mode: Mode,
        sources: Vec<IpAddr>,
    ) -> Result<(), Errno> {
        if mode == Mode::Include && sources.is_empty() {
            return self.leave(now, s, group, link);
        }
        let joined = self.joined(s, group, link).ok_or(Errno::EINVAL)?;
        let old = joined.filter();
        joined.mode = mode;
        joined.sources = (!sources.is_empty()).then_some(sources);
        let (link, new) = (joined.link, joined.filter());
        self.refilter(now, s, (group, link), &old, new);
        Ok(())
    }

    /// The membership of a group on a link, or on any.
    pub(crate) fn joined(&mut self, s: SocketId, group: IpAddr, link: Option<LinkId>) -> Option<&mut Membership> {
        let extra = self.sockets.get_mut(s)?.extra.as_mut()?;
        extra.groups.iter_mut().find(|have| have.is(group, link))
    }

    fn refilter(
        &mut self,
        now: Instant,
        s: SocketId,
        (group, link): (IpAddr, Option<LinkId>),
        old: &SourceFilter,
        new: SourceFilter,
    ) {
        let Some(socket) = self.sockets.get(s) else { return };
        match (socket.transport, link) {
            (Transport::Udp(id), link) => {
                // The stack's membership goes with its link, and then nothing is left to filter.
                let _gone = self.stack.udp_set_filter(now, id, group, link, new);
            }
            (_, Some(link)) => self.stack.refilter_group(now, link, group, Some(old), Some(&new)),
            (_, None) => {}
        }
    }
}

impl From<JoinError> for Errno {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Closed => Self::EBADF,
            JoinError::NotAGroup => Self::EINVAL,
            JoinError::NoLink => Self::ENODEV,
            JoinError::AlreadyJoined => Self::EADDRINUSE,
            JoinError::NotJoined => Self::EADDRNOTAVAIL,
            JoinError::TooMany => Self::ENOBUFS,
        }
    }
}
