//! A stand-in for Google Cloud Storage's XML interface: holds objects, serves them whole and in ranges, lists
//! them, and fails on demand.

mod listing;

use std::{
    collections::BTreeMap,
    fs, io,
    net::SocketAddr,
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How the stand-in answers instead of as a bucket does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status with an error in XML of this code.
    Status(u16, &'static str),
    /// A page for people, as if it were the object.
    Html,
    /// A redirect to this address.
    Redirect(String),
    /// No answer at all.
    Hang,
    /// True headers, then a byte in each such time.
    Drip(Duration),
}

/// What is stored under a key.
#[derive(Debug, Clone)]
pub enum Object {
    /// These bytes.
    Bytes(Bytes),
    /// These bytes, said to be packed.
    Packed(Bytes),
    /// So many bytes of numbered lines of 16 bytes each, made when asked for.
    Lines(u64),
}

/// A running stand-in; it ends when dropped.
#[derive(Debug)]
pub struct BucketStandin {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct Shared {
    objects: BTreeMap<String, Object>,
    fault: Option<Fault>,
    /// Entries of a listing, at most; as many as there are with `None`.
    page: Option<usize>,
    /// Faults of single buckets, or of what is below a folder of one.
    faults: BTreeMap<String, Fault>,
    /// Of a hundred requests so many fail, and how.
    flaky: Option<(u32, Fault)>,
    requests: Vec<String>,
}

impl Object {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) | Self::Packed(bytes) => bytes.len() as u64,
            Self::Lines(length) => *length,
        }
    }

    fn slice(&self, range: Range<u64>) -> Bytes {
        match self {
            Self::Bytes(bytes) | Self::Packed(bytes) => {
                let at = |place| {
                    usize::try_from(place)
                        .unwrap_or(usize::MAX)
                        .min(bytes.len())
                };
                bytes.slice(at(range.start)..at(range.end))
            }
            Self::Lines(_) => {
                let first = range.start / 16;
                let lines = (first..=range.end / 16).map(|line| format!("line {line:010}\n"));
                let text = lines.collect::<Vec<_>>().concat();
                let bytes = Bytes::from(text);
                let at = |place: u64| usize::try_from(place - first * 16).unwrap_or(0);
                bytes.slice(at(range.start)..at(range.end))
            }
        }
    }
}

impl BucketStandin {
    /// Starts on a free port of 127.0.0.1, as a task of `tasks`.
    pub async fn start(tasks: &TaskTracker) -> io::Result<Self> {
        Self::listen(([127, 0, 0, 1], 0).into(), tasks).await
    }

    /// Starts on this address, as a task of `tasks`.
    pub async fn listen(address: SocketAddr, tasks: &TaskTracker) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let stop = CancellationToken::new();
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        let stopped = stop.clone();
        tasks.spawn(async move {
            // No graceful end: a connection may be hanging on purpose.
            tokio::select! {
                served = std::future::IntoFuture::into_future(axum::serve(listener, router)) => {
                    if let Err(error) = served {
                        tracing::warn!(%error, "The bucket stand-in ended");
                    }
                }
                () = stopped.cancelled() => {}
            }
        });
        Ok(Self {
            address,
            shared,
            stop,
        })
    }

    /// Its address, for `artifacts.endpoints`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stores an object under `bucket/key`.
    pub fn put(&self, path: &str, object: Object) {
        lock(&self.shared).objects.insert(path.to_owned(), object);
    }

    /// Stores all files below a folder, whose own folders are buckets.
    pub fn put_folder(&self, folder: &Path) -> io::Result<()> {
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(name) = path.strip_prefix(folder) {
                    let bytes = Bytes::from(fs::read(&path)?);
                    self.put(&name.to_string_lossy(), Object::Bytes(bytes));
                }
            }
        }
        Ok(())
    }

    /// Answers with a fault from now on, or no more with `None`.
    pub fn set_fault(&self, fault: Option<Fault>) {
        lock(&self.shared).fault = fault;
    }

    /// Lists at most so many entries at once.
    pub fn set_page(&self, entries: usize) {
        lock(&self.shared).page = Some(entries);
    }

    /// The same for one bucket, or for objects of one of its folders.
    pub fn set_fault_of(&self, bucket: &str, fault: Option<Fault>) {
        let mut shared = lock(&self.shared);
        match fault {
            Some(fault) => shared.faults.insert(bucket.to_owned(), fault),
            None => shared.faults.remove(bucket),
        };
    }

    /// From now on so many of a hundred requests fail. Which ones follows from what is asked for and how often
    /// it was, so it is the same each time.
    pub fn set_flaky(&self, percent: u32, fault: Fault) {
        lock(&self.shared).flaky = Some((percent, fault));
    }

    /// Method and path of each request so far.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.shared).requests.clone()
    }
}

