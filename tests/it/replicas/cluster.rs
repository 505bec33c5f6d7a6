//! Three replicas, each with its own way to one database, a strict Slack, and whoever sends webhooks.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use prow_notifier::{
    http::Http,
    standin::{
        prow::{DeckStandin, Job},
        slack::{Options, Pace, SlackStandIn},
    },
};
use reqwest::Client;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use super::proxy::Proxy;
use crate::context::{
    Setup, daemon::Daemon, failed, id, postgres::Postgres, sign, skew, write_config,
};

/// Messages a second and at once, as the daemons are told.
pub(super) const RATE: u32 = 5;
pub(super) const BURST: u32 = 5;
/// A message is on its way for so long, which moves it in Slack's count.
const ON_ITS_WAY: f64 = 1.0;
/// Webhooks a second, which daemons that are not optimised can take beside other tests.
pub(super) const LOAD: u32 = 20;
/// A run fails so often, however many there are: Slack takes only so many messages.
const FAILS_EVERY_S: u32 = 2;
/// Messages wait so long for others that belong to them, and a little.
const HELD_BACK: Duration = Duration::from_secs(3);
/// Between attempts to send a webhook.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Nothing takes this long.
pub(super) const DEADLINE: Duration = Duration::from_secs(240);

/// A replica.
pub(super) struct Replica {
    home: TempDir,
    env: Vec<(&'static str, String)>,
    /// Its way to the database.
    pub(super) way: Proxy,
    /// `None` while it is dead.
    pub(super) daemon: Option<Daemon>,
    /// What programs before it logged.
    logs: Vec<String>,
}

/// All of it.
pub(super) struct Cluster {
    pub(super) postgres: Postgres,
    pub(super) slack: SlackStandIn,
    _deck: DeckStandin,
    pub(super) replicas: Vec<Replica>,
    accepted: Arc<Mutex<Accepted>>,
    /// How many webhooks were sent so far.
    pub(super) sent: u64,
    /// Of so many runs one fails.
    fails: u64,
    tasks: TaskTracker,
    http: Client,
}

/// What replicas said 202 to: names of runs, and the jobs of those that failed.
#[derive(Default)]
struct Accepted {
    runs: BTreeSet<String>,
    failed: BTreeSet<String>,
    retries: u64,
}

impl Replica {
    /// Its configuration.
    pub(super) fn config(&self) -> PathBuf {
        self.home.path().join("config")
    }

    /// All that it logged, with what programs before it did.
    pub(super) fn log(&self) -> Vec<String> {
        let running = self.daemon.as_ref().map(Daemon::log);
        let before = self.logs.iter().cloned();
        before.chain(running.into_iter().flatten()).collect()
    }
}

impl Cluster {
    pub(super) async fn start(postgres: Postgres) -> Self {
        Self::start_with_clocks(postgres, &[0; 3]).await
    }

    /// As many replicas as numbers; the clock of each is ahead by so many seconds.
    pub(super) async fn start_with_clocks(postgres: Postgres, ahead: &[i64]) -> Self {
        let slack = SlackStandIn::start(Options {
            pace: Some(Pace {
                per_second: f64::from(RATE),
                burst: f64::from(BURST) + ON_ITS_WAY,
            }),
            ..Options::default()
        });
        let slack = slack.await.unwrap();
        let deck = DeckStandin::start(&TaskTracker::new()).await.unwrap();
        postgres.sql("postgres", "CREATE DATABASE notifier");
        let mut replicas = Vec::new();
        for &seconds in ahead {
            let home = tempfile::tempdir().unwrap();
            let env = match seconds {
                0 => Vec::new(),
                _ => skew::ahead_by(seconds, home.path()),
            };
            let way = Proxy::to(postgres.port).await;
            let hosts = match postgres.standby {
                None => way.address.to_string(),
                Some(port) => format!("{},127.0.0.1:{port}", way.address),
            };
            let setup = Setup::default()
                .with(&format!(
                    "store: {{ url: \"postgres://postgres@{hosts}/notifier?sslmode=disable\" }}"
                ))
                .with(&format!(
                    "delivery: {{ rate_per_s: {RATE}, burst: {BURST} }}"
                ))
                .with("dedup: { group_wait: 1s }");
            write_config(home.path(), &setup, &slack, &deck);
            let daemon = Some(Daemon::start_with(&home.path().join("config"), &env).await);
            replicas.push(Replica {
                home,
                env,
                way,
                daemon,
                logs: Vec::new(),
            });
        }
        Self {
            postgres,
            slack,
            _deck: deck,
            replicas,
            accepted: Arc::default(),
            sent: 0,
            fails: 1,
            tasks: TaskTracker::new(),
            http: Http::new().unwrap().open().clone(),
        }
    }

