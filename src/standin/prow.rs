//! A stand-in for deck: holds ProwJobs, serves them as deck does, and fails on demand.

mod body;
mod job;
#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use reqwest::Url;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use job::Job;

/// How the stand-in answers instead of as deck does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status, content type and body.
    Answer {
        /// HTTP status.
        status: u16,
        /// Content type; none when empty.
        content_type: String,
        /// Body.
        body: String,
    },
    /// A redirect to this address.
    Redirect(String),
    /// The first bytes of the true answer under its full length, then a closed connection.
    Truncate(usize),
    /// The first bytes of the true answer as if they were all.
    Cut(usize),
    /// Headers and the first bytes of the true answer, then silence.
    Hang(usize),
}

/// How many requests came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// For the list.
    pub list: u64,
    /// For single ProwJobs.
    pub prowjob: u64,
    /// For pages of runs.
    pub view: u64,
}

/// A running deck stand-in; it ends when dropped.
#[derive(Debug)]
pub struct DeckStandin {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    jobs: Vec<Value>,
    /// Logs of living pods, by job, build id and container.
    logs: Vec<([String; 3], Bytes)>,
    /// A list given as it is; set by [`DeckStandin::set_list`].
    list: Option<Bytes>,
    /// What the other replica still says, when there are two.
    old: Option<Vec<Value>>,
    fault: Option<Fault>,
    requests: Requests,
}

/// The query of a request.
#[derive(Debug, Default)]
struct Asked {
    var: String,
    omit: String,
    prowjob: String,
    job: String,
    id: String,
    container: String,
}

impl Asked {
    fn read(uri: &Uri) -> Self {
        let mut asked = Self::default();
        let url = Url::parse(&format!("http://deck{uri}"));
        for (key, value) in url.iter().flat_map(Url::query_pairs) {
            match key.as_ref() {
                "var" => asked.var = value.into_owned(),
                "omit" => asked.omit = value.into_owned(),
                "prowjob" => asked.prowjob = value.into_owned(),
                "job" => asked.job = value.into_owned(),
                "id" => asked.id = value.into_owned(),
                "container" => asked.container = value.into_owned(),
                _ => {}
            }
        }
        asked
    }
}

impl DeckStandin {
    /// Starts on a free port of 127.0.0.1, as a task of `tasks`.
    pub async fn start(tasks: &TaskTracker) -> std::io::Result<Self> {
        Self::listen(([127, 0, 0, 1], 0).into(), tasks).await
    }

    /// Starts on this address, as a task of `tasks`.
    pub async fn listen(address: SocketAddr, tasks: &TaskTracker) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let stop = CancellationToken::new();
        let router = Router::new()
            .route("/prowjobs.js", get(prowjobs))
            .route("/prowjob", get(prowjob))
            .route("/log", get(log))
            .route("/view/{*path}", get(view))
            .with_state(Arc::clone(&shared));
        let stopped = stop.clone();
        let served = tasks.spawn(async move {
            // No graceful end: a connection may be hanging on purpose.
            tokio::select! {
                served = std::future::IntoFuture::into_future(axum::serve(listener, router)) => {
                    if let Err(error) = served {
                        tracing::warn!(%error, "The deck stand-in ended");
                    }
                }
                () = stopped.cancelled() => {}
            }
        });
        Ok(Self {
            address,
            shared,
            stop,
            served,
        })
    }

    /// Ends it, and waits until its port is closed.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.served).await {
            tracing::warn!(%error, "The deck stand-in broke");
        }
    }

    /// Its address, as a deck's.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces all ProwJobs.
    pub fn set_jobs(&self, jobs: Vec<Value>) {
        let mut shared = self.shared();
        shared.jobs = jobs;
        shared.list = None;
    }

    /// Serves this body as the list, whatever is asked to be omitted.
    pub fn set_list(&self, body: Bytes) {
        self.shared().list = Some(body);
    }

    /// Serves the log of a container of a living pod; the only container is called `test`.
    pub fn set_log(&self, job: &str, build_id: &str, container: &str, log: impl Into<Bytes>) {
        let key = [job, build_id, container].map(str::to_owned);
        self.shared().logs.push((key, log.into()));
    }

    /// Adds a ProwJob, or replaces the one of its name.
    pub fn upsert(&self, job: Value) {
        let mut shared = self.shared();
        let same = shared.jobs.iter().position(|old| name(old) == name(&job));
        match same.and_then(|at| shared.jobs.get_mut(at)) {
            Some(old) => *old = job,
            None => shared.jobs.insert(0, job),
        }
    }

    /// From now on every second list, the next one first, shows the ProwJobs as they are now: a second
    /// replica that lags behind. `false` ends it.
    pub fn set_two_replicas(&self, two: bool) {
        let mut shared = self.shared();
        shared.old = two.then(|| shared.jobs.clone());
    }

    /// Answers with a fault from now on, or no more with `None`.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.shared().fault = fault;
    }

    /// Requests so far.
    pub fn requests(&self) -> Requests {
        self.shared().requests
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }
}

