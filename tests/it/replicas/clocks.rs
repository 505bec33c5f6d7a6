//! Replicas whose clocks are half a minute wrong, in both directions. Leases and all times are by the database's clock,
//! so nobody takes a lease that holds, and nobody clings to one that does not.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use super::cluster::{Cluster, DEADLINE, LOAD};
use crate::context::postgres;

const WRONG_BY_S: i64 = 30;
/// Longer than a lease.
const A_WHILE: Duration = Duration::from_secs(11);
/// More than a clock is off that was set right, and than a round trip takes.
const NEAR_MS: i64 = 5_000;

/// The clock that a program has, by the first line of its log.
fn clock_at_start(cluster: &Cluster, replica: usize) -> Timestamp {
    let first: Value = serde_json::from_str(&cluster.replicas[replica].log()[0]).unwrap();
    first["timestamp"].as_str().unwrap().parse().unwrap()
}

fn database_ms(cluster: &Cluster) -> i64 {
    let now = "SELECT cast(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)";
    cluster.postgres.sql("notifier", now).parse().unwrap()
}

/// Waits until a replica leads, under another lease than this.
async fn led(cluster: &Cluster, before: Option<u64>) -> (usize, u64) {
    let began = Instant::now();
    loop {
        match cluster.leader() {
            Some((leader, epoch)) if Some(epoch) != before => return (leader, epoch),
            _ => assert!(began.elapsed() < DEADLINE, "nobody leads"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_a_minute_apart_neither_shorten_a_lease_nor_lose_or_double_anything() {
    let Some(postgres) = postgres::of_my_own() else {
        return;
    };
    let mut cluster = Cluster::start_with_clocks(postgres, &[-WRONG_BY_S, WRONG_BY_S]).await;
    let began_ms = database_ms(&cluster);
    for (replica, ahead) in [-WRONG_BY_S, WRONG_BY_S].into_iter().enumerate() {
        let off = (clock_at_start(&cluster, replica).as_millisecond() - began_ms) / 1000;
        assert!((off - ahead).abs() < 15, "its clock is off by {off} s");
    }
    let (first, epoch) = led(&cluster, None).await;
    cluster.load(LOAD, A_WHILE).await;
    assert_eq!(cluster.leader(), Some((first, epoch)), "its lease held");
    let died = Instant::now();
    cluster.kill(first).await;
    let (next, epoch) = led(&cluster, Some(epoch)).await;
    println!("taken over after {:?}", died.elapsed());
    assert_ne!(
        next, first,
        "with a clock that is wrong in the other direction"
    );
    cluster.revive(first).await;
    cluster.load(LOAD, Duration::from_secs(3)).await;
    assert_eq!(cluster.leader(), Some((next, epoch)), "its lease held");
    cluster.settle().await;
    let doubled = cluster.check_nothing_lost();
    assert!(doubled <= 1, "{doubled} messages were doubled");
    assert_eq!(cluster.slack.rate_limited(), 0, "faster than allowed");

    let (from, to) = (began_ms - NEAR_MS, database_ms(&cluster) + NEAR_MS);
    for (table, column) in [
        ("decisions", "seen_at"),
        ("decisions", "decided_at"),
        ("notifications", "at"),
        ("attempts", "at"),
    ] {
        let sql = format!(
            "SELECT count(*) > 0, count(*) FILTER (WHERE {column} NOT BETWEEN {from} AND {to}) FROM {table}"
        );
        let found = cluster.postgres.sql("notifier", &sql);
        assert_eq!(found, "t|0", "{table}.{column} by another clock");
    }
}
