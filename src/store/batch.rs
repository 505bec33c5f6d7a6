//! What a server is asked in one question for a whole batch. A file answers at once, so it is asked run by run.

use std::{
    collections::{BTreeMap, BTreeSet},
    vec,
};

use jiff::Timestamp;

use super::{
    rollup::Ended,
    rows::{BEHIND_RUN, json, millis, run, run_query},
    runs::ended,
    slice::{Wanted, by_name},
    sql::{self, Connection, OptionalExtension as _, Param, Row, params},
};
use crate::domain::{
    incident::{Incident, IncidentId, Run},
    observation::RunName,
    release::{Release, ReleaseKey},
};

/// Runs of a batch that are stored.
pub(super) struct Known(Option<Found>);

struct Found {
    runs: BTreeMap<RunName, Run>,
    /// Runs that only a status told of, by alias.
    inferred: BTreeMap<String, Vec<Run>>,
}

/// A job's number, and when a run of it ended, in epoch milliseconds.
pub(super) type End = (i64, i64);

/// What counting runs of its job are stored before and after the end of a run.
pub(super) struct Neighbours(Option<Beside>);

struct Beside {
    before: BTreeMap<End, Run>,
    /// Those that do not come last.
    followed: BTreeSet<End>,
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
        let free = free_numbers(conn, "runs", names.len() - stored.len())?;
        Ok(Some(Self {
            stored,
            free: free.unwrap_or_default(),
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

impl Neighbours {
    /// Of a file, which is asked run by run.
    pub(super) fn of_file() -> Self {
        Self(None)
    }

    pub(super) fn of_server(conn: &Connection, ends: &BTreeSet<End>) -> sql::Result<Self> {
        let mut beside = Beside {
            before: BTreeMap::new(),
            followed: BTreeSet::new(),
        };
        if !ends.is_empty() {
            let (jobs, times): (Vec<i64>, Vec<i64>) = ends.iter().copied().unzip();
            let mut before = conn.prepare_cached(concat!(
                "SELECT near.*, ended.job, ended.at FROM unnest($1::bigint[], $2::bigint[]) AS ended (job, at) \
                 CROSS JOIN LATERAL (",
                run_query!(
                    "WHERE runs.job_id = ended.job AND runs.counts = 1 AND runs.finished_at < ended.at \
                     ORDER BY runs.finished_at DESC, runs.name DESC LIMIT 1"
                ),
                ") AS near"
            ))?;
            for found in before.query_map(params![jobs, times], |row| {
                let end = (row.get(BEHIND_RUN)?, row.get(BEHIND_RUN + 1)?);
                Ok((end, run(row)?))
            })? {
                let (end, before) = found?;
                beside.before.insert(end, before);
            }
            let mut after = conn.prepare_cached(
                "SELECT ended.job, ended.at FROM unnest($1::bigint[], $2::bigint[]) AS ended (job, at) \
                 CROSS JOIN LATERAL (SELECT 1 FROM runs WHERE runs.job_id = ended.job AND runs.counts = 1 \
                 AND runs.finished_at >= ended.at ORDER BY runs.finished_at LIMIT 1) AS near",
            )?;
            beside.followed = after
                .query_map(params![jobs, times], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<sql::Result<_>>()?;
        }
        Ok(Self(Some(beside)))
    }

    /// The last counting run of a job that ended before.
    pub(super) fn before(
        &self,
        conn: &Connection,
        job: i64,
        at: Timestamp,
    ) -> sql::Result<Option<Run>> {
        match &self.0 {
            Some(beside) => Ok(beside.before.get(&(job, millis(at))).cloned()),
            None => conn
                .prepare_cached(run_query!(
                    "WHERE runs.job_id = $1 AND runs.counts = 1 AND runs.finished_at < $2 \
                     ORDER BY runs.finished_at DESC, runs.name DESC LIMIT 1"
                ))?
                .query_row(params![job, millis(at)], run)
                .optional(),
        }
    }

    /// Whether it is known that no counting run of the job ended then or later.
    pub(super) fn is_last(&self, job: i64, at: Timestamp) -> bool {
        let beside = self.0.as_ref();
        beside.is_some_and(|beside| !beside.followed.contains(&(job, millis(at))))
    }
}

/// Free numbers for rows of a server's table. `None` of a file, which numbers rows as they come.
pub(super) fn free_numbers(
    conn: &Connection,
    table: &str,
    count: usize,
) -> sql::Result<Option<vec::IntoIter<i64>>> {
    if !conn.is_shared() || count == 0 {
        return Ok(None);
    }
    let free: Vec<i64> = conn
        .prepare_cached(
            "SELECT nextval(pg_get_serial_sequence($1, 'id')) FROM generate_series(1, $2::bigint)",
        )?
        .query_map(params![table, count], |row| row.get(0))?
        .collect::<sql::Result<_>>()?;
    Ok(Some(free.into_iter()))
}

/// Rows with these keys, in any order: a server is asked once, a file for one after the other. `select` ends with the
/// column of the keys.
pub(super) fn with_keys<K: Param, T>(
    conn: &Connection,
    select: &str,
    keys: Vec<K>,
    read: impl Fn(&Row<'_>) -> sql::Result<T>,
) -> sql::Result<Vec<T>>
where
    Vec<K>: Param,
{
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    if conn.is_shared() {
        return conn
            .prepare_cached(&format!("{select} = ANY($1)"))?
            .query_map(params![keys], read)?
            .collect();
    }
    let mut statement = conn.prepare_cached(&format!("{select} = $1"))?;
    let found = keys
        .iter()
        .map(|key| statement.query_row(params![*key], &read).optional());
    found.filter_map(sql::Result::transpose).collect()
}

/// The numbers of runs by name, of those that are stored.
pub(super) fn run_ids(
    conn: &Connection,
    names: &BTreeSet<&RunName>,
) -> sql::Result<BTreeMap<String, i64>> {
    let names: Vec<String> = names.iter().map(|name| name.0.clone()).collect();
    let found = with_keys(conn, "SELECT name, id FROM runs WHERE name", names, |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    Ok(found.into_iter().collect())
}

/// The incidents with these numbers, in order.
pub(super) fn incidents(
    conn: &Connection,
    ids: &BTreeSet<IncidentId>,
) -> sql::Result<Vec<Incident>> {
    let ids: Vec<i64> = ids
        .iter()
        .map(|id| i64::try_from(id.0).unwrap_or(i64::MAX))
        .collect();
    let select = "SELECT body FROM incidents WHERE id";
    let mut found: Vec<Incident> = with_keys(conn, select, ids, |row| json(row, 0))?;
    found.sort_by_key(|incident| incident.id);
    Ok(found)
}

/// The releases with these keys.
pub(super) fn releases(
    conn: &Connection,
    keys: &[ReleaseKey],
) -> sql::Result<Vec<(ReleaseKey, Release)>> {
    let keys: Vec<String> = keys.iter().map(|key| key.0.clone()).collect();
    let select = "SELECT key, body FROM releases WHERE key";
    with_keys(conn, select, keys, |row| {
        Ok((ReleaseKey(row.get(0)?), json(row, 1)?))
    })
}
