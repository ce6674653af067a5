//! The bad line, fault by fault.

mod frames;

use frames::{datagram, number, train};
use prise_link::{BurstLoss, Early, Impaired, Impairment, ImpairmentConfig, Link, Loopback, Probability, memory_pair};
use prise_wire::time::{Duration, Instant};
use prise_wire::{Checksum, Frame, Ipv4Packet, Medium, checksum};
use std::num::{NonZeroU32, NonZeroU64};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn share(share: f64) -> Probability {
    Probability::new(share).expect("a share")
}

fn line(config: ImpairmentConfig) -> Impairment {
    Impairment::new(config, Medium::Ip)
}

/// Sends `count` datagrams, one each millisecond, and returns when each arrived.
fn run(config: ImpairmentConfig, count: u32) -> (Vec<(Instant, Frame)>, Impairment) {
    let mut line = line(config);
    let mut arrived = Vec::new();
    let mut now = Instant::ZERO;
    for number in 0..count {
        line.send(now, datagram(number, 100));
        let next = now + ms(1);
        while let Some(due) = line.next_deadline().filter(|due| *due < next) {
            now = due.max(now);
            arrived.extend(line.receive(now).map(|frame| (now, frame)));
        }
        now = next;
    }
    while let Some(due) = line.next_deadline() {
        now = due.max(now);
        arrived.extend(line.receive(now).map(|frame| (now, frame)));
    }
    (arrived, line)
}

#[test]
fn an_ideal_line_passes_frames_whole_and_at_once() {
    let mut line = line(ImpairmentConfig {
        seed: 7,
        ..ImpairmentConfig::default()
    });
    assert!(line.config().is_none());
    let frame = train(1, 60_000, false);
    line.send(Instant::ZERO, frame.clone());
    assert_eq!(line.receive(Instant::ZERO), Some(frame));
    assert_eq!(line.receive(Instant::ZERO), None);
}

#[test]
fn delay_holds_every_packet_for_its_time_and_no_longer() {
    let (arrived, _) = run(
        ImpairmentConfig {
            delay: ms(50),
            ..ImpairmentConfig::default()
        },
        10,
    );
    let times: Vec<_> = arrived.iter().map(|(at, _)| at.as_millis()).collect();
    assert_eq!(times, (50..60).collect::<Vec<_>>());
}

#[test]
fn jitter_spreads_arrivals_but_never_reorders() {
    let config = ImpairmentConfig {
        delay: ms(50),
        jitter: ms(5),
        seed: 1,
        ..ImpairmentConfig::default()
    };
    let (arrived, _) = run(config, 1000);
    let numbers: Vec<_> = arrived.iter().map(|(_, frame)| number(frame)).collect();
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    let ways = arrived
        .iter()
        .zip(0..)
        .map(|((at, _), sent)| *at - Instant::from_millis(sent));
    let (min, max) = ways.fold((ms(1000), ms(0)), |(min, max), way| (min.min(way), max.max(way)));
    assert!(min >= ms(45) && min < ms(47), "{min:?}");
    assert!(max <= ms(55) && max > ms(53), "{max:?}");
}

#[test]
fn loss_takes_its_share_and_the_seed_decides_which() {
    let config = ImpairmentConfig {
        loss: share(0.05),
        seed: 7,
        ..ImpairmentConfig::default()
    };
    let (arrived, line) = run(config, 10_000);
    let lost = line.counters().lost;
    assert_eq!(lost + arrived.len() as u64, 10_000);
    assert!((400..600).contains(&lost), "{lost}");
    let again = run(config, 10_000).0;
    assert!(arrived == again, "the same seed loses the same packets");
    let other = run(ImpairmentConfig { seed: 8, ..config }, 10_000).0;
    assert!(arrived != other, "another seed loses others");
}

#[test]
fn one_fault_does_not_change_what_another_strikes() {
    let lossy = ImpairmentConfig {
        loss: share(0.1),
        delay: ms(1),
        seed: 3,
        ..ImpairmentConfig::default()
    };
    let both = ImpairmentConfig {
        corrupt: share(0.3),
        jitter: ms(1),
        ..lossy
    };
    let line_of = |config| run(config, 500).1.counters().lost;
    assert_eq!(line_of(lossy), line_of(both));
}

#[test]
fn everything_lost_is_a_cut_cable() {
    let (arrived, line) = run(
        ImpairmentConfig {
            loss: Probability::ALWAYS,
            ..ImpairmentConfig::default()
        },
        100,
    );
    assert!(arrived.is_empty());
    assert_eq!(line.counters().lost, 100);
}

