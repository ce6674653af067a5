//! Sequence number arithmetic (RFC 9293 §3.4).

use core::fmt;
use core::ops::{Add, AddAssign, Sub, SubAssign};

/// A TCP sequence number: a point on a circle of 2³².
///
/// There is no `Ord`, because there is no order on a circle; there is only "before" and "after" within half of it.
///
/// ```
/// use prise_wire::SeqNum;
/// let before = SeqNum(u32::MAX);
/// let after = before + 3;
/// assert_eq!(after, SeqNum(2));
/// assert!(before.precedes(after) && !after.precedes(before));
/// assert_eq!(after - before, 3);
/// assert_eq!(before - after, -3);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// `self < other` of the RFC.
    #[must_use]
    pub const fn precedes(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() < 0
    }

    /// `self =< other` of the RFC.
    #[must_use]
    pub const fn precedes_or_equals(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() <= 0
    }

    /// `self > other` of the RFC.
    #[must_use]
    pub const fn follows(self, other: Self) -> bool {
        other.precedes(self)
    }

    /// `self >= other` of the RFC.
    #[must_use]
    pub const fn follows_or_equals(self, other: Self) -> bool {
        other.precedes_or_equals(self)
    }

    /// Whether `self` is one of the `len` numbers from `start` on: `start =< self < start+len`.
    #[must_use]
    pub const fn is_within(self, start: Self, len: u32) -> bool {
        self.0.wrapping_sub(start.0) < len
    }

    /// How far `self` is after `start`, going forward around the circle.
    #[must_use]
    pub const fn distance_from(self, start: Self) -> u32 {
        self.0.wrapping_sub(start.0)
    }

    /// The later one of two numbers that are within half a circle of each other.
    #[must_use]
    pub const fn later(self, other: Self) -> Self {
        if self.precedes(other) { other } else { self }
    }

    /// The earlier one of two numbers that are within half a circle of each other.
    #[must_use]
    pub const fn earlier(self, other: Self) -> Self {
        if other.precedes(self) { other } else { self }
    }
}

impl Add<u32> for SeqNum {
    type Output = Self;
    fn add(self, rhs: u32) -> Self {
        Self(self.0.wrapping_add(rhs))
    }
}

impl AddAssign<u32> for SeqNum {
    fn add_assign(&mut self, rhs: u32) {
        *self = *self + rhs;
    }
}

impl Sub<u32> for SeqNum {
    type Output = Self;
    fn sub(self, rhs: u32) -> Self {
        Self(self.0.wrapping_sub(rhs))
    }
}

impl SubAssign<u32> for SeqNum {
    fn sub_assign(&mut self, rhs: u32) {
        *self = *self - rhs;
    }
}

impl Sub for SeqNum {
    type Output = i32;
    /// The signed distance from `rhs` to `self`, the shorter way around the circle.
    fn sub(self, rhs: Self) -> i32 {
        self.0.wrapping_sub(rhs.0).cast_signed()
    }
}

impl fmt::Display for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
