//! `/proc/net/fib_trie`: the routes of IPv4 as the kernel's trie has them (`fib_trie_seq_show`), where scripts in containers look for the
//! addresses of their host.
//!
//! The trie is compressed by paths and by levels: a node skips the bits that all beneath it share, and has as many children as it pays for
//! (`should_inflate`).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::net::{IpAddr, Ipv4Addr};

use prise_stack::Stack;

use crate::netlink::path::{self, Entry};

const KEY_BITS: u32 = 32;

/// The file: both tables are one while no rule was added.
pub(crate) fn text(stack: &Stack) -> String {
    let all = path::entries(stack);
    let mut routes: Vec<(u32, &Entry)> = all
        .iter()
        .filter_map(|entry| match entry.prefix.address() {
            IpAddr::V4(address) => Some((address.to_bits(), entry)),
            IpAddr::V6(_) => None,
        })
        .collect();
    // Of one key the longest prefix comes first.
    routes.sort_by_key(|(key, entry)| (*key, core::cmp::Reverse(entry.prefix.prefix_len())));
    let mut trie = String::new();
    if !routes.is_empty() {
        show(&mut trie, &routes, 0);
    }
    ["Main:\n", &trie, "Local:\n", &trie].concat()
}

/// How many bits all keys share, which are sorted.
fn shared(routes: &[(u32, &Entry)]) -> u32 {
    match (routes.first(), routes.last()) {
        (Some((first, _)), Some((last, _))) => (first ^ last).leading_zeros(),
        _ => KEY_BITS,
    }
}

/// The children of a node that skips `skipped` bits and tells them apart by `bits`: those that are there.
fn children<'a, 'b>(routes: &'a [(u32, &'b Entry)], skipped: u32, bits: u32) -> Vec<&'a [(u32, &'b Entry)]> {
    let beyond = KEY_BITS - skipped - bits;
    routes.chunk_by(|a, b| a.0 >> beyond == b.0 >> beyond).collect()
}

/// How many bits a node tells its children apart by, with how many of these are nodes that skip nothing.
fn level(routes: &[(u32, &Entry)], skipped: u32, is_root: bool) -> (u32, usize) {
    /// So many hundredths of the doubled node have to be used (`inflate_threshold`).
    const THRESHOLD: usize = 50;
    const THRESHOLD_OF_ROOT: usize = 30;
    let threshold = if is_root { THRESHOLD_OF_ROOT } else { THRESHOLD };
    let mut bits = 1;
    loop {
        let there = children(routes, skipped, bits);
        // Leaves are not full.
        let is_full = |child: &&&[(u32, &Entry)]| shared(child) == skipped + bits && shared(child) < KEY_BITS;
        let full = there.iter().filter(is_full).count();
        let used = there.len() + full;
        let slots = 1_usize << bits;
        if used <= 1 || skipped + bits == KEY_BITS || 50 * used < slots * threshold {
            return (bits, full);
        }
        bits += 1;
    }
}

/// A node with everything beneath it, or a leaf.
fn show(out: &mut String, routes: &[(u32, &Entry)], depth: usize) {
    let skipped = shared(routes);
    // Writing into a string cannot fail.
    if skipped == KEY_BITS {
        leaf(out, routes, depth);
        return;
    }
    let (bits, full) = level(routes, skipped, depth == 0);
    let there = children(routes, skipped, bits);
    let empty = (1_usize << bits) - there.len();
    let prefix = Ipv4Addr::from_bits(routes[0].0 & !(u32::MAX.checked_shr(skipped).unwrap_or(0)));
    let _ = writeln!(
        out,
        "{:indent$}  +-- {prefix}/{skipped} {bits} {full} {empty}",
        "",
        indent = 3 * depth
    );
    for child in there {
        show(out, child, depth + 1);
    }
}

/// One key, with the routes that begin there.
fn leaf(out: &mut String, routes: &[(u32, &Entry)], depth: usize) {
    let Some((key, _)) = routes.first() else { return };
    let indent = 3 * depth;
    let _ = writeln!(out, "{:indent$}  |-- {}", "", Ipv4Addr::from_bits(*key));
    for (_, entry) in routes {
        let (len, scope, kind) = (entry.prefix.prefix_len(), entry.scope_name(), entry.kind_name());
        let _ = writeln!(out, "{:indent$}     /{len} {scope} {kind}", "");
    }
}
