//! The MD5 message digest (RFC 1321), for RFC 2385 alone: it proves nothing to anybody who can break it, and people have since 2004.

/// `T[i]`: the integer part of `4294967296 * |sin(i + 1)|` (RFC 1321 §3.4).
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];
/// How far each step of a round rotates.
const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
const BLOCK: usize = 64;

/// A digest under way.
#[derive(Clone, Debug)]
pub(super) struct Md5 {
    state: [u32; 4],
    /// Octets taken so far.
    len: u64,
    /// What does not yet fill a block.
    rest: [u8; BLOCK],
}

impl Md5 {
    pub(super) const fn new() -> Self {
        Self {
            state: [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476],
            len: 0,
            rest: [0; BLOCK],
        }
    }

    pub(super) fn update(&mut self, mut octets: &[u8]) {
        let held = (self.len % BLOCK as u64) as usize;
        self.len += octets.len() as u64;
        if held > 0 {
            let (now, later) = octets.split_at(octets.len().min(BLOCK - held));
            self.rest[held..held + now.len()].copy_from_slice(now);
            if held + now.len() < BLOCK {
                return;
            }
            let block = self.rest;
            self.take(&block);
            octets = later;
        }
        let (blocks, rest) = octets.as_chunks::<BLOCK>();
        for block in blocks {
            self.take(block);
        }
        self.rest[..rest.len()].copy_from_slice(rest);
    }

    /// The digest: a one bit, zeros, and the length in bits end the last block (RFC 1321 §3.1, §3.2).
    pub(super) fn finish(mut self) -> [u8; 16] {
        let bits = self.len.wrapping_mul(8);
        let held = (self.len % BLOCK as u64) as usize;
        let zeros = (BLOCK + 56 - 1 - held) % BLOCK;
        let mut padding = [0; BLOCK];
        padding[0] = 0x80;
        self.update(&padding[..=zeros]);
        self.update(&bits.to_le_bytes());
        let mut digest = [0; 16];
        for (octets, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(self.state) {
            *octets = word.to_le_bytes();
        }
        digest
    }

    /// One block of 16 words (RFC 1321 §3.4).
    fn take(&mut self, block: &[u8; BLOCK]) {
        let mut words = [0; 16];
        for (word, octets) in words.iter_mut().zip(block.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*octets);
        }
        let [mut a, mut b, mut c, mut d] = self.state;
        for (step, sine) in SINES.into_iter().enumerate() {
            let (mixed, at) = match step / 16 {
                0 => (b & c | !b & d, step),
                1 => (b & d | c & !d, 5 * step + 1),
                2 => (b ^ c ^ d, 3 * step + 5),
                _ => (c ^ (b | !d), 7 * step),
            };
            let sum = a.wrapping_add(mixed).wrapping_add(words[at % 16]).wrapping_add(sine);
            (a, d, c) = (d, c, b);
            b = b.wrapping_add(sum.rotate_left(SHIFTS[step / 16][step % 4]));
        }
        for (word, sum) in self.state.iter_mut().zip([a, b, c, d]) {
            *word = word.wrapping_add(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(octets: &[u8]) -> u128 {
        let mut digest = Md5::new();
        digest.update(octets);
        u128::from_be_bytes(digest.finish())
    }

    #[test]
    fn the_test_suite_of_rfc_1321_comes_out() {
        for (text, digest) in [
            ("", 0xd41d_8cd9_8f00_b204_e980_0998_ecf8_427e),
            ("a", 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661),
            ("abc", 0x9001_5098_3cd2_4fb0_d696_3f7d_28e1_7f72),
            ("message digest", 0xf96b_697d_7cb7_938d_525a_2f31_aaf1_61d0),
            ("abcdefghijklmnopqrstuvwxyz", 0xc3fc_d3d7_6192_e400_7dfb_496c_ca67_e13b),
            (
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
                0xd174_ab98_d277_d9f5_a561_1c2c_9f41_9d9f,
            ),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                0x57ed_f4a2_2be3_c955_ac49_da2e_2107_b67a,
            ),
        ] {
            assert_eq!(digest_of(text.as_bytes()), digest, "{text}");
        }
    }

    #[test]
    fn a_digest_does_not_depend_on_how_its_octets_were_cut() {
        let octets: [u8; 200] = core::array::from_fn(|at| at as u8);
        for len in 0..octets.len() {
            let whole = digest_of(&octets[..len]);
            for cut in 0..len {
                let mut digest = Md5::new();
                digest.update(&octets[..cut]);
                digest.update(&octets[cut..len]);
                assert_eq!(u128::from_be_bytes(digest.finish()), whole);
            }
        }
    }
}
