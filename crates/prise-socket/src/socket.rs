//! One socket as the table holds it. What is rarely set or rarely there hangs off it in a box, so that an idle socket is small.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use prise_stack::bpf::Program;
use prise_stack::{ConnId, LinkId, ListenerId, PingId, RawId, SignatureKeys, UdpId};
use prise_wire::Ipv4Options;

use crate::option::{Opt, Values};
use crate::ports::{Claim, Holder};
use crate::{Control, Errno, Family, Kind};

/// A record with everything that is usual must stay this small: there may be hundreds of thousands.
const RECORD_MAX: usize = 80;
const _: () = assert!(size_of::<Socket>() <= RECORD_MAX);

/// The kernel's `socket_state`, which remembers what `connect` has told its caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// `SS_UNCONNECTED`: not connected, or listening.
    Unconnected,
    /// `SS_CONNECTING`: `connect` said `EINPROGRESS` and has not said more.
    Connecting,
    /// `SS_CONNECTED`: `connect` or `accept` succeeded, whatever has become of the connection.
    Connected,
    /// `SS_DISCONNECTING`: shut down while connecting; nothing but `close` is left.
    Disconnecting,
}

/// What stands behind the socket in the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transport {
    None,
    Connection(ConnId),
    Listener(ListenerId),
    Udp(UdpId),
    Ping(PingId),
    Raw(RawId),
    /// A connection that others carry.
    Elsewhere,
}

/// `sk_shutdown`: the halves that have ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Shutdown(u8);

impl Shutdown {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const READ: Self = Self(1);
    pub(crate) const WRITE: Self = Self(2);
    pub(crate) const BOTH: Self = Self(3);

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn read(self) -> bool {
        self.0 & 1 != 0
    }

    pub(crate) const fn write(self) -> bool {
        self.0 & 2 != 0
    }
}

/// Options and facts that are on or off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Flag {
    // socket(7)
    Debug,
    ReuseAddr,
    ReusePort,
    DontRoute,
    Broadcast,
    KeepAlive,
    OobInline,
    NoCheck,
    RxqOverflow,
    WifiStatus,
    NoFcs,
    LockFilter,
    SelectErrQueue,
    ReceiveMark,
    ReceivePriority,
    PreferBusyPoll,
    TxRehashOff,
    // ip(7)
    HeaderIncluded,
    ReceiveOptions,
    ReturnOptions,
    PacketInfo,
    ReceiveErrors,
    ReceiveTtl,
    ReceiveTos,
    FreeBind,
    PassSecurity,
    Transparent,
    ReceiveOriginalDestination,
    Checksum,
    BindAddressNoPort,
    ReceiveFragmentSize,
    ReceiveErrorsRfc4884,
    MulticastLoopOff,
    MulticastAllOff,
    RouterAlert,
    NoDefragment,
    // ipv6(7)
    V6Only,
    V6PacketInfo,
    V6ReceiveErrors,
    V6ReceiveHopLimit,
    V6ReceiveTrafficClass,
    V6ReceiveOriginalDestination,
    V6MulticastLoopOff,
    V6MulticastAllOff,
    V6DontFragment,
    V6ReceiveErrorsRfc4884,
    V6AutoFlowLabelOff,
    V6ReceiveFragmentSize,
    V6ReceivePathMtu,
    // tcp(7)
    NoDelay,
    Cork,
    ThinLinear,
    InQueue,
    FastOpenConnect,
    FastOpenNoCookie,
    // udp(7)
    UdpCork,
    NoCheck6Tx,
    NoCheck6Rx,
    UdpGro,
    // Facts.
    /// `SOCK_BINDADDR_LOCK`: the address was bound by the program and survives a disconnect.
    AddressLocked,
    /// `SOCK_BINDPORT_LOCK`: the port was.
    PortLocked,
    /// The port was picked by `connect`.
    PortPicked,
    /// The connection is over and has left the port to its TIME-WAIT; carried elsewhere it is over.
    PortLeft,
}

/// The options that nobody but `getsockopt` ever looks at share one number with a bit each; see [`Opt::Receive6`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct FlagSet(u64);

