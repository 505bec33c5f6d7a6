//! Log-ins of browsers: a token once, then a cookie that is signed with a key of this store. It ends with its time,
//! and with the token that it came from.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use axum::{
    Form,
    extract::{FromRequest as _, Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Redirect, Response},
};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sha2::Sha256;
use tokio::sync::OnceCell;
use tracing::{info, warn};

use super::{Refusal, address, is_same_site, owner, read_body, refuse};
use crate::{
    pipeline::live::Live,
    store::StoreError,
    web::{Web, pages::render},
};

const COOKIE: &str = "prow_notifier_session";
/// A working day and a little.
const LASTS: Duration = Duration::from_secs(12 * 3600);
/// Where the key stands in the store.
const KEY: &str = "session_key";
/// Log-ins that an address may try at once, and in how long it gets another one.
const TRIES: NonZeroU32 = NonZeroU32::new(5).expect("not zero");
const ANOTHER_IN: Duration = Duration::from_secs(10);
/// Above this many addresses those that have been quiet are forgotten.
const ADDRESSES: usize = 10_000;

/// What log-ins need.
#[derive(Debug)]
pub(in crate::web) struct Sessions {
    key: OnceCell<SecretString>,
    tries: DefaultKeyedRateLimiter<IpAddr>,
}

impl Default for Sessions {
    fn default() -> Self {
        let quota = Quota::with_period(ANOTHER_IN).expect("longer than nothing");
        Self {
            key: OnceCell::new(),
            tries: RateLimiter::keyed(quota.allow_burst(TRIES)),
        }
    }
}

impl Sessions {
    /// Who has logged in; `None` without a cookie that holds.
    pub(super) async fn person(
        &self,
        web: &Web,
        live: &Live,
        headers: &HeaderMap,
    ) -> Result<Option<String>, StoreError> {
        let Some(cookie) = cookie(headers) else {
            return Ok(None);
        };
        let key = self.key(web).await?;
        let now = web.shared.clock.now().as_second();
        Ok(read(cookie, live, key, now))
    }

    /// The key; made at the first log-in and kept, so that a restart logs nobody out.
    async fn key(&self, web: &Web) -> Result<&SecretString, StoreError> {
        self.key
            .get_or_try_init(|| async {
                let mut fresh = [0; 32];
                getrandom::fill(&mut fresh)
                    .expect("a system without random numbers has no TLS and got no further");
                let key = web.shared.store.init_meta(KEY, hex::encode(fresh)).await?;
                Ok(SecretString::from(key))
            })
            .await
    }

    fn may_try(&self, from: Option<IpAddr>) -> bool {
        if self.tries.len() > ADDRESSES {
            self.tries.retain_recent();
        }
        from.is_none_or(|from| self.tries.check_key(&from).is_ok())
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value)
}

/// The code over whose session it is, until when, and the token that opened it.
fn code(name: &str, ends: i64, token: &SecretString, key: &SecretString) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes());
    let mut mac = mac.expect("a key may have any length");
    for part in [name, &ends.to_string(), token.expose_secret()] {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    mac
}

/// Name, end and code, in characters that a cookie may have.
fn write(name: &str, ends: i64, token: &SecretString, key: &SecretString) -> String {
    let code = code(name, ends, token, key).finalize().into_bytes();
    format!("{}.{ends}.{}", hex::encode(name), hex::encode(code))
}

fn read(cookie: &str, live: &Live, key: &SecretString, now: i64) -> Option<String> {
    let mut parts = cookie.split('.');
    let (name, ends, given) = (parts.next()?, parts.next()?, parts.next()?);
    let name = String::from_utf8(hex::decode(name).ok()?).ok()?;
    let ends: i64 = ends.parse().ok()?;
    let given = hex::decode(given).ok()?;
    let token = live.access.get(&name)?;
    let holds = code(&name, ends, token, key).verify_slice(&given).is_ok();
    (holds && now < ends && parts.next().is_none()).then_some(name)
}

/// Where to log in, to come back here.
pub(super) fn log_in_address(asked: &str) -> String {
    format!("/login?next={}", render::path(asked.into()))
}

/// A place of ours to go on to; anything else is the first page.
pub(super) fn ours(next: Option<&str>) -> &str {
    next.filter(|next| {
        let rest = next.strip_prefix('/');
        let plain = !next.contains(|c: char| c.is_control() || c == '\\');
        plain && rest.is_some_and(|rest| !rest.starts_with('/'))
    })
    .unwrap_or("/")
}

/// Where somebody wanted to go.
#[derive(Debug, Deserialize)]
pub(in crate::web) struct Next {
    next: Option<String>,
}

/// What the form sends.
#[derive(Deserialize)]
struct LogIn {
    token: String,
    next: Option<String>,
}

