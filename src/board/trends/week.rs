//! Figures of one week: releases and incidents belong to the week in which they began.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Figures, Part};

const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// 1970 began on a Thursday.
const MONDAY_S: i64 = 4 * 86_400;
const WEEK_S: i64 = 7 * 86_400;

/// One week from Monday, UTC.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Week {
    /// When it begins.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// Whether it is not over, or began before the time asked for.
    pub partial: bool,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// All weeks of a time from the first with anything on.
pub(super) fn weeks(whole: Part<'_>, since: Timestamp, now: Timestamp) -> Vec<Week> {
    let mut weeks = Vec::new();
    let mut from = monday(since);
    while from <= now {
        let Ok(to) = from.checked_add(WEEK) else {
            break;
        };
        weeks.push(Week {
            from,
            partial: from < since || to > now,
            figures: Figures::of(whole.within(&(from..to)), now),
        });
        from = to;
    }
    let is_empty = |week: &Week| {
        let figures = &week.figures;
        figures.success.n + figures.in_flight + figures.incidents + figures.runs_passed.n == 0
    };
    let first = weeks.iter().position(|week| !is_empty(week));
    weeks.drain(..first.unwrap_or(weeks.len()));
    weeks
}

fn monday(at: Timestamp) -> Timestamp {
    let second = at.as_second();
    let start = second - (second - MONDAY_S).rem_euclid(WEEK_S);
    Timestamp::from_second(start).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{figures::IncidentRow, verdict::Verdict},
        store::pages::figures::Ingredients,
    };

    #[test]
    fn everything_falls_into_one_week() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        // A Wednesday and the Tuesday after.
        let (since, now) = (at("2026-05-06T12:00:00Z"), at("2026-05-12T12:00:00Z"));
        let day = |text: &str| at(text).as_second() / 86_400;
        let incident = |broke: &str| IncidentRow {
            broke_at: at(broke),
            seen_at: None,
            notified_at: None,
            acknowledged_at: None,
            restored_at: None,
        };
        let found = Ingredients {
            incidents: vec![
                incident("2026-05-10T23:59:59Z"),
                incident("2026-05-11T00:00:00Z"),
            ],
            runs: vec![
                (day("2026-05-10T00:00:00Z"), Verdict::Pass, 3),
                (day("2026-05-11T00:00:00Z"), Verdict::Infra, 2),
            ],
            messages: vec![(day("2026-05-12T00:00:00Z"), 5)],
            ..Ingredients::default()
        };
        let weeks = weeks(Part::whole(&[], &found), since, now);
        let starts: Vec<String> = weeks.iter().map(|week| week.from.to_string()).collect();
        assert_eq!(starts, ["2026-05-04T00:00:00Z", "2026-05-11T00:00:00Z"]);
        let counts: Vec<_> = weeks
            .iter()
            .map(|week| &week.figures)
            .map(|one| (one.incidents, one.runs_passed.n, one.messages))
            .collect();
        assert_eq!(counts, [(1, 3, 0), (1, 2, 5)]);
        assert!(weeks.iter().all(|week| week.partial));
    }
}
