//! One run: what broke, and why somebody was told of it, or nobody was.

mod answer;

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use self::answer::answer;
use super::{age::DataAge, error::Occurrence, glyph::State, job, services, trends::back};
use crate::{
    domain::{
        doom::Stop,
        evidence::{Evidence, Finding, Signature},
        incident::{Incident, Run as KnownRun},
        notification::{Link, log_link},
        observation::RunName,
        pipeline::{Said, Sign},
        rerun::Rerun,
        verdict::Verdict,
    },
    pipeline::Shared,
    store::{DecisionRow, EvidenceTrail, NotificationTrail, StoreError, Trail},
};

/// Days over which the same error is looked for.
const DAYS: u16 = 30;
/// Other runs with the same error that are looked at.
const LOOKED_AT: usize = 500;
/// Those that are listed.
const LISTED: usize = 10;

/// What the page of a run shows.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Run {
    /// How old it is.
    pub data: DataAge,
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// Whether there is a run: what did not start, and what is about many runs, has none.
    pub happened: bool,
    /// Why somebody was told, or nobody, in one sentence.
    pub answer: String,
    /// Whether somebody was.
    pub told: bool,
    /// Prow's name of its job.
    pub job_name: String,
    /// Its job.
    pub job: Option<String>,
    /// Service, or owner of what releases nothing.
    pub owner: Option<String>,
    /// The service, if it has one.
    pub service: Option<String>,
    /// The version that it works on.
    pub version: Option<String>,
    /// Whether that version goes through a pipeline, and so has a page of its own.
    pub is_release: bool,
    /// Place in the release.
    pub stage: Option<String>,
    /// Version or branch.
    pub base_ref: String,
    /// Prow's state.
    pub prow_state: Option<String>,
    /// Our reading.
    pub verdict: Option<String>,
    /// When it was created.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// Seconds between both.
    pub took_s: Option<i64>,
    /// Who asked for it again and who stopped it, as far as Prow says, and what was done about runs behind it.
    pub hands: Vec<Hand>,
    /// Why it broke.
    pub reason: Option<Reason>,
    /// To the exact line, Prow, history, commit.
    #[schema(value_type = Vec<Object>)]
    pub links: Vec<Link>,
    /// What was decided, in order.
    pub decisions: Vec<Decided>,
    /// The incidents that it opened, prolonged or closed.
    pub incidents: Vec<Touched>,
    /// What was said, in order.
    pub messages: Vec<Message>,
    /// Other services with the same error in 30 days.
    pub same_error_in: usize,
    /// The last other runs with the same error, at most 10.
    pub same_error: Vec<Occurrence>,
}

/// What a person or the daemon did to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Hand {
    /// When we heard of it.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who did what, in words.
    pub what: String,
    /// The other run that it is about, if any.
    pub run: Option<String>,
}

/// Why a run broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reason {
    /// What kind, in words; what could not be read, or what a green log says.
    pub title: String,
    /// The deciding line, or why there is none.
    pub headline: String,
    /// The rule that chose it.
    pub rule: Option<String>,
    /// Its signature.
    pub signature: Option<String>,
    /// The file.
    pub file: Option<String>,
    /// Its lines around the deciding one.
    pub lines: Vec<Line>,
    /// Where it was read.
    pub location: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub read_at: Timestamp,
    /// How often that was tried.
    pub attempts: u32,
    /// When it is tried again.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub again_at: Option<Timestamp>,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Line {
    /// Its number from 1; `None` when only the end of the file was read.
    pub number: Option<u64>,
    /// The line.
    pub text: String,
    /// Whether it decides.
    pub deciding: bool,
}

/// A decision on a sighting of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Decided {
    /// When it was decided.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who told of the run.
    pub source: String,
    /// Our reading of it then.
    pub verdict: String,
    /// The decision.
    pub decision: String,
    /// Why.
    pub reason: String,
    /// The rule that classified the run.
    pub rule: Option<String>,
    /// Who is told because of it.
    pub receivers: Vec<String>,
}

/// An incident that the run has to do with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Touched {
    /// Its number.
    pub id: u64,
    /// How bad it is, or was.
    pub state: State,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Until when; `None` while it is open.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
    /// How many runs were bad.
    pub failures: u64,
    /// Its first bad run.
    pub first: String,
    /// Its latest bad run.
    pub latest: String,
    /// The good run that closed it.
    pub closed_by: Option<String>,
    /// What broke.
    pub what: String,
}

/// A message and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Message {
    /// The id that it shows.
    pub id: String,
    /// What it says.
    pub event: String,
    /// When it was decided.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// To whom it was meant.
    pub receiver: String,
    /// To whom it went, and how that went.
    pub deliveries: Vec<String>,
}

