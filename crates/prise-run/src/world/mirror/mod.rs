//! Packet sockets (packet(7)): the kernel's own, in a network name space where the run's links are shown.
//!
//! ```text
//! the run           host ──── lo, eth0 ──── gateway
//!                              │  ▲
//!                   shown: each│  │sent by a program: put on the link
//!                              ▼  │
//! the name space         lo, eth0 (a TAP or TUN device), without addresses
//!                              │  ▲
//!                    packet sockets of programs
//! ```
//! What a packet socket can do is the kernel's affair from end to end – rings that are mapped (without which libpcap captures
//! nothing since its version 1.10), fan-out, filters, statistics, time stamps – so programs get a socket of the kernel's, and calls on it are
//! the kernel's. It lives in a name space of the supervisor's with links of the same names, numbers, types and addresses, and
//! that leads nowhere: it has no addresses, so that its own stack answers nothing.
//!
//! *Shown* is what passes between the run's host and its links, as [`prise_link::each_packet`] cuts it, which `--capture` records, too.
//! What the host transmits is sent by a packet socket of ours, so that the kernel calls it outgoing; what it receives is written to
//! the device. `lo` of the name space brings back what is sent there, as Linux has it: there, what arrives is not shown again.
//!
//! *Sent by programs* is what goes out of these links without our mark. Another packet socket of ours hears it, one on each link; what
//! had no room there, and what the run's link does not carry, is counted among the frames that the link had to discard.
//!
//! Nothing of this exists before the first packet socket, and nothing is shown while there is none.

mod space;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use prise_link::{Direction, Tap, each_packet};
use prise_stack::{LinkId, LinkSet, Stack};
use prise_sys::name_space::NetworkSpace;
use prise_sys::packet;
use prise_sys::sock_diag::{self, Local, Row};
use prise_wire::ethernet::{self, EtherType, EthernetHeader};
use prise_wire::time::Duration;
use prise_wire::{Frame, Instant, MacAddr, Medium, Payload};

use crate::socket::unix;

pub(crate) use space::OpenError;

/// What is sent by the supervisor and not by a program (`SO_MARK`): "PRIS".
const MARK: u32 = 0x5052_4953;

/// Octets of frames from programs that wait for the supervisor on each link: a link's queue, and as many again of the kernel's own for each.
const WAITING_MAX: u32 = 4 << 20;

/// The longest frame: `lo`'s MTU and a header of Ethernet.
const FRAME_MAX: usize = 65_536 + ethernet::HEADER_LEN;

/// Frames that the other side of an interface holds: a TAP device's queue, as Linux makes it (`tx_queue_len`; a TUN device's has 500).
const DEVICE_QUEUE: usize = 1000;

/// The name space, and what leads there.
#[derive(Debug)]
pub(crate) struct Mirror {
    space: NetworkSpace,
    panes: Vec<Pane>,
    /// /proc/net/packet of the name space.
    table: File,
    /// The numbers of the supervisor's own sockets there.
    own: Vec<u32>,
    watching: Rc<Cell<bool>>,
    looked: Instant,
    buffer: Vec<u8>,
}

/// One link as the packet sockets see it.
#[derive(Debug, Clone)]
pub(crate) struct Pane {
    link: LinkId,
    /// The number of the interface, in the run and in the name space.
    index: u32,
    medium: Medium,
    sender: Rc<OwnedFd>,
    /// Hears what programs send.
    overheard: Rc<OwnedFd>,
    /// The other side of the interface; `lo` is its own.
    device: Option<Rc<RefCell<File>>>,
    watching: Rc<Cell<bool>>,
}

/// Why there is nothing to put on a link.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// A program has sent a frame such as the run's link does not carry.
    Refused,
    /// Programs have sent no more.
    Nothing,
}

