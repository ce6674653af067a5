//! Messages and attributes: `struct nlmsghdr` and `struct nlattr` (linux/netlink.h), read from programs and written for them.

use crate::octets::{u16_at, u32_at};
use alloc::vec::Vec;

/// Octets of a message's header, and what everything is aligned to.
const HEADER_LEN: usize = 16;
const ALIGNMENT: usize = 4;

/// `NLM_F_REQUEST`.
pub(super) const REQUEST: u16 = 0x1;
/// `NLM_F_MULTI`: more follows, until [`DONE`].
pub(super) const MULTI: u16 = 0x2;
/// `NLM_F_ACK`.
pub(super) const ACK: u16 = 0x4;
/// `NLM_F_DUMP_FILTERED`: not everything, as was asked for.
pub(super) const DUMP_FILTERED: u16 = 0x20;
/// `NLM_F_DUMP`, on requests.
pub(super) const DUMP: u16 = 0x300;
/// `NLM_F_CAPPED`, on acknowledgments: only the header of what was asked is quoted.
pub(super) const CAPPED: u16 = 0x100;

/// `NLMSG_ERROR`.
pub(super) const ERROR: u16 = 2;
/// `NLMSG_DONE`.
pub(super) const DONE: u16 = 3;
/// `NLMSG_MIN_TYPE`: what is below is for control.
pub(super) const TYPE_MIN: u16 = 0x10;

/// The part of an attribute's type that is a type; the rest says that it is nested or in network order.
const ATTRIBUTE_TYPE: u16 = 0x3fff;

const fn aligned(len: usize) -> usize {
    len.next_multiple_of(ALIGNMENT)
}

/// One message from a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`.
    pub sequence: u32,
    /// Everything after the header.
    pub body: &'a [u8],
    /// The whole message, as an error quotes it.
    pub octets: &'a [u8],
}

impl<'a> Request<'a> {
    /// The attributes behind a family's own header of `len` octets.
    pub fn attributes(&self, len: usize) -> Attributes<'a> {
        Attributes::new(self.body.get(aligned(len)..).unwrap_or(&[]))
    }
}

/// The messages of one datagram; what follows one that cannot be is not looked at (`netlink_rcv_skb`).
pub fn requests(datagram: &[u8]) -> impl Iterator<Item = Request<'_>> {
    let mut rest = datagram;
    core::iter::from_fn(move || {
        if rest.len() < HEADER_LEN {
            return None;
        }
        let len = u32_at(rest, 0) as usize;
        if len < HEADER_LEN || len > rest.len() {
            return None;
        }
        let octets = &rest[..len];
        rest = rest.get(aligned(len)..).unwrap_or(&[]);
        Some(Request {
            kind: u16_at(octets, 4),
            flags: u16_at(octets, 6),
            sequence: u32_at(octets, 8),
            body: &octets[HEADER_LEN..],
            octets,
        })
    })
}

/// Attributes in a row; of those of one type the last counts, as in the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    octets: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// The attributes that these octets hold.
    pub const fn new(octets: &'a [u8]) -> Self {
        Self { octets }
    }

    /// Type and value of each, up to the first that cannot be.
    pub fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        const HEADER: usize = 4;
        let mut rest = self.octets;
        core::iter::from_fn(move || {
            if rest.len() < HEADER {
                return None;
            }
            let len = usize::from(u16_at(rest, 0));
            if len < HEADER || len > rest.len() {
                return None;
            }
            let (kind, value) = (u16_at(rest, 2) & ATTRIBUTE_TYPE, &rest[HEADER..len]);
            rest = rest.get(aligned(len)..).unwrap_or(&[]);
            Some((kind, value))
        })
    }

    /// The value of an attribute.
    pub fn get(self, kind: u16) -> Option<&'a [u8]> {
        self.iter().filter(|it| it.0 == kind).last().map(|it| it.1)
    }

    /// The value of an attribute that is a number.
    pub fn number(self, kind: u16) -> Option<u32> {
        self.get(kind)
            .filter(|value| value.len() >= 4)
            .map(|value| u32_at(value, 0))
    }

    /// The value of an attribute that is a text ending in a zero.
    pub fn text(self, kind: u16) -> Option<&'a [u8]> {
        let value = self.get(kind)?;
        value.split(|&octet| octet == 0).next()
    }
}

/// A message being written.
#[derive(Clone, Debug)]
pub struct Message {
    octets: Vec<u8>,
}

