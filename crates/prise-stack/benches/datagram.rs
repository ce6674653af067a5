//! What one datagram costs from a send to a receive on this host, beside the kernel's loopback: `cargo bench -p prise-stack
//! --bench datagram`.
//!
//! Every figure is the best of several rounds, since whatever else the machine does only adds. The kernel's includes two
//! system calls, which an embedded stack does without: that is the point, and the reason not to read it as a race of protocols.

use prise_stack::{Family, LinkConfig, LinkId, Local, Stack, StackConfig, UdpConfig, UdpId, UdpSend};
use prise_wire::{Frame, Instant as Now, MacAddr, Medium, Payload};
use std::hint::black_box;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Nanoseconds that one call takes.
fn time(mut call: impl FnMut()) -> f64 {
    const ROUNDS: usize = 15;
    let started = Instant::now();
    let mut calls = 0_u32;
    while started.elapsed() < Duration::from_millis(5) {
        call();
        calls += 1;
    }
    let round = |_| {
        let started = Instant::now();
        (0..calls).for_each(|_| call());
        started.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

struct Host {
    stack: Stack,
    link: LinkId,
}

fn host(number: u8, medium: Medium, loopback: bool) -> Host {
    let mut stack = Stack::new(&StackConfig::new([1, 2], [number; 32]));
    let config = LinkConfig {
        name: "link",
        medium,
        mac: (medium == Medium::Ethernet).then_some(MacAddr([2, 0, 0, 0, 0, number])),
        mtu: 65_536,
        gso_max: 0,
        checksum_offload: true,
        loopback,
        transparent: false,
    };
    let link = stack.add_link(&config).expect("the first link");
    let address = if loopback {
        "127.0.0.1/8".to_owned()
    } else {
        format!("10.0.2.{number}/24")
    };
    stack.add_address(Now::ZERO, link, address.parse().expect("an address"));
    Host { stack, link }
}

fn socket(host: &mut Host, endpoint: &str) -> UdpId {
    let endpoint: SocketAddr = endpoint.parse().expect("an endpoint");
    host.stack.udp_bind(&UdpConfig::new(
        Local {
            family: Family::V4,
            ..Local::endpoint(endpoint)
        },
        0,
    ))
}

fn on_loopback(payload: &Payload) -> f64 {
    let mut host = host(1, Medium::Ip, true);
    let (from, to) = (socket(&mut host, "127.0.0.1:1"), socket(&mut host, "127.0.0.1:2"));
    let dst = "127.0.0.1:2".parse().expect("an endpoint");
    time(|| {
        host.stack
            .udp_send(Now::ZERO, from, UdpSend::new(dst, payload.clone()))
            .expect("room");
        let frame = host.stack.transmit(Now::ZERO, host.link).expect("the datagram");
        host.stack.receive(Now::ZERO, host.link, [frame]);
        black_box(host.stack.event());
        black_box(host.stack.udp_receive(to).expect("the datagram"));
    })
}

fn over_ethernet(payload: &Payload) -> f64 {
    let (mut a, mut b) = (host(1, Medium::Ethernet, false), host(2, Medium::Ethernet, false));
    let (from, to) = (socket(&mut a, "10.0.2.1:1"), socket(&mut b, "10.0.2.2:2"));
    let dst = "10.0.2.2:2".parse().expect("an endpoint");
    let carry = |a: &mut Host, b: &mut Host| {
        a.stack
            .udp_send(Now::ZERO, from, UdpSend::new(dst, payload.clone()))
            .expect("room");
        // The first datagram waits for its neighbor's address.
        loop {
            let there: Option<Frame> = a.stack.transmit(Now::ZERO, a.link);
            let back = b.stack.transmit(Now::ZERO, b.link);
            if there.is_none() && back.is_none() {
                break;
            }
            b.stack.receive(Now::ZERO, b.link, there);
            a.stack.receive(Now::ZERO, a.link, back);
        }
        black_box(b.stack.event());
        black_box(b.stack.udp_receive(to).expect("the datagram"));
    };
    time(|| carry(&mut a, &mut b))
}

fn in_the_kernel(payload: &Payload) -> f64 {
    let from = UdpSocket::bind("127.0.0.1:0").expect("a kernel socket");
    let to = UdpSocket::bind("127.0.0.1:0").expect("a kernel socket");
    let dst = to.local_addr().expect("its endpoint");
    let mut buffer = vec![0; 65_536];
    time(|| {
        from.send_to(payload, dst).expect("sent");
        black_box(to.recv_from(&mut buffer).expect("received"));
    })
}

fn main() {
    println!(
        "{:>8} {:>12} {:>12} {:>12} {:>8}",
        "octets", "lo ns", "ethernet ns", "kernel ns", "lo/kernel"
    );
    for octets in [0, 64, 1400, 16_000, 60_000] {
        let payload = Payload::from(vec![0x5a; octets]);
        let (lo, ethernet, kernel) = (on_loopback(&payload), over_ethernet(&payload), in_the_kernel(&payload));
        println!(
            "{octets:>8} {lo:>12.0} {ethernet:>12.0} {kernel:>12.0} {:>8.2}",
            lo / kernel
        );
    }
}
