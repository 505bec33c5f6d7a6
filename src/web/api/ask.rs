//! What a request asks for. A parameter that is wrong, or that there is not, is told by its name.

use axum::{
    extract::{FromRequestParts, Query},
    http::{StatusCode, request::Parts},
};
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::IntoParams;

use super::problem::Problem;
use crate::board::lists::Page;

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 500;

/// The parameters of a query.
#[derive(Debug)]
pub(in crate::web) struct Ask<T>(pub(in crate::web) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Ask<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let read = Query::<T>::try_from_uri(&parts.uri);
        read.map(|Query(asked)| Self(asked))
            .map_err(|error| wrong(&error.body_text()))
    }
}

/// The text ends with `name: why`, or tells which name is not known.
fn wrong(text: &str) -> Problem {
    let (_, told) = text.split_once("query string: ").unwrap_or(("", text));
    let is_name = |name: &&str| {
        let plain = |c: char| c.is_ascii_lowercase() || c == '_';
        !name.is_empty() && name.chars().all(plain)
    };
    let named = told.split_once(": ").filter(|(name, _)| is_name(name));
    if let Some((name, why)) = named {
        return Problem::parameter(name, why);
    }
    let mut quoted = told.split('`');
    let name = quoted.nth(1).unwrap_or("?");
    Problem::parameter(name, told)
}

/// Which page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct Paging {
    /// Rows of a page, 1 to 500; 50 by default.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

impl Paging {
    /// Checked.
    pub(in crate::web) fn page(self) -> Result<Page, Problem> {
        page(self.limit, self.after)
    }
}

/// The same for queries with more in them.
pub(in crate::web) fn page(limit: Option<usize>, after: Option<String>) -> Result<Page, Problem> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        Ok(Page { after, limit })
    } else {
        let detail = format!("{limit} is not from 1 to {MAX_LIMIT}");
        Err(Problem::parameter("limit", detail))
    }
}

/// A path without a meaning.
pub(in crate::web) async fn unknown_path() -> Problem {
    let detail = "See /api/v1/openapi.json for what there is.";
    Problem::new(StatusCode::NOT_FOUND, "no such path", detail)
}

/// A path that is asked with a method it does not take.
pub(in crate::web) async fn unknown_method() -> Problem {
    let detail = "See /api/v1/openapi.json for what there is.";
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "no such method here",
        detail,
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    async fn asked(query: &str) -> Result<Paging, Value> {
        let request = axum::http::Request::get(format!("/api/v1/runs?{query}"));
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        Ask::from_request_parts(&mut parts, &())
            .await
            .map(|Ask(asked)| asked)
            .map_err(|problem| serde_json::to_value(problem).unwrap())
    }

    #[tokio::test]
    async fn a_wrong_parameter_is_told_by_its_name() {
        for (query, name) in [
            ("limit=many", "limit"),
            ("limit=-1", "limit"),
            ("limt=5", "limt"),
            ("limit=5&limit=6", "limit"),
        ] {
            let problem = asked(query).await.unwrap_err();
            assert_eq!(problem["parameter"], json!(name), "{problem}");
            assert_eq!(problem["status"], 400);
        }
        for limit in [0, 501] {
            let problem = page(Some(limit), None).unwrap_err();
            let problem = serde_json::to_value(problem).unwrap();
            assert_eq!(problem["parameter"], "limit");
        }
        let first = asked("").await.unwrap().page().unwrap();
        assert_eq!((first.limit, first.after), (DEFAULT_LIMIT, None));
    }
}
