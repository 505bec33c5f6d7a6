//! The daemon under load, as its senders see it: durable intake and the drain behind it, from an event to
//! Slack, memory. Beside Alertmanager, when Debian's `prometheus-alertmanager` is there.
//!
//! `cargo bench --bench daemon`; read ratios, not absolutes. With `PROW_NOTIFIER_BENCH_STORE=postgres://...`, an empty
//! database, only intake and drain, on that.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::missing_docs_in_private_items,
    dead_code,
    reason = "a bench prints and measures, and nothing depends on it"
)]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    hint::black_box,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use hmac::{Hmac, KeyInit as _, Mac as _};
use prow_notifier::{
    domain::observation::Source,
    prow::parse,
    standin::slack::{Options, SlackStandIn},
};
use sha2::Sha256;
use support::{
    Daemon, Load, TOKEN, config, job, load, mib, now, processor, request, resident, sync_time,
};

const SECONDS: Duration = Duration::from_secs(5);
/// Senders at once. Whoever waits for the disk needs many of them: each has one request under way.
const CONNECTIONS: usize = 32;
const MANY_CONNECTIONS: usize = 128;
/// Requests made ready for a run of [`SECONDS`], and how many of a flood's come in calmly while that is worked off.
const READY: usize = 320_000;
const AFTER: usize = 6_000;
const DIGEST: &str = "routes: [ { receiver: platform, digest: 30d } ]";

fn main() -> Result<()> {
    support::run(async {
        if support::other_store().is_some() {
            return intake().await.map(drop);
        }
        idle().await?;
        let ours = intake().await?;
        beside_alertmanager(&ours).await?;
        to_slack().await?;
        open_incidents().await
    })
}

/// ProwJobs of 1,000 jobs, nine good ones to a bad one, as in a busy but healthy fleet.
fn bodies(count: usize) -> Vec<String> {
    (0..count)
        .map(|salt| {
            let state = if salt.is_multiple_of(10) {
                "failure"
            } else {
                "success"
            };
            job(salt % 1_000, salt, state, "post-submit")
                .to_json()
                .to_string()
        })
        .collect()
}

async fn idle() -> Result<()> {
    let home = tempfile::tempdir()?;
    let slack = SlackStandIn::start(Options {
        pace: None,
        ..Options::default()
    })
    .await?;
    let daemon = Daemon::start(
        home.path(),
        &config(home.path(), &slack.url("x"), &slack.host(), ""),
    )?;
    daemon.get("/readyz").await?;
    println!(
        "idle memory: {:.1} MiB (target: under 25)",
        mib(daemon.memory()?)
    );
    Ok(())
}

struct Intake {
    paced: Load,
    floods: Vec<Load>,
    memory: u64,
}

/// Requests for a calm time and for a flood of each size.
fn portions(requests: &[Vec<u8>]) -> [Arc<Vec<Vec<u8>>>; 3] {
    let (paced, floods) = requests.split_at(10_000);
    let (few, many) = floods.split_at(floods.len() / 2);
    [paced, few, many].map(|some| Arc::new(some.to_vec()))
}

async fn intake() -> Result<Intake> {
    let bodies = bodies(READY);
    println!("\nintake: {} bytes a ProwJob", bodies[0].len());
    let floor = floor(&bodies[..20_000])?;
    println!(
        "floor, HMAC and borrowed parse in one thread: {:.0}/s",
        1.0 / floor
    );
    let requests: Vec<Vec<u8>> = bodies
        .iter()
        .map(|body| request("/hooks/prowjob", body, Some(TOKEN)))
        .collect();
    drop(bodies);
    let [calm, few, many] = portions(&requests);
    drop(requests);
    let home = tempfile::tempdir()?;
    let slack = SlackStandIn::start(Options {
        pace: None,
        ..Options::default()
    })
    .await?;
    let daemon = Daemon::start(
        home.path(),
        &config(home.path(), &slack.url("x"), &slack.host(), ""),
    )?;
    let paced = load(&daemon.address, &calm, CONNECTIONS, SECONDS, Some(1_000.0)).await?;
    println!("at 1,000/s: {}", show(&paced));
    let mut floods = Vec::new();
    for (requests, connections) in [(few, CONNECTIONS), (many, MANY_CONNECTIONS)] {
        floods.push(flood(&daemon, &requests, connections, floor).await?);
    }
    let memory = daemon.memory()?;
    println!("memory {:.1} MiB", mib(memory));
    slack.stop().await;
    Ok(Intake {
        paced,
        floods,
        memory,
    })
}

