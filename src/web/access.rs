//! Who asks, and whether they may. Reads can be open, or for those who are known; to act one must be known, and a
//! browser must have been sent by a page of ours. Whatever is not said to be open goes through [`guard`].

mod session;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse as _, Redirect, Response},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::ExposeSecret as _;
use sha2::Sha256;

use super::{
    Web,
    api::problem::Problem,
    body::{self, BodyError},
    pages::render,
};
use crate::{
    config::access::{AccessSettings, AccessTokens, Reads},
    pipeline::live::Live,
    store::{Actor, StoreError},
};

pub(super) use session::{Sessions, log_in, log_in_page, log_out};

/// What somebody may send to act: forms and small JSON.
const MAX_BODY: usize = 64 << 10;

/// Somebody who is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    /// Name of a token, or what the proxy says.
    pub(super) name: String,
    /// How that is known.
    pub(super) by: By,
}

/// How somebody is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// A token with the request. No page of others can make a browser send it.
    Token,
    /// The cookie of a log-in.
    Session,
    /// The header of a trusted proxy, which knows its people by cookies mostly.
    Proxy,
}

impl Person {
    /// For the audit.
    pub(super) fn actor(&self) -> Actor {
        let by = match self.by {
            By::Token => "token",
            By::Session => "session",
            By::Proxy => "proxy",
        };
        Actor {
            who: self.name.clone(),
            by: by.to_owned(),
        }
    }
}

/// Why somebody may not.
#[derive(Debug)]
enum Refusal {
    /// Not known, or by a token that is none.
    Unknown,
    /// There is no way to be known.
    Nobody,
    /// The page that sent the browser is not ours.
    Foreign,
    /// Whether the browser has a log-in cannot be seen from here: it came from another site.
    Bounce,
    /// The body is too large, too slow or broken.
    Body(BodyError),
    /// Sessions cannot be checked now.
    Store(StoreError),
}

/// What tells who asks.
struct Asking<'a> {
    headers: &'a HeaderMap,
    address: Option<IpAddr>,
    /// Whether a person looks, and not a program.
    page: bool,
}

/// Lets through who may, and notes who it is for the handler. A `GET` never acts, so its method decides.
pub(super) async fn guard(
    State(web): State<Arc<Web>>,
    mut request: Request,
    next: Next,
) -> Response {
    let live = web.shared.live();
    let (address, page) = (address(&request), wants_page(&request));
    let asking = Asking {
        headers: request.headers(),
        address,
        page,
    };
    let allowed = if is_read(request.method()) {
        may_read(&web, &live, &asking).await
    } else {
        match may_act(&web, &live, &asking).await {
            Ok(person) => read_body(&mut request).await.map(|()| Some(person)),
            Err(refusal) => Err(refusal),
        }
    };
    match allowed {
        Ok(person) => {
            if let Some(person) = person {
                request.extensions_mut().insert(person);
            }
            next.run(request).await
        }
        Err(refusal) => refuse(&refusal, &live, &request),
    }
}

