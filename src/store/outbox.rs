//! What is to be sent, to whom, and how that went.
//!
//! Each concrete receiver has a queue: critical first, then in order. Only its head is ever handed out, so
//! that the end of an incident never overtakes its beginning while that waits for another attempt.

use crate::store::sql::{self, Connection, OptionalExtension as _, Row, params};
use jiff::Timestamp;

use super::{
    Store, StoreError,
    aside::readable,
    batch::free_numbers,
    holds::{self, Hold},
    lead::News,
    rows::{body, json, json_or_none, millis, time, time_or_none},
};
use crate::domain::{
    classify::Severity,
    flush::Told,
    notification::{Diverted, Notification},
};

/// One notification on its way to one receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its number.
    pub id: i64,
    /// What to send, addressed to the receiver of this delivery.
    pub notification: Notification,
    /// Attempts that counted.
    pub attempts: u32,
    /// Whether to send it as plain text, because the full layout was refused.
    pub plain: bool,
    /// Since when it waits; a replay counts anew.
    pub created_at: Timestamp,
    /// When it is to be sent.
    pub due_at: Timestamp,
}

impl Delivery {
    /// Whether somebody has it sent anew and it was not tried since.
    pub fn is_replayed(&self) -> bool {
        let is_copy = self.notification.diverted.is_some();
        self.attempts == 0 && !is_copy && self.created_at > self.notification.at
    }
}

/// A moment, and how far ahead of it anything may have to wait.
#[derive(Debug, Clone, Copy)]
pub struct Horizon {
    /// The moment.
    pub now: Timestamp,
    /// What is said to wait for longer than until then was put off before the clock went back, and does not wait.
    pub latest: Timestamp,
}

impl From<Timestamp> for Horizon {
    fn from(now: Timestamp) -> Self {
        Self {
            now,
            latest: Timestamp::MAX,
        }
    }
}

impl Horizon {
    fn waits(self, until: Timestamp) -> bool {
        self.now < until && until <= self.latest
    }
}

/// What an attempt came to.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Which delivery.
    pub delivery: i64,
    /// When.
    pub at: Timestamp,
    /// One word, such as `sent` or `rate-limited`.
    pub outcome: String,
    /// The answer in words, without secrets.
    pub detail: String,
    /// Whether it counts as an attempt; a wait that the receiver asked for does not.
    pub counted: bool,
    /// What becomes of the delivery.
    pub then: Then,
    /// How the receiver fares from now on; `None` leaves that as it is.
    pub health: Option<Health>,
    /// A copy for another receiver.
    pub divert: Option<Divert>,
    /// Whose hold of the receiver's queue this was tried under; `None` where nobody else could.
    pub hold: Option<Hold>,
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is done.
    Sent,
    /// It is sent again.
    Again {
        /// Not before this.
        due_at: Timestamp,
        /// As plain text.
        plain: bool,
    },
    /// It is given up, until somebody replays it.
    Dead,
}

/// A copy of a refused delivery for another receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divert {
    /// The concrete receiver that gets it.
    pub to: String,
    /// What the copy says of its way.
    pub why: Diverted,
}

/// How a receiver fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Nothing is sent to it before this.
    pub blocked_until: Option<Timestamp>,
    /// Why it counts as dead; `None` while it is not.
    pub dead: Option<String>,
    /// Failures in a row.
    pub failures: u32,
}

/// A receiver and its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverState {
    /// Concrete receiver.
    pub receiver: String,
    /// How it fares.
    pub health: Health,
    /// Deliveries that wait.
    pub pending: u64,
    /// Deliveries that were given up, without those that went to another receiver instead.
    pub dead_letters: u64,
}

/// A delivery that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The delivery.
    pub delivery: Delivery,
    /// When it was last tried; `None` when it never was.
    pub at: Option<Timestamp>,
    /// The last outcome and its detail.
    pub reason: String,
}

