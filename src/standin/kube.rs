//! A stand-in for the API server of Kubernetes: lists ProwJobs page by page, tells of their changes, patches them,
//! gives a ConfigMap, and says who may do what. Strict about tokens and versions, and it fails on demand.

mod stream;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path as Segments, Query, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What it accepts.
pub const TOKEN: &str = "a-token-of-the-cluster";

/// How the stand-in behaves instead of well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Everything is answered with 503.
    Down,
    /// Watches begin and tell nothing, not even that nothing changed.
    Silent,
    /// Tokens have expired.
    Expired,
}

/// How many requests came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// Pages of lists.
    pub pages: u64,
    /// Watches.
    pub watches: u64,
    /// Largest number of ProwJobs that a page was asked for at most; 0 when a page without a limit was asked for.
    pub largest: u64,
    /// For a ConfigMap.
    pub configmaps: u64,
}

/// A running stand-in; it ends when dropped.
#[derive(Debug)]
pub struct KubeStandin {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    changes: Arc<watch::Sender<u64>>,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Api {
    shared: Arc<Mutex<Shared>>,
    changes: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct Shared {
    jobs: BTreeMap<String, Value>,
    version: u64,
    /// What happened, by version.
    events: Vec<(u64, &'static str, Value)>,
    /// What happened until then is forgotten.
    compacted: u64,
    /// Watches that began before this are ended.
    epoch: u64,
    forbidden: BTreeSet<&'static str>,
    fault: Option<Fault>,
    patches: Vec<(String, Value)>,
    /// Takes the place of the ProwJob of its name just before the next patch.
    race: Option<Value>,
    configmaps: BTreeMap<String, Value>,
    requests: Requests,
}

impl KubeStandin {
    /// Starts on a free port of 127.0.0.1, as a task of `tasks`.
    pub async fn start(tasks: &TaskTracker) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let api = Api {
            shared: Arc::default(),
            changes: Arc::new(watch::Sender::new(0)),
        };
        let prowjobs = "/apis/prow.k8s.io/v1/namespaces/prow/prowjobs";
        let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let router = Router::new()
            .route(prowjobs, get(list))
            .route(&format!("{prowjobs}/{{name}}"), get(one).patch(patch))
            .route(reviews, post(review))
            .route(
                "/api/v1/namespaces/{namespace}/configmaps/{name}",
                get(configmap),
            )
            .layer(middleware::from_fn_with_state(api.clone(), admit))
            .with_state(api.clone());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let served = tasks.spawn(async move {
            // No graceful end: a watch may be silent on purpose.
            tokio::select! {
                served = std::future::IntoFuture::into_future(axum::serve(listener, router)) => {
                    if let Err(error) = served {
                        tracing::warn!(%error, "The stand-in of the API server ended");
                    }
                }
                () = stopped.cancelled() => {}
            }
        });
        let Api { shared, changes } = api;
        Ok(Self {
            address,
            shared,
            changes,
            stop,
            served,
        })
    }

    /// Ends it, and waits until its port is closed.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.served).await {
            tracing::warn!(%error, "The stand-in of the API server broke");
        }
    }

