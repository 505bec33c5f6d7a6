//! What is awaited by a time of its own, apart from releases: the end of a run, the next run of a job. Told once
//! when the time has passed, and once when what was awaited comes after all.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    classify::Classification,
    fold::{CauseKey, News},
    incident::{Facts, GoodRun, IncidentId, Kind},
    job::JobKey,
    matcher::Labels,
    observation::{Observation, RunName},
    observe::{Case, Reading},
    pipeline::Spot,
    policy::Policy,
    release::bare,
    route::targets,
    state::State,
    verdict::{Judgement, Verdict},
};

#[cfg(test)]
mod tests;

/// Names what is awaited: `end|RUN` or `start|JOB`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WatchKey(pub String);

/// Something that is awaited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// What.
    pub waits_for: Awaits,
    /// Since when.
    pub since: Timestamp,
    /// It is late from then on.
    pub due_at: Timestamp,
    /// Why then, in one clause for people.
    pub why: String,
    /// The incident that tells that it is late.
    pub incident: Option<IncidentId>,
    /// The run that it is about; without labels and annotations other than ours.
    pub origin: Box<Observation>,
}

/// What is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Awaits {
    /// The end of a run.
    End,
    /// The next run of a job.
    Start,
}

/// Nobody waits longer for the end of a run that is late: Prow forgets runs after days, and their end with them.
const END_FORGOTTEN_AFTER: Duration = Duration::from_secs(7 * 86_400);
/// Nobody waits longer for a job that is late: it was taken out.
const START_FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 86_400);

impl WatchKey {
    /// The end of a run.
    pub fn end_of(run: &RunName) -> Self {
        Self(format!("end|{run}"))
    }

    /// The next run of a job.
    pub fn next_of(job: &JobKey) -> Self {
        Self(format!("start|{job}"))
    }
}

impl Watch {
    /// When it is to be looked at again: late, or to be forgotten.
    pub fn looked_at(&self) -> Timestamp {
        let forgotten_after = match self.waits_for {
            Awaits::End => END_FORGOTTEN_AFTER,
            Awaits::Start => START_FORGOTTEN_AFTER,
        };
        match self.incident {
            None => self.due_at,
            Some(_) => after(self.due_at, forgotten_after),
        }
    }
}

/// A moment so much later.
pub(super) fn after(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

impl State {
    /// Notes what a run lets us wait for, and what its coming ends.
    pub(super) fn note_watches(
        &mut self,
        policy: &Policy,
        case: &Case<'_>,
        spot: Option<Spot<'_>>,
    ) {
        if policy.keeps_deadlines {
            self.expect_end(case, spot);
            self.expect_next(case);
        }
    }

    pub(super) fn put_watch(&mut self, key: WatchKey, watch: Watch) {
        self.changed.watches.insert(key.clone());
        self.watches.insert(key, watch);
    }

    pub(super) fn drop_watch(&mut self, key: &WatchKey) -> Option<Watch> {
        let watch = self.watches.remove(key)?;
        self.changed.watches.insert(key.clone());
        Some(watch)
    }

    /// Incidents that a run may end because it was awaited.
    pub(super) fn expected_incidents(
        &self,
        run: &Observation,
    ) -> impl Iterator<Item = IncidentId> + '_ {
        [
            WatchKey::end_of(&run.run),
            WatchKey::next_of(&JobKey::of(run)),
        ]
        .into_iter()
        .filter_map(|key| self.watches.get(&key)?.incident)
    }

    /// Incidents of what is forgotten by `now`.
    pub(super) fn forgotten_incidents(
        &self,
        now: Timestamp,
    ) -> impl Iterator<Item = IncidentId> + '_ {
        self.watches
            .values()
            .filter(move |watch| watch.looked_at() <= now)
            .filter_map(|watch| watch.incident)
    }

    /// Tells what is late, and forgets what never came.
    pub(super) fn end_watches(&mut self, policy: &Policy, now: Timestamp, more_to_come: bool) {
        // What is awaited may stand further back in the inbox.
        if more_to_come {
            return;
        }
        let due: Vec<WatchKey> = self
            .watches
            .iter()
            .filter(|(_, watch)| watch.looked_at() <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            let Some(mut watch) = self.drop_watch(&key) else {
                continue;
            };
            if let Some(id) = watch.incident {
                self.close_silently(id, passed_by(&watch, now));
            } else if let Some(late) = late(policy, &watch, now) {
                watch.incident = Some(self.open_late(policy, &watch, late, now));
                self.put_watch(key, watch);
            }
        }
    }

    fn open_late(
        &mut self,
        policy: &Policy,
        watch: &Watch,
        late: Late,
        now: Timestamp,
    ) -> IncidentId {
        let origin = watch.origin.as_ref();
        let labels = Labels {
            run: origin,
            verdict: Verdict::Running,
            class: Some(&late.class),
        };
        let targets = targets(&policy.routing.destinations(&labels), late.class.severity);
        let judged = Judgement {
            verdict: Verdict::Running,
            what: late.what,
        };
        let facts = Facts::new(origin, watch.due_at, judged, late.class);
        let job = JobKey(format!("{}|{}", late.word, JobKey::of(origin)));
        let id = self.open(facts.clone(), facts, 1, job, None, None);
        if let Some(incident) = self.incidents.get_mut(&id) {
            incident.kind = late.kind;
            incident.cause = CauseKey(format!("{}|{}", late.word, incident.cause));
        }
        self.strike(id, targets, now, policy.window);
        self.owe(id, News::Opened, now);
        id
    }

    /// Closes an incident without a word: something else tells what became of it.
    pub(super) fn close_silently(&mut self, id: IncidentId, by: GoodRun) {
        let Some(incident) = self.incidents.get_mut(&id).filter(|known| known.is_open()) else {
            return;
        };
        incident.closed_by = Some(by);
        let (cause, ends) = (incident.cause.clone(), incident.window_ends.take());
        let targets = incident.targets.clone();
        self.changed.incidents.insert(id);
        if let Some(ends) = ends {
            self.windows.remove(&(ends, id));
        }
        if let Some(suffering) = self.causes.get_mut(&cause) {
            suffering.heal(id);
            self.changed.causes.insert(cause.clone());
        }
        for target in targets {
            let fold_key = (cause.clone(), target.receiver.clone());
            if let Some(fold) = self.folds.get_mut(&fold_key) {
                fold.waiting.retain(|owed| owed.incident != id);
                self.changed.folds.insert(fold_key);
            }
            let digest_key = (target.receiver, false);
            if let Some(digest) = self.digests.get_mut(&digest_key) {
                digest.incidents.retain(|known| *known != id);
                self.changed.digests.insert(digest_key);
            }
        }
    }
}