impl FlagSet {
    pub(crate) const fn has(self, flag: Flag) -> bool {
        self.0 >> flag as u8 & 1 != 0
    }

    pub(crate) const fn set(&mut self, flag: Flag, on: bool) {
        let bit = 1 << flag as u8;
        if on { self.0 |= bit } else { self.0 &= !bit }
    }
}

// One bit each: the last flag must still have one.
const _: () = assert!((Flag::PortLeft as u8) < 64);

/// The rarely needed rest of a socket, mostly of datagram sockets.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    /// The peer of a datagram socket.
    pub(crate) remote: Option<SocketAddr>,
    /// The way to that of IPv4 was forgotten by a connect that has failed (`sk_dst_reset`), and nothing was sent to it since.
    pub(crate) way_forgotten: bool,
    /// A stream's connection that others carry was accepted.
    pub(crate) was_accepted: bool,
    /// The error queue (`IP_RECVERR`).
    pub(crate) errors: crate::datagram::ErrorQueue,
    /// A datagram that `MSG_MORE` or `UDP_CORK` holds back.
    pub(crate) corked: Option<Corked>,
    /// Multicast groups joined, in the order of joining.
    pub(crate) groups: Vec<crate::datagram::Membership>,
    /// `SO_ATTACH_FILTER`.
    pub(crate) filter: Option<Arc<Program>>,
    /// `SO_ATTACH_REUSEPORT_CBPF`.
    pub(crate) chooser: Option<Arc<Program>>,
    /// `ICMP_FILTER` and `ICMPV6_FILTER`.
    pub(crate) icmp_filter: Option<IcmpFilter>,
    /// `TCP_FASTOPEN_KEY`: what was set, 16 or 32 octets.
    pub(crate) fast_open_key: Vec<u8>,
    /// `TCP_MD5SIG`.
    pub(crate) signature_keys: Option<Arc<SignatureKeys>>,
    /// Sends with `MSG_ZEROCOPY`.
    pub(crate) zero_copies: Option<Box<crate::zero_copy::ZeroCopies>>,
    /// `IP_OPTIONS`: what every packet of IPv4 carries.
    pub(crate) ip_options: Option<Box<Ipv4Options>>,
    /// Flow labels that it has leased, and how often: not more of them than a host leases.
    pub(crate) flow_labels: BTreeMap<u32, u32>,
}

/// Which ICMP messages a raw socket does *not* get (`raw(7)`): one bit a type, as the option has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IcmpFilter(pub(crate) [u32; 8]);

/// A datagram under construction.
#[derive(Debug)]
pub(crate) struct Corked {
    pub(crate) octets: Vec<u8>,
    pub(crate) destination: SocketAddr,
    pub(crate) control: Control,
}

/// One socket.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) flags: FlagSet,
    pub(crate) transport: Transport,
    pub(crate) options: Option<Arc<Values>>,
    pub(crate) extra: Option<Box<Extra>>,
    /// The address that packets must be sent to (`inet_rcv_saddr`), in the socket's family; the wildcard if any will do.
    pub(crate) local: IpAddr,
    /// The local port (`inet_num`), 0 while there is none. A raw socket has its protocol here, a ping socket its identifier.
    pub(crate) port: u16,
    /// The port that `getsockname` shows (`inet_sport`): a stream's stays when the port itself is given up.
    pub(crate) shown_port: u16,
    /// The pending error (`sk_err`).
    pub(crate) error: Option<Errno>,
    pub(crate) family: Family,
    pub(crate) kind: Kind,
    pub(crate) protocol: u8,
    pub(crate) phase: Phase,
    pub(crate) shutdown: Shutdown,
    /// An event about it waits in the host's queue.
    pub(crate) queued: bool,
}

impl Socket {
    /// Whether it has UDP's ports or UDP-Lite's.
    pub(crate) const fn is_udp(&self) -> bool {
        use crate::protocol::{UDP, UDP_LITE};
        matches!((self.kind, self.protocol), (Kind::Datagram, UDP | UDP_LITE))
    }

