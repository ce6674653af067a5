//! A segment's line, after its direction.

use super::words::{Words, literal};
use crate::option::Opt;
use crate::script::{Ack, Echo, Segment, Seq, flag};

/// `FLAGS [SEQ[:END] | +LEN] [ack N|*] [win N] …`.
pub(super) fn segment(words: &mut Words, flow: usize) -> Result<Segment, String> {
    let mut segment = Segment {
        flow,
        flags: flags(words.need("the flags")?)?,
        seq: Seq::Next,
        len: None,
        ack: None,
        win: None,
        urgent: None,
        options: None,
        sack: Vec::new(),
        ts: None,
        echo: None,
        save: None,
        no_ts: false,
        ecn: None,
        tos: None,
        ttl: None,
        ip_options: false,
        data: None,
        bad_checksum: false,
        data_offset: None,
        reserved: 0,
    };
    place(words, &mut segment)?;
    while let Some(word) = words.next() {
        term(words, &mut segment, word)?;
    }
    if let Some(data) = &segment.data {
        let len = data.len() as u32;
        if segment.len.is_some_and(|said| said != len) {
            return Err(format!("the string has {len} octets"));
        }
        segment.len = Some(len);
    }
    Ok(segment)
}

/// Flags by their letters; `-` for none.
fn flags(word: &str) -> Result<u16, String> {
    if word == "-" {
        return Ok(0);
    }
    word.chars().try_fold(0, |all, letter| {
        flag::LETTERS
            .iter()
            .find(|(known, _)| *known == letter)
            .map(|(_, bit)| all | bit)
            .ok_or_else(|| format!("{letter} is no flag, in {word}"))
    })
}

/// The sequence numbers, if the next word is about them.
fn place(words: &mut Words, segment: &mut Segment) -> Result<(), String> {
    let Some(word) = words.peek() else { return Ok(()) };
    if let Some(len) = word.strip_prefix('+') {
        segment.len = Some(len.parse().map_err(|_| format!("{word} is no length"))?);
    } else if word == "new" {
        segment.seq = Seq::New;
    } else if let Some((start, end)) = word.split_once(':') {
        let (start, end) = (relative(start)?, relative(end)?);
        segment.seq = Seq::At(start);
        let len = u32::try_from(end - start).map_err(|_| format!("{word} ends before it starts"))?;
        segment.len = Some(len);
    } else if let Ok(start) = relative(word) {
        segment.seq = Seq::At(start);
    } else {
        return Ok(());
    }
    words.next();
    Ok(())
}

fn relative(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("{text} is no sequence number"))
}

fn term(words: &mut Words, segment: &mut Segment, word: &str) -> Result<(), String> {
    match word {
        "ack" => {
            segment.ack = Some(match words.need("an acknowledgment number")? {
                "*" => Ack::All,
                number => Ack::At(relative(number)?),
            });
        }
        "win" => segment.win = Some(window(words.need("a window")?)?),
        "urg" => segment.urgent = Some(words.number("an urgent pointer")?),
        "sack" => {
            while let Some((left, right)) = words.peek().and_then(|word| word.split_once(':')) {
                segment.sack.push((relative(left)?, relative(right)?));
                words.next();
            }
        }
        "ts" => segment.ts = Some(words.number("a timestamp")?),
        "ecr" => {
            let word = words.need("a timestamp or a saved name")?;
            segment.echo = Some(match word.parse() {
                Ok(value) => Echo::Value(value),
                Err(_) => Echo::Saved(word.into()),
            });
        }
        "save" => segment.save = Some(words.need("a name")?.into()),
        "no-ts" => segment.no_ts = true,
        "not-ect" => segment.ecn = Some(0),
        "ect1" => segment.ecn = Some(1),
        "ect0" => segment.ecn = Some(2),
        "ce" => segment.ecn = Some(3),
        "tos" => segment.tos = Some(words.number("a field")?),
        "ttl" => segment.ttl = Some(words.number("a number of hops")?),
        "ip-options" => segment.ip_options = true,
        "bad-checksum" => segment.bad_checksum = true,
        "data-offset" => segment.data_offset = Some(words.number("a number of words")?),
        "reserved" => segment.reserved = words.number("three bits")?,
        word => {
            if let Some(data) = literal(word) {
                segment.data = Some(data);
            } else if let Some(list) = word.strip_prefix('<').and_then(|word| word.strip_suffix('>')) {
                segment.options = Some(options(list)?);
            } else {
                return Err(format!("what is {word} in a segment?"));
            }
        }
    }
    Ok(())
}

