//! `/trends`: figures by week, with the window and the service in the address.

use std::sync::Arc;

use axum::{
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    render::failed,
    table::{Format, Table, page_or_table},
    visit::Visit,
};
use crate::{
    board::trends::{Query as Asked, Trends, WINDOWS},
    web::Web,
};

/// Shown unless asked otherwise.
const DAYS: u16 = 90;

/// What the address asks for.
#[derive(Debug, Deserialize)]
pub(super) struct Filter {
    days: Option<u16>,
    service: Option<String>,
    /// Which of its tables, as data.
    table: Option<String>,
}

/// `GET /trends?days=90&service=s3`.
pub(super) async fn trends(
    State(web): State<Arc<Web>>,
    Query(filter): Query<Filter>,
    format: Format,
    visit: Visit,
) -> Response {
    let days = filter.days.unwrap_or(DAYS);
    if !WINDOWS.contains(&days) {
        let told = format!("there is no such window: write days= and one of {WINDOWS:?}\n");
        return (StatusCode::BAD_REQUEST, told).into_response();
    }
    let table: fn(&Trends) -> Table = match filter.table.as_deref() {
        None | Some("" | "weeks") => weeks,
        Some("services") => services,
        Some("failing") => failing,
        Some("flaky") => flaky,
        Some(_) => {
            let told = "there is no such table: write table=weeks, services, failing or flaky\n";
            return (StatusCode::BAD_REQUEST, told).into_response();
        }
    };
    let asked = Asked {
        days,
        service: filter.service.filter(|name| !name.is_empty()),
    };
    match web.trends(&asked).await {
        Ok(trends) => page_or_table(format, "trends.html", &*trends, table, &visit),
        Err(error) => failed(&error),
    }
}

fn weeks(trends: &Trends) -> Table {
    let columns = &[
        "from",
        "from_s",
        "partial",
        "finished",
        "succeeded",
        "success_percent",
        "success_low",
        "success_high",
        "first_try",
        "first_try_percent",
        "first_try_low",
        "first_try_high",
        "lead_p50_s",
        "lead_p90_s",
        "incidents",
        "open",
        "detection_p95_s",
        "mttd_p50_s",
        "mttd_p90_s",
        "mttr_p50_s",
        "interventions",
        "retry_tax_percent",
        "soft_failed",
        "messages",
        "messages_per_incident",
        "runs",
        "runs_passed_percent",
        "bad_runs",
        "infra_percent",
        "infra_low",
        "infra_high",
    ];
    let mut table = Table::new("trends", &trends.data, columns);
    for week in &trends.weeks {
        let figures = &week.figures;
        table.row([
            json!(week.from),
            json!(week.from.as_second()),
            json!(week.partial),
            json!(figures.success.n),
            json!(figures.success.count),
            json!(figures.success.percent),
            json!(figures.success.low),
            json!(figures.success.high),
            json!(figures.first_try.count),
            json!(figures.first_try.percent),
            json!(figures.first_try.low),
            json!(figures.first_try.high),
            json!(figures.lead_p50_s),
            json!(figures.lead_p90_s),
            json!(figures.incidents),
            json!(figures.open),
            json!(figures.detection_p95_s),
            json!(figures.mttd_p50_s),
            json!(figures.mttd_p90_s),
            json!(figures.mttr_p50_s),
            json!(figures.interventions),
            json!(figures.retry_tax_percent),
            json!(figures.soft_failed),
            json!(figures.messages),
            json!(figures.messages_per_incident),
            json!(figures.runs_passed.n),
            json!(figures.runs_passed.percent),
            json!(figures.infra.n),
            json!(figures.infra.percent),
            json!(figures.infra.low),
            json!(figures.infra.high),
        ]);
    }
    table
}

fn services(trends: &Trends) -> Table {
    let columns = &[
        "service",
        "finished",
        "succeeded",
        "success_percent",
        "first_try",
        "lead_p50_s",
        "lead_p90_s",
        "interventions",
        "last_good_age_s",
    ];
    let mut table = Table::new("trends-services", &trends.data, columns);
    for one in &trends.by_service {
        table.row([
            json!(one.service),
            json!(one.success.n),
            json!(one.success.count),
            json!(one.success.percent),
            json!(one.first_try.count),
            json!(one.lead_p50_s),
            json!(one.lead_p90_s),
            json!(one.interventions),
            json!(one.last_good_age_s),
        ]);
    }
    table
}

fn failing(trends: &Trends) -> Table {
    let columns = &["job", "owner", "stage", "failed", "runs", "infra", "worse"];
    let mut table = Table::new("failing-jobs", &trends.data, columns);
    for one in &trends.failing {
        table.row([
            json!(one.job),
            json!(one.owner),
            json!(one.stage),
            json!(one.failed.count),
            json!(one.failed.n),
            json!(one.infra),
            json!(one.worse),
        ]);
    }
    table
}

fn flaky(trends: &Trends) -> Table {
    let columns = &["job", "owner", "stage", "state", "sentence", "confidence"];
    let mut table = Table::new("flaky-jobs", &trends.data, columns);
    for one in &trends.sick {
        table.row([
            json!(one.job),
            json!(one.owner),
            json!(one.stage),
            json!(one.state),
            json!(one.sentence),
            json!(one.confidence),
        ]);
    }
    table
}
