//! Who may do what: each route for each kind of caller. A route that is not in the table fails the test, and so does
//! a method that is not.

pub(crate) mod surface;

use std::collections::BTreeMap;

use axum::http::{Method, Request, StatusCode, header};
use surface::{Surface, TOKEN, Tokens};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Everybody.
    Open,
    /// Who may read.
    Read,
    /// As [`Self::Read`] if the configuration says so, else everybody.
    Metrics,
    /// Who is known, sent by a page of ours.
    Act,
    /// Everybody sent by a page of ours: what is sent says who it is.
    LogIn,
    /// Who signs.
    Signed,
}

/// Every route there is.
const TABLE: &[(&str, &str, Rule)] = &[
    ("GET", "/", Rule::Read),
    ("GET", "/services", Rule::Read),
    ("GET", "/s/{service}", Rule::Read),
    ("GET", "/s/{service}/{version}", Rule::Read),
    ("GET", "/g/{pipeline}/{asked}", Rule::Read),
    ("GET", "/j/{job}", Rule::Read),
    ("GET", "/r/{run}", Rule::Read),
    ("GET", "/e/{signature}", Rule::Read),
    ("GET", "/trends", Rule::Read),
    ("GET", "/wall", Rule::Read),
    ("GET", "/silences", Rule::Read),
    ("POST", "/silences", Rule::Act),
    ("POST", "/silences/{id}/expire", Rule::Act),
    ("GET", "/deliveries", Rule::Read),
    ("POST", "/deliveries/replay", Rule::Act),
    ("POST", "/deliveries/{id}/replay", Rule::Act),
    ("GET", "/config", Rule::Read),
    ("GET", "/events", Rule::Read),
    ("GET", "/runs/{run}", Rule::Read),
    ("GET", "/assets/{version}/{name}", Rule::Open),
    ("GET", "/login", Rule::Open),
    ("POST", "/login", Rule::LogIn),
    ("POST", "/logout", Rule::Open),
    ("GET", "/healthz", Rule::Open),
    ("GET", "/readyz", Rule::Metrics),
    ("GET", "/metrics", Rule::Metrics),
    ("POST", "/hooks/prowjob", Rule::Signed),
    ("POST", "/hooks/github", Rule::Signed),
    ("POST", "/hooks/stage", Rule::Signed),
    ("POST", "/hooks/pubsub", Rule::Signed),
    ("GET", "/api/v1/openapi.json", Rule::Read),
    ("GET", "/api/v1/now", Rule::Read),
    ("GET", "/api/v1/services", Rule::Read),
    ("GET", "/api/v1/services/{service}", Rule::Read),
    ("GET", "/api/v1/services/{service}/releases", Rule::Read),
    (
        "GET",
        "/api/v1/services/{service}/releases/{version}",
        Rule::Read,
    ),
    ("GET", "/api/v1/counts", Rule::Read),
    ("GET", "/api/v1/releases", Rule::Read),
    ("GET", "/api/v1/incidents", Rule::Read),
    ("GET", "/api/v1/runs", Rule::Read),
    ("GET", "/api/v1/runs/{run}", Rule::Read),
    ("GET", "/api/v1/decisions", Rule::Read),
    ("GET", "/api/v1/receivers", Rule::Read),
    ("GET", "/api/v1/deliveries", Rule::Read),
    ("GET", "/api/v1/deliveries/{id}", Rule::Read),
    ("GET", "/api/v1/dead-letters", Rule::Read),
    ("GET", "/api/v1/actions", Rule::Read),
    ("GET", "/api/v1/trends", Rule::Read),
    ("GET", "/api/v1/jobs/{job}", Rule::Read),
    ("GET", "/api/v1/signatures/{signature}", Rule::Read),
    ("GET", "/api/v1/pipelines/{pipeline}/{asked}", Rule::Read),
    ("GET", "/api/v1/silences", Rule::Read),
    ("POST", "/api/v1/silences", Rule::Act),
    ("POST", "/api/v1/silences/{id}/expire", Rule::Act),
    ("POST", "/api/v1/deliveries/{id}/replay", Rule::Act),
    ("POST", "/api/v1/receivers/{receiver}/replay", Rule::Act),
];

/// Answers every method, to say that there is nothing.
const NOTHING_THERE: [&str; 2] = ["/api", "/api/{*rest}"];

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Nobody,
    BadToken,
    Token,
    SessionHere,
    SessionElsewhere,
    Proxy,
    ProxyElsewhere,
    FalseProxy,
}

