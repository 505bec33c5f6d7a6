//! One connection to PostgreSQL, used by one thread as if it were a file: statements are prepared once, what only
//! the commit depends on is sent along without waiting for an answer, and a connection that broke is replaced.

use std::{
    cell::RefCell,
    collections::HashMap,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use futures_util::future::{MaybeDone, maybe_done};
use tokio::{runtime::Runtime, task::JoinHandle};
use tokio_postgres::{Row, types::ToSql};

use super::{
    Param,
    error::{Error, Result},
    to_postgres,
    value::{Kept, Value},
};
use crate::store::server::Server;

/// First and longest pause between attempts to connect anew.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// What is sent along at most before an answer is waited for.
const AHEAD: usize = 2_000;

/// A connection, or what is needed for the next one.
pub(in crate::store) struct Client {
    inner: RefCell<Inner>,
}

struct Inner {
    runtime: Runtime,
    server: Arc<Server>,
    /// How long an answer may take.
    patience: Duration,
    link: Option<Link>,
    /// When to try again, and after how long then.
    again: (Instant, Duration),
    state: State,
    ahead: Vec<Ahead>,
    /// How often an answer was waited for.
    #[cfg(test)]
    waits: usize,
}

struct Link {
    client: tokio_postgres::Client,
    statements: HashMap<Box<str>, tokio_postgres::Statement>,
    driver: JoinHandle<()>,
}

/// Where a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is none.
    Idle,
    Open,
    /// Something in it failed, so all does until it is taken back.
    Aborted,
}

/// Sent without waiting for the answer.
enum Ahead {
    Plain(String),
    Prepared(Box<str>, Vec<Kept>),
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Client {
    /// Connects. An answer may take `patience`; the server gives up a statement a little earlier.
    pub(in crate::store) fn open(server: &Arc<Server>, patience: Duration) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::Unreachable(format!("no runtime can be made: {error}")))?;
        let mut inner = Inner {
            runtime,
            server: Arc::clone(server),
            patience,
            link: None,
            again: (Instant::now(), PAUSES.0),
            state: State::Idle,
            ahead: Vec::new(),
            #[cfg(test)]
            waits: 0,
        };
        inner.connect()?;
        Ok(Self {
            inner: RefCell::new(inner),
        })
    }

    /// Begins a transaction with these words.
    pub(super) fn begin(&self, words: &str) -> Result<()> {
        let mut inner = self.inner.borrow_mut();
        // Whatever became of the last one, which may have ended with its connection.
        if inner.state != State::Idle {
            inner.state = State::Idle;
            inner.link = None;
        }
        inner.ahead.clear();
        inner.ensure()?;
        inner.state = State::Open;
        inner.ahead.push(Ahead::Plain(words.to_owned()));
        Ok(())
    }

    pub(super) fn commit(&self) -> Result<()> {
        let mut inner = self.inner.borrow_mut();
        if inner.state == State::Aborted {
            return Err(Error::Aborted);
        }
        inner.ahead.push(Ahead::Plain("COMMIT".to_owned()));
        inner.flush()?;
        inner.state = State::Idle;
        Ok(())
    }

    pub(super) fn roll_back(&self) -> Result<()> {
        let mut inner = self.inner.borrow_mut();
        inner.ahead.clear();
        inner.state = State::Idle;
        let done = inner.talk(async |link| Ok(link.client.batch_execute("ROLLBACK").await?));
        if done.is_err() {
            // The server takes back what nobody commits.
            inner.link = None;
        }
        done
    }

    /// Ends a transaction that only read; nobody waits for that.
    pub(super) fn end_read(&self) {
        if self.roll_back().is_err() {
            tracing::debug!("A connection to the database broke after it was read from");
        }
    }

    pub(super) fn back_to_savepoint(&self) -> Result<()> {
        let mut inner = self.inner.borrow_mut();
        if inner.link.is_none() {
            return Err(Error::Lost);
        }
        // The place itself may not be sent yet. What fails of it is taken back just now.
        drop(inner.flush());
        inner.state = State::Open;
        let words = "ROLLBACK TO SAVEPOINT work; RELEASE SAVEPOINT work";
        inner.talk(async |link| Ok(link.client.batch_execute(words).await?))
    }

    /// How often an answer was waited for.
    #[cfg(test)]
    pub(in crate::store) fn waits(&self) -> usize {
        self.inner.borrow().waits
    }

    pub(super) fn is_autocommit(&self) -> bool {
        let inner = self.inner.borrow();
        inner.state == State::Idle || inner.link.is_none()
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.inner.borrow().state == State::Aborted
    }

    /// Runs statements without values, now.
    pub(super) fn batch(&self, sql: &str) -> Result<()> {
        let mut inner = self.inner.borrow_mut();
        inner.ensure()?;
        inner.flush()?;
        inner.talk(async |link| Ok(link.client.batch_execute(sql).await?))
    }

    /// Sends a statement without waiting for its answer.
    pub(super) fn put(&self, sql: &str, values: &[&dyn Param]) -> Result<()> {
        let mut inner = self.inner.borrow_mut();
        inner.ensure()?;
        let values = values.iter().map(|value| value.value().keep()).collect();
        inner.ahead.push(Ahead::Prepared(sql.into(), values));
        if inner.ahead.len() >= AHEAD || inner.state == State::Idle {
            return inner.flush();
        }
        Ok(())
    }

    pub(super) fn execute(&self, sql: &str, values: &[&dyn Param]) -> Result<usize> {
        let mut inner = self.inner.borrow_mut();
        let values: Vec<Value<'_>> = values.iter().map(|value| value.value()).collect();
        inner.ask(sql, async |client, statement| {
            let touched = client.execute_raw(statement, refs(&values)).await?;
            Ok(usize::try_from(touched).unwrap_or(usize::MAX))
        })
    }

    pub(super) fn query(&self, sql: &str, values: &[&dyn Param]) -> Result<Vec<Row>> {
        let mut inner = self.inner.borrow_mut();
        let values: Vec<Value<'_>> = values.iter().map(|value| value.value()).collect();
        let values: Vec<&(dyn ToSql + Sync)> = values
            .iter()
            .map(|value| value as &(dyn ToSql + Sync))
            .collect();
        inner.ask(sql, async |client, statement| {
            client.query(statement, &values).await
        })
    }
}

