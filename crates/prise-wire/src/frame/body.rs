//! The payload of a frame: pieces that are referred to, not copied.

use crate::Payload;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Payload octets as a list of pieces in order; none of the pieces is empty. Two pieces need no allocation.
#[derive(Clone, Debug)]
pub struct Body {
    pieces: Pieces,
    len: usize,
}

#[derive(Clone, Debug)]
enum Pieces {
    /// Up to two; an empty payload means "none", and the second is empty when the first is.
    Few(Payload, Payload),
    Many(VecDeque<Payload>),
}

impl Body {
    /// No payload.
    pub const fn new() -> Self {
        Self {
            pieces: Pieces::Few(Payload::new(), Payload::new()),
            len: 0,
        }
    }

    /// How many octets.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many pieces.
    pub fn piece_count(&self) -> usize {
        self.pieces().count()
    }

    /// The pieces in order, by reference.
    pub fn pieces(&self) -> impl Iterator<Item = &Payload> {
        let (few, many) = match &self.pieces {
            Pieces::Few(first, second) => (Some([first, second]), None),
            Pieces::Many(pieces) => (None, Some(pieces)),
        };
        few.into_iter()
            .flatten()
            .filter(|piece| !piece.is_empty())
            .chain(many.into_iter().flatten())
    }

