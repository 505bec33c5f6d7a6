//! Two versions side by side while replicas are replaced one by one: the newer one changes the schema under the older
//! ones, which go on; one more step, and an older one does not start any more.

use std::time::{Duration, Instant};

use super::cluster::{Cluster, DEADLINE, LOAD};
use crate::{context::postgres, program::program};

/// What the next version's migration might do: it only adds.
const STEP: &str = "ALTER TABLE runs ADD COLUMN colour text; ALTER TABLE jobs ADD COLUMN colour text DEFAULT 'red'; \
     ALTER TABLE decisions ADD COLUMN colour text; ALTER TABLE outbox ADD COLUMN colour text; \
     ALTER TABLE inbox ADD COLUMN colour text; ALTER TABLE holds ADD COLUMN colour text; \
     ALTER TABLE lead ADD COLUMN colour text; CREATE INDEX runs_colour ON runs (colour); \
     CREATE TABLE colours (name text PRIMARY KEY); UPDATE schema_version SET version = version + 1";

const A_WHILE: Duration = Duration::from_secs(2);

async fn refused(cluster: &Cluster) -> String {
    let config = cluster.replicas[0].config();
    let command = move || program(&["serve"]).config(config).run();
    let ran = tokio::task::spawn_blocking(command).await.unwrap();
    assert_ne!(ran.code, 0);
    ran.stderr
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_version_goes_on_beside_the_next_and_does_not_start_beside_the_one_after() {
    let Some(postgres) = postgres::of_my_own() else {
        return;
    };
    let mut cluster = Cluster::start(postgres).await;
    cluster.load(LOAD, A_WHILE).await;
    let known: u64 = version(&cluster);
    // As a migration does, which gives way to who is in its way.
    let step = format!("SET lock_timeout = '2s'; {STEP}");
    let began = Instant::now();
    while let Err(said) = cluster.postgres.try_sql("notifier", &step) {
        let gives_way = said.contains("deadlock") || said.contains("lock timeout");
        assert!(gives_way && began.elapsed() < DEADLINE, "{said}");
    }
    cluster.load(LOAD, A_WHILE).await;
    // It may also start, as when its node dies during the update.
    cluster.kill(0).await;
    cluster.revive(0).await;
    cluster.load(LOAD, A_WHILE).await;

    let bump = "UPDATE schema_version SET version = version + 1";
    cluster.postgres.sql("notifier", bump);
    let said = refused(&cluster).await;
    for part in [
        format!("schema is version {}", version(&cluster)),
        format!("can use at most {}", known + 1),
        format!("prow-notifier {}", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(said.contains(&part), "{part}: {said}");
    }
    cluster.load(LOAD, A_WHILE).await;
    cluster.settle().await;
    let doubled = cluster.check_nothing_lost();
    assert!(doubled <= 1, "{doubled} messages were doubled");
    for replica in &cluster.replicas {
        // Whoever gives way when both wait for each other tries again.
        let is_bad = |line: &String| {
            line.contains("\"level\":\"ERROR\"")
                && !line.contains("another transaction was in the way")
        };
        assert_eq!(replica.log().into_iter().find(is_bad), None);
    }
}

fn version(cluster: &Cluster) -> u64 {
    let version = cluster
        .postgres
        .sql("notifier", "SELECT version FROM schema_version");
    version.parse().unwrap()
}
