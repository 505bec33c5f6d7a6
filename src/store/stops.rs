//! The audit trail of runs whose stop was suggested or ordered, one row per run.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::json;

use crate::store::sql::{self, Connection, params};

use super::{
    Actor, Store, StoreError,
    actions::{Doing, note},
    rows::{self, body, millis},
};
use crate::domain::{
    doom::{Stop, StopEnd, StopHow},
    observation::RunName,
    state::State,
    trouble::OURSELVES,
};

impl Store {
    /// Orders to stop a run that were given since then and of which nothing has come yet, the oldest first.
    pub async fn open_orders(&self, since: Timestamp) -> Result<Vec<Stop>, StoreError> {
        let stops: Vec<Stop> = self
            .main
            .read(move |conn| {
                conn.prepare_cached("SELECT body FROM stops WHERE at >= $1 ORDER BY at, run")?
                    .query_map(params![millis(since)], |row| rows::json(row, 0))?
                    .collect()
            })
            .await?;
        Ok(stops.into_iter().filter(Stop::is_open).collect())
    }

    /// Notes what came of an order, and among what people did that we stopped a run.
    pub async fn end_order(&self, stop: Stop, end: StopEnd) -> Result<(), StoreError> {
        self.main
            .write(move |session| {
                let stop = Stop {
                    end: Some(end.clone()),
                    ..stop.clone()
                };
                put(&session.conn, &stop)?;
                if end.how != StopHow::Stopped {
                    return Ok(());
                }
                let actor = Actor {
                    who: OURSELVES.to_owned(),
                    by: "daemon".to_owned(),
                };
                let because = json!({
                    "state": "aborted",
                    "stage": stop.doomed.stage,
                    "because": stop.because,
                    "broken": stop.broken,
                    "incident": stop.incident,
                });
                let doing = Doing {
                    actor: &actor,
                    at: end.at,
                    action: "abort",
                    subject: format!("run {}", stop.doomed.run),
                    before: None,
                    after: Some(because),
                };
                note(&session.conn, &doing)
            })
            .await
    }
}

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
    .query_map(&[], |row| rows::json(row, 0))?
    .collect()
}

/// What was suggested of a run, or because of it.
pub(super) fn about(conn: &Connection, run: &RunName) -> sql::Result<Vec<Stop>> {
    conn.prepare_cached("SELECT body FROM stops WHERE run = $1 OR because = $1 ORDER BY at, run")?
        .query_map(params![&run.0], |row| rows::json(row, 0))?
        .collect()
}

/// Forgets what is old.
pub(super) fn prune(conn: &Connection, before: i64, limit: usize) -> sql::Result<usize> {
    conn.prepare_cached(
        "DELETE FROM stops WHERE run IN (SELECT run FROM stops WHERE at < $1 ORDER BY at LIMIT $2)",
    )?
    .execute(params![before, limit])
}