/// The same for `/metrics` and `/readyz`, which are open unless the configuration says otherwise.
pub(super) async fn guard_metrics(
    state: State<Arc<Web>>,
    request: Request,
    next: Next,
) -> Response {
    if state.shared.live().snapshot.config.settings.access.metrics {
        guard(state, request, next).await
    } else {
        next.run(request).await
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

async fn may_read(web: &Web, live: &Live, asking: &Asking<'_>) -> Result<Option<Person>, Refusal> {
    let person = known(web, live, asking).await?;
    let settings = &live.snapshot.config.settings.access;
    if person.is_some() || settings.reads == Reads::Open {
        return Ok(person);
    }
    // A link in a message opens without the cookie, which is for pages of ours alone.
    let came_from_elsewhere = only(asking.headers, "sec-fetch-site") == Some("cross-site");
    if came_from_elsewhere && asking.page && !live.access.is_empty() {
        return Err(Refusal::Bounce);
    }
    Err(Refusal::Unknown)
}

async fn may_act(web: &Web, live: &Live, asking: &Asking<'_>) -> Result<Person, Refusal> {
    let settings = &live.snapshot.config.settings;
    let Some(person) = known(web, live, asking).await? else {
        let nobody = live.access.is_empty() && settings.access.proxy_from.is_empty();
        return Err(if nobody {
            Refusal::Nobody
        } else {
            Refusal::Unknown
        });
    };
    let is_ours =
        person.by == By::Token || is_same_site(asking.headers, settings.external_url.as_deref());
    if is_ours {
        Ok(person)
    } else {
        Err(Refusal::Foreign)
    }
}

/// Who asks; `None` is anybody.
async fn known(web: &Web, live: &Live, asking: &Asking<'_>) -> Result<Option<Person>, Refusal> {
    let headers = asking.headers;
    if let Some(name) = bearer(headers).and_then(|token| owner(&live.access, token)) {
        return Ok(Some(Person {
            name: name.to_owned(),
            by: By::Token,
        }));
    }
    let settings = &live.snapshot.config.settings.access;
    if let Some(name) = proxied(settings, asking.address, headers) {
        let by = By::Proxy;
        return Ok(Some(Person { name, by }));
    }
    let session = web.sessions.person(web, live, headers).await;
    let name = session.map_err(Refusal::Store)?;
    Ok(name.map(|name| Person {
        name,
        by: By::Session,
    }))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = only(headers, header::AUTHORIZATION.as_str())?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim())
        .filter(|token| !token.is_empty())
}

/// Whose token this is. Each is compared in constant time, and always all of them.
fn owner<'a>(tokens: &'a AccessTokens, given: &str) -> Option<&'a str> {
    // Equal codes under any key mean equal tokens, and comparing them tells nothing of either.
    let code = |text: &str| {
        let mac = Hmac::<Sha256>::new_from_slice(b"prow-notifier access token");
        let mut mac = mac.expect("a key may have any length");
        mac.update(text.as_bytes());
        mac
    };
    let given = code(given).finalize().into_bytes();
    let mut found = None;
    for (name, token) in tokens.iter() {
        if code(token.expose_secret()).verify_slice(&given).is_ok() {
            found = Some(name);
        }
    }
    found
}

/// Whom a trusted proxy names. The header must be there once: one that the browser sent may stand beside it.
fn proxied(
    settings: &AccessSettings,
    address: Option<IpAddr>,
    headers: &HeaderMap,
) -> Option<String> {
    let address = address?;
    let trusted = settings
        .proxy_from
        .iter()
        .any(|from| from.contains(&address));
    let name = only(headers, &settings.proxy_header).filter(|_| trusted)?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Where a request came from. An IPv4 address may come in the form of an IPv6 one.
fn address(request: &Request) -> Option<IpAddr> {
    let info = request.extensions().get::<ConnectInfo<SocketAddr>>();
    info.map(|info| info.0.ip().to_canonical())
}

/// Whether a page of ours sent the browser here. Browsers say so themselves; those that do not, and connections
/// without TLS, name the origin of the page.
fn is_same_site(headers: &HeaderMap, external_url: Option<&str>) -> bool {
    if headers.contains_key("sec-fetch-site") {
        return only(headers, "sec-fetch-site") == Some("same-origin");
    }
    let Some(origin) = only(headers, header::ORIGIN.as_str()) else {
        return false;
    };
    let host_of = |url: &str| {
        let uri: Uri = url.parse().ok()?;
        uri.authority()
            .map(|authority| authority.as_str().to_lowercase())
    };
    let Some(origin) = host_of(origin) else {
        return false;
    };
    let host = only(headers, header::HOST.as_str()).map(str::to_lowercase);
    host == Some(origin.clone()) || external_url.and_then(host_of) == Some(origin)
}

/// A header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let only = values.next().filter(|_| values.next().is_none());
    only.and_then(|value| value.to_str().ok())
}

/// Reads what was sent, within bounds of size and time; the handler finds it whole.
async fn read_body(request: &mut Request) -> Result<(), Refusal> {
    let sent = std::mem::replace(request.body_mut(), Body::empty());
    let whole = body::read(request.headers(), sent, MAX_BODY).await;
    *request.body_mut() = Body::from(whole.map_err(Refusal::Body)?);
    Ok(())
}

/// `/deliveries` of `/deliveries/5/replay`.
fn first_folder(path: &str) -> &str {
    let second = path.match_indices('/').nth(1).map(|(at, _)| at);
    second.and_then(|at| path.get(..at)).unwrap_or(path)
}

fn wants_page(request: &Request) -> bool {
    let path = request.uri().path();
    let accept = request.headers().get(header::ACCEPT);
    let accepts = accept.and_then(|value| value.to_str().ok());
    !path.starts_with("/api/") && accepts.is_some_and(|accepts| accepts.contains("text/html"))
}

