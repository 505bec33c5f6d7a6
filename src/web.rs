//! The HTTP server: a router, and connections that cannot be held open by slow clients.

mod access;
mod api;
pub mod body;
pub mod hooks;
mod memo;
mod oidc;
pub mod ops;
pub mod pages;
pub mod runs;

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use hyper::body::Body as _;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use lru::LruCache;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::{CompressionLevel, compression::CompressionLayer};
use tracing::{debug, warn};

use crate::{config::settings::Pace, pipeline::Shared};

/// A client must have sent all its headers by then.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest request head, in bytes.
const MAX_HEAD: usize = 32 << 10;
/// What is said of a path that nothing has.
const NO_SUCH_PATH: &str =
    "no such path; pages begin at /, and /api/v1/openapi.json lists what the API has\n";
/// Connections at once; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 1024;
/// How long requests under way may take at a stop.
const DRAIN: Duration = Duration::from_secs(10);
/// Delivery ids that are remembered.
const DELIVERIES: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");
/// Above this many addresses those that have been quiet are forgotten.
const ADDRESSES: usize = 10_000;

/// What handlers share.
#[derive(Debug)]
pub struct Web {
    /// The rest of the process.
    pub shared: Shared,
    /// GitHub delivery ids that were accepted.
    deliveries: Mutex<LruCache<String, ()>>,
    /// Ids of signed reports that were accepted. Apart, so that GitHub's many do not drive them out while their
    /// signatures still hold. After a restart a repeated report is found by its run.
    reports: Mutex<LruCache<String, ()>>,
    /// Numbers and contents of Pub/Sub messages that were accepted.
    messages: Mutex<LruCache<String, ()>>,
    /// Google's keys.
    keys: oidc::Keys,
    sessions: access::Sessions,
    memos: memo::Memos,
    inbound: DefaultKeyedRateLimiter<IpAddr>,
    /// When the figures in `/metrics` were last worked out.
    figured_at: tokio::sync::Mutex<Option<jiff::Timestamp>>,
    /// Set when the process is about to stop.
    stopping: CancellationToken,
}

impl Web {
    /// The handlers' state; `stopping` makes `/readyz` say no.
    pub fn new(shared: Shared, stopping: CancellationToken) -> Self {
        let Pace { rate_per_s, burst } = shared.live().snapshot.config.settings.inbound;
        let at_least_one =
            |number: u32| std::num::NonZeroU32::new(number).unwrap_or(std::num::NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(rate_per_s)).allow_burst(at_least_one(burst));
        Self {
            shared,
            deliveries: Mutex::new(LruCache::new(DELIVERIES)),
            reports: Mutex::new(LruCache::new(DELIVERIES)),
            messages: Mutex::new(LruCache::new(DELIVERIES)),
            keys: oidc::Keys::default(),
            sessions: access::Sessions::default(),
            memos: memo::Memos::default(),
            inbound: RateLimiter::keyed(quota),
            figured_at: tokio::sync::Mutex::default(),
            stopping,
        }
    }

    /// All routes.
    pub fn router(self) -> Router {
        // Handlers get a copy each.
        let web = Arc::new(self);
        let hooks = Router::new()
            .route("/hooks/prowjob", post(hooks::prowjob))
            .route("/hooks/github", post(hooks::github))
            .route("/hooks/pubsub", post(hooks::pubsub))
            .route("/hooks/stage", post(hooks::stage))
            .layer(middleware::from_fn_with_state(Arc::clone(&web), limit_rate));
        let metrics = Router::new()
            .route("/readyz", get(ops::readyz))
            .route("/metrics", get(ops::metrics))
            .layer(middleware::from_fn_with_state(
                Arc::clone(&web),
                access::guard_metrics,
            ));
        // Whatever reads or acts for people belongs in here.
        let guarded = Router::new()
            .route("/runs/{run}", get(runs::run))
            .merge(pages::router())
            .merge(api::router())
            .layer(middleware::from_fn_with_state(
                Arc::clone(&web),
                access::guard,
            ));
        let open = Router::new()
            .merge(pages::assets())
            .route("/login", get(access::log_in_page).post(access::log_in))
            .route("/logout", post(access::log_out));
        // Assets are fetched once a year, pages are packed anew while somebody waits.
        let (small, fast) = (CompressionLevel::Default, CompressionLevel::Fastest);
        let packed = |quality| CompressionLayer::new().quality(quality);
        Router::new()
            .merge(hooks)
            .merge(metrics)
            .route("/healthz", get(ops::healthz))
            .merge(guarded.layer(packed(fast)))
            .merge(open.layer(packed(small)))
            .fallback(async || (StatusCode::NOT_FOUND, NO_SUCH_PATH))
            .layer(middleware::from_fn(harden))
            .with_state(web)
    }
}

/// Whether an id was accepted before; a retry of it changes nothing.
fn is_repeated(known: &Mutex<LruCache<String, ()>>, id: &str) -> bool {
    known
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(id)
        .is_some()
}

fn remember(known: &Mutex<LruCache<String, ()>>, id: String) {
    known
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .put(id, ());
}

/// Each address has its share; who sends more is told when to come back.
async fn limit_rate(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    let address = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|info| info.0.ip());
    if let Some(address) = address
        && web.inbound.check_key(&address).is_err()
    {
        web.shared.metrics.count_request("/hooks", 429);
        return (
            StatusCode::TOO_MANY_REQUESTS,
            [(header::RETRY_AFTER, "1")],
            "too many requests\n",
        )
            .into_response();
    }
    if web.inbound.len() > ADDRESSES {
        web.inbound.retain_recent();
    }
    next.run(request).await
}

/// Headers that every answer carries. Where a body is left unread the connection ends, and its client must
/// know, or it would send its next request on it and get no answer.
async fn harden(request: Request, next: Next) -> Response {
    let has_body = !request.body().is_end_stream();
    let mut response = next.run(request).await;
    if has_body && is_given_unread(response.status()) {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether this is answered without the whole body having been read.
fn is_given_unread(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::TOO_MANY_REQUESTS
    )
}

/// Serves until told to stop, then finishes the requests under way.
pub async fn serve(listener: TcpListener, web: Web, stop: CancellationToken) {
    let router = web.router();
    let graceful = GracefulShutdown::new();
    let places = Arc::new(tokio::sync::Semaphore::new(MAX_CONNECTIONS));
    let mut server = hyper::server::conn::http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .pipeline_flush(true);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, peer, place) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => match accepted {
                Some(accepted) => accepted,
                None => continue,
            },
            Some(_) = connections.join_next() => continue,
        };
        let service =
            TowerToHyperService::new(router.clone().layer(axum::Extension(ConnectInfo(peer))));
        let connection = graceful.watch(server.serve_connection(TokioIo::new(stream), service));
        connections.spawn(async move {
            if let Err(error) = connection.await {
                debug!(
                    error = &error as &dyn std::error::Error,
                    "A connection ended early"
                );
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown())
        .await
        .is_err()
    {
        warn!("Some requests did not end in time and were cut off");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<tokio::sync::Semaphore>,
) -> Option<(
    tokio::net::TcpStream,
    SocketAddr,
    tokio::sync::OwnedSemaphorePermit,
)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Answers are small; waiting to fill a packet only delays them. Failing to say so is harmless.
            drop(stream.set_nodelay(true));
            Some((stream, peer, place))
        }
        Err(error) => {
            // Out of file descriptors, mostly: let some connections end first.
            warn!(
                error = &error as &dyn std::error::Error,
                "Cannot accept a connection"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}
