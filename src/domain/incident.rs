//! An incident: the interval in which a job identity is broken, from the first bad verdict to the first
//! good one, by the runs' own completion times and not by the order in which we hear of them.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

mod links;

use super::{
    classify::Classification,
    doom::Doom,
    evidence::Finding,
    fold::CauseKey,
    hush::Marks,
    job::{JobKey, is_tag},
    notification::{Item, LastGood, Recovery, log_link},
    observation::{Observation, RunName},
    pipeline,
    prowjob::org_and_repo,
    release::ReleaseKey,
    root::Root,
    verdict::{Judgement, Verdict},
};

/// Number of an incident, given when it opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IncidentId(pub u64);

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What we keep of a run, enough to place it among the others of its job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its name.
    pub name: RunName,
    /// Its job.
    pub job: JobKey,
    /// Prow's state when last seen.
    pub state: String,
    /// Our reading.
    pub verdict: Verdict,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When Prow began to prepare its pod.
    #[serde(default)]
    pub pending_at: Option<Timestamp>,
    /// When it ended; `None` while running.
    pub finished_at: Option<Timestamp>,
    /// The incident that it opened or prolonged.
    pub incident: Option<IncidentId>,
    /// Branch or tag.
    pub base_ref: String,
    /// Commit.
    pub base_sha: Option<String>,
    /// Where deck shows it.
    pub url: Option<String>,
    /// Org, repository, job and build id: how a GitHub status names the run. `None` without a build id.
    pub alias: Option<String>,
    /// Whether only a GitHub status told us of it.
    pub inferred: bool,
    /// Whether only a command inside its job told us of its end.
    #[serde(default)]
    pub provisional: bool,
    /// The release that it is part of, once its version is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseKey>,
    /// Of a bad run: what a message says of it.
    pub facts: Option<Box<Facts>>,
}

/// What a message says of a bad run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The run.
    pub run: RunName,
    /// When it ended.
    pub at: Timestamp,
    /// Its verdict.
    pub verdict: Verdict,
    /// What broke.
    pub what: String,
    /// Whose, where, how bad.
    pub class: Classification,
    /// Job name.
    pub job: String,
    /// `org/repo`, or empty.
    pub repository: String,
    /// Web address of the repository.
    pub repo_link: Option<String>,
    /// Branch or tag.
    pub base_ref: String,
    /// The version that it works on, without a leading `v`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether that version goes through a pipeline.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_release: bool,
    /// Commit.
    pub base_sha: Option<String>,
    /// Where deck shows it.
    pub url: Option<String>,
    /// What else matchers of silences look at.
    #[serde(default)]
    pub marks: Marks,
    /// Who may know more.
    pub ask: Option<String>,
    /// What came of reading why; `None` while that is under way or when nobody reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<Box<Finding>>,
}

impl Facts {
    /// Of something that is wrong with no run behind it, under a name that no ProwJob can have.
    pub fn without_run(
        run: RunName,
        job: &str,
        what: String,
        class: Classification,
        at: Timestamp,
    ) -> Self {
        Self {
            run,
            at,
            verdict: Verdict::Infra,
            what,
            class,
            job: job.to_owned(),
            repository: String::new(),
            repo_link: None,
            base_ref: String::new(),
            version: None,
            in_release: false,
            base_sha: None,
            url: None,
            marks: Marks::default(),
            ask: None,
            finding: None,
        }
    }
}

/// A good run beside an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoodRun {
    /// The run.
    pub run: RunName,
    /// When it ended.
    pub at: Timestamp,
    /// Branch or tag.
    pub base_ref: String,
    /// Commit.
    pub base_sha: Option<String>,
    /// Whose it is, of a stage that all share: it may end what is somebody else's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// What kind of thing is broken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A job fails.
    #[default]
    Failing,
    /// A stage did not start in time.
    Stalled,
    /// A run takes too long.
    Overdue,
    /// A job that is to run regularly does not.
    Silent,
    /// Something that we need ourselves.
    Trouble,
    /// One cause behind failures of many kinds.
    Mass,
}

impl Kind {
    /// The word used everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Stalled => "stalled",
            Self::Overdue => "overdue",
            Self::Silent => "silent",
            Self::Trouble => "trouble",
            Self::Mass => "mass",
        }
    }

    /// Whether something did not happen in time.
    pub fn is_lateness(self) -> bool {
        match self {
            Self::Stalled | Self::Overdue | Self::Silent => true,
            Self::Failing | Self::Trouble | Self::Mass => false,
        }
    }
}

