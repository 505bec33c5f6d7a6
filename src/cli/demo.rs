//! `demo`: the whole daemon, with stand-ins for Prow and Slack, replays a real storm in some 20 seconds.
//! Nothing of it is faked but the two ends and the clock.

mod storyline;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde_json::Value;
use sha2::Sha256;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::storyline::Step;
use super::{Outcome, out};
use crate::{
    app::App,
    clock::Clock,
    domain::{decision::Decision, notification::Event},
    metrics::{EventLabel, ReadLabel},
    pipeline::{Origin, Shared},
    slack::preview_text,
    standin::{
        bucket::{BucketStandin, Object},
        prow::DeckStandin,
        slack::{Options, SlackStandIn},
    },
};

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// End after the story instead of waiting for Ctrl-C
    #[arg(long)]
    once: bool,
}

/// The classification that is shipped for ACK.
const RULES: &str = include_str!("../../config/ack.yaml");
/// The secret that webhooks of the demo are signed with.
const TOKEN: &str = "demo-secret";
/// One step of the story's clock while something happens, and while nothing does.
const SLOW: Duration = Duration::from_secs(5);
const FAST: Duration = Duration::from_secs(600);
/// For this long after something happened the clock stays slow: a shared cause is updated every 10 min.
const LINGER: jiff::SignedDuration = jiff::SignedDuration::from_mins(12);
/// How long one step really takes.
const TICK: Duration = Duration::from_millis(18);
const SECOND: Duration = Duration::from_secs(1);
/// Deck is asked this often, in the story's time.
const POLL: jiff::SignedDuration = jiff::SignedDuration::from_secs(30);

/// Runs the command.
pub fn run(args: &Args) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(play(args))?;
    Ok(Outcome::Done)
}

async fn play(args: &Args) -> Result<()> {
    let clock = Clock::manual(storyline::begin());
    let tracker = TaskTracker::new();
    let slack = SlackStandIn::start(Options {
        clock: clock.clone(),
        ..Options::default()
    })
    .await?;
    let deck = DeckStandin::start(&tracker).await?;
    let bucket = BucketStandin::start(&tracker).await?;
    let steps = storyline::steps();
    let home = tempfile::tempdir().context("cannot make a temporary folder")?;
    write_config(home.path(), &slack, &deck, &bucket, &steps)?;
    let token = write_token(home.path())?;
    let origin = Origin {
        paths: vec![home.path().join("config")],
        environment: BTreeMap::new(),
    };
    let app = App::build(origin, clock).await?;
    let (shared, address) = (app.shared.clone(), app.address);
    let stop = CancellationToken::new();
    let daemon = tracker.spawn(app.run(stop.clone()));
    introduce(address);
    let mut stage = Stage {
        shared,
        slack,
        deck,
        bucket,
        hook: format!("http://{address}/hooks/prowjob"),
        printed: 0,
        last_poll: storyline::begin(),
    };
    stage.play(&steps).await?;
    stage.conclude(&steps).await?;
    if !args.once {
        out::line(&format!(
            "\nThe daemon is still running. Look around: http://{address}/  (Ctrl-C ends it)\n\
             To silence something or to send a message again: http://{address}/login#{token}"
        ));
        tokio::select! {
            ended = tokio::signal::ctrl_c() => ended.context("cannot wait for Ctrl-C")?,
            () = stage.go_on() => {}
        }
    }
    stop.cancel();
    daemon.await.context("the daemon panicked")??;
    stage.slack.stop().await;
    Ok(())
}

fn introduce(address: std::net::SocketAddr) {
    out::line(&out::styled(
        out::BOLD,
        "prow-notifier demo: the fleet release of 53 ACK controllers, 19 and 20 May 2026",
    ));
    out::line(
        "Prow, its bucket of logs and Slack are local stand-ins; all else is the real daemon with the rules for ACK.",
    );
    out::line(&format!(
        "Quiet hours are skipped. Watch it on the release board: http://{address}/"
    ));
}

/// A configuration like a user's: ACK's rules, a channel per service, one for the platform. Its deadlines are
/// shorter, so that nobody waits for the story's end, and a step of the clock is less than `group_wait`, so that no
/// message outruns its reason.
fn write_config(
    home: &Path,
    slack: &SlackStandIn,
    deck: &DeckStandin,
    bucket: &BucketStandin,
    steps: &[Step],
) -> Result<()> {
    let (config, secrets) = (home.join("config"), home.join("slack"));
    fs::create_dir_all(&config)?;
    fs::create_dir_all(&secrets)?;
    for service in services(steps) {
        fs::write(secrets.join(&service), slack.url(&service))?;
    }
    fs::write(home.join("platform"), slack.url("platform"))?;
    fs::write(home.join("hmac"), TOKEN)?;
    let show = |name: &str| home.join(name).display().to_string();
    let team = format!(
        r#"store: {{ url: "sqlite://{}" }}
server: {{ listen: "127.0.0.1:0" }}
sources:
  webhook: {{ hmac_file: "{}" }}
  deck: {{ url: "{}", interval: 1h }}
dedup: {{ group_wait: 15s }}
artifacts: {{ endpoints: [{{ for: gs, endpoint: "{}", anonymous: true }}] }}
delivery: {{ allowed_hosts: ["{}"] }}
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
fallback_receiver: platform
"#,
        show("state.db"),
        show("hmac"),
        deck.url(),
        bucket.url(),
        slack.host(),
        show("platform"),
        show("slack"),
    );
    let rules = RULES.replace("within: 30m", "within: 10m");
    fs::write(config.join("10-ack.yaml"), rules)?;
    fs::write(config.join("20-receivers.yaml"), team)?;
    Ok(())
}

