//! What is held back, and asking for quiet.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
};
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{ask::Ask, problem::Problem};
use crate::{
    board::silences::{self, One, Query, Silences},
    domain::silence::{Draft, SilenceId, Wish},
    web::{Web, access::Person},
};

/// Which silences.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Those that ended long ago too.
    #[serde(default)]
    all: bool,
}

/// A silence to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSilence {
    /// Matchers in Alertmanager's syntax; all must hold.
    matchers: Vec<String>,
    /// Why; shown wherever something is held back.
    reason: String,
    /// When it begins; now by default.
    #[schema(value_type = Option<String>, format = DateTime)]
    starts_at: Option<Timestamp>,
    /// When it ends; this or `lasts_s`.
    #[schema(value_type = Option<String>, format = DateTime)]
    ends_at: Option<Timestamp>,
    /// Seconds that it lasts, by the daemon's clock; this or `ends_at`.
    lasts_s: Option<u64>,
}

impl NewSilence {
    fn end(&self, now: Timestamp) -> Result<Timestamp, Problem> {
        match (self.ends_at, self.lasts_s) {
            (Some(ends_at), None) => Ok(ends_at),
            (None, Some(seconds)) => {
                let begins = self.starts_at.unwrap_or(now);
                let ends = begins.checked_add(Duration::from_secs(seconds));
                Ok(ends.unwrap_or(Timestamp::MAX))
            }
            _ => Err(Problem::parameter(
                "body",
                "say when it ends: ends_at or lasts_s, one of them",
            )),
        }
    }
}

/// Silences and mute windows, with how much each hides now.
#[utoipa::path(get, path = "/api/v1/silences", tag = "silences", params(Which), responses(
    (status = 200, body = Silences),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn silences(
    State(web): State<Arc<Web>>,
    Ask(Which { all }): Ask<Which>,
) -> Result<Json<Silences>, Problem> {
    let query = Query {
        all,
        ..Query::default()
    };
    Ok(Json(silences::load(&web.shared, &query).await?))
}

/// Makes a silence, in the name of whoever asks.
#[utoipa::path(post, path = "/api/v1/silences", tag = "silences", request_body = NewSilence, responses(
    (status = 201, body = One),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 403, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn add(
    State(web): State<Arc<Web>>,
    Extension(person): Extension<Person>,
    body: Result<Json<NewSilence>, axum::extract::rejection::JsonRejection>,
) -> Result<(StatusCode, Json<One>), Problem> {
    let Json(asked) = body.map_err(|error| Problem::parameter("body", error.body_text()))?;
    let now = web.shared.clock.now();
    let longest = web.shared.live().snapshot.config.settings.longest_silence;
    let actor = person.actor();
    let wish = Wish {
        matchers: &asked.matchers,
        author: &actor.who,
        reason: &asked.reason,
        starts_at: asked.starts_at,
        ends_at: asked.end(now)?,
    };
    let draft = Draft::read(&wish, now, longest)
        .map_err(|error| Problem::parameter("body", error.to_string()))?;
    let made = web.silence(draft, actor).await?;
    Ok((StatusCode::CREATED, Json(One::new(&made, now))))
}

/// Ends a silence now.
#[utoipa::path(post, path = "/api/v1/silences/{id}/expire", tag = "silences",
    params(("id" = u64, Path, description = "Its number")),
    responses(
        (status = 200, body = One),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn expire(
    State(web): State<Arc<Web>>,
    Extension(person): Extension<Person>,
    Path(id): Path<String>,
) -> Result<Json<One>, Problem> {
    let id = id.parse().map_err(|_| Problem::unknown("silence"))?;
    let ended = web.unsilence(SilenceId(id), person.actor()).await?;
    let ended = ended.ok_or_else(|| Problem::unknown("silence"))?;
    Ok(Json(One::new(&ended, web.shared.clock.now())))
}
