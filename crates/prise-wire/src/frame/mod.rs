//! The unit that crosses a link: headers inline, payload by reference, offload state beside it.
//!
//! A frame may be larger than the link's MTU: with [`Offload::gso`] set it stands for a train of segments that share
//! one header, up to 64 KiB, and is cut only where something needs to see single packets ([`Frame::segments`]).

mod body;
mod head;
mod layout;
mod offload;
mod segment;

use crate::{Emit, Payload, checksum};
use alloc::vec::Vec;
pub use body::Body;
pub use head::{HEAD_MAX, Head};
pub use layout::{IpVersion, Layout};
pub use offload::{Checksum, Gso, GsoKind, Offload};
pub use segment::Segments;

/// What a link carries: which header comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Medium {
    /// Ethernet II frames.
    Ethernet,
    /// Bare IP packets, told apart by their version nibble: loopback, TUN, capture link type RAW.
    Ip,
}

/// One link-layer unit: link, network and transport headers in `head`, the payload in `body`.
///
/// Cheap to move and, up to two pieces of payload, free of allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    head: Head,
    body: Body,
    /// Which work on this frame is still to be done, or may be skipped.
    pub offload: Offload,
}

// Frames move by value through every layer; this is the price of each move.
const _: () = assert!(size_of::<Frame>() <= 296);

impl Frame {
    /// A frame of these parts, complete on the wire and yet to be verified.
    pub const fn new(head: Head, body: Body) -> Self {
        Self {
            head,
            body,
            offload: Offload::NONE,
        }
    }

    /// A frame with one header in its head and room before it.
    pub fn with_header(header: &impl Emit, body: Body) -> Self {
        let mut frame = Self::new(Head::new(), body);
        frame.push_header(header);
        frame
    }

    /// A frame as it came from a device: the head ends after the transport header (after the network header if there
    /// is none that prise splits off), the body is the rest, by reference. Where headers cannot be made out, the head
    /// holds what could; it never holds more than the first [`HEAD_MAX`] octets.
    pub fn from_contiguous(medium: Medium, mut octets: Payload) -> Self {
        let head_len = layout::head_len(medium, &octets).min(HEAD_MAX);
        let head = Head::copy_from(&octets[..head_len]);
        octets.trim_front(head_len);
        Self::new(head, octets.into())
    }

    /// Where the headers are, as far as they lie in the head.
    pub fn layout(&self, medium: Medium) -> Option<Layout> {
        Layout::of(medium, &self.head)
    }

    /// The headers, contiguous and in the order of the wire.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The headers, to be patched in place.
    pub fn head_mut(&mut self) -> &mut [u8] {
        &mut self.head
    }

    /// The payload.
    pub const fn body(&self) -> &Body {
        &self.body
    }

    /// The payload, to be trimmed or extended.
    pub const fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// Takes the payload out and drops the headers.
    pub fn into_body(self) -> Body {
        self.body
    }

    /// The frame's three parts.
    pub fn into_parts(self) -> (Head, Body, Offload) {
        (self.head, self.body, self.offload)
    }

    /// Everything from octet `at` on, head octets included (copied), body octets by reference.
    pub fn into_payload(mut self, at: usize) -> Body {
        self.take_payload(at)
    }

    /// Everything from octet `at` on, as [`into_payload`](Self::into_payload), without moving the frame; its body is gone.
    pub fn take_payload(&mut self, at: usize) -> Body {
        let body = core::mem::take(&mut self.body);
        self.with_head_from(at, body)
    }

    /// Everything from octet `at` on; the frame stays whole.
    pub fn payload_from(&self, at: usize) -> Body {
        self.with_head_from(at, self.body.clone())
    }

    /// The octets of the head from `at` on, then those of `body`; what lies before `at` is dropped from either.
    fn with_head_from(&self, at: usize, mut body: Body) -> Body {
        match self.head.get(at..) {
            Some([]) => {}
            Some(octets) => body.push_front(Payload::copy_from(octets)),
            None => body.trim_front(at - self.head.len()),
        }
        body
    }

    /// How many octets the frame has in all.
    pub fn total_len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Puts `octets` before everything else. [`Checksum::Partial`] moves along.
    ///
    /// If the head has no room left, its content becomes the first piece of the body; headers of one packet never
    /// need that, tunnels in tunnels may.
    pub fn push_front(&mut self, octets: &[u8]) {
        self.reserve_front(octets.len()).copy_from_slice(octets);
    }

    /// Writes a header before everything else. [`Checksum::Partial`] moves along.
    pub fn push_header(&mut self, header: &impl Emit) {
        header.emit(self.reserve_front(header.emit_len()));
    }

