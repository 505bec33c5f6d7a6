//! The daemon as users run it: the real program between a strict stand-in for Slack and one for deck. Leaving
//! a test checks what must always hold. Nothing in here reaches into the program.

pub(crate) mod daemon;
pub(crate) mod postgres;
pub(crate) mod random;
mod reply;
mod samples;
pub(crate) mod skew;

use std::{
    cell::{Cell, RefCell},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use prow_notifier::{
    http::Http,
    standin::{
        kube::KubeStandin,
        prow::{DeckStandin, Job},
        slack::{Message, Options, Pace, SlackStandIn},
    },
};
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use daemon::Daemon;
pub(crate) use reply::{Metrics, Reply, sign};
pub(crate) use samples::{failed, hooks, id, names_what_broke, passed, text};

/// What webhooks are signed with.
pub(crate) const TOKEN: &str = "a-secret-of-the-tests";
/// Nothing that is waited for takes this long, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);
/// Between two looks at a daemon's metrics.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
const RULES: &str = include_str!("../../config/ack.yaml");

/// What a test's world looks like.
pub(crate) struct Setup {
    /// Whether the daemon polls the deck stand-in.
    pub(crate) deck: bool,
    /// Whether the daemon watches the stand-in of the API server.
    pub(crate) watch: bool,
    /// Whether webhooks are taken.
    pub(crate) webhooks: bool,
    /// How fast the Slack stand-in takes messages.
    pub(crate) pace: Option<Pace>,
    /// What sorts runs.
    pub(crate) rules: &'static str,
    /// More settings; they win over the usual ones.
    pub(crate) settings: String,
}

impl Default for Setup {
    /// Webhooks only, at Slack's own pace.
    fn default() -> Self {
        Self {
            deck: false,
            watch: false,
            webhooks: true,
            pace: Options::default().pace,
            rules: RULES,
            settings: String::new(),
        }
    }
}

impl Setup {
    /// A daemon that polls deck once a second.
    pub(crate) fn with_deck() -> Self {
        Self {
            deck: true,
            ..Self::default()
        }
    }

    /// A daemon that watches, and asks for a new watch every second.
    pub(crate) fn with_watch() -> Self {
        Self {
            watch: true,
            ..Self::default()
        }
    }

    /// Deck is polled too.
    #[must_use]
    pub(crate) fn and_deck(mut self) -> Self {
        self.deck = true;
        self
    }

    /// For tests that send more than Slack likes: neither end holds anything back.
    #[must_use]
    pub(crate) fn unpaced(mut self) -> Self {
        self.pace = None;
        self.with("delivery: { rate_per_s: 10000, burst: 10000 }")
    }

    /// Deck is the only source.
    #[must_use]
    pub(crate) fn without_webhooks(mut self) -> Self {
        self.webhooks = false;
        self
    }

    /// With these settings, in YAML; each section once.
    #[must_use]
    pub(crate) fn with(mut self, settings: &str) -> Self {
        self.settings.push_str(settings);
        self.settings.push('\n');
        self
    }
}

/// Services that have a channel of their own; the others do without.
const SERVICES: [&str; 3] = ["lambda", "s3", "sqs"];

/// A running daemon and its surroundings.
pub(crate) struct Context {
    /// Slack: the webhooks `platform`, `s3`, `lambda` and `sqs`.
    pub(crate) slack: SlackStandIn,
    /// Deck, polled if the setup says so.
    pub(crate) deck: DeckStandin,
    /// The API server, watched if the setup says so.
    pub(crate) kube: KubeStandin,
    http: Client,
    home: TempDir,
    daemon: Option<Daemon>,
    /// Logs of the daemons that have ended.
    logs: Vec<String>,
    read: Cell<usize>,
    expected_errors: RefCell<Vec<String>>,
    allowed_errors: RefCell<Vec<String>>,
}

/// Runs a test against a daemon, and checks on leaving that the daemon stops cleanly, has decided on all it
/// accepted, logged no error and no panic, that Slack had nothing to complain of, and that the test knows
/// of every message.
pub(crate) async fn run(setup: Setup, test: impl AsyncFnOnce(&mut Context)) {
    let mut context = Context::new(&setup).await;
    context.start().await;
    test(&mut context).await;
    context.leave().await;
}

impl Context {
    /// Stand-ins and configuration; no daemon yet.
    async fn new(setup: &Setup) -> Self {
        let slack = SlackStandIn::start(Options {
            pace: setup.pace,
            ..Options::default()
        });
        let slack = slack.await.unwrap();
        let http = Http::new().unwrap().open().clone();
        let deck = DeckStandin::start(&TaskTracker::new()).await.unwrap();
        let kube = KubeStandin::start(&TaskTracker::new()).await.unwrap();
        let home = tempfile::tempdir().unwrap();
        kube.write_kubeconfig(&home.path().join("kubeconfig"))
            .unwrap();
        write_config(home.path(), setup, &slack, &deck);
        Self {
            slack,
            deck,
            kube,
            http,
            home,
            daemon: None,
            logs: Vec::new(),
            read: Cell::new(0),
            expected_errors: RefCell::default(),
            allowed_errors: RefCell::default(),
        }
    }

    /// The database.
    pub(crate) fn store(&self) -> PathBuf {
        self.home.path().join("state.db")
    }

    /// Lets the next daemon keep its state elsewhere.
    pub(crate) fn use_store(&self, url: &str) {
        let text = format!("store: {{ url: \"{url}\" }}\n");
        fs::write(self.home.path().join("config/40-store.yaml"), text).unwrap();
    }

    /// Where the daemon listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.daemon().address
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("the daemon runs")
    }

    /// The most memory that the daemon has had so far, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        let status = format!("/proc/{}/status", self.daemon().child.id());
        let status = fs::read_to_string(status).unwrap();
        let mut lines = status.lines();
        let peak = lines.find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Its configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.home.path().join("config")
    }

    /// Throws the store of a stopped daemon away, so that the next start is the first.
    pub(crate) fn forget(&self) {
        assert!(self.daemon.is_none(), "the daemon still uses its store");
        fs::remove_file(self.store()).unwrap();
    }

    /// Starts the daemon and waits until it listens.
    pub(crate) async fn start(&mut self) {
        assert!(self.daemon.is_none(), "one daemon at a time");
        self.daemon = Some(Daemon::start(&self.home.path().join("config")).await);
    }

    /// Stops the daemon as Kubernetes does; it must end cleanly.
    pub(crate) async fn stop(&mut self) {
        let mut daemon = self.daemon.take().expect("the daemon runs");
        daemon.terminate();
        let code = daemon.ended().await;
        let log = daemon.log();
        let all = log.join("\n");
        assert_eq!(code, Some(0), "the daemon did not end cleanly:\n{all}");
        assert!(all.contains("\"message\":\"Stopped\""), "{all}");
        self.logs.extend(log);
    }

    /// Kills the daemon in the midst of whatever it does.
    pub(crate) async fn kill(&mut self) {
        let mut daemon = self.daemon.take().expect("the daemon runs");
        daemon.child.kill().unwrap();
        daemon.ended().await;
        let mut log = daemon.log();
        // It may have been writing its last line.
        let is_cut = |line: &String| serde_json::from_str::<Value>(line).is_err();
        log.pop_if(|line| is_cut(line));
        self.logs.extend(log);
    }

    /// A request to the daemon.
    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.address());
        self.http.request(method.parse().unwrap(), url)
    }

    /// Posts a signed body to a hook.
    pub(crate) fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> RequestBuilder {
        let body = body.into();
        self.request("POST", path)
            .header("X-Hub-Signature-256", sign(&body))
            .body(body)
    }

    /// Sends a ProwJob by webhook; it must be accepted.
    pub(crate) async fn webhook(&self, job: &Job) {
        let reply = Reply::to(self.post("/hooks/prowjob", job.to_json().to_string())).await;
        assert_eq!((reply.status, reply.text.as_str()), (202, "accepted 1\n"));
    }

    /// The next `count` messages at Slack, by webhook and then in order.
    pub(crate) async fn messages(&self, count: usize) -> Vec<Message> {
        let wanted = self.read.get() + count;
        let all = tokio::time::timeout(DEADLINE, self.slack.wait_for(wanted)).await;
        let all = all.unwrap_or_else(|_| self.give_up(&format!("{count} more messages")));
        let mut new: Vec<Message> = all
            .into_iter()
            .skip(self.read.replace(wanted))
            .take(count)
            .collect();
        new.sort_by(|a, b| a.hook.cmp(&b.hook));
        new
    }

    /// How many messages came that nobody has looked at.
    pub(crate) fn unread(&self) -> usize {
        self.slack.messages().len() - self.read.get()
    }

    /// Waits until everything accepted is decided and everything decided is delivered or given up.
    pub(crate) async fn settle(&self) -> Metrics {
        self.until("nothing is under way", |metrics| {
            metrics.sum("observations_total")
                == metrics.sum("decisions_total") + metrics.sum("poisoned_observations_total")
                && metrics.sum("inbox_depth") == 0
                && metrics.sum("outbox_pending") == 0
        })
        .await
    }

    /// Waits until deck has been read anew from begin to end, well or not, and all of it is settled.
    pub(crate) async fn polled(&self) -> Metrics {
        let before = self.metrics().await.sum("deck_polls_total");
        // The one that is counted next may have begun before.
        self.until("two more polls of deck", |metrics| {
            metrics.sum("deck_polls_total") >= before + 2
        })
        .await;
        self.settle().await
    }

    /// Waits until two watches have ended, well or not, and all that they told is settled.
    pub(crate) async fn watched(&self) -> Metrics {
        let before = self.metrics().await.sum("watches_total");
        self.until("two more watches", |metrics| {
            metrics.sum("watches_total") >= before + 2
        })
        .await;
        self.settle().await
    }

    /// Waits until deck's whole list has been read well once more.
    pub(crate) async fn polled_well(&self) -> Metrics {
        let good = "deck_polls_total{result=\"success\"}";
        let before = self.metrics().await.get(good);
        self.until("a good poll of deck", |metrics| metrics.get(good) > before)
            .await;
        self.settle().await
    }

    /// Waits until the metrics are as wanted.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Metrics) -> bool) -> Metrics {
        let looked = async {
            loop {
                let metrics = self.metrics().await;
                if holds(&metrics) {
                    return metrics;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let found = tokio::time::timeout(DEADLINE, looked).await;
        found.unwrap_or_else(|_| self.give_up(what))
    }

    fn give_up(&self, what: &str) -> ! {
        panic!(
            "waited in vain until {what}; the stand-in's answers: {:?}",
            self.slack.answers()
        );
    }

    /// What `/metrics` says.
    pub(crate) async fn metrics(&self) -> Metrics {
        let reply = Reply::to(self.request("GET", "/metrics")).await;
        assert_eq!(reply.status, 200);
        Metrics::read(&reply.text)
    }

    /// What `/readyz` says.
    pub(crate) async fn readyz(&self) -> (u16, Value) {
        let reply = Reply::to(self.request("GET", "/readyz")).await;
        (reply.status, serde_json::from_str(&reply.text).unwrap())
    }

    /// What `explain` says of a run or a notification; `None` when it knows nothing.
    pub(crate) fn explain(&self, subject: &str) -> Option<Value> {
        let ran = Command::new(env!("CARGO_BIN_EXE_prow-notifier"))
            .args(["explain", subject, "--format", "json", "--config"])
            .arg(self.home.path().join("config"))
            .env_clear()
            .output()
            .unwrap();
        match ran.status.code() {
            Some(0) => Some(serde_json::from_slice(&ran.stdout).unwrap()),
            Some(1) => None,
            _ => panic!("{}", String::from_utf8_lossy(&ran.stderr)),
        }
    }

    /// All log lines so far, of all daemons of this test.
    pub(crate) fn log(&self) -> Vec<String> {
        let running = self.daemon.as_ref().map(Daemon::log);
        self.logs
            .iter()
            .cloned()
            .chain(running.into_iter().flatten())
            .collect()
    }

    /// Waits for a log line with this in its message.
    pub(crate) async fn logged(&self, words: &str) -> Value {
        self.daemon().logged(words, 0).await
    }

    /// Waits for such a line after the first `lines` of [`Self::log`].
    pub(crate) async fn logged_after(&self, lines: usize, words: &str) -> Value {
        let before = lines - self.logs.len();
        self.daemon().logged(words, before).await
    }

    /// An error must and may be logged whose message has these words in it.
    pub(crate) fn expect_error(&self, words: &str) {
        self.expected_errors.borrow_mut().push(words.to_owned());
    }

    /// The daemon may log an error with these words, or not: that depends on what it was doing just then.
    pub(crate) fn allow_error(&self, words: &str) {
        self.allowed_errors.borrow_mut().push(words.to_owned());
    }

    async fn leave(mut self) {
        if self.daemon.is_some() {
            self.settle().await;
            self.stop().await;
        }
        self.check_log();
        let violations = self.slack.violations();
        assert!(violations.is_empty(), "Slack refused: {violations:#?}");
        let unread: Vec<String> = self
            .slack
            .messages()
            .iter()
            .skip(self.read.get())
            .map(text)
            .collect();
        assert!(unread.is_empty(), "messages nobody expected: {unread:#?}");
    }

    fn check_log(&self) {
        let mut expected = self.expected_errors.borrow().clone();
        for line in self.log() {
            let entry: Value =
                serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a log line: {line}"));
            assert!(!line.contains(TOKEN), "the log tells a secret: {line}");
            assert!(
                !line.contains("/services/"),
                "the log tells a webhook: {line}"
            );
            if entry["level"] == "ERROR" {
                let message = entry["message"].as_str().unwrap();
                let has = |words: &&String| message.contains(words.as_str());
                let known = self.expected_errors.borrow();
                let known = known.iter().find(has);
                let allowed = self.allowed_errors.borrow().iter().any(|words| has(&words));
                assert!(known.is_some() || allowed, "an unexpected error: {line}");
                expected.retain(|words| Some(words) != known);
            }
        }
        assert!(
            expected.is_empty(),
            "errors that were not logged: {expected:?}"
        );
    }
}

impl Drop for Context {
    #[expect(
        clippy::print_stderr,
        reason = "shown by the test harness, for a test that failed"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            for line in self.log().iter().rev().take(40).rev() {
                eprintln!("{line}");
            }
        }
    }
}

