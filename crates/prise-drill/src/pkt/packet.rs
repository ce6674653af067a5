//! Packets as scripts write them.

use super::expression::Defines;
use super::scan::Scanner;

/// One TCP option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TcpOption {
    End,
    Nop,
    Mss(u16),
    Scale(u8),
    SackPermitted,
    Sack(Vec<(u32, u32)>),
    Timestamps {
        value: u32,
        echo: u32,
    },
    FastOpen(Vec<u8>),
    FastOpenExperimental(Vec<u8>),
    /// `ECN e1b N ceb N e0b N`, in the order written; the first decides which of the two kinds it is.
    AccEcn(Vec<(char, u32)>),
    /// A signature (RFC 2385), right or wrong.
    Md5(Vec<u8>),
}

/// What the script says of the IP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IpSpec {
    /// The two bits of ECN.
    pub(super) ecn: Option<u8>,
    /// The whole octet.
    pub(super) tos: Option<u8>,
    pub(super) hop_limit: Option<u8>,
    /// `ect01`: either of the two.
    pub(super) either: bool,
}

/// A range of sequence numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u32,
    pub(super) length: usize,
}

/// A TCP segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SegmentSpec {
    /// The flags in their octet, with AE as bit 8.
    pub(super) flags: u16,
    pub(super) range: Range,
    pub(super) ack: Option<u32>,
    pub(super) window: Option<u16>,
    pub(super) urgent: Option<u16>,
    /// `None`: `<...>`, not looked at.
    pub(super) options: Option<Vec<TcpOption>>,
    /// Ports other than those of the connection: from, to.
    pub(super) ports: Option<(u16, u16)>,
}

/// What is in a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Tcp(SegmentSpec),
    Udp(usize),
    /// An ICMP error, with the range of the segment that it quotes.
    Icmp {
        kind: String,
        code: Option<String>,
        mtu: Option<u32>,
        quoted: Option<Range>,
    },
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PacketSpec {
    pub(super) ip: IpSpec,
    pub(super) body: Body,
}

/// The letters of flags, as bits.
const FLAGS: [(char, u16); 9] = [
    ('F', 1),
    ('S', 2),
    ('R', 4),
    ('P', 8),
    ('.', 16),
    ('U', 32),
    ('E', 64),
    ('W', 128),
    ('A', 256),
];

/// A packet after its direction.
pub(super) fn packet(scanner: &mut Scanner<'_>, defines: &Defines) -> Result<PacketSpec, String> {
    let mut ip = IpSpec::default();
    let mut quoted = None;
    while scanner.eat("[") {
        if scanner.peek().is_some_and(|c| c.is_ascii_digit()) {
            quoted = Some(range(scanner)?);
            scanner.expect("]")?;
        } else if scanner.eat("udp") {
            scanner.expect("(")?;
            quoted = Some(Range {
                start: 0,
                length: scanner.number()? as usize,
            });
            scanner.expect(")")?;
            scanner.expect("]")?;
        } else {
            ip = ip_spec(scanner)?;
        }
    }
    let body = if scanner.eat("udp") {
        scanner.expect("(")?;
        let length = scanner.number()? as usize;
        scanner.expect(")")?;
        Body::Udp(length)
    } else if scanner.eat("icmp") {
        icmp(scanner, quoted)?
    } else {
        Body::Tcp(segment(scanner, defines)?)
    };
    Ok(PacketSpec { ip, body })
}

fn ip_spec(scanner: &mut Scanner<'_>) -> Result<IpSpec, String> {
    let mut ip = IpSpec::default();
    loop {
        match scanner.word() {
            "noecn" => ip.ecn = Some(0),
            "ect1" => ip.ecn = Some(1),
            "ect0" => ip.ecn = Some(2),
            "ce" => ip.ecn = Some(3),
            "ect01" => ip.either = true,
            "tos" => ip.tos = Some(scanner.number()? as u8),
            "ttl" => ip.hop_limit = Some(scanner.number()? as u8),
            "flowlabel" => {
                scanner.number()?;
            }
            other => return Err(format!("unknown word about IP: {other}")),
        }
        if scanner.eat("]") {
            return Ok(ip);
        }
        scanner.expect(",")?;
    }
}

fn icmp(scanner: &mut Scanner<'_>, quoted: Option<Range>) -> Result<Body, String> {
    let kind = scanner.word().to_owned();
    let mut code = None;
    let mut mtu = None;
    loop {
        let mut ahead = scanner.clone();
        match ahead.word() {
            "mtu" => {
                mtu = Some(ahead.number()? as u32);
            }
            name if !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && code.is_none() => {
                code = Some(name.to_owned());
            }
            _ => break,
        }
        *scanner = ahead;
    }
    let quoted = match quoted {
        None if scanner.eat("[") => {
            let range = range(scanner)?;
            scanner.expect("]")?;
            Some(range)
        }
        quoted => quoted,
    };
    Ok(Body::Icmp {
        kind,
        code,
        mtu,
        quoted,
    })
}

