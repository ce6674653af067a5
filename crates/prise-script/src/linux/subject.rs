//! The kernel's sockets behind a TUN device.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use prise_link::{Link, TunLink};
use prise_sys::{inet, sockopt, unix};
use prise_wire::{Frame, Medium, Payload};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType};

use crate::packet::Addresses;
use crate::script::Ioctl;
use crate::subject::{Answer, Handle, Slack, SocketCall, Subject};

/// The kernel, seen from its network and from its programs.
#[derive(Debug)]
pub(super) struct Linux {
    tun: TunLink,
    born: Instant,
    sent: VecDeque<(Duration, Vec<u8>)>,
    sockets: Vec<Option<OwnedFd>>,
    addresses: Addresses,
}

impl Linux {
    pub(super) fn new(device: &str, addresses: Addresses) -> io::Result<Self> {
        Ok(Self {
            tun: TunLink::open(device)?,
            born: Instant::now(),
            sent: VecDeque::new(),
            sockets: Vec::new(),
            addresses,
        })
    }

    /// Takes what lies in the device; trains of segments are cut as a device would.
    fn drain(&mut self) {
        let now = self.born.elapsed();
        while let Some(frame) = self.tun.receive(prise_wire::Instant::ZERO) {
            for mut segment in frame.segments(Medium::Ip) {
                segment.complete_checksum();
                self.sent.push_back((now, segment.to_vec()));
            }
        }
    }

    fn fd(&self, handle: Handle) -> io::Result<BorrowedFd<'_>> {
        let fd = self.sockets.get(handle.0).and_then(Option::as_ref);
        fd.map(AsFd::as_fd).ok_or_else(|| rustix::io::Errno::BADF.into())
    }

    fn added(&mut self, fd: OwnedFd) -> Handle {
        self.sockets.push(Some(fd));
        Handle(self.sockets.len() - 1)
    }

    fn carry_out(&mut self, call: &SocketCall<'_>) -> io::Result<Answer> {
        Ok(match *call {
            SocketCall::Socket => {
                let family = if self.addresses.peer.is_ipv4() {
                    AddressFamily::INET
                } else {
                    AddressFamily::INET6
                };
                let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
                // The host may prefer another, and a namespace cannot change that for all. Without the right to, scripts about
                // congestion fail and say so.
                let option = crate::names::TCP_CONGESTION;
                let _not_permitted = sockopt::set(fd.as_fd(), option.level, option.number, b"cubic");
                Answer::Socket(self.added(fd))
            }
            SocketCall::Bind(s, port) => {
                rustix::net::bind(self.fd(s)?, &SocketAddr::new(self.addresses.subject, port))?;
                Answer::Done
            }
            SocketCall::Listen(s, backlog) => {
                rustix::net::listen(self.fd(s)?, backlog)?;
                Answer::Done
            }
            SocketCall::Accept(s) => {
                let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                let (fd, from) = rustix::net::acceptfrom_with(self.fd(s)?, flags)?;
                let from = from.ok_or_else(|| io::Error::other("accept told no peer"))?;
                let from = SocketAddr::try_from(from)?;
                Answer::Accepted(self.added(fd), from.port())
            }
            SocketCall::Connect(s, port) => {
                rustix::net::connect(self.fd(s)?, &SocketAddr::new(self.addresses.peer, port))?;
                Answer::Done
            }
            SocketCall::Disconnect(s) => {
                rustix::net::connect_unspec(self.fd(s)?)?;
                Answer::Done
            }
            SocketCall::Send(s, octets, flags) => {
                let flags = SendFlags::from_bits_retain(flags);
                Answer::Number(rustix::net::send(self.fd(s)?, octets, flags)? as i64)
            }
            SocketCall::SendTo(s, octets, flags, port) => {
                let flags = SendFlags::from_bits_retain(flags);
                let to = SocketAddr::new(self.addresses.peer, port);
                Answer::Number(rustix::net::sendto(self.fd(s)?, octets, flags, &to)? as i64)
            }
            SocketCall::Receive(s, max, flags) => {
                let mut octets = vec![0; max];
                let flags = RecvFlags::from_bits_retain(flags);
                let (count, _) = rustix::net::recv(self.fd(s)?, &mut octets, flags)?;
                octets.truncate(count);
                Answer::Octets(octets)
            }
            SocketCall::Shutdown(s, how) => {
                let how = [Shutdown::Read, Shutdown::Write, Shutdown::Both][how as usize];
                rustix::net::shutdown(self.fd(s)?, how)?;
                Answer::Done
            }
            SocketCall::Close(s) => {
                if let Some(fd) = self.sockets.get_mut(s.0) {
                    *fd = None;
                }
                Answer::Done
            }
            SocketCall::SetOption(s, option, value) => {
                sockopt::set(self.fd(s)?, option.level, option.number, value)?;
                Answer::Done
            }
            SocketCall::Option(s, option, room) => {
                Answer::Octets(sockopt::get(self.fd(s)?, option.level, option.number, room)?)
            }
            SocketCall::Poll(s) => Answer::Number(self.poll(s)?),
            SocketCall::Ioctl(s, ioctl) => {
                let fd = self.fd(s)?;
                Answer::Number(match ioctl {
                    Ioctl::Readable => unix::readable(fd)? as i64,
                    Ioctl::Unacknowledged => unix::unread_by_peer(fd)? as i64,
                    Ioctl::Unsent => sockopt::unsent(fd)? as i64,
                    Ioctl::AtMark => inet::at_urgent_mark(fd)?.into(),
                })
            }
        })
    }

    fn poll(&self, s: Handle) -> io::Result<i64> {
        let fd = self.fd(s)?;
        let wanted = PollFlags::IN | PollFlags::PRI | PollFlags::OUT | PollFlags::RDHUP;
        let mut fds = [PollFd::new(&fd, wanted)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        Ok(fds[0].revents().bits().into())
    }
}

impl Subject for Linux {
    fn is_ours(&self) -> bool {
        false
    }

    /// Timers tick at a few milliseconds; the machine may be busy with other scripts.
    fn slack(&self) -> Slack {
        Slack {
            early: Duration::from_millis(8),
            late: Duration::from_millis(60),
            late_per_mille: 60,
        }
    }

    fn now(&mut self) -> Duration {
        self.born.elapsed()
    }

    fn inject(&mut self, packet: &[u8]) {
        // What the kernel has said before must not look like an answer.
        self.drain();
        let mut frame = Frame::from_contiguous(Medium::Ip, Payload::copy_from(packet));
        while let Err(refused) = self.tun.send(prise_wire::Instant::ZERO, frame) {
            frame = refused;
        }
        self.tun.flush(prise_wire::Instant::ZERO);
        self.drain();
    }

    fn next_packet(&mut self, until: Duration) -> Option<(Duration, Vec<u8>)> {
        loop {
            self.drain();
            if let Some(next) = self.sent.pop_front() {
                return Some(next);
            }
            let left = until.checked_sub(self.born.elapsed()).filter(|left| !left.is_zero())?;
            let timeout = Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            if let Some(fd) = self.tun.poll_fd() {
                let mut fds = [PollFd::new(&fd, PollFlags::IN)];
                // Interrupted or not: the loop looks again.
                let _ready = poll(&mut fds, Some(&timeout));
            }
        }
    }

    fn call(&mut self, call: &SocketCall<'_>) -> Result<Answer, i32> {
        self.drain();
        let answer = self
            .carry_out(call)
            .map_err(|error| error.raw_os_error().unwrap_or(i32::MAX));
        self.drain();
        answer
    }
}
