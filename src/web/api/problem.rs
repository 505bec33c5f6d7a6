//! What went wrong, for programs: problem details (<https://www.rfc-editor.org/rfc/rfc9457>).

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{board::lists::ListError, store::StoreError};

/// Seconds after which a client may try again when the store cannot be read.
const RETRY_AFTER: &str = "5";

/// What went wrong.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(in crate::web) struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What went wrong.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What to do about it.
    detail: String,
    /// The parameter that is wrong, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
}

impl Problem {
    /// Of this status.
    pub(in crate::web) fn new(
        status: StatusCode,
        title: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind: "about:blank",
            title: title.into(),
            status: status.as_u16(),
            detail: detail.into(),
            parameter: None,
        }
    }

    /// A parameter cannot be what it is.
    pub(in crate::web) fn parameter(name: &str, detail: impl Into<String>) -> Self {
        let title = format!("parameter {name} is wrong");
        Self {
            parameter: Some(name.to_owned()),
            ..Self::new(StatusCode::BAD_REQUEST, title, detail)
        }
    }

    /// Nothing is known of it (any more).
    pub(in crate::web) fn unknown(what: &str) -> Self {
        let title = format!("no such {what}");
        let detail = "It was never seen, or it was deleted with age.";
        Self::new(StatusCode::NOT_FOUND, title, detail)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "Cannot read what the API is asked for"
        );
        let title = "the store cannot be used now";
        let detail =
            "Notifications are not lost. Try again in a moment; the daemon's log says why.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, title, detail)
    }
}

impl From<ListError> for Problem {
    fn from(error: ListError) -> Self {
        match error {
            ListError::After => {
                let detail = "It must be what an earlier page gave as next. Leave it out for the first page.";
                Self::parameter("after", detail)
            }
            ListError::Store(error) => error.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        }
        response
    }
}
