//! What the lock protects: the host, its one link, the clock, the descriptors and who waits.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::thread::ThreadId;
use std::time::Duration;

use prise_socket::{Errno, Host, HostConfig, SocketId};
use prise_stack::{
    AccEcnOption, BufferAccounting, EcnPolicy, FastOpenSettings, IpCidr, LinkConfig, LinkId, Route, StackConfig,
    SynCookies, TimeWaitReuse, Tuning,
};
use prise_wire::{Frame, Gso, GsoKind, Instant, Medium, Payload};

use super::descriptors::Descriptor;
use super::settings::Settings;

/// Virtual time starts here: a machine that has been up for a while.
const START: Duration = Duration::from_secs(1000);
/// Packets that nobody fetches: beyond this the oldest are forgotten, for packetdrill looks at none any more.
const SENT_MAX: usize = 100_000;

/// A thread that sleeps in a call.
#[derive(Debug)]
pub(super) struct Waiter {
    /// The last generation that it has looked at.
    pub(super) seen: u64,
    /// When it gives up.
    pub(super) until: Option<Instant>,
}

/// The state of a stage.
#[derive(Debug)]
pub(super) struct World {
    pub(super) host: Host,
    pub(super) link: LinkId,
    pub(super) now: Instant,
    /// Packets that have left, until packetdrill fetches them.
    pub(super) sent: VecDeque<(Instant, Vec<u8>)>,
    pub(super) descriptors: HashMap<i32, Descriptor>,
    /// Counts what has happened, so that sleepers know when to look again.
    pub(super) generation: u64,
    pub(super) waiters: HashMap<u64, Waiter>,
    pub(super) next_waiter: u64,
    /// Threads that a call has let go and that have not yet asked for anything: time must not pass before they have read the clock.
    pub(super) returned: HashSet<ThreadId>,
    /// Nobody may sleep any more.
    pub(super) closed: bool,
    pub(super) settings: Settings,
    /// Units of several segments are cut before they leave: the script has the device take none, or they have Accurate ECN's flags,
    /// which a TUN device of Linux's does not know.
    cuts_units: bool,
    /// The link's queue takes nothing.
    drops: bool,
}

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        let now = Instant::ZERO + START;
        let mut host = Host::new(&HostConfig {
            stack: StackConfig::new([0x7061_636b, 0x6472_696c], [0x64; 32]),
            owner: 0,
        });
        host.allow_zero_copy();
        let link = host
            .stack_mut()
            .add_link(&LinkConfig {
                name: "tun0",
                medium: Medium::Ip,
                mac: None,
                mtu: settings.mtu,
                gso_max: 65_536,
                checksum_offload: false,
                loopback: false,
                transparent: false,
            })
            .expect("an empty stack takes a link");
        for any in ["0.0.0.0/0", "::/0"] {
            host.stack_mut().add_route(Route {
                prefix: any.parse().expect("a prefix"),
                gateway: None,
                link,
                source: None,
                metric: 0,
            });
        }
        let mut world = Self {
            host,
            link,
            now,
            sent: VecDeque::new(),
            descriptors: HashMap::new(),
            generation: 0,
            waiters: HashMap::new(),
            next_waiter: 0,
            returned: HashSet::new(),
            closed: false,
            settings,
            cuts_units: false,
            drops: false,
        };
        let addresses = world.settings.addresses.clone();
        for address in addresses {
            world.own(address);
        }
        world.configure();
        world.flush();
        world.sent.clear();
        world
    }

    /// Hands the settings of `net.ipv4.tcp_*` to the host.
    pub(super) fn configure(&mut self) {
        self.cuts_units |= !self.settings.gso || self.settings.number("tcp_ecn").is_some_and(|number| number > 2);
        let settings = &self.settings;
        let number = |name: &str, otherwise: u64| settings.number(name).unwrap_or(otherwise);
        let is_on = |name: &str| number(name, 1) != 0;
        let third = |name: &str, otherwise: u64| settings.numbers(name).get(2).copied().unwrap_or(otherwise) as u32;
        // Linux's own defaults (tcp(7)), which are not all of ours: half of a receive buffer is for bookkeeping.
        let initial = settings.numbers("tcp_rmem").get(1).copied().unwrap_or(131_072);
        self.host.set_tuning(Tuning {
            receive_initial: (initial / 2) as u32,
            receive_max: third("tcp_rmem", 6_291_456),
            send_initial: settings.numbers("tcp_wmem").get(1).copied().unwrap_or(16_384) as u32,
            send_max: third("tcp_wmem", 4_194_304),
            slow_start_after_idle: is_on("tcp_slow_start_after_idle"),
            window_validation: false,
            user_timeout_option: None,
            timestamps: is_on("tcp_timestamps"),
            sack: is_on("tcp_sack"),
            window_scaling: is_on("tcp_window_scaling"),
            mtu_probing: match number("tcp_mtu_probing", 0) {
                0 => prise_stack::MtuProbing::Off,
                1 => prise_stack::MtuProbing::BlackHoles,
                _ => prise_stack::MtuProbing::Always,
            },
            challenge_interval: Duration::from_millis(number("tcp_invalid_ratelimit", 500)),
            rto_max: Duration::from_millis(number("tcp_rto_max_ms", 120_000)),
            syn_linear_timeouts: number("tcp_syn_linear_timeouts", 4) as u8,
            syn_ack_retries: number("tcp_synack_retries", 5) as u8,
            min_unit_segments: number("tcp_min_tso_segs", 2) as u32,
            defer_units: true,
            unit_window_divisor: number("tcp_tso_win_divisor", 3) as u32,
            ecn_everywhere: true,
            recovery_by_packets: true,
            cookie_segment_max: 1460,
            syn_cookies: match number("tcp_syncookies", 1) {
                0 => SynCookies::Never,
                1 => SynCookies::WhenFull,
                _ => SynCookies::Always,
            },
            time_wait_reuse: match number("tcp_tw_reuse", 2) {
                0 => TimeWaitReuse::Never,
                1 => TimeWaitReuse::Always,
                _ => TimeWaitReuse::Loopback,
            },
            time_wait_reuse_delay: Duration::from_millis(number("tcp_tw_reuse_delay", 1000)),
            buffers: match number("tcp_shrink_window", 0) {
                0 => BufferAccounting::Kernel,
                _ => BufferAccounting::KernelRetreating,
            },
        });
        let fast_open = number("tcp_fastopen", 1) as u32;
        self.host.set_fast_open(FastOpenSettings::from_bits(fast_open));
        if let Some(keys) = self.settings.fast_open_keys() {
            self.host.stack_mut().tcp_set_fast_open_keys(keys);
        }
        self.host.set_ecn(EcnPolicy {
            option: match number("tcp_ecn_option", 2) {
                0 => AccEcnOption::Never,
                1 => AccEcnOption::Sparse,
                _ => AccEcnOption::Always,
            },
            fallback: is_on("tcp_ecn_fallback"),
            ..EcnPolicy::from_number(number("tcp_ecn", 2) as u32).unwrap_or_default()
        });
        self.host.set_syn_retries(number("tcp_syn_retries", 6) as u8);
    }

    /// A command of the script's that administers the machine, in its middle.
    pub(super) fn command(&mut self, text: &str) {
        let changed = super::script_settings::of_commands(text, None);
        if !changed.is_empty() {
            self.settings.sysctls.extend(changed);
            self.configure();
            self.host.reconfigure_all(self.now);
            self.flush();
        }
        if text.contains("tcp_metrics flush") {
            self.host.stack_mut().tcp_forget_fast_open_servers();
        }
        self.cuts_units |= super::script_settings::cuts_units(text);
        // A queueing discipline that holds nothing drops everything, which the sender's TCP hears.
        if text.contains("qdisc") {
            self.drops = text.contains("limit 0");
        }
    }

    /// Makes an address the host's, if it is not.
    pub(super) fn own(&mut self, address: IpAddr) {
        if address.is_unspecified() || address.is_multicast() || self.host.stack().is_local(address) {
            return;
        }
        let length = if address.is_ipv4() { 32 } else { 128 };
        if let Ok(cidr) = format!("{address}/{length}").parse::<IpCidr>() {
            self.host.stack_mut().add_address(self.now, self.link, cidr);
        }
    }

    /// An address for a socket that connects without being bound, before anything has told ours.
    pub(super) fn own_some(&mut self, remote: SocketAddr) {
        let v4 = remote.ip().to_canonical().is_ipv4();
        let mut addresses = self.host.stack().addresses().iter();
        let has = addresses.any(|it| it.cidr.address().is_ipv4() == v4 && !is_link_local(it.cidr.address()));
        if !has {
            let default = if v4 { "192.168.0.1" } else { "fd3d:a0b:17d6::1" };
            self.own(default.parse().expect("an address"));
        }
    }

    /// A packet comes in. `EINVAL` if it is none.
    pub(super) fn inject(&mut self, packet: &[u8]) -> Result<(), Errno> {
        let to = destination(packet).ok_or(Errno::EINVAL)?;
        self.own(to);
        let mut frame = Frame::from_contiguous(Medium::Ip, Payload::copy_from(packet));
        frame.offload.gso = self.settings.mss.and_then(|mss| train(packet, mss));
        self.host.receive(self.now, self.link, [frame]);
        self.flush();
        self.generation += 1;
        Ok(())
    }

    /// What is to be sent is sent; what has become ready is told to the epoll sets.
    pub(super) fn flush(&mut self) {
        loop {
            if self.drops {
                self.host.stack_mut().tcp_held(self.now, self.link);
            }
            while !self.drops
                && let Some(frame) = self.host.transmit(self.now, self.link)
            {
                if self.cuts_units {
                    for segment in frame.segments(Medium::Ip) {
                        self.leave(&segment);
                    }
                } else {
                    self.leave(&frame);
                }
            }
            let mut quiet = true;
            while let Some((s, _)) = self.host.event() {
                quiet = false;
                self.generation += 1;
                self.mark_ready(s);
            }
            if quiet {
                break;
            }
        }
        while self.sent.len() > SENT_MAX {
            self.sent.pop_front();
        }
    }

    fn leave(&mut self, frame: &Frame) {
        let packet = frame.to_vec();
        if is_for_packetdrill(&packet) {
            self.sent.push_back((self.now, packet));
        }
    }

    fn mark_ready(&mut self, s: SocketId) {
        let named: Vec<i32> = self
            .descriptors
            .iter()
            .filter(|(_, it)| it.socket() == Some(s))
            .map(|(fd, _)| *fd)
            .collect();
        for descriptor in self.descriptors.values_mut() {
            if let Descriptor::Epoll { set, .. } = descriptor {
                set.mark(&named);
            }
        }
    }

    /// The next moment at which something happens by itself.
    pub(super) fn next_moment(&self) -> Option<Instant> {
        let given_up = self.waiters.values().filter_map(|waiter| waiter.until).min();
        match (self.host.next_deadline(), given_up) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The clock moves, never back, and what was due happens.
    pub(super) fn move_to(&mut self, moment: Instant) {
        self.now = self.now.max(moment);
        self.host.expire(self.now);
        self.flush();
        self.generation += 1;
    }
}

