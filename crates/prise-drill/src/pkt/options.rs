//! TCP options in octets, both ways.

use super::packet::TcpOption;

/// Fast Open's option before it had a number of its own: kind 254 with this magic (RFC 6994).
const EXPERIMENT: u8 = 254;
const FAST_OPEN_MAGIC: [u8; 2] = [0xf9, 0x89];
/// Signatures (RFC 2385).
const MD5: u8 = 19;
/// AccECN's two orders of counters (RFC 9768 §3.2.3).
const ACC_ECN_0: u8 = 172;
const ACC_ECN_1: u8 = 174;

/// The octets of a list of options, padded as packetdrill pads: with what the script says, and NOPs at the end if need be.
pub(super) fn emit(options: &[TcpOption]) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    for option in options {
        emit_one(option, &mut octets);
    }
    if !octets.len().is_multiple_of(4) {
        return Err(format!(
            "the options take {} octets, which is no multiple of 4",
            octets.len()
        ));
    }
    if octets.len() > 40 {
        return Err("the options take more than 40 octets".into());
    }
    Ok(octets)
}

fn emit_one(option: &TcpOption, octets: &mut Vec<u8>) {
    match option {
        TcpOption::End => octets.push(0),
        TcpOption::Nop => octets.push(1),
        TcpOption::Mss(mss) => {
            octets.extend([2, 4]);
            octets.extend(mss.to_be_bytes());
        }
        TcpOption::Scale(shift) => octets.extend([3, 3, *shift]),
        TcpOption::SackPermitted => octets.extend([4, 2]),
        TcpOption::Sack(blocks) => {
            octets.extend([5, 2 + 8 * blocks.len() as u8]);
            for (left, right) in blocks {
                octets.extend(left.to_be_bytes());
                octets.extend(right.to_be_bytes());
            }
        }
        TcpOption::Timestamps { value, echo } => {
            octets.extend([8, 10]);
            octets.extend(value.to_be_bytes());
            octets.extend(echo.to_be_bytes());
        }
        TcpOption::FastOpen(cookie) => {
            octets.extend([34, 2 + cookie.len() as u8]);
            octets.extend(cookie);
        }
        TcpOption::FastOpenExperimental(cookie) => {
            octets.extend([EXPERIMENT, 4 + cookie.len() as u8]);
            octets.extend(FAST_OPEN_MAGIC);
            octets.extend(cookie);
        }
        TcpOption::AccEcn(fields) => {
            let kind = if fields.first().is_some_and(|(name, _)| *name == '0') {
                ACC_ECN_0
            } else {
                ACC_ECN_1
            };
            octets.extend([kind, 2 + 3 * fields.len() as u8]);
            for (_, count) in fields {
                octets.extend(&count.to_be_bytes()[1..]);
            }
        }
        TcpOption::Md5(digest) => {
            octets.extend([MD5, 2 + digest.len() as u8]);
            octets.extend(digest);
        }
    }
}

/// Reads options; what is unknown is left out.
pub(super) fn read(octets: &[u8]) -> Vec<TcpOption> {
    let mut options = Vec::new();
    let mut rest = octets;
    while let Some((&kind, after)) = rest.split_first() {
        match kind {
            0 => {
                options.push(TcpOption::End);
                rest = after;
            }
            1 => {
                options.push(TcpOption::Nop);
                rest = after;
            }
            _ => {
                let len = after.first().map_or(0, |len| usize::from(*len));
                if len < 2 || len > rest.len() {
                    break;
                }
                if let Some(option) = read_one(kind, &rest[2..len]) {
                    options.push(option);
                }
                rest = &rest[len..];
            }
        }
    }
    options
}

fn read_one(kind: u8, data: &[u8]) -> Option<TcpOption> {
    let word = |at: usize| Some(u32::from_be_bytes(*data.get(at..)?.first_chunk()?));
    Some(match kind {
        2 => TcpOption::Mss(u16::from_be_bytes(*data.first_chunk()?)),
        3 => TcpOption::Scale(*data.first()?),
        4 => TcpOption::SackPermitted,
        5 => TcpOption::Sack(
            (0..data.len() / 8)
                .filter_map(|i| Some((word(8 * i)?, word(8 * i + 4)?)))
                .collect(),
        ),
        8 => TcpOption::Timestamps {
            value: word(0)?,
            echo: word(4)?,
        },
        34 => TcpOption::FastOpen(data.to_vec()),
        MD5 => TcpOption::Md5(data.to_vec()),
        EXPERIMENT if data.starts_with(&FAST_OPEN_MAGIC) => TcpOption::FastOpenExperimental(data[2..].to_vec()),
        ACC_ECN_0 | ACC_ECN_1 => {
            let names = if kind == ACC_ECN_0 {
                ['0', 'c', '1']
            } else {
                ['1', 'c', '0']
            };
            let count = |three: &[u8]| u32::from_be_bytes([0, three[0], three[1], three[2]]);
            TcpOption::AccEcn(
                data.chunks_exact(3)
                    .zip(names)
                    .map(|(three, name)| (name, count(three)))
                    .collect(),
            )
        }
        _ => return None,
    })
}
