//! Takes messages out of the outbox and posts them: one receiver's in order, critical first, at the pace
//! of its webhook; what becomes of each answer is decided by one table.

mod aside;
mod rounds;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use governor::{Quota, RateLimiter, middleware::NoOpMiddleware, state::keyed::HashMapStateStore};
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::rounds::{PAUSE, Rounds};
use super::{
    Shared,
    live::{Endpoint, Live},
    ruling::{Attempt, Ruling, rule},
    worker::sleep,
};
use crate::{
    clock::Clock,
    config::settings::Pace,
    domain::{fold::to_signed, notification::Diverted},
    metrics::ReasonLabel,
    slack::{
        Answer,
        client::{PAUSE_MAX, TIMEOUT},
        render, render_plain,
    },
    store::{
        DEAD_FOR, Delivery, Divert, HOLD, Health, Hold, Horizon, Recorded, StoreError, Then, Turn,
    },
};

/// Somebody may have put a dead letter back from outside this process, which rings no bell.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Another replica may have gone, and its receivers with it.
const LOOK_FOR_OTHERS: Duration = Duration::from_secs(1);
/// A word that a message may go out holds so long; who was paused since has to ask again.
const GOOD_FOR: Duration = Duration::from_millis(500);
/// Two turns of a pace are at most a second apart.
const LONGEST_TURN: Duration = Duration::from_secs(2);
// With a second left to note what came of it.
const _: () = assert!(HOLD.as_millis() >= GOOD_FOR.as_millis() + TIMEOUT.as_millis() + 1000);

type Limiter = RateLimiter<[u8; 8], HashMapStateStore<[u8; 8]>, Clock, NoOpMiddleware<Duration>>;

/// The one that sends.
#[derive(Debug, Clone)]
pub struct Sender {
    shared: Shared,
    pace: Arc<Mutex<Paced>>,
}

/// A delivery that was tried, and under whose hold.
#[derive(Debug, Clone, Copy)]
struct Tried<'a> {
    receiver: &'a str,
    delivery: &'a Delivery,
    hold: Option<&'a Hold>,
}

/// The limiter for the pace in force, and health as last recorded.
#[derive(Debug)]
struct Paced {
    pace: Pace,
    limiter: Arc<Limiter>,
    failures: BTreeMap<String, u32>,
    dead: BTreeMap<String, (Timestamp, String)>,
    /// What attempts came to and the store could not take yet, by receiver.
    unnoted: BTreeMap<String, Recorded>,
}

impl governor::clock::Clock for Clock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::try_from(Self::now(self).as_duration()).unwrap_or_default()
    }
}

impl Sender {
    /// A sender that has sent nothing yet.
    pub fn new(shared: Shared) -> Self {
        let pace = shared.live().snapshot.config.settings.outbound;
        let limiter = Arc::new(limiter(pace, &shared.clock));
        Self {
            pace: Arc::new(Mutex::new(Paced {
                pace,
                limiter,
                failures: BTreeMap::new(),
                dead: BTreeMap::new(),
                unnoted: BTreeMap::new(),
            })),
            shared,
        }
    }

