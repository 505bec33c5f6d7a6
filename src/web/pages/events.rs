//! `GET /events`: tells open pages that something changed, as server-sent events. They say no more than that; a
//! page then asks for itself again.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, stream};

use super::super::Web;

/// Changes that come faster are told together.
const PACE: Duration = Duration::from_millis(500);

/// A stream of the numbers of changes.
pub(super) async fn events(
    State(web): State<Arc<Web>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = web.shared.changes.subscribe();
    let stopping = web.stopping.clone();
    let stream = stream::unfold(
        (changes, stopping, false),
        |(mut changes, stopping, again)| async move {
            if again {
                tokio::time::sleep(PACE).await;
            }
            tokio::select! {
                changed = changes.changed() => changed.ok()?,
                () = stopping.cancelled() => return None,
            }
            let number = *changes.borrow_and_update();
            let event = Event::default().event("changed").data(number.to_string());
            Some((Ok(event), (changes, stopping, true)))
        },
    );
    Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(20)))
}
