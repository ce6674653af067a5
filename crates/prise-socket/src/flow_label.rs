//! Leases of flow labels (`net/ipv6/ip6_flowlabel.c`; RFC 6437 §3).
//!
//! A program leases a label (`IPV6_FLOWLABEL_MGR`), for itself or to be shared, and a label that was given back lingers. Who sends with a label
//! need not have leased it as long as nobody has leased any that is not everybody's; from then on the lease is asked for (`sent`).

mod sent;

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::vec::Vec;
use core::net::Ipv6Addr;
use core::time::Duration;

use prise_wire::Instant;

use crate::option::Opt;
pub(crate) use sent::SEND_BIT;

use crate::socket::{Socket, Transport};
use crate::{Errno, Host, SocketId};

/// The bits of `sin6_flowinfo` that are a label (`IPV6_FLOWLABEL_MASK`).
const LABEL: u32 = 0x000f_ffff;

/// Leases of one host, and of one socket from which on it needs privileges (`FL_MAX_SIZE`, `FL_MAX_PER_SOCK`).
const LEASES_MAX: usize = 4096;
const LEASES_OF_SOCKET: usize = 32;

/// How long a label lingers at least, and how long who has no privileges may ask for (`FL_MIN_LINGER`, `FL_MAX_LINGER`), in seconds.
const LINGER_MIN: u16 = 6;
const LINGER_MAX: u16 = 150;

/// Who asks for a lease: some labels are one thread's or one user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The thread, by a number that no other has: a process's labels are those of one of its threads (`task_pid`).
    pub thread: u32,
    /// The number that the thread has for itself (`gettid(2)`), which is shown.
    pub shown_thread: u32,
    /// The effective user.
    pub user: u32,
    /// Whether it has `CAP_NET_ADMIN`.
    pub administers: bool,
}

/// Who may lease a label besides (`IPV6_FL_S_EXCL` …).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    Nobody,
    Process { thread: u32, shown: u32 },
    User(u32),
    Anybody,
}

impl Share {
    fn new(number: u8, asker: Asker) -> Option<Self> {
        match number {
            1 => Some(Self::Nobody),
            2 => Some(Self::Process {
                thread: asker.thread,
                shown: asker.shown_thread,
            }),
            3 => Some(Self::User(asker.user)),
            255 => Some(Self::Anybody),
            _ => None,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Nobody => 1,
            Self::Process { .. } => 2,
            Self::User(_) => 3,
            Self::Anybody => 255,
        }
    }

    fn owner(self) -> u32 {
        match self {
            Self::Nobody | Self::Anybody => 0,
            Self::Process { shown, .. } => shown,
            Self::User(user) => user,
        }
    }
}

/// A label that somebody has leased, or that lingers (`struct ip6_flowlabel`).
#[derive(Clone, Copy, Debug)]
struct Lease {
    /// Which was leased later is listed first.
    number: u64,
    share: Share,
    to: Ipv6Addr,
    users: u32,
    linger: Duration,
    expires: Instant,
    last_use: Instant,
}

impl Lease {
    /// When nobody's label is forgotten.
    fn ends(&self) -> Instant {
        self.expires.max(self.last_use + self.linger)
    }

    fn lives(&self, now: Instant) -> bool {
        self.users > 0 || now < self.ends()
    }

    /// What else a term gives to a label that somebody has.
    fn extend(&mut self, now: Instant, term: Term) {
        self.linger = self.linger.max(term.linger);
        self.expires = self.expires.max(now + term.expires.max(term.linger));
    }

    /// `fl6_renew`.
    fn renew(&mut self, now: Instant, term: Term) {
        self.last_use = now;
        self.linger = self.linger.max(term.linger);
        self.expires = self.expires.max(now + term.expires.max(self.linger));
    }

    fn is_everybodys(&self) -> bool {
        self.share == Share::Anybody
    }
}

/// How long a label is to last.
#[derive(Clone, Copy)]
struct Term {
    linger: Duration,
    expires: Duration,
}

impl Term {
    /// `check_linger`, of both numbers.
    fn new(request: &Request, administers: bool) -> Result<Self, Errno> {
        let check = |seconds: u16| match seconds {
            seconds if seconds > LINGER_MAX && !administers => Err(Errno::EPERM),
            seconds => Ok(Duration::from_secs(seconds.max(LINGER_MIN).into())),
        };
        Ok(Self {
            linger: check(request.linger)?,
            expires: check(request.expires)?,
        })
    }
}

