//! Pointers with lengths, as C hands them over.

use std::ffi::c_void;
use std::ptr;

use crate::stage::Incoming;

/// A copy of `len` octets; none from null.
///
/// # Safety
/// `from` is null or readable for so many octets.
pub(super) unsafe fn copy_in(from: *const c_void, len: usize) -> Vec<u8> {
    if from.is_null() || len == 0 {
        return Vec::new();
    }
    // SAFETY: the caller promises so many octets.
    unsafe { std::slice::from_raw_parts(from.cast::<u8>(), len) }.to_vec()
}

/// Writes as much as fits.
///
/// # Safety
/// `to` is null or writable for `room` octets.
pub(super) unsafe fn copy_out(octets: &[u8], to: *mut c_void, room: usize) {
    let len = octets.len().min(room);
    if !to.is_null() && len > 0 {
        // SAFETY: the caller promises `room` octets, and a fresh vector does not overlap with them.
        unsafe { ptr::copy_nonoverlapping(octets.as_ptr(), to.cast(), len) };
    }
}

/// The pieces of a vector.
///
/// # Safety
/// `vector` points to `count` live pieces, or `count` is 0.
unsafe fn pieces<'a>(vector: *const libc::iovec, count: usize) -> &'a [libc::iovec] {
    if vector.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: the caller promises so many pieces.
    unsafe { std::slice::from_raw_parts(vector, count) }
}

/// All octets of a vector, and their number.
///
/// # Safety
/// `vector` points to `count` pieces, each readable.
pub(super) unsafe fn gather(vector: *const libc::iovec, count: usize) -> Vec<u8> {
    let mut octets = Vec::new();
    // SAFETY: the caller promises the pieces and what they point to.
    unsafe {
        for piece in pieces(vector, count) {
            octets.extend(copy_in(piece.iov_base, piece.iov_len));
        }
    }
    octets
}

/// The sizes of a vector's pieces.
///
/// # Safety
/// `vector` points to `count` pieces.
pub(super) unsafe fn sizes(vector: *const libc::iovec, count: usize) -> Vec<usize> {
    // SAFETY: the caller promises the pieces.
    unsafe { pieces(vector, count) }
        .iter()
        .map(|piece| piece.iov_len)
        .collect()
}

/// The room of a vector.
///
/// # Safety
/// `vector` points to `count` pieces.
pub(super) unsafe fn room(vector: *const libc::iovec, count: usize) -> usize {
    // SAFETY: the caller promises the pieces.
    unsafe { pieces(vector, count) }.iter().map(|piece| piece.iov_len).sum()
}

/// Spreads octets over a vector.
///
/// # Safety
/// `vector` points to `count` pieces, each writable.
pub(super) unsafe fn scatter(octets: &[u8], vector: *const libc::iovec, count: usize) {
    let mut rest = octets;
    // SAFETY: the caller promises the pieces and what they point to.
    unsafe {
        for piece in pieces(vector, count) {
            let (now, later) = rest.split_at(rest.len().min(piece.iov_len));
            copy_out(now, piece.iov_base, piece.iov_len);
            rest = later;
        }
    }
}

/// A name with its value-result length, as accept(2) and recvfrom(2) have it.
///
/// # Safety
/// `length` is null or points to the room at `name`, which is null or writable for so much.
pub(super) unsafe fn name_out(octets: &[u8], name: *mut libc::sockaddr, length: *mut libc::socklen_t) {
    if length.is_null() {
        return;
    }
    // SAFETY: the caller promises both.
    unsafe {
        copy_out(octets, name.cast(), *length as usize);
        *length = octets.len() as libc::socklen_t;
    }
}

/// What was received into a `msghdr`.
///
/// # Safety
/// The header and all that it points to are live and writable.
pub(super) unsafe fn message_out(incoming: &Incoming, header: &mut libc::msghdr) {
    header.msg_flags = incoming.flags as i32;
    // SAFETY: the caller promises everything that the header points to.
    unsafe {
        scatter(&incoming.octets, header.msg_iov, header.msg_iovlen);
        copy_out(&incoming.name, header.msg_name, header.msg_namelen as usize);
        header.msg_namelen = incoming.name.len() as libc::socklen_t;
        copy_out(&incoming.control, header.msg_control, header.msg_controllen);
    }
    if header.msg_control.is_null() || header.msg_controllen < incoming.control.len() {
        if !incoming.control.is_empty() {
            header.msg_flags |= libc::MSG_CTRUNC;
        }
        header.msg_controllen = 0;
    } else {
        header.msg_controllen = incoming.control.len();
    }
}
