//! The pages about releases, from a webhook to what a browser gets.

use axum::http::Request;
use jiff::SignedDuration;
use prow_notifier::standin::prow::Job;

use crate::{
    access::surface::Surface,
    context::{Context, Setup, failed, run},
    inside::{EACH_JOB_A_STAGE, failed as bad, passed},
};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const TWO_STAGES: &str = r#"
routes: [{ receiver: team }]
pipelines:
  - name: release
    match: ['org="aws-controllers-k8s"']
    stages:
      - name: publish
      - name: bundle
        needs: [{ stage: publish, within: 30m }]
"#;

/// Status, policy and body of a page.
async fn page(ctx: &Context, path: &str) -> (u16, String, String) {
    let reply = ctx.request("GET", path).send().await.unwrap();
    let status = reply.status().as_u16();
    let policy = reply.headers().get("content-security-policy");
    let policy = policy
        .map_or("", |policy| policy.to_str().unwrap())
        .to_owned();
    (status, policy, reply.text().await.unwrap())
}

#[tokio::test]
async fn a_broken_release_stands_on_every_page_that_it_belongs_to() {
    run(Setup::default(), async |ctx| {
        ctx.webhook(&failed("s3", 1)).await;
        ctx.messages(2).await;
        ctx.settle().await;
        for (path, part) in [
            ("/s/s3", "<a data-open href=\"/s/s3/1.2.3\">1.2.3</a>"),
            ("/s/s3/1.2.3", "id=\"stage-publish\""),
            ("/s/s3/v1.2.3", "id=\"stage-publish\""),
            (
                "/g/controller-release/1.2.3",
                "id=\"stage-publish-failing\"",
            ),
            ("/g/controller-release/24h", "id=\"stage-publish-failing\""),
            ("/wall", "<span class=\"service\">s3</span>"),
        ] {
            let (status, policy, body) = page(ctx, path).await;
            assert_eq!(status, 200, "{path}");
            assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
            assert!(body.contains(part), "{part} is not on {path}: {body}");
        }
        let (_, _, release) = page(ctx, "/s/s3/1.2.3").await;
        // Planned stages are drawn, and both messages are listed.
        assert!(release.contains("umbrella-chart-publish"));
        assert_eq!(release.matches("<td>opened</td>").count(), 2);
        let (_, _, csv) = page(ctx, "/s/s3/1.2.3?format=csv").await;
        assert!(
            csv.lines()
                .any(|line| line.starts_with("publish,failing,1,")),
            "{csv}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_stalled_release_says_what_was_good_before_and_that_no_run_stands_behind_it() {
    let mut surface = Surface::with(&format!("{EACH_JOB_A_STAGE}{TWO_STAGES}")).await;
    let now = surface.inside.now();
    let next = Job {
        base_ref: "v1.2.4".to_owned(),
        ..passed("lambda", "publish", now + MINUTE * 2)
    };
    let first = ["publish", "bundle"].map(|job| passed("lambda", job, now + MINUTE));
    surface.inside.accept(&first).await;
    surface.inside.pass(MINUTE * 2).await;
    surface.inside.accept(&[next]).await;
    surface.inside.pass(MINUTE * 40).await;
    let read = async |path: &str| surface.ask(Request::get(path), "192.0.2.7", "").await.2;
    let page = read("/").await;
    for part in [
        "⇥</span> stalled",
        "last good 1.2.3: <a href=\"https:",
        "&#x2f;compare&#x2f;v1.2.3...v1.2.4\"",
        "the run before it",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    let (_, rest) = page.split_once("data-open href=\"").unwrap();
    let (about, _) = rest.split_once('"').unwrap();
    let page = read(about).await;
    for part in [
        "⇥</span> stalled",
        "No run stands behind this",
        "the run before it",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    assert!(!page.contains("Why it ended so"), "{page}");
}

#[tokio::test]
async fn without_a_pipeline_no_link_to_a_release_leads_nowhere() {
    let mut surface =
        Surface::with(&format!("{EACH_JOB_A_STAGE}routes: [{{ receiver: team }}]")).await;
    let now = surface.inside.now();
    let job = bad("lambda", "publish", now);
    surface.inside.accept(std::slice::from_ref(&job)).await;
    surface.inside.pass(MINUTE).await;
    let read = async |path: &str| {
        let (status, _, page) = surface.ask(Request::get(path), "192.0.2.7", "").await;
        assert_eq!(status, 200, "{path}");
        page
    };
    for path in ["/".to_owned(), format!("/r/{}", job.name())] {
        let page = read(&path).await;
        assert!(page.contains("1.2.3"), "{path}: {page}");
        let links = page.split("href=\"").skip(1);
        let links = links.filter_map(|rest| rest.split('"').next());
        let services: Vec<&str> = links.filter(|link| link.starts_with("/s/")).collect();
        assert!(!services.is_empty(), "{path}: {page}");
        for link in services {
            read(link).await;
        }
    }
}

#[tokio::test]
async fn what_was_never_seen_is_not_found() {
    run(Setup::default(), async |ctx| {
        for path in ["/s/nope", "/s/nope/1.0.0", "/g/nope/24h"] {
            let (status, _, body) = page(ctx, path).await;
            assert_eq!(status, 404, "{path}");
            assert!(body.contains("There is no such"), "{path}: {body}");
        }
        let (status, _, body) = page(ctx, "/g/controller-release/24h").await;
        assert_eq!(status, 200);
        assert!(body.contains("No release of controller-release was seen"));
    })
    .await;
}
