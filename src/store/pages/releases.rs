//! Releases: those of a service, one version, a whole fleet; and what belongs to one or to a service.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::store::sql::{self, Connection, OptionalExtension as _, Row, params};
use jiff::Timestamp;

use crate::{
    domain::{
        gaps::{EdgeKey, Gaps},
        health::Health,
        history::History,
        incident::{GoodRun, Incident, IncidentId, Run},
        job::JobKey,
        release::{Release, ReleaseKey},
        verdict::Verdict,
    },
    store::{
        Store, StoreError,
        jobs::stored_history,
        rows::{json, millis, run, run_query, time, word},
        slice::incident,
    },
};

/// Releases of a fleet that are read; more are left out, the oldest first.
pub const MAX_FLEET: usize = 250;
/// Incidents of a service that are listed.
const MAX_INCIDENTS: usize = 200;
/// Jobs of a service that are listed.
const MAX_JOBS: usize = 200;
/// Runs of a release that are shown.
const MAX_RUNS: usize = 300;

/// The last release of a page; the next page begins behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    /// When it began.
    pub began_at: Timestamp,
    /// Tells it from others that began then.
    pub key: ReleaseKey,
}

/// Which releases of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Of this version, without a leading `v`.
    Version(String),
    /// That began in this time, the end not included.
    Began {
        /// From then on.
        from: Timestamp,
        /// Before then.
        to: Timestamp,
    },
}

/// What a release is shown with.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// Its runs by start, the oldest first.
    pub runs: Vec<Run>,
    /// Told incidents of its runs and about its stages, the oldest first.
    pub incidents: Vec<Incident>,
    /// What was said of these, the oldest first.
    pub said: Vec<Said>,
    /// What 95 % of the good runs of each stage's jobs stayed below.
    pub usual: BTreeMap<String, Duration>,
    /// How long the edges took that were asked for.
    pub gaps: BTreeMap<EdgeKey, Gaps>,
}

/// A notification, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The id that it shows.
    pub id: String,
    /// What it says.
    pub event: String,
    /// Whom it was meant for.
    pub receiver: String,
    /// When it was decided.
    pub at: Timestamp,
    /// Its last delivery: `pending`, `sent` or `dead`, and to whom; `None` once that was deleted with age.
    pub delivery: Option<(String, String)>,
}

/// What a service is shown with.
#[derive(Debug, Clone, Default)]
pub struct Dossier {
    /// Told incidents, the newest first.
    pub incidents: Vec<Incident>,
    /// Its jobs by identity.
    pub jobs: Vec<JobRow>,
    /// Ended runs by UTC day in days since 1970 and verdict.
    pub days: Vec<(i64, Verdict, u64)>,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// Its identity.
    pub key: JobKey,
    /// Its place in the release.
    pub stage: Option<String>,
    /// How it fares; `None` before a run of it ended.
    pub health: Option<Health>,
}

impl Store {
    /// Releases of a service, the newest first, at most `limit` behind `after`.
    pub async fn releases_of(
        &self,
        service: &str,
        after: Option<After>,
        limit: usize,
    ) -> Result<Vec<Release>, StoreError> {
        let service = service.to_owned();
        let (at, key) = after.map_or((i64::MAX, String::new()), |after| {
            (millis(after.began_at), after.key.0)
        });
        self.pages
            .read(move |conn| {
                conn.prepare_cached(
                    "SELECT body FROM releases WHERE service = $1 AND (began_at, key) < ($2, $3) \
                     ORDER BY began_at DESC, key DESC LIMIT $4",
                )?
                .query_map(params![service, at, key, limit], |row| json(row, 0))?
                .collect()
            })
            .await
    }

    /// A version of a service, without a leading `v`; of several pipelines the one that began last.
    pub async fn release(
        &self,
        service: &str,
        version: &str,
    ) -> Result<Option<Release>, StoreError> {
        let ReleaseKey(end) = ReleaseKey::of("", service, version);
        let service = service.to_owned();
        self.pages
            .read(move |conn| {
                // The index of a service's releases holds their keys, so only the one that is found is read.
                conn.prepare_cached(
                    "SELECT body FROM releases WHERE key = (SELECT key FROM releases \
                     WHERE service = $1 AND substr(key, length(key) - length($2) + 1) = $2 ORDER BY began_at DESC LIMIT 1)",
                )?
                .query_row(params![service, end], |row| json(row, 0))
                .optional()
            })
            .await
    }

