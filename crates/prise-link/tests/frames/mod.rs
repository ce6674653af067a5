//! Frames to send over links under test.
#![allow(dead_code, reason = "each test file uses some")]

use core::net::{Ipv4Addr, Ipv6Addr};
use prise_wire::{
    Body, Checksum, Frame, Gso, GsoKind, Ipv4Header, Ipv6Header, SeqNum, TcpFlags, TcpHeader, UdpHeader, checksum,
    protocol, tcp, udp,
};

pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
pub(crate) const CLIENT_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 0x15);
pub(crate) const SERVER_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 2);

/// A UDP datagram over IPv4 with a number in front of `len` octets of payload.
pub(crate) fn datagram(number: u32, len: usize) -> Frame {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(len.max(4), 0xa5);
    let udp_len = payload.len() + udp::HEADER_LEN;
    let header = UdpHeader {
        source_port: 1000,
        destination_port: 2000,
        len: udp_len as u16,
        checksum: checksum::pseudo_header_v4(CLIENT, SERVER, protocol::UDP, udp_len),
    };
    let mut frame = Frame::with_header(&header, Body::from(payload));
    frame.offload.checksum = Checksum::Partial {
        start: 0,
        offset: udp::CHECKSUM_OFFSET,
    };
    frame.push_header(&Ipv4Header::new(CLIENT, SERVER, protocol::UDP, udp_len));
    frame
}

/// The number of a datagram.
pub(crate) fn number(frame: &Frame) -> u32 {
    let octets = frame.body().to_vec();
    u32::from_be_bytes(octets[..4].try_into().expect("four octets"))
}

/// A train of TCP segments of 1448 octets over IPv4 or IPv6.
pub(crate) fn train(seq: u32, len: usize, v6: bool) -> Frame {
    let body = Body::from((0..len).map(|i| i as u8).collect::<Vec<_>>());
    let mut header = TcpHeader {
        source_port: 40_000,
        destination_port: 80,
        seq: SeqNum(seq),
        ack: Some(SeqNum(1)),
        flags: TcpFlags::PSH | TcpFlags::CWR,
        window: 512,
        ..TcpHeader::default()
    };
    header.options.timestamps = Some(prise_wire::Timestamps { value: 1, echo: 2 });
    let tcp_len = header.header_len() + len;
    header.checksum = if v6 {
        checksum::pseudo_header_v6(CLIENT_6, SERVER_6, protocol::TCP, tcp_len)
    } else {
        checksum::pseudo_header_v4(CLIENT, SERVER, protocol::TCP, tcp_len)
    };
    let mut frame = Frame::with_header(&header, body);
    frame.offload.checksum = Checksum::Partial {
        start: 0,
        offset: tcp::CHECKSUM_OFFSET,
    };
    frame.offload.gso = Some(Gso {
        kind: if v6 { GsoKind::Tcp6 } else { GsoKind::Tcp4 },
        size: 1448,
    });
    if v6 {
        frame.push_header(&Ipv6Header::new(CLIENT_6, SERVER_6, protocol::TCP, tcp_len));
    } else {
        frame.push_header(&Ipv4Header::new(CLIENT, SERVER, protocol::TCP, tcp_len));
    }
    frame
}
