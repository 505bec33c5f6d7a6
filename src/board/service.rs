//! One service: why does it not release, and is that new? Its releases by stage, what broke in the last 90 days, and
//! how its runs fared week by week.

mod weeks;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

pub use self::weeks::{Week, Weeks};
use super::{
    age::DataAge,
    glyph::State,
    now::Open,
    release::stages::standing,
    services::{self, Service},
};
use crate::{
    domain::{
        incident::{GoodRun, Incident},
        matcher::Labels,
        observe::Reading,
        pipeline::Pipeline,
        policy::Policy,
        release::{Release, ReleaseKey},
        verdict::Verdict,
    },
    pipeline::Shared,
    store::{StoreError, pages::releases::After},
};

/// Releases on one page.
const ROWS: usize = 25;
/// What is over is listed for so long.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(90 * 24);

/// What the page of a service shows.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ServicePage {
    /// How old it is.
    pub data: DataAge,
    /// Its name.
    pub name: String,
    /// As in the list of services; `None` of what owns jobs and releases nothing.
    pub summary: Option<Service>,
    /// Its open incidents, the most urgent first.
    pub open: Vec<Open>,
    /// Stages of its releases, in the order of the configuration.
    pub columns: Vec<String>,
    /// Its releases, the newest first.
    pub releases: Vec<Row>,
    /// Where the list goes on, for `after=`.
    pub next: Option<String>,
    /// Incidents of the last 90 days that are over, the newest first.
    pub ended: Vec<Spell>,
    /// How its runs fared, week by week.
    pub weeks: Weeks,
    /// Its jobs.
    pub jobs: Vec<Job>,
    /// Who is told of it, and by which route.
    pub receivers: Vec<Receiver>,
    /// Its repository's web address.
    pub repository: Option<String>,
    /// Its pipelines.
    pub pipelines: Vec<String>,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Row {
    /// Its version.
    pub version: String,
    /// Its pipeline.
    pub pipeline: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub began_at: Timestamp,
    /// Seconds from its first run to the end of its last required stage; `None` while that is missing.
    pub took_s: Option<i64>,
    /// One per column; `None` where its pipeline has no such stage.
    pub cells: Vec<Option<Cell>>,
}

/// A stage of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Cell {
    /// The stage.
    pub stage: String,
    /// How it stands.
    pub state: State,
    /// Its latest run.
    pub run: Option<String>,
    /// How many runs it had.
    pub attempts: usize,
}

/// An incident in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Spell {
    /// Its number.
    pub id: u64,
    /// How bad it was.
    pub state: State,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Until when; `None` while it is open.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
    /// Seconds in between.
    pub lasted_s: i64,
    /// Place in the release; the job where there is none.
    pub stage: String,
    /// Version or branch.
    pub version: String,
    /// What broke.
    pub what: String,
    /// Its latest bad run.
    pub run: String,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Job {
    /// Its identity, as [`crate::domain::job::JobKey`].
    pub key: String,
    /// Its name.
    pub name: String,
    /// Branch or `tag`.
    pub on: String,
    /// Its place in the release.
    pub stage: Option<String>,
    /// How it fares.
    pub state: State,
}

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Receiver {
    /// Concrete receiver.
    pub name: String,
    /// Which route leads there.
    pub by: String,
}

/// Reads a service; `None` when nothing of it was ever seen. `after` is what [`ServicePage::next`] said.
pub async fn load(
    shared: &Shared,
    name: &str,
    after: Option<&str>,
) -> Result<Option<ServicePage>, StoreError> {
    let data = DataAge::of(shared);
    let since = data.now.checked_sub(LOOK_BACK).unwrap_or(Timestamp::MIN);
    let dossier = shared.store.dossier(name, since).await?;
    let mut releases = shared
        .store
        .releases_of(name, after.and_then(parse_after), ROWS + 1)
        .await?;
    // Troubles of our own are of no job.
    let is_unknown = dossier.jobs.is_empty() && dossier.incidents.is_empty() && releases.is_empty();
    if is_unknown && after.is_none() {
        return Ok(None);
    }
    let next = (releases.len() > ROWS).then(|| {
        releases.truncate(ROWS);
        releases.last().map(write_after)
    });
    let listed = services::load(shared).await?;
    let open: Vec<Incident> = shared.store.open_incidents().await?;
    let own: Vec<&Incident> = open.iter().filter(|one| one.owner() == name).collect();
    let healed = shared.store.healed().await?;
    let live = shared.live();
    let policy = &live.snapshot.policy;
    let columns = columns(&releases, &policy.pipelines);
    let rows = releases
        .iter()
        .map(|release| row(release, &columns, &policy.pipelines, &own, &healed))
        .collect();
    let newest = releases.first();
    let mut shown: Vec<Open> = own.iter().map(|one| Open::of(one, data.now)).collect();
    shown.sort_by_key(|one| (one.state, one.since, one.id));
    Ok(Some(ServicePage {
        name: name.to_owned(),
        summary: listed.services.into_iter().find(|one| one.name == name),
        open: shown,
        columns,
        releases: rows,
        next: next.flatten(),
        ended: dossier
            .incidents
            .iter()
            .filter(|incident| !incident.is_open())
            .map(|incident| Spell::of(incident, data.now))
            .collect(),
        weeks: weeks::of(&dossier.days, data.now),
        jobs: dossier.jobs.iter().map(Job::of).collect(),
        receivers: receivers(policy, newest, &own),
        repository: newest.and_then(repository),
        pipelines: newest.map_or_else(Vec::new, |release| vec![release.pipeline.clone()]),
        data,
    }))
}

