//! How far decisions have come, and the rows of the inbox that were passed without one.

use jiff::Timestamp;

use super::{
    counts::bump,
    inbox::{InboxRow, Raw, raw},
    rows::{body, millis, time},
};
use crate::store::sql::{self, Connection, OptionalExtension as _, params};

/// A row of the inbox that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poisoned {
    /// Its number.
    pub seq: i64,
    /// Why.
    pub error: String,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// What it holds.
    pub body: String,
}

/// What became of the rows of a claim.
#[derive(Debug, Default)]
pub(super) struct Passed {
    pub(super) done: Vec<i64>,
    pub(super) parked: Vec<(InboxRow, Timestamp)>,
    pub(super) poisoned: Vec<Poisoned>,
}

/// The number of the last row that is decided, put off or set aside.
pub(super) fn get(conn: &Connection) -> sql::Result<i64> {
    let mark = conn
        .prepare_cached("SELECT value FROM counters WHERE name = 'decided-upto'")?
        .query_row(&[], |row| row.get(0))
        .optional()?;
    Ok(mark.unwrap_or(0))
}

/// Moves the mark, never back.
pub(super) fn advance(conn: &Connection, upto: i64) -> sql::Result<()> {
    conn.put("INSERT INTO counters (name, value) VALUES ('decided-upto', $1) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE excluded.value > counters.value", params![upto])
}

/// How far decisions have come.
#[derive(Debug)]
pub(super) struct Progress {
    /// The mark; of a server how many rows left the inbox.
    pub(super) mark: i64,
    /// How many rows are put off.
    pub(super) parked: u64,
    /// How many stand in an inbox that replicas share.
    pub(super) shared: Option<u64>,
}

/// How far decisions have come.
pub(super) fn progress(conn: &Connection) -> sql::Result<Progress> {
    let count = |sql| conn.query_row(sql, &[], |row| row.get(0));
    Ok(Progress {
        mark: get(conn)?,
        parked: count("SELECT count(*) FROM parked")?,
        shared: if conn.is_shared() {
            Some(count("SELECT count(*) FROM inbox")?)
        } else {
            None
        },
    })
}

/// The number up to which rows of the inbox do not count any more. Replicas commit rows out of order, so of an inbox
/// that they share each row goes by itself.
pub(super) fn floor(conn: &Connection) -> sql::Result<i64> {
    if conn.is_shared() { Ok(0) } else { get(conn) }
}

/// Rows whose time has come again.
pub(super) fn due(conn: &Connection, limit: usize, now: Timestamp) -> sql::Result<Vec<Raw>> {
    conn.prepare_cached(
        "SELECT seq, received_at, attempts, body FROM parked WHERE due_at <= $1 ORDER BY due_at LIMIT $2",
    )?
    .query_map(params![millis(now), limit], raw)?
    .collect()
}

/// When a row's time comes again.
pub(super) fn next_due(conn: &Connection) -> sql::Result<Option<Timestamp>> {
    conn.prepare_cached("SELECT due_at FROM parked ORDER BY due_at LIMIT 1")?
        .query_row(&[], |row| time(row, 0))
        .optional()
}

/// Notes what became of the rows of a claim, and moves the mark past them; returns where it is now.
pub(super) fn pass(conn: &Connection, passed: &Passed) -> sql::Result<i64> {
    let set_aside = passed.poisoned.iter().map(|row| row.seq);
    let gone: Vec<i64> = passed.done.iter().copied().chain(set_aside).collect();
    if conn.is_shared() {
        return take_out(conn, passed, &gone);
    }
    let mark = get(conn)?;
    for seq in gone.iter().filter(|seq| **seq <= mark) {
        conn.put("DELETE FROM parked WHERE seq = $1", params![seq])?;
    }
    set_aside_and_park(conn, passed)?;
    let put_off = passed.parked.iter().map(|(row, _)| row.seq);
    let mut new: Vec<i64> = gone
        .into_iter()
        .chain(put_off)
        .filter(|seq| *seq > mark)
        .collect();
    new.sort_unstable();
    debug_assert!(
        new.iter().zip(mark + 1..).all(|(seq, next)| *seq == next),
        "a claim is taken whole: {new:?} after {mark}"
    );
    let Some(upto) = new.last() else {
        return Ok(mark);
    };
    advance(conn, *upto)?;
    Ok(*upto)
}

/// Takes the rows of a claim out of an inbox that replicas share; there is no mark to move.
fn take_out(conn: &Connection, passed: &Passed, gone: &[i64]) -> sql::Result<i64> {
    if !gone.is_empty() {
        conn.put("DELETE FROM parked WHERE seq = ANY($1)", params![gone])?;
    }
    set_aside_and_park(conn, passed)?;
    let put_off = passed.parked.iter().map(|(row, _)| row.seq);
    let all: Vec<i64> = gone.iter().copied().chain(put_off).collect();
    if !all.is_empty() {
        let left = conn
            .prepare_cached("DELETE FROM inbox WHERE seq = ANY($1)")?
            .execute(params![all])?;
        bump(conn, "decided-upto", i64::try_from(left).unwrap_or(0))?;
    }
    Ok(0)
}

fn set_aside_and_park(conn: &Connection, passed: &Passed) -> sql::Result<()> {
    for (row, due_at) in &passed.parked {
        park(conn, row, *due_at)?;
    }
    for row in &passed.poisoned {
        conn.put(
            "INSERT INTO poison (seq, received_at, error, body) VALUES ($1, $2, $3, $4)",
            params![row.seq, millis(row.received_at), row.error, row.body],
        )?;
        bump(conn, "poisoned", 1)?;
    }
    Ok(())
}

fn park(conn: &Connection, row: &InboxRow, due_at: Timestamp) -> sql::Result<()> {
    conn.put(
        "INSERT INTO parked (seq, received_at, due_at, attempts, body) VALUES ($1, $2, $3, 1, $4) \
         ON CONFLICT (seq) DO UPDATE SET due_at = excluded.due_at, attempts = parked.attempts + 1",
        params![
            row.seq,
            millis(row.received_at),
            millis(due_at),
            body(&row.observation)
        ],
    )
}
