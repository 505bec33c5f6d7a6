//! What is remembered of jobs: the numbers that their identities have in the database, and how they last fared.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
};

use jiff::Timestamp;
use lru::LruCache;

use super::{
    lead::Epoch,
    rows::{BEHIND_RUN, run, run_query},
    threads::{Memory, Session},
};
use crate::domain::{
    classify::Classification,
    health::{self, Health},
    history::{History, KEPT, Past},
    incident::Run,
    job::JobKey,
};
use crate::store::sql::{self, Connection, OptionalExtension as _, Row, params};

/// Job identities whose number is remembered; the database knows the others.
const KNOWN: NonZeroUsize = NonZeroUsize::new(8192).expect("not zero");
/// Jobs whose last run is remembered, about 1 KiB each.
const FRESH: NonZeroUsize = NonZeroUsize::new(2048).expect("not zero");
/// Jobs whose last runs are remembered, about 6 KiB each.
const ASKED: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

#[derive(Debug)]
struct Job {
    id: i64,
    /// `None` before a run of it was decided on.
    class: Option<Class>,
    /// `None` before one ended.
    health: Option<Health>,
}

/// What the rules last made of a job.
#[derive(Debug)]
struct Class {
    owner: String,
    service: Option<String>,
    stage: Option<String>,
    severity: String,
}

/// What is remembered of jobs.
#[derive(Debug)]
pub(super) struct Jobs {
    known: LruCache<String, Job>,
    /// Jobs of this batch that no run has been seen of.
    strange: BTreeSet<String>,
    last: LruCache<i64, Run>,
    /// Of jobs that were asked for.
    histories: LruCache<i64, History>,
    /// The lease under which all this was learned.
    epoch: Epoch,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            known: LruCache::new(KNOWN),
            strange: BTreeSet::new(),
            last: LruCache::new(FRESH),
            histories: LruCache::new(ASKED),
            epoch: Epoch::default(),
        }
    }
}

impl Memory for Jobs {
    fn forget(&mut self, _: &Connection) {
        self.clear();
    }
}

impl Jobs {
    fn clear(&mut self) {
        self.known.clear();
        self.strange.clear();
        self.last.clear();
        self.histories.clear();
    }

    /// Forgets what was learned under another lease: others have written since.
    pub(super) fn belong_to(&mut self, epoch: Epoch) {
        self.strange.clear();
        if self.epoch != epoch {
            self.clear();
            self.epoch = epoch;
        }
    }

    /// Takes in a job that was just given its number, and has no runs.
    fn begin(&mut self, key: &str, id: i64) {
        self.strange.remove(key);
        self.histories.put(id, History::default());
        self.known.put(
            key.to_owned(),
            Job {
                id,
                class: None,
                health: None,
            },
        );
    }

    /// The last counting run of a job, if it is remembered and ended before `at`: then nothing came after.
    pub(super) fn last_before(&mut self, job: i64, at: Timestamp) -> Option<&Run> {
        let last = self.last.get(&job)?;
        last.finished_at.is_some_and(|end| end < at).then_some(last)
    }

    /// Remembers the last counting run of a job.
    pub(super) fn set_last(&mut self, job: i64, run: &Run) {
        self.last.put(job, run.clone());
    }

    /// Takes note of a run that is being stored. Whether it is its job's last is known only beside a
    /// remembered one.
    pub(super) fn note(&mut self, job: i64, run: &Run) {
        // A run whose end was only reported may get another end.
        let moved = self.last.peek(&job).is_some_and(|last| {
            last.name == run.name && (last.finished_at != run.finished_at || !run.verdict.counts())
        });
        if moved {
            self.last.pop(&job);
        }
        if run.finished_at.is_none() || !run.verdict.counts() {
            return;
        }
        if let Some(last) = self.last.get_mut(&job)
            && (last.finished_at, &last.name) <= (run.finished_at, &run.name)
        {
            *last = run.clone();
        }
    }

    /// Forgets runs, some of which are being removed.
    pub(super) fn forget_runs(&mut self) {
        self.last.clear();
        self.histories.clear();
    }
}

impl Session<Jobs> {
    /// The number of a job, given when it is first seen.
    pub(super) fn job_id(&mut self, key: &str) -> sql::Result<i64> {
        if let Some(id) = self.known_job_id(key)? {
            return Ok(id);
        }
        let id = self
            .conn
            .prepare_cached("INSERT INTO jobs (key) VALUES ($1) RETURNING id")?
            .query_row(params![key], |row| row.get(0))?;
        self.memory.begin(key, id);
        Ok(id)
    }

