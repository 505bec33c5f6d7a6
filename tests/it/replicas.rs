//! Several replicas of the real program on a real PostgreSQL.

mod clocks;
mod cluster;
mod failover;
mod faults;
mod proxy;
mod takeover;
mod tls;
mod versions;

use crate::context::{Reply, Setup, failed, id, passed, postgres, run, text};

/// A daemon on a new database; `None`, and a word about it, where there is no PostgreSQL.
fn on_postgres() -> Option<Setup> {
    let url = postgres::new_database()?;
    Some(Setup::default().with(&format!("store: {{ url: \"{url}\" }}")))
}

#[tokio::test]
async fn a_failure_is_told_once_and_its_recovery_too() {
    let Some(setup) = on_postgres() else {
        return;
    };
    run(setup, async |ctx| {
        ctx.webhook(&failed("s3", 30)).await;
        let told = ctx.messages(2).await;
        assert!(text(&told[0]).contains("s3"), "{}", text(&told[0]));
        // Prow sends again what it is not sure of.
        ctx.webhook(&failed("s3", 30)).await;
        ctx.webhook(&failed("s3", 20)).await;
        ctx.settle().await;
        assert_eq!(ctx.unread(), 0);
        ctx.webhook(&passed("s3", 10)).await;
        ctx.messages(2).await;
        let metrics = ctx.settle().await;
        assert_eq!(metrics.sum("leader"), 1);
    })
    .await;
}

#[tokio::test]
async fn every_page_and_list_is_shown() {
    let Some(setup) = on_postgres() else {
        return;
    };
    run(setup, async |ctx| {
        ctx.webhook(&failed("s3", 30)).await;
        ctx.webhook(&passed("sqs", 30)).await;
        ctx.messages(2).await;
        ctx.settle().await;
        for path in [
            "/",
            "/services",
            "/s/s3",
            "/trends",
            "/wall",
            "/deliveries",
            "/silences",
            "/api/v1/counts",
            "/api/v1/now",
            "/api/v1/runs",
            "/api/v1/incidents",
            "/api/v1/releases",
            "/api/v1/decisions",
            "/api/v1/deliveries",
            "/api/v1/dead-letters",
            "/api/v1/receivers",
            "/api/v1/services",
            "/api/v1/services/s3",
            "/api/v1/services/s3/releases",
            "/api/v1/silences",
            "/api/v1/trends",
        ] {
            let reply = Reply::to(ctx.request("GET", path)).await;
            assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        }
        let subject = ctx.slack.messages().first().map(id).unwrap();
        assert!(ctx.explain(&subject).is_some());
        let (status, ready) = ctx.readyz().await;
        assert_eq!((status, &ready["store"]), (200, &"ok".into()));
    })
    .await;
}
