//! The pages about releases, from a webhook to what a browser gets.

use crate::context::{Context, Setup, failed, run};

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
