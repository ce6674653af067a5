//! Classic BPF (`linux/filter.h`): programs that say of a packet how much of it a socket keeps, or which of several sockets gets
//! it. `SO_ATTACH_FILTER` and `SO_ATTACH_REUSEPORT_CBPF` are carried out by it (prise-socket, [`udp`](crate::UdpId)'s choice).
//!
//! A [`Program`] is checked once, as `bpf_check_classic` does: jumps only go forward and stay inside, scratch words are written
//! before they are read, the last instruction returns. So running one takes no more steps than it has instructions.

use alloc::vec::Vec;

/// `BPF_MAXINSNS`.
const INSTRUCTIONS_MAX: usize = 4096;
/// `BPF_MEMWORDS`.
const WORDS: u32 = 16;
/// Octets of a `struct sock_filter`.
const INSTRUCTION_LEN: usize = 8;

/// `SKF_AD_OFF`, `SKF_NET_OFF`, `SKF_LL_OFF`: places that are no offsets into the packet.
const ANCILLARY: u32 = -0x1000i32 as u32;
const NETWORK: u32 = -0x10_0000i32 as u32;
const LINK: u32 = -0x20_0000i32 as u32;
/// The last of the ancillary values (`SKF_AD_VLAN_TPID`).
const ANCILLARY_MAX: u32 = 60;

// linux/bpf_common.h.
const LD: u16 = 0x00;
const LDX: u16 = 0x01;
const ST: u16 = 0x02;
const STX: u16 = 0x03;
const ALU: u16 = 0x04;
const JMP: u16 = 0x05;
const RET: u16 = 0x06;
const MISC: u16 = 0x07;
const SIZES: u16 = 0x18;
const MODES: u16 = 0xe0;
const IMM: u16 = 0x00;
const ABS: u16 = 0x20;
const IND: u16 = 0x40;
const MEM: u16 = 0x60;
const LEN: u16 = 0x80;
const MSH: u16 = 0xa0;
/// The second operand is X rather than a constant.
const X: u16 = 0x08;

/// One `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u16,
    when_true: u8,
    when_false: u8,
    k: u32,
}

impl Instruction {
    const fn class(self) -> u16 {
        self.code & 7
    }

    /// Of `ALU` and `JMP`.
    const fn operation(self) -> u16 {
        self.code & 0xf0
    }

    const fn by_x(self) -> bool {
        self.code & X != 0
    }

    /// Whether there is such an instruction (`chk_code_allowed`).
    fn is_known(self) -> bool {
        let (size, mode) = (self.code & SIZES, self.code & MODES);
        if self.code > 0xff {
            return false;
        }
        match self.class() {
            LD => match mode {
                ABS | IND => size != 0x18,
                IMM | MEM | LEN => size == 0,
                _ => false,
            },
            LDX => matches!((mode, size), (IMM | MEM | LEN, 0) | (MSH, 0x10)),
            ST | STX => self.code & !7 == 0,
            ALU => match self.operation() {
                0x80 => !self.by_x(),
                operation => operation <= 0xa0,
            },
            JMP => match self.operation() {
                0 => !self.by_x(),
                operation => operation <= 0x40,
            },
            RET => matches!(self.code, 0x06 | 0x16),
            _ => matches!(self.code, 0x07 | 0x87),
        }
    }

    fn reads_word(self) -> bool {
        matches!(self.class(), LD | LDX) && self.code & MODES == MEM
    }
}

/// A program that was found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program(Vec<Instruction>);

/// The kernel would not have it (`EINVAL`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidProgram;

/// A packet as a program sees it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// From the link header on.
    pub octets: &'a [u8],
    /// Where the network header is.
    pub network: usize,
    /// Where the packet begins for the program.
    pub data: usize,
    /// Where the transport's payload begins.
    pub payload: usize,
    /// The Ethernet type.
    pub protocol: u16,
    /// The interface by which it came.
    pub interface: u32,
    /// A hash of its endpoints, also what chance there is.
    pub hash: u32,
}