async fn flood(
    daemon: &Daemon,
    requests: &Arc<Vec<Vec<u8>>>,
    connections: usize,
    floor: f64,
) -> Result<Load> {
    println!(
        "{connections} connections; a sync of the disk takes {:.2} ms now",
        sync_time()?.as_secs_f64() * 1e3
    );
    let (before, spent) = (daemon.decided().await?, daemon.processor()?);
    let full = load(&daemon.address, requests, connections, SECONDS, None).await?;
    let during = daemon.decided().await? - before;
    println!("  flood: {}", show(&full));
    let last = Arc::new(requests[requests.len() - AFTER..].to_vec());
    let after = load(&daemon.address, &last, CONNECTIONS, SECONDS, Some(1_000.0)).await?;
    let then = daemon.decided().await? - before - during;
    let accepted = (full.accepted + after.accepted) as f64;
    let drained = drained(daemon, before + accepted).await?;
    let rest = accepted - during - then;
    println!(
        "  decided meanwhile {:.0}/s, then with 1,000/s coming in {:.0}/s (target: at least 10,000), the rest {:.0}/s",
        during / full.took.as_secs_f64(),
        then / after.took.as_secs_f64(),
        rest / drained.as_secs_f64()
    );
    println!("  while that is worked off: {}", show(&after));
    let spent = daemon.processor()?.saturating_sub(spent).as_secs_f64() / accepted;
    println!(
        "  processor, from request to outbox: {:.0} µs an event, {:.1} times the floor",
        spent * 1e6,
        spent / floor
    );
    Ok(full)
}

fn show(load: &Load) -> String {
    format!(
        "{:.0}/s accepted, {} refused, p50 {:.2} ms, p99 {:.2} ms",
        load.rate(),
        load.refused,
        load.percentile(0.5),
        load.percentile(0.99)
    )
}

/// Seconds for one event: its signature checked and the body parsed, nothing kept.
fn floor(bodies: &[String]) -> Result<f64> {
    let began = Instant::now();
    for body in bodies {
        let mut mac = Hmac::<Sha256>::new_from_slice(TOKEN.as_bytes())?;
        mac.update(body.as_bytes());
        black_box(mac.finalize().into_bytes());
        black_box(serde_json::from_str::<
            BTreeMap<&str, &serde_json::value::RawValue>,
        >(body)?);
    }
    let lean = began.elapsed().as_secs_f64() / bodies.len() as f64;
    let began = Instant::now();
    for body in bodies {
        black_box(parse::observation(body.as_bytes(), Source::Webhook, now())?);
    }
    println!(
        "our parse to an observation, in one thread: {:.0}/s",
        bodies.len() as f64 / began.elapsed().as_secs_f64()
    );
    Ok(lean)
}

