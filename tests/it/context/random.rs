//! Random moments that a seed repeats, and settings for runs that are longer than usual.

/// `SplitMix64`, so that a seed gives the same moments everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below this.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// A place below this.
    pub(crate) fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap()
    }
}

/// A number that somebody sets in the environment for a longer or another run.
pub(crate) fn setting(name: &str, usual: u64) -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "a longer run is asked for by hand"
    )]
    let set = std::env::var(name);
    set.map_or(usual, |text| text.parse().unwrap())
}