    /// Sends until told to stop; requests under way are finished.
    pub async fn run(self, stop: CancellationToken) {
        let mut rounds = Rounds::default();
        let look_again = if self.shared.store.is_shared() {
            LOOK_FOR_OTHERS
        } else {
            LOOK_AGAIN
        };
        while !stop.is_cancelled() {
            let wait = match self.start_due(&mut rounds).await {
                Ok(wait) => wait,
                Err(error) => {
                    self.shared.count_store_failure(&error);
                    error!(
                        error = &error as &dyn std::error::Error,
                        "Cannot read the outbox, trying again"
                    );
                    Some(PAUSE)
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.shared.outbox_bell.notified() => {}
                () = sleep(Some(wait.unwrap_or(look_again).min(look_again))) => {}
                Some((receiver, ended)) = rounds.next() => {
                    let failed = rounds.note(&receiver, ended, self.shared.clock.now());
                    if let Some(error) = failed {
                        self.shared.count_store_failure(&error);
                        error!(
                            error = &error as &dyn std::error::Error,
                            receiver, "Cannot note what became of a message, trying again"
                        );
                    }
                }
            }
        }
        while rounds.next().await.is_some() {}
    }

    /// No receiver asks for a longer wait, and no failure makes for one.
    fn horizon(&self, now: Timestamp) -> Horizon {
        let retry = self.shared.live().snapshot.config.settings.retry;
        let longest = to_signed(PAUSE_MAX.max(retry.cap));
        Horizon {
            now,
            latest: now.checked_add(longest).unwrap_or(Timestamp::MAX),
        }
    }

    /// Starts a task for each receiver that something can be sent to and that has none.
    async fn start_due(&self, rounds: &mut Rounds) -> Result<Option<Duration>, StoreError> {
        let now = self.shared.clock.now();
        rounds.look(now);
        for receiver in self.shared.store.receivers_due(self.horizon(now)).await? {
            if rounds.is_free(&receiver) {
                let (sender, to) = (self.clone(), receiver.clone());
                rounds.start(receiver, async move { sender.drain(&to).await });
            }
        }
        let stored = self
            .shared
            .store
            .next_delivery_due()
            .await?
            .filter(|due| *due > now);
        let next = rounds.next_due().into_iter().chain(stored).min();
        Ok(next.map(|due| Duration::try_from(due.duration_since(now)).unwrap_or_default()))
    }

    /// Sends whatever can be sent now, all receivers side by side. Returns when the pace lets the next
    /// message go, if it holds one back. For tests and for draining at a stop.
    pub async fn step(&self) -> Result<Option<Timestamp>, StoreError> {
        let due = self
            .shared
            .store
            .receivers_due(self.horizon(self.shared.clock.now()))
            .await?;
        let mut running = JoinSet::new();
        for receiver in due {
            let sender = self.clone();
            running.spawn(async move { sender.drain(&receiver).await });
        }
        let mut next = None;
        while let Some(Ok(ended)) = running.join_next().await {
            next = [next, ended?].into_iter().flatten().min();
        }
        Ok(next)
    }

    /// Sends a receiver's messages until none is due, if no other replica does. Returns when to look again: when its
    /// pace lets the next one go, or when the other may be through.
    async fn drain(&self, receiver: &str) -> Result<Option<Timestamp>, StoreError> {
        let unnoted = self.paced().unnoted.get(receiver).cloned();
        if let Some(recorded) = unnoted {
            self.note(receiver, recorded).await?;
        }
        if !self.shared.store.is_shared() {
            return self.drain_held(receiver, None).await;
        }
        let Some(hold) = self.shared.store.hold(receiver).await? else {
            return Ok(Some(self.shared.clock.now() + LOOK_FOR_OTHERS));
        };
        self.adopt(receiver, &hold);
        let ended = self.drain_held(receiver, Some(&hold)).await;
        self.shared.store.let_go(receiver, &hold).await?;
        ended
    }

    /// Takes over what is known of a receiver from whoever sent to it last.
    fn adopt(&self, receiver: &str, hold: &Hold) {
        let mut paced = self.paced();
        let health = &hold.health;
        paced.failures.insert(receiver.to_owned(), health.failures);
        match health.dead.clone().zip(hold.dead_until) {
            Some((reason, until)) => {
                paced.dead.insert(receiver.to_owned(), (until, reason));
            }
            None => drop(paced.dead.remove(receiver)),
        }
    }

    async fn drain_held(
        &self,
        receiver: &str,
        hold: Option<&Hold>,
    ) -> Result<Option<Timestamp>, StoreError> {
        loop {
            let now = self.shared.clock.now();
            let horizon = self.horizon(now);
            let delivery = match self.shared.store.next_delivery(receiver, horizon).await {
                Ok(Some(delivery)) => delivery,
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.set_aside(receiver, hold, error).await?;
                    continue;
                }
            };
            let live = self.shared.live();
            let tried = Tried {
                receiver,
                delivery: &delivery,
                hold,
            };
            let Some(endpoint) = live.endpoints.get(receiver) else {
                let reason = "it is no longer configured".to_owned();
                self.record(&live, tried, &Answer::Dead { reason }).await?;
                continue;
            };
            let known_dead = self.known_dead(receiver, now);
            // Who replays a message wants to know whether the receiver takes it by now.
            if let Some(reason) = known_dead.filter(|_| !delivery.is_replayed()) {
                self.record(&live, tried, &Answer::Dead { reason }).await?;
                continue;
            }
            let may = match hold {
                Some(hold) => self.may_post(&live, receiver, hold, endpoint).await?,
                None => self.may_send(&live, endpoint),
            };
            if let Err(until) = may {
                return Ok(Some(until));
            }
            let answer = self.post(endpoint, &delivery, now).await;
            self.record(&live, tried, &answer).await?;
        }
    }