pub(crate) fn write_config(home: &Path, setup: &Setup, slack: &SlackStandIn, deck: &DeckStandin) {
    let show = |name: &str| home.join(name).display().to_string();
    fs::create_dir_all(home.join("config")).unwrap();
    fs::create_dir_all(home.join("slack")).unwrap();
    for service in SERVICES {
        fs::write(home.join("slack").join(service), slack.url(service)).unwrap();
    }
    fs::write(home.join("platform"), slack.url("platform")).unwrap();
    fs::write(home.join("hmac"), TOKEN).unwrap();
    let mut sources = Vec::new();
    if setup.webhooks {
        sources.push(format!("webhook: {{ hmac_file: \"{}\" }}", show("hmac")));
    }
    if setup.deck {
        sources.push(format!(
            "deck: {{ url: \"{}\", interval: 1s, timeout: 5s }}",
            deck.url()
        ));
    }
    if setup.watch {
        let kubeconfig = show("kubeconfig");
        sources.push(format!(
            "watch: {{ namespace: prow, kubeconfig: \"{kubeconfig}\", renew: 1s, timeout: 2s }}"
        ));
    }
    let receivers = format!(
        r#"store: {{ url: "sqlite://{}" }}
server: {{ listen: "127.0.0.1:0" }}
sources: {{ {} }}
delivery: {{ allowed_hosts: ["{}"], retry: {{ base: 20ms, cap: 100ms }} }}
receivers:
  - name: platform
    slack: {{ webhook_url_file: "{}" }}
  - name: by-service
    slack: {{ webhook_url_dir: "{}" }}
routes:
  - match: ['service!=""']
    receiver: by-service
    continue: true
  - receiver: platform
default_receiver: platform
artifacts: {{ enabled: false }}
fallback_receiver: platform
"#,
        show("state.db"),
        sources.join(", "),
        slack.host(),
        show("platform"),
        show("slack"),
    );
    fs::write(home.join("config/10-rules.yaml"), setup.rules).unwrap();
    fs::write(home.join("config/20-receivers.yaml"), receivers).unwrap();
    fs::write(home.join("config/30-test.yaml"), &setup.settings).unwrap();
}