/// Where a packet of bare IP goes.
fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(IpAddr::from(*packet.get(16..)?.first_chunk::<4>()?)),
        6 => Some(IpAddr::from(*packet.get(24..)?.first_chunk::<16>()?)),
        _ => None,
    }
}

/// packetdrill's `--mss`: a packet with more than a segment's octets is a train that a device has coalesced.
fn train(packet: &[u8], mss: u16) -> Option<Gso> {
    let kind = match packet.first()? >> 4 {
        4 => GsoKind::Tcp4,
        _ => GsoKind::Tcp6,
    };
    (packet.len() > usize::from(mss) + 60).then_some(Gso { kind, size: mss })
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// packetdrill knows TCP, UDP and errors of ICMP; what a host says to its neighbors (group membership, solicitations) only disturbs it.
fn is_for_packetdrill(packet: &[u8]) -> bool {
    /// Neighbor and router discovery, and group membership, of ICMPv6.
    const NEIGHBORLY: [u8; 9] = [130, 131, 132, 133, 134, 135, 136, 137, 143];
    match (packet.first().map(|first| first >> 4), packet.get(9), packet.get(6)) {
        (Some(4), Some(1 | 6 | 17), _) | (Some(6), _, Some(6 | 17)) => true,
        (Some(6), _, Some(58)) => packet.get(40).is_none_or(|kind| !NEIGHBORLY.contains(kind)),
        _ => false,
    }
}
