//! The daemon as a whole: opens things, starts them, and stops them so that nothing is lost.

use std::{io::ErrorKind, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use jiff::Timestamp;
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

use crate::{
    clock::Clock,
    cluster::Problem,
    config::Config,
    http::Http,
    metrics::{Metrics, SourceLabel},
    pipeline::{
        Origin, Shared,
        backfill::Backfiller,
        live::Live,
        poller::Poller,
        reading::{Library, Reader},
        reload::Reloader,
        resolver::Resolver,
        sender::Sender,
        stopper::Stopper,
        watcher::Watcher,
        worker::Worker,
    },
    priority,
    prow::api,
    store::{FileLock, Store},
    web::{self, Web},
};

/// Key in the store: when this daemon first started with it.
const FIRST_START: &str = "first_start";
/// Pause between rounds of retention.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// Rows deleted at once, so that intake never waits long.
const PRUNE_ROWS: usize = 2_000;
/// How long the parts may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// A daemon, ready to run.
#[derive(Debug)]
pub struct App {
    /// What its parts share.
    pub shared: Shared,
    /// Where it listens.
    pub address: SocketAddr,
    listener: TcpListener,
    reloader: Reloader,
    lock: FileLock,
}

impl App {
    /// Reads the configuration, opens the store and the listener. Nothing runs yet.
    pub async fn build(origin: Origin, clock: Clock) -> Result<Self> {
        let config = Config::load(&origin.paths, &origin.environment)?;
        let url = config.settings.store.clone();
        // Secrets are checked before a store is made.
        Live::build(config, &origin.environment, None)?;
        let store = Store::connect(&url, clock.clone()).await?;
        let lock = store.lock()?;
        let clock = store.clock();
        let first_start = first_start(&store, &clock).await?;
        let live = origin.load(Some(first_start))?;
        may_stop(&live).await?;
        let listen = live.snapshot.config.settings.listen;
        let listener = TcpListener::bind(listen).await.map_err(|error| {
            let advice = how_to_listen(error.kind());
            anyhow!("cannot listen on {listen} ({error}): {advice}")
        })?;
        let address = listener.local_addr()?;
        let metrics = Arc::new(Metrics::new());
        let waiting = store.inbox_depth().await?;
        metrics
            .observations
            .get_or_create(&SourceLabel { source: "restart" })
            .inc_by(waiting);
        let (sender, receiver) = watch::channel(Arc::new(live));
        let shared = Shared {
            clock: clock.clone(),
            store,
            http: Http::new()?,
            metrics: Arc::clone(&metrics),
            live: receiver,
            arrivals: Arc::default(),
            inbox_bell: Arc::new(Notify::new()),
            outbox_bell: Arc::new(Notify::new()),
            reports: Arc::default(),
            library: Arc::new(Library::new(origin.environment.clone())),
            reads_bell: Arc::new(Notify::new()),
            unresolved: Arc::default(),
            catch_up: Arc::default(),
            deck_bell: Arc::new(Notify::new()),
            changes: Arc::new(watch::Sender::new(0)),
        };
        Ok(Self {
            shared,
            address,
            listener,
            reloader: Reloader::new(origin, sender, metrics).by(clock),
            lock,
        })
    }

    /// Runs until told to stop. A part that ends by itself ends the whole.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        let Self {
            shared,
            listener,
            reloader,
            address,
            lock,
        } = self;
        info!(server.address = %address, "Listening on {address}");
        // Sources stop first, then what they feed.
        let failed = CancellationToken::new();
        let (sources, inside) = (Group::new(&failed), Group::new(&failed));
        // Before any source tells anything.
        let backfiller = Backfiller::prepare(shared.clone()).await?;
        sources.spawn("backfill", |stop| backfiller.run(stop));
        let web = Web::new(shared.clone(), stop.clone());
        sources.spawn("web", |stop| web::serve(listener, web, stop));
        sources.spawn("poller", |stop| Poller::new(shared.clone()).run(stop));
        sources.spawn("watcher", |stop| Watcher::new(shared.clone()).run(stop));
        sources.spawn("reloader", |stop| reloader.run(stop));
        sources.spawn("retention", |stop| prune(shared.clone(), stop));
        sources.spawn("reader", |stop| Reader::new(shared.clone()).run(stop));
        sources.spawn("resolver", |stop| Resolver::new(shared.clone()).run(stop));
        sources.spawn("stopper", |stop| Stopper::new(shared.clone()).run(stop));
        inside.spawn("worker", |stop| decide(Worker::new(shared.clone()), stop));
        inside.spawn("replica", |stop| shared.clone().take_part(stop));
        inside.spawn("sender", |stop| Sender::new(shared.clone()).run(stop));
        tokio::select! {
            () = stop.cancelled() => info!("Stopping"),
            () = failed.cancelled() => {}
        }
        let died = failed.is_cancelled();
        sources.end("sources").await;
        inside.end("worker and sender").await;
        shared.store.close().await;
        drop(lock);
        info!("Stopped");
        anyhow::ensure!(
            !died,
            "a part of the daemon ended by itself; see the log above"
        );
        Ok(())
    }
}

