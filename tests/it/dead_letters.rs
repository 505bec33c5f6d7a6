//! Dead letters: listed on the page, in the API and on the command line, and sent again from each, once and by
//! somebody.

use std::time::Duration;

use axum::http::{Request, StatusCode, header};
use insta::assert_snapshot;
use jiff::SignedDuration;
use prow_notifier::{slack::preview_text, standin::slack::Forced};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{
    access::surface::{Surface, TOKEN, Tokens},
    inside::{EACH_JOB_A_STAGE, Inside, failed},
    program::program,
};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// Two messages that Slack refused for good.
async fn refused(tokens: &Tokens) -> Surface {
    let mut surface = Surface::new(tokens, "reads: open").await;
    for _ in 0..2 {
        let answer = Forced::answer(302, "moved");
        surface.inside.slack.force("team", answer);
    }
    let now = surface.inside.now();
    let jobs = [failed("s3", "publish", now), failed("sqs", "publish", now)];
    surface.inside.accept(&jobs).await;
    surface.inside.pass(MINUTE).await;
    let (_, dead) = surface.api("GET", "/dead-letters").await;
    assert_eq!(dead["items"].as_array().unwrap().len(), 2, "{dead}");
    surface
}

fn ids(list: &Value) -> Vec<i64> {
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_dead_letter_is_sent_again_once_and_it_is_noted_by_whom() {
    let tokens = Tokens::new();
    let mut surface = refused(&tokens).await;
    let (_, dead) = surface.api("GET", "/dead-letters").await;
    let id = ids(&dead)[0];
    let path = format!("/deliveries/{id}/replay");
    let (status, answer) = surface.api("POST", &path).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({ "replayed": 1 })));
    let (status, _) = surface.api("POST", &path).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    surface.inside.pass(MINUTE).await;
    assert_eq!(surface.inside.messages("team").len(), 1);
    let (_, sent) = surface.api("GET", &format!("/deliveries/{id}")).await;
    assert_eq!(sent["state"], "sent");
    assert_eq!(sent["attempts"].as_array().unwrap().len(), 2);
    let (_, actions) = surface.api("GET", "/actions").await;
    let actions = actions["items"].as_array().unwrap();
    assert_eq!(actions.len(), 1);
    assert_eq!(
        (&actions[0]["who"], &actions[0]["by"], &actions[0]["action"]),
        (&json!("ann"), &json!("token"), &json!("replay"))
    );
    assert_eq!(actions[0]["before"]["state"], "dead");
}

#[tokio::test]
async fn the_page_sends_all_of_a_receiver_again_for_who_is_logged_in() {
    let tokens = Tokens::new();
    let mut surface = refused(&tokens).await;
    let cookie = surface.log_in(TOKEN).await.unwrap();
    let page = Request::get("/deliveries").header("accept", "text/html");
    let (status, _, html) = surface.ask(page, "192.0.2.7", "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(html.contains("Send all 2 of team again"), "{html}");
    assert!(
        html.contains("redirect (status 302), not followed"),
        "{html}"
    );
    let form = || {
        Request::post("/deliveries/replay")
            .header(header::HOST, "board.example.org")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
    };
    let (status, _, _) = surface.ask(form(), "192.0.2.7", "receiver=team").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let here = form()
        .header(header::COOKIE, cookie)
        .header(header::ORIGIN, "https://board.example.org");
    let (status, headers, _) = surface.ask(here, "192.0.2.7", "receiver=team").await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(headers["location"], "/deliveries");
    surface.inside.pass(MINUTE).await;
    assert_eq!(surface.inside.messages("team").len(), 2);
    let (_, actions) = surface.api("GET", "/actions").await;
    assert_eq!(actions["items"][0]["by"], "session");
    assert_eq!(actions["items"][0]["subject"], "receiver team");
}

#[tokio::test]
async fn the_command_line_lists_and_sends_again_from_the_store() {
    let tokens = Tokens::new();
    let mut surface = refused(&tokens).await;
    let config = surface.inside.home().join("config");
    let run = |args: &[&str]| {
        program(&["deliveries"])
            .args(args)
            .config(&config)
            .env("USER", "bob")
    };
    let listed = run(&["list", "--dead"]).run().ok();
    assert_snapshot!(listed, @r"
    2  dead      2026-08-20T10:00:00Z  team  opened  id:8d3409a5  sqs v1.2.3 publish
                 refused: redirect (status 302), not followed
    1  dead      2026-08-20T10:00:00Z  team  opened  id:7f5afe2a  s3 v1.2.3 publish
                 refused: redirect (status 302), not followed
    ");
    let json = run(&["list", "--dead", "--receiver", "team", "--format", "json"])
        .run()
        .ok();
    assert_eq!(json.lines().count(), 2);
    let first: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    let id = first["id"].to_string();
    assert_eq!(
        run(&["replay", &id]).run().ok(),
        "1 message is sent again\n"
    );
    let again = run(&["replay", &id]).run();
    assert_eq!(again.code, 1);
    assert_eq!(
        again.stderr,
        "there is no such dead letter; see deliveries list --dead\n"
    );
    let rest = run(&["replay", "--all-of", "team", "--format", "json"])
        .run()
        .ok();
    assert_eq!(rest, "{\"replayed\":1}\n");
    // The command goes by the clock of the machine, to which the daemon's has yet to come.
    let machine: jiff::Timestamp = prow_notifier::clock::Clock::System.now();
    surface.inside.until(machine + MINUTE).await;
    assert_eq!(surface.inside.messages("team").len(), 2);
    let (_, actions) = surface.api("GET", "/actions").await;
    assert_eq!(
        (&actions["items"][0]["who"], &actions["items"][0]["by"]),
        (&json!("bob"), &json!("store"))
    );
}

#[tokio::test]
async fn a_table_comes_as_csv_and_json() {
    let tokens = Tokens::new();
    let surface = refused(&tokens).await;
    let csv = Request::get("/deliveries?state=dead&format=csv");
    let (status, headers, text) = surface.ask(csv, "192.0.2.7", "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/csv")
    );
    assert_eq!(text.lines().count(), 3, "{text}");
    let json = Request::get("/services?format=json");
    let (_, _, text) = surface.ask(json, "192.0.2.7", "").await;
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["rows"].as_array().unwrap().len(), 2);
    assert!(json["data"]["stale"].is_boolean());
}

