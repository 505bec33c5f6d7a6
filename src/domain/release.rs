//! Releases: which stages a version of a service has seen, which are to start by when, and what a run proves of
//! stages before it. A stage that never starts has no red run anywhere; only its deadline tells.

mod concerns;

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    fold::to_signed,
    gaps::{self, EdgeKey, Gaps},
    incident::{GoodRun, IncidentId},
    observation::{Observation, RunName},
    observe::Case,
    pipeline::{Pipeline, Sign, Spot, Stage},
    policy::Policy,
    state::State,
    time::after,
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
    /// Stages that a person is to start, and since when they wait.
    #[serde(default)]
    pub waiting: BTreeMap<String, Timestamp>,
    /// The incident about stages that did not start in time.
    pub late: Option<Late>,
    /// When a late stage started after all: others that are started with it count from there.
    pub restarted_at: Option<Timestamp>,
    /// When the last of its required stages had done its work.
    #[serde(default)]
    pub done_at: Option<Timestamp>,
    /// Whether a stage ran though the one that alone starts it was never seen: a person did its work.
    #[serde(default)]
    pub hand_made: bool,
    /// Its earliest run by start, for routing; without labels and annotations.
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
    /// All its runs and how they ended, at most 50.
    #[serde(default)]
    pub attempts: BTreeMap<RunName, Verdict>,
    /// What they took, as many of them.
    #[serde(default)]
    pub spent: BTreeMap<RunName, Spent>,
}

/// What a run took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Spent {
    /// When it started.
    pub began_at: Timestamp,
    /// Seconds from there to its end; 0 while it runs.
    pub seconds: u32,
}

/// See [`StageSeen::attempts`].
const ATTEMPTS: usize = 50;