/// Columns of [`delivery`]; needs `FROM outbox JOIN notifications ON notifications.id = outbox.notification_id`.
const DELIVERY_COLUMNS: &str = "outbox.id, notifications.body, outbox.receiver, outbox.attempts, outbox.plain, \
     outbox.created_at, outbox.due_at, outbox.diverted";

pub(super) fn delivery(row: &Row<'_>) -> sql::Result<Delivery> {
    let mut notification: Notification = json(row, 1)?;
    notification.receiver = row.get(2)?;
    notification.diverted = json_or_none(row, 7)?;
    Ok(Delivery {
        id: row.get(0)?,
        notification,
        attempts: row.get(3)?,
        plain: row.get(4)?,
        created_at: time(row, 5)?,
        due_at: time(row, 6)?,
    })
}

impl Store {
    /// Receivers that something can be sent to, by name.
    pub async fn receivers_due(
        &self,
        horizon: impl Into<Horizon>,
    ) -> Result<Vec<String>, StoreError> {
        let horizon = horizon.into();
        self.main
            .read(move |conn| {
                let heads = heads(conn)?.into_iter();
                Ok(heads
                    .filter(|head| !head.waits().any(|until| horizon.waits(until)))
                    .map(|head| head.receiver)
                    .collect())
            })
            .await
    }

    /// The head of a receiver's queue; `None` while it is not due or the receiver is blocked.
    pub async fn next_delivery(
        &self,
        receiver: &str,
        horizon: impl Into<Horizon>,
    ) -> Result<Option<Delivery>, StoreError> {
        let (receiver, horizon) = (receiver.to_owned(), horizon.into());
        self.main
            .read(move |conn| {
                if health(conn, &receiver)?
                    .blocked_until
                    .is_some_and(|until| horizon.waits(until))
                {
                    return Ok(None);
                }
                let head = head(conn, &receiver, delivery)?;
                Ok(head.filter(|head| !horizon.waits(head.due_at)))
            })
            .await
    }

    /// When something can be sent next; `None` when nothing waits.
    pub async fn next_delivery_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.main
            .read(|conn| {
                let heads = heads(conn)?;
                Ok(heads.iter().filter_map(|head| head.waits().max()).min())
            })
            .await
    }

    /// Stores what an attempt came to. A delivery that no longer waits only gets another attempt noted.
    pub async fn record(&self, outcome: Recorded) -> Result<(), StoreError> {
        self.main
            .write(move |session| record(&session.conn, &outcome))
            .await
    }

    /// All receivers that ever had something to be sent, by name.
    pub async fn receiver_states(&self) -> Result<Vec<ReceiverState>, StoreError> {
        self.main.read(|conn| {
            conn.prepare_cached(
                "SELECT name, blocked_until, dead, failures, \
                 (SELECT count(*) FROM outbox WHERE state = 'pending' AND receiver = receivers.name), \
                 (SELECT count(*) FROM outbox WHERE state = 'dead' AND receiver = receivers.name) \
                 FROM receivers ORDER BY name",
            )?
            .query_map(&[], |row| {
                Ok(ReceiverState {
                    receiver: row.get(0)?,
                    health: Health {
                        blocked_until: time_or_none(row, 1)?,
                        dead: row.get(2)?,
                        failures: row.get(3)?,
                    },
                    pending: row.get(4)?,
                    dead_letters: row.get(5)?,
                })
            })?
            .collect()
        })
        .await
    }

    /// Deliveries that were given up, newest first, at most `limit`.
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        self.main
            .read(move |conn| {
                conn.prepare_cached(&format!(
                    "SELECT {DELIVERY_COLUMNS}, attempts.at, attempts.outcome, attempts.detail \
                 FROM outbox JOIN notifications ON notifications.id = outbox.notification_id \
                 LEFT JOIN attempts ON attempts.id = \
                 (SELECT max(last.id) FROM attempts AS last WHERE last.delivery_id = outbox.id) \
                 WHERE outbox.state = 'dead' ORDER BY outbox.id DESC LIMIT $1"
                ))?
                .query_map(params![limit], dead_letter)?
                .filter_map(readable)
                .collect()
            })
            .await
    }
}

