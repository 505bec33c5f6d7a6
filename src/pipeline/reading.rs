//! Reads why runs broke, aside from deciding: a message never waits for a bucket longer than it may.
//!
//! What is to be read stands in the store until its last word is stored, so a restart loses none of it.

mod aside;
mod named;

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{Shared, live::Live, worker::sleep};
use crate::{
    artifacts::{self, EndpointHealth, Gathered, Outcome, breaker},
    config::snapshot::Snapshot,
    domain::{
        backoff,
        evidence::{CauseClass, Finding, Signature},
        fold::to_signed,
        observation::Observation,
        observe::Reading,
        pipeline::Said,
        policy::Policy,
        prowjob::State,
        trouble::Trouble,
    },
    evidence::{self, LogText, Remains, redact::Redactor, rules::LogRules, signature::Today},
    metrics::ReadLabel,
    store::{DueRead, Learned, StoreError},
    telemetry::short,
};

/// Days since 1970, in seconds.
const DAY: i64 = 86_400;

/// Runs that are being read at once.
const AT_ONCE: usize = 16;

/// Pause after a failure of the store.
const PAUSE: Duration = Duration::from_secs(1);

/// The one that reads.
#[derive(Debug, Clone)]
pub struct Reader {
    shared: Shared,
}

impl Reader {
    /// A reader that has read nothing yet.
    pub fn new(shared: Shared) -> Self {
        Self { shared }
    }

    /// Reads until told to stop; what is under way then is read again after the next start.
    pub async fn run(self, stop: CancellationToken) {
        let mut running = JoinSet::new();
        let mut live = self.shared.live.clone();
        while self.shared.leads(&stop).await {
            live.mark_unchanged();
            let wait = match self.start_due(&mut running).await {
                Ok(next) => next.map(|due| {
                    let wait = due.duration_since(self.shared.clock.now());
                    Duration::try_from(wait).unwrap_or_default()
                }),
                Err(error) => {
                    self.shared.count_store_failure(&error);
                    error!(
                        error = &error as &dyn std::error::Error,
                        "Cannot look up whose reason is to be read, trying again"
                    );
                    Some(PAUSE)
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.shared.reads_bell.notified() => {}
                Ok(()) = live.changed() => {}
                () = sleep(wait) => {}
                Some(_) = running.join_next() => {}
            }
        }
        running.shutdown().await;
    }

    /// Reads what is due now, as far as there is room, and waits for all of it. Returns how many runs these were,
    /// and when the next is due. What was read counts once the worker has stored it.
    pub async fn step(&self) -> Result<(usize, Option<Timestamp>), StoreError> {
        let mut running = JoinSet::new();
        let next = self.start_due(&mut running).await?;
        let started = running.len();
        running.join_all().await;
        Ok((started, next))
    }

    /// Starts a task for each run that is due, as far as there is room; returns until when there is nothing to
    /// start, `None` when only an end or a bell changes that.
    async fn start_due(&self, running: &mut JoinSet<()>) -> Result<Option<Timestamp>, StoreError> {
        self.shared.library.forget_unnamed(&self.shared).await?;
        let reports = &self.shared.reports;
        // What was read and is not stored yet counts too: reading is not to run ahead of deciding.
        let under_way = reports.under_way();
        let room = AT_ONCE.saturating_sub(under_way.len());
        if room == 0 {
            return Ok(None);
        }
        let now = self.shared.clock.now();
        let store = &self.shared.store;
        let due = match store.due_reads(now, room, under_way.clone()).await {
            Err(error) if error.is_unreadable() => {
                self.set_aside(now).await?;
                store.due_reads(now, room, under_way).await?
            }
            due => due?,
        };
        reports.begin(due.iter().map(|read| read.run.run.clone()));
        for read in due {
            let shared = self.shared.clone();
            running.spawn(async move {
                let failed = || panicked(&shared, &read);
                let mut learned = unless_panicked(Box::pin(learn(&shared, &read)), failed).await;
                bound(&shared, &mut learned.finding).await;
                shared.reports.learned(learned);
                shared.inbox_bell.notify_one();
            });
        }
        self.shared.store.next_read_due(reports.under_way()).await
    }
}

/// Where logs are read: one reader for each configuration, which knows how its endpoints fare.
#[derive(Debug)]
pub struct Library {
    environment: BTreeMap<String, String>,
    current: Mutex<Option<([u8; 32], artifacts::Reader)>>,
    /// New signatures of the day; `None` before the store was asked for those given before the start.
    today: Mutex<Option<Today>>,
    /// Endpoints that were reported on since the start, and whether as failing.
    reported: Mutex<BTreeMap<String, bool>>,
    /// The configuration whose endpoints were last compared with those named before.
    looked_at: Mutex<Option<[u8; 32]>>,
}

impl Library {
    /// Credentials of `environment` are used where none are configured.
    pub fn new(environment: BTreeMap<String, String>) -> Self {
        Self {
            environment,
            current: Mutex::default(),
            today: Mutex::default(),
            reported: Mutex::default(),
            looked_at: Mutex::default(),
        }
    }