    /// The replica that leads, by the lease, and the lease's number; `None` while nobody holds it.
    pub(super) fn leader(&self) -> Option<(usize, u64)> {
        let row = self.postgres.sql(
            "notifier",
            "SELECT holder, epoch FROM lead WHERE until > extract(epoch FROM clock_timestamp()) * 1000",
        );
        let (holder, epoch) = row.split_once('|')?;
        Some((self.known_as(holder)?, epoch.parse().unwrap()))
    }

    /// The replica that sends to a receiver, or was the last to do so.
    pub(super) fn sender(&self, receiver: &str) -> Option<usize> {
        let holder = format!("SELECT holder FROM holds WHERE receiver = '{receiver}'");
        self.known_as(&self.postgres.sql("notifier", &holder))
    }

    /// The replica that calls itself so.
    fn known_as(&self, holder: &str) -> Option<usize> {
        let is_it = |daemon: &Daemon| holder.contains(&format!("(process {})", daemon.child.id()));
        let mut replicas = self.replicas.iter();
        replicas.position(|replica| replica.daemon.as_ref().is_some_and(is_it))
    }

    /// Sends so many webhooks a second for so long, to all replicas by turns.
    pub(super) async fn load(&mut self, a_second: u32, time: Duration) {
        self.fails = (a_second * FAILS_EVERY_S).into();
        let mut tick = tokio::time::interval(Duration::from_secs(1) / a_second);
        let until = Instant::now() + time;
        while Instant::now() < until {
            tick.tick().await;
            self.send();
        }
    }

    /// Sends a webhook as Prow would: to one replica, and again to another until one takes it.
    pub(super) fn send(&mut self) {
        let number = self.sent;
        self.sent += 1;
        let mut job = failed("s3", 1);
        job.job = format!("job-{number}-end");
        if number.is_multiple_of(self.fails) {
            job.annotations = vec![(
                "prow-notifier.io/stage".to_owned(),
                format!("stage-{number}"),
            )];
        } else {
            job = job
                .clone()
                .ended("success", "Job succeeded.", job.completed);
        }
        let addresses: Vec<_> = self
            .replicas
            .iter()
            .filter_map(|replica| replica.daemon.as_ref())
            .map(|daemon| daemon.address)
            .collect();
        let first = usize::try_from(number).unwrap();
        let (http, accepted) = (self.http.clone(), Arc::clone(&self.accepted));
        self.tasks
            .spawn(send(http, job, addresses, first, accepted));
    }

