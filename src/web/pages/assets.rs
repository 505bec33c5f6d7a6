//! Styles and scripts, built in. Their address changes with their content, so browsers keep them for a year.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use sha2::{Digest as _, Sha256};

/// Name, content type and content.
const ASSETS: &[(&str, &str, &str)] = &[
    (
        "board.css",
        "text/css; charset=utf-8",
        include_str!("assets/board.css"),
    ),
    (
        "board.js",
        "text/javascript; charset=utf-8",
        include_str!("assets/board.js"),
    ),
    (
        "charts.js",
        "text/javascript; charset=utf-8",
        include_str!("assets/charts.js"),
    ),
    (
        "uPlot.iife.min.js",
        "text/javascript; charset=utf-8",
        include_str!("assets/uplot/uPlot.iife.min.js"),
    ),
    (
        "uPlot.min.css",
        "text/css; charset=utf-8",
        include_str!("assets/uplot/uPlot.min.css"),
    ),
    (
        "uPlot.LICENSE.txt",
        "text/plain; charset=utf-8",
        include_str!("assets/uplot/LICENSE"),
    ),
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
];

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for (_, _, content) in ASSETS {
        hash.update(content);
    }
    hex::encode(hash.finalize().split_at(6).0)
});

/// Where an asset is.
pub(super) fn address(name: &str) -> String {
    format!("/assets/{}/{name}", *VERSION)
}

/// `GET /assets/{version}/{name}`. Whatever version is asked for, the one there is.
pub(super) async fn asset(Path((version, name)): Path<(String, String)>) -> Response {
    let Some((_, content_type, content)) = ASSETS.iter().find(|asset| asset.0 == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let keep = if version == *VERSION {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let mut response = (
        [
            (header::CONTENT_TYPE, *content_type),
            (header::CACHE_CONTROL, keep),
        ],
        *content,
    )
        .into_response();
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"),
    );
    response
}
