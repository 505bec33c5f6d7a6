//! `/deliveries`: the page, and sending dead letters again. That is a form, so it works without script, and a link
//! that somebody's browser looks at beforehand does nothing.

use std::sync::Arc;

use axum::{
    Extension, Form,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    render::{failed, not_found, told},
    table::{Format, Table, page_or_table},
    visit::Visit,
};
use crate::{
    board::{
        deliveries::{self, Deliveries, Filter},
        lists::{ListError, Page},
    },
    store::StoreError,
    web::{Web, access::Person, api::ask::Ask},
};

/// Rows of a page.
const ROWS: usize = 50;

/// What the page is asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    state: Option<String>,
    receiver: Option<String>,
    after: Option<String>,
}

pub(super) async fn deliveries(
    State(web): State<Arc<Web>>,
    format: Format,
    Ask(asked): Ask<Asked>,
    visit: Visit,
) -> Response {
    let filter = Filter {
        state: asked.state.filter(|state| !state.is_empty()),
        receiver: asked.receiver.filter(|receiver| !receiver.is_empty()),
    };
    let page = Page {
        after: asked.after,
        limit: ROWS,
    };
    match deliveries::load(&web.shared, &page, filter).await {
        Ok(all) => page_or_table(format, "deliveries.html", &all, table, &visit),
        Err(ListError::After) => not_found("There is no such page of deliveries"),
        Err(ListError::Store(error)) => failed(&error),
    }
}

fn table(all: &Deliveries) -> Table {
    let columns = &[
        "delivery",
        "state",
        "receiver",
        "message",
        "event",
        "severity",
        "about",
        "run",
        "created_at",
        "due_at",
        "instead_of",
        "attempts",
        "last_outcome",
        "last_detail",
    ];
    let mut table = Table::new("deliveries", &all.data, columns);
    for one in &all.recent {
        let last = one.attempts.last();
        table.row([
            json!(one.id),
            json!(one.state),
            json!(one.receiver),
            json!(one.message),
            json!(one.event),
            json!(one.severity),
            json!(one.about),
            json!(one.run),
            json!(one.created_at),
            json!(one.due_at),
            json!(one.instead_of),
            json!(one.attempts.len()),
            json!(last.map(|last| &last.outcome)),
            json!(last.map(|last| &last.detail)),
        ]);
    }
    table
}

/// `POST /deliveries/{id}/replay`.
pub(super) async fn replay(
    State(web): State<Arc<Web>>,
    Extension(person): Extension<Person>,
    Path(id): Path<String>,
) -> Response {
    let Ok(id) = id.parse() else {
        return not_found("There is no such dead letter");
    };
    match web.replay(id, &person).await {
        Ok(true) => Redirect::to("/deliveries").into_response(),
        Ok(false) => told(
            StatusCode::NOT_FOUND,
            "There is no such dead letter",
            "Somebody may have sent it again already.",
        ),
        Err(error) => failed(&error),
    }
}

/// The form that sends all of a receiver.
#[derive(Debug, Deserialize)]
pub(super) struct All {
    receiver: String,
}

/// `POST /deliveries/replay`.
pub(super) async fn replay_all(
    State(web): State<Arc<Web>>,
    Extension(person): Extension<Person>,
    Form(All { receiver }): Form<All>,
) -> Response {
    match web.replay_all(&receiver, &person).await {
        Ok(_) => Redirect::to("/deliveries").into_response(),
        Err(error) => failed(&error),
    }
}

impl Web {
    /// Sends a dead letter again. Returns whether there was one.
    pub(in crate::web) async fn replay(
        &self,
        id: i64,
        person: &Person,
    ) -> Result<bool, StoreError> {
        let replayed = self.shared.store.replay(id, &person.actor()).await?;
        if replayed {
            tracing::info!(delivery = id, person = %person.name, "Sending delivery {id} again");
            self.shared.outbox_bell.notify_one();
            self.shared.changed();
        }
        Ok(replayed)
    }