#[test]
fn duplicates_arrive_twice() {
    let config = ImpairmentConfig {
        duplicate: Probability::ALWAYS,
        ..ImpairmentConfig::default()
    };
    let numbers: Vec<_> = run(config, 3).0.iter().map(|(_, frame)| number(frame)).collect();
    assert_eq!(numbers, [0, 0, 1, 1, 2, 2]);
}

#[test]
fn reordered_packets_overtake_those_that_are_delayed() {
    let config = ImpairmentConfig {
        delay: ms(10),
        reorder: share(0.1),
        seed: 4,
        ..ImpairmentConfig::default()
    };
    let (arrived, line) = run(config, 200);
    let numbers: Vec<_> = arrived.iter().map(|(_, frame)| number(frame)).collect();
    assert_eq!(numbers.len(), 200);
    assert!(line.counters().reordered > 5);
    assert!(!numbers.is_sorted());
}

#[test]
fn packets_that_are_late_are_overtaken_by_those_of_that_time_and_lose_nothing() {
    let config = ImpairmentConfig {
        delay: ms(10),
        reorder: share(0.1),
        reorder_delay: Some(ms(3)),
        seed: 4,
        ..ImpairmentConfig::default()
    };
    let (arrived, line) = run(config, 200);
    assert_eq!(arrived.len(), 200);
    let late = |(at, frame): &(Instant, Frame)| {
        let way = *at - Instant::from_millis(u64::from(number(frame)));
        assert!(way == ms(10) || way == ms(13), "{way:?}");
        way == ms(13)
    };
    let late: Vec<bool> = arrived.iter().map(late).collect();
    let count = late.iter().filter(|late| **late).count() as u64;
    assert!((10..30).contains(&count), "{count}");
    assert_eq!(count, line.counters().reordered);
    // One packet was sent each millisecond: the three after it, if they are not late themselves, arrive no later.
    let place = |wanted: u32| arrived.iter().position(|(_, frame)| number(frame) == wanted);
    let first = arrived
        .iter()
        .zip(&late)
        .find(|(_, late)| **late)
        .expect("one is late")
        .0;
    let first = number(&first.1);
    assert!(place(first) > place(first + 2), "{first}");
}

#[test]
fn on_a_line_without_delay_reordered_packets_are_held_back() {
    let config = ImpairmentConfig {
        reorder: share(0.3),
        seed: 4,
        ..ImpairmentConfig::default()
    };
    let mut line = line(config);
    (0..20).for_each(|number| line.send(Instant::ZERO, datagram(number, 100)));
    let at_once = std::iter::from_fn(|| line.receive(Instant::ZERO)).count();
    assert!((1..20).contains(&at_once), "{at_once}");
    assert_eq!(line.next_deadline(), Some(Instant::from_millis(1)));
    assert_eq!(
        std::iter::from_fn(|| line.receive(Instant::from_millis(1))).count(),
        20 - at_once
    );
}

/// Whether IP lengths, header checksum and UDP checksum of a corrupted datagram all still hold.
fn passes_all_checks(octets: &[u8]) -> bool {
    let Ok(packet) = Ipv4Packet::parse(octets) else {
        return false;
    };
    let header = packet.header();
    let pseudo_header = checksum::pseudo_header_v4(
        header.source,
        header.destination,
        header.protocol,
        packet.payload().len(),
    );
    prise_wire::ipv4::is_checksum_valid(octets)
        && packet.payload().len() == octets.len() - 20
        && checksum::is_valid(checksum::combine(pseudo_header, checksum::sum(packet.payload())))
}

#[test]
fn corruption_flips_one_bit_that_checksums_notice() {
    let config = ImpairmentConfig {
        corrupt: Probability::ALWAYS,
        seed: 11,
        ..ImpairmentConfig::default()
    };
    for (sent, (_, frame)) in run(config, 300).0.iter().enumerate() {
        let mut good = datagram(sent as u32, 100);
        good.complete_checksum();
        let (good, bad) = (good.to_vec(), frame.to_vec());
        let flipped: u32 = good.iter().zip(&bad).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!(flipped, 1);
        assert_eq!(
            frame.offload.checksum,
            Checksum::Unverified,
            "nobody vouches for it any more"
        );
        assert!(passes_all_checks(&good) && !passes_all_checks(&bad));
    }
}

