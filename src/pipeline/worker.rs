//! Takes observations out of the inbox in batches, runs them through the core, and commits everything
//! that follows in one transaction.

mod ahead;
mod put_off;
mod size;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use self::{
    ahead::{Batch, Read},
    size::Size,
};
use super::{Shared, live::Live, reports::Taken};
use crate::{
    domain::{
        flush::Told, fold::to_signed, observation::Source, observe::Outcome, policy::Policy,
        replay::seen_at, state::State,
    },
    metrics::{DecisionLabel, EventLabel},
    store::{DecisionRow, Epoch, InboxRow, Mark, Sighting, StoreError, Wanted, Work},
    telemetry::short,
};

/// Observations after which others get a turn: a whole batch would hold up webhooks for milliseconds.
const AT_ONCE: usize = 32;
/// So many arrivals a second are a flood.
const FLOOD: f64 = 2_000.0;
/// Nothing is put off for longer because of one.
const GIVE_WAY: Duration = Duration::from_secs(5);
/// Between two looks at whether it is over.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How often it is looked whether another process made or ended a silence.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Without a list to read first, what webhooks send again after a start has so long to come before anything is late.
const START_GRACE: Duration = Duration::from_secs(60);
/// A summary waits for what is put off for so long.
const SUMMARY_WAITS: Duration = Duration::from_secs(300);
/// Pause after a failure of the store.
const PAUSE: Duration = Duration::from_secs(1);

/// The one that decides.
#[derive(Debug)]
pub struct Worker {
    shared: Shared,
    /// `None` after a failed commit: the store knows better.
    state: Option<State>,
    /// The silences that the state knows; `None` before they are read.
    silences: Option<Mark>,
    size: Size,
    /// The next batch, when it was read while the last one was stored.
    ahead: Option<Batch>,
    started_at: Timestamp,
    /// The lease under which the state was loaded.
    epoch: Epoch,
    /// Since when all that was missed is known, and its summary waits for what was put off.
    summary_held: Option<Timestamp>,
    tide: Tide,
}

/// What had arrived at the last look, to tell how fast it comes.
#[derive(Debug)]
struct Tide {
    at: Instant,
    arrived: usize,
    is_high: bool,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Observations decided.
    pub decided: usize,
    /// Whether more are waiting.
    pub more: bool,
    /// When something falls due without a new observation.
    pub next_due: Option<Timestamp>,
}

impl Worker {
    /// A worker that has decided nothing yet.
    pub fn new(shared: Shared) -> Self {
        Self {
            started_at: shared.clock.now(),
            shared,
            state: None,
            silences: None,
            epoch: Epoch::default(),
            size: Size::default(),
            ahead: None,
            summary_held: None,
            tide: Tide {
                at: Instant::now(),
                arrived: 0,
                is_high: false,
            },
        }
    }

