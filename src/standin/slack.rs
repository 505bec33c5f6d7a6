//! A strict stand-in for Slack's incoming webhooks, on loopback. It keeps Slack's pace and limits, answers in
//! Slack's words, remembers what it was sent, and can be told to misbehave.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, RETRY_AFTER},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{clock::Clock, slack::limits};

const BODY_BYTES: usize = 1 << 20;
/// Grace for answers under way when the stand-in stops.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// How the stand-in behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// What paces it and dates what it receives.
    pub clock: Clock,
    /// Pace of each webhook; `None` takes all at once.
    pub pace: Option<Pace>,
    /// Live mentions that may stand in a message, such as `<!subteam^S0123>`.
    pub allowed_mentions: Vec<String>,
}

impl Default for Options {
    /// Slack's pace on the machine's clock, no mentions.
    fn default() -> Self {
        Self {
            clock: Clock::System,
            pace: Some(Pace {
                per_second: 1.0,
                burst: 5.0,
            }),
            allowed_mentions: Vec::new(),
        }
    }
}

/// A token bucket: what goes beyond it is answered 429.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Messages per second in the long run.
    pub per_second: f64,
    /// Messages at once after a pause.
    pub burst: f64,
}

/// A message taken in.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Which webhook: what follows `/services/`.
    pub hook: String,
    /// When it came.
    pub at: Timestamp,
    /// What was posted.
    pub payload: Value,
}

/// An answer given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Which webhook.
    pub hook: String,
    /// When.
    pub at: Timestamp,
    /// The HTTP status; `None` when no answer was given.
    pub status: Option<u16>,
}

/// A message refused for its form.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// Which webhook.
    pub hook: String,
    /// What was wrong.
    pub found: Vec<String>,
    /// What was posted, `null` when it was not JSON.
    pub payload: Value,
}

/// What to do with one request instead of what Slack would.
#[derive(Debug, Clone)]
pub struct Forced {
    /// Waited before.
    pub delay: Duration,
    /// Whether the message is taken in all the same.
    pub accept: bool,
    /// Then.
    pub act: Act,
}

/// How a request ends.
#[derive(Debug, Clone)]
pub enum Act {
    /// With this answer.
    Answer {
        /// HTTP status.
        status: u16,
        /// Headers besides the usual; those that are not valid are left out.
        headers: Vec<(String, String)>,
        /// Body.
        body: String,
    },
    /// Never, until the client gives up.
    Hang,
    /// With the connection closed and no answer.
    Drop,
}

impl Forced {
    /// An answer at once, without headers; the message is not taken in.
    pub fn answer(status: u16, body: &str) -> Self {
        Self::from(Act::Answer {
            status,
            headers: Vec::new(),
            body: body.to_owned(),
        })
    }
}

impl From<Act> for Forced {
    fn from(act: Act) -> Self {
        Self {
            delay: Duration::ZERO,
            accept: false,
            act,
        }
    }
}

/// The running stand-in; stops when dropped.
#[derive(Debug)]
pub struct SlackStandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Shared {
    options: Options,
    state: Mutex<State>,
    accepted: watch::Sender<usize>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    buckets: BTreeMap<String, Bucket>,
    scripts: BTreeMap<String, VecDeque<Forced>>,
    is_down: bool,
    messages: Vec<Message>,
    answers: Vec<Given>,
    violations: Vec<Violation>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

impl SlackStandIn {
    /// Starts on a free port of 127.0.0.1.
    pub async fn start(options: Options) -> io::Result<Self> {
        Self::listen((Ipv4Addr::LOCALHOST, 0).into(), options).await
    }

    /// Starts on this address.
    pub async fn listen(address: SocketAddr, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let standin = Self {
            address: listener.local_addr()?,
            shared: Arc::new(Shared {
                options,
                state: Mutex::default(),
                accepted: watch::Sender::new(0),
                stop: CancellationToken::new(),
            }),
            tasks: TaskTracker::new(),
        };
        let (shared, tasks) = (standin.shared.clone(), standin.tasks.clone());
        standin.tasks.spawn(accept(listener, shared, tasks));
        Ok(standin)
    }

    /// Host and port, as `delivery.allowed_hosts` wants them.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The address of a webhook; each name is a webhook of its own.
    pub fn url(&self, hook: &str) -> String {
        format!("http://{}/services/{hook}", self.address)
    }

    /// Does this with the next request to the webhook that nothing is said about yet.
    pub fn force(&self, hook: &str, forced: impl Into<Forced>) {
        let mut state = self.shared.state();
        let script = state.scripts.entry(hook.to_owned()).or_default();
        script.push_back(forced.into());
    }

    /// How many of these things no request has come for yet.
    pub fn forced(&self, hook: &str) -> usize {
        let state = self.shared.state();
        state.scripts.get(hook).map_or(0, VecDeque::len)
    }

    /// While down, it answers 500 to everything that is not forced.
    pub fn set_down(&self, is_down: bool) {
        self.shared.state().is_down = is_down;
    }

    /// Messages taken in so far, in order.
    pub fn messages(&self) -> Vec<Message> {
        self.shared.state().messages.clone()
    }

    /// Answers given so far, in order.
    pub fn answers(&self) -> Vec<Given> {
        self.shared.state().answers.clone()
    }

    /// How often it answered 429.
    pub fn rate_limited(&self) -> usize {
        let state = self.shared.state();
        let too_fast = Some(StatusCode::TOO_MANY_REQUESTS.as_u16());
        let given = state.answers.iter();
        given.filter(|given| given.status == too_fast).count()
    }

    /// Messages refused for their form.
    pub fn violations(&self) -> Vec<Violation> {
        self.shared.state().violations.clone()
    }

