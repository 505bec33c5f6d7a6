//! What was accepted and waits for its decision, in a file of its own, so that intake never waits for
//! those who decide.
//!
//! The main file keeps a mark, the number of the last row that is decided, put off or set aside there, and
//! moves it in the commit that does so. Rows up to the mark do not count any more, whenever they are
//! deleted; so a stop between any two steps neither loses nor repeats anything.

use std::{
    mem,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use crate::store::sql::{self, Connection, OptionalExtension as _, Row, params};
use jiff::Timestamp;

use super::{
    Store, StoreError,
    file::File,
    lead::{Lead, News},
    location::Location,
    mark::{self, Poisoned, Progress},
    rows::{body, millis, time, to_millis},
    setup::INBOX,
    threads::{Memory, Session},
};
use crate::domain::observation::Observation;

/// Decided rows that may pile up before they are deleted: few enough that intake hardly notices.
const SWEEP: i64 = 1_000;

/// An accepted observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxRow {
    /// Its number; an earlier one was accepted earlier.
    pub seq: i64,
    /// The observation, its times to the millisecond.
    pub observation: Observation,
    /// How often it was put off.
    pub attempts: u32,
    /// When it was accepted.
    pub received_at: Timestamp,
}

/// The oldest observations that are due.
#[derive(Debug, Clone, Default)]
pub struct Claim {
    /// In the order of acceptance.
    pub rows: Vec<InboxRow>,
    /// Whether more are due beyond the limit.
    pub more: bool,
    /// Rows that cannot be read.
    pub poisoned: Vec<Poisoned>,
}

/// A row before its body is read.
pub(super) struct Raw {
    pub(super) seq: i64,
    pub(super) received_at: Timestamp,
    pub(super) attempts: u32,
    pub(super) body: Vec<u8>,
}

/// The inbox's file.
#[derive(Debug, Clone)]
pub(super) struct Inbox {
    pub(super) file: File<Numbers>,
    /// Number of the last row that is on the disk.
    accepted: Arc<AtomicI64>,
    /// Rows up to this one have been deleted.
    swept: Arc<AtomicI64>,
}

/// The numbers of rows; none is given twice, though rows go away.
#[derive(Debug)]
pub(super) struct Numbers {
    last: i64,
    kept: Arc<AtomicI64>,
    /// A server, which numbers rows itself, gets all of a group in one statement: times and bodies.
    gathered: (Vec<i64>, Vec<String>),
    lead: Arc<Lead>,
}

impl Memory for Numbers {
    fn finish(&mut self, conn: &Connection) -> sql::Result<()> {
        let (times, bodies) = mem::take(&mut self.gathered);
        if bodies.is_empty() {
            return Ok(());
        }
        conn.put(
            "INSERT INTO inbox (received_at, body) SELECT * FROM unnest($1::bigint[], $2::text[])",
            params![times, bodies],
        )?;
        match self.lead.epoch() {
            Some(_) => Ok(()),
            None => News::Inbox.tell(conn),
        }
    }

    fn abandon(&mut self) {
        self.gathered = Default::default();
    }

    fn keep(&mut self) {
        self.kept.store(self.last, Ordering::Release);
    }

    fn forget(&mut self, conn: &Connection) {
        if conn.is_shared() {
            return;
        }
        // A commit that failed may have come through all the same.
        let stored = conn
            .query_row("SELECT max(seq) FROM inbox", &[], |row| row.get(0))
            .unwrap_or(None);
        let kept = self.kept.load(Ordering::Acquire);
        self.last = stored.map_or(kept, |stored: i64| stored.max(kept));
    }
}

