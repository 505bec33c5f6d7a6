//! Tells the stand-ins over HTTP what to show, and tells what they were sent: for tests that run elsewhere.
//!
//! `POST /deck/jobs` takes a ProwJob, `PUT /bucket/BUCKET/KEY` an object, `POST /slack/force/HOOK` an answer for the next
//! request to a webhook; `GET /slack` gives what came. A stand-in that does not run is not found.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{get, post, put},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    bucket::{BucketStandin, Object},
    prow::DeckStandin,
    slack::{Act, Forced, SlackStandIn},
};
use crate::slack::preview_text;

/// The stand-ins that run here.
#[derive(Debug, Default)]
pub struct Standins {
    /// Deck.
    pub deck: Option<DeckStandin>,
    /// A bucket.
    pub bucket: Option<BucketStandin>,
    /// Slack.
    pub slack: Option<SlackStandIn>,
}

/// An answer that Slack shall give.
#[derive(Debug, Deserialize)]
struct Wanted {
    status: u16,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
}

/// What is asked and told, as routes.
pub fn router(standins: Arc<Standins>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/deck/jobs", post(add_job))
        .route("/bucket/{*path}", put(put_object))
        .route("/slack", get(slack))
        .route("/slack/force/{hook}", post(force))
        .with_state(standins)
}

async fn add_job(State(standins): State<Arc<Standins>>, Json(job): Json<Value>) -> StatusCode {
    let Some(deck) = &standins.deck else {
        return StatusCode::NOT_FOUND;
    };
    deck.upsert(job);
    StatusCode::NO_CONTENT
}

async fn put_object(
    State(standins): State<Arc<Standins>>,
    Path(path): Path<String>,
    body: Bytes,
) -> StatusCode {
    let Some(bucket) = &standins.bucket else {
        return StatusCode::NOT_FOUND;
    };
    bucket.put(&path, Object::Bytes(body));
    StatusCode::NO_CONTENT
}

async fn force(
    State(standins): State<Arc<Standins>>,
    Path(hook): Path<String>,
    Json(wanted): Json<Wanted>,
) -> StatusCode {
    let Some(slack) = &standins.slack else {
        return StatusCode::NOT_FOUND;
    };
    let answer = Act::Answer {
        status: wanted.status,
        headers: wanted.headers,
        body: wanted.body,
    };
    slack.force(&hook, Forced::from(answer));
    StatusCode::NO_CONTENT
}

async fn slack(State(standins): State<Arc<Standins>>) -> Response {
    let Some(slack) = &standins.slack else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let messages = slack.messages().into_iter().map(|message| {
        let text = preview_text(&message.payload);
        json!({ "hook": message.hook, "at": message.at, "text": text })
    });
    let refused = slack.violations().into_iter();
    let refused = refused.map(|each| json!({ "hook": each.hook, "found": each.found }));
    let answers = slack.answers().into_iter();
    let answers =
        answers.map(|each| json!({ "hook": each.hook, "at": each.at, "status": each.status }));
    Json(json!({
        "messages": messages.collect::<Vec<_>>(),
        "refused": refused.collect::<Vec<_>>(),
        "answers": answers.collect::<Vec<_>>(),
    }))
    .into_response()
}
