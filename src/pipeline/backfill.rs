//! Fills gaps: when nobody told us anything for longer than Prow keeps ProwJobs, what ended meanwhile is found in
//! the buckets, where Prow keeps it.
//!
//! Job after job is taken in, and the last one stored, so that a restart or a bucket that fails goes on from there.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{Shared, catch_up::Gap, is_watched, live::Live};
use crate::{
    artifacts,
    config::{Config, settings::BackfillSettings},
    domain::{
        backoff,
        location::Location,
        observation::{Observation, RunName, Source},
        prowjob::build_time,
        trouble::Trouble,
    },
    prow::folder::{self, PROWJOB},
    store::{Store, StoreError},
};

/// Key in the store: when somebody last told us anything.
const HEARD: &str = "heard_at";
/// Key in the store: how far the filling of a gap has come, or an order to fill one; empty when there is none.
const PLAN: &str = "backfill";
/// What is heard is stored so often.
const KEEP: Duration = Duration::from_secs(60);
/// Somebody may order a gap to be filled from outside this process, which rings no bell.
const LOOK: Duration = Duration::from_secs(5);
/// Build ids are given at the start: who ended in the gap may have started so long before it.
const LONGEST_RUN: SignedDuration = SignedDuration::from_hours(24);
/// Pauses after a bucket failed.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// What the trouble is called when a gap could not be filled.
const TROUBLE: &str = "backfill";

/// How far the filling of a gap has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Plan {
    since: Timestamp,
    until: Timestamp,
    /// When it began; with [`BackfillSettings::timeout`] that says when it is given up. `None`: it is only ordered.
    began: Option<Timestamp>,
    requests: u64,
    runs: u64,
    /// The last job that was taken in, by bucket; empty once all were.
    done: BTreeMap<String, String>,
}

impl Plan {
    /// Not begun yet.
    fn new(gap: Gap) -> Self {
        Self {
            since: gap.since,
            until: gap.until,
            began: None,
            requests: 0,
            runs: 0,
            done: BTreeMap::new(),
        }
    }

    fn gap(&self) -> Gap {
        Gap {
            since: self.since,
            until: self.until,
        }
    }
}

/// Orders a gap to be filled: whoever leads begins within seconds, or when it starts. Returns whether it was taken, which
/// it is not while another gap is being filled.
pub async fn order(store: &Store, gap: Gap) -> Result<bool, StoreError> {
    if stored(store).await?.is_some() {
        return Ok(false);
    }
    save(store, &Plan::new(gap)).await?;
    Ok(true)
}

async fn stored(store: &Store) -> Result<Option<Plan>, StoreError> {
    let plan = store.meta(PLAN).await?;
    Ok(plan.and_then(|json| serde_json::from_str(&json).ok()))
}

async fn save(store: &Store, plan: &Plan) -> Result<(), StoreError> {
    let json = serde_json::to_string(plan).unwrap_or_default();
    store.set_meta(PLAN, json).await
}

/// Why it cannot go on.
#[derive(Debug, thiserror::Error)]
enum Stuck {
    /// Worth trying again.
    #[error("{0}")]
    Bucket(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("more than backfill.max_requests ({0}) are needed")]
    TooMany(u64),
    #[error("the daemon is stopping")]
    Stopping,
}

/// The one that fills gaps.
#[derive(Debug)]
pub struct Backfiller {
    shared: Shared,
    plan: Option<Plan>,
    kept: Option<Timestamp>,
}

impl Backfiller {
    /// Looks whether there is a gap before any source tells anything.
    pub async fn prepare(shared: Shared) -> Result<Self, StoreError> {
        let heard = shared.store.meta(HEARD).await?;
        let heard = heard.and_then(|text| text.parse().ok());
        let after = after(&shared.live().snapshot.config);
        let plan = stored(&shared.store).await?.filter(|_| after.is_some());
        let gap = plan.as_ref().map(Plan::gap);
        shared.catch_up.resume(heard, gap);
        shared.catch_up.look(shared.clock.now(), after);
        Ok(Self {
            shared,
            plan,
            kept: heard,
        })
    }

