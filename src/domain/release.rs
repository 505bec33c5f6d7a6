//! Releases: which stages a version of a service has seen, which are to start by when, and what a run proves of
//! stages before it. A stage that never starts has no red run anywhere; only its deadline tells.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    fold::to_signed,
    gaps::{self, EdgeKey, Gaps},
    incident::{GoodRun, IncidentId},
    observation::{Observation, RunName},
    observe::{Case, Reading},
    pipeline::{Pipeline, Sign, Spot},
    policy::Policy,
    state::State,
    verdict::Verdict,
};

/// Pipeline, service and version in one string, `|` between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReleaseKey(pub String);

impl ReleaseKey {
    /// Of a version of a service.
    pub fn of(pipeline: &str, service: &str, version: &str) -> Self {
        Self(format!("{pipeline}|{service}|{version}"))
    }
}

impl fmt::Display for ReleaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A version of a service on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its pipeline.
    pub pipeline: String,
    /// Its service.
    pub service: String,
    /// Its version, without a leading `v`.
    pub version: String,
    /// What was seen of its stages.
    pub stages: BTreeMap<String, StageSeen>,
    /// Stages that are to start, and by when.
    pub due: BTreeMap<String, Due>,
    /// The incident about stages that did not start in time.
    pub late: Option<Late>,
    /// When a late stage started after all: others that are started with it count from there.
    pub restarted_at: Option<Timestamp>,
    /// A run of it, for routing; without labels and annotations.
    pub origin: Box<Observation>,
}

/// What was seen of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageSeen {
    /// When its first run started.
    pub started_at: Timestamp,
    /// When it first did its work.
    pub done_at: Option<Timestamp>,
    /// Its latest run by start.
    pub run: RunName,
    /// When that started.
    pub latest_at: Timestamp,
    /// How that ended, or is.
    pub verdict: Verdict,
}

/// A stage that is to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// By then.
    pub by: Timestamp,
    /// Because this stage did its work, or because stages that it starts too have started.
    pub after: String,
    /// When that was.
    pub since: Timestamp,
}

/// Stages that did not start in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    /// Their incident.
    pub incident: IncidentId,
    /// The one that it is about.
    pub stage: String,
}