/// What is told of something late.
struct Late {
    kind: Kind,
    word: &'static str,
    class: Classification,
    what: String,
}

/// `None` when the policy does not ask for it any more.
fn late(policy: &Policy, watch: &Watch, now: Timestamp) -> Option<Late> {
    let reading = Reading::of(policy, &watch.origin, None);
    let waited = words(now.duration_since(watch.since).as_secs());
    let why = &watch.why;
    match watch.waits_for {
        Awaits::End => {
            reading.spot(policy)?.stage.overdue?;
            Some(Late {
                kind: Kind::Overdue,
                word: "overdue",
                class: reading.class,
                what: format!("still running after {waited}; {why}"),
            })
        }
        Awaits::Start => {
            reading.class.every?;
            Some(Late {
                kind: Kind::Silent,
                word: "silent",
                class: reading.class,
                what: format!("no run has started for {waited}; {why}"),
            })
        }
    }
}

/// What a watch is about, without what only its own run has: our annotations still classify it.
pub(super) fn origin(run: &Observation) -> Box<Observation> {
    let ours = run
        .annotations
        .iter()
        .filter(|(key, _)| key.starts_with("prow-notifier.io/"));
    Box::new(Observation {
        annotations: ours
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        ..bare(run)
    })
}

/// In place of a good run where nothing came.
fn passed_by(watch: &Watch, now: Timestamp) -> GoodRun {
    GoodRun {
        run: watch.origin.run.clone(),
        at: now,
        base_ref: watch.origin.base_ref().to_owned(),
        base_sha: None,
        owner: None,
    }
}

/// A time in its two largest units: `2 h 5 min`, `3 d`, `40 s`.
pub(super) fn words(seconds: i64) -> String {
    let (large, small) = match seconds {
        86_400.. => ((seconds / 86_400, "d"), (seconds % 86_400 / 3_600, "h")),
        3_600.. => ((seconds / 3_600, "h"), (seconds % 3_600 / 60, "min")),
        60.. => ((seconds / 60, "min"), (0, "s")),
        _ => ((seconds.max(0), "s"), (0, "")),
    };
    match small {
        (0, _) => format!("{} {}", large.0, large.1),
        (rest, unit) => format!("{} {} {rest} {unit}", large.0, large.1),
    }
}
