//! How far decisions have come, and the rows of the inbox that were passed without one.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    counts::bump,
    inbox::{InboxRow, Raw, raw},
    rows::{body, millis, time},
};

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
pub(super) fn get(conn: &Connection) -> rusqlite::Result<i64> {
    let mark = conn
        .prepare_cached("SELECT value FROM counters WHERE name = 'decided-upto'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(mark.unwrap_or(0))
}

/// Moves the mark, never back.
pub(super) fn advance(conn: &Connection, upto: i64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO counters (name, value) VALUES ('decided-upto', $1) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE excluded.value > counters.value",
    )?
    .execute([upto])
    .map(drop)
}

/// The mark, and how many rows are put off.
pub(super) fn progress(conn: &Connection) -> rusqlite::Result<(i64, u64)> {
    let parked = conn
        .prepare_cached("SELECT count(*) FROM parked")?
        .query_row([], |row| row.get(0))?;
    Ok((get(conn)?, parked))
}

/// Rows whose time has come again.
pub(super) fn due(conn: &Connection, limit: usize, now: Timestamp) -> rusqlite::Result<Vec<Raw>> {
    conn.prepare_cached(
        "SELECT seq, received_at, attempts, body FROM parked WHERE due_at <= $1 ORDER BY due_at LIMIT $2",
    )?
    .query_map(params![millis(now), limit], raw)?
    .collect()
}

/// When a row's time comes again.
pub(super) fn next_due(conn: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    conn.prepare_cached("SELECT due_at FROM parked ORDER BY due_at LIMIT 1")?
        .query_row([], |row| time(row, 0))
        .optional()
}

/// Notes what became of the rows of a claim, and moves the mark past them; returns where it is now.
pub(super) fn pass(conn: &Connection, passed: &Passed) -> rusqlite::Result<i64> {
    let mark = get(conn)?;
    let set_aside = passed.poisoned.iter().map(|row| row.seq);
    let gone: Vec<i64> = passed.done.iter().copied().chain(set_aside).collect();
    for seq in gone.iter().filter(|seq| **seq <= mark) {
        conn.prepare_cached("DELETE FROM parked WHERE seq = $1")?
            .execute([seq])?;
    }
    for (row, due_at) in &passed.parked {
        park(conn, row, *due_at)?;
    }
    for row in &passed.poisoned {
        conn.prepare_cached(
            "INSERT INTO poison (seq, received_at, error, body) VALUES ($1, $2, $3, $4)",
        )?
        .execute(params![
            row.seq,
            millis(row.received_at),
            row.error,
            row.body
        ])?;
        bump(conn, "poisoned", 1)?;
    }
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

fn park(conn: &Connection, row: &InboxRow, due_at: Timestamp) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO parked (seq, received_at, due_at, attempts, body) VALUES ($1, $2, $3, 1, $4) \
         ON CONFLICT (seq) DO UPDATE SET due_at = excluded.due_at, attempts = parked.attempts + 1",
    )?
    .execute(params![
        row.seq,
        millis(row.received_at),
        millis(due_at),
        body(&row.observation)
    ])
    .map(drop)
}
