//! Flow labels of IPv6 (RFC 6437): a packet carries the one that its sender was given, or one made of its flow, so that routers and links that
//! share load need no look at ports.

use super::{IpOut, Net};
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use prise_wire::{Frame, protocol};

/// The bits that a label has.
const MASK: u32 = 0x000f_ffff;
/// No tuple is hashed with it: what is sent tells nothing of where the tables keep a flow.
const OF_LABELS: u64 = 1 << 63;

/// What label packets carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FlowLabel {
    /// One made of the flow's addresses, ports and protocol (RFC 6437 §3), as `net.ipv6.auto_flowlabels` has it by default.
    #[default]
    OfFlow,
    /// This one; 0 for none.
    Given(u32),
}

impl Net {
    /// The label of a packet whose transport header is at the frame's front.
    pub(super) fn flow_label(&self, out: &IpOut, frame: &Frame) -> u32 {
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (out.src, out.dst) else {
            return 0;
        };
        match out.flow_label {
            FlowLabel::Given(label) => label,
            FlowLabel::OfFlow => self.label_of_flow(src, dst, out.protocol, ports(out.protocol, frame.head())),
        }
    }

    /// The label that packets of a connection carry from one endpoint to another, unless their sender was given one; 0 for IPv4.
    pub(crate) fn label_of_connection(&self, from: SocketAddr, to: SocketAddr) -> u32 {
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (from.ip(), to.ip()) else {
            return 0;
        };
        let ports = u32::from(from.port()) << 16 | u32::from(to.port());
        self.label_of_flow(src, dst, protocol::TCP, ports)
    }

    /// By a keyed hash, lest others foresee it (RFC 6437 §3), and never 0, which is no label.
    fn label_of_flow(&self, src: Ipv6Addr, dst: Ipv6Addr, protocol: u8, ports: u32) -> u32 {
        let (src, dst) = (src.to_bits(), dst.to_bits());
        let flow = OF_LABELS | u64::from(protocol) << 32 | u64::from(ports);
        let words = [(src >> 64) as u64, src as u64, (dst >> 64) as u64, dst as u64, flow];
        (self.hash.words(&words) as u32 & MASK).max(1)
    }
}

/// Both ports as they stand in the header of a protocol that has any.
fn ports(protocol: u8, transport: &[u8]) -> u32 {
    match (protocol, transport.first_chunk()) {
        (protocol::TCP | protocol::UDP | protocol::UDP_LITE, Some(ports)) => u32::from_be_bytes(*ports),
        _ => 0,
    }
}
