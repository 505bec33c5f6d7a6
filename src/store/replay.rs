//! Sending dead letters anew, by somebody's hand.

use crate::store::sql::{self, OptionalExtension as _, params};
use serde_json::json;

use super::{
    Store, StoreError,
    actions::{self, Actor, Doing},
    lead::News,
    rows::millis,
};

impl Store {
    /// Sends a dead letter anew, as if it had just been written; also one that went to the fallback receiver
    /// instead. Returns whether there was one.
    pub async fn replay(&self, id: i64, actor: &Actor) -> Result<bool, StoreError> {
        let (at, actor) = (self.clock.now(), actor.clone());
        self.main
            .write(move |session| {
                let conn = &session.conn;
                let before = conn
                    .prepare_cached(
                        "SELECT receiver, state, attempts FROM outbox WHERE id = $1 AND state IN ('dead', 'diverted')",
                    )?
                    .query_row(params![id], |row| {
                        let (receiver, state): (String, String) = (row.get(0)?, row.get(1)?);
                        Ok(json!({ "receiver": receiver, "state": state, "attempts": row.get::<i64>(2)? }))
                    })
                    .optional()?;
                let Some(before) = before else {
                    return Ok(false);
                };
                conn.prepare_cached(
                    "UPDATE outbox SET state = 'pending', attempts = 0, plain = 0, created_at = $1, due_at = $1 WHERE id = $2",
                )?
                .execute(params![millis(at), id])?;
                actions::note(
                    conn,
                    &Doing {
                        actor: &actor,
                        at,
                        action: "replay",
                        subject: format!("delivery {id}"),
                        after: Some(json!({ "receiver": before["receiver"], "state": "pending", "attempts": 0 })),
                        before: Some(before),
                    },
                )?;
                News::Outbox.tell(conn)?;
                News::Changed.tell(conn)?;
                Ok(true)
            })
            .await
    }

    /// Sends all dead letters of a receiver anew, in their order. Returns how many there were.
    pub async fn replay_all(&self, receiver: &str, actor: &Actor) -> Result<u64, StoreError> {
        let (at, actor, receiver) = (self.clock.now(), actor.clone(), receiver.to_owned());
        self.main
            .write(move |session| {
                let conn = &session.conn;
                let mut ids = conn
                    .prepare_cached(
                        "UPDATE outbox SET state = 'pending', attempts = 0, plain = 0, created_at = $1, due_at = $1 \
                         WHERE receiver = $2 AND state = 'dead' RETURNING id",
                    )?
                    .query_map(params![millis(at), receiver], |row| row.get(0))?
                    .collect::<sql::Result<Vec<i64>>>()?;
                if ids.is_empty() {
                    return Ok(0);
                }
                ids.sort_unstable();
                actions::note(
                    conn,
                    &Doing {
                        actor: &actor,
                        at,
                        action: "replay",
                        subject: format!("receiver {receiver}"),
                        before: Some(json!({ "dead": ids })),
                        after: Some(json!({ "pending": ids })),
                    },
                )?;
                News::Outbox.tell(conn)?;
                News::Changed.tell(conn)?;
                Ok(ids.len() as u64)
            })
            .await
    }
}
