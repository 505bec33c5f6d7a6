//! One job: its last runs, why they broke, and how it fares.

use crate::store::sql::{self, Connection, OptionalExtension as _, params};

use crate::{
    domain::{
        evidence::Finding,
        health::{self, Checkup},
        incident::{Incident, Run},
        job::JobKey,
        verdict::Verdict,
    },
    store::{
        Store, StoreError, evidence,
        jobs::stored_history,
        rows::{run, run_query},
        slice::incident,
    },
};

/// Runs that a job's page shows.
pub const SHOWN: usize = 100;
/// Runs under way that it shows.
const UNDER_WAY: usize = 20;

/// A job and its last runs.
#[derive(Debug, Clone)]
pub struct JobRow {
    /// Its identity.
    pub key: JobKey,
    /// Its service or owner, once a run of it was decided on.
    pub owner: Option<String>,
    /// Its service.
    pub service: Option<String>,
    /// Its place in the release.
    pub stage: Option<String>,
    /// How it fares.
    pub checkup: Checkup,
    /// Its last good and bad runs, the oldest first, at most [`SHOWN`].
    pub runs: Vec<Run>,
    /// Runs that are not over, at most 20.
    pub under_way: Vec<Run>,
    /// What was found of the bad ones, in the same order, with the run's index in [`Self::runs`].
    pub findings: Vec<(usize, Finding)>,
    /// The incident of its last bad run.
    pub incident: Option<Incident>,
}

impl Store {
    /// A job by its identity; `None` when none of its runs was ever stored.
    pub async fn job(&self, key: JobKey) -> Result<Option<JobRow>, StoreError> {
        self.pages.read(move |conn| job(conn, key)).await
    }
}

fn job(conn: &Connection, key: JobKey) -> sql::Result<Option<JobRow>> {
    let known = conn
        .prepare_cached("SELECT id, owner, service, stage FROM jobs WHERE key = $1")?
        .query_row(params![&key.0], |row| {
            Ok((row.get::<i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((id, owner, service, stage)) = known else {
        return Ok(None);
    };
    let mut runs = conn
        .prepare_cached(run_query!(
            "WHERE runs.job_id = $1 AND runs.counts = 1 AND runs.finished_at IS NOT NULL \
             ORDER BY runs.finished_at DESC, runs.name DESC LIMIT $2"
        ))?
        .query_map(params![id, SHOWN], run)?
        .collect::<sql::Result<Vec<Run>>>()?;
    runs.reverse();
    let mut findings = Vec::new();
    for (index, bad) in runs
        .iter()
        .enumerate()
        .filter(|(_, run)| run.verdict.is_bad())
    {
        let known = evidence::known(conn, &bad.name)?;
        findings.extend(known.map(|known| (index, known.finding)));
    }
    let last_bad = runs.iter().rev().find_map(|run| run.incident);
    Ok(Some(JobRow {
        key,
        owner,
        service,
        stage,
        checkup: health::of(&stored_history(conn, id)?),
        under_way: under_way(conn, id)?,
        findings,
        incident: match last_bad {
            Some(id) => incident(conn, id)?,
            None => None,
        },
        runs,
    }))
}

fn under_way(conn: &Connection, job: i64) -> sql::Result<Vec<Run>> {
    conn.prepare_cached(run_query!(
        "WHERE runs.job_id = $1 AND runs.verdict = 'running' AND runs.finished_at IS NULL \
         ORDER BY runs.id DESC LIMIT $2"
    ))?
    .query_map(params![job, UNDER_WAY], run)?
    .collect()
}

/// Whether a run took its time for good: only those say how long it usually takes.
pub fn is_measure(run: &Run) -> bool {
    run.verdict == Verdict::Pass && !run.provisional
}