impl Packet<'_> {
    fn load(&self, place: u32, size: usize) -> Option<u32> {
        let at = match place {
            NETWORK..ANCILLARY => self.network.checked_add((place - NETWORK) as usize)?,
            LINK..NETWORK => (place - LINK) as usize,
            ANCILLARY.. => return None,
            place => self.data.checked_add(place as usize)?,
        };
        let octets = self.octets.get(at..at.checked_add(size)?)?;
        Some(octets.iter().fold(0, |word, &octet| word << 8 | u32::from(octet)))
    }

    fn len(&self) -> u32 {
        self.octets.len().saturating_sub(self.data) as u32
    }

    /// `SKF_AD_*`; none ends the program.
    fn ancillary(&self, which: u32, a: u32, x: u32) -> Option<u32> {
        Some(match which {
            0 => self.protocol.into(),
            8 => self.interface,
            // No attributes are in a datagram.
            12 | 16 => return None,
            28 => 1,
            32 | 56 => self.hash,
            40 => a ^ x,
            52 => self.payload.saturating_sub(self.data) as u32,
            // The type of packet, marks, queues, processors, tags: none.
            _ => 0,
        })
    }
}

impl Program {
    /// Reads and checks an array of `struct sock_filter` in the machine's order.
    ///
    /// # Errors
    /// For whatever `bpf_check_classic` refuses.
    pub fn new(octets: &[u8]) -> Result<Self, InvalidProgram> {
        let (instructions, rest) = octets.as_chunks::<INSTRUCTION_LEN>();
        if !rest.is_empty() || !(1..=INSTRUCTIONS_MAX).contains(&instructions.len()) {
            return Err(InvalidProgram);
        }
        let read = |&[c0, c1, when_true, when_false, k0, k1, k2, k3]: &[u8; INSTRUCTION_LEN]| Instruction {
            code: u16::from_ne_bytes([c0, c1]),
            when_true,
            when_false,
            k: u32::from_ne_bytes([k0, k1, k2, k3]),
        };
        let program: Vec<_> = instructions.iter().map(read).collect();
        let good = program
            .iter()
            .enumerate()
            .all(|(at, it)| is_good(*it, program.len() - at - 1));
        let returns = program.last().is_some_and(|it| it.class() == RET);
        if good && returns && writes_before_it_reads(&program) {
            Ok(Self(program))
        } else {
            Err(InvalidProgram)
        }
    }

    /// The array that it was read from.
    #[must_use]
    pub fn octets(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(self.0.len() * INSTRUCTION_LEN);
        for it in &self.0 {
            octets.extend_from_slice(&it.code.to_ne_bytes());
            octets.extend_from_slice(&[it.when_true, it.when_false]);
            octets.extend_from_slice(&it.k.to_ne_bytes());
        }
        octets
    }

    /// How many instructions it has.
    #[must_use]
    pub fn instructions(&self) -> usize {
        self.0.len()
    }

    /// What the program returns for a packet; 0, too, where it looks beyond its end or divides by zero.
    #[must_use]
    pub fn run(&self, packet: &Packet<'_>) -> u32 {
        let (mut a, mut x, mut words) = (0u32, 0u32, [0u32; WORDS as usize]);
        let mut at = 0;
        while let Some(&it) = self.0.get(at) {
            at += 1;
            let operand = if it.by_x() { x } else { it.k };
            match it.class() {
                LD => match load(it, packet, a, x, &words) {
                    Some(value) => a = value,
                    None => return 0,
                },
                LDX => match it.code & MODES {
                    IMM => x = it.k,
                    MEM => x = words[it.k as usize],
                    LEN => x = packet.len(),
                    _ => match packet.load(it.k, 1) {
                        Some(octet) => x = (octet & 0xf) * 4,
                        None => return 0,
                    },
                },
                ST => words[it.k as usize] = a,
                STX => words[it.k as usize] = x,
                ALU => match calculate(it.operation(), a, operand) {
                    Some(value) => a = value,
                    None => return 0,
                },
                JMP => {
                    at += match it.operation() {
                        0 => it.k as usize,
                        operation if holds(operation, a, operand) => it.when_true.into(),
                        _ => it.when_false.into(),
                    }
                }
                RET => return if it.code == RET { it.k } else { a },
                MISC if it.code == 0x07 => x = a,
                _ => a = x,
            }
        }
        0
    }
}

