//! Templates to answers. Outside text is escaped by the engine; a missing value is an error and not a blank.

use std::{borrow::Cow, sync::LazyLock};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse as _, Response},
};
use jiff::{Timestamp, tz::TimeZone};
use minijinja::{
    AutoEscape, Environment, UndefinedBehavior, Value, context, syntax::SyntaxConfig, value::Serde,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tracing::error;

use super::{assets, charts, visit::Visit};
use crate::{board::glyph::State, store::StoreError};

/// Nothing but our own files; no inline script or style, no frame, no form to elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(environment);

macro_rules! templates {
    ($environment:ident: $($name:literal),+ $(,)?) => {
        $($environment
            .add_template($name, include_str!(concat!("templates/", $name)))
            .expect("a test renders every template");)+
    };
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build();
    environment.set_syntax(syntax.expect("the markers are the usual ones"));
    templates!(environment: "layout.html", "parts.html", "now.html", "services.html", "error.html");
    templates!(environment: "figures.html", "trends.html", "job.html", "run.html", "signature.html");
    templates!(environment: "picture.html", "service.html", "release.html", "fanout.html", "wall.html");
    templates!(environment: "login.html", "bounce.html", "deliveries.html", "config.html", "silences.html");
    charts::register(&mut environment);
    environment.add_filter("ago", ago);
    environment.add_filter("utc", utc);
    environment.add_filter("date", date);
    environment.add_filter("ms_utc", ms_utc);
    environment.add_filter("duration", duration);
    environment.add_filter("glyph", glyph);
    environment.add_filter("path", path);
    environment.add_filter("percent", percent);
    environment.add_function("asset", assets::address);
    environment
}

/// A page of a template, or that it cannot be shown.
pub(super) fn render_or_log(template: &str, data: &impl Serialize) -> Response {
    match render(template, data) {
        Ok(html) => guard(Html(html).into_response()),
        Err(error) => unrenderable(template, &error),
    }
}

fn unrenderable(template: &str, error: &minijinja::Error) -> Response {
    error!(
        template,
        error = error as &dyn std::error::Error,
        "Cannot render a page"
    );
    let told = "This page cannot be shown. The daemon's log says why; please report it.\n";
    (StatusCode::INTERNAL_SERVER_ERROR, told).into_response()
}

/// A page of a template, with what lets a browser ask whether it changed.
pub(super) fn page(template: &str, data: &impl Serialize, visit: &Visit) -> Response {
    let shown = context! { visit => Value::from(Serde(&visit.shown)), ..Value::from(Serde(data)) };
    let rendered = TEMPLATES.get_template(template);
    let html = match rendered.and_then(|template| template.render(shown)) {
        Ok(html) => html,
        Err(error) => return unrenderable(template, &error),
    };
    let digest = Sha256::digest(html.as_bytes());
    let tag = format!("\"{}\"", hex::encode(digest.split_at(12).0));
    let known = visit.known.as_ref();
    if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let mut response = Html(html).into_response();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    guard(response)
}

/// A page that says what cannot be shown now.
pub(in crate::web) fn failed(error: &StoreError) -> Response {
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "Cannot read what a page shows"
    );
    let title = "The store cannot be read now";
    let mut response = problem(
        title,
        "Notifications are not affected. Try again in a moment.",
    );
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

/// A page for what is not known (any more).
pub(super) fn not_found(what: &str) -> Response {
    let mut response = problem(what, "It was never seen, or it was deleted with age.");
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// A page that says why something cannot be had or done.
pub(in crate::web) fn told(status: StatusCode, title: &str, advice: &str) -> Response {
    let mut response = problem(title, advice);
    *response.status_mut() = status;
    response
}

/// A page that at once leads to this address of ours. Then the browser comes from here, and brings its cookie.
pub(in crate::web) fn bounce(to: &str) -> Response {
    filled("bounce.html", context! { to }, StatusCode::OK)
}

/// The form to log in with, with what went wrong before.
pub(in crate::web) fn log_in(
    status: StatusCode,
    next: &str,
    may: bool,
    problem: Option<&str>,
) -> Response {
    filled("login.html", context! { next, may, problem }, status)
}

fn filled(template: &str, context: Value, status: StatusCode) -> Response {
    let rendered = TEMPLATES
        .get_template(template)
        .and_then(|template| template.render(context));
    match rendered {
        Ok(html) => (status, guard(Html(html).into_response())).into_response(),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            error!(template, error, "Cannot render a page");
            status.into_response()
        }
    }
}

fn problem(title: &str, advice: &str) -> Response {
    let rendered = TEMPLATES
        .get_template("error.html")
        .and_then(|template| template.render(context! { title, advice }));
    match rendered {
        Ok(html) => guard(Html(html).into_response()),
        Err(_) => format!("{title}. {advice}\n").into_response(),
    }
}

fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-cache"),
    );
    response
}

/// Fills a template.
pub(super) fn render(template: &str, data: &impl Serialize) -> Result<String, minijinja::Error> {
    TEMPLATES.get_template(template)?.render(Serde(data))
}

/// Seconds as people say them: `3 d 4 h`.
fn duration(seconds: i64) -> String {
    crate::domain::time::words(seconds)
}

/// How long before another moment.
fn ago(at: &str, now: &str) -> Result<String, minijinja::Error> {
    let (at, now) = (moment(at)?, moment(now)?);
    Ok(duration(now.duration_since(at).as_secs().max(0)))
}

/// A moment to the minute, in UTC.
fn utc(at: &str) -> Result<String, minijinja::Error> {
    Ok(moment(at)?
        .to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%d %H:%M UTC")
        .to_string())
}

/// A day, in UTC.
fn date(at: &str) -> Result<String, minijinja::Error> {
    let at = moment(at)?.to_zoned(TimeZone::UTC);
    Ok(at.strftime("%-d %b %Y").to_string())
}

fn ms_utc(at: i64) -> Result<String, minijinja::Error> {
    let at = Timestamp::from_millisecond(at).map_err(invalid)?;
    utc(&at.to_string())
}

fn moment(text: &str) -> Result<Timestamp, minijinja::Error> {
    text.parse().map_err(invalid)
}

fn invalid(error: jiff::Error) -> minijinja::Error {
    minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, "not a time").with_source(error)
}

/// Icon, letter and word of a state.
fn glyph(state: &str) -> Value {
    let state = State::parse(state).unwrap_or(State::Unknown);
    Value::from(Serde(state.glyph()))
}

/// One part of a path, encoded.
#[expect(
    clippy::needless_pass_by_value,
    reason = "filters are given their values"
)]
pub(in crate::web) fn path(part: Cow<'_, str>) -> String {
    let mut encoded = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&hex::encode_upper([byte]));
        }
    }
    encoded
}

/// A share in whole percent; nothing of nothing.
fn percent(count: u64, all: u64) -> String {
    match all {
        0 => String::new(),
        all => format!("{} %", (count * 100 + all / 2) / all),
    }
}

#[cfg(test)]
mod tests;