fn refs<'v>(values: &'v [Value<'v>]) -> impl ExactSizeIterator<Item = &'v dyn ToSql> {
    values.iter().map(|value| value as &dyn ToSql)
}

impl Inner {
    /// Makes sure that there is a connection; a transaction that lost its own gets no other.
    fn ensure(&mut self) -> Result<()> {
        match self.state {
            State::Aborted => return Err(Error::Aborted),
            State::Open if self.link.is_none() => return Err(Error::Lost),
            State::Open => return Ok(()),
            State::Idle => {}
        }
        // What happened to the connection while nobody used it shows only when it is looked at.
        self.runtime.block_on(async {
            for _ in 0..2 {
                tokio::task::yield_now().await;
            }
        });
        let is_closed = |link: &Link| link.client.is_closed() || link.driver.is_finished();
        if self.link.as_ref().is_none_or(is_closed) {
            self.link = None;
            self.connect()?;
        }
        Ok(())
    }

    fn connect(&mut self) -> Result<()> {
        let (at, pause) = self.again;
        if Instant::now() < at {
            return Err(Error::Unreachable(
                "it broke, and is soon tried anew".to_owned(),
            ));
        }
        let (server, patience) = (Arc::clone(&self.server), self.patience);
        match self.runtime.block_on(server.connect(patience, None)) {
            Ok((client, driver)) => {
                let driver = self.runtime.spawn(driver);
                self.again = (Instant::now(), PAUSES.0);
                self.ahead.clear();
                self.link = Some(Link {
                    client,
                    statements: HashMap::new(),
                    driver,
                });
                Ok(())
            }
            Err(error) => {
                self.again = (Instant::now() + pause, (pause * 2).min(PAUSES.1));
                Err(error)
            }
        }
    }

    /// Waits for something of the server, but not for ever.
    fn talk<T>(&mut self, work: impl AsyncFnOnce(&Link) -> Result<T>) -> Result<T> {
        #[cfg(test)]
        {
            self.waits += 1;
        }
        let link = self.link.as_ref().ok_or(Error::Lost)?;
        let patience = self.patience;
        let result = self
            .runtime
            .block_on(async { tokio::time::timeout(patience, work(link)).await })
            .unwrap_or(Err(Error::Silent(patience)));
        if let Err(error) = &result {
            if self.state == State::Open {
                self.state = State::Aborted;
            }
            if error.ends_connection() || self.link.as_ref().is_none_or(|it| it.client.is_closed())
            {
                self.link = None;
            }
        }
        result
    }

    /// Prepares statements that are not yet.
    fn prepare<'s>(&mut self, wanted: impl Iterator<Item = &'s str>) -> Result<()> {
        for sql in wanted {
            let known = |link: &Link| link.statements.contains_key(sql);
            if self.link.as_ref().is_some_and(known) {
                continue;
            }
            let text = to_postgres(sql);
            let statement = self.talk(async |link| Ok(link.client.prepare(&text).await?))?;
            if let Some(link) = &mut self.link {
                link.statements.insert(sql.into(), statement);
            }
        }
        Ok(())
    }

    /// Waits for the answers to all that was sent ahead.
    fn flush(&mut self) -> Result<()> {
        if self.ahead.is_empty() {
            return Ok(());
        }
        let ahead = std::mem::take(&mut self.ahead);
        self.prepare_all(&ahead)?;
        self.talk(async |link| in_order(sent(link, &ahead)).await)
    }

    fn prepare_all(&mut self, ahead: &[Ahead]) -> Result<()> {
        // The transaction must be open before anything in it can fail.
        self.prepare(ahead.iter().filter_map(|one| match one {
            Ahead::Prepared(sql, _) => Some(&**sql),
            Ahead::Plain(_) => None,
        }))
    }

    /// Asks, behind all that was sent ahead.
    fn ask<T>(
        &mut self,
        sql: &str,
        work: impl AsyncFnOnce(
            &tokio_postgres::Client,
            &tokio_postgres::Statement,
        ) -> std::result::Result<T, tokio_postgres::Error>,
    ) -> Result<T> {
        self.ensure()?;
        let ahead = std::mem::take(&mut self.ahead);
        self.prepare_all(&ahead)?;
        self.prepare(std::iter::once(sql))?;
        self.talk(async |link| {
            let statement = link.statements.get(sql).ok_or(Error::Lost)?;
            let mut first = sent(link, &ahead);
            start(&mut first).await;
            let answer = work(&link.client, statement).await;
            in_order(first).await?;
            Ok(answer?)
        })
    }
}

