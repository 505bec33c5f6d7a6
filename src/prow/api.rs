//! ProwJobs through the API of Kubernetes: the list page by page, what happens to them from then on, and the end of
//! one that cannot succeed any more. The CRD has no status subresource, so everything is in the object itself.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::parse::{self, ParseError};
use crate::{
    cluster::{Cluster, ClusterError, Lines, Problem, Resource, Target, Verb},
    domain::{
        observation::{Observation, RunName, Source},
        prowjob::State,
    },
};

/// What Prow calls its runs.
pub const PROWJOBS: Resource = Resource {
    group: "prow.k8s.io",
    version: "v1",
    plural: "prowjobs",
    manifest: "deploy/overlays/watch",
};

/// ProwJobs in one page of a list.
const PAGE: &str = "250";
/// Longest page, in bytes: every ProwJob of it as large as they come.
const MAX_PAGE: usize = 64 << 20;
/// Longest single ProwJob, in bytes; etcd takes none of that size.
const MAX_PROWJOB: usize = 4 << 20;
/// How many bad ProwJobs of a page are described.
const MAX_DESCRIBED: usize = 10;
/// How often a change is tried again that another change overtook.
const OVERTAKEN: usize = 5;

/// What is asked of all ProwJobs of a namespace.
pub fn all(verb: Verb, namespace: &str) -> Target<'_> {
    Target {
        verb,
        resource: PROWJOBS,
        namespace,
        name: "",
    }
}

/// One page of the list.
#[derive(Debug, Default)]
pub struct Page {
    /// The runs that can be read.
    pub runs: Vec<Observation>,
    /// How many ProwJobs there were, good and bad.
    pub items: u64,
    /// What was wrong with the first ten bad ones.
    pub bad: Vec<String>,
    /// Where the next page goes on; `None` on the last.
    pub next: Option<String>,
    /// Where a watch goes on.
    pub version: String,
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(default)]
    metadata: ListMetadata,
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ListMetadata {
    resource_version: String,
    r#continue: String,
}

impl Page {
    /// Reads a page.
    pub fn parse(body: &[u8], seen_at: Timestamp) -> Result<Self, serde_json::Error> {
        let list: List<'_> = serde_json::from_slice(body)?;
        let mut page = Self {
            next: Some(list.metadata.r#continue).filter(|next| !next.is_empty()),
            version: list.metadata.resource_version,
            ..Self::default()
        };
        for (index, item) in list.items.into_iter().enumerate() {
            page.items += 1;
            match parse::observation(item.get().as_bytes(), Source::Watch, seen_at) {
                Ok(run) => page.runs.push(run),
                Err(error) if page.bad.len() < MAX_DESCRIBED => {
                    let error = error.within(&format!("items[{index}]"));
                    page.bad.push(error.to_string());
                }
                Err(_) => {}
            }
        }
        Ok(page)
    }
}

/// Asks for a page of the list: the first, or the one where another said that it goes on.
pub async fn page(
    cluster: &Cluster,
    namespace: &str,
    next: Option<&str>,
    timeout: Duration,
    seen_at: Timestamp,
) -> Result<Page, ClusterError> {
    let target = all(Verb::List, namespace);
    let mut query = vec![("limit", PAGE)];
    query.extend(next.map(|next| ("continue", next)));
    let body = cluster.get(&target, &query, timeout, MAX_PAGE).await?;
    Page::parse(&body, seen_at)
        .map_err(|error| target.failed(Problem::Unreadable(error.to_string())))
}

/// What a line of a watch says.
#[derive(Debug)]
pub enum Event {
    /// A run is new or has changed; boxed because it is large.
    Seen(Box<Result<Observation, ParseError>>),
    /// A ProwJob is gone, which says nothing of how its run ended.
    Gone(RunName),
    /// No run has changed.
    Nothing,
    /// The watch is over, with this status code: 410 when what it went on from is too old.
    Refused(u16, String),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Versioned {
    metadata: VersionedMetadata,
    code: u16,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct VersionedMetadata {
    name: String,
    resource_version: String,
}

/// Reads a line of a watch, and where a watch goes on after it (empty when it does not say).
pub fn event(line: &[u8], seen_at: Timestamp) -> Result<(Event, String), serde_json::Error> {
    let envelope: Envelope<'_> = serde_json::from_slice(line)?;
    let object = envelope.object.get();
    let about: Versioned = serde_json::from_str(object)?;
    let event = match envelope.r#type {
        "ADDED" | "MODIFIED" => Event::Seen(Box::new(parse::observation(
            object.as_bytes(),
            Source::Watch,
            seen_at,
        ))),
        "ERROR" => Event::Refused(about.code, about.message),
        "DELETED" => Event::Gone(RunName(about.metadata.name)),
        // BOOKMARK, and whatever Kubernetes may come to say.
        _ => Event::Nothing,
    };
    Ok((event, about.metadata.resource_version))
}

/// A watch under way.
#[derive(Debug)]
pub struct Events {
    lines: Lines,
    namespace: String,
}

impl Events {
    /// Begins where a list or an earlier watch ended. The server is asked to end it by itself after `lasts`.
    pub async fn open(
        cluster: &Cluster,
        namespace: &str,
        version: &str,
        lasts: Duration,
        timeout: Duration,
    ) -> Result<Self, ClusterError> {
        let seconds = lasts.as_secs().max(1).to_string();
        let query = [
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("timeoutSeconds", &seconds),
        ];
        let target = all(Verb::Watch, namespace);
        Ok(Self {
            lines: cluster.lines(&target, &query, timeout).await?,
            namespace: namespace.to_owned(),
        })
    }

