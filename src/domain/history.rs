//! What is remembered of a job's runs: its last verdicts and how long good runs took.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::{incident::Run, job::JobKey, observation::RunName, state::State, verdict::Verdict};

/// The last runs of a job that were good or bad, the oldest first, at most [`KEPT`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History(Vec<Past>);

/// An ended run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Past {
    /// When it ended.
    pub at: Timestamp,
    /// Tells it from others that ended then.
    pub run: RunName,
    /// Whether it was bad.
    pub bad: bool,
    /// Its commit, where that is known.
    pub sha: Option<String>,
    /// How many seconds a good one took, the wait for a node not counted.
    pub took_s: Option<u32>,
}

/// See [`History`].
pub const KEPT: usize = 50;
/// How a job fares is judged by so many of them.
const JUDGED: usize = 20;
/// With fewer good runs nothing is known of how long they take.
const FEWEST: usize = 8;

impl Past {
    /// Of a run; `None` unless it ended, good or bad, by Prow's own word.
    pub fn of(run: &Run) -> Option<Self> {
        let at = run.finished_at?;
        if run.provisional || !run.verdict.counts() {
            return None;
        }
        let began = run.pending_at.or(run.started_at);
        let took_s = began.filter(|_| run.verdict == Verdict::Pass).map(|began| {
            let seconds = at.duration_since(began).as_secs();
            u32::try_from(seconds).unwrap_or(0)
        });
        Some(Self {
            at,
            run: run.name.clone(),
            bad: run.verdict.is_bad(),
            sha: run.base_sha.clone().filter(|sha| !sha.is_empty()),
            took_s,
        })
    }
}

impl History {
    /// Takes in a run that ended, in place of what was known of it.
    pub fn note(&mut self, past: Past) {
        self.0.retain(|known| known.run != past.run);
        let place = self.0.partition_point(|known| *known <= past);
        self.0.insert(place, past);
        drop_oldest(&mut self.0, KEPT);
    }

    /// Takes in what another holds.
    pub fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|past| self.note(past));
    }

    /// When the latest run ended.
    pub fn latest(&self) -> Option<Timestamp> {
        self.0.last().map(|past| past.at)
    }

    /// By which it is judged how the job fares.
    pub fn recent(&self) -> &[Past] {
        let surplus = self.0.len().saturating_sub(JUDGED);
        self.0.get(surplus..).unwrap_or_default()
    }

    /// What 95 % of the good runs stayed below; `None` while there are too few.
    pub fn usual_duration(&self) -> Option<Duration> {
        let seconds: Vec<u32> = self.0.iter().filter_map(|past| past.took_s).collect();
        (seconds.len() >= FEWEST).then(|| percentile_95(&seconds))
    }

    /// The recent runs whose commit is known, by commit, the oldest first.
    pub(super) fn commits(&self) -> BTreeMap<&str, Vec<&Past>> {
        let mut commits: BTreeMap<&str, Vec<&Past>> = BTreeMap::new();
        for past in self.recent() {
            if let Some(sha) = &past.sha {
                commits.entry(sha).or_default().push(past);
            }
        }
        commits
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
    pub(super) fn note_history(&mut self, run: &RunName) {
        if let Some(run) = self.runs.get(run)
            && let Some(past) = Past::of(run)
        {
            self.histories
                .entry(run.job.clone())
                .or_default()
                .note(past);
        }
    }

    /// Takes in what a store knows of a job's runs.
    pub fn load_history(&mut self, job: JobKey, history: History) {
        self.histories.entry(job).or_default().merge(history);
    }
}
