//! A script as data: what the parser makes and the runner carries out.

use std::time::Duration;

use crate::option::Opt;

/// TCP flags as the header has them, ECN's included.
pub mod flag {
    /// FIN.
    pub const FIN: u16 = 0x01;
    /// SYN.
    pub const SYN: u16 = 0x02;
    /// RST.
    pub const RST: u16 = 0x04;
    /// PSH.
    pub const PSH: u16 = 0x08;
    /// ACK.
    pub const ACK: u16 = 0x10;
    /// URG.
    pub const URG: u16 = 0x20;
    /// ECE.
    pub const ECE: u16 = 0x40;
    /// CWR.
    pub const CWR: u16 = 0x80;
    /// AE, the third bit of AccECN (RFC 9768).
    pub const AE: u16 = 0x100;
    /// Their letters in a script.
    pub const LETTERS: [(char, u16); 9] = [
        ('S', SYN),
        ('F', FIN),
        ('R', RST),
        ('P', PSH),
        ('U', URG),
        ('E', ECE),
        ('W', CWR),
        ('A', AE),
        ('.', ACK),
    ];
}

/// One of a file's scripts.
#[derive(Clone, Debug)]
pub struct Script {
    /// The file's path below `scripts/`, without its ending.
    pub file: String,
    /// The line of the title, from 1.
    pub line: usize,
    /// The title: a sentence of the specification.
    pub title: String,
    /// The RFC statements it tests: `9293 MUST-23`.
    pub marks: Vec<String>,
    /// Why our stack and Linux behave differently, where they do.
    pub differs: Option<String>,
    /// Why it is not run against Linux, if it is not.
    pub not_on_linux: Option<String>,
    /// Why it is not run against our stack yet, if it is not.
    pub not_on_ours: Option<String>,
    /// Why it is run over IPv4 only, if it is.
    pub ipv4_only: Option<String>,
    /// Sysctls below `net.ipv4` that both subjects start with.
    pub sysctls: Vec<(String, i64)>,
    /// Our stack counts in its buffers what Linux counts.
    pub kernel_buffers: bool,
    /// The link's MTU for IPv4; IPv6 gets 20 more, so that segments have the same sizes.
    pub mtu: u32,
    /// What happens.
    pub steps: Vec<Step>,
}

impl Script {
    /// Whether it is meant for this family.
    pub fn suits(&self, ipv6: bool) -> bool {
        !ipv6 || self.ipv4_only.is_none()
    }

    /// `file: title`, what filters look at.
    pub fn name(&self) -> String {
        format!("{}: {}", self.file, self.title)
    }
}

/// Which subject carries a step out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    /// Both.
    Both,
    /// Our stack.
    Ours,
    /// Linux.
    Linux,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its number in the file, from 1.
    pub line: usize,
    /// Its text.
    pub text: String,
    /// Who runs it.
    pub only: Only,
    /// When, counted from the event before.
    pub when: When,
    /// What.
    pub action: Action,
}

/// When a step happens, or may happen, after the step before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At once.
    Now,
    /// After exactly this, give or take.
    After {
        /// The time.
        time: Duration,
        /// Give or take.
        tolerance: Duration,
    },
    /// Not before the first nor after the second.
    Between(Duration, Duration),
}

/// What a line does.
#[derive(Clone, Debug)]
pub enum Action {
    /// `<`: a segment arrives at the subject.
    Inject(Segment),
    /// `< icmp`: an ICMP error arrives.
    InjectIcmp(Icmp),
    /// `>`: the subject sends this segment next.
    Expect(Segment),
    /// A socket call.
    Call(Call),
    /// `wait`: nothing is sent for so long.
    Wait(Duration),
    /// `open`: the usual handshake.
    Open(Open),
}

/// A sequence number of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seq {
    /// The sender's next one.
    Next,
    /// Relative to the sender's ISN.
    At(i64),
    /// Whatever it is, it is the new ISN.
    New,
}

/// A segment to inject, or to expect.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Which flow: 1 where not said.
    pub flow: usize,
    /// Flags.
    pub flags: u16,
    /// Where it starts.
    pub seq: Seq,
    /// Octets of data; `None` in an expected segment: any.
    pub len: Option<u32>,
    /// Acknowledgment number, relative to the other side's ISN.
    pub ack: Option<Ack>,
    /// The window field as it is on the wire: the least and the most it may be.
    pub win: Option<(u16, u16)>,
    /// The urgent pointer.
    pub urgent: Option<u16>,
    /// The options, exactly.
    pub options: Option<Vec<Opt>>,
    /// SACK blocks beside the automatic options.
    pub sack: Vec<(i64, i64)>,
    /// The timestamp value to send.
    pub ts: Option<u32>,
    /// The timestamp to echo, or to expect as echo.
    pub echo: Option<Echo>,
    /// Remember the timestamp of this expected segment by a name.
    pub save: Option<String>,
    /// Leave the timestamps option out although it was negotiated.
    pub no_ts: bool,
    /// The ECN field of the IP header.
    pub ecn: Option<u8>,
    /// The differentiated-services field, expected.
    pub tos: Option<u8>,
    /// The time to live or hop limit, expected.
    pub ttl: Option<u8>,
    /// Put options into the IPv4 header.
    pub ip_options: bool,
    /// Octets in place of the pattern.
    pub data: Option<Vec<u8>>,
    /// A wrong checksum.
    pub bad_checksum: bool,
    /// Octets of header that are claimed but not there, or fewer than 20.
    pub data_offset: Option<u8>,
    /// Bits set in the reserved field.
    pub reserved: u8,
}

