//! What is remembered of each job, one row per job.

use rusqlite::{Connection, params};

use super::rows::{body, millis};
use crate::domain::{history::History, job::JobKey};

/// Puts what is remembered of a job in place of what was.
pub(super) fn put(conn: &Connection, job: &JobKey, history: &History) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO histories (key, at, body) VALUES ($1, $2, $3) \
         ON CONFLICT (key) DO UPDATE SET at = excluded.at, body = excluded.body",
    )?
    .execute(params![
        job.0,
        history.latest().map_or(0, millis),
        body(history)
    ])
    .map(drop)
}
