//! `/config`: what is in force.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};
use serde_json::json;

use super::table::{Format, Table, page_or_table};
use crate::{
    board::config::{self, Configuration},
    web::Web,
};

pub(super) async fn config(
    State(web): State<Arc<Web>>,
    format: Format,
    headers: HeaderMap,
) -> Response {
    let config = config::load(&web.shared);
    page_or_table(format, "config.html", &config, settings, &headers)
}

fn settings(config: &Configuration) -> Table {
    let columns = &["key", "value", "origin", "doc"];
    let mut table = Table::new("settings", &config.data, columns);
    for one in &config.settings {
        table.row([
            json!(one.key),
            json!(one.value),
            json!(one.origin),
            json!(one.doc),
        ]);
    }
    table
}