/// All leases of a host.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    by_label: BTreeMap<u32, Lease>,
    made: u64,
    /// Labels that somebody has and that are not everybody's (`ipv6_flowlabel_exclusive`).
    exclusive: usize,
    /// When the last of such labels that nobody has any more is forgotten.
    exclusive_lingers_until: Instant,
    /// Before that no label that lingers is forgotten; none if none lingers.
    next_end: Option<Instant>,
}

impl Leases {
    /// `ip6_fl_gc`.
    fn forget_ended(&mut self, now: Instant) {
        if self.next_end.is_none_or(|end| now < end) {
            return;
        }
        self.by_label.retain(|_, lease| lease.lives(now));
        let lingering = self.by_label.values().filter(|lease| lease.users == 0);
        self.next_end = lingering.map(Lease::ends).min();
    }

    /// Whether some label is not everybody's: then who sends with one must have leased it.
    fn are_heeded(&self, now: Instant) -> bool {
        self.exclusive > 0 || now < self.exclusive_lingers_until
    }

    /// One more has the label, which is in the table.
    fn join(&mut self, label: u32) -> Result<&mut Lease, Errno> {
        let lease = self.by_label.get_mut(&label).ok_or(Errno::ENOENT)?;
        self.exclusive += usize::from(lease.users == 0 && !lease.is_everybodys());
        lease.users = lease.users.checked_add(1).ok_or(Errno::ENOMEM)?;
        Ok(lease)
    }

    /// `fl_release`, of as many as had the label.
    fn release(&mut self, now: Instant, label: u32, users: u32) {
        let Some(lease) = self.by_label.get_mut(&label) else {
            return;
        };
        lease.last_use = now;
        lease.users = lease.users.saturating_sub(users);
        if lease.users > 0 {
            return;
        }
        lease.expires = lease.ends();
        let end = lease.expires;
        if !lease.is_everybodys() {
            self.exclusive -= 1;
            self.exclusive_lingers_until = self.exclusive_lingers_until.max(end);
        }
        self.next_end = Some(self.next_end.map_or(end, |next| next.min(end)));
    }
}

/// A row of `/proc/net/ip6_flowlabel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeasedLabel {
    /// The label.
    pub label: u32,
    /// Who may lease it besides (`IPV6_FL_S_EXCL` …).
    pub share: u8,
    /// The thread or user whose it is, or 0.
    pub owner: u32,
    /// How many leases there are.
    pub users: u32,
    /// For how long it lingers.
    pub linger: Duration,
    /// In how many seconds it expires, or since how many it has.
    pub expires: i64,
    /// Whom it is for.
    pub to: Ipv6Addr,
}

/// `struct in6_flowlabel_req`.
pub(crate) struct Request {
    to: Ipv6Addr,
    label: u32,
    action: u8,
    share: u8,
    flags: u16,
    expires: u16,
    linger: u16,
}

impl Request {
    pub(crate) const LEN: usize = 32;

    const GET: u8 = 0;
    const PUT: u8 = 1;
    const RENEW: u8 = 2;

    const CREATE: u16 = 1;
    const EXCLUSIVE: u16 = 2;
    const REFLECT: u16 = 4;
    const REMOTE: u16 = 8;

    fn parse(octets: &[u8]) -> Option<Self> {
        let octets: &[u8; Self::LEN] = octets.first_chunk()?;
        let (to, rest) = octets.split_first_chunk::<16>()?;
        let short = |at: usize| u16::from_le_bytes([rest[at], rest[at + 1]]);
        Some(Self {
            to: Ipv6Addr::from(*to),
            label: u32::from_be_bytes(*rest.first_chunk()?),
            action: rest[4],
            share: rest[5],
            flags: short(6),
            expires: short(8),
            linger: short(10),
        })
    }
}

/// What `getsockopt` tells in the same layout, its action and flags 0.
fn answer(label: u32, lease: Option<(&Lease, Instant)>) -> [u8; Request::LEN] {
    let mut octets = [0; Request::LEN];
    octets[16..20].copy_from_slice(&label.to_be_bytes());
    if let Some((lease, now)) = lease {
        octets[..16].copy_from_slice(&lease.to.octets());
        octets[21] = lease.share.number();
        let left = lease.expires.saturating_since(now);
        octets[24..26].copy_from_slice(&(left.as_secs() as u16).to_le_bytes());
        octets[26..28].copy_from_slice(&(lease.linger.as_secs() as u16).to_le_bytes());
    }
    octets
}