impl Mirror {
    /// A name space with these links, and nobody who looks yet.
    pub(crate) fn open(stack: &Stack, now: Instant) -> Result<Self, OpenError> {
        let (space, devices) = space::with_links(stack)?;
        let watching = Rc::new(Cell::new(false));
        let indices: Vec<u32> = stack.links().iter().map(|link| link.id().interface_index()).collect();
        let overhear = |index: &u32| packet::overhear(*index, MARK, WAITING_MAX);
        let (sender, overheard, table) = space
            .within(|| {
                Ok((
                    packet::sender(MARK)?,
                    indices.iter().map(overhear).collect::<io::Result<Vec<_>>>()?,
                    File::open("/proc/thread-self/net/packet")?,
                ))
            })
            .map_err(OpenError::Sockets)?;
        let own = overheard.iter().chain([&sender]).map(unix::inode).collect();
        let sender = Rc::new(sender);
        let behind = devices.into_iter().zip(overheard);
        let panes = stack
            .links()
            .iter()
            .zip(behind)
            .map(|(link, (device, overheard))| Pane {
                link: link.id(),
                index: link.id().interface_index(),
                medium: link.medium(),
                sender: Rc::clone(&sender),
                overheard: Rc::new(overheard),
                device: device.map(RefCell::new).map(Rc::new),
                watching: Rc::clone(&watching),
            });
        Ok(Self {
            panes: panes.collect(),
            space,
            table,
            own,
            watching,
            looked: now,
            buffer: vec![0; FRAME_MAX],
        })
    }

    /// What is to look at each link.
    pub(crate) fn panes(&self) -> impl Iterator<Item = (LinkId, Pane)> {
        self.panes.iter().map(|pane| (pane.link, pane.clone()))
    }

    /// socket(2) of a program.
    pub(crate) fn socket(&self, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
        let socket = self
            .space
            .within(|| packet::socket(kind | libc::SOCK_CLOEXEC, protocol))?;
        self.watching.set(true);
        Ok(socket)
    }

    /// Whether anybody has a packet socket, as far as is known.
    pub(crate) fn is_watching(&self) -> bool {
        self.watching.get()
    }

    /// Looks whether anybody has still a packet socket, unless that was done less than `interval` ago; whether it looked.
    pub(crate) fn look_if_due(&mut self, now: Instant, interval: Duration) -> bool {
        if now < self.looked + interval {
            return false;
        }
        self.looked = now;
        // Where the table cannot be read, somebody may have.
        let somebody = self.rows().is_none_or(|rows| !rows.is_empty());
        self.watching.set(somebody);
        true
    }

    /// The lines of the programs' sockets in /proc/net/packet.
    pub(crate) fn rows(&mut self) -> Option<Vec<String>> {
        let mut text = String::new();
        self.table.seek(SeekFrom::Start(0)).ok()?;
        self.table.read_to_string(&mut text).ok()?;
        let is_own = |row: &str| {
            let inode = row.split_ascii_whitespace().next_back();
            inode.is_some_and(|inode| self.own.iter().any(|own| inode.parse() == Ok(*own)))
        };
        let rows = text.lines().skip(1).filter(|row| !is_own(row));
        Some(rows.map(str::to_owned).collect())
    }

    /// The rows of the programs' sockets that answer a request for a list (sock_diag(7), `struct packet_diag_req`).
    pub(crate) fn asked(&self, request: &[u8]) -> io::Result<Vec<Row>> {
        let mut rows = self.space.within(|| sock_diag::asked(request, true))?;
        let is_own = |row: &Row| matches!(row.of(), Local::Packet { inode } if self.own.contains(&inode));
        rows.retain(|row| !is_own(row));
        Ok(rows)
    }

    /// Readable when programs have sent something.
    pub(crate) fn poll_fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.panes.iter().map(|pane| pane.overheard.as_fd())
    }

    pub(crate) fn links(&self) -> LinkSet {
        self.panes.iter().map(|pane| pane.link).collect()
    }

    /// Takes one frame that a program has sent by that link.
    pub(crate) fn sent(&mut self, link: LinkId) -> Result<Frame, NotSent> {
        let Some(pane) = self.panes.iter().find(|pane| pane.link == link) else {
            return Err(NotSent::Nothing);
        };
        let Ok(Some((_, octets))) = packet::receive(pane.overheard.as_fd(), &mut self.buffer) else {
            return Err(NotSent::Nothing);
        };
        pane.take_back();
        pane.frame(octets).ok_or(NotSent::Refused)
    }

    /// How many frames of programs had no room on that link since this was asked last.
    pub(crate) fn lost(&self, link: LinkId) -> u32 {
        let pane = self.panes.iter().find(|pane| pane.link == link);
        pane.map_or(0, |pane| packet::lost(pane.overheard.as_fd()).unwrap_or(0))
    }

    /// Does something that is not to be shown: the name space has shown it already.
    pub(crate) fn unseen<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.watching.replace(false);
        let done = work();
        self.watching.set(before);
        done
    }
}

