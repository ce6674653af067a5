//! Our stack as a subject, in virtual time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use prise_socket::{Errno, Family, Flags, Host, HostConfig, How, Kind, Readiness, SocketId, Sysctls};
use prise_stack::{
    AccEcnOption, BufferAccounting, EcnPolicy, FastOpenSettings, LinkConfig, LinkId, StackConfig, Tuning,
};
use prise_wire::{Frame, Instant, Medium, Payload};

use crate::packet::Addresses;
use crate::script::{Ioctl, Script};
use crate::subject::{Answer, Handle, Slack, SocketCall, Subject};

/// Virtual time starts here unless told otherwise: a machine that has been up for a while.
pub const START: Duration = Duration::from_secs(1000);
/// A stack that has deadlines but never anything to send would turn in circles.
const TURNS_MAX: usize = 1_000_000;

/// One host on one link of bare IP.
#[derive(Debug)]
pub struct Ours {
    host: Host,
    link: LinkId,
    start: Instant,
    now: Instant,
    sent: VecDeque<(Instant, Vec<u8>)>,
    sockets: Vec<SocketId>,
    addresses: Addresses,
}

impl Ours {
    /// A host as the script wants it.
    ///
    /// # Panics
    /// If the stack takes no link.
    pub fn new(script: &Script, ipv6: bool, seed: u8) -> Self {
        Self::starting_at(script, ipv6, seed, START)
    }

    /// The same on a machine that has been up for so long.
    ///
    /// # Panics
    /// If the stack takes no link.
    pub fn starting_at(script: &Script, ipv6: bool, seed: u8, start: Duration) -> Self {
        let start = Instant::ZERO + start;
        let mut host = Host::new(&HostConfig {
            stack: StackConfig::new([0x6b65_7920_6f66, seed.into()], [seed; 32]),
            owner: 0,
        });
        let link = host
            .stack_mut()
            .add_link(&LinkConfig {
                name: "tun0",
                medium: Medium::Ip,
                mac: None,
                mtu: script.mtu + if ipv6 { 20 } else { 0 },
                gso_max: 0,
                checksum_offload: false,
                loopback: false,
                transparent: false,
            })
            .expect("an empty stack takes a link");
        let addresses = Addresses::new(ipv6);
        let prefix = if ipv6 { 64 } else { 24 };
        let cidr = format!("{}/{prefix}", addresses.subject);
        let cidr = cidr.parse().expect("an address and a prefix");
        host.stack_mut().add_address(start, link, cidr);
        apply_sysctls(&mut host, script);
        if script.kernel_buffers {
            host.set_tuning(Tuning {
                // Linux's defaults (tcp(7)).
                receive_initial: 65_536,
                receive_max: 6_291_456,
                send_max: 4_194_304,
                buffers: BufferAccounting::Kernel,
                ..Tuning::DEFAULT
            });
        }
        let mut ours = Self {
            host,
            link,
            start,
            now: start,
            sent: VecDeque::new(),
            sockets: Vec::new(),
            addresses,
        };
        ours.flush();
        ours
    }

    /// Packets that arrive together, before anything can be sent.
    pub fn inject_together(&mut self, packets: &[Vec<u8>]) {
        let frames: Vec<Frame> = packets
            .iter()
            .map(|packet| Frame::from_contiguous(Medium::Ip, Payload::copy_from(packet)))
            .collect();
        self.host.receive(self.now, self.link, frames);
        self.flush();
    }

    /// The host, for what scripts cannot say.
    pub fn host(&mut self) -> &mut Host {
        &mut self.host
    }

    /// After every verb: what is to be sent is sent.
    fn flush(&mut self) {
        while let Some(frame) = self.host.transmit(self.now, self.link) {
            self.sent.push_back((self.now, frame.to_vec()));
        }
        while self.host.event().is_some() {}
    }

    fn since_birth(&self, now: Instant) -> Duration {
        now.saturating_since(self.start)
    }

    fn id(&self, handle: Handle) -> Result<SocketId, Errno> {
        self.sockets.get(handle.0).copied().ok_or(Errno::EBADF)
    }

    fn added(&mut self, id: SocketId) -> Handle {
        self.sockets.push(id);
        Handle(self.sockets.len() - 1)
    }

