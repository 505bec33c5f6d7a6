//! What is awaited by a time of its own, apart from releases: the end of a run, the next run of a job. Told once
//! when the time has passed, and once when what was awaited comes after all.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    classify::Classification,
    fold::CauseKey,
    incident::{Facts, GoodRun, Incident, IncidentId, Kind},
    job::JobKey,
    matcher::Labels,
    observation::{Observation, RunName},
    observe::{Case, Reading},
    pipeline::Spot,
    policy::Policy,
    release::bare,
    route::targets,
    state::State,
    time::{after, words},
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

impl State {
    /// Notes what a run lets us wait for, and what its coming ends. Returns the incidents whose end is news.
    pub(super) fn note_watches(
        &mut self,
        policy: &Policy,
        case: &Case<'_>,
        spot: Option<Spot<'_>>,
    ) -> impl Iterator<Item = IncidentId> + use<> {
        let ended = policy
            .keeps_deadlines
            .then(|| [self.expect_end(case, spot), self.expect_next(case)]);
        ended.into_iter().flatten().flatten()
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
        if more_to_come || now < self.deadlines_from {
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
        let incident = Incident::new(
            JobKey(format!("{}|{}", late.word, JobKey::of(origin))),
            facts,
        );
        let incident = Incident {
            kind: late.kind,
            cause: CauseKey(format!("{}|{}", late.word, incident.cause)),
            targets,
            ..incident
        };
        self.open_and_tell(policy, incident, now)
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
