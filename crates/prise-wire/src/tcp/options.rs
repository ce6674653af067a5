//! The options of a TCP header (RFC 9293 §3.2 and the documents named at each).

use super::{OPTIONS_MAX, SackBlock, SackBlocks};
use crate::octets::{u16_at, u32_at};
use crate::{Emit, SeqNum};
use core::fmt;
use core::ops::Deref;

/// Option kinds (IANA "tcp-parameters").
pub mod option_kind {
    /// End of the option list (RFC 9293).
    pub const END: u8 = 0;
    /// No operation (RFC 9293).
    pub const NOP: u8 = 1;
    /// Maximum segment size (RFC 9293).
    pub const MSS: u8 = 2;
    /// Window scale (RFC 7323).
    pub const WINDOW_SCALE: u8 = 3;
    /// SACK permitted (RFC 2018).
    pub const SACK_PERMITTED: u8 = 4;
    /// SACK (RFC 2018).
    pub const SACK: u8 = 5;
    /// Timestamps (RFC 7323).
    pub const TIMESTAMPS: u8 = 8;
    /// Signature (RFC 2385).
    pub const SIGNATURE: u8 = 19;
    /// User timeout (RFC 5482).
    pub const USER_TIMEOUT: u8 = 28;
    /// Fast Open cookie (RFC 7413).
    pub const FAST_OPEN: u8 = 34;
    /// Accurate ECN, order 0 (RFC 9768).
    pub const ACC_ECN_0: u8 = 172;
    /// Accurate ECN, order 1 (RFC 9768).
    pub const ACC_ECN_1: u8 = 174;
    /// Experiments, told apart by the 16 bits that follow (RFC 6994).
    pub const EXPERIMENT: u8 = 254;
}

/// The experiment that became RFC 7413: what Fast Open was before it had a kind of its own.
const FAST_OPEN_EXPERIMENT: [u8; 2] = [0xf9, 0x89];

/// The options of one segment; those not known to prise are skipped (RFC 9293 MUST-6).
///
/// When they are emitted, all but `signature`, `mss`, `sack_permitted`, `timestamps` and `window_scale` yield if there is no room:
/// SACK and Accurate ECN lose their last blocks and fields, a cookie or a user timeout is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TcpOptions {
    /// The largest segment that the sender is ready to receive.
    pub mss: Option<u16>,
    /// Shift of the sender's window field; a count above 14 is used as 14 (RFC 7323 §2.3), and shown as it came.
    pub window_scale: Option<u8>,
    /// The sender understands SACK.
    pub sack_permitted: bool,
    /// What the sender holds beyond its acknowledgment.
    pub sack: SackBlocks,
    /// The sender's clock and its echo of ours.
    pub timestamps: Option<Timestamps>,
    /// A cookie, or an empty one to ask for it.
    pub fast_open: Option<FastOpenCookie>,
    /// How long the sender will keep unacknowledged data.
    pub user_timeout: Option<UserTimeout>,
    /// The sender's ECN byte counters.
    pub acc_ecn: Option<AccEcn>,
    /// The digest that only somebody who knows the key could make.
    pub signature: Option<[u8; 16]>,
}

/// The timestamps option (RFC 7323 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Timestamps {
    /// TSval.
    pub value: u32,
    /// TSecr; meaningful with ACK only.
    pub echo: u32,
}

/// The user timeout option (RFC 5482 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserTimeout {
    /// 15 bits.
    pub value: u16,
    /// The value counts minutes rather than seconds.
    pub minutes: bool,
}

impl UserTimeout {
    /// As it stands in the option: the granularity bit, then the value.
    pub const fn field(self) -> u16 {
        self.value & 0x7fff | (self.minutes as u16) << 15
    }

    /// From the option's two octets.
    pub const fn from_field(field: u16) -> Self {
        Self {
            value: field & 0x7fff,
            minutes: field & 0x8000 != 0,
        }
    }

    /// The timeout in seconds.
    pub const fn seconds(self) -> u32 {
        self.value as u32 * if self.minutes { 60 } else { 1 }
    }
}

/// A Fast Open cookie (RFC 7413 §4.1.1): 4 to 16 octets, or none to request one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FastOpenCookie {
    octets: [u8; FastOpenCookie::MAX],
    len: u8,
    experimental: bool,
}