    /// Waits until `count` messages have been taken in since the start, and gives all of them.
    pub async fn wait_for(&self, count: usize) -> Vec<Message> {
        let mut accepted = self.shared.accepted.subscribe();
        // The sender lives as long as `self`.
        drop(accepted.wait_for(|accepted| *accepted >= count).await);
        self.messages()
    }

    /// Stops: finishes what is under way, closes the rest.
    pub async fn stop(self) {
        self.shared.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for SlackStandIn {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, tasks: TaskTracker) {
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    tasks.spawn(connection(stream, shared.clone()));
                }
            }
        }
    }
}

/// Errors of a connection are the client's business.
async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let stop = shared.stop.clone();
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { shared.serve(request).await }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => drop(ended),
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            drop(tokio::time::timeout(STOP_GRACE, connection).await);
        }
    }
}

/// Makes hyper close the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("told to drop the connection")]
struct Dropped;

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Dropped> {
        let hook = request.uri().path().strip_prefix("/services/");
        let Some(hook) = hook.filter(|hook| !hook.is_empty()).map(str::to_owned) else {
            return Ok(response(404, &[], "no_service"));
        };
        if request.method() != hyper::Method::POST {
            return Ok(response(405, &[], "method_not_allowed"));
        }
        let is_json = request
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        let Ok(body) = Limited::new(request.into_body(), BODY_BYTES)
            .collect()
            .await
        else {
            return Ok(response(413, &[], "payload_too_large"));
        };
        let payload = serde_json::from_slice(&body.to_bytes())
            .ok()
            .filter(|_| is_json);
        let step = self.step(&hook, payload);
        self.carry_out(step).await
    }

    async fn carry_out(&self, step: Forced) -> Result<Response<Full<Bytes>>, Dropped> {
        if !step.delay.is_zero() {
            tokio::select! {
                () = self.stop.cancelled() => return Err(Dropped),
                () = tokio::time::sleep(step.delay) => {}
            }
        }
        match step.act {
            Act::Answer {
                status,
                headers,
                body,
            } => Ok(response(status, &headers, &body)),
            Act::Hang => {
                self.stop.cancelled().await;
                Err(Dropped)
            }
            Act::Drop => Err(Dropped),
        }
    }

    /// What becomes of a request, with everything about it remembered. `payload`: `None` when it is not
    /// JSON.
    fn step(&self, hook: &str, payload: Option<Value>) -> Forced {
        let now = self.options.clock.now();
        let mut state = self.state();
        let step = state.decide(hook, payload.as_ref(), now, &self.options);
        let status = match step.act {
            Act::Answer { status, .. } => Some(status),
            Act::Hang | Act::Drop => None,
        };
        let hook = hook.to_owned();
        state.answers.push(Given {
            hook: hook.clone(),
            at: now,
            status,
        });
        if step.accept {
            state.messages.push(Message {
                hook,
                at: now,
                payload: payload.unwrap_or_default(),
            });
        }
        self.accepted.send_replace(state.messages.len());
        step
    }
}

impl State {
    fn decide(
        &mut self,
        hook: &str,
        payload: Option<&Value>,
        now: Timestamp,
        options: &Options,
    ) -> Forced {
        if let Some(forced) = self.scripts.get_mut(hook).and_then(VecDeque::pop_front) {
            return forced;
        }
        if self.is_down {
            return Forced::answer(500, "rollup_error");
        }
        if let Err(seconds) = self.take_token(hook, now, options.pace) {
            return too_fast(seconds);
        }
        let (word, found) = judge(payload, &options.allowed_mentions);
        if found.is_empty() {
            return Forced {
                accept: true,
                ..Forced::answer(200, word)
            };
        }
        self.violations.push(Violation {
            hook: hook.to_owned(),
            found,
            payload: payload.cloned().unwrap_or_default(),
        });
        Forced::answer(400, word)
    }

    /// Takes a token, or tells after how many seconds there will be one.
    fn take_token(&mut self, hook: &str, now: Timestamp, pace: Option<Pace>) -> Result<(), f64> {
        let Some(pace) = pace else {
            return Ok(());
        };
        let bucket = self.buckets.entry(hook.to_owned()).or_insert(Bucket {
            tokens: pace.burst,
            at: now,
        });
        let passed = now.duration_since(bucket.at).as_secs_f64().max(0.0);
        bucket.tokens = (bucket.tokens + passed * pace.per_second).min(pace.burst);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return Err((1.0 - bucket.tokens) / pace.per_second);
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

/// Slack's word for a payload, and what is wrong with it.
fn judge(payload: Option<&Value>, allowed_mentions: &[String]) -> (&'static str, Vec<String>) {
    let Some(payload) = payload else {
        return ("invalid_payload", vec!["not JSON".to_owned()]);
    };
    let allowed: Vec<&str> = allowed_mentions.iter().map(String::as_str).collect();
    let found = limits::violations(payload, &allowed);
    let word = match found.is_empty() {
        true => "ok",
        false if payload.get("blocks").is_none() && payload.get("text").is_none() => "no_text",
        false => "invalid_blocks",
    };
    (word, found)
}

/// Slack says whole seconds in the header.
fn too_fast(seconds: f64) -> Forced {
    let seconds = seconds.ceil().clamp(1.0, 3600.0);
    let body = json!({"retry_after": seconds, "ok": false, "error": "rate_limited"});
    Forced::from(Act::Answer {
        status: 429,
        headers: vec![(RETRY_AFTER.to_string(), seconds.to_string())],
        body: body.to_string(),
    })
}

fn response(status: u16, headers: &[(String, String)], body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_owned())));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (
            hyper::header::HeaderName::try_from(name),
            hyper::header::HeaderValue::try_from(value),
        ) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests;
