//! One job, one run, one error.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use serde_json::json;

use super::{
    render::{failed, not_found},
    table::{Format, Table, page_or_table},
    visit::Visit,
};
use crate::{
    board::{
        error::{self, Error},
        job::{self, Job},
        run::{self, Run},
    },
    web::Web,
};

/// `GET /j/{job key}`.
pub(super) async fn job(
    State(web): State<Arc<Web>>,
    Path(key): Path<String>,
    format: Format,
    visit: Visit,
) -> Response {
    match job::load(&web.shared, &key).await {
        Ok(Some(job)) => page_or_table(format, "job.html", &job, durations, &visit),
        Ok(None) => not_found("Nothing is known of this job"),
        Err(error) => failed(&error),
    }
}

fn durations(job: &Job) -> Table {
    let columns = &["run", "state", "at_s", "ran_s", "queued_s", "slow"];
    let mut table = Table::new("job-runs", &job.data, columns);
    for one in &job.durations {
        table.row([
            json!(one.run),
            json!(one.state),
            json!(one.at_s),
            json!(one.ran_s),
            json!(one.queued_s),
            json!(one.slow),
        ]);
    }
    table
}

/// `GET /r/{run}`.
pub(super) async fn run(
    State(web): State<Arc<Web>>,
    Path(asked): Path<String>,
    format: Format,
    visit: Visit,
) -> Response {
    match run::load(&web.shared, &asked).await {
        Ok(Some(run)) => page_or_table(format, "run.html", &run, decisions, &visit),
        Ok(None) => not_found("Nothing is known of this run"),
        Err(error) => failed(&error),
    }
}

fn decisions(run: &Run) -> Table {
    let columns = &[
        "at",
        "source",
        "verdict",
        "decision",
        "reason",
        "rule",
        "receivers",
    ];
    let mut table = Table::new("run-decisions", &run.data, columns);
    for one in &run.decisions {
        table.row([
            json!(one.at),
            json!(one.source),
            json!(one.verdict),
            json!(one.decision),
            json!(one.reason),
            json!(one.rule),
            json!(one.receivers.join(" ")),
        ]);
    }
    table
}

/// `GET /e/{signature}`.
pub(super) async fn error(
    State(web): State<Arc<Web>>,
    Path(signature): Path<String>,
    format: Format,
    visit: Visit,
) -> Response {
    match error::load(&web.shared, &signature).await {
        Ok(Some(found)) => page_or_table(format, "signature.html", &found, occurrences, &visit),
        Ok(None) => not_found("Nothing is known of this error"),
        Err(error) => failed(&error),
    }
}

fn occurrences(error: &Error) -> Table {
    let columns = &["run", "at", "state", "job", "owner", "stage", "base_ref"];
    let mut table = Table::new("error-runs", &error.data, columns);
    for one in &error.runs {
        table.row([
            json!(one.run),
            json!(one.at),
            json!(one.state),
            json!(one.job),
            json!(one.owner),
            json!(one.stage),
            json!(one.base_ref),
        ]);
    }
    table
}
