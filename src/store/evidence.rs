//! Reasons: runs whose logs are still to be read, and what was found.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::sql::{self, Connection, OptionalExtension as _, Row, params};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    Store, StoreError,
    batch::with_keys,
    rows::{body, json, millis, time, time_or_none},
};
use crate::domain::{
    evidence::{CauseClass, Finding, Signature},
    observation::{Observation, RunName},
};

/// A run whose reason is still to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueRead {
    /// The run, with all that says where its logs are.
    pub run: Observation,
    /// Attempts so far.
    pub attempts: u32,
    /// Since when it is to be read.
    pub since: Timestamp,
}

/// What came of an attempt to read why a run broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learned {
    /// The run.
    pub run: RunName,
    /// The result.
    pub finding: Finding,
    /// Where it was read, without credentials.
    pub location: Option<String>,
    /// When.
    pub at: Timestamp,
    /// When to try again; `None` when this is the last word.
    pub again_at: Option<Timestamp>,
}

/// A reason as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvidenceTrail {
    /// The result of the last attempt.
    pub finding: Finding,
    /// Where it was read.
    pub location: Option<String>,
    /// When.
    pub at: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried again; `None` when this is the last word.
    pub again_at: Option<Timestamp>,
}

impl Store {
    /// The runs that are to be read by `now`, the longest due first, without those in `under_way`.
    pub async fn due_reads(
        &self,
        now: Timestamp,
        limit: usize,
        under_way: BTreeSet<RunName>,
    ) -> Result<Vec<DueRead>, StoreError> {
        let due = move |conn: &Connection| {
            let mut statement = conn.prepare_cached(
                "SELECT run, body, attempts, since FROM reads WHERE due_at <= $1 ORDER BY due_at LIMIT $2",
            )?;
            let asked = limit.saturating_add(under_way.len());
            let mut rows = statement.query(params![millis(now), asked])?;
            let mut found = Vec::new();
            while let (true, Some(row)) = (found.len() < limit, rows.next()?) {
                if !under_way.contains(&RunName(row.get(0)?)) {
                    found.push(DueRead {
                        run: json(&row, 1)?,
                        attempts: row.get(2)?,
                        since: time(&row, 3)?,
                    });
                }
            }
            Ok(found)
        };
        self.main.read(due).await
    }

    /// What was found of these runs, and whether that is the last word.
    pub async fn findings(
        &self,
        runs: Vec<RunName>,
    ) -> Result<BTreeMap<RunName, (Finding, bool)>, StoreError> {
        let read = move |conn: &Connection| {
            let runs: Vec<String> = runs.into_iter().map(|run| run.0).collect();
            let select =
                "SELECT body, location, at, attempts, again_at, run FROM evidence WHERE run";
            let found = with_keys(conn, select, runs, |row| {
                let known = trail(row)?;
                let is_last_word = known.again_at.is_none();
                Ok((RunName(row.get(5)?), (known.finding, is_last_word)))
            })?;
            Ok(found.into_iter().collect())
        };
        self.main.read(read).await
    }

    /// Whether a reason with this signature is stored.
    pub async fn knows_signature(&self, signature: Signature) -> Result<bool, StoreError> {
        let read = move |conn: &Connection| {
            conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM evidence WHERE signature = $1)")?
                .query_row(params![signature.0], |row| row.get(0))
        };
        self.main.read(read).await
    }

    /// The signatures of reasons read since then which none read before has.
    pub async fn signatures_since(
        &self,
        since: Timestamp,
    ) -> Result<Vec<(CauseClass, Signature)>, StoreError> {
        let read = move |conn: &Connection| {
            let mut statement = conn.prepare_cached(
                "SELECT DISTINCT class, signature FROM evidence AS new WHERE at >= $1 AND signature IS NOT NULL \
                 AND NOT EXISTS (SELECT 1 FROM evidence AS old WHERE old.signature = new.signature AND old.at < $1)",
            )?;
            let found = statement.query_map(params![millis(since)], |row| {
                let class: String = row.get(0)?;
                Ok(CauseClass::parse(&class).zip(Some(Signature(row.get(1)?))))
            })?;
            found.filter_map(Result::transpose).collect()
        };
        self.main.read(read).await
    }

    /// When the next run is to be read, of those not in `under_way`; `None` when there are none.
    pub async fn next_read_due(
        &self,
        under_way: BTreeSet<RunName>,
    ) -> Result<Option<Timestamp>, StoreError> {
        let next = move |conn: &Connection| {
            let mut statement =
                conn.prepare_cached("SELECT run, due_at FROM reads ORDER BY due_at LIMIT $1")?;
            let due = statement.query_map(params![under_way.len() + 1], |row| {
                Ok((RunName(row.get(0)?), time(row, 1)?))
            })?;
            for read in due {
                let (run, due_at) = read?;
                if !under_way.contains(&run) {
                    return Ok(Some(due_at));
                }
            }
            Ok(None)
        };
        self.main.read(next).await
    }
}

