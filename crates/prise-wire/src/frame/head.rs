//! The headers of a frame, inline, with room before them.

use core::fmt;
use core::ops::{Deref, DerefMut};

/// How many octets of headers a frame holds inline. Ethernet with a VLAN tag (18), IPv4 with all options (60) and
/// TCP with all options (60) are 138; IPv6 leaves 74 for extension headers.
pub const HEAD_MAX: usize = 192;

/// Up to [`HEAD_MAX`] octets that grow at the front: TCP writes first, then IP, then the link.
#[derive(Clone)]
pub struct Head {
    octets: [u8; HEAD_MAX],
    start: u8,
    end: u8,
}

impl Head {
    /// No octets; all the room is in front.
    pub const fn new() -> Self {
        Self {
            octets: [0; HEAD_MAX],
            start: HEAD_MAX as u8,
            end: HEAD_MAX as u8,
        }
    }

    /// The first octets of `octets`, at most [`HEAD_MAX`] of them.
    pub fn copy_from(octets: &[u8]) -> Self {
        let mut head = Self::new();
        let n = octets.len().min(HEAD_MAX);
        head.grow_front(n).copy_from_slice(&octets[..n]);
        head
    }

    /// How much [`grow_front`](Self::grow_front) can add.
    pub const fn headroom(&self) -> usize {
        HEAD_MAX - self.len()
    }

    /// How many octets are held.
    pub const fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether none is held.
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Adds `n` octets (as many as there is room for) in front and returns them, zeroed.
    pub fn grow_front(&mut self, n: usize) -> &mut [u8] {
        let n = n.min(self.headroom());
        if n > usize::from(self.start) {
            self.shift_to(HEAD_MAX - self.len());
        }
        self.start -= n as u8;
        let start = usize::from(self.start);
        let grown = &mut self.octets[start..start + n];
        grown.fill(0);
        grown
    }

    /// Adds `n` octets (as many as there is room for) at the end and returns them, zeroed.
    pub fn grow_back(&mut self, n: usize) -> &mut [u8] {
        let n = n.min(self.headroom());
        if n > HEAD_MAX - usize::from(self.end) {
            self.shift_to(HEAD_MAX - self.len() - n);
        }
        let end = usize::from(self.end);
        self.end += n as u8;
        let grown = &mut self.octets[end..end + n];
        grown.fill(0);
        grown
    }

    /// Moves the content so that it begins at `start`.
    fn shift_to(&mut self, start: usize) {
        let (from, to) = (usize::from(self.start), usize::from(self.end));
        self.octets.copy_within(from..to, start);
        self.start = start as u8;
        self.end = (start + (to - from)) as u8;
    }

    /// Drops the first `n` octets (all, if there are fewer).
    pub fn trim_front(&mut self, n: usize) {
        self.start += n.min(self.len()) as u8;
    }

    /// Keeps the first `len` octets.
    pub fn truncate(&mut self, len: usize) {
        self.end = self.start + len.min(self.len()) as u8;
    }
}

impl Default for Head {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Head {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.octets[usize::from(self.start)..usize::from(self.end)]
    }
}

impl DerefMut for Head {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.octets[usize::from(self.start)..usize::from(self.end)]
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Head {}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head[{}; {:02x?}]", self.len(), &**self)
    }
}