fn load(it: Instruction, packet: &Packet<'_>, a: u32, x: u32, words: &[u32; WORDS as usize]) -> Option<u32> {
    let size = match it.code & SIZES {
        0 => 4,
        0x08 => 2,
        _ => 1,
    };
    match it.code & MODES {
        IMM => Some(it.k),
        MEM => Some(words[it.k as usize]),
        LEN => Some(packet.len()),
        IND => packet.load(x.wrapping_add(it.k), size),
        _ if it.k >= ANCILLARY => packet.ancillary(it.k - ANCILLARY, a, x),
        _ => packet.load(it.k, size),
    }
}

fn calculate(operation: u16, a: u32, operand: u32) -> Option<u32> {
    Some(match operation {
        0x00 => a.wrapping_add(operand),
        0x10 => a.wrapping_sub(operand),
        0x20 => a.wrapping_mul(operand),
        0x30 => a.checked_div(operand)?,
        0x40 => a | operand,
        0x50 => a & operand,
        0x60 => a.wrapping_shl(operand),
        0x70 => a.wrapping_shr(operand),
        0x80 => a.wrapping_neg(),
        0x90 => a.checked_rem(operand)?,
        _ => a ^ operand,
    })
}

fn holds(operation: u16, a: u32, operand: u32) -> bool {
    match operation {
        0x10 => a == operand,
        0x20 => a > operand,
        0x30 => a >= operand,
        _ => a & operand != 0,
    }
}

/// Whether an instruction with `left` behind it may stand there (`bpf_check_classic`).
fn is_good(it: Instruction, left: usize) -> bool {
    it.is_known()
        && match it.class() {
            ST | STX => it.k < WORDS,
            ALU if !it.by_x() => match it.operation() {
                0x30 | 0x90 => it.k != 0,
                0x60 | 0x70 => it.k < 32,
                _ => true,
            },
            JMP if it.operation() == 0 => (it.k as usize) < left,
            JMP => usize::from(it.when_true) < left && usize::from(it.when_false) < left,
            LD if it.code & MODES == ABS && it.k >= ANCILLARY => {
                let which = it.k - ANCILLARY;
                which.is_multiple_of(4) && which <= ANCILLARY_MAX
            }
            LD | LDX => !it.reads_word() || it.k < WORDS,
            _ => true,
        }
}

