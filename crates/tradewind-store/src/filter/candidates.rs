//! Which of a filter's leaves to look up.

/// Which leaves together have all that match.
pub(super) enum Candidates {
    /// There is no index for it.
    Unknown,
    Leaf(usize),
    Best(Vec<Candidates>),
    Each(Vec<Candidates>),
}

impl Candidates {
    /// Those with the fewest candidates, and how many these are, given the count of each leaf.
    pub(super) fn fewest(&self, counts: &[u64]) -> Option<(u64, Vec<usize>)> {
        match self {
            Self::Unknown => None,
            Self::Leaf(leaf) => Some((*counts.get(*leaf)?, vec![*leaf])),
            Self::Best(several) => several
                .iter()
                .filter_map(|one| one.fewest(counts))
                .min_by_key(|(count, _)| *count),
            Self::Each(several) => {
                let each = several.iter().map(|one| one.fewest(counts));
                each.collect::<Option<Vec<_>>>().map(|each| {
                    let count = each.iter().map(|(count, _)| count).sum();
                    (
                        count,
                        each.into_iter().flat_map(|(_, leaves)| leaves).collect(),
                    )
                })
            }
        }
    }
}
