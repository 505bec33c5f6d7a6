//! The only place with SQL: what was accepted, what it led to, and what is to be sent.
//!
//! One thread writes, in groups: whatever waits goes into one transaction, and everybody is answered once
//! it is on the disk. Another thread reads, from a second connection. A [`Store`] is a handle to both.
//! Nothing outside knows the database: methods name an intent, and no type of its driver is public.

mod commit;
mod counts;
mod error;
mod explain;
mod inbox;
mod outbox;
mod retention;
mod rows;
mod setup;
mod slice;
#[cfg(test)]
mod tests;
mod threads;

use std::{path::Path, sync::Arc};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;

use self::threads::{Message, Order, Query, Session};
pub use self::{
    commit::{Changed, DecisionRow, Work},
    counts::Counts,
    error::{Cause, Obstacle, StoreError},
    explain::{Attempt, DeliveryTrail, NotificationTrail, Trail},
    inbox::{Claim, InboxRow, Poisoned},
    outbox::{DeadLetter, Delivery, Divert, Health, ReceiverState, Recorded, Then},
    slice::{KnownRun, Sighting},
};

/// A handle to the database; cheap to clone. When the last one goes, what was asked for is finished and
/// the database is closed.
#[derive(Debug, Clone)]
pub struct Store {
    writer: mpsc::Sender<Message<Order>>,
    reader: mpsc::Sender<Message<Query>>,
    path: Arc<Path>,
    clock: Clock,
}

impl Store {
    /// Opens the database at `path`; creates it and its folder where there is none, and brings an older
    /// schema up to date.
    pub async fn open(path: &Path, clock: Clock) -> Result<Self, StoreError> {
        let path: Arc<Path> = Arc::from(path);
        let (writer, reader) = threads::start(&path).await?;
        Ok(Self {
            writer,
            reader,
            path,
            clock,
        })
    }

    /// Finishes what was asked for before and closes the database; other handles get
    /// [`StoreError::Stopped`] from now on.
    pub async fn close(self) {
        // The writer goes last: the last connection to close empties the log into the file.
        stop(&self.reader).await;
        stop(&self.writer).await;
    }

    /// Writes in a transaction that others share; a failure takes back this piece of work alone.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.order(move |session| session.isolated(work)).await
    }

    async fn order<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let order: Order = Box::new(move |session| {
            let result = session.map_err(Clone::clone).and_then(work);
            Box::new(move |committed| {
                // Who no longer waits for the answer does not need it.
                drop(reply.send(result.and_then(|value| committed.clone().map(|()| value))));
            })
        });
        let sent = self.writer.send(Message::Do(order)).await;
        sent.map_err(|_| StoreError::Stopped)?;
        answer.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// Reads one consistent state of the database.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let query: Query = Box::new(move |conn| {
            let result = conn
                .unchecked_transaction()
                .and_then(|transaction| work(&transaction));
            drop(reply.send(result));
        });
        let sent = self.reader.send(Message::Do(query)).await;
        sent.map_err(|_| StoreError::Stopped)?;
        let result = answer.await.map_err(|_| StoreError::Stopped)?;
        result.map_err(|error| error::sort(&self.path, error))
    }
}

async fn stop<T>(thread: &mpsc::Sender<Message<T>>) {
    let (done, stopped) = oneshot::channel();
    if thread.send(Message::Stop(done)).await.is_ok() {
        // The thread drops its end once it is through.
        drop(stopped.await);
    }
}
