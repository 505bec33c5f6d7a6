//! The little statistics that figures rest on.

/// Two-sided 95 % of a normal distribution.
const Z: f64 = 1.959_963_985;

/// Wilson's 95 % interval of a share, `count` of `all`; (0, 1) of none.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of runs stay far below 2^52"
)]
pub fn wilson(count: usize, all: usize) -> (f64, f64) {
    if all == 0 {
        return (0.0, 1.0);
    }
    let (n, share) = (all as f64, count as f64 / all as f64);
    let z2 = Z * Z;
    let middle = share + z2 / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    (
        ((middle - spread) / scale).max(0.0),
        ((middle + spread) / scale).min(1.0),
    )
}

/// The value below which so many percent of the sorted values lie, by nearest rank; `None` of none.
pub fn quantile<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// How long something lasted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lasted {
    /// Seconds so far.
    pub seconds: i64,
    /// Whether it goes on (the observation is censored).
    pub goes_on: bool,
}

/// Kaplan and Meier's median: when half are over, with those that go on counted for as long as they were seen. `None`
/// while that is not known because too many go on.
pub fn median_lasting(all: &[Lasted]) -> Option<i64> {
    let mut sorted = all.to_vec();
    // At the same moment an end comes before what is still going on then.
    sorted.sort_unstable();
    let mut at_risk = sorted.len();
    let mut lasting = 1.0;
    for same in sorted.chunk_by(|a, b| a.seconds == b.seconds) {
        let ended = same.iter().filter(|one| !one.goes_on).count();
        lasting *= 1.0 - share(ended, at_risk);
        at_risk -= same.len();
        // Products of exact halves come out a hair above.
        if ended > 0 && lasting <= 0.5 + 1e-9 {
            return same.first().map(|one| one.seconds);
        }
    }
    None
}

/// Passes among all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// How many passed.
    pub good: usize,
    /// Of so many.
    pub all: usize,
}

/// Fisher's exact test, one-sided: how likely so few passes now are, or fewer, if nothing had changed.
pub fn fisher_worse(now: Passed, before: Passed) -> f64 {
    let good = now.good + before.good;
    let all = now.all + before.all;
    let table = |passed: usize| {
        let others = good.checked_sub(passed)?;
        let log = ln_choose(now.all, passed)? + ln_choose(before.all, others)?;
        Some((log - ln_choose(all, good)?).exp())
    };
    let sum: f64 = (0..=now.good).filter_map(table).sum();
    sum.clamp(0.0, 1.0)
}

fn ln_choose(of: usize, chosen: usize) -> Option<f64> {
    let rest = of.checked_sub(chosen)?;
    Some(ln_factorial(of) - ln_factorial(chosen) - ln_factorial(rest))
}

/// Exact sums where they are short, Stirling's series beyond.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn ln_factorial(n: usize) -> f64 {
    if n < 64 {
        return (2..=n).map(|factor| (factor as f64).ln()).sum();
    }
    let x = n as f64 + 1.0;
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + 1.0 / (12.0 * x)
        - 1.0 / (360.0 * x.powi(3))
}

/// Benjamini and Hochberg: which of many tests stay significant when at most the share `rate` of those called so may
/// be false.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub fn discoveries(chances: &[f64], rate: f64) -> Vec<bool> {
    let mut sorted = chances.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let all = chances.len() as f64;
    let limit = (1..)
        .zip(&sorted)
        .filter(|(rank, chance)| **chance <= f64::from(*rank) / all * rate);
    let limit = limit.last().map(|(_, chance)| *chance);
    chances
        .iter()
        .map(|chance| limit.is_some_and(|limit| *chance <= limit))
        .collect()
}

/// Mann and Whitney's test, two-sided, by the normal approximation with ties and continuity taken into account: how
/// likely values so far apart are if both come from one source. 1 where one is empty.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub fn mann_whitney(one: &[f64], other: &[f64]) -> f64 {
    let (n, m) = (one.len() as f64, other.len() as f64);
    if one.is_empty() || other.is_empty() {
        return 1.0;
    }
    let mut all: Vec<(f64, bool)> = one.iter().map(|value| (*value, true)).collect();
    all.extend(other.iter().map(|value| (*value, false)));
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut ranks, mut ties, mut before) = (0.0, 0.0, 0.0);
    for same in all.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let count = same.len() as f64;
        let own = same.iter().filter(|(_, is_one)| *is_one).count() as f64;
        ranks += own * (before + f64::midpoint(count, 1.0));
        ties += count.powi(3) - count;
        before += count;
    }
    let u = ranks - n * (n + 1.0) / 2.0;
    let total = n + m;
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    let z = ((u - n * m / 2.0).abs() - 0.5).max(0.0) / variance.sqrt();
    both_tails(z).min(1.0)
}