/// One incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Its number.
    pub id: IncidentId,
    /// What kind of thing is broken.
    #[serde(default)]
    pub kind: Kind,
    /// The job identity, which is the incident's fingerprint; of other kinds what takes its place.
    pub job: JobKey,
    /// What knocked it over; it is folded behind that for whoever was told of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Root>,
    /// Stages that cannot do their work while it is open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<String>,
    /// The runs behind it.
    #[serde(default, skip_serializing_if = "Doom::is_empty")]
    pub doom: Doom,
    /// What it may share with others.
    pub cause: CauseKey,
    /// Whether its stage is one that all services share.
    #[serde(default)]
    pub shared_stage: bool,
    /// First bad run.
    pub first: Facts,
    /// Latest bad run.
    pub latest: Facts,
    /// How many bad runs.
    pub failures: u64,
    /// The last good run before.
    pub last_good: Option<GoodRun>,
    /// The good run that closed it.
    pub closed_by: Option<GoodRun>,
    /// When it was first worth telling; `None` while only stale runs are in it.
    pub announced_at: Option<Timestamp>,
    /// Failures at the time it was last spoken of.
    pub told_failures: u64,
    /// End of the running dedup window. Failures inside it are counted and told together at its end.
    pub window_ends: Option<Timestamp>,
    /// Length of the last window, doubled each time.
    pub window_length: Option<Duration>,
    /// Who is told.
    pub targets: Vec<Target>,
}

/// One receiver of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Concrete receiver.
    pub receiver: String,
    /// Collected for this long instead of told at once.
    pub digest: Option<Duration>,
    /// Mute windows that its route names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mute: Vec<String>,
}

impl Run {
    /// What to keep of a sighting.
    pub fn new(run: &Observation, job: JobKey, judged: &Judgement) -> Self {
        Self {
            name: run.run.clone(),
            job,
            state: run.state.as_str().to_owned(),
            verdict: judged.verdict,
            started_at: run.started_at,
            pending_at: run.pending_at,
            finished_at: run.completed_at.filter(|_| run.is_finished()),
            incident: None,
            base_ref: run.base_ref().to_owned(),
            base_sha: run.base_sha().map(str::to_owned),
            url: run.url.clone(),
            alias: alias(run),
            inferred: run.inferred,
            provisional: run.provisional && run.is_finished(),
            release: None,
            facts: None,
        }
    }

    /// As a good run beside an incident.
    pub fn as_good(&self) -> Option<GoodRun> {
        Some(GoodRun {
            run: self.name.clone(),
            at: self.finished_at?,
            base_ref: self.base_ref.clone(),
            base_sha: self.base_sha.clone(),
            owner: None,
        })
    }
}

/// How a GitHub status names a run: by repository, job and build id.
pub fn alias(run: &Observation) -> Option<String> {
    let build_id = run.build_id.as_deref().filter(|id| !id.is_empty())?;
    Some(format!(
        "{}/{}|{}|{build_id}",
        run.org(),
        run.repo(),
        run.job
    ))
}

impl Facts {
    /// What a message will say of a bad run.
    pub fn new(run: &Observation, at: Timestamp, judged: Judgement, class: Classification) -> Self {
        let repository = if run.org().is_empty() {
            String::new()
        } else {
            format!("{}/{}", run.org(), run.repo())
        };
        Self {
            run: run.run.clone(),
            at,
            verdict: judged.verdict,
            what: judged.what,
            class,
            job: run.job.clone(),
            repository,
            repo_link: (run.refs.as_ref())
                .and_then(|refs| refs.repo_link.clone())
                .filter(|link| is_web(link)),
            base_ref: run.base_ref().to_owned(),
            version: pipeline::version(run),
            in_release: false,
            base_sha: run.base_sha().map(str::to_owned),
            url: run.url.clone().filter(|url| is_web(url)),
            marks: Marks::of(run),
            ask: ask(run),
            finding: None,
        }
    }
}

fn ask(run: &Observation) -> Option<String> {
    let author = run.commit.as_ref().map(|commit| &commit.author);
    let pull = || Some(&run.refs.as_ref()?.pull.as_ref()?.author);
    author
        .or_else(pull)
        .filter(|name| !name.is_empty())
        .cloned()
}

fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

