//! The daemon's parts driven step by step on a clock that only the test moves: a real store, the worker and the
//! sender, and a strict stand-in for Slack on the same clock.

use std::{fs, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use prow_notifier::{
    clock::Clock,
    domain::observation::Source,
    http::Http,
    metrics::Metrics,
    pipeline::{
        Origin, Shared,
        reading::{Library, Reader},
        reload::{Reload, Reloader},
        sender::Sender,
        worker::Worker,
    },
    prow::parse,
    standin::{
        prow::Job,
        slack::{Message, Options, Pace, SlackStandIn},
    },
    store::{Counts, Store},
};
use tempfile::TempDir;
use tokio::sync::{Notify, watch};

use crate::program::no_environment;

/// When every test begins.
pub(crate) const START: &str = "2026-08-20T10:00:00Z";

/// Any job is a stage of its own, and its repository the service.
pub(crate) const EACH_JOB_A_STAGE: &str = r#"
classify:
  - name: any
    match: ['repo=~"(?<service>.+)-controller"', 'job=~"(?:casual-)?(?<stage>.+)"', 'job!~"casual-.+"']
    set: { service: "$service", stage: "$stage", severity: critical }
  - name: casual
    match: ['repo=~"(?<service>.+)-controller"', 'job=~"casual-(?<stage>.+)"']
    set: { service: "$service", stage: "$stage", severity: non-critical }
"#;

/// The parts and what is around them.
pub(crate) struct Inside {
    /// The one clock.
    pub(crate) clock: Clock,
    /// Slack: the webhooks `platform` and `team`.
    pub(crate) slack: SlackStandIn,
    home: TempDir,
    /// `None` only while it restarts.
    parts: Option<Parts>,
}

struct Parts {
    shared: Shared,
    worker: Worker,
    sender: Sender,
    reader: Reader,
    reloader: Reloader,
}

/// The moment at which every test begins.
pub(crate) fn start() -> Timestamp {
    START.parse().unwrap()
}

/// A failed run of a job in a service's repository that ended at this moment.
pub(crate) fn failed(service: &str, job: &str, ended: Timestamp) -> Job {
    passed(service, job, ended).ended("failure", "Job failed.", Some(ended))
}

/// The same, but it passed.
pub(crate) fn passed(service: &str, job: &str, ended: Timestamp) -> Job {
    let started = ended - SignedDuration::from_mins(5);
    let repository = format!("{service}-controller");
    Job::new(&repository, job, "v1.2.3", started).ended("success", "Job succeeded.", Some(ended))
}

/// Slack's own pace.
pub(crate) fn slack_pace() -> Option<Pace> {
    Options::default().pace
}

impl Inside {
    /// Everything at [`START`], with these rules and settings, at Slack's own pace.
    pub(crate) async fn new(config: &str) -> Self {
        Self::paced(config, slack_pace()).await
    }

    /// The same with another pace of Slack.
    pub(crate) async fn paced(config: &str, pace: Option<Pace>) -> Self {
        Self::beginning(config, pace, start()).await
    }

    /// The same at another moment.
    pub(crate) async fn beginning(config: &str, pace: Option<Pace>, begin: Timestamp) -> Self {
        let clock = Clock::manual(begin);
        let slack = SlackStandIn::start(Options {
            clock: clock.clone(),
            pace,
            ..Options::default()
        });
        let slack = slack.await.unwrap();
        let home = tempfile::tempdir().unwrap();
        let show = |name: &str| home.path().join(name).display().to_string();
        for hook in ["platform", "team"] {
            fs::write(home.path().join(hook), slack.url(hook)).unwrap();
        }
        let receivers = format!(
            "store: {{ url: \"sqlite://{}\" }}\nreceivers:\n  - name: platform\n    slack: {{ webhook_url_file: {} }}\n  - name: team\n    slack: {{ webhook_url_file: {} }}\ndefault_receiver: platform\nfallback_receiver: platform\nartifacts: {{ enabled: false }}\ndelivery: {{ allowed_hosts: [\"{}\"] }}\n",
            show("state.db"),
            show("platform"),
            show("team"),
            slack.host(),
        );
        fs::create_dir(home.path().join("config")).unwrap();
        fs::write(home.path().join("config/10-receivers.yaml"), receivers).unwrap();
        fs::write(home.path().join("config/20-test.yaml"), config).unwrap();
        let parts = Some(Parts::open(&home, clock.clone()).await);
        Self {
            clock,
            slack,
            home,
            parts,
        }
    }

    fn parts(&mut self) -> &mut Parts {
        self.parts.as_mut().unwrap()
    }

    /// What the parts share.
    pub(crate) fn shared(&self) -> &Shared {
        &self.parts.as_ref().unwrap().shared
    }

    /// The folder with the configuration and the store.
    pub(crate) fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    /// Drops everything that is in memory and opens the store anew.
    pub(crate) async fn restart(&mut self) {
        let parts = self.parts.take().unwrap();
        let shared = parts.shared.clone();
        drop(parts);
        shared.store.close().await;
        self.parts = Some(Parts::open(&self.home, self.clock.clone()).await);
    }

    /// Looks at the configuration on disk.
    pub(crate) fn reload(&mut self) -> Reload {
        self.parts().reloader.step()
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Accepts runs, as from a webhook. Nothing is decided yet.
    pub(crate) async fn accept(&self, jobs: &[Job]) {
        let jobs_json: Vec<String> = jobs.iter().map(|job| job.to_json().to_string()).collect();
        let lines = jobs_json.join("\n");
        let parsed = parse::document(lines.as_bytes(), Source::Webhook, self.now()).unwrap();
        assert_eq!(
            (parsed.observations.len(), parsed.problems.len()),
            (jobs.len(), 0)
        );
        self.shared().accept(parsed.observations).await.unwrap();
    }

    /// Decides on all that came in, without reading or sending anything.
    pub(crate) async fn decide(&mut self) -> Option<Timestamp> {
        loop {
            let step = self.parts().worker.step().await.unwrap();
            if !step.more {
                return step.next_due;
            }
        }
    }

    /// Decides on one batch; returns whether more wait.
    pub(crate) async fn decide_some(&mut self) -> bool {
        self.parts().worker.step().await.unwrap().more
    }

    /// Reads what is due, decides on nothing. Returns how many runs were read, and when the next is due.
    pub(crate) async fn read(&mut self) -> (usize, Option<Timestamp>) {
        self.parts().reader.step().await.unwrap()
    }

    /// Decides on all that came in, reads what is to be read, and sends what can be sent now. Returns when
    /// something is due next.
    pub(crate) async fn step(&mut self) -> Option<Timestamp> {
        let now = self.now();
        let (decided, to_read) = loop {
            let decided = self.decide().await;
            if let (0, next) = self.read().await {
                break (decided, next);
            }
        };
        let parts = self.parts();
        let paced = parts.sender.step().await.unwrap();
        let stored = parts.shared.store.next_delivery_due().await.unwrap();
        let next = [decided, to_read, paced, stored.filter(|due| *due > now)];
        let next = next.into_iter().flatten().min();
        assert!(
            next.is_none_or(|next| next > now),
            "due {next:?} and not done at {now}"
        );
        next
    }

    /// Lets so much time pass.
    pub(crate) async fn pass(&mut self, time: SignedDuration) {
        self.until(self.now() + time).await;
    }

    /// Lets time pass up to this moment, stopping wherever something is due.
    pub(crate) async fn until(&mut self, end: Timestamp) {
        loop {
            let next = self.step().await.filter(|next| *next <= end);
            let to = next.unwrap_or(end);
            let by = to.duration_since(self.now());
            self.clock.advance(by.try_into().unwrap());
            if next.is_none() {
                break;
            }
        }
        self.step().await;
    }

    /// What the store counts. Every observation accepted must have exactly one decision.
    pub(crate) async fn counts(&self) -> Counts {
        let counts = self.shared().store.counts().await.unwrap();
        let decided: u64 = counts.decisions.values().sum();
        assert_eq!(
            (counts.inbox, counts.poisoned, decided),
            (0, 0, counts.accepted),
            "{counts:?}"
        );
        counts
    }

    /// Messages to a webhook so far.
    pub(crate) fn messages(&self, hook: &str) -> Vec<Message> {
        let messages = self.slack.messages().into_iter();
        messages.filter(|message| message.hook == hook).collect()
    }

    /// Times and statuses of the answers to a webhook's requests so far.
    pub(crate) fn answers(&self, hook: &str) -> Vec<(Timestamp, u16)> {
        let answers = self.slack.answers().into_iter();
        answers
            .filter(|given| given.hook == hook)
            .map(|given| (given.at, given.status.unwrap_or_default()))
            .collect()
    }
}

impl Parts {
    async fn open(home: &TempDir, clock: Clock) -> Self {
        let path = home.path().join("state.db");
        let store = Store::open(&path, clock.clone()).await.unwrap();
        let first_start = store.init_meta("first_start", clock.now().to_string());
        let first_start: Timestamp = first_start.await.unwrap().parse().unwrap();
        let origin = Origin {
            paths: vec![home.path().join("config")],
            environment: no_environment(),
        };
        let live = origin.load(Some(first_start)).unwrap();
        let (sender, receiver) = watch::channel(Arc::new(live));
        let shared = Shared {
            clock,
            store,
            http: Http::new().unwrap(),
            metrics: Arc::new(Metrics::new()),
            live: receiver,
            arrivals: Arc::default(),
            inbox_bell: Arc::new(Notify::new()),
            outbox_bell: Arc::new(Notify::new()),
            reports: Arc::default(),
            library: Arc::new(Library::new(no_environment())),
            reads_bell: Arc::new(Notify::new()),
            unresolved: Arc::default(),
            catch_up: Arc::default(),
            deck_bell: Arc::new(Notify::new()),
            changes: Arc::new(watch::Sender::new(0)),
        };
        Self {
            worker: Worker::new(shared.clone()),
            sender: Sender::new(shared.clone()),
            reader: Reader::new(shared.clone()),
            reloader: Reloader::new(origin, sender, Arc::clone(&shared.metrics)),
            shared,
        }
    }
}