    fn carry_out(&mut self, call: &SocketCall<'_>) -> Result<Answer, Errno> {
        let now = self.now;
        let peer = self.addresses.peer;
        Ok(match *call {
            SocketCall::Socket => {
                let family = if peer.is_ipv4() { Family::Inet } else { Family::Inet6 };
                let id = self.host.socket(family, Kind::Stream, 0)?;
                Answer::Socket(self.added(id))
            }
            SocketCall::Bind(s, port) => {
                let local = SocketAddr::new(self.addresses.subject, port);
                self.host.bind(now, self.id(s)?, local)?;
                Answer::Done
            }
            SocketCall::Listen(s, backlog) => {
                self.host.listen(now, self.id(s)?, backlog)?;
                Answer::Done
            }
            SocketCall::Accept(s) => {
                let (id, from) = self.host.accept(now, self.id(s)?)?;
                Answer::Accepted(self.added(id), from.port())
            }
            SocketCall::Connect(s, port) => {
                self.host.connect(now, self.id(s)?, SocketAddr::new(peer, port))?;
                Answer::Done
            }
            SocketCall::Disconnect(s) => {
                self.host.disconnect(now, self.id(s)?)?;
                Answer::Done
            }
            SocketCall::Send(s, octets, flags) => {
                let mut payload = Payload::from(octets.to_vec());
                let taken = self.host.send(now, self.id(s)?, &mut payload, Flags::from_raw(flags))?;
                Answer::Number(taken as i64)
            }
            SocketCall::SendTo(s, octets, flags, port) => {
                let mut payload = Payload::from(octets.to_vec());
                let (flags, to) = (Flags::from_raw(flags), SocketAddr::new(peer, port));
                let taken = self
                    .host
                    .send_opening(now, self.id(s)?, &mut payload, flags, Some(to))?;
                Answer::Number(taken as i64)
            }
            SocketCall::Receive(s, max, flags) => {
                let payload = self.host.recv(now, self.id(s)?, max, Flags::from_raw(flags))?;
                Answer::Octets(payload.as_slice().to_vec())
            }
            SocketCall::Shutdown(s, how) => {
                self.host.shutdown(now, self.id(s)?, How::from_raw(how)?)?;
                Answer::Done
            }
            SocketCall::Close(s) => {
                self.host.close(now, self.id(s)?);
                Answer::Done
            }
            SocketCall::SetOption(s, option, value) => {
                self.host
                    .set_option(now, self.id(s)?, option.level, option.number, value)?;
                Answer::Done
            }
            SocketCall::Option(s, option, room) => {
                let mut out = Vec::new();
                self.host
                    .option_within(now, self.id(s)?, option.level, option.number, room, &mut out)?;
                Answer::Octets(out)
            }
            SocketCall::Poll(s) => {
                let named = Readiness::IN
                    | Readiness::PRI
                    | Readiness::OUT
                    | Readiness::ERR
                    | Readiness::HUP
                    | Readiness::RDHUP;
                Answer::Number((self.host.readiness(self.id(s)?) & named).raw().into())
            }
            SocketCall::Ioctl(s, ioctl) => Answer::Number(self.ioctl(self.id(s)?, ioctl)?),
        })
    }

    fn ioctl(&self, s: SocketId, ioctl: Ioctl) -> Result<i64, Errno> {
        Ok(match ioctl {
            Ioctl::Readable => self.host.receive_queue(s)? as i64,
            Ioctl::Unacknowledged => self.host.send_queue(s)? as i64,
            Ioctl::Unsent => self.host.unsent_queue(s)? as i64,
            Ioctl::AtMark => self.host.at_mark(s)?.into(),
        })
    }
}

/// Settings that we have too. The others are how Linux is made to behave as we do anyway.
fn apply_sysctls(host: &mut Host, script: &Script) {
    let mut own = Sysctls::default();
    for (name, value) in &script.sysctls {
        let name = match name.as_str() {
            "tcp_syncookies" => "net.ipv4.tcp_syncookies",
            "tcp_tw_reuse" => "net.ipv4.tcp_tw_reuse",
            "tcp_tw_reuse_delay" => "net.ipv4.tcp_tw_reuse_delay",
            own if own.starts_with("prise.") => own,
            _ => continue,
        };
        own.set(name, &value.to_string())
            .unwrap_or_else(|error| panic!("{}: {name}={value}: {error}", script.name()));
    }
    host.set_sysctls(&own);
    let mut fast_open = FastOpenSettings::default();
    let mut ecn = EcnPolicy::default();
    for (name, value) in &script.sysctls {
        match name.as_str() {
            "tcp_ecn" => {
                let policy = EcnPolicy::from_number(*value as u32).unwrap_or_default();
                ecn = EcnPolicy {
                    option: ecn.option,
                    ..policy
                };
            }
            "tcp_ecn_option" => {
                ecn.option = match value {
                    0 => AccEcnOption::Never,
                    1 => AccEcnOption::Sparse,
                    _ => AccEcnOption::Always,
                };
            }
            "tcp_fastopen" => {
                fast_open = FastOpenSettings {
                    black_hole_timeout: fast_open.black_hole_timeout,
                    ..FastOpenSettings::from_bits(*value as u32)
                };
            }
            "tcp_fastopen_blackhole_timeout_sec" => {
                fast_open.black_hole_timeout = Duration::from_secs(*value as u64);
            }
            _ => {}
        }
    }
    host.set_fast_open(fast_open);
    host.set_ecn(ecn);
}

impl Subject for Ours {
    fn is_ours(&self) -> bool {
        true
    }

    fn slack(&self) -> Slack {
        Slack::NONE
    }

    fn now(&mut self) -> Duration {
        self.since_birth(self.now)
    }

    fn inject(&mut self, packet: &[u8]) {
        self.inject_together(&[packet.to_vec()]);
    }

    fn next_packet(&mut self, until: Duration) -> Option<(Duration, Vec<u8>)> {
        let until = self.start + until;
        for _ in 0..TURNS_MAX {
            if let Some((at, packet)) = self.sent.pop_front() {
                return Some((self.since_birth(at), packet));
            }
            let Some(deadline) = self.host.next_deadline().filter(|deadline| *deadline <= until) else {
                self.now = self.now.max(until);
                return None;
            };
            self.now = self.now.max(deadline);
            self.host.expire(self.now);
            self.flush();
        }
        panic!("the stack's deadlines do not come to rest");
    }

    fn call(&mut self, call: &SocketCall<'_>) -> Result<Answer, i32> {
        let answer = self.carry_out(call).map_err(Errno::raw);
        self.flush();
        answer
    }
}