const CALLERS: [Caller; 8] = [
    Caller::Nobody,
    Caller::BadToken,
    Caller::Token,
    Caller::SessionHere,
    Caller::SessionElsewhere,
    Caller::Proxy,
    Caller::ProxyElsewhere,
    Caller::FalseProxy,
];

const TRUSTED: &str = "10.1.2.3";
const ELSEWHERE: &str = "192.0.2.7";

impl Caller {
    fn is_known(self) -> bool {
        !matches!(self, Self::Nobody | Self::BadToken | Self::FalseProxy)
    }

    /// Whether a page of others sent the browser.
    fn is_sent_by_others(self) -> bool {
        matches!(self, Self::SessionElsewhere | Self::ProxyElsewhere)
    }

    fn address(self) -> &'static str {
        match self {
            Self::Proxy | Self::ProxyElsewhere => TRUSTED,
            _ => ELSEWHERE,
        }
    }

    fn headers(self, cookie: &str) -> Vec<(&'static str, String)> {
        let header = |name, value: &str| (name, value.to_owned());
        let here = header("sec-fetch-site", "same-origin");
        let others = header("sec-fetch-site", "cross-site");
        match self {
            Self::Nobody => vec![],
            Self::BadToken => vec![header("authorization", "Bearer not-a-token-of-ours")],
            Self::Token => vec![header("authorization", &format!("Bearer {TOKEN}"))],
            Self::SessionHere => vec![header("cookie", cookie), here],
            Self::SessionElsewhere => vec![header("cookie", cookie), others],
            Self::Proxy | Self::FalseProxy => vec![header("x-forwarded-user", "ann"), here],
            Self::ProxyElsewhere => vec![header("x-forwarded-user", "ann"), others],
        }
    }
}

/// What the table says of a caller.
fn expected(rule: Rule, caller: Caller, reads: &str, metrics: bool) -> Option<StatusCode> {
    let may_read = reads == "open" || caller.is_known();
    let refused = Some(StatusCode::UNAUTHORIZED);
    let logs_in = [Caller::SessionHere, Caller::Proxy, Caller::FalseProxy];
    match rule {
        Rule::Metrics if !metrics || may_read => None,
        Rule::Read if may_read => None,
        Rule::Read | Rule::Metrics | Rule::Signed => refused,
        Rule::Act if !caller.is_known() => refused,
        Rule::Act if caller.is_sent_by_others() => Some(StatusCode::FORBIDDEN),
        // The form is empty, so who gets that far is told so.
        Rule::LogIn if !logs_in.contains(&caller) => Some(StatusCode::FORBIDDEN),
        Rule::Open | Rule::Act | Rule::LogIn => None,
    }
}

fn concrete(path: &str) -> String {
    path.replace("{id}", "7")
        .replace("{version}/{name}", "x/board.css")
        .replace("{service}", "s3")
        .replace("{version}", "1.2.3")
        .replace("{receiver}", "team")
        .replace("{run}", "some-run")
        .replace("{job}", "some-job")
        .replace("{signature}", "v2:0")
        .replace("{pipeline}/{asked}", "controller-release/7d")
}