impl Inbox {
    /// Opens the file beside the main one at `path`.
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        let location = Location::from(path.with_extension("inbox.db"));
        Self::share(location, Arc::new(Lead::alone())).await
    }

    /// Opens the table that replicas share, or a file.
    pub(super) async fn share(location: Location, lead: Arc<Lead>) -> Result<Self, StoreError> {
        let accepted = Arc::new(AtomicI64::new(0));
        let numbers = Numbers {
            last: 0,
            kept: Arc::clone(&accepted),
            gathered: Default::default(),
            lead,
        };
        Ok(Self {
            file: File::open(location, &INBOX, numbers).await?,
            accepted,
            swept: Arc::new(AtomicI64::new(0)),
        })
    }

    /// The lowest number that is stored.
    pub(super) async fn first(&self) -> Result<Option<i64>, StoreError> {
        let first =
            |conn: &Connection| conn.query_row("SELECT min(seq) FROM inbox", &[], |row| row.get(0));
        self.file.read(first).await
    }

    /// Goes on after the last number that was ever given.
    pub(super) async fn go_on(&self, mark: i64) -> Result<(), StoreError> {
        let go_on = move |session: &mut Session<Numbers>| {
            session.memory.last = session.memory.last.max(mark);
            Ok(())
        };
        self.file.order(go_on).await?;
        self.sweep(mark);
        Ok(())
    }

    /// Number of the last row that was accepted.
    pub(super) fn accepted(&self) -> i64 {
        self.accepted.load(Ordering::Acquire)
    }

    /// Deletes rows up to the mark once there are enough of them.
    pub(super) fn sweep_some(&self, mark: i64) {
        if mark - self.swept.load(Ordering::Relaxed) >= SWEEP {
            self.sweep(mark);
        }
    }

    fn sweep(&self, mark: i64) {
        let sweep = move |session: &mut Session<Numbers>| {
            session.isolated(|session| {
                session
                    .conn
                    .prepare_cached("DELETE FROM inbox WHERE seq <= $1")?
                    .execute(params![mark])
                    .map(drop)
            })
        };
        if self.file.leave(sweep) {
            self.swept.store(mark, Ordering::Relaxed);
        }
    }

    /// Writes a row, to see whether that works.
    pub(super) async fn probe(&self, now: Timestamp) -> Result<(), StoreError> {
        self.file
            .write(move |session| {
                session
                    .conn
                    .prepare_cached("INSERT INTO probe (id, at) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET at = excluded.at")?
                    .execute(params![millis(now)])
                    .map(drop)
            })
            .await
    }
}

impl Store {
    /// Stores observations; when it returns they are on the disk. Times are kept to the millisecond.
    pub async fn accept(&self, observations: Vec<Observation>) -> Result<(), StoreError> {
        if observations.is_empty() {
            return Ok(());
        }
        let received_at = millis(self.clock.now());
        let bodies: Vec<String> = observations
            .into_iter()
            .map(|observation| body(&at_millis(observation)))
            .collect();
        self.inbox
            .file
            .order(move |session| session.together(|session| insert(session, received_at, bodies)))
            .await
    }

    /// The oldest observations due at `now`, at most `limit`. They wait until a [`Store::commit`] takes
    /// all of them: as decided, put off, or set aside.
    pub async fn claim(&self, limit: usize, now: Timestamp) -> Result<Claim, StoreError> {
        let wanted = limit.saturating_add(1);
        let (mark, mut raw) = self
            .main
            .read(move |conn| Ok((mark::floor(conn)?, mark::due(conn, wanted, now)?)))
            .await?;
        // Bodies are read on the reader's thread too, which holds up nobody.
        let read = move |conn: &Connection| {
            let wanted = wanted.saturating_sub(raw.len());
            if wanted > 0 {
                raw.extend(after(conn, mark, wanted)?);
            }
            raw.sort_by_key(|row| row.seq);
            let more = raw.len() > limit;
            raw.truncate(limit);
            Ok(Claim::read(raw, more))
        };
        self.inbox.file.read(read).await
    }

