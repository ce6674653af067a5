//! How long the wire formats take, each beside what it is to be compared with: `cargo bench -p prise-wire`.
//!
//! Every figure is the best of several rounds, since whatever else the machine does only adds.

use prise_wire::{
    Body, Checksum, Frame, Gso, GsoKind, Ipv4Header, Medium, Payload, SeqNum, TcpHeader, Timestamps, checksum,
    protocol, tcp,
};
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// Nanoseconds that one call takes.
fn time<T>(mut call: impl FnMut() -> T) -> f64 {
    const ROUNDS: usize = 15;
    let started = Instant::now();
    let mut calls = 0u32;
    while started.elapsed() < Duration::from_millis(5) {
        black_box(call());
        calls += 1;
    }
    let round = |_| {
        let started = Instant::now();
        for _ in 0..calls {
            black_box(call());
        }
        started.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

/// RFC 1071 §4.1 as everybody writes it first.
fn by_words(data: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for word in data.as_chunks::<2>().0 {
        sum += u32::from(u16::from_be_bytes(*word));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn bench_checksum() {
    println!("checksum                       GB/s   copy   by words");
    for len in [20, 64, 256, 1448, 16 * 1024, 64 * 1024] {
        let data = vec![0x5a; len];
        let mut copy = vec![0; len];
        let rate = |nanos: f64| len as f64 / nanos;
        let sum = rate(time(|| checksum::sum(black_box(&data))));
        let copied = rate(time(|| {
            copy.copy_from_slice(black_box(&data));
            black_box(&mut copy[..]);
        }));
        let words = rate(time(|| by_words(black_box(&data))));
        println!(
            "{len:6} octets              {sum:8.1} {:6.2}x {:8.1}x",
            sum / copied,
            sum / words
        );
    }
}

fn header(payload: usize) -> (TcpHeader, Ipv4Header) {
    let (source, destination) = (Ipv4Addr::new(10, 0, 2, 15), Ipv4Addr::new(10, 0, 2, 2));
    let mut header = TcpHeader {
        ack: Some(SeqNum(1)),
        window: 500,
        ..TcpHeader::default()
    };
    header.options.timestamps = Some(Timestamps { value: 1, echo: 2 });
    let len = header.header_len() + payload;
    header.checksum = checksum::pseudo_header_v4(source, destination, protocol::TCP, len);
    (header, Ipv4Header::new(source, destination, protocol::TCP, len))
}

/// A train of segments as TCP builds it.
fn train(payload: &Payload) -> Frame {
    let (tcp, ip) = header(payload.len());
    let mut frame = Frame::with_header(&tcp, Body::from(payload.clone()));
    frame.offload.checksum = Checksum::Partial {
        start: 0,
        offset: tcp::CHECKSUM_OFFSET,
    };
    frame.offload.gso = Some(Gso {
        kind: GsoKind::Tcp4,
        size: 1448,
    });
    frame.push_header(&ip);
    frame
}

fn bench_frames() {
    let payload = Payload::from(vec![0x5a; 64_000]);
    let mut copy = vec![0; payload.len()];
    let copied = time(|| {
        copy.copy_from_slice(black_box(&payload));
        black_box(&mut copy[..]);
    });
    let line = |what: &str, nanos: f64| println!("{what:28} {nanos:8.0} ns {:6.2}x of a copy", nanos / copied);
    println!("\na train of 64,000 octets, 45 segments; its copy takes {copied:.0} ns");
    line("build the train", time(|| train(&payload)));
    line(
        "complete its checksum",
        time(|| {
            let mut frame = train(&payload);
            frame.complete_checksum();
            frame
        }),
    );
    line(
        "segments, checksums complete",
        time(|| {
            train(&payload)
                .segments(Medium::Ip)
                .map(|f| f.total_len())
                .sum::<usize>()
        }),
    );
    line(
        "segments, checksums partial",
        time(|| {
            train(&payload)
                .segments_partial(Medium::Ip)
                .map(|f| f.total_len())
                .sum::<usize>()
        }),
    );
    let wire = Payload::from(train(&payload).to_vec());
    line(
        "from a device's octets",
        time(|| Frame::from_contiguous(Medium::Ip, wire.clone())),
    );

    println!("\none header");
    let (tcp, _) = header(0);
    let frame = Frame::with_header(&tcp, Body::new());
    let octets = frame.to_vec();
    println!(
        "{:28} {:8.1} ns",
        "TCP emit into a frame",
        time(|| Frame::with_header(black_box(&tcp), Body::new()))
    );
    println!(
        "{:28} {:8.1} ns",
        "TCP parse",
        time(|| TcpHeader::parse(black_box(&octets)))
    );
    println!(
        "{:28} {:8.1} ns for {} octets",
        "move a frame",
        time(|| black_box(black_box(Frame::default()))),
        size_of::<Frame>()
    );
}

fn main() {
    bench_checksum();
    bench_frames();
}
