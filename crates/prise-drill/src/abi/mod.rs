//! The C interface: packetdrill's table of functions (`packetdrill.h` of google/packetdrill), ours behind it, and somebody else's called
//! through it.
//!
//! The only unsafe code of the crate: pointers of C become slices here, and nothing else happens.

#![allow(unsafe_code, reason = "C's pointers: the table's functions take and give them")]

mod library;
mod table;
mod vectors;

pub use library::Library;
pub use table::Interface;

use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use prise_sys::trap::{Answers, OptionCall};

use crate::stage::{FIRST_DESCRIPTOR, Outgoing, Settings, Stage};

/// The stages that live, for calls that come without `userdata`.
static STAGES: Mutex<Vec<Weak<Stage>>> = Mutex::new(Vec::new());
/// How many scripts this process has begun.
static BEGUN: AtomicUsize = AtomicUsize::new(0);

fn stage_of(fd: i32) -> Option<Arc<Stage>> {
    let stages = STAGES.lock().unwrap_or_else(PoisonError::into_inner);
    stages.iter().filter_map(Weak::upgrade).find(|stage| stage.has(fd))
}

/// Calls that packetdrill makes on our descriptors without asking us.
struct Direct;

impl Answers for Direct {
    fn option(&self, call: &OptionCall) -> Option<Result<Vec<u8>, i32>> {
        let stage = stage_of(call.fd)?;
        Some(
            stage
                .option(call.fd, call.level, call.name, call.room)
                .map_err(prise_socket::Errno::raw),
        )
    }

    fn send(&self, fd: i32, octets: Vec<u8>) -> Option<Result<usize, i32>> {
        let stage = stage_of(fd)?;
        let outgoing = Outgoing {
            octets,
            ..Outgoing::default()
        };
        Some(stage.send(fd, outgoing).map_err(prise_socket::Errno::raw))
    }
}

/// Beyond packetdrill's interface: whoever runs a script tells of a command in its middle, so that a `sysctl` there reaches the stack.
///
/// # Safety
/// `userdata` is a table's whose `free` has not been called; `command` is a string that ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prise_drill_command(userdata: *mut c_void, command: *const c_char) {
    // SAFETY: the caller promises the live stage of a table, and a string.
    let (stage, text) = unsafe { (&*userdata.cast::<Stage>(), CStr::from_ptr(command)) };
    stage.command(&text.to_string_lossy());
}

/// packetdrill's way in: fills the table. `flags` is what `--so_flags` said, or null.
///
/// # Safety
/// `flags` is null or a string that ends with a zero; `interface` points to room for the table.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn packetdrill_interface_init(flags: *const c_char, interface: *mut Interface) {
    let flags = if flags.is_null() {
        String::new()
    } else {
        // SAFETY: the caller promises a string.
        unsafe { CStr::from_ptr(flags) }.to_string_lossy().into_owned()
    };
    let count = BEGUN.fetch_add(1, Ordering::Relaxed);
    let stage = Arc::new(Stage::new(Settings::gather(&flags, count)));
    let mut stages = STAGES.lock().unwrap_or_else(PoisonError::into_inner);
    stages.retain(|stage| stage.strong_count() > 0);
    stages.push(Arc::downgrade(&stage));
    drop(stages);
    if let Err(error) = prise_sys::trap::install(FIRST_DESCRIPTOR, Box::new(Direct)) {
        eprintln!("prise: getsockopt made directly on descriptors will not be answered: {error}");
    }
    let userdata = Arc::into_raw(stage).cast_mut().cast::<c_void>();
    // SAFETY: the caller promises room for the table.
    unsafe { interface.write(Interface::of(userdata)) };
}
