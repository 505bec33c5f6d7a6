//! Rows to domain types and back.

use crate::store::sql::{self, Row};
use jiff::Timestamp;
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IntoDeserializer as _, value::Error as WordError},
};

use crate::domain::{
    incident::{IncidentId, Run},
    job::JobKey,
    observation::RunName,
    release::ReleaseKey,
};

/// A query for [`run`], with what follows its `FROM`; whole as it is compiled, since it is asked for a lot.
macro_rules! run_query {
    ($rest:literal) => {
        concat!(
            "SELECT runs.name, jobs.key, runs.state, runs.verdict, runs.started_at, runs.finished_at, \
             runs.incident, runs.base_ref, runs.base_sha, runs.url, runs.alias, runs.inferred, runs.facts, \
             runs.provisional, runs.release, runs.pending_at, runs.id \
             FROM runs JOIN jobs ON jobs.id = runs.job_id ",
            $rest
        )
    };
}
pub(super) use run_query;
/// The column of [`run_query`] with the run's number, its last.
pub(super) const RUN_ID: usize = 16;
/// The first column behind those of [`run_query`], in a query around it.
pub(super) const BEHIND_RUN: usize = RUN_ID + 1;

/// Reads a run.
pub(super) fn run(row: &Row<'_>) -> sql::Result<Run> {
    Ok(Run {
        name: RunName(row.get(0)?),
        job: JobKey(row.get(1)?),
        state: row.get(2)?,
        verdict: word(row, 3)?,
        started_at: time_or_none(row, 4)?,
        pending_at: time_or_none(row, 15)?,
        finished_at: time_or_none(row, 5)?,
        incident: row.get::<Option<u64>>(6)?.map(IncidentId),
        base_ref: row.get(7)?,
        base_sha: row.get(8)?,
        url: row.get(9)?,
        alias: row.get(10)?,
        inferred: row.get(11)?,
        facts: json_or_none(row, 12)?,
        provisional: row.get(13)?,
        release: row.get::<Option<String>>(14)?.map(ReleaseKey),
    })
}

/// Epoch milliseconds, rounded down.
pub(super) fn millis(at: Timestamp) -> i64 {
    at.as_millisecond()
}

/// The same moment at the precision of the store.
pub(super) fn to_millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

/// Reads a time.
pub(super) fn time(row: &Row<'_>, column: usize) -> sql::Result<Timestamp> {
    moment(column, row.get(column)?)
}

/// Reads a time that may be missing.
pub(super) fn time_or_none(row: &Row<'_>, column: usize) -> sql::Result<Option<Timestamp>> {
    row.get::<Option<i64>>(column)?
        .map(|millis| moment(column, millis))
        .transpose()
}

fn moment(column: usize, millis: i64) -> sql::Result<Timestamp> {
    Timestamp::from_millisecond(millis)
        .map_err(|error| sql::Error::unreadable(column, Box::new(error)))
}

/// Reads one of the domain's words.
pub(super) fn word<'de, T: Deserialize<'de>>(row: &Row<'_>, column: usize) -> sql::Result<T> {
    let text: String = row.get(column)?;
    T::deserialize(text.into_deserializer()).map_err(|error: WordError| unreadable(column, error))
}

/// Reads a JSON body.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> sql::Result<T> {
    let body = row.bytes(column)?;
    serde_json::from_slice(body).map_err(|error| unreadable(column, error))
}

/// Reads a JSON body that may be missing.
pub(super) fn json_or_none<T: DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> sql::Result<Option<T>> {
    let body = row.bytes_or_null(column)?;
    body.map(serde_json::from_slice)
        .transpose()
        .map_err(|error| unreadable(column, error))
}

fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> sql::Error {
    sql::Error::unreadable(column, Box::new(error))
}

/// Writes a JSON body.
pub(super) fn body<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("the domain's types are plain data with text for keys")
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_stands_behind_a_run_is_no_column_of_it() {
        let (columns, _) = run_query!("").split_once(" FROM ").unwrap();
        let columns: Vec<&str> = columns.split(", ").collect();
        assert_eq!(columns.len(), super::BEHIND_RUN);
        assert_eq!(columns[super::RUN_ID], "runs.id");
    }
}