    /// Writes a kubeconfig that leads here.
    pub fn write_kubeconfig(&self, path: &Path) -> std::io::Result<()> {
        let address = self.address;
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
             contexts: [{{ name: here, context: {{ cluster: here, user: me }} }}]\n\
             clusters: [{{ name: here, cluster: {{ server: 'http://{address}' }} }}]\n\
             users: [{{ name: me, user: {{ token: {TOKEN} }} }}]\n"
        );
        std::fs::write(path, text)
    }

    /// Adds a ProwJob, or changes the one of its name.
    pub fn upsert(&self, job: Value) {
        self.change(|shared| shared.put(job));
    }

    /// Removes a ProwJob, as sinker does.
    pub fn delete(&self, name: &str) {
        self.change(|shared| {
            if let Some(mut job) = shared.jobs.remove(name) {
                shared.version += 1;
                set_version(&mut job, shared.version);
                shared.events.push((shared.version, "DELETED", job));
            }
        });
    }

    /// Forgets all that happened: whoever goes on from before is told 410. Ends all watches.
    pub fn compact(&self) {
        self.change(|shared| {
            shared.version += 1;
            shared.compacted = shared.version;
            shared.events.clear();
            shared.epoch += 1;
        });
    }

    /// Ends all watches.
    pub fn close_watches(&self) {
        self.change(|shared| shared.epoch += 1);
    }

    /// Takes this right away from everybody: `list`, `watch`, `get`, `patch`. Ends all watches.
    pub fn forbid(&self, verb: &'static str) {
        self.change(|shared| {
            shared.forbidden.insert(verb);
            shared.epoch += 1;
        });
    }

    /// Gives this right.
    pub fn allow(&self, verb: &'static str) {
        self.change(|shared| {
            shared.forbidden.remove(verb);
        });
    }

    /// Behaves badly from now on, or well again. Ends all watches.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.change(|shared| {
            shared.fault = fault;
            shared.epoch += 1;
        });
    }

    /// Just before the next patch this takes the place of the ProwJob of its name.
    pub fn race(&self, job: Value) {
        self.change(|shared| shared.race = Some(job));
    }

    /// Gives a namespace its ConfigMap `artifact-repositories`.
    pub fn set_configmap(&self, namespace: &str, configmap: Value) {
        self.change(|shared| {
            shared.configmaps.insert(namespace.to_owned(), configmap);
        });
    }

    /// Patches that were applied, with the names of their ProwJobs.
    pub fn patches(&self) -> Vec<(String, Value)> {
        lock(&self.shared).patches.clone()
    }

    /// A ProwJob as it is now.
    pub fn job(&self, name: &str) -> Option<Value> {
        lock(&self.shared).jobs.get(name).cloned()
    }

    /// Requests so far.
    pub fn requests(&self) -> Requests {
        lock(&self.shared).requests
    }

    fn change(&self, change: impl FnOnce(&mut Shared)) {
        change(&mut lock(&self.shared));
        self.changes.send_modify(|count| *count += 1);
    }
}

impl Drop for KubeStandin {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Shared {
    fn put(&mut self, mut job: Value) {
        let Some(name) = job.pointer("/metadata/name").and_then(Value::as_str) else {
            return;
        };
        let name = name.to_owned();
        self.version += 1;
        set_version(&mut job, self.version);
        let kind = if self.jobs.contains_key(&name) {
            "MODIFIED"
        } else {
            "ADDED"
        };
        self.events.push((self.version, kind, job.clone()));
        self.jobs.insert(name, job);
    }
}

/// Also adds what the API server notes of who wrote which field, which is as long as the rest.
fn set_version(job: &mut Value, version: u64) {
    if let Some(metadata) = job.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), json!(version.to_string()));
        let fields = json!([{ "manager": "crier", "operation": "Update", "fieldsV1": { "f:status": { "f:state": {} } } }]);
        metadata.insert("managedFields".to_owned(), fields);
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An answer that says no, as Kubernetes words it.
fn refusal(code: u16, message: &str) -> Response {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code });
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (code, Json(status)).into_response()
}

fn forbidden(verb: &str, resource: &str) -> Response {
    let message =
        format!("{resource} is forbidden: User \"notifier\" cannot {verb} resource \"{resource}\"");
    refusal(403, &message)
}

async fn admit(State(api): State<Api>, request: Request, next: Next) -> Response {
    let fault = lock(&api.shared).fault;
    let expected = format!("Bearer {TOKEN}");
    let token = request.headers().get(header::AUTHORIZATION);
    let known = token.is_some_and(|token| token.as_bytes() == expected.as_bytes());
    match fault {
        Some(Fault::Down) => refusal(503, "the server is currently unable to handle the request"),
        Some(Fault::Expired) => refusal(401, "Unauthorized"),
        _ if !known => refusal(401, "Unauthorized"),
        Some(Fault::Silent) | None => next.run(request).await,
    }
}

