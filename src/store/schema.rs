//! The schema of a server, which replicas of several versions may share while they are replaced one by one.
//!
//! Migrations are numbered, and each is additive: what it adds, the version before can do without. So a version works
//! with its own schema and with one that is newer by one step, and refuses what is newer still.

use std::time::Duration;

use super::{
    error::{StoreError, sort, unusable},
    location::{Location, ServerLocation},
    sql::{self, Connection, params, postgres::Client},
};

/// In order. Never change one that has been released: add another, which only adds.
pub(super) const STEPS: &[&str] = &[include_str!("migrations/postgres_0001_start.sql")];

/// A step may have to write every row.
const PATIENCE: Duration = Duration::from_secs(1800);
/// Any number that other programs hardly use: whoever holds it migrates, and the others wait.
const LOCK: i64 = 0x7072_6f77_6e6f_7469;
/// Whoever waits for a table keeps all who come later waiting too, and webhooks are not sent again for long.
const LOCK_MS: u64 = 2_000;
/// Between attempts, and how many there are: two minutes and a half in all.
const PAUSE_S: f32 = 0.5;
const ATTEMPTS: u32 = 60;

/// Brings the schema of a server up to date.
pub(super) fn migrate(store: &Location, server: &ServerLocation) -> Result<(), StoreError> {
    let client = Client::open(&server.server, PATIENCE).map_err(|error| sort(store, error))?;
    let conn = Connection::Postgres(Box::new(client));
    let seen = in_between(&conn, STEPS).map_err(|error| sort(store, error))?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if seen <= known + 1 {
        return Ok(());
    }
    Err(unusable(
        store,
        format!(
            "its schema is version {seen}, and prow-notifier {} can use at most {}: run the newer prow-notifier that \
             has changed it",
            env!("CARGO_PKG_VERSION"),
            known + 1
        ),
        None,
    ))
}

/// Does the steps between what replicas of the version before do: when one of them is in the way, or waits for us as
/// we for it, all is taken back, so that they go on, and tried again.
pub(super) fn in_between(conn: &Connection, steps: &[&str]) -> sql::Result<i64> {
    let mut attempt = 1;
    loop {
        match apply(conn, steps) {
            Err(error) if attempt < ATTEMPTS && error.is_about_locks() => {
                tracing::info!("Others use the tables that are to change, trying again: {error}");
                conn.execute_batch(&format!("SELECT pg_sleep({PAUSE_S})"))?;
                attempt += 1;
            }
            ended => return ended,
        }
    }
}

/// Does the steps that the database has not seen; returns how many it has seen then.
pub(super) fn apply(conn: &Connection, steps: &[&str]) -> sql::Result<i64> {
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    // Nearly always all is done, and then nobody needs to wait for anybody.
    let seen = stored(conn)?;
    if seen >= known {
        return Ok(seen);
    }
    conn.begin()?;
    let done = apply_locked(conn, steps);
    match done.and_then(|seen| conn.commit().map(|()| seen)) {
        Ok(seen) => Ok(seen),
        Err(error) => {
            // The error itself is what matters.
            drop(conn.roll_back());
            Err(error)
        }
    }
}

fn apply_locked(conn: &Connection, steps: &[&str]) -> sql::Result<i64> {
    conn.execute_batch(&format!(
        "SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock({LOCK}); SET LOCAL lock_timeout = {LOCK_MS}; \
         CREATE TABLE IF NOT EXISTS schema_version (version bigint NOT NULL)"
    ))?;
    let seen: Option<i64> =
        conn.query_row("SELECT max(version) FROM schema_version", &[], |row| {
            row.get(0)
        })?;
    let seen = seen.unwrap_or(0);
    let mut now = seen;
    for step in steps.iter().skip(usize::try_from(seen).unwrap_or(0)) {
        conn.execute_batch(step)?;
        now += 1;
    }
    if now > seen {
        conn.put("DELETE FROM schema_version", &[])?;
        conn.put(
            "INSERT INTO schema_version (version) VALUES ($1)",
            params![now],
        )?;
    }
    Ok(now)
}

fn stored(conn: &Connection) -> sql::Result<i64> {
    let there: bool = conn.query_row(
        "SELECT to_regclass('schema_version') IS NOT NULL",
        &[],
        |row| row.get(0),
    )?;
    if !there {
        return Ok(0);
    }
    let seen: Option<i64> =
        conn.query_row("SELECT max(version) FROM schema_version", &[], |row| {
            row.get(0)
        })?;
    Ok(seen.unwrap_or(0))
}
