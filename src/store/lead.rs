//! Which of the replicas that share a server leads. It holds a lease, a row that it renews by the server's clock. Each
//! lease has a number, and whatever the leader commits stands only while that number does: one that was paused for
//! longer than its lease finds another's number there, and changes nothing.
//!
//! The same connection hears what other replicas tell, and compares clocks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Store, StoreError,
    error::sort,
    location::{Location, ServerLocation},
    sql::{self, Connection, Error, OptionalExtension as _, params},
};
use crate::clock::Clock;

/// How long a lease holds without being renewed.
const LEASE: Duration = Duration::from_secs(9);
/// How often it is renewed, and how often others look whether it ran out.
const RENEW: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_secs(1);
/// One answer of the server; less than what is left of a lease after a renewal.
const PATIENCE: Duration = Duration::from_secs(4);
/// Between attempts to connect.
const PAUSE: Duration = Duration::from_millis(500);
/// A clock is set right when it is wrong by so much; less is as good as right, and time should flow evenly.
const TOLERANCE_MS: i64 = 100;
/// Where replicas tell each other what is new.
const CHANNEL: &str = "prow_notifier";

/// The server's clock, in milliseconds since 1970.
pub(super) const NOW: &str = "cast(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)";

/// The number of a lease. What was loaded under one is of no use under another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Epoch(pub(super) i64);

#[cfg(test)]
impl Epoch {
    /// One of this number.
    pub(crate) fn for_tests(number: i64) -> Self {
        Self(number)
    }
}

/// What another replica did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It accepted an observation, or changed what decisions depend on.
    Inbox,
    /// It put a message into the outbox.
    Outbox,
    /// It changed what pages show.
    Changed,
    /// It does not lead any more.
    Lead,
}

impl News {
    const ALL: [Self; 4] = [Self::Inbox, Self::Outbox, Self::Changed, Self::Lead];

    fn word(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Outbox => "outbox",
            Self::Changed => "changed",
            Self::Lead => "lead",
        }
    }

    fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|news| news.word() == word)
    }

    /// Tells all replicas, once the transaction is committed. A file has no other replicas.
    pub(super) fn tell(self, conn: &Connection) -> sql::Result<()> {
        if !conn.is_shared() {
            return Ok(());
        }
        conn.put("SELECT pg_notify($1, $2)", params![CHANNEL, self.word()])
    }
}

/// Whether this process leads.
#[derive(Debug)]
pub(super) struct Lead {
    /// For people who look at the table.
    holder: String,
    epoch: watch::Sender<Option<Epoch>>,
}

impl Lead {
    /// The one process that uses a file always leads.
    pub(super) fn alone() -> Self {
        Self {
            holder: String::new(),
            epoch: watch::Sender::new(Some(Epoch::default())),
        }
    }

    /// One of several, which leads once it holds the lease.
    pub(super) fn among_others() -> Self {
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy();
        // Containers may share a name and all have process 1.
        let random = getrandom::u32().unwrap_or_default();
        Self {
            holder: format!("{host} (process {}) {random:08x}", std::process::id()),
            epoch: watch::Sender::new(None),
        }
    }

    pub(super) fn holder(&self) -> &str {
        &self.holder
    }

    pub(super) fn epoch(&self) -> Option<Epoch> {
        *self.epoch.borrow()
    }

    fn set(&self, epoch: Option<Epoch>) {
        let changed = self.epoch.send_if_modified(|known| {
            let changes = *known != epoch;
            *known = epoch;
            changes
        });
        match epoch {
            Some(_) if changed => info!("Leads from now on"),
            None if changed => warn!("Does not lead any more, another replica takes over"),
            _ => {}
        }
    }
}

/// Makes sure that the lease still has this number, and that nobody takes it over before the commit.
pub(super) fn fence(conn: &Connection, epoch: Epoch) -> sql::Result<()> {
    if !conn.is_shared() {
        return Ok(());
    }
    let held: Option<i64> = conn
        .prepare_cached("SELECT epoch FROM lead WHERE id = 1 AND epoch = $1 FOR KEY SHARE")?
        .query_row(params![epoch.0], |row| row.get(0))
        .optional()?;
    held.map(drop).ok_or(Error::Fenced)
}

impl Store {
    /// The lease under which this process leads; `None` while another does.
    pub fn leads(&self) -> Option<Epoch> {
        self.lead.epoch()
    }

    /// Tells whenever [`Self::leads`] changes.
    pub fn leadership(&self) -> watch::Receiver<Option<Epoch>> {
        self.lead.epoch.subscribe()
    }

    /// Whether other replicas may use it too.
    pub fn is_shared(&self) -> bool {
        matches!(self.main.location(), Location::Server(_))
    }