    /// Sends all dead letters of a receiver again. Returns how many there were.
    pub(in crate::web) async fn replay_all(
        &self,
        receiver: &str,
        person: &Person,
    ) -> Result<u64, StoreError> {
        let store = &self.shared.store;
        let replayed = store.replay_all(receiver, &person.actor()).await?;
        if replayed > 0 {
            tracing::info!(receiver, person = %person.name, replayed, "Sending the dead letters of {receiver} again");
            self.shared.outbox_bell.notify_one();
            self.shared.changed();
        }
        Ok(replayed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        board::{
            age::DataAge,
            deliveries::{DeliveryItem, ReceiverItem},
            glyph::State as Look,
            trends::Conservation,
        },
        store::{Attempt, Counts},
        web::pages::render::render,
    };

    const NASTY: &str = "<script>alert(1)</script>\"'&<img>";

    fn data(stale: bool) -> DataAge {
        let now = "2026-05-19T20:36:00Z".parse().unwrap();
        DataAge {
            now,
            as_of: Some(now),
            data_age_s: Some(7200),
            stale,
        }
    }

    fn delivery(id: i64, state: &str, attempts: usize) -> DeliveryItem {
        let at = "2026-05-19T20:30:00Z".parse().unwrap();
        let attempt = Attempt {
            at,
            outcome: "refused".to_owned(),
            detail: NASTY.to_owned(),
        };
        DeliveryItem {
            id,
            receiver: "by-service/s3".to_owned(),
            state: state.to_owned(),
            message: "7f5afe2a".to_owned(),
            event: "opened".to_owned(),
            severity: "critical".to_owned(),
            about: NASTY.to_owned(),
            run: Some("a/b".to_owned()),
            created_at: at,
            due_at: "2026-05-19T20:40:00Z".parse().unwrap(),
            instead_of: (state == "sent").then(|| "team".to_owned()),
            attempts: vec![attempt; attempts],
        }
    }

    fn receiver(name: &str, dead: Option<&str>, blocked: bool) -> ReceiverItem {
        let at: jiff::Timestamp = "2026-05-19T20:40:00Z".parse().unwrap();
        ReceiverItem {
            name: name.to_owned(),
            standing: "waits".to_owned(),
            state: Look::Stalled,
            dead: dead.map(str::to_owned),
            failures: 3,
            blocked_until: blocked.then_some(at),
            pending: 2,
            oldest_at: blocked.then_some(at),
            dead_letters: 1,
            diverted: 0,
        }
    }

    fn full(stale: bool) -> Deliveries {
        Deliveries {
            data: data(stale),
            receivers: vec![
                receiver("platform", Some(NASTY), false),
                receiver("by-service/s3", None, true),
            ],
            dead: vec![delivery(4, "dead", 2)],
            dead_total: 60,
            recent: ["pending", "sent", "dead", "diverted"]
                .into_iter()
                .zip(0..4_u8)
                .map(|(state, count)| delivery(count.into(), state, count.into()))
                .collect(),
            next: Some("3".to_owned()),
            filter: Filter {
                state: Some("dead".to_owned()),
                receiver: Some("by-service/s3".to_owned()),
            },
            conservation: Conservation::of(&Counts::default()),
        }
    }

    fn empty() -> Deliveries {
        Deliveries {
            data: data(false),
            receivers: Vec::new(),
            dead: Vec::new(),
            dead_total: 0,
            recent: Vec::new(),
            next: None,
            filter: Filter::default(),
            conservation: Conservation::of(&Counts::default()),
        }
    }

    #[test]
    fn the_page_renders_in_every_state() {
        for (page, says) in [
            (full(false), "Send all 1 of platform again"),
            (full(true), "Stale: nothing was heard"),
            (empty(), "Nothing was ever to be sent."),
        ] {
            let html = render("deliveries.html", &page).unwrap();
            assert!(html.contains(says), "{html}");
            assert!(
                !html.contains("<script>") && !html.contains(" style="),
                "{html}"
            );
            assert!(!html.contains("<img>"), "{html}");
            // What acts is a form that posts.
            assert_eq!(
                html.matches("<form").count(),
                html.matches("<form method=\"post\"").count()
            );
        }
    }

    #[test]
    fn its_table_has_a_row_for_each_delivery() {
        let csv = table(&full(false)).csv();
        assert_eq!(csv.matches("by-service/s3").count(), 4, "{csv}");
    }
}