fn refuse(refusal: &Refusal, live: &Live, request: &Request) -> Response {
    let page = wants_page(request);
    let may_log_in = !live.access.is_empty();
    let asked = request.uri().path_and_query();
    let asked = asked.map_or("/", |asked| asked.as_str());
    let (status, title, advice) = match refusal {
        Refusal::Bounce => return render::bounce(session::ours(Some(asked))),
        Refusal::Unknown if page && may_log_in => {
            // What a form was sent to is no page; its folder is.
            let to = if is_read(request.method()) {
                asked
            } else {
                first_folder(asked)
            };
            return Redirect::to(&session::log_in_address(to)).into_response();
        }
        Refusal::Unknown => (
            StatusCode::UNAUTHORIZED,
            "This is for those who are known",
            if may_log_in {
                "Log in, or send a token that the file at server.access.tokens_file names."
            } else {
                "Come through the proxy that knows you."
            },
        ),
        Refusal::Nobody => (
            StatusCode::FORBIDDEN,
            "Nobody may act here yet",
            "Set server.access.tokens_file or server.access.proxy.from in the configuration.",
        ),
        Refusal::Foreign => (
            StatusCode::FORBIDDEN,
            "This did not come from a page of this daemon",
            "Open the page itself and try again. If a proxy stands before it, set external_url.",
        ),
        Refusal::Body(error) => {
            let status = match error {
                BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
                BodyError::Broken => StatusCode::BAD_REQUEST,
            };
            (
                status,
                "What was sent could not be read",
                "Send less, or faster.",
            )
        }
        Refusal::Store(error) => {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "Cannot check a session"
            );
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "The store cannot be read now",
                "Try again in a moment.",
            )
        }
    };
    let mut response = if page {
        render::told(status, title, advice)
    } else {
        Problem::new(status, title, advice).into_response()
    };
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer realm=\"prow-notifier\"");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect::<Vec<(header::HeaderName, HeaderValue)>>()
            .into_iter()
            .fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            })
    }

    #[test]
    fn only_pages_of_ours_may_send_a_browser_to_act() {
        let host = ("host", "board.example.org");
        for (given, ours) in [
            (vec![host], false),
            (vec![host, ("origin", "https://board.example.org")], true),
            (vec![host, ("origin", "https://Board.Example.org")], true),
            (vec![host, ("origin", "https://evil.example.org")], false),
            (vec![host, ("origin", "null")], false),
            (vec![host, ("sec-fetch-site", "same-origin")], true),
            (vec![host, ("sec-fetch-site", "same-site")], false),
            (vec![host, ("sec-fetch-site", "cross-site")], false),
            (vec![host, ("sec-fetch-site", "none")], false),
            // The browser's own word is believed before any other.
            (
                vec![
                    host,
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://board.example.org"),
                ],
                false,
            ),
            (
                vec![
                    host,
                    ("sec-fetch-site", "same-origin"),
                    ("sec-fetch-site", "same-origin"),
                ],
                false,
            ),
        ] {
            assert_eq!(is_same_site(&headers(&given), None), ours, "{given:?}");
        }
        let behind_a_proxy = headers(&[
            ("host", "10.0.0.7:8080"),
            ("origin", "https://board.example.org"),
        ]);
        let outside = Some("https://board.example.org/");
        assert!(is_same_site(&behind_a_proxy, outside));
        assert!(!is_same_site(&behind_a_proxy, None));
    }

    #[test]
    fn a_proxy_is_believed_only_from_its_address_and_only_once() {
        let settings = AccessSettings {
            reads: Reads::Proxy,
            tokens_file: None,
            proxy_header: "X-Forwarded-User".to_owned(),
            proxy_from: vec!["10.0.0.0/8".parse().unwrap()],
            metrics: false,
        };
        let ann = headers(&[("x-forwarded-user", "ann")]);
        let inside: IpAddr = "10.1.2.3".parse().unwrap();
        let outside: IpAddr = "192.0.2.1".parse().unwrap();
        let known = |from, headers: &HeaderMap| proxied(&settings, from, headers);
        assert_eq!(known(Some(inside), &ann), Some("ann".to_owned()));
        assert_eq!(known(Some(outside), &ann), None);
        assert_eq!(known(None, &ann), None);
        let twice = headers(&[("x-forwarded-user", "ann"), ("x-forwarded-user", "bob")]);
        assert_eq!(known(Some(inside), &twice), None);
        let empty = headers(&[("x-forwarded-user", " ")]);
        assert_eq!(known(Some(inside), &empty), None);
    }

    #[test]
    fn a_token_is_a_bearer_token() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Bearer ", None),
            ("Basic abc", None),
            ("abc", None),
        ] {
            assert_eq!(bearer(&headers(&[("authorization", value)])), token);
        }
    }
}
