//! GitHub `status` events: what Prow's hook can forward. They carry no ProwJob, so the run behind them is
//! found at deck, or told by what the status says.

use prow_notifier::{clock::Clock, standin::prow::Job};
use serde_json::{Value, json};

use crate::context::{Context, Reply, Setup, failed, hooks, run, text};

/// The status that Prow sets when this run ends.
fn status_of(job: &Job) -> Value {
    let prowjob = job.to_json();
    let (sha, url) = (
        &prowjob["spec"]["refs"]["base_sha"],
        &prowjob["status"]["url"],
    );
    let at = Clock::System
        .now()
        .strftime("%Y-%m-%dT%H:%M:%S+00:00")
        .to_string();
    json!({
        "id": 29_123_456_789_u64,
        "sha": sha,
        "name": format!("{}/{}", job.org, job.repo),
        "target_url": url,
        "context": job.job,
        "description": format!("{} BaseSHA:{}", job.description, sha.as_str().unwrap()),
        "state": job.state,
        "commit": {"commit": {"author": {"name": "Octo Cat"}, "message": "Release (#103)\n\nbody"}, "author": {"login": "octocat"}},
        "branches": [{"name": "main"}],
        "created_at": at,
        "updated_at": at,
        "repository": {"name": job.repo, "full_name": format!("{}/{}", job.org, job.repo), "owner": {"login": job.org},
            "html_url": format!("https://github.com/{}/{}", job.org, job.repo)},
    })
}

async fn deliver(ctx: &Context, event: &str, delivery: &str, body: &str) -> (u16, String) {
    let request = ctx
        .post("/hooks/github", body)
        .header("X-GitHub-Event", event)
        .header("X-GitHub-Delivery", delivery);
    let reply = Reply::to(request).await;
    (reply.status, reply.text)
}

#[tokio::test]
async fn a_status_of_a_run_that_deck_lists_is_told_once_with_the_prowjobs_data() {
    run(Setup::with_deck(), async |ctx| {
        ctx.logged("Took in deck's first list").await;
        let job = failed("s3", 0);
        let status = status_of(&job).to_string();
        assert_eq!(deliver(ctx, "status", "d-1", &status).await.0, 202);
        // Deck shows the run later than GitHub tells of it.
        ctx.until("the status waits for its run", |metrics| {
            metrics.sum("inbox_depth") == 1
        })
        .await;
        assert_eq!(ctx.unread(), 0);
        ctx.deck.upsert(job.to_json());
        let messages = ctx.messages(2).await;
        assert_eq!(hooks(&messages), ["platform", "s3"]);
        for message in &messages {
            // The status alone knows a branch, not the tag.
            assert!(text(message).contains("v1.2.3"), "{}", text(message));
        }
        let metrics = ctx.settle().await;
        assert_eq!(
            (metrics.decided("notify"), metrics.decided("deduplicated")),
            (1, 1)
        );
        // The status after the run is known, in another delivery.
        assert_eq!(deliver(ctx, "status", "d-2", &status).await.0, 202);
        let metrics = ctx.settle().await;
        assert_eq!(metrics.decided("deduplicated"), 2);
    })
    .await;
}

#[tokio::test]
async fn without_deck_a_status_is_told_by_what_it_says() {
    run(Setup::default(), async |ctx| {
        let job = failed("s3", 0);
        let status = status_of(&job).to_string();
        assert_eq!(
            deliver(ctx, "status", "d-1", &status).await,
            (202, "accepted 1\n".to_owned())
        );
        let messages = ctx.messages(2).await;
        assert_eq!(hooks(&messages), ["platform", "s3"]);
        for message in &messages {
            let text = text(message);
            for part in ["s3-controller", "publish", "critical", "main", "octocat"] {
                assert!(text.contains(part), "{part} is not in {text}");
            }
            let link = job.to_json()["status"]["url"].as_str().unwrap().to_owned();
            assert!(message.payload.to_string().contains(&link), "{text}");
        }
        // The ProwJob itself, by another source, is the same run.
        ctx.webhook(&job).await;
        let metrics = ctx.settle().await;
        assert_eq!(metrics.decided("deduplicated"), 1);
    })
    .await;
}

#[tokio::test]
async fn a_delivery_repeated_by_github_changes_nothing() {
    run(Setup::default(), async |ctx| {
        let status = status_of(&failed("s3", 0)).to_string();
        assert_eq!(deliver(ctx, "status", "d-1", &status).await.0, 202);
        ctx.messages(2).await;
        let again = deliver(ctx, "status", "d-1", &status).await;
        assert_eq!(again, (200, "delivered before\n".to_owned()));
        assert_eq!(ctx.settle().await.sum("observations_total"), 1);
    })
    .await;
}

#[tokio::test]
async fn other_events_and_statuses_of_others_are_understood_and_not_needed() {
    run(Setup::default(), async |ctx| {
        let push = include_str!("../data/prow/webhooks/github-push.json");
        assert_eq!(deliver(ctx, "push", "d-1", push).await.0, 200);
        let ping = json!({"zen": "Keep it logically awesome.", "hook_id": 1, "repository": {"name": "s3-controller",
            "full_name": "aws-controllers-k8s/s3-controller", "owner": {"login": "aws-controllers-k8s"}}});
        assert_eq!(deliver(ctx, "ping", "d-2", &ping.to_string()).await.0, 200);
        let comment = include_str!("../data/prow/webhooks/github-issue_comment.json");
        assert_eq!(deliver(ctx, "issue_comment", "d-3", comment).await.0, 200);
        let mut foreign = status_of(&failed("s3", 0));
        foreign["target_url"] = json!("https://ci.example.com/builds/7");
        assert_eq!(deliver(ctx, "status", "d-4", &foreign.to_string()).await.0, 200);
        let mut pending = status_of(&failed("s3", 0));
        pending["state"] = json!("pending");
        assert_eq!(deliver(ctx, "status", "d-5", &pending.to_string()).await.0, 200);
        assert_eq!(ctx.settle().await.sum("observations_total"), 0);
    })
    .await;
}

#[tokio::test]
async fn an_unreadable_status_is_refused_and_may_come_again_whole() {
    run(Setup::default(), async |ctx| {
        let status = status_of(&failed("s3", 0));
        let mut broken = status.clone();
        broken["state"] = json!(null);
        let (code, text) = deliver(ctx, "status", "d-1", &broken.to_string()).await;
        assert_eq!(code, 400, "{text}");
        assert!(text.contains("state"), "{text}");
        assert_eq!(
            deliver(ctx, "status", "d-1", &status.to_string()).await.0,
            202
        );
        ctx.messages(2).await;
    })
    .await;
}

#[tokio::test]
async fn an_unsigned_delivery_is_not_remembered() {
    run(Setup::default(), async |ctx| {
        let status = status_of(&failed("s3", 0)).to_string();
        let forged = ctx
            .request("POST", "/hooks/github")
            .header("X-Hub-Signature-256", format!("sha256={}", "0".repeat(64)))
            .header("X-GitHub-Event", "status")
            .header("X-GitHub-Delivery", "d-1")
            .body(status.clone());
        assert_eq!(Reply::to(forged).await.status, 401);
        assert_eq!(deliver(ctx, "status", "d-1", &status).await.0, 202);
        ctx.messages(2).await;
    })
    .await;
}