impl Drop for BucketStandin {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(
    State(shared): State<Arc<Mutex<Shared>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let path = decoded(uri.path().trim_start_matches('/'));
    let (object, fault, listing) = {
        let mut shared = lock(&shared);
        let fault = shared.fault_for(&format!("{method} {path}"));
        shared.requests.push(format!("{method} {path}"));
        let is_bucket = !path.contains('/');
        let listing = is_bucket.then(|| shared.listing(&path, &uri));
        let object = shared.objects.get(&path).cloned();
        (object, fault, listing)
    };
    let drip = match fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Status(status, code)) => return error(status, code),
        Some(Fault::Html) => {
            let page = "<!doctype html><title>Sign in</title>";
            return ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response();
        }
        Some(Fault::Redirect(to)) => {
            return (StatusCode::FOUND, [(header::LOCATION, to)]).into_response();
        }
        Some(Fault::Drip(pause)) => Some(pause),
        None => None,
    };
    if let Some(listing) = listing {
        return ([(header::CONTENT_TYPE, "application/xml")], listing).into_response();
    }
    let Some(object) = object else {
        return error(404, "NoSuchKey");
    };
    serve(&object, &method, &headers, drip)
}

/// A path as it was before a client encoded it.
fn decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part
            .get(..2)
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.extend(code);
        bytes.extend_from_slice(part.get(2..).unwrap_or_default().as_bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn error(status: u16, code: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = format!("<?xml version='1.0'?><Error><Code>{code}</Code></Error>");
    (status, [(header::CONTENT_TYPE, "application/xml")], body).into_response()
}

fn serve(object: &Object, method: &Method, asked: &HeaderMap, drip: Option<Duration>) -> Response {
    let length = object.len();
    let range = asked
        .get(header::RANGE)
        .and_then(|range| range.to_str().ok());
    let range = range.and_then(|range| read_range(range, length));
    let (status, range) = match range {
        Some(range) => (StatusCode::PARTIAL_CONTENT, range),
        None => (StatusCode::OK, 0..length),
    };
    let mut response = Response::builder()
        .status(status)
        .header(header::ETAG, "\"stand-in\"")
        .header(header::LAST_MODIFIED, "Thu, 20 Aug 2026 10:00:00 GMT")
        .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
        .header(header::CONTENT_LENGTH, range.end - range.start);
    if status == StatusCode::PARTIAL_CONTENT {
        let told = format!("bytes {}-{}/{length}", range.start, range.end - 1);
        response = response.header(header::CONTENT_RANGE, told);
    }
    if matches!(object, Object::Packed(_)) {
        response = response.header(header::CONTENT_ENCODING, "gzip");
    }
    let body = match (method, drip) {
        (&Method::HEAD, _) => Body::empty(),
        (_, None) => Body::from(object.slice(range)),
        (_, Some(pause)) => dripping(object.slice(range), pause),
    };
    let built = response.body(body);
    built.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// A body that comes byte by byte.
fn dripping(bytes: Bytes, pause: Duration) -> Body {
    Body::from_stream(stream::unfold(bytes, move |mut rest: Bytes| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let first = rest.split_to(1);
        Some((Ok::<_, io::Error>(first), rest))
    }))
}

/// Reads `bytes=1-2`, `bytes=1-` and `bytes=-2`.
fn read_range(text: &str, length: u64) -> Option<Range<u64>> {
    let (start, end) = text.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (start.parse::<u64>(), end.parse::<u64>()) {
        (Ok(start), Ok(end)) => start..(end + 1).min(length),
        (Ok(start), Err(_)) => start..length,
        (Err(_), Ok(last)) => length.saturating_sub(last)..length,
        (Err(_), Err(_)) => return None,
    };
    (range.start < range.end).then_some(range)
}

impl Shared {
    fn fault_for(&self, request: &str) -> Option<Fault> {
        let (_, path) = request.split_once(' ')?;
        let is_below = |above: &str| {
            let rest = path.strip_prefix(above);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mut below = self.faults.iter().filter(|(above, _)| is_below(above));
        let own = below.next().map(|(_, fault)| fault).or(self.fault.as_ref());
        own.cloned().or_else(|| {
            let (percent, fault) = self.flaky.as_ref()?;
            let asked = self.requests.iter().filter(|asked| *asked == request);
            let digest = Sha256::digest(format!("{request} {}", asked.count()));
            let number = digest.iter().take(4);
            let number = number.fold(0, |sum: u32, byte| sum << 8 | u32::from(*byte));
            (number % 100 < *percent).then(|| fault.clone())
        })
    }

    fn listing(&self, bucket: &str, uri: &Uri) -> String {
        let all = format!("{bucket}/");
        let keys = self.objects.range(all.clone()..);
        let keys = keys.map_while(|(path, object)| Some((path.strip_prefix(&all)?, object.len())));
        listing::xml(keys, &listing::Asked::read(uri), self.page)
    }
}