    /// Fills gaps while this process leads, until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut epoch = self.shared.store.leads();
        while !stop.is_cancelled() {
            let now = self.shared.store.leads();
            if now.is_none() {
                // Whoever leads now goes on with it.
                self.shared.metrics.backfill_active.set(0);
                self.follow().await;
                tokio::select! {
                    _ = self.shared.leads(&stop) => {}
                    () = tokio::time::sleep(KEEP) => {}
                }
                epoch = None;
                continue;
            }
            if epoch != now {
                // Another may have begun to fill a gap.
                match Self::prepare(self.shared.clone()).await {
                    Ok(prepared) => (self, epoch) = (prepared, now),
                    Err(error) => self.shared.count_store_failure(&error),
                }
            }
            let shared = self.shared.clone();
            tokio::select! {
                () = shared.loses_lead() => continue,
                () = self.fill_gap(&stop) => {}
            }
            self.wait(&stop).await;
        }
        if self.shared.store.leads().is_some() {
            self.keep().await;
        }
    }

    /// Waits until there may be a gap, or what was heard is to be stored.
    async fn wait(&mut self, stop: &CancellationToken) {
        let shared = self.shared.clone();
        let kept_at = Instant::now();
        while kept_at.elapsed() < KEEP {
            tokio::select! {
                () = stop.cancelled() => return,
                () = shared.loses_lead() => return,
                () = shared.catch_up.bell.notified() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            match self.take_order().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => shared.count_store_failure(&error),
            }
        }
    }

    /// Whether somebody has ordered a gap to be filled.
    async fn take_order(&mut self) -> Result<bool, StoreError> {
        let can_look = after(&self.shared.live().snapshot.config).is_some();
        self.plan = stored(&self.shared.store).await?.filter(|_| can_look);
        if let Some(plan) = &self.plan {
            self.shared.catch_up.order(plan.gap());
        }
        Ok(self.plan.is_some())
    }

    /// Takes over what the replica that leads was told, so that taking over from it leaves no gap.
    async fn follow(&mut self) {
        match self.shared.store.meta(HEARD).await {
            Ok(heard) => {
                self.kept = heard.and_then(|text| text.parse().ok());
                self.shared.catch_up.resume(self.kept, None);
            }
            Err(error) => self.shared.count_store_failure(&error),
        }
    }

    async fn fill_gap(&mut self, stop: &CancellationToken) {
        if let Some(gap) = self.shared.catch_up.gap() {
            self.fill(gap, stop).await;
        }
        self.keep().await;
    }

    /// Stores when somebody last told us anything.
    async fn keep(&mut self) {
        let heard = self.shared.catch_up.heard();
        if let Some(at) = heard.filter(|_| heard != self.kept) {
            match self.shared.store.set_meta(HEARD, at.to_string()).await {
                Ok(()) => self.kept = heard,
                Err(error) => self.shared.count_store_failure(&error),
            }
        }
    }

    /// Fills a gap, or as much of it as can be had in time.
    async fn fill(&mut self, gap: Gap, stop: &CancellationToken) {
        let mut plan = self.plan.take().unwrap_or_else(|| Plan::new(gap));
        let began = *plan.began.get_or_insert_with(|| self.shared.clock.now());
        self.shared.metrics.backfill_active.set(1);
        info!(
            backfill.since = %plan.since,
            backfill.until = %plan.until,
            "Looking into the buckets for what nobody told us since {}", plan.since
        );
        let mut failures = 0;
        let missing = loop {
            let error = match self.attempt(&mut plan, stop).await {
                Ok(()) => break None,
                Err(Stuck::Stopping) => return self.plan = Some(plan),
                Err(error) => error,
            };
            failures += 1;
            let waited = self.shared.clock.now().duration_since(began);
            let limit = self.settings().timeout;
            let is_over = waited >= SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX);
            if is_over || matches!(error, Stuck::TooMany(_)) {
                break Some(error.to_string());
            }
            warn!(
                error = &error as &dyn std::error::Error,
                "Cannot look into a bucket for what ended meanwhile, going on later: {error}"
            );
            let pause = backoff::delay(RETRY.0, RETRY.1, failures, self.shared.jitter());
            tokio::select! {
                () = stop.cancelled() => return self.plan = Some(plan),
                () = tokio::time::sleep(pause) => {}
            }
        };
        self.end(&plan, missing).await;
    }

    async fn end(&mut self, plan: &Plan, missing: Option<String>) {
        if let Err(error) = self.shared.store.set_meta(PLAN, String::new()).await {
            self.shared.count_store_failure(&error);
        }
        let (runs, requests) = (plan.runs, plan.requests);
        match &missing {
            None => info!(
                backfill.runs = runs,
                backfill.requests = requests,
                "Caught up: found {runs} runs in the buckets"
            ),
            Some(why) => warn!(
                backfill.runs = runs,
                reason = why,
                "Gave up catching up after {runs} runs: {why}"
            ),
        }
        let trouble = missing.map(|why| Trouble {
            part: "catching up after an outage".to_owned(),
            what: format!("{why}. Some runs since {} are not known", plan.since),
        });
        self.shared.reports.fares(TROUBLE, trouble);
        self.shared.metrics.backfill_active.set(0);
        self.shared.catch_up.end();
        self.shared.inbox_bell.notify_one();
    }

    fn settings(&self) -> BackfillSettings {
        self.shared.live().snapshot.config.settings.backfill
    }

    /// Takes in all jobs that were not taken in before.
    async fn attempt(&self, plan: &mut Plan, stop: &CancellationToken) -> Result<(), Stuck> {
        let live = self.shared.live();
        let reader = self.shared.library.reader(&self.shared);
        for root in roots(&live) {
            let jobs = root
                .join("logs")
                .map_err(|why| Stuck::Bucket(why.to_string()))?;
            let name = root.to_string();
            // Keys of jobs end in a slash, and `0` is the character behind it.
            let after = plan.done.get(&name).map(|job| format!("{job}0"));
            let mut next = None;
            loop {
                let page = reader.folders(&jobs, after.as_deref(), next);
                let page = page.await.map_err(Stuck::Bucket)?;
                self.count(plan, 1)?;
                for some in page.names.chunks(self.settings().concurrency) {
                    if stop.is_cancelled() {
                        return Err(Stuck::Stopping);
                    }
                    self.take_in(plan, &reader, &jobs, some).await?;
                    if let Some(last) = some.last() {
                        plan.done.insert(name.clone(), last.clone());
                        save(&self.shared.store, plan).await?;
                    }
                }
                if page.next.is_none() {
                    break;
                }
                next = page.next;
            }
        }
        Ok(())
    }

    fn count(&self, plan: &mut Plan, requests: u64) -> Result<(), Stuck> {
        plan.requests += requests;
        self.shared.metrics.backfill_requests.inc_by(requests);
        let most = self.settings().max_requests;
        if plan.requests > most {
            return Err(Stuck::TooMany(most));
        }
        Ok(())
    }

    /// Accepts the missed runs of some jobs.
    async fn take_in(
        &self,
        plan: &mut Plan,
        reader: &artifacts::Reader,
        above: &Location,
        jobs: &[String],
    ) -> Result<(), Stuck> {
        let since = plan
            .since
            .checked_sub(LONGEST_RUN)
            .unwrap_or(Timestamp::MIN);
        let search = Search {
            reader,
            jobs: above,
            since,
            until: plan.until,
            now: self.shared.clock.now(),
        };
        let found = join_all(jobs.iter().map(|job| search.runs(job))).await;
        let mut missed = Vec::new();
        let mut failed = None;
        for found in found {
            self.count(plan, found.requests)?;
            missed.extend(found.runs);
            failed = failed.or(found.failed);
        }
        if let Some(why) = failed {
            return Err(Stuck::Bucket(why));
        }
        let live = self.shared.live();
        missed.retain(|run| is_watched(&live, run));
        let names: Vec<RunName> = missed.iter().map(|run| run.run.clone()).collect();
        let known = self.shared.store.known(names).await?;
        missed.retain(|run| !known.get(&run.run).is_some_and(|known| known.finished));
        let count = missed.len() as u64;
        debug!(runs = count, "Looked for missed runs of {jobs:?}");
        self.shared.accept(missed).await?;
        plan.runs += count;
        self.shared.metrics.backfill_runs.inc_by(count);
        Ok(())
    }
}

