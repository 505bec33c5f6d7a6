//! `POST /hooks/…`: size, signature, shape, durable acceptance, in this order.

mod pubsub;

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tracing::{debug, warn};

use super::{
    Web,
    body::{self, BodyError},
    is_repeated, remember,
};
use crate::{
    domain::observation::{Observation, Source},
    prow::{
        parse::Parts,
        signature::{
            DATED_HEADER, RepositoryKeys, TokenFile, Unauthorized, github_repositories,
            repositories, stage_repositories,
        },
        stage, status,
    },
    store::StoreError,
};

pub use pubsub::pubsub;

/// Seconds after which a sender may try again when the store cannot take anything.
const RETRY_AFTER: &str = "5";

/// What a hook answers.
#[derive(Debug)]
enum Answer {
    /// Stored.
    Accepted(usize),
    /// Understood and not needed.
    NotNeeded(&'static str),
    /// Not the expected shape; says where.
    Bad(String),
    /// No or wrong signature; says nothing more.
    Unauthorized,
    /// Over the cap.
    TooLarge,
    /// Not all of it came in time.
    TooSlow,
    /// The store cannot take it now.
    Unavailable,
    /// Whether it is signed cannot be seen now.
    Unverifiable,
}

impl Answer {
    fn into_response(self, web: &Web, route: &'static str) -> Response {
        let (status, text) = match self {
            Self::Accepted(count) => (StatusCode::ACCEPTED, format!("accepted {count}\n")),
            Self::NotNeeded(why) => (StatusCode::OK, format!("{why}\n")),
            Self::Bad(why) => (StatusCode::BAD_REQUEST, format!("{why}\n")),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized\n".to_owned()),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body too large\n".to_owned()),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "body too slow\n".to_owned()),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "cannot store it now, try again\n".to_owned(),
            ),
            Self::Unverifiable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "cannot verify it now, try again\n".to_owned(),
            ),
        };
        web.shared.metrics.count_request(route, status.as_u16());
        let retry = (status == StatusCode::SERVICE_UNAVAILABLE)
            .then_some([(header::RETRY_AFTER, RETRY_AFTER)]);
        (status, retry, text).into_response()
    }
}

/// `POST /hooks/prowjob`: a ProwJob, a ProwJobList or a watch event.
pub async fn prowjob(State(web): State<Arc<Web>>, headers: HeaderMap, body: Body) -> Response {
    handle_prowjob(&web, &headers, body)
        .await
        .unwrap_or_else(|answer| answer)
        .into_response(&web, "/hooks/prowjob")
}

async fn handle_prowjob(web: &Web, headers: &HeaderMap, body: Body) -> Result<Answer, Answer> {
    let body = read_body(web, headers, body).await?;
    let live = web.shared.live();
    let by_owner = |tokens: &TokenFile| !tokens.is_for_everybody();
    let parts = if live.tokens.as_ref().is_some_and(by_owner) {
        let parts = Parts::split(&body);
        let owners = repositories(&parts).map_err(|error| Answer::Bad(error.to_string()));
        authorize(web, headers, &body, owners.as_ref().ok())?;
        owners?;
        parts
    } else {
        authorize(web, headers, &body, None)?;
        Parts::split(&body)
    };
    let parsed = parts
        .read(Source::Webhook, web.shared.clock.now())
        .map_err(|error| Answer::Bad(error.to_string()))?;
    if let Some(problem) = parsed.problems.first() {
        return Err(Answer::Bad(problem.clone()));
    }
    if parsed.observations.is_empty() {
        return Ok(Answer::NotNeeded("nothing to observe in it"));
    }
    accept(web, parsed.observations).await
}

/// `POST /hooks/github`: Prow's external plugin endpoint. Only `status` events about Prow runs are needed.
pub async fn github(State(web): State<Arc<Web>>, headers: HeaderMap, body: Body) -> Response {
    handle_github(&web, &headers, body)
        .await
        .unwrap_or_else(|answer| answer)
        .into_response(&web, "/hooks/github")
}