    /// The pieces' octets in order.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces().map(Payload::as_slice)
    }

    /// Takes the first piece.
    pub fn pop_front(&mut self) -> Option<Payload> {
        let piece = match &mut self.pieces {
            Pieces::Few(first, second) => core::mem::replace(first, core::mem::take(second)),
            Pieces::Many(pieces) => pieces.pop_front().unwrap_or_default(),
        };
        self.len -= piece.len();
        (!piece.is_empty()).then_some(piece)
    }

    /// Takes the last piece.
    pub fn pop_back(&mut self) -> Option<Payload> {
        let piece = match &mut self.pieces {
            Pieces::Few(first, second) if second.is_empty() => core::mem::take(first),
            Pieces::Few(_, second) => core::mem::take(second),
            Pieces::Many(pieces) => pieces.pop_back().unwrap_or_default(),
        };
        self.len -= piece.len();
        (!piece.is_empty()).then_some(piece)
    }

    /// Adds a piece at the end.
    pub fn push_back(&mut self, piece: Payload) {
        if piece.is_empty() {
            return;
        }
        self.len += piece.len();
        match &mut self.pieces {
            Pieces::Few(first, _) if first.is_empty() => *first = piece,
            Pieces::Few(_, second) if second.is_empty() => *second = piece,
            Pieces::Few(..) => self.spread().push_back(piece),
            Pieces::Many(pieces) => pieces.push_back(piece),
        }
    }

    /// Adds a piece before all others.
    pub fn push_front(&mut self, piece: Payload) {
        if piece.is_empty() {
            return;
        }
        self.len += piece.len();
        match &mut self.pieces {
            Pieces::Few(first, second) if second.is_empty() => *second = core::mem::replace(first, piece),
            Pieces::Few(..) => self.spread().push_front(piece),
            Pieces::Many(pieces) => pieces.push_front(piece),
        }
    }

    /// Moves the pieces into a list that can hold more than two.
    fn spread(&mut self) -> &mut VecDeque<Payload> {
        if let Pieces::Few(first, second) = &mut self.pieces {
            let mut pieces = VecDeque::with_capacity(8);
            pieces.extend(
                [core::mem::take(first), core::mem::take(second)]
                    .into_iter()
                    .filter(|p| !p.is_empty()),
            );
            self.pieces = Pieces::Many(pieces);
        }
        match &mut self.pieces {
            Pieces::Many(pieces) => pieces,
            Pieces::Few(..) => unreachable!("replaced above"),
        }
    }

    /// Adds all pieces of `other` at the end.
    pub fn append(&mut self, mut other: Self) {
        while let Some(piece) = other.pop_front() {
            self.push_back(piece);
        }
    }

    /// Drops the first `n` octets (all, if there are fewer).
    pub fn trim_front(&mut self, mut n: usize) {
        while n > 0 {
            let Some(mut piece) = self.pop_front() else { return };
            if n < piece.len() {
                piece.trim_front(n);
                self.push_front(piece);
                return;
            }
            n -= piece.len();
        }
    }

    /// Keeps the first `len` octets and drops the rest.
    pub fn truncate(&mut self, len: usize) {
        while self.len > len {
            let surplus = self.len - len;
            let Some(mut piece) = self.pop_back() else { return };
            if surplus < piece.len() {
                piece.truncate(piece.len() - surplus);
                self.push_back(piece);
            }
        }
    }

    /// Takes the first `n` octets (all, if there are fewer) off the front and returns them.
    #[must_use = "use trim_front to drop octets"]
    pub fn split_to(&mut self, n: usize) -> Self {
        let mut front = Self::new();
        while front.len < n {
            let Some(mut piece) = self.pop_front() else { break };
            if piece.len() <= n - front.len {
                front.push_back(piece);
            } else {
                front.push_back(piece.split_to(n - front.len));
                self.push_front(piece);
            }
        }
        front
    }

    /// The octets from `from` on, `len` of them or as many as there are, by reference.
    #[must_use]
    pub fn slice(&self, from: usize, len: usize) -> Self {
        let mut out = Self::new();
        let mut skip = from;
        for piece in self.pieces() {
            let wanted = len - out.len;
            if wanted == 0 {
                break;
            }
            if skip < piece.len() {
                let end = piece.len().min(skip.saturating_add(wanted));
                out.push_back(piece.slice(skip..end));
            }
            skip = skip.saturating_sub(piece.len());
        }
        out
    }

    /// Copies the octets to the front of `out`, as many as fit, and says how many that were.
    pub fn copy_to(&self, out: &mut [u8]) -> usize {
        let mut at = 0;
        for slice in self.slices() {
            let n = slice.len().min(out.len() - at);
            out[at..at + n].copy_from_slice(&slice[..n]);
            at += n;
        }
        at
    }

    /// How many octets of memory the pieces keep alive.
    pub fn pinned(&self) -> usize {
        self.pieces().map(Payload::pinned).sum()
    }

    /// Copies the pieces that would pin much more memory than they are (see [`Payload::compact`]).
    pub fn compact(&mut self) {
        if self.pieces().any(|piece| piece.pinned() > 2 * piece.len()) {
            *self = core::mem::take(self).into_iter().map(Payload::compact).collect();
        }
    }

    /// All octets in memory of their own.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(self.len);
        for slice in self.slices() {
            octets.extend_from_slice(slice);
        }
        octets
    }

    /// All octets as one payload: the piece itself if there is only one, a copy otherwise.
    pub fn to_payload(&self) -> Payload {
        let mut pieces = self.pieces();
        match (pieces.next(), pieces.next()) {
            (None, _) => Payload::new(),
            (Some(only), None) => only.clone(),
            (Some(_), Some(_)) => self.to_vec().into(),
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Body {
    /// The same octets, however cut.
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.slices().flatten().eq(other.slices().flatten())
    }
}

impl Eq for Body {}

impl From<Payload> for Body {
    fn from(piece: Payload) -> Self {
        let mut body = Self::new();
        body.push_back(piece);
        body
    }
}

impl From<Vec<u8>> for Body {
    fn from(octets: Vec<u8>) -> Self {
        Payload::from(octets).into()
    }
}

impl FromIterator<Payload> for Body {
    fn from_iter<I: IntoIterator<Item = Payload>>(pieces: I) -> Self {
        let mut body = Self::new();
        body.extend(pieces);
        body
    }
}

impl Extend<Payload> for Body {
    fn extend<I: IntoIterator<Item = Payload>>(&mut self, pieces: I) {
        for piece in pieces {
            self.push_back(piece);
        }
    }
}

impl Iterator for IntoPieces {
    type Item = Payload;
    fn next(&mut self) -> Option<Payload> {
        self.0.pop_front()
    }
}

/// The pieces of a body, by value.
#[derive(Clone, Debug)]
pub struct IntoPieces(Body);

impl IntoIterator for Body {
    type Item = Payload;
    type IntoIter = IntoPieces;
    fn into_iter(self) -> IntoPieces {
        IntoPieces(self)
    }
}