    /// The oldest observations behind the one with this number, at most `limit`, for whoever is about to commit
    /// everything up to it. `None` while some that were put off are due, which come first.
    pub async fn claim_behind(
        &self,
        seq: i64,
        limit: usize,
        now: Timestamp,
    ) -> Result<Option<Claim>, StoreError> {
        let (mark, due) = self
            .main
            .read(|conn| Ok((mark::floor(conn)?, mark::next_due(conn)?)))
            .await?;
        if due.is_some_and(|due| due <= now) {
            return Ok(None);
        }
        let read = move |conn: &Connection| {
            // Of rows that had been put off the number may be lower than what was decided since.
            let mut raw = after(conn, mark.max(seq), limit.saturating_add(1))?;
            let more = raw.len() > limit;
            raw.truncate(limit);
            Ok(Some(Claim::read(raw, more)))
        };
        self.inbox.file.read(read).await
    }

    /// How many observations wait, those put off included.
    pub async fn inbox_depth(&self) -> Result<u64, StoreError> {
        let progress = self.main.read(mark::progress).await?;
        Ok(self.waiting(&progress))
    }

    /// Of a file counted, not scanned. The mark must be read before: it never comes to pass what is accepted.
    pub(super) fn waiting(&self, progress: &Progress) -> u64 {
        let new = progress
            .shared
            .unwrap_or_else(|| u64::try_from(self.inbox.accepted() - progress.mark).unwrap_or(0));
        new + progress.parked
    }

    /// When the next observation is due: in the past when some are waiting, `None` when there are none.
    pub async fn next_inbox_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let next = |conn: &Connection| Ok((mark::floor(conn)?, mark::next_due(conn)?));
        let (mark, parked) = self.main.read(next).await?;
        let waiting = move |conn: &Connection| {
            conn.prepare_cached(
                "SELECT received_at FROM inbox WHERE seq > $1 ORDER BY seq LIMIT 1",
            )?
            .query_row(params![mark], |row| time(row, 0))
            .optional()
        };
        let waiting = self.inbox.file.read(waiting).await?;
        Ok(waiting.into_iter().chain(parked).min())
    }
}

impl Claim {
    fn read(raw: Vec<Raw>, more: bool) -> Self {
        let mut claim = Self {
            more,
            ..Self::default()
        };
        for row in raw {
            match serde_json::from_slice(&row.body) {
                Ok(observation) => claim.rows.push(InboxRow {
                    seq: row.seq,
                    observation,
                    attempts: row.attempts,
                    received_at: row.received_at,
                }),
                Err(error) => claim.poisoned.push(Poisoned {
                    seq: row.seq,
                    error: error.to_string(),
                    received_at: row.received_at,
                    body: String::from_utf8_lossy(&row.body).into_owned(),
                }),
            }
        }
        claim
    }
}

/// Finer times would change on their way through the store, and with them the order of runs.
fn at_millis(mut observation: Observation) -> Observation {
    observation.seen_at = to_millis(observation.seen_at);
    observation.started_at = observation.started_at.map(to_millis);
    observation.completed_at = observation.completed_at.map(to_millis);
    observation
}

fn insert(
    session: &mut Session<Numbers>,
    received_at: i64,
    bodies: Vec<String>,
) -> sql::Result<()> {
    if session.conn.is_shared() {
        let gathered = &mut session.memory.gathered;
        gathered.0.extend(bodies.iter().map(|_| received_at));
        gathered.1.extend(bodies);
        return Ok(());
    }
    let mut insert = session
        .conn
        .prepare_cached("INSERT INTO inbox (seq, received_at, body) VALUES ($1, $2, $3)")?;
    for body in bodies {
        session.memory.last += 1;
        insert.execute(params![session.memory.last, received_at, body])?;
    }
    Ok(())
}

fn after(conn: &Connection, mark: i64, limit: usize) -> sql::Result<Vec<Raw>> {
    conn.prepare_cached(
        "SELECT seq, received_at, 0, body FROM inbox WHERE seq > $1 ORDER BY seq LIMIT $2",
    )?
    .query_map(params![mark, limit], raw)?
    .collect()
}

/// Reads `seq, received_at, attempts, body`.
pub(super) fn raw(row: &Row<'_>) -> sql::Result<Raw> {
    Ok(Raw {
        seq: row.get(0)?,
        received_at: time(row, 1)?,
        attempts: row.get(2)?,
        body: row.bytes(3)?.to_vec(),
    })
}
