//! What a replica leaves behind: whoever stops gives all of it back at once, and of one that died others take it over
//! within 15 s.

use std::time::{Duration, Instant};

use prow_notifier::standin::slack::Act;

use super::cluster::{Cluster, DEADLINE};
use crate::context::{Setup, failed, postgres, run};

const TAKEOVER: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_replica_that_stops_gives_its_lease_and_its_receivers_back() {
    let Some(url) = postgres::new_database() else {
        return;
    };
    let setup = Setup::default().with(&format!("store: {{ url: \"{url}\" }}"));
    let (_, database) = url.rsplit_once('/').unwrap();
    run(setup, async |ctx| {
        ctx.webhook(&failed("s3", 30)).await;
        ctx.messages(2).await;
        ctx.settle().await;
        ctx.stop().await;
        let server = postgres::shared().unwrap();
        let left = server.sql(
            database,
            "SELECT (SELECT until FROM lead), (SELECT count(*) FROM holds), (SELECT max(until) FROM holds)",
        );
        assert_eq!(left, "0|2|0", "lease, receivers, and until when one is held");
        ctx.start().await;
        ctx.until("it leads", |metrics| metrics.sum("leader") == 1)
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_receiver_whose_sender_died_in_the_midst_of_a_message_is_taken_over() {
    let Some(postgres) = postgres::of_my_own() else {
        return;
    };
    let mut cluster = Cluster::start(postgres).await;
    cluster.slack.force("platform", Act::Hang);
    cluster.send();
    let began = Instant::now();
    while cluster.slack.forced("platform") > 0 {
        assert!(began.elapsed() < DEADLINE, "nobody sends");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let sender = cluster.sender("platform").expect("somebody sends");
    let died = Instant::now();
    cluster.kill(sender).await;
    let told = tokio::time::timeout(DEADLINE, cluster.slack.wait_for(1)).await;
    assert!(told.is_ok(), "nobody takes over");
    let took = died.elapsed();
    println!("taken over after {took:?}");
    assert!(took < TAKEOVER, "{took:?}");
    cluster.settle().await;
    assert_eq!(cluster.check_nothing_lost(), 0);
}
