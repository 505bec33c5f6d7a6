//! One error wherever it occurred.

use crate::store::sql::{self, Connection, OptionalExtension as _, Row, params};
use jiff::Timestamp;

use crate::{
    domain::{
        evidence::{Finding, Signature},
        job::JobKey,
        observation::RunName,
        verdict::Verdict,
    },
    store::{
        Store, StoreError,
        rows::{json, millis, time, time_or_none, word},
    },
};

/// Occurrences that are looked at.
pub const LOOKED_AT: usize = 2000;

/// An error: all that is known of its signature.
#[derive(Debug, Clone)]
pub struct ErrorRow {
    /// How often it was found.
    pub count: u64,
    /// When it was first found.
    pub first_at: Timestamp,
    /// When last.
    pub last_at: Timestamp,
    /// What was found then.
    pub finding: Finding,
    /// Its last occurrences since the time asked for, the newest first, at most [`LOOKED_AT`].
    pub seen: Vec<SeenRow>,
}

/// One occurrence.
#[derive(Debug, Clone)]
pub struct SeenRow {
    /// The run.
    pub run: RunName,
    /// When it ended, or when its reason was read.
    pub at: Timestamp,
    /// Our reading of the run.
    pub verdict: Verdict,
    /// Its job.
    pub job: JobKey,
    /// Whose it is.
    pub owner: Option<String>,
    /// Place in the release.
    pub stage: Option<String>,
    /// Version or branch.
    pub base_ref: String,
}

impl Store {
    /// An error by its signature; `None` when it is not known (any more).
    pub async fn error(
        &self,
        signature: Signature,
        since: Timestamp,
    ) -> Result<Option<ErrorRow>, StoreError> {
        self.pages
            .read(move |conn| {
                let Some((first_at, last_at, finding)) = ends(conn, &signature.0)? else {
                    return Ok(None);
                };
                let count = conn
                    .prepare_cached("SELECT count(*) FROM evidence WHERE signature = $1")?
                    .query_row(params![&signature.0], |row| row.get(0))?;
                let seen = seen(conn, &signature.0, millis(since), LOOKED_AT)?;
                Ok(Some(ErrorRow {
                    count,
                    first_at,
                    last_at,
                    finding,
                    seen,
                }))
            })
            .await
    }

    /// The last occurrences of an error since then, the newest first.
    pub async fn occurrences(
        &self,
        signature: Signature,
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<SeenRow>, StoreError> {
        self.pages
            .read(move |conn| seen(conn, &signature.0, millis(since), limit))
            .await
    }
}

fn ends(
    conn: &Connection,
    signature: &str,
) -> sql::Result<Option<(Timestamp, Timestamp, Finding)>> {
    let last = conn
        .prepare_cached(
            "SELECT at, body FROM evidence WHERE signature = $1 ORDER BY at DESC LIMIT 1",
        )?
        .query_row(params![signature], |row| Ok((time(row, 0)?, json(row, 1)?)))
        .optional()?;
    let Some((last_at, finding)) = last else {
        return Ok(None);
    };
    let first_at = conn
        .prepare_cached("SELECT at FROM evidence WHERE signature = $1 ORDER BY at LIMIT 1")?
        .query_row(params![signature], |row| time(row, 0))?;
    Ok(Some((first_at, last_at, finding)))
}

fn seen(conn: &Connection, signature: &str, since: i64, limit: usize) -> sql::Result<Vec<SeenRow>> {
    conn.prepare_cached(
        "SELECT runs.name, evidence.at, runs.finished_at, runs.verdict, jobs.key, jobs.owner, jobs.stage, runs.base_ref \
         FROM evidence JOIN runs ON runs.name = evidence.run JOIN jobs ON jobs.id = runs.job_id \
         WHERE evidence.signature = $1 AND evidence.at >= $2 ORDER BY evidence.at DESC LIMIT $3",
    )?
    .query_map(params![signature, since, limit], one_seen)?
    .collect()
}

fn one_seen(row: &Row<'_>) -> sql::Result<SeenRow> {
    let read_at = time(row, 1)?;
    Ok(SeenRow {
        run: RunName(row.get(0)?),
        at: time_or_none(row, 2)?.unwrap_or(read_at),
        verdict: word(row, 3)?,
        job: JobKey(row.get(4)?),
        owner: row.get(5)?,
        stage: row.get(6)?,
        base_ref: row.get(7)?,
    })
}
