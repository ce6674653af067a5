//! Options of IPv4 (RFC 791 §3.1): padding, the route that is recorded, what later fragments carry.

use core::net::Ipv4Addr;

use prise_wire::Ipv4Options;

#[test]
fn options_are_padded_with_ends_and_end_at_the_first() {
    for (given, padded) in [
        (&[][..], &[][..]),
        (&[1], &[1, 0, 0, 0]),
        (&[148, 4, 0, 0], &[148, 4, 0, 0]),
        (&[1, 0, 148, 4, 0, 0], &[1, 0, 0, 0, 0, 0, 0, 0]),
        (&[7, 0, 9], &[7, 0, 9, 0]),
    ] {
        assert_eq!(*Ipv4Options::padded(given), *padded, "{given:?}");
    }
}

#[test]
fn a_route_is_recorded_until_it_is_full() {
    let mut options = Ipv4Options::padded(&[1, 7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
    options.record_route(Ipv4Addr::new(10, 0, 0, 1));
    assert_eq!(*options, [1, 7, 11, 8, 10, 0, 0, 1, 0, 0, 0, 0]);
    options.record_route(Ipv4Addr::new(10, 0, 0, 2));
    let full = [1, 7, 11, 12, 10, 0, 0, 1, 10, 0, 0, 2];
    assert_eq!(*options, full);
    options.record_route(Ipv4Addr::new(10, 0, 0, 3));
    assert_eq!(*options, full);
}

#[test]
fn a_pointer_to_no_place_records_nothing() {
    for given in [
        [7, 7, 3, 0, 0, 0, 0, 0],
        [7, 7, 5, 0, 0, 0, 0, 0],
        [7, 9, 4, 0, 0, 0, 0, 0],
        [7, 1, 4, 0, 0, 0, 0, 0],
    ] {
        let mut options = Ipv4Options::copy_from(&given);
        options.record_route(Ipv4Addr::BROADCAST);
        assert_eq!(*options, given);
    }
}

#[test]
fn later_fragments_carry_what_is_to_be_copied() {
    let options = Ipv4Options::padded(&[7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0]);
    assert_eq!(*options.for_later_fragments(), [1, 1, 1, 1, 1, 1, 1, 148, 4, 0, 0, 0]);
}
