//! Silences, which people make and end while the daemon runs, or while it does not.

use crate::store::sql::{self, Connection, OptionalExtension as _, params};
use jiff::Timestamp;

use super::{
    Store, StoreError,
    actions::{Actor, Doing, note},
    counts::bump,
    lead::News,
    rows::{body, json, millis},
};
use crate::domain::{
    hush::{Hidden, HiddenKey, HushKey},
    silence::{Draft, Silence, SilenceId, Standing},
};

/// Counts every change of a silence, so that whoever decides sees one that another process made.
const CHANGES: &str = "silences";
/// Silences that are listed at most, the latest end first.
const MAX_LISTED: usize = 500;

/// How often silences were changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(i64);

impl Store {
    /// Makes a silence, and notes who did.
    pub async fn add_silence(
        &self,
        draft: Draft,
        actor: Actor,
        now: Timestamp,
    ) -> Result<Silence, StoreError> {
        self.main
            .write(move |session| {
                let conn = &session.conn;
                let last: Option<u64> = conn
                    .prepare_cached("SELECT max(id) FROM silences")?
                    .query_row(&[], |row| row.get(0))?;
                let silence = draft.made(SilenceId(last.unwrap_or(0) + 1), now);
                put(conn, &silence)?;
                let doing = Doing {
                    actor: &actor,
                    at: now,
                    action: "silence",
                    subject: format!("silence {}", silence.id),
                    before: None,
                    after: serde_json::to_value(&silence).ok(),
                };
                note(conn, &doing)?;
                Ok(silence)
            })
            .await
    }

    /// Ends a silence now. `None` when there is none of this number; one that is over stays as it is.
    pub async fn expire_silence(
        &self,
        id: SilenceId,
        actor: Actor,
        now: Timestamp,
    ) -> Result<Option<Silence>, StoreError> {
        self.main
            .write(move |session| {
                let conn = &session.conn;
                let Some(mut silence) = find(conn, id)? else {
                    return Ok(None);
                };
                if silence.standing(now) != Standing::Expired {
                    let before = serde_json::to_value(&silence).ok();
                    silence.ends_at = now;
                    silence.expired_by = Some(actor.who.clone());
                    put(conn, &silence)?;
                    let doing = Doing {
                        actor: &actor,
                        at: now,
                        action: "expire",
                        subject: format!("silence {id}"),
                        before,
                        after: serde_json::to_value(&silence).ok(),
                    };
                    note(conn, &doing)?;
                }
                Ok(Some(silence))
            })
            .await
    }

    /// Silences that end after this, the latest end first.
    pub async fn silences(&self, after: Timestamp) -> Result<Vec<Silence>, StoreError> {
        self.pages
            .read(move |conn| {
                conn.prepare_cached(
                    "SELECT body FROM silences WHERE ends_at > $1 ORDER BY ends_at DESC, id DESC LIMIT $2",
                )?
                .query_map(params![millis(after), MAX_LISTED], |row| json(row, 0))?
                .collect()
            })
            .await
    }

    /// Silences that are not over, and how often any was changed.
    pub async fn standing_silences(
        &self,
        now: Timestamp,
    ) -> Result<(Mark, Vec<Silence>), StoreError> {
        self.main
            .read(move |conn| {
                let silences = conn
                    .prepare_cached("SELECT body FROM silences WHERE ends_at > $1 ORDER BY id")?
                    .query_map(params![millis(now)], |row| json(row, 0))?
                    .collect::<sql::Result<_>>()?;
                Ok((changes(conn)?, silences))
            })
            .await
    }

    /// How often any silence was changed.
    pub async fn silence_changes(&self) -> Result<Mark, StoreError> {
        self.main.read(changes).await
    }

    /// What silences and mute windows hide now.
    pub async fn hidden(&self) -> Result<Vec<(HiddenKey, Hidden)>, StoreError> {
        self.pages
            .read(|conn| {
                conn.prepare_cached("SELECT key, receiver, body FROM hidden")?
                    .query_map(&[], |row| {
                        Ok(((HushKey(row.get(0)?), row.get(1)?), json(row, 2)?))
                    })?
                    .collect()
            })
            .await
    }
}

fn changes(conn: &Connection) -> sql::Result<Mark> {
    let value = conn
        .prepare_cached("SELECT value FROM counters WHERE name = $1")?
        .query_row(params![CHANGES], |row| row.get(0))
        .optional()?;
    Ok(Mark(value.unwrap_or(0)))
}

fn find(conn: &Connection, id: SilenceId) -> sql::Result<Option<Silence>> {
    conn.prepare_cached("SELECT body FROM silences WHERE id = $1")?
        .query_row(params![id.0], |row| json(row, 0))
        .optional()
}

fn put(conn: &Connection, silence: &Silence) -> sql::Result<()> {
    conn.put(
        "INSERT INTO silences (id, ends_at, body) VALUES ($1, $2, $3) \
         ON CONFLICT (id) DO UPDATE SET ends_at = excluded.ends_at, body = excluded.body",
        params![silence.id.0, millis(silence.ends_at), body(silence)],
    )?;
    bump(conn, CHANGES, 1)?;
    News::Inbox.tell(conn)?;
    News::Changed.tell(conn)
}
