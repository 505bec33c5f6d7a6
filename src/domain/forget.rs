//! Forgets what a replay needs no more, so that a long history takes no more memory than a short one. What a store
//! prunes after its retention goes the same way; what it can load again at need is needed here only as described.

use std::{
    collections::{BTreeSet, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    fold::to_signed,
    incident::IncidentId,
    job::JobKey,
    observation::RunName,
    pipeline::Pipeline,
    policy::Policy,
    release::{Release, ReleaseKey},
    state::State,
};

/// Runs are seen in order of their ends, but clocks differ and Prow itself repeats a run's end for two days.
const RUNS_KEPT_FOR: Duration = Duration::from_secs(48 * 3600);

/// Releases in which nothing can be late any more: of these the key is all that is needed.
#[derive(Debug, Clone, Default)]
pub struct Settled(HashSet<u64>);

impl Settled {
    /// Whether a release is one of them.
    pub fn contains(&self, key: &ReleaseKey) -> bool {
        !self.0.is_empty() && self.0.contains(&hash(key))
    }
}

fn hash(key: &ReleaseKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

impl State {
    /// Forgets what can change nothing from `now` on, and what began more than `retention` ago, as a store does.
    /// Only for a state that is complete and sees runs in order of time.
    pub fn forget(&mut self, policy: &Policy, now: Timestamp, retention: Duration) {
        self.forget_runs(before(now, RUNS_KEPT_FOR));
        self.forget_releases(policy, now, before(now, retention));
        let oldest = before(now, retention);
        let is_recent = |latest: Option<Timestamp>| latest.is_none_or(|at| at >= oldest);
        self.histories
            .retain(|_, history| is_recent(history.latest()));
        self.forget_incidents();
    }

    /// Of each job the last run that counts stays: the next one is held against it.
    fn forget_runs(&mut self, oldest: Timestamp) {
        let mut old: Vec<(JobKey, Timestamp, RunName)> = Vec::new();
        for (job, line) in &self.timelines {
            let mut ended = line.range(..(oldest, RunName(String::new()))).peekable();
            while let Some((at, name)) = ended.next() {
                let is_last =
                    ended.peek().is_none() && line.last().is_some_and(|last| last.1 == *name);
                if !is_last {
                    old.push((job.clone(), *at, name.clone()));
                }
            }
        }
        for (job, at, name) in old {
            if let Some(line) = self.timelines.get_mut(&job) {
                line.remove(&(at, name.clone()));
            }
            self.forget_run(&name);
        }
        let uncounted: Vec<RunName> = self
            .runs
            .values()
            .filter(|run| !run.verdict.counts() && run.finished_at.is_some_and(|at| at < oldest))
            .map(|run| run.name.clone())
            .collect();
        for name in uncounted {
            self.forget_run(&name);
        }
    }

    fn forget_run(&mut self, name: &RunName) {
        let Some(alias) = self.runs.remove(name).and_then(|run| run.alias) else {
            return;
        };
        if let Some(twins) = self.aliases.get_mut(&alias) {
            twins.remove(name);
            if twins.is_empty() {
                self.aliases.remove(&alias);
            }
        }
    }

    fn forget_releases(&mut self, policy: &Policy, now: Timestamp, oldest: Timestamp) {
        let settled = &mut self.settled.0;
        let still_told_of = before(now, RUNS_KEPT_FOR);
        let due = &self.due_releases;
        self.releases.retain(|key, release| {
            if due.contains_key(key) {
                return true;
            }
            let is_over = release.began_at() < still_told_of && release.late.is_none();
            if is_over && is_settled(&policy.pipelines, release) {
                settled.insert(hash(key));
                return false;
            }
            release.began_at() >= oldest
        });
    }

    /// Closed ones of which nobody is owed news and that no run names.
    fn forget_incidents(&mut self) {
        let waiting = self.folds.values().flat_map(|fold| &fold.waiting);
        let owed = waiting.flat_map(|owed| {
            let root = owed.behind.as_ref().map(|behind| behind.root);
            std::iter::once(owed.incident).chain(root)
        });
        let collected = self
            .digests
            .values()
            .flat_map(|digest| digest.incidents.iter().copied());
        let needed: BTreeSet<IncidentId> = owed
            .chain(collected)
            .chain(
                self.hidden
                    .values()
                    .flat_map(|hidden| hidden.incidents.iter().copied()),
            )
            .chain(self.runs.values().filter_map(|run| run.incident))
            .chain(self.watches.values().filter_map(|watch| watch.incident))
            .chain(
                self.releases
                    .values()
                    .filter_map(|release| Some(release.late.as_ref()?.incident)),
            )
            .collect();
        self.incidents
            .retain(|id, incident| incident.is_open() || needed.contains(id));
    }
}

/// Whether every stage that has a deadline has been seen.
fn is_settled(pipelines: &[Pipeline], release: &Release) -> bool {
    let pipeline = pipelines
        .iter()
        .find(|pipeline| pipeline.name == release.pipeline);
    pipeline.is_some_and(|pipeline| {
        let mut awaited = pipeline.stages.iter().filter(|stage| {
            let mut needs = stage.needs.iter();
            needs.any(|need| need.within.or(need.patience).is_some())
        });
        awaited.all(|stage| release.stages.contains_key(&stage.name))
    })
}

fn before(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_sub(to_signed(by)).unwrap_or(Timestamp::MIN)
}
