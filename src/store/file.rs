//! A handle to one database file and to its two threads.

use tokio::sync::{mpsc, oneshot};

use super::{
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
}

impl<M> Clone for File<M> {
    fn clone(&self) -> Self {
        Self {
            writer: self.writer.clone(),
            reader: self.reader.clone(),
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
        let reader = Reader::open(path, layout.name).await?;
        Ok(Self { writer, reader })
    }

    /// Finishes what was asked for before and closes the file; other handles get
    /// [`StoreError::Stopped`] from now on.
    pub(super) async fn close(&self) {
        // The writer goes last: the last connection to close empties the log into the file.
        self.reader.close().await;
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