/// Notes that runs are to be read from `now` on.
pub(super) fn order(conn: &Connection, runs: &[Observation], now: Timestamp) -> sql::Result<()> {
    for run in runs {
        conn.put(
            "INSERT INTO reads (run, due_at, attempts, since, body) VALUES ($1, $2, 0, $2, $3) \
             ON CONFLICT (run) DO NOTHING",
            params![run.run.0, millis(now), body(run)],
        )?;
    }
    Ok(())
}

/// Stores what was found; the last word on a run takes it off the list.
pub(super) fn learn(conn: &Connection, learned: &[Learned]) -> sql::Result<()> {
    for reason in learned {
        let (class, signature) = match &reason.finding {
            Finding::Found(evidence) => (
                Some(evidence.class.as_str()),
                evidence.signature.as_ref().map(|signature| &signature.0),
            ),
            Finding::Green(_) | Finding::Nothing(_) | Finding::Unreadable(_) => (None, None),
        };
        conn.put("INSERT INTO evidence (run, at, attempts, again_at, class, signature, location, body) \
             VALUES ($1, $2, 1, $3, $4, $5, $6, $7) ON CONFLICT (run) DO UPDATE SET at = excluded.at, \
             attempts = evidence.attempts + 1, again_at = excluded.again_at, class = excluded.class, \
             signature = excluded.signature, location = excluded.location, body = excluded.body", params![
            reason.run.0,
            millis(reason.at),
            reason.again_at.map(millis),
            class,
            signature,
            reason.location,
            body(&reason.finding),
        ])?;
        match reason.again_at {
            Some(again_at) => conn.put(
                "UPDATE reads SET due_at = $1, attempts = attempts + 1 WHERE run = $2",
                params![millis(again_at), reason.run.0],
            )?,
            None => conn.put("DELETE FROM reads WHERE run = $1", params![reason.run.0])?,
        }
    }
    Ok(())
}

/// What is known of why a run broke.
pub(super) fn known(conn: &Connection, run: &RunName) -> sql::Result<Option<EvidenceTrail>> {
    conn.prepare_cached(
        "SELECT body, location, at, attempts, again_at FROM evidence WHERE run = $1",
    )?
    .query_row(params![&run.0], trail)
    .optional()
}

fn trail(row: &Row<'_>) -> sql::Result<EvidenceTrail> {
    Ok(EvidenceTrail {
        finding: json(row, 0)?,
        location: row.get(1)?,
        at: time(row, 2)?,
        attempts: row.get(3)?,
        again_at: time_or_none(row, 4)?,
    })
}

/// Forgets reasons read before this, and reading that nobody waits for any more.
pub(super) fn prune(conn: &Connection, before: i64, limit: usize) -> sql::Result<usize> {
    conn.prepare_cached("DELETE FROM reads WHERE since < $1")?
        .execute(params![before])?;
    conn.prepare_cached(
        "DELETE FROM evidence WHERE run IN (SELECT run FROM evidence WHERE at < $1 ORDER BY at LIMIT $2)",
    )?
    .execute(params![before, limit])
}
