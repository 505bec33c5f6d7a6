//! Long lists, a page at a time, the newest first. A page begins behind a row and not at a number of rows, so rows
//! that come in meanwhile neither repeat nor hide any.

use crate::store::sql::{self, Row, params};

use crate::{
    domain::{
        incident::{Incident, Run},
        observation::RunName,
        release::{Release, ReleaseKey},
    },
    store::{
        DecisionRow, Store, StoreError,
        explain::decision,
        rows::{RUN_ID, json, run, run_query},
    },
};

/// Which incidents.
#[derive(Debug, Clone, Default)]
pub struct WhichIncidents {
    /// Only open or only closed ones.
    pub open: Option<bool>,
    /// Only those of this service, or owner of what releases nothing.
    pub owner: Option<String>,
    /// Only those behind this one, by its beginning in milliseconds and its number.
    pub behind: Option<(i64, i64)>,
    /// At most so many.
    pub limit: usize,
}

/// Which releases.
#[derive(Debug, Clone, Default)]
pub struct WhichReleases {
    /// Only those of this service.
    pub service: Option<String>,
    /// Only those behind this one, by its beginning in milliseconds and its key.
    pub behind: Option<(i64, String)>,
    /// At most so many.
    pub limit: usize,
}

/// A row, and where it stands in its list.
#[derive(Debug, Clone)]
pub struct Placed<K, T> {
    /// What the next page begins behind.
    pub place: K,
    /// The row.
    pub row: T,
}

impl Store {
    /// Runs in the order in which we first heard of them.
    pub async fn runs_behind(
        &self,
        behind: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Placed<i64, Run>>, StoreError> {
        self.pages
            .read(move |conn| {
                conn.prepare_cached(run_query!(
                    "WHERE runs.id < $1 ORDER BY runs.id DESC LIMIT $2"
                ))?
                .query_map(params![behind.unwrap_or(i64::MAX), limit], |row| {
                    Ok(Placed {
                        place: row.get(RUN_ID)?,
                        row: run(row)?,
                    })
                })?
                .collect()
            })
            .await
    }

    /// Decisions in the order in which they were made.
    pub async fn decisions_behind(
        &self,
        behind: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Placed<i64, DecisionRow>>, StoreError> {
        self.pages
            .read(move |conn| {
                conn.prepare_cached(
                    "SELECT decisions.source, decisions.seen_at, decisions.decided_at, jobs.key, decisions.verdict, \
                     decisions.decision, decisions.rule, decisions.reason, decisions.class, decisions.receivers, \
                     decisions.incident, decisions.id, coalesce(runs.name, decisions.run, '') \
                     FROM decisions JOIN jobs ON jobs.id = decisions.job_id \
                     LEFT JOIN runs ON runs.id = decisions.run_id \
                     WHERE decisions.id < $1 ORDER BY decisions.id DESC LIMIT $2",
                )?
                .query_map(params![behind.unwrap_or(i64::MAX), limit], |row| {
                    Ok(Placed {
                        place: row.get(11)?,
                        row: decision(&RunName(row.get(12)?), row)?,
                    })
                })?
                .collect()
            })
            .await
    }

    /// Told incidents by their beginning.
    pub async fn incidents_behind(
        &self,
        which: WhichIncidents,
    ) -> Result<Vec<Placed<(i64, i64), Incident>>, StoreError> {
        self.pages
            .read(move |conn| {
                let (index, open) = match which.open {
                    Some(true) => ("INDEXED BY incidents_open", "open = 1 AND "),
                    Some(false) => ("INDEXED BY incidents_figures", "open = 0 AND "),
                    None => ("INDEXED BY incidents_figures", ""),
                };
                // Few are open, so these are found faster than those of an owner. SQLite counts parameters as they
                // come up first, so that the owner's stands between the others.
                let (index, owner) = match (&which.owner, which.open) {
                    (Some(_), Some(true)) => (index, "AND owner = $3 "),
                    (Some(_), _) => ("INDEXED BY incidents_owner", "AND owner = $3 "),
                    (None, _) => (index, ""),
                };
                let limit = if owner.is_empty() { "$3" } else { "$4" };
                let sql = format!(
                    "SELECT body, first_at, id FROM incidents {index} WHERE {open}seen_at IS NOT NULL \
                     AND (first_at, id) < ($1, $2) {owner}ORDER BY first_at DESC, id DESC LIMIT {limit}"
                );
                let (at, id) = which.behind.unwrap_or((i64::MAX, i64::MAX));
                let mut statement = conn.prepare_cached(&sql)?;
                match &which.owner {
                    Some(owner) => statement
                        .query_map(params![at, id, owner, which.limit], incident)?
                        .collect(),
                    None => statement
                        .query_map(params![at, id, which.limit], incident)?
                        .collect(),
                }
            })
            .await
    }

    /// Releases by their beginning.
    pub async fn releases_behind(
        &self,
        which: WhichReleases,
    ) -> Result<Vec<Placed<(i64, String), Release>>, StoreError> {
        self.pages
            .read(move |conn| {
                let (index, service, limit) = match which.service {
                    Some(_) => ("releases_service", "AND service = $3 ", "$4"),
                    None => ("releases_began", "", "$3"),
                };
                let sql = format!(
                    "SELECT body, began_at, key FROM releases INDEXED BY {index} WHERE (began_at, key) < ($1, $2) \
                     {service}ORDER BY began_at DESC, key DESC LIMIT {limit}"
                );
                let last = || (i64::MAX, char::MAX.to_string());
                let (at, key) = which.behind.unwrap_or_else(last);
                let mut statement = conn.prepare_cached(&sql)?;
                match &which.service {
                    Some(service) => statement
                        .query_map(params![at, key, service, which.limit], release)?
                        .collect(),
                    None => statement
                        .query_map(params![at, key, which.limit], release)?
                        .collect(),
                }
            })
            .await
    }

    /// The first of these releases that is known.
    pub async fn release_of(&self, keys: Vec<ReleaseKey>) -> Result<Option<Release>, StoreError> {
        self.pages
            .read(move |conn| {
                let mut statement =
                    conn.prepare_cached("SELECT body FROM releases WHERE key = $1")?;
                for key in keys {
                    let mut found = statement.query_map(params![&key.0], |row| json(row, 0))?;
                    if let Some(found) = found.next() {
                        return found.map(Some);
                    }
                }
                Ok(None)
            })
            .await
    }

    /// Open incidents of a service, the oldest first, at most [`super::standing::MAX_OPEN`].
    pub async fn open_of(&self, owner: &str) -> Result<Vec<Incident>, StoreError> {
        let which = WhichIncidents {
            open: Some(true),
            owner: Some(owner.to_owned()),
            behind: None,
            limit: super::standing::MAX_OPEN,
        };
        let mut found = self.incidents_behind(which).await?;
        found.reverse();
        Ok(found.into_iter().map(|placed| placed.row).collect())
    }
}

fn incident(row: &Row<'_>) -> sql::Result<Placed<(i64, i64), Incident>> {
    Ok(Placed {
        place: (row.get(1)?, row.get(2)?),
        row: json(row, 0)?,
    })
}

fn release(row: &Row<'_>) -> sql::Result<Placed<(i64, String), Release>> {
    Ok(Placed {
        place: (row.get(1)?, row.get(2)?),
        row: json(row, 0)?,
    })
}
