//! From a source to Slack: intake → inbox → worker (the core) → outbox → sender.

pub mod backfill;
pub mod catch_up;
pub mod intake;
pub mod live;
pub mod poller;
pub mod pulse;
pub mod reading;
pub mod reload;
pub mod reports;
pub mod resolver;
pub mod roster;
mod ruling;
pub mod seen;
pub mod sender;
pub mod stopper;
pub mod trail;
pub mod watcher;
pub mod worker;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, atomic::AtomicUsize},
};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::error::ConfigError,
    domain::observation::Observation,
    http::Http,
    metrics::Metrics,
    store::{News, Store},
};
use catch_up::CatchUp;
use live::Live;
use reading::Library;
use reports::Reports;
use resolver::Unresolved;

/// What every part of the running process shares. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The time.
    pub clock: Clock,
    /// The store.
    pub store: Store,
    /// The HTTP client.
    pub http: Http,
    /// Every metric.
    pub metrics: Arc<Metrics>,
    /// The configuration in force.
    pub live: watch::Receiver<Arc<Live>>,
    /// Counts what was accepted since the start.
    pub arrivals: Arc<AtomicUsize>,
    /// Rung when something came into the inbox.
    pub inbox_bell: Arc<Notify>,
    /// Rung when something came into the outbox.
    pub outbox_bell: Arc<Notify>,
    /// What other parts report to the worker.
    pub reports: Arc<Reports>,
    /// Where logs are read.
    pub library: Arc<Library>,
    /// Rung when there are runs whose reason is to be read.
    pub reads_bell: Arc<Notify>,
    /// Counts what changed in the store, for whoever shows it.
    pub changes: Arc<watch::Sender<u64>>,
    /// Runs that messages tell of which name no ProwJob.
    pub unresolved: Arc<Unresolved>,
    /// Since when nobody told us anything, and what is being done about it.
    pub catch_up: Arc<CatchUp>,
    /// Rung when a fresh list of deck is wanted at once.
    pub deck_bell: Arc<Notify>,
}

/// Where the configuration comes from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// The environment at start.
    pub environment: BTreeMap<String, String>,
}

impl Shared {
    /// A number to spread retries with; which one does not matter, only that callers differ.
    pub fn jitter(&self) -> u64 {
        u64::try_from(self.clock.now().as_nanosecond().rem_euclid(1_000_003)).unwrap_or_default()
    }

    /// Tells open pages that there is something new.
    pub fn changed(&self) {
        self.changes.send_modify(|number| *number += 1);
    }

    /// Waits until this replica leads; `false` when told to stop first. What is reported from then on is of its lease.
    pub async fn leads(&self, stop: &CancellationToken) -> bool {
        let mut leadership = self.store.leadership();
        let epoch = tokio::select! {
            biased;
            () = stop.cancelled() => return false,
            leads = leadership.wait_for(Option::is_some) => leads.ok().and_then(|epoch| *epoch),
        };
        if let Some(epoch) = epoch {
            self.reports.belong_to(epoch);
        }
        epoch.is_some()
    }

    /// Waits until this replica leads no more.
    pub async fn loses_lead(&self) {
        let mut leadership = self.store.leadership();
        drop(leadership.wait_for(Option::is_none).await);
    }

    /// Takes part among the replicas that share the store, until told to stop.
    pub async fn take_part(self, stop: CancellationToken) {
        let mut leadership = self.store.leadership();
        let shown = async {
            loop {
                let leads = leadership.borrow_and_update().is_some();
                self.metrics.leader.set(i64::from(leads));
                if leadership.changed().await.is_err() {
                    return std::future::pending::<()>().await;
                }
            }
        };
        let hears = |news| match news {
            News::Inbox => self.inbox_bell.notify_one(),
            News::Outbox => self.outbox_bell.notify_one(),
            News::Changed => self.changed(),
            News::Lead => {}
        };
        tokio::select! {
            () = self.store.take_part(stop, hears) => {}
            () = shown => {}
        }
    }

    /// The configuration in force now.
    pub fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.borrow())
    }
}

impl Origin {
    /// Reads the configuration anew.
    pub fn load(&self, first_start: Option<jiff::Timestamp>) -> Result<Live, ConfigError> {
        Live::build(
            crate::config::Config::load(&self.paths, &self.environment)?,
            &self.environment,
            first_start,
        )
    }
}

/// Whether anybody may want to hear of a run of this type. What nobody watches is not even stored when it
/// comes from a list; a webhook about it is stored and decided, since somebody took the trouble to send it.
fn is_watched(live: &Live, run: &Observation) -> bool {
    live.snapshot.policy.types.contains(&run.job_type)
}