/// A stage that is to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// By then.
    pub by: Timestamp,
    /// Because this stage did its work, or because stages that it starts too have started.
    pub after: String,
    /// When that was.
    pub since: Timestamp,
    /// A person is to start it.
    #[serde(default)]
    pub person: bool,
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

    /// Runs beyond the first of each stage.
    pub fn reruns(&self) -> usize {
        let runs = self.stages.values().map(|seen| seen.attempts.len());
        runs.map(|runs| runs.saturating_sub(1)).sum()
    }

    /// Seconds that its runs took, and how many of these went into runs beyond the first of each stage.
    pub fn spent_s(&self) -> (u64, u64) {
        let (mut all, mut first) = (0, 0);
        for seen in self.stages.values() {
            all += seen
                .spent
                .values()
                .map(|one| u64::from(one.seconds))
                .sum::<u64>();
            let earliest = seen
                .spent
                .iter()
                .min_by_key(|(run, one)| (one.began_at, *run));
            first += earliest.map_or(0, |(_, one)| u64::from(one.seconds));
        }
        (all, all - first)
    }

    /// Whether a stage was seen, and one that starts it was not.
    fn is_hand_made(&self, pipeline: &Pipeline) -> bool {
        self.stages.keys().any(|stage| {
            let starters = pipeline.proven_by(stage);
            starters.iter().any(|name| !self.stages.contains_key(*name))
        })
    }

    /// How many of its runs ended so.
    pub fn count(&self, verdict: Verdict) -> usize {
        let attempts = self.stages.values().flat_map(|seen| seen.attempts.values());
        attempts.filter(|ended| **ended == verdict).count()
    }

    /// When the last of the stages that a release must see had done its work; `None` while one has not.
    fn finished_at(&self, pipeline: &Pipeline) -> Option<Timestamp> {
        let done = |stage: &Stage| self.stages.get(&stage.name).and_then(|seen| seen.done_at);
        let times: Option<Vec<Timestamp>> = pipeline.required().map(done).collect();
        times?.into_iter().max()
    }

    fn see(&mut self, case: &Case<'_>, spot: Spot<'_>) {
        let run = case.run;
        let started = run.began_at();
        if (started, &run.run) < (self.origin.began_at(), &self.origin.run) {
            *self.origin = bare(run);
        }
        let seen = self
            .stages
            .entry(spot.stage.name.clone())
            .or_insert_with(|| StageSeen {
                started_at: started,
                done_at: None,
                run: run.run.clone(),
                latest_at: started,
                verdict: case.judged.verdict,
                attempts: BTreeMap::new(),
                spent: BTreeMap::new(),
            });
        if seen.spent.len() < ATTEMPTS || seen.spent.contains_key(&run.run) {
            let seconds = run
                .completed_at
                .map_or(0, |end| end.duration_since(started).as_secs().max(0));
            let spent = Spent {
                began_at: started,
                seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
            };
            seen.spent.insert(run.run.clone(), spent);
        }
        if seen.attempts.len() < ATTEMPTS || seen.attempts.contains_key(&run.run) {
            seen.attempts.insert(run.run.clone(), case.judged.verdict);
        }
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

    /// The latest start of what only a good end of this run's stage can have started.
    fn proof_of(&self, case: &Case<'_>, spot: Spot<'_>) -> Option<GoodRun> {
        if !case.judged.verdict.is_bad() {
            return None;
        }
        let proving = self.stages.iter().filter(|(stage, _)| {
            let proven = spot.pipeline.proven_by(stage);
            proven.contains(spot.stage.name.as_str())
        });
        let (_, latest) = proving.max_by_key(|(_, seen)| (seen.latest_at, &seen.run))?;
        Some(GoodRun {
            run: latest.run.clone(),
            at: latest.latest_at,
            base_ref: case.run.base_ref().to_owned(),
            base_sha: None,
            owner: None,
        })
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
        let mut waiting = BTreeMap::new();
        for stage in &pipeline.stages {
            if self.stages.contains_key(&stage.name) {
                continue;
            }
            for need in &stage.needs {
                let Some(since) = self.due_since(pipeline, &need.stage) else {
                    continue;
                };
                let since = since.max(self.restarted_at.unwrap_or(since));
                if need.gate {
                    waiting.insert(stage.name.clone(), since);
                }
                let known = gaps.get(&EdgeKey::of(pipeline, need, &stage.name));
                let Some(within) = gaps::allowed(need, known).or(need.patience) else {
                    continue;
                };
                let due_now = Due {
                    by: after(since, within),
                    after: need.stage.clone(),
                    since,
                    person: need.gate,
                };
                due.insert(stage.name.clone(), due_now);
            }
        }
        self.waiting = waiting;
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
    /// Takes a run into the release it belongs to, and what that says of stages before it and after it. Returns
    /// the incidents whose end is news because of it.
    pub(super) fn note_release(
        &mut self,
        policy: &Policy,
        case: &Case<'_>,
        spot: Spot<'_>,
    ) -> Vec<IncidentId> {
        let mut ended = self.prove_upstream(case, spot);
        let Some(key) = case.release.clone() else {
            return ended;
        };
        if self.settled.contains(&key) {
            return ended;
        }
        let (Some(service), Some(version)) = (&case.class.service, &case.version) else {
            return ended;
        };
        let release = self.releases.entry(key.clone()).or_insert_with(|| Release {
            pipeline: spot.pipeline.name.clone(),
            service: service.clone(),
            version: version.clone(),
            stages: BTreeMap::new(),
            due: BTreeMap::new(),
            waiting: BTreeMap::new(),
            late: None,
            restarted_at: None,
            done_at: None,
            hand_made: false,
            origin: Box::new(bare(case.run)),
        });
        let started = case.run.began_at();
        for (edge, since) in release.learned_edges(spot) {
            self.gaps
                .entry(edge.clone())
                .or_default()
                .note(since, started);
            self.changed.gaps.insert(edge);
        }
        release.see(case, spot);
        let proof = release.proof_of(case, spot);
        let arrived = release
            .late
            .take_if(|late| late.stage == spot.stage.name)
            .map(|late| late.incident);
        if arrived.is_some() {
            release.restarted_at = Some(case.run.began_at());
        }
        release.done_at = release.finished_at(spot.pipeline);
        release.hand_made = release.is_hand_made(spot.pipeline);
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
        if let Some(id) = arrived
            && self.close(id, GoodRun::start_of(case.run), case.now)
        {
            ended.push(id);
        }
        if let Some(proof) = proof {
            self.end_proven(case, proof);
        }
        ended
    }

    /// A failure turned up late: what only its own success, or that of a later run, can have started had come by then.
    fn end_proven(&mut self, case: &Case<'_>, proof: GoodRun) {
        let Some(id) = self.incident_of(&case.run.run) else {
            return;
        };
        let incident = self.incidents.get(&id);
        if incident.is_some_and(|known| known.is_open() && known.latest.at <= proof.at) {
            self.close(id, proof, case.now);
        }
    }

    /// A run that only its predecessors' work could start ends what was open there of the same service: whoever
    /// did it, the work is done.
    fn prove_upstream(&mut self, case: &Case<'_>, spot: Spot<'_>) -> Vec<IncidentId> {
        let mut ended = Vec::new();
        let started = case.run.began_at();
        let proven: Vec<IncidentId> = self.proven(spot, case.class.service.as_deref()).collect();
        for id in proven {
            let Some(incident) = self.incidents.get(&id) else {
                continue;
            };
            let same_org = incident.is_of_org(case.run.org());
            let newer = match (&incident.latest.version, &case.version) {
                (Some(broken), Some(now)) => !is_older(now, broken),
                _ => true,
            };
            if incident.is_open()
                && same_org
                && newer
                && incident.latest.at <= started
                && self.close(id, GoodRun::start_of(case.run), case.now)
            {
                ended.push(id);
            }
        }
        ended
    }

    /// Open incidents of a service at the stages that a run at this one proves.
    fn proven(&self, spot: Spot<'_>, service: Option<&str>) -> impl Iterator<Item = IncidentId> {
        let stages = spot.pipeline.proven_by(&spot.stage.name);
        stages
            .into_iter()
            .flat_map(|stage| self.open_at(stage))
            .filter(move |(_, owner)| Some(owner.as_str()) == service)
            .map(|(id, _)| id)
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
