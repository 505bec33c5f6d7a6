//! Each row of the table of answers, over the wire.

use serde_json::json;

use super::*;
use crate::standin::slack::{Act, Forced, Options, SlackStandIn};

async fn standin() -> SlackStandIn {
    let options = Options {
        pace: None,
        ..Options::default()
    };
    SlackStandIn::start(options).await.unwrap()
}

fn webhook(url: &str, allowed: &str) -> Result<Webhook, WebhookError> {
    let allowed = AllowedHosts::parse(&[allowed.to_owned()]).unwrap();
    Webhook::new(SecretString::from(url), &allowed)
}

fn payload() -> Value {
    json!({"text": "x", "unfurl_links": false, "unfurl_media": false})
}

async fn answer_to(standin: &SlackStandIn, forced: Forced) -> Answer {
    standin.force("T0/B0/secret", forced);
    let webhook = webhook(&standin.url("T0/B0/secret"), &standin.host()).unwrap();
    webhook.post(&Http::new().unwrap(), &payload()).await
}

fn retry(reason: &str, maybe_delivered: bool) -> Answer {
    Answer::Retry {
        reason: reason.to_owned(),
        maybe_delivered,
    }
}

fn paused(milliseconds: u64) -> Answer {
    Answer::RateLimited {
        retry_after: Duration::from_millis(milliseconds),
    }
}

#[tokio::test]
async fn every_answer_is_sorted_by_the_table() {
    let standin = standin().await;
    let suspicious = |reason: &str| Answer::Suspicious {
        reason: reason.to_owned(),
    };
    let bad = |reason: &str| Answer::BadPayload {
        reason: reason.to_owned(),
    };
    let dead = |reason: &str| Answer::Dead {
        reason: reason.to_owned(),
    };
    for (status, body, expected) in [
        (200, "ok", Answer::Sent),
        (200, "ok\n", Answer::Sent),
        (200, "", suspicious("status 200 without Slack's ok")),
        (
            200,
            "<html>Sign in</html>",
            suspicious("status 200 without Slack's ok"),
        ),
        (
            200,
            r#"{"ok":false}"#,
            suspicious("status 200 without Slack's ok"),
        ),
        (204, "", suspicious("status 204 without Slack's ok")),
        (400, "invalid_blocks", bad("invalid_blocks")),
        (400, "invalid_payload", bad("invalid_payload")),
        (400, "invalid_attachments", bad("invalid_attachments")),
        (400, "no_text", bad("no_text")),
        (400, "user_not_found", dead("user_not_found")),
        (
            400,
            "<html>Bad Request</html>",
            suspicious("status 400 that is not Slack's"),
        ),
        (403, "action_prohibited", dead("action_prohibited")),
        (403, "invalid_token", dead("invalid_token")),
        (
            403,
            "<html>Blocked</html>",
            suspicious("status 403 that is not Slack's"),
        ),
        (404, "no_service", dead("no_service")),
        (404, "no_team", dead("no_team")),
        (404, "channel_not_found", dead("channel_not_found")),
        (
            404,
            "<html>Not found</html>",
            suspicious("status 404 that is not Slack's"),
        ),
        (407, "", suspicious("status 407 that is not Slack's")),
        (408, "", retry("status 408", true)),
        (410, "channel_is_archived", dead("channel_is_archived")),
        (413, "", bad("status 413")),
        (500, "rollup_error", retry("rollup_error", false)),
        (502, "<html>Bad gateway</html>", retry("status 502", true)),
        (503, "", retry("status 503", false)),
        (504, "", retry("status 504", true)),
    ] {
        let answer = answer_to(&standin, Forced::answer(status, body)).await;
        assert_eq!(answer, expected, "{status} {body}");
    }
    standin.stop().await;
}