impl GoodRun {
    /// The start of a run, as what ends an incident.
    pub fn start_of(run: &Observation) -> Self {
        Self {
            run: run.run.clone(),
            at: run.began_at(),
            base_ref: run.base_ref().to_owned(),
            base_sha: run.base_sha().map(str::to_owned),
            owner: None,
        }
    }
}

impl Incident {
    /// An open incident of one bad run, not announced; it has no number before it is taken into a state.
    pub fn new(job: JobKey, facts: Facts) -> Self {
        Self {
            id: IncidentId(0),
            kind: Kind::default(),
            root: None,
            blocks: Vec::new(),
            doom: Doom::default(),
            cause: CauseKey::of(&facts.class, &job),
            job,
            shared_stage: false,
            first: facts.clone(),
            latest: facts,
            failures: 1,
            last_good: None,
            closed_by: None,
            announced_at: None,
            told_failures: 0,
            window_ends: None,
            window_length: None,
            targets: Vec::new(),
        }
    }

    /// Whose it is, for counting who suffers from a cause. The first bad run may change when an older one
    /// turns up late, but not its owner, which follows from the job.
    pub fn owner(&self) -> &str {
        self.first.class.owner()
    }

    /// Its concrete receivers.
    pub fn receivers(&self) -> Vec<String> {
        self.targets
            .iter()
            .map(|target| target.receiver.clone())
            .collect()
    }

    /// Whether it broke in this organisation.
    pub fn is_of_org(&self, org: &str) -> bool {
        org_and_repo(&self.latest.repository).0 == org
    }

    /// Whether it is still broken.
    pub fn is_open(&self) -> bool {
        self.closed_by.is_none()
    }

    /// Counts one more bad run.
    pub fn join(&mut self, facts: &Facts) {
        self.failures += 1;
        if (facts.at, &facts.run) < (self.first.at, &self.first.run) {
            self.first = facts.clone();
        }
        if (facts.at, &facts.run) > (self.latest.at, &self.latest.run) {
            self.latest = facts.clone();
        }
    }

    /// Takes in why one of its runs broke, where it shows that run.
    pub fn learn(&mut self, run: &RunName, finding: &Finding) {
        for facts in [&mut self.first, &mut self.latest] {
            if facts.run == *run {
                facts.finding = Some(Box::new(finding.clone()));
            }
        }
    }

    /// As a message tells it.
    pub fn item(&self) -> Item {
        let latest = &self.latest;
        let (evidence, evidence_note) = match latest.finding.as_deref() {
            Some(Finding::Found(evidence)) => (Some(evidence.clone()), None),
            Some(Finding::Nothing(why)) => (None, Some(why.clone())),
            Some(Finding::Unreadable(why)) => {
                (None, Some(format!("the log could not be read: {why}")))
            }
            Some(Finding::Green(_)) | None => (None, None),
        };
        let log_link = evidence
            .as_ref()
            .zip(latest.url.as_deref())
            .and_then(|(evidence, url)| log_link(url, evidence));
        Item {
            kind: self.kind,
            flaky: None,
            class: latest.class.clone(),
            job: latest.job.clone(),
            repository: latest.repository.clone(),
            base_ref: latest.base_ref.clone(),
            is_tag: is_tag(&latest.base_ref),
            run: latest.run.clone(),
            verdict: latest.verdict,
            what: latest.what.clone(),
            since: self.first.at,
            latest: latest.at,
            failures: self.failures,
            new_failures: self.failures.saturating_sub(self.told_failures),
            last_good: self.last_good.as_ref().map(|good| LastGood {
                at: good.at,
                base_ref: good.base_ref.clone(),
            }),
            recovered: self.closed_by.as_ref().map(|good| self.recovery(good)),
            ask: latest.ask.clone(),
            links: self.links(),
            root: self.root.clone(),
            blocks: self.blocks.clone(),
            doom: self.doom.clone(),
            evidence,
            evidence_note,
            log_link,
        }
    }

    fn recovery(&self, good: &GoodRun) -> Recovery {
        let by = good.owner.clone().filter(|owner| owner != self.owner());
        let passed = match by {
            Some(_) => &self.latest.base_ref,
            None => &good.base_ref,
        };
        let first = &self.first.base_ref;
        let skipped = is_tag(first) && is_tag(passed) && first != passed;
        Recovery {
            at: good.at,
            run: good.run.clone(),
            base_ref: good.base_ref.clone(),
            after: good.at.duration_since(self.first.at),
            by,
            skipped: skipped.then(|| first.clone()),
        }
    }
}