impl Drop for DeckStandin {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn name(job: &Value) -> Option<&str> {
    job.pointer("/metadata/name").and_then(Value::as_str)
}

async fn prowjobs(
    State(shared): State<Arc<Mutex<Shared>>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let asked = Asked::read(&uri);
    let (list, fault) = {
        let mut shared = lock(&shared);
        shared.requests.list += 1;
        (shared.list(&asked), shared.fault.clone())
    };
    let mut content_type = "application/json";
    let mut body = list;
    if !asked.var.is_empty() {
        content_type = "application/javascript";
        let script = [b"var ", asked.var.as_bytes(), b" = ", &body, b";"].concat();
        body = script.into();
    }
    body::answer(content_type, body, &headers, fault)
}

impl Shared {
    fn list(&self, asked: &Asked) -> Bytes {
        if let Some(list) = &self.list {
            return list.clone();
        }
        let jobs = match &self.old {
            Some(old) if self.requests.list % 2 == 1 => old,
            _ => &self.jobs,
        };
        let items: Vec<Value> = jobs.iter().map(|job| without(job, &asked.omit)).collect();
        serde_json::json!({ "items": items }).to_string().into()
    }
}

/// A ProwJob as deck shows it with `omit=`: pod specs keep the number of their containers.
fn without(job: &Value, omit: &str) -> Value {
    let mut job = job.clone();
    let omits = |field: &str| omit.split(',').any(|word| word == field);
    for field in ["labels", "annotations"]
        .into_iter()
        .filter(|field| omits(field))
    {
        if let Some(metadata) = job.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove(field);
        }
    }
    if let Some(spec) = job.get_mut("spec").and_then(Value::as_object_mut) {
        if omits("decoration_config") {
            spec.remove("decoration_config");
        }
        if let Some(pod_spec) = spec.get_mut("pod_spec").filter(|_| omits("pod_spec")) {
            let containers = pod_spec.get("containers").and_then(Value::as_array);
            let empty = serde_json::json!({"name": "", "resources": {}});
            let containers = vec![empty; containers.map_or(0, Vec::len)];
            *pod_spec = serde_json::json!({ "containers": containers });
        }
    }
    job
}

async fn prowjob(
    State(shared): State<Arc<Mutex<Shared>>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let asked = Asked::read(&uri);
    let (found, fault) = {
        let mut shared = lock(&shared);
        shared.requests.prowjob += 1;
        let found = shared
            .jobs
            .iter()
            .find(|job| name(job) == Some(&asked.prowjob));
        (found.cloned(), shared.fault.clone())
    };
    if asked.prowjob.is_empty() {
        return (
            StatusCode::BAD_REQUEST,
            "request did not provide the 'prowjob' query parameter",
        )
            .into_response();
    }
    match found.as_ref().map(serde_saphyr::to_string) {
        Some(Ok(yaml)) => body::answer("text/plain", yaml.into(), &headers, fault),
        _ if fault.is_some() => body::answer("text/plain", Bytes::new(), &headers, fault),
        _ => (StatusCode::NOT_FOUND, "ProwJob not found").into_response(),
    }
}

async fn log(State(shared): State<Arc<Mutex<Shared>>>, uri: Uri, headers: HeaderMap) -> Response {
    let mut asked = Asked::read(&uri);
    if asked.container.is_empty() {
        "test".clone_into(&mut asked.container);
    }
    let key = [asked.job, asked.id, asked.container];
    let (found, fault) = {
        let shared = lock(&shared);
        let found = shared.logs.iter().rev().find(|(of, _)| *of == key);
        (found.map(|(_, log)| log.clone()), shared.fault.clone())
    };
    match found {
        Some(log) => body::answer("text/plain", log, &headers, fault),
        None if fault.is_some() => body::answer("text/plain", Bytes::new(), &headers, fault),
        None => (StatusCode::NOT_FOUND, "Log not found").into_response(),
    }
}

async fn view(State(shared): State<Arc<Mutex<Shared>>>) -> Response {
    lock(&shared).requests.view += 1;
    let page = "<!doctype html><title>Spyglass</title><p>Stand-in for the page of a run.";
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}
