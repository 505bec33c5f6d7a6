//! Who sends to a receiver. Of replicas that share a server one holds a receiver's queue at a time, so that its order
//! stays, and asks right before each message whether it still does and whether the webhook's pace lets it go.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    Store, StoreError,
    lead::NOW,
    outbox::Health,
    rows::{millis, time_or_none},
    sql::{self, Connection, OptionalExtension as _, params},
};

/// Longer than a message may take, so that two never send at once; whoever says nothing for so long is gone, and
/// another takes over.
pub const HOLD: Duration = Duration::from_secs(10);
/// A dead webhook is tried again after this long, in case somebody revived it.
pub const DEAD_FOR: Duration = Duration::from_secs(3600);

/// A receiver's queue in our hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Grows with every hand it goes through.
    pub(super) token: i64,
    /// How the receiver fares.
    pub health: Health,
    /// Until when it counts as dead.
    pub dead_until: Option<Timestamp>,
}

/// Whether a message may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Now, and only now.
    Now,
    /// Not yet.
    Wait(Duration),
    /// Somebody else holds the queue by now.
    Lost,
}

impl Store {
    /// Takes hold of a receiver's queue; `None` while another replica holds it.
    pub async fn hold(&self, receiver: &str) -> Result<Option<Hold>, StoreError> {
        let (receiver, holder) = (receiver.to_owned(), self.lead.holder().to_owned());
        self.main
            .write(move |session| hold(&session.conn, &receiver, &holder))
            .await
    }

    /// Lets others have it.
    pub async fn let_go(&self, receiver: &str, hold: &Hold) -> Result<(), StoreError> {
        let (receiver, token) = (receiver.to_owned(), hold.token);
        self.main
            .write(move |session| {
                session.conn.put(
                    "UPDATE holds SET until = 0 WHERE receiver = $1 AND token = $2",
                    params![receiver, token],
                )
            })
            .await
    }

    /// Asks right before a message is posted: holds the queue for as long as that may take, and takes the message's
    /// place in the webhook's pace. `key` names the webhook, `every` is the pause between messages on average, and
    /// `burst` of them may go at once.
    pub async fn may_post(
        &self,
        receiver: &str,
        hold: &Hold,
        key: String,
        every: Duration,
        burst: u32,
    ) -> Result<Turn, StoreError> {
        let (receiver, token) = (receiver.to_owned(), hold.token);
        self.main
            .write(move |session| {
                let conn = &session.conn;
                let kept = conn
                    .prepare_cached(&format!(
                        "UPDATE holds SET until = {NOW} + $1 WHERE receiver = $2 AND token = $3"
                    ))?
                    .execute(params![ms(HOLD), receiver, token])?;
                if kept == 0 {
                    return Ok(Turn::Lost);
                }
                pace(conn, &key, every, burst)
            })
            .await
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn hold(conn: &Connection, receiver: &str, holder: &str) -> sql::Result<Option<Hold>> {
    let known: Option<(i64, Option<Timestamp>)> = conn
        .prepare_cached(&format!(
            "INSERT INTO holds (receiver, holder, token, until) VALUES ($1, $2, 1, {NOW} + $3) \
             ON CONFLICT (receiver) DO UPDATE SET holder = excluded.holder, token = holds.token + 1, \
             until = excluded.until WHERE holds.until < {NOW} OR holds.holder = excluded.holder \
             RETURNING token, dead_until"
        ))?
        .query_row(params![receiver, holder, ms(HOLD)], |row| {
            Ok((row.get(0)?, time_or_none(row, 1)?))
        })
        .optional()?;
    let Some((token, dead_until)) = known else {
        return Ok(None);
    };
    Ok(Some(Hold {
        token,
        health: super::outbox::health(conn, receiver)?,
        dead_until,
    }))
}

/// The generic cell rate algorithm, on the server's clock: a webhook's row holds when its next message would be due if
/// all came evenly, in microseconds.
fn pace(conn: &Connection, key: &str, every: Duration, burst: u32) -> sql::Result<Turn> {
    let now = "cast(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)";
    let every_us = i64::try_from(every.as_micros()).unwrap_or(i64::MAX);
    let ahead_us = every_us.saturating_mul(i64::from(burst.saturating_sub(1)));
    let taken: Option<i64> = conn
        .prepare_cached(&format!(
            "INSERT INTO paces (key, due) VALUES ($1, {now} + $2) ON CONFLICT (key) DO UPDATE \
             SET due = greatest(paces.due, {now}) + $2 WHERE paces.due - $3 <= {now} RETURNING due"
        ))?
        .query_row(params![key, every_us, ahead_us], |row| row.get(0))
        .optional()?;
    if taken.is_some() {
        return Ok(Turn::Now);
    }
    let wait_us: i64 = conn.query_row(
        &format!("SELECT due - $1 - {now} FROM paces WHERE key = $2"),
        params![ahead_us, key],
        |row| row.get(0),
    )?;
    let wait = Duration::from_micros(u64::try_from(wait_us).unwrap_or(0));
    Ok(Turn::Wait(wait.max(Duration::from_millis(1))))
}

/// Whether a delivery's receiver is still in these hands.
pub(super) fn is_held(conn: &Connection, delivery: i64, token: i64) -> sql::Result<bool> {
    let held: Option<i64> = conn
        .prepare_cached(
            "SELECT token FROM holds WHERE receiver = (SELECT receiver FROM outbox WHERE id = $1) AND token = $2 \
             FOR UPDATE",
        )?
        .query_row(params![delivery, token], |row| row.get(0))
        .optional()?;
    Ok(held.is_some())
}

/// Notes until when a receiver counts as dead, or that it does not.
pub(super) fn note_death(
    conn: &Connection,
    receiver: &str,
    health: &Health,
    at: Timestamp,
) -> sql::Result<()> {
    let until = health.dead.as_ref().map(|_| {
        let dead_for = SignedDuration::try_from(DEAD_FOR).unwrap_or(SignedDuration::MAX);
        millis(at.checked_add(dead_for).unwrap_or(Timestamp::MAX))
    });
    conn.put(
        "UPDATE holds SET dead_until = CASE WHEN cast($1 AS bigint) IS NOT NULL AND dead_until > $2 \
         THEN dead_until ELSE cast($1 AS bigint) END WHERE receiver = $3",
        params![until, millis(at), receiver],
    )
}