/// An acknowledgment number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// Relative to the other side's ISN.
    At(i64),
    /// Everything the other side has sent.
    All,
}

/// A timestamp echo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Echo {
    /// This value.
    Value(u32),
    /// That of the segment saved by this name.
    Saved(String),
}

/// Errors that ICMP reports, in names that fit both versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpKind {
    /// Fragmentation needed, packet too big; with the MTU.
    TooBig(u32),
    /// Network unreachable; no route.
    Network,
    /// Host unreachable; address unreachable.
    Host,
    /// Port unreachable.
    Port,
    /// Protocol unreachable; unknown next header.
    Protocol,
    /// Administratively prohibited.
    Prohibited,
    /// Time exceeded in transit.
    TimeExceeded,
    /// Source quench (IPv4 only).
    Quench,
}

/// An ICMP error that quotes one of the subject's segments.
#[derive(Clone, Copy, Debug)]
pub struct Icmp {
    /// Whose segment.
    pub flow: usize,
    /// What happened to it.
    pub kind: IcmpKind,
    /// The sequence number that it quotes, relative to the subject's ISN.
    pub seq: i64,
}

/// A call on a socket.
#[derive(Clone, Debug)]
pub struct Call {
    /// The socket's name; empty for the current one.
    pub socket: String,
    /// The call.
    pub verb: Verb,
    /// What it must answer.
    pub result: Outcome,
}

/// The calls.
#[derive(Clone, Debug)]
pub enum Verb {
    /// `socket(2)`: makes a stream socket and makes it the current one.
    Socket,
    /// `bind(2)` to the subject's address and this port.
    Bind(u16),
    /// `listen(2)`, after `socket` and `bind` if they were left out.
    Listen(i32),
    /// `accept(2)` from the listener; the new socket becomes the current one.
    Accept,
    /// `connect(2)` to the peer's port of this flow.
    Connect(usize),
    /// `connect(2)` with `AF_UNSPEC`.
    Disconnect,
    /// `send(2)`: so many octets of the pattern, or these.
    Write(Data, u32),
    /// `sendto(2)` to the peer's port of this flow.
    SendTo(usize, Data, u32),
    /// `recv(2)` with room for so many, and flags.
    Read(usize, u32),
    /// `shutdown(2)`.
    Shutdown(i32),
    /// `close(2)`.
    Close,
    /// `setsockopt(2)`.
    Set(SocketOption, Vec<u8>),
    /// `getsockopt(2)`.
    Get(SocketOption),
    /// `getsockopt(2)` of `TCP_INFO`: fields and the range that each must lie in.
    Info(Vec<InfoCheck>),
    /// `poll(2)`, without waiting, for everything.
    Poll,
    /// `ioctl(2)`.
    Ioctl(Ioctl),
}

/// What to write.
#[derive(Clone, Debug)]
pub enum Data {
    /// So many octets of the pattern.
    Pattern(usize),
    /// These octets.
    Literal(Vec<u8>),
}

/// A socket option, as `setsockopt(2)` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOption {
    /// `SO_…`, `TCP_…`, `IP_…`.
    pub name: &'static str,
    /// `SOL_SOCKET` and so on.
    pub level: i32,
    /// The number.
    pub number: i32,
}

/// A field of `struct tcp_info` and what it must be.
#[derive(Clone, Debug)]
pub struct InfoCheck {
    /// The field, without `tcpi_`.
    pub field: &'static str,
    /// Where it is.
    pub offset: usize,
    /// How many octets it has.
    pub size: usize,
    /// Its lowest bit, and how many: a bit field has less than its octets.
    pub bits: (u32, u32),
    /// The least it may be.
    pub min: u64,
    /// The most it may be.
    pub max: u64,
}

/// What a program asks of a stream's queues (tcp(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ioctl {
    /// `SIOCINQ`.
    Readable,
    /// `SIOCOUTQ`.
    Unacknowledged,
    /// `SIOCOUTQNSD`.
    Unsent,
    /// `SIOCATMARK`.
    AtMark,
}

/// What a call must answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Anything but an error.
    Ok,
    /// This number.
    Value(i64),
    /// A number between these.
    Range(i64, i64),
    /// These octets.
    Octets(Vec<u8>),
    /// This error.
    Error(&'static str),
}

/// `open`: the handshake that most scripts begin with.
#[derive(Clone, Debug)]
pub struct Open {
    /// Which flow.
    pub flow: usize,
    /// The subject connects.
    pub active: bool,
    /// The options of the peer's SYN or SYN-ACK.
    pub options: Vec<Opt>,
    /// The window field of the peer's SYN or SYN-ACK.
    pub win: u16,
    /// The window field of the peer's ACK, if another.
    pub then_win: Option<u16>,
    /// How long the peer takes to answer the subject's part of the handshake.
    pub rtt: Duration,
    /// ECN is negotiated.
    pub ecn: bool,
}
