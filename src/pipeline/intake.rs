//! The door: an observation is accepted once it is on the disk, and counted.

use std::sync::atomic::Ordering;

use super::{Shared, backfill};
use crate::{
    domain::observation::{Observation, Source},
    metrics::{ReasonLabel, SourceLabel},
    store::StoreError,
};

impl Shared {
    /// Accepts observations; when this returns they are durable. On an error nothing was accepted. What a command
    /// printed is redacted before it is stored.
    pub async fn accept(&self, mut observations: Vec<Observation>) -> Result<(), StoreError> {
        let live = self.live();
        for tail in observations
            .iter_mut()
            .filter_map(|run| run.log_tail.as_mut())
        {
            *tail = live.snapshot.redactor.text(tail).lines().join("\n");
        }
        // Who leads looks for what was missed.
        if self.store.leads().is_some() {
            if observations.iter().any(|run| run.source != Source::Bucket) {
                self.catch_up
                    .hear(self.clock.now(), backfill::after(&live.snapshot.config));
            }
            self.catch_up.mark(&mut observations);
        }
        let sources: Vec<&'static str> =
            observations.iter().map(|run| run.source.as_str()).collect();
        if sources.is_empty() {
            return Ok(());
        }
        let webhook = |run: &&Observation| run.source == Source::Webhook;
        let heard = observations
            .iter()
            .filter(webhook)
            .map(|run| run.seen_at)
            .max();
        let accepted = self.store.accept(observations).await;
        accepted.inspect_err(|error| self.count_store_failure(error))?;
        self.arrivals.fetch_add(sources.len(), Ordering::Relaxed);
        if let Some(heard) = heard {
            self.reports.hear(heard);
        }
        self.metrics
            .last_observation
            .set(self.clock.now().as_duration().as_secs_f64());
        for source in sources {
            self.metrics
                .observations
                .get_or_create(&SourceLabel { source })
                .inc();
        }
        self.inbox_bell.notify_one();
        Ok(())
    }

    /// Counts a failure of the store by its reason.
    pub fn count_store_failure(&self, error: &StoreError) {
        let reason = match error {
            StoreError::Unavailable { .. } => "unavailable",
            StoreError::Unusable { .. } => "unusable",
            StoreError::Stopped => "stopped",
        };
        self.metrics
            .store_failures
            .get_or_create(&ReasonLabel { reason })
            .inc();
    }
}