#[tokio::test]
async fn the_page_of_the_configuration_says_what_is_in_force_and_no_secret() {
    let tokens = Tokens::new();
    let mut surface = Surface::new(&tokens, "reads: open").await;
    let secrets = ["CANARY-PASSWORD", "CANARY-WEBHOOK", TOKEN];
    let path = surface.inside.home().join("config/30-more.yaml");
    let good = "sources: { deck: { url: \"http://ann:CANARY-PASSWORD@prow.example.com\" } }\n";
    std::fs::write(&path, good).unwrap();
    surface.reload();
    let page = || Request::get("/config").header("accept", "text/html");
    let (_, _, html) = surface.ask(page(), "192.0.2.7", "").await;
    assert!(
        html.contains("http:&#x2f;&#x2f;***@prow.example.com"),
        "{html}"
    );
    assert!(html.contains("30-more.yaml:1:"), "{html}");
    assert!(
        html.contains("X-Forwarded-User") && html.contains("casual"),
        "{html}"
    );
    assert!(!html.contains("were refused"), "{html}");
    let bad = format!(
        "{good}receivers:\n  - name: more\n    slack: {{ webhook_url: \"https://hooks.slack.com/services/T0/B0/CANARY-WEBHOOK\" }}\n"
    );
    std::fs::write(&path, bad).unwrap();
    surface.inside.reload();
    let (_, _, refused) = surface.ask(page(), "192.0.2.7", "").await;
    assert!(refused.contains("were refused"), "{refused}");
    assert!(refused.contains("webhook_url"), "{refused}");
    let mut shown = vec![html, refused];
    for format in ["csv", "json"] {
        let request = Request::get(format!("/config?format={format}"));
        shown.push(surface.ask(request, "192.0.2.7", "").await.2);
    }
    let (_, document) = surface.api("GET", "/openapi.json").await;
    shown.push(document.to_string());
    for text in shown {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    std::fs::write(&path, good).unwrap();
    surface.inside.reload();
    let (_, _, html) = surface.ask(page(), "192.0.2.7", "").await;
    assert!(!html.contains("were refused"), "{html}");
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_given_up_and_holds_up_no_other_one() {
    let mut inside = Inside::paced(EACH_JOB_A_STAGE, None).await;
    for service in ["s3", "sqs"] {
        let now = inside.now();
        let job = failed(service, &format!("publish-{service}"), now);
        inside.accept(&[job]).await;
        inside.decide().await;
        inside.clock.advance(Duration::from_secs(60));
        inside.decide().await;
    }
    let store = Connection::open(inside.home().join("state.db")).unwrap();
    let broken = "UPDATE notifications SET body = '{\"id\": 7}' WHERE id = (SELECT min(id) FROM notifications)";
    assert_eq!(store.execute(broken, []).unwrap(), 1);
    inside.pass(SignedDuration::from_mins(1)).await;
    let told = inside.messages("platform");
    assert_eq!(told.len(), 1, "{told:#?}");
    let text = preview_text(&told[0].payload);
    assert!(text.contains("sqs"), "{text}");
    let metrics = inside.shared().metrics.text();
    assert!(metrics.contains("dead_letters_total 1"), "{metrics}");
    let receivers = inside.shared().store.receivers().await.unwrap();
    assert_eq!(receivers.iter().map(|row| row.dead).sum::<u64>(), 1);
}
