//! What a server is asked in one question for a whole batch. A file answers at once, so it is asked run by run.

use std::{collections::BTreeMap, vec};

use super::{
    rollup::Ended,
    rows::{run, run_query},
    runs::ended,
    slice::{Wanted, by_name},
    sql::{self, Connection, params},
};
use crate::domain::{incident::Run, observation::RunName};

/// Runs of a batch that are stored.
pub(super) struct Known(Option<Found>);

struct Found {
    runs: BTreeMap<RunName, Run>,
    /// Runs that only a status told of, by alias.
    inferred: BTreeMap<String, Vec<Run>>,
}

/// Numbers of runs: of those that are stored, with how they stood, and free ones for the others.
pub(super) struct Numbers {
    stored: BTreeMap<String, (i64, Ended)>,
    free: vec::IntoIter<i64>,
}

impl Known {
    pub(super) fn of(conn: &Connection, wanted: &Wanted) -> sql::Result<Self> {
        if !conn.is_shared() {
            return Ok(Self(None));
        }
        let seen = wanted.sightings.iter();
        let names: Vec<String> = seen
            .clone()
            .map(|sighting| &sighting.run)
            .chain(&wanted.runs)
            .map(|name| name.0.clone())
            .collect();
        let aliases: Vec<String> = seen.filter_map(|sighting| sighting.alias.clone()).collect();
        let mut found = Found {
            runs: BTreeMap::new(),
            inferred: BTreeMap::new(),
        };
        if !names.is_empty() {
            let mut named = conn.prepare_cached(run_query!("WHERE runs.name = ANY($1)"))?;
            for known in named.query_map(params![names], run)? {
                let known = known?;
                found.runs.insert(known.name.clone(), known);
            }
        }
        if !aliases.is_empty() {
            let mut twins = conn.prepare_cached(run_query!(
                "WHERE runs.alias = ANY($1) AND runs.inferred = 1 ORDER BY runs.id"
            ))?;
            for twin in twins.query_map(params![aliases], run)? {
                let twin = twin?;
                let alias = twin.alias.clone().unwrap_or_default();
                found.inferred.entry(alias).or_default().push(twin);
            }
        }
        Ok(Self(Some(found)))
    }

    /// A run of the batch.
    pub(super) fn run(&self, conn: &Connection, name: &RunName) -> sql::Result<Option<Run>> {
        match &self.0 {
            Some(found) => Ok(found.runs.get(name).cloned()),
            None => by_name(conn, name),
        }
    }

    /// The runs under an alias of the batch that only a status told of.
    pub(super) fn inferred(&self, conn: &Connection, alias: &str) -> sql::Result<Vec<Run>> {
        match &self.0 {
            Some(found) => Ok(found.inferred.get(alias).cloned().unwrap_or_default()),
            None => conn
                .prepare_cached(run_query!("WHERE runs.alias = $1 AND runs.inferred = 1"))?
                .query_map(params![alias], run)?
                .collect(),
        }
    }
}

impl Numbers {
    /// `None` of a file.
    pub(super) fn of(conn: &Connection, runs: &[Run]) -> sql::Result<Option<Self>> {
        if !conn.is_shared() || runs.is_empty() {
            return Ok(None);
        }
        let names: Vec<String> = runs.iter().map(|run| run.name.0.clone()).collect();
        let stored: BTreeMap<String, (i64, Ended)> = conn
            .prepare_cached("SELECT id, verdict, finished_at, name FROM runs WHERE name = ANY($1)")?
            .query_map(params![names], |row| {
                Ok((row.get(3)?, (row.get(0)?, ended(row)?)))
            })?
            .collect::<sql::Result<_>>()?;
        let free: Vec<i64> = conn
            .prepare_cached(
                "SELECT nextval(pg_get_serial_sequence('runs', 'id')) FROM generate_series(1, $1::bigint)",
            )?
            .query_map(params![names.len() - stored.len()], |row| row.get(0))?
            .collect::<sql::Result<_>>()?;
        Ok(Some(Self {
            stored,
            free: free.into_iter(),
        }))
    }

    /// The number of a stored run and how it stood.
    pub(super) fn stored(&self, name: &RunName) -> Option<(i64, Ended)> {
        self.stored.get(&name.0).copied()
    }

    /// A number for a new run.
    pub(super) fn free(&mut self) -> Option<i64> {
        self.free.next()
    }
}
