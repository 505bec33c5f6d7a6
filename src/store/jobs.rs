//! What is remembered of jobs: the numbers that their identities have in the database, and how they last fared.

use std::num::NonZeroUsize;

use jiff::Timestamp;
use lru::LruCache;
use rusqlite::{Connection, OptionalExtension as _};

use super::threads::{Memory, Session};
use crate::domain::incident::Run;

/// Job identities whose number is remembered; the database knows the others.
const KNOWN: NonZeroUsize = NonZeroUsize::new(8192).expect("not zero");
/// Jobs whose last run is remembered, about 1 KiB each.
const FRESH: NonZeroUsize = NonZeroUsize::new(2048).expect("not zero");

/// What is remembered of jobs.
#[derive(Debug)]
pub(super) struct Jobs {
    ids: LruCache<String, i64>,
    last: LruCache<i64, Run>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            ids: LruCache::new(KNOWN),
            last: LruCache::new(FRESH),
        }
    }
}

impl Memory for Jobs {
    fn forget(&mut self, _: &Connection) {
        self.ids.clear();
        self.last.clear();
    }
}

impl Jobs {
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
    }
}

impl Session<Jobs> {
    /// The number of a job, given when it is first seen.
    pub(super) fn job_id(&mut self, key: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.known_job_id(key)? {
            return Ok(id);
        }
        let id = self
            .conn
            .prepare_cached("INSERT INTO jobs (key) VALUES ($1) RETURNING id")?
            .query_row([key], |row| row.get(0))?;
        self.memory.ids.put(key.to_owned(), id);
        Ok(id)
    }

    /// The number of a job that has been seen.
    pub(super) fn known_job_id(&mut self, key: &str) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.memory.ids.get(key) {
            return Ok(Some(*id));
        }
        let known = self
            .conn
            .prepare_cached("SELECT id FROM jobs WHERE key = $1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        if let Some(id) = known {
            self.memory.ids.put(key.to_owned(), id);
        }
        Ok(known)
    }
}
