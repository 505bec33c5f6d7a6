//! Rounds of faults under load: a replica is killed, paused beyond its lease or cut off from the database, or the
//! database crashes. Nothing that was accepted is lost, a fault doubles at most one message, no webhook of Slack gets
//! messages faster than it may, and another replica leads within 15 s.
//!
//! Five rounds are part of every run of the tests. More of them, under more load and of other seeds, want an optimised
//! daemon, and a machine of its own:
//!
//! ```sh
//! PROW_NOTIFIER_FAULT_ROUNDS=50 PROW_NOTIFIER_FAULT_LOAD=500 PROW_NOTIFIER_FAULT_SEED=1 \
//!     cargo test --release --test it faults -- --nocapture
//! ```

#![expect(
    clippy::print_stdout,
    reason = "a round that fails is found again by what was done to whom"
)]

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::cluster::{BURST, Cluster, DEADLINE, LOAD, RATE};
use crate::context::{
    postgres,
    random::{Random, setting},
};

const SEED: u64 = 0x5eed_0fac_1d06;
const ROUNDS: u64 = 5;
/// Longer than a lease.
const AWAY: Duration = Duration::from_secs(12);
/// Within which another replica must lead.
const TAKEOVER: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy)]
enum Fault {
    Kill,
    Pause,
    Cut,
    Crash,
}

struct Rounds {
    cluster: Cluster,
    random: Random,
    /// Those that are still to come before all come again.
    faults: Vec<Fault>,
    /// Webhooks a second.
    load: u32,
    takeovers: Vec<Duration>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_lose_nothing_and_double_at_most_one_message_each() {
    let Some(postgres) = postgres::of_my_own() else {
        return;
    };
    let (rounds, seed) = (
        setting("PROW_NOTIFIER_FAULT_ROUNDS", ROUNDS),
        setting("PROW_NOTIFIER_FAULT_SEED", SEED),
    );
    println!("seed {seed}");
    let mut this = Rounds {
        cluster: Cluster::start(postgres).await,
        random: Random(seed),
        faults: Vec::new(),
        load: u32::try_from(setting("PROW_NOTIFIER_FAULT_LOAD", LOAD.into())).unwrap(),
        takeovers: Vec::new(),
    };
    this.lead_again(Instant::now(), None).await;
    for round in 0..rounds {
        this.round(round).await;
    }
    this.check(rounds).await;
}

impl Rounds {
    async fn round(&mut self, round: u64) {
        if self.faults.is_empty() {
            self.faults = vec![Fault::Kill, Fault::Pause, Fault::Cut, Fault::Crash];
        }
        let next = self.random.index(self.faults.len());
        let fault = self.faults.swap_remove(next);
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
                let began = Instant::now();
                self.cluster.kill(whom).await;
                self.lead_again(began, before).await;
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
                self.lead_again(Instant::now(), None).await;
            }
        }
        self.load(Duration::from_secs(1)).await;
    }

    async fn load(&mut self, time: Duration) {
        self.cluster.load(self.load, time).await;
    }

    /// Goes on for as long as somebody is away, and sees that another leads in time.
    async fn while_away(&mut self, before: Option<u64>) {
        let began = Instant::now();
        self.lead_again(began, before).await;
        self.load(AWAY.saturating_sub(began.elapsed())).await;
    }

    /// Waits until somebody leads, under another lease than this, which could be renewed until `began`.
    async fn lead_again(&mut self, began: Instant, before: Option<u64>) {
        loop {
            let leader = self.cluster.leader();
            if leader.is_some_and(|(_, epoch)| Some(epoch) != before) {
                break;
            }
            assert!(began.elapsed() < DEADLINE, "nobody leads");
            self.load(Duration::from_millis(200)).await;
        }
        if before.is_some() {
            self.takeovers.push(began.elapsed());
        }
    }

    async fn check(&mut self, rounds: u64) {
        self.cluster.settle().await;
        let doubled = self.cluster.check_nothing_lost();
        println!(
            "{} sent, {} retries, {} messages, {doubled} doubled in {rounds} rounds, takeovers {:?}, fastest {:?}",
            self.cluster.sent,
            self.cluster.retries(),
            self.cluster.slack.messages().len(),
            self.takeovers,
            self.fastest(),
        );
        assert!(doubled as u64 <= rounds, "{doubled} messages were doubled");
        assert_eq!(self.cluster.slack.rate_limited(), 0, "faster than allowed");
        let late: Vec<_> = self
            .takeovers
            .iter()
            .filter(|took| **took >= TAKEOVER)
            .collect();
        assert!(late.is_empty(), "nobody led for {late:?}");
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
