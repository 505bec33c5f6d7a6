//! ProwJobs that are sent to us: what is accepted, what it makes us say to whom, and that it is said once.

use serde_json::{Value, json};

use crate::context::{Reply, Setup, failed, hooks, id, names_what_broke, passed, run, text};

#[tokio::test]
async fn a_failed_release_job_is_told_once_to_the_platform_and_to_its_service() {
    run(Setup::default(), async |ctx| {
        let job = failed("s3", 1);
        ctx.webhook(&job).await;
        let messages = ctx.messages(2).await;
        assert_eq!(hooks(&messages), ["platform", "s3"]);
        let link = job.to_json()["status"]["url"].as_str().unwrap().to_owned();
        for message in &messages {
            let text = text(message);
            names_what_broke(message, "s3");
            assert!(message.payload.to_string().contains(&link), "{text}");
            assert!(text.contains(&format!("id:{}", id(message))), "{text}");
            assert!(
                message.payload["text"]
                    .as_str()
                    .unwrap()
                    .contains("s3 v1.2.3: publish failed")
            );
        }
        assert_ne!(id(&messages[0]), id(&messages[1]));
    })
    .await;
}

#[tokio::test]
async fn a_retried_webhook_posts_once() {
    run(Setup::default(), async |ctx| {
        let job = failed("s3", 1);
        for _ in 0..3 {
            ctx.webhook(&job).await;
        }
        ctx.messages(2).await;
        let metrics = ctx.settle().await;
        assert_eq!(
            (metrics.decided("notify"), metrics.decided("deduplicated")),
            (1, 2)
        );
    })
    .await;
}

#[tokio::test]
async fn a_later_success_posts_one_recovery_to_each_who_was_told() {
    run(Setup::default(), async |ctx| {
        ctx.webhook(&failed("s3", 30)).await;
        ctx.messages(2).await;
        let good = passed("s3", 1);
        ctx.webhook(&good).await;
        let messages = ctx.messages(2).await;
        assert_eq!(hooks(&messages), ["platform", "s3"]);
        for message in &messages {
            let text = text(message);
            assert!(
                text.contains("publish recovered") && text.contains("1 failed run"),
                "{text}"
            );
        }
        ctx.webhook(&good).await;
        ctx.webhook(&passed("s3", 0)).await;
        let metrics = ctx.settle().await;
        assert_eq!(
            (metrics.decided("recovered"), metrics.decided("not-failed")),
            (1, 1)
        );
        assert_eq!(metrics.sum("open_incidents"), 0);
    })
    .await;
}

#[tokio::test]
async fn a_run_is_followed_through_its_states_and_never_back() {
    run(Setup::default(), async |ctx| {
        let end = failed("s3", 0);
        let at = |state: &str| end.clone().ended(state, "", None);
        for job in [
            at("triggered"),
            at("pending"),
            end.clone(),
            at("pending"),
            at("triggered"),
        ] {
            ctx.webhook(&job).await;
        }
        ctx.messages(2).await;
        let metrics = ctx.settle().await;
        assert_eq!(metrics.decided("notify"), 1);
        assert_eq!(
            metrics.decided("not-failed") + metrics.decided("deduplicated"),
            4
        );
        let trail = ctx.explain(&end.name()).unwrap();
        assert_eq!(trail["run"]["state"], "failure");
    })
    .await;
}

#[tokio::test]
async fn a_list_and_watch_events_are_taken_like_single_runs() {
    run(Setup::default(), async |ctx| {
        let jobs: Vec<Value> = ["s3", "lambda"]
            .map(|service| failed(service, 1).to_json())
            .into();
        let list = json!({"kind": "ProwJobList", "items": jobs}).to_string();
        let reply = Reply::to(ctx.post("/hooks/prowjob", list)).await;
        assert_eq!((reply.status, reply.text.as_str()), (202, "accepted 2\n"));
        assert_eq!(
            hooks(&ctx.messages(4).await),
            ["lambda", "platform", "platform", "s3"]
        );
        let event =
            |kind: &str| json!({"type": kind, "object": failed("sqs", 1).to_json()}).to_string();
        let reply = Reply::to(ctx.post("/hooks/prowjob", event("DELETED"))).await;
        assert_eq!(reply.status, 200);
        let reply = Reply::to(ctx.post("/hooks/prowjob", event("MODIFIED"))).await;
        assert_eq!(reply.status, 202);
        let messages = ctx.messages(2).await;
        assert_eq!(hooks(&messages), ["platform", "sqs"]);
        let reply = Reply::to(ctx.post("/hooks/prowjob", r#"{"items":[]}"#)).await;
        assert_eq!(reply.status, 200);
    })
    .await;
}

#[tokio::test]
async fn every_observation_accepted_is_decided_once_and_explained() {
    run(Setup::default(), async |ctx| {
        let mut presubmit = failed("s3", 1).to_json();
        presubmit["spec"]["type"] = json!("presubmit");
        presubmit["metadata"]["name"] = json!("a-presubmit");
        let mut quiet = failed("lambda", 1);
        quiet.annotations = vec![("prow-notifier.io/report".to_owned(), "false".to_owned())];
        let old = failed("sqs", 3 * 24 * 60);
        let unknown = {
            let mut job = failed("s3", 2);
            job.job = "no-rule-knows-me".to_owned();
            job
        };
        let jobs = [
            presubmit,
            quiet.to_json(),
            old.to_json(),
            unknown.to_json(),
            passed("s3", 1).to_json(),
        ];
        for job in &jobs {
            let reply = Reply::to(ctx.post("/hooks/prowjob", job.to_string())).await;
            assert_eq!(reply.status, 202);
        }
        // Told as unclassified, and to nobody but the default receiver.
        let messages = ctx.messages(1).await;
        assert_eq!(hooks(&messages), ["platform"]);
        assert!(text(&messages[0]).contains("no-rule-knows-me"));
        let metrics = ctx.settle().await;
        let by_source = metrics.get("observations_total{source=\"webhook\"}");
        assert_eq!((by_source, metrics.sum("decisions_total")), (5, 5));
        for (decision, count) in [
            ("ignored", 2),
            ("stale", 1),
            ("unmatched", 1),
            ("not-failed", 1),
        ] {
            assert_eq!(metrics.decided(decision), count, "{decision}");
        }
        let decisions = ctx.explain(&old.name()).unwrap()["decisions"].clone();
        assert_eq!(decisions[0]["decision"], "stale", "{decisions}");
        assert!(ctx.explain("nobody-knows-me").is_none());
    })
    .await;
}
