//! `/config`: what is in force.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde_json::json;

use super::{
    table::{Format, Table, page_or_table},
    visit::Visit,
};
use crate::{
    board::config::{self, Configuration},
    web::Web,
};

pub(super) async fn config(State(web): State<Arc<Web>>, format: Format, visit: Visit) -> Response {
    let config = config::load(&web.shared);
    page_or_table(format, "config.html", &config, settings, &visit)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        board::{
            age::DataAge,
            config::{Overridden, RefusedReload, Section, SettingItem},
        },
        web::pages::render::render,
    };

    fn config(refused: Option<&str>, full: bool) -> Configuration {
        let now: jiff::Timestamp = "2026-05-19T20:36:00Z".parse().unwrap();
        let text = |text: &str| text.to_owned();
        Configuration {
            data: DataAge {
                now,
                as_of: None,
                data_age_s: None,
                stale: true,
            },
            loaded_at: full.then_some(now),
            refused: refused.map(|why| RefusedReload {
                at: now,
                why: text(why),
            }),
            files: vec![text("a.yaml"), text("b.yaml")],
            settings: vec![SettingItem {
                key: text("dedup.window"),
                value: full.then(|| text("<b>2h</b>")),
                origin: full.then(|| text("b.yaml:1:2")),
                doc: text("How long."),
                overrode: vec![Overridden {
                    value: text("1h"),
                    origin: text("default"),
                }],
            }],
            sections: vec![Section {
                name: text("routes"),
                lines: if full {
                    vec![text("<i>x</i> → team")]
                } else {
                    Vec::new()
                },
            }],
        }
    }

    #[test]
    fn the_page_renders_in_every_state() {
        for (page, says) in [
            (config(None, true), "over 1h (default)"),
            (config(None, false), "not set"),
            (config(Some("a.yaml:1:1: <u>bad</u>"), true), "were refused"),
        ] {
            let html = render("config.html", &page).unwrap();
            assert!(html.contains(says), "{html}");
            for raw in ["<b>", "<i>", "<u>", " style=", "<script>"] {
                assert!(!html.contains(raw), "{raw} in {html}");
            }
        }
    }

    #[test]
    fn its_table_has_a_row_for_each_setting() {
        let json = settings(&config(None, true)).json();
        assert_eq!(json["rows"][0]["origin"], "b.yaml:1:2");
    }
}