/// Reads what the page of a run shows, by its name, its build id or the id at the end of a message; `None` when nothing
/// is known of it.
pub async fn load(shared: &Shared, asked: &str) -> Result<Option<Run>, StoreError> {
    let data = DataAge::of(shared);
    let store = &shared.store;
    let meant = RunName::meant(asked);
    let Some(trail) = store.explain(&meant).await? else {
        return Ok(None);
    };
    let signature = found(&trail).and_then(|found| found.signature.clone());
    let same = match signature {
        Some(signature) => others(shared, signature, &trail, data.now).await?,
        None => Vec::new(),
    };
    Ok(Some(Run::new(&meant.0, &trail, &same, data)))
}

async fn others(
    shared: &Shared,
    signature: Signature,
    trail: &Trail,
    now: Timestamp,
) -> Result<Vec<Occurrence>, StoreError> {
    let since = back(now, DAYS);
    let seen = shared
        .store
        .occurrences(signature, since, LOOKED_AT)
        .await?;
    let own = trail.run.as_ref().map(|run| &run.name);
    let own = own.or(trail.decisions.last().map(|decision| &decision.run));
    let others = seen.iter().filter(|one| Some(&one.run) != own);
    Ok(others.map(Occurrence::from).collect())
}

fn found(trail: &Trail) -> Option<&Evidence> {
    match trail.evidence.as_ref().map(|known| &known.finding) {
        Some(Finding::Found(evidence)) => Some(evidence),
        Some(Finding::Green(_) | Finding::Nothing(_) | Finding::Unreadable(_)) | None => None,
    }
}

impl Run {
    /// Of its trail, and of other runs with the same error.
    pub fn new(asked: &str, trail: &Trail, same: &[Occurrence], data: DataAge) -> Self {
        let run = trail.run.as_ref();
        let last = trail.decisions.last();
        let incident = trail.incidents.last();
        let class = last.map(|decision| &decision.class);
        let class = class.or(incident.map(|incident| &incident.latest.class));
        let job = run
            .map(|run| &run.job)
            .or(last.map(|decision| &decision.job_key));
        let owner = class.map(|class| class.owner().to_owned());
        let elsewhere: BTreeSet<&str> = same
            .iter()
            .filter_map(|one| one.owner.as_deref())
            .filter(|other| Some(*other) != owner.as_deref())
            .collect();
        let verdict = run
            .map(|run| run.verdict)
            .or(last.map(|decision| decision.verdict));
        let answer = answer(trail, data.now);
        Self {
            name: run.map_or(asked, |run| &run.name.0).to_owned(),
            state: match (verdict, incident) {
                (Some(verdict), _) => State::of_verdict(verdict),
                (None, Some(incident)) if incident.closed_by.is_none() => services::state(incident),
                (None, Some(_)) => State::Healthy,
                (None, None) => State::Unknown,
            },
            happened: verdict.is_some() || incident.is_none(),
            told: answer.told,
            answer: answer.sentence,
            job_name: job.map(job::name).unwrap_or_default().to_owned(),
            job: job.map(|job| job.0.clone()),
            service: class.and_then(|class| class.service.clone()),
            version: version(run, incident),
            is_release: run.is_some_and(|run| run.release.is_some())
                || incident.is_some_and(|incident| incident.latest.in_release),
            stage: class.and_then(|class| class.stage.clone()),
            base_ref: run.map(|run| run.base_ref.clone()).unwrap_or_default(),
            prow_state: run.map(|run| run.state.clone()),
            verdict: verdict.map(|verdict| verdict.to_string()),
            started_at: run.and_then(|run| run.started_at),
            finished_at: run.and_then(|run| run.finished_at),
            took_s: run.and_then(took_s),
            hands: Hand::all(asked, trail),
            reason: trail.evidence.as_ref().map(Reason::of),
            links: links(run, incident, found(trail)),
            decisions: trail.decisions.iter().map(Decided::of).collect(),
            incidents: trail.incidents.iter().map(Touched::of).collect(),
            messages: trail.notifications.iter().map(Message::of).collect(),
            same_error_in: elsewhere.len(),
            same_error: same.iter().take(LISTED).cloned().collect(),
            owner,
            data,
        }
    }
}

impl Hand {
    fn all(asked: &str, trail: &Trail) -> Vec<Self> {
        let own = trail.run.as_ref().map_or(asked, |run| &run.name.0);
        let mut all: Vec<Self> = Vec::new();
        for row in &trail.decisions {
            let stopped = row.verdict == Verdict::AbortedByHuman;
            let what = match Rerun::words_in(&row.reason) {
                Some(words) => words,
                None if stopped => &row.reason,
                None => continue,
            };
            if all.iter().all(|hand| hand.what != what) {
                all.push(Self {
                    at: row.decided_at,
                    what: what.to_owned(),
                    run: None,
                });
            }
        }
        all.extend(trail.stops.iter().map(|stop| Self::of(stop, own)));
        all.sort_by_key(|hand| hand.at);
        all
    }