impl FastOpenCookie {
    /// The longest cookie.
    pub const MAX: usize = 16;
    /// The shortest cookie.
    pub const MIN: usize = 4;
    /// Asks the server for a cookie.
    pub const REQUEST: Self = Self {
        octets: [0; Self::MAX],
        len: 0,
        experimental: false,
    };

    /// A cookie of these octets: 4 to 16 and an even number of them, or none.
    pub fn new(octets: &[u8]) -> Option<Self> {
        let valid =
            octets.is_empty() || (octets.len().is_multiple_of(2) && (Self::MIN..=Self::MAX).contains(&octets.len()));
        let mut cookie = Self::REQUEST;
        valid.then(|| {
            cookie.octets[..octets.len()].copy_from_slice(octets);
            cookie.len = octets.len() as u8;
            cookie
        })
    }

    /// Whether this asks for a cookie rather than being one.
    pub const fn is_request(&self) -> bool {
        self.len == 0
    }

    /// Whether it comes, or is to go, in the shape that Fast Open had before RFC 7413: kind 254 with 0xF989.
    pub const fn is_experimental(&self) -> bool {
        self.experimental
    }

    /// The same in that shape, or in the one of RFC 7413.
    #[must_use]
    pub const fn in_experimental_shape(self, experimental: bool) -> Self {
        Self { experimental, ..self }
    }

    /// Octets of the option around the cookie.
    const fn overhead(&self) -> usize {
        if self.experimental { 4 } else { 2 }
    }
}

impl Deref for FastOpenCookie {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }
}

impl fmt::Debug for FastOpenCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?}", &**self)
    }
}

/// Which counter comes first in an Accurate ECN option (RFC 9768 §3.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccEcnOrder {
    /// ECT(0), CE, ECT(1): kind 172.
    Ect0First,
    /// ECT(1), CE, ECT(0): kind 174.
    Ect1First,
}

/// The Accurate ECN option: up to three 24-bit byte counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AccEcn {
    /// Which counter comes first.
    pub order: AccEcnOrder,
    fields: [u32; 3],
    len: u8,
}

impl AccEcn {
    /// The counters in the order of the wire, at most three, each cut to 24 bits.
    pub fn new(order: AccEcnOrder, counters: &[u32]) -> Self {
        let mut fields = [0; 3];
        let len = counters.len().min(3);
        for (field, counter) in fields.iter_mut().zip(counters) {
            *field = counter & 0x00ff_ffff;
        }
        Self {
            order,
            fields,
            len: len as u8,
        }
    }

    /// The counters in the order of the wire.
    pub fn counters(&self) -> &[u32] {
        &self.fields[..usize::from(self.len)]
    }

    /// EE0B: payload octets that arrived marked ECT(0).
    pub fn ect0(&self) -> Option<u32> {
        self.counters()
            .get(if self.order == AccEcnOrder::Ect0First { 0 } else { 2 })
            .copied()
    }

    /// ECEB: payload octets that arrived marked CE.
    pub fn ce(&self) -> Option<u32> {
        self.counters().get(1).copied()
    }

    /// EE1B: payload octets that arrived marked ECT(1).
    pub fn ect1(&self) -> Option<u32> {
        self.counters()
            .get(if self.order == AccEcnOrder::Ect0First { 2 } else { 0 })
            .copied()
    }
}

impl TcpOptions {
    /// Reads options as far as they make sense: what follows an impossible length is not looked at, an option whose
    /// own length is wrong is skipped, and of two of a kind the later counts.
    pub fn parse(octets: &[u8]) -> Self {
        // What almost every segment of a connection carries, as every stack aligns it (RFC 7323 appendix A).
        if let [
            option_kind::NOP,
            option_kind::NOP,
            option_kind::TIMESTAMPS,
            10,
            data @ ..,
        ] = octets
            && data.len() == 8
        {
            let timestamps = Timestamps {
                value: u32_at(data, 0),
                echo: u32_at(data, 4),
            };
            return Self {
                timestamps: Some(timestamps),
                ..Self::default()
            };
        }
        let mut options = Self::default();
        let mut rest = octets;
        while let Some((&kind, after)) = rest.split_first() {
            match kind {
                option_kind::END => break,
                option_kind::NOP => rest = after,
                _ => {
                    let Some(&len) = after.first() else { break };
                    let Some(data) = rest.get(2..usize::from(len)) else {
                        break;
                    };
                    options.read(kind, data);
                    rest = &rest[usize::from(len)..];
                }
            }
        }
        options
    }

