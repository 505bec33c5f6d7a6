//! Rows that this version cannot read, as after a way back to an older one: they are taken out of their queue so that
//! the rest goes on, and stay for a version that can read them.

use jiff::Timestamp;

use super::{
    Store, StoreError,
    holds::Hold,
    outbox::{Recorded, Then, delivery, head, record},
    rows::{json, millis},
    sql::{self, Error, Row, params},
};
use crate::domain::observation::Observation;

/// What was taken out of its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// The number of the delivery, or the name of the run.
    pub what: String,
    /// What of it cannot be read.
    pub why: String,
}

impl Store {
    /// Makes the head of a receiver's queue a dead letter if it cannot be read; `None` when it can.
    pub async fn set_aside_head(
        &self,
        receiver: &str,
        now: Timestamp,
        hold: Option<Hold>,
    ) -> Result<Option<SetAside>, StoreError> {
        let receiver = receiver.to_owned();
        let work = move |conn: &sql::Connection| {
            let read = |row: &Row<'_>| Ok((row.get(0)?, unreadable(delivery(row))?));
            let head = head(conn, &receiver, read)?;
            let Some((delivery, Some(why))) = head else {
                return Ok(None);
            };
            let recorded = Recorded {
                delivery,
                at: now,
                outcome: "unreadable".to_owned(),
                detail: why.clone(),
                counted: false,
                then: Then::Dead,
                health: None,
                divert: None,
                hold: hold.clone(),
            };
            record(conn, &recorded)?;
            let what = delivery.to_string();
            Ok(Some(SetAside { what, why }))
        };
        self.main.write(move |session| work(&session.conn)).await
    }

    /// Puts off the runs that are to be read by `now` and cannot be made out.
    pub async fn set_aside_reads(
        &self,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<SetAside>, StoreError> {
        let work = move |conn: &sql::Connection| {
            let mut due = conn.prepare_cached("SELECT run, body FROM reads WHERE due_at <= $1")?;
            let mut found = Vec::new();
            for row in due.query_map(params![millis(now)], |row| {
                Ok((row.get(0)?, unreadable(json::<Observation>(row, 1))?))
            })? {
                if let (what, Some(why)) = row? {
                    found.push(SetAside { what, why });
                }
            }
            for aside in &found {
                conn.put(
                    "UPDATE reads SET due_at = $1 WHERE run = $2",
                    params![millis(until), aside.what],
                )?;
            }
            Ok(found)
        };
        self.main.write(move |session| work(&session.conn)).await
    }
}

/// Why it cannot be read; `None` when it can.
fn unreadable<T>(read: sql::Result<T>) -> sql::Result<Option<String>> {
    match read {
        Ok(_) => Ok(None),
        Err(Error::Unreadable { source, .. }) => Ok(Some(source.to_string())),
        Err(error) => Err(error),
    }
}

/// Rows of a list without those that cannot be read.
pub(super) fn readable<T>(row: sql::Result<T>) -> Option<sql::Result<T>> {
    Some(row).filter(|row| !matches!(row, Err(Error::Unreadable { .. })))
}