/// `1:1001(1000)`.
fn range(scanner: &mut Scanner<'_>) -> Result<Range, String> {
    let start = scanner.number()?;
    scanner.expect(":")?;
    scanner.number()?;
    scanner.expect("(")?;
    let length = scanner.number()? as usize;
    scanner.expect(")")?;
    Ok(Range {
        start: start as u32,
        length,
    })
}

fn segment(scanner: &mut Scanner<'_>, defines: &Defines) -> Result<SegmentSpec, String> {
    let mut spec = SegmentSpec::default();
    if scanner.peek().is_some_and(|c| c.is_ascii_digit()) {
        let from = scanner.number()? as u16;
        scanner.expect(">")?;
        let to = scanner.number()? as u16;
        scanner.eat(":");
        spec.ports = Some((from, to));
    }
    let letters = scanner.take_while(|c| !c.is_whitespace());
    for letter in letters.chars() {
        if letter == '-' {
            continue;
        }
        // A digit is AccECN's counter in the three bits of AE, CWR and ECE.
        if let Some(counter) = letter.to_digit(8) {
            spec.flags |= ((counter as u16) & 4) << 6 | ((counter as u16) & 2) << 6 | ((counter as u16) & 1) << 6;
            continue;
        }
        let flag = FLAGS.iter().find(|(known, _)| *known == letter);
        spec.flags |= flag.ok_or_else(|| format!("unknown flag in '{letters}'"))?.1;
    }
    spec.range = range(scanner)?;
    if scanner.eat("ack") {
        spec.ack = Some(scanner.number()? as u32);
    }
    if scanner.eat("win") {
        spec.window = Some(scanner.number()? as u16);
    }
    if scanner.eat("urg") {
        spec.urgent = Some(scanner.number()? as u16);
    }
    spec.options = if scanner.eat("<") {
        if scanner.eat("...") {
            scanner.expect(">")?;
            None
        } else {
            Some(tcp_options(scanner, defines)?)
        }
    } else {
        Some(Vec::new())
    };
    Ok(spec)
}

fn tcp_options(scanner: &mut Scanner<'_>, defines: &Defines) -> Result<Vec<TcpOption>, String> {
    let mut options = Vec::new();
    if scanner.eat(">") {
        return Ok(options);
    }
    loop {
        options.push(tcp_option(scanner, defines)?);
        if scanner.eat(">") {
            return Ok(options);
        }
        scanner.expect(",")?;
    }
}

fn tcp_option(scanner: &mut Scanner<'_>, defines: &Defines) -> Result<TcpOption, String> {
    Ok(match scanner.word() {
        "eol" => TcpOption::End,
        "nop" => TcpOption::Nop,
        "mss" => TcpOption::Mss(scanner.number()? as u16),
        "wscale" => TcpOption::Scale(scanner.number()? as u8),
        "sackOK" => TcpOption::SackPermitted,
        "sack" => {
            let mut blocks = Vec::new();
            while scanner.peek().is_some_and(|c| c.is_ascii_digit()) {
                let left = scanner.number()? as u32;
                scanner.expect(":")?;
                blocks.push((left, scanner.number()? as u32));
            }
            TcpOption::Sack(blocks)
        }
        "TS" => {
            scanner.expect("val")?;
            let value = scanner.number()? as u32;
            scanner.expect("ecr")?;
            TcpOption::Timestamps {
                value,
                echo: scanner.number()? as u32,
            }
        }
        "FO" => TcpOption::FastOpen(hex(scanner, defines)?),
        "FOEXP" => TcpOption::FastOpenExperimental(hex(scanner, defines)?),
        "ECN" | "ECN0" | "ECN1" => {
            let mut fields = Vec::new();
            loop {
                let field = if scanner.eat("e1b") {
                    '1'
                } else if scanner.eat("ceb") {
                    'c'
                } else if scanner.eat("e0b") {
                    '0'
                } else {
                    break;
                };
                fields.push((field, scanner.number()? as u32));
            }
            TcpOption::AccEcn(fields)
        }
        "md5" | "MD5" => {
            let digest = hex(scanner, defines)?;
            TcpOption::Md5(if digest.is_empty() { vec![0; 16] } else { digest })
        }
        other => return Err(format!("unknown option {other}")),
    })
}

/// An even number of hexadecimal digits, or none; or a name that stands for some.
fn hex(scanner: &mut Scanner<'_>, defines: &Defines) -> Result<Vec<u8>, String> {
    let word = scanner.word();
    let digits = defines
        .iter()
        .find(|(name, _)| name == word)
        .map_or(word, |(_, value)| value);
    if !digits.bytes().all(|c| c.is_ascii_hexdigit()) {
        return Err(format!("{digits} is no cookie"));
    }
    let digits = digits.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return Err("a cookie has an even number of digits".into());
    }
    let digit = |c: u8| (c as char).to_digit(16).unwrap_or(0) as u8;
    Ok(digits
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect())
}