fn columns(releases: &[Release], pipelines: &[Pipeline]) -> Vec<String> {
    let used = |pipeline: &&Pipeline| releases.iter().any(|one| one.pipeline == pipeline.name);
    let stages = pipelines.iter().filter(used).flat_map(|one| &one.stages);
    stages.map(|stage| stage.name.clone()).collect()
}

fn row(
    release: &Release,
    columns: &[String],
    pipelines: &[Pipeline],
    own: &[&Incident],
    healed: &BTreeMap<String, GoodRun>,
) -> Row {
    let stages = standing(release, pipelines, own, healed);
    let attempts = |stage: &str| {
        let seen = release.stages.get(stage);
        seen.map_or(0, |seen| seen.attempts.len())
    };
    let began_at = release.began_at();
    Row {
        version: release.version.clone(),
        pipeline: release.pipeline.clone(),
        began_at,
        took_s: release
            .done_at
            .map(|done| done.duration_since(began_at).as_secs().max(0)),
        cells: columns
            .iter()
            .map(|column| {
                let stage = stages.iter().find(|stage| stage.name == *column)?;
                Some(Cell {
                    stage: stage.name.clone(),
                    state: stage.state,
                    run: stage.run.clone(),
                    attempts: attempts(&stage.name),
                })
            })
            .collect(),
    }
}

fn write_after(release: &Release) -> String {
    let key = ReleaseKey::of(&release.pipeline, &release.service, &release.version);
    format!("{}.{key}", release.began_at().as_millisecond())
}

fn parse_after(text: &str) -> Option<After> {
    let (at, key) = text.split_once('.')?;
    Some(After {
        began_at: Timestamp::from_millisecond(at.parse().ok()?).ok()?,
        key: ReleaseKey(key.to_owned()),
    })
}

/// Who would be told if its newest release broke, and who was told of what is open.
fn receivers(policy: &Policy, newest: Option<&Release>, own: &[&Incident]) -> Vec<Receiver> {
    let mut found: Vec<Receiver> = Vec::new();
    if let Some(release) = newest {
        let run = release.origin.as_ref();
        let class = Reading::of(policy, run, None).class;
        let labels = Labels {
            run,
            verdict: Verdict::Fail,
            class: Some(&class),
        };
        let routed = policy.routing.destinations(&labels).into_iter();
        found.extend(routed.map(|to| Receiver {
            name: to.receiver,
            by: to.by,
        }));
    }
    for name in own.iter().flat_map(|incident| incident.receivers()) {
        if found.iter().all(|known| known.name != name) {
            let by = "told of what is open".to_owned();
            found.push(Receiver { name, by });
        }
    }
    found
}

fn repository(release: &Release) -> Option<String> {
    let link = release.origin.refs.as_ref()?.repo_link.clone()?;
    let is_web = link.starts_with("https://") || link.starts_with("http://");
    is_web.then_some(link)
}

impl Spell {
    /// Of an incident, at a time.
    pub fn of(incident: &Incident, now: Timestamp) -> Self {
        let open = Open::of(incident, now);
        let until = incident.closed_by.as_ref().map(|good| good.at);
        Self {
            id: open.id,
            state: open.state,
            since: open.since,
            until,
            lasted_s: until
                .unwrap_or(now)
                .duration_since(open.since)
                .as_secs()
                .max(0),
            stage: open.stage,
            version: open.version,
            what: open.what,
            run: open.run,
        }
    }
}

impl Job {
    fn of(row: &crate::store::pages::releases::JobRow) -> Self {
        // Type, org, repo, name, ref class.
        let mut parts = row.key.0.splitn(5, '|').skip(3);
        let name = parts.next().unwrap_or(&row.key.0).to_owned();
        let on = parts.next().unwrap_or_default();
        Self {
            name,
            on: on.strip_prefix("branch:").unwrap_or(on).to_owned(),
            key: row.key.0.clone(),
            stage: row.stage.clone(),
            state: row.health.map_or(State::Unknown, State::of_health),
        }
    }
}
