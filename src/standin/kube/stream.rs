//! A watch as the API server serves it: one JSON document a line, bookmarks when nothing changes, an end when its
//! time is over.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

use super::{Api, Fault, lock};

/// How long nothing may change before that is said.
const BOOKMARK_AFTER: Duration = Duration::from_millis(400);

struct Watching {
    api: Api,
    changes: watch::Receiver<u64>,
    /// What happened until then is told.
    told: u64,
    epoch: u64,
    ends_at: Instant,
    over: bool,
}

/// What there is to send next.
enum Next {
    Send(String),
    Wait,
    End,
}

pub(super) fn watch(api: &Api, version: Option<&str>, seconds: Option<&str>) -> Response {
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
    let lasts = Duration::from_secs(number(seconds).unwrap_or(300));
    let watching = Watching {
        changes: api.changes.subscribe(),
        told: number(version).unwrap_or_default(),
        epoch: lock(&api.shared).epoch,
        ends_at: Instant::now() + lasts,
        over: false,
        api: api.clone(),
    };
    let lines = stream::unfold(watching, |mut watching| async move {
        let line = watching.line().await?;
        Some((Ok::<_, Infallible>(Bytes::from(line)), watching))
    });
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, Body::from_stream(lines)).into_response()
}

impl Watching {
    async fn line(&mut self) -> Option<String> {
        loop {
            let silent = match self.next() {
                (Next::Send(line), _) => return Some(line),
                (Next::End, _) => return None,
                (Next::Wait, silent) => silent,
            };
            let bookmark_at = Instant::now() + BOOKMARK_AFTER;
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                () = tokio::time::sleep_until(self.ends_at), if !silent => return None,
                () = tokio::time::sleep_until(bookmark_at), if !silent => {
                    return Some(self.bookmark());
                }
            }
        }
    }

    /// And whether nothing is to be told.
    fn next(&mut self) -> (Next, bool) {
        let shared = lock(&self.api.shared);
        let silent = shared.fault == Some(Fault::Silent);
        if self.over || self.epoch != shared.epoch {
            return (Next::End, silent);
        }
        if self.told < shared.compacted {
            self.over = true;
            let status =
                json!({ "kind": "Status", "code": 410, "message": "too old resource version" });
            return (Next::Send(line("ERROR", &status)), silent);
        }
        let next = shared.events.iter().find(|(at, ..)| *at > self.told);
        match next {
            Some((at, kind, job)) if !silent => {
                self.told = *at;
                (Next::Send(line(kind, job)), silent)
            }
            _ => (Next::Wait, silent),
        }
    }

    fn bookmark(&self) -> String {
        let shared = lock(&self.api.shared);
        let untold = shared.events.iter().any(|(at, ..)| *at > self.told);
        let version = if untold { self.told } else { shared.version };
        drop(shared);
        let version = version.to_string();
        let object = json!({ "kind": "ProwJob", "metadata": { "resourceVersion": version } });
        line("BOOKMARK", &object)
    }
}

fn line(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({ "type": kind, "object": object }))
}
