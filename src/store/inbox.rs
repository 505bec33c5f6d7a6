//! What was accepted and waits for its decision.
//!
//! A row stays until the commit that decides it removes it, so a stop between any two steps loses nothing.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{
    Store, StoreError,
    rows::{body, millis, time, to_millis},
    threads::{Session, bump},
};
use crate::domain::observation::Observation;

/// An accepted observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxRow {
    /// Its number; an earlier one was accepted earlier.
    pub seq: i64,
    /// The observation, its times to the millisecond.
    pub observation: Observation,
    /// How often it was put off.
    pub attempts: u32,
    /// When it was accepted.
    pub received_at: Timestamp,
}

/// The oldest observations that are due.
#[derive(Debug, Clone, Default)]
pub struct Claim {
    /// In the order of acceptance.
    pub rows: Vec<InboxRow>,
    /// Whether more are due beyond the limit.
    pub more: bool,
    /// Rows that could not be read; they have been put aside and are counted.
    pub poisoned: Vec<Poisoned>,
}

/// A row of the inbox that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poisoned {
    /// Its number.
    pub seq: i64,
    /// Why.
    pub error: String,
}

/// A row before its body is read.
struct Raw {
    seq: i64,
    received_at: Timestamp,
    attempts: u32,
    body: Vec<u8>,
}

impl Store {
    /// Stores observations; when it returns they are on the disk. Times are kept to the millisecond.
    pub async fn accept(&self, observations: Vec<Observation>) -> Result<(), StoreError> {
        if observations.is_empty() {
            return Ok(());
        }
        let received_at = millis(self.clock.now());
        let bodies: Vec<String> = observations
            .into_iter()
            .map(|observation| body(&at_millis(observation)))
            .collect();
        self.order(move |session| session.together(|session| insert(session, received_at, &bodies)))
            .await
    }

    /// The oldest observations due at `now`, at most `limit`. They stay in the inbox until a
    /// [`Store::commit`] names them as done.
    pub async fn claim(&self, limit: usize, now: Timestamp) -> Result<Claim, StoreError> {
        let mut raw = self
            .read(move |conn| due(conn, limit.saturating_add(1), now))
            .await?;
        let more = raw.len() > limit;
        raw.truncate(limit);
        let mut claim = Claim {
            more,
            ..Claim::default()
        };
        for row in raw {
            match serde_json::from_slice(&row.body) {
                Ok(observation) => claim.rows.push(InboxRow {
                    seq: row.seq,
                    observation,
                    attempts: row.attempts,
                    received_at: row.received_at,
                }),
                Err(error) => claim.poisoned.push(Poisoned {
                    seq: row.seq,
                    error: error.to_string(),
                }),
            }
        }
        if !claim.poisoned.is_empty() {
            let poisoned = claim.poisoned.clone();
            self.write(move |session| put_aside(&session.conn, &poisoned))
                .await?;
        }
        Ok(claim)
    }

    /// Puts an observation off until `due_at` and counts that.
    pub async fn postpone(&self, seq: i64, due_at: Timestamp) -> Result<(), StoreError> {
        self.write(move |session| park(&session.conn, seq, due_at))
            .await
    }

    /// How many observations wait, those put off included.
    pub async fn inbox_depth(&self) -> Result<u64, StoreError> {
        self.read(depth).await
    }

    /// When the next observation is due: in the past when some are waiting, `None` when there are none.
    pub async fn next_inbox_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(|conn| {
            let waiting = conn
                .prepare_cached("SELECT received_at FROM inbox ORDER BY seq LIMIT 1")?
                .query_row([], |row| time(row, 0))
                .optional()?;
            let parked = conn
                .prepare_cached("SELECT due_at FROM parked ORDER BY due_at LIMIT 1")?
                .query_row([], |row| time(row, 0))
                .optional()?;
            Ok(waiting.into_iter().chain(parked).min())
        })
        .await
    }
}

/// Finer times would change on their way through the store, and with them the order of runs.
fn at_millis(mut observation: Observation) -> Observation {
    observation.seen_at = to_millis(observation.seen_at);
    observation.started_at = observation.started_at.map(to_millis);
    observation.completed_at = observation.completed_at.map(to_millis);
    observation
}

