//! What becomes of each answer that Slack can give: the message lands at its receiver, at the fallback, or
//! among the dead letters, and the audit says why.

use std::time::Duration;

use prow_notifier::standin::slack::{Act, Forced, Message};
use serde_json::Value;

use crate::context::{Context, Metrics, Setup, failed, hooks, id, passed, run, text};

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Forced {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Forced::from(Act::Answer {
        status,
        headers: headers.collect(),
        body: body.to_owned(),
    })
}

/// What became of the messages to one receiver about a run: states, and outcomes with their words.
fn trail(ctx: &Context, run: &str, receiver: &str) -> Vec<(String, Vec<String>)> {
    let trail = ctx.explain(run).unwrap();
    let notifications = trail["notifications"].as_array().unwrap().iter();
    let deliveries = notifications.flat_map(|said| said["deliveries"].as_array().unwrap());
    let to_it = deliveries.filter(|delivery| delivery["receiver"] == receiver);
    let words = |attempt: &Value| {
        let word = |field: &str| attempt[field].as_str().unwrap().to_owned();
        format!("{}: {}", word("outcome"), word("detail"))
    };
    to_it
        .map(|delivery| {
            let attempts = delivery["attempts"].as_array().unwrap().iter().map(words);
            (
                delivery["state"].as_str().unwrap().to_owned(),
                attempts.collect(),
            )
        })
        .collect()
}

fn state(trail: &[(String, Vec<String>)]) -> &str {
    &trail[0].0
}

/// After these answers the message gets through all the same; gives the outcomes of its attempts.
async fn gets_through_after(answers: Vec<Forced>) -> Vec<String> {
    let mut outcomes = Vec::new();
    run(Setup::default(), async |ctx| {
        for forced in answers {
            ctx.slack.force("s3", forced);
        }
        let job = failed("s3", 1);
        ctx.webhook(&job).await;
        assert_eq!(hooks(&ctx.messages(2).await), ["platform", "s3"]);
        ctx.settle().await;
        // It is counted once it is stored.
        let counted = |metrics: &Metrics| metrics.sum("notifications_delivered_total") == 2;
        let metrics = ctx.until("both are counted", counted).await;
        assert_eq!(metrics.sum("dead_letters_total"), 0);
        let trail = trail(ctx, &job.name(), "by-service/s3");
        assert_eq!(state(&trail), "sent");
        outcomes.clone_from(&trail[0].1);
    })
    .await;
    outcomes
}

#[tokio::test]
async fn an_ok_is_a_delivery() {
    assert_eq!(gets_through_after(vec![]).await, ["sent: "]);
}

#[tokio::test]
async fn server_errors_are_tried_again() {
    let outcomes = gets_through_after(vec![
        Forced::answer(500, "rollup_error"),
        Forced::answer(503, "<html>upstream</html>"),
    ]);
    assert_eq!(
        outcomes.await,
        ["retry: rollup_error", "retry: status 503", "sent: "]
    );
}

