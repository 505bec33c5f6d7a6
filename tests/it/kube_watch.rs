//! Runs that Kubernetes tells of: each is handled once whatever other sources tell, a watch that ends is taken up
//! where it was, and a watch that cannot be is told while the other sources go on.

use jiff::SignedDuration;
use prow_notifier::{
    clock::Clock,
    standin::{
        kube::Fault,
        prow::{Fault as DeckFault, Job},
    },
};
use serde_json::{Value, json};

use crate::context::{Context, Setup, failed, hooks, passed, run, text};

/// Waits until the list was taken in and the watch stands.
async fn watching(ctx: &Context) {
    ctx.logged("Took in the list of ProwJobs").await;
    ctx.watched().await;
}

fn put(ctx: &Context, jobs: &[Job]) {
    for job in jobs {
        ctx.kube.upsert(job.to_json());
    }
}

/// The first line of the next message, which goes to the platform alone.
async fn headline(ctx: &Context) -> String {
    let messages = ctx.messages(1).await;
    assert_eq!(hooks(&messages), ["platform"]);
    text(&messages[0]).lines().next().unwrap().to_owned()
}

fn reasons(trail: &Value) -> Vec<String> {
    let decisions = trail["decisions"].as_array().unwrap().iter();
    decisions
        .map(|decision| decision["reason"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_failure_that_only_kubernetes_tells_of_is_one_message() {
    run(Setup::with_watch().without_webhooks(), async |ctx| {
        watching(ctx).await;
        let end = failed("s3", 0);
        put(ctx, &[end.clone().ended("triggered", "", None)]);
        put(ctx, &[end.clone().ended("pending", "Job triggered.", None)]);
        put(ctx, std::slice::from_ref(&end));
        assert_eq!(hooks(&ctx.messages(2).await), ["platform", "s3"]);
        // Reporters of Prow change it again and again after its end, and in the end it is deleted.
        put(ctx, &[end.clone(), end.clone()]);
        ctx.kube.delete(&end.name());
        let metrics = ctx.watched().await;
        assert_eq!(metrics.decided("notify"), 1);
        assert_eq!(metrics.sum("observations_total"), 3);
        put(ctx, &[passed("s3", 0)]);
        assert!(text(&ctx.messages(2).await[0]).contains("recovered"));
    })
    .await;
}

#[tokio::test]
async fn watch_webhook_and_deck_together_make_one_message() {
    run(Setup::with_watch().and_deck(), async |ctx| {
        watching(ctx).await;
        ctx.polled_well().await;
        let jobs = ["s3", "lambda"].map(|service| failed(service, 0));
        for (first, job) in jobs.iter().enumerate() {
            for step in 0..3 {
                match (first + step) % 3 {
                    0 => ctx.kube.upsert(job.to_json()),
                    1 => ctx.webhook(job).await,
                    _ => ctx.deck.upsert(job.to_json()),
                }
            }
        }
        let messages = ctx.messages(4).await;
        assert_eq!(hooks(&messages), ["lambda", "platform", "platform", "s3"]);
        ctx.polled().await;
        assert_eq!(ctx.watched().await.decided("notify"), 2);
    })
    .await;
}

#[tokio::test]
async fn old_failures_of_the_first_list_are_one_summary_and_no_flood() {
    run(Setup::with_watch().without_webhooks(), async |ctx| {
        watching(ctx).await;
        ctx.stop().await;
        ctx.forget();
        let jobs: Vec<Job> = (60..400).map(|ago| failed("ec2", ago)).collect();
        let others: Vec<Job> = (60..90).map(|ago| passed("rds", ago)).collect();
        put(ctx, &jobs);
        put(ctx, &others);
        ctx.start().await;
        let messages = ctx.messages(1).await;
        assert!(text(&messages[0]).contains("Failing since before the first start: 1 job"));
        let metrics = ctx.watched().await;
        assert_eq!(metrics.sum("observations_total"), 370);
        assert_eq!(ctx.kube.requests().largest, 250, "page by page");
    })
    .await;
}

#[tokio::test]
async fn what_happens_while_nobody_watches_is_told_once_after_a_restart() {
    run(Setup::with_watch().without_webhooks(), async |ctx| {
        put(ctx, &[passed("s3", 60)]);
        watching(ctx).await;
        ctx.stop().await;
        put(ctx, &[failed("s3", 0)]);
        ctx.start().await;
        assert_eq!(hooks(&ctx.messages(2).await), ["platform", "s3"]);
        ctx.settle().await;
        ctx.kill().await;
        ctx.start().await;
        ctx.watched().await;
        assert_eq!(ctx.unread(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_watch_that_was_forgotten_is_begun_anew_with_a_list() {
    run(Setup::with_watch().without_webhooks(), async |ctx| {
        watching(ctx).await;
        let pages = ctx.kube.requests().pages;
        ctx.kube.upsert(failed("s3", 0).to_json());
        ctx.kube.compact();
        assert_eq!(hooks(&ctx.messages(2).await), ["platform", "s3"]);
        ctx.logged("Kubernetes has forgotten where the watch was")
            .await;
        ctx.watched().await;
        assert_eq!(ctx.kube.requests().pages, pages + 1);
        // A watch that merely ends is taken up without a list.
        for _ in 0..3 {
            ctx.kube.close_watches();
            ctx.watched().await;
        }
        ctx.kube.upsert(passed("s3", 0).to_json());
        ctx.messages(2).await;
        assert_eq!(ctx.kube.requests().pages, pages + 1);
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_died_without_a_word_is_noticed() {
    run(Setup::with_watch().without_webhooks(), async |ctx| {
        watching(ctx).await;
        ctx.kube.set_fault(Some(Fault::Silent));
        ctx.kube.upsert(failed("s3", 0).to_json());
        let lines = ctx.log().len();
        let line = ctx.logged_after(lines, "was silent for 3 s").await;
        assert!(line["message"].as_str().unwrap().contains("watch prowjobs"));
        ctx.kube.set_fault(None);
        assert_eq!(hooks(&ctx.messages(2).await), ["platform", "s3"]);
    })
    .await;
}

#[tokio::test]
async fn a_watch_covers_for_a_deck_that_is_down() {
    let setup = Setup::with_watch().and_deck().without_webhooks();
    run(setup.with("watch: { deck_failures: 2 }"), async |ctx| {
        watching(ctx).await;
        ctx.polled_well().await;
        ctx.deck.set_fault(Some(DeckFault::Cut(0)));
        let told = ctx.messages(1).await;
        assert!(text(&told[0]).contains("polling deck fails"));
        assert!(text(&told[0]).contains("Kubernetes tells what happens"));
        let job = failed("s3", 0);
        ctx.kube.upsert(job.to_json());
        assert_eq!(hooks(&ctx.messages(2).await), ["platform", "s3"]);
        ctx.deck.upsert(job.to_json());
        ctx.deck.set_fault(None);
        assert!(headline(ctx).await.contains("polling deck works again"));
        ctx.polled().await;
    })
    .await;
}

#[tokio::test]
async fn a_watch_that_is_forbidden_is_told_with_what_is_missing_and_deck_covers() {
    let setup = Setup::with_watch().and_deck().without_webhooks();
    run(setup.with("watch: { deck_failures: 2 }"), async |ctx| {
        watching(ctx).await;
        ctx.polled_well().await;
        ctx.kube.forbid("watch");
        let told = text(&ctx.messages(1).await[0]);
        for words in [
            "watching ProwJobs fails",
            "'watch' on prowjobs.prow.k8s.io in namespace prow",
            "deploy/overlays/watch",
            "deck tells what happens",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        let (status, ready) = ctx.readyz().await;
        assert_eq!(status, 200, "{ready}");
        let source = ready["source"].as_str().unwrap();
        assert!(source.contains("watch, last heard"), "{source}");
        let job = failed("s3", 0);
        ctx.deck.upsert(job.to_json());
        assert_eq!(hooks(&ctx.messages(2).await), ["platform", "s3"]);
        ctx.kube.upsert(job.to_json());
        ctx.kube.allow("watch");
        let well = headline(ctx).await;
        assert!(well.contains("watching ProwJobs works again"), "{well}");
        ctx.watched().await;
    })
    .await;
}

#[tokio::test]
async fn a_list_that_is_forbidden_and_a_token_that_expired_are_told_too() {
    let setup = Setup::with_watch().with("watch: { deck_failures: 2 }");
    run(setup, async |ctx| {
        watching(ctx).await;
        ctx.kube.forbid("list");
        ctx.kube.compact();
        let told = text(&ctx.messages(1).await[0]);
        assert!(told.contains("lacks the verb 'list'"), "{told}");
        assert!(told.contains("only what webhooks tell is known"), "{told}");
        ctx.kube.allow("list");
        assert!(headline(ctx).await.contains("works again"));
        ctx.kube.set_fault(Some(Fault::Expired));
        let told = text(&ctx.messages(1).await[0]);
        assert!(told.contains("does not accept our token"), "{told}");
        ctx.kube.set_fault(None);
        assert!(headline(ctx).await.contains("works again"));
    })
    .await;
}

#[tokio::test]
async fn who_asked_for_a_rerun_is_kept_though_prow_says_so_for_seconds_only() {
    run(Setup::with_watch().without_webhooks(), async |ctx| {
        let broken = failed("s3", 30);
        watching(ctx).await;
        put(ctx, std::slice::from_ref(&broken));
        ctx.messages(2).await;
        let end = passed("s3", 0);
        let words = format!("alice successfully reran {}.", broken.name());
        put(ctx, &[end.clone().ended("triggered", &words, None)]);
        ctx.until("the rerun is known", |metrics| {
            metrics.decided("not-failed") == 1
        })
        .await;
        put(ctx, &[end.clone().ended("pending", "Job triggered.", None)]);
        put(ctx, std::slice::from_ref(&end));
        assert!(text(&ctx.messages(2).await[0]).contains("recovered"));
        let trail = ctx.explain(&end.name()).unwrap();
        let expected = format!(
            "still triggered: alice asked to run {} again",
            broken.name()
        );
        assert_eq!(reasons(&trail)[0], expected);
    })
    .await;
}

#[tokio::test]
async fn without_deck_the_watch_tells_that_prow_is_stuck() {
    let setup = Setup::with_watch().without_webhooks();
    run(
        setup.with("watch: { pile_up: 5, pile_up_age: 1h }"),
        async |ctx| {
            watching(ctx).await;
            let since = Clock::System.now() - SignedDuration::from_hours(2);
            let waiting = |number: i32| {
                let job = Job::new("s3-controller", &format!("job-{number}"), "main", since);
                job.ended("triggered", "", None)
            };
            put(ctx, &(0..6).map(waiting).collect::<Vec<_>>());
            assert!(headline(ctx).await.contains("starting jobs fails"));
            for number in 0..6 {
                ctx.kube.delete(&waiting(number).name());
            }
            assert!(headline(ctx).await.contains("starting jobs works again"));
        },
    )
    .await;
}

#[tokio::test]
async fn memory_does_not_grow_with_the_list() {
    run(Setup::with_watch().without_webhooks(), async |ctx| {
        watching(ctx).await;
        let before = ctx.peak_kib();
        let since = Clock::System.now() - SignedDuration::from_hours(1);
        let refs = json!([{ "org": "o", "repo": "r".repeat(12_000), "base_ref": "main" }]);
        for number in 0..5_000 {
            let job = Job::new("s3-controller", &format!("job-{number}"), "main", since);
            let mut job = job.to_json();
            job["spec"]["extra_refs"] = refs.clone();
            // Pull requests are listed and not stored.
            job["spec"]["type"] = "presubmit".into();
            ctx.kube.upsert(job);
        }
        ctx.kube.compact();
        let items = "watch_list_items";
        ctx.until("all are listed", |metrics| metrics.sum(items) == 5_000)
            .await;
        let grown = ctx.peak_kib() - before;
        assert!(grown < 40 << 10, "{grown} KiB more for a list of 60 MB");
    })
    .await;
}
