//! The dashboard: server-rendered HTML from what [`crate::board`] works out. Usable without script, strict about
//! where anything comes from.

pub mod assets;
pub mod events;
mod render;
mod silences;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::HeaderMap,
    response::Response,
    routing::{get, post},
};

use self::render::{failed, page};
use super::Web;
use crate::board::{now, services};

/// All pages.
pub fn router() -> Router<Arc<Web>> {
    Router::new()
        .route("/", get(now))
        .route("/services", get(services))
        .route(
            "/silences",
            get(silences::silences).post(silences::post_silence),
        )
        .route("/silences/{id}/expire", post(silences::post_expire))
        .route("/events", get(events::events))
        .route("/assets/{version}/{name}", get(assets::asset))
}

async fn now(State(web): State<Arc<Web>>, headers: HeaderMap) -> Response {
    match now::load(&web.shared).await {
        Ok(now) => page("now.html", &now, &headers),
        Err(error) => failed(&error),
    }
}

async fn services(State(web): State<Arc<Web>>, headers: HeaderMap) -> Response {
    match services::load(&web.shared).await {
        Ok(services) => page("services.html", &services, &headers),
        Err(error) => failed(&error),
    }
}
