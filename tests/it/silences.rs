//! Silences over the life of the daemon: one that was made before a restart holds after it, ends on time, and sums up
//! what it hid.

use axum::http::{Request, StatusCode, header};
use jiff::SignedDuration;
use prow_notifier::slack::preview_text;
use serde_json::{Value, json};

use crate::{
    access::surface::{Surface, TOKEN, Tokens},
    inside::{failed, passed},
};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

async fn ask_for_quiet(surface: &Surface, body: &Value) -> (StatusCode, Value) {
    let request = Request::post("/api/v1/silences")
        .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
        .header(header::CONTENT_TYPE, "application/json");
    let (status, _, text) = surface.ask(request, "192.0.2.7", &body.to_string()).await;
    (status, serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn a_silence_holds_after_a_restart_and_ends_on_time_with_its_summary() {
    let tokens = Tokens::new();
    let mut surface = Surface::new(&tokens, "reads: open").await;
    let asked = json!({ "matchers": ["service=\"s3\""], "reason": "a move", "lasts_s": 3600 });
    let (status, made) = ask_for_quiet(&surface, &asked).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let ends = surface.inside.now() + SignedDuration::from_hours(1);
    assert_eq!(made["ends_at"], json!(ends));
    let now = surface.inside.now();
    surface.inside.accept(&[failed("s3", "publish", now)]).await;
    surface.inside.pass(MINUTE * 10).await;
    surface.restart().await;
    let (_, first) = surface.api("GET", "/now").await;
    let by = json!(["silence 1 of ann (a move)"]);
    assert_eq!(first["open"][0]["held_back_by"], by, "{first}");
    let now = surface.inside.now();
    surface.inside.accept(&[passed("s3", "publish", now)]).await;
    surface.inside.until(ends - MINUTE).await;
    assert_eq!(surface.inside.messages("team").len(), 0);
    let (_, listed) = surface.api("GET", "/silences").await;
    assert_eq!(listed["silences"][0]["hides"], 1, "{listed}");
    surface.restart().await;
    surface.inside.until(ends + MINUTE).await;
    let told = surface.inside.messages("team");
    assert_eq!(told.len(), 1);
    let text = preview_text(&told[0].payload);
    assert!(text.contains("silence 1 of ann (a move)"), "{text}");
    let late = told[0].at.duration_since(ends);
    assert!(!late.is_negative() && late < MINUTE, "{late}");
    let (_, listed) = surface.api("GET", "/silences").await;
    assert_eq!(listed["silences"][0]["standing"], "expired", "{listed}");
}

#[tokio::test]
async fn the_end_of_a_silence_is_said_once() {
    let tokens = Tokens::new();
    let surface = Surface::new(&tokens, "reads: open").await;
    let ends_at = surface.inside.now() + SignedDuration::from_hours(1);
    for (body, is_made) in [
        (json!({ "ends_at": ends_at }), true),
        (json!({ "lasts_s": 60 }), true),
        (json!({ "ends_at": ends_at, "lasts_s": 60 }), false),
        (json!({}), false),
        (json!({ "lasts_s": u64::MAX }), false),
        (json!({ "lasts_s": 0 }), false),
    ] {
        let mut asked = json!({ "matchers": ["service=\"s3\""], "reason": "a move" });
        let fields = asked.as_object_mut().unwrap();
        fields.extend(body.as_object().unwrap().clone());
        let (status, told) = ask_for_quiet(&surface, &asked).await;
        assert_eq!(status == StatusCode::CREATED, is_made, "{asked}: {told}");
        assert!(is_made || status == StatusCode::BAD_REQUEST, "{told}");
    }
}

#[tokio::test]
async fn services_are_filtered_by_state_and_name_as_the_counters_say() {
    let tokens = Tokens::new();
    let mut surface = Surface::new(&tokens, "reads: open").await;
    let now = surface.inside.now();
    let runs = [
        failed("s3", "publish", now),
        failed("sqs", "publish", now),
        passed("lambda", "publish", now),
    ];
    surface.inside.accept(&runs).await;
    surface.inside.pass(MINUTE).await;
    let rows = async |query: &str| {
        let request = Request::get(format!("/services?format=json&{query}"));
        let (status, _, text) = surface.ask(request, "192.0.2.7", "").await;
        assert_eq!(status, StatusCode::OK, "{text}");
        let table: Value = serde_json::from_str(&text).unwrap();
        let rows = table["rows"].as_array().unwrap().iter();
        let mut names: Vec<String> = rows
            .map(|row| row["service"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(rows("state=blocked").await, ["s3", "sqs"]);
    assert_eq!(rows("state=blocked&q=SQ").await, ["sqs"]);
    assert_eq!(rows("state=stalled").await, Vec::<String>::new());
    assert_eq!(rows("state=&q=").await, ["lambda", "s3", "sqs"]);
    let (_, counted) = surface.api("GET", "/now").await;
    for counter in counted["counters"].as_array().unwrap() {
        let state = counter["state"].as_str().unwrap();
        let there = rows(&format!("state={state}")).await.len();
        assert_eq!(counter["services"], there, "{state}");
    }
    let page = async |query: &str| {
        let request = Request::get(format!("/services?{query}")).header("accept", "text/html");
        let (status, _, html) = surface.ask(request, "192.0.2.7", "").await;
        (status, html)
    };
    let (_, none) = page("state=stalled&q=%3Cb%3E").await;
    assert!(
        none.contains("No service with “&lt;b&gt;” in its name"),
        "{none}"
    );
    assert_eq!(page("state=purple").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_page_says_who_looks_at_it() {
    let tokens = Tokens::new();
    let surface = Surface::new(&tokens, "reads: open").await;
    let cookie = surface.log_in(TOKEN).await.unwrap();
    let page = || Request::get("/services?state=blocked").header("accept", "text/html");
    let (_, _, nobody) = surface.ask(page(), "192.0.2.7", "").await;
    assert!(
        nobody.contains("href=\"/login?next=%2Fservices%3Fstate%3Dblocked\">Log in</a>"),
        "{nobody}"
    );
    let known = page().header(header::COOKIE, cookie);
    let (_, _, ann) = surface.ask(known, "192.0.2.7", "").await;
    assert!(ann.contains("<a href=\"/login\">ann</a>"), "{ann}");
    let proxied = page().header("x-forwarded-user", "<i>joe");
    let (_, _, joe) = surface.ask(proxied, "10.1.2.3", "").await;
    assert!(
        joe.contains("&lt;i&gt;joe") && !joe.contains("<i>joe"),
        "{joe}"
    );
    let surface = Surface::without_tokens().await;
    let (_, _, open) = surface.ask(page(), "192.0.2.7", "").await;
    assert!(!open.contains("/login"), "{open}");
}
