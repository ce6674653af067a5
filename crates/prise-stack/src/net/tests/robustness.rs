//! Whatever comes over a wire, nothing panics, nothing grows without bound, and all comes to rest.

use crate::fixture::{Eth, Node, at, exchange, ip, ms, node, node_with};
use crate::raw::{PingConfig, RawConfig};
use crate::udp::UdpSend;
use crate::{Fragmentation, PingSend};
use alloc::vec::Vec;
use core::time::Duration;
use prise_wire::{Checksum, Frame, Gso, GsoKind, Instant, IpVersion, Medium, checksum, protocol};
use proptest::prelude::*;

/// Frames of every kind that this crate speaks, as they stand on an Ethernet between host 1 and host 2.
fn specimens() -> Vec<Vec<u8>> {
    let (mut a, mut b) = (node(1), node(2));
    let outbox = a.udp(9001);
    let member = b.udp(9000);
    let mut log = Vec::new();
    for to in [
        "10.0.2.2:9000",
        "[fd00:2::2]:9000",
        "10.0.2.2:9",
        "[fd00:2::2]:9",
        "10.0.2.255:9000",
        "[ff02::1]:9000",
    ] {
        for len in [10, 3000] {
            a.stack
                .udp_send(ms(0), outbox, UdpSend::new(at(to), alloc::vec![len as u8; len]))
                .unwrap();
            log.extend(exchange(ms(0), &mut a, &mut b));
        }
    }
    for group in ["224.1.1.1", "ff02::fb"] {
        b.stack.udp_join(ms(0), member, ip(group), None).unwrap();
        log.extend(exchange(ms(0), &mut a, &mut b));
    }
    for (version, kind, to) in [(IpVersion::V4, 8, "10.0.2.2"), (IpVersion::V6, 128, "fd00:2::2")] {
        let config = PingConfig {
            version,
            local: None,
            identifier: None,
            device: None,
            receive_limit: 99,
            token: 0,
        };
        let id = a.stack.icmp_bind(&config).unwrap();
        let send = PingSend {
            dst: ip(to),
            src: None,
            device: None,
            hop_limit: 1,
            tos: 0,
            flow_label: crate::FlowLabel::OfFlow,
            fragmentation: Fragmentation::Want,
            message: alloc::vec![kind, 0, 0, 0, 0, 0, 0, 0].into(),
        };
        a.stack.icmp_send(ms(0), id, send).unwrap();
        log.extend(exchange(ms(0), &mut a, &mut b));
    }
    log.into_iter()
        .filter(|(from, _)| *from == 0)
        .map(|(_, frame)| frame.to_vec())
        .collect()
}

/// A host with an ear for everything.
fn target(transparent: bool) -> Node {
    let mut b = node_with(
        2,
        Eth {
            transparent,
            ..Eth::default()
        },
    );
    b.udp(9000);
    b.stack.udp_intercept(true);
    b.stack.echo_intercept(true);
    for version in [IpVersion::V4, IpVersion::V6] {
        for protocol in [protocol::UDP, protocol::ICMPV4, protocol::ICMPV6, 200] {
            b.stack.raw_bind(&RawConfig {
                version,
                protocol,
                receive_limit: 5000,
                token: 0,
            });
        }
    }
    b
}

/// How a frame is spoilt.
#[derive(Clone, Debug)]
struct Damage {
    which: prop::sample::Index,
    flips: Vec<(prop::sample::Index, u8)>,
    cut: Option<prop::sample::Index>,
    mend: bool,
    trusted: bool,
    train: Option<u16>,
    pause: u64,
}

fn damage() -> impl Strategy<Value = Damage> {
    let flips = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let cut = proptest::option::weighted(0.2, any::<prop::sample::Index>());
    let train = proptest::option::weighted(0.1, 0..2000_u16);
    let pause = prop_oneof![4 => Just(0), 1 => 0..2000_u64, 1 => 0..100_000_u64];
    (
        any::<prop::sample::Index>(),
        flips,
        cut,
        any::<bool>(),
        any::<bool>(),
        train,
        pause,
    )
        .prop_map(|(which, flips, cut, mend, trusted, train, pause)| Damage {
            which,
            flips,
            cut,
            mend,
            trusted,
            train,
            pause,
        })
}

fn spoil(specimens: &[Vec<u8>], damage: &Damage) -> Frame {
    let mut octets = damage.which.get(specimens).clone();
    // Most of what matters is in the headers.
    let reach = octets.len().min(100);
    for (at, xor) in &damage.flips {
        octets[at.index(reach)] ^= xor;
    }
    if let Some(cut) = damage.cut {
        octets.truncate(cut.index(octets.len()));
    }
    if damage.mend && octets.len() >= 34 && octets[12..14] == [8, 0] {
        octets[24..26].fill(0);
        let end = (14 + usize::from(octets[14] & 0x0f) * 4).min(octets.len());
        let sum = checksum::finish(checksum::sum(&octets[14..end]));
        octets[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    let mut frame = Frame::from_contiguous(Medium::Ethernet, octets.into());
    if damage.trusted {
        frame.offload.checksum = Checksum::Verified;
    }
    frame.offload.gso = damage.train.map(|size| Gso {
        kind: GsoKind::Udp4,
        size,
    });
    frame
}

fn settle(node: &mut Node, now: Instant) {
    node.stack.expire(now);
    node.sent(now);
    node.pump_lo(now);
    node.events();
    while node.stack.udp_take_intercepted().is_some() {}
    while node.stack.echo_take_intercepted().is_some() {}
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn spoilt_frames_are_survived_and_leave_nothing_behind(
        transparent: bool,
        damages in proptest::collection::vec(damage(), 1..60),
    ) {
        let specimens = specimens();
        let mut b = target(transparent);
        let mut now = ms(0);
        for damage in &damages {
            now += Duration::from_millis(damage.pause);
            b.receive(now, spoil(&specimens, damage));
            settle(&mut b, now);
        }
        // All deadlines of this layer lie within an hour, and none begets another for ever.
        let end = now + Duration::from_hours(1);
        while let Some(deadline) = b.stack.next_deadline().filter(|&deadline| deadline < end) {
            settle(&mut b, deadline);
        }
        prop_assert_eq!(b.stack.next_deadline(), None);
        prop_assert_eq!(b.stack.neighbors().count(), 0);
        b.stack.net.assert_at_rest();
    }

    #[test]
    fn noise_is_survived(octets in proptest::collection::vec(any::<u8>(), 0..300), ethernet: bool, version in 0..3_u8) {
        let medium = if ethernet { Medium::Ethernet } else { Medium::Ip };
        let mut b = node_with(2, Eth { medium, transparent: true, ..Eth::default() });
        let mut octets = octets;
        match (ethernet, version, octets.len()) {
            (false, 0, 1..) => octets[0] = 0x45,
            (false, 1, 1..) => octets[0] = 0x60 | octets[0] & 0x0f,
            (true, 0 | 1, 14..) => {
                octets[..6].copy_from_slice(&crate::fixture::mac(2).octets());
                octets[12..14].copy_from_slice(if version == 0 { &[8, 0] } else { &[0x86, 0xdd] });
            }
            _ => {}
        }
        b.receive(ms(0), Frame::from_contiguous(medium, octets.into()));
        settle(&mut b, ms(0));
    }
}
