//! Selective acknowledgments (RFC 2018), inline.

use crate::SeqNum;
use core::fmt;
use core::ops::Deref;

/// One block of octets that arrived out of order: `left` up to, but not including, `right`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SackBlock {
    /// The first sequence number of the block.
    pub left: SeqNum,
    /// The sequence number after the block.
    pub right: SeqNum,
}

impl fmt::Debug for SackBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.left, self.right)
    }
}

/// Up to four blocks, as many as fit into a header; the first may be a duplicate report (D-SACK, RFC 2883).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SackBlocks {
    blocks: [SackBlock; SackBlocks::MAX],
    len: u8,
}

impl SackBlocks {
    /// Blocks that fit into a header without other options (RFC 2018 §3).
    pub const MAX: usize = 4;

    /// No blocks.
    pub const fn new() -> Self {
        const NONE: SackBlock = SackBlock {
            left: SeqNum(0),
            right: SeqNum(0),
        };
        Self {
            blocks: [NONE; Self::MAX],
            len: 0,
        }
    }

    /// Adds a block; false, and nothing changed, if there are four.
    pub fn push(&mut self, block: SackBlock) -> bool {
        let Some(slot) = self.blocks.get_mut(usize::from(self.len)) else {
            return false;
        };
        *slot = block;
        self.len += 1;
        true
    }

    /// The blocks in the order of the wire.
    pub fn as_slice(&self) -> &[SackBlock] {
        &self.blocks[..usize::from(self.len)]
    }
}

impl Deref for SackBlocks {
    type Target = [SackBlock];
    fn deref(&self) -> &[SackBlock] {
        self.as_slice()
    }
}

impl FromIterator<SackBlock> for SackBlocks {
    /// The first four.
    fn from_iter<I: IntoIterator<Item = SackBlock>>(blocks: I) -> Self {
        let mut out = Self::new();
        for block in blocks.into_iter().take(Self::MAX) {
            out.push(block);
        }
        out
    }
}

impl fmt::Debug for SackBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}
