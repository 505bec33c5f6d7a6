//! Writes a run.

use super::{
    batch::Numbers,
    rollup::Ended,
    rows::{body, millis, word},
    slice::build_id,
    sql::{self, Connection, Row, params},
};
use crate::domain::incident::Run;

/// A run that was written.
pub(super) struct Put {
    /// Its number.
    pub(super) id: i64,
    pub(super) is_new: bool,
    /// How it stood before.
    pub(super) before: Ended,
}

/// Most runs are new, so a run is inserted unless it is known, and only then updated.
pub(super) fn put_run(
    conn: &Connection,
    run: &Run,
    job_id: i64,
    numbers: Option<&mut Numbers>,
) -> sql::Result<Put> {
    let values = params![
        job_id,
        run.state,
        run.verdict.as_str(),
        run.verdict.counts() && run.finished_at.is_some(),
        run.started_at.map(millis),
        run.pending_at.map(millis),
        run.finished_at.map(millis),
        run.incident.map(|id| id.0),
        run.base_ref,
        run.base_sha,
        run.url,
        run.alias,
        run.alias.as_deref().map(build_id),
        run.inferred,
        run.facts.as_deref().map(body),
        run.provisional,
        run.release.as_ref().map(|key| &key.0),
        run.name.0,
    ];
    let stored = match numbers {
        None => insert_run(conn, values)?.map_or_else(
            || {
                conn.prepare_cached("SELECT id, verdict, finished_at FROM runs WHERE name = $1")?
                    .query_row(params![run.name.0], |row| {
                        Ok((row.get(0)?, Some(ended(row)?)))
                    })
            },
            |id| Ok((id, None)),
        )?,
        Some(numbers) => {
            if let Some((id, before)) = numbers.stored(&run.name) {
                (id, Some(before))
            } else {
                let id = numbers.free().ok_or(sql::Error::NoRow)?;
                let mut numbered = values.to_vec();
                numbered.push(&id);
                conn.put(INSERT_NUMBERED, &numbered)?;
                (id, None)
            }
        }
    };
    let (id, before) = stored;
    if before.is_some() {
        conn.put(UPDATE_RUN, values)?;
    }
    Ok(Put {
        id,
        is_new: before.is_none(),
        before: before.flatten(),
    })
}

const UPDATE_RUN: &str = "UPDATE runs SET job_id = $1, state = $2, verdict = $3, counts = $4, started_at = $5, \
     pending_at = $6, finished_at = $7, incident = $8, base_ref = $9, base_sha = $10, url = $11, alias = $12, \
     build_id = $13, inferred = $14, facts = $15, provisional = $16, release = $17 WHERE name = $18";
/// For a number that was reserved.
const INSERT_NUMBERED: &str = "INSERT INTO runs (job_id, state, verdict, counts, started_at, pending_at, \
     finished_at, incident, base_ref, base_sha, url, alias, build_id, inferred, facts, provisional, release, name, id) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)";

/// Inserts a run unless it is known; returns its number.
fn insert_run(conn: &Connection, values: &[&dyn sql::Param]) -> sql::Result<Option<i64>> {
    conn.insert(
        "INSERT INTO runs (job_id, state, verdict, counts, started_at, pending_at, finished_at, incident, \
         base_ref, base_sha, url, alias, build_id, inferred, facts, provisional, release, name) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) \
         ON CONFLICT (name) DO NOTHING",
        values,
    )
}

pub(super) fn ended(row: &Row<'_>) -> sql::Result<Ended> {
    let verdict = word(row, 1)?;
    Ok(row.get::<Option<i64>>(2)?.map(|at| (verdict, at)))
}
