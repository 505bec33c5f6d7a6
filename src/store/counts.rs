//! Cheap totals, small settings of our own, and whether the store can be written.

use std::collections::BTreeMap;

use crate::store::sql::{self, Connection, OptionalExtension as _, params};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Store, StoreError, mark};
use crate::domain::decision::Decision;

/// Totals. Of the observations ever accepted each is in the inbox, poisoned, or decided once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counts {
    /// Runs that are stored.
    pub runs: u64,
    /// Incidents that are open.
    pub incidents_open: u64,
    /// Observations ever accepted.
    pub accepted: u64,
    /// Observations that wait.
    pub inbox: u64,
    /// Observations that could not be read.
    pub poisoned: u64,
    /// Deliveries that wait.
    pub outbox_pending: u64,
    /// Deliveries that were given up.
    pub outbox_dead: u64,
    /// Decisions ever made; all words, 0 included.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub decisions: BTreeMap<Decision, u64>,
}

impl Store {
    /// Totals, without scanning anything that grows with history.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let (mut counts, progress) = self
            .main
            .read(|conn| Ok((counts(conn)?, mark::progress(conn)?)))
            .await?;
        counts.inbox = self.waiting(&progress);
        counts.accepted =
            u64::try_from(progress.mark).unwrap_or(0) + counts.inbox - progress.parked;
        Ok(counts)
    }

    /// A stored value of our own.
    pub async fn meta(&self, key: &'static str) -> Result<Option<String>, StoreError> {
        self.main.read(move |conn| meta(conn, key)).await
    }

    /// Stores a value, in place of an earlier one.
    pub async fn set_meta(&self, key: &'static str, value: String) -> Result<(), StoreError> {
        self.main.write(move |session| {
            session.conn.put("INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value", params![key, value])
        })
        .await
    }

    /// Stores a value unless there is one, and returns what is stored.
    pub async fn init_meta(&self, key: &'static str, value: String) -> Result<String, StoreError> {
        self.main
            .write(move |session| {
                session.conn.put(
                    "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING",
                    params![key, value],
                )?;
                Ok(meta(&session.conn, key)?.unwrap_or(value))
            })
            .await
    }

    /// Writes a row to each file, to see whether that works.
    pub async fn writable(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.inbox.probe(now).await?;
        self.set_meta("last-probe", now.to_string()).await
    }
}

fn meta(conn: &Connection, key: &str) -> sql::Result<Option<String>> {
    conn.prepare_cached("SELECT value FROM meta WHERE key = $1")?
        .query_row(params![key], |row| row.get(0))
        .optional()
}

/// All but what the inbox knows.
fn counts(conn: &Connection) -> sql::Result<Counts> {
    let counters: BTreeMap<String, i64> = conn
        .prepare_cached("SELECT name, value FROM counters")?
        .query_map(&[], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<sql::Result<_>>()?;
    let counter = |name: &str| {
        counters
            .get(name)
            .map_or(0, |value| u64::try_from(*value).unwrap_or(0))
    };
    let rows = |sql: &str| conn.prepare_cached(sql)?.query_row(&[], |row| row.get(0));
    Ok(Counts {
        runs: counter("runs"),
        incidents_open: rows("SELECT count(*) FROM incidents WHERE open = 1")?,
        accepted: 0,
        inbox: 0,
        poisoned: counter("poisoned"),
        outbox_pending: rows("SELECT count(*) FROM outbox WHERE state = 'pending'")?,
        outbox_dead: rows("SELECT count(*) FROM outbox WHERE state = 'dead'")?,
        decisions: Decision::ALL
            .into_iter()
            .map(|decision| (decision, counter(&format!("decision:{decision}"))))
            .collect(),
    })
}

/// Adds to a counter.
pub(super) fn bump(conn: &Connection, name: &str, by: i64) -> sql::Result<()> {
    conn.put(
        "INSERT INTO counters (name, value) VALUES ($1, $2) \
         ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value",
        params![name, by],
    )
}
