//! What tasks may do to the run's network (capabilities(7)), where Linux asks for more than a descriptor.

use super::status_field;

/// linux/capability.h.
const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;

/// `CAP_NET_ADMIN` in the task's own user namespace.
pub(crate) fn is_network_admin(tid: u32) -> bool {
    has_capability(tid, CAP_NET_ADMIN)
}

/// `CAP_NET_RAW` over the run's network, which belongs to the supervisor's user namespace.
pub(crate) fn may_see_packets(tid: u32) -> bool {
    has_capability(tid, CAP_NET_RAW) && is_of_own_user_namespace(tid)
}

/// Whether a task is in the supervisor's user namespace, as far as that can be told (`ns/user`, proc(5)).
pub(crate) fn is_of_own_user_namespace(tid: u32) -> bool {
    let of = |task: &str| std::fs::read_link(format!("/proc/{task}/ns/user")).ok();
    of("self").is_some_and(|own| of(&tid.to_string()) == Some(own))
}

/// Whether a capability is in the effective set of /proc/TID/status (proc(5)), that is in the task's own user namespace.
fn has_capability(tid: u32, number: u32) -> bool {
    let set = status_field(tid, "CapEff:").and_then(|hex| u64::from_str_radix(&hex, 16).ok());
    set.is_some_and(|set| set & (1 << number) != 0)
}
