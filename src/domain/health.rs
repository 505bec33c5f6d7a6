//! How a job fares by its last runs: broken, flaky, failing for the first time, or healthy, with the sentence that
//! says what this rests on.

use super::{flaky, history::History, stats::wilson};

/// How a job fares, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// It fails more often in a row than its past explains.
    Broken,
    /// It fails now and then for no reason of its own.
    Flaky,
    /// Its last run failed, which may be one or the other.
    Failing,
    /// Its last run was good.
    Healthy,
    /// It ran too seldom to tell.
    Unknown,
}

/// What a look at a job's runs says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkup {
    /// How it fares.
    pub health: Health,
    /// What that rests on, in one sentence.
    pub sentence: String,
    /// How sure that is, by the number of runs: `low`, `medium` or `high`.
    pub confidence: &'static str,
}

/// With fewer ended runs a good one says nothing yet.
const FEWEST: usize = 5;
/// Chance that a streak of failures is bad luck, above which it is not called broken.
const LUCK: f64 = 0.01;
/// A single failure is never broken, and more than so many in a row always are.
const STREAKS: std::ops::RangeInclusive<usize> = 2..=4;

impl Health {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Broken,
        Self::Flaky,
        Self::Failing,
        Self::Healthy,
        Self::Unknown,
    ];

    /// The word used everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Flaky => "flaky",
            Self::Failing => "failing",
            Self::Healthy => "healthy",
            Self::Unknown => "unknown",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|health| health.as_str() == word)
    }
}

/// Looks at a job's last runs.
pub fn of(history: &History) -> Checkup {
    let runs = history.recent();
    let streak = runs.iter().rev().take_while(|past| past.bad).count();
    let failed = runs.iter().filter(|past| past.bad).count();
    let all = runs.len();
    let (health, sentence) = if all == 0 {
        (Health::Unknown, "no run has ended yet".to_owned())
    } else if streak >= broken_from(failed - streak, all - streak) || (failed == all && all >= 3) {
        (
            Health::Broken,
            format!("broken: failed {streak} times in a row"),
        )
    } else if let Some(sentence) = flaky::sentence(history) {
        (Health::Flaky, sentence)
    } else if streak > 0 && all == 1 {
        (Health::Failing, "failing: its only run failed".to_owned())
    } else if streak > 0 {
        (
            Health::Failing,
            format!("failing: {failed} of its last {all} runs failed, the last one among them"),
        )
    } else if all < FEWEST {
        (Health::Unknown, format!("too few runs to tell: {all}"))
    } else {
        (
            Health::Healthy,
            format!("healthy: {} of its last {all} runs passed", all - failed),
        )
    };
    Checkup {
        health,
        sentence,
        confidence: match all {
            0..10 => "low",
            10..30 => "medium",
            _ => "high",
        },
    }
}

/// How many failures in a row the runs before them do not explain.
fn broken_from(failed: usize, all: usize) -> usize {
    let rate = wilson(failed, all).1;
    STREAKS
        .into_iter()
        .find(|streak| rate.powi(i32::try_from(*streak).unwrap_or(i32::MAX)) < LUCK)
        .unwrap_or(*STREAKS.end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{history::Past, observation::RunName};

    fn history(runs: &str) -> History {
        let mut history = History::default();
        for (day, c) in (0..).zip(runs.chars()) {
            history.note(Past {
                at: jiff::Timestamp::from_second(day * 86_400).unwrap(),
                run: RunName(day.to_string()),
                bad: c == 'x',
                sha: None,
                took_s: None,
            });
        }
        history
    }

    #[test]
    fn a_streak_counts_against_what_the_job_did_before() {
        for (runs, health) in [
            ("", Health::Unknown),
            ("..", Health::Unknown),
            (".....", Health::Healthy),
            ("..................x", Health::Failing),
            // A job that never fails is broken sooner than one that often does.
            ("..................xxx", Health::Broken),
            (".x..x..x..x..x.xx", Health::Flaky),
            (".x..x..x..x..xxxx", Health::Broken),
            ("xxx", Health::Broken),
            ("xx", Health::Failing),
        ] {
            assert_eq!(of(&history(runs)).health, health, "{runs}");
        }
    }
}