fn insert(session: &mut Session, received_at: i64, bodies: &[String]) -> rusqlite::Result<()> {
    for body in bodies {
        let seq = session.next_seq();
        session
            .conn
            .prepare_cached("INSERT INTO inbox (seq, received_at, body) VALUES ($1, $2, $3)")?
            .execute(params![seq, received_at, body])?;
    }
    Ok(())
}

fn due(conn: &Connection, limit: usize, now: Timestamp) -> rusqlite::Result<Vec<Raw>> {
    let mut rows = conn
        .prepare_cached(
            "SELECT seq, received_at, attempts, body FROM parked WHERE due_at <= $1 ORDER BY due_at LIMIT $2",
        )?
        .query_map(params![millis(now), limit], raw)?
        .collect::<rusqlite::Result<Vec<Raw>>>()?;
    let waiting = conn
        .prepare_cached("SELECT seq, received_at, 0, body FROM inbox ORDER BY seq LIMIT $1")?
        .query_map([limit], raw)?
        .collect::<rusqlite::Result<Vec<Raw>>>()?;
    rows.extend(waiting);
    rows.sort_by_key(|row| row.seq);
    rows.truncate(limit);
    Ok(rows)
}

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok(Raw {
        seq: row.get(0)?,
        received_at: time(row, 1)?,
        attempts: row.get(2)?,
        body: row.get_ref(3)?.as_bytes()?.to_vec(),
    })
}

fn put_aside(conn: &Connection, poisoned: &[Poisoned]) -> rusqlite::Result<()> {
    for row in poisoned {
        for (copy, remove) in [
            (
                "INSERT INTO poison (seq, received_at, error, body) \
                 SELECT seq, received_at, $1, body FROM inbox WHERE seq = $2",
                "DELETE FROM inbox WHERE seq = $1",
            ),
            (
                "INSERT INTO poison (seq, received_at, error, body) \
                 SELECT seq, received_at, $1, body FROM parked WHERE seq = $2",
                "DELETE FROM parked WHERE seq = $1",
            ),
        ] {
            conn.prepare_cached(copy)?
                .execute(params![row.error, row.seq])?;
            let gone = conn.prepare_cached(remove)?.execute([row.seq])?;
            if gone > 0 {
                bump(conn, "poisoned", 1)?;
                bump(conn, "drained", 1)?;
            }
        }
    }
    Ok(())
}

fn park(conn: &Connection, seq: i64, due_at: Timestamp) -> rusqlite::Result<()> {
    let again = conn
        .prepare_cached("UPDATE parked SET due_at = $1, attempts = attempts + 1 WHERE seq = $2")?
        .execute(params![millis(due_at), seq])?;
    if again == 0 {
        conn.prepare_cached(
            "INSERT INTO parked (seq, received_at, due_at, attempts, body) \
             SELECT seq, received_at, $1, 1, body FROM inbox WHERE seq = $2",
        )?
        .execute(params![millis(due_at), seq])?;
        conn.prepare_cached("DELETE FROM inbox WHERE seq = $1")?
            .execute([seq])?;
    }
    Ok(())
}

/// Takes decided observations out.
pub(super) fn finish(conn: &Connection, done: &[i64]) -> rusqlite::Result<()> {
    let mut done = done.to_vec();
    done.sort_unstable();
    let mut gone = 0;
    for neighbours in done.chunk_by(|before, after| before + 1 == *after) {
        let ends = (neighbours.first(), neighbours.last());
        for sql in [
            "DELETE FROM inbox WHERE seq BETWEEN $1 AND $2",
            "DELETE FROM parked WHERE seq BETWEEN $1 AND $2",
        ] {
            gone += conn.prepare_cached(sql)?.execute(ends)?;
        }
    }
    bump(conn, "drained", i64::try_from(gone).unwrap_or(i64::MAX))
}

/// Counted, not scanned: accepted less taken out.
pub(super) fn depth(conn: &Connection) -> rusqlite::Result<u64> {
    conn.prepare_cached(
        "SELECT coalesce(sum(CASE name WHEN 'accepted' THEN value ELSE -value END), 0) \
         FROM counters WHERE name IN ('accepted', 'drained')",
    )?
    .query_row([], |row| row.get::<_, i64>(0))
    .map(|depth| u64::try_from(depth).unwrap_or(0))
}
