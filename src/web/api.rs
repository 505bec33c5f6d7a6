//! `/api/v1`: what pages show, for programs. The document that describes it is made from the handlers, so that it
//! cannot drift from them; to add one, write it with its `#[utoipa::path]` and name it in [`router`].

pub(super) mod ask;
mod boards;
mod deliveries;
mod lists;
pub(super) mod problem;
mod silences;

use std::sync::Arc;

use axum::{
    Json, Router,
    routing::{any, get},
};
use utoipa::{OpenApi, openapi::OpenApi as Document};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Web;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "prow-notifier",
        description = "What broke in Prow, who was told, and why. Lists are paged: ask for `next` as `after`. \
            Errors are problem details (RFC 9457). To act one needs a token (`Authorization: Bearer`)."
    ),
    components(schemas(problem::Problem))
)]
struct Api;

/// All of the API. Each handler stands here once.
fn described() -> OpenApiRouter<Arc<Web>> {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(boards::now))
        .routes(routes!(boards::services))
        .routes(routes!(boards::service))
        .routes(routes!(boards::counts))
        .routes(routes!(lists::releases_of))
        .routes(routes!(lists::release))
        .routes(routes!(lists::releases))
        .routes(routes!(lists::incidents))
        .routes(routes!(lists::runs))
        .routes(routes!(lists::run))
        .routes(routes!(lists::decisions))
        .routes(routes!(deliveries::receivers))
        .routes(routes!(deliveries::deliveries))
        .routes(routes!(deliveries::delivery))
        .routes(routes!(deliveries::dead_letters))
        .routes(routes!(deliveries::replay))
        .routes(routes!(deliveries::replay_all))
        .routes(routes!(deliveries::actions))
        .routes(routes!(silences::silences, silences::add))
        .routes(routes!(silences::expire))
        .routes(routes!(boards::trends))
        .routes(routes!(boards::job))
        .routes(routes!(boards::signature))
        .routes(routes!(boards::fan_out))
}

/// The API and its description.
pub(super) fn router() -> Router<Arc<Web>> {
    let (router, document) = described().split_for_parts();
    let document: Arc<Document> = Arc::new(document);
    router
        .route(
            "/api/v1/openapi.json",
            get(async move || Json(document.as_ref().clone())),
        )
        .route("/api", any(ask::unknown_path))
        .route("/api/{*rest}", any(ask::unknown_path))
        .method_not_allowed_fallback(ask::unknown_method)
}