    /// Asks the store, by which all replicas agree; the answer is of use only at once.
    async fn may_post(
        &self,
        live: &Live,
        receiver: &str,
        hold: &Hold,
        endpoint: &Endpoint,
    ) -> Result<Result<(), Timestamp>, StoreError> {
        let pace = live.snapshot.config.settings.outbound;
        let every = Duration::from_secs(1) / pace.rate_per_s.max(1);
        loop {
            let asked = tokio::time::Instant::now();
            let key = hex::encode(endpoint.pace_key);
            let store = &self.shared.store;
            let turn = store
                .may_post(receiver, hold, key, every, pace.burst)
                .await?;
            let now = self.shared.clock.now();
            match turn {
                Turn::Now if asked.elapsed() > GOOD_FOR => {}
                Turn::Now => return Ok(Ok(())),
                Turn::Wait(wait) => return Ok(Err(now + wait)),
                Turn::Lost => return Ok(Err(now + LOOK_FOR_OTHERS)),
            }
        }
    }

    fn may_send(&self, live: &Live, endpoint: &Endpoint) -> Result<(), Timestamp> {
        let pace = live.snapshot.config.settings.outbound;
        let check = |is_void| {
            let checked = self.limiter(pace, is_void).check_key(&endpoint.pace_key);
            checked.map(drop).map_err(|not_yet| {
                not_yet.wait_time_from(governor::clock::Clock::now(&self.shared.clock))
            })
        };
        let checked = match check(false) {
            // The clock went back, and what was counted before is of no use.
            Err(wait) if wait > LONGEST_TURN => check(true),
            checked => checked,
        };
        checked.map_err(|wait| self.shared.clock.now() + wait.max(Duration::from_millis(1)))
    }

    fn limiter(&self, pace: Pace, is_void: bool) -> Arc<Limiter> {
        let mut paced = self.paced();
        if is_void || paced.pace != pace {
            paced.pace = pace;
            paced.limiter = Arc::new(limiter(pace, &self.shared.clock));
        }
        Arc::clone(&paced.limiter)
    }

