//! `/healthz`, `/readyz`, `/metrics`.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use super::Web;
use crate::{
    artifacts::breaker,
    board::trends::{Conservation, fleet},
    domain::fold::to_signed,
};

/// Figures are worked out anew after so long.
const FIGURES_KEPT: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);

/// `GET /healthz`: the process answers.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the store can be written, and a source is fresh. Dead receivers are told, but are no
/// reason to take the process out of service.
pub async fn readyz(State(web): State<Arc<Web>>) -> Response {
    let store = web.shared.store.writable().await;
    let (fresh, source) = sources(&web);
    let stopping = web.stopping.is_cancelled();
    let ready = store.is_ok() && fresh && !stopping;
    let metrics = &web.shared.metrics;
    let receivers: Value = match web.shared.store.receiver_states().await {
        Ok(states) => states
            .into_iter()
            .filter(|state| state.health.dead.is_some() || state.health.failures > 0)
            .map(|state| json!({ "receiver": state.receiver, "dead": state.health.dead, "failures": state.health.failures, "pending": state.pending }))
            .collect(),
        Err(_) => Value::Null,
    };
    let logs: Value = web
        .shared
        .library
        .health()
        .into_iter()
        .filter(|health| health.state != breaker::State::Working)
        .map(|health| json!({ "endpoint": health.endpoint, "since": health.since, "why": health.why }))
        .collect();
    let detail = json!({
        "ready": ready,
        "stopping": stopping,
        "store": store.map_or_else(|error| error.to_string(), |()| "ok".to_owned()),
        "config": if metrics.config_last_reload_successful.get() == 1 { "ok" } else { "the files on disk are bad, an older configuration is in force" },
        "source": source,
        "receivers": receivers,
        "logs": logs,
    });
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(detail)).into_response()
}

/// Deck is fresh when its last whole list is not older than a few polls. Webhooks cannot be judged by
/// their silence.
fn sources(web: &Web) -> (bool, String) {
    let live = web.shared.live();
    let Some(deck) = &live.snapshot.config.settings.deck else {
        let pubsub = &live.snapshot.config.settings.pubsub;
        return match (&live.tokens, pubsub) {
            (Some(_), _) => (true, "webhooks".to_owned()),
            (None, Some(_)) => (true, "Pub/Sub".to_owned()),
            (None, None) => (
                false,
                "none: set sources.deck.url or sources.webhook.hmac_file".to_owned(),
            ),
        };
    };
    let last = web.shared.metrics.deck_last_success.get();
    if last <= 0.0 {
        return (false, "deck has not been read yet".to_owned());
    }
    let age = web.shared.clock.now().as_duration().as_secs_f64() - last;
    let limit = to_signed(deck.interval * 5 + deck.timeout)
        .as_secs_f64()
        .max(300.0);
    let webhooks_too = live.tokens.is_some();
    (
        age <= limit || webhooks_too,
        format!("deck, last read {age:.0} s ago"),
    )
}

/// `GET /metrics`: Prometheus text.
pub async fn metrics(State(web): State<Arc<Web>>) -> Response {
    refresh(&web).await;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (
        [(header::CONTENT_TYPE, content_type)],
        web.shared.metrics.text(),
    )
        .into_response()
}

/// Sets the gauges that are cheaper to ask for than to keep.
async fn refresh(web: &Web) {
    let Ok(counts) = web.shared.store.counts().await else {
        return;
    };
    let metrics = &web.shared.metrics;
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    metrics.inbox_depth.set(number(counts.inbox));
    metrics.outbox_pending.set(number(counts.outbox_pending));
    metrics.open_incidents.set(number(counts.incidents_open));
    let conservation = Conservation::of(&counts);
    fleet::set_conservation(metrics, &conservation);
    refresh_figures(web).await;
}

/// They change slowly and cost more than the rest, so a scrape finds them as they were up to a minute before.
async fn refresh_figures(web: &Web) {
    let mut figured_at = web.figured_at.lock().await;
    let now = web.shared.clock.now();
    if figured_at.is_some_and(|at| now.duration_since(at) < FIGURES_KEPT) {
        return;
    }
    if fleet::refresh(&web.shared).await.is_ok() {
        *figured_at = Some(now);
    }
}
