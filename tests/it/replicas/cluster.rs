//! Three replicas, each with its own way to one database, a strict Slack, and whoever sends webhooks.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
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
use crate::context::{Setup, daemon::Daemon, failed, postgres::Postgres, sign, write_config};

/// Messages a second and at once, as the daemons are told.
pub(super) const RATE: u32 = 5;
pub(super) const BURST: u32 = 5;
/// A message is on its way for so long, which moves it in Slack's count.
const ON_ITS_WAY: f64 = 1.0;
/// Of so many runs one fails.
const FAILS: u64 = 40;

/// A replica.
pub(super) struct Replica {
    home: TempDir,
    /// Its way to the database.
    pub(super) way: Proxy,
    /// `None` while it is dead.
    pub(super) daemon: Option<Daemon>,
    /// What programs before it logged.
    pub(super) logs: Vec<String>,
}

/// All of it.
pub(super) struct Cluster {
    pub(super) postgres: Postgres,
    pub(super) slack: SlackStandIn,
    _deck: DeckStandin,
    pub(super) replicas: Vec<Replica>,
    pub(super) accepted: Arc<Mutex<Accepted>>,
    tasks: TaskTracker,
    http: Client,
}

/// What replicas said 202 to: names of runs, and the jobs of those that failed.
#[derive(Default)]
pub(super) struct Accepted {
    pub(super) runs: BTreeSet<String>,
    pub(super) failed: BTreeSet<String>,
    pub(super) retries: u64,
}

impl Cluster {
    pub(super) async fn start(postgres: Postgres) -> Self {
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
        for _ in 0..3 {
            let home = tempfile::tempdir().unwrap();
            let way = Proxy::to(postgres.port).await;
            let setup = Setup::default()
                .with(&format!(
                    "store: {{ url: \"postgres://postgres@{}/notifier?sslmode=disable\" }}",
                    way.address
                ))
                .with(&format!(
                    "delivery: {{ rate_per_s: {RATE}, burst: {BURST} }}"
                ));
            write_config(home.path(), &setup, &slack, &deck);
            let daemon = Some(Daemon::start(&home.path().join("config")).await);
            replicas.push(Replica {
                home,
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
        let led = self.replicas.iter().position(|replica| {
            replica
                .daemon
                .as_ref()
                .is_some_and(|daemon| holder.contains(&format!("(process {})", daemon.child.id())))
        })?;
        Some((led, epoch.parse().unwrap()))
    }

    /// Sends a webhook as Prow would: to whichever replica, and again to another until one takes it.
    pub(super) fn send(&self, number: u64, first: usize) {
        let mut job = failed("s3", 1);
        job.job = format!("job-{number}-end");
        if number.is_multiple_of(FAILS) {
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

    /// Starts a replica anew.
    pub(super) async fn revive(&mut self, index: usize) {
        let replica = &mut self.replicas[index];
        replica.daemon = Some(Daemon::start(&replica.home.path().join("config")).await);
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

async fn send(
    http: Client,
    job: Job,
    addresses: Vec<std::net::SocketAddr>,
    first: usize,
    accepted: Arc<Mutex<Accepted>>,
) {
    let body = job.to_json().to_string();
    for attempt in 0..40 {
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
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