/// No way through the program reads a scratch word that it has not written (`check_load_and_stores`).
fn writes_before_it_reads(program: &[Instruction]) -> bool {
    // By instruction: the words that every way to it has written.
    let mut written = alloc::vec![u16::MAX; program.len() + 1];
    let mut here = 0u16;
    for (at, it) in program.iter().enumerate() {
        here &= written[at];
        match it.class() {
            ST | STX => here |= 1 << it.k,
            JMP if it.operation() == 0 => {
                written[at + 1 + it.k as usize] &= here;
                here = u16::MAX;
            }
            JMP => {
                written[at + 1 + usize::from(it.when_true)] &= here;
                written[at + 1 + usize::from(it.when_false)] &= here;
                here = u16::MAX;
            }
            _ if it.reads_word() && here >> it.k & 1 == 0 => return false,
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(lines: &[(u16, u8, u8, u32)]) -> Result<Program, InvalidProgram> {
        let octets: Vec<u8> = lines
            .iter()
            .flat_map(|&(code, when_true, when_false, k)| {
                let [c0, c1] = code.to_ne_bytes();
                let [k0, k1, k2, k3] = k.to_ne_bytes();
                [c0, c1, when_true, when_false, k0, k1, k2, k3]
            })
            .collect();
        Program::new(&octets)
    }

    fn packet(octets: &[u8]) -> Packet<'_> {
        Packet {
            octets,
            network: 14,
            data: 34,
            payload: 42,
            protocol: 0x0800,
            interface: 3,
            hash: 99,
        }
    }

    #[test]
    fn a_port_is_compared_and_the_answer_is_how_much_is_kept() {
        // ldh [2]; jeq #53, 0, 1; ret #-1; ret #0
        let filter = program(&[
            (0x28, 0, 0, 2),
            (0x15, 0, 1, 53),
            (0x06, 0, 0, u32::MAX),
            (0x06, 0, 0, 0),
        ])
        .unwrap();
        let mut octets = [0; 50];
        octets[37] = 53;
        assert_eq!(filter.run(&packet(&octets)), u32::MAX);
        octets[37] = 54;
        assert_eq!(filter.run(&packet(&octets)), 0);
        assert_eq!(filter.run(&packet(&octets[..36])), 0, "it ends before the port");
    }

    #[test]
    fn places_before_the_data_and_beside_it_are_read() {
        let mut octets = [0; 50];
        octets[14] = 0x45;
        octets[12] = 8;
        let ask = |k: u32, code: u16| {
            program(&[(code, 0, 0, k), (0x16, 0, 0, 0)])
                .unwrap()
                .run(&packet(&octets))
        };
        assert_eq!(ask(NETWORK, 0x30), 0x45);
        assert_eq!(ask(LINK + 12, 0x28), 0x0800);
        assert_eq!(ask(ANCILLARY, 0x20), 0x0800);
        assert_eq!(ask(ANCILLARY + 8, 0x20), 3);
        assert_eq!(ask(ANCILLARY + 52, 0x20), 8);
        assert_eq!(ask(0, 0x80), 16);
        let header = program(&[(0xb1, 0, 0, NETWORK), (0x87, 0, 0, 0), (0x16, 0, 0, 0)]).unwrap();
        assert_eq!(header.run(&packet(&octets)), 20);
    }

    #[test]
    fn words_are_kept_and_dividing_by_zero_returns_nothing() {
        let kept = program(&[
            (0x00, 0, 0, 7),
            (0x02, 0, 0, 3),
            (0x00, 0, 0, 1),
            (0x61, 0, 0, 3),
            (0x0c, 0, 0, 0),
            (0x16, 0, 0, 0),
        ]);
        assert_eq!(kept.unwrap().run(&packet(&[])), 8);
        let divided = program(&[(0x00, 0, 0, 7), (0x3c, 0, 0, 0), (0x16, 0, 0, 0)]).unwrap();
        assert_eq!(divided.run(&packet(&[])), 0);
    }

    #[test]
    fn what_the_kernel_refuses_is_refused() {
        let ret = (0x06, 0, 0, 0);
        let bad: &[&[(u16, u8, u8, u32)]] = &[
            &[],
            &[(0x00, 0, 0, 1)],
            &[(0x05, 0, 0, 1), ret],
            &[(0x15, 1, 0, 0), ret],
            &[(0x34, 0, 0, 0), ret],
            &[(0x64, 0, 0, 32), ret],
            &[(0x02, 0, 0, 16), ret],
            &[(0x60, 0, 0, 0), ret],
            &[(0x15, 0, 1, 0), (0x02, 0, 0, 0), (0x60, 0, 0, 0), ret],
            &[(0x20, 0, 0, ANCILLARY + 2), ret],
            &[(0x20, 0, 0, ANCILLARY + 64), ret],
            &[(0xff, 0, 0, 0), ret],
            &[(0x8c, 0, 0, 0), ret],
            &[(0x18, 0, 0, 0), ret],
        ];
        for lines in bad {
            assert_eq!(program(lines), Err(InvalidProgram), "{lines:x?}");
        }
        assert!(program(&[(0x15, 1, 0, 0), ret, ret]).is_ok());
        assert!(program(&alloc::vec![ret; INSTRUCTIONS_MAX]).is_ok());
        assert!(program(&alloc::vec![ret; INSTRUCTIONS_MAX + 1]).is_err());
    }
}
