//! What the board costs after a year: every page over 1,000,000 runs of 1,000 jobs of 80 services.
//!
//! `cargo bench --bench pages`; a number as argument is how many runs the year had. With `PROW_NOTIFIER_BENCH_HOME`
//! set to a folder the store is kept there and used again.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    dead_code,
    reason = "a bench prints and measures, and nothing depends on it"
)]

mod support;

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use jiff::{SignedDuration, Timestamp};
use prow_notifier::{
    app::App,
    clock::Clock,
    domain::{
        evidence::{CauseClass, Evidence, Excerpt, Finding, LogLine, Origin as Place, Signature},
        observation::{RunName, Source},
    },
    pipeline::{Origin, Shared, worker::Worker},
    prow::parse,
    standin::prow::Job,
    store::Learned,
};
use support::{Daemon, config, mib, now};

const DAYS: i64 = 365;
const SERVICES: usize = 80;
/// Jobs that are part of no release.
const CHECKS: usize = 1_000 - SERVICES * STAGES.len();
const STAGES: [&str; 6] = ["pr", "tag", "publish", "bundle", "update", "release"];
/// One run in so many is of a release.
const OF_RELEASE: usize = 5;
const ERRORS: usize = 300;
const BATCH: usize = 256;
const ROUNDS: usize = 100;

fn main() -> Result<()> {
    let runs = support::runs_wanted();
    support::run(async {
        let fresh = tempfile::tempdir()?;
        let kept = env::var_os("PROW_NOTIFIER_BENCH_HOME").map(PathBuf::from);
        let home = kept.as_deref().unwrap_or(fresh.path());
        std::fs::create_dir_all(home)?;
        let config = config(
            home,
            "http://127.0.0.1:9/services/x",
            "127.0.0.1:9",
            &rules(),
        );
        let year = Year::of(runs);
        if !home.join("state.db").exists() {
            year.fill(home, &config).await?;
        }
        let size = std::fs::metadata(home.join("state.db"))?.len();
        println!("{runs} runs: {:.0} MiB", mib(size));
        measure(home, &config, &year.last).await
    })
}

/// A pipeline of six stages, and checks beside it.
fn rules() -> String {
    let mut stages = String::new();
    for (index, stage) in STAGES.iter().enumerate() {
        let needs = index.checked_sub(1).map_or(String::new(), |before| {
            format!(", needs: [{}]", STAGES[before])
        });
        let shared = if *stage == "release" {
            ", shared: true"
        } else {
            ""
        };
        writeln!(stages, "      - {{ name: {stage}{needs}{shared} }}").expect("a string takes any");
    }
    format!("pipelines:\n  - name: controller-release\n    stages:\n{stages}")
}

/// A run to be: when it ends, and what it is.
#[derive(Debug, Clone, Copy)]
struct Planned {
    ends: i64,
    /// Number of its release, and place in it.
    release: Option<(usize, usize)>,
    check: usize,
}

struct Year {
    runs: Vec<Planned>,
    began: i64,
    /// The last bad run, whose pages are asked for.
    last: Job,
}

impl Year {
    fn of(count: usize) -> Self {
        let began = now().as_second() - DAYS * 86_400;
        let releases = count / OF_RELEASE / STAGES.len();
        let checks = count - releases * STAGES.len();
        let spread = |index: usize, of: usize, span: i64| began + span * index as i64 / of as i64;
        let year = DAYS * 86_400 - 60;
        let mut runs = Vec::with_capacity(count);
        for release in 0..releases {
            let start = spread(release, releases, year - 6 * 900);
            runs.extend((0..STAGES.len()).map(|place| Planned {
                ends: start + 900 * place as i64,
                release: Some((release, place)),
                check: 0,
            }));
        }
        runs.extend((0..checks).map(|index| Planned {
            ends: spread(index, checks, year),
            release: None,
            check: index * 7_919 % CHECKS,
        }));
        runs.sort_by_key(|run| run.ends);
        let bad = runs.iter().enumerate().rev();
        let mut bad = bad.filter(|(salt, run)| run.release.is_some() && is_bad(*salt, run, began));
        let last = bad.next().map_or(0, |(salt, _)| salt);
        let last = run(last, &runs[last], began);
        Self { runs, began, last }
    }

