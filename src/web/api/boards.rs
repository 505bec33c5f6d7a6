//! What stands now.

use std::{slice, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{ask::Ask, problem::Problem};
use crate::{
    board::{
        age::DataAge,
        error::{self, Error},
        fanout::FanOut,
        job::{self, Job},
        now::{self, Now, Open},
        services::{self, Service, Services},
        trends::{Query, Trends, WINDOWS},
    },
    store::Counts,
    web::Web,
};

/// One service and what is open of it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct ServiceNow {
    /// How old it is.
    data: DataAge,
    /// How it stands.
    service: Service,
    /// Its open incidents, the oldest first.
    open: Vec<Open>,
}

/// What is broken, and who was told.
#[utoipa::path(get, path = "/api/v1/now", tag = "now", responses(
    (status = 200, body = Now),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn now(State(web): State<Arc<Web>>) -> Result<Json<Now>, Problem> {
    Ok(Json(now::load(&web.shared).await?))
}

/// All services, the most urgent first.
#[utoipa::path(get, path = "/api/v1/services", tag = "now", responses(
    (status = 200, body = Services),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn services(State(web): State<Arc<Web>>) -> Result<Json<Services>, Problem> {
    Ok(Json(Arc::unwrap_or_clone(web.services().await?)))
}

/// One service and what is open of it.
#[utoipa::path(get, path = "/api/v1/services/{service}", tag = "now",
    params(("service" = String, Path, description = "Its name")),
    responses(
        (status = 200, body = ServiceNow),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn service(
    State(web): State<Arc<Web>>,
    Path(name): Path<String>,
) -> Result<Json<ServiceNow>, Problem> {
    let Services { data, services } = services::load(&web.shared).await?;
    let found = services.into_iter().find(|one| one.name == name);
    let mut service = found.ok_or_else(|| Problem::unknown("service"))?;
    services::add_strips(&web.shared, slice::from_mut(&mut service)).await?;
    let open = web.shared.store.open_of(&name).await?;
    let open = open.iter().map(|one| Open::of(one, data.now)).collect();
    Ok(Json(ServiceNow {
        data,
        service,
        open,
    }))
}

/// Totals. Of the observations ever accepted each is in the inbox, poisoned, or decided once.
#[utoipa::path(get, path = "/api/v1/counts", tag = "now", responses(
    (status = 200, body = Counts),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn counts(State(web): State<Arc<Web>>) -> Result<Json<Counts>, Problem> {
    Ok(Json(web.shared.store.counts().await?))
}

/// Of what time and service.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OfTime {
    /// 30, 90, 180 or 365; 90 by default.
    days: Option<u16>,
    /// Only this service.
    service: Option<String>,
}

/// Figures of releases and incidents by week, jobs that fail, flaky jobs.
#[utoipa::path(get, path = "/api/v1/trends", tag = "history", params(OfTime), responses(
    (status = 200, body = Trends),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn trends(
    State(web): State<Arc<Web>>,
    Ask(asked): Ask<OfTime>,
) -> Result<Json<Trends>, Problem> {
    let days = asked.days.unwrap_or(90);
    if !WINDOWS.contains(&days) {
        let detail = format!("`{days}` is none of {WINDOWS:?}");
        return Err(Problem::parameter("days", detail));
    }
    let query = Query {
        days,
        service: asked.service,
    };
    Ok(Json(Arc::unwrap_or_clone(web.trends(&query).await?)))
}

/// A job, how it fares and why.
#[utoipa::path(get, path = "/api/v1/jobs/{job}", tag = "history",
    params(("job" = String, Path, description = "Its identity, as `job` of a run says it")),
    responses(
        (status = 200, body = Job),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn job(
    State(web): State<Arc<Web>>,
    Path(key): Path<String>,
) -> Result<Json<Job>, Problem> {
    let found = job::load(&web.shared, &key).await?;
    found.map(Json).ok_or_else(|| Problem::unknown("job"))
}

/// Where and when an error was seen.
#[utoipa::path(get, path = "/api/v1/signatures/{signature}", tag = "history",
    params(("signature" = String, Path, description = "As `signature` of a run says it")),
    responses(
        (status = 200, body = Error),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn signature(
    State(web): State<Arc<Web>>,
    Path(signature): Path<String>,
) -> Result<Json<Error>, Problem> {
    let found = error::load(&web.shared, &signature).await?;
    found.map(Json).ok_or_else(|| Problem::unknown("signature"))
}

/// A pipeline across all services, of a version or a time.
#[utoipa::path(get, path = "/api/v1/pipelines/{pipeline}/{asked}", tag = "history",
    params(
        ("pipeline" = String, Path, description = "Its name"),
        ("asked" = String, Path, description = "A version, `24h`, `7d`, a UTC day, or `FROM..TO`"),
    ),
    responses(
        (status = 200, body = FanOut),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn fan_out(
    State(web): State<Arc<Web>>,
    Path((pipeline, asked)): Path<(String, String)>,
) -> Result<Json<FanOut>, Problem> {
    let found = Arc::unwrap_or_clone(web.fan_out(&pipeline, &asked).await?);
    found.map(Json).ok_or_else(|| Problem::unknown("pipeline"))
}
