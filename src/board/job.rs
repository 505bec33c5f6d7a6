//! One job: is it flaky or broken, why does it fail, does it take longer than it used to?

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{age::DataAge, glyph::State, services::Mark, trends::Share};
use crate::{
    domain::{
        duration::{self, Usual},
        evidence::Finding,
        health::Checkup,
        incident::Run,
        job::{JobKey, is_tag},
        notification::Link,
        time::words,
        verdict::Verdict,
    },
    pipeline::Shared,
    store::{
        StoreError,
        pages::jobs::{JobRow, is_measure},
    },
};

/// What the page of a job shows.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Job {
    /// How old it is.
    pub data: DataAge,
    /// Its identity.
    pub key: String,
    /// Prow's name of it.
    pub name: String,
    /// `postsubmit`, `periodic` and so on.
    pub kind: String,
    /// `org/repo`; empty of what has none.
    pub repository: String,
    /// `branch:main`, `tag`; empty of what has none.
    pub ref_class: String,
    /// Its service.
    pub service: Option<String>,
    /// Its service, or owner of what releases nothing.
    pub owner: Option<String>,
    /// Its place in the release.
    pub stage: Option<String>,
    /// How it stands.
    pub state: State,
    /// What that rests on.
    pub sentence: String,
    /// How sure that is: `low`, `medium`, `high`.
    pub confidence: String,
    /// Its last runs, the oldest first.
    pub strip: Vec<Mark>,
    /// Of these, those that passed.
    pub passed: Share,
    /// The same without those that the cluster or Prow failed.
    pub passed_without_infra: Share,
    /// Why the bad ones of these failed, the most frequent first.
    pub reasons: Vec<Reason>,
    /// How long its runs took, the oldest first.
    pub durations: Vec<Took>,
    /// What is usual; `None` while there are too few good runs.
    pub usual: Option<UsualShown>,
    /// Runs under way.
    pub under_way: Vec<UnderWay>,
    /// The last good run.
    pub last_good: Option<RunLink>,
    /// The first bad run after it.
    pub first_bad: Option<RunLink>,
    /// Run, history, commit, compare of the open incident.
    #[schema(value_type = Vec<Object>)]
    pub links: Vec<Link>,
}

/// A reason for failures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reason {
    /// Its signature; `None` of what has none.
    pub signature: Option<String>,
    /// What kind, in words.
    pub class: String,
    /// The deciding line of the latest.
    pub headline: String,
    /// How many runs.
    pub runs: usize,
    /// The latest.
    pub run: String,
}

/// How long a run took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Took {
    /// The run.
    pub run: String,
    /// How it ended.
    pub state: State,
    /// When, in epoch seconds.
    pub at_s: i64,
    /// Seconds from the begin of its pod to its end.
    pub ran_s: u32,
    /// Seconds that it waited before; `None` where Prow does not say.
    pub queued_s: Option<u32>,
    /// Whether that is much longer than usual.
    pub slow: bool,
}

/// What is usual of good runs, in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UsualShown {
    /// Half took no longer.
    pub median_s: u32,
    /// What takes longer is slow.
    pub slow_from_s: u32,
    /// What still runs after so long is overdue.
    pub overdue_from_s: u32,
    /// In words, whether the last runs take longer than those before.
    pub shift: Option<String>,
}

/// A run that is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UnderWay {
    /// The run.
    pub run: String,
    /// Version or branch.
    pub base_ref: String,
    /// Seconds so far.
    pub for_s: i64,
    /// Whether it waits for a node.
    pub queued: bool,
    /// Whether it is far beyond what is usual.
    pub overdue: bool,
}

/// A run to go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RunLink {
    /// The run.
    pub run: String,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Version or branch.
    pub base_ref: String,
    /// Its commit, the first 10 digits.
    pub sha: Option<String>,
}

/// Reads what the page of a job shows; `None` of one that was never seen.
pub async fn load(shared: &Shared, key: &str) -> Result<Option<Job>, StoreError> {
    let data = DataAge::of(shared);
    let found = shared.store.job(JobKey(key.to_owned())).await?;
    Ok(found.map(|row| Job::new(row, data)))
}

/// Prow's name of a job.
pub fn name(key: &JobKey) -> &str {
    part(key, 3)
}

fn part(key: &JobKey, index: usize) -> &str {
    key.0.split('|').nth(index).unwrap_or_default()
}

