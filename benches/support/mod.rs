//! What the benches share: a cheap load generator, a daemon as a child process, and figures.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use prow_notifier::standin::prow::Job;
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The token that requests are signed with.
pub(crate) const TOKEN: &str = "bench-secret";

/// Runs a bench on as many threads as the daemon beside it has.
pub(crate) fn run(bench: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(bench)
}

/// How many runs a history shall have: a number among the arguments, 1,000,000 without one.
pub(crate) fn runs_wanted() -> usize {
    std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(1_000_000)
}

/// A failed or good run of service `index`, distinct by `salt`.
pub(crate) fn job(index: usize, salt: usize, state: &str, stage: &str) -> Job {
    // A fleet's runs end one after the other, all of them within the last hours.
    let started = now() - Duration::from_secs(3_900) + Duration::from_millis(3 * salt as u64);
    let mut job = Job::new(
        &format!("svc{index}-controller"),
        stage,
        &format!("v1.{salt}.0"),
        started,
    );
    state.clone_into(&mut job.state);
    let description = if state == "success" {
        "Job succeeded."
    } else {
        "Job failed."
    };
    description.clone_into(&mut job.description);
    job.completed = Some(started + Duration::from_secs(300));
    job
}

/// The present moment.
pub(crate) fn now() -> Timestamp {
    prow_notifier::clock::Clock::System.now()
}

/// A whole signed HTTP request, ready to be written.
pub(crate) fn request(path: &str, body: &str, token: Option<&str>) -> Vec<u8> {
    let signature = token.map(|token| {
        let mut mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).expect("any length will do");
        mac.update(body.as_bytes());
        format!(
            "X-Hub-Signature-256: sha256={}\r\n",
            hex::encode(mac.finalize().into_bytes())
        )
    });
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}\r\n{body}",
        body.len(),
        signature.unwrap_or_default(),
    )
    .into_bytes()
}

/// What a load came to.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Requests that were answered 2xx.
    pub(crate) accepted: usize,
    /// Other answers.
    pub(crate) refused: usize,
    /// How long it took.
    pub(crate) took: Duration,
    /// Time of each request, sorted.
    pub(crate) times: Vec<Duration>,
}

impl Load {
    /// Requests a second.
    pub(crate) fn rate(&self) -> f64 {
        self.accepted as f64 / self.took.as_secs_f64()
    }

    /// A percentile of the times, in milliseconds.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let index = ((self.times.len().saturating_sub(1)) as f64 * share) as usize;
        self.times
            .get(index)
            .map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }
}

/// Sends requests over keep-alive connections, each at most once, for at most `limit`; `pace` is requests a
/// second over all connections, as fast as answers come when `None`.
pub(crate) async fn load(
    address: &str,
    requests: &Arc<Vec<Vec<u8>>>,
    connections: usize,
    limit: Duration,
    pace: Option<f64>,
) -> Result<Load> {
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for connection in 0..connections {
        let (requests, next, address) =
            (Arc::clone(requests), Arc::clone(&next), address.to_owned());
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            let (mut times, mut refused) = (Vec::new(), 0_usize);
            let mut buffer = vec![0; 16 << 10];
            let gap = pace.map(|pace| Duration::from_secs_f64(connections as f64 / pace));
            let mut due = began
                + gap.map_or(Duration::ZERO, |gap| {
                    gap.mul_f64(connection as f64 / connections as f64)
                });
            while began.elapsed() < limit {
                if let Some(gap) = gap {
                    tokio::time::sleep_until(due.into()).await;
                    due += gap;
                }
                let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) else {
                    break;
                };
                let sent = Instant::now();
                stream.write_all(request).await?;
                if answer(&mut stream, &mut buffer).await? {
                    times.push(sent.elapsed());
                } else {
                    refused += 1;
                }
            }
            anyhow::Ok((times, refused))
        });
    }
    let mut load = Load::default();
    while let Some(done) = tasks.join_next().await {
        let (times, refused) = done??;
        load.refused += refused;
        load.times.extend(times);
    }
    load.took = began.elapsed();
    load.accepted = load.times.len();
    load.times.sort();
    Ok(load)
}