impl Pane {
    /// The frame of the run's link for one of the interface's; none where the run's has none such.
    fn frame(&self, octets: &[u8]) -> Option<Frame> {
        let octets = if self.is_plain() {
            octets
        } else {
            let header = EthernetHeader::parse(octets)?;
            let is_carried = header.tag.is_none() && matches!(header.ether_type, EtherType::IPV4 | EtherType::IPV6);
            octets.get(header.header_len()..).filter(|_| is_carried)?
        };
        Some(Frame::from_contiguous(self.medium, Payload::copy_from(octets)))
    }

    /// Whether the frames of the interface are those of the run's link. `lo` carries IP packets there, and Ethernet frames on Linux.
    fn is_plain(&self) -> bool {
        self.device.is_some()
    }

    /// Shows a packet.
    fn show(&self, direction: Direction, packet: &Frame) {
        let Some(octets) = self.as_on_linux(packet) else {
            return;
        };
        // What does not fit into the kernel's queues is lost to who looks, and counted there (`PACKET_STATISTICS`).
        if let (Direction::Inbound, Some(device)) = (direction, &self.device) {
            let _ = device.borrow_mut().write_all(&octets);
        } else {
            let _ = packet::send(self.sender.as_fd(), self.index, &octets);
            self.take_back();
        }
    }

    /// The octets of the frame as the interface has it.
    fn as_on_linux(&self, packet: &Frame) -> Option<Vec<u8>> {
        if self.is_plain() {
            return Some(packet.to_vec());
        }
        let ether_type = match packet.head().first()? >> 4 {
            4 => EtherType::IPV4,
            6 => EtherType::IPV6,
            _ => return None,
        };
        // Linux's `lo` has the address 00:00:00:00:00:00.
        let nobody = MacAddr([0; 6]);
        let mut framed = packet.clone();
        framed.push_header(&EthernetHeader::new(nobody, nobody, ether_type));
        Some(framed.to_vec())
    }

    /// Empties the other side of the interface: nobody is there, and a full queue would hold up who sends. What comes while it is emptied
    /// is there the next time.
    fn take_back(&self) {
        let Some(device) = &self.device else { return };
        let mut device = device.borrow_mut();
        for _ in 0..DEVICE_QUEUE {
            // One octet takes a whole frame.
            if device.read(&mut [0]).is_err() {
                return;
            }
        }
    }
}

impl Tap for Pane {
    fn looks(&self, direction: Direction) -> bool {
        // What is sent by `lo` comes back there by itself.
        self.watching.get() && (direction == Direction::Outbound || self.device.is_some())
    }

