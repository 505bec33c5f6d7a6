//! The dashboard: server-rendered HTML from what [`crate::board`] works out. Usable without script, strict about
//! where anything comes from.

pub mod assets;
mod charts;
mod config;
mod deliveries;
mod details;
pub mod events;
mod releases;
pub(in crate::web) mod render;
mod silences;
pub(in crate::web) mod table;
mod trends;
mod visit;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::{
    render::{failed, told},
    table::{Format, Table, page_or_table},
    visit::Visit,
};
use super::{Web, api::ask::Ask};
use crate::{
    board::{
        glyph,
        now::{self, Counter, Now},
        services::{self, Services},
    },
    store::StoreError,
};

/// All pages, and what is done on them.
pub fn router() -> Router<Arc<Web>> {
    Router::new()
        .route("/", get(now))
        .route("/services", get(services))
        .route("/j/{job}", get(details::job))
        .route("/r/{run}", get(details::run))
        .route("/e/{signature}", get(details::error))
        .route("/trends", get(trends::trends))
        .route("/s/{service}", get(releases::service))
        .route("/s/{service}/{version}", get(releases::release))
        .route("/g/{pipeline}/{asked}", get(releases::fan_out))
        .route("/wall", get(releases::wall))
        .route("/deliveries", get(deliveries::deliveries))
        .route("/deliveries/replay", post(deliveries::replay_all))
        .route("/deliveries/{id}/replay", post(deliveries::replay))
        .route("/config", get(config::config))
        .route(
            "/silences",
            get(silences::silences).post(silences::post_silence),
        )
        .route("/silences/{id}/expire", post(silences::post_expire))
        .route("/events", get(events::events))
}

/// What pages look like and do. Nothing in it is about anybody.
pub fn assets() -> Router<Arc<Web>> {
    Router::new().route("/assets/{version}/{name}", get(assets::asset))
}

async fn now(State(web): State<Arc<Web>>, format: Format, visit: Visit) -> Response {
    match now::load(&web.shared).await {
        Ok(now) => page_or_table(format, "now.html", &now, open_incidents, &visit),
        Err(error) => failed(&error),
    }
}

fn open_incidents(now: &Now) -> Table {
    let columns = &[
        "incident",
        "state",
        "service",
        "version",
        "stage",
        "since",
        "age_s",
        "what",
        "reason",
        "signature",
        "failures",
        "run",
        "told",
        "held_back_by",
        "ask",
        "blocks",
        "root",
        "last_good",
    ];
    let mut table = Table::new("open-incidents", &now.data, columns);
    for one in &now.open {
        table.row([
            json!(one.id),
            json!(one.state),
            json!(one.service),
            json!(one.version),
            json!(one.stage),
            json!(one.since),
            json!(one.age_s),
            json!(one.what),
            json!(one.reason),
            json!(one.signature),
            json!(one.failures),
            json!(one.run),
            json!(one.told.join(" ")),
            json!(one.held_back_by.join(", ")),
            json!(one.ask),
            json!(one.blocks.join(" ")),
            json!(one.root),
            json!(one.last_good),
        ]);
    }
    table
}

/// What the list of services is asked for.
#[derive(Debug, Deserialize)]
struct Asked {
    state: Option<String>,
    q: Option<String>,
}

/// Services of a state or a name, and how many there are of each state.
#[derive(Debug, Serialize)]
struct Chosen {
    #[serde(flatten)]
    services: Services,
    counters: Vec<Counter>,
    filter: services::Filter,
    all: usize,
}

async fn services(
    State(web): State<Arc<Web>>,
    format: Format,
    Ask(asked): Ask<Asked>,
    visit: Visit,
) -> Response {
    let word = asked.state.filter(|word| !word.is_empty());
    let state = word.as_deref().map(glyph::State::parse);
    if state == Some(None) {
        let advice = "Choose one of those that the list of services links to.";
        return told(StatusCode::BAD_REQUEST, "There is no such state", advice);
    }
    let filter = services::Filter {
        state: state.flatten(),
        named: asked.q.filter(|part| !part.is_empty()),
    };
    match chosen(&web, filter).await {
        Ok(chosen) => {
            let table = |chosen: &Chosen| all_services(&chosen.services);
            page_or_table(format, "services.html", &chosen, table, &visit)
        }
        Err(error) => failed(&error),
    }
}

async fn chosen(web: &Web, filter: services::Filter) -> Result<Chosen, StoreError> {
    let mut services = Arc::unwrap_or_clone(web.services().await?);
    let counters = now::counters(&services.services);
    let all = services.services.len();
    services.services.retain(|one| filter.takes(one));
    Ok(Chosen {
        services,
        counters,
        filter,
        all,
    })
}

fn all_services(services: &Services) -> Table {
    let columns = &[
        "service",
        "state",
        "since",
        "current",
        "last_good_at",
        "last_good_age_s",
        "target",
        "stages",
        "releases",
        "first_try",
    ];
    let mut table = Table::new("services", &services.data, columns);
    for one in &services.services {
        let stages = one.stages.iter();
        let stages = stages.map(|stage| format!("{}={}", stage.name, stage.state.as_str()));
        table.row([
            json!(one.name),
            json!(one.state),
            json!(one.since),
            json!(one.current),
            json!(one.last_good_at),
            json!(one.last_good_age_s),
            json!(one.target),
            json!(stages.collect::<Vec<_>>().join(" ")),
            json!(one.releases),
            json!(one.first_try),
        ]);
    }
    table
}
