//! The two threads that own the connections: one writes in groups, one reads.

use std::{num::NonZeroUsize, path::Path, sync::Arc, thread};

use lru::LruCache;
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::{mpsc, oneshot};

use super::{
    error::{StoreError, sort, unusable},
    setup::{open_reader, open_writer},
};

/// Writes that wait for the thread; who comes later waits at the channel.
const WAITING: usize = 1024;
/// Writes that share one transaction, and so one sync of the disk.
const GROUP: usize = 512;
/// Job identities whose number is remembered; the database knows the others.
const KNOWN_JOBS: NonZeroUsize = NonZeroUsize::new(8192).expect("not zero");

/// A piece of work for the writer, or the error to answer when its group could not begin or go on.
pub(super) type Order = Box<dyn FnOnce(Result<&mut Session, &StoreError>) -> Answer + Send>;
/// Tells the asker what came of it, once the group is committed or given up.
pub(super) type Answer = Box<dyn FnOnce(&Result<(), StoreError>) + Send>;
/// A piece of work for the reader.
pub(super) type Query = Box<dyn FnOnce(&Connection) + Send>;

/// What a thread is sent.
pub(super) enum Message<T> {
    /// Work.
    Do(T),
    /// Finish, and tell when the connection is closed.
    Stop(oneshot::Sender<()>),
}

/// Starts both threads; returns once the database is open and up to date.
pub(super) async fn start(
    path: &Arc<Path>,
) -> Result<(mpsc::Sender<Message<Order>>, mpsc::Sender<Message<Query>>), StoreError> {
    let writer = spawn(
        "store-writer",
        path,
        |path| Session::new(open_writer(path)?, path),
        write,
    )?;
    let writer = writer.await?;
    let reader = spawn("store-reader", path, open_reader, read)?.await?;
    Ok((writer, reader))
}

/// Starts a thread that opens its own connection, so that neither opening nor migrating holds up a task.
fn spawn<C, T: Send + 'static>(
    name: &str,
    path: &Arc<Path>,
    open: impl FnOnce(&Arc<Path>) -> Result<C, StoreError> + Send + 'static,
    run: impl FnOnce(C, mpsc::Receiver<Message<T>>) + Send + 'static,
) -> Result<impl Future<Output = Result<mpsc::Sender<Message<T>>, StoreError>>, StoreError> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let (ready, opened) = oneshot::channel();
    let for_thread = Arc::clone(path);
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || match open(&for_thread) {
            Ok(connection) => {
                if ready.send(Ok(())).is_ok() {
                    run(connection, receiver);
                }
            }
            Err(error) => drop(ready.send(Err(error))),
        })
        .map_err(|error| {
            unusable(
                path,
                "no thread can be started for it, raise the limit of threads",
                Some(Arc::new(error)),
            )
        })?;
    Ok(async move {
        opened
            .await
            .unwrap_or(Err(StoreError::Stopped))
            .map(|()| sender)
    })
}

fn read(conn: Connection, mut queries: mpsc::Receiver<Message<Query>>) {
    let mut told = None;
    while let Some(message) = queries.blocking_recv() {
        match message {
            Message::Do(query) => query(&conn),
            Message::Stop(done) => {
                told = Some(done);
                break;
            }
        }
    }
    drop((conn, told));
}

fn write(mut session: Session, mut orders: mpsc::Receiver<Message<Order>>) {
    let mut waiting = Vec::with_capacity(GROUP);
    let mut told = None;
    // No lingering for more: those who come while a group is written are the next group.
    while told.is_none() && orders.blocking_recv_many(&mut waiting, GROUP) > 0 {
        let mut group = Vec::with_capacity(waiting.len());
        for message in waiting.drain(..) {
            match message {
                Message::Do(order) if told.is_none() => group.push(order),
                Message::Do(_) => {}
                Message::Stop(done) => told = Some(done),
            }
        }
        session.write_group(group);
    }
    drop((session, told));
}

/// The writer's connection and what it remembers between transactions.
pub(super) struct Session {
    /// The connection.
    pub(super) conn: Connection,
    path: Arc<Path>,
    jobs: LruCache<String, i64>,
    /// Number of the last accepted observation.
    accepted: i64,
    /// The same as committed.
    accepted_before: i64,
    /// Why the running group must be given up.
    broken: Option<StoreError>,
}