    /// The time by which replicas agree.
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Strives for the lease, hears what others tell, and keeps the clock right, until told to stop. With a file there
    /// is nothing to do.
    pub async fn take_part(&self, stop: CancellationToken, on_news: impl Fn(News)) {
        let Location::Server(location) = self.main.location().clone() else {
            return stop.cancelled().await;
        };
        while !stop.is_cancelled() {
            let ended = self.session(&location, &stop, &on_news).await;
            if let Err(error) = ended {
                let error = sort(self.main.location(), error);
                debug!(
                    error = &error as &dyn std::error::Error,
                    "Cannot ask who leads"
                );
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Goes on until the connection breaks.
    async fn session(
        &self,
        location: &ServerLocation,
        stop: &CancellationToken,
        on_news: &impl Fn(News),
    ) -> sql::Result<()> {
        let (told, mut heard) = mpsc::unbounded_channel();
        let connected = location.server.connect(PATIENCE, Some(told));
        let (client, mut driver) = tokio::select! {
            connected = connected => connected?,
            () = self.run_out() => return Ok(()),
        };
        let work = async {
            ask(client.batch_execute(&format!("LISTEN {CHANNEL}"))).await?;
            // What was told while nobody listened.
            News::ALL.into_iter().for_each(on_news);
            loop {
                let next = Instant::now() + self.strive(&client).await?;
                loop {
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        word = heard.recv() => match word.as_deref().and_then(News::read) {
                            Some(News::Lead) if self.leads().is_none() => break,
                            Some(news) => on_news(news),
                            None => {}
                        },
                        () = tokio::time::sleep_until(next) => break,
                    }
                }
            }
        };
        tokio::select! {
            ended = work => ended,
            () = &mut driver => Err(Error::Lost),
            () = self.run_out() => Ok(()),
        }
    }

    /// Waits until the lease has run out, as far as this process can know; then another may lead.
    async fn run_out(&self) {
        loop {
            let until = *self
                .held_until
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            match until {
                Some(until) if until > Instant::now() => tokio::time::sleep_until(until).await,
                Some(_) => {
                    self.hold_until(None);
                    self.lead.set(None);
                    return;
                }
                None => std::future::pending().await,
            }
        }
    }

    fn hold_until(&self, until: Option<Instant>) {
        *self
            .held_until
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = until;
    }

    /// Renews the lease, or takes it if nobody holds it; returns after how long to do so again.
    async fn strive(&self, client: &Client) -> sql::Result<Duration> {
        let (asked, asked_at) = (Instant::now(), Clock::System.now());
        let lease_ms = i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX);
        let row = if let Some(epoch) = self.leads() {
            let renew = format!(
                "UPDATE lead SET until = {NOW} + $1 WHERE id = 1 AND epoch = $2 RETURNING epoch, {NOW}"
            );
            ask(client.query_opt(&renew, &[&lease_ms, &epoch.0])).await?
        } else {
            let take = format!(
                "WITH free AS (SELECT id FROM lead WHERE id = 1 AND until < {NOW} FOR UPDATE) \
                 UPDATE lead SET holder = $1, epoch = epoch + 1, until = {NOW} + $2 FROM free \
                 WHERE lead.id = free.id RETURNING epoch, {NOW}"
            );
            ask(client.query_opt(&take, &[&self.lead.holder, &lease_ms])).await?
        };
        let Some(row) = row else {
            self.hold_until(None);
            self.lead.set(None);
            let row = ask(client.query_one(&format!("SELECT {NOW}"), &[])).await?;
            self.compare(asked_at.as_millisecond(), row.try_get(0)?);
            return Ok(LOOK);
        };
        self.compare(asked_at.as_millisecond(), row.try_get(1)?);
        self.hold_until(Some(asked + LEASE));
        self.lead.set(Some(Epoch(row.try_get(0)?)));
        Ok(RENEW)
    }

    /// Compares clocks: the server's answer lies between the question and now.
    fn compare(&self, asked_ms: i64, server_ms: i64) {
        if let Clock::Server(offset) = &self.clock {
            let here = i64::midpoint(asked_ms, Clock::System.now().as_millisecond());
            set_offset(offset, server_ms - here);
        }
    }

    /// Gives the lease up at once, so that nobody has to wait for its end.
    pub(super) async fn hand_over(&self) {
        let Some(epoch) = self.leads().filter(|_| self.is_shared()) else {
            return;
        };
        let given = self.main.write(move |session| {
            session.conn.put(
                "UPDATE lead SET until = 0 WHERE id = 1 AND epoch = $1",
                params![epoch.0],
            )?;
            News::Lead.tell(&session.conn)
        });
        if let Err(error) = given.await {
            debug!(
                error = &error as &dyn std::error::Error,
                "Cannot give the lead up"
            );
        }
    }
}

fn set_offset(offset: &Arc<AtomicI64>, measured_ms: i64) {
    let known = offset.load(Ordering::Relaxed);
    if (known - measured_ms).abs() > TOLERANCE_MS {
        offset.store(measured_ms, Ordering::Relaxed);
    }
}

/// A clock that is right by the server's.
pub(super) async fn agreed(main: &super::file::Reader) -> Result<Clock, StoreError> {
    let asked = Clock::System.now().as_millisecond();
    let server: i64 = main
        .read(|conn| conn.query_row(&format!("SELECT {NOW}"), &[], |row| row.get(0)))
        .await?;
    let here = i64::midpoint(asked, Clock::System.now().as_millisecond());
    let offset = Arc::new(AtomicI64::new(0));
    set_offset(&offset, server - here);
    Ok(Clock::Server(offset))
}

async fn ask<T>(
    question: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> sql::Result<T> {
    Ok(timeout(PATIENCE, question)
        .await
        .map_err(|_| Error::Silent(PATIENCE))??)
}
