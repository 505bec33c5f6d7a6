//! How long one stage took to start the next, over all services of a pipeline: learned deadlines rest on it.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    history::{drop_oldest, percentile_95},
    pipeline::{Need, Pipeline},
};

/// An edge of a pipeline: `PIPELINE|STAGE|NEXT`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EdgeKey(pub String);

/// The last gaps of an edge in seconds, at most `MOST`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Gaps(pub Vec<u32>);

/// The least that is learned, unless something else is written.
pub const FLOOR: Duration = Duration::from_secs(30 * 60);
/// See [`Gaps`].
const MOST: usize = 50;
/// With fewer gaps nothing is known of them.
const FEWEST: usize = 8;
/// What is learned is so many times what 95 % of the gaps stayed below.
const FACTOR: u32 = 2;

impl EdgeKey {
    /// The edge to a stage from one that it needs.
    pub fn of(pipeline: &Pipeline, need: &Need, stage: &str) -> Self {
        Self(format!("{}|{}|{stage}", pipeline.name, need.stage))
    }
}

impl Gaps {
    /// Takes in one more.
    pub fn note(&mut self, since: Timestamp, started: Timestamp) {
        let seconds = started.duration_since(since).as_secs().max(0);
        self.0.push(u32::try_from(seconds).unwrap_or(u32::MAX));
        drop_oldest(&mut self.0, MOST);
    }
}

/// How long an edge may take; `None` when nothing is expected of it.
pub fn allowed(need: &Need, gaps: Option<&Gaps>) -> Option<Duration> {
    let floor = need.within?;
    let known = gaps.filter(|gaps| need.learned && gaps.0.len() >= FEWEST);
    Some(known.map_or(floor, |gaps| (percentile_95(&gaps.0) * FACTOR).max(floor)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_learned_from_the_last_gaps_and_never_below_its_floor() {
        let learned = |learned, gaps: &[u32]| {
            let need = Need {
                stage: "tag".to_owned(),
                within: Some(FLOOR),
                learned,
                gate: false,
                patience: None,
                abort_downstream: crate::domain::doom::AbortDownstream::default(),
            };
            allowed(&need, Some(&Gaps(gaps.to_vec()))).map(|time| time.as_secs())
        };
        for (is_learned, gaps, seconds) in [
            (true, vec![], 1800),
            (true, vec![3600; 7], 1800),
            (true, vec![3600; 8], 7200),
            (false, vec![3600; 8], 1800),
            (true, vec![60; 50], 1800),
            // One of fifty does not count, five do.
            (true, [vec![60; 49], vec![86_400; 1]].concat(), 1800),
            (true, [vec![60; 45], vec![86_400; 5]].concat(), 172_800),
        ] {
            assert_eq!(learned(is_learned, &gaps), Some(seconds), "{gaps:?}");
        }
    }

    #[test]
    fn only_the_last_gaps_are_kept() {
        let mut gaps = Gaps::default();
        for second in 0..200 {
            gaps.note(
                Timestamp::UNIX_EPOCH,
                Timestamp::from_second(second).unwrap(),
            );
        }
        assert_eq!((gaps.0.len(), gaps.0[0]), (MOST, 150));
    }
}
