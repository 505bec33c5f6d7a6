//! `POST /hooks/pubsub`: messages of Prow's Pub/Sub reporter, pushed by Google with a token of a service account.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, header},
    response::Response,
};
use tracing::{debug, warn};

use super::{Answer, Web, accept, header as text_of, is_repeated, only, read_body, remember};
use crate::{
    prow::pubsub::{Push, content, observation},
    web::oidc::{self, Refused},
};

/// `POST /hooks/pubsub`.
pub async fn pubsub(State(web): State<Arc<Web>>, headers: HeaderMap, body: Body) -> Response {
    handle(&web, &headers, body)
        .await
        .unwrap_or_else(|answer| answer)
        .into_response(&web, "/hooks/pubsub")
}

/// What is refused comes again for days, so a message that will never be of use is taken and dropped.
async fn handle(web: &Web, headers: &HeaderMap, body: Body) -> Result<Answer, Answer> {
    let body = read_body(web, headers, body).await?;
    authorize(web, headers).await?;
    let mut push = Push::read(&body).map_err(|error| Answer::Bad(error.to_string()))?;
    if push.id.is_none() {
        // Without an envelope they may stand in headers.
        push.id = text_of(headers, "x-goog-pubsub-message-id").map(str::to_owned);
        let published = text_of(headers, "x-goog-pubsub-publish-time");
        push.published_at = published.and_then(|text| text.parse().ok());
    }
    let known_by: Vec<String> = push.id.iter().cloned().chain(content(&push)).collect();
    if known_by.iter().any(|key| is_repeated(&web.messages, key)) {
        return Ok(Answer::NotNeeded("delivered before"));
    }
    let run = match observation(&push, web.shared.clock.now()) {
        Ok(run) => run,
        Err(why) => {
            warn!(
                message.id = push.id.as_deref(),
                "Dropped a Pub/Sub message that tells of no run: {why}"
            );
            return Ok(Answer::NotNeeded("tells of no run"));
        }
    };
    if !run.is_finished() {
        return Ok(Answer::NotNeeded("not finished"));
    }
    let answer = accept(web, vec![run]).await?;
    for key in known_by {
        remember(&web.messages, key);
    }
    Ok(answer)
}

async fn authorize(web: &Web, headers: &HeaderMap) -> Result<(), Answer> {
    let live = web.shared.live();
    let Some(settings) = &live.snapshot.config.settings.pubsub else {
        warn!("Refused a Pub/Sub message: sources.pubsub.audience is not set");
        return Err(Answer::Unauthorized);
    };
    let bearer = only(headers, header::AUTHORIZATION.as_str())
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let token = bearer.map_or("", |(_, token)| token.trim());
    let now = web.shared.clock.now();
    match oidc::verify(token, settings, &web.keys, &web.shared.http, now).await {
        Ok(()) => Ok(()),
        Err(Refused::NoKeys(why)) => {
            warn!(
                reason = why,
                "Cannot verify Pub/Sub messages, told their sender to try again: {why}"
            );
            Err(Answer::Unverifiable)
        }
        Err(error) => {
            debug!(
                error = &error as &dyn std::error::Error,
                "Refused a Pub/Sub message: {error}"
            );
            Err(Answer::Unauthorized)
        }
    }
}
