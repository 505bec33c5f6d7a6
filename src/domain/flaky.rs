//! Whether a job fails now and then for no reason of its own, by its last runs.

use std::time::Duration;

use super::{
    fold::to_signed,
    history::{History, Past},
};

/// Bad and good on one commit within this long of each other is a flake.
pub const SAME_COMMIT_WITHIN: Duration = Duration::from_secs(14 * 86_400);
/// Changes between good and bad are counted from so many runs on.
const FEWEST: usize = 10;
/// So many bad runs one after the other are a fault, not flakes.
const STREAK: usize = 3;
/// From this share of changes between neighbours on, in percent.
const FLIPS_PERCENT: usize = 20;

/// The sentence that says so, with what it rests on; `None` of a job that is not flaky, or plainly broken.
pub fn sentence(history: &History) -> Option<String> {
    let bad: Vec<bool> = history.recent().iter().map(|past| past.bad).collect();
    let broken = bad.iter().rev().take_while(|bad| **bad).count() >= STREAK;
    let reruns = passed_on_rerun(history);
    if broken || (reruns == 0 && !flips_often(&bad)) {
        return None;
    }
    let failed = bad.iter().filter(|bad| **bad).count();
    let mut text = format!("flaky: failed {failed} of its last {} runs", bad.len());
    if reruns > 0 {
        let times = match reruns {
            1 => "once".to_owned(),
            2 => "twice".to_owned(),
            more => format!("{more} times"),
        };
        text.push_str(", passed on a rerun of the same commit ");
        text.push_str(&times);
    }
    Some(text)
}

/// Commits on which it was bad and then good.
fn passed_on_rerun(history: &History) -> usize {
    let commits = history.commits();
    let near = to_signed(SAME_COMMIT_WITHIN);
    let is_flake = |runs: &Vec<&Past>| {
        runs.windows(2).any(|pair| {
            matches!(pair, [bad, good] if bad.bad && !good.bad && good.at.duration_since(bad.at) <= near)
        })
    };
    commits.values().filter(|runs| is_flake(runs)).count()
}

fn flips_often(bad: &[bool]) -> bool {
    let single: Vec<bool> = bad
        .chunk_by(|a, b| a == b)
        .filter(|streak| !(streak.first() == Some(&true) && streak.len() >= STREAK))
        .flatten()
        .copied()
        .collect();
    let flips = single.windows(2).filter(|pair| pair.first() != pair.last());
    single.len() >= FEWEST && flips.count() * 100 >= FLIPS_PERCENT * (single.len() - 1)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::observation::RunName;

    /// Runs a day apart: `.` good, `x` bad; a digit after it is the commit.
    fn history(runs: &str) -> History {
        let mut history = History::default();
        let mut runs = runs.chars().peekable();
        let mut day = 0;
        while let Some(c) = runs.next() {
            day += 86_400;
            history.note(Past {
                at: Timestamp::from_second(day).unwrap(),
                run: RunName(day.to_string()),
                bad: c == 'x',
                sha: runs.next_if(char::is_ascii_digit).map(String::from),
                took_s: None,
            });
        }
        history
    }

    #[test]
    fn flakes_are_told_from_faults_and_first_failures() {
        for (runs, says) in [
            ("", None),
            ("x", None),
            ("....................x", None),
            (".........xxx", None),
            ("....xxx........x", None),
            // Changes too often.
            (
                ".x...x...x.....x",
                Some("flaky: failed 4 of its last 16 runs"),
            ),
            // Too few runs to count changes.
            (".x.x", None),
            // The same commit failed and passed.
            (
                "x1.1....x",
                Some(
                    "flaky: failed 2 of its last 7 runs, passed on a rerun of the same commit once",
                ),
            ),
            (
                "x1.1x2.2x3",
                Some(
                    "flaky: failed 3 of its last 5 runs, passed on a rerun of the same commit twice",
                ),
            ),
            // Good first is no rerun that passed, and two weeks later it is another world.
            (".1x1", None),
            ("x1...............1", None),
            // Broken beats flaky.
            ("x1.1xxx", None),
        ] {
            assert_eq!(sentence(&history(runs)).as_deref(), says, "{runs}");
        }
    }
}
