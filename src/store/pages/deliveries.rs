//! Messages on their way, and whom they go to.

use crate::store::sql::{self, Connection, Row, params};
use jiff::Timestamp;

use crate::{
    domain::notification::Notification,
    store::{
        Attempt, Health, Store, StoreError,
        aside::readable,
        explain::attempts,
        rows::{json, json_or_none, time, time_or_none},
    },
};

/// How a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It waits.
    Pending,
    /// It arrived.
    Sent,
    /// It was given up.
    Dead,
    /// It was given up, and another receiver got a copy.
    Diverted,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Sent, Self::Dead, Self::Diverted];

    /// The word of the store and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Dead => "dead",
            Self::Diverted => "diverted",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }
}

/// Which deliveries.
#[derive(Debug, Clone, Default)]
pub struct WhichDeliveries {
    /// Only those that stand so.
    pub standing: Option<Standing>,
    /// Only those to this receiver.
    pub receiver: Option<String>,
    /// Only those with a smaller number.
    pub before: Option<i64>,
    /// At most so many, the newest first.
    pub limit: usize,
}

/// A delivery with all that was tried.
#[derive(Debug, Clone)]
pub struct DeliveryRow {
    /// Its number.
    pub id: i64,
    /// How it stands.
    pub standing: Standing,
    /// What is said, addressed to the receiver of this delivery.
    pub notification: Notification,
    /// Since when it waits or waited; a replay counts anew.
    pub created_at: Timestamp,
    /// When it is or was to be sent.
    pub due_at: Timestamp,
    /// In order.
    pub attempts: Vec<Attempt>,
}

/// A receiver and its queue.
#[derive(Debug, Clone)]
pub struct ReceiverRow {
    /// Concrete receiver.
    pub name: String,
    /// How it fares.
    pub health: Health,
    /// Deliveries that wait.
    pub pending: u64,
    /// Since when the oldest of them waits.
    pub oldest_at: Option<Timestamp>,
    /// Deliveries that were given up.
    pub dead: u64,
    /// Deliveries of which another receiver got a copy.
    pub diverted: u64,
}

impl Store {
    /// Deliveries, the newest first.
    pub async fn deliveries(&self, which: WhichDeliveries) -> Result<Vec<DeliveryRow>, StoreError> {
        self.pages
            .read(move |conn| {
                let sql = query(&which);
                let mut statement = conn.prepare_cached(&sql)?;
                let before = which.before.unwrap_or(i64::MAX);
                let found = match &which.receiver {
                    Some(receiver) => statement
                        .query_map(params![before, receiver, which.limit], delivery)?
                        .filter_map(readable)
                        .collect::<sql::Result<Vec<_>>>(),
                    None => statement
                        .query_map(params![before, which.limit], delivery)?
                        .filter_map(readable)
                        .collect(),
                };
                with_attempts(conn, found?)
            })
            .await
    }

    /// One delivery.
    pub async fn delivery(&self, id: i64) -> Result<Option<DeliveryRow>, StoreError> {
        self.pages
            .read(move |conn| {
                let found = conn
                    .prepare_cached(&format!("SELECT {COLUMNS} WHERE outbox.id = $1"))?
                    .query_map(params![id], delivery)?
                    .filter_map(readable)
                    .collect::<sql::Result<Vec<_>>>()?;
                Ok(with_attempts(conn, found)?.pop())
            })
            .await
    }

    /// All receivers that ever had something to be sent, by name.
    pub async fn receivers(&self) -> Result<Vec<ReceiverRow>, StoreError> {
        self.pages
            .read(|conn| {
                conn.prepare_cached(
                    "SELECT name, blocked_until, dead, failures, \
                     (SELECT count(*) FROM outbox WHERE state = 'pending' AND receiver = receivers.name), \
                     (SELECT min(created_at) FROM outbox WHERE state = 'pending' AND receiver = receivers.name), \
                     (SELECT count(*) FROM outbox WHERE state = 'dead' AND receiver = receivers.name), \
                     (SELECT count(*) FROM outbox WHERE state = 'diverted' AND receiver = receivers.name) \
                     FROM receivers ORDER BY name",
                )?
                .query_map(&[], receiver)?
                .collect()
            })
            .await
    }
}

/// Of [`delivery`], with the tables they stand in.
const COLUMNS: &str = "outbox.id, notifications.body, outbox.receiver, outbox.state, outbox.created_at, \
     outbox.due_at, outbox.diverted FROM outbox JOIN notifications ON notifications.id = outbox.notification_id";

/// Which index is best follows from the question; without statistics the database cannot know that few wait.
fn query(which: &WhichDeliveries) -> String {
    let index = match (which.standing, &which.receiver) {
        (Some(Standing::Pending), _) => "INDEXED BY outbox_pending",
        (Some(Standing::Dead), _) => "INDEXED BY outbox_dead",
        (Some(Standing::Diverted), _) => "INDEXED BY outbox_diverted",
        (Some(Standing::Sent) | None, Some(_)) => "INDEXED BY outbox_receiver",
        (Some(Standing::Sent) | None, None) => "NOT INDEXED",
    };
    let columns = COLUMNS.replace("FROM outbox", &format!("FROM outbox {index}"));
    let standing = which.standing.map_or_else(String::new, |standing| {
        format!(" AND outbox.state = '{}'", standing.as_str())
    });
    // Parameters are counted by where they first stand.
    let (receiver, limit) = match which.receiver {
        Some(_) => (" AND outbox.receiver = $2", "$3"),
        None => ("", "$2"),
    };
    format!(
        "SELECT {columns} WHERE outbox.id < $1{standing}{receiver} ORDER BY outbox.id DESC LIMIT {limit}"
    )
}

fn delivery(row: &Row<'_>) -> sql::Result<DeliveryRow> {
    let mut notification: Notification = json(row, 1)?;
    notification.receiver = row.get(2)?;
    notification.diverted = json_or_none(row, 6)?;
    let word: String = row.get(3)?;
    Ok(DeliveryRow {
        id: row.get(0)?,
        standing: Standing::parse(&word).unwrap_or(Standing::Dead),
        notification,
        created_at: time(row, 4)?,
        due_at: time(row, 5)?,
        attempts: Vec::new(),
    })
}

fn with_attempts(conn: &Connection, mut found: Vec<DeliveryRow>) -> sql::Result<Vec<DeliveryRow>> {
    for delivery in &mut found {
        delivery.attempts = attempts(conn, delivery.id)?;
    }
    Ok(found)
}

fn receiver(row: &Row<'_>) -> sql::Result<ReceiverRow> {
    Ok(ReceiverRow {
        name: row.get(0)?,
        health: Health {
            blocked_until: time_or_none(row, 1)?,
            dead: row.get(2)?,
            failures: row.get(3)?,
        },
        pending: row.get(4)?,
        oldest_at: time_or_none(row, 5)?,
        dead: row.get(6)?,
        diverted: row.get(7)?,
    })
}
