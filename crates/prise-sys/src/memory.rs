//! Another process's memory: process_vm_readv(2), process_vm_writev(2).
//!
//! Needs the right to trace the target (ptrace(2), `PTRACE_MODE_ATTACH_REALCREDS`): same user and dumpable, or
//! `CAP_SYS_PTRACE` over its user namespace; else `EPERM`. What is read may change at any time: read once, then judge.

use core::mem::MaybeUninit;
use std::io;

/// A stretch of another process's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// Where it begins, in the target's address space.
    pub address: u64,
    /// Its length in octets.
    pub len: usize,
}

/// More pieces than this in one call are refused by the kernel (`UIO_MAXIOV`).
pub const AREAS_MAX: usize = 1024;

/// Reads `buffer.len()` octets at `address`. Fewer than asked for means that the rest is not mapped.
pub fn read(tid: u32, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let remote = remote(Area {
        address,
        len: buffer.len(),
    });
    // SAFETY: the local area is the exclusively borrowed buffer; the remote one is checked by the kernel.
    transfer(unsafe { libc::process_vm_readv(tid as i32, &raw const local, 1, &raw const remote, 1, 0) })
}

/// Reads the areas one after the other, appending to `buffer`. Fewer than asked for means that the rest is not mapped.
///
/// # Panics
/// With more than [`AREAS_MAX`] areas.
pub fn read_areas(tid: u32, areas: &[Area], buffer: &mut Vec<u8>) -> io::Result<usize> {
    assert!(areas.len() <= AREAS_MAX);
    let total = areas.iter().map(|area| area.len).sum();
    buffer.reserve(total);
    let spare: &mut [MaybeUninit<u8>] = buffer.spare_capacity_mut();
    let local = libc::iovec {
        iov_base: spare.as_mut_ptr().cast(),
        iov_len: total,
    };
    let remote: Vec<libc::iovec> = areas.iter().copied().map(remote).collect();
    // SAFETY: the local area is the vector's spare capacity, at least `total` octets; the kernel checks the remote ones.
    let read = transfer(unsafe {
        libc::process_vm_readv(
            tid as i32,
            &raw const local,
            1,
            remote.as_ptr(),
            remote.len() as libc::c_ulong,
            0,
        )
    })?;
    // SAFETY: the kernel has written `read` octets, from the start of the spare capacity on.
    unsafe { buffer.set_len(buffer.len() + read) };
    Ok(read)
}

/// Writes `data` over the areas one after the other. Fewer than given means that the rest is not mapped or not writable.
///
/// # Panics
/// With more than [`AREAS_MAX`] areas.
pub fn write_areas(tid: u32, data: &[u8], areas: &[Area]) -> io::Result<usize> {
    assert!(areas.len() <= AREAS_MAX);
    let local = local(data);
    let remote: Vec<libc::iovec> = areas.iter().copied().map(remote).collect();
    // SAFETY: the kernel only reads the local area, which is borrowed; it checks the remote ones.
    transfer(unsafe {
        libc::process_vm_writev(
            tid as i32,
            &raw const local,
            1,
            remote.as_ptr(),
            remote.len() as libc::c_ulong,
            0,
        )
    })
}

/// Writes each piece to its address, in one call.
pub fn write_pieces<const N: usize>(tid: u32, pieces: [(u64, &[u8]); N]) -> io::Result<usize> {
    let local = pieces.map(|(_, data)| local(data));
    let remote = pieces.map(|(address, data)| {
        remote(Area {
            address,
            len: data.len(),
        })
    });
    // SAFETY: the kernel only reads the local areas, which are borrowed; it checks the remote ones.
    transfer(unsafe {
        libc::process_vm_writev(
            tid as i32,
            local.as_ptr(),
            N as libc::c_ulong,
            remote.as_ptr(),
            N as libc::c_ulong,
            0,
        )
    })
}

fn local(data: &[u8]) -> libc::iovec {
    libc::iovec {
        iov_base: data.as_ptr().cast_mut().cast(),
        iov_len: data.len(),
    }
}

fn remote(area: Area) -> libc::iovec {
    libc::iovec {
        iov_base: area.address as *mut libc::c_void,
        iov_len: area.len,
    }
}

fn transfer(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_memory_is_read_and_written() {
        let tid = std::process::id();
        let source = *b"hello, memory";
        let mut copy = [0; 13];
        assert_eq!(read(tid, source.as_ptr() as u64, &mut copy).unwrap(), 13);
        assert_eq!(copy, source);

        let mut joined = Vec::new();
        let areas = [0, 7].map(|at| Area {
            address: source.as_ptr() as u64 + at,
            len: 5,
        });
        assert_eq!(read_areas(tid, &areas, &mut joined).unwrap(), 10);
        assert_eq!(joined, b"hellomemor");

        let target = [0u8; 4];
        write_pieces(
            tid,
            [
                (target.as_ptr() as u64, b"ab".as_slice()),
                (target.as_ptr() as u64 + 2, b"cd"),
            ],
        )
        .unwrap();
        // SAFETY: `target` is alive; the read is volatile because the kernel changed it behind the compiler's back.
        assert_eq!(unsafe { (&raw const target).read_volatile() }, *b"abcd");
    }

    #[test]
    fn unmapped_memory_is_a_fault() {
        let error = read(std::process::id(), 8, &mut [0; 4]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
    }
}
