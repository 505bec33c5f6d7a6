//! The pages about releases, from a webhook to what a browser gets.

use prow_notifier::standin::prow::Job;

use crate::{
    context::{Context, Setup, failed, run},
    same_numbers::{RULES, ran},
};

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
    let mut setup = Setup::default();
    setup.rules = RULES;
    run(setup, async |ctx| {
        ctx.webhook(&ran("lambda", "*-publish", "success", 180, 5))
            .await;
        ctx.webhook(&ran("lambda", "*-bundle", "success", 170, 5))
            .await;
        let next = Job {
            base_ref: "v1.2.4".to_owned(),
            ..ran("lambda", "*-publish", "success", 60, 5)
        };
        ctx.webhook(&next).await;
        ctx.messages(2).await;
        ctx.settle().await;
        let (_, _, now) = page(ctx, "/").await;
        for part in ["⇥</span> stalled", "last good 1.2.3", "the run before it"] {
            assert!(now.contains(part), "{part} is not in {now}");
        }
        let (_, rest) = now.split_once("data-open href=\"").unwrap();
        let (about, _) = rest.split_once('"').unwrap();
        let (status, _, about) = page(ctx, about).await;
        assert_eq!(status, 200);
        for part in [
            "⇥</span> stalled",
            "No run stands behind this",
            "the run before it",
        ] {
            assert!(about.contains(part), "{part} is not in {about}");
        }
        assert!(!about.contains("Why it ended so"), "{about}");
    })
    .await;
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