#[test]
fn corruption_leaves_the_sender_s_own_octets_alone() {
    let config = ImpairmentConfig {
        corrupt: Probability::ALWAYS,
        seed: 2,
        ..ImpairmentConfig::default()
    };
    let mut line = line(config);
    let frame = datagram(0, 1000);
    let before = frame.body().to_vec();
    for _ in 0..50 {
        line.send(Instant::ZERO, frame.clone());
    }
    assert_eq!(frame.body().to_vec(), before);
}

#[test]
fn rate_spaces_packets_by_the_time_each_takes() {
    // 1,250 octets of IP packet at 10 Mbit/s take one millisecond.
    let rate = NonZeroU64::new(10_000_000);
    let mut line = line(ImpairmentConfig {
        rate,
        delay: ms(5),
        ..ImpairmentConfig::default()
    });
    (0..5).for_each(|number| line.send(Instant::ZERO, datagram(number, 1250 - 28)));
    for arrival in 6..11 {
        assert_eq!(line.next_deadline(), Some(Instant::from_millis(arrival)));
        assert!(line.receive(Instant::from_millis(arrival)).is_some());
    }
    assert!(line.is_empty());
}

#[test]
fn a_full_queue_drops_the_last_that_comes() {
    let config = ImpairmentConfig {
        rate: NonZeroU64::new(10_000_000),
        queue: NonZeroU64::new(3),
        ..ImpairmentConfig::default()
    };
    let mut line = line(config);
    (0..10).for_each(|number| line.send(Instant::ZERO, datagram(number, 1250 - 28)));
    // One is being sent, three wait.
    assert_eq!(line.counters().queue_full, 6);
    let later = Instant::from_secs(1);
    let numbers: Vec<_> = std::iter::from_fn(|| line.receive(later))
        .map(|frame| number(&frame))
        .collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
}

#[test]
fn a_train_is_cut_when_single_packets_are_struck() {
    let mut line = line(ImpairmentConfig {
        loss: share(0.5),
        seed: 5,
        ..ImpairmentConfig::default()
    });
    line.send(Instant::ZERO, train(1, 14_480, false));
    assert_eq!(line.counters().sent, 10);
    let packets: Vec<_> = std::iter::from_fn(|| line.receive(Instant::ZERO)).collect();
    assert!(!packets.is_empty() && packets.len() < 10);
    for packet in packets {
        assert_eq!(packet.total_len(), 1500);
        assert_eq!(packet.offload.gso, None);
        assert!(
            matches!(packet.offload.checksum, Checksum::Partial { .. }),
            "nobody needed it computed"
        );
    }
}

#[test]
fn a_train_that_is_only_delayed_stays_whole() {
    let mut line = line(ImpairmentConfig {
        delay: ms(1),
        jitter: ms(1),
        ..ImpairmentConfig::default()
    });
    let frame = train(1, 60_000, true);
    line.send(Instant::ZERO, frame.clone());
    assert_eq!(line.receive(Instant::from_millis(2)), Some(frame));
}

#[test]
fn an_impaired_link_delays_in_both_directions() {
    let (near, mut far) = memory_pair(Medium::Ip, 1500).expect("two descriptors");
    let mut near = Impaired::new(
        near,
        ImpairmentConfig {
            delay: ms(10),
            ..ImpairmentConfig::default()
        },
    );
    near.send(Instant::ZERO, datagram(1, 64)).expect("room");
    assert_eq!(far.receive(Instant::from_millis(9)), None);
    assert_eq!(near.next_deadline(), Some(Instant::from_millis(10)));
    near.flush(Instant::from_millis(10));
    let there = far.receive(Instant::from_millis(10)).expect("it is due");
    far.send(Instant::from_millis(10), there).expect("room");
    assert_eq!(near.receive(Instant::from_millis(10)), None);
    assert_eq!(near.next_deadline(), Some(Instant::from_millis(20)));
    assert!(near.receive(Instant::from_millis(20)).is_some());
    assert_eq!(near.next_deadline(), None);
}

#[test]
fn the_two_directions_lose_different_packets() {
    let config = ImpairmentConfig {
        loss: share(0.5),
        seed: 1,
        ..ImpairmentConfig::default()
    };
    let mut link = Impaired::new(Loopback::new(), config);
    (0..1000).for_each(|number| link.send(Instant::ZERO, datagram(number, 64)).expect("room"));
    let back = std::iter::from_fn(|| link.receive(Instant::ZERO)).count();
    assert!((200..300).contains(&back), "a quarter comes back, not a half: {back}");
}