    /// The next event and where a watch goes on after it; `None` at the end. Fails when nothing comes `within` that
    /// time, and when the server refuses to go on.
    pub async fn next(
        &mut self,
        within: Duration,
        now: impl Fn() -> Timestamp,
    ) -> Result<Option<(Event, String)>, ClusterError> {
        let Some(line) = self.lines.next(within).await? else {
            return Ok(None);
        };
        let target = all(Verb::Watch, &self.namespace);
        match event(&line, now()) {
            Ok((Event::Refused(code, said), _)) => {
                let status = json!({ "message": said }).to_string();
                Err(target.failed(Problem::of(&target, code, status.as_bytes())))
            }
            Ok(event) => Ok(Some(event)),
            Err(error) => Err(target.failed(Problem::Unreadable(error.to_string()))),
        }
    }
}

/// What became of the wish to stop a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// It is being stopped.
    Done,
    /// It was over before, or being stopped, in this state.
    Over(String),
    /// There is no such ProwJob any more.
    Missing,
}

/// Stops a run as deck does: it sets the state and leaves the time of completion to plank, which deletes the pod
/// first and would look at no ProwJob that has one. A run that ended since it was read is left alone: the change
/// holds only for the version of the ProwJob that was read, and is tried again with the next.
pub async fn stop(
    cluster: &Cluster,
    namespace: &str,
    run: &RunName,
    description: &str,
    timeout: Duration,
) -> Result<Stopped, ClusterError> {
    let target = |verb| Target {
        name: &run.0,
        ..all(verb, namespace)
    };
    let reading = target(Verb::Get);
    let patching = target(Verb::Patch);
    let mut overtaken = 0;
    loop {
        let body = match cluster.get(&reading, &[], timeout, MAX_PROWJOB).await {
            Err(error) if is_missing(&error) => return Ok(Stopped::Missing),
            read => read?,
        };
        let (seen, version) =
            standing(&body).map_err(|why| reading.failed(Problem::Unreadable(why)))?;
        let Some(version) = version else {
            return Ok(match seen.state {
                // We did so before, and could not note it.
                State::Aborted if seen.description == description => Stopped::Done,
                state => Stopped::Over(state.as_str().to_owned()),
            });
        };
        let patch = json!({
            "metadata": { "resourceVersion": version },
            "status": { "state": "aborted", "description": description },
        });
        match cluster.merge(&patching, &patch, timeout, MAX_PROWJOB).await {
            Ok(_) => return Ok(Stopped::Done),
            Err(error) if is_missing(&error) => return Ok(Stopped::Missing),
            Err(error) if matches!(error.problem, Problem::Conflict) && overtaken < OVERTAKEN => {
                overtaken += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn is_missing(error: &ClusterError) -> bool {
    matches!(error.problem, Problem::Missing(_))
}

/// How a ProwJob stands, with its version while it can still be stopped.
fn standing(body: &[u8]) -> Result<(Observation, Option<String>), String> {
    let about: Versioned = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let seen = parse::observation(body, Source::Watch, Timestamp::UNIX_EPOCH);
    let seen = seen.map_err(|error| error.to_string())?;
    let under_way = matches!(
        seen.state,
        State::Scheduling | State::Triggered | State::Pending
    );
    let stoppable = under_way && seen.completed_at.is_none();
    Ok((seen, stoppable.then_some(about.metadata.resource_version)))
}

/// Tries what the watch needs: reads the first page and asks whether changes would be told. Gives how many ProwJobs
/// the page held.
pub async fn probe(
    kubeconfig: Option<&Path>,
    namespace: &str,
    timeout: Duration,
) -> Result<u64, ClusterError> {
    let cluster = Cluster::connect(kubeconfig).await?;
    let page = page(&cluster, namespace, None, timeout, Timestamp::UNIX_EPOCH).await?;
    let target = all(Verb::Watch, namespace);
    if !cluster.may(&target, timeout).await? {
        return Err(target.failed(Problem::forbidden(&target, String::new())));
    }
    Ok(page.items)
}

/// Whether ProwJobs may be stopped; the error says what is missing.
pub async fn may_stop(
    kubeconfig: Option<&Path>,
    namespace: &str,
    timeout: Duration,
) -> Result<(), ClusterError> {
    let cluster = Cluster::connect(kubeconfig).await?;
    for verb in [Verb::Get, Verb::Patch] {
        let target = all(verb, namespace);
        if !cluster.may(&target, timeout).await? {
            return Err(target.failed(Problem::forbidden(&target, String::new())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::standin::prow::Job;

    fn job() -> Job {
        Job::new("s3-controller", "publish", "main", Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_page_keeps_the_good_beside_the_bad_and_says_where_it_goes_on() {
        let list = json!({
            "items": [job().to_json(), { "spec": { "job": "nameless" } }],
            "kind": "ProwJobList",
            "metadata": { "resourceVersion": "17", "continue": "more" },
        });
        let page = Page::parse(list.to_string().as_bytes(), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((page.items, page.runs.len(), page.bad.len()), (2, 1, 1));
        assert_eq!(page.runs[0].source, Source::Watch);
        assert!(page.bad[0].contains("items[1]"), "{}", page.bad[0]);
        assert_eq!(
            (page.next.as_deref(), page.version.as_str()),
            (Some("more"), "17")
        );
        assert!(Page::parse(b"<html>", Timestamp::UNIX_EPOCH).is_err());
        assert!(Page::parse(b"{}", Timestamp::UNIX_EPOCH).is_err());
    }

    #[test]
    fn lines_of_a_watch_are_told_apart() {
        let read = |kind: &str, mut object: serde_json::Value| {
            object["metadata"]["resourceVersion"] = "9".into();
            let line = json!({ "type": kind, "object": object }).to_string();
            event(line.as_bytes(), Timestamp::UNIX_EPOCH).unwrap()
        };
        for kind in ["ADDED", "MODIFIED"] {
            let (seen, version) = read(kind, job().to_json());
            let Event::Seen(run) = seen else {
                panic!("{kind}: {seen:?}")
            };
            assert_eq!((run.unwrap().run.0, version.as_str()), (job().name(), "9"));
        }
        for kind in ["BOOKMARK", "NEW"] {
            let (seen, version) = read(kind, json!({}));
            assert!(matches!(seen, Event::Nothing), "{kind}");
            assert_eq!(version, "9");
        }
        let (seen, _) = read("DELETED", job().to_json());
        assert!(matches!(seen, Event::Gone(name) if name.0 == job().name()));
        let (seen, _) = read("ERROR", json!({ "code": 410, "message": "too old" }));
        assert!(matches!(seen, Event::Refused(410, _)), "{seen:?}");
    }

    proptest! {
        #[test]
        fn nothing_that_a_watch_may_say_is_the_end_of_us(line in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(event(&line, Timestamp::UNIX_EPOCH));
            drop(Page::parse(&line, Timestamp::UNIX_EPOCH));
        }
    }
}
