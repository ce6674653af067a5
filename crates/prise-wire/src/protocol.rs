//! Protocol numbers: the IPv4 protocol field and the IPv6 next header field (IANA "protocol-numbers").

/// IPv6 hop-by-hop options (RFC 8200 §4.3).
pub const HOP_BY_HOP: u8 = 0;
/// ICMP for IPv4 (RFC 792).
pub const ICMPV4: u8 = 1;
/// IGMP (RFC 3376).
pub const IGMP: u8 = 2;
/// TCP (RFC 9293).
pub const TCP: u8 = 6;
/// UDP (RFC 768).
pub const UDP: u8 = 17;
/// IPv6 routing header (RFC 8200 §4.4).
pub const IPV6_ROUTING: u8 = 43;
/// IPv6 fragment header (RFC 8200 §4.5).
pub const IPV6_FRAGMENT: u8 = 44;
/// IPsec encapsulating security payload (RFC 4303).
pub const ESP: u8 = 50;
/// IPsec authentication header (RFC 4302).
pub const AUTHENTICATION: u8 = 51;
/// ICMP for IPv6 (RFC 4443).
pub const ICMPV6: u8 = 58;
/// Nothing follows (RFC 8200 §4.7).
pub const IPV6_NO_NEXT: u8 = 59;
/// IPv6 destination options (RFC 8200 §4.6).
pub const IPV6_DESTINATION: u8 = 60;
/// UDP-Lite (RFC 3828).
pub const UDP_LITE: u8 = 136;