async fn drained(daemon: &Daemon, wanted: f64) -> Result<Duration> {
    let began = Instant::now();
    while daemon.decided().await? < wanted {
        anyhow::ensure!(
            began.elapsed() < Duration::from_secs(120),
            "not drained after two minutes"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(began.elapsed())
}

struct Alertmanager(Child);

impl Drop for Alertmanager {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

async fn beside_alertmanager(ours: &Intake) -> Result<()> {
    let home = tempfile::tempdir()?;
    fs::write(
        home.path().join("am.yml"),
        "route: { receiver: none }\nreceivers: [ { name: none } ]\n",
    )?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let started = Command::new("prometheus-alertmanager")
        .args([
            format!("--config.file={}/am.yml", home.path().display()),
            format!("--storage.path={}", home.path().display()),
        ])
        .args([
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--cluster.listen-address=".to_owned(),
            "--log.level=error".to_owned(),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = started else {
        println!("\nprometheus-alertmanager is not installed: nothing to compare with");
        return Ok(());
    };
    let manager = Alertmanager(child);
    let address = format!("127.0.0.1:{port}");
    for _ in 0..100 {
        if tokio::net::TcpStream::connect(&address).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let alert = |salt: usize| {
        let body = format!(
            r#"[{{"labels":{{"alertname":"ProwJobFailed","org":"aws-controllers-k8s","repo":"svc{0}-controller","job":"post-submit","ref":"v1.{salt}.0","state":"failure","service":"svc{0}","stage":"publish","severity":"critical","run":"run-{salt}"}},"annotations":{{"summary":"{1}","url":"https://prow.example.com/view/s3/ack-prow-logs/logs/post-submit/{salt}"}}}}]"#,
            salt % 1_000,
            "x".repeat(600),
        );
        request("/api/v2/alerts", &body, None)
    };
    let [calm, few, many] = portions(&(0..READY).map(alert).collect::<Vec<_>>());
    println!("\nAlertmanager, same generator; it checks no signature and keeps nothing on disk");
    let calm = load(&address, &calm, CONNECTIONS, SECONDS, Some(1_000.0)).await?;
    println!(
        "at 1,000/s: {} (ours {:.2} ms, target 10)",
        show(&calm),
        ours.paced.percentile(0.99)
    );
    for ((requests, connections), our) in [(few, CONNECTIONS), (many, MANY_CONNECTIONS)]
        .into_iter()
        .zip(&ours.floods)
    {
        let spent = processor(manager.0.id())?;
        let full = load(&address, &requests, connections, SECONDS, None).await?;
        let spent = processor(manager.0.id())?
            .saturating_sub(spent)
            .as_secs_f64()
            / full.accepted as f64;
        println!(
            "{connections} connections: {}, {:.0} µs of processor; ours {:.2} times the rate (target 1.5), {:.2} of its p99 (target 0.25)",
            show(&full),
            spent * 1e6,
            our.rate() / full.rate(),
            our.percentile(0.99) / full.percentile(0.99)
        );
    }
    let memory = resident(manager.0.id()).context("Alertmanager is gone")?;
    println!(
        "memory {:.1} MiB: ours {:.2} of it (target 0.25)",
        mib(memory),
        ours.memory as f64 / memory as f64
    );
    Ok(())
}

/// From the request to the daemon until Slack has the message, each event of another cause.
async fn to_slack() -> Result<()> {
    let home = tempfile::tempdir()?;
    let slack = SlackStandIn::start(Options {
        pace: None,
        ..Options::default()
    })
    .await?;
    let daemon = Daemon::start(
        home.path(),
        &config(
            home.path(),
            &slack.url("x"),
            &slack.host(),
            "dedup: { group_wait: 0 }",
        ),
    )?;
    let mut times = Vec::new();
    for salt in 0..400 {
        let body = job(salt, salt, "failure", &format!("stage{salt}"))
            .to_json()
            .to_string();
        let one = Arc::new(vec![request("/hooks/prowjob", &body, Some(TOKEN))]);
        let began = now();
        load(&daemon.address, &one, 1, SECONDS, None).await?;
        let messages = slack.wait_for(salt + 1).await;
        let arrived = messages.last().context("no message")?.at;
        times.push(Duration::try_from(arrived.duration_since(began)).unwrap_or_default());
    }
    times.sort();
    let load = Load {
        times,
        ..Load::default()
    };
    println!(
        "\nevent to Slack: p50 {:.0} ms, p99 {:.0} ms (target: under 50)",
        load.percentile(0.5),
        load.percentile(0.99)
    );
    slack.stop().await;
    Ok(())
}

async fn open_incidents() -> Result<()> {
    const OPEN: usize = 20_000;
    let home = tempfile::tempdir()?;
    let slack = SlackStandIn::start(Options {
        pace: None,
        ..Options::default()
    })
    .await?;
    let non_critical = config(home.path(), &slack.url("x"), &slack.host(), DIGEST)
        .replace("critical", "non-critical");
    let send = |from: usize, count: usize| {
        let requests: Vec<Vec<u8>> = (from..from + count)
            .map(|salt| {
                request(
                    "/hooks/prowjob",
                    &job(salt, salt, "failure", "post-submit")
                        .to_json()
                        .to_string(),
                    Some(TOKEN),
                )
            })
            .collect();
        Arc::new(requests)
    };
    let daemon = Daemon::start(home.path(), &non_critical)?;
    // A first round brings buffers and caches to their size.
    load(
        &daemon.address,
        &send(0, OPEN),
        CONNECTIONS,
        SECONDS * 10,
        None,
    )
    .await?;
    drained(&daemon, OPEN as f64).await?;
    drop(daemon);
    let few = restarted(home.path(), &non_critical).await?;
    let daemon = Daemon::start(home.path(), &non_critical)?;
    load(
        &daemon.address,
        &send(OPEN, OPEN),
        CONNECTIONS,
        SECONDS * 10,
        None,
    )
    .await?;
    drained(&daemon, OPEN as f64).await?;
    drop(daemon);
    let many = restarted(home.path(), &non_critical).await?;
    println!(
        "memory with {OPEN} open incidents {:.1} MiB, with {} {:.1} MiB: {:.2} KiB per incident (target: under 0.5)",
        mib(few),
        2 * OPEN,
        mib(many),
        many.saturating_sub(few) as f64 / OPEN as f64 / 1024.0
    );
    slack.stop().await;
    Ok(())
}

/// Memory of a daemon that has started and decided on one more event.
async fn restarted(home: &std::path::Path, config: &str) -> Result<u64> {
    let daemon = Daemon::start(home, config)?;
    let one = request(
        "/hooks/prowjob",
        &job(0, 999_999, "failure", "post-submit")
            .to_json()
            .to_string(),
        Some(TOKEN),
    );
    load(&daemon.address, &Arc::new(vec![one]), 1, SECONDS, None).await?;
    drained(&daemon, 1.0).await?;
    daemon.memory()
}
