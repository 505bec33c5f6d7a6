//! Rounds of faults under load: a replica is killed, paused beyond its lease or cut off from the database, or the
//! database crashes. Nothing that was accepted is lost, a fault doubles at most one message, no webhook of Slack gets
//! messages faster than it may, and another replica leads within 15 s.

#![expect(
    clippy::print_stdout,
    reason = "a round that fails is found again by what was done to whom"
)]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::cluster::{BURST, Cluster, RATE};
use crate::context::{id, postgres};

const SEED: u64 = 0x5eed_0fac_1d06;
/// Webhooks a second.
const LOAD: u64 = 20;
/// Longer than a lease.
const AWAY: Duration = Duration::from_secs(14);
/// Within which another replica must lead.
const TAKEOVER: Duration = Duration::from_secs(15);
/// Messages wait so long for others that belong to them, and a little.
const HELD_BACK: Duration = Duration::from_secs(8);
/// Nothing takes this long.
const DEADLINE: Duration = Duration::from_secs(240);

#[derive(Debug, Clone, Copy)]
enum Fault {
    Kill,
    Pause,
    Cut,
    Crash,
}

/// `SplitMix64`, so that a seed gives the same rounds everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn index(&mut self, bound: u64) -> usize {
        usize::try_from(self.below(bound)).unwrap()
    }
}

struct Rounds {
    cluster: Cluster,
    random: Random,
    sent: u64,
    takeovers: Vec<Duration>,
}