    /// Takes one option; a kind that is not known, or a length that is not the kind's, changes nothing.
    fn read(&mut self, kind: u8, data: &[u8]) {
        match (kind, data.len()) {
            (option_kind::MSS, 2) => self.mss = Some(u16_at(data, 0)),
            (option_kind::WINDOW_SCALE, 1) => self.window_scale = Some(data[0]),
            (option_kind::SACK_PERMITTED, 0) => self.sack_permitted = true,
            (option_kind::SACK, 8 | 16 | 24 | 32) => {
                self.sack = data
                    .as_chunks::<8>()
                    .0
                    .iter()
                    .map(|b| SackBlock {
                        left: SeqNum(u32_at(b, 0)),
                        right: SeqNum(u32_at(b, 4)),
                    })
                    .collect();
            }
            (option_kind::TIMESTAMPS, 8) => {
                self.timestamps = Some(Timestamps {
                    value: u32_at(data, 0),
                    echo: u32_at(data, 4),
                });
            }
            (option_kind::FAST_OPEN, _) => self.fast_open = FastOpenCookie::new(data).or(self.fast_open),
            (option_kind::EXPERIMENT, _) => {
                if let Some(data) = data.strip_prefix(&FAST_OPEN_EXPERIMENT) {
                    let cookie = FastOpenCookie::new(data).map(|cookie| cookie.in_experimental_shape(true));
                    self.fast_open = cookie.or(self.fast_open);
                }
            }
            (option_kind::SIGNATURE, _) => self.signature = data.try_into().ok().or(self.signature),
            (option_kind::USER_TIMEOUT, 2) => {
                self.user_timeout = Some(UserTimeout::from_field(u16_at(data, 0)));
            }
            (option_kind::ACC_ECN_0, 0 | 3 | 6 | 9) => self.acc_ecn = Some(acc_ecn(AccEcnOrder::Ect0First, data)),
            (option_kind::ACC_ECN_1, 0 | 3 | 6 | 9) => self.acc_ecn = Some(acc_ecn(AccEcnOrder::Ect1First, data)),
            _ => {}
        }
    }

    /// Writes the options in Linux's order and returns how many octets they take with their padding.
    fn write(&self, out: &mut Writer<'_>) {
        use option_kind as kind;
        let Self {
            mss,
            window_scale,
            sack_permitted,
            sack,
            timestamps,
            fast_open,
            user_timeout,
            acc_ecn,
            signature,
        } = self;
        if let Some(signature) = signature {
            out.put(&[kind::NOP, kind::NOP, kind::SIGNATURE, 18]);
            out.put(signature);
        }
        if let Some(mss) = mss {
            out.put(&[kind::MSS, 4]);
            out.put(&mss.to_be_bytes());
        }
        let permitted_alone = *sack_permitted && timestamps.is_none();
        match (sack_permitted, timestamps) {
            (true, Some(_)) => out.put(&[kind::SACK_PERMITTED, 2]),
            (false, Some(_)) => out.put(&[kind::NOP, kind::NOP]),
            (_, None) => {}
        }
        if let Some(Timestamps { value, echo }) = timestamps {
            out.put(&[kind::TIMESTAMPS, 10]);
            out.put(&value.to_be_bytes());
            out.put(&echo.to_be_bytes());
        }
        if let Some(acc_ecn) = acc_ecn {
            // Here as Linux has it, but what follows has the first claim to the room.
            let scale = if window_scale.is_some() { 4 } else { 0 } + if permitted_alone { 4 } else { 0 };
            let blocks = sack.len().min(out.room().saturating_sub(4 + scale) / 8);
            let cookie = fast_open.map_or(0, |cookie| cookie.overhead() + cookie.len());
            let claimed = scale + cookie + if blocks > 0 { 4 + 8 * blocks } else { 0 };
            // Blocks begin two octets behind a word, which padding need not fill up.
            let spared = if blocks > 0 { 2 } else { 0 };
            write_acc_ecn(acc_ecn, out, claimed, spared);
        }
        if permitted_alone {
            out.put(&[kind::NOP, kind::NOP, kind::SACK_PERMITTED, 2]);
        }
        if let Some(shift) = window_scale {
            out.put(&[kind::NOP, kind::WINDOW_SCALE, 3, *shift]);
        }
        let blocks = sack.len().min(out.room().saturating_sub(4) / 8);
        if blocks > 0 {
            while out.len % 4 != 2 {
                out.put(&[kind::NOP]);
            }
            out.put(&[kind::SACK, 2 + 8 * blocks as u8]);
            for SackBlock { left, right } in &sack[..blocks] {
                out.put(&left.0.to_be_bytes());
                out.put(&right.0.to_be_bytes());
            }
        }
        let cookie = fast_open.map_or(0, |cookie| cookie.overhead() + cookie.len());
        // A suggestion yields to what opens the connection.
        if let Some(timeout) = user_timeout
            && out.room() >= 4 + cookie
        {
            out.put(&[kind::USER_TIMEOUT, 4]);
            out.put(&timeout.field().to_be_bytes());
        }
        if let Some(cookie) = fast_open
            && out.room() >= cookie.overhead() + cookie.len()
        {
            let len = (cookie.overhead() + cookie.len()) as u8;
            if cookie.experimental {
                out.put(&[kind::EXPERIMENT, len]);
                out.put(&FAST_OPEN_EXPERIMENT);
            } else {
                out.put(&[kind::FAST_OPEN, len]);
            }
            out.put(cookie);
        }
        // Linux pads with NOP rather than END; some middleboxes know no better.
        while !out.len.is_multiple_of(4) {
            out.put(&[kind::NOP]);
        }
    }
}

