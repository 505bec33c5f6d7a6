//! The audit trail of runs whose stop was suggested, one row per run.

use std::collections::BTreeSet;

use crate::store::sql::{self, Connection, params};

use super::rows::{body, json, millis};
use crate::domain::{doom::Stop, observation::RunName, state::State};

/// What was suggested since the last commit.
pub(super) fn changed(state: &State, runs: &BTreeSet<RunName>) -> Vec<Stop> {
    let stops = runs.iter().filter_map(|run| state.stops.get(run));
    stops.cloned().collect()
}

/// Adds what was suggested; of a run that was suggested before, what was said last stands.
pub(super) fn put(conn: &Connection, stop: &Stop) -> sql::Result<()> {
    conn.put("INSERT INTO stops (run, at, because, body) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (run) DO UPDATE SET at = excluded.at, because = excluded.because, body = excluded.body", params![
        stop.doomed.run.0,
        millis(stop.at),
        stop.because.0,
        body(stop)
    ])
}

/// What was suggested within the hour before the latest suggestion: all that a limit per hour can ask for.
pub(super) fn recent(conn: &Connection) -> sql::Result<Vec<Stop>> {
    conn.prepare_cached(
        "SELECT body FROM stops WHERE at > (SELECT max(at) FROM stops) - 3600000 ORDER BY at",
    )?
    .query_map(&[], |row| json(row, 0))?
    .collect()
}

/// What was suggested of a run, or because of it.
pub(super) fn about(conn: &Connection, run: &RunName) -> sql::Result<Vec<Stop>> {
    conn.prepare_cached("SELECT body FROM stops WHERE run = $1 OR because = $1 ORDER BY at, run")?
        .query_map(params![&run.0], |row| json(row, 0))?
        .collect()
}

/// Forgets what is old.
pub(super) fn prune(conn: &Connection, before: i64, limit: usize) -> sql::Result<usize> {
    conn.prepare_cached(
        "DELETE FROM stops WHERE run IN (SELECT run FROM stops WHERE at < $1 ORDER BY at LIMIT $2)",
    )?
    .execute(params![before, limit])
}
