//! Jobs that fail: which of them most, whether more than before, and which ones now and then.

use crate::store::sql::{self, Connection, OptionalExtension as _, Row, params};
use jiff::Timestamp;

use crate::{
    domain::{
        health::{self, Checkup},
        job::JobKey,
        stats::Passed,
    },
    store::{Store, StoreError, jobs::stored_history, rows::millis},
};

/// Jobs that are compared with their past.
const COMPARED: usize = 100;

/// A job among those that fail.
#[derive(Debug, Clone)]
pub struct FailingRow {
    /// Its identity.
    pub job: JobKey,
    /// Its service or owner.
    pub owner: Option<String>,
    /// Its place in the release.
    pub stage: Option<String>,
    /// Its bad runs over the whole time.
    pub failed: usize,
    /// Of these, those that the cluster or Prow failed.
    pub infra: usize,
    /// Good and bad runs of the whole time.
    pub all: usize,
    /// Passed lately.
    pub lately: Passed,
    /// Passed before that.
    pub before: Passed,
}

/// A job that does not fare well.
#[derive(Debug, Clone)]
pub struct SickRow {
    /// Its identity.
    pub job: JobKey,
    /// Its service or owner.
    pub owner: Option<String>,
    /// Its place in the release.
    pub stage: Option<String>,
    /// How it fares.
    pub checkup: Checkup,
}

/// Times to compare.
#[derive(Debug, Clone, Copy)]
pub struct Compare {
    /// From here on failures are counted.
    pub since: Timestamp,
    /// From here to `lately_from` it is before.
    pub before_from: Timestamp,
    /// From here on it is lately.
    pub lately_from: Timestamp,
}

impl Store {
    /// Jobs with bad runs, the worst first, at most 100; of one owner when one is given.
    pub async fn failing_jobs(
        &self,
        times: Compare,
        owner: Option<String>,
    ) -> Result<Vec<FailingRow>, StoreError> {
        self.pages
            .read(move |conn| failing(conn, times, owner.as_deref()))
            .await
    }

    /// Jobs that are flaky or broken, at most so many, and how many there are; of one owner when one is given.
    pub async fn sick_jobs(
        &self,
        limit: usize,
        owner: Option<String>,
    ) -> Result<(Vec<SickRow>, u64), StoreError> {
        self.pages
            .read(move |conn| sick(conn, limit, owner.as_deref()))
            .await
    }
}

fn failing(conn: &Connection, times: Compare, owner: Option<&str>) -> sql::Result<Vec<FailingRow>> {
    let mut worst = conn.prepare_cached(
        "SELECT job_id, count(*) FILTER (WHERE finished_at >= $1), \
         count(*) FILTER (WHERE finished_at >= $1 AND verdict = 'infra'), count(*) FILTER (WHERE finished_at >= $2), \
         count(*) FILTER (WHERE finished_at >= $3 AND finished_at < $2) FROM runs INDEXED BY runs_bad \
         WHERE verdict IN ('fail', 'infra', 'soft-fail') AND finished_at >= $4 \
         AND (cast($5 AS text) IS NULL OR job_id IN (SELECT id FROM jobs WHERE owner = $5)) \
         GROUP BY job_id HAVING count(*) FILTER (WHERE finished_at >= $1) > 0 ORDER BY 2 DESC, job_id LIMIT $6",
    )?;
    let (since, lately, before) = (
        millis(times.since),
        millis(times.lately_from),
        millis(times.before_from),
    );
    let found: Vec<(i64, [usize; 4])> = worst
        .query_map(
            params![since, lately, before, since.min(before), owner, COMPARED],
            |row| {
                Ok((
                    row.get(0)?,
                    [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?],
                ))
            },
        )?
        .collect::<sql::Result<_>>()?;
    let rows = found
        .into_iter()
        .map(|(id, [failed, infra, bad_lately, bad_before])| {
            let (job, owner, stage) = named(conn, id)?;
            let passed = |bad: usize, all: usize| Passed {
                good: all.saturating_sub(bad),
                all,
            };
            Ok(FailingRow {
                job,
                owner,
                stage,
                failed,
                infra,
                all: ended(conn, id, since, i64::MAX)?,
                lately: passed(bad_lately, ended(conn, id, lately, i64::MAX)?),
                before: passed(bad_before, ended(conn, id, before, lately)?),
            })
        });
    rows.collect()
}

/// Good and bad runs of a job that ended in a time.
fn ended(conn: &Connection, job: i64, from: i64, to: i64) -> sql::Result<usize> {
    conn.prepare_cached(
        "SELECT count(*) FROM runs INDEXED BY runs_timeline \
         WHERE counts = 1 AND job_id = $1 AND finished_at >= $2 AND finished_at < $3",
    )?
    .query_row(params![job, from, to], |row| row.get(0))
}

fn named(conn: &Connection, id: i64) -> sql::Result<(JobKey, Option<String>, Option<String>)> {
    let known = conn
        .prepare_cached("SELECT key, owner, stage FROM jobs WHERE id = $1")?
        .query_row(params![id], |row| {
            Ok((JobKey(row.get(0)?), row.get(1)?, row.get(2)?))
        })
        .optional()?;
    Ok(known.unwrap_or((JobKey(String::new()), None, None)))
}

fn sick(conn: &Connection, limit: usize, owner: Option<&str>) -> sql::Result<(Vec<SickRow>, u64)> {
    let mut statement = conn.prepare_cached(
        "SELECT id, key, owner, stage FROM jobs WHERE health IN ('flaky', 'broken') AND (cast($1 AS text) IS NULL OR owner = $1) \
         ORDER BY health DESC, key",
    )?;
    let read = |row: &Row<'_>| {
        Ok((
            row.get::<i64>(0)?,
            JobKey(row.get(1)?),
            row.get(2)?,
            row.get(3)?,
        ))
    };
    let found = statement
        .query_map(params![owner], read)?
        .collect::<sql::Result<Vec<_>>>()?;
    let total = found.len() as u64;
    let rows = found
        .into_iter()
        .take(limit)
        .map(|(id, job, owner, stage)| {
            Ok(SickRow {
                job,
                owner,
                stage,
                checkup: health::of(&stored_history(conn, id)?),
            })
        });
    Ok((rows.collect::<sql::Result<_>>()?, total))
}
