//! One cause behind failures of many kinds: most of what ends fails, one trouble of the infrastructure strikes
//! several services, or one error shows up in several stages. Told once, as an incident of its own, to the default
//! receiver; what it explains is folded behind it there, as far as somebody else is told of it.
//!
//! What all have in common by their stage alone is told together without this, see [`super::fold`].

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    classify::{Classification, Severity},
    evidence::{CauseClass, Finding, Signature},
    fold::{CauseKey, News, to_signed},
    incident::{Facts, Incident, IncidentId, Kind, Run, Target},
    job::JobKey,
    observation::RunName,
    policy::{Policy, SHARED_WITHIN},
    root::{self, Root},
    state::State,
    verdict::Verdict,
};

/// In place of a stage.
pub const MASS: &str = "mass failure";
/// Whose it is, in messages.
const PROW: &str = "prow";
/// Jobs that are remembered; of more, those that ended last.
const MAX_JOBS: usize = 4_096;
/// Services that a message names.
const NAMED: usize = 8;

/// From when on failures have one cause; settings under `mass`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MassPolicy {
    /// More of the jobs than this fail, in per cent.
    pub share: u32,
    /// Of at least so many.
    pub jobs: u32,
    /// Services that one trouble strikes.
    pub services: u32,
    /// Within this time.
    pub window: Duration,
}

impl Default for MassPolicy {
    fn default() -> Self {
        Self {
            share: 50,
            jobs: 10,
            services: 3,
            window: Duration::from_secs(30 * 60),
        }
    }
}

/// The latest end of each job, as far back as [`MassPolicy::window`].
#[derive(Debug, Clone, Default)]
pub struct Recent {
    ended: BTreeMap<JobKey, (Timestamp, RunName)>,
    by_end: BTreeSet<(Timestamp, JobKey)>,
    /// Those that did not end well.
    struck: BTreeMap<JobKey, Struck>,
}

/// Who was struck when by what.
#[derive(Debug, Clone)]
struct Struck {
    at: Timestamp,
    owner: String,
    cause: CauseKey,
    class: Option<CauseClass>,
    signature: Option<Signature>,
}

/// Owners that are struck, and where.
type Spread<'a> = (BTreeSet<&'a str>, BTreeSet<&'a CauseKey>);

/// What failures have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Shared {
    /// That most jobs fail.
    Share,
    /// A trouble of the infrastructure.
    Class(CauseClass),
    /// An error.
    Error(Signature),
}

/// Whether the fault is none of those whose job it was.
fn is_infrastructure(class: CauseClass) -> bool {
    match class {
        CauseClass::RateLimit
        | CauseClass::Network
        | CauseClass::Disk
        | CauseClass::OutOfMemory
        | CauseClass::Infrastructure => true,
        CauseClass::Compile
        | CauseClass::Test
        | CauseClass::Dependency
        | CauseClass::ImageBuild
        | CauseClass::Registry
        | CauseClass::Auth
        | CauseClass::Timeout
        | CauseClass::Git
        | CauseClass::Configuration
        | CauseClass::Unclassified => false,
    }
}

impl Struck {
    fn of(facts: &Facts, cause: CauseKey) -> Self {
        let evidence = match facts.finding.as_deref() {
            Some(Finding::Found(evidence)) => Some(evidence),
            Some(Finding::Green(_) | Finding::Nothing(_) | Finding::Unreadable(_)) | None => None,
        };
        let by_prow = (facts.verdict == Verdict::Infra).then_some(CauseClass::Infrastructure);
        Self {
            at: facts.at,
            owner: facts.class.owner().to_owned(),
            cause,
            class: evidence.map(|evidence| evidence.class).or(by_prow),
            signature: evidence.and_then(|evidence| evidence.signature.clone()),
        }
    }
}

impl Shared {
    /// Of the key of an open incident.
    fn parse(key: &str) -> Option<Self> {
        let (kind, what) = key.split_once('|')?;
        if kind != MASS {
            return None;
        }
        let class = CauseClass::parse(what).map(Self::Class);
        Some(match what {
            "" => Self::Share,
            _ => class.unwrap_or_else(|| Self::Error(Signature(what.to_owned()))),
        })
    }

    fn key(&self) -> String {
        let what = match self {
            Self::Share => "",
            Self::Class(class) => class.as_str(),
            Self::Error(signature) => signature.0.as_str(),
        };
        format!("{MASS}|{what}")
    }

    /// Whether it explains a failure, by what is known of that: a known cause of another kind it never does.
    fn explains(&self, struck: &Struck) -> bool {
        match self {
            Self::Share => struck
                .class
                .is_none_or(|class| is_infrastructure(class) || class == CauseClass::Unclassified),
            Self::Class(class) => struck.class == Some(*class),
            Self::Error(signature) => struck.signature.as_ref() == Some(signature),
        }
    }
}

