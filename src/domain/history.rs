//! What is remembered of a job's runs: its last verdicts and how long good runs took. Bounded, one row per job.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{observation::Observation, observe::Case, state::State, verdict::Verdict};

/// Ended runs of a job, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// The last of those that were good or bad, at most [`VERDICTS`].
    pub runs: Vec<Past>,
    /// When the last good ones ended and how many seconds they took, at most [`DURATIONS`].
    pub took_s: Vec<(Timestamp, u32)>,
}

/// An ended run: when, whether it was bad, and the begin of its commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Past(pub Timestamp, pub bool, pub String);

/// See [`History::runs`].
pub const VERDICTS: usize = 20;
/// See [`History::took_s`].
pub const DURATIONS: usize = 50;
/// With fewer good runs nothing is known of how long they take.
const FEWEST: usize = 8;
/// Enough of a commit to tell it from others of the same repository.
const SHA: usize = 12;

impl History {
    /// Takes in a run that ended.
    fn note(&mut self, run: &Observation, verdict: Verdict, at: Timestamp) {
        let sha = run.base_sha().unwrap_or_default().chars().take(SHA);
        let past = Past(at, verdict.is_bad(), sha.collect());
        let place = self.runs.partition_point(|known| *known <= past);
        self.runs.insert(place, past);
        drop_oldest(&mut self.runs, VERDICTS);
        if let (Verdict::Pass, Some(began)) = (verdict, run.pending_at.or(run.started_at)) {
            let seconds = at.duration_since(began).as_secs();
            let took = (at, u32::try_from(seconds).unwrap_or(0));
            let place = self.took_s.partition_point(|known| *known <= took);
            self.took_s.insert(place, took);
            drop_oldest(&mut self.took_s, DURATIONS);
        }
    }

    /// What 95 % of the good runs stayed below; `None` while there are too few.
    pub fn usual_duration(&self) -> Option<Duration> {
        let seconds: Vec<u32> = self.took_s.iter().map(|took| took.1).collect();
        (seconds.len() >= FEWEST).then(|| percentile_95(&seconds))
    }

    /// The runs whose commit is known, by commit, the oldest first.
    pub(super) fn commits(&self) -> BTreeMap<&str, Vec<&Past>> {
        let mut commits: BTreeMap<&str, Vec<&Past>> = BTreeMap::new();
        for past in self.runs.iter().filter(|past| !past.2.is_empty()) {
            commits.entry(&past.2).or_default().push(past);
        }
        commits
    }

    /// When the latest run ended.
    pub fn latest(&self) -> Option<Timestamp> {
        self.runs.last().map(|past| past.0)
    }
}

/// The nearest of the values from below 95 % up, in seconds; zero of none.
pub(super) fn percentile_95(seconds: &[u32]) -> Duration {
    let mut sorted = seconds.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * 95).div_ceil(100);
    let value = sorted.get(rank.saturating_sub(1)).copied();
    Duration::from_secs(value.unwrap_or(0).into())
}

/// Keeps the last `most`.
pub(super) fn drop_oldest<T>(list: &mut Vec<T>, most: usize) {
    let surplus = list.len().saturating_sub(most);
    list.drain(..surplus);
}

impl State {
    /// Remembers a run that ended. What a command inside its job says of it is not its end.
    pub(super) fn note_history(&mut self, case: &Case<'_>) {
        let (Some(at), verdict) = (case.run.completed_at, case.judged.verdict) else {
            return;
        };
        if !case.run.is_finished() || case.run.provisional || !verdict.counts() {
            return;
        }
        let history = self.histories.entry(case.job.clone()).or_default();
        history.note(case.run, verdict, at);
        self.changed.histories.insert(case.job.clone());
    }
}
