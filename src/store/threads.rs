//! The threads of a database file: one writes in groups, others read, or copy its log.

use std::{mem, path::Path, sync::Arc, thread};

use tokio::sync::{mpsc, oneshot};

use super::{
    error::{StoreError, sort, unusable},
    location::Location,
    setup::{Layout, open_copier, open_reader, open_writer},
    sql::{self, Connection},
};

use crate::priority;

/// Writes that wait for the thread; who comes later waits at the channel.
const WAITING: usize = 1024;
/// Writes that share one transaction, and so one sync of the disk.
const GROUP: usize = 512;

/// A piece of work for the writer, or the error to answer when its group could not begin or go on.
pub(super) type Order<M> = Box<dyn FnOnce(Result<&mut Session<M>, &StoreError>) -> Answer + Send>;
/// Tells the asker what came of it, once the group is committed or given up.
pub(super) type Answer = Box<dyn FnOnce(&Result<(), StoreError>) + Send>;
/// A piece of work for the reader.
pub(super) type Query = Box<dyn FnOnce(&Connection) + Send>;
/// What a thread is sent.
pub(super) enum Message<T> {
    /// Work.
    Do(T),
    /// Work that is to share its transaction with no other.
    DoAlone(T),
    /// Finish, and tell when the connection is closed.
    Stop(oneshot::Sender<()>),
}

/// What a writer remembers between transactions.
pub(super) trait Memory: Send + 'static {
    /// What was remembered in this group is on the disk.
    fn keep(&mut self) {}
    /// Writes what was gathered in this group, at its end.
    fn finish(&mut self, _: &Connection) -> sql::Result<()> {
        Ok(())
    }
    /// The group is given up, and what was gathered with it.
    fn abandon(&mut self) {}
    /// Some of what was remembered in this group has been taken back.
    fn forget(&mut self, conn: &Connection);
}

/// Starts the thread that writes; returns once the file is open and up to date.
pub(super) async fn start_writer<M: Memory>(
    path: &Location,
    layout: &'static Layout,
    memory: M,
) -> Result<mpsc::Sender<Message<Order<M>>>, StoreError> {
    let open = move |path: &Location| Ok(Session::new(open_writer(path, layout)?, path, memory));
    let run = |session, orders| {
        if !layout.is_waited_for {
            priority::lower();
        }
        write(session, orders);
    };
    spawn(&format!("{}-writer", layout.name), path, open, run)?.await
}

/// Starts a thread that reads; returns once the file is open.
pub(super) async fn start_reader(
    path: &Location,
    name: &str,
) -> Result<mpsc::Sender<Message<Query>>, StoreError> {
    let run = |conn, queries| {
        priority::lower();
        read(conn, queries);
    };
    spawn(&format!("{name}-reader"), path, open_reader, run)?.await
}

/// Starts a thread that copies the log of a file into it; returns once the file is open.
pub(super) async fn start_copier(
    path: &Arc<Path>,
    layout: &Layout,
) -> Result<mpsc::Sender<Message<Query>>, StoreError> {
    let file = Arc::clone(path);
    let open = move |_: &Location| open_copier(&file);
    let path = Location::File(Arc::clone(path));
    // Not behind the others: in the end a log that grows faster than it is copied holds up its writer.
    spawn(&format!("{}-copier", layout.name), &path, open, read)?.await
}

/// Starts a thread that opens its own connection, so that neither opening nor migrating holds up a task.
fn spawn<C, T: Send + 'static>(
    name: &str,
    path: &Location,
    open: impl FnOnce(&Location) -> Result<C, StoreError> + Send + 'static,
    run: impl FnOnce(C, mpsc::Receiver<Message<T>>) + Send + 'static,
) -> Result<impl Future<Output = Result<mpsc::Sender<Message<T>>, StoreError>>, StoreError> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let (ready, opened) = oneshot::channel();
    let for_thread = path.clone();
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
            Message::Do(query) | Message::DoAlone(query) => query(&conn),
            Message::Stop(done) => {
                told = Some(done);
                break;
            }
        }
    }
    drop((conn, told));
}

fn write<M: Memory>(mut session: Session<M>, mut orders: mpsc::Receiver<Message<Order<M>>>) {
    let mut waiting = Vec::with_capacity(GROUP);
    let mut told = None;
    // No lingering for more: those who come while a group is written are the next group.
    while told.is_none() && orders.blocking_recv_many(&mut waiting, GROUP) > 0 {
        let mut group = Vec::with_capacity(waiting.len());
        for message in waiting.drain(..) {
            match message {
                Message::Do(_) | Message::DoAlone(_) if told.is_some() => {}
                Message::Do(order) => group.push(order),
                Message::DoAlone(order) => {
                    session.write_group(mem::take(&mut group));
                    session.write_group(vec![order]);
                }
                Message::Stop(done) => told = Some(done),
            }
        }
        session.write_group(group);
    }
    drop((session, told));
}

/// The writer's connection.
pub(super) struct Session<M> {
    /// The connection.
    pub(super) conn: Connection,
    /// What it remembers between transactions.
    pub(super) memory: M,
    path: Location,
    /// Why the running group must be given up.
    broken: Option<StoreError>,
}

impl<M: Memory> Session<M> {
    fn new(conn: Connection, path: &Location, mut memory: M) -> Self {
        memory.forget(&conn);
        Self {
            conn,
            memory,
            path: path.clone(),
            broken: None,
        }
    }

    fn write_group(&mut self, orders: Vec<Order<M>>) {
        if orders.is_empty() {
            return;
        }
        let mut failure = self.conn.begin().err().map(|error| sort(&self.path, error));
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
            None => self
                .memory
                .finish(&self.conn)
                .and_then(|()| self.conn.commit())
                .map_err(|error| sort(&self.path, error)),
            Some(error) => Err(error),
        };
        match outcome {
            Ok(()) => self.memory.keep(),
            Err(_) => self.roll_back(),
        }
        for answer in answers {
            answer(&outcome);
        }
    }

    /// Takes back what a failed group did, in the database and here.
    fn roll_back(&mut self) {
        self.memory.abandon();
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.roll_back()
        {
            tracing::warn!(%error, "Cannot roll back a transaction of the store");
        }
        self.memory.forget(&self.conn);
    }

    /// Does work that the whole group stands or falls with. Much cheaper than [`Self::isolated`] when it
    /// touches many pages: SQLite keeps a copy of each for a savepoint, and walks them all after each statement.
    pub(super) fn together<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> sql::Result<T>,
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
        work: impl FnOnce(&mut Self) -> sql::Result<T>,
    ) -> Result<T, StoreError> {
        let result = self.conn.set_savepoint().and_then(|()| work(self));
        let result = result.and_then(|value| self.conn.release_savepoint().map(|()| value));
        result.map_err(|error| {
            let error = sort(&self.path, error);
            // Some errors, such as a full disk, end the transaction of the whole group.
            let lost = self.conn.is_autocommit();
            if lost || self.conn.back_to_savepoint().is_err() {
                self.broken = Some(error.clone());
            }
            self.memory.forget(&self.conn);
            error
        })
    }

    /// Reads in between; an error concerns the asker alone.
    pub(super) fn look<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> sql::Result<T>,
    ) -> Result<T, StoreError> {
        work(self).map_err(|error| {
            let error = sort(&self.path, error);
            if self.conn.is_aborted() {
                self.broken = Some(error.clone());
            }
            error
        })
    }
}
