//! `/api/v1`: what pages show, for programs. `openapi.json` describes it, and a test keeps it in step with the handlers.
//! To add one, write it with its `#[utoipa::path]`, name it in `api!`, and do what that test says.

pub(super) mod ask;
mod boards;
mod deliveries;
mod lists;
pub(super) mod problem;
mod silences;

use std::sync::Arc;

use axum::{
    Router,
    http::header,
    routing::{MethodRouter, any, get},
};

use super::Web;

/// What tells of the API. To build it takes the program more room than to hold it.
const DOCUMENT: &str = include_str!("api/openapi.json");

/// All of the API, each handler once: what serves it, and what tells of it.
macro_rules! api {
    ($($path:literal: $($method:ident $part:ident::$handler:ident),+;)+) => {
        fn served() -> Router<Arc<Web>> {
            Router::new()
                $(.route($path, MethodRouter::new()$(.$method($part::$handler))+))+
        }

        #[cfg(test)]
        #[derive(utoipa::OpenApi)]
        #[openapi(
            info(
                title = "prow-notifier",
                description = "What broke in Prow, who was told, and why. Lists are paged: ask for `next` as `after`. \
                    Errors are problem details (RFC 9457). To act one needs a token (`Authorization: Bearer`)."
            ),
            paths($($($part::$handler),+),+),
            components(schemas(problem::Problem))
        )]
        struct Described;
    };
}

api! {
    "/api/v1/now": get boards::now;
    "/api/v1/counts": get boards::counts;
    "/api/v1/services": get boards::services;
    "/api/v1/services/{service}": get boards::service;
    "/api/v1/services/{service}/releases": get lists::releases_of;
    "/api/v1/services/{service}/releases/{version}": get lists::release;
    "/api/v1/releases": get lists::releases;
    "/api/v1/pipelines/{pipeline}/{asked}": get boards::fan_out;
    "/api/v1/jobs/{job}": get boards::job;
    "/api/v1/runs": get lists::runs;
    "/api/v1/runs/{run}": get lists::run;
    "/api/v1/incidents": get lists::incidents;
    "/api/v1/signatures/{signature}": get boards::signature;
    "/api/v1/decisions": get lists::decisions;
    "/api/v1/trends": get boards::trends;
    "/api/v1/receivers": get deliveries::receivers;
    "/api/v1/receivers/{receiver}/replay": post deliveries::replay_all;
    "/api/v1/deliveries": get deliveries::deliveries;
    "/api/v1/deliveries/{id}": get deliveries::delivery;
    "/api/v1/deliveries/{id}/replay": post deliveries::replay;
    "/api/v1/dead-letters": get deliveries::dead_letters;
    "/api/v1/silences": get silences::silences, post silences::add;
    "/api/v1/silences/{id}/expire": post silences::expire;
    "/api/v1/actions": get deliveries::actions;
}

/// The API and its description.
pub(super) fn router() -> Router<Arc<Web>> {
    let document = ([(header::CONTENT_TYPE, "application/json")], DOCUMENT);
    served()
        .route("/api/v1/openapi.json", get(async move || document))
        .route("/api", any(ask::unknown_path))
        .route("/api/{*rest}", any(ask::unknown_path))
        .method_not_allowed_fallback(ask::unknown_method)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use utoipa::OpenApi as _;

    use super::{DOCUMENT, Described};

    /// JSON with a line for each path and each schema.
    fn lines(value: &Value, depth: usize) -> String {
        match value {
            Value::Object(fields) if depth < 3 => {
                let indent = "  ".repeat(depth);
                let fields = fields.iter().map(|(name, value)| {
                    let (name, value) = (Value::from(name.as_str()), lines(value, depth + 1));
                    format!("{indent}  {name}: {value}")
                });
                let fields: Vec<String> = fields.collect();
                format!("{{\n{}\n{indent}}}", fields.join(",\n"))
            }
            other => other.to_string(),
        }
    }

    #[test]
    fn the_document_tells_of_the_handlers() {
        let described = serde_json::to_value(Described::openapi()).unwrap();
        let written = format!("{}\n", lines(&described, 0));
        if written != DOCUMENT {
            let file = std::env::temp_dir().join("openapi.json");
            std::fs::write(&file, &written).unwrap();
            panic!(
                "src/web/api/openapi.json is not what the handlers say: look at what differs in {file}, and copy it",
                file = file.display()
            );
        }
    }
}
