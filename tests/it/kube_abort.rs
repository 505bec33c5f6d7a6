//! Runs that cannot succeed any more are stopped where the configuration orders it: exactly those, once, within the
//! limit, with the right to do so, and never one that has ended in the meantime.

use prow_notifier::{clock::Clock, standin::prow::Job};
use serde_json::{Value, json};

use crate::{
    context::{Context, Metrics, Setup, hooks, run, text},
    inside::EACH_JOB_A_STAGE,
    program::{Ran, program},
};

const PIPELINES: &str = "
pipelines:
  - name: release
    stages:
      - name: publish
      - name: chart
        needs: [{ stage: publish, abort_downstream: on }]
      - name: site
        needs: [{ stage: chart, abort_downstream: on }]
      - name: notes
        needs: [publish]
      - name: blog
        needs: [{ stage: notes, abort_downstream: on }]
";

fn setup() -> Setup {
    let setup = Setup {
        rules: EACH_JOB_A_STAGE,
        ..Setup::with_watch().without_webhooks()
    };
    setup.with(PIPELINES)
}

fn job(service: &str, stage: &str) -> Job {
    let now = Clock::System.now();
    Job::new(&format!("{service}-controller"), stage, "v1.2.3", now)
}

/// A run that waits for its pod or has one.
fn unfinished(service: &str, stage: &str, state: &str) -> Job {
    job(service, stage).ended(state, "Job triggered.", None)
}

fn broken(service: &str) -> Job {
    let now = Clock::System.now();
    job(service, "publish").ended("failure", "Job failed.", Some(now))
}

/// Puts runs there and waits until all are known.
async fn known(ctx: &Context, jobs: &[Job]) {
    let before = ctx.metrics().await.sum("decisions_total");
    for job in jobs {
        ctx.kube.upsert(job.to_json());
    }
    ctx.until("all are known", |metrics| {
        metrics.sum("decisions_total") >= before + jobs.len() as u64
    })
    .await;
}

async fn stops(ctx: &Context, result: &str, count: u64) -> Metrics {
    let sample = format!("stops_total{{result=\"{result}\"}}");
    ctx.until(&sample, |metrics| metrics.get(&sample) == count)
        .await
}

fn patched(ctx: &Context) -> Vec<String> {
    let mut names: Vec<String> = ctx
        .kube
        .patches()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    names.sort();
    names
}

fn sorted(jobs: &[&Job]) -> Vec<String> {
    let mut names: Vec<String> = jobs.iter().map(|job| job.name()).collect();
    names.sort();
    names
}

/// Runs a command beside the stand-ins.
async fn ran(ctx: &Context, args: &'static [&'static str]) -> Ran {
    let config = ctx.config();
    let command = move || program(args).config(config).run();
    tokio::task::spawn_blocking(command).await.unwrap()
}

#[tokio::test]
async fn exactly_the_doomed_are_stopped_once_and_that_is_on_record() {
    run(setup(), async |ctx| {
        let chart = unfinished("s3", "chart", "pending");
        let site = unfinished("s3", "site", "triggered");
        let others = [
            unfinished("s3", "notes", "pending"),
            unfinished("s3", "blog", "pending"),
            unfinished("lambda", "chart", "pending"),
        ];
        known(ctx, &others).await;
        known(ctx, &[chart.clone(), site.clone()]).await;
        let publish = broken("s3");
        ctx.kube.upsert(publish.to_json());
        let messages = ctx.messages(2).await;
        assert_eq!(hooks(&messages), ["platform", "s3"]);
        let shown = text(&messages[0]);
        assert!(
            shown.contains(
                "2 runs of chart and site cannot succeed any more; prow-notifier stops them"
            ),
            "{shown}"
        );
        assert_eq!(
            shown.matches("kubectl").count(),
            2,
            "notes and blog are suggested: {shown}"
        );
        stops(ctx, "stopped", 2).await;
        assert_eq!(patched(ctx), sorted(&[&chart, &site]));
        for (name, patch) in ctx.kube.patches() {
            let words = format!("prow-notifier successfully aborted {name}.");
            assert_eq!(
                patch["status"],
                json!({ "state": "aborted", "description": words })
            );
            assert!(patch["metadata"]["resourceVersion"].is_string(), "{patch}");
            let job = ctx.kube.job(&name).unwrap();
            assert_eq!(
                job["status"].get("completionTime"),
                None,
                "that is for plank"
            );
        }
        // Plank deletes the pods; nobody is told of ends that we made.
        for job in [&chart, &site] {
            let words = format!("prow-notifier successfully aborted {}.", job.name());
            let end = job
                .clone()
                .ended("aborted", &words, Some(Clock::System.now()));
            ctx.kube.upsert(end.to_json());
        }
        ctx.until("both ends are known", |metrics| {
            metrics.decided("superseded") == 2
        })
        .await;
        ctx.stop().await;
        ctx.start().await;
        ctx.watched().await;
        assert_eq!(ctx.kube.patches().len(), 2, "not again after a restart");
        let trail = ctx.explain(&chart.name()).unwrap();
        let stop = &trail["stops"][0];
        assert_eq!(
            (&stop["ordered"], &stop["end"]["how"]),
            (&json!(true), &json!("stopped"))
        );
        assert_eq!(stop["because"], Value::from(publish.name()));
    })
    .await;
}

