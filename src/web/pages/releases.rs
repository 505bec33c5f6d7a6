//! Pages about releases: of a service, of one version, of a whole fleet, and the wall.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::Web,
    render::{failed, not_found, page},
    table::{Format, Table, page_or_table},
    visit::Visit,
};
use crate::board::{
    fanout::FanOut,
    release::{self, ReleasePage},
    service::{self, Cell, ServicePage},
    wall,
};

/// Where a list goes on.
#[derive(Debug, Deserialize)]
pub(super) struct Paging {
    after: Option<String>,
}

/// `GET /s/{service}`.
pub(super) async fn service(
    State(web): State<Arc<Web>>,
    Path(name): Path<String>,
    Query(paging): Query<Paging>,
    format: Format,
    visit: Visit,
) -> Response {
    match service::load(&web.shared, &name, paging.after.as_deref()).await {
        Ok(Some(found)) => page_or_table(format, "service.html", &found, releases, &visit),
        Ok(None) => not_found("There is no such service"),
        Err(error) => failed(&error),
    }
}

fn releases(service: &ServicePage) -> Table {
    let columns = &["version", "pipeline", "began_at", "took_s", "stages"];
    let mut table = Table::new("releases", &service.data, columns);
    for one in &service.releases {
        table.row([
            json!(one.version),
            json!(one.pipeline),
            json!(one.began_at),
            json!(one.took_s),
            stages(one.cells.iter().flatten()),
        ]);
    }
    table
}

fn stages<'a>(cells: impl Iterator<Item = &'a Cell>) -> Value {
    let stages: Vec<String> = cells
        .map(|cell| format!("{}={}", cell.stage, cell.state.as_str()))
        .collect();
    json!(stages.join(" "))
}

/// `GET /s/{service}/{version}`.
pub(super) async fn release(
    State(web): State<Arc<Web>>,
    Path((service, version)): Path<(String, String)>,
    format: Format,
    visit: Visit,
) -> Response {
    match release::load(&web.shared, &service, &version).await {
        Ok(Some(found)) => page_or_table(format, "release.html", &found, its_stages, &visit),
        Ok(None) => not_found("There is no such release"),
        Err(error) => failed(&error),
    }
}

fn its_stages(release: &ReleasePage) -> Table {
    let columns = &[
        "stage",
        "state",
        "attempts",
        "elapsed_s",
        "usual_s",
        "due_by",
        "done_at",
        "needs",
        "critical_path",
        "run",
    ];
    let mut table = Table::new("stages", &release.data, columns);
    for one in &release.stages {
        let needs: Vec<&str> = one.needs.iter().map(|need| need.stage.as_str()).collect();
        table.row([
            json!(one.name),
            json!(one.state),
            json!(one.attempts),
            json!(one.elapsed_s),
            json!(one.usual_s),
            json!(one.due_by),
            json!(one.done_at),
            json!(needs.join(" ")),
            json!(one.critical_path),
            json!(one.run),
        ]);
    }
    table
}

/// `GET /g/{pipeline}/{version or time}`.
pub(super) async fn fan_out(
    State(web): State<Arc<Web>>,
    Path((pipeline, asked)): Path<(String, String)>,
    format: Format,
    visit: Visit,
) -> Response {
    match web.fan_out(&pipeline, &asked).await.as_deref() {
        Ok(Some(found)) => page_or_table(format, "fanout.html", found, members, &visit),
        Ok(None) => not_found("There is no such pipeline"),
        Err(error) => failed(error),
    }
}

fn members(fan_out: &FanOut) -> Table {
    let columns = &["service", "version", "state", "began_at", "stages"];
    let mut table = Table::new("fan-out", &fan_out.data, columns);
    for one in &fan_out.members {
        table.row([
            json!(one.service),
            json!(one.version),
            json!(one.state),
            json!(one.began_at),
            stages(one.cells.iter()),
        ]);
    }
    table
}

/// `GET /wall`.
pub(super) async fn wall(State(web): State<Arc<Web>>, visit: Visit) -> Response {
    match wall::load(&web.shared).await {
        Ok(wall) => page("wall.html", &wall, &visit),
        Err(error) => failed(&error),
    }
}

#[cfg(test)]
mod tests;