#[tokio::test]
async fn a_broken_connection_is_tried_again_and_noted_as_maybe_delivered() {
    let outcomes = gets_through_after(vec![Act::Drop.into()]).await;
    assert_eq!(outcomes.len(), 2, "{outcomes:?}");
    assert!(outcomes[0].starts_with("retry:"), "{outcomes:?}");
    assert!(
        outcomes[0].contains("may have been delivered"),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn an_answer_that_never_comes_is_given_up_and_tried_again() {
    let outcomes = gets_through_after(vec![Act::Hang.into()]).await;
    assert_eq!(outcomes.len(), 2, "{outcomes:?}");
    let doubt = "retry: no answer in time; it may have been delivered all the same";
    assert_eq!(outcomes[0], doubt);
}

#[tokio::test]
async fn one_page_of_a_proxy_is_tried_again() {
    let outcomes = gets_through_after(vec![Forced::answer(200, "<html>Welcome</html>")]).await;
    assert_eq!(
        outcomes,
        ["suspicious: status 200 without Slack's ok", "sent: "]
    );
}

#[tokio::test]
async fn a_proxy_that_always_says_200_ends_in_a_dead_letter() {
    run(Setup::default(), async |ctx| {
        ctx.expect_error("as a dead letter");
        for _ in 0..3 {
            ctx.slack
                .force("s3", Forced::answer(200, "<html>Welcome</html>"));
        }
        let job = failed("s3", 1);
        ctx.webhook(&job).await;
        assert_eq!(hooks(&ctx.messages(1).await), ["platform"]);
        let metrics = ctx.settle().await;
        assert_eq!(metrics.sum("dead_letters_total"), 1);
        let suspicious = "notifications_failed_total{reason=\"suspicious\"}";
        assert_eq!(metrics.get(suspicious), 3);
        let trail = trail(ctx, &job.name(), "by-service/s3");
        assert_eq!((state(&trail), trail[0].1.len()), ("dead", 3));
    })
    .await;
}

#[tokio::test]
async fn retry_after_is_obeyed_to_the_second_and_does_not_count_as_an_attempt() {
    run(Setup::default(), async |ctx| {
        let body = r#"{"retry_after":2,"ok":false,"error":"rate_limited"}"#;
        ctx.slack
            .force("s3", answer(429, &[("retry-after", "2")], body));
        let (first, mut second) = (failed("s3", 2), failed("s3", 1));
        second.job = "s3-controller-release-tag".to_owned();
        ctx.webhook(&first).await;
        ctx.until("Slack says how long to wait", |metrics| {
            metrics.get("notifications_failed_total{reason=\"rate-limited\"}") == 1
        })
        .await;
        ctx.webhook(&second).await;
        let messages = ctx.messages(4).await;
        let at_s3: Vec<_> = messages
            .iter()
            .filter(|message| message.hook == "s3")
            .collect();
        assert!(text(at_s3[0]).contains("publish") && text(at_s3[1]).contains("release-tag"));
        let answers = ctx.slack.answers();
        let of_s3: Vec<_> = answers.iter().filter(|given| given.hook == "s3").collect();
        let statuses: Vec<_> = of_s3.iter().filter_map(|given| given.status).collect();
        assert_eq!(statuses, [429, 200, 200]);
        let pause = Duration::try_from(of_s3[1].at.duration_since(of_s3[0].at)).unwrap();
        assert!(
            pause >= Duration::from_secs(2) && pause < Duration::from_secs(8),
            "{pause:?}"
        );
        ctx.settle().await;
    })
    .await;
}

#[tokio::test]
async fn retry_after_is_obeyed_across_a_restart() {
    run(Setup::default(), async |ctx| {
        ctx.slack
            .force("s3", answer(429, &[("retry-after", "3")], ""));
        ctx.webhook(&failed("s3", 1)).await;
        ctx.until("Slack says how long to wait", |metrics| {
            metrics.get("notifications_failed_total{reason=\"rate-limited\"}") == 1
        })
        .await;
        ctx.stop().await;
        ctx.start().await;
        ctx.messages(2).await;
        let answers = ctx.slack.answers();
        let of_s3: Vec<_> = answers.iter().filter(|given| given.hook == "s3").collect();
        let pause = Duration::try_from(of_s3[1].at.duration_since(of_s3[0].at)).unwrap();
        assert!(
            pause >= Duration::from_secs(3) && pause < Duration::from_secs(9),
            "{pause:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_message_refused_for_its_form_is_sent_once_more_as_plain_text() {
    run(Setup::default(), async |ctx| {
        ctx.slack.force("s3", Forced::answer(400, "invalid_blocks"));
        let job = failed("s3", 1);
        ctx.webhook(&job).await;
        let messages = ctx.messages(2).await;
        assert_eq!(hooks(&messages), ["platform", "s3"]);
        let plain = &messages[1];
        assert!(
            messages[0].payload.get("blocks").is_some() && plain.payload.get("blocks").is_none()
        );
        let said = plain.payload["text"].as_str().unwrap();
        for part in ["s3", "publish", "v1.2.3", "id:"] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        let metrics = ctx.settle().await;
        assert_eq!(metrics.sum("fallback_layouts_total"), 1);
        let trail = trail(ctx, &job.name(), "by-service/s3");
        assert_eq!(trail[0].1, ["bad-payload: invalid_blocks", "sent: "]);
    })
    .await;
}

#[tokio::test]
async fn a_message_refused_twice_for_its_form_is_a_dead_letter() {
    run(Setup::default(), async |ctx| {
        ctx.expect_error("as a dead letter");
        for word in ["invalid_payload", "no_text"] {
            ctx.slack.force("s3", Forced::answer(400, word));
        }
        let job = failed("s3", 1);
        ctx.webhook(&job).await;
        assert_eq!(hooks(&ctx.messages(1).await), ["platform"]);
        let metrics = ctx.settle().await;
        assert_eq!(metrics.sum("dead_letters_total"), 1);
        let trail = trail(ctx, &job.name(), "by-service/s3");
        assert_eq!(
            trail[0].1,
            ["bad-payload: invalid_payload", "bad-payload: no_text"]
        );
        assert_eq!(state(&trail), "dead");
    })
    .await;
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_ends_in_a_dead_letter() {
    run(Setup::default(), async |ctx| {
        ctx.expect_error("as a dead letter");
        let elsewhere = ctx.slack.url("lambda");
        ctx.slack
            .force("s3", answer(307, &[("location", &elsewhere)], ""));
        let job = failed("s3", 1);
        ctx.webhook(&job).await;
        assert_eq!(hooks(&ctx.messages(1).await), ["platform"]);
        let metrics = ctx.settle().await;
        assert_eq!(metrics.sum("dead_letters_total"), 1);
        assert!(
            ctx.slack
                .answers()
                .iter()
                .all(|given| given.hook != "lambda")
        );
        let trail = trail(ctx, &job.name(), "by-service/s3");
        assert_eq!(trail[0].1, ["refused: redirect (status 307), not followed"]);
    })
    .await;
}

/// A webhook that answers so is gone: its messages go to the fallback with the reason, now and later.
async fn goes_to_the_fallback(status: u16, word: &'static str) {
    run(Setup::default(), async |ctx| {
        ctx.slack.force("s3", Forced::answer(status, word));
        let job = failed("s3", 30);
        ctx.webhook(&job).await;
        let messages = ctx.messages(2).await;
        assert_eq!(hooks(&messages), ["platform", "platform"]);
        let diverted = |message: &&Message| {
            let text = text(message);
            text.contains("by-service/s3") && text.contains(word)
        };
        assert_eq!(
            messages.iter().filter(diverted).count(),
            1,
            "{}",
            messages.iter().map(text).collect::<String>()
        );
        assert_ne!(id(&messages[0]), id(&messages[1]));
        let (status, detail) = ctx.readyz().await;
        assert_eq!(status, 200, "a dead receiver is no reason to restart");
        assert_eq!(detail["receivers"][0]["dead"], word, "{detail}");
        // The next message is not tried on the dead webhook.
        ctx.webhook(&passed("s3", 1)).await;
        let messages = ctx.messages(2).await;
        assert_eq!(hooks(&messages), ["platform", "platform"]);
        assert_eq!(messages.iter().filter(diverted).count(), 1);
        let metrics = ctx.settle().await;
        assert_eq!(
            ctx.slack
                .answers()
                .iter()
                .filter(|given| given.hook == "s3")
                .count(),
            1
        );
        assert_eq!(
            (
                metrics.sum("dead_receivers"),
                metrics.sum("dead_letters_total")
            ),
            (1, 0)
        );
        let trail = trail(ctx, &job.name(), "by-service/s3");
        let refused = vec![format!("dead: {word}")];
        assert_eq!(trail[0], ("diverted".to_owned(), refused));
    })
    .await;
}

#[tokio::test]
async fn a_removed_webhook_goes_to_the_fallback_with_the_reason() {
    goes_to_the_fallback(403, "action_prohibited").await;
    goes_to_the_fallback(403, "invalid_token").await;
}

#[tokio::test]
async fn a_lost_channel_goes_to_the_fallback_with_the_reason() {
    goes_to_the_fallback(404, "no_service").await;
    goes_to_the_fallback(404, "channel_not_found").await;
}

#[tokio::test]
async fn an_archived_channel_goes_to_the_fallback_with_the_reason() {
    goes_to_the_fallback(410, "channel_is_archived").await;
}

#[tokio::test]
async fn a_dead_fallback_leaves_dead_letters_and_no_loop() {
    run(Setup::default(), async |ctx| {
        ctx.expect_error("as a dead letter");
        ctx.slack.force("s3", Forced::answer(404, "no_team"));
        for _ in 0..2 {
            ctx.slack.force("platform", Forced::answer(404, "no_team"));
        }
        let job = failed("s3", 1);
        ctx.webhook(&job).await;
        let metrics = ctx.settle().await;
        assert_eq!(metrics.sum("dead_letters_total"), 2);
        assert_eq!(metrics.sum("notifications_delivered_total"), 0);
        let to_platform = trail(ctx, &job.name(), "platform");
        assert!(
            to_platform.iter().all(|(state, _)| state == "dead"),
            "{to_platform:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn messages_wait_out_an_outage_of_slack_in_order() {
    run(Setup::default(), async |ctx| {
        ctx.slack.set_down(true);
        ctx.webhook(&failed("s3", 30)).await;
        ctx.until("Slack has been asked a few times", |metrics| {
            metrics.get("notifications_failed_total{reason=\"failing\"}") >= 2
        })
        .await;
        ctx.webhook(&passed("s3", 1)).await;
        ctx.stop().await;
        ctx.start().await;
        ctx.slack.set_down(false);
        let messages = ctx.messages(4).await;
        assert_eq!(hooks(&messages), ["platform", "platform", "s3", "s3"]);
        for pair in messages.chunks(2) {
            assert!(
                text(&pair[0]).contains("publish failed"),
                "{}",
                text(&pair[0])
            );
            assert!(
                text(&pair[1]).contains("publish recovered"),
                "{}",
                text(&pair[1])
            );
        }
    })
    .await;
}
