//! Runs that are read from deck's list: each is handled once however often it is listed, and what is not a
//! list is an error.

use prow_notifier::standin::prow::{Fault, Job};
use serde_json::json;

use crate::context::{Context, Metrics, Setup, failed, hooks, id, passed, run, text};

fn list(jobs: &[Job]) -> Vec<serde_json::Value> {
    jobs.iter().map(Job::to_json).collect()
}

/// Waits until deck's list has been taken in for the first time.
async fn first_list(ctx: &Context) -> Metrics {
    ctx.logged("Took in deck's first list").await;
    ctx.settle().await
}

#[tokio::test]
async fn old_failures_of_the_first_list_are_one_summary_per_receiver() {
    run(Setup::with_deck(), async |ctx| {
        // The daemon has begun with an empty list; it is to begin anew with a full one.
        first_list(ctx).await;
        ctx.stop().await;
        ctx.forget();
        let services = ["s3", "lambda", "sqs", "sns", "eks", "ec2", "rds", "kms"];
        let jobs: Vec<Job> = services
            .iter()
            .zip(60..)
            .map(|(service, ago)| failed(service, ago))
            .collect();
        ctx.deck.set_jobs(list(&jobs));
        ctx.start().await;
        let messages = ctx.messages(4).await;
        assert_eq!(hooks(&messages), ["lambda", "platform", "s3", "sqs"]);
        let platform = text(&messages[1]);
        assert!(
            platform.contains("Failing since before the first start: 8 jobs"),
            "{platform}"
        );
        for service in services {
            assert!(platform.contains(service), "{service} is not in {platform}");
        }
        assert!(!text(&messages[2]).contains("lambda"));
        let metrics = ctx.polled().await;
        assert_eq!(metrics.decided("digest"), 8);
        assert_eq!(metrics.sum("notifications_total"), 4);
    })
    .await;
}

#[tokio::test]
async fn a_new_failure_is_told_once_however_often_it_is_listed() {
    run(Setup::with_deck(), async |ctx| {
        ctx.deck.set_jobs(list(&[passed("s3", 60)]));
        first_list(ctx).await;
        ctx.deck.upsert(failed("s3", 0).to_json());
        let messages = ctx.messages(2).await;
        assert_eq!(hooks(&messages), ["platform", "s3"]);
        ctx.polled().await;
        let metrics = ctx.polled().await;
        assert_eq!(metrics.decided("notify"), 1);
        assert_eq!(metrics.sum("deck_list_items"), 2);
        ctx.deck.upsert(passed("s3", 0).to_json());
        let recovered = ctx.messages(2).await;
        assert!(text(&recovered[0]).contains("recovered"));
        ctx.polled().await;
    })
    .await;
}

#[tokio::test]
async fn a_compressed_list_is_read_like_a_plain_one() {
    run(Setup::with_deck(), async |ctx| {
        first_list(ctx).await;
        // Deck compresses lists of more than 1400 bytes for whoever can take it.
        let mut jobs: Vec<Job> = (1..200).map(|ago| passed("lambda", ago)).collect();
        jobs.push(failed("s3", 0));
        ctx.deck.set_jobs(list(&jobs));
        assert_eq!(hooks(&ctx.messages(2).await), ["platform", "s3"]);
        let metrics = ctx.polled().await;
        assert_eq!(
            (
                metrics.sum("deck_list_items"),
                metrics.sum("observations_total")
            ),
            (200, 200)
        );
    })
    .await;
}

#[tokio::test]
async fn webhook_and_deck_together_post_once() {
    run(Setup::with_deck(), async |ctx| {
        first_list(ctx).await;
        let [by_webhook_first, by_deck_first] = [failed("s3", 1), failed("lambda", 1)];
        ctx.webhook(&by_webhook_first).await;
        ctx.deck
            .set_jobs(list(&[by_webhook_first, by_deck_first.clone()]));
        let messages = ctx.messages(4).await;
        assert_eq!(hooks(&messages), ["lambda", "platform", "platform", "s3"]);
        ctx.webhook(&by_deck_first).await;
        let metrics = ctx.polled().await;
        assert_eq!(metrics.decided("notify"), 2);
    })
    .await;
}