impl Message {
    /// A message with nothing after its header. `port`: whose it is.
    pub fn new(kind: u16, flags: u16, sequence: u32, port: u32) -> Self {
        let mut octets = Vec::with_capacity(256);
        octets.extend_from_slice(&[0; 4]);
        octets.extend_from_slice(&kind.to_ne_bytes());
        octets.extend_from_slice(&flags.to_ne_bytes());
        octets.extend_from_slice(&sequence.to_ne_bytes());
        octets.extend_from_slice(&port.to_ne_bytes());
        Self { octets }
    }

    /// Octets of a family's own header.
    #[must_use]
    pub fn with(mut self, octets: &[u8]) -> Self {
        self.octets.extend_from_slice(octets);
        self
    }

    /// An attribute.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        let len = 4 + value.len();
        // No value here is longer than 16 bits can say; what were would be cut.
        let len = u16::try_from(len).unwrap_or(u16::MAX);
        self.pad();
        self.octets.extend_from_slice(&len.to_ne_bytes());
        self.octets.extend_from_slice(&kind.to_ne_bytes());
        self.octets.extend_from_slice(&value[..usize::from(len) - 4]);
        self.pad();
    }

    /// An attribute of one octet.
    pub fn u8(&mut self, kind: u16, value: u8) {
        self.attribute(kind, &[value]);
    }

    /// An attribute of four octets.
    pub fn u32(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    /// A text, with the zero that ends it.
    pub fn text(&mut self, kind: u16, value: &str) {
        let mut octets = Vec::with_capacity(value.len() + 1);
        octets.extend_from_slice(value.as_bytes());
        octets.push(0);
        self.attribute(kind, &octets);
    }

    /// An attribute that holds attributes.
    pub fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        self.pad();
        let at = self.octets.len();
        self.octets.extend_from_slice(&[0; 2]);
        self.octets.extend_from_slice(&kind.to_ne_bytes());
        fill(self);
        let len = u16::try_from(self.octets.len() - at).unwrap_or(u16::MAX);
        self.octets[at..at + 2].copy_from_slice(&len.to_ne_bytes());
    }

    fn pad(&mut self) {
        self.octets.resize(aligned(self.octets.len()), 0);
    }

    /// The message with its length, padded so that another may follow.
    pub fn finish(mut self) -> Vec<u8> {
        let len = (self.octets.len() as u32).to_ne_bytes();
        self.octets[..4].copy_from_slice(&len);
        self.pad();
        self.octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn what_is_written_is_read_again() {
        let mut message = Message::new(18, REQUEST | DUMP, 7, 0).with(&[1; 16]);
        message.text(3, "eth0");
        message.u32(29, 9);
        message.nested(26, |message| message.u8(1, 5));
        let octets = message.finish();
        let read: Vec<_> = requests(&octets).collect();
        assert_eq!(read.len(), 1);
        assert_eq!((read[0].kind, read[0].flags, read[0].sequence), (18, REQUEST | DUMP, 7));
        let attributes = read[0].attributes(16);
        assert_eq!(attributes.text(3), Some(b"eth0".as_slice()));
        assert_eq!(attributes.number(29), Some(9));
        let inner = Attributes::new(attributes.get(26).unwrap());
        assert_eq!(inner.get(1), Some([5].as_slice()));
        assert_eq!(attributes.get(99), None);
    }

    #[test]
    fn several_messages_come_in_one_datagram_and_a_bad_one_ends_it() {
        let one = Message::new(18, REQUEST, 1, 0).with(&[0]).finish();
        let mut datagram = one.clone();
        datagram.extend_from_slice(&one);
        datagram.extend_from_slice(&[15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        datagram.extend_from_slice(&one);
        assert_eq!(requests(&datagram).count(), 2);
        assert_eq!(requests(&datagram[..15]).count(), 0);
        let mut too_long = one;
        too_long[0] = 200;
        assert_eq!(requests(&too_long).count(), 0);
    }

    #[test]
    fn attributes_that_cannot_be_end_the_row() {
        let octets = vec![8, 0, 1, 0, 1, 2, 3, 4, 3, 0, 2, 0, 9, 9, 9, 9];
        let attributes = Attributes::new(&octets);
        assert_eq!(attributes.iter().count(), 1);
        assert_eq!(Attributes::new(&[200, 0, 1, 0]).iter().count(), 0);
        assert_eq!(Attributes::new(&[4, 0]).iter().count(), 0);
    }
}