async fn handle_github(web: &Web, headers: &HeaderMap, body: Body) -> Result<Answer, Answer> {
    let body = read_body(web, headers, body).await?;
    let owners = github_repositories(&body).map_err(|error| Answer::Bad(error.to_string()));
    authorize(web, headers, &body, owners.as_ref().ok())?;
    owners?;
    if header(headers, "x-github-event") != Some("status") {
        return Ok(Answer::NotNeeded("not a status event"));
    }
    let delivery = header(headers, "x-github-delivery").map(str::to_owned);
    if delivery
        .as_deref()
        .is_some_and(|delivery| is_repeated(&web.deliveries, delivery))
    {
        return Ok(Answer::NotNeeded("delivered before"));
    }
    let live = web.shared.live();
    let status = status::status(&body).map_err(|error| Answer::Bad(error.to_string()))?;
    let run = status.observation(live.deck.as_ref(), web.shared.clock.now());
    let answer = match run {
        None => Answer::NotNeeded("not the status of a Prow run"),
        Some(run) if !run.is_finished() => Answer::NotNeeded("not finished"),
        Some(run) => accept(web, vec![run]).await?,
    };
    if let Some(delivery) = delivery {
        remember(&web.deliveries, delivery);
    }
    Ok(answer)
}

/// `POST /hooks/stage`: what `exec` reports from inside a job.
pub async fn stage(State(web): State<Arc<Web>>, headers: HeaderMap, body: Body) -> Response {
    handle_stage(&web, &headers, body)
        .await
        .unwrap_or_else(|answer| answer)
        .into_response(&web, "/hooks/stage")
}

async fn handle_stage(web: &Web, headers: &HeaderMap, body: Body) -> Result<Answer, Answer> {
    let body = read_body(web, headers, body).await?;
    let now = web.shared.clock.now();
    let live = web.shared.live();
    let owners = stage_repositories(&body).map_err(|error| Answer::Bad(error.to_string()));
    let nobody = RepositoryKeys::default();
    let owner = owners.as_ref().unwrap_or(&nobody);
    let tokens = live.tokens.as_ref().ok_or_else(unset)?;
    let id = tokens
        .verify_dated(&body, only(headers, DATED_HEADER), owner, now)
        .map_err(|error| refused(&error))?;
    owners?;
    if is_repeated(&web.reports, &id) {
        return Ok(Answer::NotNeeded("reported before"));
    }
    let run = stage::report(&body, live.deck.as_ref(), now)
        .map_err(|error| Answer::Bad(error.to_string()))?;
    let answer = accept(web, vec![run]).await?;
    remember(&web.reports, id);
    Ok(answer)
}

async fn read_body(web: &Web, headers: &HeaderMap, body: Body) -> Result<Bytes, Answer> {
    let cap = web.shared.live().snapshot.config.settings.max_body_bytes;
    body::read(headers, body, cap)
        .await
        .map_err(|error| match error {
            BodyError::TooLarge => Answer::TooLarge,
            BodyError::TooSlow => Answer::TooSlow,
            BodyError::Broken => Answer::Bad("the body broke off".to_owned()),
        })
}

/// Checks the signature. A body whose owners cannot be read has none that could hold, but whoever knows a
/// token for everything may learn what is wrong with it.
fn authorize(
    web: &Web,
    headers: &HeaderMap,
    body: &[u8],
    owners: Option<&RepositoryKeys>,
) -> Result<(), Answer> {
    let live = web.shared.live();
    let tokens = live.tokens.as_ref().ok_or_else(unset)?;
    let nobody = RepositoryKeys::default();
    tokens
        .verify(
            body,
            only(headers, "x-hub-signature-256"),
            owners.unwrap_or(&nobody),
        )
        .map_err(|error| refused(&error))
}

fn unset() -> Answer {
    warn!("Refused a webhook: sources.webhook.hmac_file is not set");
    Answer::Unauthorized
}

fn refused(error: &Unauthorized) -> Answer {
    debug!(error = error as &dyn std::error::Error, "Refused a webhook");
    Answer::Unauthorized
}

/// A header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let only = values.next().filter(|_| values.next().is_none());
    only.and_then(|value| value.to_str().ok())
}

async fn accept(web: &Web, runs: Vec<Observation>) -> Result<Answer, Answer> {
    let count = runs.len();
    match web.shared.accept(runs).await {
        Ok(()) => Ok(Answer::Accepted(count)),
        Err(
            error @ (StoreError::Unavailable { .. }
            | StoreError::Unusable { .. }
            | StoreError::Stopped),
        ) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "Cannot store a webhook, told its sender to try again"
            );
            Err(Answer::Unavailable)
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