/// What was found of a job.
#[derive(Debug, Default)]
struct Found {
    runs: Vec<Observation>,
    requests: u64,
    /// Why there may be more.
    failed: Option<String>,
}

/// Where runs are looked for, and which.
#[derive(Debug)]
struct Search<'a> {
    reader: &'a artifacts::Reader,
    /// The folder of all jobs.
    jobs: &'a Location,
    /// Runs that began before are not of interest.
    since: Timestamp,
    /// Runs that began later neither.
    until: Timestamp,
    now: Timestamp,
}

impl Search<'_> {
    /// The finished runs of a job, oldest first.
    async fn runs(&self, job: &str) -> Found {
        let mut found = Found::default();
        if let Err(why) = self.gather(&mut found, job).await {
            found.failed = Some(why);
        }
        found
    }

    async fn gather(&self, found: &mut Found, job: &str) -> Result<(), String> {
        // A folder with an odd name is none of Prow's.
        let Ok(folder) = self.jobs.join(job) else {
            return Ok(());
        };
        let first = build_time::first(self.since);
        let mut next = None;
        loop {
            found.requests += 1;
            let page = self.reader.folders(&folder, Some(&first), next).await?;
            let is_missed = |build: &&String| {
                build_time::of(build).is_some_and(|at| (self.since..=self.until).contains(&at))
            };
            for build in page.names.iter().filter(is_missed) {
                let Ok(place) = folder.join(build) else {
                    continue;
                };
                found.requests += 1;
                let files = self.reader.files(&place, &[PROWJOB]).await?;
                let stored = files.into_iter().flatten();
                let runs = stored.filter_map(|json| read(&json, job, &place, self.now));
                found.runs.extend(runs);
            }
            if page.next.is_none() {
                return Ok(());
            }
            next = page.next;
        }
    }
}

/// A stored run, if it is over.
fn read(json: &[u8], job: &str, place: &Location, now: Timestamp) -> Option<Observation> {
    match folder::run(json, Source::Bucket, now) {
        Ok(run) if run.job != job => {
            warn!("The ProwJob in {place} is of another job, left it out");
            None
        }
        Ok(run) => Some(run).filter(Observation::is_finished),
        Err(error) => {
            warn!("Cannot read the ProwJob in {place}, left it out: {error}");
            None
        }
    }
}

/// The buckets that the configuration names, each once.
fn roots(live: &Live) -> BTreeSet<Location> {
    let defaults = live.snapshot.config.artifacts.defaults.iter();
    defaults.map(|default| default.root.clone()).collect()
}

/// Nothing heard for longer is a gap; `None` when none is to be filled, or there is nowhere to look.
pub fn after(config: &Config) -> Option<Duration> {
    let settings = &config.settings;
    let has_buckets = !config.artifacts.defaults.is_empty();
    (settings.backfill.enabled && settings.artifacts.enabled && has_buckets)
        .then_some(settings.backfill.after)
}