    /// Works until told to stop; a step under way is finished.
    pub async fn run(mut self, stop: CancellationToken) {
        while self.shared.leads(&stop).await {
            let wait = match self.step().await {
                Ok(_) if self.is_flooded() => {
                    self.give_way().await;
                    continue;
                }
                Ok(step) if step.more => continue,
                Ok(step) => Some(
                    self.until(step.next_due)
                        .map_or(LOOK_EVERY, |wait| wait.min(LOOK_EVERY)),
                ),
                Err(error) => {
                    self.shared.count_store_failure(&error);
                    error!(
                        error = &error as &dyn std::error::Error,
                        "Cannot decide on what came in, trying again"
                    );
                    Some(PAUSE)
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.shared.inbox_bell.notified() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// In a flood those who send go first: they have a timeout, and what is accepted is not lost.
    async fn give_way(&mut self) {
        let gone_by = Instant::now() + GIVE_WAY;
        while self.is_flooded() && Instant::now() < gone_by {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Judges by what came since the last look; one that was just now still holds.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate is not exact, and these numbers are small"
    )]
    fn is_flooded(&mut self) -> bool {
        let passed = self.tide.at.elapsed();
        if passed >= LOOK_AGAIN {
            let arrived = self.shared.arrivals.load(Ordering::Relaxed);
            let came = arrived.saturating_sub(self.tide.arrived) as f64;
            self.tide = Tide {
                at: Instant::now(),
                arrived,
                is_high: came > FLOOD * passed.as_secs_f64(),
            };
        }
        self.tide.is_high
    }

    fn until(&self, due: Option<Timestamp>) -> Option<Duration> {
        due.map(|due| {
            Duration::try_from(due.duration_since(self.shared.clock.now())).unwrap_or_default()
        })
    }

    /// Another may have decided since this replica led last, so nothing that it knew holds.
    fn begin_anew(&mut self, epoch: Epoch) {
        self.epoch = epoch;
        self.size = Size::default();
        self.state = None;
        self.ahead = None;
        self.started_at = self.shared.clock.now();
        self.shared.reports.belong_to(epoch);
        self.shared.reads_bell.notify_one();
    }

    /// Decides on one batch, takes in what was read of earlier ones, and does whatever has fallen due.
    pub async fn step(&mut self) -> Result<Step, StoreError> {
        if let Some(epoch) = self.shared.store.leads().filter(|it| *it != self.epoch) {
            self.begin_anew(epoch);
        }
        let reports = Arc::clone(&self.shared.reports);
        let taken = reports.take();
        let began = Instant::now();
        let step = self.decide(&taken).await;
        if step.is_ok() {
            self.size = self.size.after(began.elapsed());
            reports.settle(&taken);
            if !taken.learned.is_empty() {
                self.shared.reads_bell.notify_one();
            }
        } else {
            self.size = Size::default();
            reports.put_back(taken);
        }
        step
    }

    async fn decide(&mut self, reported: &Taken) -> Result<Step, StoreError> {
        let now = self.shared.clock.now();
        let live = self.shared.live();
        let batch = self.next_batch(&live, now).await?;
        let more = batch.more;
        // Webhooks may have come to other replicas.
        let told = batch.read.iter().map(|read| &read.row.observation);
        let told = told.filter(|run| run.source == Source::Webhook);
        if let Some(heard) = told.map(|run| run.seen_at).max() {
            self.shared.reports.hear(heard);
        }
        let (read, mut parked) = self.put_off_unresolved(&live, batch.read, now).await?;
        let (rows, to_read) = self.put_off_unread(&live, read, &mut parked, now).await?;
        let mut state = if let Some(state) = self.state.take() {
            state
        } else {
            self.silences = None;
            self.shared.store.load_hot().await?
        };
        state.deadlines_from = batch.deadlines_from;
        self.hold_summary(&mut state, now).await?;
        self.look_at_silences(&mut state, now).await?;
        let policy = &live.snapshot.policy;
        let wanted = wanted(policy, &state, &rows, reported);
        let store = &self.shared.store;
        store.load_slice(&mut state, wanted, now).await?;
        let (rows, outcomes) = observe(policy, &mut state, rows, now).await;
        take_in(&live, &mut state, reported, now);
        // An observation may set free what was owed before, of incidents that are not loaded yet.
        let missing = Wanted {
            incidents: state.missing(now),
            releases: state.missing_releases(now),
            ..Wanted::default()
        };
        if !(missing.incidents.is_empty() && missing.releases.is_empty()) {
            store.load_slice(&mut state, missing, now).await?;
        }
        let told = state.flush(policy, now, more);
        let mut work = Work {
            parked,
            poisoned: batch.poisoned,
            learned: reported.learned.clone(),
            ..work(&mut state, &rows, outcomes, told, now)
        };
        work.to_read.extend(to_read);
        let decided = rows.len();
        let meanwhile = async {
            drop(rows);
            state.forget_slices();
            match batch.last {
                Some(last) if more => self.read_ahead(&live, last).await,
                _ => Ok(None),
            }
        };
        let (committed, ahead) = tokio::join!(self.commit(work), meanwhile);
        committed?;
        // What could not be read ahead is read when its turn comes.
        self.ahead = ahead.unwrap_or_default();
        let next_due = if more {
            None
        } else {
            self.next_due(&state).await?
        };
        self.state = Some(state);
        Ok(Step {
            decided,
            more,
            next_due,
        })
    }

    /// After a start nothing is late before the sources were read once: what was awaited may have come while nobody
    /// looked.
    fn deadlines_from(&self, live: &Live) -> Timestamp {
        if self.shared.catch_up.gap().is_some() {
            return Timestamp::MAX;
        }
        if live.lists() {
            self.shared.reports.listed().unwrap_or(Timestamp::MAX)
        } else {
            self.started_at + START_GRACE
        }
    }

    /// What was missed is summed up once all of it is decided, runs that were put off included; but it does not wait
    /// for ever where others come all the time.
    async fn hold_summary(&mut self, state: &mut State, now: Timestamp) -> Result<(), StoreError> {
        if !state.owes_catch_up() || state.deadlines_from == Timestamp::MAX {
            self.summary_held = None;
            return Ok(());
        }
        let since = *self.summary_held.get_or_insert(now);
        let may_wait = now.duration_since(since) < to_signed(SUMMARY_WAITS);
        if may_wait && self.shared.store.next_inbox_due().await?.is_some() {
            state.deadlines_from = Timestamp::MAX;
        }
        Ok(())
    }

    /// Takes in silences that were made or ended since the last look.
    async fn look_at_silences(
        &mut self,
        state: &mut State,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let store = &self.shared.store;
        if self.silences == Some(store.silence_changes().await?) {
            return Ok(());
        }
        let (mark, silences) = store.standing_silences(now).await?;
        state.set_silences(silences, now);
        self.silences = Some(mark);
        Ok(())
    }

    async fn next_due(&self, state: &State) -> Result<Option<Timestamp>, StoreError> {
        let store = &self.shared.store;
        let (window, inbox) = tokio::try_join!(store.next_window(), store.next_inbox_due())?;
        Ok([state.next_due(), window, inbox]
            .into_iter()
            .flatten()
            .min())
    }

    async fn commit(&self, work: Work) -> Result<(), StoreError> {
        if work.is_empty() {
            return Ok(());
        }
        let decisions: Vec<&'static str> = work
            .decisions
            .iter()
            .map(|row| row.decision.as_str())
            .collect();
        let events: Vec<&'static str> = work
            .told
            .iter()
            .map(|told| told.notification.event.as_str())
            .collect();
        let poisoned: Vec<(i64, String)> = work
            .poisoned
            .iter()
            .map(|row| (row.seq, row.error.clone()))
            .collect();
        let to_read = !work.to_read.is_empty();
        self.shared
            .store
            .commit(Work {
                epoch: self.epoch,
                ..work
            })
            .await?;
        self.shared.changed();
        if to_read {
            self.shared.reads_bell.notify_one();
        }
        for (seq, reason) in poisoned {
            self.shared.metrics.poisoned.inc();
            error!(
                inbox.seq = seq,
                reason, "Cannot read a stored observation, set it aside"
            );
        }
        for decision in decisions {
            self.shared
                .metrics
                .decisions
                .get_or_create(&DecisionLabel { decision })
                .inc();
        }
        for event in &events {
            self.shared
                .metrics
                .notifications
                .get_or_create(&EventLabel { event })
                .inc();
        }
        if !events.is_empty() {
            self.shared.outbox_bell.notify_one();
        }
        Ok(())
    }
}

/// Applies what other parts reported.
fn take_in(live: &Live, state: &mut State, reported: &Taken, now: Timestamp) {
    let policy = &live.snapshot.policy;
    for reason in &reported.learned {
        let soon = to_signed(policy.group_wait);
        let more_soon = reason
            .again_at
            .is_some_and(|again| again.duration_since(now) < soon);
        state.learn(&reason.run, &reason.finding.brief(), more_soon);
    }
    for (key, trouble) in &reported.fares {
        state.fares(policy, key, trouble.as_ref(), now);
    }
}

/// Applies the batch in the order in which the runs ended, and lets others get on in between.
async fn observe(
    policy: &Policy,
    state: &mut State,
    mut read: Vec<Read>,
    now: Timestamp,
) -> (Vec<InboxRow>, Vec<Outcome>) {
    read.sort_by_key(|read| (seen_at(&read.row.observation), read.row.seq));
    let mut rows = Vec::with_capacity(read.len());
    let mut outcomes = Vec::with_capacity(read.len());
    for (index, Read { row, reading }) in read.into_iter().enumerate() {
        outcomes.push(state.observe_read(policy, &row.observation, reading, now));
        rows.push(row);
        if index % AT_ONCE == AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
    }
    (rows, outcomes)
}

/// What a batch needs of the state.
fn wanted(policy: &Policy, state: &State, read: &[Read], reported: &Taken) -> Wanted {
    let concerned = read
        .iter()
        .flat_map(|read| state.concerns(policy, &read.row.observation, &read.reading));
    let troubled = reported.fares.keys().filter_map(|key| state.trouble(key));
    Wanted {
        sightings: read
            .iter()
            .map(|read| {
                let sighting = Sighting::of(&read.row.observation);
                let is_bad = read.reading.judged.verdict.is_bad();
                Sighting {
                    needs_history: sighting.needs_history || is_bad,
                    ..sighting
                }
            })
            .collect(),
        runs: reported
            .learned
            .iter()
            .map(|reason| reason.run.clone())
            .collect(),
        incidents: concerned.chain(troubled).collect(),
        releases: read
            .iter()
            .filter_map(|read| read.reading.release(policy))
            .collect(),
    }
}

fn work(
    state: &mut State,
    rows: &[InboxRow],
    outcomes: Vec<Outcome>,
    told: Vec<Told>,
    now: Timestamp,
) -> Work {
    let mut decisions = Vec::with_capacity(outcomes.len());
    let mut to_read = Vec::new();
    for (row, outcome) in rows.iter().zip(outcomes) {
        let run = &row.observation;
        let (name, decision) = (short(&run.run.0), outcome.decision);
        info!(
            run = name,
            job.name = short(&run.job),
            decision = decision.as_str(),
            verdict = outcome.verdict.as_str(),
            rule = outcome.class.rule.as_deref(),
            "Decided on {name}: {decision}"
        );
        if outcome.to_read {
            to_read.push(run.clone());
        }
        decisions.push(DecisionRow::new(run, outcome, now));
    }
    Work {
        done: rows.iter().map(|row| row.seq).collect(),
        state: Work::changes(state),
        decisions,
        told,
        to_read,
        at: now,
        ..Work::default()
    }
}

/// Sleeps for ever when there is nothing to wait for.
pub(super) async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