impl Session {
    fn new(conn: Connection, path: &Arc<Path>) -> Result<Self, StoreError> {
        let accepted = conn
            .query_row(
                "SELECT value FROM counters WHERE name = 'accepted'",
                [],
                |row| row.get(0),
            )
            .optional()
            .map_err(|error| sort(path, error))?
            .unwrap_or(0);
        Ok(Self {
            conn,
            path: Arc::clone(path),
            jobs: LruCache::new(KNOWN_JOBS),
            accepted,
            accepted_before: accepted,
            broken: None,
        })
    }

    fn write_group(&mut self, orders: Vec<Order>) {
        if orders.is_empty() {
            return;
        }
        let mut failure = self
            .step("BEGIN IMMEDIATE")
            .err()
            .map(|error| sort(&self.path, error));
        let mut answers = Vec::with_capacity(orders.len());
        for order in orders {
            if let Some(error) = &failure {
                answers.push(order(Err(error)));
            } else {
                answers.push(order(Ok(self)));
                failure = self.broken.take();
            }
        }
        let outcome = match failure {
            None => self.commit().map_err(|error| sort(&self.path, error)),
            Some(error) => Err(error),
        };
        if outcome.is_err() {
            self.forget();
        }
        for answer in answers {
            answer(&outcome);
        }
    }

    fn commit(&mut self) -> rusqlite::Result<()> {
        if self.accepted != self.accepted_before {
            bump(&self.conn, "accepted", self.accepted - self.accepted_before)?;
        }
        self.step("COMMIT")?;
        self.accepted_before = self.accepted;
        Ok(())
    }

    /// Takes back what a failed group did, in the database and here.
    fn forget(&mut self) {
        self.accepted = self.accepted_before;
        self.jobs.clear();
        if !self.conn.is_autocommit()
            && let Err(error) = self.step("ROLLBACK")
        {
            tracing::warn!(%error, "Cannot roll back a transaction of the store");
        }
    }

    /// Does work that the whole group stands or falls with: cheaper than [`Self::isolated`].
    pub(super) fn together<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        work(self).map_err(|error| {
            let error = sort(&self.path, error);
            self.broken = Some(error.clone());
            error
        })
    }

    /// Does work that leaves the rest of the group alone when it fails.
    pub(super) fn isolated<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let result = self.step("SAVEPOINT work").and_then(|()| work(self));
        let result = result.and_then(|value| self.step("RELEASE work").map(|()| value));
        result.map_err(|error| {
            let error = sort(&self.path, error);
            self.jobs.clear();
            // Some errors, such as a full disk, end the transaction of the whole group.
            let lost = self.conn.is_autocommit();
            if lost || self.step("ROLLBACK TO work").is_err() || self.step("RELEASE work").is_err()
            {
                self.broken = Some(error.clone());
            }
            error
        })
    }

    /// Reads in between; an error concerns the asker alone.
    pub(super) fn look<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        work(&self.conn).map_err(|error| sort(&self.path, error))
    }

    fn step(&self, sql: &str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// The number of the next observation. Numbers are never used twice, though rows go away.
    pub(super) fn next_seq(&mut self) -> i64 {
        self.accepted += 1;
        self.accepted
    }

    /// The number of a job, given when it is first seen.
    pub(super) fn job_id(&mut self, key: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.jobs.get(key) {
            return Ok(*id);
        }
        let known = self
            .conn
            .prepare_cached("SELECT id FROM jobs WHERE key = $1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        let id = match known {
            Some(id) => id,
            None => self
                .conn
                .prepare_cached("INSERT INTO jobs (key) VALUES ($1) RETURNING id")?
                .query_row([key], |row| row.get(0))?,
        };
        self.jobs.put(key.to_owned(), id);
        Ok(id)
    }
}

/// Adds to a counter.
pub(super) fn bump(conn: &Connection, name: &str, by: i64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO counters (name, value) VALUES ($1, $2) \
         ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value",
    )?
    .execute(params![name, by])
    .map(drop)
}
