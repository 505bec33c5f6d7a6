//! The only place with SQL: what was accepted, what it led to, and what is to be sent.
//!
//! Two files, so that intake never waits for decisions: the inbox holds what was accepted, the main file all
//! else. Each has a thread that writes in groups (whatever waits goes into one transaction, and everybody
//! is answered once it is on the disk) and one that reads from a second connection. A [`Store`] is a handle
//! to them. A third connection reads for pages. Nothing outside knows the database: methods name an intent, and no type of its driver is public.

mod actions;
mod aside;
mod batch;
mod checkpoint;
mod commit;
mod counts;
mod error;
mod evidence;
mod explain;
mod file;
mod holds;
mod inbox;
mod jobs;
mod keyed;
mod lead;
mod location;
mod lock;
mod mark;
mod outbox;
pub mod pages;
mod replay;
mod retention;
mod rollup;
mod rows;
mod runs;
mod schema;
mod server;
mod setup;
mod silences;
mod slice;
mod sql;
mod stops;
#[cfg(test)]
mod tests;
mod threads;
mod transfer;

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use tokio::time::Instant;

use crate::{clock::Clock, config::store_url::StoreUrl};

pub use self::{
    actions::{ActionRow, Actor},
    aside::SetAside,
    commit::{Changed, DecisionRow, Work},
    counts::Counts,
    error::{Cause, Obstacle, StoreError},
    evidence::{DueRead, EvidenceTrail, Learned},
    explain::{Attempt, DeliveryTrail, NotificationTrail, Trail, Wait},
    holds::{DEAD_FOR, HOLD, Hold, Turn},
    inbox::{Claim, InboxRow},
    lead::{Epoch, News},
    location::Location,
    lock::FileLock,
    mark::Poisoned,
    outbox::{DeadLetter, Delivery, Divert, Health, Horizon, ReceiverState, Recorded, Then},
    silences::Mark,
    slice::{KnownRun, Sighting, Wanted},
    transfer::Copied,
};
use self::{
    file::{File, Reader},
    inbox::Inbox,
    jobs::Jobs,
    lead::Lead,
    setup::MAIN,
};

/// A handle to the database; cheap to clone. When the last one goes, what was asked for is finished and
/// the database is closed.
#[derive(Debug, Clone)]
pub struct Store {
    main: File<Jobs>,
    /// For people, whose questions hold up no decision.
    pages: Reader,
    inbox: Inbox,
    clock: Clock,
    lead: Arc<Lead>,
    /// Until when the lease surely holds; `None` while it is not ours.
    held_until: Arc<Mutex<Option<Instant>>>,
}

impl Store {
    /// Opens the database at `path` and its inbox beside it; creates them and their folder where there are
    /// none, and brings an older schema up to date.
    pub async fn open(path: &Path, clock: Clock) -> Result<Self, StoreError> {
        let main = File::open(Location::from(path), &MAIN, Jobs::default()).await?;
        let pages = Reader::open(Location::from(path), "pages").await?;
        let inbox = Inbox::open(path).await?;
        // Whatever stood before the first row has been decided, even if the main file is new.
        let passed = inbox.first().await?.unwrap_or(1) - 1;
        let mark = main
            .write(move |session| {
                if mark::get(&session.conn)? < passed {
                    mark::advance(&session.conn, passed)?;
                }
                mark::get(&session.conn)
            })
            .await?;
        inbox.go_on(mark).await?;
        Ok(Self {
            main,
            pages,
            inbox,
            clock,
            lead: Arc::new(Lead::alone()),
            held_until: Arc::default(),
        })
    }

    /// Opens the database at an address, and brings an older schema up to date.
    pub async fn connect(url: &StoreUrl, clock: Clock) -> Result<Self, StoreError> {
        let url = match url {
            StoreUrl::Sqlite(path) => return Self::open(path, clock).await,
            StoreUrl::Postgres(url) => url,
        };
        let location = Location::of_server(url)?;
        let main = File::open(location.clone(), &MAIN, Jobs::default()).await?;
        let clock = match clock {
            Clock::System => lead::agreed(main.reader()).await?,
            other => other,
        };
        let lead = Arc::new(Lead::among_others());
        Ok(Self {
            pages: Reader::open(location.clone(), "pages").await?,
            inbox: Inbox::share(location, Arc::clone(&lead)).await?,
            main,
            clock,
            lead,
            held_until: Arc::default(),
        })
    }

    /// Finishes what was asked for before and closes the database; other handles get
    /// [`StoreError::Stopped`] from now on.
    pub async fn close(self) {
        self.hand_over().await;
        self.inbox.file.close().await;
        self.pages.close().await;
        self.main.close().await;
    }
}