    /// Asks a server for all of these jobs at once, before each is asked for. A file answers at once.
    pub(super) fn meet<'k>(&mut self, keys: impl Iterator<Item = &'k JobKey>) -> sql::Result<()> {
        if !self.conn.is_shared() {
            return Ok(());
        }
        let memory = &mut self.memory;
        let mut asked: BTreeSet<&str> = keys.map(|key| key.0.as_str()).collect();
        asked.retain(|key| memory.known.get(*key).is_none() && !memory.strange.contains(*key));
        if asked.is_empty() {
            return Ok(());
        }
        let keys: Vec<String> = asked.iter().map(|key| (*key).to_owned()).collect();
        memory.strange.extend(keys.iter().cloned());
        let mut stored = self.conn.prepare_cached(
            "SELECT id, owner, service, stage, severity, health, key FROM jobs WHERE key = ANY($1)",
        )?;
        for found in stored.query_map(params![keys], |row| Ok((row.get(6)?, job(row)?)))? {
            let (key, job): (String, Job) = found?;
            memory.strange.remove(&key);
            memory.known.put(key, job);
        }
        Ok(())
    }

    /// As [`Self::meet`], and gives numbers to those that are new.
    pub(super) fn welcome<'k>(
        &mut self,
        keys: impl Iterator<Item = &'k JobKey>,
    ) -> sql::Result<()> {
        self.meet(keys)?;
        let new: Vec<String> = self.memory.strange.iter().cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut insert = self
            .conn
            .prepare_cached("INSERT INTO jobs (key) SELECT unnest($1::text[]) RETURNING key, id")?;
        for given in insert.query_map(params![new], |row| Ok((row.get(0)?, row.get(1)?)))? {
            let (key, id): (String, i64) = given?;
            self.memory.begin(&key, id);
        }
        Ok(())
    }

    /// As [`Self::recall`], of jobs whose health may change with these runs.
    pub(super) fn recall_doubtful<'r>(
        &mut self,
        runs: impl Iterator<Item = &'r Run>,
    ) -> sql::Result<()> {
        let is_doubtful = |run: &&Run| {
            let job = self.memory.known.peek(run.job.0.as_str());
            let was = job.and_then(|job| job.health);
            Past::of(run).is_some_and(|past| past.bad || was != Some(Health::Healthy))
        };
        let jobs: BTreeSet<&JobKey> = runs.filter(is_doubtful).map(|run| &run.job).collect();
        self.recall(jobs.into_iter())
    }

    /// Asks a server for the last runs of all of these jobs at once, of those that were met.
    pub(super) fn recall<'k>(&mut self, keys: impl Iterator<Item = &'k JobKey>) -> sql::Result<()> {
        if !self.conn.is_shared() {
            return Ok(());
        }
        let known = &self.memory.known;
        let jobs = keys.filter_map(|key| known.peek(key.0.as_str()).map(|job| job.id));
        self.recall_numbered(jobs.collect())
    }

    fn recall_numbered(&mut self, mut asked: BTreeSet<i64>) -> sql::Result<()> {
        let memory = &mut self.memory;
        asked.retain(|job| memory.histories.get(job).is_none());
        if asked.is_empty() {
            return Ok(());
        }
        let jobs: Vec<i64> = asked.into_iter().collect();
        let mut histories: BTreeMap<i64, History> =
            jobs.iter().map(|job| (*job, History::default())).collect();
        let mut stored = self.conn.prepare_cached(concat!(
            "SELECT near.*, asked.job FROM unnest($1::bigint[]) AS asked (job) CROSS JOIN LATERAL (",
            run_query!(
                "WHERE runs.job_id = asked.job AND runs.counts = 1 AND runs.finished_at IS NOT NULL \
                 AND runs.provisional = 0 ORDER BY runs.finished_at DESC, runs.name DESC LIMIT $2"
            ),
            ") AS near"
        ))?;
        for found in stored.query_map(params![jobs, KEPT], |row| {
            Ok((row.get(BEHIND_RUN)?, run(row)?))
        })? {
            let (job, run): (i64, Run) = found?;
            if let Some(past) = Past::of(&run) {
                histories.entry(job).or_default().note(past);
            }
        }
        for (job, history) in histories {
            memory.histories.put(job, history);
        }
        Ok(())
    }

    /// The number of a job that has been seen.
    pub(super) fn known_job_id(&mut self, key: &str) -> sql::Result<Option<i64>> {
        Ok(self.known_job(key)?.map(|job| job.id))
    }

    /// Notes what the rules make of a job now.
    pub(super) fn classify_job(&mut self, key: &str, class: &Classification) -> sql::Result<()> {
        let id = self.job_id(key)?;
        let known = self.memory.known.peek_mut(key);
        if known.is_some_and(|job| job.class.as_ref().is_some_and(|known| known.is_of(class))) {
            return Ok(());
        }
        let now = Class::of(class);
        self.conn.put(
            "UPDATE jobs SET owner = $1, service = $2, stage = $3, severity = $4 WHERE id = $5",
            params![now.owner, now.service, now.stage, now.severity, id],
        )?;
        if let Some(job) = self.memory.known.peek_mut(key) {
            job.class = Some(now);
        }
        Ok(())
    }

    /// Takes note of a run that was written, and of how its job fares now.
    pub(super) fn note_run(&mut self, job: i64, run: &Run) -> sql::Result<()> {
        self.memory.note(job, run);
        let Some(past) = Past::of(run) else {
            return Ok(());
        };
        let is_bad = past.bad;
        if let Some(history) = self.memory.histories.get_mut(&job) {
            history.note(past);
        }
        let known = self.memory.known.peek_mut(&run.job.0);
        let was = known.and_then(|job| job.health);
        if was == Some(Health::Healthy) && !is_bad {
            return Ok(());
        }
        let now = health::of(self.history(job)?).health;
        if was != Some(now) {
            self.conn.put(
                "UPDATE jobs SET health = $1 WHERE id = $2",
                params![now.as_str(), job],
            )?;
            if let Some(job) = self.memory.known.peek_mut(&run.job.0) {
                job.health = Some(now);
            }
        }
        Ok(())
    }

    /// The last runs of a job.
    pub(super) fn history(&mut self, job: i64) -> sql::Result<&History> {
        let conn = &self.conn;
        self.memory
            .histories
            .try_get_or_insert(job, || stored_history(conn, job))
    }

    /// Whose job it is, as last classified.
    pub(super) fn owner_of(&mut self, key: &str) -> sql::Result<Option<String>> {
        let class = self.known_job(key)?.and_then(|job| job.class.as_ref());
        Ok(class.map(|class| class.owner.clone()))
    }

    fn known_job(&mut self, key: &str) -> sql::Result<Option<&Job>> {
        if !self.memory.known.contains(key) && !self.memory.strange.contains(key) {
            let found = self
                .conn
                .prepare_cached(
                    "SELECT id, owner, service, stage, severity, health FROM jobs WHERE key = $1",
                )?
                .query_row(params![key], job)
                .optional()?;
            if let Some(job) = found {
                self.memory.known.put(key.to_owned(), job);
            }
        }
        Ok(self.memory.known.get(key))
    }
}

