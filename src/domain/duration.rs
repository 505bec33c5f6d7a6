//! Whether a job takes longer than it used to, by how long its good runs took.

use super::stats::{mann_whitney, quantile};

/// Good runs that are looked at.
const LOOKED_AT: usize = 30;
/// With fewer nothing is said.
const FEWEST: usize = 8;
/// Scales the median of deviations to a standard deviation.
const SCALE: f64 = 1.4826;
/// So many deviations above the middle is slow.
const DEVIATIONS: f64 = 4.0;
/// Nothing closer to the median than this factor is slow.
const FACTOR: f64 = 1.5;
/// Nothing closer to the median than this, in seconds, is slow.
const AT_LEAST_S: f64 = 120.0;
/// The last runs, which are compared with those before.
const LAST: usize = 10;
/// The runs before them.
const BEFORE: usize = 30;
/// From this ratio of medians on.
const SHIFT: f64 = 1.3;
/// Chance of a shift that is none.
const LUCK: f64 = 0.01;

/// What the durations of good runs say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usual {
    /// Half took no longer, in seconds.
    pub median_s: u32,
    /// A good run that takes longer is slow, in seconds.
    pub slow_from_s: u32,
    /// A run that is still going on after so many seconds is overdue.
    pub overdue_from_s: u32,
    /// The last runs' median in seconds, where it is clearly longer than that of the runs before.
    pub shifted_from_s: Option<(u32, u32)>,
}

/// Of good runs' seconds, the oldest first; `None` while there are too few.
pub fn usual(seconds: &[u32]) -> Option<Usual> {
    let start = seconds.len().saturating_sub(LOOKED_AT);
    let recent = seconds.get(start..).unwrap_or_default();
    if recent.len() < FEWEST {
        return None;
    }
    let logs = sorted(recent.iter().map(|took| f64::from((*took).max(1)).ln()));
    let middle = median(&logs);
    let deviation = median(&sorted(logs.iter().map(|log| (log - middle).abs())));
    let spread = (DEVIATIONS * SCALE * deviation).max(FACTOR.ln());
    let median_s = middle.exp();
    let p99 = quantile(&logs, 99).unwrap_or(middle).exp();
    Some(Usual {
        median_s: whole(median_s),
        slow_from_s: whole((middle + spread).exp().max(median_s + AT_LEAST_S)),
        overdue_from_s: whole((3.0 * median_s).max(1.5 * p99)),
        shifted_from_s: shift(seconds),
    })
}

/// Medians before and now, where the last runs take clearly longer.
fn shift(seconds: &[u32]) -> Option<(u32, u32)> {
    let (before, last) = seconds.split_at_checked(seconds.len().checked_sub(LAST)?)?;
    let start = before.len().saturating_sub(BEFORE);
    let before = sorted(before.get(start..)?.iter().map(|took| f64::from(*took)));
    let last = sorted(last.iter().map(|took| f64::from(*took)));
    let (was, is) = (median(&before), median(&last));
    let clear = before.len() >= FEWEST && is >= SHIFT * was && mann_whitney(&before, &last) < LUCK;
    clear.then(|| (whole(was), whole(is)))
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    let upper = sorted.get(half).copied().unwrap_or_default();
    if sorted.len() % 2 == 1 {
        return upper;
    }
    let lower = half
        .checked_sub(1)
        .and_then(|index| sorted.get(index))
        .copied();
    f64::midpoint(lower.unwrap_or(upper), upper)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds are positive, and the cast ends at the largest"
)]
fn whole(seconds: f64) -> u32 {
    seconds.round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_is_far_above_the_middle_and_by_minutes() {
        assert_eq!(usual(&[60; 7]), None);
        // No spread: half as long again, and two minutes at the least.
        let steady = usual(&[1000; 30]).unwrap();
        assert_eq!(
            (steady.median_s, steady.slow_from_s, steady.overdue_from_s),
            (1000, 1500, 3000)
        );
        assert_eq!(usual(&[60; 30]).unwrap().slow_from_s, 180);
        // Doubling and halving around 1000: the median deviation is ln 2, so 2 to the power of 5.93.
        let wide: Vec<u32> = [500, 1000, 2000].repeat(10);
        assert_eq!(usual(&wide).unwrap().slow_from_s, 60_986);
        assert_eq!(usual(&wide).unwrap().overdue_from_s, 3000);
    }

    #[test]
    fn a_shift_needs_distance_and_certainty() {
        let runs = |before: u32, last: u32| [vec![before; 30], vec![last; 10]].concat();
        assert_eq!(
            usual(&runs(100, 140)).unwrap().shifted_from_s,
            Some((100, 140))
        );
        assert_eq!(usual(&runs(100, 120)).unwrap().shifted_from_s, None);
        assert_eq!(usual(&runs(140, 100)).unwrap().shifted_from_s, None);
        let noise: Vec<u32> = (0..40)
            .map(|i| if i % 2 == 0 { 100 } else { 300 })
            .collect();
        assert_eq!(usual(&noise).unwrap().shifted_from_s, None);
    }
}