    /// The reader of the configuration in force.
    pub(super) fn reader(&self, shared: &Shared) -> artifacts::Reader {
        let live = shared.live();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match &*current {
            Some((hash, reader)) if *hash == live.snapshot.hash => reader.clone(),
            _ => {
                let config = &live.snapshot.config;
                let reader = artifacts::Reader::new(
                    config,
                    &self.environment,
                    shared.http.clone(),
                    shared.clock.clone(),
                );
                *current = Some((live.snapshot.hash, reader.clone()));
                reader
            }
        }
    }

    /// How each endpoint that was used lately fares.
    pub fn health(&self) -> Vec<EndpointHealth> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current
            .as_ref()
            .map_or_else(Vec::new, |(_, reader)| reader.health())
    }

    /// The signature under which a cause counts: its own, but for what is new on a day with too many new ones.
    async fn canonical(
        &self,
        shared: &Shared,
        class: CauseClass,
        own: Signature,
    ) -> Result<Signature, StoreError> {
        let day = shared.clock.now().as_second().div_euclid(DAY);
        if self.today().is_none() {
            let midnight = Timestamp::from_second(day * DAY).unwrap_or(Timestamp::UNIX_EPOCH);
            let given = shared.store.signatures_since(midnight).await?;
            let mut today = self.today();
            let today = today.get_or_insert_default();
            for (class, signature) in given {
                today.admit(class, signature, day);
            }
        }
        let is_of_today = |today: &Today| today.has(class, &own, day);
        if self.today().as_ref().is_some_and(is_of_today)
            || shared.store.knows_signature(own.clone()).await?
        {
            return Ok(own);
        }
        let canonical = self.today().get_or_insert_default().admit(class, own, day);
        if canonical == Today::shared(class) {
            shared.metrics.signatures_overflowed.inc();
        }
        Ok(canonical)
    }

    fn reported(&self) -> MutexGuard<'_, BTreeMap<String, bool>> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looked_at(&self) -> MutexGuard<'_, Option<[u8; 32]>> {
        self.looked_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn today(&self) -> MutexGuard<'_, Option<Today>> {
        self.today.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports endpoints that have begun or ceased to fail, each change once. The first word on one that works
    /// is a report too: it may have failed before the last start.
    fn report(&self, shared: &Shared) {
        let mut known = self.reported();
        let all = self.health();
        // Runs name buckets, so there could be any number.
        known.retain(|endpoint, fails| *fails || all.iter().any(|one| one.endpoint == *endpoint));
        for health in all {
            let key = key_of(&health.endpoint);
            let fails = matches!(health.state, breaker::State::Open { .. });
            let works = health.state == breaker::State::Working;
            let reported = known.get(&health.endpoint).copied();
            if fails && reported != Some(true) {
                known.insert(health.endpoint.clone(), true);
                warn!(
                    endpoint = health.endpoint,
                    reason = health.why,
                    "Logs cannot be read: {}",
                    health.why
                );
                let trouble = Trouble {
                    part: "reading logs".to_owned(),
                    what: format!(
                        "{}: {}. Until that works, messages come without a reason from there",
                        health.endpoint, health.why
                    ),
                };
                shared.reports.fares(&key, Some(trouble));
            } else if works && reported != Some(false) {
                known.insert(health.endpoint.clone(), false);
                shared.reports.fares(&key, None);
            }
        }
        let failing = known.values().filter(|fails| **fails).count();
        let failing = i64::try_from(failing).unwrap_or(i64::MAX);
        shared.metrics.artifact_endpoints_failing.set(failing);
    }
}

/// What the trouble of an endpoint is called.
fn key_of(endpoint: &str) -> String {
    format!("logs {endpoint}")
}

/// What work comes to, or what is said when it panicked: one log nobody thought of stops no other.
async fn unless_panicked<T>(work: impl Future<Output = T>, otherwise: impl FnOnce() -> T) -> T {
    let work = AssertUnwindSafe(work).catch_unwind();
    work.await.unwrap_or_else(|_| otherwise())
}

fn panicked(shared: &Shared, read: &DueRead) -> Learned {
    let run = &read.run;
    error!(run = short(&run.run.0), "Reading a reason panicked");
    let why = "reading it failed by a mistake of prow-notifier; its own log says where";
    let finding = Finding::Unreadable(why.to_owned());
    let again_at = again_at(shared, read, &finding);
    last_word(shared, run, finding, again_at)
}

/// Gives a reason the signature under which it counts.
async fn bound(shared: &Shared, finding: &mut Finding) {
    let Finding::Found(evidence) = finding else {
        return;
    };
    let Some(own) = evidence.signature.clone() else {
        return;
    };
    match shared.library.canonical(shared, evidence.class, own).await {
        Ok(canonical) => evidence.signature = Some(canonical),
        Err(error) => warn!(
            error = &error as &dyn std::error::Error,
            "Cannot look up whether a cause is new, taking it as known"
        ),
    }
}

/// One attempt.
async fn learn(shared: &Shared, read: &DueRead) -> Learned {
    let live = shared.live();
    let run = &read.run;
    if let Some(finding) = reported(&live, run) {
        return last_word(shared, run, finding, None);
    }
    let gathered = shared.library.reader(shared).gather(run).await;
    shared.library.report(shared);
    if let Some(warning) = &gathered.warning {
        warn!(run = short(&run.run.0), "Reading a log: {warning}");
    }
    let finding = Reason::of(&live.snapshot).finding(run, &gathered);
    let result = match &finding {
        Finding::Found(_) | Finding::Green(_) => "found",
        Finding::Nothing(_) => "nothing",
        Finding::Unreadable(_) => "unreadable",
    };
    let label = ReadLabel { result };
    shared.metrics.artifact_reads.get_or_create(&label).inc();
    Learned {
        again_at: again_at(shared, read, &finding),
        location: gathered.location,
        ..last_word(shared, run, finding, None)
    }
}

fn last_word(
    shared: &Shared,
    run: &Observation,
    finding: Finding,
    again_at: Option<Timestamp>,
) -> Learned {
    Learned {
        run: run.run.clone(),
        finding,
        location: None,
        at: shared.clock.now(),
        again_at,
    }
}

/// What it takes to tell why a run broke. What a preview shows is found by it as well.
#[derive(Debug, Clone, Copy)]
pub struct Reason<'a> {
    /// Knows the stages, whose logs of green runs have signs.
    pub policy: &'a Policy,
    /// Which lines decide.
    pub rules: &'a LogRules,
    /// Takes secrets out.
    pub redactor: &'a Redactor,
}