    /// Makes the frame `n` zero octets longer at the front (at most [`HEAD_MAX`]) and returns these.
    fn reserve_front(&mut self, n: usize) -> &mut [u8] {
        if self.head.headroom() < n {
            let spilled = core::mem::take(&mut self.head);
            self.body.push_front(Payload::copy_from(&spilled));
        }
        if let Checksum::Partial { start, .. } = &mut self.offload.checksum {
            *start = start.saturating_add(n as u16);
        }
        self.head.grow_front(n)
    }

    /// Drops the first `n` octets: strips a header. [`Checksum::Partial`] moves along.
    pub fn trim_front(&mut self, n: usize) {
        let from_head = n.min(self.head.len());
        self.head.trim_front(from_head);
        self.body.trim_front(n - from_head);
        if let Checksum::Partial { start, .. } = &mut self.offload.checksum {
            *start = start.saturating_sub(n.min(u16::MAX as usize) as u16);
        }
    }

    /// Keeps the first `len` octets: removes the padding of short Ethernet frames.
    pub fn truncate(&mut self, len: usize) {
        self.body.truncate(len.saturating_sub(self.head.len()));
        self.head.truncate(len);
    }

    /// Makes sure that the head holds at least the first `n` octets, moving them out of the body if need be.
    ///
    /// False, and nothing changed, if the frame is shorter than that or `n` is more than [`HEAD_MAX`].
    #[must_use]
    pub fn pull(&mut self, n: usize) -> bool {
        if n <= self.head.len() {
            return true;
        }
        if n > self.total_len() || n > HEAD_MAX {
            return false;
        }
        let missing = n - self.head.len();
        let out = self.head.grow_back(missing);
        let copied = self.body.copy_to(out);
        debug_assert_eq!(copied, missing, "the length was checked above");
        self.body.trim_front(missing);
        true
    }

    /// Copies the frame to the front of `out`, as much as fits, and says how much that was.
    pub fn copy_to(&self, out: &mut [u8]) -> usize {
        let mut at = 0;
        for slice in self.slices() {
            let n = slice.len().min(out.len() - at);
            out[at..at + n].copy_from_slice(&slice[..n]);
            at += n;
        }
        at
    }

    /// The whole frame as octets.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(self.total_len());
        for slice in self.slices() {
            octets.extend_from_slice(slice);
        }
        octets
    }

    /// The frame's octets as non-empty slices in order, for a gathering write.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        core::iter::once(self.head())
            .filter(|head| !head.is_empty())
            .chain(self.body.slices())
    }

    /// The packets that a wire would carry: a train of segments cut into single ones, each with its lengths,
    /// identification, sequence number, flags and a complete checksum; any other frame with its checksum completed.
    #[must_use]
    pub fn segments(self, medium: Medium) -> Segments {
        Segments::new(self, medium, true)
    }

    /// Like [`segments`](Self::segments), but checksums that nobody has computed yet stay [`Checksum::Partial`]: for
    /// links that need single packets but never leave memory.
    #[must_use]
    pub fn segments_partial(self, medium: Medium) -> Segments {
        Segments::new(self, medium, false)
    }

    /// Computes a [`Checksum::Partial`] and makes it [`Checksum::Unverified`]: fit for a real wire.
    pub fn complete_checksum(&mut self) {
        let Checksum::Partial { start, offset } = self.offload.checksum else {
            return;
        };
        self.offload.checksum = Checksum::Unverified;
        let (start, field) = (usize::from(start), usize::from(start) + usize::from(offset));
        if !self.pull(field + 2) {
            return;
        }
        let sum = self.sum_from(start);
        // Zero means "none" in UDP, and stands for itself elsewhere: who looks closely calls the other zero wrong in TCP
        // (RFC 1624 §3).
        let checksum = match offset {
            crate::udp::CHECKSUM_OFFSET => checksum::finish_nonzero(sum),
            _ => checksum::finish(sum),
        };
        self.head[field..field + 2].copy_from_slice(&checksum.to_be_bytes());
    }

    /// Whether the transport checksum may be relied on: someone vouches for it, or it holds over everything from
    /// `transport_at` on together with the pseudo-header's sum.
    pub fn is_checksum_valid(&self, transport_at: usize, pseudo_header: u16) -> bool {
        self.offload.checksum.is_trusted()
            || checksum::is_valid(checksum::combine(self.sum_from(transport_at), pseudo_header))
    }

    /// The one's-complement sum of everything from octet `at` on.
    pub fn sum_from(&self, at: usize) -> u16 {
        self.sum_range(at, usize::MAX)
    }

    /// The one's-complement sum of `len` octets from octet `at` on, or of as many as there are.
    pub fn sum_range(&self, at: usize, len: usize) -> u16 {
        let (mut skip, mut left) = (at, len);
        checksum::sum_pieces(self.slices().map(|slice| {
            let rest = slice.get(skip..).unwrap_or(&[]);
            skip = skip.saturating_sub(slice.len());
            let taken = &rest[..rest.len().min(left)];
            left -= taken.len();
            taken
        }))
    }
}