/// Reads one answer and says whether it is a 2xx.
async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<bool> {
    let mut held = 0;
    loop {
        let read = stream.read(&mut buffer[held..]).await?;
        anyhow::ensure!(read > 0, "the server closed the connection");
        held += read;
        let text = &buffer[..held];
        let Some(head) = find(text, b"\r\n\r\n") else {
            continue;
        };
        let headers = String::from_utf8_lossy(&text[..head]).to_lowercase();
        let length = headers
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .and_then(|value| value.trim().parse().ok());
        if held >= head + 4 + length.unwrap_or(0_usize) {
            return Ok(text.starts_with(b"HTTP/1.1 2"));
        }
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// A daemon of ours as a child process.
pub(crate) struct Daemon {
    child: Child,
    /// Where it listens.
    pub(crate) address: String,
}

impl Daemon {
    /// Starts the real binary with this configuration, in `home`.
    pub(crate) fn start(home: &Path, config: &str) -> Result<Self> {
        fs::write(home.join("hmac"), TOKEN)?;
        fs::write(home.join("config.yaml"), config)?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_prow-notifier"))
            .args([
                "--config",
                &home.join("config.yaml").display().to_string(),
                "serve",
            ])
            .env("RUST_LOG", "prow_notifier::app=info,warn")
            // As in the image.
            .env("MIMALLOC_PURGE_DELAY", "0")
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("no stderr")?).lines();
        let address = loop {
            let line = lines
                .next()
                .context("the daemon ended before it listened")??;
            if let Some((_, after)) = line.split_once("Listening on ") {
                break after
                    .chars()
                    .take_while(|c| c.is_ascii_digit() || *c == '.' || *c == ':')
                    .collect();
            }
            eprintln!("{line}");
        };
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                eprintln!("{line}");
            }
        });
        Ok(Self { child, address })
    }

    /// Processor time so far.
    pub(crate) fn processor(&self) -> Result<Duration> {
        processor(self.child.id())
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        resident(self.child.id())
    }

    /// A page's text.
    pub(crate) async fn get(&self, path: &str) -> Result<String> {
        let http = prow_notifier::http::Http::new()?;
        Ok(http
            .open()
            .get(format!("http://{}{path}", self.address))
            .send()
            .await?
            .text()
            .await?)
    }

    /// Values of all metrics by name and labels.
    pub(crate) async fn metrics(&self) -> Result<BTreeMap<String, f64>> {
        let text = self.get("/metrics").await?;
        Ok(text
            .lines()
            .filter_map(|line| {
                line.rsplit_once(' ')
                    .map(|(name, value)| (name.to_owned(), value.parse().unwrap_or(0.0)))
            })
            .collect())
    }

    /// Sum of all decisions.
    pub(crate) async fn decided(&self) -> Result<f64> {
        let metrics = self.metrics().await?;
        Ok(metrics
            .iter()
            .filter(|(name, _)| name.starts_with("prow_notifier_decisions_total"))
            .map(|(_, value)| value)
            .sum())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Resident memory of a process in bytes.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    Ok(kib.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// Processor time that a process has taken so far.
pub(crate) fn processor(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    // Fields 14 and 15, in ticks of which Linux has shown 100 a second ever since.
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// How long the disk takes to make a small write durable: median of some, right now.
pub(crate) fn sync_time() -> Result<Duration> {
    let mut file = tempfile::tempfile()?;
    let mut times = Vec::new();
    for _ in 0..100 {
        let began = Instant::now();
        file.write_all(&[0; 16 << 10])?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times[times.len() / 2])
}

/// Bytes in MiB.
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// A store other than a file of the bench: an empty database on PostgreSQL, by its URL.
pub(crate) fn other_store() -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a bench is told by hand where to run"
    )]
    std::env::var("PROW_NOTIFIER_BENCH_STORE").ok()
}

/// A configuration with one receiver at `slack`.
pub(crate) fn config(home: &Path, slack: &str, host: &str, extra: &str) -> String {
    fs::write(home.join("platform"), slack).expect("the folder is ours");
    let file = || format!("sqlite://{}/state.db", home.display());
    let store = other_store().unwrap_or_else(file);
    format!(
        r#"store: {{ url: "{store}" }}
server: {{ listen: "127.0.0.1:0", rate_per_s: 1000000, burst: 1000000 }}
sources: {{ webhook: {{ hmac_file: "{0}/hmac" }} }}
receivers: [ {{ name: platform, slack: {{ webhook_url_file: "{0}/platform" }} }} ]
default_receiver: platform
classify:
  - name: by-stage
    match: ['repo=~"(?<service>.+)-controller"', 'job=~"(?<stage>.+)"']
    set: {{ service: "$service", stage: "$stage", severity: critical }}
# There is no bucket to read from.
artifacts: {{ enabled: false }}
delivery: {{ allowed_hosts: ["{host}"], rate_per_s: 100000, burst: 100000 }}
{extra}
"#,
        home.display()
    )
}
