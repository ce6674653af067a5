//! The options behind the methods of sockets, with Linux's numbers (`socket(7)`, `ip(7)`, `ipv6(7)`, `tcp(7)`).

/// `SOL_SOCKET`.
pub(super) const SOL_SOCKET: i32 = 1;
/// `IPPROTO_IP`.
pub(super) const IPPROTO_IP: i32 = 0;
/// `IPPROTO_TCP`.
pub(super) const IPPROTO_TCP: i32 = 6;
/// `IPPROTO_IPV6`.
pub(super) const IPPROTO_IPV6: i32 = 41;

/// An option: its level and name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name(pub(super) i32, pub(super) i32);

pub(super) const SO_REUSEADDR: Name = Name(SOL_SOCKET, 2);
pub(super) const SO_BROADCAST: Name = Name(SOL_SOCKET, 6);
pub(super) const SO_LINGER: Name = Name(SOL_SOCKET, 13);
pub(super) const SO_RCVTIMEO: Name = Name(SOL_SOCKET, 20);
pub(super) const SO_SNDTIMEO: Name = Name(SOL_SOCKET, 21);
pub(super) const IP_TTL: Name = Name(IPPROTO_IP, 2);
pub(super) const IP_MULTICAST_TTL: Name = Name(IPPROTO_IP, 33);
pub(super) const IP_MULTICAST_LOOP: Name = Name(IPPROTO_IP, 34);
pub(super) const IP_ADD_MEMBERSHIP: Name = Name(IPPROTO_IP, 35);
pub(super) const IP_DROP_MEMBERSHIP: Name = Name(IPPROTO_IP, 36);
pub(super) const IPV6_MULTICAST_LOOP: Name = Name(IPPROTO_IPV6, 19);
pub(super) const IPV6_ADD_MEMBERSHIP: Name = Name(IPPROTO_IPV6, 20);
pub(super) const IPV6_DROP_MEMBERSHIP: Name = Name(IPPROTO_IPV6, 21);
pub(super) const IPV6_V6ONLY: Name = Name(IPPROTO_IPV6, 26);
pub(super) const TCP_NODELAY: Name = Name(IPPROTO_TCP, 1);