    fn paced(&self) -> std::sync::MutexGuard<'_, Paced> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_dead(&self, receiver: &str, now: Timestamp) -> Option<String> {
        let paced = self.paced();
        paced
            .dead
            .get(receiver)
            .filter(|(until, _)| *until > now && *until <= now + DEAD_FOR)
            .map(|(_, reason)| reason.clone())
    }

    async fn post(&self, endpoint: &Endpoint, delivery: &Delivery, now: Timestamp) -> Answer {
        if delivery.attempts == 0 {
            let waited = now.duration_since(delivery.created_at);
            self.shared
                .metrics
                .notification_latency
                .observe(waited.as_secs_f64().max(0.0));
        }
        let payload = if delivery.plain {
            self.shared.metrics.fallback_layouts.inc();
            render_plain(&delivery.notification, &endpoint.look)
        } else {
            render(&delivery.notification, &endpoint.look)
        };
        endpoint.webhook.post(&self.shared.http, &payload).await
    }

    /// Notes an attempt and what follows from its answer.
    async fn record(
        &self,
        live: &Live,
        tried: Tried<'_>,
        answer: &Answer,
    ) -> Result<(), StoreError> {
        let Tried {
            receiver,
            delivery,
            hold,
        } = tried;
        let now = self.shared.clock.now();
        let settings = &live.snapshot.config.settings;
        let failures = self
            .paced()
            .failures
            .get(receiver)
            .copied()
            .unwrap_or_default();
        let attempt = Attempt {
            answer,
            delivery,
            now,
            failures,
            retry: settings.retry,
            jitter: self.shared.jitter(),
        };
        let ruling = rule(&attempt);
        let fallback = settings
            .fallback_receiver
            .as_deref()
            .filter(|to| *to != receiver && live.endpoints.contains_key(*to));
        let divert = ruling
            .divert
            .then_some(fallback)
            .flatten()
            .map(|to| Divert {
                to: to.to_owned(),
                why: Diverted {
                    from: receiver.to_owned(),
                    reason: ruling.detail.clone(),
                },
            });
        self.remember(receiver, &ruling.health, now);
        let recorded = Recorded {
            delivery: delivery.id,
            at: now,
            outcome: ruling.outcome.to_owned(),
            detail: ruling.detail.clone(),
            counted: ruling.counted,
            then: ruling.then,
            health: Some(ruling.health.clone()),
            divert,
            hold: hold.cloned(),
        };
        let diverted = recorded.divert.is_some();
        self.note(receiver, recorded).await?;
        self.report(receiver, delivery, &ruling, diverted);
        Ok(())
    }

    /// Stores what an attempt came to. What the store cannot take is kept and comes before anything else
    /// is sent to the receiver: a message that went out must not go out again because the disk is full.
    async fn note(&self, receiver: &str, recorded: Recorded) -> Result<(), StoreError> {
        self.paced()
            .unnoted
            .insert(receiver.to_owned(), recorded.clone());
        let diverted = recorded.divert.is_some();
        self.shared.store.record(recorded).await?;
        self.shared.changed();
        self.paced().unnoted.remove(receiver);
        if diverted {
            self.shared.outbox_bell.notify_one();
        }
        Ok(())
    }

    fn remember(&self, receiver: &str, health: &Health, now: Timestamp) {
        let mut paced = self.paced();
        paced.failures.insert(receiver.to_owned(), health.failures);
        match &health.dead {
            Some(reason) => {
                paced
                    .dead
                    .entry(receiver.to_owned())
                    .or_insert_with(|| (now + DEAD_FOR, reason.clone()));
                paced.dead.retain(|_, (until, _)| *until > now);
            }
            None => drop(paced.dead.remove(receiver)),
        }
        self.shared
            .metrics
            .dead_receivers
            .set(i64::try_from(paced.dead.len()).unwrap_or(i64::MAX));
    }

    fn report(&self, receiver: &str, delivery: &Delivery, ruling: &Ruling, diverted: bool) {
        let id = &delivery.notification.id;
        if ruling.then == Then::Sent {
            self.shared.metrics.delivered.inc();
            info!(receiver, notification.id = %id, "Sent notification {id}");
            return;
        }
        self.shared
            .metrics
            .notifications_failed
            .get_or_create(&ReasonLabel {
                reason: ruling.outcome,
            })
            .inc();
        if ruling.then == Then::Dead && !diverted {
            self.shared.metrics.dead_letters.inc();
            error!(receiver, notification.id = %id, reason = %ruling.detail, "Gave notification {id} up as a dead letter");
        } else {
            warn!(receiver, notification.id = %id, reason = %ruling.detail, diverted, "Did not get notification {id} through");
        }
    }
}

fn limiter(pace: Pace, clock: &Clock) -> Limiter {
    let at_least_one =
        |number: u32| std::num::NonZeroU32::new(number).unwrap_or(std::num::NonZeroU32::MIN);
    let quota =
        Quota::per_second(at_least_one(pace.rate_per_s)).allow_burst(at_least_one(pace.burst));
    RateLimiter::hashmap_with_clock(quota, clock.clone())
}
