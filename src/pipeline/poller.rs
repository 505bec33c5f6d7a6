//! Polls deck and accepts what is new in its list.

use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{
    Shared, backfill, is_watched,
    pulse::{self, Fares, Tally},
    seen::Seen,
};
use crate::{
    config::settings::{DeckSettings, Limits},
    domain::{
        backoff,
        observation::{Observation, Source},
    },
    metrics::ResultLabel,
    prow::deck::{DeckError, DeckUrl, ListStats, Listing},
    store::StoreError,
};

/// Runs looked up and accepted at once.
const BATCH: usize = 500;
/// Polls that somebody asks for are at least this far apart; several statuses ask at once.
const AT_LEAST: Duration = Duration::from_secs(2);
/// Longest pause after failed polls.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Key in the store: the first whole list has been taken in.
const FIRST_LIST_DONE: &str = "first_list_done";

/// The one that polls.
#[derive(Debug)]
pub struct Poller {
    shared: Shared,
    seen: Seen,
    failures: u32,
    /// Lists in a row that were older than what other sources told.
    old_lists: u32,
    fares: Fares,
    polled_at: Timestamp,
}

/// Why a poll did not take in the whole list.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// Deck did not give it.
    #[error(transparent)]
    Deck(#[from] DeckError),
    /// It could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Poller {
    /// A poller that remembers nothing yet.
    pub fn new(shared: Shared) -> Self {
        Self {
            shared,
            seen: Seen::default(),
            failures: 0,
            old_lists: 0,
            fares: Fares::default(),
            polled_at: Timestamp::MIN,
        }
    }

    /// Polls until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut epoch = None;
        while self.shared.leads(&stop).await {
            let now = self.shared.store.leads();
            if epoch != now {
                // Another has reported since.
                (self.seen, self.fares) = (Seen::default(), Fares::default());
                (epoch, self.failures, self.old_lists) = (now, 0, 0);
            }
            // Whatever was taken in of a list holds, and the rest of it comes again.
            let pause = tokio::select! {
                () = stop.cancelled() => return,
                pause = self.poll_and_report() => pause,
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.asked_for(), if self.failures == 0 => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Waits until somebody wants a fresh list, but never asks twice within [`AT_LEAST`].
    async fn asked_for(&self) {
        self.shared.deck_bell.notified().await;
        let since = self.shared.clock.now().duration_since(self.polled_at);
        let left = AT_LEAST.saturating_sub(Duration::try_from(since).unwrap_or_default());
        tokio::time::sleep(left).await;
    }

    /// Polls once and says how long to pause.
    async fn poll_and_report(&mut self) -> Duration {
        let live = self.shared.live();
        let (Some(url), Some(settings)) = (
            live.deck.clone(),
            live.snapshot.config.settings.deck.clone(),
        ) else {
            // Who takes deck out of the configuration ends what was wrong with it.
            for key in [pulse::DECK, pulse::LIST, pulse::WATCH_SILENT] {
                self.fares.report(&self.shared, key, None);
            }
            return Duration::from_secs(10);
        };
        let limits = live.snapshot.config.settings.pulse;
        self.polled_at = self.shared.clock.now();
        match self.poll(&url, &settings).await {
            Ok((stats, tally)) => {
                self.failures = 0;
                let after = backfill::after(&live.snapshot.config);
                self.shared.catch_up.hear(self.shared.clock.now(), after);
                if self.shared.reports.list(self.shared.clock.now()) {
                    self.shared.inbox_bell.notify_one();
                }
                self.judge(&tally, &limits);
                self.report_success(&stats);
                with_jitter(settings.interval, self.shared.clock.now())
            }
            Err(PollError::Store(error)) => {
                // That says nothing of deck, which is asked again as ever.
                self.shared.count_store_failure(&error);
                error!(
                    error = &error as &dyn std::error::Error,
                    "Cannot take in deck's list, trying again"
                );
                with_jitter(settings.interval, self.shared.clock.now())
            }
            Err(PollError::Deck(error)) => self.failed(&error, &settings, &limits),
        }
    }

    /// Reports a failure of deck, and says how long to pause.
    fn failed(&mut self, error: &DeckError, settings: &DeckSettings, limits: &Limits) -> Duration {
        self.failures += 1;
        let others = self.shared.live().others(Source::Deck);
        let deck = pulse::unreachable(self.failures, &error.to_string(), others, limits);
        if deck.is_some() {
            self.fares.report(&self.shared, pulse::DECK, deck);
        }
        self.shared
            .metrics
            .deck_polls
            .get_or_create(&ResultLabel { result: "failure" })
            .inc();
        warn!(
            error = error as &dyn std::error::Error,
            deck.failures = self.failures,
            "Cannot poll deck: {error}"
        );
        backoff::delay(
            settings.interval,
            LONGEST_PAUSE.max(settings.interval),
            self.failures,
            self.shared.jitter(),
        )
    }

    /// Reports how Prow and the other sources fare, by a whole list.
    fn judge(&mut self, tally: &Tally, limits: &Limits) {
        let shared = &self.shared;
        let heard = shared.reports.heard();
        let now = shared.clock.now();
        self.old_lists = if pulse::is_old(tally, heard.max(shared.reports.active())) {
            self.old_lists.saturating_add(1)
        } else {
            0
        };
        let fares = &mut self.fares;
        fares.report(shared, pulse::DECK, None);
        let stale = pulse::stale(self.old_lists, limits);
        fares.report(shared, pulse::LIST, stale);
        fares.report(shared, pulse::QUEUE, pulse::pile_up(tally, limits));
        let silent = pulse::silent(tally, heard, now, limits);
        fares.report(shared, pulse::WEBHOOK, silent);
        let watches = shared.live().snapshot.config.settings.watch.is_some();
        let watched = shared.reports.watched().filter(|_| watches);
        let silent = pulse::silent_watch(tally, watched, now, limits);
        fares.report(shared, pulse::WATCH_SILENT, silent);
    }

    fn report_success(&self, stats: &ListStats) {
        let metrics = &self.shared.metrics;
        metrics
            .deck_polls
            .get_or_create(&ResultLabel { result: "success" })
            .inc();
        metrics
            .deck_list_items
            .set(i64::try_from(stats.items).unwrap_or(i64::MAX));
        metrics
            .deck_last_success
            .set(self.shared.clock.now().as_duration().as_secs_f64());
        debug!(
            deck.items = stats.items,
            deck.bytes = stats.bytes,
            "Read deck's list"
        );
        for problem in &stats.bad_items {
            warn!(reason = %problem, "Cannot read one ProwJob of deck's list, left it out");
        }
    }

    /// Reads the whole list and accepts what is new in it.
    pub async fn poll(
        &mut self,
        url: &DeckUrl,
        settings: &DeckSettings,
    ) -> Result<(ListStats, Tally), PollError> {
        let shared = self.shared.clone();
        let initial = shared.store.meta(FIRST_LIST_DONE).await?.is_none();
        let now = shared.clock.now();
        let live = shared.live();
        let age = live.snapshot.config.settings.pulse.pile_up_age;
        let (mut waiting, mut tally) = (Vec::<Observation>::new(), Tally::default());
        let mut listing = Listing::open(shared.http.open(), url, settings.timeout, now).await?;
        let ended = loop {
            match listing.next().await {
                Ok(Some(runs)) => {
                    for run in &runs {
                        tally.count(run, now, age);
                    }
                    waiting.extend(runs.into_iter().filter(|run| is_watched(&live, run)));
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
            if waiting.len() >= BATCH {
                let taken = std::mem::take(&mut waiting);
                self.seen.take_in(&shared, taken, initial).await?;
            }
        };
        // What came before a list broke off holds all the same.
        self.seen.take_in(&shared, waiting, initial).await?;
        ended?;
        let stats = listing.finish()?;
        if initial {
            shared
                .store
                .set_meta(FIRST_LIST_DONE, now.to_string())
                .await?;
            info!(deck.items = stats.items, "Took in deck's first list");
        }
        Ok((stats, tally))
    }
}

/// Up to a tenth longer, so that many notifiers do not ask in step.
fn with_jitter(interval: Duration, now: Timestamp) -> Duration {
    let tenth = u64::try_from(interval.as_millis() / 10)
        .unwrap_or_default()
        .max(1);
    let noise = u64::try_from(now.as_nanosecond().rem_euclid(1_000_003)).unwrap_or_default();
    interval + Duration::from_millis(noise % tenth)
}
