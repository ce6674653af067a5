//! The fast checksum against the definition in RFC 1071.

use prise_wire::checksum;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

/// RFC 1071 §4.1, word by word.
fn by_definition(data: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for word in data.chunks(2) {
        sum += u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Zero has two forms in one's complement.
fn same(a: u16, b: u16) -> bool {
    a == b || (a == 0 && b == 0xffff) || (a == 0xffff && b == 0)
}

#[test]
fn the_example_of_rfc_1071_section_3_gives_its_result() {
    let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    assert_eq!(checksum::sum(&data), 0xddf2);
    assert_eq!(checksum::finish(0xddf2), 0x220d);
}

#[test]
fn a_sum_of_all_ones_carries_around() {
    for len in 0..200 {
        let data = vec![0xff; len];
        assert!(same(checksum::sum(&data), by_definition(&data)), "{len}");
    }
}

#[test]
fn an_udp_checksum_is_never_sent_as_none() {
    assert_eq!(checksum::finish_nonzero(0xffff), 0xffff);
    assert_eq!(checksum::finish_nonzero(0x1234), !0x1234);
    assert_eq!(checksum::finish_nonzero(0), 0xffff);
}

proptest! {
    #[test]
    fn the_sum_is_that_of_the_definition(data in prop::collection::vec(any::<u8>(), 0..2000), skip in 0usize..16) {
        let data = &data[skip.min(data.len())..];
        prop_assert!(same(checksum::sum(data), by_definition(data)));
    }

    #[test]
    fn the_sum_of_pieces_is_the_sum_of_the_whole(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..8)) {
        let whole = pieces.concat();
        let sum = checksum::sum_pieces(pieces.iter().map(Vec::as_slice));
        prop_assert!(same(sum, checksum::sum(&whole)));
    }

    #[test]
    fn an_updated_checksum_is_a_computed_one(mut data in prop::collection::vec(any::<u8>(), 2..60), at in 0usize..29, new: u16) {
        let at = at * 2 % (data.len() / 2 * 2);
        let before = checksum::finish(checksum::sum(&data));
        let old = u16::from_be_bytes([data[at], data[at + 1]]);
        data[at..at + 2].copy_from_slice(&new.to_be_bytes());
        let after = checksum::finish(checksum::sum(&data));
        prop_assert!(same(checksum::update(before, old, new), after));
    }

    #[test]
    fn pseudo_headers_are_summed_as_they_are_drawn(a: u32, b: u32, c: u128, d: u128, protocol: u8, len in 0u32..100_000) {
        let drawn: Vec<u8> = [&a.to_be_bytes()[..], &b.to_be_bytes(), &[0, protocol], &(len as u16).to_be_bytes()].concat();
        if let Ok(len) = u16::try_from(len) {
            let sum = checksum::pseudo_header_v4(Ipv4Addr::from_bits(a), Ipv4Addr::from_bits(b), protocol, len.into());
            prop_assert!(same(sum, by_definition(&drawn)));
        }
        let drawn: Vec<u8> =
            [&c.to_be_bytes()[..], &d.to_be_bytes(), &len.to_be_bytes(), &[0, 0, 0, protocol]].concat();
        let sum = checksum::pseudo_header_v6(Ipv6Addr::from_bits(c), Ipv6Addr::from_bits(d), protocol, len as usize);
        prop_assert!(same(sum, by_definition(&drawn)));
    }
}
