//! What stands now.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use crate::{
    board::{
        age::DataAge,
        now::{self, Now, Open},
        services::{self, Service, Services},
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
    Ok(Json(services::load(&web.shared).await?))
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
    let service = found.ok_or_else(|| Problem::unknown("service"))?;
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