fn dead_letter(row: &Row<'_>) -> sql::Result<DeadLetter> {
    let outcome: Option<String> = row.get(9)?;
    let detail: Option<String> = row.get(10)?;
    let reason = match (outcome, detail) {
        (Some(outcome), Some(detail)) if !detail.is_empty() => format!("{outcome}: {detail}"),
        (outcome, _) => outcome.unwrap_or_else(|| "never tried".to_owned()),
    };
    Ok(DeadLetter {
        delivery: delivery(row)?,
        at: time_or_none(row, 8)?,
        reason,
    })
}

/// The head of a receiver's queue.
struct Head {
    receiver: String,
    blocked_until: Option<Timestamp>,
    due_at: Timestamp,
}

impl Head {
    /// What it waits for.
    fn waits(&self) -> impl Iterator<Item = Timestamp> {
        self.blocked_until.into_iter().chain([self.due_at])
    }
}

fn heads(conn: &Connection) -> sql::Result<Vec<Head>> {
    let mut statement = conn.prepare_cached(
        "SELECT name, blocked_until, (SELECT due_at FROM outbox WHERE state = 'pending' AND receiver = receivers.name \
         ORDER BY critical DESC, id LIMIT 1) FROM receivers ORDER BY name",
    )?;
    let heads = statement.query_map(&[], |row| {
        let Some(due_at) = time_or_none(row, 2)? else {
            return Ok(None);
        };
        Ok(Some(Head {
            receiver: row.get(0)?,
            blocked_until: time_or_none(row, 1)?,
            due_at,
        }))
    })?;
    heads.filter_map(sql::Result::transpose).collect()
}

