//! `GET /runs/{run}`: why a run was or was not told, as text. Messages link to it.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use tracing::warn;

use super::Web;
use crate::{domain::observation::RunName, pipeline::trail};

/// The trail of a run, by its name, its build id, or the id at the end of a message.
pub async fn run(State(web): State<Arc<Web>>, Path(asked): Path<String>) -> Response {
    match web.shared.store.explain(&RunName::meant(&asked)).await {
        Ok(Some(found)) => trail::text(&found).into_response(),
        Ok(None) => (
            StatusCode::NOT_FOUND,
            "nothing is known of this run: never seen, or deleted with age\n",
        )
            .into_response(),
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "Cannot read a run's trail"
            );
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "the store cannot be read now, try again\n",
            )
                .into_response()
        }
    }
}