type Sending<'a> = Pin<Box<MaybeDone<Pin<Box<dyn Future<Output = Result<()>> + 'a>>>>>;

/// What is to be sent, in order.
fn sent<'a>(link: &'a Link, ahead: &'a [Ahead]) -> Vec<Sending<'a>> {
    ahead
        .iter()
        .map(|one| {
            let future: Pin<Box<dyn Future<Output = Result<()>> + 'a>> = match one {
                Ahead::Plain(sql) => {
                    Box::pin(async move { Ok(link.client.batch_execute(sql).await?) })
                }
                Ahead::Prepared(sql, values) => Box::pin(async move {
                    let statement = link.statements.get(sql).ok_or(Error::Lost)?;
                    let values: Vec<Value<'_>> = values.iter().map(Kept::value).collect();
                    link.client.execute_raw(statement, refs(&values)).await?;
                    Ok(())
                }),
            };
            Box::pin(maybe_done(future))
        })
        .collect()
}

/// Sends all: a request goes out when it is first looked at.
async fn start(all: &mut [Sending<'_>]) {
    poll_fn(|context| {
        for one in all.iter_mut() {
            // Its outcome is asked for later.
            let (Poll::Ready(()) | Poll::Pending) = one.as_mut().poll(context);
        }
        Poll::Ready(())
    })
    .await;
}

/// Sends all and waits for the answers; gives the first error.
async fn in_order(mut all: Vec<Sending<'_>>) -> Result<()> {
    start(&mut all).await;
    let mut outcome = Ok(());
    for mut one in all {
        one.as_mut().await;
        let done = one.as_mut().take_output().unwrap_or(Ok(()));
        outcome = outcome.and(done);
    }
    outcome
}
