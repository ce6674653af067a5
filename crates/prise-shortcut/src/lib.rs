//! The library that `prise run` preloads into programs, and what it is told.
//!
//! A judged connect(2) costs two changes of processes, which is most of what a connection out of a run costs more than without prise. Where nobody
//! has to be asked – no policy, no audit, no packets that somebody wants – a program that is linked with glibc can do what the supervisor would do. Nothing
//! depends on that: a call that the library does not make, or that does not come through it (static programs, system calls by number), is judged as all are. So it is with accept(2) of
//! clients of a published port, and with open(2) of the host's files. What such a program executes or starts is loaded with the library, too.
//!
//! The library itself is the folder `src/preloaded`, compiled by the build script.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod chart;

use alloc::vec::Vec;
use chart::{Chart, MAGIC};

/// The library as the build script has made it.
static LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/preloaded.so"));

/// The library's file with its chart in it.
#[derive(Debug)]
pub struct Image {
    /// What the file holds.
    pub octets: Vec<u8>,
    /// Where in it [`Chart::open`] lies, a `u32` of the machine's byte order: 0 takes the leave back.
    pub open_at: usize,
    /// The same of [`Chart::accepts`].
    pub accepts_at: usize,
    /// The same of [`Chart::opens`].
    pub opens_at: usize,
    /// Where [`Chart::known`] begins, words of the machine's byte order.
    pub known_at: usize,
}

/// The library with `chart` in it; none if it has no place for one, which the tests exclude.
#[must_use]
pub fn image(chart: &Chart) -> Option<Image> {
    let at = LIBRARY.windows(MAGIC.len()).position(|window| window == MAGIC)?;
    let mut octets = LIBRARY.to_vec();
    let told = chart.to_octets();
    octets.get_mut(at..at + told.len())?.copy_from_slice(&told);
    Some(Image {
        octets,
        open_at: at + core::mem::offset_of!(Chart, open),
        accepts_at: at + core::mem::offset_of!(Chart, accepts),
        opens_at: at + core::mem::offset_of!(Chart, opens),
        known_at: at + core::mem::offset_of!(Chart, known),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::{Object, ObjectSection, ObjectSymbol};

    #[test]
    fn the_library_needs_nothing_and_its_chart_is_never_written() {
        let elf = object::read::elf::ElfFile64::<object::Endianness>::parse(LIBRARY).expect("an ELF file");
        let strong: Vec<&str> = elf
            .dynamic_symbols()
            .filter(|symbol| symbol.is_undefined() && !symbol.is_weak())
            .filter_map(|symbol| symbol.name().ok())
            .filter(|name| !name.is_empty())
            .collect();
        assert_eq!(
            strong,
            Vec::<&str>::new(),
            "a program without a C library would not start"
        );
        let chart = elf.section_by_name(".prise").expect("the chart");
        let object::SectionFlags::Elf { sh_flags, .. } = chart.flags() else {
            panic!("an ELF section")
        };
        let is_written = sh_flags.0 & object::elf::SHF_WRITE.0 != 0;
        assert!(!is_written, "pages that are written are no more the file's");
    }

    #[test]
    fn the_library_is_found_a_chart_in_and_is_told_what_the_supervisor_says() {
        let chart = Chart {
            open: 1,
            token: 9,
            ..Chart::NONE
        };
        let image = image(&chart).expect("a place for the chart");
        assert_eq!(image.octets.len(), LIBRARY.len());
        assert_eq!(image.octets[image.open_at..image.open_at + 4], 1u32.to_ne_bytes());
        let charts = image.octets.windows(MAGIC.len()).filter(|it| *it == MAGIC);
        assert_eq!(charts.count(), 1, "one chart and no other");
    }
}
