//! The routes of the daemon without a network: a router over the parts of [`Inside`].

use std::{fs, net::SocketAddr, path::PathBuf};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderMap, Request, StatusCode, header, request::Builder},
};
use http_body_util::BodyExt as _;
use jiff::SignedDuration;
use prow_notifier::{pipeline::reload::Reload, web::Web};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::inside::{EACH_JOB_A_STAGE, Inside};

/// A token of somebody who is called ann.
pub(crate) const TOKEN: &str = "a-token-for-the-tests-of-ann";

/// A file of tokens.
pub(crate) struct Tokens {
    home: TempDir,
}

impl Tokens {
    /// With [`TOKEN`] in it.
    pub(crate) fn new() -> Self {
        let tokens = Self {
            home: tempfile::tempdir().unwrap(),
        };
        tokens.replace(&format!("ann: {TOKEN}"));
        tokens
    }

    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        self.home.path().join("tokens")
    }

    /// Writes other tokens.
    pub(crate) fn replace(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }
}

/// The routes, and the parts behind them.
pub(crate) struct Surface {
    pub(crate) inside: Inside,
    router: Router,
}

impl Surface {
    /// With this under `server.access`; the proxy at 10.0.0.0/8 is trusted.
    pub(crate) async fn new(tokens: &Tokens, access: &str) -> Self {
        let tokens = tokens.path().display().to_string();
        Self::with(&format!(
            "{EACH_JOB_A_STAGE}routes: [ {{ receiver: team }} ]\n\
             server: {{ access: {{ {access}, tokens_file: \"{tokens}\", proxy: {{ from: [10.0.0.0/8] }} }} }}\n"
        ))
        .await
    }

    /// Nobody has a token.
    pub(crate) async fn without_tokens() -> Self {
        Self::with(EACH_JOB_A_STAGE).await
    }

    /// With these rules and settings.
    pub(crate) async fn with(config: &str) -> Self {
        let inside = Inside::new(config).await;
        let router = router(&inside);
        Self { inside, router }
    }

    /// As after a restart of the daemon.
    pub(crate) async fn restart(&mut self) {
        self.inside.restart().await;
        self.router = router(&self.inside);
    }

    /// Looks at the files again.
    pub(crate) fn reload(&mut self) {
        assert_eq!(self.inside.reload(), Reload::Swapped);
    }

    pub(crate) fn advance_hours(&self, hours: i64) {
        let time = SignedDuration::from_hours(hours);
        self.inside.clock.advance(time.try_into().unwrap());
    }

    /// The paths of all routes, as the router itself knows them.
    pub(crate) fn paths(&self) -> Vec<String> {
        let shown = format!("{:?}", self.router);
        let mut paths: Vec<String> = shown
            .split('"')
            .filter(|part| part.starts_with('/') && !part.contains("__private"))
            .map(str::to_owned)
            .collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    /// Asks from an address.
    pub(crate) async fn ask(
        &self,
        request: Builder,
        from: &str,
        body: &str,
    ) -> (StatusCode, HeaderMap, String) {
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        let from: SocketAddr = format!("{from}:40000").parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(from));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let is_stream = parts
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind == "text/event-stream");
        let text = if is_stream {
            String::new()
        } else {
            let bytes = body.collect().await.unwrap().to_bytes();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        (parts.status, parts.headers, text)
    }

    pub(crate) async fn status(&self, request: Builder, from: &str, body: &str) -> StatusCode {
        self.ask(request, from, body).await.0
    }

    /// Asks the API as ann; the answer must be JSON.
    pub(crate) async fn api(&self, method: &str, path: &str) -> (StatusCode, serde_json::Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
        let (status, _, text) = self.ask(request, "192.0.2.7", "").await;
        (status, serde_json::from_str(&text).unwrap())
    }

    /// The cookie of a log-in, or why there is none.
    pub(crate) async fn log_in(&self, token: &str) -> Result<String, StatusCode> {
        let request = Request::post("/login")
            .header(header::HOST, "board.example.org")
            .header(header::ORIGIN, "https://board.example.org")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let form = format!("token={token}&next=%2F");
        let (status, headers, _) = self.ask(request, "192.0.2.1", &form).await;
        let Some(cookie) = headers.get(header::SET_COOKIE) else {
            return Err(status);
        };
        let cookie = cookie.to_str().unwrap();
        for flag in ["HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(flag), "{cookie}");
        }
        Ok(cookie.split(';').next().unwrap().to_owned())
    }

    /// Reads a page with a cookie.
    pub(crate) async fn read_with(&self, cookie: &str) -> StatusCode {
        let request = Request::get("/").header(header::COOKIE, cookie);
        self.status(request, "192.0.2.1", "").await
    }
}

fn router(inside: &Inside) -> Router {
    Web::new(inside.shared().clone(), CancellationToken::new()).router()
}
