//! Memory of the program's that may not be there.

use crate::kernel::{MADV_POPULATE_READ, PAGE, is_present};

/// Memory of the program's that is there. Lists and strings lie in turn in few pages, each of which is asked for once.
pub(crate) struct Present {
    words: Page,
    octets: Page,
}

/// The page that was asked for last.
struct Page(usize);

impl Page {
    /// Where none begins.
    const NONE: Self = Self(usize::MAX);

    fn has(&mut self, start: usize, len: usize) -> bool {
        let (first, last) = (start & !(PAGE - 1), start.wrapping_add(len - 1) & !(PAGE - 1));
        if first == self.0 && last == first {
            return true;
        }
        let is_there = is_present(start, len, MADV_POPULATE_READ);
        self.0 = if is_there { last } else { Self::NONE.0 };
        is_there
    }
}

impl Present {
    pub(crate) const NONE: Self = Self {
        words: Page::NONE,
        octets: Page::NONE,
    };

    /// What a list of strings has at a place; none if that is not there.
    ///
    /// # Safety
    ///
    /// Nobody takes the memory away meanwhile.
    pub(crate) unsafe fn word(&mut self, list: *const *const u8, at: usize) -> Option<*const u8> {
        let place = list.wrapping_add(at);
        let is_there = self.words.has(place as usize, size_of::<*const u8>());
        // SAFETY: just looked at, and it may lie anywhere.
        is_there.then(|| unsafe { place.read_unaligned() })
    }

    /// # Safety
    ///
    /// The same.
    pub(crate) unsafe fn octet(&mut self, string: *const u8, at: usize) -> Option<u8> {
        let place = string.wrapping_add(at);
        // SAFETY: just looked at.
        self.octets
            .has(place as usize, 1)
            .then(|| unsafe { place.read_volatile() })
    }

    /// Whether a string begins with `with`; none if it is not there.
    ///
    /// # Safety
    ///
    /// The same.
    pub(crate) unsafe fn begins(&mut self, string: *const u8, with: &[u8]) -> Option<bool> {
        for (at, wanted) in with.iter().enumerate() {
            // SAFETY: as promised; the string goes on while none of its octets is zero.
            if unsafe { self.octet(string, at) }? != *wanted {
                return Some(false);
            }
        }
        Some(true)
    }
}