async fn list(State(api): State<Api>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let asked = |key: &str| query.get(key).map(String::as_str);
    let mut shared = lock(&api.shared);
    let verb = if asked("watch") == Some("1") {
        "watch"
    } else {
        "list"
    };
    if shared.forbidden.contains(verb) {
        return forbidden(verb, "prowjobs");
    }
    if verb == "watch" {
        shared.requests.watches += 1;
        drop(shared);
        return stream::watch(&api, asked("resourceVersion"), asked("timeoutSeconds"));
    }
    shared.requests.pages += 1;
    let limit = asked("limit").and_then(|limit| limit.parse::<usize>().ok());
    shared.requests.largest = limit.map_or(0, |limit| shared.requests.largest.max(limit as u64));
    let from = asked("continue").and_then(|token| token.parse::<usize>().ok());
    let from = from.unwrap_or_default();
    let items: Vec<&Value> = shared
        .jobs
        .values()
        .skip(from)
        .take(limit.unwrap_or(usize::MAX))
        .collect();
    let end = from + items.len();
    let mut metadata = json!({ "resourceVersion": shared.version.to_string() });
    if let Some(metadata) = metadata.as_object_mut().filter(|_| end < shared.jobs.len()) {
        metadata.insert("continue".to_owned(), json!(end.to_string()));
    }
    let list = json!({ "apiVersion": "prow.k8s.io/v1", "items": items, "kind": "ProwJobList", "metadata": metadata });
    Json(list).into_response()
}

async fn one(State(api): State<Api>, Segments(name): Segments<String>) -> Response {
    let shared = lock(&api.shared);
    if shared.forbidden.contains("get") {
        return forbidden("get", "prowjobs");
    }
    match shared.jobs.get(&name) {
        Some(job) => Json(job.clone()).into_response(),
        None => refusal(404, &format!("prowjobs.prow.k8s.io \"{name}\" not found")),
    }
}

async fn patch(
    State(api): State<Api>,
    Segments(name): Segments<String>,
    headers: header::HeaderMap,
    body: Bytes,
) -> Response {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .map(header::HeaderValue::as_bytes);
    let answer = {
        let mut shared = lock(&api.shared);
        if shared.forbidden.contains("patch") {
            return forbidden("patch", "prowjobs");
        }
        if kind != Some(b"application/merge-patch+json") {
            return refusal(415, "the body of the request was in an unknown format");
        }
        if let Some(raced) = shared.race.take() {
            shared.put(raced);
        }
        let Some(mut job) = shared.jobs.get(&name).cloned() else {
            return refusal(404, &format!("prowjobs.prow.k8s.io \"{name}\" not found"));
        };
        let Ok(patch) = serde_json::from_slice::<Value>(&body) else {
            return refusal(400, "error decoding patch");
        };
        let at = "/metadata/resourceVersion";
        if patch
            .pointer(at)
            .is_some_and(|wanted| job.pointer(at) != Some(wanted))
        {
            return refusal(409, "the object has been modified");
        }
        merge(&mut job, &patch);
        shared.put(job.clone());
        shared.patches.push((name, patch));
        Json(job).into_response()
    };
    api.changes.send_modify(|count| *count += 1);
    answer
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    if let Some(target) = target.as_object_mut() {
        for (key, value) in patch {
            if value.is_null() {
                target.remove(key);
            } else {
                merge(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
    }
}

async fn review(State(api): State<Api>, Json(asked): Json<Value>) -> Response {
    let verb = asked.pointer("/spec/resourceAttributes/verb");
    let verb = verb.and_then(Value::as_str).unwrap_or_default();
    let allowed = !lock(&api.shared).forbidden.contains(verb);
    let answer = json!({ "kind": "SelfSubjectAccessReview", "status": { "allowed": allowed } });
    (StatusCode::CREATED, Json(answer)).into_response()
}

async fn configmap(
    State(api): State<Api>,
    Segments((namespace, name)): Segments<(String, String)>,
) -> Response {
    let mut shared = lock(&api.shared);
    shared.requests.configmaps += 1;
    if shared.forbidden.contains("configmaps") {
        return forbidden("get", "configmaps");
    }
    match shared.configmaps.get(&namespace) {
        Some(configmap) if name == "artifact-repositories" => {
            Json(configmap.clone()).into_response()
        }
        _ => refusal(404, &format!("configmaps \"{name}\" not found")),
    }
}
