//! The numbers that job identities have in the database.

use std::num::NonZeroUsize;

use lru::LruCache;
use rusqlite::{Connection, OptionalExtension as _};

use super::threads::{Memory, Session};

/// Job identities whose number is remembered; the database knows the others.
const KNOWN: NonZeroUsize = NonZeroUsize::new(8192).expect("not zero");

/// Numbers of jobs, as far as they are remembered.
#[derive(Debug)]
pub(super) struct Jobs(LruCache<String, i64>);

impl Default for Jobs {
    fn default() -> Self {
        Self(LruCache::new(KNOWN))
    }
}

impl Memory for Jobs {
    fn forget(&mut self, _: &Connection) {
        self.0.clear();
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
        self.memory.0.put(key.to_owned(), id);
        Ok(id)
    }

    /// The number of a job that has been seen.
    pub(super) fn known_job_id(&mut self, key: &str) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.memory.0.get(key) {
            return Ok(Some(*id));
        }
        let known = self
            .conn
            .prepare_cached("SELECT id FROM jobs WHERE key = $1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        if let Some(id) = known {
            self.memory.0.put(key.to_owned(), id);
        }
        Ok(known)
    }
}
