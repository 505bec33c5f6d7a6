//! What figures are made of: releases, incidents and totals of runs, from indexes that hold all they need.

use crate::store::sql::{self, Connection, Param, Row};
use jiff::Timestamp;

use crate::{
    domain::{
        figures::{IncidentRow, ReleaseRow},
        verdict::Verdict,
    },
    store::{
        Store, StoreError,
        rows::{millis, time, time_or_none, word},
    },
};

const DAY_MS: i64 = 86_400_000;

/// All that figures of a time are made of, each kind in the order of time.
#[derive(Debug, Clone, Default)]
pub struct Ingredients {
    /// Releases that began in it.
    pub releases: Vec<ReleaseRow>,
    /// Told incidents that began in it.
    pub incidents: Vec<IncidentRow>,
    /// Ended runs by UTC day (days since 1970) and verdict, not 0.
    pub runs: Vec<(i64, Verdict, u64)>,
    /// Messages by UTC day, copies for other receivers included. Of one owner: those about its incidents.
    pub messages: Vec<(i64, u64)>,
}

impl Store {
    /// What figures since then are made of; of one owner when one is given.
    pub async fn ingredients(
        &self,
        since: Timestamp,
        owner: Option<String>,
    ) -> Result<Ingredients, StoreError> {
        self.pages
            .read(move |conn| {
                let asked = Asked {
                    conn,
                    since: millis(since),
                    owner: owner.as_deref(),
                };
                Ok(Ingredients {
                    releases: asked.releases()?,
                    incidents: asked.incidents()?,
                    runs: asked.runs()?,
                    messages: asked.messages()?,
                })
            })
            .await
    }

    /// Names of services, in order.
    pub async fn service_names(&self) -> Result<Vec<String>, StoreError> {
        self.pages
            .read(|conn| {
                conn.prepare_cached(
                    "SELECT DISTINCT service FROM jobs WHERE service IS NOT NULL ORDER BY service",
                )?
                .query_map(&[], |row| row.get(0))?
                .collect()
            })
            .await
    }
}

struct Asked<'a> {
    conn: &'a Connection,
    since: i64,
    owner: Option<&'a str>,
}

impl Asked<'_> {
    /// Asks for everybody, or for one owner, whose name is the second value.
    fn ask<T>(
        &self,
        all: &str,
        one: &str,
        since: i64,
        read: impl FnMut(&Row<'_>) -> sql::Result<T>,
    ) -> sql::Result<Vec<T>> {
        let (sql, values): (&str, Vec<&dyn Param>) = match &self.owner {
            Some(owner) => (one, vec![&since, owner]),
            None => (all, vec![&since]),
        };
        let mut statement = self.conn.prepare_cached(sql)?;
        statement.query_map(values.as_slice(), read)?.collect()
    }

    fn releases(&self) -> sql::Result<Vec<ReleaseRow>> {
        self.ask(
            "SELECT service, began_at, done_at, reruns, stopped, soft_failed, hand_made, run_s, retry_s \
             FROM releases INDEXED BY releases_figures WHERE began_at >= $1 ORDER BY began_at",
            "SELECT service, began_at, done_at, reruns, stopped, soft_failed, hand_made, run_s, retry_s \
             FROM releases INDEXED BY releases_figures WHERE began_at >= $1 AND service = $2 ORDER BY began_at",
            self.since,
            release,
        )
    }

    fn incidents(&self) -> sql::Result<Vec<IncidentRow>> {
        self.ask(
            "SELECT first_at, seen_at, notified_at, closed_at FROM incidents INDEXED BY incidents_figures \
             WHERE first_at >= $1 AND seen_at IS NOT NULL ORDER BY first_at",
            "SELECT first_at, seen_at, notified_at, closed_at FROM incidents INDEXED BY incidents_figures \
             WHERE first_at >= $1 AND owner = $2 AND seen_at IS NOT NULL ORDER BY first_at",
            self.since,
            incident,
        )
    }

    fn runs(&self) -> sql::Result<Vec<(i64, Verdict, u64)>> {
        self.ask(
            "SELECT day, verdict, runs FROM run_days WHERE day >= $1 AND runs > 0 ORDER BY day",
            "SELECT day, verdict, runs FROM service_days WHERE day >= $1 AND service = $2 AND runs > 0 ORDER BY day",
            self.since.div_euclid(DAY_MS),
            |row| Ok((row.get(0)?, word(row, 1)?, row.get(2)?)),
        )
    }

    fn messages(&self) -> sql::Result<Vec<(i64, u64)>> {
        self.ask(
            "SELECT at / 86400000, count(*) FROM notifications WHERE at >= $1 GROUP BY 1 ORDER BY 1",
            "SELECT at / 86400000, count(*) FROM notifications WHERE at >= $1 AND id IN \
             (SELECT notification_id FROM incidents JOIN notification_incidents ON incident_id = incidents.id \
             WHERE owner = $2) GROUP BY 1 ORDER BY 1",
            self.since,
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    }
}

fn release(row: &Row<'_>) -> sql::Result<ReleaseRow> {
    Ok(ReleaseRow {
        service: row.get(0)?,
        began_at: time(row, 1)?,
        done_at: time_or_none(row, 2)?,
        reruns: row.get(3)?,
        stopped: row.get(4)?,
        soft_failed: row.get(5)?,
        hand_made: row.get(6)?,
        run_s: row.get(7)?,
        retry_s: row.get(8)?,
    })
}

fn incident(row: &Row<'_>) -> sql::Result<IncidentRow> {
    Ok(IncidentRow {
        broke_at: time(row, 0)?,
        seen_at: time_or_none(row, 1)?,
        notified_at: time_or_none(row, 2)?,
        acknowledged_at: None,
        restored_at: time_or_none(row, 3)?,
    })
}
