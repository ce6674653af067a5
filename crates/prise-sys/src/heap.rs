//! How much heap the process holds: what it keeps of freed memory, and a global allocator that counts, for benches and tests of memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Has the C library keep up to so many freed octets at the heap's end, and take blocks of up to a megabyte from there (mallopt(3)): who
/// allocates and frees alike, again and again, would have the kernel clear the same pages each time. By default it keeps 128 KiB, and
/// more once a larger block was freed; who sets one of the two numbers has to set both. False where it refuses; other C libraries than
/// GNU's are left as they are.
pub fn keep_freed(octets: usize) -> bool {
    #[cfg(target_env = "gnu")]
    {
        const FROM_THE_HEAP: libc::c_int = 1 << 20;
        let octets = libc::c_int::try_from(octets).unwrap_or(libc::c_int::MAX);
        // SAFETY: mallopt(3) changes a number of the allocator's, under its own lock.
        let set = |what, value| unsafe { libc::mallopt(what, value) == 1 };
        set(libc::M_TRIM_THRESHOLD, octets) && set(libc::M_MMAP_THRESHOLD, FROM_THE_HEAP)
    }
    #[cfg(not(target_env = "gnu"))]
    {
        let _ = octets;
        true
    }
}

/// The system's allocator, counting the octets that are asked for and not yet given back.
///
/// ```
/// use prise_sys::heap::CountingAllocator;
///
/// #[global_allocator]
/// static HEAP: CountingAllocator = CountingAllocator::new();
///
/// let before = HEAP.in_use();
/// let kept = vec![0u8; 1000];
/// assert!(HEAP.in_use() >= before + 1000);
/// drop(kept);
/// ```
#[derive(Debug, Default)]
pub struct CountingAllocator {
    in_use: AtomicUsize,
}

impl CountingAllocator {
    /// An allocator that has given out nothing.
    pub const fn new() -> Self {
        Self {
            in_use: AtomicUsize::new(0),
        }
    }

    /// Octets asked for and not yet given back, without the system allocator's own overhead.
    pub fn in_use(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
    }
}

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract; counting allocates nothing.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.in_use.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.in_use.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc_zeroed`'s contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.in_use.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `dealloc`'s contract: the pointer came from `alloc`, so from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        self.in_use.fetch_add(new_size, Ordering::Relaxed);
        self.in_use.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `realloc`'s contract: the pointer came from `alloc`, so from the system's allocator.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    fn faults() -> i64 {
        // SAFETY: an all-zero `rusage` is a valid one, which the kernel fills.
        let mut usage: libc::rusage = unsafe { core::mem::zeroed() };
        // SAFETY: as above.
        assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) }, 0);
        usage.ru_minflt
    }

    #[test]
    fn memory_that_is_freed_and_taken_again_is_not_cleared_again() {
        assert!(keep_freed(8 << 20));
        let use_all = || {
            let blocks: Vec<Vec<u8>> = [64, 128, 256, 512].map(|kib| vec![1; kib << 10]).into();
            core::hint::black_box(blocks);
        };
        use_all();
        let before = faults();
        (0..100).for_each(|_| use_all());
        // Each time, it would be 240.
        assert!(faults() - before < 2_400, "{} faults", faults() - before);
    }
}