impl Recent {
    /// Takes in a run that ended, as stored. An older end of the same job changes nothing.
    pub fn note(&mut self, run: &Run) {
        let Some(at) = run.finished_at else { return };
        let struck = match run.verdict {
            Verdict::Pass | Verdict::NoOp => None,
            Verdict::Fail | Verdict::Infra | Verdict::SoftFail => {
                let Some(facts) = run.facts.as_deref() else {
                    return;
                };
                Some(Struck::of(facts, CauseKey::of(&facts.class, &run.job)))
            }
            Verdict::Running | Verdict::AbortedByHuman | Verdict::Superseded => return,
        };
        if let Some((known_at, known)) = self.ended.get(&run.job) {
            if (*known_at, known) > (at, &run.name) {
                return;
            }
            self.by_end.remove(&(*known_at, run.job.clone()));
        }
        match struck {
            Some(struck) => self.struck.insert(run.job.clone(), struck),
            None => self.struck.remove(&run.job),
        };
        self.by_end.insert((at, run.job.clone()));
        self.ended.insert(run.job.clone(), (at, run.name.clone()));
        while self.ended.len() > MAX_JOBS {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, job)) = self.by_end.pop_first() {
            self.ended.remove(&job);
            self.struck.remove(&job);
        }
    }

    fn forget(&mut self, now: Timestamp, window: Duration) {
        let is_old = |at: Timestamp| now.duration_since(at) > to_signed(window);
        while self.by_end.first().is_some_and(|(at, _)| is_old(*at)) {
            self.drop_oldest();
        }
    }

    /// What begins to be shared at more than one place, and what to say of it.
    fn beginning(&self, limits: MassPolicy, now: Timestamp) -> Vec<(Shared, String)> {
        let minutes = limits.window.as_secs() / 60;
        let mut found = self.by_share(limits, minutes);
        if found.is_empty() {
            found = self.by_cause(limits, now, minutes);
        }
        found
    }

    fn by_share(&self, limits: MassPolicy, minutes: u64) -> Vec<(Shared, String)> {
        let (all, failed) = (self.ended.len(), self.struck.len());
        if all < number(limits.jobs) || failed * 100 <= all * number(limits.share) {
            return Vec::new();
        }
        let (owners, places) = spread(self.struck.values());
        if places.len() < 2 {
            return Vec::new();
        }
        let names = listed(&owners);
        let what =
            format!("{failed} of {all} jobs that ended within {minutes} min failed: {names}");
        vec![(Shared::Share, what)]
    }

    fn by_cause(&self, limits: MassPolicy, now: Timestamp, minutes: u64) -> Vec<(Shared, String)> {
        let mut groups: BTreeMap<Shared, Spread<'_>> = BTreeMap::new();
        for struck in self.struck.values() {
            let lately = now.duration_since(struck.at) <= to_signed(SHARED_WITHIN);
            let shared = match (struck.class, &struck.signature) {
                (Some(class), _) if is_infrastructure(class) => Shared::Class(class),
                (None | Some(CauseClass::Unclassified), _) | (_, None) => continue,
                (Some(_), Some(signature)) if lately => Shared::Error(signature.clone()),
                (Some(_), Some(_)) => continue,
            };
            let (owners, places) = groups.entry(shared).or_default();
            owners.insert(&struck.owner);
            places.insert(&struck.cause);
        }
        groups.retain(|_, (owners, places)| {
            owners.len() >= number(limits.services) && places.len() > 1
        });
        let told = groups.into_iter().map(|(shared, (owners, places))| {
            let (count, names) = (owners.len(), listed(&owners));
            let what = match &shared {
                Shared::Class(class) => {
                    format!(
                        "{} in {count} services within {minutes} min: {names}",
                        class.words()
                    )
                }
                Shared::Share | Shared::Error(_) => format!(
                    "the same error at {} stages of {count} services: {names}",
                    places.len()
                ),
            };
            (shared, what)
        });
        told.collect()
    }

    /// Whether it is shared no more. While no job ends, nothing is known of that. It takes half the share that it
    /// took to begin, so that it does not begin and end with each run.
    fn is_over(&self, limits: MassPolicy, shared: &Shared) -> bool {
        let all = self.ended.len();
        let still = match shared {
            Shared::Share => self.struck.len() * 200 > all * number(limits.share),
            Shared::Class(_) | Shared::Error(_) => {
                let struck = self
                    .struck
                    .values()
                    .filter(|struck| shared.explains(struck));
                spread(struck).0.len() >= number(limits.services)
            }
        };
        all > 0 && !still
    }
}

fn spread<'a>(struck: impl Iterator<Item = &'a Struck>) -> Spread<'a> {
    struck
        .map(|struck| (struck.owner.as_str(), &struck.cause))
        .unzip()
}

impl State {
    /// Takes in the end of a run, or what was learned of it.
    pub(super) fn note_ended(&mut self, run: &RunName) {
        if let Some(run) = self.runs.get(run) {
            self.recent.note(run);
        }
    }