#[tokio::test]
async fn no_more_than_the_limit_are_stopped() {
    let setup = setup().with("abort: { per_hour: 1 }");
    run(setup, async |ctx| {
        let jobs = ["chart", "site"].map(|stage| unfinished("s3", stage, "pending"));
        known(ctx, &jobs).await;
        ctx.kube.upsert(broken("s3").to_json());
        let shown = text(&ctx.messages(2).await[0]);
        assert!(
            shown.contains("1 doomed run not named and not stopped"),
            "{shown}"
        );
        stops(ctx, "stopped", 1).await;
        ctx.watched().await;
        assert_eq!(patched(ctx), sorted(&[&jobs[0]]));
    })
    .await;
}

#[tokio::test]
async fn a_run_that_ended_in_the_meantime_is_left_alone() {
    run(setup(), async |ctx| {
        let chart = unfinished("s3", "chart", "pending");
        known(ctx, std::slice::from_ref(&chart)).await;
        let end = chart
            .clone()
            .ended("success", "Job succeeded.", Some(Clock::System.now()));
        ctx.kube.race(end.to_json());
        ctx.kube.upsert(broken("s3").to_json());
        ctx.messages(2).await;
        stops(ctx, "over", 1).await;
        assert_eq!(patched(ctx), [""; 0]);
        let job = ctx.kube.job(&chart.name()).unwrap();
        assert_eq!(job["status"]["state"], "success");
    })
    .await;
}

#[tokio::test]
async fn a_failure_of_the_cluster_stops_nothing() {
    run(setup(), async |ctx| {
        known(ctx, &[unfinished("s3", "chart", "pending")]).await;
        let failed = broken("s3").ended("error", "Pod pending timeout.", Some(Clock::System.now()));
        ctx.kube.upsert(failed.to_json());
        assert!(!text(&ctx.messages(2).await[0]).contains("Doomed"));
        ctx.watched().await;
        assert_eq!(patched(ctx), [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn an_order_waits_for_a_right_that_was_taken_away_and_that_is_told() {
    let setup = setup().with("watch: { deck_failures: 2 }");
    run(setup, async |ctx| {
        let chart = unfinished("s3", "chart", "pending");
        known(ctx, std::slice::from_ref(&chart)).await;
        ctx.kube.forbid("patch");
        ctx.kube.upsert(broken("s3").to_json());
        ctx.messages(2).await;
        let told = text(&ctx.messages(1).await[0]);
        assert!(told.contains("stopping lost runs fails"), "{told}");
        assert!(told.contains("deploy/overlays/abort"), "{told}");
        ctx.kube.allow("patch");
        let well = text(&ctx.messages(1).await[0]);
        assert!(well.contains("stopping lost runs works again"), "{well}");
        assert_eq!(patched(ctx), sorted(&[&chart]));
    })
    .await;
}

#[tokio::test]
async fn without_the_right_it_refuses_to_start_and_check_says_why() {
    run(setup(), async |ctx| {
        ctx.kube
            .upsert(unfinished("s3", "chart", "pending").to_json());
        ctx.watched().await;
        ctx.stop().await;
        ctx.kube.forbid("patch");
        let missing = "lacks the verb `patch` on prowjobs.prow.k8s.io in namespace prow";
        let serve = ran(ctx, &["serve"]).await;
        assert_ne!(serve.code, 0);
        let said = serve.stderr;
        assert!(said.contains(missing), "{said}");
        let check = ran(ctx, &["check", "--online"]).await;
        assert_ne!(check.code, 0);
        let said = check.stdout;
        assert!(said.contains("✗ abort") && said.contains(missing), "{said}");
        assert!(said.contains("✓ watch"), "{said}");
    })
    .await;
}

#[test]
fn it_needs_a_way_to_the_cluster() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(
        home.path().join("hook"),
        "https://hooks.slack.com/services/T/B/x",
    )
    .unwrap();
    let config = format!(
        "{EACH_JOB_A_STAGE}{PIPELINES}receivers: [{{ name: a, slack: {{ webhook_url_file: {} }} }}]\ndefault_receiver: a\n",
        home.path().join("hook").display()
    );
    let file = home.path().join("c.yaml");
    std::fs::write(&file, config).unwrap();
    let said = program(&["check"]).config(&file).run().refused();
    assert!(said.contains("set sources.watch.namespace"), "{said}");
}