    /// Waits until all webhooks are taken or given up.
    pub(super) async fn all_sent(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    /// Waits until nothing has been under way for longer than anything is held back.
    pub(super) async fn settle(&self) {
        self.all_sent().await;
        let began = Instant::now();
        let mut busy_at = Instant::now();
        while busy_at.elapsed() < HELD_BACK {
            let waiting = self.postgres.sql(
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

    /// How often a webhook was sent again because no replica, or not the right one, took it.
    pub(super) fn retries(&self) -> u64 {
        self.accepted.lock().unwrap().retries
    }

    /// Checks that all that was sent was accepted, decided and, if they failed, told, that no run was told twice, and that
    /// nobody panicked. Gives how often a message came again.
    pub(super) fn check_nothing_lost(&self) -> usize {
        let accepted = self.accepted.lock().unwrap();
        let taken = accepted.runs.len() as u64;
        assert_eq!(taken, self.sent, "some were never taken");
        let sql = |sql: &str| self.postgres.sql("notifier", sql);
        let stored = sql("SELECT name FROM runs");
        let stored: BTreeSet<&str> = stored.lines().collect();
        let is_lost = |run: &&String| !stored.contains(run.as_str());
        let lost: Vec<&String> = accepted.runs.iter().filter(is_lost).collect();
        assert!(lost.is_empty(), "accepted and never decided: {lost:?}");
        let notified = sql(
            "SELECT coalesce(max(times), 0) FROM (SELECT count(*) AS times FROM decisions \
             WHERE decision = 'notify' GROUP BY run_id) AS counted",
        );
        assert_eq!(notified, "1", "so often was a run told");

        let mut told: BTreeMap<String, usize> = BTreeMap::new();
        let mut all = String::new();
        for message in self.slack.messages() {
            let of_message = format!("{} {}", message.hook, id(&message));
            *told.entry(of_message).or_default() += 1;
            all.push_str(&message.payload.to_string());
        }
        let is_untold = |job: &&String| !all.contains(job.as_str());
        let untold: Vec<&String> = accepted.failed.iter().filter(is_untold).collect();
        assert!(untold.is_empty(), "accepted and never told: {untold:?}");
        assert!(self.slack.violations().is_empty());
        for replica in &self.replicas {
            let mut log = replica.log().into_iter();
            let panic = log.find(|line| line.contains("panicked"));
            assert_eq!(panic, None);
        }
        told.values().map(|times| times - 1).sum()
    }

    /// Starts a replica anew.
    pub(super) async fn revive(&mut self, index: usize) {
        let replica = &mut self.replicas[index];
        replica.daemon = Some(Daemon::start_with(&replica.config(), &replica.env).await);
    }

    /// Sends a signal to a replica.
    pub(super) fn signal(&self, index: usize, signal: rustix::process::Signal) {
        let daemon = self.replicas[index].daemon.as_ref().unwrap();
        let id = i32::try_from(daemon.child.id()).unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Kills a replica in the midst of whatever it does.
    pub(super) async fn kill(&mut self, index: usize) {
        let replica = &mut self.replicas[index];
        let mut daemon = replica.daemon.take().unwrap();
        daemon.child.kill().unwrap();
        daemon.ended().await;
        replica.logs.extend(daemon.log());
    }
}

impl Drop for Cluster {
    #[expect(
        clippy::print_stderr,
        reason = "shown by the test harness, for a test that failed"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (index, replica) in self.replicas.iter().enumerate() {
                for line in replica.log().iter().rev().take(60).rev() {
                    eprintln!("replica {index}: {line}");
                }
            }
        }
    }
}

async fn send(
    http: Client,
    job: Job,
    addresses: Vec<std::net::SocketAddr>,
    first: usize,
    accepted: Arc<Mutex<Accepted>>,
) {
    let body = job.to_json().to_string();
    let began = Instant::now();
    let mut pause = Duration::from_millis(200);
    // Longer than any fault lasts; Prow itself gives up sooner.
    for attempt in 0.. {
        if began.elapsed() > DEADLINE {
            return;
        }
        let address = addresses[(first + attempt) % addresses.len()];
        let answer = http
            .post(format!("http://{address}/hooks/prowjob"))
            .header("X-Hub-Signature-256", sign(body.as_bytes()))
            .body(body.clone())
            .timeout(Duration::from_secs(4))
            .send()
            .await;
        if answer.is_ok_and(|answer| answer.status() == 202) {
            let mut accepted = accepted.lock().unwrap();
            accepted.runs.insert(job.name());
            if job.state == "failure" {
                accepted.failed.insert(job.job);
            }
            return;
        }
        accepted.lock().unwrap().retries += 1;
        // Ever more seldom, so that many who wait do not keep everybody from getting on.
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}