/// Refuses to start when runs are to be stopped without the right to do so. When nobody can say, that is told later.
async fn may_stop(live: &Live) -> Result<()> {
    let settings = &live.snapshot.config.settings;
    let Some(watch) = (settings.watch.as_ref()).filter(|_| live.snapshot.policy.orders_stops())
    else {
        return Ok(());
    };
    let (kubeconfig, timeout) = (watch.kubeconfig.as_deref(), watch.timeout);
    match api::may_stop(kubeconfig, &watch.namespace, timeout).await {
        Err(error) if matches!(error.problem, Problem::Forbidden { .. }) => Err(error)
            .context("`abort_downstream: on` is not possible; grant the right or write suggest"),
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "Cannot ask whether runs may be stopped, going on without: {error}"
            );
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Runs the worker on a thread of its own, behind those that accept.
async fn decide(worker: Worker, stop: CancellationToken) {
    let runtime = tokio::runtime::Handle::current();
    let thread = tokio::task::spawn_blocking(move || {
        priority::lower();
        runtime.block_on(worker.run(stop));
    });
    if let Err(error) = thread.await
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

/// Parts that are told to stop together.
struct Group {
    tracker: TaskTracker,
    stop: CancellationToken,
    /// Set when any part of the daemon has failed.
    failed: CancellationToken,
}

impl Group {
    fn new(failed: &CancellationToken) -> Self {
        Self {
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            failed: failed.clone(),
        }
    }

    /// Runs a part; when it ends before it was told to, or panics, the daemon ends.
    fn spawn<F: Future<Output = ()> + Send + 'static>(
        &self,
        name: &'static str,
        part: impl FnOnce(CancellationToken) -> F,
    ) {
        let (failed, stop) = (self.failed.clone(), self.stop.clone());
        let running = self.tracker.spawn(part(stop.clone()));
        self.tracker.spawn(async move {
            match running.await {
                Err(panicked) => error!(
                    part = name,
                    error = &panicked as &dyn std::error::Error,
                    "A part of the daemon panicked"
                ),
                Ok(()) if stop.is_cancelled() => return,
                Ok(()) => error!(part = name, "A part of the daemon ended by itself"),
            }
            failed.cancel();
        });
    }

    /// Tells all of them to stop and waits for that.
    async fn end(&self, what: &str) {
        self.stop.cancel();
        self.tracker.close();
        let ended = tokio::time::timeout(STOP_WITHIN, self.tracker.wait()).await;
        if ended.is_err() {
            warn!(
                what,
                "Not everything stopped in time; what was under way is in the store and goes on at the next start"
            );
        }
    }
}

/// What to do where one cannot listen.
fn how_to_listen(why: ErrorKind) -> &'static str {
    match why {
        ErrorKind::AddrInUse => {
            "another process is there; end it, or set server.listen to another port"
        }
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address; set server.listen to one that it has, such as 0.0.0.0:8080"
        }
        ErrorKind::PermissionDenied => {
            "this user may not; set server.listen to a port from 1024 on"
        }
        _ => "check server.listen",
    }
}

async fn first_start(store: &Store, clock: &Clock) -> Result<Timestamp> {
    let stored = store
        .init_meta(FIRST_START, clock.now().to_string())
        .await?;
    stored
        .parse()
        .context("cannot read the time of the first start in the store")
}

/// Deletes what is older than the retention, a little at a time.
async fn prune(shared: Shared, stop: CancellationToken) {
    while shared.leads(&stop).await {
        let older_than = shared
            .clock
            .now()
            .checked_sub(shared.live().snapshot.config.settings.retention)
            .unwrap_or(Timestamp::MIN);
        let deleted = shared
            .store
            .prune(older_than, PRUNE_ROWS)
            .await
            .unwrap_or_else(|error| {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "Cannot delete what is older than store.retention"
                );
                0
            });
        let pause = if deleted >= PRUNE_ROWS as u64 {
            Duration::from_secs(1)
        } else {
            PRUNE_EVERY
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the daemon goes on after a part has run.
    async fn goes_on<F: Future<Output = ()> + Send + 'static>(
        part: impl FnOnce(CancellationToken) -> F,
    ) -> bool {
        let failed = CancellationToken::new();
        let group = Group::new(&failed);
        group.spawn("part", part);
        tokio::task::yield_now().await;
        group.end("parts").await;
        !failed.is_cancelled()
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_ends_before_it_is_told_to_ends_the_daemon() {
        let waits = |stop: CancellationToken| async move { stop.cancelled().await };
        assert!(goes_on(waits).await);
        assert!(!goes_on(|_| async {}).await, "without a word");
        assert!(!goes_on(|_| async { panic!("on purpose") }).await);
    }
}
