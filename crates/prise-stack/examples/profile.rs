//! Work for a profiler: one stack, one connection over `lo`, as fast as it goes. `profile bulk|pingpong|connect N`.
use std::net::SocketAddr;
use std::time::Instant as Clock;

use prise_stack::{Family, LinkConfig, ListenConfig, Local, Stack, StackConfig, TcpConfig};
use prise_wire::{Instant, Medium, Payload};

struct Lo {
    stack: Stack,
    link: prise_stack::LinkId,
    start: Clock,
}

impl Lo {
    fn now(&self) -> Instant {
        Instant::from_nanos(1_000_000_000 + self.start.elapsed().as_nanos() as u64)
    }

    fn turn(&mut self) {
        let now = self.now();
        while let Some(frame) = self.stack.transmit(now, self.link) {
            self.stack.receive(now, self.link, [frame]);
        }
        while self.stack.event().is_some() {}
        self.stack.expire(now);
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_else(|| "bulk".into());
    let count: usize = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(200_000);
    let mut stack = Stack::new(&StackConfig::new([1, 2], [3; 32]));
    let link = stack
        .add_link(&LinkConfig {
            name: "lo",
            medium: Medium::Ip,
            mac: None,
            mtu: 65_536,
            gso_max: 65_536,
            checksum_offload: true,
            loopback: true,
            transparent: false,
        })
        .expect("a link");
    stack.add_address(Instant::ZERO, link, "127.0.0.1/8".parse().expect("an address"));
    let mut lo = Lo {
        stack,
        link,
        start: Clock::now(),
    };
    let local = Local {
        addr: None,
        family: Family::V4,
        port: 80,
        device: None,
    };
    let listen = ListenConfig {
        local,
        backlog: 100,
        reuse_port: false,
        config: TcpConfig::default(),
        token: 1,
    };
    let listener = lo.stack.tcp_listen(listen).expect("the port is free");
    let remote = SocketAddr::from(([127, 0, 0, 1], 80));
    let connect = |lo: &mut Lo, port: u16| {
        let now = lo.now();
        let local = SocketAddr::from(([127, 0, 0, 1], port));
        let client = lo
            .stack
            .tcp_connect(now, local, remote, None, &TcpConfig::default(), 2)
            .expect("free");
        lo.turn();
        (client, lo.stack.tcp_accept(listener, 3).expect("a connection"))
    };
    let start = Clock::now();
    match what.as_str() {
        "connect" => {
            for i in 0..count {
                let (client, server) = connect(&mut lo, 1024 + (i % 60_000) as u16);
                let now = lo.now();
                lo.stack.tcp_close(now, client);
                lo.turn();
                lo.stack.tcp_close(now, server);
                lo.turn();
            }
            println!("{:.0} connections/s", count as f64 / start.elapsed().as_secs_f64());
        }
        "pingpong" => {
            let (client, server) = connect(&mut lo, 4000);
            for _ in 0..count {
                for (from, to) in [(client, server), (server, client)] {
                    let now = lo.now();
                    let mut payload = Payload::copy_from(&[7; 64]);
                    lo.stack.tcp_send(now, from, &mut payload, false, false).expect("room");
                    lo.turn();
                    lo.stack.tcp_receive(now, to, 64).expect("data");
                }
            }
            println!("{:.0} round trips/s", count as f64 / start.elapsed().as_secs_f64());
        }
        _ => {
            let (client, server) = connect(&mut lo, 4000);
            let chunk = Payload::from(vec![7_u8; 65_536]);
            let mut octets = 0_u64;
            for _ in 0..count {
                let now = lo.now();
                let mut payload = chunk.clone();
                let _ = lo.stack.tcp_send(now, client, &mut payload, false, false);
                lo.turn();
                while let Ok(piece) = lo.stack.tcp_receive(now, server, 1 << 20) {
                    octets += piece.len() as u64;
                }
            }
            println!(
                "{:.1} Gbit/s",
                octets as f64 * 8.0 / 1e9 / start.elapsed().as_secs_f64()
            );
            eprintln!(
                "{:#?} {:#?}",
                lo.stack.tcp_info(lo.now(), client),
                lo.stack.tcp_info(lo.now(), server)
            );
        }
    }
}
