//! Long lists, and one of each.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    ask::{Ask, Paging, page},
    problem::Problem,
};
use crate::{
    board::lists::{self, DecisionItem, IncidentItem, Listed, ReleaseItem, RunItem},
    domain::observation::RunName,
    store::Trail,
    web::Web,
};

/// Which incidents.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichIncidents {
    /// Rows of a page, 1 to 500; 50 by default.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
    /// Only open ones, or only closed ones.
    open: Option<bool>,
    /// Only those of this service, or owner of what releases nothing.
    service: Option<String>,
}

/// Releases of all services by their beginning, the newest first.
#[utoipa::path(get, path = "/api/v1/releases", tag = "history", params(Paging), responses(
    (status = 200, body = Listed<ReleaseItem>),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn releases(
    State(web): State<Arc<Web>>,
    Ask(paging): Ask<Paging>,
) -> Result<Json<Listed<ReleaseItem>>, Problem> {
    let page = paging.page()?;
    Ok(Json(lists::releases(&web.shared, &page, None).await?))
}

/// Releases of a service by their beginning, the newest first.
#[utoipa::path(get, path = "/api/v1/services/{service}/releases", tag = "history",
    params(("service" = String, Path, description = "Its name"), Paging),
    responses(
        (status = 200, body = Listed<ReleaseItem>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn releases_of(
    State(web): State<Arc<Web>>,
    Path(service): Path<String>,
    Ask(paging): Ask<Paging>,
) -> Result<Json<Listed<ReleaseItem>>, Problem> {
    let page = paging.page()?;
    let listed = lists::releases(&web.shared, &page, Some(service)).await?;
    Ok(Json(listed))
}

/// One release and its stages.
#[utoipa::path(get, path = "/api/v1/services/{service}/releases/{version}", tag = "history",
    params(
        ("service" = String, Path, description = "The service"),
        ("version" = String, Path, description = "The version, with or without a leading v"),
    ),
    responses(
        (status = 200, body = ReleaseItem),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn release(
    State(web): State<Arc<Web>>,
    Path((service, version)): Path<(String, String)>,
) -> Result<Json<ReleaseItem>, Problem> {
    let found = lists::release(&web.shared, &service, &version).await?;
    found.map(Json).ok_or_else(|| Problem::unknown("release"))
}

/// Incidents that were told, by their beginning, the newest first.
#[utoipa::path(get, path = "/api/v1/incidents", tag = "history", params(WhichIncidents), responses(
    (status = 200, body = Listed<IncidentItem>),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn incidents(
    State(web): State<Arc<Web>>,
    Ask(which): Ask<WhichIncidents>,
) -> Result<Json<Listed<IncidentItem>>, Problem> {
    let page = page(which.limit, which.after)?;
    let listed = lists::incidents(&web.shared, &page, which.open, which.service).await?;
    Ok(Json(listed))
}

/// Runs in the order in which they were first heard of, the newest first.
#[utoipa::path(get, path = "/api/v1/runs", tag = "history", params(Paging), responses(
    (status = 200, body = Listed<RunItem>),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn runs(
    State(web): State<Arc<Web>>,
    Ask(paging): Ask<Paging>,
) -> Result<Json<Listed<RunItem>>, Problem> {
    Ok(Json(lists::runs(&web.shared, &paging.page()?).await?))
}

/// What became of a run or of a message, and why: the decisions, and what was said to whom.
#[utoipa::path(get, path = "/api/v1/runs/{run}", tag = "history",
    params(("run" = String, Path, description = "Name of a ProwJob, its build id, or the id at the end of a message")),
    responses(
        (status = 200, body = Trail),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn run(
    State(web): State<Arc<Web>>,
    Path(asked): Path<String>,
) -> Result<Json<Trail>, Problem> {
    let found = web.shared.store.explain(&RunName::meant(&asked)).await?;
    found.map(Json).ok_or_else(|| Problem::unknown("run"))
}

/// Decisions in the order in which they were made, the newest first.
#[utoipa::path(get, path = "/api/v1/decisions", tag = "history", params(Paging), responses(
    (status = 200, body = Listed<DecisionItem>),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn decisions(
    State(web): State<Arc<Web>>,
    Ask(paging): Ask<Paging>,
) -> Result<Json<Listed<DecisionItem>>, Problem> {
    Ok(Json(lists::decisions(&web.shared, &paging.page()?).await?))
}