/// `GET /login`: the form.
pub(in crate::web) async fn log_in_page(
    State(web): State<Arc<Web>>,
    Query(Next { next }): Query<Next>,
) -> Response {
    let may = !web.shared.live().access.is_empty();
    render::log_in(StatusCode::OK, ours(next.as_deref()), may, None)
}

/// `POST /login`: a token for a cookie.
pub(in crate::web) async fn log_in(State(web): State<Arc<Web>>, mut request: Request) -> Response {
    let live = web.shared.live();
    let settings = &live.snapshot.config.settings;
    if !is_same_site(request.headers(), settings.external_url.as_deref()) {
        return refuse(&Refusal::Foreign, &live, &request);
    }
    if !web.sessions.may_try(address(&request)) {
        let told = "Too many attempts from this address. Try again in a minute.";
        let mut response = render::log_in(StatusCode::TOO_MANY_REQUESTS, "/", true, Some(told));
        let wait = HeaderValue::from(ANOTHER_IN.as_secs());
        response.headers_mut().insert(header::RETRY_AFTER, wait);
        return response;
    }
    if let Err(refusal) = read_body(&mut request).await {
        return refuse(&refusal, &live, &request);
    }
    let Ok(Form(LogIn { token, next })) = Form::<LogIn>::from_request(request, &()).await else {
        let told = "The form came without a token.";
        return render::log_in(StatusCode::BAD_REQUEST, "/", true, Some(told));
    };
    let next = ours(next.as_deref());
    let Some(name) = owner(&live.access, token.trim()) else {
        warn!("Refused a log-in: no such token");
        let may = !live.access.is_empty();
        let told = "This token is not known. Has it been replaced?";
        return render::log_in(StatusCode::UNAUTHORIZED, next, may, Some(told));
    };
    match open(&web, &live, name).await {
        Ok(cookie) => {
            info!(person = name, "Logged {name} in");
            leave(next, &cookie)
        }
        Err(error) => render::failed(&error),
    }
}

/// `POST /logout`: forgets the cookie.
pub(in crate::web) async fn log_out(State(web): State<Arc<Web>>) -> Response {
    let secure = secure(&web.shared.live());
    let gone = format!("{COOKIE}=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict{secure}");
    leave("/", &gone)
}

async fn open(web: &Web, live: &Live, name: &str) -> Result<String, StoreError> {
    let lasts = LASTS.as_secs();
    let now = web.shared.clock.now().as_second();
    let ends = now.saturating_add_unsigned(lasts);
    let key = web.sessions.key(web).await?;
    let none = SecretString::default();
    let token = live.access.get(name).unwrap_or(&none);
    let (value, secure) = (write(name, ends, token, key), secure(live));
    Ok(format!(
        "{COOKIE}={value}; Max-Age={lasts}; Path=/; HttpOnly; SameSite=Strict{secure}"
    ))
}

/// Whether the cookie may only go over TLS: not where people come without.
fn secure(live: &Live) -> &'static str {
    let url = live.snapshot.config.settings.external_url.as_deref();
    if url.is_some_and(|url| url.starts_with("https://")) {
        "; Secure"
    } else {
        ""
    }
}

fn leave(to: &str, cookie: &str) -> Response {
    let mut response = Redirect::to(to).into_response();
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_log_in_one_stays_here() {
        for (next, to) in [
            (Some("/s/s3?state=blocked"), "/s/s3?state=blocked"),
            (None, "/"),
            (Some("https://evil.example.org/"), "/"),
            (Some("//evil.example.org/"), "/"),
            (Some("/\\evil.example.org/"), "/"),
            (Some("/\t/evil.example.org"), "/"),
            (Some(""), "/"),
        ] {
            assert_eq!(ours(next), to);
        }
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "a=b".parse().unwrap());
        headers.append(
            header::COOKIE,
            "x=y; prow_notifier_session=61.1.00; z".parse().unwrap(),
        );
        assert_eq!(cookie(&headers), Some("61.1.00"));
    }

    #[tokio::test]
    async fn the_form_renders_in_every_state() {
        use http_body_util::BodyExt as _;
        for (may, problem, says) in [
            (true, None, "type=\"password\""),
            (true, Some("<b>no</b>"), "&lt;b&gt;no"),
            (false, None, "There are no tokens"),
        ] {
            let page = render::log_in(StatusCode::OK, "/\"x", may, problem);
            assert_eq!(page.status(), StatusCode::OK);
            let bytes = page.into_body().collect().await.unwrap().to_bytes();
            let html = String::from_utf8_lossy(&bytes).into_owned();
            assert!(html.contains(says), "{html}");
            assert!(!html.contains("<b>") && !html.contains("/\"x"), "{html}");
        }
    }
}
