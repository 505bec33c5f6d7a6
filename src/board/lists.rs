//! Long lists a page at a time: runs, decisions, incidents, releases.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{age::DataAge, glyph::State, now::Open, services};
use crate::{
    domain::{
        incident::{Incident, Run},
        pipeline::Pipeline,
        release::{Release, ReleaseKey},
    },
    pipeline::Shared,
    store::{
        ActionRow, DecisionRow, StoreError,
        pages::lists::{Placed, WhichIncidents, WhichReleases},
    },
};

/// A page of a list, the newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Listed<T> {
    /// How old it is.
    pub data: DataAge,
    /// The rows.
    pub items: Vec<T>,
    /// What to ask for as `after` to get the next page; `None` on the last one.
    pub next: Option<String>,
}

/// Which page.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The `next` of the page before; `None` for the first one.
    pub after: Option<String>,
    /// Rows of a page, at least 1.
    pub limit: usize,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// `after` was never a `next`.
    #[error("after is not what an earlier page gave as next")]
    After,
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A run.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RunItem {
    /// Its name, that of its ProwJob.
    pub run: String,
    /// Its job, as type, org, repository, job name and ref class.
    pub job: String,
    /// Prow's state.
    pub state: String,
    /// Our reading of it.
    pub verdict: String,
    /// When it started.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// The incident that it opened or prolonged.
    pub incident: Option<u64>,
    /// Branch or tag.
    pub base_ref: String,
    /// Commit.
    pub base_sha: Option<String>,
    /// Where deck shows it.
    pub url: Option<String>,
}

/// A decision on an observation.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DecisionItem {
    /// The run.
    pub run: String,
    /// Its job.
    pub job: String,
    /// Who told us.
    pub source: String,
    /// When we were told.
    #[schema(value_type = String, format = DateTime)]
    pub seen_at: Timestamp,
    /// When it was decided.
    #[schema(value_type = String, format = DateTime)]
    pub decided_at: Timestamp,
    /// Our reading of the run.
    pub verdict: String,
    /// The decision.
    pub decision: String,
    /// The rule that classified the run.
    pub rule: Option<String>,
    /// Why, in one clause.
    pub reason: String,
    /// Whose it is: service, or owner of what releases nothing.
    pub owner: String,
    /// Place in the release.
    pub stage: Option<String>,
    /// `critical` or `non-critical`.
    pub severity: String,
    /// Who is told because of it.
    pub receivers: Vec<String>,
    /// The incident that it opened, prolonged or closed.
    pub incident: Option<u64>,
}

/// An incident, open or closed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct IncidentItem {
    /// What it is.
    #[serde(flatten)]
    pub what: Open,
    /// What kind of thing broke.
    pub kind: String,
    /// `critical` or `non-critical`.
    pub severity: String,
    /// When it ended; `None` while it is open.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed_at: Option<Timestamp>,
    /// The run that closed it.
    pub closed_by: Option<String>,
}

/// A version of a service on its way, or through.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReleaseItem {
    /// Its service.
    pub service: String,
    /// Its version.
    pub version: String,
    /// Its pipeline.
    pub pipeline: String,
    /// How it stands: good when it is through, else its most urgent stage.
    pub state: State,
    /// When its first stage started.
    #[schema(value_type = String, format = DateTime)]
    pub began_at: Timestamp,
    /// When it was through.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub done_at: Option<Timestamp>,
    /// Its stages in the order of the pipeline, planned ones too.
    pub stages: Vec<services::Stage>,
}

/// Runs in the order in which we first heard of them.
pub async fn runs(shared: &Shared, page: &Page) -> Result<Listed<RunItem>, ListError> {
    let behind = page.number()?;
    let found = shared.store.runs_behind(behind, page.limit + 1).await?;
    let listed = page.listed(shared, found, ToString::to_string, RunItem::of);
    Ok(listed)
}

/// Decisions in the order in which they were made.
pub async fn decisions(shared: &Shared, page: &Page) -> Result<Listed<DecisionItem>, ListError> {
    let behind = page.number()?;
    let found = shared
        .store
        .decisions_behind(behind, page.limit + 1)
        .await?;
    let listed = page.listed(shared, found, ToString::to_string, DecisionItem::of);
    Ok(listed)
}

/// Incidents by their beginning.
pub async fn incidents(
    shared: &Shared,
    page: &Page,
    open: Option<bool>,
    service: Option<String>,
) -> Result<Listed<IncidentItem>, ListError> {
    let behind = match page.pair()? {
        Some((at, id)) => Some((at, id.parse().map_err(|_| ListError::After)?)),
        None => None,
    };
    let which = WhichIncidents {
        open,
        owner: service,
        behind,
        limit: page.limit + 1,
    };
    let found = shared.store.incidents_behind(which).await?;
    let now = shared.clock.now();
    let place = |(at, id): &(i64, i64)| format!("{at}.{id}");
    Ok(page.listed(shared, found, place, |row| IncidentItem::of(&row, now)))
}