impl Release {
    /// When its first stage started.
    pub fn began_at(&self) -> Timestamp {
        let started = self.stages.values().map(|seen| seen.started_at);
        started.min().unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// When the next stage is late; `None` when none is to start.
    pub fn due_at(&self) -> Option<Timestamp> {
        self.due.values().map(|due| due.by).min()
    }

    fn see(&mut self, case: &Case<'_>, spot: Spot<'_>) {
        let run = case.run;
        let started = run.started_at.unwrap_or(run.seen_at);
        let seen = self
            .stages
            .entry(spot.stage.name.clone())
            .or_insert_with(|| StageSeen {
                started_at: started,
                done_at: None,
                run: run.run.clone(),
                latest_at: started,
                verdict: case.judged.verdict,
            });
        seen.started_at = seen.started_at.min(started);
        if (started, &run.run) >= (seen.latest_at, &seen.run) {
            seen.run = run.run.clone();
            seen.latest_at = started;
            seen.verdict = case.judged.verdict;
        }
        if did_its_work(case, spot)
            && let Some(at) = run.completed_at
        {
            seen.done_at = Some(seen.done_at.map_or(at, |known| known.min(at)));
        }
    }

    /// Edges to a stage that starts for the first time, from which is to be learned, and since when it was to start.
    fn learned_edges(&self, spot: Spot<'_>) -> Vec<(EdgeKey, Timestamp)> {
        if self.stages.contains_key(&spot.stage.name) {
            return Vec::new();
        }
        let needs = spot.stage.needs.iter().filter(|need| need.learned);
        needs
            .filter_map(|need| {
                let since = self.due_since(spot.pipeline, &need.stage)?;
                Some((EdgeKey::of(spot.pipeline, need, &spot.stage.name), since))
            })
            .collect()
    }

    /// Works out anew what is to start by when, from what was seen: in whichever order that came.
    fn reckon(&mut self, pipeline: &Pipeline, gaps: &BTreeMap<EdgeKey, Gaps>) {
        let mut due = BTreeMap::new();
        for stage in &pipeline.stages {
            if self.stages.contains_key(&stage.name) {
                continue;
            }
            for need in &stage.needs {
                let known = gaps.get(&EdgeKey::of(pipeline, need, &stage.name));
                let (Some(within), Some(since)) = (
                    gaps::allowed(need, known),
                    self.due_since(pipeline, &need.stage),
                ) else {
                    continue;
                };
                let since = since.max(self.restarted_at.unwrap_or(since));
                let by = since.checked_add(within).unwrap_or(Timestamp::MAX);
                let after = need.stage.clone();
                due.insert(stage.name.clone(), Due { by, after, since });
            }
        }
        // Of what is known to be late, only what was not told stays due.
        if let Some(late) = &self.late
            && due.contains_key(&late.stage)
        {
            due.clear();
        }
        self.due = due;
    }

    /// Since when whatever this stage starts is to start: it did its work, or it must have, since another that it
    /// starts has started.
    fn due_since(&self, pipeline: &Pipeline, after: &str) -> Option<Timestamp> {
        let own = self.stages.get(after).and_then(|seen| seen.done_at);
        let siblings = pipeline
            .started_by(after)
            .filter_map(|(stage, _)| Some(self.stages.get(&stage.name)?.started_at));
        siblings.chain(own).min()
    }
}

/// Whether a green run proves its stage's work: by its log where that is asked for.
fn did_its_work(case: &Case<'_>, spot: Spot<'_>) -> bool {
    case.judged.verdict == Verdict::Pass
        && (spot.stage.signs.done.is_empty()
            || case
                .said
                .as_ref()
                .is_some_and(|said| said.sign == Some(Sign::Done)))
}

impl State {
    /// Takes a run into the release it belongs to, and what that says of stages before it and after it.
    pub(super) fn note_release(&mut self, policy: &Policy, case: &Case<'_>, spot: Spot<'_>) {
        self.prove_upstream(case, spot);
        let Some(key) = case.release.clone() else {
            return;
        };
        let (Some(service), Some(version)) = (&case.class.service, &case.version) else {
            return;
        };
        let release = self.releases.entry(key.clone()).or_insert_with(|| Release {
            pipeline: spot.pipeline.name.clone(),
            service: service.clone(),
            version: version.clone(),
            stages: BTreeMap::new(),
            due: BTreeMap::new(),
            late: None,
            restarted_at: None,
            origin: Box::new(bare(case.run)),
        });
        let started = case.run.started_at.unwrap_or(case.run.seen_at);
        for (edge, since) in release.learned_edges(spot) {
            self.gaps
                .entry(edge.clone())
                .or_default()
                .note(since, started);
            self.changed.gaps.insert(edge);
        }
        release.see(case, spot);
        let arrived = release
            .late
            .take_if(|late| late.stage == spot.stage.name)
            .map(|late| late.incident);
        if arrived.is_some() {
            release.restarted_at = Some(case.run.started_at.unwrap_or(case.run.seen_at));
        }
        release.reckon(spot.pipeline, &self.gaps);
        if !policy.keeps_deadlines || is_old(policy, release, case.now) {
            release.due.clear();
        }
        let due_at = release.due_at();
        match due_at {
            Some(due_at) => self.due_releases.insert(key.clone(), due_at),
            None => self.due_releases.remove(&key),
        };
        self.changed.releases.insert(key);
        if let Some(id) = arrived {
            self.close(id, start_of(case), case.now);
        }
    }

    /// A run that only its predecessors' work could start ends what was open there of the same service: whoever
    /// did it, the work is done.
    fn prove_upstream(&mut self, case: &Case<'_>, spot: Spot<'_>) {
        let started = case.run.started_at.unwrap_or(case.run.seen_at);
        for id in self.proven(case, spot) {
            let Some(incident) = self.incidents.get(&id) else {
                continue;
            };
            let same_org = incident.latest.repository.split('/').next() == Some(case.run.org());
            let newer = match (&incident.latest.version, &case.version) {
                (Some(broken), Some(now)) => !is_older(now, broken),
                _ => true,
            };
            if incident.is_open() && same_org && newer && incident.latest.at <= started {
                self.close(id, start_of(case), case.now);
            }
        }
    }