/// A token for this demo alone, whose daemon only this machine reaches.
fn write_token(home: &Path) -> Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).context("cannot make a random token")?;
    let token = hex::encode(random);
    fs::write(home.join("tokens"), format!("demo: {token}\n"))?;
    let file = home.join("tokens").display().to_string();
    let access = format!("server: {{ access: {{ tokens_file: \"{file}\" }} }}\n");
    fs::write(home.join("config/30-access.yaml"), access)?;
    Ok(token)
}

fn services(steps: &[Step]) -> BTreeSet<String> {
    let repository = |step: &Step| {
        step.job
            .pointer("/spec/refs/repo")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    steps
        .iter()
        .filter_map(repository)
        .filter_map(|repo| repo.strip_suffix("-controller").map(str::to_owned))
        .collect()
}

/// Both ends of the daemon, and the clock's hand.
struct Stage {
    shared: Shared,
    slack: SlackStandIn,
    deck: DeckStandin,
    bucket: BucketStandin,
    hook: String,
    printed: usize,
    last_poll: Timestamp,
}

impl Stage {
    async fn play(&mut self, steps: &[Step]) -> Result<()> {
        let mut rest = steps.iter().peekable();
        let mut busy_until = storyline::begin() + LINGER;
        while rest.peek().is_some() || self.shared.clock.now() < busy_until {
            let next = rest.peek().map(|step| step.at);
            self.let_read().await?;
            self.tick(next, busy_until);
            while let Some(step) = rest.next_if(|step| step.at <= self.shared.clock.now()) {
                self.happen(step).await?;
                busy_until = step.at + LINGER;
            }
            tokio::time::sleep(TICK).await;
            self.print_new();
        }
        self.settle().await?;
        Ok(())
    }

    /// The story's clock outruns a bucket, so it stands still while logs are read.
    async fn let_read(&self) -> Result<()> {
        for _ in 0..200 {
            let under_way = self.shared.reports.under_way();
            let idle = under_way.is_empty();
            let due = self.shared.store.next_read_due(under_way).await?;
            if idle && due.is_none_or(|due| due > self.shared.clock.now()) {
                break;
            }
            self.shared.reads_bell.notify_one();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Moves the clock and wakes whoever waits for a time to come.
    fn tick(&mut self, next: Option<Timestamp>, busy_until: Timestamp) {
        let now = self.shared.clock.now();
        let step = if now < busy_until { SLOW } else { FAST };
        let to_next = next
            .and_then(|next| Duration::try_from(next.duration_since(now)).ok())
            .filter(|gap| !gap.is_zero());
        self.shared
            .clock
            .advance(to_next.map_or(step, |gap| gap.min(step)));
        self.ring();
    }

    /// Wakes whoever waits for a time to come.
    fn ring(&mut self) {
        if self.shared.clock.now().duration_since(self.last_poll) >= POLL {
            self.last_poll = self.shared.clock.now();
            self.shared.deck_bell.notify_one();
        }
        self.shared.inbox_bell.notify_one();
        self.shared.reads_bell.notify_one();
        self.shared.outbox_bell.notify_one();
    }

    /// After the story its time is everybody's, so that a silence made on the board ends.
    async fn go_on(&mut self) {
        loop {
            tokio::time::sleep(SECOND).await;
            self.shared.clock.advance(SECOND);
            self.ring();
            self.print_new();
        }
    }

    async fn happen(&self, step: &Step) -> Result<()> {
        // Prow stores the log before it says that the run is over.
        if let Some((path, log)) = &step.log {
            self.bucket
                .put(path, Object::Bytes(log.clone().into_bytes().into()));
        }
        self.deck.upsert(step.job.clone());
        if !step.by_webhook {
            return Ok(());
        }
        let body = step.job.to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(TOKEN.as_bytes()).context("cannot sign")?;
        mac.update(body.as_bytes());
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let request = self
            .shared
            .http
            .open()
            .post(&self.hook)
            .header("X-Hub-Signature-256", signature)
            .body(body);
        request
            .send()
            .await?
            .error_for_status()
            .context("the daemon refused a webhook")?;
        Ok(())
    }

    /// Lets everything that is under way arrive.
    async fn settle(&mut self) -> Result<()> {
        for _ in 0..400 {
            let counts = self.shared.store.counts().await?;
            if counts.inbox == 0 && counts.outbox_pending == 0 {
                break;
            }
            self.tick(None, Timestamp::MAX);
            tokio::time::sleep(TICK).await;
        }
        self.print_new();
        Ok(())
    }

    fn print_new(&mut self) {
        let messages = self.slack.messages();
        for message in messages.iter().skip(self.printed) {
            let at = message.at.strftime("%d %b %H:%M:%S");
            let channel = if message.hook == "platform" {
                "#platform".to_owned()
            } else {
                format!("#{}", message.hook)
            };
            out::line(&format!(
                "\n{}  {}",
                out::styled(out::DIM, &at.to_string()),
                out::styled(out::BOLD, &channel)
            ));
            for line in preview_text(&message.payload).lines() {
                out::line(&format!("  {}", out::printable(line)));
            }
        }
        self.printed = messages.len();
    }

    fn told(&self, event: Event) -> usize {
        let event = event.as_str();
        let told = &self.shared.metrics.notifications;
        let told = told.get_or_create(&EventLabel { event }).get();
        usize::try_from(told).unwrap_or_default()
    }

    /// Reasons that were found in the bucket.
    fn reasons(&self) -> u64 {
        let read = &self.shared.metrics.artifact_reads;
        read.get_or_create(&ReadLabel { result: "found" }).get()
    }

    /// Each red run is told to its service alone; of what #platform was told, the rest is shared.
    fn folded(&self, red: usize) -> String {
        let alone = self.told(Event::Opened).saturating_sub(red);
        format!(
            "{} of {red} red runs, in {} shared messages",
            red.saturating_sub(alone),
            self.told(Event::SharedCause)
        )
    }

    /// The first lines of what a channel was told.
    fn headlines(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let messages = self.slack.messages().into_iter();
        messages
            .filter(|message| is_wanted(&message.hook))
            .filter_map(|message| {
                let text = preview_text(&message.payload);
                let first = text.lines().next()?.trim_start_matches("┌ ");
                Some(out::printable(first))
            })
            .collect()
    }

    /// What was found of a version that nothing publishes.
    fn stalled_release(&self) -> String {
        let told = self.headlines(|hook| hook == "platform");
        let found = told
            .into_iter()
            .find(|line| line.contains("publish did not start"));
        found.map_or_else(
            || "not found".to_owned(),
            |line| format!("found without a red run: {line}"),
        )
    }

    /// What was said of a failure and of those that it knocked over.
    fn root_cause(&self) -> String {
        let messages = self.slack.messages();
        let root = format!("Knocked over by: publish of {}", storyline::ROOT);
        let behind = |to_platform: bool| {
            let told = messages.iter().filter(|message| {
                (message.hook == "platform") == to_platform
                    && preview_text(&message.payload).contains(&root)
            });
            told.count()
        };
        format!(
            "publish of {} knocked over the chart of {} services: each told in its own channel, #platform {} times",
            storyline::ROOT,
            behind(false),
            behind(true)
        )
    }

    async fn conclude(&self, steps: &[Step]) -> Result<()> {
        let counts = self.shared.store.counts().await?;
        let messages = self.slack.messages();
        let platform = messages
            .iter()
            .filter(|message| message.hook == "platform")
            .count();
        let mut per_service: BTreeMap<&str, usize> = BTreeMap::new();
        for message in messages.iter().filter(|message| message.hook != "platform") {
            *per_service.entry(&message.hook).or_default() += 1;
        }
        let most = per_service.values().max().copied().unwrap_or_default();
        let decided = |decision| counts.decisions.get(&decision).copied().unwrap_or_default();
        let red = steps.iter().filter(|step| step.is_red).count();
        let rows = [
            ("red runs", red.to_string()),
            (
                "messages to #platform",
                format!("{platform}, instead of {red} and as many recoveries"),
            ),
            (
                "messages to services",
                format!(
                    "{} in {} channels, at most {most} each",
                    messages.len() - platform,
                    per_service.len()
                ),
            ),
            (
                "observations",
                format!(
                    "{} accepted, {} decided",
                    counts.accepted,
                    counts.decisions.values().sum::<u64>()
                ),
            ),
            ("notify", decided(Decision::Notify).to_string()),
            ("folded at #platform", self.folded(red)),
            ("deduplicated", decided(Decision::Deduplicated).to_string()),
            ("recovered", decided(Decision::Recovered).to_string()),
            ("not-failed", decided(Decision::NotFailed).to_string()),
            (
                "stalled",
                format!(
                    "{} messages of a stage that did not start",
                    self.told(Event::Stalled)
                ),
            ),
            ("stalled release", self.stalled_release()),
            ("root cause", self.root_cause()),
            (
                "reasons read",
                format!("{} logs of the bucket", self.reasons()),
            ),
            ("still open", counts.incidents_open.to_string()),
            (
                "Slack's answers",
                format!(
                    "{} ok, {} of 429, {} refused for their form",
                    messages.len(),
                    self.slack.rate_limited(),
                    self.slack.violations().len()
                ),
            ),
        ];
        out::line(&out::styled(out::BOLD, "\nWhat happened"));
        for (name, value) in rows {
            out::line(&format!("  {name:22} {value}"));
        }
        Ok(())
    }
}
