//! What every owned header can do: say how long it is and write itself.

/// A header or message that can be written as octets.
pub trait Emit {
    /// How many octets [`emit`](Emit::emit) writes.
    fn emit_len(&self) -> usize;

    /// Writes exactly [`emit_len`](Emit::emit_len) octets to the front of `out`.
    ///
    /// # Panics
    /// If `out` is shorter than that: the size of a buffer is the caller's choice, never the network's.
    fn emit(&self, out: &mut [u8]);
}
