//! The stand-in is as strict as Slack, and does as it is told.

use super::*;
use crate::http::Http;

const MENTION: &str = "<!subteam^S0123>";

fn message(text: &str) -> Value {
    json!({"text": text, "unfurl_links": false, "unfurl_media": false})
}

async fn started(pace: Option<Pace>) -> (SlackStandIn, Clock) {
    let clock = Clock::manual("2026-05-19T20:35:00Z".parse().unwrap());
    let standin = SlackStandIn::start(Options {
        clock: clock.clone(),
        pace,
        allowed_mentions: vec![MENTION.to_owned()],
    })
    .await
    .unwrap();
    (standin, clock)
}

async fn post(standin: &SlackStandIn, hook: &str, payload: &Value) -> (u16, String) {
    let http = Http::new().unwrap();
    let request = http.loopback().post(standin.url(hook)).json(payload);
    let response = request.send().await.unwrap();
    let pause = response.headers().get("retry-after").cloned();
    let status = response.status().as_u16();
    let body = response.text().await.unwrap();
    match pause {
        Some(pause) => (status, pause.to_str().unwrap().to_owned()),
        None => (status, body),
    }
}

#[tokio::test]
async fn each_webhook_has_its_own_pace() {
    let pace = Pace {
        per_second: 0.4,
        burst: 2.0,
    };
    let (standin, clock) = started(Some(pace)).await;
    let ok = (200, "ok".to_owned());
    for _ in 0..2 {
        assert_eq!(post(&standin, "a", &message("x")).await, ok);
    }
    assert_eq!(
        post(&standin, "a", &message("x")).await,
        (429, "3".to_owned())
    );
    assert_eq!(post(&standin, "b", &message("x")).await, ok);
    clock.advance(Duration::from_millis(2_400));
    assert_eq!(
        post(&standin, "a", &message("x")).await,
        (429, "1".to_owned())
    );
    clock.advance(Duration::from_millis(100));
    assert_eq!(post(&standin, "a", &message("y")).await, ok);
    assert_eq!(standin.rate_limited(), 2);
    assert_eq!(standin.messages().len(), 4);
    assert_eq!(standin.messages()[3].payload["text"], "y");
    standin.stop().await;
}

#[tokio::test]
async fn what_slack_would_refuse_is_refused_and_remembered() {
    let (standin, _) = started(None).await;
    for (payload, answer) in [
        (message(MENTION), (200, "ok")),
        (message("<!channel>"), (400, "invalid_blocks")),
        (json!({}), (400, "no_text")),
        (json!({"text": "x"}), (400, "invalid_blocks")),
    ] {
        let (status, word) = post(&standin, "a", &payload).await;
        assert_eq!((status, word.as_str()), answer, "{payload}");
    }
    let http = Http::new().unwrap();
    let form = http.loopback().post(standin.url("a"));
    let form = form.body(message("x").to_string()).send().await.unwrap();
    assert_eq!(form.text().await.unwrap(), "invalid_payload");
    assert_eq!(standin.violations().len(), 4);
    assert_eq!(standin.messages().len(), 1);
    let get = http.loopback().get(standin.url("a")).send().await.unwrap();
    assert_eq!(get.status(), 405);
    let elsewhere = format!("http://{}/x", standin.host());
    let lost = http.loopback().post(elsewhere).send().await.unwrap();
    assert_eq!(lost.text().await.unwrap(), "no_service");
    standin.stop().await;
}

#[tokio::test]
async fn it_does_as_told_and_then_as_slack_would() {
    let (standin, _) = started(None).await;
    standin.force("a", Forced::answer(404, "no_service"));
    standin.force(
        "a",
        Forced {
            accept: true,
            ..Forced::answer(500, "rollup_error")
        },
    );
    let answer = async || post(&standin, "a", &message("x")).await.0;
    assert_eq!(answer().await, 404);
    assert_eq!(standin.messages().len(), 0);
    assert_eq!(answer().await, 500);
    assert_eq!(standin.wait_for(1).await.len(), 1);
    assert_eq!(answer().await, 200);
    standin.set_down(true);
    assert_eq!(answer().await, 500);
    standin.set_down(false);
    assert_eq!(answer().await, 200);
    let statuses: Vec<_> = standin.answers().iter().map(|given| given.status).collect();
    assert_eq!(statuses, [404, 500, 200, 500, 200].map(Some));
    standin.stop().await;
}

#[tokio::test]
async fn waiting_ends_with_the_message_that_was_waited_for() {
    let (standin, _) = started(None).await;
    let payload = message("x");
    let (messages, _) = tokio::join!(standin.wait_for(1), post(&standin, "a", &payload));
    assert_eq!(messages.len(), 1);
    standin.stop().await;
}

#[tokio::test]
async fn stopping_does_not_wait_for_what_hangs() {
    let (standin, _) = started(None).await;
    standin.force(
        "a",
        Forced {
            accept: true,
            ..Forced::from(Act::Hang)
        },
    );
    let request = Http::new().unwrap().loopback().post(standin.url("a"));
    let request = request.json(&message("x")).send();
    let stop = async {
        standin.wait_for(1).await;
        standin.stop().await;
    };
    let (answer, ()) = tokio::join!(request, stop);
    assert!(answer.is_err());
}