/// Octets of an Accurate ECN option of `counters` counters, padded to whole words; up to `spared` octets of the last word belong to
/// what follows.
pub fn acc_ecn_size(counters: usize, spared: usize) -> usize {
    let size = 2 + 3 * counters;
    if size % 4 > spared {
        size.next_multiple_of(4)
    } else {
        size & !3
    }
}

/// As many counters as there is room for beside what is `claimed`.
fn write_acc_ecn(acc_ecn: &AccEcn, out: &mut Writer<'_>, claimed: usize, spared: usize) {
    let Some(room) = (out.room() & !3).checked_sub((claimed + 3) & !3) else {
        return;
    };
    let fits = |count: &usize| acc_ecn_size(*count, spared) <= room;
    let Some(count) = (0..=acc_ecn.counters().len()).rev().find(fits) else {
        return;
    };
    let kind = match acc_ecn.order {
        AccEcnOrder::Ect0First => option_kind::ACC_ECN_0,
        AccEcnOrder::Ect1First => option_kind::ACC_ECN_1,
    };
    out.put(&[kind, 2 + 3 * count as u8]);
    for counter in &acc_ecn.counters()[..count] {
        out.put(&counter.to_be_bytes()[1..]);
    }
    if spared == 0 {
        while !out.len.is_multiple_of(4) {
            out.put(&[option_kind::NOP]);
        }
    }
}

/// The counters of an Accurate ECN option.
fn acc_ecn(order: AccEcnOrder, data: &[u8]) -> AccEcn {
    let mut counters = [0; 3];
    let fields = data.as_chunks::<3>().0;
    for (counter, [a, b, c]) in counters.iter_mut().zip(fields) {
        *counter = u32::from_be_bytes([0, *a, *b, *c]);
    }
    AccEcn::new(order, &counters[..fields.len().min(3)])
}

/// A cursor over at most [`OPTIONS_MAX`] octets that may only count.
struct Writer<'a> {
    out: Option<&'a mut [u8]>,
    len: usize,
}

impl Writer<'_> {
    fn put(&mut self, octets: &[u8]) {
        if let Some(out) = &mut self.out {
            out[self.len..self.len + octets.len()].copy_from_slice(octets);
        }
        self.len += octets.len();
    }

    fn room(&self) -> usize {
        OPTIONS_MAX - self.len
    }
}

impl Emit for TcpOptions {
    fn emit_len(&self) -> usize {
        let mut count = Writer { out: None, len: 0 };
        self.write(&mut count);
        count.len
    }

    fn emit(&self, out: &mut [u8]) {
        self.write(&mut Writer { out: Some(out), len: 0 });
    }
}
