//! The database fails over to its standby under load: replicas go on there without a change of theirs, and nothing that
//! was accepted is lost.

use std::time::{Duration, Instant};

use super::cluster::{Cluster, DEADLINE, LOAD};
use crate::context::postgres::{self, Postgres};

const CONNECTED: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'prow-notifier'";

/// Sends webhooks for so long, to all replicas by turns.
async fn load(cluster: &Cluster, sent: &mut u64, time: Duration) {
    let mut tick = tokio::time::interval(Duration::from_secs(1) / LOAD);
    let until = Instant::now() + time;
    while Instant::now() < until {
        tick.tick().await;
        cluster.send(*sent, usize::try_from(*sent % 3).unwrap());
        *sent += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_go_on_with_the_standby_when_the_database_crashes() {
    if let Some(postgres) = postgres::of_my_own() {
        go_on(postgres, |cluster| cluster.postgres.stop()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_go_on_with_the_standby_when_the_database_does_not_answer_any_more() {
    if let Some(postgres) = postgres::of_my_own() {
        let cut = |cluster: &Cluster| {
            for replica in &cluster.replicas {
                replica.way.cut();
            }
        };
        go_on(postgres, cut).await;
    }
}

async fn go_on(mut postgres: Postgres, fails: impl FnOnce(&Cluster)) {
    postgres.have_standby();
    let mut cluster = Cluster::start(postgres).await;
    let mut sent = 0;
    load(&cluster, &mut sent, Duration::from_secs(5)).await;
    fails(&cluster);
    cluster.postgres.fail_over();
    let began = Instant::now();
    // The lease that is copied along may hold for a while, but nobody can decide by it.
    while cluster.postgres.sql("notifier", CONNECTED) == "0" || cluster.leader().is_none() {
        assert!(began.elapsed() < DEADLINE, "nobody leads");
        load(&cluster, &mut sent, Duration::from_millis(200)).await;
    }
    let led = began.elapsed();
    load(&cluster, &mut sent, Duration::from_secs(2)).await;
    cluster.settle().await;
    let doubled = cluster.check_nothing_lost(sent);
    println!("{sent} sent, {doubled} doubled, somebody leads after {led:?}");
    assert!(doubled <= 1, "{doubled} messages were doubled");
    assert_eq!(cluster.slack.rate_limited(), 0, "faster than allowed");
}