    fn of(stop: &Stop, own: &str) -> Self {
        let doomed = &stop.doomed;
        let end = stop.end.as_ref().map(|end| end.how.as_str());
        let asked = match (doomed.ordered, end) {
            (false, _) => "suggested to stop".to_owned(),
            (true, None) => "is to stop".to_owned(),
            (true, Some(end)) => format!("was to stop ({end})"),
        };
        let (what, run) = if doomed.run.0 == own {
            ("it", &stop.because)
        } else {
            (doomed.stage.as_str(), &doomed.run)
        };
        Self {
            at: stop.at,
            what: format!(
                "prow-notifier {asked} {what}, because {} had failed",
                stop.broken
            ),
            run: Some(run.0.clone()),
        }
    }
}

fn took_s(run: &KnownRun) -> Option<i64> {
    let began = run.pending_at.or(run.started_at)?;
    Some(run.finished_at?.duration_since(began).as_secs().max(0))
}

/// The version is the last part of the key of its release.
fn version(run: Option<&KnownRun>, incident: Option<&Incident>) -> Option<String> {
    let release = run.and_then(|run| run.release.as_ref());
    let named = release.and_then(|key| key.0.split('|').next_back());
    let known = incident.and_then(|incident| incident.latest.version.as_deref());
    named.or(known).map(str::to_owned)
}

/// The run's own links, and those of its incident where that shows this run, or there is none.
fn links(
    run: Option<&KnownRun>,
    incident: Option<&Incident>,
    found: Option<&Evidence>,
) -> Vec<Link> {
    let url = run.and_then(|run| run.url.as_deref());
    let url = url.filter(|url| url.starts_with("https://") || url.starts_with("http://"));
    let line = url.zip(found).and_then(|(url, found)| log_link(url, found));
    let own = url.map(|url| Link {
        label: "Run in Prow".to_owned(),
        url: url.to_owned(),
    });
    let shown = incident.filter(|incident| run.is_none_or(|run| run.name == incident.latest.run));
    let more = shown
        .map(|incident| incident.item().links)
        .unwrap_or_default();
    let more = more.into_iter().filter(|link| link.label != "Run");
    line.into_iter().chain(own).chain(more).collect()
}

impl Reason {
    fn of(known: &EvidenceTrail) -> Self {
        let (title, headline) = match &known.finding {
            Finding::Found(found) => (found.class.words().to_owned(), found.headline.clone()),
            Finding::Green(said) => (green(said).to_owned(), said.line.clone()),
            Finding::Nothing(why) => ("no log".to_owned(), why.clone()),
            Finding::Unreadable(why) => ("the log could not be read".to_owned(), why.clone()),
        };
        let found = match &known.finding {
            Finding::Found(found) => Some(found),
            Finding::Green(_) | Finding::Nothing(_) | Finding::Unreadable(_) => None,
        };
        let excerpt = found.and_then(|found| found.excerpt.as_ref());
        let lines = excerpt.into_iter().flat_map(|excerpt| {
            let deciding = excerpt.deciding;
            excerpt
                .lines
                .iter()
                .enumerate()
                .map(move |(index, line)| Line {
                    number: line.number,
                    text: line.text.clone(),
                    deciding: index == deciding,
                })
        });
        Self {
            title,
            headline,
            rule: found.and_then(|found| found.rule.clone()),
            signature: found
                .and_then(|found| found.signature.as_ref())
                .map(ToString::to_string),
            file: excerpt.map(|excerpt| excerpt.file.clone()),
            lines: lines.collect(),
            location: known.location.clone(),
            read_at: known.at,
            attempts: known.attempts,
            again_at: known.again_at,
        }
    }
}

/// What a green run's log says of its work.
fn green(said: &Said) -> &'static str {
    match said.sign {
        Some(Sign::SoftFail) => "green, yet it did not do its work",
        Some(Sign::NoOp) => "green, and it had nothing to do",
        Some(Sign::Done) => "green, and it did its work",
        None => "green, and its log says nothing of its work",
    }
}

impl Decided {
    fn of(row: &DecisionRow) -> Self {
        Self {
            at: row.decided_at,
            source: row.source.as_str().to_owned(),
            verdict: row.verdict.to_string(),
            decision: row.decision.to_string(),
            reason: row.reason.clone(),
            rule: row.rule.clone(),
            receivers: row.receivers.clone(),
        }
    }
}

impl Touched {
    fn of(incident: &Incident) -> Self {
        let closed = incident.closed_by.as_ref();
        Self {
            id: incident.id.0,
            state: services::state(incident),
            since: incident.first.at,
            until: closed.map(|good| good.at),
            failures: incident.failures,
            first: incident.first.run.0.clone(),
            latest: incident.latest.run.0.clone(),
            closed_by: closed.map(|good| good.run.0.clone()),
            what: incident.latest.what.clone(),
        }
    }
}

impl Message {
    fn of(trail: &NotificationTrail) -> Self {
        let said = &trail.notification;
        Self {
            id: said.id.clone(),
            event: said.event.as_str().to_owned(),
            at: said.at,
            receiver: said.receiver.clone(),
            deliveries: trail.deliveries.iter().map(answer::went).collect(),
        }
    }
}
