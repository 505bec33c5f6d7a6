//! Watches ProwJobs through the API of Kubernetes: lists them once, then hears of each change, and goes on where it
//! was when a connection ends. A sibling of the poller: whatever either of them, or a webhook, shows first is
//! handled, and the rest is known already.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    Shared, backfill, is_watched,
    pulse::{self, Fares},
    roster::{self, Roster},
    seen::Seen,
};
use crate::{
    cluster::{Cluster, ClusterError, Problem},
    config::settings::WatchSettings,
    domain::{
        backoff,
        observation::{Observation, Source},
    },
    metrics::ResultLabel,
    prow::api::{self, Event, Events, Page},
    store::StoreError,
};

/// First and longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Between two looks whether watching is wanted by now.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// A watch that ends sooner, and told nothing, is not asked for again at once.
const SHORT: Duration = Duration::from_secs(1);
/// Key in the store: the first whole list has been taken in.
const FIRST_LIST_DONE: &str = "first_list_done.watch";

/// The one that watches.
#[derive(Debug)]
pub struct Watcher {
    shared: Shared,
    seen: Seen,
    roster: Roster,
    fares: Fares,
    failures: u32,
    /// `None` after a failure, so that what a file or the environment says of it is read anew.
    cluster: Option<Cluster>,
    /// Where a watch goes on, and under which settings; `None` when the list is to be read first.
    place: Option<(WatchSettings, String)>,
}

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    /// Kubernetes did not tell.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// It could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Watcher {
    /// A watcher that has seen nothing yet.
    pub fn new(shared: Shared) -> Self {
        Self {
            shared,
            seen: Seen::default(),
            roster: Roster::default(),
            fares: Fares::default(),
            failures: 0,
            cluster: None,
            place: None,
        }
    }

    /// Watches until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut epoch = None;
        while self.shared.leads(&stop).await {
            let now = self.shared.store.leads();
            if epoch != now {
                // Another has listed and reported since.
                self = Self::new(self.shared);
                epoch = now;
            }
            let shared = self.shared.clone();
            let pause = tokio::select! {
                () = stop.cancelled() => return,
                () = shared.loses_lead() => continue,
                pause = self.round_and_report() => pause,
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One round, and how long to pause after it.
    async fn round_and_report(&mut self) -> Duration {
        let live = self.shared.live();
        let Some(settings) = live.snapshot.config.settings.watch.clone() else {
            (self.place, self.cluster) = (None, None);
            // Who takes it out of the configuration ends what was wrong with it.
            self.fares.report(&self.shared, pulse::WATCH, None);
            return LOOK_AGAIN;
        };
        let began = Instant::now();
        match self.round(&settings).await {
            Ok(told) => {
                self.count("success");
                if told == 0 && began.elapsed() < SHORT {
                    SHORT
                } else {
                    Duration::ZERO
                }
            }
            Err(WatchError::Store(error)) => {
                // That says nothing of Kubernetes, which is asked again from where it was.
                self.shared.count_store_failure(&error);
                error!(
                    error = &error as &dyn std::error::Error,
                    "Cannot take in what Kubernetes tells, trying again"
                );
                PAUSES.0
            }
            Err(WatchError::Cluster(error)) => self.failed(&error),
        }
    }

    fn count(&self, result: &'static str) {
        let watches = &self.shared.metrics.watches;
        watches.get_or_create(&ResultLabel { result }).inc();
    }

    /// Reports a failure of Kubernetes, and says how long to pause.
    fn failed(&mut self, error: &ClusterError) -> Duration {
        self.count("failure");
        self.cluster = None;
        self.failures += 1;
        if matches!(error.problem, Problem::Gone) {
            self.place = None;
            if self.failures == 1 {
                info!("Kubernetes has forgotten where the watch was, listing ProwJobs anew");
                return Duration::ZERO;
            }
        }
        let live = self.shared.live();
        let others = live.others(Source::Watch);
        let limits = &live.snapshot.config.settings.pulse;
        let trouble = pulse::unwatched(self.failures, &error.to_string(), others, limits);
        if trouble.is_some() {
            self.fares.report(&self.shared, pulse::WATCH, trouble);
        }
        warn!(
            error = error as &dyn std::error::Error,
            watch.failures = self.failures,
            "Cannot watch ProwJobs: {error}"
        );
        let (base, cap) = PAUSES;
        backoff::delay(base, cap, self.failures, self.shared.jitter())
    }

    /// Lists if need be, then follows one watch to its end. Gives how many events came.
    async fn round(&mut self, settings: &WatchSettings) -> Result<u64, WatchError> {
        if self.place.as_ref().is_some_and(|(old, _)| old != settings) {
            (self.place, self.cluster) = (None, None);
        }
        let cluster = match &self.cluster {
            Some(cluster) => cluster.clone(),
            None => Cluster::connect(settings.kubeconfig.as_deref()).await?,
        };
        self.cluster = Some(cluster.clone());
        let version = match &self.place {
            Some((_, version)) => version.clone(),
            None => self.list(&cluster, settings).await?,
        };
        self.place = Some((settings.clone(), version.clone()));
        let WatchSettings {
            namespace,
            renew,
            timeout,
            ..
        } = settings;
        let mut events = Events::open(&cluster, namespace, &version, *renew, *timeout).await?;
        self.fares.report(&self.shared, pulse::WATCH, None);
        let clock = self.shared.clock.clone();
        let mut count = 0;
        while let Some((event, version)) = events.next(*renew + *timeout, || clock.now()).await? {
            count += 1;
            self.failures = 0;
            self.take(event).await?;
            if !version.is_empty() {
                self.place = Some((settings.clone(), version));
            }
        }
        self.failures = 0;
        self.heard(None);
        self.judge();
        Ok(count)
    }

    /// Takes the whole list in, page by page, and says where a watch goes on after it.
    async fn list(
        &mut self,
        cluster: &Cluster,
        settings: &WatchSettings,
    ) -> Result<String, WatchError> {
        let shared = self.shared.clone();
        let initial = shared.store.meta(FIRST_LIST_DONE).await?.is_none();
        self.roster = Roster::default();
        let (mut next, mut items) = (None, 0);
        let version = loop {
            let (namespace, timeout) = (&settings.namespace, settings.timeout);
            let now = shared.clock.now();
            let page = api::page(cluster, namespace, next.as_deref(), timeout, now).await?;
            items += page.items;
            let (more, version) = (page.next.clone(), page.version.clone());
            self.take_page(page, initial).await?;
            if more.is_none() {
                break version;
            }
            next = more;
        };
        if initial {
            let now = shared.clock.now().to_string();
            shared.store.set_meta(FIRST_LIST_DONE, now).await?;
        }
        info!(watch.items = items, "Took in the list of ProwJobs");
        let gauge = i64::try_from(items).unwrap_or(i64::MAX);
        shared.metrics.watch_list_items.set(gauge);
        self.heard(None);
        if shared.reports.list(shared.clock.now()) {
            shared.inbox_bell.notify_one();
        }
        self.judge();
        Ok(version)
    }

    async fn take_page(&mut self, page: Page, initial: bool) -> Result<(), StoreError> {
        for problem in &page.bad {
            warn!(reason = %problem, "Cannot read one ProwJob of the list, left it out");
        }
        for run in &page.runs {
            self.roster.note(run);
        }
        let live = self.shared.live();
        let mut runs = page.runs;
        runs.retain(|run| is_watched(&live, run));
        self.seen.take_in(&self.shared, runs, initial).await
    }

    async fn take(&mut self, event: Event) -> Result<(), StoreError> {
        match event {
            Event::Seen(run) => match *run {
                Ok(run) => return self.take_run(run).await,
                Err(error) => warn!(reason = %error, "Cannot read a changed ProwJob, left it out"),
            },
            Event::Gone(run) => self.roster.forget(&run),
            Event::Nothing | Event::Refused(..) => {}
        }
        self.heard(None);
        Ok(())
    }

    async fn take_run(&mut self, run: Observation) -> Result<(), StoreError> {
        self.roster.note(&run);
        self.heard(Some(&run));
        if !is_watched(&self.shared.live(), &run) {
            return Ok(());
        }
        self.seen.take_in(&self.shared, vec![run], false).await
    }

    /// Kubernetes has told something.
    fn heard(&self, run: Option<&Observation>) {
        let shared = &self.shared;
        let now = shared.clock.now();
        shared
            .catch_up
            .hear(now, backfill::after(&shared.live().snapshot.config));
        shared.reports.watch(now, run.and_then(roster::latest));
        let last = &shared.metrics.watch_last_heard;
        last.set(now.as_duration().as_secs_f64());
    }

    /// Reports how Prow and webhooks fare, where deck's list does not tell.
    fn judge(&mut self) {
        let live = self.shared.live();
        if live.deck.is_some() {
            return;
        }
        let limits = &live.snapshot.config.settings.pulse;
        let now = self.shared.clock.now();
        let tally = self.roster.tally(now, limits.pile_up_age);
        let stuck = pulse::pile_up(&tally, limits);
        self.fares.report(&self.shared, pulse::QUEUE, stuck);
        let silent = pulse::silent(&tally, self.shared.reports.heard(), now, limits);
        self.fares.report(&self.shared, pulse::WEBHOOK, silent);
    }
}
