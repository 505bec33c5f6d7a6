//! Forgets what is old, in small steps that hold up nobody.
//!
//! Never touched: open incidents and their runs, runs that are not over, and what still has to be sent.

use std::collections::BTreeSet;

use crate::store::sql::{self, Connection, params};
use jiff::Timestamp;

use super::{
    Store, StoreError,
    counts::bump,
    evidence,
    rows::{json, millis},
    stops,
};
use crate::domain::{
    fold::{Digest, Fold},
    hush::Hidden,
};

impl Store {
    /// Removes runs that ended, incidents that closed and notifications that were written before
    /// `older_than`, with their decisions and attempts. Takes about `max_rows` of them at most and returns
    /// how many it took; call it until that is 0.
    pub async fn prune(&self, older_than: Timestamp, max_rows: usize) -> Result<u64, StoreError> {
        let before = millis(older_than);
        self.main
            .write(move |session| {
                session.memory.forget_runs();
                let conn = &session.conn;
                let mut taken = 0;
                for prune in [
                    runs,
                    loose_decisions,
                    notifications,
                    incidents,
                    evidence::prune,
                    releases,
                    stops::prune,
                ] {
                    taken += prune(conn, before, max_rows.saturating_sub(taken))?;
                }
                Ok(taken as u64)
            })
            .await
    }
}

fn runs(conn: &Connection, before: i64, limit: usize) -> sql::Result<usize> {
    let old = ids(
        conn,
        "SELECT id FROM runs WHERE finished_at < $1 AND (incident IS NULL OR NOT EXISTS \
         (SELECT 1 FROM incidents WHERE incidents.id = runs.incident AND incidents.open = 1)) \
         ORDER BY finished_at LIMIT $2",
        params![before, limit],
    )?;
    for id in &old {
        // A number may be given again, so nothing may go on naming it.
        conn.prepare_cached("DELETE FROM decisions WHERE run_id = $1")?
            .execute(params![id])?;
        conn.prepare_cached("DELETE FROM runs WHERE id = $1")?
            .execute(params![id])?;
    }
    bump(conn, "runs", -i64::try_from(old.len()).unwrap_or(i64::MAX))?;
    Ok(old.len())
}

/// Old decisions that did not go with their run. They are numbered in order of time, so only the lowest
/// numbers are looked at.
fn loose_decisions(conn: &Connection, before: i64, limit: usize) -> sql::Result<usize> {
    conn.prepare_cached(
        "DELETE FROM decisions WHERE id IN (SELECT id FROM (SELECT id, decided_at FROM decisions \
         ORDER BY id LIMIT $1) AS oldest WHERE decided_at < $2)",
    )?
    .execute(params![limit, before])
}

fn notifications(conn: &Connection, before: i64, limit: usize) -> sql::Result<usize> {
    let old = ids(
        conn,
        "SELECT id FROM (SELECT id, at FROM notifications ORDER BY id LIMIT $1) AS oldest WHERE at < $2 \
         AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.notification_id = oldest.id AND outbox.state = 'pending')",
        params![limit, before],
    )?;
    for id in &old {
        for sql in [
            "DELETE FROM attempts WHERE delivery_id IN (SELECT id FROM outbox WHERE notification_id = $1)",
            "DELETE FROM outbox WHERE notification_id = $1",
            "DELETE FROM notification_incidents WHERE notification_id = $1",
            "DELETE FROM notifications WHERE id = $1",
        ] {
            conn.prepare_cached(sql)?.execute(params![id])?;
        }
    }
    Ok(old.len())
}

/// Closed incidents that no run names and of which nobody is owed news.
fn incidents(conn: &Connection, before: i64, limit: usize) -> sql::Result<usize> {
    let old = ids(
        conn,
        "SELECT id FROM incidents WHERE closed_at < $1 \
         AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.incident = incidents.id) ORDER BY closed_at LIMIT $2",
        params![before, limit],
    )?;
    if old.is_empty() {
        return Ok(0);
    }
    let owed = owed(conn)?;
    let old: Vec<i64> = old.into_iter().filter(|id| !owed.contains(id)).collect();
    for id in &old {
        conn.prepare_cached("DELETE FROM incidents WHERE id = $1")?
            .execute(params![id])?;
    }
    Ok(old.len())
}

/// Releases that began long ago and of which no stage is awaited.
fn releases(conn: &Connection, before: i64, limit: usize) -> sql::Result<usize> {
    conn.prepare_cached(
        "DELETE FROM releases WHERE key IN (SELECT key FROM releases WHERE began_at < $1 \
         AND due_at IS NULL ORDER BY began_at LIMIT $2)",
    )?
    .execute(params![before, limit])
}

fn ids(conn: &Connection, sql: &str, values: &[&dyn sql::Param]) -> sql::Result<Vec<i64>> {
    conn.prepare_cached(sql)?
        .query_map(values, |row| row.get(0))?
        .collect()
}

fn owed(conn: &Connection) -> sql::Result<BTreeSet<i64>> {
    let mut folds = conn.prepare_cached("SELECT body FROM folds")?;
    let folds = folds
        .query_map(&[], |row| json::<Fold>(row, 0))?
        .collect::<sql::Result<Vec<_>>>()?;
    let mut digests = conn.prepare_cached("SELECT body FROM digests")?;
    let digests = digests
        .query_map(&[], |row| json::<Digest>(row, 0))?
        .collect::<sql::Result<Vec<_>>>()?;
    let mut hidden = conn.prepare_cached("SELECT body FROM hidden")?;
    let hidden = hidden
        .query_map(&[], |row| json::<Hidden>(row, 0))?
        .collect::<sql::Result<Vec<_>>>()?;
    let waiting = folds
        .into_iter()
        .flat_map(|fold| fold.waiting)
        .map(|owed| owed.incident);
    let collected = digests.into_iter().flat_map(|digest| digest.incidents);
    let hidden = hidden.into_iter().flat_map(|hidden| hidden.incidents);
    Ok(waiting
        .chain(collected)
        .chain(hidden)
        .filter_map(|id| i64::try_from(id.0).ok())
        .collect())
}
