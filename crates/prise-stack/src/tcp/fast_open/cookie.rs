//! Cookies: a keyed hash of both addresses (RFC 7413 §4.1.2), made as Linux makes them, so that hosts which share a key
//! share cookies.

use core::net::IpAddr;

use prise_wire::FastOpenCookie;

use super::FastOpenKeys;

/// What a cookie proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Invalid,
    /// The client is where it says to be.
    Valid,
    /// So it is, but the key it was made with is about to go: it should get a new one.
    Outdated,
}

impl FastOpenKeys {
    /// The cookie for a client.
    pub(super) fn bake(&self, client: IpAddr, server: IpAddr) -> Option<FastOpenCookie> {
        cookie(&self.primary, client, server)
    }

    /// Whether the client's cookie is one of ours.
    pub(super) fn judge(&self, given: &FastOpenCookie, client: IpAddr, server: IpAddr) -> Verdict {
        let is = |key: &[u8; 16]| cookie(key, client, server).is_some_and(|own| own[..] == given[..]);
        if is(&self.primary) {
            Verdict::Valid
        } else if self.backup.as_ref().is_some_and(is) {
            Verdict::Outdated
        } else {
            Verdict::Invalid
        }
    }
}

fn cookie(key: &[u8; 16], client: IpAddr, server: IpAddr) -> Option<FastOpenCookie> {
    let mut octets = [0; 32];
    let len = match (client, server) {
        (IpAddr::V4(client), IpAddr::V4(server)) => {
            octets[..4].copy_from_slice(&client.octets());
            octets[4..8].copy_from_slice(&server.octets());
            8
        }
        (IpAddr::V6(client), IpAddr::V6(server)) => {
            octets[..16].copy_from_slice(&client.octets());
            octets[16..].copy_from_slice(&server.octets());
            32
        }
        _ => return None,
    };
    FastOpenCookie::new(&siphash(key, &octets[..len]).to_le_bytes())
}

/// SipHash-2-4 of whole words.
fn siphash(key: &[u8; 16], octets: &[u8]) -> u64 {
    let word = |octets: &[u8]| {
        octets
            .iter()
            .rev()
            .fold(0_u64, |all, octet| all << 8 | u64::from(*octet))
    };
    let (k0, k1) = (word(&key[..8]), word(&key[8..]));
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let mut absorb = |word: u64| {
        v[3] ^= word;
        round(&mut v);
        round(&mut v);
        v[0] ^= word;
    };
    for octets in octets.chunks_exact(8) {
        absorb(word(octets));
    }
    absorb((octets.len() as u64) << 56);
    v[2] ^= 0xff;
    for _ in 0..4 {
        round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn round([v0, v1, v2, v3]: &mut [u64; 4]) {
    *v0 = v0.wrapping_add(*v1);
    *v1 = v1.rotate_left(13) ^ *v0;
    *v0 = v0.rotate_left(32);
    *v2 = v2.wrapping_add(*v3);
    *v3 = v3.rotate_left(16) ^ *v2;
    *v0 = v0.wrapping_add(*v3);
    *v3 = v3.rotate_left(21) ^ *v0;
    *v2 = v2.wrapping_add(*v1);
    *v1 = v1.rotate_left(17) ^ *v2;
    *v2 = v2.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_siphash_2_4() {
        // The test vectors of the SipHash paper: key 00…0f, input 00… of the length.
        let key: [u8; 16] = core::array::from_fn(|i| i as u8);
        let input: [u8; 16] = core::array::from_fn(|i| i as u8);
        assert_eq!(siphash(&key, &[]), 0x726f_db47_dd0e_0e31);
        assert_eq!(siphash(&key, &input[..8]), 0x93f5_f579_9a93_2462);
        assert_eq!(siphash(&key, &input), 0x3f2a_cc7f_57c2_9bdb);
    }

    #[test]
    fn a_cookie_belongs_to_both_addresses_and_to_the_key() {
        let keys = FastOpenKeys::new(&[7; 16]).expect("a key");
        let [one, two, server] = ["192.0.2.1", "192.0.2.2", "192.0.2.9"].map(|text| text.parse().unwrap());
        let cookie = keys.bake(one, server).expect("one family");
        assert_eq!(keys.judge(&cookie, one, server), Verdict::Valid);
        assert_eq!(keys.judge(&cookie, two, server), Verdict::Invalid);
        assert_eq!(keys.judge(&cookie, one, two), Verdict::Invalid);
        let mut rotated = [8; 32];
        rotated[16..].fill(7);
        let rotated = FastOpenKeys::new(&rotated).expect("two keys");
        assert_eq!(rotated.judge(&cookie, one, server), Verdict::Outdated);
        let other = FastOpenKeys::new(&[9; 16]).expect("a key");
        assert_eq!(other.judge(&cookie, one, server), Verdict::Invalid);
    }

    #[test]
    fn keys_have_16_or_32_octets() {
        for len in 0..40 {
            let keys = FastOpenKeys::new(&[0; 40][..len]);
            assert_eq!(keys.is_some(), len == 16 || len == 32, "{len}");
        }
    }
}
