//! How a service's runs fared week by week, as bars.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::verdict::Verdict;

/// Weeks that are shown, the present one included.
const SHOWN: i64 = 13;
/// Pixels of a bar and the gap behind it.
const STEP: i64 = 24;
const BAR: i64 = 18;
const HEIGHT: i64 = 56;
/// 1970 began on a Thursday.
const MONDAY: i64 = 3;

/// The picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Weeks {
    /// Pixels.
    pub width: i64,
    /// Pixels.
    pub height: i64,
    /// The oldest first.
    pub weeks: Vec<Week>,
}

/// A week from Monday on, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Week {
    /// Its Monday, `2026-05-18`.
    pub from: String,
    /// Runs that did their work.
    pub passed: u64,
    /// Runs that passed or failed; what was stopped or had nothing to do does not count.
    pub counted: u64,
    /// Left edge.
    pub x: i64,
    /// Pixels.
    pub width: i64,
    /// Upper edge of the bar.
    pub y: i64,
    /// Height of the bar in pixels; 0 without runs.
    pub bar: i64,
}

/// The last weeks by day since 1970.
pub(super) fn of(days: &[(i64, Verdict, u64)], now: Timestamp) -> Weeks {
    let week = |day: i64| (day + MONDAY).div_euclid(7);
    let last = week(now.as_second().div_euclid(86_400));
    let mut counts: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
    for (day, verdict, runs) in days.iter().filter(|(_, verdict, _)| verdict.counts()) {
        let (passed, counted) = counts.entry(week(*day)).or_default();
        *counted += runs;
        if *verdict == Verdict::Pass {
            *passed += runs;
        }
    }
    let weeks = (0..SHOWN).map(|place| {
        let number = last - SHOWN + 1 + place;
        let (passed, counted) = counts.get(&number).copied().unwrap_or_default();
        let share = i64::try_from(passed * 1000 / counted.max(1)).unwrap_or(1000);
        // A sliver shows that there were runs, though none passed.
        let bar = if counted == 0 {
            0
        } else {
            (share * HEIGHT / 1000).max(2)
        };
        Week {
            from: monday(number * 7 - MONDAY).map_or_else(String::new, |date| date.to_string()),
            passed,
            counted,
            x: place * STEP,
            width: BAR,
            y: HEIGHT - bar,
            bar,
        }
    });
    Weeks {
        width: SHOWN * STEP,
        height: HEIGHT,
        weeks: weeks.collect(),
    }
}

fn monday(day: i64) -> Option<Date> {
    let at = Timestamp::from_second(day * 86_400).ok()?;
    Some(at.to_zoned(TimeZone::UTC).date())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_begin_on_monday_and_count_what_passed_or_failed() {
        let now: Timestamp = "2026-05-20T12:00:00Z".parse().unwrap();
        let today = now.as_second() / 86_400;
        let days = [
            (today, Verdict::Pass, 3),
            (today, Verdict::NoOp, 9),
            (today - 2, Verdict::Fail, 1),
            (today - 3, Verdict::Infra, 2),
        ];
        let weeks = of(&days, now).weeks;
        assert_eq!(weeks.len(), 13);
        let told: Vec<(&str, u64, u64, i64)> = weeks
            .iter()
            .skip(11)
            .map(|week| (week.from.as_str(), week.passed, week.counted, week.bar))
            .collect();
        assert_eq!(told, [("2026-05-11", 0, 2, 2), ("2026-05-18", 3, 4, 42)]);
        assert_eq!(weeks[0].bar, 0);
    }
}