/// What goes to a receiver next, read from [`DELIVERY_COLUMNS`].
pub(super) fn head<T>(
    conn: &Connection,
    receiver: &str,
    read: impl FnOnce(&Row<'_>) -> sql::Result<T>,
) -> sql::Result<Option<T>> {
    conn.prepare_cached(&format!(
        "SELECT {DELIVERY_COLUMNS} FROM outbox JOIN notifications ON notifications.id = outbox.notification_id \
         WHERE outbox.state = 'pending' AND outbox.receiver = $1 \
         ORDER BY outbox.critical DESC, outbox.id LIMIT 1"
    ))?
    .query_row(params![receiver], read)
    .optional()
}

pub(super) fn health(conn: &Connection, receiver: &str) -> sql::Result<Health> {
    let known = conn
        .prepare_cached("SELECT blocked_until, dead, failures FROM receivers WHERE name = $1")?
        .query_row(params![receiver], |row| {
            Ok(Health {
                blocked_until: time_or_none(row, 0)?,
                dead: row.get(1)?,
                failures: row.get(2)?,
            })
        })
        .optional()?;
    Ok(known.unwrap_or_default())
}

/// Stores notifications with a delivery each.
pub(super) fn enqueue(conn: &Connection, told: &[Told]) -> sql::Result<()> {
    let mut numbers = free_numbers(conn, "notifications", told.len())?
        .into_iter()
        .flatten();
    for told in told {
        let notification = &told.notification;
        let id = put_notification(conn, notification, numbers.next())?;
        for incident in &told.incidents {
            conn.put(
                "INSERT INTO notification_incidents (notification_id, incident_id) VALUES ($1, $2) \
                 ON CONFLICT DO NOTHING",
                params![id, incident.0],
            )?;
        }
        let critical = notification.severity == Severity::Critical;
        add_delivery(
            conn,
            id,
            &notification.receiver,
            critical,
            notification.at,
            None,
        )?;
    }
    Ok(())
}

/// Returns its number: the given one, if there is one.
fn put_notification(
    conn: &Connection,
    notification: &Notification,
    number: Option<i64>,
) -> sql::Result<i64> {
    let (event, at, body) = (
        notification.event.as_str(),
        millis(notification.at),
        body(notification),
    );
    let values = params![notification.id, event, notification.receiver, at, body];
    let Some(number) = number else {
        return conn
            .prepare_cached(
                "INSERT INTO notifications (shown_id, event, receiver, at, body) \
                 VALUES ($1, $2, $3, $4, $5) RETURNING id",
            )?
            .query_row(values, |row| row.get(0));
    };
    let mut numbered = values.to_vec();
    numbered.push(&number);
    conn.put(
        "INSERT INTO notifications (shown_id, event, receiver, at, body, id) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        &numbered,
    )?;
    Ok(number)
}

fn add_delivery(
    conn: &Connection,
    notification: i64,
    receiver: &str,
    critical: bool,
    at: Timestamp,
    diverted: Option<&Diverted>,
) -> sql::Result<()> {
    conn.put("INSERT INTO outbox (notification_id, receiver, critical, state, attempts, plain, created_at, due_at, diverted) \
         VALUES ($1, $2, $3, 'pending', 0, 0, $4, $5, $6)", params![notification, receiver, critical, millis(at), millis(at), diverted.map(body)])?;
    conn.put(
        "INSERT INTO receivers (name, failures) VALUES ($1, 0) ON CONFLICT (name) DO NOTHING",
        params![receiver],
    )
}

/// Stores what an attempt came to.
pub(super) fn record(conn: &Connection, outcome: &Recorded) -> sql::Result<()> {
    conn.put(
        "INSERT INTO attempts (delivery_id, at, outcome, detail) VALUES ($1, $2, $3, $4)",
        params![
            outcome.delivery,
            millis(outcome.at),
            outcome.outcome,
            outcome.detail
        ],
    )?;
    News::Changed.tell(conn)?;
    if let Some(hold) = &outcome.hold
        && !holds::is_held(conn, outcome.delivery, hold.token)?
    {
        // Whoever holds it now tells what became of it.
        return Ok(());
    }
    let Some((notification, receiver, critical)) = settle(conn, outcome)? else {
        return Ok(());
    };
    if outcome.then == Then::Sent {
        // When the first message about an incident was accepted.
        conn.put(
            "UPDATE incidents SET notified_at = $1 WHERE notified_at IS NULL AND id IN \
             (SELECT incident_id FROM notification_incidents WHERE notification_id = $2)",
            params![millis(outcome.at), notification],
        )?;
    }
    if let Some(health) = &outcome.health {
        conn.put(
            "UPDATE receivers SET blocked_until = $1, dead = $2, failures = $3 WHERE name = $4",
            params![
                health.blocked_until.map(millis),
                health.dead,
                health.failures,
                receiver
            ],
        )?;
        if outcome.hold.is_some() {
            holds::note_death(conn, &receiver, health, outcome.at)?;
        }
    }
    if outcome.divert.is_some() {
        News::Outbox.tell(conn)?;
    }
    match &outcome.divert {
        Some(divert) => add_delivery(
            conn,
            notification,
            &divert.to,
            critical,
            outcome.at,
            Some(&divert.why),
        ),
        None => Ok(()),
    }
}

/// Moves a waiting delivery on; returns its notification, receiver and urgency, `None` when it did not wait.
fn settle(conn: &Connection, outcome: &Recorded) -> sql::Result<Option<(i64, String, bool)>> {
    let (state, due_at, plain) = match outcome.then {
        Then::Sent => ("sent", None, None),
        Then::Again { due_at, plain } => ("pending", Some(millis(due_at)), Some(plain)),
        // Its copy for another receiver says it all, so nobody needs to look after the original.
        Then::Dead if outcome.divert.is_some() => ("diverted", None, None),
        Then::Dead => ("dead", None, None),
    };
    conn.prepare_cached(
        "UPDATE outbox SET state = $1, due_at = coalesce($2, due_at), plain = coalesce($3, plain), \
         attempts = attempts + $4 WHERE id = $5 AND state = 'pending' RETURNING notification_id, receiver, critical",
    )?
    .query_row(params![state, due_at, plain, i64::from(outcome.counted), outcome.delivery], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })
    .optional()
}