    /// Lives the year, as the daemon would.
    async fn fill(&self, home: &Path, config: &str) -> Result<()> {
        std::fs::write(home.join("hmac"), support::TOKEN)?;
        std::fs::write(home.join("config.yaml"), config)?;
        let origin = Origin {
            paths: vec![home.join("config.yaml")],
            environment: BTreeMap::new(),
        };
        let clock = Clock::manual(Timestamp::from_second(self.began)?);
        let shared = App::build(origin, clock).await?.shared;
        let mut worker = Worker::new(shared.clone());
        let filling = Instant::now();
        for (batch, runs) in self.runs.chunks(BATCH).enumerate() {
            self.live_through(&shared, batch * BATCH, runs).await?;
            worker.step().await?;
            if batch % 200 == 199 {
                let done = (batch * BATCH) as f64;
                eprintln!(
                    "{done} runs, {:.0}/s",
                    done / filling.elapsed().as_secs_f64()
                );
            }
        }
        worker.step().await?;
        shared.store.close().await;
        println!("filled in {:.0?}", filling.elapsed());
        deliver(home)
    }

    async fn live_through(&self, shared: &Shared, from: usize, runs: &[Planned]) -> Result<()> {
        let to = Timestamp::from_second(runs.last().map_or(self.began, |run| run.ends))?;
        let step = to.duration_since(shared.clock.now()) + SignedDuration::from_secs(20);
        shared
            .clock
            .advance(Duration::try_from(step).unwrap_or_default());
        let mut batch = Vec::new();
        for (salt, planned) in (from..).zip(runs) {
            let job = run(salt, planned, self.began);
            if job.state != "success" {
                shared.reports.learned(learned(&job, salt));
            }
            let body = job.to_json().to_string();
            let seen = shared.clock.now();
            batch.push(parse::observation(body.as_bytes(), Source::Deck, seen)?);
        }
        Ok(shared.store.accept(batch).await?)
    }
}

/// Some jobs fail now and then, some often, and some have been broken since last week.
fn is_bad(salt: usize, run: &Planned, began: i64) -> bool {
    let draw = salt * 2_654_435_761 % 1_000;
    let lately = run.ends > began + (DAYS - 7) * 86_400;
    match run.release {
        Some(_) => draw < 40,
        None if run.check.is_multiple_of(50) && lately => true,
        None if run.check.is_multiple_of(13) => draw < 400,
        None => draw < 50,
    }
}

fn run(salt: usize, planned: &Planned, began: i64) -> Job {
    let (index, stage, reference) = match planned.release {
        Some((release, place)) => (
            release % SERVICES,
            STAGES[place].to_owned(),
            format!("v1.{}.0", release / SERVICES),
        ),
        None => (
            planned.check % SERVICES,
            format!("check-{}", planned.check / SERVICES),
            "main".to_owned(),
        ),
    };
    let ends = Timestamp::from_second(planned.ends).unwrap_or_default();
    let began_at = ends - Duration::from_secs(120 + (salt % 600) as u64);
    let mut job = Job::new(
        &format!("svc{index}-controller"),
        &stage,
        &reference,
        began_at,
    );
    job.completed = Some(ends);
    job.base_sha = Some(format!("{salt:040x}"));
    if is_bad(salt, planned, began) {
        "failure".clone_into(&mut job.state);
        "Job failed.".clone_into(&mut job.description);
    }
    job
}

/// One of some hundred reasons, with its lines.
fn learned(job: &Job, salt: usize) -> Learned {
    let error = salt * 31 % ERRORS;
    let headline = format!("error: cannot reach registry {error}: connection refused");
    let line = |number| LogLine {
        number: Some(number),
        text: format!("step {number}: docker push public.ecr.aws/x/y:{error}"),
    };
    let mut lines: Vec<LogLine> = (100..130).map(line).collect();
    lines[20].text.clone_from(&headline);
    Learned {
        run: RunName(job.name()),
        finding: Finding::Found(Evidence {
            class: CauseClass::Network,
            headline,
            signature: Some(Signature(format!("v2:{error:020x}"))),
            origin: Place::Log,
            rule: None,
            excerpt: Some(Excerpt {
                file: "build-log.txt".to_owned(),
                lines,
                deciding: 20,
            }),
        }),
        location: Some("s3://logs/x/build-log.txt".to_owned()),
        at: job.completed.unwrap_or(job.started),
        again_at: None,
    }
}

/// What waits is sent: nobody wants to hear of a year at once.
fn deliver(home: &Path) -> Result<()> {
    let conn = rusqlite::Connection::open(home.join("state.db"))?;
    conn.execute_batch(
        "BEGIN;
         INSERT INTO attempts (delivery_id, at, outcome, detail)
             SELECT id, created_at + 500, 'sent', '' FROM outbox WHERE state = 'pending';
         UPDATE outbox SET state = 'sent', attempts = 1 WHERE state = 'pending';
         UPDATE incidents SET notified_at = seen_at + 500 WHERE notified_at IS NULL;
         DELETE FROM reads;
         COMMIT; PRAGMA wal_checkpoint(TRUNCATE)",
    )?;
    Ok(())
}

