//! What figures are worked out from: all that was found, or a stretch of it.

use std::ops::Range;

use jiff::Timestamp;

use crate::{
    domain::{
        figures::{IncidentRow, Outcome, ReleaseRow},
        verdict::Verdict,
    },
    store::pages::figures::Ingredients,
};

const DAY_S: i64 = 86_400;

/// A release, and what became of it.
pub(super) type Judged<'a> = (&'a ReleaseRow, Outcome);

/// What began in a stretch of time, as [`Ingredients`] has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) releases: &'a [Judged<'a>],
    pub(super) incidents: &'a [IncidentRow],
    pub(super) runs: &'a [(i64, Verdict, u64)],
    pub(super) messages: &'a [(i64, u64)],
}

impl<'a> Part<'a> {
    /// All of it.
    pub(super) fn whole(releases: &'a [Judged<'a>], found: &'a Ingredients) -> Self {
        Self {
            releases,
            incidents: &found.incidents,
            runs: &found.runs,
            messages: &found.messages,
        }
    }

    /// What of it began in this time, which begins and ends with a day.
    pub(super) fn within(self, time: &Range<Timestamp>) -> Self {
        let days = &(time.start.as_second() / DAY_S..time.end.as_second() / DAY_S);
        Self {
            releases: stretch(self.releases, time, |(row, _)| row.began_at),
            incidents: stretch(self.incidents, time, |row| row.broke_at),
            runs: stretch(self.runs, days, |(day, ..)| *day),
            messages: stretch(self.messages, days, |(day, _)| *day),
        }
    }
}

/// Of what is in order of its keys, all with a key in the range.
fn stretch<'a, T, K: Ord>(all: &'a [T], keys: &Range<K>, key: impl Fn(&T) -> K) -> &'a [T] {
    let from = all.partition_point(|one| key(one) < keys.start);
    let to = all.partition_point(|one| key(one) < keys.end);
    all.get(from..to).unwrap_or_default()
}