    fn proven(&self, case: &Case<'_>, spot: Spot<'_>) -> Vec<IncidentId> {
        let Some(service) = &case.class.service else {
            return Vec::new();
        };
        spot.pipeline
            .proven_by(&spot.stage.name)
            .into_iter()
            .flat_map(|stage| self.open_at(stage))
            .filter(|(_, owner)| *owner == service)
            .map(|(id, _)| id)
            .collect()
    }

    /// Told open incidents of a stage, with their owners.
    pub(super) fn open_at<'a>(
        &'a self,
        stage: &str,
    ) -> impl Iterator<Item = (IncidentId, &'a String)> + 'a {
        let prefix = format!("{stage}|");
        self.causes
            .iter()
            .filter(move |(key, _)| key.0.starts_with(&prefix))
            .flat_map(|(_, cause)| cause.open.iter().map(|(id, owner)| (*id, owner)))
    }

    /// Incidents beside those of its own job that a run may close; a store loads them before it is observed.
    pub fn concerns(
        &self,
        policy: &Policy,
        run: &Observation,
        reading: &Reading,
    ) -> Vec<IncidentId> {
        let awaited = self.expected_incidents(run).chain(self.masses());
        let Some(spot) = reading.spot(policy) else {
            return awaited.collect();
        };
        let service = reading.class.service.as_deref();
        let mut found: Vec<IncidentId> = spot
            .pipeline
            .proven_by(&spot.stage.name)
            .into_iter()
            .flat_map(|stage| self.open_at(stage))
            .filter(|(_, owner)| Some(owner.as_str()) == service)
            .map(|(id, _)| id)
            .chain(awaited)
            .chain(self.dooming(spot, service).into_iter().map(|(_, id)| id))
            .collect();
        if spot.stage.shared && run.is_finished() && reading.judged.verdict == Verdict::Pass {
            found.extend(self.open_at(&spot.stage.name).map(|(id, _)| id));
        }
        if run.is_finished() && reading.judged.verdict.is_bad() {
            found.extend(self.relatives(spot, service));
        }
        found
    }

    /// Open incidents up and down the stream that may be the root of a failure, or may have one in it.
    fn relatives(&self, spot: Spot<'_>, service: Option<&str>) -> Vec<IncidentId> {
        let pipeline = spot.pipeline;
        let upstream = pipeline.upstream(&spot.stage.name).into_iter();
        let above = upstream
            .flat_map(|stage| self.open_at(stage))
            .filter(|(_, owner)| spot.stage.shared || Some(owner.as_str()) == service);
        let downstream = pipeline.downstream(&spot.stage.name).into_iter();
        let below = downstream
            .filter_map(|name| pipeline.stage(name))
            .flat_map(|stage| {
                let open = self.open_at(&stage.name);
                open.filter(move |(_, owner)| stage.shared || Some(owner.as_str()) == service)
            });
        above.chain(below).map(|(id, _)| id).collect()
    }
}

/// Without what only its own run has.
pub(super) fn bare(run: &Observation) -> Observation {
    Observation {
        labels: BTreeMap::new(),
        commit: None,
        artifacts: super::observation::Artifacts::default(),
        ..run.clone()
    }
}

/// The start of a run, as what ends an incident.
fn start_of(case: &Case<'_>) -> GoodRun {
    GoodRun {
        run: case.run.run.clone(),
        at: case.run.started_at.unwrap_or(case.run.seen_at),
        base_ref: case.run.base_ref().to_owned(),
        base_sha: case.run.base_sha().map(str::to_owned),
    }
}

/// Whether what is to start belongs to times that nobody is told of any more.
fn is_old(policy: &Policy, release: &Release, now: Timestamp) -> bool {
    let oldest = release.due.values().map(|due| due.since).min();
    oldest.is_some_and(|since| {
        now.duration_since(since) > to_signed(policy.max_age)
            || policy.first_start.is_some_and(|start| since < start)
    })
}

/// Whether a version comes before another, number by number.
fn is_older(one: &str, other: &str) -> bool {
    let numbers = |text: &str| -> Vec<u64> {
        text.split(|c: char| !c.is_ascii_digit())
            .filter_map(|part| part.parse().ok())
            .collect()
    };
    numbers(one) < numbers(other)
}