    pub(crate) fn new(family: Family, kind: Kind, protocol: u8) -> Self {
        Self {
            flags: FlagSet::default(),
            transport: Transport::None,
            options: None,
            extra: None,
            local: wildcard(family),
            port: 0,
            shown_port: 0,
            error: None,
            family,
            kind,
            protocol,
            phase: Phase::Unconnected,
            shutdown: Shutdown::NONE,
            queued: false,
        }
    }

    pub(crate) const fn has(&self, flag: Flag) -> bool {
        self.flags.has(flag)
    }

    /// A number that was set, or its default.
    pub(crate) fn value(&self, opt: Opt) -> i64 {
        self.options
            .as_ref()
            .and_then(|values| values.get(opt))
            .unwrap_or_else(|| opt.default())
    }

    /// A number that was set.
    pub(crate) fn value_set(&self, opt: Opt) -> Option<i64> {
        self.options.as_ref().and_then(|values| values.get(opt))
    }

    pub(crate) fn set_value(&mut self, opt: Opt, value: i64) {
        Arc::make_mut(self.options.get_or_insert_default()).set(opt, value);
    }

    pub(crate) fn unset_value(&mut self, opt: Opt) {
        if let Some(values) = &mut self.options
            && values.get(opt).is_some()
        {
            Arc::make_mut(values).unset(opt);
        }
    }

    pub(crate) fn ip_options(&self) -> Option<Ipv4Options> {
        self.extra.as_ref()?.ip_options.as_deref().copied()
    }

    pub(crate) fn set_ip_options(&mut self, options: Option<Ipv4Options>) {
        if options.is_some() || self.extra.is_some() {
            self.extra_mut().ip_options = options.map(Box::new);
        }
    }

    pub(crate) fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// The peer of a datagram socket.
    pub(crate) fn remote(&self) -> Option<SocketAddr> {
        self.extra.as_ref()?.remote
    }

    /// `SO_BINDTODEVICE`.
    pub(crate) fn device(&self) -> Option<LinkId> {
        match self.value(Opt::Device) {
            0 => None,
            index => LinkId::from_interface_index(index as u32).or(LinkId::new((prise_stack::LINKS_MAX - 1) as u8)),
        }
    }

    pub(crate) fn owner(&self, default: u32) -> u32 {
        self.value_set(Opt::Owner).map_or(default, |uid| uid as u32)
    }

    /// What it holds of its port.
    pub(crate) fn claim(&self, default_owner: u32) -> Claim {
        let holder = match self.local {
            IpAddr::V4(addr) => Holder::V4(addr),
            IpAddr::V6(addr) => Holder::V6 {
                addr,
                v6_only: self.is_v6_only(),
            },
        };
        Claim {
            holder,
            device: self.device(),
            owner: self.owner(default_owner),
            reuse_addr: self.has(Flag::ReuseAddr),
            reuse_port: self.has(Flag::ReusePort),
            listening: matches!(self.transport, Transport::Listener(_)),
            picked: self.has(Flag::PortPicked),
            closed: false,
        }
    }

    /// Whether it does not speak IPv4: asked for, or because a pure IPv6 address was bound once (`sk_ipv6only`).
    pub(crate) fn is_v6_only(&self) -> bool {
        self.has(Flag::V6Only)
    }

    /// An endpoint of the stack as this socket's programs see it: IPv4 is v4-mapped on an IPv6 socket.
    pub(crate) fn present(&self, addr: SocketAddr) -> SocketAddr {
        match (self.family, addr) {
            (Family::Inet6, SocketAddr::V4(v4)) => SocketAddr::new(IpAddr::V6(v4.ip().to_ipv6_mapped()), v4.port()),
            _ => addr,
        }
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        SocketAddr::new(self.local, self.port)
    }

    /// The bound address as the stack has it: none for the wildcard, and IPv4 where it is v4-mapped.
    pub(crate) fn stack_local(&self) -> Option<IpAddr> {
        let addr = self.local.to_canonical();
        (!addr.is_unspecified()).then_some(addr)
    }
}

/// The unspecified address of a family.
pub(crate) const fn wildcard(family: Family) -> IpAddr {
    match family {
        Family::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}