/// The last runs of a job, from its timeline.
pub(super) fn stored_history(conn: &Connection, job: i64) -> sql::Result<History> {
    let mut history = History::default();
    let mut runs = conn.prepare_cached(run_query!(
        "WHERE runs.job_id = $1 AND runs.counts = 1 AND runs.finished_at IS NOT NULL AND runs.provisional = 0 \
         ORDER BY runs.finished_at DESC, runs.name DESC LIMIT $2"
    ))?;
    for run in runs.query_map(params![job, KEPT], run)? {
        if let Some(past) = Past::of(&run?) {
            history.note(past);
        }
    }
    Ok(history)
}

fn job(row: &Row<'_>) -> sql::Result<Job> {
    let class = match row.get(1)? {
        Some(owner) => Some(Class {
            owner,
            service: row.get(2)?,
            stage: row.get(3)?,
            severity: row.get(4)?,
        }),
        None => None,
    };
    Ok(Job {
        id: row.get(0)?,
        class,
        health: row
            .get::<Option<String>>(5)?
            .and_then(|word| Health::parse(&word)),
    })
}

impl Class {
    fn of(class: &Classification) -> Self {
        Self {
            owner: class.owner().to_owned(),
            service: class.service.clone(),
            stage: class.stage.clone(),
            severity: class.severity.as_str().to_owned(),
        }
    }

    fn is_of(&self, class: &Classification) -> bool {
        self.owner == class.owner()
            && self.service == class.service
            && self.stage == class.stage
            && self.severity == class.severity.as_str()
    }
}