#[test]
fn a_memory_link_is_readable_while_it_holds_frames() {
    let (mut near, mut far) = memory_pair(Medium::Ip, 1500).expect("two descriptors");
    let readable = |link: &prise_link::MemoryLink| {
        let fd = link.poll_fd().expect("a descriptor");
        let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, Some(&rustix::event::Timespec::default())).expect("poll") == 1
    };
    assert!(!readable(&far));
    near.send(Instant::ZERO, datagram(1, 64)).expect("room");
    near.send(Instant::ZERO, datagram(2, 64)).expect("room");
    assert!(readable(&far) && !readable(&near));
    assert_eq!(far.receive(Instant::ZERO).as_ref().map(number), Some(1));
    assert!(readable(&far));
    assert_eq!(far.receive(Instant::ZERO).as_ref().map(number), Some(2));
    assert!(!readable(&far));
    assert_eq!(far.receive(Instant::ZERO), None);
}

#[test]
fn a_full_memory_link_gives_the_frame_back() {
    let (mut near, mut far) = memory_pair(Medium::Ip, 1500).expect("two descriptors");
    let refused = (0..).find_map(|number| near.send(Instant::ZERO, datagram(number, 64)).err());
    let refused = refused.expect("it ends at some frame");
    assert!(far.receive(Instant::ZERO).is_some());
    assert!(near.send(Instant::ZERO, refused).is_ok());
}

/// The lengths of the runs of numbers that are missing.
fn gaps(arrived: &[(Instant, Frame)], count: u32) -> Vec<u32> {
    let mut present = vec![false; count as usize];
    for (_, frame) in arrived {
        present[number(frame) as usize] = true;
    }
    let runs = present.chunk_by(|a, b| a == b).filter(|run| !run[0]);
    runs.map(|run| run.len() as u32).collect()
}

#[test]
fn bursts_have_their_share_and_their_length() {
    const COUNT: u32 = 200_000;
    let (arrived, line) = run(
        ImpairmentConfig {
            burst: BurstLoss {
                share: share(0.02),
                length: NonZeroU32::new(8).expect("eight"),
            },
            seed: 3,
            ..ImpairmentConfig::default()
        },
        COUNT,
    );
    let gaps = gaps(&arrived, COUNT);
    let lost: u32 = gaps.iter().sum();
    assert_eq!(u64::from(lost), line.counters().lost);
    let share = f64::from(lost) / f64::from(COUNT);
    assert!((0.017..0.023).contains(&share), "{share}");
    let length = f64::from(lost) / gaps.len() as f64;
    assert!((7.2..8.8).contains(&length), "{length}");
}

#[test]
fn a_burst_is_over_after_a_silence() {
    let mut line = line(ImpairmentConfig {
        burst: BurstLoss {
            share: share(0.01),
            length: NonZeroU32::new(10).expect("ten"),
        },
        seed: 3,
        ..ImpairmentConfig::default()
    });
    // One packet in ten seconds: each finds the line as if it had never been used.
    for step in 0..10_000 {
        line.send(Instant::ZERO + ms(10_000) * step, datagram(0, 100));
    }
    let lost = line.counters().lost;
    assert!((60..140).contains(&lost), "{lost} of 10,000");
}

#[test]
fn a_queue_that_fills_marks_what_may_be_marked_and_drops_the_rest() {
    let config = ImpairmentConfig {
        rate: NonZeroU64::new(1_000_000),
        queue: NonZeroU64::new(100),
        early: Early::Mark,
        seed: 3,
        ..ImpairmentConfig::default()
    };
    let through = |tos: u8| {
        let mut line = line(config);
        let mut marked = 0;
        for number in 0..2000 {
            let mut frame = datagram(number, 100);
            let header = frame.head_mut();
            header[1] = tos;
            header[10..12].fill(0);
            let sum = !checksum::sum(&header[..20]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            // Nine tenths of what the rate carries arrives at once, then there is time for it.
            let now = Instant::ZERO + ms(u64::from(number / 90) * 100);
            line.send(now, frame);
            while let Some(frame) = line.receive(now) {
                let octets = frame.to_vec();
                let packet = Ipv4Packet::parse(&octets).expect("the header's checksum was mended");
                marked += u64::from(packet.header().tos & 3 == 3);
            }
        }
        let counters = line.counters();
        assert_eq!(marked, counters.marked.min(marked));
        (counters.marked, counters.queue_full)
    };
    let (marked, dropped) = through(2);
    assert!(marked > 20 && dropped == 0, "{marked} marked, {dropped} dropped");
    let (marked, dropped) = through(0);
    assert!(marked == 0 && dropped > 20, "{marked} marked, {dropped} dropped");
}