/// Share of a normal distribution beyond `z` standard deviations on both sides, to 1e-7 (Abramowitz and Stegun, 7.1.26).
fn both_tails(z: f64) -> f64 {
    let x = z / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series = [
        1.061_405_429,
        -1.453_152_027,
        1.421_413_741,
        -0.284_496_736,
        0.254_829_592,
    ];
    t * series.iter().fold(0.0, |sum, part| sum * t + part) * (-x * x).exp()
}

/// One part of all; 0 of none.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub fn share(part: usize, all: usize) -> f64 {
    if all == 0 {
        0.0
    } else {
        part as f64 / all as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables() {
        for (count, all, low, high) in [
            (3, 3, 44, 100),
            (9, 10, 60, 98),
            (19, 20, 76, 99),
            (95, 100, 89, 98),
        ] {
            let (from, to) = wilson(count, all);
            assert!(
                (from * 100.0 - f64::from(low)).abs() < 0.5,
                "{count}/{all}: {from}"
            );
            assert!(
                (to * 100.0 - f64::from(high)).abs() < 0.5,
                "{count}/{all}: {to}"
            );
        }
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values = [1, 2, 3, 4];
        for (percent, value) in [(0, 1), (25, 1), (50, 2), (75, 3), (90, 4), (100, 4)] {
            assert_eq!(quantile(&values, percent), Some(value), "{percent}");
        }
        assert_eq!(quantile::<i64>(&[], 50), None);
    }

    /// Numbers end, numbers with a plus go on.
    fn lasting(text: &str) -> Option<i64> {
        let all: Vec<Lasted> = text
            .split_whitespace()
            .map(|word| Lasted {
                seconds: word.trim_end_matches('+').parse().unwrap(),
                goes_on: word.ends_with('+'),
            })
            .collect();
        median_lasting(&all)
    }

    #[test]
    fn what_goes_on_counts_for_as_long_as_it_was_seen() {
        // The sixth is the group of patients under 6-MP of Freireich et al. (1963), whose median is known to be 23.
        for (durations, median) in [
            ("", None),
            ("5", Some(5)),
            ("1 2 3 4", Some(2)),
            ("1 2 3 4 5", Some(3)),
            ("1 9+ 9+", None),
            (
                "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+",
                Some(23),
            ),
            ("1 1 2 2 3 4 4 5 5 8 8 8 8 11 11 12 12 15 17 22 23", Some(8)),
        ] {
            assert_eq!(lasting(durations), median, "{durations}");
        }
    }

    #[test]
    fn exact_chances_are_those_of_the_books() {
        let chance = |now: (usize, usize), before: (usize, usize)| {
            let passed = |(good, all)| Passed { good, all };
            fisher_worse(passed(now), passed(before))
        };
        for (now, before, known) in [
            // The lady tasting tea, told all four right, and three of four.
            ((0, 4), (4, 4), 1.0 / 70.0),
            ((1, 4), (3, 4), 17.0 / 70.0),
            // Twins of convicts, as Fisher (1935) counted them.
            ((2, 17), (10, 13), 0.000_465_2),
            ((10, 10), (60, 60), 1.0),
            ((0, 0), (5, 6), 1.0),
        ] {
            assert!(
                (chance(now, before) - known).abs() < 1e-6,
                "{now:?} {before:?}: {}",
                chance(now, before)
            );
        }
        // Against 60 runs that all passed, two failures of the last ten are the fewest that say anything.
        assert!(chance((9, 10), (60, 60)) > 0.05);
        assert!(chance((8, 10), (60, 60)) < 0.05);
    }

    #[test]
    fn large_factorials_meet_the_small_ones() {
        let exact: f64 = (2..=100).map(|n| f64::from(n).ln()).sum();
        assert!((ln_factorial(100) - exact).abs() < 1e-9);
    }

    #[test]
    fn of_many_tests_only_those_that_stand_out_stay() {
        // The example of Benjamini and Hochberg (1995), of which four stay at 5 %.
        let chances = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262,
            0.5719, 0.6528, 0.7590, 1.0,
        ];
        let found = discoveries(&chances, 0.05);
        assert_eq!(found.iter().filter(|one| **one).count(), 4);
        assert!(discoveries(&[], 0.1).is_empty());
        assert_eq!(discoveries(&[0.9, 0.01], 0.1), [false, true]);
    }

    #[test]
    fn shifts_are_told_from_noise() {
        let low = [1.0, 2.0, 3.0, 4.0, 5.0];
        let high = [6.0, 7.0, 8.0, 9.0, 10.0];
        assert!((mann_whitney(&low, &high) - 0.012_185_8).abs() < 1e-5);
        assert!((mann_whitney(&high, &low) - 0.012_185_8).abs() < 1e-5);
        assert!(mann_whitney(&low, &low) > 0.9);
        assert!(mann_whitney(&[3.0; 4], &[3.0; 9]) > 0.99);
        assert!(mann_whitney(&[], &low) > 0.99);
    }
}
