//! The database fails over to its standby under load: replicas go on there without a change of theirs, and nothing that
//! was accepted is lost.

use std::time::{Duration, Instant};

use super::cluster::{Cluster, DEADLINE, LOAD};
use crate::context::postgres;

const CONNECTED: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'prow-notifier'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_go_on_with_the_standby_when_the_database_does_not_answer_any_more() {
    let Some(mut postgres) = postgres::of_my_own() else {
        return;
    };
    postgres.have_standby();
    let mut cluster = Cluster::start(postgres).await;
    cluster.load(LOAD, Duration::from_secs(3)).await;
    for replica in &cluster.replicas {
        replica.way.cut();
    }
    cluster.postgres.fail_over();
    let began = Instant::now();
    // The lease that was copied along may hold for a while, but nobody can decide by it.
    while cluster.postgres.sql("notifier", CONNECTED) == "0" || cluster.leader().is_none() {
        assert!(began.elapsed() < DEADLINE, "nobody leads");
        cluster.load(LOAD, Duration::from_millis(200)).await;
    }
    println!("somebody leads after {:?}", began.elapsed());
    cluster.load(LOAD, Duration::from_secs(2)).await;
    cluster.settle().await;
    let doubled = cluster.check_nothing_lost();
    assert!(doubled <= 1, "{doubled} messages were doubled");
    assert_eq!(cluster.slack.rate_limited(), 0, "faster than allowed");
}