    fn passed(&self, _now: Instant, direction: Direction, frame: &Frame) {
        each_packet(frame, self.medium, |packet| self.show(direction, packet));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prise_stack::{LinkConfig, StackConfig};

    const GATEWAY: [u8; 6] = [0x52, 0x55, 10, 0, 2, 2];

    fn links() -> Stack {
        let mut stack = Stack::new(&StackConfig::new([0; 2], [0; 32]));
        let lo = LinkConfig {
            name: "lo",
            medium: Medium::Ip,
            mac: None,
            mtu: 65_536,
            gso_max: 0,
            checksum_offload: true,
            loopback: true,
            transparent: false,
        };
        stack.add_link(&lo).unwrap();
        let eth0 = LinkConfig {
            name: "eth0",
            medium: Medium::Ethernet,
            mac: Some(crate::world::MAC),
            mtu: 1500,
            loopback: false,
            ..lo
        };
        stack.add_link(&eth0).unwrap();
        stack
    }

    /// The frames that a socket has.
    fn heard(socket: &OwnedFd) -> Vec<(u32, Vec<u8>)> {
        let mut buffer = [0; 2048];
        core::iter::from_fn(|| {
            let heard = packet::receive(socket.as_fd(), &mut buffer).unwrap();
            heard.map(|(index, octets)| (index, octets.to_vec()))
        })
        .collect()
    }

    fn frame_of(pane: &Pane, octets: &[u8]) -> Frame {
        Frame::from_contiguous(pane.medium, Payload::copy_from(octets))
    }

    /// A mirror of these links, which everybody can have who may open the device of TUN devices.
    fn open(now: Instant) -> Option<Mirror> {
        if let Err(error) = File::options().read(true).write(true).open("/dev/net/tun") {
            eprintln!("skipped: /dev/net/tun cannot be opened: {error}");
            return None;
        }
        Some(Mirror::open(&links(), now).unwrap_or_else(|error| panic!("{error}")))
    }

    #[test]
    fn a_packet_socket_sees_what_passes_and_what_it_sends_comes_out() {
        let now = Instant::ZERO;
        let Some(mut mirror) = open(now) else { return };
        let panes: Vec<Pane> = mirror.panes().map(|(_, pane)| pane).collect();
        let [lo, eth0] = &panes[..] else { panic!("two links") };
        assert!(!eth0.looks(Direction::Inbound), "nobody is there to be shown anything");

        let everything = i32::from((libc::ETH_P_ALL as u16).to_be());
        let socket = mirror.socket(libc::SOCK_RAW | libc::SOCK_NONBLOCK, everything).unwrap();
        assert_eq!(mirror.rows().map(|rows| rows.len()), Some(1), "ours are not listed");
        assert!(eth0.looks(Direction::Inbound) && lo.looks(Direction::Outbound));
        assert!(!lo.looks(Direction::Inbound), "what is sent there comes back by itself");

        let unknown = [0x88, 0xb5, 1, 2, 3];
        let there = [&GATEWAY[..], &crate::world::MAC.0, &unknown].concat();
        let back = [&crate::world::MAC.0[..], &GATEWAY, &unknown].concat();
        eth0.passed(now, Direction::Outbound, &frame_of(eth0, &there));
        eth0.passed(now, Direction::Inbound, &frame_of(eth0, &back));
        assert_eq!(heard(&socket), [(2, there.clone()), (2, back.clone())]);

        let packet = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 253, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1];
        let framed = [&[0; 12][..], &[0x08, 0x00], &packet].concat();
        lo.passed(now, Direction::Outbound, &frame_of(lo, &packet));
        assert_eq!(heard(&socket), [(1, framed.clone()), (1, framed.clone())]);
        let mut sent = |pane: &Pane| mirror.sent(pane.link).map(|frame| frame.to_vec());
        let nothing = Err(NotSent::Nothing);
        assert_eq!(sent(lo), nothing, "what is shown is not sent once more");
        assert_eq!(sent(eth0), nothing);

        packet::send(socket.as_fd(), 2, &there).unwrap();
        packet::send(socket.as_fd(), 1, &back).unwrap();
        packet::send(socket.as_fd(), 1, &framed).unwrap();
        assert_eq!(sent(eth0), Ok(there));
        assert_eq!(sent(eth0), nothing);
        assert_eq!(sent(lo), Err(NotSent::Refused), "it carries IP only");
        assert_eq!(sent(lo), Ok(packet.to_vec()));
        assert_eq!(sent(lo), nothing);

        drop(socket);
        assert!(mirror.look_if_due(now + Duration::from_secs(1), Duration::from_secs(1)));
        assert!(!eth0.looks(Direction::Inbound), "the last has gone");
    }
    #[test]
    fn what_programs_send_beyond_the_room_of_a_link_is_counted() {
        const FRAMES: usize = 4 * (WAITING_MAX as usize) / FRAME_MAX;
        let Some(mut mirror) = open(Instant::ZERO) else { return };
        let socket = mirror.socket(libc::SOCK_RAW, 0).unwrap();
        let header = EthernetHeader::new(MacAddr([0; 6]), MacAddr([0; 6]), EtherType::IPV4);
        let mut frame = Frame::from_contiguous(Medium::Ip, Payload::copy_from(&vec![0; 60_000]));
        frame.push_header(&header);
        let octets = frame.to_vec();
        for _ in 0..FRAMES {
            packet::send(socket.as_fd(), 1, &octets).unwrap();
        }
        let lo = mirror.panes[0].link;
        let heard = core::iter::from_fn(|| mirror.sent(lo).ok()).count();
        let lost = mirror.lost(lo) as usize;
        assert!(lost > 0, "{heard} of {FRAMES} had room");
        assert_eq!(heard + lost, FRAMES);
        assert_eq!(mirror.lost(lo), 0, "they are counted once");
    }
}