    /// Open incidents of this kind; a store loads them before it asks for anything here.
    pub(super) fn masses(&self) -> impl Iterator<Item = IncidentId> + '_ {
        self.open_masses().map(|(_, id)| id)
    }

    fn open_masses(&self) -> impl Iterator<Item = (Shared, IncidentId)> + '_ {
        let troubles = self.troubles.iter();
        troubles.filter_map(|(key, id)| Some((Shared::parse(key)?, *id)))
    }

    /// Begins and ends mass failures, and folds behind them what they explain.
    pub(super) fn weigh_masses(&mut self, policy: &Policy, now: Timestamp) {
        self.recent.forget(now, policy.mass.window);
        let open: Vec<(Shared, IncidentId)> = self.open_masses().collect();
        for (shared, id) in open {
            if self.recent.is_over(policy.mass, &shared) {
                let key = shared.key();
                self.end_trouble(&key, id, name(&key, now), now);
            }
        }
        for (shared, what) in self.recent.beginning(policy.mass, now) {
            let covered = |open: &Shared| *open == shared || *open == Shared::Share;
            if !self.open_masses().any(|(open, _)| covered(&open)) {
                self.begin_mass(policy, &shared.key(), what, now);
            }
        }
        if self.masses().next().is_none() {
            return;
        }
        let told = policy.routing.default_receiver.as_ref();
        let waiting: Vec<IncidentId> = self
            .owing
            .iter()
            .filter(|(_, receiver)| Some(receiver) == told)
            .filter_map(|key| self.folds.get(key))
            .flat_map(|fold| &fold.waiting)
            .filter(|owed| owed.news == News::Opened && owed.behind.is_none())
            .map(|owed| owed.incident)
            .collect();
        for id in waiting {
            self.fold_into_mass(policy, id, now);
        }
    }

    /// Folds an incident behind the mass failure that explains it. Returns that one if everybody who would be told
    /// of the incident at once knows of it.
    pub(super) fn fold_into_mass(
        &mut self,
        policy: &Policy,
        id: IncidentId,
        now: Timestamp,
    ) -> Option<IncidentId> {
        let incident = self.incidents.get(&id)?;
        let is_recent = now.duration_since(incident.latest.at) <= to_signed(policy.mass.window);
        // Where nobody else hears of it, it would be told to nobody.
        let default = policy.routing.default_receiver.as_ref();
        let others = incident.targets.iter().filter(|to| to.digest.is_none());
        let is_told = others.map(|to| &to.receiver).any(|to| Some(to) != default);
        if incident.kind != Kind::Failing || incident.root.is_some() || !is_recent || !is_told {
            return None;
        }
        let struck = Struck::of(&incident.latest, incident.cause.clone());
        let (_, mass) = self
            .open_masses()
            .find(|(shared, _)| shared.explains(&struck))?;
        self.fold_behind(id, mass, now).then_some(mass)
    }

    /// Whether an incident, now that its cause is known, is not to be folded behind its root.
    pub(super) fn is_apart(&self, incident: &Incident) -> bool {
        let Some(root) = &incident.root else {
            return false;
        };
        let struck = Struck::of(&incident.latest, incident.cause.clone());
        let mass = self.open_masses().find(|(_, id)| *id == root.incident);
        match (mass, struck.class) {
            (Some((shared, _)), Some(_)) => !shared.explains(&struck),
            (None, Some(class)) => !is_mass(root) && root::stands_alone(class),
            (_, None) => false,
        }
    }

    fn begin_mass(&mut self, policy: &Policy, key: &str, what: String, now: Timestamp) {
        let receivers = policy.routing.default_receiver.iter();
        let targets = receivers.map(|receiver| Target {
            receiver: receiver.clone(),
            digest: None,
            mute: Vec::new(),
        });
        let mass = Incident {
            kind: Kind::Mass,
            cause: CauseKey(key.to_owned()),
            targets: targets.collect(),
            ..Incident::new(JobKey(key.to_owned()), facts(key, what, now))
        };
        let id = self.open_and_tell(policy, mass, now);
        self.troubles.insert(key.to_owned(), id);
        self.changed.troubles.insert(key.to_owned());
    }
}

/// Whether a root is a mass failure and no stage of a release.
pub fn is_mass(root: &Root) -> bool {
    root.owner == PROW && root.stage == MASS
}

fn facts(key: &str, what: String, now: Timestamp) -> Facts {
    let class = Classification {
        rule: Some(MASS.to_owned()),
        component: PROW.to_owned(),
        stage: Some(MASS.to_owned()),
        severity: Severity::Critical,
        ..Classification::default()
    };
    Facts::without_run(name(key, now), MASS, what, class, now)
}

/// No ProwJob can be called so.
fn name(key: &str, at: Timestamp) -> RunName {
    RunName(format!("{key}|{at}"))
}

fn number(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Names, cut after [`NAMED`].
fn listed(owners: &BTreeSet<&str>) -> String {
    let names: Vec<&str> = owners.iter().copied().take(NAMED).collect();
    match owners.len() - names.len() {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}
