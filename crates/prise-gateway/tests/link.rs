//! The gateway as a device behind a bad line: the driver sees nothing but a link.

mod world;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Instant as Clock;

use prise_gateway::Gateway;
use prise_link::{Impaired, ImpairmentConfig, Link};
use prise_stack::{ConnId, Event, IpCidr, LinkConfig, LinkId, Ready, Route, Stack, StackConfig, TcpConfig};
use prise_wire::time::Duration;
use prise_wire::{Instant, MacAddr};

use world::{PATIENCE, config, host};

fn guest_on(link: &impl Link) -> (Stack, LinkId) {
    let mut guest = Stack::new(&StackConfig::new([5, 6], [7; 32]));
    let eth0 = guest
        .add_link(&LinkConfig {
            name: "eth0",
            medium: link.medium(),
            mac: Some(MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56])),
            mtu: link.mtu(),
            gso_max: link.gso_max(),
            checksum_offload: link.checksum_offload(),
            loopback: false,
            transparent: false,
        })
        .unwrap();
    guest.add_address(Instant::ZERO, eth0, IpCidr::new([10, 0, 2, 15].into(), 24).unwrap());
    guest.add_route(Route {
        prefix: IpCidr::new([0, 0, 0, 0].into(), 0).unwrap(),
        gateway: Some([10, 0, 2, 2].into()),
        link: eth0,
        source: None,
        metric: 0,
    });
    (guest, eth0)
}

/// One turn of a driver, as [`Link`] describes it.
fn turn(now: Instant, guest: &mut Stack, eth0: LinkId, link: &mut impl Link) -> Ready {
    let mut told = Ready::NONE;
    guest.expire(now);
    loop {
        let mut moved = false;
        while let Some(frame) = guest.transmit(now, eth0) {
            link.send(now, frame).expect("the link has no limit");
            moved = true;
        }
        while let Some(frame) = link.receive(now) {
            guest.receive(now, eth0, [frame]);
            moved = true;
        }
        link.flush(now);
        while let Some(event) = guest.event() {
            if let Event::Tcp { ready, .. } = event {
                told |= ready;
            }
        }
        if !moved {
            return told;
        }
    }
}

/// Until the link has something or a timer is due, and no longer than 5 ms.
fn wait(now: Instant, guest: &Stack, link: &impl Link) {
    let deadline = [guest.next_deadline(), link.next_deadline()]
        .into_iter()
        .flatten()
        .min();
    let wait = deadline.map_or(Duration::from_millis(5), |at| at.saturating_since(now));
    let limit = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: wait.min(Duration::from_millis(5)).subsec_nanos().into(),
    };
    let fd = link.poll_fd().expect("the gateway has a descriptor");
    let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
    let _ = rustix::event::poll(&mut fds, Some(&limit));
}

#[test]
fn octets_survive_delay_and_loss_between_guest_and_gateway() {
    const OCTETS: usize = 300_000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = host(listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&vec![9; OCTETS]).unwrap();
        stream.read(&mut [0; 1]).unwrap()
    });
    let gateway = Gateway::new(Instant::ZERO, config()).unwrap();
    let impairment = ImpairmentConfig {
        delay: Duration::from_millis(5),
        loss: prise_link::Probability::new(0.02).unwrap(),
        seed: 7,
        ..ImpairmentConfig::default()
    };
    let mut link = Impaired::new(gateway, impairment);
    let (mut guest, eth0) = guest_on(&link);
    let start = Clock::now();
    let now = || Instant::from_nanos(u64::try_from(start.elapsed().as_nanos()).unwrap());
    let local = "10.0.2.15:40000".parse().unwrap();
    let conn: ConnId = guest
        .tcp_connect(now(), local, at, None, &TcpConfig::default(), 1)
        .unwrap();
    let mut seen = 0;
    let mut connected_after = None;
    while !guest.tcp_fin_received(conn) && seen < OCTETS {
        assert!(start.elapsed() < PATIENCE, "only {seen} octets in time");
        let told = turn(now(), &mut guest, eth0, &mut link);
        if told.contains(Ready::CONNECTED) {
            connected_after.get_or_insert(start.elapsed());
        }
        while let Ok(payload) = guest.tcp_receive(now(), conn, OCTETS) {
            assert!(payload.iter().all(|&octet| octet == 9));
            seen += payload.len();
        }
        wait(now(), &guest, &link);
    }
    assert_eq!(seen, OCTETS);
    assert!(
        connected_after.unwrap() >= Duration::from_millis(10),
        "the line delays each way"
    );
    guest.tcp_shutdown_write(now(), conn);
    while !server.is_finished() {
        assert!(start.elapsed() < PATIENCE, "the FIN is lost");
        turn(now(), &mut guest, eth0, &mut link);
        wait(now(), &guest, &link);
    }
    assert_eq!(server.join().unwrap(), 0);
}