    /// Releases of a pipeline, the newest first, at most [`MAX_FLEET`].
    pub async fn fleet(&self, pipeline: &str, which: Which) -> Result<Vec<Release>, StoreError> {
        let prefix = format!("{pipeline}|");
        self.pages
            .read(move |conn| match which {
                Which::Version(version) => conn
                    .prepare_cached(
                        "SELECT body FROM releases WHERE version = $1 AND substr(key, 1, length($2)) = $2 \
                         ORDER BY began_at DESC, key LIMIT $3",
                    )?
                    .query_map(params![version, prefix, MAX_FLEET], |row| json(row, 0))?
                    .collect(),
                Which::Began { from, to } => conn
                    .prepare_cached(
                        "SELECT body FROM releases WHERE began_at >= $1 AND began_at < $2 \
                         AND substr(key, 1, length($3)) = $3 ORDER BY began_at DESC, key LIMIT $4",
                    )?
                    .query_map(params![millis(from), millis(to), prefix, MAX_FLEET], |row| {
                        json(row, 0)
                    })?
                    .collect(),
            })
            .await
    }

    /// What a release is shown with.
    pub async fn parts_of(
        &self,
        release: &Release,
        edges: Vec<EdgeKey>,
    ) -> Result<Parts, StoreError> {
        let release = release.clone();
        self.pages
            .read(move |conn| parts(conn, &release, edges))
            .await
    }

    /// What a service is shown with: incidents and runs since then.
    pub async fn dossier(&self, service: &str, since: Timestamp) -> Result<Dossier, StoreError> {
        let service = service.to_owned();
        self.pages
            .read(move |conn| {
                Ok(Dossier {
                    incidents: incidents(conn, &service, since)?,
                    jobs: jobs(conn, &service)?,
                    days: days(conn, &service, since)?,
                })
            })
            .await
    }

    /// The latest success of each stage that services share, by `ORG|STAGE`.
    pub async fn healed(&self) -> Result<BTreeMap<String, GoodRun>, StoreError> {
        self.pages
            .read(|conn| {
                conn.prepare_cached("SELECT key, body FROM healed")?
                    .query_map(&[], |row| Ok((row.get(0)?, json(row, 1)?)))?
                    .collect()
            })
            .await
    }
}

fn parts(conn: &Connection, release: &Release, edges: Vec<EdgeKey>) -> sql::Result<Parts> {
    let ReleaseKey(key) = ReleaseKey::of(&release.pipeline, &release.service, &release.version);
    let runs: Vec<Run> = conn
        .prepare_cached(run_query!(
            "WHERE runs.release = $1 ORDER BY runs.started_at NULLS FIRST, runs.name LIMIT $2"
        ))?
        .query_map(params![key, MAX_RUNS], run)?
        .collect::<sql::Result<_>>()?;
    let incidents = of_release(conn, release, &runs)?;
    let ids: Vec<IncidentId> = incidents.iter().map(|incident| incident.id).collect();
    Ok(Parts {
        runs,
        incidents,
        said: said(conn, &ids)?,
        usual: usual(conn, &release.service)?,
        gaps: gaps(conn, edges)?,
    })
}

fn of_release(conn: &Connection, release: &Release, runs: &[Run]) -> sql::Result<Vec<Incident>> {
    let mut found: BTreeMap<IncidentId, Incident> = BTreeMap::new();
    let late = release.late.as_ref().map(|late| late.incident);
    let named: BTreeSet<IncidentId> = runs
        .iter()
        .filter_map(|run| run.incident)
        .chain(late)
        .collect();
    for id in named {
        found.extend(incident(conn, id)?.map(|incident| (id, incident)));
    }
    let since = incidents(conn, &release.service, release.began_at())?;
    let own = since
        .into_iter()
        .filter(|incident| incident.latest.version.as_ref() == Some(&release.version));
    found.extend(own.map(|incident| (incident.id, incident)));
    let told = |incident: &Incident| incident.announced_at.is_some();
    let mut list: Vec<Incident> = found.into_values().filter(told).collect();
    list.sort_by_key(|incident| (incident.first.at, incident.id));
    Ok(list)
}

