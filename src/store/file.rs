//! A handle to one database file and to its threads.

use tokio::sync::{mpsc, oneshot};

use super::{
    checkpoint,
    error::{StoreError, sort},
    location::Location,
    setup::Layout,
    sql::{self, Connection},
    threads::{self, Memory, Message, Order, Query, Session},
};

/// A thread that reads the file through a connection of its own.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    queries: mpsc::Sender<Message<Query>>,
    path: Location,
}

impl Reader {
    /// Opens one more connection to a file that a [`File`] has opened.
    pub(super) async fn open(path: Location, name: &str) -> Result<Self, StoreError> {
        let queries = threads::start_reader(&path, name).await?;
        Ok(Self { queries, path })
    }

    /// Finishes what was asked for before and closes the connection.
    pub(super) async fn close(&self) {
        stop(&self.queries).await;
    }

    /// Reads one consistent state of the file.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> sql::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let query: Query = Box::new(move |conn| {
            let result = conn.snapshot(work);
            drop(reply.send(result));
        });
        let sent = self.queries.send(Message::Do(query)).await;
        sent.map_err(|_| StoreError::Stopped)?;
        let result = answer.await.map_err(|_| StoreError::Stopped)?;
        result.map_err(|error| sort(&self.path, error))
    }
}

/// One database file. Cheap to clone; when the last handle goes, what was asked for is finished and the
/// file is closed.
#[derive(Debug)]
pub(super) struct File<M> {
    writer: mpsc::Sender<Message<Order<M>>>,
    reader: Reader,
    /// Copies the log of a file whose writer is waited for.
    copier: Option<mpsc::Sender<Message<Query>>>,
}

impl<M> Clone for File<M> {
    fn clone(&self) -> Self {
        Self {
            writer: self.writer.clone(),
            reader: self.reader.clone(),
            copier: self.copier.clone(),
        }
    }
}

impl<M: Memory> File<M> {
    /// Opens the file, creates it where there is none, and brings an older schema up to date.
    pub(super) async fn open(
        path: Location,
        layout: &'static Layout,
        memory: M,
    ) -> Result<Self, StoreError> {
        let writer = threads::start_writer(&path, layout, memory).await?;
        let reader = Reader::open(path.clone(), layout.name).await?;
        let copier = match &path {
            Location::File(file) if layout.is_waited_for => {
                Some(threads::start_copier(file, layout).await?)
            }
            Location::File(_) | Location::Server(_) => None,
        };
        let file = Self {
            writer,
            reader,
            copier,
        };
        file.leave_copying().await?;
        Ok(file)
    }

    async fn leave_copying(&self) -> Result<(), StoreError> {
        let Some(copier) = &self.copier else {
            return Ok(());
        };
        // A weak one, so that the copier ends when the last handle goes.
        let copier = copier.downgrade();
        let leave = |session: &mut Session<M>| {
            session.look(|session| checkpoint::leave_to(copier, &mut session.conn))
        };
        self.order(leave).await
    }

    /// Returns once what was left to the copier so far is copied.
    #[cfg(test)]
    pub(super) async fn copied(&self) {
        let (done, copied) = oneshot::channel::<()>();
        if let Some(copier) = &self.copier {
            let tell: Query = Box::new(|_| drop(done));
            drop(copier.send(Message::Do(tell)).await);
            drop(copied.await);
        }
    }

    /// Finishes what was asked for before and closes the file; other handles get
    /// [`StoreError::Stopped`] from now on.
    pub(super) async fn close(&self) {
        // The writer goes last: the last connection to close empties the log into the file.
        self.reader.close().await;
        if let Some(copier) = &self.copier {
            stop(copier).await;
        }
        stop(&self.writer).await;
    }

    /// Which database it is.
    pub(super) fn location(&self) -> &Location {
        &self.reader.path
    }

    /// Its connection that reads.
    pub(super) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Writes in a transaction that others share; a failure takes back this piece of work alone.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session<M>) -> sql::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.order(move |session| session.isolated(work)).await
    }

    /// Writes much in a transaction of its own.
    pub(super) async fn write_alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session<M>) -> sql::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(Message::DoAlone, move |session| session.together(work))
            .await
    }

    /// Has the writer do something, and waits until its group is on the disk.
    pub(super) async fn order<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session<M>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(Message::Do, work).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        how: impl FnOnce(Order<M>) -> Message<Order<M>>,
        work: impl FnOnce(&mut Session<M>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let order: Order<M> = Box::new(move |session| {
            let result = session.map_err(Clone::clone).and_then(work);
            Box::new(move |committed| {
                // Who no longer waits for the answer does not need it.
                drop(reply.send(result.and_then(|value| committed.clone().map(|()| value))));
            })
        });
        let sent = self.writer.send(how(order)).await;
        sent.map_err(|_| StoreError::Stopped)?;
        answer.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// Leaves the writer something to do that may as well not be done. Returns whether it was taken.
    pub(super) fn leave(
        &self,
        work: impl FnOnce(&mut Session<M>) -> Result<(), StoreError> + Send + 'static,
    ) -> bool {
        let order: Order<M> = Box::new(move |session| {
            let result = session.map_err(Clone::clone).and_then(work);
            Box::new(move |committed| {
                if let Err(error) = result.and_then(|()| committed.clone()) {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "Put off tidying up"
                    );
                }
            })
        });
        self.writer.try_send(Message::Do(order)).is_ok()
    }

    /// Reads one consistent state of the file.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> sql::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.reader.read(work).await
    }
}

async fn stop<T>(thread: &mpsc::Sender<Message<T>>) {
    let (done, stopped) = oneshot::channel();
    if thread.send(Message::Stop(done)).await.is_ok() {
        // The thread drops its end once it is through.
        drop(stopped.await);
    }
}
