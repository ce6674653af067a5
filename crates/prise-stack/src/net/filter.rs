//! Filters by source: what a member of a group wants to hear (RFC 3376 §2, §3.2; RFC 3810 §4.2).

use alloc::vec::Vec;
use core::net::IpAddr;
use prise_wire::icmpv6::mld::RecordKind;

/// Which sources of a group somebody listens to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFilter {
    /// All sources but those listed, or those listed only.
    pub excludes: bool,
    /// The sources listed.
    pub sources: Vec<IpAddr>,
}

impl SourceFilter {
    /// Every source: an ordinary membership.
    pub const ANY: Self = Self {
        excludes: true,
        sources: Vec::new(),
    };

    /// No source: nobody is a member.
    pub const NONE: Self = Self {
        excludes: false,
        sources: Vec::new(),
    };

    /// Whether datagrams from `source` are wanted.
    pub fn admits(&self, source: IpAddr) -> bool {
        self.excludes != self.sources.contains(&source)
    }

    /// What all members on a link want together (RFC 3376 §3.2).
    pub(super) fn merged<'a>(members: &(impl Iterator<Item = &'a Self> + Clone)) -> Self {
        let excludes = members.clone().any(|member| member.excludes);
        let mut sources: Vec<IpAddr> = if excludes {
            let mut excluding = members.clone().filter(|member| member.excludes);
            let first = excluding.next().map(|member| member.sources.clone());
            first.unwrap_or_default()
        } else {
            members
                .clone()
                .flat_map(|member| member.sources.iter().copied())
                .collect()
        };
        // What one of them wants is not excluded.
        sources.retain(|source| !excludes || !members.clone().any(|member| member.admits(*source)));
        sources.sort_unstable();
        sources.dedup();
        Self { excludes, sources }
    }

    /// What routers are told of a change from this to `new`, each with the sources that it names (RFC 3376 §5.1, RFC 3810 §6.1).
    pub(super) fn changes(&self, new: &Self) -> Vec<(RecordKind, Vec<IpAddr>)> {
        let missing = |from: &Self, of: &Self| -> Vec<IpAddr> {
            let missing = of.sources.iter().filter(|source| !from.sources.contains(source));
            missing.copied().collect()
        };
        let mut records = match (self.excludes, new.excludes) {
            (false, false) => [
                (RecordKind::Allow, missing(self, new)),
                (RecordKind::Block, missing(new, self)),
            ]
            .into(),
            (true, true) => [
                (RecordKind::Allow, missing(new, self)),
                (RecordKind::Block, missing(self, new)),
            ]
            .into(),
            (false, true) => return [(RecordKind::ToExclude, new.sources.clone())].into(),
            (true, false) => return [(RecordKind::ToInclude, new.sources.clone())].into(),
        };
        let named = |record: &(RecordKind, Vec<IpAddr>)| !record.1.is_empty();
        Vec::retain(&mut records, named);
        records
    }

    /// What a router that asks is told (RFC 3376 §5.2).
    pub(super) fn current(&self) -> RecordKind {
        if self.excludes {
            RecordKind::IsExclude
        } else {
            RecordKind::IsInclude
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn filter(excludes: bool, last: &[u8]) -> SourceFilter {
        let sources = last.iter().map(|last| IpAddr::from([10, 0, 0, *last])).collect();
        SourceFilter { excludes, sources }
    }

    #[test]
    fn members_together_want_what_any_of_them_wants() {
        // RFC 3376 §3.2's own example: EXCLUDE {1,2,3,4}, EXCLUDE {2,3,4,5} and INCLUDE {4,5,6} make EXCLUDE {2,3}.
        let members = [
            filter(true, &[1, 2, 3, 4]),
            filter(true, &[2, 3, 4, 5]),
            filter(false, &[4, 5, 6]),
        ];
        assert_eq!(SourceFilter::merged(&members.iter()), filter(true, &[2, 3]));
        let members = [filter(false, &[5, 4]), filter(false, &[4, 6])];
        assert_eq!(SourceFilter::merged(&members.iter()), filter(false, &[4, 5, 6]));
        assert_eq!(SourceFilter::merged(&[].iter()), SourceFilter::NONE);
    }

    #[test]
    fn routers_are_told_of_what_changes() {
        use RecordKind::{Allow, Block, ToExclude, ToInclude};
        let addrs = |last: &[u8]| filter(true, last).sources;
        for (old, new, told) in [
            (
                filter(false, &[1, 2]),
                filter(false, &[2, 3]),
                vec![(Allow, addrs(&[3])), (Block, addrs(&[1]))],
            ),
            (
                filter(true, &[1, 2]),
                filter(true, &[2, 3]),
                vec![(Allow, addrs(&[1])), (Block, addrs(&[3]))],
            ),
            (filter(false, &[1]), filter(true, &[2]), vec![(ToExclude, addrs(&[2]))]),
            (filter(true, &[1]), filter(false, &[2]), vec![(ToInclude, addrs(&[2]))]),
            (SourceFilter::NONE, SourceFilter::ANY, vec![(ToExclude, addrs(&[]))]),
            (SourceFilter::ANY, SourceFilter::NONE, vec![(ToInclude, addrs(&[]))]),
            (filter(false, &[1]), filter(false, &[1]), vec![]),
        ] {
            assert_eq!(old.changes(&new), told, "{old:?} to {new:?}");
        }
    }
}