#[tokio::test]
async fn the_pause_is_read_from_header_and_body_within_bounds() {
    let standin = standin().await;
    for (header, body, expected) in [
        (Some("30"), "", paused(30_000)),
        (Some("1.5"), "", paused(1_500)),
        (Some("0"), "", paused(1_000)),
        (Some("-4"), "", paused(1_000)),
        (Some("86400"), "", paused(3_600_000)),
        (Some("inf"), "", paused(10_000)),
        (Some("NaN"), "", paused(10_000)),
        (Some("Wed, 21 Oct 2026 07:28:00 GMT"), "", paused(10_000)),
        (
            None,
            r#"{"retry_after":2.25,"ok":false,"error":"rate_limited"}"#,
            paused(2_250),
        ),
        (None, r#"{"retry_after":1e300}"#, paused(3_600_000)),
        (Some("2"), r#"{"retry_after":7}"#, paused(7_000)),
        (None, "rate_limited", paused(10_000)),
    ] {
        let forced = Forced::from(Act::Answer {
            status: 429,
            headers: header
                .map(|seconds| ("retry-after".to_owned(), seconds.to_owned()))
                .into_iter()
                .collect(),
            body: body.to_owned(),
        });
        let answer = answer_to(&standin, forced).await;
        assert_eq!(answer, expected, "{header:?} {body}");
    }
    standin.stop().await;
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let standin = standin().await;
    for status in [301, 302, 303, 307, 308] {
        let forced = Forced::from(Act::Answer {
            status,
            headers: vec![("location".to_owned(), standin.url("elsewhere"))],
            body: String::new(),
        });
        let answer = answer_to(&standin, forced).await;
        assert!(matches!(answer, Answer::Refused { .. }), "{answer:?}");
    }
    assert_eq!(standin.messages(), []);
    standin.stop().await;
}

#[tokio::test]
async fn an_answer_that_does_not_come_may_hide_a_delivery() {
    let standin = standin().await;
    let answer = answer_to(&standin, Forced::from(Act::Drop)).await;
    assert_eq!(answer, retry("connection broke before the answer", true));
    let url = standin.url("a");
    let webhook = webhook(&url, &standin.host()).unwrap();
    standin.stop().await;
    let answer = webhook.post(&Http::new().unwrap(), &payload()).await;
    let Answer::Retry {
        reason,
        maybe_delivered: false,
    } = answer
    else {
        panic!("{answer:?}");
    };
    assert!(
        reason.starts_with("cannot connect (Connection refused"),
        "{reason}"
    );
}

#[tokio::test]
async fn silence_is_a_timeout_that_may_hide_a_delivery() {
    let standin = standin().await;
    standin.force("a", Forced::from(Act::Hang));
    let webhook = webhook(&standin.url("a"), &standin.host()).unwrap();
    let (http, payload) = (Http::new().unwrap(), payload());
    let post = webhook.post(&http, &payload);
    tokio::pin!(post);
    // The connection is made in real time, the wait for the answer is not.
    while standin.answers().is_empty() {
        tokio::select! {
            answer = &mut post => panic!("{answer:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    tokio::time::pause();
    assert_eq!(post.await, retry("no answer in time", true));
    standin.stop().await;
}

#[tokio::test]
async fn a_long_answer_is_read_only_so_far() {
    let standin = standin().await;
    let answer = answer_to(&standin, Forced::answer(404, &"x".repeat(1 << 20))).await;
    let reason = "status 404 that is not Slack's".to_owned();
    assert_eq!(answer, Answer::Suspicious { reason });
    standin.stop().await;
}

#[test]
fn only_allowed_addresses_become_webhooks_and_no_error_shows_them() {
    let host = |host: &str| host.to_owned();
    let not_https = |name: &str| WebhookError::NotHttps { host: host(name) };
    let not_allowed = |name: &str| WebhookError::NotAllowed { host: host(name) };
    let inner = |name: &str| WebhookError::Inner { host: host(name) };
    for (url, expected) in [
        ("hooks.slack.com/secret", WebhookError::NotAnAddress),
        ("", WebhookError::NotAnAddress),
        ("data:secret", WebhookError::NotAnAddress),
        (
            "http://hooks.slack.com/secret",
            not_https("hooks.slack.com"),
        ),
        ("http://127.0.0.1:9000/secret", not_https("127.0.0.1:9000")),
        ("https://evil.org/secret", not_allowed("evil.org")),
        ("https://127.0.0.1/secret", inner("127.0.0.1")),
        (
            "https://[::ffff:a9fe:a9fe]/secret",
            inner("[::ffff:a9fe:a9fe]"),
        ),
        ("https://0x7f.1/secret", inner("127.0.0.1")),
        (
            "https://u:secret@hooks.slack.com/",
            WebhookError::User {
                host: host("hooks.slack.com"),
            },
        ),
    ] {
        let error = webhook(url, "hooks.slack.com").unwrap_err();
        assert_eq!(error, expected, "{url}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn a_webhook_never_shows_its_address() {
    let url = " https://hooks.slack.com/services/T0/B0/secret\n";
    let webhook = webhook(url, "hooks.slack.com").unwrap();
    assert_eq!(webhook.host(), "hooks.slack.com");
    let shown = format!("{webhook:?} {webhook:#?}");
    assert!(
        shown.contains("hooks.slack.com") && !shown.contains("secret"),
        "{shown}"
    );
}