/// `100` or `100..200`.
fn window(word: &str) -> Result<(u16, u16), String> {
    let number = |text: &str| text.parse().map_err(|_| format!("{word} is no window"));
    match word.split_once("..") {
        Some((min, max)) => Ok((number(min)?, number(max)?)),
        None => Ok((number(word)?, number(word)?)),
    }
}

/// Options, separated by commas. SACK blocks are relative here.
pub(super) fn options(list: &str) -> Result<Vec<Opt>, String> {
    list.split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(one_option)
        .collect()
}

fn one_option(text: &str) -> Result<Opt, String> {
    let mut words = text.split_whitespace();
    let number = |word: Option<&str>| -> Result<u32, String> {
        word.and_then(|word| word.parse().ok())
            .ok_or_else(|| format!("{text}: a number is missing"))
    };
    Ok(match words.next().unwrap_or_default() {
        "eol" => Opt::Eol,
        "nop" => Opt::Nop,
        "mss" => Opt::Mss(number(words.next())? as u16),
        "wscale" => Opt::Scale(number(words.next())? as u8),
        "sackOK" => Opt::SackOk,
        "sack" => Opt::Sack(words.map(block).collect::<Result<_, _>>()?),
        "TS" => {
            let (mut value, mut echo) = (None, None);
            while let Some(word) = words.next() {
                match word {
                    "val" => value = Some(number(words.next())?),
                    "ecr" => echo = Some(number(words.next())?),
                    _ => return Err(format!("what is {word} in {text}?")),
                }
            }
            Opt::Timestamps { value, echo }
        }
        "FO" => match words.next() {
            Some(word) => match word.strip_prefix('$') {
                Some(name) => Opt::FastOpenNamed(name.into()),
                None => Opt::FastOpen(Some(hex(word)?)),
            },
            None => Opt::FastOpen(None),
        },
        "md5" => Opt::Signature(words.next().ok_or("md5 KEY")?.into()),
        "FO-request" => Opt::FastOpen(Some(Vec::new())),
        "raw" => {
            let (kind, octets) = words
                .next()
                .and_then(|word| word.split_once(':'))
                .ok_or("raw KIND:HEX")?;
            Opt::Other(number(Some(kind))? as u8, hex(octets)?)
        }
        "hex" => Opt::Octets(hex(words.next().unwrap_or_default())?),
        _ => return Err(format!("no option {text}")),
    })
}

fn block(word: &str) -> Result<(u32, u32), String> {
    let (left, right) = word.split_once(':').ok_or_else(|| format!("{word} is no block"))?;
    Ok((relative(left)? as u32, relative(right)? as u32))
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    (0..text.len())
        .step_by(2)
        .map(|at| {
            text.get(at..at + 2)
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .ok_or_else(|| format!("{text} is no hexadecimal"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Segment {
        segment(&mut Words::new(text).expect("words"), 1).expect("a segment")
    }

    #[test]
    fn a_segment_says_only_what_matters() {
        let syn = read("S 0 win 100 <mss 1460,sackOK,TS val 5 ecr 0,nop,wscale 7>");
        assert_eq!((syn.flags, syn.seq, syn.win), (flag::SYN, Seq::At(0), Some((100, 100))));
        assert_eq!(syn.options.map(|options| options.len()), Some(5));
        let data = read("P. 1:1001 ack * sack 2001:3001 4001:5001 ecr a");
        assert_eq!((data.seq, data.len, data.ack), (Seq::At(1), Some(1000), Some(Ack::All)));
        assert_eq!(data.sack, [(2001, 3001), (4001, 5001)]);
        assert_eq!(data.echo, Some(Echo::Saved("a".into())));
        let next = read("P. \"abc\"");
        assert_eq!((next.seq, next.len), (Seq::Next, Some(3)));
    }
}