fn incidents(conn: &Connection, owner: &str, since: Timestamp) -> sql::Result<Vec<Incident>> {
    conn.prepare_cached(
        "SELECT body FROM incidents WHERE owner = $1 AND first_at >= $2 AND seen_at IS NOT NULL \
         ORDER BY first_at DESC LIMIT $3",
    )?
    .query_map(params![owner, millis(since), MAX_INCIDENTS], |row| {
        json(row, 0)
    })?
    .collect()
}

fn jobs(conn: &Connection, owner: &str) -> sql::Result<Vec<JobRow>> {
    conn.prepare_cached(
        "SELECT key, stage, health FROM jobs WHERE owner = $1 ORDER BY key LIMIT $2",
    )?
    .query_map(params![owner, MAX_JOBS], |row| {
        Ok(JobRow {
            key: JobKey(row.get(0)?),
            stage: row.get(1)?,
            health: row
                .get::<Option<String>>(2)?
                .and_then(|word| Health::parse(&word)),
        })
    })?
    .collect()
}

fn days(
    conn: &Connection,
    service: &str,
    since: Timestamp,
) -> sql::Result<Vec<(i64, Verdict, u64)>> {
    let first = since.as_second().div_euclid(86_400);
    conn.prepare_cached(
        "SELECT day, verdict, runs FROM service_days WHERE service = $1 AND day >= $2 ORDER BY day",
    )?
    .query_map(params![service, first], |row| {
        Ok((row.get(0)?, word(row, 1)?, row.get(2)?))
    })?
    .collect()
}

fn said(conn: &Connection, incidents: &[IncidentId]) -> sql::Result<Vec<Said>> {
    let mut found: BTreeMap<i64, Said> = BTreeMap::new();
    let mut statement = conn.prepare_cached(
        "SELECT n.id, n.shown_id, n.event, n.receiver, n.at FROM notification_incidents AS about \
         JOIN notifications AS n ON n.id = about.notification_id WHERE about.incident_id = $1",
    )?;
    for IncidentId(id) in incidents {
        for row in statement.query_map(params![id], |row| Ok((row.get(0)?, notification(row)?)))? {
            let (id, said) = row?;
            found.insert(id, said);
        }
    }
    let mut delivery = conn.prepare_cached(
        "SELECT state, receiver FROM outbox WHERE notification_id = $1 ORDER BY id DESC LIMIT 1",
    )?;
    for (id, said) in &mut found {
        said.delivery = delivery
            .query_row(params![id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
    }
    let mut list: Vec<Said> = found.into_values().collect();
    list.sort_by(|a, b| (a.at, &a.id, &a.receiver).cmp(&(b.at, &b.id, &b.receiver)));
    Ok(list)
}

fn notification(row: &Row<'_>) -> sql::Result<Said> {
    Ok(Said {
        id: row.get(1)?,
        event: row.get(2)?,
        receiver: row.get(3)?,
        at: time(row, 4)?,
        delivery: None,
    })
}

fn usual(conn: &Connection, service: &str) -> sql::Result<BTreeMap<String, Duration>> {
    let jobs: Vec<(i64, String)> = conn
        .prepare_cached(
            "SELECT id, stage FROM jobs WHERE owner = $1 AND stage IS NOT NULL ORDER BY id LIMIT $2",
        )?
        .query_map(params![service, MAX_JOBS], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<sql::Result<_>>()?;
    let mut histories: BTreeMap<String, History> = BTreeMap::new();
    for (job, stage) in jobs {
        let history = stored_history(conn, job)?;
        histories.entry(stage).or_default().merge(history);
    }
    Ok(histories
        .into_iter()
        .filter_map(|(stage, history)| Some((stage, history.usual_duration()?)))
        .collect())
}

fn gaps(conn: &Connection, edges: Vec<EdgeKey>) -> sql::Result<BTreeMap<EdgeKey, Gaps>> {
    let mut statement = conn.prepare_cached("SELECT body FROM gaps WHERE key = $1")?;
    let mut found = BTreeMap::new();
    for edge in edges {
        let known = statement
            .query_row(params![&edge.0], |row| json(row, 0))
            .optional()?;
        found.extend(known.map(|gaps| (edge, gaps)));
    }
    Ok(found)
}