async fn check(reads: &str, metrics: bool) {
    let tokens = Tokens::new();
    let access = format!("reads: {reads}, metrics: {metrics}");
    let surface = Surface::new(&tokens, &access).await;
    let cookie = surface.log_in(TOKEN).await.unwrap();
    let mut wrong = Vec::new();
    for (method, path, rule) in TABLE {
        for caller in CALLERS {
            let mut request = Request::builder()
                .method(*method)
                .uri(concrete(path))
                .header(header::HOST, "board.example.org");
            for (name, value) in caller.headers(&cookie) {
                request = request.header(name, value);
            }
            let status = surface.status(request, caller.address(), "").await;
            let refusals = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
            let fits = match expected(*rule, caller, reads, metrics) {
                Some(refusal) => status == refusal,
                None => !refusals.contains(&status) && status != StatusCode::METHOD_NOT_ALLOWED,
            };
            if !fits {
                wrong.push(format!("{caller:?}: {method} {path} ({rule:?}): {status}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "reads: {reads}");
}

#[tokio::test]
async fn everybody_may_read_where_reads_are_open() {
    check("open", false).await;
    check("open", true).await;
}

#[tokio::test]
async fn only_who_is_known_may_read_where_reads_need_a_token() {
    check("token", false).await;
    check("token", true).await;
}

#[tokio::test]
async fn only_who_is_known_may_read_where_a_proxy_stands_before() {
    check("proxy", true).await;
}

#[tokio::test]
async fn every_route_and_method_is_in_the_table() {
    let tokens = Tokens::new();
    let surface = Surface::new(&tokens, "reads: open").await;
    let mut listed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (method, path, _) in TABLE {
        listed.entry(path).or_default().push(method);
    }
    let mut known = listed
        .keys()
        .copied()
        .chain(NOTHING_THERE)
        .collect::<Vec<_>>();
    known.sort_unstable();
    assert_eq!(surface.paths(), known);
    for (path, methods) in listed {
        for method in [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ] {
            if methods.contains(&method.as_str()) {
                continue;
            }
            let request = Request::builder()
                .method(&method)
                .uri(concrete(path))
                .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
            let status = surface.status(request, ELSEWHERE, "").await;
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn without_tokens_or_proxies_nobody_may_act() {
    let surface = Surface::without_tokens().await;
    for path in ["/deliveries/7/replay", "/api/v1/deliveries/7/replay"] {
        let request = Request::post(path).header("x-forwarded-user", "ann");
        let status = surface.status(request, TRUSTED, "").await;
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn a_log_in_ends_with_its_token_and_with_its_time() {
    let tokens = Tokens::new();
    let mut surface = Surface::new(&tokens, "reads: token").await;
    let cookie = surface.log_in(TOKEN).await.unwrap();
    assert_eq!(surface.read_with(&cookie).await, StatusCode::OK);
    let mut forged = cookie.clone();
    let last = forged.pop().unwrap();
    forged.push(if last == '0' { '1' } else { '0' });
    assert_eq!(surface.read_with(&forged).await, StatusCode::UNAUTHORIZED);
    surface.advance_hours(11);
    assert_eq!(surface.read_with(&cookie).await, StatusCode::OK);
    surface.advance_hours(2);
    assert_eq!(surface.read_with(&cookie).await, StatusCode::UNAUTHORIZED);
    let cookie = surface.log_in(TOKEN).await.unwrap();
    surface.restart().await;
    assert_eq!(surface.read_with(&cookie).await, StatusCode::OK);
    tokens.replace("ann: another-token-of-hers");
    surface.reload();
    assert_eq!(surface.read_with(&cookie).await, StatusCode::UNAUTHORIZED);
    assert!(surface.log_in(TOKEN).await.is_err());
    assert!(surface.log_in("another-token-of-hers").await.is_ok());
}

#[tokio::test]
async fn guessing_tokens_is_slow() {
    let tokens = Tokens::new();
    let surface = Surface::new(&tokens, "reads: token").await;
    let mut answers = Vec::new();
    for number in 0..8 {
        answers.push(
            surface
                .log_in(&format!("guess-number-{number}"))
                .await
                .unwrap_err(),
        );
    }
    assert_eq!(answers[0], StatusCode::UNAUTHORIZED);
    assert_eq!(answers[7], StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_browser_is_led_to_the_log_in_and_a_link_in_a_message_keeps_it() {
    let tokens = Tokens::new();
    let surface = Surface::new(&tokens, "reads: token").await;
    let page = || Request::get("/services?state=blocked").header("accept", "text/html");
    let (status, headers, _) = surface.ask(page(), ELSEWHERE, "").await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(
        headers["location"],
        "/login?next=%2Fservices%3Fstate%3Dblocked"
    );
    // A cookie for pages of ours alone does not come along, so the page leads to itself.
    let from_slack = page().header("sec-fetch-site", "cross-site");
    let (status, _, text) = surface.ask(from_slack, ELSEWHERE, "").await;
    assert_eq!(status, StatusCode::OK);
    let text = text.replace("&#x2f;", "/");
    let leads = "http-equiv=\"refresh\" content=\"0; url=/services?state=blocked\"";
    assert!(text.contains(leads), "{text}");
    let elsewhere = Request::get("//evil.example.org/")
        .header("accept", "text/html")
        .header("sec-fetch-site", "cross-site");
    let (_, _, text) = surface.ask(elsewhere, ELSEWHERE, "").await;
    assert!(!text.contains("evil"), "{text}");
}
