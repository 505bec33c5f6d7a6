//! How things stand now: open incidents, services, their newest releases.

use std::collections::BTreeMap;

use crate::store::sql::{self, Connection, OptionalExtension as _, params};
use jiff::Timestamp;

use crate::{
    domain::{
        health::Health, incident::Incident, observation::RunName, release::Release,
        verdict::Verdict,
    },
    store::{
        Store, StoreError,
        rows::{json, millis, time, word},
    },
};

/// Open incidents that are listed; more are only counted.
pub const MAX_OPEN: usize = 500;

/// Runs that a service's strip shows.
const STRIP: usize = 30;

/// One cell of a strip: an ended run, good or bad.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// When it ended.
    pub at: Timestamp,
    /// The run.
    pub run: RunName,
    /// Our reading of it.
    pub verdict: Verdict,
}

/// A service, by its runs and releases.
#[derive(Debug, Clone)]
pub struct ServiceRow {
    /// Its name.
    pub name: String,
    /// How many of its jobs fare how.
    pub jobs: BTreeMap<Health, u64>,
    /// Its newest release.
    pub newest: Option<Release>,
    /// Its newest release that is through, and when that was.
    pub last_good: Option<(String, Timestamp)>,
    /// Releases since the time asked for, and how many of them passed at the first try.
    pub tries: (u64, u64),
}

impl Store {
    /// Told incidents that are open, the oldest first, at most [`MAX_OPEN`].
    pub async fn open_incidents(&self) -> Result<Vec<Incident>, StoreError> {
        self.pages
            .read(|conn| {
                conn.prepare_cached(
                    "SELECT body FROM incidents WHERE open = 1 AND seen_at IS NOT NULL ORDER BY first_at LIMIT $1",
                )?
                .query_map(params![MAX_OPEN], |row| json(row, 0))?
                .collect()
            })
            .await
    }

    /// Services by name, without their strips. First tries are counted over releases that began since then.
    pub async fn services(&self, since: Timestamp) -> Result<Vec<ServiceRow>, StoreError> {
        self.pages.read(move |conn| services(conn, since)).await
    }

    /// The last runs of each of these services, the oldest first.
    pub async fn strips(
        &self,
        services: Vec<String>,
    ) -> Result<BTreeMap<String, Vec<Cell>>, StoreError> {
        self.pages
            .read(move |conn| {
                let strips = services.into_iter().map(|name| {
                    let cells = strip(conn, &name)?;
                    Ok((name, cells))
                });
                strips.collect()
            })
            .await
    }
}

fn services(conn: &Connection, since: Timestamp) -> sql::Result<Vec<ServiceRow>> {
    let mut jobs: BTreeMap<String, BTreeMap<Health, u64>> = BTreeMap::new();
    let mut healths = conn.prepare_cached(
        "SELECT service, health, count(*) FROM jobs WHERE service IS NOT NULL GROUP BY service, health",
    )?;
    let found = healths.query_map(&[], |row| {
        let health: Option<String> = row.get(1)?;
        let health = health.and_then(|word| Health::parse(&word));
        Ok((
            row.get(0)?,
            health.unwrap_or(Health::Unknown),
            row.get::<u64>(2)?,
        ))
    })?;
    for row in found {
        let (service, health, count) = row?;
        *jobs.entry(service).or_default().entry(health).or_insert(0) += count;
    }
    let mut tries = tries(conn, since)?;
    jobs.into_iter()
        .map(|(name, jobs)| service(conn, name, jobs, &mut tries))
        .collect()
}

fn service(
    conn: &Connection,
    name: String,
    jobs: BTreeMap<Health, u64>,
    tries: &mut BTreeMap<String, (u64, u64)>,
) -> sql::Result<ServiceRow> {
    let newest = conn
        .prepare_cached(
            "SELECT body FROM releases WHERE service = $1 ORDER BY began_at DESC LIMIT 1",
        )?
        .query_row(params![&name], |row| json(row, 0))
        .optional()?;
    let last_good = conn
        .prepare_cached(
            "SELECT version, done_at FROM releases WHERE service = $1 AND done_at IS NOT NULL \
             ORDER BY done_at DESC LIMIT 1",
        )?
        .query_row(params![&name], |row| Ok((row.get(0)?, time(row, 1)?)))
        .optional()?;
    Ok(ServiceRow {
        tries: tries.remove(&name).unwrap_or_default(),
        name,
        jobs,
        newest,
        last_good,
    })
}

/// The last runs of a service's jobs, from the index of their timelines alone.
fn strip(conn: &Connection, service: &str) -> sql::Result<Vec<Cell>> {
    let jobs = conn
        .prepare_cached("SELECT id FROM jobs WHERE service = $1")?
        .query_map(params![service], |row| row.get(0))?
        .collect::<sql::Result<Vec<i64>>>()?;
    let mut last = conn.prepare_cached(
        "SELECT finished_at, name, verdict FROM runs WHERE job_id = $1 AND counts = 1 AND finished_at >= $2 \
         ORDER BY finished_at DESC LIMIT $3",
    )?;
    let mut cells = Vec::new();
    for job in jobs {
        // What is older than a full strip is not read.
        let full = cells.len().checked_sub(STRIP);
        let oldest = full.and_then(|surplus| cells.get(surplus));
        let after = oldest.map_or(i64::MIN, |cell: &Cell| millis(cell.at));
        for cell in last.query_map(params![job, after, STRIP], |row| {
            Ok(Cell {
                at: time(row, 0)?,
                run: RunName(row.get(1)?),
                verdict: word(row, 2)?,
            })
        })? {
            cells.push(cell?);
        }
        cells.sort();
    }
    let surplus = cells.len().saturating_sub(STRIP);
    cells.drain(..surplus);
    Ok(cells)
}

/// Releases of each service that began since then, and how many needed no second run.
fn tries(conn: &Connection, since: Timestamp) -> sql::Result<BTreeMap<String, (u64, u64)>> {
    conn.prepare_cached(
        "SELECT service, count(*), sum(CASE WHEN done_at IS NOT NULL AND reruns = 0 AND stopped = 0 THEN 1 ELSE 0 END) \
         FROM releases INDEXED BY releases_figures WHERE began_at >= $1 GROUP BY service",
    )?
    .query_map(params![millis(since)], |row| {
        Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))
    })?
    .collect()
}