impl<'a> Reason<'a> {
    /// By the configuration in force.
    fn of(snapshot: &'a Snapshot) -> Self {
        Self {
            policy: &snapshot.policy,
            rules: &snapshot.config.log_rules,
            redactor: &snapshot.redactor,
        }
    }

    /// What is made of what a run left behind.
    pub fn finding(&self, run: &Observation, gathered: &Gathered) -> Finding {
        match &gathered.outcome {
            Outcome::Read if run.state == State::Success => self.green(run, &gathered.remains),
            Outcome::Read => self.explain(&gathered.remains),
            Outcome::Nothing(why) => self
                .told(run)
                .unwrap_or_else(|| Finding::Nothing(why.clone())),
            Outcome::Unreadable { why, .. } => self
                .told(run)
                .unwrap_or_else(|| Finding::Unreadable(why.clone())),
        }
    }

    fn explain(&self, remains: &Remains) -> Finding {
        evidence::explain(remains, self.rules, self.redactor)
    }

    /// What Prow's own words say, when nothing else can be had.
    fn told(&self, run: &Observation) -> Option<Finding> {
        let remains = Remains {
            description: run.description.clone(),
            ..Remains::default()
        };
        Some(self.explain(&remains)).filter(|finding| matches!(finding, Finding::Found(_)))
    }

    /// What the log of a green run says of its work.
    fn green(&self, run: &Observation, remains: &Remains) -> Finding {
        let reading = Reading::of(self.policy, run, None);
        let mut said = Said::default();
        for log in &remains.logs {
            let text = String::from_utf8_lossy(&log.bytes);
            if let Some(spot) = reading.spot(self.policy).filter(|_| said.sign.is_none()) {
                said = spot.stage.signs.read(&text);
            }
        }
        said.line = self.redactor.text(&said.line).headline(0);
        Finding::Green(said)
    }
}

/// The reason in what a command inside the job printed, which is at hand before Prow has stored anything.
fn reported(live: &Live, run: &Observation) -> Option<Finding> {
    let tail = run.log_tail.as_ref()?;
    let log = LogText {
        file: "output of the command".to_owned(),
        bytes: tail.clone().into_bytes(),
        first_line: None,
        starts_line: false,
    };
    let remains = Remains {
        logs: vec![log],
        ..Remains::default()
    };
    Some(Reason::of(&live.snapshot).explain(&remains))
}

/// When to try again: soon while Prow may still be storing what the run left, then ever more rarely, and not at
/// all once `artifacts.retry.max_age` is over or when there is nothing to be had.
fn again_at(shared: &Shared, read: &DueRead, finding: &Finding) -> Option<Timestamp> {
    let Finding::Unreadable(_) = finding else {
        return None;
    };
    let now = shared.clock.now();
    let retry = shared.live().snapshot.config.settings.artifacts.retry;
    if now.duration_since(read.since) > to_signed(retry.max_age) {
        return None;
    }
    let pause = backoff::delay(retry.base, retry.cap, read.attempts + 1, shared.jitter());
    now.checked_add(pause).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_panics_is_said_to_have_failed() {
        let work = async |fails: bool| {
            tokio::task::yield_now().await;
            assert!(!fails, "a panic on purpose");
            "read"
        };
        assert_eq!(unless_panicked(work(false), || "failed").await, "read");
        assert_eq!(unless_panicked(work(true), || "failed").await, "failed");
    }
}