/// Asks as a browser does: one connection, compressed.
struct Asker {
    client: Client<HttpConnector, Empty<Bytes>>,
    address: String,
}

impl Asker {
    async fn ask(&self, path: &str, compressed: bool) -> Result<Bytes> {
        let encoding = if compressed { "gzip" } else { "identity" };
        let request = http::Request::get(format!("http://{}{path}", self.address))
            .header("accept-encoding", encoding)
            .body(Empty::new())?;
        let answer = self.client.request(request).await?;
        let status = answer.status();
        anyhow::ensure!(status.is_success(), "{path} answers {status}");
        Ok(answer.into_body().collect().await?.to_bytes())
    }

    /// The first address in a page that begins so.
    async fn link(&self, page: &str, begins: &str) -> Result<String> {
        let page = self.ask(page, false).await?;
        let page = String::from_utf8_lossy(&page);
        let mut links = page.split("href=\"").skip(1);
        let link = links.find(|link| link.starts_with(begins));
        let link = link.and_then(|link| link.split('"').next());
        Ok(link
            .with_context(|| format!("no link to {begins}"))?
            .to_owned())
    }
}

async fn measure(home: &Path, config: &str, last: &Job) -> Result<()> {
    let began = Instant::now();
    let daemon = Daemon::start(home, config)?;
    let asker = Asker {
        client: Client::builder(TokioExecutor::new()).build_http(),
        address: daemon.address.clone(),
    };
    asker.ask("/", true).await?;
    println!(
        "cold process to the first page: {:.0?} (target: under 300 ms)",
        began.elapsed()
    );
    println!(
        "{:44} {:>8} {:>8} {:>8} {:>9}",
        "page", "p50 ms", "p95 ms", "max ms", "KiB gzip"
    );
    for page in pages(&asker, last).await? {
        let size = asker.ask(&page, true).await?.len();
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let began = Instant::now();
            asker.ask(&page, true).await?;
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let p95 = times[ROUNDS * 95 / 100];
        let kib = size as f64 / 1024.0;
        let missed = if p95 > 50.0 || kib > 150.0 {
            "  MISSED"
        } else {
            ""
        };
        println!(
            "{page:44.44} {:8.1} {p95:8.1} {:8.1} {kib:9.1}{missed}",
            times[ROUNDS / 2],
            times[ROUNDS - 1]
        );
    }
    script(&asker).await?;
    println!("memory of the daemon: {:.0} MiB", mib(daemon.memory()?));
    Ok(())
}

async fn pages(asker: &Asker, last: &Job) -> Result<Vec<String>> {
    let run = format!("/r/{}", last.name());
    let service = last.repo.trim_end_matches("-controller");
    let version = last.base_ref.trim_start_matches('v');
    let job = asker.link(&run, "/j/").await?;
    let error = asker.link(&run, "/e/").await?;
    let mut pages = vec![
        format!("/s/{service}"),
        format!("/s/{service}/{version}"),
        job,
        run,
        error,
    ];
    let fixed = [
        "/",
        "/services",
        "/services?state=blocked",
        "/g/controller-release/7d",
        "/trends",
        "/trends?days=365",
        "/deliveries",
        "/deliveries?state=dead",
        "/silences",
        "/silences?match=service%3D%22svc1%22",
        "/config",
        "/wall",
        "/metrics",
        "/api/v1/services",
        "/api/v1/runs",
        "/api/v1/incidents",
    ];
    pages.extend(fixed.map(str::to_owned));
    Ok(pages)
}

/// All script and all else that pages load, each once.
async fn script(asker: &Asker) -> Result<()> {
    let page = asker.ask("/trends", false).await?;
    let page = String::from_utf8_lossy(&page).replace("&#x2f;", "/");
    let mut files: Vec<&str> = page
        .split('"')
        .filter(|word| word.starts_with("/assets/"))
        .collect();
    files.sort_unstable();
    files.dedup();
    let (mut scripts, mut rest) = (0, 0);
    for file in files {
        let size = asker.ask(file, true).await?.len();
        let is_script = Path::new(file).extension().is_some_and(|kind| kind == "js");
        if is_script {
            scripts += size;
        } else {
            rest += size;
        }
    }
    println!(
        "script: {:.1} KiB gzipped (target: 30), styles and icons: {:.1} KiB",
        scripts as f64 / 1024.0,
        rest as f64 / 1024.0
    );
    Ok(())
}