/// Releases by their beginning.
pub async fn releases(
    shared: &Shared,
    page: &Page,
    service: Option<String>,
) -> Result<Listed<ReleaseItem>, ListError> {
    let behind = page.pair()?.map(|(at, key)| (at, key.to_owned()));
    let open = match &service {
        Some(service) => shared.store.open_of(service).await?,
        None => shared.store.open_incidents().await?,
    };
    let which = WhichReleases {
        service,
        behind,
        limit: page.limit + 1,
    };
    let found = shared.store.releases_behind(which).await?;
    let live = shared.live();
    let pipelines = &live.snapshot.policy.pipelines;
    let place = |(at, key): &(i64, String)| format!("{at}.{key}");
    Ok(page.listed(shared, found, place, |row| {
        ReleaseItem::of(&row, pipelines, &open)
    }))
}

/// What people did.
pub async fn actions(shared: &Shared, page: &Page) -> Result<Listed<ActionRow>, ListError> {
    let before = page.number()?;
    let found = shared.store.actions(before, page.limit + 1).await?;
    let placed = found
        .into_iter()
        .map(|row| Placed { place: row.id, row })
        .collect();
    Ok(page.listed(shared, placed, ToString::to_string, |row| row))
}

/// One release; `None` when it was never seen, or deleted with age.
pub async fn release(
    shared: &Shared,
    service: &str,
    version: &str,
) -> Result<Option<ReleaseItem>, StoreError> {
    let live = shared.live();
    let pipelines = &live.snapshot.policy.pipelines;
    let version = version.strip_prefix('v').unwrap_or(version);
    let keys = pipelines
        .iter()
        .map(|pipeline| ReleaseKey::of(&pipeline.name, service, version))
        .collect();
    let Some(found) = shared.store.release_of(keys).await? else {
        return Ok(None);
    };
    let open = shared.store.open_of(service).await?;
    Ok(Some(ReleaseItem::of(&found, pipelines, &open)))
}

impl Page {
    fn number(&self) -> Result<Option<i64>, ListError> {
        let after = self.after.as_deref();
        let number = after.map(|after| after.parse().map_err(|_| ListError::After));
        number.transpose()
    }

    fn pair(&self) -> Result<Option<(i64, &str)>, ListError> {
        let Some(after) = self.after.as_deref() else {
            return Ok(None);
        };
        let pair = after
            .split_once('.')
            .and_then(|(at, rest)| Some((at.parse().ok()?, rest)));
        pair.map(Some).ok_or(ListError::After)
    }

    /// A page of what was found, which is one row more than asked for unless it is the last.
    pub(super) fn listed<K, T, U>(
        &self,
        shared: &Shared,
        mut found: Vec<Placed<K, T>>,
        place: impl Fn(&K) -> String,
        item: impl Fn(T) -> U,
    ) -> Listed<U> {
        let more = found.len() > self.limit;
        found.truncate(self.limit);
        let last = found.last().filter(|_| more);
        Listed {
            data: DataAge::of(shared),
            next: last.map(|last| place(&last.place)),
            items: found.into_iter().map(|placed| item(placed.row)).collect(),
        }
    }
}

impl RunItem {
    fn of(run: Run) -> Self {
        Self {
            run: run.name.0,
            job: run.job.0,
            state: run.state,
            verdict: run.verdict.as_str().to_owned(),
            started_at: run.started_at,
            finished_at: run.finished_at,
            incident: run.incident.map(|incident| incident.0),
            base_ref: run.base_ref,
            base_sha: run.base_sha,
            url: run.url,
        }
    }
}

impl DecisionItem {
    fn of(row: DecisionRow) -> Self {
        Self {
            run: row.run.0,
            job: row.job_key.0,
            source: row.source.as_str().to_owned(),
            seen_at: row.seen_at,
            decided_at: row.decided_at,
            verdict: row.verdict.as_str().to_owned(),
            decision: row.decision.as_str().to_owned(),
            rule: row.rule,
            reason: row.reason,
            owner: row.class.owner().to_owned(),
            stage: row.class.stage.clone(),
            severity: row.class.severity.as_str().to_owned(),
            receivers: row.receivers,
            incident: row.incident.map(|incident| incident.0),
        }
    }
}

impl IncidentItem {
    fn of(incident: &Incident, now: Timestamp) -> Self {
        let closed = incident.closed_by.as_ref();
        Self {
            what: Open::of(incident, closed.map_or(now, |closed| closed.at)),
            kind: incident.kind.as_str().to_owned(),
            severity: incident.latest.class.severity.as_str().to_owned(),
            closed_at: closed.map(|closed| closed.at),
            closed_by: closed.map(|closed| closed.run.0.clone()),
        }
    }
}

impl ReleaseItem {
    fn of(release: &Release, pipelines: &[Pipeline], open: &[Incident]) -> Self {
        let own: Vec<&Incident> = open
            .iter()
            .filter(|incident| incident.owner() == release.service)
            .collect();
        let stages = services::stages(release, pipelines, &own);
        let worst = stages.iter().map(|stage| stage.state).min();
        Self {
            service: release.service.clone(),
            version: release.version.clone(),
            pipeline: release.pipeline.clone(),
            state: match release.done_at {
                Some(_) => State::Healthy,
                None => worst.unwrap_or(State::Unknown),
            },
            began_at: release.began_at(),
            done_at: release.done_at,
            stages,
        }
    }
}