#[tokio::test]
async fn replicas_out_of_phase_never_make_a_run_go_backwards() {
    run(Setup::with_deck(), async |ctx| {
        let end = failed("s3", 0);
        ctx.deck
            .set_jobs(list(&[end.clone().ended("pending", "", None)]));
        // The first list may have been read while it was empty.
        first_list(ctx).await;
        ctx.polled().await;
        ctx.deck.set_two_replicas(true);
        ctx.deck.upsert(end.to_json());
        ctx.messages(2).await;
        for _ in 0..2 {
            ctx.polled().await;
        }
        let metrics = ctx.settle().await;
        assert_eq!(
            (metrics.decided("notify"), metrics.decided("not-failed")),
            (1, 1)
        );
        assert_eq!(metrics.sum("decisions_total"), 2);
        let trail = ctx.explain(&end.name()).unwrap();
        assert_eq!(trail["run"]["state"], "failure");
    })
    .await;
}

#[tokio::test]
async fn a_restart_with_everything_still_listed_says_nothing_new() {
    run(Setup::with_deck(), async |ctx| {
        first_list(ctx).await;
        ctx.deck
            .set_jobs(list(&[failed("s3", 1), failed("lambda", 2)]));
        ctx.messages(4).await;
        ctx.stop().await;
        ctx.start().await;
        let metrics = ctx.polled().await;
        assert_eq!(metrics.sum("observations_total"), 0);
        ctx.kill().await;
        ctx.start().await;
        let metrics = ctx.polled().await;
        assert_eq!(metrics.sum("observations_total"), 0);
    })
    .await;
}

#[tokio::test]
async fn what_fails_while_the_daemon_is_down_is_caught_up_exactly_once() {
    run(Setup::with_deck().unpaced(), async |ctx| {
        first_list(ctx).await;
        ctx.stop().await;
        // Long enough ago that a first start would only sum them up.
        let stages = [
            "post-submit",
            "controller-release-pr",
            "controller-release-tag",
            "controller-olm-bundle-pr",
        ];
        let mut jobs: Vec<Job> = stages
            .iter()
            .zip(60..)
            .map(|(stage, ago)| {
                let mut job = failed("s3", ago);
                job.job = format!("s3-{stage}");
                job
            })
            .collect();
        jobs.push(failed("lambda", 70));
        ctx.deck.set_jobs(list(&jobs));
        ctx.start().await;
        let messages = ctx.messages(10).await;
        for job in &jobs {
            let service = job.repo.trim_end_matches("-controller");
            let told = messages.iter().filter(|message| {
                message
                    .payload
                    .to_string()
                    .contains(&job.to_json()["status"]["url"].as_str().unwrap().to_owned())
            });
            let mut told = hooks(&told.cloned().collect::<Vec<_>>()).join(" ");
            told.push(' ');
            let mut expected = ["platform ", &format!("{service} ")].map(str::to_owned);
            expected.sort();
            assert_eq!(told, expected.concat(), "{}", job.job);
        }
        let metrics = ctx.polled().await;
        assert_eq!(metrics.decided("notify"), 5);
        let mut ids: Vec<String> = messages.iter().map(id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 10);
    })
    .await;
}

fn page(status: u16, content_type: &str, body: &str) -> Fault {
    Fault::Answer {
        status,
        content_type: content_type.to_owned(),
        body: body.to_owned(),
    }
}

