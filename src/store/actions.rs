//! What people did: who, when, what, and how it stood before and after. A row is written by the transaction that
//! does it, so nothing is done without one, and append only.

use crate::store::sql::{self, Connection, Row, params};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    Store, StoreError,
    rows::{body, json_or_none, millis, time},
};

/// Who does something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The name of a token, or what a trusted proxy calls the person.
    pub who: String,
    /// How that is known: `token`, `session`, `proxy`, `store` for who writes to the file itself, or `daemon` for what it
    /// does by itself.
    pub by: String,
}

/// What somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionRow {
    /// Its number.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// One word or two, such as `replay`.
    pub action: String,
    /// To what, such as `delivery 12`.
    pub subject: String,
    /// How that stood before; `None` when it was not there.
    pub before: Option<Value>,
    /// How it stood then; `None` when it is gone.
    pub after: Option<Value>,
}

/// What is being done, for [`note`].
#[derive(Debug)]
pub(super) struct Doing<'a> {
    pub(super) actor: &'a Actor,
    pub(super) at: Timestamp,
    pub(super) action: &'static str,
    pub(super) subject: String,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
}

/// Notes what is done, in the transaction that does it.
pub(super) fn note(conn: &Connection, doing: &Doing<'_>) -> sql::Result<()> {
    conn.put("INSERT INTO actions (at, who, by, action, subject, before, after) VALUES ($1, $2, $3, $4, $5, $6, $7)", params![
        millis(doing.at),
        doing.actor.who,
        doing.actor.by,
        doing.action,
        doing.subject,
        doing.before.as_ref().map(body),
        doing.after.as_ref().map(body),
    ])
}

impl Store {
    /// What was done, the newest first: at most `limit` rows before the one with this number.
    pub async fn actions(
        &self,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<ActionRow>, StoreError> {
        self.pages
            .read(move |conn| {
                conn.prepare_cached(
                    "SELECT id, at, who, by, action, subject, before, after FROM actions \
                     WHERE id < $1 ORDER BY id DESC LIMIT $2",
                )?
                .query_map(params![before.unwrap_or(i64::MAX), limit], action)?
                .collect()
            })
            .await
    }
}

fn action(row: &Row<'_>) -> sql::Result<ActionRow> {
    Ok(ActionRow {
        id: row.get(0)?,
        at: time(row, 1)?,
        actor: Actor {
            who: row.get(2)?,
            by: row.get(3)?,
        },
        action: row.get(4)?,
        subject: row.get(5)?,
        before: json_or_none(row, 6)?,
        after: json_or_none(row, 7)?,
    })
}