fn setting(name: &str, usual: u64) -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "a longer run is asked for by hand"
    )]
    let set = std::env::var(name);
    set.map_or(usual, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes and wants a quiet machine: cargo test --test it faults -- --ignored"]
async fn faults_lose_nothing_and_double_at_most_one_message_each() {
    let Some(postgres) = postgres::of_my_own() else {
        return;
    };
    let (rounds, seed) = (
        setting("PROW_NOTIFIER_FAULT_ROUNDS", 5),
        setting("PROW_NOTIFIER_FAULT_SEED", SEED),
    );
    let mut this = Rounds {
        cluster: Cluster::start(postgres).await,
        random: Random(seed),
        sent: 0,
        takeovers: Vec::new(),
    };
    this.lead_again(None).await;
    for round in 0..rounds {
        this.round(round).await;
    }
    this.check(rounds).await;
}

impl Rounds {
    async fn round(&mut self, round: u64) {
        let fault = [Fault::Kill, Fault::Pause, Fault::Cut, Fault::Crash][self.random.index(4)];
        let leader = self.cluster.leader();
        let whom = match leader {
            Some((leader, _)) if self.random.below(3) < 2 => leader,
            _ => self.random.index(3),
        };
        let hit = leader.filter(|(leader, _)| *leader == whom);
        println!("round {round}: {fault:?} of replica {whom}, leader {leader:?}");
        let pause = Duration::from_millis(500 + self.random.below(1500));
        self.load(pause).await;
        let before = hit.map(|(_, epoch)| epoch);
        match fault {
            Fault::Kill => {
                self.cluster.kill(whom).await;
                self.lead_again(before).await;
                self.cluster.revive(whom).await;
            }
            Fault::Pause => {
                self.cluster.signal(whom, Signal::STOP);
                self.while_away(before).await;
                self.cluster.signal(whom, Signal::CONT);
            }
            Fault::Cut => {
                self.cluster.replicas[whom].way.cut();
                self.while_away(before).await;
                self.cluster.replicas[whom].way.heal();
            }
            Fault::Crash => {
                self.cluster.postgres.stop();
                self.load(Duration::from_secs(1)).await;
                self.cluster.postgres.start_again();
                self.lead_again(None).await;
            }
        }
        self.load(Duration::from_secs(1)).await;
    }

    /// Sends webhooks for so long.
    async fn load(&mut self, time: Duration) {
        let load = setting("PROW_NOTIFIER_FAULT_LOAD", LOAD);
        let mut tick = tokio::time::interval(Duration::from_secs(1) / u32::try_from(load).unwrap());
        let until = Instant::now() + time;
        while Instant::now() < until {
            tick.tick().await;
            self.cluster.send(self.sent, self.random.index(3));
            self.sent += 1;
        }
    }

    /// Goes on for as long as somebody is away, and sees that another leads in time.
    async fn while_away(&mut self, before: Option<u64>) {
        let began = Instant::now();
        self.load(Duration::from_secs(1)).await;
        if before.is_some() {
            self.lead_again(before).await;
        }
        self.load(AWAY.saturating_sub(began.elapsed())).await;
    }

    /// Waits until somebody leads, under another lease than this.
    async fn lead_again(&mut self, before: Option<u64>) {
        let began = Instant::now();
        loop {
            if self
                .cluster
                .leader()
                .is_some_and(|(_, epoch)| Some(epoch) != before)
            {
                break;
            }
            assert!(
                began.elapsed() < TAKEOVER,
                "nobody leads after {:?}",
                began.elapsed()
            );
            self.load(Duration::from_millis(200)).await;
        }
        if before.is_some() {
            self.takeovers.push(began.elapsed());
        }
    }

    async fn check(&mut self, rounds: u64) {
        self.cluster.all_sent().await;
        self.settle().await;
        let accepted = self.cluster.accepted.lock().unwrap();
        let sql = |sql: &str| self.cluster.postgres.sql("notifier", sql);
        let stored = sql("SELECT name FROM runs");
        let stored: std::collections::BTreeSet<&str> = stored.lines().collect();
        let lost: Vec<&String> = accepted
            .runs
            .iter()
            .filter(|run| !stored.contains(run.as_str()))
            .collect();
        assert!(lost.is_empty(), "accepted and never decided: {lost:?}");
        let notified = sql(
            "SELECT coalesce(max(times), 0) FROM (SELECT count(*) AS times FROM decisions WHERE decision = 'notify' GROUP BY run_id) AS counted",
        );
        assert!(notified == "1", "a run was told {notified} times");

        let mut told: BTreeMap<String, usize> = BTreeMap::new();
        let mut all = String::new();
        for message in self.cluster.slack.messages() {
            *told
                .entry(format!("{} {}", message.hook, id(&message)))
                .or_default() += 1;
            all.push_str(&message.payload.to_string());
        }
        let untold: Vec<&String> = accepted
            .failed
            .iter()
            .filter(|job| !all.contains(job.as_str()))
            .collect();
        assert!(untold.is_empty(), "accepted and never told: {untold:?}");
        let doubled: usize = told.values().map(|times| times - 1).sum();
        println!(
            "{} sent, {} accepted, {} retries, {} messages, {doubled} doubled in {rounds} rounds, takeovers {:?}, \
             fastest {:?}",
            self.sent,
            accepted.runs.len(),
            accepted.retries,
            told.len(),
            self.takeovers,
            self.fastest(),
        );
        assert!(
            doubled as u64 <= rounds,
            "{doubled} messages were doubled: {told:?}"
        );
        assert_eq!(self.cluster.slack.rate_limited(), 0, "faster than allowed");
        assert_eq!(
            accepted.runs.len() as u64,
            self.sent,
            "some were never taken"
        );
        assert!(self.cluster.slack.violations().is_empty());
        for replica in &self.cluster.replicas {
            let log = replica
                .daemon
                .as_ref()
                .map(crate::context::daemon::Daemon::log);
            let all = replica.logs.iter().chain(log.iter().flatten());
            let panics: Vec<&String> = all.filter(|line| line.contains("panicked")).collect();
            assert!(panics.is_empty(), "{panics:?}");
        }
    }

    /// Waits until nothing has been under way for longer than anything is held back.
    async fn settle(&self) {
        let began = Instant::now();
        let mut busy_at = Instant::now();
        while busy_at.elapsed() < HELD_BACK {
            let waiting = self.cluster.postgres.sql(
                "notifier",
                "SELECT (SELECT count(*) FROM inbox), (SELECT count(*) FROM parked), \
                 (SELECT count(*) FROM outbox WHERE state = 'pending')",
            );
            if waiting != "0|0|0" {
                busy_at = Instant::now();
            }
            assert!(
                began.elapsed() < DEADLINE,
                "still waiting in inbox, parked and outbox: {waiting}"
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// The most messages that one webhook got within a second.
    fn fastest(&self) -> (usize, u32) {
        let messages = self.cluster.slack.messages();
        let most = messages
            .iter()
            .map(|first| {
                let soon = |message: &&prow_notifier::standin::slack::Message| {
                    let after = message.at.duration_since(first.at).as_millis();
                    message.hook == first.hook && (0..1000).contains(&after)
                };
                messages.iter().filter(soon).count()
            })
            .max();
        (most.unwrap_or(0), RATE + BURST)
    }
}
