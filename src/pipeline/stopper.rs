//! Stops runs that cannot succeed any more, where the configuration orders that. The domain gives the order and the
//! store keeps it; here it is carried out, once, after both have said so. What has happened since then counts: a run
//! that is over, or that can succeed after all, is left alone.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    Shared,
    pulse::{self, Fares},
};
use crate::{
    cluster::{Cluster, ClusterError},
    config::settings::WatchSettings,
    domain::{
        backoff,
        doom::{Stop, StopEnd, StopHow, stopped_by_us},
    },
    metrics::ResultLabel,
    prow::api::{self, Stopped},
    store::StoreError,
};

/// An order that could not be carried out for so long is given up: whoever reads the message has acted by then.
const HOLDS_FOR: SignedDuration = SignedDuration::from_hours(1);
/// How far back is looked for orders, so that those of before a long outage are given up and not forgotten.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(48);
/// First and longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// At most so often is looked for orders while much happens.
const AT_LEAST: Duration = Duration::from_millis(250);

/// The one that stops runs.
#[derive(Debug)]
pub struct Stopper {
    shared: Shared,
    fares: Fares,
    failures: u32,
}

/// Why an order was not carried out yet.
#[derive(Debug, thiserror::Error)]
enum StopError {
    /// Kubernetes did not do it.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The store did not tell or take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Stopper {
    /// A stopper that has stopped nothing yet.
    pub fn new(shared: Shared) -> Self {
        Self {
            shared,
            fares: Fares::default(),
            failures: 0,
        }
    }

    /// Carries orders out until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut changes = self.shared.changes.subscribe();
        while self.shared.leads(&stop).await {
            changes.mark_unchanged();
            let again_in = self.step_and_report().await;
            let next = async {
                match again_in {
                    Some(pause) => tokio::time::sleep(pause).await,
                    // Its sender is among what is shared, so it is never gone.
                    None => drop(changes.changed().await),
                }
                tokio::time::sleep(AT_LEAST).await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = next => {}
            }
        }
    }

    /// Says after how long to try again what failed.
    async fn step_and_report(&mut self) -> Option<Duration> {
        let live = self.shared.live();
        let watch = live.snapshot.config.settings.watch.as_ref();
        let watch = watch.filter(|_| live.snapshot.policy.orders_stops())?;
        let (base, cap) = PAUSES;
        let error = match self.step(watch).await {
            Ok(0) => return None,
            Ok(_) => {
                self.failures = 0;
                self.fares.report(&self.shared, pulse::STOP, None);
                return None;
            }
            Err(StopError::Store(error)) => {
                // That says nothing of Kubernetes.
                self.shared.count_store_failure(&error);
                error!(
                    error = &error as &dyn std::error::Error,
                    "Cannot look up which runs are to be stopped, trying again"
                );
                return Some(base);
            }
            Err(StopError::Cluster(error)) => error,
        };
        self.failures += 1;
        self.count("failure");
        warn!(
            error = &error as &dyn std::error::Error,
            stop.failures = self.failures,
            "Cannot stop a run that is lost: {error}"
        );
        let limits = &live.snapshot.config.settings.pulse;
        let trouble = pulse::unstoppable(self.failures, &error.to_string(), limits);
        if trouble.is_some() {
            self.fares.report(&self.shared, pulse::STOP, trouble);
        }
        let jitter = self.shared.jitter();
        Some(backoff::delay(base, cap, self.failures, jitter))
    }

    /// Carries out all orders; returns how many there were.
    async fn step(&mut self, watch: &WatchSettings) -> Result<usize, StopError> {
        let now = self.shared.clock.now();
        let since = now.checked_sub(LOOK_BACK).unwrap_or(Timestamp::MIN);
        let orders = self.shared.store.open_orders(since).await?;
        if orders.is_empty() {
            return Ok(0);
        }
        let incidents = self.shared.store.open_incidents().await?;
        let count = orders.len();
        let mut cluster = None;
        for order in orders {
            let is_lost = incidents.iter().any(|incident| {
                let mut pending = incident.doom.pending.iter();
                pending.any(|pending| pending.run == order.doomed.run)
            });
            let (how, detail) = if now.duration_since(order.at) > HOLDS_FOR {
                (StopHow::GivenUp, "not possible within an hour".to_owned())
            } else if !is_lost {
                let detail = format!("{} works again, or runs again", order.broken);
                (StopHow::Unneeded, detail)
            } else {
                let cluster = match &mut cluster {
                    Some(cluster) => cluster,
                    none => none.insert(Cluster::connect(watch.kubeconfig.as_deref()).await?),
                };
                stop(cluster, watch, &order).await?
            };
            self.end(order, how, detail).await?;
        }
        Ok(count)
    }

    async fn end(&self, order: Stop, how: StopHow, detail: String) -> Result<(), StoreError> {
        let (run, stage) = (order.doomed.run.clone(), order.doomed.stage.clone());
        let word = how.as_str();
        let at = self.shared.clock.now();
        let end = StopEnd { at, how, detail };
        self.shared.store.end_order(order, end).await?;
        self.count(word);
        info!(run = %run, stage, result = word, "Order to stop {run}: {word}");
        Ok(())
    }

    fn count(&self, result: &'static str) {
        let stops = &self.shared.metrics.stops;
        stops.get_or_create(&ResultLabel { result }).inc();
    }
}

async fn stop(
    cluster: &Cluster,
    watch: &WatchSettings,
    order: &Stop,
) -> Result<(StopHow, String), ClusterError> {
    let run = &order.doomed.run;
    let description = stopped_by_us(run);
    let (namespace, timeout) = (&watch.namespace, watch.timeout);
    let stopped = api::stop(cluster, namespace, run, &description, timeout).await?;
    Ok(match stopped {
        Stopped::Done => (StopHow::Stopped, String::new()),
        Stopped::Over(state) => (StopHow::Over, format!("its state was {state}")),
        Stopped::Missing => (StopHow::Missing, String::new()),
    })
}