/// Leases.
impl Host {
    /// `IPV6_FLOWLABEL_MGR` (`ipv6_flowlabel_opt`). Tells the label that was picked for who asked for any.
    pub fn manage_flow_label(
        &mut self,
        now: Instant,
        s: SocketId,
        value: &[u8],
        asker: Asker,
    ) -> Result<Option<u32>, Errno> {
        let request = Request::parse(value).ok_or(Errno::EINVAL)?;
        let stream = self.socket_ref(s)?.kind == crate::Kind::Stream;
        self.flow_labels.forget_ended(now);
        match request.action {
            // Labels are consistent by default, and then none is taken from the peer (`net.ipv6.flowlabel_consistency`).
            Request::GET if request.flags & Request::REFLECT != 0 => Err(Errno::EPERM),
            Request::GET => self.lease_label(now, s, &request, &value[Request::LEN..], asker),
            Request::PUT if request.flags & Request::REFLECT != 0 => {
                Err(if stream { Errno::ESRCH } else { Errno::ENOPROTOOPT })
            }
            Request::PUT => self.put_label(now, s, request.label).map(|()| None),
            Request::RENEW => self.renew_label(now, s, &request, asker).map(|()| None),
            _ => Err(Errno::EINVAL),
        }
    }

    /// `ipv6_flowlabel_get`; `control` is what comes behind the request.
    fn lease_label(
        &mut self,
        now: Instant,
        s: SocketId,
        request: &Request,
        control: &[u8],
        asker: Asker,
    ) -> Result<Option<u32>, Errno> {
        /// `sizeof(struct cmsghdr)`: less is no message, and of headers before the routing header no packet of ours has any.
        const MESSAGE_MIN: usize = 16;
        if request.label & !LABEL != 0 || control.len() >= MESSAGE_MIN {
            return Err(Errno::EINVAL);
        }
        let term = Term::new(request, asker.administers)?;
        if request.to.is_unspecified() || request.to.to_ipv4_mapped().is_some() {
            return Err(Errno::EINVAL);
        }
        let share = Share::new(request.share, asker).ok_or(Errno::EINVAL)?;
        let creates = request.flags & Request::CREATE != 0;
        let users = self.flow_labels.by_label.get(&request.label).map(|have| have.users);
        if users.is_none_or(|users| users == 0) {
            if !creates {
                return Err(Errno::ENOENT);
            }
            self.check_room(s, asker.administers)?;
        }
        if users.is_some() {
            return self.join_label(now, s, request, (share, term)).map(|()| None);
        }
        let label = match request.label {
            0 => self.unleased_label(),
            label => label,
        };
        self.flow_labels.made += 1;
        let lease = Lease {
            number: self.flow_labels.made,
            share,
            to: request.to,
            users: 0,
            linger: Duration::ZERO,
            expires: now,
            last_use: now,
        };
        self.flow_labels.by_label.insert(label, lease);
        self.flow_labels.join(label)?.renew(now, term);
        self.socket_mut(s)?.count_label(label);
        Ok((request.label == 0).then_some(label))
    }

    /// One more lease of a label that somebody has, or that lingers.
    fn join_label(
        &mut self,
        now: Instant,
        s: SocketId,
        request: &Request,
        (share, term): (Share, Term),
    ) -> Result<(), Errno> {
        let lease = self.flow_labels.join(request.label)?;
        let refusal = match lease.share {
            _ if request.flags & Request::EXCLUSIVE != 0 => Errno::EEXIST,
            have if have == Share::Nobody || have != share => Errno::EPERM,
            _ => {
                lease.extend(now, term);
                self.socket_mut(s)?.count_label(request.label);
                return Ok(());
            }
        };
        self.flow_labels.release(now, request.label, 1);
        Err(refusal)
    }

    /// `mem_check`.
    fn check_room(&self, s: SocketId, administers: bool) -> Result<(), Errno> {
        let room = LEASES_MAX.saturating_sub(self.flow_labels.by_label.len());
        if room > LEASES_MAX - LEASES_OF_SOCKET {
            return Ok(());
        }
        let own = self.socket_ref(s)?.leases();
        let scarce = own >= LEASES_OF_SOCKET || own > 0 && room < LEASES_MAX / 2 || room < LEASES_MAX / 4;
        if room == 0 || scarce && !administers {
            return Err(Errno::ENOBUFS);
        }
        Ok(())
    }

    /// There are more labels than leases.
    fn unleased_label(&mut self) -> u32 {
        loop {
            let label = self.random.next_u32() & LABEL;
            if label != 0 && !self.flow_labels.by_label.contains_key(&label) {
                return label;
            }
        }
    }

    /// `ipv6_flowlabel_put`.
    fn put_label(&mut self, now: Instant, s: SocketId, label: u32) -> Result<(), Errno> {
        let socket = self.socket_mut(s)?;
        if !socket.has_leased(label) {
            return Err(Errno::ESRCH);
        }
        socket.discount_label(label);
        let sent = socket.value(Opt::FlowInfo);
        if sent as u32 & LABEL == label {
            socket.set_value(Opt::FlowInfo, sent & !i64::from(LABEL));
            self.reconfigure(now, s);
        }
        self.flow_labels.release(now, label, 1);
        Ok(())
    }

