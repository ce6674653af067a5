//! A string on the stack that grows.

use core::mem::MaybeUninit;

use crate::present::Present;

/// Octets of the longest `LD_PRELOAD`, and of the longest file name that is looked for in `PATH`.
pub(crate) const LINE_MAX: usize = 512;

pub(crate) type Octets<const LEN: usize> = [MaybeUninit<u8>; LEN];
pub(crate) const NOTHING: Octets<LINE_MAX> = [const { MaybeUninit::uninit() }; LINE_MAX];

/// A string on the stack that grows.
pub(crate) struct Line<'a> {
    pub(crate) octets: &'a mut [MaybeUninit<u8>],
    pub(crate) len: usize,
}

impl Line<'_> {
    pub(crate) fn push(&mut self, octet: u8) -> Option<()> {
        self.octets.get_mut(self.len)?.write(octet);
        self.len += 1;
        Some(())
    }

    pub(crate) fn push_all(&mut self, octets: &[u8]) -> Option<()> {
        octets.iter().try_for_each(|octet| self.push(*octet))
    }

    /// A string that ends with a zero, which is left out.
    ///
    /// # Safety
    ///
    /// As [`Present::octet`].
    pub(crate) unsafe fn push_string(&mut self, present: &mut Present, string: *const u8) -> Option<()> {
        for at in 0.. {
            // SAFETY: as promised.
            match unsafe { present.octet(string, at) }? {
                0 => break,
                octet => self.push(octet)?,
            }
        }
        Some(())
    }
}