/// Each of these answers is an error that the log words so, changes nothing, and does not keep the next good
/// list from being read.
async fn are_errors(faults: Vec<(&'static str, Fault)>) {
    run(Setup::with_deck(), async |ctx| {
        ctx.deck.set_jobs(list(&[passed("s3", 60)]));
        first_list(ctx).await;
        let failures = "deck_polls_total{result=\"failure\"}";
        for (word, fault) in faults {
            let seen = ctx.log().len();
            let before = ctx.metrics().await.get(failures);
            ctx.deck.set_fault(Some(fault));
            let told = ctx.logged_after(seen, "Cannot poll deck").await;
            assert!(told.to_string().contains(word), "{word}: {told}");
            ctx.until(word, |metrics| metrics.get(failures) > before)
                .await;
            ctx.deck.set_fault(None);
            ctx.polled_well().await;
        }
        assert_eq!(ctx.metrics().await.sum("observations_total"), 1);
        ctx.deck.upsert(failed("s3", 0).to_json());
        assert_eq!(hooks(&ctx.messages(2).await), ["platform", "s3"]);
    })
    .await;
}

const LOGIN: &str = "<!DOCTYPE html><html><title>Log in</title><form>";

#[tokio::test]
async fn login_pages_redirects_and_refusals_are_errors_and_not_data() {
    let login = "https://login.example.com/".to_owned();
    are_errors(vec![
        ("HTML page", page(200, "text/html; charset=utf-8", LOGIN)),
        ("HTML page", page(200, "application/json", LOGIN)),
        ("redirected", Fault::Redirect(login)),
        ("answered 500", page(500, "text/plain", "cannot list")),
        ("wants a login", page(401, "text/plain", "who are you")),
    ])
    .await;
}

#[tokio::test]
async fn empty_and_broken_lists_are_errors_and_not_data() {
    let json = "application/json";
    are_errors(vec![
        ("has no items", page(200, json, "{}")),
        ("is empty", page(200, json, "")),
        ("has no items", page(200, json, r#"{"items": 7}"#)),
        (
            "not a JSON object",
            page(200, json, "\u{1}\u{2} garbage ]]}"),
        ),
        ("broke off", Fault::Truncate(300)),
        ("cannot read", Fault::Cut(40)),
    ])
    .await;
}

#[tokio::test]
async fn what_stands_in_a_list_before_it_breaks_off_is_told_once() {
    run(Setup::with_deck(), async |ctx| {
        first_list(ctx).await;
        let first = failed("s3", 1);
        ctx.deck.set_fault(Some(Fault::Truncate(
            first.to_json().to_string().len() + 200,
        )));
        ctx.deck.set_jobs(list(&[first, failed("lambda", 1)]));
        assert_eq!(hooks(&ctx.messages(2).await), ["platform", "s3"]);
        ctx.deck.set_fault(None);
        assert_eq!(hooks(&ctx.messages(2).await), ["lambda", "platform"]);
        ctx.polled().await;
    })
    .await;
}

#[tokio::test]
async fn one_unreadable_or_huge_item_does_not_hide_the_others() {
    run(Setup::with_deck(), async |ctx| {
        first_list(ctx).await;
        let mut huge = failed("sqs", 1).to_json();
        huge["status"]["description"] = json!("x".repeat(5 << 20));
        let mut nameless = failed("lambda", 1).to_json();
        nameless["metadata"]["name"] = json!(null);
        ctx.deck.set_jobs(vec![
            huge,
            nameless,
            json!("no object"),
            failed("s3", 1).to_json(),
        ]);
        assert_eq!(hooks(&ctx.messages(2).await), ["platform", "s3"]);
        ctx.logged("left it out").await;
        let metrics = ctx.polled().await;
        assert_eq!(metrics.sum("deck_list_items"), 4);
        let left_out = ctx
            .log()
            .into_iter()
            .find(|line| line.contains("metadata.name is missing"));
        assert!(left_out.is_some_and(|line| line.contains("items[1]")));
    })
    .await;
}

#[tokio::test]
async fn readyz_tells_that_deck_cannot_be_read() {
    let setup = Setup::with_deck().without_webhooks();
    run(setup, async |ctx| {
        first_list(ctx).await;
        let (status, detail) = ctx.readyz().await;
        assert_eq!(status, 200, "{detail}");
        ctx.stop().await;
        ctx.deck
            .set_fault(Some(page(200, "text/html", "<html>Log in")));
        ctx.start().await;
        ctx.logged("Cannot poll deck").await;
        let (status, detail) = ctx.readyz().await;
        assert_eq!(status, 503, "{detail}");
        assert_eq!(detail["source"], "deck has not been read yet");
        ctx.deck.set_fault(None);
        ctx.polled_well().await;
        assert_eq!(ctx.readyz().await.0, 200);
    })
    .await;
}

#[tokio::test]
async fn a_list_that_never_ends_holds_up_no_stop() {
    let setup = Setup::with_deck().with("sources: { deck: { timeout: 60s } }");
    run(setup, async |ctx| {
        ctx.polled_well().await;
        let asked = ctx.deck.requests().list;
        ctx.deck.set_fault(Some(Fault::Hang(10)));
        ctx.until("deck is asked again", |_| ctx.deck.requests().list > asked)
            .await;
        ctx.stop().await;
        let late = |line: &String| line.contains("Not everything stopped in time");
        assert!(!ctx.log().iter().any(late));
    })
    .await;
}
