//! `/healthz`, `/readyz`, `/metrics`.

use std::{sync::Arc, time::Duration};

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

/// A source that lists runs.
struct Listing {
    /// Its name, with what it does to us.
    words: [&'static str; 2],
    /// When it last did, in seconds since the epoch; 0 before the first time.
    last: f64,
    /// It is fresh for so long after that.
    limit: Duration,
}

impl Listing {
    fn is_fresh(&self, now: f64) -> bool {
        self.last > 0.0 && now - self.last <= self.limit.as_secs_f64()
    }

    fn text(&self, now: f64) -> String {
        let [name, done] = self.words;
        if self.last > 0.0 {
            format!("{name}, last {done} {:.0} s ago", now - self.last)
        } else {
            format!("{name} has not been {done} yet")
        }
    }
}

/// Whether what happens comes to us: deck's last whole list is not older than a few polls, or Kubernetes told
/// something not long ago. Webhooks cannot be judged by their silence.
fn sources(web: &Web) -> (bool, String) {
    let live = web.shared.live();
    let settings = &live.snapshot.config.settings;
    let metrics = &web.shared.metrics;
    let deck = settings.deck.as_ref().map(|deck| Listing {
        words: ["deck", "read"],
        last: metrics.deck_last_success.get(),
        limit: (deck.interval * 5 + deck.timeout).max(Duration::from_secs(300)),
    });
    let watch = settings.watch.as_ref().map(|watch| Listing {
        words: ["watch", "heard"],
        last: metrics.watch_last_heard.get(),
        limit: watch.patience(),
    });
    let listings: Vec<Listing> = deck.into_iter().chain(watch).collect();
    if listings.is_empty() {
        let none = "none: set sources.deck.url, sources.watch.namespace, sources.webhook.hmac_file or sources.pubsub";
        return match (&live.tokens, &settings.pubsub) {
            (Some(_), _) => (true, "webhooks".to_owned()),
            (None, Some(_)) => (true, "Pub/Sub".to_owned()),
            (None, None) => (false, none.to_owned()),
        };
    }
    if web.shared.store.leads().is_none() {
        return (true, "another replica leads and reads them".to_owned());
    }
    let now = web.shared.clock.now().as_duration().as_secs_f64();
    let words: Vec<String> = listings.iter().map(|one| one.text(now)).collect();
    let is_known = listings.iter().any(|one| one.last > 0.0);
    let is_fresh = listings.iter().any(|one| one.is_fresh(now)) || live.tokens.is_some();
    (is_known && is_fresh, words.join("; "))
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