impl Job {
    fn new(row: JobRow, data: DataAge) -> Self {
        let Checkup {
            health,
            sentence,
            confidence,
        } = row.checkup.clone();
        let took = |run: &Run| ran_s(run).filter(|_| is_measure(run));
        let usual = duration::usual(&row.runs.iter().filter_map(took).collect::<Vec<u32>>());
        let (last_good, first_bad) = turn(&row.runs);
        let open = row.incident.as_ref().filter(|one| one.is_open());
        let key = &row.key;
        let repository = format!("{}/{}", part(key, 1), part(key, 2));
        Self {
            name: name(key).to_owned(),
            kind: part(key, 0).to_owned(),
            repository: repository.trim_matches('/').to_owned(),
            ref_class: part(key, 4).to_owned(),
            key: key.0.clone(),
            state: State::of_health(health),
            sentence,
            confidence: confidence.to_owned(),
            strip: row.runs.iter().filter_map(mark).collect(),
            passed: passed(&row.runs, |_| true),
            passed_without_infra: passed(&row.runs, |verdict| verdict != Verdict::Infra),
            reasons: reasons(&row),
            durations: row
                .runs
                .iter()
                .filter_map(|run| Took::of(run, usual))
                .collect(),
            under_way: row
                .under_way
                .iter()
                .filter_map(|run| UnderWay::of(run, usual, data.now))
                .collect(),
            usual: usual.map(UsualShown::from),
            last_good,
            first_bad,
            links: open.map(|one| one.item().links).unwrap_or_default(),
            service: row.service,
            owner: row.owner,
            stage: row.stage,
            data,
        }
    }
}

fn mark(run: &Run) -> Option<Mark> {
    Some(Mark {
        run: run.name.0.clone(),
        state: State::of_verdict(run.verdict),
        at_ms: run.finished_at?.as_millisecond(),
    })
}

fn passed(runs: &[Run], counts: impl Fn(Verdict) -> bool) -> Share {
    let counted = runs.iter().filter(|run| counts(run.verdict));
    let (mut good, mut all) = (0, 0);
    for run in counted {
        all += 1;
        good += usize::from(run.verdict == Verdict::Pass);
    }
    Share::of(good, all)
}

/// The last good run and the first bad one after it, if there is one.
fn turn(runs: &[Run]) -> (Option<RunLink>, Option<RunLink>) {
    let streak = runs
        .iter()
        .rev()
        .take_while(|run| run.verdict.is_bad())
        .count();
    let first = runs.len() - streak;
    let good = first.checked_sub(1).and_then(|index| runs.get(index));
    (
        good.and_then(RunLink::of),
        runs.get(first).and_then(RunLink::of),
    )
}

fn reasons(row: &JobRow) -> Vec<Reason> {
    let mut found: BTreeMap<String, Reason> = BTreeMap::new();
    for (index, finding) in &row.findings {
        let (Some(run), Finding::Found(evidence)) = (row.runs.get(*index), finding) else {
            continue;
        };
        let signature = evidence.signature.as_ref().map(ToString::to_string);
        let key = signature
            .clone()
            .unwrap_or_else(|| evidence.headline.clone());
        let runs = found.get(&key).map_or(0, |known| known.runs) + 1;
        let reason = Reason {
            signature,
            class: evidence.class.words().to_owned(),
            headline: evidence.headline.clone(),
            runs,
            run: run.name.0.clone(),
        };
        found.insert(key, reason);
    }
    let mut reasons: Vec<Reason> = found.into_values().collect();
    reasons.sort_by(|a, b| {
        b.runs
            .cmp(&a.runs)
            .then_with(|| a.headline.cmp(&b.headline))
    });
    reasons
}

/// Seconds from the begin of its pod to its end.
fn ran_s(run: &Run) -> Option<u32> {
    let began = run.pending_at.or(run.started_at)?;
    let seconds = run.finished_at?.duration_since(began).as_secs();
    u32::try_from(seconds).ok()
}

impl Took {
    fn of(run: &Run, usual: Option<Usual>) -> Option<Self> {
        let ran_s = ran_s(run)?;
        let queued = run.started_at.zip(run.pending_at);
        Some(Self {
            run: run.name.0.clone(),
            state: State::of_verdict(run.verdict),
            at_s: run.finished_at?.as_second(),
            ran_s,
            queued_s: queued.and_then(|(created, pending)| {
                u32::try_from(pending.duration_since(created).as_secs()).ok()
            }),
            slow: usual.is_some_and(|usual| ran_s > usual.slow_from_s),
        })
    }
}

impl UnderWay {
    fn of(run: &Run, usual: Option<Usual>, now: Timestamp) -> Option<Self> {
        let began = run.pending_at.or(run.started_at)?;
        let for_s = now.duration_since(began).as_secs().max(0);
        let queued = run.pending_at.is_none();
        Some(Self {
            run: run.name.0.clone(),
            base_ref: run.base_ref.clone(),
            for_s,
            queued,
            overdue: !queued && usual.is_some_and(|usual| for_s > i64::from(usual.overdue_from_s)),
        })
    }
}

impl From<Usual> for UsualShown {
    fn from(usual: Usual) -> Self {
        Self {
            median_s: usual.median_s,
            slow_from_s: usual.slow_from_s,
            overdue_from_s: usual.overdue_from_s,
            shift: usual.shifted_from_s.map(|(was, is)| {
                format!(
                    "Its last 10 good runs took {} in the middle; those before took {}.",
                    words(is.into()),
                    words(was.into())
                )
            }),
        }
    }
}

impl RunLink {
    fn of(run: &Run) -> Option<Self> {
        let sha = run.base_sha.as_deref().filter(|_| !is_tag(&run.base_ref));
        Some(Self {
            run: run.name.0.clone(),
            at: run.finished_at?,
            base_ref: run.base_ref.clone(),
            sha: sha.map(|sha| sha.chars().take(10).collect()),
        })
    }
}