    /// `ipv6_flowlabel_renew`.
    fn renew_label(&mut self, now: Instant, s: SocketId, request: &Request, asker: Asker) -> Result<(), Errno> {
        let own = self.socket_ref(s)?.has_leased(request.label);
        // Who administers the network may renew anybody's.
        let may = own || request.share == 0 && asker.administers;
        let lease = self.flow_labels.by_label.get_mut(&request.label);
        let lease = lease.filter(|lease| may && lease.users > 0).ok_or(Errno::ESRCH)?;
        lease.renew(now, Term::new(request, asker.administers)?);
        Ok(())
    }

    /// `getsockopt(2)` of `IPV6_FLOWLABEL_MGR` (`ipv6_flowlabel_opt_get`), asked by what its buffer holds.
    pub(crate) fn flow_label_told(&self, now: Instant, s: SocketId, given: &[u8]) -> Result<[u8; Request::LEN], Errno> {
        let request = Request::parse(given).ok_or(Errno::EINVAL)?;
        if request.action != Request::GET {
            return Err(Errno::EINVAL);
        }
        if request.flags & Request::REMOTE != 0 {
            return Ok(answer(self.came_with(s)? & LABEL, None));
        }
        let socket = self.socket_ref(s)?;
        let label = socket.value(Opt::FlowInfo) as u32 & LABEL;
        let lease = self.flow_labels.by_label.get(&label);
        let lease = lease.filter(|_| socket.has_leased(label));
        Ok(answer(label, Some((lease.ok_or(Errno::ENOENT)?, now))))
    }

    /// What the peer's handshake came with (`rcv_flowinfo`). Who carries a connection elsewhere shows no packets: a client of this host
    /// sends what it would have sent here.
    fn came_with(&self, s: SocketId) -> Result<u32, Errno> {
        let socket = self.socket_ref(s)?;
        Ok(match (socket.transport, socket.remote()) {
            (Transport::Connection(id), _) => self.stack.tcp_came_with(id),
            (Transport::Elsewhere, Some(remote)) if socket.was_accepted() => {
                self.stack.flow_label(remote, socket.local_addr())
            }
            _ => 0,
        })
    }

    /// A socket is gone, and its leases with it (`fl6_free_socklist`).
    pub(crate) fn release_labels(&mut self, now: Instant, s: SocketId) {
        let Some(extra) = self.sockets.get_mut(s).and_then(|socket| socket.extra.as_mut()) else {
            return;
        };
        for (label, leases) in core::mem::take(&mut extra.flow_labels) {
            self.flow_labels.release(now, label, leases);
        }
    }

    /// The labels that somebody has leased or that linger, as the kernel lists them: by their last octets, the youngest of these first.
    pub fn leased_labels(&mut self, now: Instant) -> Vec<LeasedLabel> {
        self.flow_labels.forget_ended(now);
        let mut leases: Vec<_> = self.flow_labels.by_label.iter().collect();
        leases.sort_by_key(|(label, lease)| (**label & 0xff, u64::MAX - lease.number));
        let row = |(&label, lease): (&u32, &Lease)| LeasedLabel {
            label,
            share: lease.share.number(),
            owner: lease.share.owner(),
            users: lease.users,
            linger: lease.linger,
            expires: match lease.expires.saturating_since(now) {
                Duration::ZERO => -(now.saturating_since(lease.expires).as_secs() as i64),
                left => left.as_secs() as i64,
            },
            to: lease.to,
        };
        leases.into_iter().map(row).collect()
    }
}

impl Socket {
    fn was_accepted(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.was_accepted)
    }

    fn has_leased(&self, label: u32) -> bool {
        let extra = self.extra.as_ref();
        extra.is_some_and(|extra| extra.flow_labels.contains_key(&label))
    }

    /// How many leases it has, of one label or of several.
    fn leases(&self) -> usize {
        let extra = self.extra.as_ref();
        extra.map_or(0, |extra| {
            extra.flow_labels.values().map(|leases| *leases as usize).sum()
        })
    }

    fn count_label(&mut self, label: u32) {
        *self.extra_mut().flow_labels.entry(label).or_default() += 1;
    }

    fn discount_label(&mut self, label: u32) {
        if let Entry::Occupied(mut leases) = self.extra_mut().flow_labels.entry(label) {
            *leases.get_mut() -= 1;
            if *leases.get() == 0 {
                leases.remove();
            }
        }
    }
}
